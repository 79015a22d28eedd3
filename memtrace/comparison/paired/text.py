"""Pairs of models as they are printed."""

import math
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

from memtrace.comparison.paired.document import ONE_CHECKPOINT
from memtrace.comparison.paired.mean_difference import MeanDifference
from memtrace.comparison.paired.result import PairedModels, PairedStep
from memtrace.comparison.paired.shares import PairedShares
from memtrace.report.numbers import DASH, count, interval, number, p_text, p_value, percent, ratio
from memtrace.report.text import columns, named_values
from memtrace.texts.exposure import CLASSES
from memtrace.types import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

Blocks = list[tuple[str, "RenderableType"]]
CLASS_NAMES = dict(zip(CLASSES, ("exposed", "copy exposed", "unexposed"), strict=True))
MOST = 6
"""Pairs printed; the JSON has all."""
MOST_STEPS = 12
"""Checkpoints printed; the JSON has all."""
WIDTH = 32
COLUMNS = ("of", "both", "baseline only", "model only", "points", "95%", "McNemar p")


def paired_blocks(found: Sequence[PairedModels], caveat: str = "") -> Blocks:
    """Return a heading, with a caveat, and a table for each pair, and what else is known of it."""
    blocks: Blocks = []
    for one in found[:MOST]:
        model, baseline = names_of(one)
        title = f"{model} against its baseline {baseline}"
        blocks.append((f"{title}: {one.unit}s memorized{caveat}", _table(one)))
        blocks.append((f"{title}: over training and in likelihoods", _rest(one)))
    return [*blocks, *left_out(found[MOST:], "pair")]


def left_out(rest: Sized, what: str) -> Blocks:
    """Say how many are in the JSON alone, if any."""
    left = len(rest)
    return [(f"{count(left, f'more {what}')}: --json", "")] if left else []


def paired_sentence(one: PairedModels) -> str:
    """Say how much of the exposed texts a model and its baseline have memorized."""
    table, (model, baseline) = one.last.shares["exposed"], names_of(one)
    where = f"at step {one.last.step:,}"
    known = one.last.is_order_known
    if not table.texts:
        of = f"exposed {one.unit}" if known else one.unit
        return f"No {of} was scanned by both {model} and {baseline} {where}"
    n = table.texts
    of = count(n, f"exposed {one.unit}") if known else f"{count(n, one.unit)} that both scanned"
    ends = f"{points(table.difference)}, 95% {between(table.difference_ci95)}"
    return (
        f"Of {of} {model} has memorized "
        f"{percent(table.model_share)} {where} and its baseline {baseline} "
        f"{percent(table.baseline_share)} ({ends}; {p_text(table.p_value)})"
    )


def names_of(one: PairedModels) -> tuple[str, str]:
    """Return the names of model and baseline, without suites where they differ without."""
    model, baseline = short_name(one.model), short_name(one.baseline)
    return (model, baseline) if model != baseline else (one.model, one.baseline)


def short_name(name: str) -> str:
    """Return the name of a model without its suite."""
    return name.rpartition("/")[2]


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    if math.isnan(difference):
        return DASH
    text = number(100 * difference, 3)
    return f"{'+' if difference > 0 and text[0].isdigit() else ''}{text} points"


def between(ends: Interval) -> str:
    """Return an interval of such a difference, without the word."""
    return interval(ends, lambda end: points(end).removesuffix(" points"))


def _table(one: PairedModels) -> "RenderableType":
    every = max(1, math.ceil(len(one.steps) / MOST_STEPS))
    rows = shares_rows(one.steps[::-1][::every][::-1])
    return columns(("step", f"{one.unit}s", *COLUMNS), rows, left=2)


def shares_rows(steps: Sequence[PairedStep]) -> list[tuple[str, ...]]:
    """Return step, class of exposure and the `COLUMNS` of each class that has texts."""
    return [
        (f"{step.step:,}", _class_name(step, name), *_cells(step.shares[name]))
        for step in steps
        for name in CLASSES
        if step.shares[name].texts
    ]


def _class_name(step: PairedStep, name: str) -> str:
    return CLASS_NAMES[name] if step.is_order_known else "scanned"


def _cells(table: PairedShares) -> tuple[str, ...]:
    counts = (table.texts, table.both, table.baseline_only, table.model_only)
    return (
        *(f"{n:,}" for n in counts),
        points(table.difference).removesuffix(" points"),
        between(table.difference_ci95),
        p_value(table.p_value),
    )


def _rest(one: PairedModels) -> "RenderableType":
    rows = [("hazard of emergence", _hazard(one)), *_first(one)]
    rows += _likelihoods(one.last, one.unit)
    return named_values(rows, WIDTH)


def _hazard(one: PairedModels) -> str:
    found = one.hazard_ratio
    if found is None or found.reason:
        return f"not known: {ONE_CHECKPOINT if found is None else found.reason}"
    ends = interval(found.ci95, ratio)
    return f"x {ratio(found.ratio)}  95% {ends}  {p_text(found.p_value)}"


def _first(one: PairedModels) -> list[tuple[str, str]]:
    found = one.hazard_ratio
    if found is None or not sum(found.first):
        return []
    said = f"{found.first[1]:,} of {count(sum(found.first), one.unit)}"
    return [("emerged in the model first", f"{said}  {p_text(found.first_p_value)}")]


def _likelihoods(step: PairedStep, unit: str) -> list[tuple[str, str]]:
    found = step.likelihoods
    name = "log-likelihood, step"
    if found.reason:
        return [(f"{name} {step.step:,}", f"not known: {found.reason}")]
    kept = {_class_name(step, key): one for key, one in found.by_class.items() if one.texts}
    rows = [(f"{name} {step.step:,}, {key}", _nats(one, unit)) for key, one in kept.items()]
    exposed, unexposed = found.by_class["exposed"], found.by_class["unexposed"]
    nats, ends = exposed.minus(unexposed)
    if not math.isnan(ends[0]):
        rows.append(
            ("exposed minus unexposed", f"{signed(nats)} nats  95% {interval(ends, signed)}")
        )
    return rows


def _nats(one: MeanDifference, unit: str) -> str:
    texts = count(one.texts, unit)
    if one.reason:
        return f"{signed(one.mean)} nats of {texts}, no interval: {one.reason}"
    return f"{signed(one.mean)} nats  95% {interval(one.ci95, signed)}  of {texts}"


def signed(value: float) -> str:
    """Return a number with its sign."""
    text = number(value, 3)
    return f"+{text}" if value > 0 and text[0].isdigit() else text
