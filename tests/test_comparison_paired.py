"""Two models asked for the same texts: tables, intervals and hazard ratios by other methods."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from memtrace.comparison.paired.hazard_ratio import PairedTimes, hazard_ratio
from memtrace.comparison.paired.mean_difference import MeanDifference, mean_difference
from memtrace.comparison.paired.shares import PairedShares, tango_interval

counts = st.integers(0, 40)


def constrained_score(d: float, more: int, fewer: int, n: int) -> float:
    """Tango's statistic with the likelihood maximised by a search, not by its root."""

    def cost(q: float) -> float:
        chances = [q + d, q, 1 - 2 * q - d]
        return -sum(
            k * math.log(max(p, 1e-300))
            for k, p in zip((more, fewer, n - more - fewer), chances, strict=True)
            if k
        )

    low, high = max(0.0, -d), (1 - d) / 2
    q = optimize.minimize_scalar(
        cost, bounds=(low, high), method="bounded", options={"xatol": 1e-13}
    )
    return (more - fewer - n * d) / math.sqrt(n * (2 * q.x + d - d**2))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 200))
@settings(max_examples=40)
def test_score_interval_ends_where_the_constrained_statistic_is_its_quantile(more, fewer, rest):
    n = more + fewer + rest
    if not n:
        assert all(map(math.isnan, tango_interval(more, fewer, n)))
        return
    low, high = tango_interval(more, fewer, n)
    assert -1 <= low <= (more - fewer) / n <= high <= 1
    for end, quantile in ((low, 1.959964), (high, -1.959964)):
        if abs(end) < 1 - 1e-9 and abs(end) > 1e-12:
            assert constrained_score(end, more, fewer, n) == pytest.approx(quantile, abs=2e-3)


def test_score_interval_is_the_published_one():
    # Fagerland, Lydersen and Laake (2014), Stat. Med. 33:2850, table II: 1, 1, 7 and 12 of 21.
    low, high = tango_interval(1, 7, 21)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@given(counts, counts, counts, counts)
@settings(max_examples=50)
def test_paired_shares_are_those_of_a_table_of_answers(both, baseline, model, neither):
    answers = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], (both, baseline, model, neither), axis=0)
    found = PairedShares(len(answers), both, baseline, model)
    if not len(answers):
        assert math.isnan(found.difference)
        return
    assert found.neither == neither
    assert [found.baseline_share, found.model_share] == pytest.approx(answers.mean(axis=0))
    assert found.difference == pytest.approx(float(np.diff(answers, axis=1).mean()))
    only = baseline + model
    exact = stats.binomtest(model, only).pvalue if only else 1.0
    assert found.p_value == pytest.approx(exact)
    low, high = found.odds_ratio_ci95
    if only:  # test and interval agree about a ratio of 1
        assert (low > 1 or high < 1) == (exact < 0.05)


def test_score_interval_holds_the_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for n, chances in ((60, (0.2, 0.1)), (4000, (0.004, 0.001))):
        draws = rng.multinomial(n, [*chances, 1 - sum(chances)], 400)
        ends = np.array([tango_interval(more, fewer, n) for more, fewer, _ in draws.tolist()])
        covered = (ends[:, 0] <= chances[0] - chances[1]) & (chances[0] - chances[1] <= ends[:, 1])
        assert stats.binomtest(int(covered.sum()), 400, 0.95).pvalue > 0.001


def paired_times(seed: int, n: int = 400, checkpoints: int = 5, ratio: float = 1.8):
    """Texts with a frailty of their own, so that both answers to one hang together."""
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, checkpoints, n)
    hazard = 0.15 * rng.gamma(2, 0.5, n)
    times = []
    for factor in (1, ratio):
        waits = rng.geometric(-np.expm1(-hazard * factor)) - 1
        times.append(np.minimum(entry + waits, checkpoints))
    return entry, times[0], times[1], checkpoints


def by_statsmodels(entry, baseline, model, checkpoints):
    """The same model on one line for each text, model and checkpoint, with clustered errors."""
    import statsmodels.api as sm

    lines = [
        (text, arm, 2 * c + (c > entry[text]), when[text] == c)
        for arm, when in enumerate((baseline, model))
        for text in range(len(entry))
        for c in range(entry[text], min(when[text], checkpoints - 1) + 1)
    ]
    text, arm, stratum, event = np.array(lines).T
    some = [s for s in np.unique(stratum) if event[stratum == s].any()]
    kept = np.isin(stratum, some)
    dummies = stratum[kept, None] == np.array(some)
    design = np.column_stack((arm[kept], dummies)).astype(float)
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    fit = sm.GLM(event[kept], design, family=family).fit(
        tol=1e-12,
        cov_type="cluster",
        cov_kwds={"groups": text[kept], "use_correction": False},
    )
    return fit.params[0], fit.bse[0]


