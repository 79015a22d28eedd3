"""What the names of models, revisions, files and folders say: model, run, step, shots.

It reads strings only; what the files hold is read by `harness`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from memtrace.manifests import ModelManifest, Suite, load_suites

_STEP = re.compile(r"(?:step|checkpoint|ckpt|iter)[-_]?0*(\d+)(?!\d|[.]\d)", re.IGNORECASE)
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

    parameters: int
    last_step: int
    tokens_per_step: int


def model_of(pretrained: str) -> Named:
    """Return model and run of a repository or folder, such as `EleutherAI/pythia-v1.1-70m`.

    An intervened model has the word `intervention` in its name, and `long` or `longer` if the
    intervention was the longer one. A last folder that only names a step is passed over.
    """
    parts = [part for part in pretrained.split("/") if part not in ("", ".")]
    while len(parts) > 1 and _STEP.fullmatch(parts[-1]):
        parts.pop()
    words = (parts[-1] if parts else pretrained).split("-")
    run = "standard"
    if "intervention" in words:
        run = "intervention-long" if {"long", "longer"} & set(words) else "intervention"
        words = [word for word in words if word not in ("intervention", "long", "longer")]
    if words[0] == "pythia" and len(words) > 1:
        words = [word for word in words[1:] if not _VERSION.fullmatch(word)]
    return Named("-".join(words), run)


def step_in(text: str) -> int | None:
    """Return the step that a text names last: 1000 in `step1000` or `70m_step1000.json`."""
    found = _STEP.findall(text)
    return int(found[-1]) if found else None


def shots_in(path: PurePath) -> int | None:
    """Return the examples before each question that a path names: 5 in `five-shot/x.json`."""
    found = _SHOTS.findall(path.as_posix())
    if not found:
        return None
    word = found[-1].lower()
    return int(word) if word.isdigit() else _NUMBERS[word]


def model_in(path: PurePath, otherwise: str) -> Named:
    """Return model and run by a file's name: `1.4b-deduped` in `1.4b-deduped-5shot_step1000.json`.

    Args:
        path: Of the file.
        otherwise: A configuration file's name, such as `1.4B-deduped.yml`, for results without a
            model in their name.
    """
    stem = path.stem if not path.stem.startswith(("eval_results", "results")) else ""
    # What follows the step, and other words that tell of the evaluation, are no part of the model.
    stem = re.split(r"[-_](?:global_?)?step[-_]?\d", stem)[0].partition("_")[0] or (
        otherwise.removesuffix(".yml").lower()
    )
    named = model_of(_SHOTS.sub("", stem).strip("-").removeprefix("baseline-"))
    return Named(named.model.removesuffix("-long"), named.run)


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


def trainings_of(models: Iterable[str]) -> dict[str, Training | None]:
    """Return what the manifests say of each model, under its present name, or None."""
    known = {model.name: (suite, model) for suite in load_suites() for model in suite.models}
    found: dict[str, Training | None] = {}
    for name in models:
        size, family = size_and_family(name)
        present = "-".join(filter(None, (_RENAMED.get(size, size), family)))
        found[name] = _training(*known[present]) if present in known else None
    return found


def _training(suite: Suite, model: ModelManifest) -> Training:
    rows = suite.corpora[model.corpus].row_tokens if model.corpus else 1
    # A row holds one token more than the model is trained on: the last label.
    tokens = suite.sequences_per_step * (rows - 1)
    return Training(model.parameters, suite.last_step, tokens)
