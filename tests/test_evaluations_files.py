"""Evaluation files as people have them: names, marks, groups, reruns, adapters, other trainers."""

import codecs
import json
from datetime import datetime
from pathlib import Path

import pytest
from evaluation_folders import current, write

from memtrace.evaluations import emergence_of_abilities, read_evaluations
from memtrace.evaluations.names import (
    counts_tokens,
    model_of,
    step_in,
    step_of_revision,
    time_in,
)

STEPS = (0, 512, 1000, 10_000, 50_000, 143_000)
HALF = 7291
"""Where the curve below has made half of its gain, by linear interpolation: 5.1% of training."""


def accuracy(step, task="lambada_openai"):
    return {task: {"acc": (0.6 * step / (step + 6000), 0.005)}}


def emerged(folder: Path):
    """Return model and step of each emergence, and the share of training."""
    found = emergence_of_abilities(folder)
    return {
        (one.model, one.task): (round(one.emergence.step), one.emergence.share)
        for one in found.curves
        if one.emergence
    }


def evaluate(folder, revision, *, steps=STEPS, arguments="pretrained=EleutherAI/pythia-160m", **kw):
    """Write a curve; `revision` maps a step to the text that names it."""
    for i, step in enumerate(steps):
        write(
            folder / "EleutherAI__pythia-160m" / f"results_2026-07-{i + 1:02}T10-00-00.123456.json",
            accuracy(step),
            model_args=f"{arguments},revision={revision(step)}",
            layout="current",
            **kw,
        )


def thousands(unit="k"):
    return lambda step: f"step{step // 1000}{unit}" if step >= 1000 else f"step{step}"


@pytest.mark.parametrize("revision", [thousands(), thousands("K"), lambda step: f"step{step}"])
def test_steps_in_thousands_are_steps(tmp_path, revision):
    evaluate(tmp_path, revision)
    step, share = emerged(tmp_path)["160m", "lambada_openai"]
    assert (step, round(share, 3)) == (HALF, 0.051)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("step143k", 143_000),
        ("step-240K-503b", 240_000),
        ("step_1M", 1_000_000),
        ("step-1.5M-3T", 1_500_000),
        ("iter_0001000", 1000),
        ("global_step1000", 1000),
        ("epoch=1-step=2000", 2000),
        ("stage1-step1000-tokens4B", 1000),
        ("160m_step2.5k.json", 2500),
        ("step1.json", 1),
        ("step20B", None),
        ("step1.5", None),
        ("step0.0001k", None),
        ("step99999999999999999999", None),
        ("tokens300B", None),
        ("footstep", None),
    ],
)
def test_the_step_in_a_text(text, step):
    assert step_in(text) == step


@pytest.mark.parametrize(
    ("revision", "step"), [("240k", 240_000), ("1M", 1_000_000), ("20B", None), ("1000", None)]
)
def test_a_revision_may_be_the_step_itself(revision, step):
    assert step_of_revision(revision) == step
    assert counts_tokens(revision) == (revision == "20B")


def test_steps_counted_in_tokens_are_no_steps_and_it_is_said(tmp_path):
    evaluate(tmp_path, thousands())
    model = "pretrained=my/model,revision="
    write(tmp_path / "a.json", accuracy(9), model_args=model + "20B", layout="current")
    write(tmp_path / "b.json", accuracy(9), model_args=model + "step20B", layout="current")
    notes = {file.path: file.note for file in read_evaluations(tmp_path).unread}
    assert notes == {
        "a.json": "its revision '20B' counts tokens, and nothing says the step",
        "b.json": "its revision 'step20B' counts tokens, and nothing says the step",
    }


def test_checkpoints_that_are_repositories_or_folders_are_one_model():
    for step in ("intermediate-step-50k-105b", "step-240K-503b", "step1000"):
        assert model_of(f"TinyLlama/TinyLlama-1.1B-{step}").model == "TinyLlama-1.1B"
    assert model_of("out/run/global_step1000").model == "run"
    assert model_of("step1000").model == "step1000"


