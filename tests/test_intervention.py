"""Interventions: written differences are found, paired rightly, and what is not there is told."""

import json
import math

import matplotlib
import numpy as np
import pytest
from evaluation_folders import standard_error, write

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from memtrace.errors import FitError
from memtrace.evaluations import compare_interventions

ITEMS = 1000


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def put(folder, run, model, step, tasks, layout="old"):
    """Write an evaluation as the Pythia repository names and files them."""
    name = {
        "standard": f"pythia-v1.1-{model}",
        "baseline": f"pythia-v1.1-{model}",
        "intervention": f"intervention-pythia-v1.1-{model}",
        "intervention-long": f"intervention-pythia-v1.1-{model}-long",
    }[run]
    place = {"standard": "zero-shot", "baseline": "baseline"}.get(run, "intervention")
    file = f"{run.removesuffix('-long')}-{model}{'-long' * run.endswith('long')}_step{step}.json"
    arguments = f"pretrained=EleutherAI/{name},revision=step{step}"
    path = folder / f"pythia-{model}" / place / file.removeprefix("standard-")
    write(path, tasks, model_args=arguments, layout=layout)


def measured(gender, other=0.6, ppl=6.0, winobias=None):
    tasks = {
        "crows_pairs_english_gender": {"pct_stereotype": (gender, standard_error(gender, ITEMS))},
        "crows_pairs_english": {"pct_stereotype": (other, standard_error(other, ITEMS))},
        "crows_pairs_french_age": {"pct_stereotype": (0.5, standard_error(0.5, ITEMS))},
        "lambada_openai": {"acc": (0.6, 0.007), "ppl": (ppl, ppl / 50)},
        "piqa": {"acc": (0.7, 0.01)},
    }
    if winobias is not None:
        tasks["winobias"] = {"acc": (winobias, standard_error(winobias, ITEMS))}
    return tasks


@pytest.fixture(scope="module", params=["old", "current"])
def folder(request, tmp_path_factory):
    """A run whose gender bias falls by 20 points, of WinoBias by 15, at 10% more perplexity."""
    folder = tmp_path_factory.mktemp("evals")
    for step in (134_000, 143_000):
        for model in ("70m-deduped", "1.4b-deduped"):
            baseline = measured(0.7, winobias=0.75)
            put(folder, "baseline", model, step, baseline, request.param)
            changed = measured(0.5 if step == 143_000 else 0.6, ppl=6.6, winobias=0.6)
            put(folder, "intervention", model, step, changed, request.param)
    return folder


def found(answer, task, metric="pct_stereotype"):
    return [o for o in answer.comparisons if (o.task, o.metric) == (task, metric)]


def test_the_written_change_is_found_with_its_error(folder):
    answer = compare_interventions(folder)
    small, large = found(answer, "crows_pairs_english_gender")
    assert (small.model, large.model) == ("70m-deduped", "1.4b-deduped")
    assert small.last.difference == pytest.approx(-0.2)
    error = math.hypot(standard_error(0.7, ITEMS), standard_error(0.5, ITEMS))
    assert small.last.error == pytest.approx(error)
    assert small.last.ci95 == pytest.approx((-0.2 - 1.959964 * error, -0.2 + 1.959964 * error))
    assert [pair.step for pair in small.pairs] == [134_000, 143_000]
    assert small.mean == pytest.approx(-0.15)
    assert small.same_sign == 2
    assert small.p_holm < 0.001
    assert [o.last.difference for o in found(answer, "winobias", "acc")] == pytest.approx(
        [-0.15] * 2
    )


def test_unchanged_measures_stay_so_and_adjustment_only_raises_p(folder):
    answer = compare_interventions(folder)
    for one in answer.comparisons:
        assert one.p_holm >= one.last.p_value
        assert one.p_by >= one.last.p_value
    for task in ("crows_pairs_english", "crows_pairs_french_age"):
        assert all(one.last.difference == 0 and one.p_holm == 1 for one in found(answer, task))
        assert all(one.same_sign is None for one in found(answer, task))


def test_cost_is_what_language_modelling_lost_and_perplexity_is_a_ratio(folder):
    answer = compare_interventions(folder)
    cost = {(o.task, o.metric) for o in answer.comparisons if o.kind == "cost"}
    assert cost == {("lambada_openai", "acc"), ("lambada_openai", "ppl")}
    for one in found(answer, "lambada_openai", "ppl"):
        assert one.last.difference == pytest.approx(math.log(1.1))
        assert one.last.error == pytest.approx(math.hypot(1 / 50, 1 / 50))


