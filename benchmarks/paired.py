"""Calibration of pairs of models and of counterfactual profiles: how often intervals miss.

    python -m benchmarks.paired --draws 4000 > benchmarks/paired.md

Prints tables in Markdown. Truths are known, since everything is simulated:
texts that differ much from each other, effects that differ from text to text, tails heavier than
normal, and answers of two models that hang together because some texts are easier than others.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from memtrace.comparison.paired.hazard_ratio import PairedTimes, hazard_ratio
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.profile.effects import Cell, Effects
from memtrace.comparison.profile.moments import CohortSums
from memtrace.types import FloatArray, Int64Array

SEED = 2024
MANY = 1_000_000
"""Texts of the simulation that gives the true hazard ratio."""


@dataclass(frozen=True)
class Design:
    """Texts of a simulated model: how many by checkpoint, and what training does to them."""

    name: str
    exposed: tuple[int, ...]
    """Rows that each checkpoint had seen."""
    rows: int
    effect: float
    """At the first checkpoint, nats; it decays by two fifths at each later one."""
    heavy: bool = False
    """Whether noise is Student's t with 4 degrees of freedom, and effects are as skewed."""

    def truth(self, cohort: int, checkpoint: int) -> float:
        """Return the mean effect."""
        return self.effect * 0.6 ** (checkpoint - cohort) if checkpoint >= cohort else 0.0

    def outcomes(self, rng: np.random.Generator) -> FloatArray:
        """Draw the outcomes of all texts at all checkpoints, shape (rows, K)."""
        k = len(self.exposed)
        cohort = np.searchsorted(self.exposed, np.arange(self.rows), side="right")
        noise = (
            rng.standard_t(4, (self.rows, k)) if self.heavy else rng.normal(0, 1, (self.rows, k))
        )
        own = rng.normal(0, 5, (self.rows, 1)) + rng.normal(0, 1, (self.rows, 1)) * np.arange(k)
        y = -60 + 4 * np.sqrt(np.arange(k)) + own + noise.cumsum(axis=1)
        strength = rng.gamma(0.5 if self.heavy else 4, 1, self.rows)
        strength /= 0.5 if self.heavy else 4
        table = np.array([[self.truth(g, c) for c in range(k)] for g in range(k + 1)])
        found: FloatArray = y + strength[:, None] * table[cohort]
        return found


DESIGNS = (
    Design("40 to 70 texts a cohort", (0, 40, 90, 160, 220), 300, 3.0),
    Design("no effect", (0, 40, 90, 160, 220), 300, 0.0),
    Design("heavy tails, skewed effects", (0, 100, 220, 380, 500), 700, 3.0, heavy=True),
    Design("10 texts in a cohort", (0, 10, 200, 210, 400), 600, 3.0),
)
LAST = 4
"""Number of the last checkpoint of every design."""
MEANS: dict[str, Callable[[int, int], bool]] = {
    "one cell": lambda g, c: (g, c) == (1, 2),
    "instantaneous": lambda g, c: g == c,
    "one checkpoint later": lambda g, c: c == g + 1,
    "residual": lambda g, c: c == LAST and g < c,
    "before exposure": lambda g, c: c < g - 1,
}


def profiles(design: Design, draws: int) -> Iterator[float]:
    """Yield how often each mean of effects is missed."""
    rng, k = np.random.default_rng(SEED), len(design.exposed)
    chosen = [
        [(g, c) for g in range(1, k) for c in range(k) if kept(g, c)] for kept in MEANS.values()
    ]
    missed = np.zeros(len(MEANS), int)
    for _ in range(draws):
        sums = CohortSums(np.array(design.exposed))
        sums.add(np.arange(design.rows), design.outcomes(rng))
        effects = Effects(sums.moments())
        for place, cells in enumerate(chosen):
            low, high = effects.mean(cells).ci95
            missed[place] += not low <= _mean(design, effects, cells) <= high
    yield from missed / draws


def _mean(design: Design, effects: Effects, cells: list[Cell]) -> float:
    sizes = [int(effects.moments.texts[g]) for g, _ in cells]
    return float(np.average([design.truth(*cell) for cell in cells], weights=sizes))


