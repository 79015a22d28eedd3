"""Emergence of abilities from folders of known truth, and in Pythia."""

import json
import math
from pathlib import Path

import matplotlib
import numpy as np
import polars as pl
import pytest
from evaluation_folders import standard_error, write

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from memtrace.errors import FitError
from memtrace.evaluations import emergence_of_abilities
from memtrace.evaluations.abilities.curves import chance_level
from memtrace.report.numbers import number

STEPS = (0, 1, 512, 1000, 3000, 13_000, 43_000, 93_000, 143_000)
SIZES = {"70m": 70_426_624, "410m": 405_334_016, "1.4b": 1_414_647_808, "12b": 11_846_072_320}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def midpoint(parameters, exponent=0.3):
    return 3000 * (parameters / 4e8) ** exponent


def accuracy(step, parameters):
    """Half of the gain from 0 is made at `midpoint` if training were endless."""
    return 0.8 * step / (step + midpoint(parameters))


def evaluated(folder, sizes=SIZES, steps=STEPS, *, error=True, more=None):
    """Write a folder: one task that emerges later in larger models, and one that never does."""
    for size in sizes:
        for step in steps:
            p = accuracy(step, SIZES[size])
            results = {
                "learned": {"acc": (p, standard_error(p, 5000) if error else None)},
                "never": {"acc": (0.25 + (0.001 if step else 0), 0.02 if error else None)},
                "learned_ppl": {"ppl": (1e6 * math.exp(-12 * p), 1e6 * math.exp(-12 * p) / 50)},
                "crows_pairs_english": {"pct_stereotype": (0.6, 0.01)},
                **(more or {}),
            }
            write(
                folder / f"pythia-{size}" / "zero-shot" / f"{size}_step{step}.json",
                results,
                model_args=f"pretrained=EleutherAI/pythia-{size},revision=step{step}",
            )
    return folder


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    return emergence_of_abilities(evaluated(tmp_path_factory.mktemp("evals")))


def by_task(answer, task, metric="acc"):
    return {o.model: o for o in answer.curves if (o.task, o.metric) == (task, metric)}


def test_emergence_is_where_the_written_curve_has_made_the_level(tmp_path):
    answer = emergence_of_abilities(evaluated(tmp_path), level=0.3)
    for size, one in by_task(answer, "learned").items():
        values = [accuracy(step, SIZES[size]) for step in STEPS]
        # This curve rises throughout, so inverting it is interpolation.
        expected = np.interp(0.3 * values[-1], values, STEPS)
        assert one.emergence.step == pytest.approx(expected, rel=1e-9)
        assert one.emergence.share == pytest.approx(expected / 143_000)
        low, high = one.emergence.share_ci95
        assert low < one.emergence.share < high
        assert one.emergence.tokens_per_parameter == pytest.approx(
            expected * 2_097_152 / SIZES[size]
        )


def test_size_trend_finds_that_larger_models_learn_later(answer):
    (one,) = [
        t.trend
        for t in answer.trends
        if (t.task, t.time_scale) == ("learned", "normalized_emergence")
    ]
    assert one.rank_correlation == pytest.approx(1)
    assert one.factor_ci95[0] < 10**0.3 < one.factor_ci95[1]
    (per_parameter,) = [
        t.trend
        for t in answer.trends
        if (t.task, t.time_scale) == ("learned", "tokens_per_parameter")
    ]
    # Ten times later by the share is a tenth of that by tokens for each parameter.
    assert per_parameter.factor == pytest.approx(one.factor / 10)


def test_what_does_not_gain_has_no_time_but_a_reason(answer):
    for one in by_task(answer, "never").values():
        assert one.emergence is None
        assert "not significant" in one.reason
    document = answer.to_dict()
    never = [curve for curve in document["curves"] if curve["task"] == "never"]
    assert all(c["normalized_emergence"] is None and c["reason"] for c in never)
    assert "crows_pairs_english" not in {curve["task"] for curve in document["curves"]}


