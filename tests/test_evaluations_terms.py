"""Accuracy and frequency: written relations are recovered, none is none, tables are checked."""

import json
import math

import matplotlib
import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from evaluation_folders import standard_error
from scipy import stats

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from memtrace.errors import FitError
from memtrace.evaluations import read_counts, read_term_accuracy, relate_terms
from memtrace.evaluations.terms.charts import accuracy_chart, slope_chart
from memtrace.evaluations.terms.figures import groups, tasks_of
from memtrace.evaluations.terms.onset import find_onset
from memtrace.evaluations.terms.reading import ACCURACY_SCHEMA

STEPS = (13_000, 39_000, 65_000, 91_000, 117_000, 143_000)
QUESTIONS = 50


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


COUNT = np.round(10 ** np.random.default_rng(0).uniform(1, 4, 100)).astype(int)
COUNTS = pl.DataFrame({"term": [str(i) for i in range(100)], "step": 1, "count": COUNT})


def drawn(slopes, rng, spread=0.3, model="1.4b-deduped"):
    """Draw accuracies whose log odds have these slopes on log10 count, and a spread of terms."""
    own = spread * rng.standard_normal(len(COUNT))
    rows = []
    for step, slope in zip(STEPS, slopes, strict=False):
        odds = -0.5 + slope * (np.log10(1 + COUNT) - 2.5) + own
        right = rng.binomial(QUESTIONS, 1 / (1 + np.exp(-odds)))
        for term, k in enumerate(right):
            p = k / QUESTIONS
            rows.append((model, step, "sums", str(term), 4, p, standard_error(p, QUESTIONS)))
    return pl.DataFrame(rows, schema=ACCURACY_SCHEMA, orient="row")


def table(slopes, rng, spread=0.3):
    return drawn(slopes, rng, spread), COUNTS


def many(n, slopes, seed, spread):
    """Relate n draws at once, each as a model of its own."""
    rng = np.random.default_rng(seed)
    draws = [drawn(slopes, rng, spread, f"m{i}") for i in range(n)]
    return relate_terms(pl.concat(draws), COUNTS, seed).series


def only(answer):
    (series,) = answer.series
    return series


def test_slope_rank_correlation_and_error_against_statsmodels_and_scipy():
    accuracy, counts = table([0.8], np.random.default_rng(0))
    answer = relate_terms(accuracy, counts)
    (one,) = only(answer).relations
    count = counts["count"].to_numpy()
    joined = accuracy.join(counts.drop("step"), on="term").sort("term")
    right = np.rint(joined["acc"].to_numpy() * QUESTIONS)
    x = np.log10(1 + joined["count"].to_numpy())
    fit = sm.GLM(
        np.column_stack((right, QUESTIONS - right)), sm.add_constant(x), sm.families.Binomial()
    ).fit(cov_type="HC0")
    assert one.slope == pytest.approx(fit.params[1], rel=1e-6)
    assert one.slope_error == pytest.approx(fit.bse[1] * math.sqrt(100 / 98), rel=1e-5)
    assert one.rank_correlation == pytest.approx(stats.kendalltau(right, x).statistic)
    assert one.dispersion == pytest.approx(fit.pearson_chi2 / 98, rel=1e-6)
    assert answer.questions == QUESTIONS
    assert len(count) == one.terms


def test_slopes_are_recovered_within_their_intervals():
    found = [series.relations[0] for series in many(120, [0.7], 1, spread=0.3)]
    covered = [abs(one.slope - 0.7) < 1.96 * one.slope_error for one in found]
    assert np.mean(covered) > 0.88


def test_a_relation_that_sets_in_is_placed_between_the_right_checkpoints():
    right = inside = 0
    for series in many(20, [0, 0, 0, 0.9, 0.9, 0.9], 2, spread=0.3):
        onset = series.onset
        assert onset.p_value < 0.05
        assert onset.before < 0.4 < onset.after
        right += (onset.after_step, onset.by_step) == (65_000, 91_000)
        low, high = onset.ci95
        inside += low <= 65_000 and high >= 91_000
    assert right >= 17
    assert inside >= 18


def test_a_steady_relation_seldom_seems_to_set_in():
    """The terms' own difficulty is the same at every checkpoint, and does not pass for a change."""
    p = [series.onset.p_value for series in many(60, [0.6] * 6, 3, spread=1.0)]
    assert np.mean(np.array(p) < 0.05) < 0.15