def shares(n: int, more: float, fewer: float, draws: int) -> tuple[float, float]:
    """Return how often the interval of a difference misses it, and equal shares are rejected."""
    rng = np.random.default_rng(SEED)
    missed = rejected = 0
    for model, baseline, _ in rng.multinomial(n, [more, fewer, 1 - more - fewer], draws).tolist():
        table = PairedShares(n, 0, baseline, model)
        low, high = table.difference_ci95
        missed += not low <= more - fewer <= high
        rejected += table.p_value < 0.05
    return missed / draws, rejected / draws


def drawn_times(rng: np.random.Generator, n: int, ratio: float, frailty: float) -> PairedTimes:
    """Draw texts of two models at six checkpoints, with a hazard of their own in both."""
    entry = rng.integers(0, 6, n)
    own = rng.gamma(1 / frailty, frailty, n) if frailty else np.ones(n)
    waits = [rng.geometric(-np.expm1(-0.05 * own * factor)) - 1 for factor in (1.0, ratio)]
    when = [np.minimum(entry + wait, 6) for wait in waits]
    keys, texts = np.unique(np.column_stack((entry, *when)), axis=0, return_counts=True)
    columns: list[Int64Array] = list(keys.T)
    return PairedTimes(*columns, texts, 6)


def hazards(n: int, ratio: float, frailty: float, draws: int) -> float:
    """Return how often the ratio of very many texts is missed."""
    rng = np.random.default_rng(SEED)
    truth = hazard_ratio(drawn_times(rng, MANY, ratio, frailty)).ratio
    missed = 0
    for _ in range(draws):
        low, high = hazard_ratio(drawn_times(rng, n, ratio, frailty)).ci95
        missed += not low <= truth <= high
    return missed / draws


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=4000, help="of each design")
    draws = parser.parse_args().draws
    error = 3 * np.sqrt(0.05 * 0.95 / draws)
    print(
        f"`python -m benchmarks.paired --draws {draws}`: {draws:,} draws of each design. Three "
        f"Monte Carlo errors\naround 5%: {0.05 - error:.2%} to {0.05 + error:.2%}.\n"
    )
    print("Effects of a counterfactual profile missed by their 95% intervals:\n")
    print("|  | " + " | ".join(design.name for design in DESIGNS) + " |")
    print("|---" * (len(DESIGNS) + 1) + "|")
    columns = [list(profiles(design, draws)) for design in DESIGNS]
    for name, *row in zip(MEANS, *columns, strict=True):
        print(f"| {name} | " + " | ".join(f"{share:.2%}" for share in row) + " |")
    print(
        "\nDifferences of paired shares missed by the score interval, and equal shares rejected at"
    )
    print("5% by McNemar's exact test, which errs less often:\n")
    print("| texts | model alone | baseline alone | missed | rejected |")
    print("|---" * 5 + "|")
    for n, more, fewer in (
        (60, 0.2, 0.1),
        (4000, 0.004, 0.001),
        (1_000_000, 2e-4, 2e-4),
        (500, 0.05, 0.05),
    ):
        missed, rejected = shares(n, more, fewer, draws)
        size = f"{rejected:.2%}" if more == fewer else "they differ"
        print(f"| {n:,} | {more:.2%} | {fewer:.2%} | {missed:.2%} | {size} |")
    print(
        "\nHazard ratios missed by 95% intervals clustered by text, against the ratio of 1,000,000"
    )
    print(
        "texts; frailty is the variance of the hazards of texts, which are alike in both models:\n"
    )
    print("| texts | ratio of each text | frailty | missed |")
    print("|---" * 4 + "|")
    for n, ratio, frailty in ((500, 1.0, 0.0), (500, 1.5, 0.0), (500, 1.0, 2.0), (2000, 1.5, 2.0)):
        print(f"| {n:,} | {ratio:g} | {frailty:g} | {hazards(n, ratio, frailty, draws):.2%} |")


if __name__ == "__main__":
    main()