def test_perplexity_emerges_on_its_logarithm(answer):
    accuracy_time = by_task(answer, "learned")["410m"].emergence.step
    perplexity = by_task(answer, "learned_ppl", "ppl")["410m"]
    # The folder's log perplexity falls in proportion to accuracy.
    assert perplexity.emergence.step == pytest.approx(accuracy_time)
    assert perplexity.gain == pytest.approx(12 * accuracy(143_000, SIZES["410m"]))
    assert not perplexity.main


def test_many_tasks_without_gain_make_no_emergence(tmp_path):
    rng = np.random.default_rng(5)
    for step in STEPS:
        tasks = {
            f"mmlu_{i}": {"acc": (0.25 + 0.02 * rng.standard_normal(), 0.02)} for i in range(200)
        }
        path = tmp_path / f"70m_step{step}.json"
        write(path, tasks, model_args=f"pretrained=EleutherAI/pythia-70m,revision=step{step}")
    answer = emergence_of_abilities(tmp_path)
    assert sum(one.p_value < 0.05 for one in answer.curves) > 2
    assert not any(one.emergence for one in answer.curves)
    assert "is shown in none of 200 curves" in answer.verdict


def test_an_interval_does_not_depend_on_what_else_is_in_the_folder(answer, tmp_path):
    more = {"another": {"acc": (0.3, 0.01)}}
    other = emergence_of_abilities(evaluated(tmp_path, ["70m"], more=more))
    assert by_task(other, "learned")["70m"].emergence == by_task(answer, "learned")["70m"].emergence


def test_missing_errors_leave_a_time_without_interval_or_test(tmp_path):
    answer = emergence_of_abilities(evaluated(tmp_path, ["70m"], error=False))
    one = by_task(answer, "learned")["70m"]
    assert one.emergence is not None
    assert one.emergence.step_ci95 is None
    assert "standard errors are missing" in one.note
    json.dumps(answer.to_dict(), allow_nan=False)


def test_partial_training_is_told(tmp_path):
    late = emergence_of_abilities(evaluated(tmp_path / "late", ["70m"], STEPS[3:]))
    assert "not evaluated at step 0" in by_task(late, "learned")["70m"].reason
    early = emergence_of_abilities(evaluated(tmp_path / "early", ["70m"], STEPS[:-2]))
    one = by_task(early, "learned")["70m"]
    assert "until step 43,000 of 143,000" in one.note
    assert one.emergence.share == pytest.approx(one.emergence.step / 143_000)


def test_a_gain_that_ends_at_guessing_is_no_ability(tmp_path):
    for step in STEPS:
        value = (0.25 if step else 0.10, 0.01)
        path = tmp_path / f"70m_step{step}.json"
        arguments = f"pretrained=EleutherAI/pythia-70m,revision=step{step}"
        write(path, {"arc_easy": {"acc": value}}, model_args=arguments)
    (one,) = emergence_of_abilities(tmp_path).curves
    assert one.emergence is not None
    assert one.above_chance is False
    assert not one.emerged
    assert "not above guessing" in one.note


def test_a_model_without_a_manifest_is_measured_against_its_last_evaluation(tmp_path):
    for step in (0, 10, 20, 40):
        path = tmp_path / f"mine_step{step}.json"
        value = step / 50
        write(
            path,
            {"t": {"acc": (value, 0.01)}},
            model_args=f"pretrained=me/mine,revision=step{step}",
        )
    (one,) = emergence_of_abilities(tmp_path).curves
    assert (one.emergence.step, one.emergence.share) == (20, 0.5)
    assert one.parameters is None
    assert math.isnan(one.emergence.tokens_per_parameter)


def test_levels_of_guessing():
    assert chance_level("piqa", "acc") == 0.5
    assert chance_level("hendrycksTest-virology", "acc") == 0.25
    assert chance_level("lambada_openai", "acc") == 0
    assert chance_level("lambada_openai", "ppl") is chance_level("unheard_of", "acc") is None


@pytest.mark.parametrize("level", [0, 1, -1, 2])
def test_a_level_outside_the_gain_is_refused(tmp_path, level):
    with pytest.raises(FitError, match="outside"):
        emergence_of_abilities(tmp_path, level=level)


