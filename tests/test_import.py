"""Published evaluations as runs: every fault of their files found, told and resolved by index."""

import json

import h5py
import numpy as np
import polars as pl
import pytest
from published_files import (
    ACCURACY,
    LAST,
    ROWS,
    STEP_ROWS,
    evaluated,
    make_tokens,
    make_toy,
    memorized_rows,
    ranks,
    truth,
    write_table,
)

from memtrace import EventSequence, fit_poisson
from memtrace.errors import CorpusError, ManifestError, RunError
from memtrace.runs.events import hash_texts, read_events
from memtrace.runs.run import find_run
from memtrace.scanning.import_published import import_run
from memtrace.scanning.published import Findings, describe, read_evaluation
from memtrace.scanning.published_names import Label, choose_files, read_label
from memtrace.storage.store import open_store


@pytest.fixture(scope="module")
def tokens():
    return make_tokens()


@pytest.fixture
def toy(tmp_path):
    return make_toy(tmp_path)


@pytest.mark.parametrize(("world", "batch"), [(1, 64), (3, 25), (4, 7), (5, 320), (7, 16)])
def test_rank_files_of_the_published_script(toy, tmp_path, world, batch):
    source, written = ranks(tmp_path / f"memorization_12b_{LAST}000", LAST, world, batch)
    run, findings = toy(source, model="12b", step=LAST)
    assert evaluated(run) == list(range(ROWS))
    assert memorized_rows(run) == truth()
    assert findings.rows_read == written
    assert findings.duplicates == written - ROWS
    assert findings.conflicts == findings.missing == findings.unexposed == 0
    cut = -(-ROWS // world) % batch
    assert (findings.shifted > 0) == (cut > 0 and ROWS // world % batch > 0)


def test_the_script_with_the_numbers_of_pythia():
    """512 ranks of 286,000 rows, batches of 1024: 367,920 repeated rows and a label of 1 more."""
    share, batch, rows = 286_000, 1024, 146_432_000
    assert 511 * (-(-share // batch) * batch - share) == 367_920
    start = 511 * share + share // batch * batch
    assert start + 1 == 146_431_697
    # The mislabelled batch ends at an index that no row has: by that it is known.
    assert start + 1 + (rows - start) - 1 == rows


def test_ranks_run_over_the_rows_that_the_step_had_seen(toy, tmp_path):
    source, _ = ranks(tmp_path / "csv", 10, 3, 50)
    run, findings = toy(source, model="12b", step=10)
    assert evaluated(run) == list(range(160))
    assert memorized_rows(run) == truth(160)
    assert findings.unexposed > 0
    assert findings.shifted == 0


def test_a_lost_rank_is_missing_and_not_zero(toy, tmp_path):
    source, _ = ranks(tmp_path / "csv", LAST, 4, 16)
    (source / "rank-1.csv").unlink()
    run, findings = toy(source, model="12b", step=LAST)
    assert findings.missing == 80
    events = EventSequence.from_run(run)
    assert events.exposure == ROWS - 80
    assert events.missing.tolist() == [[80, 160]]
    assert any("not evaluated" in line for line in describe(findings))


def test_rank_files_of_two_runs_in_one_folder(toy, tmp_path):
    """The published notebook special-cases two such folders, of two numbers of ranks."""
    source, _ = ranks(tmp_path / "csv", LAST, 4, 16)
    other, _ = ranks(tmp_path / "other", LAST, 8, 10)
    for path in other.glob("rank-[4-7].csv"):
        path.rename(source / path.name)
    run, findings = toy(source, model="12b", step=LAST)
    assert memorized_rows(run) == truth()
    assert findings.duplicates > 0


def test_copies_that_disagree_keep_the_lower_result(toy, tmp_path):
    lines = [f"{i},{value}" for i, value in enumerate(ACCURACY)]
    one = truth()[0]
    path = tmp_path / "both.csv"
    path.write_text("\n".join([f"{one},0.5", *lines, f"{one},0.25"]))
    run, findings = toy(path, model="12b", step=LAST)
    assert findings.conflicts == 2
    assert memorized_rows(run) == truth()[1:]


def test_order_of_rows_does_not_matter(toy, tmp_path):
    order = np.random.default_rng(0).permutation(ROWS)
    path = tmp_path / "memorization_results_12b_20.csv"
    rows = "\n".join(f"{k},{i},{ACCURACY[i]}" for k, i in enumerate(order))
    path.write_text(f",index,accuracy\n{rows}\n")  # as pandas writes a table with its own index
    run, findings = toy(path)
    assert (run.model, run.step) == ("12b", LAST)
    assert memorized_rows(run) == truth()
    assert findings.out_of_order > 100


def write_fixed(path, columns):
    """Write a table as pandas' `to_hdf` does in its default format: a block for each type."""
    with h5py.File(path, "w") as file:
        group = file.create_group("memorization")
        group["axis0"] = np.array([name.encode() for name in columns])
        group["axis1"] = np.arange(len(next(iter(columns.values()))))
        for i, (name, values) in enumerate(columns.items()):
            group[f"block{i}_items"] = np.array([name.encode()])
            group[f"block{i}_values"] = values[:, None]


def test_hdf5(toy, tmp_path):
    repeated = np.concatenate([np.arange(ROWS), np.arange(5)])
    columns = {"index": repeated, "accuracy": ACCURACY[repeated]}
    write_fixed(tmp_path / "memorization_12b_20.hdf", columns)
    run, findings = toy(tmp_path / "memorization_12b_20.hdf", step=LAST, model="12b")
    assert memorized_rows(run) == truth()
    assert findings.duplicates == 5
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["index"], file["accuracy"] = columns["index"], columns["accuracy"]
    again, _ = toy(tmp_path / "plain.h5", model="12b", step=LAST, runs=tmp_path / "other")
    assert again.scores().collect().equals(run.scores().collect())


def test_hdf5_without_h5py(toy, tmp_path, monkeypatch):
    (tmp_path / "x.hdf").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(RunError, match=r"pip install 'memtrace-llm\[import-hdf5\]'"):
        toy(tmp_path / "x.hdf", model="12b", step=LAST)


@pytest.fixture
def corpus(tmp_path, tokens, write_megatron):
    return str(write_megatron(tmp_path / "document", tokens))


def test_table_of_memorized_sequences_only(toy, tmp_path, tokens, corpus):
    """Its exposure comes from the step, not from the rows that it has."""
    path = write_table(tmp_path / "duped.12b.parquet", truth(), tokens)
    run, findings = toy(path, step=LAST, corpus=corpus)
    assert run.model == "12b"
    assert evaluated(run) == list(range(ROWS))
    assert memorized_rows(run) == truth()
    assert findings == Findings(len(truth()), 0, 0, 0, 0, 0, 0)
    assert run.record["import"]["compared_with_corpus"] == corpus
    events = read_events(run, hashes=True)
    assert events.sequence_index.tolist() == truth()
    assert events.text_hash.tolist() == hash_texts(tokens[truth(), :64]).tolist()
    partial, found = toy(path, step=10, runs=tmp_path / "partial")
    assert partial.exposed_rows == 160
    assert memorized_rows(partial) == truth(160)
    assert found.unexposed == len(truth()) - len(truth(160))
    unknown = read_events(partial, hashes=True)
    assert unknown.sequence_index.tolist() == truth(160)
    assert unknown.text_hash is None
    assert "import with --corpus" in unknown.note


def test_tokens_of_another_corpus_are_refused(toy, tmp_path, tokens, corpus):
    """`duped` tables belong to the standard Pile, `deduped` ones to the deduplicated one."""
    wrong = np.roll(tokens, 1, axis=0)  # what labels that are off by one look like
    path = write_table(tmp_path / "deduped.12b.parquet", truth(), wrong)
    with pytest.raises(CorpusError, match=rf"{len(truth())} of {len(truth())} imported.*deduped"):
        toy(path, step=LAST, corpus=corpus)


def test_names_tell_model_and_step():
    for name, expected in {
        "duped.1.4b-00000-of-00004.parquet": ("1.4b", None),
        "deduped.12b.23000-00000-of-00001.parquet": ("12b-deduped", 23_000),
        "memorization_160m-deduped_103000": ("160m-deduped", 103_000),
        "memorization_results_2.8b_43000.csv": ("2.8b", 43_000),
        "rank-3.csv": (None, None),
    }.items():
        assert read_label(name) == Label(*expected)


def test_the_folder_tells_where_its_files_do_not(tmp_path):
    path = tmp_path / "memorization_70m_1000" / "rank-3.csv"
    path.parent.mkdir()
    path.touch()
    for source in (path, path.parent):
        assert choose_files(source, Label()) == ([path], Label("70m", 1000))


def test_first_release_is_not_the_model_of_the_same_size(tmp_path):
    """The published rank files are of the -v0 models: other weights, steps with doubled labels."""
    (tmp_path / "memorization_160m-deduped-v0_103000.csv").write_text("0,1.0\n")
    with pytest.raises(ManifestError, match="160m-deduped"):
        import_run(tmp_path / "memorization_160m-deduped-v0_103000.csv", runs=tmp_path)


def test_fit_poisson_works_on_imported_runs_unchanged(toy, tmp_path, memtrace_cli):
    source, _ = ranks(tmp_path / "csv", LAST, 3, 25)
    run, _ = toy(source, model="12b", step=LAST)
    events = EventSequence.from_run(run)
    assert (events.n_events, events.exposure) == (len(truth()), ROWS)
    direct = EventSequence.from_positions(truth(), n=ROWS, sequences_per_step=STEP_ROWS)
    ours = fit_poisson(events, window=16).to_dict()
    theirs = fit_poisson(direct, window=16).to_dict()
    names = {"label": 0, "source": 0}
    assert json.dumps({**ours, **names}) == json.dumps({**theirs, **names})
    result = memtrace_cli("fit-poisson", tmp_path / "runs", "--window", "16", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["events"] == len(truth())


def test_accuracies_are_kept_and_matched_tokens_are_not_invented(toy, tmp_path):
    """Accuracy counts right tokens anywhere: 31 of 32 may have missed the very first."""
    source, _ = ranks(tmp_path / "csv", LAST, 1, 64)
    run, _ = toy(source, model="12b", step=LAST)
    table = pl.read_parquet(sorted((run.folder / "scores").glob("*.parquet")))
    np.testing.assert_allclose(table["accuracy"].to_numpy(), ACCURACY)
    unknown = table.filter(pl.col("accuracy") < 1)["matched_tokens"]
    assert unknown.null_count() == len(unknown)


def test_run_says_where_it_comes_from(toy, tmp_path):
    source, _ = ranks(tmp_path / "csv", LAST, 2, 64)
    run, findings = toy(source, model="12b", step=LAST)
    again, _ = toy(source, model="12b", step=LAST)
    assert again.record == run.record
    assert run.record["source"] == str(source)
    assert run.record["import"]["duplicates"] == findings.duplicates
    assert run.configuration.eos_rule == "mask-eos"  # min_length with eos_token_id 0 forbids 0
    assert find_run(tmp_path / "runs", model="12b", step=LAST).shards_left() == []
    changed = tmp_path / "one.csv"
    changed.write_text("0,1.0\n")
    with pytest.raises(RunError, match="weight_digest"):
        toy(changed, model="12b", step=LAST)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{ROWS + 1},1.0\n", f"index {ROWS + 1}, the corpus has rows 0 to {ROWS - 1}"),
        ("-1,1.0\n", "index -1"),
        ("3,1.5\n", "not within 0 to 1"),
        ("3;0.5\n", "cannot read"),
        ("", "cannot read"),
        ("three,0.5\n", "cannot read"),
    ],
)
def test_files_that_cannot_be_right(toy, tmp_path, content, message):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(RunError, match=message) as caught:
        toy(tmp_path / "x.csv", model="12b", step=LAST)
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_right(toy, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(RunError, match="hf download"):
        toy(folder, model="12b", step=LAST)
    (folder / "a.csv").write_text("0,1.0\n")
    (folder / "b.hdf").write_text("")
    with pytest.raises(RunError, match="several kinds"):
        toy(folder, model="12b", step=LAST)
    (folder / "b.hdf").unlink()
    with pytest.raises(ManifestError, match="give --model"):
        toy(folder)


def test_sequences_of_several_lengths(tmp_path):
    table = pl.DataFrame({"index": [1, 2], "tokens": [[1, 2], [3]]})
    table.write_parquet(tmp_path / "x.parquet")
    with pytest.raises(RunError, match=r"\[1, 2\] tokens"):
        read_evaluation([tmp_path / "x.parquet"], corpus_rows=5, exposed_rows=5)


def test_command(tmp_path, toy, memtrace_cli):
    source, _ = ranks(tmp_path / "csv", LAST, 3, 25)
    command = ["import", source, "--model", "12b", "--step", LAST, "--suite", "toy"]
    command += ["--manifest", tmp_path / "toy.yaml", "--runs", tmp_path / "runs"]
    result = memtrace_cli(*command)
    assert result.exit_code == 0, result.output
    assert f"{len(truth())} of {ROWS} sequences memorized" in result.stdout
    assert "labelled one too high, moved back" in result.stdout
    document = json.loads(memtrace_cli(*command, "--json").stdout)
    assert document["memorized"] == len(truth())
    assert document["findings"]["shifted"] > 0
    recorded = find_run(tmp_path / "runs", model="12b", step=LAST).record["command"]
    assert recorded[:3] == ["memtrace", "import", str(source)]
    assert recorded[recorded.index("--model") + 1] == "12b"


@pytest.mark.usefixtures("toy")
def test_runs_at_an_address_are_not_a_folder_of_that_name(tmp_path, memtrace_cli, monkeypatch):
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.store", {})
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.pseudo_dirs", [""])
    monkeypatch.chdir(tmp_path)
    source, _ = ranks(tmp_path / "memorization_12b_20", LAST, 2, 16)
    before = sorted(tmp_path.iterdir())
    command = ["import", source, "--manifest", tmp_path / "toy.yaml", "--suite", "toy"]
    result = memtrace_cli(*command, "--runs", "memory://imported", "--json")
    assert result.exit_code == 0, result.output
    run = find_run(open_store("memory://imported"), model="12b", step=LAST)
    assert json.loads(result.stdout)["run"] == str(run.folder)
    assert str(run.folder).startswith("memory://imported/suite=toy")
    assert sorted(tmp_path.iterdir()) == before
