"""A manifest of one's own run, from a folder of checkpoints and a corpus."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from memtrace.corpus import Corpus, open_corpus
from memtrace.engine import Rules
from memtrace.errors import CorpusError, ManifestError, MemtraceError, ModelError
from memtrace.manifests import Suite
from memtrace.manifests.lookup import OWN
from memtrace.manifests.schedule import SequencesPerStep, largest_step, rows_before
from memtrace.manifests.schema import FilePattern, problems
from memtrace.models.checkpoints import STEP, checkpoint_template, find_steps
from memtrace.models.shape import Shape, read_shape
from memtrace.scanning.checks import CHECKED_SEQUENCES, check_fit
from memtrace.storage.address import public_address
from memtrace.types import Int64Array

_SHARD = re.compile(r"(?P<prefix>.+)-(?P<number>[0-9]+)-of-(?P<last>[0-9]+)\.bin")
T = TypeVar("T")


@dataclass(frozen=True)
class Draft:
    """A manifest, and what was found on the way."""

    text: str
    """The file, in YAML."""
    suite: str
    """Name of the suite and of its model."""
    steps: tuple[int, ...]
    shape: Shape
    corpus: Corpus
    exposed_rows: int
    """Rows that the last checkpoint has seen."""
    unknown: tuple[str, ...]
    """What no file tells: a sentence each, to be checked by hand."""


def draft_manifest(
    checkpoints: str,
    *,
    corpus: str | Path | None,
    sequences_per_step: int | None = None,
    name: str | None = None,
    output: str | Path = OWN,
) -> Draft:
    """Find out what a manifest has to say; nothing is written.

    Args:
        checkpoints: Path of the checkpoints, in which `{step}` stands for the step; or the folder
            of a trainer that holds `checkpoint-N`.
        corpus: The token rows, in the order of training, on this machine.
        sequences_per_step: Rows that a step consumes; not needed where a corpus file tells.
        name: Name of suite and model; by default that of the folder above the steps.
        output: Where the manifest will lie: its paths are relative to that.

    Raises:
        ManifestError: Something is missing or contradicts itself; the message lists all of it.
    """
    wrong: list[str] = []

    def attempt(work: Callable[[], T]) -> T | None:
        try:
            return work()
        except MemtraceError as error:
            wrong.append(str(error))
            return None

    steps = attempt(lambda: find_steps(checkpoint_template(checkpoints)))
    shape = attempt(lambda: _one_shape(steps)) if steps else None
    opened = attempt(lambda: _open_local(corpus))
    batch = attempt(lambda: _batch(opened, sequences_per_step))
    if steps and shape and opened:
        last = steps[max(steps)]
        spread = _spread(opened)
        attempt(lambda: check_fit(opened, Rules(), spread, last))
    if Path(output).exists():
        wrong.append(f"{output} is there already: choose another --output")
    if wrong or steps is None or shape is None or opened is None or batch is None:
        raise ManifestError("; ".join(dict.fromkeys(wrong)))
    template = checkpoint_template(checkpoints)
    chosen = name or _name(template)
    exposed = rows_before(batch, max(steps))
    text = _write(
        chosen, template, steps, shape, opened, _place(Path(str(corpus))), batch, Path(output)
    )
    try:
        Suite.model_validate(yaml.safe_load(text))
    except ValidationError as error:  # such as a name that is none
        raise ManifestError(problems(error)) from None
    return Draft(
        text=text,
        suite=chosen,
        steps=tuple(steps),
        shape=shape,
        corpus=opened,
        exposed_rows=min(exposed, len(opened)),
        unknown=_unknown(shape, opened, steps, batch),
    )


def _one_shape(steps: dict[int, Path]) -> Shape:
    """Return the shape that all checkpoints have."""
    shapes, wrong = {}, []
    for step, folder in steps.items():
        try:
            shapes[step] = read_shape(folder)
        except ModelError as error:
            wrong.append(str(error))
    if wrong:
        raise ModelError("; ".join(wrong))
    first = min(shapes)
    for step, shape in shapes.items():
        if replace(shape, dtype=None) != replace(shapes[first], dtype=None):
            raise ModelError(
                f"{steps[step]} has another shape than {steps[first]}: a manifest has the "
                "checkpoints of one model"
            )
    return shapes[max(shapes)]


def _open_local(corpus: str | Path | None) -> Corpus:
    if corpus is None:
        raise CorpusError("the corpus is not given: add --corpus, a path on this machine")
    if "://" in str(corpus):
        raise CorpusError(f"corpus {public_address(str(corpus))} is an address: give a local path")
    opened = open_corpus(f"./{corpus}" if not Path(corpus).is_absolute() else corpus)
    if not _is_file_name(_place(Path(corpus)).files):
        raise CorpusError(
            f"{corpus} has a name that a manifest does not take (letters, digits, '.', '_' and "
            "'-'): rename it"
        )
    return opened


def _batch(corpus: Corpus | None, given: int | None) -> SequencesPerStep:
    told = corpus.sequences_per_step if corpus else None
    if told is not None and given is not None and told != given:
        raise CorpusError(
            f"the corpus file has {told} sequences per step, --sequences-per-step says {given}: "
            "leave it out, or mend the corpus file"
        )
    if (found := told if given is None else given) is None:
        raise CorpusError(
            "the rows of a step are not given: add --sequences-per-step, the trainer's batch size "
            "over all devices and accumulation steps"
        )
    return found


def _spread(corpus: Corpus) -> Int64Array:
    count = min(CHECKED_SEQUENCES, len(corpus))
    return np.linspace(0, len(corpus) - 1, count).astype(np.int64)


@dataclass(frozen=True)
class _Place:
    """Where the files of a corpus are, as a manifest says it."""

    folder: Path
    files: str
    shards: int = 1


def _place(corpus: Path) -> _Place:
    """Return the files of a corpus that could be opened."""
    if corpus.suffix not in (".bin", ".idx") and corpus.exists():
        return _Place(corpus.parent, corpus.name)
    prefix = corpus.name.removesuffix(corpus.suffix if corpus.suffix in (".bin", ".idx") else "")
    if (corpus.parent / f"{prefix}.bin").is_file():
        return _Place(corpus.parent, f"{prefix}.bin")
    shards = [m for p in corpus.parent.iterdir() if (m := _SHARD.fullmatch(p.name))]
    own = [match for match in shards if match["prefix"] == prefix]
    width = len(own[0]["number"])
    return _Place(corpus.parent, f"{prefix}-{{shard:0{width}d}}-of-{own[0]['last']}.bin", len(own))


def _is_file_name(files: str) -> bool:
    return TypeAdapter(FilePattern).validator.isinstance_python(files)


def _name(template: str) -> str:
    """Return the name of the last folder above the step, as a name of a suite can be."""
    path = Path(template)
    place = next(i for i, part in enumerate(path.parts) if STEP in part)
    own = path.parts[place].split(STEP)[0].rstrip("-_.")
    above = Path(*path.parts[:place]).resolve().name
    usual = own.lower() in ("", "step", "checkpoint", "global_step", "iter", "ckpt")
    found = re.sub("[^A-Za-z0-9._-]", "-", above if usual else own).lstrip("._-")
    return found if found and not re.match("local(-|$)", found) else "mine"


def _write(
    name: str,
    template: str,
    steps: dict[int, Path],
    shape: Shape,
    corpus: Corpus,
    place: _Place,
    batch: SequencesPerStep,
    output: Path,
) -> str:
    beside = output.absolute().parent

    def relative(path: Path) -> str:
        return json.dumps(os.path.relpath(path.absolute(), beside))

    dtype = shape.dtype or "float32"
    return f"""\
