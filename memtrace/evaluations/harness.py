"""One JSON file of the evaluation harness, old or current: its values, and what is passed over.

old      {"results": {TASK: {"acc": …, "acc_stderr": …}},
"config": {"model_args": "pretrained=…,revision=step1000", "num_fewshot": 0}}
current  {"results": {TASK: {"alias": …, "acc,none": …, "acc_stderr,none": … or "N/A"}},
"n-shot": {TASK: 0}, "group_subtasks": {GROUP: [TASK]},
"higher_is_better": {TASK: {"acc": true}},
"config": {"model_args": text or {"pretrained": …}}, "model_name": …}
GPT-NeoX {"results" or, of prompted tasks, "table_results": {TASK: {"em": …, "em_stderr": …}},
"config": {"model_args": {"iteration": 1000, "config_files": {NAME: …},
"eval_results_prefix": …, "load": …}}}
"""

import json
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from memtrace.evaluations.names import (
    MOST,
    counts_tokens,
    is_first_release,
    last_step_of,
    model_in,
    model_of,
    run_in,
    shots_in,
    step_in,
    step_of_revision,
    time_in,
)
from memtrace.manifests.schema import Suite

_LOWER_IS_BETTER = ("ppl", "perplexity", "bits_per_byte", "likelihood_difference", "brier_score")
LISTED = 3
"""Entries passed over that a note names."""


class UnreadError(Exception):
    """Why a file, or an entry of it, was not read."""


class Row(NamedTuple):
    """One value, under the columns of the table of evaluations."""

    model: str
    run: str
    step: int
    shots: int
    task: str
    metric: str
    value: float
    stderr: float | None
    higher_is_better: bool
    file: str


@dataclass(frozen=True)
class Content:
    """What one file holds."""

    rows: list[Row]
    note: str | None
    """What in it was passed over."""
    written: datetime | None
    """By its name, or else its content; None if neither says."""


def read_file(path: Path, name: Path, suites: Sequence[Suite]) -> Content:
    """Return the values of a file, and what in it was passed over.

    Args:
        path: Of the file.
        name: The same relative to the folder of evaluations: it may tell model, step and shots.
        suites: Of the manifests.

    Raises:
        UnreadError: There is no value in it, or it is not known of which model and step.
    """
    document = _load(path)
    results = _results(document)
    model, run, step = _identity(document, name, suites)
    rows: list[Row] = []
    passed_over: list[str] = []
    for task, metrics in results.items():
        found = list(_values(metrics)) if isinstance(metrics, dict) else [("", None, None)]
        passed_over += [f"{task} {m}".strip() + " (no number)" for m, v, _ in found if v is None]
        numbers = [(m, v, error) for m, v, error in found if v is not None]
        try:
            shots = _shots(document, task, name) if numbers else 0
        except UnreadError as reason:
            passed_over.append(f"{task} ({reason})")
            continue
        for metric, value, stderr in numbers:
            better = _higher_is_better(document, task, metric)
            measured = (task, metric, value, stderr, better)
            rows.append(Row(model, run, step, shots, *measured, name.as_posix()))
    if not rows:
        raise UnreadError(_listed(passed_over) or "its results hold no number")
    written = time_in(name.name) or _date(document)
    return Content(rows, _listed(passed_over), written)


def _listed(entries: list[str]) -> str | None:
    """Return a note that names the first entries that were passed over."""
    if not entries:
        return None
    more = f" and {len(entries) - LISTED} more" if len(entries) > LISTED else ""
    return f"not read: {', '.join(entries[:LISTED])}{more}"


