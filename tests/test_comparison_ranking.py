"""Rankings, budgets and lines against independent computations, and how often intervals hold."""

import math
from dataclasses import replace

import numpy as np
import pytest
from compared_runs import compared_run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from memtrace.comparison import ranking
from memtrace.comparison.agreement import Agreement, phi
from memtrace.comparison.budget import plans
from memtrace.comparison.fit import compare_loaded
from memtrace.comparison.ranking import FOLDS, area, best_threshold, folds_of, rank
from memtrace.comparison.regression import fit_line
from memtrace.comparison.scale import predict_largest
from memtrace.comparison.seeds import mean_over_pairs
from memtrace.comparison.text_scores import RowScores
from memtrace.texts.groups import Texts

values = st.lists(st.sampled_from([-np.inf, -9.0, -4.5, -2.0, -0.5, 0.0]), min_size=1, max_size=12)


@given(values, values)
def test_area_is_the_chance_that_a_memorized_text_ranks_above_another(positive, negative):
    pairs = [(a > b) + (a == b) / 2 for a in positive for b in negative]
    found = area(np.sort(positive), np.sort(negative))
    assert found.value == pytest.approx(np.mean(pairs))
    low, high = found.ci95
    assert 0 <= low <= found.value <= high <= 1


@given(values, values)
def test_best_threshold_has_the_largest_f1_of_all(positive, negative):
    def f1(least):
        right = sum(value >= least for value in positive)
        taken = right + sum(value >= least for value in negative)
        return 2 * right / (taken + len(positive))

    found = best_threshold(np.sort(positive), np.sort(negative))
    assert f1(found) == pytest.approx(max(f1(least) for least in {*positive, *negative}))


@given(st.lists(st.tuples(st.integers(-6, 0), st.booleans()), min_size=6, max_size=60))
def test_held_out_texts_are_counted_by_thresholds_chosen_without_them(pairs):
    scores = np.array([float(score) for score, _ in pairs])
    memorized = np.array([hit for _, hit in pairs])
    names = np.arange(len(pairs)) * 7
    found = rank(scores, memorized, names, recall=0.8)
    folds = folds_of(names)
    if len(set(folds[memorized].tolist())) < 2:
        assert found.held_out is None
        return
    taken = np.zeros(len(pairs), bool)
    for fold in range(FOLDS):
        rest = folds != fold
        least = best_threshold(
            np.sort(scores[rest & memorized]), np.sort(scores[rest & ~memorized])
        )
        taken[folds == fold] = scores[folds == fold] >= least
    assert found.held_out.both == (taken & memorized).sum()
    assert found.held_out.first == taken.sum()
    least = np.sort(scores[memorized])[::-1][math.ceil(0.8 * memorized.sum() - 1e-9) - 1]
    assert found.budget == pytest.approx((scores >= least).mean())


@pytest.mark.parametrize("block", [97, 10_000])
def test_delong_by_its_definition(block, monkeypatch):
    monkeypatch.setattr(ranking, "BLOCK", block)
    rng = np.random.default_rng(0)
    # Memorized texts in two groups vary more than exponential ones, so that its variance decides.
    x, y = rng.normal(0, 1, 600) + 4 * (rng.random(600) < 0.5), rng.normal(size=700)
    wins = (x[:, None] > y).astype(float)
    variance = wins.mean(axis=1).var(ddof=1) / 600 + wins.mean(axis=0).var(ddof=1) / 700
    value = wins.mean()
    half = 1.959964 * math.sqrt(variance) / (value * (1 - value))
    expected = stats.logistic.cdf(stats.logistic.ppf(value) + half * np.array([-1, 1]))
    assert area(np.sort(x), np.sort(y)).ci95 == pytest.approx(expected, rel=1e-6)


def test_the_interval_of_a_budget_holds():
    """In a population of texts, the share above the value that 80% of memorized ones reach."""
    rng = np.random.default_rng(8)
    values = np.sort(rng.normal(size=200_000))
    memorized = rng.random(200_000) < stats.norm.cdf(values - 3)
    least = np.quantile(values[memorized], 0.2)
    truth, held = (values >= least).mean(), 0
    for _ in range(300):
        chosen = rng.integers(0, 200_000, 3_000)
        found = rank(values[chosen], memorized[chosen], chosen, recall=0.8)
        low, high = found.budget_ci95
        assert low <= found.budget <= high
        held += low <= truth <= high
    assert held / 300 >= 0.95


