"""Read folders of the evaluation harness's JSON, old and current, and say what was read.

It knows files and their fields; what the values mean is for others to say.

    old      {"results": {TASK: {"acc": …, "acc_stderr": …}},
              "config": {"model_args": "pretrained=…,revision=step1000", "num_fewshot": 0}}
    current  {"results": {TASK: {"alias": …, "acc,none": …, "acc_stderr,none": … or "N/A"}},
              "n-shot": {TASK: 0}, "higher_is_better": {TASK: {"acc": true}},
              "config": {"model_args": text or {"pretrained": …}}, "model_name": …}
    GPT-NeoX {"results" or, of prompted tasks, "table_results": {TASK: {"em": …, "em_stderr": …}},
              "config": {"model_args": {"iteration": 1000, "config_files": {NAME: …}}}}
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from memtrace.errors import FitError
from memtrace.evaluations.names import (
    is_first_release,
    model_in,
    model_of,
    run_in,
    shots_in,
    step_in,
)

EVALUATIONS_SCHEMA = pl.Schema(
    {
        "model": pl.String,
        "run": pl.String,
        "step": pl.Int64,
        "shots": pl.Int64,
        "task": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "stderr": pl.Float64,
        "higher_is_better": pl.Boolean,
        "file": pl.String,
    }
)
KEY = ("model", "run", "step", "shots", "task", "metric")
_LOWER_IS_BETTER = ("ppl", "perplexity", "bits_per_byte", "likelihood_difference", "brier_score")
Row = tuple[str, str, int, int, str, str, float, float | None, bool, str]


class _UnreadError(Exception):
    """Why a file was not read."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file."""

    path: str
    """Relative to the folder."""
    values: int
    """Values taken from it; 0 if it was not read."""
    note: str | None
    """Why it was not read, or what in it was passed over; None where all is well."""


@dataclass(frozen=True)
class Evaluations:
    """The values of a folder, and what was read of it and what not."""

    table: pl.DataFrame
    """One row a value, of `EVALUATIONS_SCHEMA`, sorted; no two rows agree in all of `KEY`."""
    files: tuple[FileReport, ...]
    """Every `.json` file, in the order of paths."""
    others: int
    """Files that are no `.json` and were not looked at."""

    @property
    def unread(self) -> list[FileReport]:
        """Return the files of which nothing was read."""
        return [file for file in self.files if not file.values]

    @property
    def noted(self) -> list[FileReport]:
        """Return the files that were read with something passed over."""
        return [file for file in self.files if file.values and file.note]

    def document(self) -> dict[str, Any]:
        """Return what was read: counts, and each file of which that is not the whole story."""
        return {
            "json_files": len(self.files),
            "read": len(self.files) - len(self.unread),
            "values": self.table.height,
            "not_read": [{"path": f.path, "reason": f.note} for f in self.unread],
            "read_in_part": [asdict(file) for file in self.noted],
            "other_files": self.others,
        }


def read_evaluations(folder: str | Path) -> Evaluations:
    """Read every `.json` file below a folder.

    Step, model and shots come from a file's content, or else from its name and folders; where the
    two contradict each other about the step or the shots, the file is not read. Of values that are
    there twice the one of the first path counts, and the file of the other says so.

    Raises:
        FitError: The folder is missing, or nothing in it could be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FitError(f"{folder} is not a folder: pass the one that holds the evaluations (.json)")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found: dict[tuple[Any, ...], Row] = {}
    reports = []
    for path in (path for path in paths if path.suffix == ".json"):
        name = path.relative_to(folder)
        try:
            rows, note = _read_file(path, name)
        except _UnreadError as reason:
            reports.append(FileReport(name.as_posix(), 0, str(reason)))
            continue
        new = {row[: len(KEY)]: row for row in rows if row[: len(KEY)] not in found}
        if len(new) < len(rows):
            note = _join(note, f"{len(rows) - len(new)} values are in another file already")
        found |= new
        reports.append(FileReport(name.as_posix(), len(new), note))
    if not found:
        raise FitError(f"no evaluation could be read from {folder}: {_why(reports)}")
    table = pl.DataFrame(list(found.values()), schema=EVALUATIONS_SCHEMA, orient="row")
    return Evaluations(table.sort(KEY), tuple(reports), len(paths) - len(reports))


def _why(reports: list[FileReport]) -> str:
    if not reports:
        return "there is no .json file below it"
    first = reports[0]
    return f"{len(reports)} .json files, the first ({first.path}): {first.note}"


def _read_file(path: Path, name: Path) -> tuple[list[Row], str | None]:
    """Return the values of a file, and what in it was passed over."""
    document = _load(path)
    results = _results(document)
    model, run, step = _identity(document, name)
    rows: list[Row] = []
    dropped = 0
    for task, metrics in results.items():
        found = list(_values(metrics)) if isinstance(metrics, dict) else [("", None, None)]
        dropped += sum(value is None for _, value, _ in found)
        shots = _agreed("number of shots", _shots(document, task), shots_in(name))
        for metric, value, stderr in found:
            if value is not None:
                better = _higher_is_better(document, task, metric)
                measured = (task, metric, value, stderr, better)
                rows.append((model, run, step, shots, *measured, name.as_posix()))
    if not rows:
        raise _UnreadError("its results hold no number")
    return rows, f"{dropped} entries are not numbers" if dropped else None


def _results(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values by task; of prompted tasks the table of one entry a task and prompt."""
    for key in ("results", "table_results"):
        found = document.get(key)
        if isinstance(found, dict) and found:
            return found
    raise _UnreadError("no results in it: not written by the evaluation harness, or cut short")


