"""What a model has seen that no manifest names: unknown, until somebody says it."""

import json

import numpy as np
import pytest
import yaml
from builders import write_run

import memtrace
from memtrace.corpus import open_corpus
from memtrace.errors import CorpusError, ManifestError, RunError
from memtrace.manifests.schedule import place_in_steps, rows_before, steps_of
from memtrace.runs.run import open_run
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.plan import plan_scan

ROWS = np.random.default_rng(0).integers(1, 96, (20, 64)).astype(np.uint16)


@pytest.fixture
def corpus(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    return str(tmp_path / "rows.npy")


def plan(model, corpus, runs, step=None, **options):
    return plan_scan(find_checkpoints(str(model), step)[0], corpus=corpus, runs=runs, **options)


def test_all_rows_are_scanned_and_none_counts_as_trained_on(
    neox_folder, corpus, tmp_path, memtrace_cli
):
    command = ["--quiet", "scan", "--model", neox_folder, "--corpus", corpus, "--step", 400]
    command += ["--runs", tmp_path / "runs", "--dtype", "float32"]
    text = memtrace_cli(*command).output
    assert "Training order unknown: the rows count as scanned, none as trained on" in text
    assert "not exposed" not in text
    document = json.loads(memtrace_cli(*command, "--json").stdout)
    assert (document["training_order"], document["sequences"]) == ("unknown", 20)
    assert document["control_reason"] == "the training order is unknown"
    fit = memtrace_cli("fit-poisson", tmp_path / "runs")
    assert fit.exit_code == 1
    assert "the training order is unknown, so there is no order to test" in fit.output
    known = memtrace_cli("fit-poisson", tmp_path / "runs", "--sequences-per-step", 2, "--json")
    assert json.loads(known.stdout)["exposure"] == 20


def test_sequences_per_step_say_what_it_has_seen(neox_folder, corpus, tmp_path):
    found = plan(neox_folder, corpus, tmp_path, 3, sequences_per_step=4)
    assert (found.exposed_rows, found.stop, found.sequences_per_step) == (12, 12, 4)
    control = plan(neox_folder, corpus, tmp_path, 3, sequences_per_step=4, include_unexposed=True)
    assert (control.exposed_rows, control.stop) == (12, 20)
    with pytest.raises(CorpusError, match=r"step 0 of .* has seen no row of corpus"):
        plan(neox_folder, corpus, tmp_path, sequences_per_step=4)
    with pytest.raises(CorpusError, match=r"manifest \d+, --sequences-per-step 5;"):
        plan("demo", None, tmp_path, "last", sequences_per_step=5)
    with pytest.raises(RunError, match="give --sequences-per-step"):
        plan(neox_folder, corpus, tmp_path, sample=2, stratified=True)


def test_a_run_is_put_in_order_afterwards(tmp_path):
    unknown = write_run(tmp_path, step=3, sequences_per_step=None, stop=100, exposed_rows=120)
    with pytest.raises(RunError, match="the training order is unknown"):
        memtrace.fit_run(unknown)
    known = write_run(tmp_path / "b", step=3, sequences_per_step=20, stop=100, exposed_rows=60)
    ours, theirs = (
        memtrace.fit_run(run, duplicates=None).to_dict() for run in (unknown.in_order(20), known)
    )
    assert ours == theirs
    with pytest.raises(RunError, match="leave out --sequences-per-step"):
        known.in_order(20)


def test_runs_of_several_corpora_do_not_meet(neox_folder, corpus, tmp_path):
    np.save(tmp_path / "other rows.npy", ROWS[:5])
    for name, options in (("rows.npy", {}), ("other rows.npy", {}), ("rows.npy", {"run": "b"})):
        memtrace.scan(
            str(neox_folder),
            corpus=str(tmp_path / name),
            runs=tmp_path / "runs",
            dtype="float32",
            **options,
        )
    found = memtrace.find_runs(tmp_path / "runs")
    places = {(run.suite, run.corpus_rows) for run in found}
    assert places == {("local-rows", 20), ("local-other-rows", 5), ("b", 20)}
    with pytest.raises(ManifestError, match="a manifest has a suite 'pythia'"):
        plan(neox_folder, corpus, tmp_path, run="pythia")
    with pytest.raises(ManifestError, match="demo is of suite demo: --run names the runs of"):
        plan("demo", None, tmp_path, run="mine")


def test_a_pack_of_a_corpus_file_knows_its_steps(tmp_path, corpus, memtrace_cli):
    said = {"corpus": "own", "layout": "npy", "tokens": ["rows.npy"]}
    said["sequences_per_step"] = [[0, 2], [3, 4]]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(said))
    done = memtrace_cli("corpus", "pack", tmp_path / "own.yaml", "--output", tmp_path / "pack")
    assert done.exit_code == 0, done.output
    packed, whole = (open_corpus(tmp_path / name) for name in ("pack", "own.yaml"))
    assert packed.sequences_per_step == whole.sequences_per_step == ((0, 2), (3, 4))