def test_document_page_and_figure(folder):
    answer = compare_interventions(folder)
    document = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert len(document["comparisons"]) == len(answer.comparisons) == 12
    assert {"difference", "ci95", "p_value_holm", "p_value_by"} <= set(document["comparisons"][0])
    page = answer.summary()
    assert "winobias" in page
    assert "x 1.100" in page
    assert max(map(len, page.splitlines())) <= 100
    answer.plot().canvas.draw()


def test_the_run_as_published_stands_in_where_the_baseline_lacks_a_measure(tmp_path):
    put(tmp_path, "intervention", "410m-deduped", 143_000, measured(0.5))
    bias_only = {k: v for k, v in measured(0.6).items() if k.startswith("crows")}
    put(tmp_path, "baseline", "410m-deduped", 143_000, bias_only)
    put(tmp_path, "standard", "410m-deduped", 143_000, measured(0.62))
    answer = compare_interventions(tmp_path)
    (gender,) = found(answer, "crows_pairs_english_gender")
    assert gender.compared_with == "baseline"
    assert gender.last.difference == pytest.approx(-0.1)
    # The same checkpoint was evaluated twice, and the two evaluations differ.
    assert gender.reevaluated == pytest.approx(-0.02)
    (lambada,) = found(answer, "lambada_openai", "acc")
    assert lambada.compared_with == "standard"
    assert lambada.reevaluated is None


def test_only_the_same_checkpoint_model_and_shots_are_a_pair(tmp_path):
    put(tmp_path, "intervention-long", "1.4b-deduped", 143_000, measured(0.5))
    put(tmp_path, "intervention", "70m-deduped", 143_000, measured(0.5))
    put(tmp_path, "baseline", "70m-deduped", 143_000, measured(0.5))
    put(tmp_path, "baseline", "1.4b-deduped", 142_000, measured(0.5))
    put(tmp_path, "baseline", "1.4b", 143_000, measured(0.5))
    answer = compare_interventions(tmp_path)
    assert {one.model for one in answer.comparisons} == {"70m-deduped"}
    assert len(answer.unpaired) == 5
    assert "1.4b-deduped intervention-long: crows_pairs_english pct_stereotype" in answer.unpaired
    assert "No baseline for 5 measures" in answer.summary()


def test_bias_in_winobias_is_the_gap_and_not_the_level(tmp_path):
    """A run that answers more often, with and without a stereotype, is no more biased."""
    for run, pro, anti in (("baseline", 0.4, 0.1), ("intervention", 0.7, 0.4)):
        tasks = {
            f"wino_bias_type1_{side}+refers_to": {"em": (level, 0.02)}
            for side, level in (("pro", pro), ("anti", anti))
        }
        put(tmp_path, run, "70m-deduped", 143_000, tasks)
    (one,) = compare_interventions(tmp_path).comparisons
    assert (one.task, one.metric) == ("wino_bias_type1+refers_to", "pro - anti")
    assert one.last.baseline == pytest.approx(0.3)
    assert one.last.difference == pytest.approx(0)
    assert one.last.error == pytest.approx(0.04)


def test_runs_of_both_lengths_are_told_apart(tmp_path):
    for run, level in (("baseline", 0.6), ("intervention", 0.55), ("intervention-long", 0.5)):
        put(tmp_path, run, "1.4b-deduped", 143_000, measured(level))
    short, long = found(compare_interventions(tmp_path), "crows_pairs_english_gender")
    assert (short.run, long.run) == ("intervention", "intervention-long")
    assert (short.last.difference, long.last.difference) == pytest.approx((-0.05, -0.1))


def test_missing_errors_leave_a_difference_without_interval(tmp_path):
    for run, level in (("baseline", 0.6), ("intervention", 0.5)):
        put(
            tmp_path,
            run,
            "70m-deduped",
            143_000,
            {"crows_pairs_x": {"pct_stereotype": (level, None)}},
        )
    (one,) = compare_interventions(tmp_path).to_dict()["comparisons"]
    assert one["difference"] == pytest.approx(-0.1)
    assert one["ci95"] is one["p_value"] is one["p_value_holm"] is None


