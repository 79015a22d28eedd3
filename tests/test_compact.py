"""Merged runs: equal content in one file, nothing read twice, nothing deleted unproven."""

import json
from dataclasses import replace
from itertools import count
from pkgutil import resolve_name

import numpy as np
import polars as pl
import pytest
from builders import CONFIGURATION, write_run, write_shard

from memtrace.errors import RunError
from memtrace.runs.compact import compact
from memtrace.runs.events import read_events, write_events
from memtrace.runs.load_scores import load_scores
from memtrace.runs.run import begin_run, open_run
from memtrace.runs.scores import read_metadata, write_scores
from memtrace.storage.checksum import is_intact


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


def names(run):
    return sorted(path.name for path in (run.folder / "scores").iterdir())


def test_a_frame_from_before_has_the_same_rows_after(run, tmp_path):
    eager = run.scores().collect()
    scores = load_scores(tmp_path, model="demo", step=512)
    some = scores.filter(pl.col("matched_tokens") == 32).select("sequence_index")
    assert scores.collect_schema() == eager.schema

    def check():
        assert scores.collect().equals(eager)
        assert scores.collect(engine="streaming").equals(eager)
        assert scores.head(50).collect().equals(eager.head(50))
        assert scores.tail(5).collect().equals(eager.tail(5))
        assert scores.select(pl.len()).collect().item() == len(eager)
        matched = eager.filter(pl.col("matched_tokens") == 32)
        assert some.collect().equals(matched.select("sequence_index"))
        assert some.head(1).collect().equals(matched.select("sequence_index").head(1))

    check()
    compact(run)
    check()
    run.merged_path.unlink()
    with pytest.raises(RunError, match="are gone since they were loaded"):
        scores.collect()


def test_the_content_is_equal_and_in_one_sealed_file(run, tmp_path):
    rows, before = run.scores().collect(), read_metadata(run.path(run.shards()[0]))
    sizes = sum(path.stat().st_size for path in (run.folder / "scores").iterdir())
    done = compact(run)
    assert names(run) == ["merged.parquet"]
    assert (done.parts, done.bytes_before) == (3, sizes)
    assert done.bytes_after == run.merged_path.stat().st_size
    assert run.scores().collect().equals(rows)
    assert load_scores(tmp_path, model="demo", step=512).collect().equals(rows)
    assert pl.read_parquet(run.merged_path)["sequence_index"].is_sorted()
    assert is_intact(run.merged_path)
    after = read_metadata(run.merged_path)
    assert {key: after[key] for key in run.configuration.metadata()} == {
        key: before[key] for key in run.configuration.metadata()
    }


def test_a_merged_run_is_finished(run):
    compact(run)
    again = begin_run(run.folder.parents[2], CONFIGURATION, {})
    assert again.shards_left() == []


@pytest.mark.parametrize("reads", [1, 2, 3])
def test_rows_are_not_lost_to_who_reads_meanwhile(run, monkeypatch, reads):
    """The parts that were listed are gone when they are read; the merged file is there then."""
    rows, turn = run.scores().collect(), count(1)

    def merged_meanwhile(path):
        if next(turn) == reads:
            compact(run)
        return read_metadata(path)

    monkeypatch.setattr("memtrace.runs.integrity.read_metadata", merged_meanwhile)
    assert run.scores().collect().equals(rows)
    monkeypatch.undo()
    assert list(run.file_names()) == ["merged.parquet"]
    assert not run.shards_left()


def test_events_are_found_in_scores_that_are_merged_meanwhile(run):
    expected, validated = read_events(run), run.valid_scores()
    (run.folder / "events.parquet").unlink()
    compact(run)
    write_events(run, validated, None)
    written = read_events(run)
    assert np.array_equal(written.sequence_index, expected.sequence_index)
    assert np.array_equal(written.scanned, expected.scanned)


def compacted_before(function, run, turn):
    """Return `function`, before whose call number `turn` another process merges the run."""
    turns = count()

    def delayed(*arguments, **options):
        if next(turns) == turn:
            compact(run)
        return function(*arguments, **options)

    return delayed


@pytest.mark.parametrize(
    ("where", "turn"),
    [
        ("memtrace.runs.run.list_names", 0),
        ("polars.LazyFrame.sink_parquet", 0),
        ("memtrace.runs.compact.write_checksum", 0),
        ("polars.read_parquet", 1),
        ("memtrace.runs.compact.remove", 1),
        ("pathlib.Path.stat", 0),
        ("pathlib.Path.stat", 1),
    ],
)
def test_two_compactions_at_once(run, monkeypatch, where, turn):
    """Wherever the slower process is when the faster one ends, both end well."""
    rows, validated = run.scores().collect(), run.valid_scores()
    with monkeypatch.context() as patch:
        target, _, name = where.rpartition(".")
        patch.setattr(where, compacted_before(getattr(resolve_name(target), name), run, turn))
        compact(run, validated)
    assert names(run) == ["merged.parquet"]
    assert run.scores().collect().equals(rows)
    assert compact(run).parts == 0


def test_twice_is_once(run):
    compact(run)
    content = run.merged_path.read_bytes()
    done = compact(run)
    assert done.parts == 0
    assert done.bytes_before == done.bytes_after
    assert run.merged_path.read_bytes() == content


def test_equal_runs_give_equal_bytes(run, tmp_path):
    other = begin_run(tmp_path / "other", CONFIGURATION, {})
    for shard in reversed(other.shards()):
        write_shard(other, shard)
    compact(run)
    compact(other)
    assert run.merged_path.read_bytes() == other.merged_path.read_bytes()


