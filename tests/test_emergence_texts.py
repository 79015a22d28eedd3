"""Texts as the unit of emergence: copies, exposure, forgetting, and what is refused."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from builders import write_run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from memtrace.corpus.copies import Copies, write_copies, write_near_copies
from memtrace.emergence import fit_emergence
from memtrace.emergence.copies_effect import copies_effect
from memtrace.emergence.copy_steps import CopySteps
from memtrace.emergence.dispersion import dispersion_about
from memtrace.emergence.exposure_effect import stratified_ratio
from memtrace.emergence.moves import moves_by_text
from memtrace.emergence.process.fit import fit_emergence_process
from memtrace.errors import CorpusError
from memtrace.runs.run import Run, find_runs
from memtrace.texts.groups import Texts

CHECKPOINTS = [0, 16, 32, 64, 96, 128]
PER_STEP = 8
ROWS = PER_STEP * CHECKPOINTS[-1]


def simulated(
    rng: np.random.Generator, labels: np.ndarray, exponent: float, rate: float, per_step: int
) -> np.ndarray:
    """Draw the step at which each text emerges: hazard rate copies^exponent, shocks by interval."""
    n = len(labels) // per_step
    seen = np.zeros((labels.max() + 1, n))
    np.add.at(seen, (labels, np.arange(len(labels)) // per_step), 1)
    seen = seen.cumsum(axis=1)
    shock = np.exp(rng.normal(0, 0.5, len(CHECKPOINTS)))
    rates = rate * shock[np.searchsorted(CHECKPOINTS, np.arange(n), side="right") - 1]
    hazard = np.where(seen > 0, np.maximum(seen, 1) ** exponent, 0) * rates
    target = rng.exponential(size=len(seen))
    return (hazard.cumsum(axis=1) < target[:, None]).sum(axis=1) + 1.0


def copied(rng: np.random.Generator, n: int, repeated: int, copies: int) -> np.ndarray:
    """Return a text for each of n rows in random order: some with many copies, others alone."""
    labels = np.concatenate((np.repeat(np.arange(repeated), copies), np.arange(repeated, n)))[:n]
    return np.unique(rng.permutation(labels), return_inverse=True)[1]


def write_runs(folder, labels: np.ndarray, memorized: Callable[[int], np.ndarray]) -> list[Run]:
    """Write what each checkpoint has of the texts; all rows are scanned at each."""
    for step in CHECKPOINTS:
        write_run(
            folder,
            lambda rows, step=step: np.where(memorized(step)[labels[rows]], 32, 3),
            model="small",
            step=step,
            stop=ROWS,
            exposed_rows=PER_STEP * step,
            corpus_rows=ROWS,
            sequences_per_step=PER_STEP,
            shard_size=ROWS,
            weight_digest=str(step),
        )
    return find_runs(folder)


def times_at_risk(
    labels: np.ndarray, time: np.ndarray, per_step: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the steps at risk of each text by itself: of those that waited, and that emerged."""
    order = np.argsort(labels, kind="stable")
    steps = CopySteps(np.arange(len(time)), labels[order], order // per_step)
    waiting, emerged = [], []
    for low, high in pairwise(CHECKPOINTS):
        now = (low < time) & (time <= high)
        for kept, at_risk in ((waiting, time > high), (emerged, now)):
            text, copies, length = steps.between(low, high, at_risk)
            one = {"text": text, "checkpoint": np.full_like(text, high), "copies": copies}
            kept.append(pl.DataFrame({**one, "steps": length, "count": np.ones_like(text)}))
    return pl.concat(waiting), pl.concat(emerged)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_the_interval_of_the_exponent_holds_the_truth(exponent) -> None:
    rng, inside, found, runs = np.random.default_rng(int(exponent)), 0, [], 60
    n = 32 * CHECKPOINTS[-1]
    for _ in range(runs):
        labels = copied(rng, n, 40, 10)
        time = simulated(rng, labels, exponent, 1e-3, n // CHECKPOINTS[-1])
        effect = copies_effect(*times_at_risk(labels, time, n // CHECKPOINTS[-1]))
        found.append(effect.exponent)
        inside += effect.ci95[0] <= exponent <= effect.ci95[1]
    assert inside >= 0.86 * runs  # below it with probability 0.003 at 95%
    assert np.nanmean(found) == pytest.approx(exponent, abs=0.1)


def test_runs_give_the_exponent_of_every_text_by_itself(tmp_path) -> None:
    """Texts that occur once are grouped, the others are not: the likelihood is the same."""
    rng = np.random.default_rng(3)
    labels = copied(rng, ROWS, 30, 8)
    time = simulated(rng, labels, 1.0, 2e-3, PER_STEP)
    fit = fit_emergence(
        write_runs(tmp_path, labels, lambda step: time <= step), texts=Texts.from_labels(labels)
    )
    each = copies_effect(*times_at_risk(labels, time, PER_STEP))
    assert fit.copies.emerged == each.emerged >= 5
    assert fit.copies.exponent == pytest.approx(each.exponent, abs=1e-5)
    assert fit.copies.ci95 == pytest.approx(each.ci95, abs=1e-5)
    assert fit.copies.log_likelihood == pytest.approx(each.log_likelihood)


def test_few_emergences_of_repeated_texts_are_no_exponent() -> None:
    waiting = {"checkpoint": [8, 8], "copies": [1, 2], "steps": [800, 80]}
    emerged = {"text": [0, 1], "checkpoint": [8, 8], "copies": [1, 3], "steps": [8, 8]}
    few = copies_effect(pl.DataFrame(waiting), pl.DataFrame(emerged | {"count": [4, 4]}))
    assert math.isnan(few.exponent)
    assert "4 texts emerged after more than one copy" in few.reason
    enough = copies_effect(pl.DataFrame(waiting), pl.DataFrame(emerged | {"count": [4, 5]}))
    assert enough.emerged == 5
    # All that had three copies emerged, none with two: as steep as anything that is searched.
    assert "between -1.5 and 3" in enough.reason
    assert 0 < enough.ci95[0] < enough.ci95[1] < math.inf
    # Without anything that waited with copies nothing bounds it from above.
    alone = pl.DataFrame(waiting)[:1]
    assert copies_effect(alone, pl.DataFrame(emerged | {"count": [4, 5]})).ci95[1] == math.inf
    nothing = copies_effect(alone, pl.DataFrame(emerged | {"count": [4, 5]}).clear())
    assert nothing.reason == "nothing emerged"
    # Where copies do not differ at a checkpoint, or all emerged, nothing can be told.
    for steps, copies in (([800, 80], [1, 2]), ([0, 0], [1, 3])):
        apart = pl.DataFrame({"checkpoint": [8, 16], "copies": copies, "steps": steps})
        born = {"text": [0, 1], "checkpoint": [8, 16], "copies": copies, "steps": [8, 8]}
        found = copies_effect(apart, pl.DataFrame(born | {"count": [9, 9]}))
        assert "at no checkpoint" in found.reason
        assert math.isnan(found.ci95[1])


@given(
    events=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=3),
    times=st.lists(st.integers(1, 1000), min_size=6, max_size=6),
)
def test_a_common_ratio_is_that_of_all_outcomes_with_as_many_events(events, times) -> None:
    d1, d0 = np.array(events, float).T
    if not (d1 + d0).sum():
        return
    e1, e0 = np.array(times[: len(d1)], float), np.array(times[3 : 3 + len(d1)], float)
    ratio, (low, high), p = stratified_ratio(d1, e1, d0, e0)

    def tail(theta: float, upper: bool) -> float:
        """Sum the chances of every outcome, by a full convolution."""
        mass = np.ones(1)
        for n, share in zip(d1 + d0, theta * e1 / (theta * e1 + e0), strict=True):
            mass = np.convolve(mass, stats.binom.pmf(np.arange(n + 1), n, share))
        s = int(d1.sum())
        return float(mass[s:].sum() if upper else mass[: s + 1].sum())

    if d1.any():
        assert tail(low, upper=True) == pytest.approx(0.025, abs=1e-6)
    if d0.any():
        assert tail(high, upper=False) == pytest.approx(0.025, abs=1e-6)
    assert p == pytest.approx(min(1, 2 * min(tail(1, True), tail(1, False))), abs=1e-9)
    assert low <= ratio <= high
    other, (bottom, top), same = stratified_ratio(d0, e0, d1, e1)
    assert same == pytest.approx(p)
    if d1.any() and d0.any():
        assert other * ratio == pytest.approx(1)
        assert (bottom * high, top * low) == pytest.approx((1, 1))


def test_the_interval_of_forgetting_takes_texts_as_they_differ() -> None:
    """Some texts are lost all the time and others never: looks of one text hang together."""
    rng, inside, naive, runs = np.random.default_rng(4), 0, 0, 400
    for _ in range(runs):
        looks = rng.integers(1, 20, 60)
        lost = rng.binomial(looks, rng.beta(0.5, 2, 60))
        found = moves_by_text(looks, lost, np.ones(60))
        inside += found.ci95[0] <= 0.2 <= found.ci95[1]
        low, high = stats.binomtest(int(lost.sum()), int(looks.sum())).proportion_ci()
        naive += low <= 0.2 <= high
    assert inside >= 0.91 * runs
    assert naive < 0.75 * runs


def test_few_texts_that_moved_have_no_interval() -> None:
    found = moves_by_text([3, 4, 2], [1, 0, 0], [9, 5, 5])
    assert found.share == pytest.approx(9 / 57)
    assert (found.followed, found.moved) == (19, 9)
    assert "9 texts moved: too few" in found.reason
    assert math.isnan(found.ci95[0])
    same = moves_by_text([3, 4, 2], [1, 0, 0], [10, 5, 5])
    repeated = moves_by_text([3] * 10 + [4] * 5 + [2] * 5, [1] * 10 + [0] * 10, np.ones(20))
    assert same.ci95 == pytest.approx(repeated.ci95)
    assert moves_by_text([0], [0], [5]).followed == 0
    assert moves_by_text([1], [1], [12]).reason == "every text moved each time"


def test_copies_are_counted_as_one_text_from_scores_to_page(tmp_path) -> None:
    """Five texts of 60 copies each emerge: 300 rows, of which most are seen after a copy was."""
    rng = np.random.default_rng(2)
    labels = copied(rng, ROWS, 5, 60)
    counts = np.bincount(labels)
    born = np.where(counts > 1, 40, np.inf)
    runs = write_runs(tmp_path / "runs", labels, lambda step: born <= step)
    texts = Texts.from_labels(labels)
    fit = fit_emergence(runs, texts=texts)

    assert (fit.outcomes.emerged, fit.outcomes.copies, fit.outcomes.generic) == (5, 300, 0)
    assert fit.texts == len(np.unique(labels))
    assert "300 rows, but 5 texts: too few to say how it varies" in fit.verdict
    assert math.isnan(fit.time_scales["exposure"].among_emerged(0.5).bounds[0])
    assert "too few" in fit.to_dict()["time_scales"]["exposure"]["reason"]
    table = fit.sequence_table()
    assert table["duplicate_count"].to_list() == [60] * 5
    first = [int(np.flatnonzero(labels == text)[0]) for text in np.flatnonzero(counts > 1)]
    assert table["first_index"].to_list() == sorted(first)
    process = fit_emergence_process(fit.histories)
    assert process.n_events == 5
    assert "too few" in process.trend.reason
    assert fit.checkpoints[-1].memorized_sequences == 300
    # By rows most of them had been extractable before they were trained on.
    assert fit_emergence(runs).outcomes.generic > 100

    table = Copies("c", ROWS, 64, 32, texts.names_of(texts.copies), texts.copies)
    write_copies(tmp_path / "table", 0, 1, table)
    write_near_copies(tmp_path / "table", table)
    assert fit_emergence(runs, duplicates=tmp_path / "table").to_dict() == fit.to_dict()
    with pytest.raises(CorpusError, match="no table of duplicates"):
        fit_emergence(runs, duplicates=tmp_path)


def test_without_knowing_the_copies_each_interval_says_so(tmp_path) -> None:
    labels = np.arange(ROWS)
    born = np.where(labels % 10 == 0, labels // PER_STEP + 20.0, np.inf)
    runs = write_runs(tmp_path, labels, lambda step: born <= step)
    unknown, known = fit_emergence(runs), fit_emergence(runs, texts=Texts.from_labels(labels))

    said = " ".join(unknown.summary().replace("│", " ").split())
    assert said.count("sequences are taken as different texts") >= 7
    assert "memtrace corpus duplicates" in said
    assert "memtrace corpus duplicates" in unknown.to_dict()["copies_reason"]
    assert unknown.effect.reason
    assert "sequences are taken as different texts" not in known.summary()
    # Otherwise, where no sequence is a copy, it is the same.
    assert unknown.outcomes.emerged == known.outcomes.emerged
    assert unknown.histories.risk.equals(known.histories.risk)


def test_dispersion_of_emergence_counts_texts_and_keeps_its_size(tmp_path) -> None:
    """One text of 200 copies among others: it adds one to a count, not 200."""
    labels = copied(np.random.default_rng(6), ROWS, 1, 200)
    time = simulated(np.random.default_rng(7), labels, 0.0, 2e-3, PER_STEP)
    runs = write_runs(tmp_path, labels, lambda step: time <= step)
    process = fit_emergence_process(fit_emergence(runs, texts=Texts.from_labels(labels)).histories)
    found = process.dispersion
    assert found.expected.sum() == pytest.approx(process.n_events, rel=0.05)
    assert found.degrees_of_freedom == len(process.stop) - 1
    x2 = ((process.windows.counts - found.expected) ** 2 / found.expected).sum()
    assert found.index_poisson == pytest.approx(x2 / found.degrees_of_freedom)
    assert found.index_poisson < found.index < 2 * found.index_poisson

    rng, draws, rejected = np.random.default_rng(8), 200, 0
    at_risk, chance = np.array([900, 800, 700, 500]), np.array([0.002, 0.02, 0.1, 0.3])
    for _ in range(draws):
        counts = rng.binomial(at_risk, chance)
        fitted = chance * counts.sum() / (at_risk @ chance)
        mean = at_risk * fitted
        rejected += dispersion_about(counts, mean, mean * (1 - fitted), rng).p_value <= 0.05
    assert rejected <= 0.05 * draws + 3 * math.sqrt(0.05 * 0.95 * draws)
