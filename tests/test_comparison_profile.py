"""The counterfactual profile: effects by brute force and by regression, on a known truth."""

import numpy as np
import pytest
from builders import write_run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memtrace.comparison.profile.effects import Effects
from memtrace.comparison.profile.fit import fit_profiles
from memtrace.comparison.profile.moments import CohortSums
from memtrace.comparison.runs import load_runs
from memtrace.texts.groups import Texts

EXPOSED = np.array([0, 40, 90, 160, 220])
ROWS = 300


def truth(cohort: int, checkpoint: int) -> float:
    """What training is worth, by the number of checkpoints since."""
    return 3.0 * 0.6 ** (checkpoint - cohort) if checkpoint >= cohort else 0.0


def simulated(seed: int, exposed=EXPOSED, rows: int = ROWS):
    """Outcomes of texts that differ, on a trend common to all, with effects of their own."""
    rng = np.random.default_rng(seed)
    k = len(exposed)
    cohort = np.searchsorted(exposed, np.arange(rows), side="right")
    own = rng.normal(0, 5, (rows, 1)) + rng.normal(0, 1, (rows, 1)) * np.arange(k)
    noise = rng.normal(0, 1, (rows, k)).cumsum(axis=1)
    outcomes = -60 + 4 * np.sqrt(np.arange(k)) + own + noise
    strength = rng.gamma(4, 0.25, rows)
    for c in range(k):
        outcomes[:, c] += strength * np.array([truth(g, c) for g in cohort])
    return cohort, outcomes


def effects_of(outcomes, exposed=EXPOSED, cuts=()) -> Effects:
    sums = CohortSums(exposed)
    for rows in np.split(np.arange(len(outcomes)), cuts):
        sums.add(rows, outcomes[rows])
    return Effects(sums.moments())


def cells(k: int, kept) -> list[tuple[int, int]]:
    return [(g, c) for g in range(1, k) for c in range(k) if kept(g, c)]


@given(st.integers(0, 10), st.lists(st.integers(1, ROWS - 1), unique=True, max_size=4).map(sorted))
@settings(max_examples=15)
def test_cells_are_differences_in_differences_of_the_texts(seed, cuts):
    cohort, outcomes = simulated(seed)
    found = effects_of(outcomes, cuts=cuts)
    for g, c in cells(5, lambda g, c: c != g - 1):
        change = outcomes[:, c] - outcomes[:, g - 1]
        treated, control = change[cohort == g], change[cohort > max(g, c)]
        expected = stats.ttest_ind(treated, control, equal_var=False)
        one = found.cell(g, c)
        assert one.estimate == pytest.approx(treated.mean() - control.mean())
        assert (one.texts, one.control) == (len(treated), len(control))
        assert one.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
        assert one.ci95 == pytest.approx(tuple(expected.confidence_interval(0.95)))


def by_regression(cohort, outcomes, which):
    """All cells in one regression, errors clustered by text, then the mean of their effects."""
    import statsmodels.api as sm

    lines, texts, sizes = [], [], []
    for place, (g, c) in enumerate(which):
        change = outcomes[:, c] - outcomes[:, g - 1]
        for text in np.flatnonzero((cohort == g) | (cohort > max(g, c))):
            lines.append((place, cohort[text] == g, change[text]))
            texts.append(text)
        sizes.append((cohort == g).sum())
    place, treated, change = np.array(lines, float).T
    own = place[:, None] == np.arange(len(which))
    design = np.column_stack((own, own * treated[:, None])).astype(float)
    fit = sm.OLS(change, design).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(texts), "use_correction": False}
    )
    weights = np.concatenate((np.zeros(len(which)), np.array(sizes) / np.sum(sizes)))
    return float(weights @ fit.params), float(np.sqrt(weights @ fit.cov_params() @ weights))


@pytest.mark.parametrize(
    "kept",
    [
        lambda g, c: g == c,
        lambda g, c: c == g + 1,
        lambda g, c: c == 4 and g < 4,
        lambda g, c: c < g - 1,
        lambda g, c: c >= g,
    ],
)
def test_means_of_cells_and_their_errors_are_those_of_a_regression_clustered_by_text(kept):
    cohort, outcomes = simulated(1)
    which = cells(5, kept)
    found = effects_of(outcomes).mean(which)
    estimate, error = by_regression(cohort, outcomes, which)
    assert found.estimate == pytest.approx(estimate)
    # Each cohort has n - 1 degrees of freedom here, which the regression has not.
    assert found.standard_error == pytest.approx(error, rel=0.015)
    assert found.standard_error > error


def test_effects_are_found_within_their_error_and_none_before_exposure():
    exposed = 40 * EXPOSED
    found = effects_of(simulated(2, exposed, 40 * ROWS)[1], exposed)
    for g, c in cells(5, lambda g, c: c != g - 1):
        one = found.cell(g, c)
        assert abs(one.estimate - truth(g, c)) < 4 * one.standard_error
    before = found.mean(cells(5, lambda g, c: c < g - 1))
    assert abs(before.estimate) < 4 * before.standard_error


