"""Which of the memorized texts are wanted, and in which order."""

from collections.abc import Collection
from dataclasses import replace

import polars as pl

from memtrace.errors import RunError
from memtrace.texts.history import MEMORIZED
from memtrace.texts.labels import LABELS
from memtrace.texts.memorized import MemorizedTexts


def select_texts(
    found: MemorizedTexts,
    *,
    steps: Collection[int] | None = None,
    labels: Collection[str] = (),
    least_copies: int | None = None,
    most_copies: int | None = None,
    order_by: str = "text",
    descending: bool = False,
) -> MemorizedTexts:
    """Return some of the texts, in an order.

    Args:
        found: The texts.
        steps: Only those that one of these checkpoints had.
        labels: Only those that one of these labels holds of.
        least_copies: Only those with so many copies in the corpus, or more.
        most_copies: Only those with so many, or fewer.
        order_by: A column of the table; of equal ones the earlier text comes first.
        descending: The largest first; what is not known comes last in either order.

    Raises:
        RunError: There is no such column, label or checkpoint.
    """
    orderable = [name for name, kind in found.table.schema.items() if not kind.is_nested()]
    if order_by not in orderable:
        raise RunError(f"no column {order_by!r} to order by: choose one of {', '.join(orderable)}")
    if unknown := sorted(set(labels) - set(LABELS)):
        raise RunError(f"no label {unknown[0]!r}: choose one of {', '.join(LABELS)}")
    table = found.table
    if steps is not None:
        places = [place for place, step in enumerate(found.steps) if step in steps]
        if not places:
            raise RunError(f"{found.label} has no run of these steps; it has {found.steps}")
        memorized = [pl.col("history").str.slice(place, 1) == MEMORIZED for place in places]
        table = table.filter(pl.any_horizontal(memorized))
    if labels:
        table = table.filter(pl.col("labels").list.set_intersection(list(labels)).list.len() > 0)
    if least_copies is not None:
        table = table.filter(pl.col("copies") >= least_copies)
    if most_copies is not None:
        table = table.filter(pl.col("copies") <= most_copies)
    keys = [order_by] if order_by == "text" else [order_by, "text"]
    ways = [descending] if order_by == "text" else [descending, False]
    return replace(found, table=table.sort(keys, descending=ways, nulls_last=True))
