"""How often do the tests of order in likelihoods find an effect? By simulation.

A row has a baseline, and a log-likelihood that is the baseline plus a normal residual; exposure
adds an effect, which fades with age or not. Without an effect it is the tests' size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from memtrace.errors import FitError
from memtrace.likelihood.difference import LEVEL, MARGIN
from memtrace.likelihood.order.fit import OrderFit, order_of_rows

CENTRE, SPREAD = -60.0, 20.0
"""Mean and standard deviation of baselines, in nats; no test depends on them."""


@dataclass(frozen=True)
class LikelihoodModel:
    """How log-likelihoods come about."""

    sequences: int
    """Rows, each the only one of its text."""
    nats: float
    """What exposure adds to the log-likelihood of the row seen last."""
    residual_sd: float
    """Standard deviation of what the baseline leaves, in nats."""
    exposed_share: float = 0.5
    """Share of the rows that are exposed."""
    fades: float | None = None
    """Age, as a share of the exposed rows, at which the effect has fallen to 1/e; None: never."""

    def draw(self, rng: np.random.Generator, margin: float = MARGIN) -> OrderFit:
        """Draw rows, and test their order.

        Raises:
            FitError: No row is exposed, or a number has no meaning.
        """
        exposed = round(self.exposed_share * self.sequences)
        if not (self.residual_sd > 0 and 0 < self.exposed_share <= 1):
            raise FitError(
                f"residual standard deviation {self.residual_sd:g} and exposed share "
                f"{self.exposed_share:g}: the first must be above 0, the second in (0, 1]"
            )
        b = rng.normal(CENTRE, SPREAD, self.sequences)
        y = b + rng.normal(0, self.residual_sd, self.sequences)
        age = np.arange(exposed)[::-1] / max(exposed, 1)
        y[:exposed] += self.nats * (1.0 if self.fades is None else np.exp(-age / self.fades))
        index = np.arange(self.sequences)
        seed = int(rng.integers(2**32))
        return order_of_rows(index, y, baseline=b, exposed_rows=exposed, margin=margin, seed=seed)


@dataclass(frozen=True)
class OrderPower:
    """Shares of draws in which a test found something."""

    draws: int
    level: float
    rejected: dict[str, float]
    """By the name of the test."""
    equivalent: float
    """Share of draws in which a difference of the margin was ruled out."""
    mean_nats: float
    """Estimated difference of exposed and unexposed rows, on average."""


def simulate_order(
    model: LikelihoodModel,
    draws: int,
    rng: np.random.Generator,
    *,
    margin: float = MARGIN,
    on_progress: Callable[[int], None] = lambda _: None,
) -> OrderPower:
    """Draw log-likelihoods again and again, and count what the tests find.

    Args:
        model: How they come about.
        draws: Number of draws.
        rng: Source of randomness.
        margin: Nats a token within which a difference does not matter.
        on_progress: Called with the number of draws since the last call.

    Raises:
        FitError: As `LikelihoodModel.draw`.
    """
    found: list[dict[str, float]] = []
    for _ in range(draws):
        fit = model.draw(rng, margin)
        p_values = {
            "exposed minus unexposed": fit.raw.p_value,
            "given the baseline": fit.difference.p_value,
            "rank correlation": fit.spearman.p_value,
            "rank, given the baseline": fit.order.p_value,
            "by age": fit.recency.p_value,
        }
        rejected = {name: float(p <= LEVEL) for name, p in p_values.items()}
        equivalent = float(bool(fit.equivalence.equivalent))
        found.append(rejected | {"equivalent": equivalent, "nats": fit.difference.nats})
        on_progress(1)
    means = {name: float(np.mean([one[name] for one in found])) for name in (found or [{}])[0]}
    equivalent, nats = means.pop("equivalent", 0.0), means.pop("nats", 0.0)
    return OrderPower(draws, LEVEL, means, equivalent, nats)
