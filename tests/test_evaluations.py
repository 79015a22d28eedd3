"""Folders of evaluations: both layouts read alike, and a list of what was read and what not."""

import json
import math
from pathlib import PurePath

import pytest
from evaluation_folders import neox, standard_error, write
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.errors import FitError
from memtrace.evaluations import read_evaluations
from memtrace.evaluations.names import model_of, shots_in, step_in, trainings_of

LAMBADA = {"lambada_openai": {"acc": (0.25, 0.006), "ppl": (30.0, 1.5)}}


def pythia(step, size="70m"):
    return f"pretrained=EleutherAI/pythia-v1.1-{size},revision=step{step}"


def only(evaluations):
    return [report.note for report in evaluations.unread]


@pytest.mark.parametrize(
    ("name", "model", "run"),
    [
        ("EleutherAI/pythia-v1.1-1.4b-deduped", "1.4b-deduped", "standard"),
        ("EleutherAI/pythia-70m", "70m", "standard"),
        ("EleutherAI/pythia-410m-seed3", "410m-seed3", "standard"),
        ("EleutherAI/pythia-160m-v0", "160m-v0", "standard"),
        (
            "EleutherAI/intervention-pythia-v1.1-1.4b-deduped-long",
            "1.4b-deduped",
            "intervention-long",
        ),
        ("EleutherAI/pythia-intervention-long-1.4b-deduped", "1.4b-deduped", "intervention-long"),
        ("EleutherAI/pythia-longer-intervention-1.4b-deduped", "1.4b-deduped", "intervention-long"),
        ("EleutherAI/pythia-intervention-410m-deduped", "410m-deduped", "intervention"),
        ("/data/my-long-model/step1000", "my-long-model", "standard"),
        ("checkpoints/checkpoint-1000/", "checkpoints", "standard"),
    ],
)
def test_models_by_the_names_that_were_published(name, model, run):
    found = model_of(name)
    assert (found.model, found.run) == (model, run)


def test_steps_and_shots_in_names():
    assert step_in("70m-deduped_step512.json") == 512
    assert step_in("step0") == 0
    assert step_in("global_step1000") == 1000
    assert step_in("lambada.json") is step_in("") is None
    assert shots_in(PurePath("pythia-70m/zero-shot/a.json")) == 0
    assert shots_in(PurePath("pythia-70m/five-shot/70m-5shot_step1000.json")) == 5
    assert shots_in(PurePath("a/16shot/b.json")) == 16
    assert shots_in(PurePath("a/b.json")) is None


def test_sizes_are_the_manifests_also_under_old_names():
    found = trainings_of(["1.3b-deduped", "1.4b", "12b", "nobody-knows-it"])
    assert found["1.3b-deduped"].parameters == found["1.4b"].parameters
    assert found["12b"].tokens_per_step == 2_097_152
    assert found["12b"].last_step == 143_000
    assert found["nobody-knows-it"] is None


@pytest.mark.parametrize("shots", [0, 5])
def test_old_and_current_layouts_give_the_same_values(tmp_path, shots):
    folder = "zero-shot" if shots == 0 else "five-shot"
    write(
        tmp_path / "old" / "pythia-70m" / folder / "70m_step1000.json",
        LAMBADA,
        model_args=pythia(1000),
        shots=shots,
    )
    arguments = {"pretrained": "EleutherAI/pythia-70m", "revision": "step1000"}
    for i, given_arguments in enumerate((arguments, pythia(1000))):
        write(
            tmp_path / f"new{i}" / "EleutherAI__pythia-70m" / "results_2026-01-01T00-00-00.json",
            LAMBADA,
            model_args=given_arguments,
            shots=shots,
            layout="current",
        )
    tables = [read_evaluations(tmp_path / n).table.drop("file") for n in ("old", "new0", "new1")]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    rows = tables[0].rows(named=True)
    assert [(r["model"], r["step"], r["shots"], r["metric"]) for r in rows] == [
        ("70m", 1000, shots, "acc"),
        ("70m", 1000, shots, "ppl"),
    ]
    assert [r["higher_is_better"] for r in rows] == [True, False]
    assert [r["stderr"] for r in rows] == [0.006, 1.5]


