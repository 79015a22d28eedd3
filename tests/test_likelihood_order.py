"""Order in likelihoods: each statistic against another way to compute it, and as a whole."""

import json

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from memtrace.errors import FitError
from memtrace.likelihood import order_of_rows, rows
from memtrace.likelihood.ages import age_ranges
from memtrace.likelihood.difference import adjusted_difference, rows_needed
from memtrace.likelihood.ranks import (
    BinnedRanks,
    bins_of,
    compare_ranks,
    partial_correlation,
    rank_correlation,
)
from memtrace.likelihood.sums import Sums
from memtrace.manifests.schedule import steps_of


def rows_of(n=4000, *, effect=0.0, fading=False, seed=0, exposed=0.6):
    """Return baseline and log-likelihoods of shuffled rows; exposure adds `effect` nats."""
    rng = np.random.default_rng(seed)
    b = -rng.gamma(4, 15, n)
    y = 0.8 * b - 5 + rng.normal(0, 5, n)
    seen = int(exposed * n)
    age = np.arange(seen)[::-1] / seen
    y[:seen] += effect * (np.exp(-3 * age) if fading else 1)
    return b, np.minimum(y, -1e-3)


def fit(n=4000, *, adjusted=True, per_step=20, exposed=0.6, **how):
    b, y = rows_of(n, exposed=exposed, **how)
    seen = int(exposed * n)
    return order_of_rows(
        np.arange(n),
        y,
        baseline=b if adjusted else None,
        exposed_rows=seen,
        step=seen // per_step,
        sequences_per_step=per_step,
    )


@pytest.mark.parametrize("n", [200, 2000])
def test_rank_correlation_is_spearmans(n) -> None:
    values = np.random.default_rng(n).integers(0, n // 3, n).astype(float)

    found = rank_correlation(values)

    assert found.rho == pytest.approx(stats.spearmanr(np.arange(n), values).statistic, abs=1e-12)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.rho) * np.sqrt(n - 1)))


def test_permutations_of_few_rows_agree_with_those_of_scipy() -> None:
    values = np.random.default_rng(1).normal(size=40).cumsum()

    found = rank_correlation(values, seed=3)

    def rho(x):
        return stats.spearmanr(x, values).statistic

    theirs = stats.permutation_test((np.arange(40),), rho, permutation_type="pairings",
                                    n_resamples=2000, rng=np.random.default_rng(0))  # fmt: skip
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.03)


def test_partial_correlation_is_that_of_residuals() -> None:
    b, y = rows_of(300, effect=2)

    found = partial_correlation(y, b)

    rank_b = sm.add_constant(stats.rankdata(b))
    left = [sm.OLS(x, rank_b).fit().resid for x in (np.arange(300.0), stats.rankdata(y))]
    assert found.rho == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-10)


def test_binned_ranks_are_exact_for_binned_values_and_close_to_exact_ones() -> None:
    _b, y = rows_of(30_000, effect=3, fading=True)
    ranks = BinnedRanks()
    for part in np.array_split(bins_of(y, 32), 7):
        ranks.add(part)

    assert ranks.correlation().rho == pytest.approx(rank_correlation(bins_of(y, 32)).rho, abs=1e-12)
    assert ranks.correlation().rho == pytest.approx(rank_correlation(y).rho, abs=1e-5)
    assert (np.diff(bins_of(np.sort(y), 32)) >= 0).all()
    assert bins_of(np.array([-1e9, 0.0, 1e-6]), 32).tolist() == [0, 65_535, 65_535]


def test_comparison_of_ranks_is_mann_and_whitneys() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, 300), rng.integers(1, 20, 200)
    counts = [np.bincount(one, minlength=20) for one in (x, y)]

    theirs = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False).pvalue
    assert compare_ranks(*counts) == pytest.approx(theirs, rel=1e-9)


