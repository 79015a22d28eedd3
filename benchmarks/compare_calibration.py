"""How often do the intervals of a comparison hold? Simulated suites whose truth is known.

    python -m benchmarks.compare_calibration [--draws 2000] > benchmarks/compare_calibration.md

Prints a table: what is estimated, in which design, and how many of the 95% intervals hold.
"""

import argparse
import math
from collections.abc import Iterator

import numpy as np
from scipy import stats

from memtrace.comparison.agreement import Agreement, Measure, phi
from memtrace.comparison.bend import find_bend
from memtrace.comparison.classes import ClassShare, ClassTable
from memtrace.comparison.ranking import area, rank
from memtrace.comparison.regression import fit_line
from memtrace.comparison.scale import predict_largest
from memtrace.comparison.seeds import mean_over_pairs, seed_spread

Row = tuple[str, str, str]
TABLES = {
    "20,000 texts: 5 both, 5 and 5 alone": (20_000, 5, 5, 5),
    "20,000 texts: 20 both, 10 and 10 alone": (20_000, 20, 10, 10),
    "20,000 texts: 200 both, 5 and 5 alone": (20_000, 200, 5, 5),
    "100,000 texts: 30 both, 30 and 300 alone": (100_000, 30, 30, 300),
    "1,000,000 texts: 1,000 both, 200 and 3,000 alone": (1_000_000, 1_000, 200, 3_000),
    "500 texts: 100 both, 50 and 80 alone": (500, 100, 50, 80),
}
LINES = ((0.1, 0.0), (0.1, 0.02), (0.1, 0.1), (0.0, 0.1))
SIZES = (3, 4, 6, 10)
MANY = 5_000
AREAS = (
    (10, 2_000, 1.2),
    (20, 2_000, 1.2),
    (100, 2_000, 1.2),
    (20, 2_000, 2.5),
    (100, 2_000, 3.0),
    (500, 5_000, 4.0),
    (500, 20_000, 5.0),
    (1_000, 20_000, 5.0),
    (2_000, 20_000, 2.0),
)
"""Memorized texts, others, and by how much their log-likelihoods differ."""


def agreement(draws: int) -> Iterator[Row]:
    """Yield how often the intervals of precision, recall, F1, MCC and Jaccard's index hold."""
    rng = np.random.default_rng(0)
    for design, (n, both, a, b) in TABLES.items():
        first, second = both + a, both + b
        truth = {
            "precision": both / first,
            "recall": both / second,
            "F1": 2 * both / (first + second),
            "MCC": phi(both, first, second, n),
            "Jaccard": both / (both + a + b),
        }
        names = {"F1": "f1", "MCC": "mcc", "Jaccard": "jaccard"}
        held = dict.fromkeys(truth, 0)
        chances = np.array([both, a, b, n - both - a - b]) / n
        for x, y, z, _ in rng.multinomial(n, chances, draws).tolist():
            found = Agreement(x, x + y, x + z, n)
            for name, value in truth.items():
                low, high = getattr(found, names.get(name, name)).ci95
                held[name] += not (value < low or value > high)
        shares = ", ".join(f"{name} {count / draws:.3f}" for name, count in held.items())
        yield "two runs", design, shares


def ranking(draws: int) -> Iterator[Row]:
    """Yield how often DeLong's interval on the logit scale holds; with many texts, fewer draws."""
    for memorized, others, shift in AREAS:
        rng = np.random.default_rng(1)
        truth, held = stats.norm.cdf(shift / math.sqrt(2)), 0
        few = draws if others < MANY else draws // 5
        for _ in range(few):
            x, y = rng.normal(shift, 1, memorized), rng.normal(size=others)
            low, high = area(np.sort(x), np.sort(y)).ci95
            held += low <= truth <= high
        design = f"{memorized:,} memorized of {memorized + others:,} texts, area {truth:.4f}"
        yield "area under the curve", design, f"{held / few:.3f}"


