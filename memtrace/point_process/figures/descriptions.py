"""What each figure shows in general, its caption, and what is seen in it, its alternative text."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from memtrace.point_process.diagnostics.window_counts import qq_points
from memtrace.point_process.figures.training import rate_top
from memtrace.point_process.order import UNDERPOWERED
from memtrace.point_process.result import SIGNIFICANT, PoissonResult
from memtrace.point_process.several import comparison
from memtrace.point_process.texts.text import effect_text
from memtrace.point_process.verdict import interval_text
from memtrace.report.numbers import count, interval, number, percent

CAPTIONS = {
    "rate": "Rate along training, in equal parts; the dashed line is its mean.",
    "cumulative": "Share of the events so far minus the share of the sequences so far. 95% of "
    "random orders stay inside the band everywhere.",
    "fano": "In random order the variance over the mean is 1 - p at every length. A drift makes it "
    "grow with the length; shocks to whole steps raise it from one step on.",
    "residuals": "What the best model does not explain, in standard normal scores; 95% of fitting "
    "models stay inside the dashed lines everywhere.",
    "rootogram": "How many windows hold so many events, hung from what random order expects.",
    "qq": "The figure of the Pythia paper. It sorts the windows first, so it cannot see in which "
    "order they came: a drift shows only by what it adds to their variance.",
    "texts": "A text is memorized or not, with all its copies, so the text is what can vary: the "
    "rows that it fills say how often it was copied. Near-copies count as one text.",
    "control": "Which copies were exposed is random, so unexposed texts are a control group, but "
    "of texts of equal count only: of those with many copies nearly all are exposed. Sequences of "
    "which a copy was exposed are no control.",
}
PARTS = 10


def described(fit: PoissonResult, name: str) -> str:
    """Return the alternative text of one of the figures that `shown` lists."""
    return _DESCRIBED[name](fit)


def captioned(fit: PoissonResult, name: str) -> str:
    """Return the caption of a figure: that of the rate names the lines that are drawn in it."""
    caption = CAPTIONS[name]
    if name != "rate":
        return caption
    if fit.cuts:
        caption += " Dotted lines are cuts known beforehand."
    curved = len(fit.spline.u) and not fit.trend.reason
    if fit.has_copies:
        curve = " The curve is a spline." if curved else ""
        return f"{caption}{curve} Rows are copies of texts, so there are no intervals."
    caption = caption.replace("parts;", "parts with exact 95% intervals;")
    if curved:
        caption += " The curve is a spline; its band holds all of it at once with 95% confidence."
        if fit.spline.high.max() * fit.window > rate_top(fit):
            caption = f"{caption.removesuffix('.')}, and is cut where it leaves the figure."
    return caption


def several_described(fits: Sequence[PoissonResult]) -> str:
    """Return the alternative text of the rates of several fits."""
    rows = comparison(fits)
    drawn = sum(math.isfinite(row["p_value"]) for row in rows)
    able = [row for row in rows if row["powered"]]
    drifts = sum(row["p_value_holm"] < SIGNIFICANT for row in able)
    return (
        f"Rate over training relative to its mean, of {count(drawn, 'fit')}; a drift is "
        f"significant at 5%, adjusted by Holm, in {drifts:,} of {len(able):,} that could find a "
        f"{UNDERPOWERED:g}-fold one."
    )


def drifts_described(rows: Sequence[dict[str, Any]]) -> str:
    """Return the alternative text of the drifts of several fits, rows of `comparison`."""
    ends = [row["ci90"] for row in rows if math.isfinite(row["rate_ratio"])]
    apart = sum(not low <= 1 <= high for low, high in ends)
    return (
        f"Rate at the end over that at the start with its 90% interval, of "
        f"{count(len(ends), 'fit')}; {count(apart, 'interval leaves', 'intervals leave')} out 1."
    )


def _rate(fit: PoissonResult) -> str:
    parts = fit.events.windows(-(-fit.events.n // PARTS))
    rates = parts.counts / parts.exposures * fit.window
    among = f"In {count(len(rates), 'equal part')} of training"
    span = interval((float(rates.min()), float(rates.max())), lambda x: number(x, 3))
    told = f"{among} the rate is {span} events per {fit.window:,} sequences"
    if fit.has_copies or fit.order.no_ratio:
        return f"{told}."
    return f"{told}; the log-linear fit has {interval_text(fit.trend)}."


def _cumulative(fit: PoissonResult) -> str:
    u = fit.uniformity
    leaves = "leaves" if u.ks > u.ks_critical95 else "stays inside"
    return (
        f"The cumulative count is at most {percent(u.ks)} of the events away from an even spread "
        f"and {leaves} the band of {percent(u.ks_critical95)}."
    )


def _fano(fit: PoissonResult) -> str:
    curve = fit.checks.fano
    seen = np.isfinite(curve.fano)
    outside = (curve.fano < curve.low) | (curve.fano > curve.high)
    values = curve.fano[seen]
    span = interval((float(values.min()), float(values.max())), lambda x: number(x, 3))
    return (
        f"Variance over mean at {count(int(seen.sum()), 'window length')}: {span}; expected "
        f"{number(curve.expected, 3)}; {int(outside[seen].sum())} outside the 95% envelope."
    )


def _residuals(fit: PoissonResult) -> str:
    left = fit.checks.rescaling
    return (
        f"Residuals of the best model, {fit.best.name}, along training; its rescaled gaps have a "
        f"KS distance of {number(left.ks, 2)} from what it expects."
    )


def _rootogram(fit: PoissonResult) -> str:
    root = fit.rootogram
    if root is None:
        return "No events."
    outside = int((np.abs(root.hanging) > root.band95).sum())
    bars = count(len(root.observed), "bar")
    return f"Hanging rootogram of window counts: {outside} of {bars} leave the 95% band."


def _qq(fit: PoissonResult) -> str:
    quantile, counts, windows = qq_points(fit.windows.counts).T
    off = windows[quantile != counts].sum() / windows.sum()
    return (
        f"Sorted counts of {count(len(fit.windows.counts), 'window')}, {counts.min():,} to "
        f"{counts.max():,}, against Poisson quantiles; {percent(off, 2)} lie off the line."
    )


def _texts(fit: PoissonResult) -> str:
    if fit.by_text is None:
        return f"Texts are not known: {fit.by_text_reason}."
    strata = (
        f"{one.events:,} of {one.texts:,} that occur {one.name}" for one in fit.by_text.strata
    )
    return f"Memorized texts: {', '.join(strata)}."


def _control(fit: PoissonResult) -> str:
    if fit.by_text is None:
        return f"No control group: {fit.by_text_reason}."
    return f"Effect of exposure: {effect_text(fit.by_text)}."


_DESCRIBED: dict[str, Callable[[PoissonResult], str]] = {
    "rate": _rate,
    "cumulative": _cumulative,
    "fano": _fano,
    "residuals": _residuals,
    "rootogram": _rootogram,
    "qq": _qq,
    "texts": _texts,
    "control": _control,
}
