"""Files on the Hub, on a web server or in any store that fsspec knows, read by byte ranges."""

import re
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.corpus.parts import Bytes
from memtrace.corpus.retries import OPENING, READING, StatusError, retry
from memtrace.errors import CorpusError
from memtrace.storage.address import public_address

if TYPE_CHECKING:
    import fsspec

WEB = ("http://", "https://")
_TIMEOUT = 60  # seconds until something comes
_SLOWEST = 300  # seconds until all of a request has come
_HUB = re.compile(r"hf://(?:(datasets|models)/)?([^/@]+/[^/@]+)(?:@([^/]+))?/(.*)")


class RemotePart:
    """A whole remote file as a part: each view is one request, tried again where it fails."""

    remote = True

    def __init__(
        self,
        name: str,
        size: int,
        request: Callable[[int, int], bytes],
        sha256: str | None = None,
    ) -> None:
        """Name a file of `size` bytes, of which `request` returns the bytes [start, stop).

        `sha256` is what its store says of the whole file, where it says so.
        """
        self.name, self.size, self._request, self.sha256 = name, size, request, sha256

    def view(self, start: int, stop: int) -> Bytes:
        """Return the bytes [start, stop).

        Raises:
            CorpusError: They could not be had, or others came than were asked for, however often.
        """
        try:
            return np.frombuffer(retry(lambda: self._ask(start, stop), READING), np.uint8)
        except ConnectionError as error:
            raise CorpusError(
                f"cannot read {stop - start} bytes from byte {start} of {self.name}: {error}; "
                "check the network and repeat the command"
            ) from error

    def _ask(self, start: int, stop: int) -> bytes:
        data = self._request(start, stop)
        if len(data) != stop - start:
            raise ConnectionError(f"{len(data)} bytes came")
        return data

    def check_unchanged(self) -> None:
        """Do nothing: every request compares what it is answered."""


def remote_files(prefix: str) -> dict[str, RemotePart]:
    """Return the remote files whose address begins with `prefix`, by file name.

    Args:
        prefix: `hf://datasets/OWNER/NAME[@REVISION]/PATH`, or an address of any file system that
            fsspec knows. Web servers cannot list: there it is tried with `.bin` and `.idx`.

    Raises:
        CorpusError: There is no such place, or it cannot be reached.
    """
    try:
        return retry(lambda: _files(prefix), OPENING)
    except ConnectionError as error:
        raise CorpusError(
            f"cannot look into {public_address(prefix)}: {error}; check the address, the network "
            "and HF_HUB_OFFLINE"
        ) from error


def _files(prefix: str) -> dict[str, RemotePart]:
    if match := _HUB.fullmatch(prefix):
        return _hub_files(*match.groups())
    if prefix.startswith(WEB):
        return _web_files(prefix)
    return _store_files(prefix)


def _hub_files(
    kind: str | None, repository: str, revision: str | None, path: str
) -> dict[str, RemotePart]:
    """List a folder of the Hub at the commit that the revision names now."""
    from huggingface_hub import HfApi, get_token, hf_hub_url
    from huggingface_hub.hf_api import RepoFile

    api, repo_type = HfApi(), {"datasets": "dataset", "models": "model", None: "model"}[kind]
    # A pinned commit: a scan of days must not read two versions of one corpus.
    commit = str(api.repo_info(repository, revision=revision, repo_type=repo_type).sha)
    headers = {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}
    folder, _, start = path.rpartition("/")
    files: dict[str, RemotePart] = {}
    for entry in api.list_repo_tree(
        repository, folder or None, revision=commit, repo_type=repo_type
    ):
        name = entry.path.rpartition("/")[2]
        if isinstance(entry, RepoFile) and name.startswith(start):
            url = hf_hub_url(repository, entry.path, revision=commit, repo_type=repo_type)
            place = f"hf://{kind + '/' if kind else ''}{repository}@{commit}/{entry.path}"
            sha256 = entry.lfs.sha256 if entry.lfs else None
            files[name] = RemotePart(
                place, entry.size, _Web(url, headers, pinned=True).request, sha256
            )
    return files


def _web_files(prefix: str) -> dict[str, RemotePart]:
    address, mark, query = prefix.partition("?")
    files: dict[str, RemotePart] = {}
    for ending in (".bin", ".idx"):
        web = _Web(f"{address}{ending}{mark}{query}", {})
        if (size := web.size()) is not None:
            name = f"{address}{ending}".rpartition("/")[2]
            files[name] = RemotePart(web.name, size, web.request)
    return files