def budgets(draws: int) -> Iterator[Row]:
    """Yield how often the interval of the texts to scan holds, of which 80% are memorized ones."""
    rng = np.random.default_rng(4)
    for n, share, shift in ((20_000, 0.01, 4.0), (20_000, 0.01, 2.0), (2_000, 0.1, 3.0)):
        least = stats.norm.ppf(0.2) + shift
        truth = share * 0.8 + (1 - share) * stats.norm.sf(least)
        held = 0
        for _ in range(draws // 5):
            memorized = rng.random(n) < share
            values = rng.normal(size=n) + shift * memorized
            low, high = rank(values, memorized, np.arange(n), 0.8).budget_ci95
            held += low <= truth <= high
        design = f"{n:,} texts, {share:.0%} memorized, {truth:.2%} to scan"
        yield "budget", design, f"{held / (draws // 5):.3f}"


def lines(draws: int) -> Iterator[Row]:
    """Yield how often the power and the prediction of another model hold, and false bends."""
    rng = np.random.default_rng(2)
    for k in SIZES:
        x = np.geomspace(7e7, 1.2e10, k)
        for tau, sd in LINES:
            covariance = sd**2 * (0.5 * np.eye(k) + 0.5)
            factor = np.linalg.cholesky(covariance + 1e-16 * np.eye(k))
            power = ahead = bends = 0
            for _ in range(draws // 4):
                noise = tau * rng.normal(size=k) + factor @ rng.normal(size=k)
                y = np.exp(0.3 * np.log(x) - 9 + noise)
                line = fit_line(x, y, covariance)
                low, high = line.interval(1)
                power += low <= 0.3 <= high
                low, high = line.predict(2.4e10)[1]
                truth = math.exp(0.3 * math.log(2.4e10) - 9 + tau * rng.normal())
                ahead += low <= truth <= high
                bend = find_bend(x, y, covariance)
                bends += bend is not None and bend.shown
            n = draws // 4
            held = f"power {power / n:.3f}, another model {ahead / n:.3f}"
            held += f", false bends {bends / n:.3f}" if k > 3 else ""
            yield "line", f"{k} sizes, models scatter {tau:g}, counts {sd:g}", held


def largest(draws: int) -> Iterator[Row]:
    """Yield how often the largest model's share lies where all smaller ones predict it."""
    rng, n = np.random.default_rng(6), 5_000
    for k in (4, 6, 8, 10):
        x, inside, known = 2.0 ** np.arange(k), 0, 0
        for _ in range(draws // 10):
            ease = rng.gamma(0.02, 50, (n, 1))
            hit = (rng.random((n, k)) < 1 - np.exp(-0.01 * ease)).astype(int)
            texts = hit.sum(axis=0)
            if not texts.all():
                continue
            covariance = ClassTable(hit.T @ hit, n, texts, n).log_covariance(np.arange(k))
            tested = predict_largest(range(k), x, texts / n, covariance)
            known += 1
            inside += tested is not None and tested.inside
        yield (
            "largest model",
            f"{k} sizes that do not scatter, 5,000 texts",
            f"{inside / known:.3f}",
        )


def seeds(draws: int) -> Iterator[Row]:
    """Yield how often the intervals of seeds hold."""
    rng = np.random.default_rng(3)
    for k in (4, 6, 10):
        for deviation in (0.2, 1.0):
            ease = rng.normal(-3, 2, 3_000)
            truth = float(np.mean([_shared(rng, ease, 60, deviation).value for _ in range(4)]))
            held = 0
            for _ in range(draws // 4):
                low, high = _shared(rng, ease, k, deviation).ci95
                held += low <= truth <= high
            one_more = spread = 0
            for _ in range(draws):
                shares = np.exp(-4 + 0.1 * rng.normal(size=k + 1))
                found = seed_spread(shares[:k], np.zeros((k, k)))
                assert found is not None
                one_more += found.one_more[0] <= shares[k] <= found.one_more[1]
                spread += found.spread.ci95[0] <= 0.1 <= found.spread.ci95[1]
            said = f"shared {held / (draws // 4):.3f}, one more {one_more / draws:.3f}"
            said += f", SD {spread / draws:.3f}"
            yield "seeds", f"{k} seeds, log-odds vary by {deviation:g}", said


def seeds_by_counts(draws: int) -> Iterator[Row]:
    """Yield how often one more seed holds where counts of texts alone differ."""
    rng = np.random.default_rng(5)
    for k, n, chance in ((2, 600, 0.005), (2, 5_000, 0.002), (3, 600, 0.005), (4, 600, 0.005)):
        one_more = known = 0
        for _ in range(draws):
            texts = rng.binomial(n, chance, k + 1)
            if not texts.all():
                continue
            variances = [ClassShare(one, n, one, n).log_variance for one in texts[:k].tolist()]
            found = seed_spread(texts[:k] / n, np.diag(variances))
            assert found is not None
            known += 1
            one_more += found.one_more[0] <= texts[k] / n <= found.one_more[1]
        design = f"{k} seeds that differ by chance alone, {n * chance:g} memorized texts expected"
        yield "seeds", design, f"one more {one_more / known:.3f}"


def _shared(rng: np.random.Generator, ease: np.ndarray, seeds: int, deviation: float) -> Measure:
    shift = deviation * rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, len(ease)))
    hit = (rng.random(shift.shape) < 1 / (1 + np.exp(-(ease + shift)))).astype(float)
    both = hit @ hit.T
    return mean_over_pairs(both / np.diagonal(both)[:, None])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2_000)
    draws = parser.parse_args().draws
    print("| estimate | design | share of 95% intervals that hold |")
    print("|---|---|---|")
    for kind in (agreement, ranking, budgets, lines, largest, seeds, seeds_by_counts):
        for row in kind(draws):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
