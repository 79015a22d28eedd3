"""Charts of a comparison that readers can ask: shares by size, copies seen, and all others."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from memtrace.comparison.combinations_chart import combinations_chart
from memtrace.comparison.deduplication.copies import Seen
from memtrace.comparison.deduplication.result import Deduplication, TwinStep
from memtrace.comparison.pair_charts import overlap_chart, precision_chart, recall_chart
from memtrace.comparison.profile.charts import course_chart, effect_chart
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.training_charts import both_chart, difference_chart, pairs_chart
from memtrace.report.charts import MOST_ROWS, data, specification
from memtrace.report.numbers import interval, percent

if TYPE_CHECKING:
    import altair

Rows = list[dict[str, Any]]

POINTS = 20
"""Of a drawn line; fewer where there are very many lines."""


def scale_chart(found: ComparisonResult) -> dict[str, Any]:
    """Return the chart of the share of texts against parameters; the reader chooses the step."""
    import altair

    rows = _scale_rows(found)
    choice = _choice(rows)
    base, lines = _at_step(rows, choice), _at_step(_line_rows(found), choice)
    sizes = [row["parameters"] for row in rows]
    right = max(2.2, (max(sizes) / min(sizes)) ** 0.3)  # room for the last name
    x_scale = _log_scale(min(sizes) / 1.3, max(sizes) * right)
    heights = min(row["low"] for row in rows) / 1.2, max(row["high"] for row in rows) * 1.2
    y_scale, title = _log_scale(*heights), f"share of the texts {found.of_texts}"
    x = altair.X("parameters:Q", scale=x_scale, axis=_size_axis())
    axis = altair.Axis(format=".2~%", values=_ticks(*heights))
    y = altair.Y("share:Q", title=title, axis=axis, scale=y_scale)
    low = altair.Y("low:Q", title=title, axis=axis, scale=y_scale)
    told = [
        altair.Tooltip("model:N"),
        altair.Tooltip("parameters:Q", format=","),
        altair.Tooltip("count:N", title="texts memorized"),
        altair.Tooltip("interval:N", title="share, 95% by counts"),
    ]
    layers = [
        lines.mark_area(opacity=0.4, clip=True).encode(x=x, y=low, y2="high:Q", detail="line:N"),
        lines.mark_line(strokeWidth=1, strokeDash=[4, 3]).encode(x=x, y=y, detail="line:N"),
        base.mark_rule().encode(x=x, y=low, y2="high:Q"),
        base.mark_point(size=70).encode(x=x, y=y, tooltip=told),
        base.mark_text(align="left", dx=7, dy=10).encode(x=x, y=y, text="model:N"),
    ]
    return specification(altair.layer(*layers).add_params(*choice))


def copies_chart(one: Deduplication) -> dict[str, Any]:
    """Return the chart of shares by copies seen; the reader chooses the step."""
    import altair

    rows = [row for step in one.steps for row in _copies_rows(one, step)]
    choice = _choice(rows)
    base = _at_step(rows, choice)
    strata = list(dict.fromkeys(row["copies"] for row in rows))
    x = altair.X("copies:N", title="copies seen", sort=strata, axis=_short_axis())
    within = altair.Scale(domain=[0, min(1, 1.1 * max(row["high"] for row in rows))])
    axis, share = altair.Axis(format=".2~%"), "share of these texts"
    y = altair.Y("share:Q", title=share, axis=axis, scale=within)
    low = altair.Y("low:Q", title=share, axis=axis, scale=within)
    models = list(dict.fromkeys(row["model"] for row in rows))
    legend = altair.Legend(orient="top", title=None)
    colour = altair.Color("model:N", scale=altair.Scale(domain=models), legend=legend)
    beside = altair.XOffset("model:N", sort=models)
    told = [
        altair.Tooltip("model:N"),
        altair.Tooltip("copies:N", title="copies seen"),
        altair.Tooltip("count:N", title="texts memorized"),
        altair.Tooltip("interval:N", title="share, exact 95%"),
    ]
    base = base.encode(x=x, xOffset=beside, color=colour)
    whiskers = base.mark_rule(strokeWidth=2).encode(y=low, y2="high:Q")
    points = base.mark_point(size=70).encode(y=y, tooltip=told)
    return specification(altair.layer(whiskers, points).add_params(*choice))


CHARTS: dict[str, Callable[[ComparisonResult], dict[str, Any] | None]] = {
    "scale": scale_chart,
    "precision": precision_chart,
    "recall": recall_chart,
    "overlap": overlap_chart,
    "combinations": combinations_chart,
    "deduplication": lambda found: copies_chart(found.deduplication[-1]),
    "both-corpora": lambda found: both_chart(found.deduplication),
    "pairs": lambda found: pairs_chart(found.paired),
    "pairs-over-training": lambda found: difference_chart(found.paired),
    "profile": lambda found: effect_chart(found.drawn_profile),
    "time-since-training": lambda found: course_chart(found.drawn_profile),
}
"""Figure -> the chart that takes its place where charts can be drawn, and it is not too large."""


def _size_axis() -> "altair.Axis":
    import altair

    return altair.Axis(tickCount=4, labelExpr="replace(format(datum.value, '.2~s'), 'G', 'B')")


def _short_axis() -> "altair.Axis":
    import altair

    return altair.Axis(labelAngle=0, labelExpr="replace(datum.label, ' times', '')")


def _choice(rows: Rows) -> "list[altair.Parameter]":
    """Return what chooses the step, the last at first; nothing where there is one step."""
    import altair

    steps = sorted({row["step"] for row in rows})
    named = [f"{step:,}" for step in steps]
    bound = altair.binding_select(options=steps, labels=named, name="Step: ")
    return [altair.param(name="step", value=steps[-1], bind=bound)] if len(steps) > 1 else []


def _at_step(rows: Rows, choice: "Sequence[altair.Parameter]") -> "altair.Chart":
    """Return a chart of the rows of the chosen step."""
    import altair

    base = altair.Chart(data(rows))
    return base.transform_filter("datum.step == step") if choice else base


def _log_scale(low: float, high: float) -> "altair.Scale":
    import altair

    return altair.Scale(type="log", domain=[low, high], nice=False)


def _ticks(low: float, high: float) -> list[float]:
    """Return 1 and 3 times the powers of ten within, or 1 to 9 times where these are too few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 3), range(1, 10)):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        within = [tick for tick in ticks if low <= tick <= high]
        if len(within) > 1:
            break
    return within