class _Web:
    """One file on a web server; a redirect to where it is really kept is followed once."""

    def __init__(self, url: str, headers: dict[str, str], *, pinned: bool = False) -> None:
        self.url, self.name, self._headers = url, public_address(url), headers
        self._place, self._pinned = url, pinned
        self._version: tuple[str, str | None] | None = None

    def size(self) -> int | None:
        """Return the bytes of the file, None where there is no such file."""
        with self._ask(0, 1) as response:
            if response.status_code == 404:
                return None
            self._check(response, 0, 1)
            total = response.headers["content-range"].rpartition("/")[2]
        if not total.isdecimal():
            raise CorpusError(f"{self.name}: the server does not say how long the file is")
        return int(total)

    def request(self, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop)."""
        with self._ask(start, stop) as response:
            if response.status_code in (401, 403, 404, 410) and self._place != self.url:
                self._place = self.url  # signed addresses expire
                raise ConnectionError(f"the server answered {response.status_code}")
            self._check(response, start, stop)
            self._place = str(response.url)
            return _read(response, stop - start)

    def _ask(self, start: int, stop: int) -> Any:
        from huggingface_hub import get_session

        # The token is for the Hub alone, not for the store that it redirects to.
        headers = self._headers if self._place == self.url else {}
        headers = {**headers, "Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        session = get_session()
        return session.stream("GET", self._place, headers=headers, timeout=_TIMEOUT)

    def _check(self, response: Any, start: int, stop: int) -> None:
        """Refuse an answer that is not the range that was asked for, before it is read."""
        status, headers = response.status_code, response.headers
        place, length = headers.get("content-range", ""), headers.get("content-length")
        if status == 200:
            raise CorpusError(
                f"{self.name}: the server ignores byte ranges; download the file and pass its path"
            )
        if status != 206:
            raise StatusError(status, headers.get("retry-after"))
        if not place.startswith(f"bytes {start}-{stop - 1}/"):
            raise ConnectionError(f"asked for bytes {start}-{stop - 1}, the server sends {place!r}")
        if length is not None and length != str(stop - start):
            raise ConnectionError(f"asked for {stop - start} bytes, the server announces {length}")
        self._check_version(place.rpartition("/")[2], headers.get("etag"))

    def _check_version(self, total: str, tag: str | None) -> None:
        """Refuse a file that is replaced while it is read; those of a commit never are."""
        first = self._version = self._version or (total, tag)
        same_tag = self._pinned or not (tag and first[1]) or tag == first[1]
        if first[0] != total or not same_tag:
            raise CorpusError(
                f"{self.name} has changed while it was in use: a corpus must stay as it is until "
                "the command ends; repeat the command"
            )


def _read(response: Any, size: int) -> bytes:
    """Return the body of a response, which is refused as soon as it is too long or too slow."""
    began, blocks, length = time.monotonic(), [], 0
    for block in response.iter_bytes():
        blocks.append(block)
        length += len(block)
        if length > size:
            raise ConnectionError(f"asked for {size} bytes, more came")
        if time.monotonic() - began > _SLOWEST:
            raise TimeoutError(f"{length} of {size} bytes came in {_SLOWEST} seconds")
    return b"".join(blocks)


def _store_files(prefix: str) -> dict[str, RemotePart]:
    """List a folder of a file system that fsspec knows: s3, gs, memory and so on."""
    import fsspec

    system, path = fsspec.core.url_to_fs(prefix)
    protocol = prefix.partition("://")[0]
    folder, _, start = path.rpartition("/")
    return {
        entry["name"].rpartition("/")[2]: RemotePart(
            f"{protocol}://{entry['name'].lstrip('/')}",
            entry["size"],
            _Store(system, entry["name"]).request,
        )
        for entry in system.ls(folder, detail=True)
        if entry["type"] == "file" and entry["name"].rpartition("/")[2].startswith(start)
    }


class _Store:
    """One file of a file system of fsspec."""

    def __init__(self, system: "fsspec.AbstractFileSystem", path: str) -> None:
        self._system, self._path = system, path

    def request(self, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop)."""
        return bytes(self._system.cat_file(self._path, start=start, end=stop, **self._uncached))

    @cached_property
    def _uncached(self) -> dict[str, str]:
        # Asynchronous file systems ask for the range alone; the others open the file and would
        # read megabytes ahead.
        return {} if self._system.async_impl else {"cache_type": "none"}
