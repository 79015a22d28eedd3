"""What the sentences about evaluations claim holds for folders that try to make them false."""

import math
import re
from itertools import product

import numpy as np
import polars as pl
import pytest
from evaluation_folders import standard_error, write
from scipy import stats
from test_evaluations_terms import COUNT, COUNTS, QUESTIONS
from test_intervention import measured, put

from memtrace.evaluations import compare_interventions, emergence_of_abilities, relate_terms
from memtrace.evaluations.abilities.page import ability_page
from memtrace.evaluations.boundaries import with_errors_at_ends
from memtrace.evaluations.intervention.page import intervention_page
from memtrace.evaluations.terms.page import term_page
from memtrace.evaluations.terms.reading import ACCURACY_SCHEMA
from memtrace.evaluations.terms.relations import _no_slope, _slope, _telling
from memtrace.report.numbers import DASH

SIZES = {"70m": 70_426_624, "410m": 405_334_016, "1.4b": 1_414_647_808}
STEPS = (0, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 143_000)


def evaluated(folder, model, curve, *, steps=STEPS, tasks=("learned",), repository="EleutherAI"):
    """Write one file a step; `curve` gives value and standard error of a task at a step."""
    for step in steps:
        arguments = f"pretrained={repository}/pythia-{model},revision=step{step}"
        results = {task: {"acc": curve(task, step)} for task in tasks}
        write(folder / model / f"step{step}.json", results, model_args=arguments)


def of_half(half, error=0.004):
    """Return a curve that has made half of its endless gain at step `half`."""
    return lambda _, step: (0.8 * step / (step + half), error)


@pytest.fixture(scope="module")
def two_families(tmp_path_factory):
    """Standard models emerge later with size, deduped ones earlier, and outside their range."""
    folder = tmp_path_factory.mktemp("families")
    for i, size in enumerate(SIZES):
        evaluated(folder, size, of_half(3000 * 2**i))
        evaluated(folder, f"{size}-deduped", of_half(40_000 / 4**i))
    return emergence_of_abilities(folder)


def sentences(text):
    return re.split(r"(?<=\.) (?=[A-Z])", text)


def test_a_sentence_is_about_one_family_and_has_the_factor_of_its_own_models(two_families):
    standard, deduped, _ = sentences(two_families.verdict)
    assert standard.startswith("In 3 standard models of pythia")
    assert "deduped" not in standard
    assert "70m: " in standard
    assert "1.4b: " in standard
    assert deduped.startswith("In 3 deduped models of pythia")
    assert set(re.findall(r"\((\S+):", deduped)) == {"1.4b-deduped", "70m-deduped"}
    trends = {
        t.population.kind: t.trend
        for t in two_families.trends
        if t.time_scale == "normalized_emergence"
    }
    assert f"{trends['standard'].factor:.3g} times later" in standard
    # A factor below 1 is told as its inverse, and so are the ends of its interval.
    assert f"{1 / trends['deduped'].factor:.3g} times earlier" in deduped
    low, high = trends["deduped"].factor_ci95
    assert f"95% {1 / high:.3g} to {1 / low:.3g}" in deduped


def test_the_families_of_most_models_are_named_first_and_equal_times_do_not_move(tmp_path):
    for model in ("70m", "410m", "1.4b", "70m-deduped", "70m-seed1", "410m-seed1", "410m-seed2"):
        evaluated(tmp_path, model, of_half(500))
    evaluated(tmp_path, "mine", of_half(500), repository="me")
    found = emergence_of_abilities(tmp_path)
    first, second, *_ = sentences(found.verdict)
    assert first.startswith("In 3 standard models of pythia")
    assert second.startswith("In 2 seed1 models of pythia")
    assert "of training, with an unknown change with size." in first
    assert "The tables have 2 other families." in found.verdict
    assert "nan" not in found.summary()
    assert "7 models of pythia, of 4 families; 1 model in no manifest (mine)" in found.summary()