def _date(document: Mapping[str, Any]) -> datetime | None:
    """Return the harness's own date, in seconds since 1970."""
    try:
        return datetime.fromtimestamp(float(document["date"]), UTC).replace(tzinfo=None)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _results(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values by task; of prompted tasks the table of one entry a task and prompt."""
    for key in ("results", "table_results"):
        found = document.get(key)
        if isinstance(found, dict) and found:
            return found
    raise UnreadError("no results in it: not written by the evaluation harness, or cut short")


def _identity(
    document: Mapping[str, Any], name: Path, suites: Sequence[Suite]
) -> tuple[str, str, int]:
    """Return model, run and step of a file, by its content or else its name."""
    arguments = _arguments(document)
    pretrained = str(arguments.get("pretrained") or document.get("model_name") or "")
    named = model_of(pretrained) if pretrained else model_in(name, arguments, suites)
    model = named.model
    if not model:
        raise UnreadError("neither its content nor its name says the model")
    if not pretrained and is_first_release(model, name, arguments.get("save_iters")):
        model = f"{model}-v0"
    run = run_in(name) if named.run == "standard" else named.run
    return _with_adapter(model, arguments), run, _step(arguments, pretrained, name, suites)


def _with_adapter(model: str, arguments: Mapping[str, Any]) -> str:
    """Return the name of a model with what is put on top of its weights: it is another model."""
    added = [str(arguments[key]) for key in ("peft", "delta") if arguments.get(key)]
    return "+".join([model, *map(posixpath.normpath, added)])


def _step(
    arguments: Mapping[str, Any], pretrained: str, name: Path, suites: Sequence[Suite]
) -> int:
    """Return the step by content or name; the branch `main` of a known model is its last one."""
    revision = str(arguments.get("revision") or "")
    in_content = _first(
        step_of_revision(revision),
        step_in(str(arguments.get("subfolder") or "")),
        step_in(pretrained),
        _whole(arguments.get("iteration")),
    )
    in_name = _first(step_in(name.name), step_in(name.parent.as_posix()))
    found = _agreed("step", in_content, in_name)
    if found is None and revision in ("", "main"):
        found = last_step_of(pretrained, suites)
    if found is None and counts_tokens(revision):
        raise UnreadError(f"its revision {revision!r} counts tokens, and nothing says the step")
    if found is None:
        raise UnreadError("neither its content nor its name says the step")
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())  # in UTF-8, 16 or 32, with or without a mark
    except OSError as error:
        raise UnreadError(f"cannot be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadError("not text in UTF-8 or UTF-16") from error
    except (ValueError, RecursionError) as error:
        raise UnreadError(f"not JSON, or cut short: {error}") from error
    if not isinstance(document, dict):
        raise UnreadError(f"a JSON {type(document).__name__}, not an object with results")
    return document


def _arguments(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's arguments, which are a text or an object."""
    config = document.get("config", document)
    arguments = config.get("model_args") if isinstance(config, dict) else None
    if isinstance(arguments, dict):
        return arguments
    pairs = (item.partition("=") for item in str(arguments or "").split(","))
    return {key.strip(): value.strip() for key, _, value in pairs if value}


def _agreed(what: str, in_content: int | None, in_name: int | None) -> int | None:
    """Return what content or name says, if they do not contradict each other."""
    if in_content is not None and in_name is not None and in_content != in_name:
        raise UnreadError(f"its content says {what} {in_content}, its name {in_name}")
    return _first(in_content, in_name)


def _first(*found: int | None) -> int | None:
    """Return the first that is there; 0 is."""
    return next((number for number in found if number is not None), None)


def _whole(value: Any) -> int | None:
    """Return a count, or None for whatever is no count."""
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST
    return value if known else None


def _shots(document: Mapping[str, Any], task: str, name: Path) -> int:
    """Return the examples before each question; null where nothing else is said means none."""
    said = _said_shots(document, task, frozenset())
    numbers = sorted({shots or 0 for shots in said})
    if len(numbers) > 1:
        several = ", ".join(map(str, numbers[:-1]))
        raise UnreadError(f"a group of tasks with {several} and {numbers[-1]} shots")
    in_content = _first(*said)
    found = _agreed("number of shots", in_content, shots_in(name))
    if found is None and not said:
        raise UnreadError("neither its content nor its name says the number of shots")
    return found or 0


def _said_shots(document: Mapping[str, Any], task: str, above: frozenset[str]) -> set[int | None]:
    """Return what content says of a task's shots: by its own entry, its subtasks, or for all."""
    config, by_task = document.get("config"), []
    for place in (document.get("n-shot"), document.get("configs")):
        if isinstance(place, dict) and task in place:
            entry = place[task]
            by_task.append(entry.get("num_fewshot") if isinstance(entry, dict) else entry)
    own = _first(*map(_whole, by_task))
    if own is not None:
        return {own}
    groups = document.get("group_subtasks")
    subtasks = groups.get(task) if isinstance(groups, dict) else None
    of_group: set[int | None] = set()
    for subtask in subtasks if isinstance(subtasks, list) else []:
        if isinstance(subtask, str) and subtask not in above:
            of_group |= _said_shots(document, subtask, above | {task})
    if of_group:
        return of_group
    if isinstance(config, dict) and "num_fewshot" in config:
        by_task.append(config["num_fewshot"])
    if "table_results" in document:
        by_task.append(0)  # prompted tasks were evaluated without examples, and some files omit it
    found = _first(*map(_whole, by_task))
    return {found} if found is not None else {None} if None in by_task else set()


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
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _higher_is_better(document: Mapping[str, Any], task: str, metric: str) -> bool:
    said = document.get("higher_is_better")
    for key in (task, metric.partition(",")[0]):
        said = said.get(key) if isinstance(said, dict) else None
    if isinstance(said, bool):
        return said
    return not any(word in metric for word in _LOWER_IS_BETTER)
