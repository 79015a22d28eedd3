"""Prefix packs: the same bytes however often interrupted, and no byte believed unchecked."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from memtrace.corpus import open_corpus, open_named, pack_writer
from memtrace.corpus.pack_writer import estimate_pack, plan_pack, write_pack
from memtrace.corpus.prefix_pack import ROWS_PER_FILE, PackRecord, open_pack, read_record
from memtrace.corpus.verify import verify_corpus, verify_pack
from memtrace.errors import CorpusError
from memtrace.storage.lock import locked_folder
from memtrace.storage.prefetch import chunks, prefetch

ROWS, PER_FILE = 1_000, 300


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(5).integers(0, 60_000, (ROWS, 70)).astype(np.uint16)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory, write_megatron):
    """Files whose length is a multiple of neither a row nor a token."""
    return open_corpus(str(write_megatron(tmp_path_factory.mktemp("c") / "document", rows, 9_999)))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    write_pack(source, folder, rows_per_file=PER_FILE)
    return folder


def test_files_are_plain_arrays_of_the_first_64_tokens(undisturbed, rows):
    names = [f"prefixes-{i:05d}-of-00004.npy" for i in range(4)]
    assert sorted(contents(undisturbed)) == ["pack.json", *names]
    arrays = [np.load(undisturbed / name) for name in names]
    assert [len(array) for array in arrays] == [300, 300, 300, 100]
    assert all(array.dtype == np.dtype("<u2") for array in arrays)
    np.testing.assert_array_equal(np.concatenate(arrays), rows[:, :64])


def test_a_pack_is_a_corpus(undisturbed, source, rows):
    pack = open_corpus(str(undisturbed))
    assert (len(pack), pack.row_tokens) == (ROWS, 64)
    np.testing.assert_array_equal(pack.read(290, 910, 64), rows[290:910, :64])
    np.testing.assert_array_equal(pack[[999, 0, 300]], rows[[999, 0, 300], :64])
    assert pack.digest == source.digest
    with pytest.raises(
        CorpusError, match="has tokens 0-63 of each row, sequences take tokens 0-64:"
    ):
        pack.read(0, 1, 65)


def test_the_pile_makes_143_files():
    record = PackRecord("pile", "d", 146_432_000, 64, "<u2", ROWS_PER_FILE, {})
    ranges = record.ranges()
    assert list(ranges)[17] == "prefixes-00017-of-00143.npy"
    assert ranges["prefixes-00142-of-00143.npy"] == (145_408_000, 146_432_000)
    assert sum(map(record.file_bytes, ranges)) == 146_432_000 * 128 + 143 * 128


@pytest.mark.parametrize("moment", range(9))
def test_interrupted_between_any_two_writes(source, undisturbed, tmp_path, monkeypatch, moment):
    """Each file and each record is a write; the n-th one does not happen."""
    writes, write = iter(range(100)), pack_writer.replace_atomically

    def interrupted(path, content, **options):
        if next(writes) == moment:
            content(path.with_name(f".{path.name}.1.tmp"))  # half done, and never renamed
            raise KeyboardInterrupt
        write(path, content, **options)

    monkeypatch.setattr(pack_writer, "replace_atomically", interrupted)
    if moment < 8:
        with pytest.raises(KeyboardInterrupt):
            write_pack(source, tmp_path, rows_per_file=PER_FILE)
    kept = {name: time for name, time in _times(tmp_path).items() if name.endswith(".npy")}
    write_pack(source, tmp_path, rows_per_file=PER_FILE)
    assert contents(tmp_path) == contents(undisturbed)
    again = [name for name, time in _times(tmp_path).items() if kept.get(name, time) != time]
    assert len(again) <= 1  # the file whose record was not written yet


def _times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_killed_at_any_moment_and_repeated(source, tmp_path):
    program = (
        "import sys; from pathlib import Path; from memtrace.corpus import open_corpus\n"
        "from memtrace.corpus.pack_writer import write_pack\n"
        "print('ready', flush=True)\n"
        "write_pack(open_corpus(sys.argv[1]), Path(sys.argv[2]), rows_per_file=40)\n"
    )
    prefix = source.name
    command = [sys.executable, "-c", program, prefix]
    whole = tmp_path / "whole"
    began = time.monotonic()
    write_pack(source, whole, rows_per_file=40)
    duration = time.monotonic() - began
    killed = 0
    for share in np.random.default_rng(1).uniform(0.05, 0.9, 3):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(duration * share)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert killed
    write_pack(source, tmp_path / "killed", rows_per_file=40)
    assert contents(tmp_path / "killed") == contents(whole)


def test_part_of_a_pack_is_whole_files_at_their_places(source, undisturbed, tmp_path, rows):
    write_pack(source, tmp_path, rows=(350, 601), rows_per_file=PER_FILE)
    assert {"prefixes-00001-of-00004.npy", "prefixes-00002-of-00004.npy"} < contents(
        tmp_path
    ).keys()
    pack = open_pack(tmp_path)
    assert len(pack) == ROWS
    np.testing.assert_array_equal(pack.read(300, 900, 64), rows[300:900, :64])
    with pytest.raises(CorpusError, match=r"prefixes-00000-of-00004.npy is not in the pack"):
        pack.read(299, 301, 64)
    assert pack.digest == source.digest  # a run begun on a part goes on when the rest is there
    write_pack(source, tmp_path, rows_per_file=PER_FILE)
    assert contents(tmp_path) == contents(undisturbed)


def damaged(folder, tmp_path, name="prefixes-00002-of-00004.npy", offset=-7):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    raw = bytearray((copy / name).read_bytes())
    raw[offset] ^= 0x10
    (copy / name).write_bytes(raw)
    return copy


@pytest.mark.parametrize("offset", [0, 130, -1])
def test_one_flipped_bit_is_found_by_verify_and_by_reading(undisturbed, tmp_path, offset):
    copy = damaged(undisturbed, tmp_path, offset=offset)
    states = {check.name: check.state for check in verify_pack(copy)}
    assert states.pop("prefixes-00002-of-00004.npy") == "damaged"
    assert set(states.values()) == {"ok"}
    pack = open_pack(copy)
    assert pack.read(0, 600, 64).shape == (600, 64)
    with pytest.raises(CorpusError, match="the file is damaged"):
        pack.read(600, 601, 64)


def test_lost_and_shortened_files(undisturbed, source, tmp_path):
    copy = damaged(undisturbed, tmp_path)
    os.truncate(copy / "prefixes-00001-of-00004.npy", 1_000)
    (copy / "prefixes-00003-of-00004.npy").unlink()
    states = [check.state for check in verify_pack(copy)]
    assert states == ["ok", "damaged", "damaged", "missing"]
    with pytest.raises(CorpusError, match=r"prefixes-00001-of-00004.npy is missing or has not"):
        open_pack(copy)
    (copy / "prefixes-00002-of-00004.npy").unlink()
    write_pack(source, copy, rows_per_file=PER_FILE)
    assert contents(copy) == contents(undisturbed)


def test_a_pack_of_another_corpus_is_not_mixed_in(undisturbed, rows, tmp_path, write_megatron):
    changed = rows.copy()
    changed[500, 3] ^= 1
    other = open_corpus(str(write_megatron(tmp_path / "document", changed)))
    with pytest.raises(CorpusError, match=r"corpus_digest.*choose another --output"):
        write_pack(other, undisturbed, rows_per_file=PER_FILE)


def test_two_processes_do_not_write_one_pack(source, tmp_path):
    locked = locked_folder(tmp_path, option="--output", raises=CorpusError)
    with locked, pytest.raises(CorpusError, match="another process"):
        write_pack(source, tmp_path)
    write_pack(source, tmp_path)


def test_no_space_is_told_before_the_start(source, tmp_path, monkeypatch):
    monkeypatch.setattr(pack_writer, "free_bytes", lambda folder: 1_000)
    with pytest.raises(CorpusError, match="GB are free"):
        estimate_pack(source, tmp_path)
    assert not list(tmp_path.iterdir())


def test_estimate_counts_what_is_left(source, undisturbed, tmp_path):
    estimate = estimate_pack(source, tmp_path, rows_per_file=PER_FILE)
    assert (estimate.files, estimate.rows) == (4, ROWS)
    assert estimate.read_bytes == ROWS * 140
    assert estimate.write_bytes == sum(p.stat().st_size for p in undisturbed.glob("*.npy"))
    assert estimate.seconds > 0
    nothing = estimate_pack(source, undisturbed, rows_per_file=PER_FILE)
    assert (nothing.files, nothing.seconds) == (0, None)


def test_rows_outside_the_corpus(source, tmp_path):
    with pytest.raises(CorpusError, match="999:1001 are not a range"):
        plan_pack(source, tmp_path, rows=(999, 1001))


def test_not_a_pack(tmp_path):
    (tmp_path / "pack.json").write_text('{"corpus": "x"}')
    with pytest.raises(CorpusError, match="cannot read the record of the pack"):
        read_record(tmp_path)


def test_rows_shorter_than_a_prefix(tmp_path):
    np.save(tmp_path / "tokens.npy", np.arange(200, dtype=np.int32).reshape(10, 20))
    source = open_corpus(str(tmp_path / "tokens.npy"))
    write_pack(source, tmp_path / "pack")
    np.testing.assert_array_equal(open_pack(tmp_path / "pack")[:], source[:])


def test_sums_beside_the_files(tmp_path, rows, write_megatron):
    from hashlib import sha256

    prefix = write_megatron(tmp_path / "document", rows)
    corpus = open_corpus(str(prefix))
    assert [check.state for check in verify_corpus(corpus)] == ["unknown"]
    path = prefix.with_suffix(".bin")
    (tmp_path / "SHA256SUMS").write_text(f"{sha256(path.read_bytes()).hexdigest()}  document.bin\n")
    assert [check.state for check in verify_corpus(corpus)] == ["ok"]
    raw = bytearray(path.read_bytes())
    raw[77] ^= 1
    path.write_bytes(raw)
    assert [check.state for check in verify_corpus(open_corpus(str(prefix)))] == ["damaged"]


def test_ahead_keeps_order_and_raises_in_turn():
    def work(job):
        time.sleep(0.002 * (job % 3))
        if job == 20:
            raise ValueError("job 20")
        return job

    done = []
    with pytest.raises(ValueError, match="job 20"):
        done.extend(prefetch(work, range(40), 4))
    assert list(prefetch(work, range(20), 4)) == list(range(20))
    assert chunks(5, 20_000) == [(5, 8197), (8197, 16_389), (16_389, 20_000)]


def test_packing_over_a_network_resumes(hub, source, rows, undisturbed, tmp_path):
    """What `corpus fetch` does: only the pack is stored, and a lost network loses one file."""
    from memtrace.manifests import CorpusManifest

    raw = rows.tobytes()
    cut = [raw[i : i + 50_000] for i in range(0, len(raw), 50_000)]
    files = {f"document-{i:05d}-of-{len(cut) - 1:05d}.bin": chunk for i, chunk in enumerate(cut)}
    hub.add_repository("dataset", "someone/toy", "main", files)
    manifest = CorpusManifest(
        name="toy",
        hub="someone/toy",
        files=f"document-{{shard:05d}}-of-{len(cut) - 1:05d}.bin",
        shards=len(cut),
        row_tokens=70,
        dtype="uint16",
        rows=ROWS,
    )
    source = open_named(manifest)
    source.digest  # noqa: B018 (read before the faults begin)
    hub.requests.clear()
    hub.fault = lambda number, path: "drop" if number > 3 else None
    with pytest.raises(CorpusError, match="cannot read"):
        write_pack(source, tmp_path, rows_per_file=PER_FILE)
    hub.fault = lambda number, path: None
    write_pack(source, tmp_path, rows_per_file=PER_FILE)
    ours, theirs = contents(tmp_path), contents(undisturbed)
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == theirs[name] for name in ours if name.endswith(".npy"))
