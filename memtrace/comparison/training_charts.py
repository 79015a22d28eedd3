"""Charts of what training does that readers can ask: who memorized a text, and effects."""

from collections.abc import Sequence
from typing import Any

from memtrace.comparison.deduplication.result import Deduplication
from memtrace.comparison.paired.figures import MOST
from memtrace.comparison.paired.result import PairedModels
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.paired.text import short_name
from memtrace.report.charts import apart, data, end_names, specification, step_axis
from memtrace.report.numbers import interval, percent

Rows = list[dict[str, Any]]

BAR = 40
"""Height of a bar and of what is around it, in CSS pixels."""
AROUND = 50
"""Height of an axis, in CSS pixels."""


def both_chart(found: Sequence[Deduplication]) -> dict[str, Any] | None:
    """Return the chart of which of the texts that both twins had seen each memorized."""
    kept = [one for one in found if one.last.matched_total is not None][-1:]
    if not kept:
        return None
    one = kept[0]
    arms = short_name(one.standard), short_name(one.deduplicated)
    rows = [
        row
        for name, table in one.last.matched.items()
        if table.texts
        for row in _who(f"{name} ({table.texts:,})", table, arms, table.texts)
    ]
    return _who_chart(rows, arms, "share of the texts", "copies seen (texts)", ".2~%")


def pairs_chart(found: Sequence[PairedModels]) -> dict[str, Any] | None:
    """Return the chart of the texts that one model alone memorized, and both, at the last step."""
    kept = [one for one in found if one.last.shares["exposed"].texts][-MOST:]
    if not kept:
        return None
    arms = ("baseline", "model")
    rows = []
    for one in kept:
        name = f"{short_name(one.model)} against {short_name(one.baseline)}"
        rows += _who(name, one.last.shares["exposed"], arms, 1)
    counted = " and ".join(sorted({one.counted for one in kept}))
    return _who_chart(rows, arms, f"{counted} memorized", None, ",d")


def difference_chart(found: Sequence[PairedModels]) -> dict[str, Any] | None:
    """Return the chart of the difference of the shares by step, a line a model."""
    import altair

    rows = _differences(found)
    if not rows:
        return None
    x = altair.X("step:Q", title="training step", scale=altair.Scale(nice=False), axis=step_axis())
    title, axis = "difference of shares", altair.Axis(format="+.2~%")

    def level(column: str) -> altair.Y:
        return altair.Y(f"{column}:Q", title=title, axis=axis)

    told = [
        altair.Tooltip("model:N"),
        altair.Tooltip("step:Q", format=","),
        altair.Tooltip("interval:N", title="difference, 95%"),
    ]
    models = list(dict.fromkeys(row["model"] for row in rows))
    colour = altair.Color("model:N", scale=altair.Scale(domain=models), legend=None)
    base = altair.Chart(data(rows)).encode(x=x)
    layers = [
        altair.Chart(data([{"none": 0}])).mark_rule(style="quiet").encode(y=level("none")),
        base.mark_rule().encode(y=level("low"), y2="high:Q", color=colour),
        base.mark_line().encode(y=level("difference"), color=colour),
        base.mark_point(size=45).encode(y=level("difference"), color=colour, tooltip=told),
        end_names(base, "step", level, "difference"),
    ]
    return specification(altair.layer(*layers))


def _who(name: str, table: PairedShares, arms: tuple[str, str], of: int) -> Rows:
    """Return the parts of a bar, one behind the other: the baseline's, those of both, the other's.

    Args:
        name: Of the bar.
        table: Its texts.
        arms: The baseline and the model.
        of: What counts are divided by.
    """
    parts = {f"{arms[0]} alone": table.baseline_only, "both": table.both}
    parts[f"{arms[1]} alone"] = table.model_only
    rows, start = [], 0
    for part, texts in parts.items():
        said = f"{texts:,} of {table.texts:,}"
        ends = {"start": start / of, "end": (start + texts) / of}
        rows.append({"bar": name, "part": part, "texts": said, **ends})
        start += texts
    return rows


def _who_chart(
    rows: Rows, arms: tuple[str, str], title: str, names: str | None, form: str
) -> dict[str, Any]:
    import altair

    bars = list(dict.fromkeys(row["bar"] for row in rows))
    parts = [*(f"{arm} alone" for arm in arms), "both"]
    split = altair.Axis(labelExpr="split(replace(datum.label, ' against ', '|against '), '|')")
    few, apart_bars = altair.ExprRef("ceil(width / 80)"), altair.Scale(paddingInner=0.35)
    ends = altair.Axis(format=form, tickCount=few, tickMinStep=1 if form == ",d" else 0)
    legend = altair.Legend(orient="top", title=None, columns=1, symbolType="square")
    chart = (
        altair.Chart(data(rows))
        .mark_bar()
        .encode(
            x=altair.X("start:Q", title=title, axis=ends),
            x2="end:Q",
            y=altair.Y("bar:N", title=names, sort=bars, axis=split, scale=apart_bars),
            color=altair.Color("part:N", scale=altair.Scale(domain=parts), legend=legend),
            tooltip=[
                altair.Tooltip("bar:N", title=names or "model"),
                altair.Tooltip("part:N", title="memorized by"),
                altair.Tooltip("texts:N", title="texts"),
            ],
        )
    )
    return specification(chart, AROUND + BAR * len(bars))


def _differences(found: Sequence[PairedModels]) -> Rows:
    """Return the difference at each step of the pairs that have two; the last has its name."""
    rows: Rows = []
    ends: Rows = []
    for one in found:
        steps = [step for step in one.steps if step.shares["exposed"].texts]
        if len(steps) < 2:
            continue
        for step in steps:
            table = step.shares["exposed"]
            low, high = table.difference_ci95
            said = f"{percent(table.difference)}, {interval((low, high), percent)}"
            middle = {"difference": table.difference, "low": low, "high": high, "interval": said}
            rows.append({"model": short_name(one.model), "step": step.step, **middle})
        ends.append(rows[-1])
    ends = ends[-MOST:]
    kept = {row["model"] for row in ends}
    rows = [row for row in rows if row["model"] in kept]
    levels = [row[side] for row in rows for side in ("low", "high")]
    spread = max(levels, default=0) - min(levels, default=0)
    for row, at in zip(ends, apart([row["difference"] for row in ends], spread), strict=True):
        row |= {"name": row["model"], "at": at}
    return rows
