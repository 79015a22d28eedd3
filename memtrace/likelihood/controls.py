"""What must not be there if the rows are shuffled: checked always, before anything is concluded."""

import math
from dataclasses import dataclass

from memtrace.likelihood.ranks import RankCorrelation

LEVEL = 0.001
"""A p-value below it says that rows do not look shuffled."""


@dataclass(frozen=True)
class Controls:
    """Three things that no training can cause: each has a p-value, NaN where it is not known."""

    unexposed: RankCorrelation
    """Order and log-likelihood among rows that the checkpoint had not seen."""
    baseline: RankCorrelation | None
    """Order and baseline among all rows; None without a baseline."""
    balance: float | None
    """That exposed and unexposed rows have one distribution of baselines (Mann and Whitney)."""

    @property
    def p_values(self) -> dict[str, float]:
        """Return the p-value of each control that is known, by its name."""
        found = {
            "rank correlation among unexposed rows": self.unexposed.p_value,
            "rank correlation of order and baseline": self.baseline.p_value
            if self.baseline
            else None,
            "baseline of exposed against unexposed rows": self.balance,
        }
        return {name: p for name, p in found.items() if p is not None and not math.isnan(p)}

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the names of the controls that fail."""
        return tuple(name for name, p in self.p_values.items() if p < LEVEL)