def test_the_count_is_of_all_curves_and_of_each_family(two_families):
    *_, counted = sentences(two_families.verdict)
    assert "in 6 of 6 curves (Holm over all of them): 3 of 3 standard and 3 of 3 deduped" in counted


def test_pages_name_the_suite_and_say_that_nothing_links_them_to_scans(two_families, tmp_path):
    put(tmp_path, "baseline", "70m-deduped", 143_000, measured(0.6))
    put(tmp_path, "intervention", "70m-deduped", 143_000, measured(0.5))
    terms = relate_terms(answered(np.full(100, 20)), COUNTS)
    pages = [
        ability_page(two_families),
        intervention_page(compare_interventions(tmp_path)),
        term_page(terms),
    ]
    for page in pages:
        assert "of pythia" in page.summary.label
        assert any("of sequences that were scanned" in said for said in page.summary.limits)


def test_many_models_of_one_task_each_are_adjusted_together(tmp_path):
    """No curve gains; adjusted within each model alone, every twentieth would seem to."""
    rng = np.random.default_rng(3)
    for i in range(60):
        z = rng.standard_normal(2)
        evaluated(
            tmp_path,
            f"m{i}",
            lambda _, step, z=z: (0.3 + 0.02 * z[int(step > 0)], 0.02),
            steps=(0, 1000),
            repository="me",
        )
    found = emergence_of_abilities(tmp_path)
    assert min(one.p_value for one in found.curves) < 0.05
    assert not any(one.emerged for one in found.curves)
    assert "in none of 60 curves (Holm over all of them)" in found.verdict


def test_tasks_that_rise_to_guessing_do_not_emerge_by_chance(tmp_path):
    """Each of 200 gains, and ends at the level of guessing, give or take its standard error."""
    rng = np.random.default_rng(4)
    tasks = [f"mmlu_{i}" for i in range(200)]
    ends = dict(zip(tasks, 0.25 + 0.02 * rng.standard_normal(200), strict=True))
    evaluated(
        tmp_path,
        "70m",
        lambda task, step: (ends[task] if step else 0.05, 0.02),
        steps=(0, 143_000),
        tasks=tasks,
    )
    found = emergence_of_abilities(tmp_path)
    assert all(one.p_value_holm < 0.05 for one in found.curves)
    assert sum(bool(one.above_chance) for one in found.curves) > 1  # each by itself
    assert not any(one.emerged for one in found.curves)
    assert any("not after adjustment" in (one.note or "") for one in found.curves)


def test_tasks_of_one_model_and_of_none_are_counted_apart(tmp_path):
    for model in ("70m", "410m"):
        evaluated(
            tmp_path,
            model,
            lambda task, step, model=model: (
                0.5 if step and task in ("both", f"only-{model}") else 0.1,
                0.01,
            ),
            tasks=("both", "only-70m", "only-410m", "never", "not-once", "neither"),
        )
    page = " ".join(emergence_of_abilities(tmp_path).summary().split())
    assert "2 more in one model and 3 in none" in page


def test_a_time_that_is_not_known_to_a_factor_of_ten_is_not_named(tmp_path):
    """The curve creeps: any of its checkpoints may be the first at half of the gain."""
    steps = (0, 1, 10, 100, 1000, 10_000, 143_000)
    levels = (0.1, 0.14, 0.146, 0.148, 0.151, 0.156, 0.2)
    curve = dict(zip(steps, levels, strict=True))
    for model in SIZES:
        evaluated(tmp_path, model, lambda _, step: (curve[step], 0.008), steps=steps)
    found = emergence_of_abilities(tmp_path)
    assert all(one.emerged and not one.placed for one in found.curves)
    assert found.trends == ()  # no line through times that are not known
    found.plot().canvas.draw()
    named = f"{100 * found.curves[0].emergence.share:.2f}"
    assert named not in found.summary().split("Read with care")[0].split("Normalized")[1]
    (table,) = ability_page(found).summary.tables
    assert {row[2] for row in table.rows} == {DASH}


