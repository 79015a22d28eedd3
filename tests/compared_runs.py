"""Runs of simulated suites as a comparison sees them, without a file."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from builders import configuration

from memtrace.comparison.facts import ModelFacts, seed_of
from memtrace.comparison.runs import ComparedRun
from memtrace.runs.memorized import Events, ranges_of
from memtrace.runs.run import Run
from memtrace.texts.groups import Texts


def compared_run(
    memorized,
    scanned,
    *,
    model: str = "a",
    step: int = 1,
    exposed_rows: int = 60,
    rows: int = 100,
    texts: Texts | None = None,
    parameters: int | None = 1,
    corpus: str = "c",
    hashes=None,
    **changes,
) -> ComparedRun:
    """Return a run that scanned some rows and found some of them memorized.

    Args:
        hashes: Of the texts of all rows, where no table tells copies.
        changes: Of the configuration.
    """
    found = configuration(
        model=model,
        step=step,
        exposed_rows=exposed_rows,
        corpus_rows=rows,
        stop=rows,
        corpus_digest=corpus,
        **changes,
    )
    index = np.array(sorted(set(memorized) & set(scanned)), np.int64)
    labels = None if hashes is None else hashes[index]
    events = Events(index, ranges_of(np.array(sorted(scanned), np.int64)), labels)
    facts = ModelFacts(parameters, None, seed_of(model))
    run = Run(Path("nowhere"), {"configuration": asdict(found)})
    known = texts, None if texts else "unknown"
    return ComparedRun.of(run, facts, corpus, lambda: events, known)


def same_step(texts, names, sizes, rows=600) -> list[ComparedRun]:
    """Return runs at one step that scanned everything and memorized these rows."""
    return [
        compared_run(hit, range(rows), model=name, parameters=size, rows=rows, exposed_rows=rows)
        for hit, name, size in zip(texts, names, sizes, strict=True)
    ]