def groups(shots=0, *, other=None, aggregate=True):
    """An MMLU of two subjects and a group over it, as lm-eval writes them: no shots of groups."""
    document = current(
        {"mmlu_anatomy": {"acc": (0.3, 0.03)}, "mmlu_astronomy": {"acc": (0.4, 0.03)}},
        "pretrained=EleutherAI/pythia-160m,revision=step1000",
        shots,
    )
    if other is not None:
        document["n-shot"]["mmlu_astronomy"] = other
    mean = {"acc,none": 0.35, "acc_stderr,none": 0.004} if aggregate else {" ": " "}
    for name, parts in (("mmlu", ["mmlu_anatomy", "mmlu_astronomy"]), ("leaderboard", ["mmlu"])):
        document["results"][name] = {**mean, "alias": name}
        document["group_subtasks"][name] = parts
    return document


def shots_of(folder, document):
    (folder / "results.json").write_text(json.dumps(document))
    found = read_evaluations(folder)
    rows = found.table.filter(metric="acc").select("task", "shots").rows()
    return dict(rows), found.files[0].note


@pytest.mark.parametrize("shots", [0, 5])
def test_a_group_has_the_shots_of_its_tasks(tmp_path, shots):
    tasks = ("mmlu_anatomy", "mmlu_astronomy", "mmlu", "leaderboard")
    assert shots_of(tmp_path, groups(shots)) == (dict.fromkeys(tasks, shots), None)
    assert shots_of(tmp_path, groups(shots, aggregate=False)) == (
        dict.fromkeys(tasks[:2], shots),
        None,
    )


def test_a_group_of_unlike_tasks_is_passed_over_and_the_rest_is_read(tmp_path):
    read, note = shots_of(tmp_path, groups(0, other=5))
    assert read == {"mmlu_anatomy": 0, "mmlu_astronomy": 5}
    assert "mmlu (a group of tasks with 0 and 5 shots)" in note
    assert "leaderboard (a group of tasks with 0 and 5 shots)" in note
    circle = groups(0)
    circle["group_subtasks"]["mmlu"] = ["leaderboard"]
    read, note = shots_of(tmp_path, circle)
    assert read == {"mmlu_anatomy": 0, "mmlu_astronomy": 0}
    assert "mmlu (neither its content nor its name says the number of shots)" in note


def test_no_number_of_shots_means_none_unless_the_folder_says_it(tmp_path):
    document = groups(None)
    assert set(shots_of(tmp_path, document)[0].values()) == {0}
    (tmp_path / "results.json").unlink()
    (tmp_path / "five-shot").mkdir()
    (tmp_path / "five-shot" / "results.json").write_text(json.dumps(document))
    assert set(read_evaluations(tmp_path).table["shots"]) == {5}
    del document["n-shot"], document["configs"]
    document["config"]["num_fewshot"] = None
    (tmp_path / "old").mkdir()
    assert set(shots_of(tmp_path / "old", document)[0].values()) == {0}


def test_the_newest_of_two_files_counts(tmp_path):
    evaluate(tmp_path, lambda step: f"step{step}")
    name = "results_2026-06-30T00-00-00.000000.json"
    old = {**accuracy(0), "piqa": {"acc": (0.5, 0.01)}}
    arguments = "pretrained=EleutherAI/pythia-160m,revision=step143000"
    write(tmp_path / "EleutherAI__pythia-160m" / name, old, model_args=arguments, layout="current")
    assert emerged(tmp_path)["160m", "lambada_openai"][0] == HALF
    (noted,) = read_evaluations(tmp_path).noted
    assert noted.path.endswith(name)
    assert noted.values == 1  # PIQA, which the newer file does not have
    assert "results_2026-07-06T10-00-00.123456.json has them too: 1 values" in noted.note


def test_without_a_time_in_its_name_the_date_in_a_file_counts(tmp_path):
    for name, date, value in (("a", 1_700_000_000.5, 0.1), ("b", 1_800_000_000, 0.2)):
        document = groups()
        document["results"]["mmlu_anatomy"]["acc,none"] = value
        document["date"] = date
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    table = read_evaluations(tmp_path).table.filter(task="mmlu_anatomy")
    assert table["value"].to_list() == [0.2]


def test_times_in_names():
    assert time_in("results_2026-07-14T22-44-17.123456.json") == datetime(
        2026, 7, 14, 22, 44, 17, 123456
    )
    assert time_in("x_eval_results_03-24-2025-23-20-41.json") == datetime(2025, 3, 24, 23, 20, 41)
    assert time_in("results_2026-13-14T22-44-17.json") is time_in("pythia-160m_step0.json") is None