def test_a_budget_is_as_uncertain_as_the_texts_that_it_takes():
    """Where few texts rank as high as memorized ones, their number is what varies."""
    rng = np.random.default_rng(1)
    least, held = stats.norm.ppf(0.2) + 4, 0
    truth = 0.01 * 0.8 + 0.99 * stats.norm.sf(least)
    for _ in range(100):
        memorized = rng.random(10_000) < 0.01
        values = rng.normal(size=10_000) + 4 * memorized
        low, high = rank(values, memorized, np.arange(10_000), recall=0.8).budget_ci95
        held += low <= truth <= high
    assert held >= 93


def test_perfect_ranks_have_an_interval_that_their_number_sets():
    found = area(np.array([-1.0, 0.0]), np.array([-3.0] * 50))
    assert found.value == 1
    assert found.ci95 == pytest.approx((0.025**0.5, 1.0))


@pytest.mark.parametrize(("memorized", "shift"), [(10, 1.2), (20, 2.5), (600, 2.0), (600, 4.5)])
def test_intervals_of_the_area_hold_at_least(memorized, shift):
    rng = np.random.default_rng(1)
    truth = stats.norm.cdf(shift / math.sqrt(2))
    covered = []
    for _ in range(300):
        x, y = rng.normal(shift, 1, memorized), rng.normal(size=2 * memorized + 400)
        low, high = area(np.sort(x), np.sort(y)).ci95
        covered.append(low <= truth <= high)
    assert np.mean(covered) >= 0.92


@pytest.mark.parametrize("cells", [(20, 10, 10), (5, 5, 5), (200, 5, 5), (30, 30, 300)])
def test_intervals_of_agreement_hold(cells):
    n = 20_000
    chances = np.array([*cells, n - sum(cells)]) / n
    both, first, second = chances[0], chances[0] + chances[1], chances[0] + chances[2]
    truth = {
        "precision": both / first,
        "recall": both / second,
        "f1": 2 * both / (first + second),
        "mcc": phi(both, first, second, 1.0),
        "jaccard": both / (first + second - both),
    }
    held = dict.fromkeys(truth, 0)
    draws = np.random.default_rng(2).multinomial(n, chances, 300)
    for a, b, c, _ in draws.tolist():
        found = Agreement(a, a + b, a + c, n)
        for name, value in truth.items():
            low, high = getattr(found, name).ci95
            held[name] += not (value < low or value > high)
    assert all(count / 300 >= 0.91 for count in held.values()), held


@pytest.mark.parametrize(("scatter", "counting"), [(0.15, 0.0), (0.1, 0.05), (0.0, 0.1)])
def test_intervals_of_a_line_through_few_models_hold(scatter, counting):
    rng, n, k = np.random.default_rng(3), 80, 5
    x = np.geomspace(7e7, 1.2e10, k)
    covariance = counting**2 * (0.5 * np.eye(k) + 0.5)
    factor = np.linalg.cholesky(covariance + 1e-15 * np.eye(k))
    inside = ahead = 0
    for _ in range(n):
        noise = scatter * rng.normal(size=k) + factor @ rng.normal(size=k)
        line = fit_line(x, np.exp(0.3 * np.log(x) - 9 + noise), covariance)
        low, high = line.interval(1)
        inside += low <= 0.3 <= high
        one_more = math.exp(0.3 * math.log(5e10) - 9 + scatter * rng.normal())
        _, (low, high) = line.predict(5e10)
        ahead += low <= one_more <= high
    assert inside / n >= 0.9
    assert ahead / n >= 0.9


def test_seeds_of_a_size_are_one_point_of_its_line():
    rng = np.random.default_rng(9)
    x = np.repeat([1e6, 1e7, 1e8, 1e9], 3)
    size, seed = np.repeat(rng.normal(0, 0.2, 4), 3), rng.normal(0, 0.1, 12)
    y = np.exp(0.3 * np.log(x) - 9 + size + seed)
    line = fit_line(x, y, np.zeros((12, 12)))
    means = np.log(y).reshape(4, 3).mean(axis=1)
    expected = stats.linregress(np.log(x[::3]), means)
    half = stats.t.ppf(0.975, 2) * expected.stderr
    ends = expected.slope - half, expected.slope + half
    assert line.interval(1) == pytest.approx(ends, rel=1e-4)
    within = np.log(y).reshape(4, 3).var(axis=1, ddof=1).mean()
    assert line.of_seed == pytest.approx(within * 2 / 3)
    assert line.weights @ np.log(y) == pytest.approx(line.coefficients)