schema: 1
suite: {json.dumps(name)}
title: {json.dumps(f"Checkpoints of {name}")}
sequences_per_step: {json.dumps(batch)}
steps: {json.dumps(list(steps))}
corpora:
  {json.dumps(f"{name}-corpus")}:
    path: {relative(place.folder)} # relative to this file
    files: {json.dumps(place.files)}
    shards: {place.shards}
    row_tokens: {corpus.row_tokens}
    dtype: {corpus.dtype.name}
    rows: {len(corpus)}
models:
  - name: {json.dumps(name)}
    path: {relative(Path(template))}
    corpus: {json.dumps(f"{name}-corpus")}
    architecture: {json.dumps(shape.architecture)}
    layers: {shape.layers}
    width: {shape.width}
    heads: {shape.heads}
    vocab_size: {shape.vocab_size}
    parameters: {shape.parameters}
    dtype: {dtype} # {"of the weights as they are stored" if shape.dtype else "not known"}
"""


def _unknown(
    shape: Shape, corpus: Corpus, steps: dict[int, Path], batch: SequencesPerStep
) -> tuple[str, ...]:
    """Return what no file tells, in sentences."""
    stored = f"; its weights are stored in {shape.dtype}" if shape.dtype else ""
    found = [f"in which precision it was trained{stored} (dtype)"]
    if corpus.sequences_per_step is None:
        found.append(
            "whether the rows lie in the order of training; they are taken as they lie in "
            f"{corpus.name}"
        )
        found.append(f"whether every step consumed {largest_step(batch):,} of them, from row 0 on")
    if (asked := rows_before(batch, max(steps))) > len(corpus):
        found.append(
            f"what step {max(steps):,} saw after the {len(corpus):,} rows of the corpus: its steps "
            f"take {asked:,} rows"
        )
    return tuple(found)
