"""Disks that are full, read-only, gone or lying: one clear error, and the repeated command ends."""

import shutil
import subprocess
import time
from contextlib import contextmanager, suppress

import numpy as np
import polars as pl
import pytest
from transformers import AutoModelForCausalLM

import memtrace
from memtrace.errors import DataWarning, RunError
from memtrace.runs.compact import compact
from memtrace.runs.run import find_runs
from memtrace.runs.scores import SCHEMA, read_metadata
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.jobs import Job
from memtrace.scanning.launch import run_job
from memtrace.scanning.plan import plan_scan

SEQUENCES, SHARD = 90, 30


@pytest.fixture(scope="module")
def job(tmp_path_factory, neox_folder, remembered):
    """What to scan."""
    sequences, _ = remembered(AutoModelForCausalLM.from_pretrained(neox_folder), SEQUENCES)
    path = tmp_path_factory.mktemp("disk") / "tokens.npy"
    np.save(path, sequences.astype(np.uint16))
    options = {"corpus": str(path), "dtype": "float32", "shard_size": SHARD}
    return {"model": str(neox_folder), **options}


@pytest.fixture(scope="module")
def undisturbed(job, tmp_path_factory):
    return memtrace.scan(**job, runs=tmp_path_factory.mktemp("undisturbed"))


def score_bytes(run):
    return {p.name: p.read_bytes() for p in (run.folder / "scores").glob("*.parquet")}


def temporary_files(folder):
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


@contextmanager
def mounted(folder, options):
    """A small file system of its own, where this user may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("no file system may be mounted here: a full disk cannot be made")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(path):
    """Take all the space that there is."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def scan_with(job, runs, shard, fault):
    """Scan, with a fault at the moment when a shard is decided and all before it are written."""
    options = dict(job)
    (checkpoint,) = find_checkpoints(options.pop("model"))
    plan = plan_scan(checkpoint, runs=runs, **options)
    done = []

    def on_progress(count):
        done.append(count)
        if len(done) == shard + 1:
            scores = plan.folder / "scores"
            while not all((scores / s.file_name).exists() for s in plan.shards()[:shard]):
                time.sleep(0.001)
            fault(plan.folder)

    run_job(Job((plan,)), ["cpu"], on_progress=on_progress)


@pytest.mark.parametrize("shard", range(3))
def test_disk_full(job, undisturbed, tmp_path, shard):
    """Full at any shard; what was finished stays, and with room the command ends as if nothing."""
    with mounted(tmp_path / "small", "size=256k") as small:
        with pytest.raises(RunError, match=r"No space left on device.*make room"):
            scan_with(job, small / "runs", shard, lambda _: fill(small / "ballast"))
        (run,) = find_runs(small / "runs")
        kept = score_bytes(run)
        assert len(kept) == shard
        assert kept.items() <= score_bytes(undisturbed).items()
        assert not temporary_files(small)
        (small / "ballast").unlink()
        assert score_bytes(memtrace.scan(**job, runs=small / "runs")) == score_bytes(undisturbed)


def test_disk_full_before_anything(job, tmp_path):
    with mounted(tmp_path / "small", "size=64k") as small:
        fill(small / "ballast")
        with pytest.raises(RunError, match="No space left on device"):
            memtrace.scan(**job, runs=small / "runs")
        (small / "ballast").unlink()
        assert not memtrace.scan(**job, runs=small / "runs").shards_left()


def test_disk_full_while_compacting(undisturbed, tmp_path):
    with mounted(tmp_path / "small", "size=256k") as small:
        shutil.copytree(undisturbed.folder.parents[2], small / "runs")
        (run,) = find_runs(small / "runs")
        rows = run.scores().collect()
        fill(small / "ballast")
        with pytest.raises(RunError, match="No space left on device"):
            compact(run)
        assert run.scores().collect().equals(rows)
        assert not temporary_files(small)
        (small / "ballast").unlink()
        compact(run)
        assert run.scores().collect().equals(rows)


def test_read_only_while_scanning(job, undisturbed, tmp_path):
    with mounted(tmp_path / "small", "size=256k") as small:
        with pytest.raises(RunError, match="Read-only file system"):
            scan_with(job, small / "runs", 1, lambda _: remount(small, "ro"))
        (run,) = find_runs(small / "runs")
        assert len(score_bytes(run)) == 1
        with pytest.raises(RunError, match="Read-only file system"):
            memtrace.scan(**job, runs=small / "runs")
        remount(small, "rw")
        assert score_bytes(memtrace.scan(**job, runs=small / "runs")) == score_bytes(undisturbed)


def remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


@pytest.mark.parametrize("gone", ["runs", "run", "scores"])
def test_a_folder_that_vanishes_while_scanning(job, undisturbed, tmp_path, gone):
    """What was done is gone, and the scan says so: no record calls it complete."""

    def vanish(run):
        folder = {"runs": tmp_path / "runs", "run": run, "scores": run / "scores"}[gone]
        folder.rename(tmp_path / "elsewhere")  # at once, as nothing else can be

    # Whichever is first: to count what is there, or to note what was done.
    with pytest.raises(RunError, match=r"lost 2 of 3 score files while|cannot write"):
        scan_with(job, tmp_path / "runs", 2, vanish)
    again = memtrace.scan(**job, runs=tmp_path / "runs")
    assert score_bytes(again) == score_bytes(undisturbed)
    assert again.record["sequences_done"] == SEQUENCES


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "zeros"])
@pytest.mark.parametrize("compacted", [False, True], ids=["shards", "compacted"])
def test_a_damaged_score_file_is_told_and_made_again(job, undisturbed, tmp_path, damage, compacted):
    shutil.copytree(undisturbed.folder.parents[2], tmp_path / "runs")
    (run,) = find_runs(tmp_path / "runs")
    rows = run.scores().collect()
    if compacted:
        compact(run)
    path = sorted((run.folder / "scores").iterdir())[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    changed = {"flip": content, "cut": content[:-9], "empty": b"", "zeros": bytes(len(content))}
    path.write_bytes(changed[damage])
    with pytest.warns(DataWarning, match=rf"{path.name} is damaged .*: memtrace scan"):
        read = run.scores().collect()
    assert read.height == (0 if compacted else SEQUENCES - SHARD)  # left out, and never zeros
    with pytest.warns(DataWarning, match="is damaged"):
        again = memtrace.scan(**job, runs=tmp_path / "runs")
    assert not run.merged_path.exists()
    assert again.scores().collect().equals(rows)
    if compacted:
        assert compact(again).parts == len(again.shards())
        assert again.scores().collect().equals(rows)


def test_every_damage_is_found_before_a_parser_sees_it(undisturbed, tmp_path):
    """A flipped bit in a Parquet file can end the process that parses it, so none may get there."""
    whole = next(iter(score_bytes(undisturbed).values()))
    rng = np.random.default_rng(3)
    for at in rng.integers(0, 8 * len(whole), 300):
        content = bytearray(whole)
        content[at // 8] ^= 1 << at % 8
        (tmp_path / "a.parquet").write_bytes(content)
        assert read_metadata(tmp_path / "a.parquet") is None


def test_a_table_without_a_seal_is_not_believed(tmp_path):
    table = pl.DataFrame({"sequence_index": [0], "matched_tokens": [0]}, schema=SCHEMA)
    table.write_parquet(tmp_path / "a.parquet")
    assert read_metadata(tmp_path / "a.parquet") is None