def _identity(document: Mapping[str, Any], name: Path) -> tuple[str, str, int]:
    """Return model, run and step of a file, by its content or else its name."""
    arguments = _arguments(document)
    pretrained = arguments.get("pretrained") or document.get("model_name")
    named = model_of(str(pretrained)) if pretrained else model_in(name, _config_file(arguments))
    model = named.model
    if not model:
        raise _UnreadError("neither its content nor its name says the model")
    if not pretrained and is_first_release(model, name, arguments.get("save_iters")):
        model = f"{model}-v0"
    iteration = arguments.get("iteration")
    in_content = _first(
        step_in(str(arguments.get("revision", ""))),
        step_in(str(pretrained)),
        iteration if isinstance(iteration, int) else None,
    )
    in_name = _first(step_in(name.name), step_in(name.parent.as_posix()))
    run = run_in(name) if named.run == "standard" else named.run
    return model, run, _agreed("step", in_content, in_name)


def _config_file(arguments: Mapping[str, Any]) -> str:
    """Return the name of GPT-NeoX's configuration file, which names the model; empty if none."""
    files = arguments.get("config_files")
    return next(iter(files), "") if isinstance(files, dict) else ""


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _UnreadError(f"cannot be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _UnreadError("not text in UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise _UnreadError(f"not JSON, or cut short: {error}") from error
    if not isinstance(document, dict):
        raise _UnreadError(f"a JSON {type(document).__name__}, not an object with results")
    return document


def _arguments(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's arguments, which are a text or an object."""
    config = document.get("config", document)
    arguments = config.get("model_args") if isinstance(config, dict) else None
    if isinstance(arguments, dict):
        return arguments
    pairs = (item.partition("=") for item in str(arguments or "").split(","))
    return {key.strip(): value.strip() for key, _, value in pairs if value}


def _agreed(what: str, in_content: int | None, in_name: int | None) -> int:
    """Return what content or name says, if they do not contradict each other."""
    if in_content is not None and in_name is not None and in_content != in_name:
        raise _UnreadError(f"its content says {what} {in_content}, its name {in_name}")
    found = _first(in_content, in_name)
    if found is None:
        raise _UnreadError(f"neither its content nor its name says the {what}")
    return found


def _first(*found: int | None) -> int | None:
    """Return the first that is there; 0 is."""
    return next((number for number in found if number is not None), None)


def _shots(document: Mapping[str, Any], task: str) -> int | None:
    """Return the examples before each question, by the task's own entry or the configuration."""
    config = document.get("config")
    places = (document.get("n-shot"), document.get("configs"))
    by_task = [place.get(task) for place in places if isinstance(place, dict)]
    found = [entry.get("num_fewshot") if isinstance(entry, dict) else entry for entry in by_task]
    if isinstance(config, dict):
        found.append(config.get("num_fewshot"))
    if "table_results" in document:
        found.append(0)  # prompted tasks were evaluated without examples, and some files omit it
    return _first(*(n for n in found if isinstance(n, int) and not isinstance(n, bool)))


def _values(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float | None, float | None]]:
    """Yield name, value and standard error of each metric of a task.

    In the current layout a metric has its filter behind a comma; `none` is left out.
    """
    current = any("," in key for key in metrics)
    for key, value in metrics.items():
        metric, _, filtered = key.partition(",")
        if metric.endswith("_stderr") or (current and not filtered):
            continue
        error = f"{metric}_stderr,{filtered}" if current else f"{metric}_stderr"
        name = metric if filtered in ("", "none") else key
        if current or not isinstance(value, str):
            yield name, _number(value), _number(metrics.get(error))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _higher_is_better(document: Mapping[str, Any], task: str, metric: str) -> bool:
    said = document.get("higher_is_better")
    for key in (task, metric.partition(",")[0]):
        said = said.get(key) if isinstance(said, dict) else None
    if isinstance(said, bool):
        return said
    return not any(word in metric for word in _LOWER_IS_BETTER)


def _join(*notes: str | None) -> str:
    return "; ".join(note for note in notes if note)
