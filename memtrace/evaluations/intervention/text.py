"""Interventions as they are printed: bias first, then what it cost."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from memtrace.evaluations.intervention.measures import is_shown, run_name, short_name
from memtrace.evaluations.intervention.result import BIAS_METRICS, Comparison, InterventionResult
from memtrace.evaluations.intervention.verdict import runs_told, verdict
from memtrace.evaluations.populations import short_names
from memtrace.evaluations.text import files_table
from memtrace.report.numbers import DASH, count, interval, number, p_value, signed
from memtrace.report.text import Columns, columns, sections

if TYPE_CHECKING:
    from rich.console import RenderableType

NAMES = (
    "measure", "model", "run", "before", "after", "change", "95% interval", "again", "sign", "Holm",
    "BY",
)  # fmt: skip
LISTED = 8
"""Measures without a baseline that are named; the document names all."""


def text(result: InterventionResult) -> "RenderableType":
    """Return the verdict and the tables."""
    bias = [one for one in result.comparisons if one.kind == "bias"]
    cost = [one for one in result.comparisons if one.kind == "cost"]
    shown = [one for one in bias if is_shown(one)]
    names = short_names(one.model for one in result.comparisons)
    blocks: list[tuple[str, RenderableType]] = []
    if shown:
        left = f"; {len(bias) - len(shown)} more in --json" if len(shown) < len(bias) else ""
        blocks.append(
            (f"Bias, intervened minus baseline, last checkpoint{left}", _table(shown, names))
        )
    if cost:
        title = "Cost, intervened minus baseline, last checkpoint (perplexity: ratio)"
        blocks.append((title, _table(cost, names)))
    blocks.append(("Read with care", _note(len(bias), len(cost), names)))
    if result.unpaired:
        heading = f"No baseline for {count(len(result.unpaired), 'measure')}"
        blocks.append((heading, _unpaired(result)))
    blocks.append(("Evaluations", files_table(result.evaluations)))
    source = runs_told(result.comparisons)
    return sections("Intervention against baseline", verdict(result), blocks, source=source)


def _note(bias: int, cost: int, names: Mapping[str, str]) -> str:
    left_out = any(name != short for name, short in names.items())
    return (
        "Both runs answer the same questions: intervals from independent errors are too wide, not "
        "too narrow.\nagain: what a second evaluation of the same baseline changed. sign: "
        "checkpoints at which the difference\nhas the sign of the last. Holm and BY: adjusted for "
        f"{count(bias, 'measure')} of bias, {cost} of cost."
        + ("\nmodel: all are deduped, which their names here leave out." if left_out else "")
    )


def _unpaired(result: InterventionResult) -> str:
    more = len(result.unpaired) - LISTED
    rest = [f"and {more} more (all in --json)"] if more > 0 else []
    return "\n".join([*result.unpaired[:LISTED], *rest])


def _table(comparisons: list[Comparison], names: Mapping[str, str]) -> Columns:
    rows: list[tuple[str, ...]] = []
    previous = ""
    for one in comparisons:
        name = short_name(one)
        cells = row(one)[2:]
        rows.append(("" if name == previous else name, names[one.model], *cells))
        previous = name
    return columns(NAMES, rows, left=2)


def row(one: Comparison) -> tuple[str, ...]:
    """Return a comparison as the cells of `NAMES`."""
    last, points = one.last, one.metric in BIAS_METRICS
    unit = 100 if points else 1
    form = _points if points else _times
    return (
        short_name(one),
        one.model,
        run_name(one),
        number(unit * last.baseline, 3),
        number(unit * last.intervened, 3),
        form(last.difference) if points else f"x {form(last.difference)}",
        interval(last.ci95, form),
        DASH if one.reevaluated is None else form(one.reevaluated),
        DASH if one.same_sign is None else f"{one.same_sign}/{len(one.pairs)}",
        p_value(one.p_holm),
        p_value(one.p_by),
    )


def _points(difference: float) -> str:
    return DASH if math.isnan(difference) else signed(100 * difference)


def _times(difference: float) -> str:
    return DASH if math.isnan(difference) else f"{math.exp(difference):.3f}"