def test_adjusted_difference_is_the_interacted_regression() -> None:
    b, y = rows_of(500, effect=1.5)
    seen = np.arange(500) < 300
    x = b - b.mean()

    found = fit(500, effect=1.5).difference

    design = np.column_stack((np.ones(500), seen, x, seen * x))
    assert found.nats == pytest.approx(sm.OLS(y, design).fit().params[1], abs=1e-9)
    groups = [sm.OLS(y[g], sm.add_constant(x[g])).fit() for g in (seen, ~seen)]
    error = np.sqrt(sum(group.mse_resid / group.nobs for group in groups))
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    parts = np.array([group.mse_resid / group.nobs for group in groups])
    own = np.array([group.df_resid for group in groups])
    assert found.degrees_of_freedom == pytest.approx(parts.sum() ** 2 / (parts**2 / own).sum())
    assert found.degrees_of_freedom <= 496


def test_raw_difference_is_welchs() -> None:
    _, y = rows_of(500, effect=1.5)
    theirs = stats.ttest_ind(y[:300], y[300:], equal_var=False)

    found = fit(500, effect=1.5, adjusted=False)

    assert found.adjusted is None
    assert found.difference.p_value == pytest.approx(theirs.pvalue)
    assert found.difference.interval() == pytest.approx(tuple(theirs.confidence_interval()))


def test_few_exposed_rows_give_few_degrees_of_freedom() -> None:
    """Against Satterthwaite's formula on the residuals of two lines."""
    found = fit(4000, exposed=0.002, per_step=1).adjusted
    b, y = rows_of(4000, exposed=0.002)
    groups = [(b[:8], y[:8]), (b[8:], y[8:])]
    parts = []
    for x, z in groups:
        residuals = z - np.polyval(np.polyfit(x, z, 1), x)
        parts.append((residuals**2).sum() / (len(x) - 2) / len(x))
    own = np.array([len(x) - 2 for x, _ in groups])

    df = sum(parts) ** 2 / (np.array(parts) ** 2 / own).sum()
    assert found.degrees_of_freedom == pytest.approx(df)
    assert df < 7  # and not 3,996
    t = found.nats / found.standard_error
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), df))


def test_few_exposed_rows_are_not_found_to_differ_too_often() -> None:
    rejected = 0
    for seed in range(400):
        b, y = rows_of(300, seed=seed)
        sums = Sums(2, (-50.0, -40.0))
        sums.add(np.array([0, 7, 300]), b, y)
        rejected += adjusted_difference(*(sums.moments(k, k + 1) for k in range(2))).p_value < 0.05

    # With n - 4 degrees of freedom it is one in seven.
    assert rejected < 400 * 0.09


def test_equivalence_is_a_90_percent_interval_inside_the_margin() -> None:
    for seed in range(6):
        found = fit(3000, effect=0.2, seed=seed)
        low, high = found.difference.interval(0.9)
        margin = found.equivalence.margin * 32
        assert found.equivalence.equivalent == (-margin < low and high < margin)


def test_detectable_difference_is_what_so_many_rows_show() -> None:
    found = fit(4000).difference

    needed = rows_needed(found.detectable, found.residual_sd, 0.6)
    assert needed == pytest.approx(4000, rel=0.02)


def test_sums_do_not_depend_on_blocks() -> None:
    b, y = rows_of(1000, effect=2)
    edges = np.array([0, 100, 350, 600])
    whole, parts = (Sums(4, (-50.0, -40.0)) for _ in range(2))
    whole.add(np.append(edges, 1000), b, y)
    for start in range(0, 1000, 130):
        cut = slice(start, start + 130)
        ends = np.clip(np.append(edges, 1000) - start, 0, len(y[cut]))
        parts.add(ends, b[cut], y[cut])

    for place in range(4):
        one, other = (x.moments(place, place + 1) for x in (whole, parts))
        assert vars(one) == pytest.approx(vars(other), rel=1e-9)
    y2, b2 = y[100:350], b[100:350]
    found = whole.moments(1, 2)
    assert found.slope == pytest.approx(np.polyfit(b2, y2, 1)[0])
    assert found.variance == pytest.approx(y2.var(ddof=1))