@pytest.mark.parametrize("last", ["revision=main", "revision=", "dtype=float16"])
def test_the_main_branch_of_a_known_model_is_its_last_step(tmp_path, last):
    evaluate(tmp_path, lambda step: f"step{step}", steps=STEPS[:-1])
    path = tmp_path / "last" / "results_2026-07-06T10-00-00.json"
    arguments = f"pretrained=EleutherAI/pythia-160m,{last}"
    write(path, accuracy(143_000), model_args=arguments, layout="current")
    write(tmp_path / "mine.json", accuracy(1), model_args=f"pretrained=me/160m,{last}")
    assert emerged(tmp_path)["160m", "lambada_openai"][0] == HALF
    (unread,) = read_evaluations(tmp_path).unread
    assert (unread.path, unread.note) == (
        "mine.json",
        "neither its content nor its name says the step",
    )


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (b"", "utf-8")],
)
def test_files_that_begin_with_a_byte_order_mark_are_read(tmp_path, mark, encoding):
    evaluate(tmp_path, lambda step: f"step{step}")
    for path in tmp_path.rglob("*.json"):
        path.write_bytes(mark + path.read_text().encode(encoding))
    found = read_evaluations(tmp_path)
    assert (found.unread, found.table.height) == ([], len(STEPS))


@pytest.mark.parametrize("key", ["peft", "delta"])
def test_an_adapter_makes_another_model(tmp_path, key):
    evaluate(tmp_path / "base", lambda step: f"step{step}")
    evaluate(tmp_path / "tuned", lambda step: f"step{step},{key}=./lora")
    found = read_evaluations(tmp_path)
    assert set(found.table["model"]) == {"160m", "160m+lora"}
    assert found.table.height == 2 * len(STEPS)
    curves = {one.model: one for one in emergence_of_abilities(tmp_path).curves}
    assert curves["160m"].parameters == 162_322_944
    assert curves["160m+lora"].parameters is None


def neox(folder, name, value, step, **arguments):
    document = current({"piqa": {"acc": (value, 0.01)}}, "", 0)
    files = {"eval_single_node.yml": "{}"}
    document["config"]["model_args"] = {"iteration": step, "config_files": files, **arguments}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document))


def test_runs_of_gpt_neox_are_told_apart_by_prefix_and_by_weights(tmp_path):
    for i, step in enumerate((0, 1000)):
        for run in ("pretraining_baseline", "pretraining_filtered"):
            arguments = {"eval_results_prefix": run, "load": f"/ckpt/{run}"}
            name = f"{run}_eval_results_03-2{i}-2025-23-20-40.json"
            neox(tmp_path, name, 0.5, step, **arguments)
        for run in ("a", "b"):
            name = f"eval_results_03-2{i}-2025-23-20-40.json"
            neox(tmp_path / run, name, 0.5, step, eval_results_prefix="", load=f"/ckpt/run_{run}/")
    prefix = {"eval_results_prefix": "out/only_in_content", "load": "/ckpt/x"}
    neox(tmp_path / "c", "results.json", 0.5, 0, **prefix)
    found = read_evaluations(tmp_path)
    assert found.unread == found.noted == []
    assert found.table.group_by("model").len().sort("model").rows() == [
        ("only_in_content", 1),
        ("pretraining_baseline", 2),
        ("pretraining_filtered", 2),
        ("run_a", 2),
        ("run_b", 2),
    ]


def test_samples_and_other_files_are_counted_and_nested_folders_are_read(tmp_path):
    evaluate(tmp_path / "deep" / "er", lambda step: f"step{step}")
    (tmp_path / "deep" / "samples_piqa_2026-07-01T10-00-00.123456.jsonl").write_text("{}\n")
    upper = tmp_path / "deep" / "LAST.JSON"
    write(upper, {"piqa": {"acc": (0.6, 0.01)}}, model_args="pretrained=a/b,revision=step1M")
    found = read_evaluations(tmp_path)
    assert (len(found.files), found.others, found.unread) == (len(STEPS) + 1, 1, [])
    assert found.table.filter(model="b")["step"].to_list() == [1_000_000]


def test_numbers_too_large_to_be_counted_are_passed_over(tmp_path):
    huge = 10**400
    document = groups()
    document["n-shot"]["mmlu_anatomy"] = huge
    document["results"]["mmlu_astronomy"]["acc,none"] = huge
    document["date"] = huge
    read, note = shots_of(tmp_path, document)
    assert read["mmlu_anatomy"] == 0  # by its entry in configs
    assert "mmlu_astronomy acc (no number)" in note