def test_without_a_relation_the_slope_is_seldom_significant():
    p = [series.relations[0].slope_p_value for series in many(200, [0.0], 4, spread=1.0)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.05)


def test_onset_of_exact_levels_and_of_few_checkpoints():
    rng = np.random.default_rng(0)
    steps, covariance = list(range(8)), 1e-4 * np.eye(8)
    found = find_onset(steps, np.array([1.0] * 3 + [2.0] * 5), covariance, rng)
    assert (found.after_step, found.by_step, found.ci95) == (2, 3, (2, 3))
    assert (found.before, found.after) == pytest.approx((1, 2))
    assert find_onset(steps[:2], np.ones(2), np.eye(2), rng).after_step is None


def test_onset_pays_for_the_search():
    rng = np.random.default_rng(1)
    shared = 0.5 + 0.5 * np.eye(10)
    drawn = rng.standard_normal((300, 10)) @ np.linalg.cholesky(shared).T
    p = [find_onset(range(10), y, shared, rng).p_value for y in drawn]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_counts_of_the_checkpoint_or_of_one_step_for_all(tmp_path):
    accuracy, counts = table([0.5, 0.5], np.random.default_rng(2))
    by_step = pl.concat([counts.with_columns(step=pl.lit(s)) for s in (*STEPS[:2], 143_000)])
    one, each = relate_terms(accuracy, counts), relate_terms(accuracy, by_step)
    assert (one.counted_at, each.counted_at) == ("step 1", "checkpoint")
    assert only(one).relations == only(each).relations
    half = relate_terms(
        accuracy, by_step.filter(step=STEPS[1]).vstack(by_step.filter(step=143_000))
    )
    assert [r.step for r in only(half).relations] == [STEPS[1]]
    with pytest.raises(FitError, match="no accuracy has a count"):
        relate_terms(accuracy, counts.with_columns(term=pl.lit("x") + pl.col("term")))


def test_what_cannot_be_estimated_has_a_reason():
    rng = np.random.default_rng(3)
    accuracy, counts = table([0.5] * 3, rng)
    never = accuracy.with_columns(
        acc=pl.when(pl.col("step") == STEPS[0]).then(0.0).otherwise("acc"),
        acc_stderr=pl.when(pl.col("step") == STEPS[0]).then(0.0).otherwise("acc_stderr"),
    )
    series = only(relate_terms(never, counts))
    assert series.relations[0].reason == "no question is answered right"
    assert math.isnan(series.relations[0].rank_correlation)
    assert "2 checkpoints" in series.onset.reason
    equal = only(relate_terms(accuracy, counts.with_columns(count=pl.lit(7, pl.Int64))))
    assert equal.relations[0].reason == "every term has the same count"
    few = only(relate_terms(accuracy.filter(pl.col("term").is_in(["1", "2", "3"])), counts))
    assert "at least 10" in few.relations[0].reason
    document = relate_terms(never, counts).to_dict()
    json.dumps(document, allow_nan=False)
    assert document["series"][0]["relations"][0]["slope"] is None


def test_terms_without_a_count_are_told():
    accuracy, counts = table([0.5], np.random.default_rng(4))
    answer = relate_terms(accuracy, counts.filter(pl.col("term") != "17"))
    assert answer.unmatched_terms == ("17",)
    assert "17" in answer.summary()


def test_published_and_own_tables_read_alike(tmp_path):
    accuracy, _ = table([0.5], np.random.default_rng(5))
    own = tmp_path / "own.csv"
    accuracy.write_csv(own)
    published = tmp_path / "published" / "pythia-1.4b-deduped" / "term_frquency_all_shots.csv"
    published.parent.mkdir(parents=True)
    accuracy.select(
        model=pl.lit("EleutherAI/pythia-1.4b-deduped"),
        checkpoint="step",
        task=pl.col("task") + "_" + pl.col("term"),
        fewshot="shots",
        acc="acc",
        acc_stderr="acc_stderr",
    ).write_csv(published)
    assert read_term_accuracy(own).equals(read_term_accuracy(tmp_path / "published"))
    assert read_term_accuracy(own).equals(accuracy)