@pytest.mark.parametrize("schedule", [7, ((0, 3), (10, 9), (40, 12)), None])
@pytest.mark.parametrize("first", [0, 33, 95])
def test_ages_are_those_of_every_row(schedule, first) -> None:
    exposed, step = 210, 30
    if schedule not in (7, None):
        exposed = 3 * 10 + 9 * 20
    found = age_ranges(first, exposed, step, schedule)

    row = np.arange(first, exposed)
    age = exposed - 1 - row if schedule is None else step - 1 - steps_of(schedule, row)
    assert found.edges[0] == first
    assert found.edges[-1] == exposed
    for (start, stop), (low, high) in zip(
        zip(found.edges, found.edges[1:], strict=False), found.steps_ago, strict=True
    ):
        inside = age[start - first : stop - first]
        assert inside.min() == low
        assert inside.max() == high - 1
        assert low == 0 or high <= 2 * low


def test_the_curve_is_the_mean_residual_by_age() -> None:
    b, y = rows_of(effect=4, fading=True)
    found = fit(effect=4, fading=True)
    unseen = slice(2400, None)
    slope, intercept = np.polyfit(b[unseen], y[unseen], 1)
    left = y - slope * b - intercept
    age = 119 - np.arange(2400) // 20

    for one in found.recency.bins:
        inside = (one.steps_ago[0] <= age) & (age < one.steps_ago[1])
        assert one.n == inside.sum()
        assert one.nats == pytest.approx(left[:2400][inside].mean(), abs=1e-9)
    assert found.recency.largest.steps_ago[1] <= 16
    assert 0 < found.recency.retention < 0.5


def test_the_band_is_that_of_the_largest_of_all_differences() -> None:
    """Dunnett's, by drawing differences that share one control."""
    found = fit(4000, exposed=0.8).recency
    assert not found.drawn or min(one.n for one in found.bins) < 30
    rng = np.random.default_rng(0)
    counts = np.array([one.n for one in found.bins])
    control = rng.normal(0, 1 / np.sqrt(800), (40_000, 1))
    t = rng.normal(0, 1 / np.sqrt(counts), (40_000, len(counts))) - control
    t /= np.sqrt(1 / counts + 1 / 800)

    assert np.quantile(np.abs(t).max(axis=1), 0.95) == pytest.approx(found.critical, abs=0.05)


def test_without_unexposed_rows_the_curve_is_relative_to_the_oldest_age() -> None:
    found = fit(effect=4, fading=True, exposed=1.0)

    assert found.difference.reason == "no unexposed row was scanned"
    assert found.recency.relative
    assert np.isnan(found.recency.retention)
    assert found.recency.bins[0].nats > 2
    assert "relative" in found.verdict


def test_nothing_is_concluded_where_rows_are_not_shuffled() -> None:
    """Rows sorted by what they are: every test is significant, and none is believed."""
    b, y = rows_of(2000)
    order = np.argsort(b)
    found = order_of_rows(np.arange(2000), y[order], baseline=b[order], exposed_rows=1000)

    assert len(found.controls.failed) == 3
    assert found.difference.p_value < 1e-6 or found.spearman.p_value < 1e-6
    assert "nothing can be concluded" in found.verdict
    assert "adds" not in found.verdict


def test_an_effect_that_turns_round_is_not_said_to_be_left() -> None:
    b, y = rows_of(4000)
    y[1200:2400] += 6
    y[:1200] -= 3
    found = order_of_rows(np.arange(4000), y, baseline=b, exposed_rows=2400, step=120,
                          sequences_per_step=20)  # fmt: skip
    assert found.recency.retention < 0
    assert "is reversed 64 to 119 steps after exposure" in found.verdict


