"""Which files belong to one published evaluation, and what their names say of the checkpoint."""

import re
from dataclasses import dataclass
from pathlib import Path

from memtrace.errors import RunError

_KINDS = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}
_KINDS |= dict.fromkeys((".hdf", ".h5", ".hdf5"), "hdf")
# `duped.12b.23000` of the tables, `memorization_12b_23000` of the script's folders.
_TABLE = re.compile(
    r"(?P<corpus>de)?duped\.(?P<size>\d+(?:\.\d+)?[mb])(?:\.(?P<step>\d{4,}))?(?!\d)"
)
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
    if label.model is None:
        above = (source.name, source.absolute().parent.name)
        label = next((found for name in above if (found := read_label(name)).model), label)
    return files, label


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
    except OSError as error:
        raise RunError(f"cannot read {source}: {error.strerror}") from error
    found = [path for path in paths if path.name.lower().endswith(tuple(_KINDS))]
    if not found:
        raise RunError(
            f"{source} has no evaluations: expected a file or a folder of {', '.join(_KINDS)}; "
            "get a data set of the Hub with `hf download --repo-type dataset` first"
        )
    return found


def kind_of(path: Path) -> str:
    """Return `csv`, `parquet` or `hdf`, which is also what a name without an ending means."""
    name = path.name.lower()
    return next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), "hdf")