def test_intervals_hold_the_truth_as_often_as_they_say():
    draws = 300
    kinds = (lambda g, c: g == c, lambda g, c: c == 4 and g < 4, lambda g, c: (g, c) == (1, 3))
    covered = np.zeros(len(kinds), int)
    for seed in range(draws):
        found = effects_of(simulated(1000 + seed)[1])
        for i, kept in enumerate(kinds):
            which = cells(5, kept)
            sizes = found.moments.texts[[g for g, _ in which]]
            mean = np.average([truth(*cell) for cell in which], weights=sizes)
            low, high = found.mean(which).ci95
            covered[i] += low <= mean <= high
    for n in covered.tolist():
        assert stats.binomtest(n, draws, 0.95).pvalue > 0.001


def test_cells_without_baseline_or_control_are_undefined_with_a_reason():
    found = effects_of(simulated(0)[1][:220])
    assert not found.is_defined(0, 2)  # seen before the first checkpoint
    assert not found.is_defined(2, 1)  # its own baseline
    assert not found.is_defined(1, 4)  # the last checkpoint has seen all
    one = found.cell(1, 4)
    assert np.isnan(one.estimate)
    assert "not yet trained on" in one.reason
    assert all(map(np.isnan, one.ci95))


STEPS = (0, 2, 5, 9, 12)
DIFFERENT = Texts.from_labels(np.arange(ROWS))


def written(folder, outcomes, *, likelihood=True, scanned=lambda c: (0, ROWS), **changes):
    """Runs of one model at the checkpoints, on rows that may differ."""
    runs = []
    for c, (step, seen) in enumerate(zip(STEPS, EXPOSED.tolist(), strict=True)):
        start, stop = scanned(c)
        made = {"step": step, "exposed_rows": seen, "corpus_rows": ROWS, "start": start}
        made |= {"stop": stop, "shard_size": 70 + 10 * c, **changes}
        y = outcomes[:, c]
        scores = {"likelihood": lambda r, y=y: y[r]} if likelihood else {}
        if not likelihood:
            scores["matched"] = lambda r, y=y: np.clip(y[r] + 60, 0, 32).astype(int)
        runs.append(write_run(folder, **scores, **made))
    return runs


def test_profiles_of_runs_are_those_of_texts_that_occur_once(tmp_path):
    cohort, outcomes = simulated(4)
    label = np.arange(ROWS)
    label[200:230] = label[:30]
    runs = written(tmp_path, outcomes, scanned=lambda c: (10 * (c == 2), ROWS - 5 * (c == 1)))
    (found,) = fit_profiles(load_runs(runs, texts=Texts.from_labels(label)))
    alone = np.bincount(label, minlength=ROWS)[label] == 1
    kept = alone & (np.arange(ROWS) >= 10) & (np.arange(ROWS) < ROWS - 5)
    y, cohort = outcomes[kept].astype(np.float32).astype(float), cohort[kept]
    assert found.outcome == "log_likelihood"
    assert [one.texts for one in found.cohorts] == np.bincount(cohort)[1:5].tolist()
    for (place, c), one in found.cells.items():
        g = place + 1
        change = y[:, c] - y[:, g - 1]
        treated, control = change[cohort == g], change[cohort > max(g, c)]
        assert one.estimate == pytest.approx(treated.mean() - control.mean())
        assert (one.texts, one.control) == (len(treated), len(control))
    assert len(found.cells) == 4 * 4  # all but a cohort's own baseline
    first = [found.cells[g - 1, g] for g in range(1, 5)]
    sizes = [one.texts for one in found.cohorts]
    mean = np.average([one.estimate for one in first], weights=sizes)
    assert found.instantaneous.estimate == pytest.approx(mean)
    assert found.persistent[0].steps == (3, 4)
    assert found.residual_step == 12
    assert found.residual.texts == sum(sizes[:3])


def test_without_likelihoods_the_outcome_is_how_many_tokens_match(tmp_path):
    cohort, outcomes = simulated(5)
    runs = load_runs(written(tmp_path, outcomes, likelihood=False), texts=DIFFERENT)
    (found,) = fit_profiles(runs)
    assert (found.outcome, found.unit, found.outcome_unit) == ("matched_tokens", "text", "tokens")
    y = np.clip(outcomes + 60, 0, 32).astype(int)
    change = y[:, 3] - y[:, 1]
    expected = change[cohort == 2].mean() - change[cohort > 3].mean()
    assert found.cells[1, 3].estimate == pytest.approx(expected)


def test_what_makes_no_profile_says_why(tmp_path):
    outcomes = simulated(6)[1]
    seen = written(tmp_path / "a", outcomes, scanned=lambda c: (0, max(int(EXPOSED[c]), 1)))
    (found,) = fit_profiles(load_runs(seen, texts=DIFFERENT))
    assert "scan with --include-unexposed" in found.reason
    assert fit_profiles(load_runs(seen[-1:])) == ()
    outcomes[7, 2] = np.nan
    runs = written(tmp_path / "b", outcomes)
    (found,) = fit_profiles(load_runs(runs, texts=DIFFERENT))
    assert "not known" in found.reason
    assert not found.cells
    (found,) = fit_profiles(load_runs(runs))  # some of its control may be copies of seen texts
    assert "memtrace corpus duplicates" in found.reason
    assert found.instantaneous is None
    assert not found.cells
