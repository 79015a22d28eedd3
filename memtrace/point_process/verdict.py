"""The fit in one plain sentence, honest about what it could not have seen."""

from memtrace.point_process.diagnostics.dispersion import Dispersion
from memtrace.point_process.result import SIGNIFICANT, PoissonResult
from memtrace.report.numbers import count, fold, interval, number, percent, ratio

MANY_DIGITS = 0.01
SOME_DIGITS = 0.1


def verdict(fit: PoissonResult) -> str:
    """Return one sentence on the drift along training and the evenness of the windows."""
    events = fit.events
    if events.exposure == 0:
        return (
            "Nothing to say about training order: none of the scanned sequences had been trained "
            f"on at this checkpoint ({events.unexposed_events:,} of "
            f"{events.unexposed_exposure:,} are extractable all the same)."
        )
    if events.n_events == 0:
        bound = number(fit.rate_ci95[1] / fit.window * 1e6, 3)
        return (
            f"No memorized sequence among {events.exposure:,}: the rate is below {bound} per "
            "million with 97.5% confidence, and there is no order to test."
        )
    if events.n_events == events.exposure:
        n = events.exposure
        every = f"All {n:,} sequences are" if n > 1 else "The only one is"
        return f"{every} memorized, so there is no order to test."
    if fit.underpowered:
        return (
            f"Too few events to tell whether the rate drifts: with "
            f"{count(events.n_events, 'event')} the minimum detectable ratio at 80% power is "
            f"{fold(fit.trend.detectable_ratio())}."
        )
    return f"{_drift(fit)}; {_evenness(fit)}."


def interval_text(fit: PoissonResult) -> str:
    """Return the rate ratio with its 90% interval, with as many digits as the interval needs."""
    low, high = fit.trend.interval(0.90)
    width = high - low
    digits = 4 if width < MANY_DIGITS else 3 if width < SOME_DIGITS else 2

    def form(value: float) -> str:
        return ratio(value) if high > 100 else f"{value:.{digits}f}"

    return f"end/start {form(fit.trend.rate_ratio)}, 90% interval {interval((low, high), form)}"


def _drift(fit: PoissonResult) -> str:
    margin, trend = f"the margin of {fit.equivalence.margin:g}", fit.trend
    found, equivalent = trend.p_value < SIGNIFICANT, fit.equivalence.equivalent
    estimate = interval_text(fit)
    if found and equivalent:
        return f"A drift too small to matter: within {margin} between start and end ({estimate})"
    if found:
        word = "higher" if trend.theta > 0 else "lower"
        return f"Drift: the rate is {word} at the end of training than at its start ({estimate})"
    if equivalent:
        return f"No drift: start and end of training agree within {margin} ({estimate})"
    return (
        f"No drift found, but one as large as {margin} is not ruled out ({estimate}; minimum "
        f"detectable ratio at 80% power {ratio(trend.detectable_ratio())})"
    )


def _evenness(fit: PoissonResult) -> str:
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
        return f"but the events are not evenly spread: KS distance {percent(spread.ks, 2)}"
    beside = " beside the drift" if drift else ""
    return f"window counts are as even as a random order makes them{beside}"


def _uneven(d: Dispersion, unit: str) -> str:
    index = f"{number(d.binomial.value)} times the variance"
    if d.binomial.value < 1:
        return f"counts vary less between {unit} than a random order makes them ({index})"
    varies = f"the rate varies by {percent(d.cv, 2)}"
    if not d.cv <= 1:
        varies = f"the rate has a coefficient of variation of {ratio(d.cv)}"
    return f"counts vary more between {unit} than a random order makes them ({index}: {varies})"