@pytest.mark.parametrize(("right", "questions"), list(product((0, 1), (3, 50, 5000))))
def test_an_accuracy_of_0_or_1_has_the_error_of_its_exact_interval(right, questions):
    """The other checkpoint tells the number of questions."""
    other = 1 / 3
    table = pl.DataFrame(
        {
            "task": ["t", "t"],
            "metric": ["acc", "acc"],
            "value": [float(right), other],
            "stderr": [0.0, standard_error(other, questions)],
        }
    )
    exact = stats.binomtest(right * questions, questions).proportion_ci(0.95, "exact")
    mended = with_errors_at_ends(table)["stderr"]
    assert mended[0] == pytest.approx((exact.high - exact.low) / 1.959964, rel=1e-4)
    assert mended[1] == table["stderr"][1]
    alone = with_errors_at_ends(table.head(1))["stderr"]
    assert alone.to_list() == [None]


def test_none_of_three_and_three_of_three_right_is_no_proof(tmp_path):
    values = {0: (0.0, 0.0), 1000: (1 / 3, standard_error(1 / 3, 3)), 2000: (1.0, 0.0)}
    evaluated(tmp_path, "70m", lambda _, step: values[step], steps=tuple(values))
    (one,) = emergence_of_abilities(tmp_path).curves
    assert one.p_value > 0.04
    del values[1000]
    evaluated(tmp_path / "ends", "70m", lambda _, step: values[step], steps=tuple(values))
    found = emergence_of_abilities(tmp_path / "ends")
    assert math.isnan(found.curves[0].p_value)
    assert "No gain could be tested" in found.verdict


def test_an_intervention_from_all_wrong_to_all_right_without_errors_is_not_tested(tmp_path):
    for run, value in (("baseline", 0.0), ("intervention", 1.0)):
        tasks = {"crows_pairs_x": {"pct_stereotype": (value, 0.0)}}
        put(tmp_path, run, "70m-deduped", 143_000, tasks)
    found = compare_interventions(tmp_path)
    assert "none of 1 measure of bias could be tested" in found.verdict


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((0,), "none of 1 curve has step 0 and a later checkpoint"),
        ((1000, 2000), "none of 1 curve begins at step 0"),
    ],
)
def test_why_nothing_could_be_tested_is_told(tmp_path, steps, said):
    evaluated(tmp_path, "70m", of_half(500), steps=steps)
    found = emergence_of_abilities(tmp_path)
    assert found.verdict == f"No gain could be tested: {said}."
    found.plot().canvas.draw()
    assert ability_page(found).summary.label == "1 standard model of pythia"


def test_a_folder_without_an_accuracy_has_no_curve(tmp_path):
    tasks = {"crows_pairs_english": {"pct_stereotype": (0.6, 0.01)}}
    write(tmp_path / "step0.json", tasks, model_args="pretrained=me/mine,revision=step0")
    found = emergence_of_abilities(tmp_path)
    assert found.verdict == "No task has an accuracy, so there is no curve to test."
    found.summary()
    found.plot().canvas.draw()
    assert ability_page(found).summary.label


def test_an_answer_without_rejection_tells_what_it_cannot_see_and_what_repeating_changes(tmp_path):
    """The gender measure is 2 points lower again; the cost has a perplexity, too."""
    put(tmp_path, "baseline", "70m-deduped", 143_000, measured(0.60))
    put(tmp_path, "standard", "70m-deduped", 143_000, measured(0.64))
    put(tmp_path, "intervention", "70m-deduped", 143_000, measured(0.58))
    found = compare_interventions(tmp_path)
    bias, gender, cost = sentences(found.verdict)
    assert "shown in none of 3 measures of bias" in bias
    reach = [100 * max(map(abs, one.last.ci95)) for one in found.comparisons if one.kind == "bias"]
    assert f"leave open changes of {min(reach):.1f} to {max(reach):.1f} points" in bias
    assert "again moved them by up to 4.0 points" in bias
    assert "differ by -2.0 points" in gender
    assert "changed" not in found.verdict
    factor = math.exp(1.959964 * math.hypot(1 / 50, 1 / 50))
    assert f"a factor of {factor:.4g} in perplexity" in cost
    facts = intervention_page(found).summary.facts
    assert [fact.value for fact in facts if "shown" in fact.name] == ["0 of 3", "0 of 2"]