@pytest.mark.parametrize(
    ("content", "error"),
    [("a,b\n1,2\n", "is no table of"), ("", "is no table of"), ("model,step\n", "is no table of")],
)
def test_other_tables_are_refused(tmp_path, content, error):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(FitError, match=error):
        read_term_accuracy(tmp_path / "x.csv")
    with pytest.raises(FitError, match=r"memtrace corpus count"):
        read_counts(tmp_path / "x.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FitError, match="no CSV file"):
        read_term_accuracy(tmp_path / "empty")


def test_mixed_numbers_of_questions_are_refused():
    accuracy, counts = table([0.5], np.random.default_rng(6))
    other = accuracy.with_columns(acc_stderr=pl.col("acc_stderr") / 2, model=pl.lit("other"))
    mixed = pl.concat((accuracy, other))
    with pytest.raises(FitError, match="imply 50 to 197 questions"):
        relate_terms(mixed, counts)
    with pytest.raises(FitError, match="number of questions is unknown"):
        relate_terms(accuracy.with_columns(acc_stderr=pl.lit(None, pl.Float64)), counts)


def test_command_and_page_and_figure(memtrace_cli, tmp_path):
    accuracy, counts = table([0.0, 0.0, 0.8, 0.8], np.random.default_rng(7))
    accuracy.write_csv(tmp_path / "acc.csv")
    counts.write_parquet(tmp_path / "counts.parquet")
    arguments = ("term-frequency", tmp_path / "acc.csv", "--counts", tmp_path / "counts.parquet")
    done = memtrace_cli(*arguments, "--output", tmp_path / "figures")
    assert done.exit_code == 0, done.output
    assert "rises with frequency in 1 of 1 series" in " ".join(done.stdout.replace("│", "").split())
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert (tmp_path / "figures" / "terms.png").exists()
    assert "Does accuracy follow" in (tmp_path / "figures" / "report.html").read_text()
    document = json.loads(memtrace_cli(*arguments, "--json").stdout)
    assert document == json.loads((tmp_path / "figures" / "terms.json").read_text())
    assert document["series"][0]["onset"]["ci95"] == [39_000, 65_000]
    failed = memtrace_cli("term-frequency", tmp_path / "counts.parquet", *arguments[2:])
    assert failed.exit_code == 1


def test_pythias_numeric_reasoning_goes_with_the_size_of_the_number(shared_folder):
    """Counts are not published; text has small numbers more often, roughly as one over them."""
    accuracy = read_term_accuracy(
        shared_folder / "data" / "pythia-evals" / "csv" / "pythia-13b-deduped"
    )
    assert accuracy.height == 6000
    numbers = np.arange(100)
    counts = pl.DataFrame(
        {"term": [str(i) for i in numbers], "step": 1, "count": 10_000_000 // (1 + numbers)}
    )
    product = "num_reasoning_arithmetic_multiplication"
    answer = relate_terms(accuracy.filter(shots=16, task=product), counts)
    last = only(answer).relations[-1]
    assert answer.questions == 50
    assert (last.step, last.terms) == (143_000, 100)
    assert last.rank_correlation > 0.4
    assert only(answer).p_holm < 1e-6


def test_charts_have_the_means_of_the_groups_and_the_slopes_with_their_intervals():
    rng = np.random.default_rng(3)
    accuracy = [drawn([0.2, 0.5, 0.9], rng, model=model) for model in ("70m", "12b")]
    result = relate_terms(pl.concat(accuracy), COUNTS)
    (task,) = tasks_of(result)

    def rows_of(chart):
        return [row for rows in chart["datasets"].values() for row in rows if "model" in row]

    points, slopes = rows_of(accuracy_chart(result, task)), rows_of(slope_chart(result, task))
    for one in result.series:
        x, y = groups(result, one)
        mine = [row for row in points if row["model"] == one.model]
        assert [row["count"] for row in mine] == pytest.approx(x, rel=1e-4)
        assert [row["accuracy"] for row in mine] == pytest.approx(y, rel=1e-4)
        drawn_at = [row for row in slopes if row["model"] == one.model]
        assert [row["step"] for row in drawn_at] == [each.step for each in one.relations]
        for row, each in zip(drawn_at, one.relations, strict=True):
            assert row["slope"] == pytest.approx(each.slope, rel=1e-4)
            half = (row["high"] - row["low"]) / 2
            assert half == pytest.approx(stats.norm.ppf(0.975) * each.slope_error, rel=1e-3)
    assert sum("name" in row for row in points) == sum("name" in row for row in slopes) == 2