def test_parts_that_are_still_there_are_not_read_twice(run):
    """What a kill between the new name and the last deletion leaves behind."""
    rows = run.scores().collect()
    kept = {path: path.read_bytes() for path in map(run.path, run.shards())}
    compact(run)
    for path, content in list(kept.items())[1:]:
        path.write_bytes(content)
    assert run.scores().collect().equals(rows)
    assert compact(run).parts == 2
    assert names(run) == ["merged.parquet"]


def test_an_unfinished_run_is_refused(run):
    run.path(run.shards()[1]).unlink()
    with pytest.raises(RunError, match="1 shards are left"):
        compact(run)
    assert len(names(run)) == 2


@pytest.mark.parametrize("column", ["sequence_index", "matched_tokens"])
def test_a_merged_file_that_differs_costs_nothing(run, monkeypatch, column):
    """A library that writes one wrong value is caught before a part is deleted."""
    sink = pl.LazyFrame.sink_parquet

    def wrong(self, *arguments, **options):
        changed = pl.when(pl.col("sequence_index") == 57).then(pl.col(column) + 1)
        sink(
            self.with_columns(changed.otherwise(pl.col(column)).alias(column)),
            *arguments,
            **options,
        )

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", wrong)
    before = names(run)
    with pytest.raises(RunError, match=r"differs from .*shard-00001-of-00003"):
        compact(run)
    assert names(run) == before


def test_rows_too_many_are_found(run, monkeypatch):
    sink = pl.LazyFrame.sink_parquet

    def more(self, *arguments, **options):
        sink(pl.concat([self, self.tail(1)]), *arguments, **options)

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", more)
    with pytest.raises(RunError, match="has not the 100 rows"):
        compact(run)
    assert len(names(run)) == 3


def test_a_folder_that_may_not_be_changed_gives_one_line(run, monkeypatch):
    def refused(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    rows = run.scores().collect()
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", refused)
        with pytest.raises(RunError, match="Permission denied; no scores are lost"):
            compact(run)
    assert run.scores().collect().equals(rows)
    compact(run)
    assert run.scores().collect().equals(rows)


def test_accuracy_and_missing_values_stay(tmp_path):
    run = begin_run(tmp_path, CONFIGURATION, {})
    for shard in run.shards():
        n = shard.stop - shard.start
        matched = pl.Series([32, None] * (n // 2), dtype=pl.UInt8)
        accuracy = np.linspace(0, 1, n, dtype=np.float32)
        rows = np.arange(shard.start, shard.stop)
        write_scores(run.path(shard), rows, matched, run.configuration.metadata(), accuracy)
    rows = pl.concat([pl.read_parquet(run.path(shard)) for shard in run.shards()])
    compact(run)
    assert pl.read_parquet(run.merged_path).equals(rows)
    assert rows.schema["accuracy"] == pl.Float32


def test_a_checkpoint_that_has_seen_nothing(tmp_path):
    run = begin_run(tmp_path, replace(CONFIGURATION, step=0, stop=0, exposed_rows=0), {})
    assert compact(run).parts == 0
    assert run.scores().collect().height == 0


def test_the_command_says_sizes_and_leaves_the_unfinished(run, tmp_path, memtrace_cli):
    other = begin_run(
        tmp_path, replace(CONFIGURATION, step=64), {"command": ["memtrace", "scan", "--step", "64"]}
    )
    write_shard(other, other.shards()[0])
    text = memtrace_cli("runs", "compact", tmp_path)
    assert text.exit_code == 0, text.output
    assert "64 not finished" in text.stdout
    assert "To finish: memtrace scan --step 64" in text.stdout
    assert names(run) == ["merged.parquet"]
    assert len(names(other)) == 1
    unfinished, done = json.loads(memtrace_cli("runs", "compact", tmp_path, "--json").stdout)
    assert (unfinished["finished"], unfinished["parts"]) == (False, None)
    assert (done["finished"], done["parts"]) == (True, 0)
    one = memtrace_cli("runs", "compact", tmp_path, "--step", "512", "--json")
    assert [document["step"] for document in json.loads(one.stdout)] == [512]
    assert memtrace_cli("runs", "compact", tmp_path, "--step", "x").exit_code == 2
    assert memtrace_cli("runs", "compact", tmp_path / "nothing").exit_code == 1


def test_dry_run_and_status_know_a_merged_run(neox_folder, tmp_path, memtrace_cli):
    np.save(tmp_path / "tokens.npy", np.full((6, 64), 3, np.uint16))
    command = ["--quiet", "scan", "--model", neox_folder, "--corpus", tmp_path / "tokens.npy"]
    command += ["--runs", tmp_path / "runs", "--shard-size", 2, "--dtype", "float32"]
    command += ["--step", 3, "--sequences-per-step", 2]
    assert memtrace_cli(*command).exit_code == 0
    (folder,) = (tmp_path / "runs").glob("*/*/*")
    compact(open_run(folder))
    assert json.loads(memtrace_cli(*command, "--dry-run", "--json").stdout)["shards_left"] == 0
    assert json.loads(memtrace_cli("status", tmp_path / "runs", "--json").stdout)[0]["finished"]
    assert memtrace_cli(*command).exit_code == 0
    assert names(open_run(folder)) == ["merged.parquet"]
    fitted = memtrace_cli("fit-poisson", tmp_path / "runs", "--json")
    assert json.loads(fitted.stdout)["coverage"]["seen"] == 6