def _scale_rows(found: ComparisonResult) -> Rows:
    """Return the runs that have a place on log axes, of the steps with two sizes or more."""
    rows, sizes = [], dict[int, set[int]]()
    for point in found.points:
        run, seen = found.runs[point.run], point.exposed
        if run.parameters and seen.texts:
            sizes.setdefault(run.step, set()).add(run.parameters)
            rows.append(
                {
                    "model": run.model,
                    "step": run.step,
                    "parameters": run.parameters,
                    "count": f"{seen.texts:,} of {seen.of_texts:,}",
                    **_share(seen.share.value, seen.share.ci95),
                }
            )
    return [row for row in rows if len(sizes[row["step"]]) > 1]


def _line_rows(found: ComparisonResult) -> Rows:
    """Return points of each line, with the band in which another model would lie, if known."""
    rows = []
    points = max(2, min(POINTS, MOST_ROWS // (len(found.lines) or 1)))
    for place, one in enumerate(found.lines):
        if one.exposure != "exposed" or one.line is None:
            continue
        sizes = [found.runs[run].parameters or 0 for run in one.runs]
        ends = math.log(min(sizes)), math.log(max(sizes))
        for at in range(points):
            x = math.exp(ends[0] + (ends[1] - ends[0]) * at / (points - 1))
            share, band = one.line.predict(x)
            low, high = band if one.line.degrees > 1 else (share, share)
            step = found.runs[one.runs[0]].step
            value = {"parameters": x, "share": share, "low": low, "high": high}
            rows.append({"line": f"line {place}", "step": step, **value})
    return rows


def _copies_rows(one: Deduplication, step: TwinStep) -> Rows:
    rows = []
    for copies, shares in step.by_copies.items():
        sides: dict[str, Seen] = {
            one.standard: shares.standard,
            one.deduplicated: shares.deduplicated,
        }
        rows += [
            {
                "model": model.rpartition("/")[2],
                "step": step.step,
                "copies": copies,
                "count": f"{seen.memorized:,} of {seen.texts:,}",
                **_share(seen.share.value, seen.share.ci95),
            }
            for model, seen in sides.items()
            if seen.texts
        ]
    return rows


def _share(value: float, ends: tuple[float, float]) -> dict[str, Any]:
    said = f"{percent(value)}, {interval(ends, percent)}"
    return {"share": value, "low": ends[0], "high": ends[1], "interval": said}
