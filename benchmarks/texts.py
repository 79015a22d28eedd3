"""Do tests and intervals hold where sequences are copies and near-copies, and in the tails?

    python -m benchmarks.texts [--draws 1000]      its part of benchmarks/calibration.md

Everything is seeded; one thread. Values by row stand beside those by text: they show what fails.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from benchmarks.statistics import SUMMARY, write_section
from memtrace.emergence.copies_effect import copies_effect
from memtrace.emergence.copy_steps import CopySteps
from memtrace.emergence.dispersion import dispersion_about
from memtrace.emergence.moves import moves_by_text
from memtrace.point_process import EventSequence
from memtrace.point_process.contrasts import compare_rates
from memtrace.point_process.diagnostics.dispersion import dispersion
from memtrace.point_process.diagnostics.second_order import fano_curve
from memtrace.point_process.models.constant import binomial_interval
from memtrace.point_process.models.trend import log_linear
from memtrace.point_process.texts.exposure_effect import (
    once_effect,
    sharp_null_p_value,
    stratified_effect,
)
from memtrace.point_process.texts.order import ks_distance, last_exposure, linear_rank
from memtrace.point_process.texts.rates import fay_feuer_interval, text_rates
from memtrace.point_process.texts.text_order import last_copies, once_only
from memtrace.runs.memorized import Events
from memtrace.texts.exposure import count_classes, count_exposed_texts, count_strata
from memtrace.texts.groups import Texts
from memtrace.types import FloatArray, Int64Array, Interval

ROWS, EXPOSED, LEVEL, STEP = 20_000, 14_000, 0.05, 64
NEAR, ALIKE = 6, 0.8
"""Texts of a passage that have one fate, and the chance that each of them follows it."""
TITLE = "## With copies and near-copies"
CHECKPOINTS = np.array([0, 16, 32, 64, 96, 128])
Found = dict[str, float]


class Corpus:
    """Texts with Pareto counts of copies, a sixth of them near-copies, each with its chance."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw what is copied, in order of texts: `shuffled` places the rows."""
        counts = np.minimum(np.ceil(rng.pareto(1.5, ROWS // 5) + 1e-9), 1000).astype(int)
        repeated = np.repeat(np.arange(len(counts)), counts)[: ROWS // 2]
        self.labels = np.append(repeated, len(counts) + np.arange(ROWS - len(repeated)))
        texts = int(self.labels[-1]) + 1
        self.passage = np.arange(texts)
        near = rng.permutation(texts)[: texts // (6 * NEAR) * NEAR].reshape(-1, NEAR)
        self.passage[near] = near[:, :1]
        rows = np.bincount(self.passage[self.labels], minlength=texts)
        # What is read more often is known more often.
        self.chance = np.minimum(0.006 * np.maximum(rows, 1) ** 0.8, 0.5)[self.passage]
        self.follows = np.where(np.bincount(self.passage)[self.passage] > 1, ALIKE, 1.0)

    def held(self, rng: np.random.Generator) -> np.ndarray:
        """Draw which texts are memorized: the fate of the passage, and whether each follows it."""
        fate = (rng.random(len(self.passage)) < self.chance)[self.passage]
        return fate & (rng.random(len(self.passage)) < self.follows)


def draw_with_copies(rng: np.random.Generator) -> tuple[Found, Found]:
    """Return p-values of one random order, and 1 for each interval that misses its truth."""
    corpus = Corpus(rng)
    labels = rng.permutation(corpus.labels)
    held = corpus.held(rng)
    texts = Texts.from_labels(labels, corpus.passage[labels])
    events = Events(np.flatnonzero(held[labels]), np.array([[0, ROWS]]))
    return _p_values(texts, events, rng), _missed(corpus, labels, texts, events)


def _p_values(texts: Texts, events: Events, rng: np.random.Generator) -> Found:
    units = texts.merged
    strata = count_strata(units, events, EXPOSED)
    rows = EventSequence.from_events(events, n=EXPOSED)
    names = units.names_of(rows.positions)
    once, stratified = once_effect(strata), stratified_effect(strata)
    once_order = log_linear(once_only(units, rows))
    last, copies = last_copies(rows.ranks, names)
    return {
        "exposure of rows, sharp null (Fisher)": sharp_null_p_value(
            count_classes(texts, events, EXPOSED)
        ),
        "exposure of once-only texts (Fisher, conservative)": once.p_value if once else math.nan,
        "exposure by count (Mantel-Haenszel)": stratified.p_value if stratified else math.nan,
        "position by text (linear rank)": linear_rank(
            rows.ranks, names, EXPOSED, rng, by_text=True
        ).p_value,
        "last copies": last_exposure(last, copies, EXPOSED).p_value,
        "KS distance by text": ks_distance(rows.ranks, names, EXPOSED, rng).p_value,
        "trend of once-only texts": once_order.p_value,
        "trend of rows (holds whatever the copies)": log_linear(rows).p_value,
    }


def _missed(corpus: Corpus, labels: Int64Array, texts: Texts, events: Events) -> Found:
    """Return which intervals of one run miss the mean chance of what they are of."""
    seen = labels[:EXPOSED]
    counts = count_exposed_texts(texts.merged, events, EXPOSED)
    rates = text_rates(counts)
    here = np.unique(seen)
    passages, members = np.unique(corpus.passage[here], return_counts=True)
    some = 1 - (1 - corpus.follows[passages]) ** members
    of_texts = float((corpus.chance[passages] * some).mean())
    each = corpus.chance * corpus.follows
    strata = count_strata(texts.merged, events, EXPOSED)
    effect = once_effect(strata)
    apart = count_exposed_texts(texts, events, EXPOSED)
    rows = EventSequence.from_events(events, n=EXPOSED)
    drift = log_linear(once_only(texts.merged, rows)).interval(0.95)
    row_rate = float(each[seen].mean())
    return {
        "share of texts (Clopper-Pearson)": _misses(rates.rate_ci95, of_texts),
        "effect of exposure, once-only texts": _misses(effect.ci95, 0.0) if effect else math.nan,
        "rate ratio end/start, once-only texts": _misses(drift, 1.0),
        "share of rows, on request (Fay-Feuer; at least 95%)": _misses(
            fay_feuer_interval(counts), row_rate
        ),
        "*wrong: near-copies as different texts*": _misses(
            text_rates(apart).rate_ci95, float(each[here].mean())
        ),
        "*wrong: Clopper-Pearson of rows*": _misses(
            binomial_interval(rows.n_events, EXPOSED), row_rate
        ),
    }


def _misses(ends: Interval, truth: float) -> float:
    return float(not ends[0] <= truth <= ends[1])


def draw_emergence(rng: np.random.Generator, exponent: float) -> tuple[Found, Found]:
    """Return p and a miss of the exponent of copies, and misses of forgetting by text."""
    labels, steps = _copied(rng, 4096, 40, 10), 128
    time = _emerged(rng, labels, exponent, 1e-3, steps)
    effect = copies_effect(*_times_at_risk(labels, time, steps))
    return (
        {f"copies seen, exponent {exponent:g}": effect.p_value},
        {f"exponent of the copies seen, true {exponent:g}": _misses(effect.ci95, exponent)},
    )


def draw_forgetting(rng: np.random.Generator) -> tuple[Found, Found]:
    """Return misses of the share of losses, where passages of 5 texts have one history."""
    looks = rng.integers(1, 20, 80)
    lost = rng.binomial(looks, rng.beta(0.5, 2, 80))
    size = np.where(np.arange(80) < 8, 5, 1)  # the first eight are passages
    truth = 0.2
    units, apart = (moves_by_text(looks, lost, n) for n in (np.ones(80), size))
    pooled = binomial_interval(int(lost.sum()), int(looks.sum()))
    return {}, {
        "share of looks at which a text is lost, by text": _misses(units.ci95, truth),
        "*wrong: near-copies as different texts, lost*": _misses(apart.ci95, truth),
        "*wrong: looks as independent (Clopper-Pearson)*": _misses(pooled, truth),
    }


def _copied(rng: np.random.Generator, n: int, repeated: int, copies: int) -> Int64Array:
    labels = np.concatenate((np.repeat(np.arange(repeated), copies), np.arange(repeated, n)))[:n]
    return np.unique(rng.permutation(labels), return_inverse=True)[1]


def _emerged(
    rng: np.random.Generator, labels: Int64Array, exponent: float, rate: float, steps: int
) -> FloatArray:
    """Draw steps of emergence: hazard rate copies^exponent, shocks that move a checkpoint."""
    seen = np.zeros((labels.max() + 1, steps))
    np.add.at(seen, (labels, np.arange(len(labels)) * steps // len(labels)), 1)
    seen = seen.cumsum(axis=1)
    shock = np.exp(rng.normal(0, 0.5, len(CHECKPOINTS)))
    rates = rate * shock[np.searchsorted(CHECKPOINTS, np.arange(steps), side="right") - 1]
    hazard = np.where(seen > 0, np.maximum(seen, 1) ** exponent, 0) * rates
    return (hazard.cumsum(axis=1) < rng.exponential(size=len(seen))[:, None]).sum(axis=1) + 1.0


def _times_at_risk(
    labels: Int64Array, time: FloatArray, steps: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    order = np.argsort(labels, kind="stable")
    seen = CopySteps(np.arange(len(time)), labels[order], order * steps // len(labels))
    waiting, emerged = [], []
    for low, high in pairwise(CHECKPOINTS.tolist()):
        now = (low < time) & (time <= high)
        for kept, at_risk in ((waiting, time > high), (emerged, now)):
            text, copies, length = seen.between(low, high, at_risk)
            one = {"text": text, "checkpoint": np.full_like(text, high), "copies": copies}
            kept.append(pl.DataFrame({**one, "steps": length, "count": np.ones_like(text)}))
    return pl.concat(waiting), pl.concat(emerged)


def draw_tails(rng: np.random.Generator) -> tuple[Found, Found]:
    """Return p-values and misses of what is hard: few events, gaps, sparse windows, shocks."""
    few, many = (compare_rates((int(rng.poisson(3 * k)), int(rng.poisson(5 * k))), (3.0, 5.0))
                 for k in (1, 10))  # fmt: skip
    sparse = EventSequence.from_positions(rng.choice(ROWS, 60, replace=False), n=ROWS)
    rows = np.sort(rng.choice(ROWS, ROWS // 10, replace=False))
    sampled = _on(np.stack((rows, rows + 1), axis=1), 200, rng)
    gaps = _on(np.array([[0, 3000], [5000, 9000], [15_000, ROWS]]), 400, rng)
    curve = fano_curve(gaps, STEP)
    known = np.isfinite(curve.fano)
    outside = ((curve.fano < curve.low) | (curve.fano > curve.high))[known].any()
    p_values = {
        "two exact rates, 8 events (conservative)": few.p_value,
        "two exact rates, 80 events (conservative)": many.p_value,
        "dispersion, 0.2 events a window (conservative)": dispersion(
            sparse.windows(STEP), rng=rng
        ).binomial.p_value,
        "dispersion, a sample of a tenth": dispersion(
            sampled.windows(STEP), rng=rng
        ).binomial.p_value,
        "Fano band with gaps, any length (conservative)": 0.0 if outside else 1.0,
        "dispersion of emergence": _of_emergence(rng),
    }
    misses = {
        "ratio of two exact rates, 8 events (at least 95%)": _misses(few.interval(), 1.0),
        "ratio of two exact rates, 80 events (at least 95%)": _misses(many.interval(), 1.0),
    }
    for name, memory in (("single steps", 0.0), ("several steps", 0.8)):
        misses[f"rate ratio end/start, shocks to {name}"] = _misses(
            log_linear(_shocked(memory, rng), step=STEP).interval(0.95), 1.0
        )
    return p_values, misses


def _on(ranges: Int64Array, events: int, rng: np.random.Generator) -> EventSequence:
    seen = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    positions = rng.choice(seen, events, replace=False)
    return EventSequence.from_positions(positions, n=ROWS, observed=ranges, sequences_per_step=STEP)


def _shocked(memory: float, rng: np.random.Generator) -> EventSequence:
    """Draw events whose log rate moves from step to step as an autoregression with sd 0.5."""
    steps = -(-ROWS // STEP)
    shock = np.empty(steps)
    shock[0] = rng.normal(0, 0.5)
    for i in range(1, steps):
        shock[i] = memory * shock[i - 1] + rng.normal(0, 0.5 * math.sqrt(1 - memory**2))
    rate = np.repeat(0.05 * np.exp(shock), STEP)[:ROWS]
    return EventSequence.from_positions(
        np.flatnonzero(rng.random(ROWS) < rate), n=ROWS, sequences_per_step=STEP
    )


def _of_emergence(rng: np.random.Generator) -> float:
    """Draw texts that emerge at one rate, between unequal checkpoints, and fit the rate."""
    left, counts, chances = 3000, [], -np.expm1(-2e-4 * np.diff(np.append(CHECKPOINTS, 400)))
    at_risk = []
    for chance in chances:
        at_risk.append(left)
        counts.append(int(rng.binomial(left, chance)))
        left -= counts[-1]
    expected = np.array(at_risk) * chances
    scale = sum(counts) / expected.sum()
    fitted = -np.expm1(np.log1p(-chances) * scale)
    mean, variance = np.array(at_risk) * fitted, np.array(at_risk) * fitted * (1 - fitted)
    return dispersion_about(np.array(counts), mean, variance, rng).p_value


DESIGNS: tuple[tuple[str, Callable[[np.random.Generator], tuple[Found, Found]]], ...] = (
    ("copies", draw_with_copies),
    ("exponent 0", lambda rng: draw_emergence(rng, 0.0)),
    ("exponent 1", lambda rng: draw_emergence(rng, 1.0)),
    ("forgetting", draw_forgetting),
    ("tails", draw_tails),
)


def measure(draws: int) -> tuple[Found, Found]:
    """Return by name how often tests reject what is true and how often intervals miss it."""
    sizes: Found = {}
    misses: Found = {}
    for number, (name, draw) in enumerate(DESIGNS):
        rng = np.random.default_rng([draws, number])
        found = [draw(rng) for _ in range(draws)]
        for table, part in ((sizes, 0), (misses, 1)):
            for key in found[0][part]:
                values = np.array([one[part][key] for one in found])
                known = values[np.isfinite(values)]
                table[key] = float((known <= LEVEL).mean() if part == 0 else known.mean())
        print(f"{name}: done", flush=True)
    sizes.pop("copies seen, exponent 1", None)  # that is power
    return sizes, misses


def calibrate(draws: int) -> None:
    """Measure size and coverage and write their part of the summary."""
    write_section(SUMMARY, list(_lines(draws, *measure(draws))))


def _lines(draws: int, sizes: Found, misses: Found) -> Iterator[str]:
    error = math.sqrt(LEVEL * (1 - LEVEL) / draws)
    low, high = LEVEL - 3 * error, LEVEL + 3 * error
    yield TITLE
    yield ""
    yield f"`python -m benchmarks.texts --draws {draws}`: {draws:,} draws of {ROWS:,} sequences,"
    yield "half of them copies with Pareto counts; a sixth of the texts are near-copies, 6 to a"
    yield f"passage, which share one fate and each follow it with chance {ALIKE:g}. {EXPOSED:,}"
    yield "sequences are exposed, and what is memorized does not depend on it. A value outside"
    yield f"{low:.2%} to {high:.2%} is in bold. Lines in italics are what must not be done, to"
    yield "show why."
    for title, table in (("Rejected at 5%", sizes), ("Missed by 95% intervals", misses)):
        yield from ("", f"### {title}", "", "| | |", "|---|---|")
        for name, value in table.items():
            cell = f"{value:.2%}" if low <= value <= high else f"**{value:.2%}**"
            yield f"| {name} | {cell} |"
    yield ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    calibrate(parser.parse_args().draws)
