"""Near-copies: texts that share a continuation after different prompts, and what they change.

Their results hang together, so statistics take the texts of one passage as one unit.
"""

from dataclasses import dataclass

import numpy as np

from memtrace.runs.memorized import Events
from memtrace.texts.exposure import ExposureClasses
from memtrace.texts.groups import Texts


@dataclass(frozen=True)
class NearCounts:
    """The texts of a corpus that share a continuation, and those that a checkpoint memorized."""

    texts: int
    """Texts that share their continuation with another one."""
    passages: int
    """Different continuations of these."""
    memorized_texts: int
    """Those of which an exposed sequence is memorized."""
    memorized_passages: int
    unexposed: int
    """Scanned sequences whose text was not exposed, but a near-copy of it was."""
    unexposed_memorized: int


def count_near(
    texts: Texts,
    events: Events,
    exposed_rows: int,
    classes: ExposureClasses,
    merged: ExposureClasses,
) -> NearCounts:
    """Count near-copies.

    Args:
        texts: The texts of the corpus.
        events: The memorized sequences of a checkpoint and what was scanned.
        exposed_rows: Rows that it had been exposed to.
        classes: What `count_classes` returns of these.
        merged: What it returns with near-copies as one text.
    """
    near = texts.near
    if not len(near.texts):
        return NearCounts(0, 0, 0, 0, 0, 0)
    rows = events.sequence_index[events.sequence_index < exposed_rows]
    names = texts.names_of(rows)
    memorized = np.unique(names[np.isin(names, near.texts)])
    return NearCounts(
        texts=len(near.texts),
        passages=len(np.unique(near.passages)),
        memorized_texts=len(memorized),
        memorized_passages=len(np.unique(near.passages_of(memorized))),
        unexposed=classes.unexposed.exposure - merged.unexposed.exposure,
        unexposed_memorized=classes.unexposed.events - merged.unexposed.events,
    )