def test_page_and_figure_of_any_folder_are_drawn(answer, tmp_path):
    for one in (answer, emergence_of_abilities(evaluated(tmp_path, ["70m"]))):
        page = one.summary()
        assert one.verdict.split(".")[0] in " ".join(page.replace("│", "").split())
        assert max(map(len, page.splitlines())) <= 100
        one.plot().canvas.draw()


@pytest.fixture(scope="module")
def published(shared_folder):
    return emergence_of_abilities(shared_folder / "data" / "pythia-evals")


@pytest.fixture(scope="module")
def lambada(tmp_path_factory):
    """Pythia's published accuracies of LAMBADA, zero-shot, written as the harness writes them."""
    folder = tmp_path_factory.mktemp("lambada")
    table = pl.read_csv(Path(__file__).parent / "pythia_lambada.csv")
    for model, step, acc, error in table.iter_rows():
        arguments = f"pretrained=EleutherAI/pythia-{model},revision=step{step}"
        results = {"lambada_openai": {"acc": (acc, error)}}
        write(folder / f"{model}_step{step}.json", results, model_args=arguments)
    return emergence_of_abilities(folder)


def test_pythias_larger_models_make_half_their_gain_later(lambada):
    found = by_task(lambada, "lambada_openai")
    steps = {m: round(found[m].emergence.step) for m in ("70m", "410m", "12b")}
    assert steps == {"70m": 2185, "410m": 2957, "12b": 4793}
    (trend,) = [t.trend for t in lambada.trends if t.time_scale == "normalized_emergence"]
    assert trend.models == 6
    assert trend.factor_ci95[0] > 1
    assert trend.p_value < 0.05


def test_pythias_page_tells_what_was_read(published):
    page = published.summary()
    assert "400 of 400 .json files" in page
    assert "2,185" in page
    assert max(map(len, page.splitlines())) <= 100
    document = published.to_dict()
    assert len(json.dumps(document, allow_nan=False)) > 10_000
    assert document["evaluations"]["not_read"] == []


def curve(folder, values, *, error=0.005, model="my/model", task="learned"):
    for step, value in zip((0, 1000, 2000), values, strict=True):
        arguments = f"pretrained={model},revision=step{step}"
        write(folder / f"{step}.json", {task: {"acc": (value, error)}}, model_args=arguments)


def test_a_gain_without_standard_errors_is_not_called_significant(tmp_path):
    curve(tmp_path, (0.1, 0.4, 0.5), error=None)
    found = emergence_of_abilities(tmp_path)
    assert "its gain, untested," in found.verdict
    assert "No gain could be tested: 1 curve with an unknown standard error" in found.verdict
    assert "nan" not in found.summary()


def test_of_a_model_in_no_manifest_the_share_is_of_the_steps_evaluated(tmp_path):
    curve(tmp_path, (0.1, 0.5, 0.5))
    verdict = emergence_of_abilities(tmp_path).verdict
    assert "half of its gain at 25% (model: " in verdict
    assert "of the steps that were evaluated" in verdict
    curve(tmp_path / "known", (0.1, 0.5, 0.5), model="EleutherAI/pythia-70m")
    known = emergence_of_abilities(tmp_path / "known").verdict
    assert f"until the last evaluation at {number(100 * 500 / 143_000, 3)}% (70m: " in known
    assert "of training" in known


def test_a_perplexity_of_nothing_has_a_reason_and_no_warning(tmp_path):
    for step, value in ((0, 30.0), (1000, 0.0)):
        arguments = f"pretrained=my/model,revision=step{step}"
        results = {"wikitext": {"word_perplexity": (value, 1.0)}}
        write(tmp_path / f"{step}.json", results, model_args=arguments)
    (one,) = emergence_of_abilities(tmp_path).curves
    assert one.reason == "a value has no finite logarithm"


def test_a_figure_without_models_of_known_size_has_no_empty_panel(tmp_path):
    curve(tmp_path, (0.1, 0.4, 0.5))
    (axes,) = emergence_of_abilities(tmp_path).plot().axes
    assert axes.get_title(loc="left") == "learned, 0 shots"