def test_the_largest_model_has_a_counting_error_of_its_own():
    """Added where its counts are its own; none where all shares err alike."""
    x = 10.0 ** np.arange(4, 9)
    y = 1e-4 * x**0.25
    own = np.zeros((5, 5))
    own[4, 4] = 0.04
    low, high = predict_largest(range(5), x, y, own).predicted.ci95
    half = stats.t.ppf(0.975, 2) * 0.2
    assert (math.log(low / y[4]), math.log(high / y[4])) == pytest.approx((-half, half), rel=1e-3)
    low, high = predict_largest(range(5), x, y, np.full((5, 5), 0.04)).predicted.ci95
    assert math.log(high / low) < 1e-4


def test_a_line_without_counting_error_is_least_squares():
    rng = np.random.default_rng(4)
    x = np.geomspace(1e6, 1e9, 7)
    y = np.exp(0.4 * np.log(x) - 12 + 0.1 * rng.normal(size=7))
    line = fit_line(x, y, np.zeros((7, 7)))
    ours = stats.linregress(np.log(x), np.log(y))
    assert line.coefficients[1] == pytest.approx(ours.slope)
    half = stats.t.ppf(0.975, 5) * ours.stderr
    assert line.interval(1) == pytest.approx((ours.slope - half, ours.slope + half), rel=1e-4)
    assert line.p_value(1) == pytest.approx(ours.pvalue, rel=1e-3)


def test_the_jackknife_over_members_by_leaving_each_out():
    rng = np.random.default_rng(5)
    values = rng.random((5, 5))
    off = ~np.eye(5, dtype=bool)
    mean = values[off].mean()
    without = []
    for i in range(5):
        kept = np.delete(np.delete(values, i, 0), i, 1)
        without.append(kept[~np.eye(4, dtype=bool)].mean())
    pseudo = 5 * mean - 4 * np.array(without)
    half = stats.t.ppf(0.975, 4) * pseudo.std(ddof=1) / math.sqrt(5)
    found = mean_over_pairs(values)
    assert found.value == pytest.approx(mean)
    assert found.ci95 == pytest.approx((max(mean - half, 0), min(mean + half, 1)))


def test_scores_of_texts_are_the_largest_of_their_copies():
    texts = Texts.from_labels([0, 1, 0, 2, 1, 3], [0, 1, 0, 2, 1, 0]).merged
    scores = RowScores(np.array([-5, -2, -4, np.nan, -np.inf, -1], np.float32))
    every = np.array([[0, 3], [4, 6]])
    found, hit, names = scores.of_texts(np.array([4]), every, texts)
    assert names.tolist() == [0, 1]
    assert found.tolist() == [-1, -2]
    assert hit.tolist() == [False, True]
    alone = scores.of_texts(np.array([4]), every, None)
    assert alone[2].tolist() == [0, 1, 2, 4, 5]


def test_a_plan_finds_what_it_says_and_costs_what_it_says():
    """Carried out on the texts: the small model's, then as many others at random as are planned."""
    rng = np.random.default_rng(6)
    n, small, large = 40_000, 10**6, 10**7
    ease = rng.normal(size=n)
    hits = [np.flatnonzero(ease + rng.normal(size=n) > cut) for cut in (2.5, 2.2)]
    runs = [
        compared_run(hit, range(n), model=f"m{size}", rows=n, exposed_rows=n, parameters=size)
        for hit, size in zip(hits, (small, large), strict=True)
    ]
    (plan,) = plans(runs, compare_loaded(runs).predictions, recall=0.8)
    first = set(hits[0].tolist())
    others = rng.permutation([row for row in range(n) if row not in first])
    asked = [*first, *others[: round(plan.texts * n) - len(first)]]
    share = len(set(asked) & set(hits[1].tolist())) / len(hits[1])
    assert share == pytest.approx(0.8, abs=0.02)
    assert plan.cost == pytest.approx(0.1 + len(asked) / n, abs=1e-4)
    assert plan.ci95[0] <= plan.cost <= plan.ci95[1]
    assert replace(plan, cost=0.5, ci95=(0.4, 0.6)).saves
    for cost, end in ((0.799, 0.799), (0.77, 0.78), (0.5, 0.81), (0.5, math.nan)):
        assert not replace(plan, cost=cost, ci95=(0.4, end)).saves, "next to nothing, or unsure"
    everything = plans(runs, compare_loaded(runs).predictions, recall=0.05)[0]
    assert everything.texts < len(first) / n  # a part of the small model's texts is enough
