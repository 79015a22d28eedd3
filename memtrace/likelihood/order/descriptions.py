"""What is seen in each figure of order in likelihoods, for readers who do not see it."""

from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.verdict import age_text
from memtrace.report.numbers import count, interval, number


def described(fit: OrderResult, name: str) -> str:
    """Return the alternative text of one of the figures that `shown` lists."""
    return _by_age(fit) if name == "by-age" else _exposure(fit)


def _by_age(fit: OrderResult) -> str:
    bins = fit.recency.bins
    most = max(bins, key=lambda one: one.nats)
    above = sum(one.band95[0] > 0 for one in bins)
    below = sum(one.band95[1] < 0 for one in bins)

    def told(place: int) -> str:
        one = bins[place]
        return f"{_nats(one.nats)} at {age_text(one.steps_ago, fit.ages.unit)}"

    return (
        f"A staircase over {count(len(bins), 'range')} of ages, from {told(0)} to {told(-1)}; it "
        f"is highest at {age_text(most.steps_ago, fit.ages.unit)}, {_nats(most.nats)}. Its 95% "
        f"band lies above 0 in {above:,} and below 0 in {below:,} of them."
    )


def _exposure(fit: OrderResult) -> str:
    found = [("difference", fit.raw)]
    if fit.adjusted and not fit.adjusted.reason:
        found.append((f"given {fit.source.baseline}", fit.adjusted))
    points = [
        f"{name} {_nats(one.nats)}, 95% {interval(one.interval(), lambda end: number(end, 3))}"
        for name, one in found
    ]
    margin = number(fit.equivalence.margin * fit.tokens, 3)
    return f"Exposed minus unexposed: {'; '.join(points)}; the margin is {margin} nats around 0."


def _nats(value: float) -> str:
    return f"{number(value, 3)} nats"
