"""The fit in one plain sentence, honest about what it could not have seen.

It decides nothing new: it words the results of the fit.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memtrace.point_process.diagnostics.dispersion import Dispersion
    from memtrace.point_process.fit import PoissonFit

SIGNIFICANT = 0.05
FEW_EVENTS = 10
HOPELESS = 3.0
"""A fit that could only have found a drift by this factor has too few events to say anything."""


def verdict(fit: "PoissonFit") -> str:
    """Return one sentence on the drift along training and the evenness of the windows."""
    events = fit.events
    if events.exposure == 0:
        return (
            "Nothing to say about training order: none of the scanned sequences had been trained "
            f"on at this checkpoint ({events.unexposed_events:,} of "
            f"{events.unexposed_exposure:,} are extractable all the same)."
        )
    if events.n_events == 0:
        bound = fit.rate_ci95[1] / fit.window * 1e6
        return (
            f"No memorized sequence among {events.exposure:,}: the rate is below "
            f"{bound:,.{0 if bound > 10 else 2}f} per million with 97.5% confidence, and there is "
            "no order to test."
        )
    if events.n_events == events.exposure:
        return f"All {events.exposure:,} sequences are memorized, so there is no order to test."
    blind = fit.trend.detectable_ratio() > HOPELESS and fit.trend.p_value >= SIGNIFICANT
    if events.n_events < FEW_EVENTS or blind:
        return (
            f"Too few events to tell: with {events.n_events:,} only a drift by a factor of "
            f"{fit.trend.detectable_ratio():.3g} or more would probably have been found."
        )
    return f"{_drift(fit)}; {_evenness(fit)}."


def interval_text(fit: "PoissonFit") -> str:
    """Return the rate ratio with its 90% interval, with as many digits as the interval needs."""
    low, high = fit.trend.interval(0.90)
    width = high - low
    digits = 4 if width < 0.01 else 3 if width < 0.1 else 2
    ratio = fit.trend.rate_ratio
    if high > 100:
        return f"end/start {ratio:.3g}, 90% interval {low:.3g} to {high:.3g}"
    return f"end/start {ratio:.{digits}f}, 90% interval {low:.{digits}f} to {high:.{digits}f}"


def _drift(fit: "PoissonFit") -> str:
    margin, trend = f"the margin of {fit.equivalence.margin:g}", fit.trend
    found, equivalent = trend.p_value < SIGNIFICANT, fit.equivalence.equivalent
    ratio = interval_text(fit)
    if found and equivalent:
        return f"A drift too small to matter: within {margin} between start and end ({ratio})"
    if found:
        word = "higher" if trend.theta > 0 else "lower"
        return f"Drift: the rate is {word} at the end of training than at its start ({ratio})"
    if equivalent:
        return f"No drift: start and end of training agree within {margin} ({ratio})"
    return (
        f"No drift found, but one as large as {margin} is not ruled out ({ratio}; a factor of "
        f"{trend.detectable_ratio():.2f} would have been found four times in five)"
    )


def _evenness(fit: "PoissonFit") -> str:
    constant, spread = fit.dispersion, fit.uniformity
    about = fit.trend.about
    if constant.reason or about is None or about.reason:
        return "there are too few windows to judge how even their counts are"
    drift = fit.trend.p_value < SIGNIFICANT
    # A drift makes windows uneven by itself, so then only what is left about it counts.
    steps = "steps" if fit.events.sequences_per_step else "windows"
    for d, unit in ((about, steps),) if drift else ((about, steps), (constant, "windows")):
        if d.binomial.p_value < SIGNIFICANT:
            return _uneven(d, unit)
    if spread.p_value < SIGNIFICANT and not drift:
        return f"but {spread.ks:.1%} of the events are out of place for an even spread"
    beside = " beside the drift" if drift else ""
    return f"window counts are as even as a random order makes them{beside}"


def _uneven(d: "Dispersion", unit: str) -> str:
    index = f"{d.binomial.value:.3f} times the variance"
    if d.binomial.value < 1:
        return f"counts vary less between {unit} than a random order makes them ({index})"
    return (
        f"counts vary more between {unit} than a random order makes them ({index}: the rate "
        f"varies by {d.cv:.1%})"
    )