@pytest.mark.parametrize("seed", range(3))
def test_hazard_ratio_is_that_of_a_regression_on_single_lines(seed):
    entry, baseline, model, checkpoints = paired_times(seed)
    keys, texts = np.unique(np.column_stack((entry, baseline, model)), axis=0, return_counts=True)
    found = hazard_ratio(PairedTimes(*keys.T, texts, checkpoints))
    beta, error = by_statsmodels(entry, baseline, model, checkpoints)
    assert math.log(found.ratio) == pytest.approx(beta, abs=1e-6)
    ends = np.log(found.ci95)
    assert float(np.diff(ends)[0]) == pytest.approx(2 * 1.959964 * error, rel=1e-5)
    alone = hazard_ratio(PairedTimes(entry, baseline, model, np.ones_like(entry), checkpoints))
    assert alone.ratio == pytest.approx(found.ratio)
    assert alone.ci95 == pytest.approx(found.ci95)
    assert found.emerged == (int((baseline < checkpoints).sum()), int((model < checkpoints).sum()))
    assert found.first == (int((baseline < model).sum()), int((model < baseline).sum()))


def test_swapping_the_models_turns_the_hazard_ratio_over():
    entry, baseline, model, checkpoints = paired_times(7)
    ones = np.ones_like(entry)
    one = hazard_ratio(PairedTimes(entry, baseline, model, ones, checkpoints))
    other = hazard_ratio(PairedTimes(entry, model, baseline, ones, checkpoints))
    assert one.ratio * other.ratio == pytest.approx(1)
    assert one.ci95[0] * other.ci95[1] == pytest.approx(1)
    assert one.p_value == pytest.approx(other.p_value)


def test_few_emergences_have_counts_and_a_reason():
    never = np.array([3, 3])
    found = hazard_ratio(
        PairedTimes(np.zeros(2, int), never, np.array([1, 3]), np.array([1, 9]), 3)
    )
    assert math.isnan(found.ratio)
    assert found.first == (0, 1)
    assert "0 texts emerged in the baseline and 1 in the model" in found.reason


def ratio_of(*lines, checkpoints=2):
    """The ratio of texts given as entry, emergence in the baseline and in the model, number."""
    entry, baseline, model, texts = np.array(lines).T
    return hazard_ratio(PairedTimes(entry, baseline, model, texts, checkpoints))


@pytest.mark.parametrize(
    "lines",
    [
        [(0, 0, 0, 5), (0, 2, 0, 95)],  # all emerge in the model at once
        [(0, 0, 0, 5), (0, 0, 2, 95), (1, 1, 1, 50)],  # and in the baseline; then all in both
        [(0, 0, 0, 50), (0, 2, 0, 50), (1, 2, 2, 100)],  # nobody emerges later
    ],
)
def test_a_ratio_without_a_bound_has_a_reason_and_no_number(lines):
    found = ratio_of(*lines)
    assert math.isnan(found.ratio)
    assert all(map(math.isnan, found.ci95))
    assert "no bound" in found.reason


def test_a_ratio_is_bounded_by_what_each_checkpoint_allows():
    # The baseline alone at the first, the model alone at the second: each bounds one side.
    found = ratio_of((0, 0, 2, 10), (0, 2, 1, 10), (0, 2, 2, 80))
    assert found.reason is None
    assert found.ci95[0] < found.ratio < found.ci95[1]
    # Texts that emerge in both at once, all of them, tell nothing.
    more = ratio_of((0, 0, 2, 10), (0, 2, 1, 10), (0, 2, 2, 80), (1, 1, 1, 40))
    assert more.ratio == pytest.approx(found.ratio)
    assert more.ci95 == pytest.approx(found.ci95)


def test_equal_models_have_no_interval_of_width_0():
    found = ratio_of((0, 0, 0, 10), (0, 1, 1, 20), (0, 2, 2, 70))
    assert math.isnan(found.p_value)
    assert all(map(math.isnan, found.ci95))
    assert "error cannot be" in found.reason
    same = mean_difference(np.zeros(9))
    assert "error cannot be" in same.reason
    assert all(map(math.isnan, same.ci95))


@given(st.lists(st.floats(-9, 9), max_size=30), st.integers(0, 30))
@settings(max_examples=50)
def test_mean_difference_in_blocks_is_that_of_all(values, cut):
    parts = mean_difference(values[:cut]).plus(mean_difference(values[cut:]))
    whole = mean_difference(values)
    assert parts.texts == whole.texts == len(values)
    if values:
        assert parts.mean == pytest.approx(whole.mean, abs=1e-12)
    if len(values) > 1 and np.std(values) > 1e-6:
        mean, error = np.mean(values), stats.sem(values)
        ends = stats.t.interval(0.95, len(values) - 1, mean, error)
        assert parts.ci95 == pytest.approx(ends)
        assert parts.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_difference_of_mean_differences_is_welchs():
    rng = np.random.default_rng(3)
    one, other = rng.normal(1, 2, 40), rng.normal(0, 1, 25)
    apart, ends = mean_difference(one).minus(mean_difference(other))
    expected = stats.ttest_ind(one, other, equal_var=False)
    assert apart == pytest.approx(one.mean() - other.mean())
    assert ends == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert MeanDifference(0, math.nan, 0.0).ci95[0] != 0