def test_shuffled_rows_have_the_size_that_is_said() -> None:
    """Positions drawn anew: how often each test says that something is there, at 5%."""
    b, y = rows_of(600)
    rng = np.random.default_rng(5)
    found = []
    for _ in range(300):
        order = rng.permutation(600)
        one = order_of_rows(np.arange(600), y[order], baseline=b[order], exposed_rows=400,
                            step=10, sequences_per_step=40)  # fmt: skip
        found.append(
            [
                one.difference.p_value,
                one.raw.p_value,
                one.spearman.p_value,
                one.partial.p_value,
                one.recency.p_value,
                one.controls.balance,
                one.controls.unexposed.p_value,
                one.controls.baseline.p_value,
            ]
        )
    size = (np.array(found) < 0.05).mean(axis=0)
    assert (size > 0.05 - 3.3 * 0.0126).all(), size
    assert (size < 0.05 + 3.3 * 0.0126).all(), size


def test_ages_with_few_rows_draw_the_band() -> None:
    b, y = rows_of(300)
    found = order_of_rows(np.arange(300), y, baseline=b, exposed_rows=200, step=50,
                          sequences_per_step=4)  # fmt: skip

    assert found.recency.drawn
    assert 2.2 < found.recency.critical < 3.5


def test_a_stream_gives_what_rows_in_memory_give(monkeypatch) -> None:
    whole = fit(20_000, effect=2, fading=True)
    monkeypatch.setattr(rows, "EXACT_ROWS", 5000)
    found = fit(20_000, effect=2, fading=True)

    assert not found.exact
    assert found.difference == whole.difference
    assert found.recency.bins == whole.recency.bins
    assert found.spearman.rho == pytest.approx(whole.spearman.rho, abs=1e-4)
    assert found.controls.balance == pytest.approx(whole.controls.balance, abs=1e-3)
    assert found.controls.baseline.rho == pytest.approx(whole.controls.baseline.rho, abs=1e-4)
    assert found.partial.rho == pytest.approx(whole.partial.rho, abs=0.06)
    assert found.partial.n == pytest.approx(3000, abs=200)


def test_what_cannot_be_said_is_refused_or_null() -> None:
    y = -np.arange(1.0, 11.0)
    with pytest.raises(FitError, match="none of the 10 rows"):
        order_of_rows(np.arange(10), y, exposed_rows=0)
    with pytest.raises(FitError, match="ascending"):
        order_of_rows([3, 3], [-1, -2], exposed_rows=5)
    with pytest.raises(FitError, match="give one for each row"):
        order_of_rows([3, 4], [-1], exposed_rows=5)
    with pytest.raises(FitError, match="1 of 10 log-likelihoods"):
        order_of_rows(np.arange(10), np.append(y[:-1], np.nan), exposed_rows=5)
    with pytest.raises(FitError, match="margin"):
        order_of_rows(np.arange(10), y, exposed_rows=5, margin=0)
    for n, exposed in ((1, 1), (2, 1), (3, 1), (4, 2), (10, 9), (10, 10)):
        for values in (y[:n], np.full(n, -3.0)):
            found = order_of_rows(np.arange(n), values, baseline=values, exposed_rows=exposed)
            json.dumps(found.to_dict(), allow_nan=False)
            assert found.summary()
            assert found.verdict


def test_a_document_has_a_reason_for_every_null() -> None:
    def check(value, where="document"):
        if isinstance(value, dict):
            empty = [key for key, one in value.items() if one is None and "reason" not in key]
            reasons = [key for key in value if "reason" in key and value[key]]
            assert not empty or reasons, (where, empty)
            for key, one in value.items():
                check(one, f"{where}.{key}")

    for one in (fit(), fit(adjusted=False), fit(exposed=1.0)):
        document = one.to_dict()
        for key in ("label", "step", "baseline", "texts"):
            document.pop(key)
        check(document)