def test_a_change_that_is_shown_is_counted_and_the_others_stay_open(tmp_path):
    put(tmp_path, "baseline", "70m-deduped", 134_000, measured(0.7))
    put(tmp_path, "intervention", "70m-deduped", 134_000, measured(0.4))
    (bias, *_) = sentences(compare_interventions(tmp_path).verdict)
    assert "a change is shown in 1 of 3 measures of bias" in bias
    assert "last common checkpoint, step 134,000" in bias
    assert "end of training" not in bias
    assert "in the others the 95% intervals leave open" in bias
    assert "again" not in bias  # nothing was evaluated twice


def test_standard_and_deduped_models_keep_their_names_where_both_are_there(tmp_path):
    for model in ("70m", "70m-deduped"):
        put(tmp_path, "baseline", model, 143_000, measured(0.6))
        put(tmp_path, "intervention", model, 143_000, measured(0.5))
    found = compare_interventions(tmp_path)
    assert "2 intervened runs of 1 standard and 1 deduped models of pythia" in found.verdict
    assert "70m-deduped" in found.summary()
    rows = intervention_page(found).summary.tables[0].rows
    assert {row[1] for row in rows} == {"70m", "70m-deduped"}


def answered(right, *, step=143_000, model="1.4b-deduped"):
    """Return a table of so many right answers for each term."""
    p = np.asarray(right) / QUESTIONS
    rows = [
        (model, step, "sums", str(i), 4, float(one), standard_error(one, QUESTIONS))
        for i, one in enumerate(p)
    ]
    return pl.DataFrame(rows, schema=ACCURACY_SCHEMA, orient="row")


def test_a_slope_from_few_terms_with_a_right_answer_is_seldom_significant():
    """Any six terms have one or two right answers: counts tell nothing."""
    rng = np.random.default_rng(6)
    p_values = []
    for _ in range(300):
        right = np.zeros(100, np.int64)
        right[rng.choice(100, 6, replace=False)] = rng.integers(1, 3, 6)
        assert _no_slope(right, COUNT, QUESTIONS) is None
        slope, _, influence = _slope(right, COUNT, QUESTIONS)
        t = abs(slope) / np.linalg.norm(influence)
        p_values.append(2 * stats.t.sf(t, min(_telling(right, QUESTIONS)) - 2))
        one = p_values[-1]
    (relation,) = relate_terms(answered(right), COUNTS).series[0].relations
    assert relation.slope_p_value == pytest.approx(one)
    assert np.mean(np.array(p_values) < 0.05) < 0.075
    assert np.mean(np.array(p_values) < 0.005) < 0.01


def test_slopes_that_fall_are_told_beside_those_that_grow():
    """Three series grow at a change point, two fall, and all are adjusted together."""
    rng = np.random.default_rng(8)
    tables = []
    for i, (before, after) in enumerate([(0.0, 1.5)] * 3 + [(1.5, 0.0)] * 2):
        for step in (1000, 2000, 3000, 4000, 5000, 6000):
            slope = before if step < 4000 else after
            odds = slope * (np.log10(1 + COUNT) - 2.5)
            right = rng.binomial(QUESTIONS, 1 / (1 + np.exp(-odds)))
            tables.append(answered(right, step=step, model=f"m{i}"))
    found = relate_terms(pl.concat(tables), COUNTS)
    assert "is shown in 5 of 5 series (Holm over all of them): it grows in 3 and falls in 2" in (
        found.verdict
    )
    assert all(one.change_p_holm >= one.onset.p_value for one in found.series)
