"""What the names of models, revisions, files and folders say: model, run, step, shots, time."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from memtrace.manifests import ModelManifest, Suite, load_suites

# 1000, 240k, 1.5M; neither the 20 of 20B, which counts tokens, nor the 1 of 1.5.
_COUNT = r"([0-9]+(?:\.[0-9]+(?=[km]))?)([km]?)(?![a-z0-9]|\.[0-9])"
_STEP = re.compile(rf"(?:global[-_]?)?(?:step|checkpoint|ckpt|iter)[-_=]?{_COUNT}", re.IGNORECASE)
_BARE = re.compile(rf"{_COUNT}(?<=[km])", re.IGNORECASE)
_TOKENS = re.compile(
    r"(?:^|[-_/]|steps?|tokens?)[0-9]+(?:\.[0-9]+)?[bt]t?(?![a-z0-9])", re.IGNORECASE
)
_TIMES = (
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)T(?P<hour>\d\d)[-:](?P<minute>\d\d)[-:]"
    r"(?P<second>\d\d)(?:\.(?P<microsecond>\d{6}))?",
    r"(?P<month>\d\d)-(?P<day>\d\d)-(?P<year>\d{4})-(?P<hour>\d\d)-(?P<minute>\d\d)-"
    r"(?P<second>\d\d)",
)
"""In the names of the harness's and of GPT-NeoX's files."""
_UNITS = {"": 1, "k": 1000, "m": 1_000_000}
MOST = 2**53
"""Beyond it a number is no count of steps or examples."""
_SHOTS = re.compile(r"(zero|one|two|three|four|five|\d+)[-_]?shot(?!\w)", re.IGNORECASE)
_NUMBERS = {word: i for i, word in enumerate(("zero", "one", "two", "three", "four", "five"))}
_VERSION = re.compile(r"v1(\.\d+)?")
# Renamed on 20 January 2023; the numeric-reasoning tables have the old names.
_RENAMED = {
    "19m": "70m",
    "125m": "160m",
    "350m": "410m",
    "800m": "1b",
    "1.3b": "1.4b",
    "2.7b": "2.8b",
    "6.7b": "6.9b",
    "13b": "12b",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A model's short name, and which run of it this is."""

    model: str
    """Such as `1.4b-deduped`."""
    run: str
    """`standard`, `baseline`, `intervention` or `intervention-long`."""


@dataclass(frozen=True, slots=True)
class Training:
    """What the manifests say of a model and its training."""

    suite: str
    parameters: int
    last_step: int
    tokens_per_step: int
    """0 where it changes along the run."""


def model_of(pretrained: str) -> Named:
    """Return model and run of a repository or folder, such as `EleutherAI/pythia-v1.1-70m`.

    An intervened model has the word `intervention` in its name, and `long` or `longer` if the
    intervention was the longer one. A last folder that only names a step is passed over, and so is
    what follows the model in a name such as `TinyLlama-1.1B-step-50K-105b`.
    """
    parts = [part for part in pretrained.split("/") if part not in ("", ".")]
    while len(parts) > 1 and _STEP.fullmatch(parts[-1]):
        parts.pop()
    words = _before_step(parts[-1] if parts else pretrained).split("-")
    run = "standard"
    if "intervention" in words:
        run = "intervention-long" if {"long", "longer"} & set(words) else "intervention"
        words = [word for word in words if word not in ("intervention", "long", "longer")]
    if words[0] == "pythia" and len(words) > 1:
        words = [word for word in words[1:] if not _VERSION.fullmatch(word)]
    return Named("-".join(words), run)


def step_in(text: str) -> int | None:
    """Return the step that a text names last: 1000 in `step1000`, 1,500,000 in `step-1.5M-3T`."""
    found = _STEP.findall(text)
    return _count(*found[-1]) if found else None


def step_of_revision(revision: str) -> int | None:
    """Return the step that a revision names; one such as `240k` is a step by itself."""
    bare = _BARE.fullmatch(revision)
    return _count(bare[1], bare[2]) if bare else step_in(revision)


def counts_tokens(revision: str) -> bool:
    """Say whether a revision names tokens, such as `20B` or `tokens300B`: no step is known then."""
    return _TOKENS.search(revision) is not None


def time_in(name: str) -> datetime | None:
    """Return when a file was written, by its name; None where that does not say."""
    found = next(filter(None, (re.search(pattern, name) for pattern in _TIMES)), None)
    if found is None:
        return None
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    time = part["hour"], part["minute"], part["second"], part.get("microsecond", 0)
    try:
        return datetime(part["year"], part["month"], part["day"], *time)
    except ValueError:
        return None