@pytest.mark.parametrize("rows", [ROWS[:, :40], ROWS + 60])
def test_a_plan_that_cannot_work_leaves_no_record(neox_folder, tmp_path, rows, monkeypatch):
    """A model of the Hub has no limits until it is there: then they are asked again."""
    np.save(tmp_path / "rows.npy", rows)
    from memtrace.scanning import plan as planning

    monkeypatch.setattr(planning, "check_fit", lambda *_: None)
    with pytest.raises(CorpusError, match=r"rows of 40 tokens|outside the model's vocabulary"):
        memtrace.scan(str(neox_folder), corpus=str(tmp_path / "rows.npy"), runs=tmp_path / "runs")
    assert not list((tmp_path / "runs").rglob("run.json"))


def test_a_run_without_a_shard_gives_way(tmp_path):
    write_run(tmp_path, shards=())
    assert write_run(tmp_path, shards=(), weight_digest="x").configuration.weight_digest == "x"
    write_run(tmp_path, shards=(0,), weight_digest="x")
    with pytest.raises(RunError, match="another configuration"):
        write_run(tmp_path, shards=(), weight_digest="y")
    assert open_run(next(tmp_path.rglob("step=512"))).configuration.weight_digest == "x"


RAMP = ((0, 10), (4, 30), (6, 50))


def test_places_in_steps_follow_a_ramp():
    """Against a list of the rows, one by one."""
    steps = [step for step, rows in enumerate([10] * 4 + [30] * 2 + [50] * 3) for _ in range(rows)]
    assert steps_of(RAMP, np.arange(250)).tolist() == steps
    places = place_in_steps(RAMP, np.arange(250))
    assert np.floor(places + 1e-9).astype(int).tolist() == steps
    assert place_in_steps(RAMP, [rows_before(RAMP, s) for s in range(10)]).tolist() == [*range(10)]
    assert place_in_steps(16, [40]).tolist() == [2.5]


def test_the_fit_of_a_run_with_a_ramp_speaks_of_steps(tmp_path, memtrace_cli):
    """The rate doubles at row 100: step 6 of the ramp. Cuts are steps of it too."""
    rng = np.random.default_rng(0)
    write_run(
        tmp_path,
        lambda rows: np.where(rng.random(len(rows)) < np.where(rows < 100, 0.05, 0.6), 32, 0),
        step=9,
        stop=250,
        exposed_rows=250,
        corpus_rows=300,
        sequences_per_step=RAMP,
    )
    done = memtrace_cli("fit-poisson", tmp_path, "--window", 10, "--cuts", "4,6", "--json")
    document = json.loads(done.stdout)
    change = document["change_point"]
    assert change["step"] == pytest.approx(place_in_steps(RAMP, change["index"]))
    assert 5 < change["step"] < 7
    assert "best change point             step 6" in memtrace_cli("fit-poisson", tmp_path).output
    known = next(model for model in document["models"] if model["name"] == "known cuts")
    assert known["parameters"]
    bad = memtrace_cli("fit-poisson", tmp_path, "--cuts", "9")
    assert "no checkpoint at step 9" in bad.output
