"""What is seen in each figure of emergence, for readers who do not see it."""

import math
from collections.abc import Callable, Sequence

from memtrace.emergence.hazard import Rate
from memtrace.emergence.result import EmergenceResult
from memtrace.report.numbers import count, interval, number, percent


def described(fit: EmergenceResult, name: str) -> str:
    """Return the alternative text of one of the figures that `figures_of` lists."""
    return _DESCRIBED[name](fit)


def _memorized(fit: EmergenceResult) -> str:
    rows = [row for row in fit.checkpoints if row.exposed]
    shares = {row.step: row.memorized / row.exposed for row in rows}
    steps = list(shares)
    most = max(shares, key=lambda step: shares[step])
    told = (
        f"A line over {count(len(rows), 'checkpoint')}: {percent(shares[steps[0]])} of the "
        f"{fit.histories.unit}s trained on are memorized at step {steps[0]:,}, "
        f"{percent(shares[steps[-1]])} at step {steps[-1]:,}, most at step {most:,}, "
        f"{percent(shares[most])}."
    )
    chance = [row.extractable / row.unexposed for row in fit.checkpoints if row.unexposed]
    if chance:
        span = interval((min(chance), max(chance)), percent)
        told += f" A second line, of those not yet trained on, lies at {span}."
    return told


def _flows(fit: EmergenceResult) -> str:
    rows = [row for row in fit.checkpoints if row.exposed]
    new, lost = (max(rows, key=lambda row: getattr(row, name)) for name in ("learned", "lost"))
    unit = fit.histories.unit
    told = (
        f"Bars for {count(len(rows), 'checkpoint')}: most new {unit}s at step {new.step:,}, "
        f"{new.learned:,}"
    )
    return f"{told}; " + (
        f"most lost at step {lost.step:,}, {lost.lost:,}." if lost.lost else "none is lost."
    )


def _time(fit: EmergenceResult, name: str, unit: str) -> str:
    scale = fit.time_scales[name]
    form = percent if name == "share" else number
    since = f" from step {number(scale.since)} on" if scale.since else ""
    return (
        f"A curve that never falls, in {count(len(scale.share), 'interval')}{since}: "
        f"{percent(float(scale.share[0]))} of the {fit.histories.unit}s have emerged by "
        f"{form(float(scale.right[0]))} {unit}, {percent(float(scale.share[-1]))} by "
        f"{form(float(scale.right[-1]))}."
    )


def _hazard(rates: Sequence[Rate], unit: str) -> str:
    known = [rate for rate in rates if math.isfinite(rate.rate)]
    least, most = (end(known, key=lambda rate: rate.rate) for end in (min, max))
    return (
        f"Emergences per million and step in {count(len(known), 'interval')}: least, "
        f"{number(1e6 * least.rate, 3)}, from {_span(least)} {unit}; most, "
        f"{number(1e6 * most.rate, 3)}, from {_span(most)}."
    )


def _span(rate: Rate) -> str:
    return interval((rate.start, rate.stop))


EXPOSED = "steps since the first copy was trained on"
_DESCRIBED: dict[str, Callable[[EmergenceResult], str]] = {
    "memorized": _memorized,
    "flows": _flows,
    "time-training": lambda fit: _time(fit, "training", "training steps"),
    "time-exposure": lambda fit: _time(fit, "exposure", EXPOSED),
    "time-share": lambda fit: _time(fit, "share", "of the training left after the first copy"),
    "hazard-training": lambda fit: _hazard(fit.hazard_by_checkpoint, "training steps"),
    "hazard-exposure": lambda fit: _hazard(fit.hazard_since_exposure, EXPOSED),
}