def _count(number: str, unit: str) -> int | None:
    found = Fraction(number) * _UNITS[unit.lower()]
    return int(found) if found.denominator == 1 and found < MOST else None


def _before_step(name: str) -> str:
    """Return the part of a name before it names a step; the whole of a name that begins so."""
    step = _STEP.search(name)
    before = re.sub(r"[-_.](intermediate[-_.])?$", "", name[: step.start()] if step else "")
    return before or name


def shots_in(path: PurePath) -> int | None:
    """Return the examples before each question that a path names: 5 in `five-shot/x.json`."""
    found = _SHOTS.findall(path.as_posix())
    if not found:
        return None
    word = found[-1].lower()
    return int(word) if word.isdigit() else _NUMBERS[word]


def model_in(path: PurePath, arguments: Mapping[str, Any], suites: Sequence[Suite]) -> Named:
    """Return model and run by a file's name: `1.4b-deduped` in `1.4b-deduped-5shot_step1000.json`.

    GPT-NeoX writes `PREFIX_eval_results_TIME.json`, and the prefix is the model's name. Where the
    name has no model, the arguments may have one.

    Args:
        path: Of the file.
        arguments: The model's arguments in the file.
        suites: Of the manifests.
    """
    prefix, written, _ = path.stem.rpartition("_eval_results")
    if written:
        stem = prefix
    elif path.stem.startswith(("eval_results", "results")):
        stem = _model_in_arguments(arguments, suites)
    else:
        # What follows an underscore tells of the evaluation.
        stem = _before_step(path.stem).partition("_")[0]
    named = model_of(_SHOTS.sub("", _before_step(stem)).strip("-").removeprefix("baseline-"))
    return Named(named.model.removesuffix("-long"), named.run)


def _model_in_arguments(arguments: Mapping[str, Any], suites: Sequence[Suite]) -> str:
    """Return what GPT-NeoX's arguments call the model; empty if nothing.

    It is the prefix of the results, or the configuration file if it is named after a known model,
    or the folder that the weights were loaded from: many runs may share a configuration file.
    """
    prefix, load = (str(arguments.get(key) or "") for key in ("eval_results_prefix", "load"))
    files = arguments.get("config_files")
    file = str(next(iter(files), "")) if isinstance(files, dict) else ""
    configured = file.removesuffix(".yml").lower()
    known = trainings_of([configured.removesuffix("-long")], suites)
    return prefix or (configured if any(known.values()) else load or configured)


def run_in(path: PurePath) -> str:
    """Return which run a path names; `standard` if it names none."""
    text = path.as_posix()
    if any(part.startswith("baseline") for part in path.parts):
        return "baseline"
    if "intervene_21" in text:
        return "intervention-long"
    return "intervention" if "intervene_7" in text else "standard"


def is_first_release(model: str, path: PurePath, saved: object) -> bool:
    """Say whether results are of Pythia's first release (v0): other models under the same names.

    Args:
        model: Its short name.
        path: Of the file.
        saved: The steps at which GPT-NeoX saved checkpoints: the first release has none before 500.
    """
    if size_and_family(model)[0] not in {*_RENAMED, *_RENAMED.values()}:
        return False
    return "pythia-v0" in path.parts or (isinstance(saved, list) and 1 not in saved)


def size_and_family(model: str) -> tuple[str, str]:
    """Return the first word of a name and the rest: `1.4b` and `deduped`."""
    size, _, family = model.partition("-")
    return size, family


def trainings_of(
    models: Iterable[str], suites: Sequence[Suite] | None = None
) -> dict[str, Training | None]:
    """Return what the manifests say of each model, under its present name, or None."""
    every = load_suites() if suites is None else suites
    known = {model.name: (suite, model) for suite in every for model in suite.models}
    found: dict[str, Training | None] = {}
    for name in models:
        size, family = size_and_family(name)
        present = "-".join(filter(None, (_RENAMED.get(size, size), family)))
        found[name] = _training(*known[present]) if present in known else None
    return found


def last_step_of(repository: str, suites: Sequence[Suite]) -> int | None:
    """Return the step that the branch `main` of a known model's repository on the Hub holds.

    It is the last one of the suite.
    """
    for suite in suites:
        if any((model.hub or "").lower() == repository.lower() for model in suite.models):
            return suite.last_step
    return None


def _training(suite: Suite, model: ModelManifest) -> Training:
    rows = suite.corpora[model.corpus].row_tokens if model.corpus else 1
    # A row holds one token more than the model is trained on: the last label.
    per_step = suite.sequences_per_step
    tokens = per_step * (rows - 1) if isinstance(per_step, int) else 0
    return Training(suite.suite, model.parameters, suite.last_step, tokens)
