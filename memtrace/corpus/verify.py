"""Compare the files of a corpus or a pack with the sizes and digests that they should have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.parts import FilePart
from memtrace.corpus.prefix_pack import PACK_RECORD, file_digest, read_record
from memtrace.corpus.remote import RemotePart
from memtrace.errors import CorpusError
from memtrace.storage.documents import read_document
from memtrace.storage.problems import read_problem

_SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class FileCheck:
    """What was found out about one file."""

    name: str
    state: str
    """`ok`, `damaged` (other bytes or another length), `missing`, `absent` (of a pack: not fetched
    yet, which is no fault), or `unknown` (no digest to compare with)."""
    detail: str

    @property
    def is_bad(self) -> bool:
        """Return whether the file must not be used."""
        return self.state in ("damaged", "missing")


def verify_pack(
    folder: str | Path, on_progress: Callable[[int], None] = lambda _: None
) -> list[FileCheck]:
    """Check every file of a pack against `pack.json`.

    Args:
        folder: The pack.
        on_progress: Called with the number of bytes checked since the last call.

    Raises:
        CorpusError: The record cannot be read.
    """
    folder = Path(folder)
    record, checks = read_record(folder), []
    for name in record.ranges():
        if name in record.files:
            expected = record.file_bytes(name), record.files[name]
            checks.append(_check(folder / name, name, *expected, PACK_RECORD, on_progress))
        else:
            checks.append(FileCheck(name, "absent", "not fetched"))
    return checks


def verify_corpus(
    corpus: Corpus,
    published: Mapping[str, RemotePart] | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[FileCheck]:
    """Check the local files of a corpus against digests published for them.

    Args:
        corpus: What was opened, so that the sizes fit the layout already.
        published: The same files as their store has them, by name; without it a file `SHA256SUMS`
            in the folder of the corpus, or in the one above, tells.
        on_progress: Called with the number of bytes checked since the last call.

    Raises:
        CorpusError: A file cannot be read.
    """
    checks = []
    for part in corpus.parts:
        if not isinstance(part, FilePart):
            raise CorpusError(f"{part.name} is not a local file: its store keeps it whole")
        size, digest, source = part.path.stat().st_size, _sum_of(part.path), _SUMS
        if published is not None:
            store = published.get(part.path.name)
            if store is None:
                checks.append(FileCheck(part.name, "unknown", "no such file is published"))
                continue
            size, digest, source = store.size, store.sha256, store.name
        checks.append(_check(part.path, part.name, size, digest, source, on_progress))
    return checks


def _check(
    path: Path,
    name: str,
    size: int,
    digest: str | None,
    source: str,
    on_progress: Callable[[int], None],
) -> FileCheck:
    if not path.is_file():
        return FileCheck(name, "missing", f"{source} has it")
    found = path.stat().st_size
    if found != size:
        return FileCheck(name, "damaged", f"{found} bytes, {source} says {size}")
    if digest is None:
        return FileCheck(name, "unknown", "no digest to compare with")
    actual = file_digest(path)
    on_progress(size)
    if actual != digest:
        return FileCheck(name, "damaged", f"sha256 {actual[:12]}…, {source} says {digest[:12]}…")
    return FileCheck(name, "ok", f"sha256 {digest}")


def _sum_of(path: Path) -> str | None:
    """Return the digest that the nearest `SHA256SUMS` gives a file."""
    for folder in path.absolute().parents[:2]:
        for line in _lines(folder / _SUMS):
            digest, _, name = line.partition("  ")
            if name.lstrip("*") == str(path.absolute().relative_to(folder)):
                return digest
    return None


def _lines(sums: Path) -> list[str]:
    if not sums.is_file():
        return []
    try:
        return read_document(sums).decode().splitlines()
    except OSError as error:
        raise CorpusError(read_problem(sums, error)) from error
    except ValueError as error:
        raise CorpusError(f"{sums} is no list of digests: {error}") from error
