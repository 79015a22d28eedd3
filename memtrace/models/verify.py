"""Are the weights what their step says? Digests of every checkpoint, from the Hub or this machine.

The Hub gives the sha256 of a weight file without a download.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from memtrace.errors import ModelError, first_line
from memtrace.manifests import ModelManifest, Suite
from memtrace.models.weights import WEIGHT_PATTERNS
from memtrace.storage.digests import file_sha256

_CONCURRENT_REQUESTS = 8
MAIN = "main"
"""The Hub's default branch: for Pythia the end of training, which wrong branches serve too."""


@dataclass(frozen=True)
class WeightFile:
    """A weight file, wherever it is."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Verdict:
    """The state of one checkpoint."""

    step: int
    files: Mapping[str, WeightFile]
    """Every weight file by name, of all formats."""
    same_as: tuple[str, ...]
    """Other checkpoints that have one of the files, byte for byte: their steps, or `main`."""
    known_bad: str | None
    """Why the manifest says not to use it; None where it does not."""
    missing: str | None
    """Why there are no files; None where there are some."""

    @property
    def state(self) -> str:
        """Return `missing`, `identical`, `known-bad` (with files of its own) or `ok`."""
        if self.missing:
            return "missing"
        return "identical" if self.same_as else "known-bad" if self.known_bad else "ok"

    @property
    def is_flagged(self) -> bool:
        """Return whether a scan refuses it unless told otherwise."""
        return self.state != "ok"


def verify_checkpoints(
    suite: Suite,
    model: ModelManifest,
    steps: Sequence[int],
    *,
    cached: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[Verdict]:
    """Compare the weight files of checkpoints with each other and with what is known of them.

    Files are compared one by one, since a branch may serve one wrong shard among right ones. Steps
    0 and 1 may be equal, because the first update can have learning rate 0.

    Args:
        suite: The suite of the model.
        model: The model.
        steps: The checkpoints to compare; for a model on the Hub also with its branch `main`.
        cached: Hash what is in the Hub's local cache in place of asking the Hub; checkpoints that
            are not there are left out.
        on_progress: Called with the number of checkpoints compared since the last call.

    Raises:
        ModelError: The Hub cannot be reached, or a file cannot be read.
    """
    labels = [*map(str, steps), *([MAIN] if model.hub else [])]

    def inspect(label: str) -> Mapping[str, WeightFile] | str:
        try:
            return _weight_files(*_source(model, label), cached)
        except FileNotFoundError as error:
            return str(error)
        finally:
            on_progress(1)

    with ThreadPoolExecutor(_CONCURRENT_REQUESTS if model.hub else 1) as pool:
        found = dict(zip(labels, pool.map(inspect, labels), strict=True))
    holders = _labels_by_digest(found)
    verdicts = [_judge(suite, model, step, found[str(step)], holders) for step in steps]
    return [verdict for verdict in verdicts if not (cached and verdict.missing)]


def chosen_files(files: Mapping[str, WeightFile]) -> dict[str, WeightFile]:
    """Return the files of the format that is loaded, of several that are there."""
    for pattern in WEIGHT_PATTERNS:
        if found := {name: file for name, file in files.items() if fnmatch(name, pattern)}:
            return found
    return {}


def _source(model: ModelManifest, label: str) -> tuple[str, str | None]:
    """Return repository and revision of a checkpoint, or its folder and None."""
    return (str(model.hub), MAIN) if label == MAIN else model.source(int(label))


def _labels_by_digest(found: Mapping[str, Mapping[str, WeightFile] | str]) -> dict[str, list[str]]:
    """Return the checkpoints that have a file of each sha256."""
    labels: dict[str, list[str]] = {}
    for label, files in found.items():
        for file in {} if isinstance(files, str) else files.values():
            labels.setdefault(file.sha256, []).append(label)
    return labels


def _weight_files(source: str, revision: str | None, cached: bool) -> Mapping[str, WeightFile]:
    """Return the weight files of a checkpoint; raise FileNotFoundError where there are none."""
    if revision and not cached:
        found = _on_hub(source, revision)
    else:
        found = _in_folder(_cached_folder(source, revision) if revision else Path(source))
    if not found:
        raise FileNotFoundError(f"no weight files in {source}{f'@{revision}' if revision else ''}")
    return found


def _in_folder(folder: Path) -> Mapping[str, WeightFile]:
    """Return the weight files of a folder that may not be there, hashed."""
    try:
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return {
            path.name: WeightFile(file_sha256(path), path.stat().st_size)
            for path in paths
            if _is_weight(path.name)
        }
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error.filename} is gone, or a link to what is gone") from None
    except OSError as error:
        raise ModelError(f"cannot read {error.filename or folder}: {error.strerror}") from error


def _on_hub(repository: str, revision: str) -> Mapping[str, WeightFile]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        return {
            entry.path: WeightFile(entry.lfs.sha256 if entry.lfs else entry.blob_id, entry.size)
            for entry in HfApi().list_repo_tree(repository, revision=revision)
            if isinstance(entry, RepoFile) and _is_weight(entry.path)
        }
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise FileNotFoundError(f"the Hub has no {repository}@{revision}") from None
    except Exception as error:  # the client raises what its transport raises
        raise ModelError(
            f"cannot ask the Hub about {repository}@{revision} ({first_line(error)}); check the "
            "network and HF_HUB_OFFLINE, or compare what is cached (--cached)"
        ) from error


def _cached_folder(repository: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # Nothing is fetched, and no file is asked for: only where the snapshot would be.
        return Path(
            snapshot_download(
                repository, revision=revision, local_files_only=True, allow_patterns=[]
            )
        )
    except LocalEntryNotFoundError:
        raise FileNotFoundError(f"{repository}@{revision} is not in the local cache") from None


def _is_weight(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in WEIGHT_PATTERNS)


def _judge(
    suite: Suite,
    model: ModelManifest,
    step: int,
    found: Mapping[str, WeightFile] | str,
    holders: Mapping[str, list[str]],
) -> Verdict:
    bad = model.known_bad_reason(step)
    files = {} if isinstance(found, str) else found
    others = (other for file in files.values() for other in holders[file.sha256])
    same = [
        other
        for other in dict.fromkeys(others)
        if other != str(step) and not _may_be_equal(suite, str(step), other)
    ]
    return Verdict(
        step=step,
        files=files,
        same_as=tuple(same),
        known_bad=f"{bad.reason} ({bad.url})" if bad else None,
        missing=found if isinstance(found, str) else None,
    )


def _may_be_equal(suite: Suite, one: str, other: str) -> bool:
    """Say whether two checkpoints may have the same weights: the first update, and the end."""
    return {one, other} in ({"0", "1"}, {str(suite.last_step), MAIN})