def test_step_and_shots_from_the_name_where_the_content_is_silent(tmp_path):
    path = write(tmp_path / "five-shot" / "1.4b-deduped_step32.json", LAMBADA, model_args="")
    document = json.loads(path.read_text())
    del document["config"]
    path.write_text(json.dumps(document))
    row = read_evaluations(tmp_path).table.row(0, named=True)
    assert (row["model"], row["step"], row["shots"]) == ("1.4b-deduped", 32, 5)


def test_gpt_neox_results_are_read_and_the_first_release_is_another_model(tmp_path):
    old_steps, new_steps = [500, 1000, 1500], [0, 1, 2, 4, 1000]
    stem = "intervention-1.3b-deduped-step67000_eval_results_01-21-2023-20-16-29.json"
    name = "pythia-12b-0shot-global_step43000_eval_results_12-16-2022-00-37-09.json"
    for path, step, saved in (
        (tmp_path / "bias-evals" / stem, 67_000, old_steps),
        (tmp_path / "bias-evals" / f"long-{stem}", 67_000, old_steps),
        (tmp_path / "pythia-v0" / "pythia-12b" / "zero-shot" / name, 43_000, new_steps),
    ):
        neox(path, LAMBADA, iteration=step, config_file="x.yml", saved=saved)
    prompted = {"wino_bias_type1_pro+refers_to": {"em": (0.4, 0.02)}}
    for path, file in (
        ("winobias/1.4B/eval_results_02-15.json", "1.4B-deduped.yml"),
        ("winobias/intervene_7/1.4B/eval_results_1.4b-deduped_143000.json", "1.4b-deduped"),
        ("winobias/intervene_21/1.4B/eval_results_1.4b-deduped-long_1.json", "1.4b-deduped-long"),
    ):
        arguments = {"iteration": 143_000, "config_file": file, "saved": new_steps}
        neox(tmp_path / path, prompted, **arguments, prompted=True)
    found = read_evaluations(tmp_path)
    assert found.unread == []
    rows = found.table.select("model", "run", "step", "metric").unique().rows()
    assert {row for row in rows if row[3] != "ppl"} == {
        ("1.3b-deduped-v0", "intervention", 67_000, "acc"),
        ("1.3b-deduped-v0", "intervention-long", 67_000, "acc"),
        ("12b-v0", "standard", 43_000, "acc"),
        ("1.4b-deduped", "standard", 143_000, "em"),
        ("1.4b-deduped", "intervention", 143_000, "em"),
        ("1.4b-deduped", "intervention-long", 143_000, "em"),
    }
    assert trainings_of(["12b-v0"])["12b-v0"] is None


def test_other_models_trained_with_gpt_neox_are_no_release_of_pythia(tmp_path):
    neox(tmp_path / "mine_step500.json", LAMBADA, iteration=500, config_file="x", saved=[500])
    assert set(read_evaluations(tmp_path).table["model"]) == {"mine"}


def test_a_model_that_nobody_names_is_not_read(tmp_path):
    write(tmp_path / "a_step1.json", LAMBADA, model_args=pythia(1))
    write(tmp_path / "step2" / "results_2026.json", LAMBADA, model_args="", layout="current")
    assert only(read_evaluations(tmp_path)) == ["neither its content nor its name says the model"]


def test_step_0_is_a_step(tmp_path):
    write(tmp_path / "70m_step0.json", LAMBADA, model_args=pythia(0))
    write(tmp_path / "70m_step1.json", LAMBADA, model_args=pythia(0))
    found = read_evaluations(tmp_path)
    assert found.table["step"].unique().to_list() == [0]
    assert only(found) == ["its content says step 0, its name 1"]