def test_what_is_not_there_is_told(tmp_path):
    put(tmp_path, "baseline", "70m-deduped", 143_000, measured(0.5))
    with pytest.raises(FitError, match=r"no intervened run in .* \(runs: baseline\)"):
        compare_interventions(tmp_path)
    put(tmp_path, "intervention", "410m-deduped", 143_000, measured(0.5))
    with pytest.raises(FitError, match="has a baseline"):
        compare_interventions(tmp_path)


def test_intervals_cover_and_are_wide_where_questions_are_shared(tmp_path_factory):
    """Independent items: 95%. The same items for both runs: more, as the docstring says."""
    from memtrace.evaluations.intervention.pairs import _difference

    rng = np.random.default_rng(0)
    covered = {"independent": 0, "shared": 0}
    for _ in range(1000):
        skill = rng.beta(2, 1.5, ITEMS)
        for kind in covered:
            other = skill if kind == "shared" else rng.beta(2, 1.5, ITEMS)
            before, after = (rng.random((2, ITEMS)) < (skill, np.clip(other, 0, 1))).mean(axis=1)
            truth = 0.0
            row = {
                "step": 1,
                "value": after,
                "value_baseline": before,
                "stderr": standard_error(after, ITEMS),
                "stderr_baseline": standard_error(before, ITEMS),
            }
            low, high = _difference(row, "acc").ci95
            covered[kind] += low <= truth <= high
    assert covered["independent"] / 1000 == pytest.approx(0.95, abs=0.02)
    assert covered["shared"] > covered["independent"]


def test_command(memtrace_cli, tmp_path):
    folder = tmp_path / "evals"
    put(folder, "baseline", "70m-deduped", 143_000, measured(0.5))
    put(folder, "intervention", "70m-deduped", 143_000, measured(0.5))
    done = memtrace_cli("intervention", "--evals", folder, "--output", tmp_path)
    assert done.exit_code == 0, done.output
    assert "Intervention against baseline" in done.stdout
    written = json.loads((tmp_path / "intervention.json").read_text())
    assert written == json.loads(memtrace_cli("intervention", "--evals", folder, "--json").stdout)
    assert (tmp_path / "intervention.png").exists()
    assert (tmp_path / "intervention.svg").exists()
    failed = memtrace_cli("intervention", "--evals", tmp_path / "nowhere")
    assert failed.exit_code == 2
    assert "nowhere" in failed.stderr
    assert memtrace_cli("intervention").exit_code == 2


def test_pythias_published_intervention(shared_folder):
    answer = compare_interventions(shared_folder / "data" / "pythia-evals")
    runs = {
        (one.model, one.run, len(one.pairs)) for one in answer.comparisons if one.kind == "bias"
    }
    assert runs == {
        ("70m-deduped", "intervention", 10),
        ("410m-deduped", "intervention", 10),
        ("1.4b-deduped", "intervention", 10),
        ("1.4b-deduped", "intervention-long", 30),
        ("6.9b-deduped", "intervention", 10),
    }
    assert answer.unpaired == ()
    # Published: 56.25% before and 57.8125% after, 320 pairs of sentences.
    gender = found(answer, "crows_pairs_english_gender")[0]
    assert (gender.last.baseline, gender.last.intervened) == (0.5625, 0.578125)
    error = math.hypot(*(standard_error(p, 320) for p in (0.5625, 0.578125)))
    assert gender.last.error == pytest.approx(error, rel=1e-3)


def test_measures_without_standard_errors_are_said_to_be_untested(tmp_path):
    for run, value in (("intervention", 0.5), ("baseline", 0.6)):
        put(
            tmp_path,
            run,
            "70m-deduped",
            143_000,
            {"crows_pairs_english_gender": {"pct_stereotype": (value, None)}},
        )
    found = compare_interventions(tmp_path)
    assert "none of 1 measure of bias could be tested" in found.verdict
    assert "differ by -10.0 points, with unknown errors." in found.verdict
    assert "95%" not in found.verdict
    assert "nan" not in found.summary()
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(found.plot().axes) == 2  # bias at the end and along training, no panel of cost


def test_a_perplexity_of_nothing_is_no_error(tmp_path):
    for run, value in (("intervention", 0.0), ("baseline", 20.0)):
        put(tmp_path, run, "70m-deduped", 143_000, {"lambada_openai": {"ppl": (value, 1.0)}})
    (one,) = compare_interventions(tmp_path).to_dict()["comparisons"]
    assert (one["difference"], one["reason"]) == (None, "a perplexity has no finite logarithm")
