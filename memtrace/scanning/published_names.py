"""Which files belong to one published evaluation, and what their names say of the checkpoint."""

import re
from dataclasses import dataclass
from pathlib import Path

from memtrace.errors import RunError

_KINDS = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".npy": "npy"}
_KINDS |= dict.fromkeys((".hdf", ".h5", ".hdf5"), "hdf")
# `duped.12b.23000` of the tables, `memorization_12b_23000` of the script's folders.
_TABLE = re.compile(
    r"(?P<corpus>de)?duped\.(?P<size>\d+(?:\.\d+)?[mb])(?:\.(?P<step>\d{4,}))?(?!\d)"
)
_PART = re.compile(r"-(?P<number>\d{5})-of-(?P<count>\d{5})")  # of a table in several files
_SCRIPT = re.compile(r"memorization_(?:results_)?(?P<model>[^_]+)_(?P<step>\d+)")


@dataclass(frozen=True)
class Label:
    """What a name says of the checkpoint; None where it is silent."""

    model: str | None = None
    step: int | None = None

    def __str__(self) -> str:
        """Return it as a message says it."""
        step = "" if self.step is None else f" step {self.step}"
        return f"{self.model or 'an unnamed model'}{step}"


def read_label(name: str) -> Label:
    """Read the model and the step from the name of a published file or folder."""
    if match := _TABLE.search(name):
        step = int(match["step"]) if match["step"] else None
        return Label(match["size"] + ("-deduped" if match["corpus"] else ""), step)
    if match := _SCRIPT.search(name):
        return Label(match["model"], int(match["step"]))
    return Label()


def choose_files(source: Path, wanted: Label) -> tuple[list[Path], Label]:
    """Return the files of one checkpoint, and what their names, or the folder's, say of it.

    Args:
        source: A file or a folder; a folder may hold tables of several models and steps.
        wanted: Model and step, as far as the caller names them.

    Raises:
        RunError: There is no file, or not the files of one checkpoint and of one kind.
    """
    groups: dict[Label, list[Path]] = {}
    for path in list_files(source):
        groups.setdefault(read_label(path.name), []).append(path)
    label = next(iter(groups)) if len(groups) == 1 else _choose(source, list(groups), wanted)
    files = groups[label]
    if len({kind_of(path) for path in files}) > 1:
        raise RunError(
            f"{source} has files of several kinds: name one file or a folder of one kind"
        )
    _check_parts(source, files)
    if label.model is None:
        above = (source.name, source.absolute().parent.name)
        label = next((found for name in above if (found := read_label(name)).model), label)
    return files, label


def _check_parts(source: Path, files: list[Path]) -> None:
    """Refuse a table of memorized sequences that lacks a file: none in it would be memorized."""
    parts = [match for path in files if (match := _PART.search(path.name))]
    for count in {int(part["count"]) for part in parts}:
        there = {int(part["number"]) for part in parts if int(part["count"]) == count}
        if missing := set(range(count)) - there:
            raise RunError(
                f"{source} has {len(there)} of the {count} files of its table (number "
                f"{min(missing)} is missing): download all of them, and give their folder"
            )


def _choose(source: Path, labels: list[Label], wanted: Label) -> Label:
    """Return the one label that fits; a table without a step fits where no other one does."""
    of_model = [label for label in labels if wanted.model in (None, label.model)]
    fitting = [label for label in of_model if wanted.step in (None, label.step)]
    fitting = fitting or [label for label in of_model if label.step is None]
    if len(fitting) == 1 and fitting[0].model is not None:
        return fitting[0]
    there = ", ".join(sorted(map(str, labels))[:8]) + (", ..." if len(labels) > 8 else "")
    raise RunError(
        f"{source} has evaluations of {there}, "
        + ("and several fit" if fitting else f"none of {wanted}")
        + ": name one of them with --model and --step, or give its files alone"
    )


def list_files(source: Path) -> list[Path]:
    """Return a file, or the evaluations of a folder by name.

    Raises:
        RunError: There is none.
    """
    if source.is_file():
        return [source]
    try:
        paths = sorted(source.iterdir())
        found = [path for path in paths if _ends_well(path)]
        folders = [] if found else [path for path in paths if path.is_dir()]
        below = [path.name for path in folders if any(map(_ends_well, path.iterdir()))]
    except OSError as error:
        raise RunError(f"cannot read {error.filename or source}: {error.strerror}") from error
    if below:
        raise RunError(
            f"{source} has evaluations in folders of its own ({', '.join(below[:8])}): give one of "
            "them"
        )
    if not found:
        raise RunError(
            f"{source} has no evaluations: expected a file or a folder of {', '.join(_KINDS)}; "
            "get a data set of the Hub with `hf download --repo-type dataset` first"
        )
    return found


def _ends_well(path: Path) -> bool:
    return path.name.lower().endswith(tuple(_KINDS))


def kind_of(path: Path) -> str:
    """Return `csv`, `parquet`, `npy` or `hdf`; a name without an ending means the last."""
    name = path.name.lower()
    return next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), "hdf")