def test_a_mixed_folder_is_read_as_far_as_it_goes_and_each_failure_is_named(tmp_path):
    write(tmp_path / "a_step1.json", LAMBADA, model_args=pythia(1))
    whole = write(tmp_path / "b_step2.json", LAMBADA, model_args=pythia(2)).read_text()
    (tmp_path / "b_step2.json").write_text(whole[: len(whole) // 2])
    (tmp_path / "c.json").write_text("[1, 2]")
    (tmp_path / "d.json").write_text('{"accuracy": 1}')
    (tmp_path / "e.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "f.json").write_text("")
    write(tmp_path / "g.json", LAMBADA, model_args="pretrained=my/model")
    write(tmp_path / "five-shot" / "h_step4.json", LAMBADA, model_args=pythia(4))
    write(tmp_path / "i_step8.json", {"x": {"acc": (math.nan, None)}}, model_args=pythia(8))
    partial = {**LAMBADA, "piqa": {"acc": (math.nan, 0.1)}}
    write(tmp_path / "j_step16.json", partial, model_args=pythia(16))
    write(tmp_path / "k_step1.json", LAMBADA, model_args=pythia(1))
    (tmp_path / "l.csv").write_text("a,b\n")
    found = read_evaluations(tmp_path)
    reasons = {report.path: report.note for report in found.unread}
    assert set(reasons) == {
        *(f"{name}.json" for name in ("b_step2", "c", "d", "e", "f", "g", "i_step8", "k_step1")),
        "five-shot/h_step4.json",
    }
    assert "cut short" in reasons["b_step2.json"]
    assert "a JSON list" in reasons["c.json"]
    assert "no results" in reasons["d.json"]
    assert "UTF-8" in reasons["e.json"]
    assert "neither its content nor its name says the step" in reasons["g.json"]
    assert "its content says number of shots 0, its name 5" in reasons["five-shot/h_step4.json"]
    assert "no number" in reasons["i_step8.json"]
    assert "a_step1.json has them too: 2 values" in reasons["k_step1.json"]
    assert [(f.path, f.note) for f in found.noted] == [
        ("j_step16.json", "not read: piqa acc (no number)")
    ]
    assert sorted(found.table["step"].unique()) == [1, 16]
    document = found.document()
    assert (document["json_files"], document["read"], document["other_files"]) == (11, 2, 1)
    assert {entry["path"] for entry in document["not_read"]} == set(reasons)


@pytest.mark.parametrize("content", [None, "{}", "not JSON"])
def test_only_a_folder_of_which_nothing_can_be_read_is_an_error(tmp_path, content):
    if content is not None:
        (tmp_path / "a_step1.json").write_text(content)
    with pytest.raises(FitError, match=r"no evaluation could be read from .*: "):
        read_evaluations(tmp_path)
    with pytest.raises(FitError, match="is not a folder"):
        read_evaluations(tmp_path / "nowhere")


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["results", "config", "model_args", "n-shot", "acc", "acc,none", "num_fewshot"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_a_file_holds_it_is_read_or_named(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    write(folder / "a_step1.json", LAMBADA, model_args=pythia(1))
    (folder / "b_step2.json").write_text(json.dumps({"results": {"t": content}, "n-shot": content}))
    (folder / "c_step3.json").write_text(json.dumps(content))
    found = read_evaluations(folder)
    names = ["a_step1.json", "b_step2.json", "c_step3.json"]
    assert [report.path for report in found.files] == names
    assert all(report.values or report.note for report in found.files)


def test_pythias_published_evaluations_are_read_in_full(shared_folder):
    found = read_evaluations(shared_folder / "data" / "pythia-evals")
    assert len(found.files) == 400
    assert found.unread == found.noted == []
    assert set(found.table["run"]) == {"standard", "baseline", "intervention", "intervention-long"}
    steps = found.table.filter(model="12b", task="piqa", metric="acc")["step"]
    assert len(steps) == 27
    assert steps.is_sorted()
    acc = found.table.filter(model="70m", step=1000, task="piqa", metric="acc")
    value, error = acc.row(0, named=True)["value"], acc.row(0, named=True)["stderr"]
    # PIQA has 1838 questions.
    assert error == pytest.approx(standard_error(value, 1838))
