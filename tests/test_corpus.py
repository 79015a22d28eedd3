"""Corpora read in place: equal to plain slicing, whatever the cuts, and never fooled."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import write_index
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memtrace.corpus import open_corpus
from memtrace.corpus.megatron import Layout, open_megatron
from memtrace.corpus.pack_writer import write_pack
from memtrace.errors import CorpusError

UINT16 = np.dtype("<u2")


def make_rows(n, tokens, seed=0):
    return np.random.default_rng(seed).integers(0, 60_000, (n, tokens)).astype(np.uint16)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(
    n=st.integers(1, 40),
    row_tokens=st.integers(1, 9),
    shard_bytes=st.integers(1, 60),
    data=st.data(),
)
def test_any_range_of_any_sharding_equals_slicing(
    tmp_path_factory, write_megatron, n, row_tokens, shard_bytes, data
):
    """Shards may end inside a row, inside a token, or hold less than a row."""
    rows = make_rows(n, row_tokens)
    corpus = open_megatron(
        write_megatron(tmp_path_factory.mktemp("c") / "document", rows, shard_bytes)
    )
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, n))
    tokens = data.draw(st.integers(1, row_tokens))
    np.testing.assert_array_equal(corpus.read(start, stop, tokens), rows[start:stop, :tokens])
    wanted = data.draw(st.lists(st.integers(0, n - 1), max_size=5))
    np.testing.assert_array_equal(
        corpus.take(wanted, tokens), rows[wanted, :tokens].reshape(len(wanted), tokens)
    )


def test_digest_knows_the_bytes_and_not_the_cuts(tmp_path, write_megatron):
    rows = make_rows(500, 65)
    whole = open_megatron(write_megatron(tmp_path / "whole", rows))
    cut = open_megatron(write_megatron(tmp_path / "cut", rows, 4099))
    assert whole.digest == cut.digest
    rows[317, 64] ^= 1
    changed = open_megatron(write_megatron(tmp_path / "changed", rows))
    assert changed.digest != whole.digest


def test_last_row_of_a_pile_sized_corpus(tmp_path):
    """146,432,000 rows of 2049 tokens are 600,078,336,000 bytes: too many for 32-bit products."""
    n, row_tokens, shard = 146_432_000, 2049, 30_000_000_000
    last = np.arange(row_tokens, dtype="<u2")
    total = n * row_tokens * 2
    sizes = [shard] * 20 + [total - 20 * shard]
    for i, size in enumerate(sizes):
        with (tmp_path / f"document-{i:05d}-of-00020.bin").open("wb") as file:
            file.truncate(size)  # sparse: occupies nothing
            if i == 20:
                file.seek(size - 2 * row_tokens)
                file.write(last.tobytes())
    corpus = open_megatron(tmp_path / "document", layout=Layout(row_tokens, UINT16, n))
    assert len(corpus) == n
    np.testing.assert_array_equal(corpus.read(n - 1, n, row_tokens)[0], last)
    # The row that straddles the first two shards, with its neighbours.
    straddling = shard // (2 * row_tokens)
    assert not corpus.read(straddling - 1, straddling + 2, 64).any()
    # More rows than an int32 sum of their lengths can count (2^31 / 2049 = 1,048,063).
    assert corpus.read(n - 1_050_000, n, 1)[-1, 0] == last[0]
    # NumPy integers are as good as Python's.
    np.testing.assert_array_equal(corpus.read(np.int64(n - 1), np.int64(n), 3)[0], last[:3])


def test_a_corpus_is_sent_to_other_processes_as_a_place(tmp_path, write_megatron):
    """Not as its contents, which may be 600 GB, nor with a file of this process."""
    rows = make_rows(3_000, 100)
    corpus = open_megatron(write_megatron(tmp_path / "document", rows))
    corpus.read(0, 3_000, 100)
    corpus.read(0, 1, 100)
    sent = pickle.dumps(corpus)
    assert len(sent) < 2_000
    np.testing.assert_array_equal(pickle.loads(sent)[2_999], rows[2_999])


def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path, write_megatron):
    prefix = write_megatron(tmp_path / "document", make_rows(10, 65))
    corpus = open_megatron(prefix)
    corpus.read(0, 1, 65)
    os.truncate(f"{prefix}.bin", 650)
    with pytest.raises(CorpusError, match="shorter"):
        corpus.read(9, 10, 65)
    with pytest.raises(CorpusError, match="1300 bytes, now 650"):
        read_in_another_process(corpus)


def read_in_another_process(corpus):
    """What another process of this machine does with a corpus that it is sent."""
    return pickle.loads(pickle.dumps(corpus)).read(0, 1, 65)


@pytest.mark.parametrize("kind", ["megatron", "array", "pack"])
def test_a_large_file_that_is_cut_while_it_is_read_ends_no_process(tmp_path, write_megatron, kind):
    """A map of it would: reading beyond its end is SIGBUS."""
    rows = make_rows(6_000, 1000)
    if kind == "megatron":
        path = Path(f"{write_megatron(tmp_path / 'document', rows)}.bin")
        corpus = open_corpus(str(tmp_path / "document"))
    elif kind == "array":
        path = tmp_path / "rows.npy"
        np.save(path, rows)
        corpus = open_corpus(str(path))
    else:
        np.save(tmp_path / "rows.npy", rows)
        write_pack(open_corpus(str(tmp_path / "rows.npy")), tmp_path / "pack")
        path = tmp_path / "pack" / "prefixes-00000-of-00001.npy"
        corpus = open_corpus(str(tmp_path / "pack"))
    np.testing.assert_array_equal(corpus.read(0, 6_000, 64), rows[:, :64])
    os.truncate(path, 200_000)
    with pytest.raises(CorpusError, match="shorter"):
        corpus.read(0, 6_000, 64)
    with pytest.raises(CorpusError, match="has changed"):
        corpus.check_unchanged()


def test_a_file_that_is_overwritten_or_replaced_is_noticed(tmp_path, write_megatron):
    prefix = write_megatron(tmp_path / "document", make_rows(50, 65), 1300)
    corpus = open_megatron(prefix)
    corpus.check_unchanged()
    path = tmp_path / "document-00002-of-00004.bin"
    before, kept = path.stat(), path.read_bytes()
    with path.open("r+b") as file:
        file.write(bytes(130))
    with pytest.raises(CorpusError, match=r"document-00002-of-00004\.bin has changed"):
        corpus.check_unchanged()
    path.write_bytes(kept)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    corpus.check_unchanged()
    (tmp_path / "new").write_bytes(kept)
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").replace(path)
    with pytest.raises(CorpusError, match="has changed"):
        corpus.check_unchanged()
    path.unlink()
    with pytest.raises(CorpusError, match="No such file"):
        corpus.check_unchanged()


def test_the_digest_tells_what_time_and_size_hide(tmp_path, write_megatron):
    prefix = write_megatron(tmp_path / "document", make_rows(50, 65))
    corpus, path = open_megatron(prefix), Path(f"{prefix}.bin")
    digest = corpus.digest
    corpus.check_unchanged(digest=True)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(bytes(130))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    corpus.check_unchanged()
    with pytest.raises(CorpusError, match=f"its digest was {digest[:12]}"):
        corpus.check_unchanged(digest=True)


def test_another_machine_has_a_copy_of_its_own(tmp_path, write_megatron, monkeypatch):
    rows = make_rows(50, 65)
    prefix = write_megatron(tmp_path / "document", rows)
    corpus = open_megatron(prefix)
    there = Path(f"{prefix}.bin")
    os.utime(there, ns=(1, 1))
    with pytest.raises(CorpusError, match="has changed"):
        read_in_another_process(corpus)
    sent = pickle.dumps(corpus)
    monkeypatch.setattr("platform.node", lambda: "another")
    arrived = pickle.loads(sent)
    np.testing.assert_array_equal(arrived.read(0, 50, 65), rows)
    arrived.check_unchanged()
    os.utime(there, ns=(2, 2))
    with pytest.raises(CorpusError, match="has changed"):
        arrived.check_unchanged()


def test_array_of_rows(tmp_path):
    rows = make_rows(20, 70).astype(np.int32)
    np.save(tmp_path / "tokens.npy", rows)
    corpus = open_corpus(str(tmp_path / "tokens.npy"))
    np.testing.assert_array_equal(corpus.read(3, 9, 64), rows[3:9, :64])


@pytest.mark.parametrize("suffix", ["", ".bin", ".idx"])
def test_prefix_with_or_without_ending(tmp_path, write_megatron, suffix):
    rows = make_rows(7, 65)
    write_megatron(tmp_path / "my tökens", rows)
    corpus = open_corpus(str(tmp_path / f"my tökens{suffix}"))
    np.testing.assert_array_equal(corpus.read(0, 7, 65), rows)


def damage_truncate_bin(prefix):
    path = Path(f"{prefix}.bin")
    os.truncate(path, path.stat().st_size - 1)


def damage_lose_a_row(prefix):
    path = Path(f"{prefix}.bin")
    os.truncate(path, path.stat().st_size - 130)


def damage_truncate_index(prefix):
    path = Path(f"{prefix}.idx")
    os.truncate(path, path.stat().st_size - 8)


def damage_foreign_index(prefix):
    Path(f"{prefix}.idx").write_bytes(b"PK\x03\x04" + bytes(200))


def damage_empty_index(prefix):
    Path(f"{prefix}.idx").write_bytes(b"")


def damage_version(prefix):
    path = Path(f"{prefix}.idx")
    raw = bytearray(path.read_bytes())
    raw[9:17] = struct.pack("<Q", 2)
    path.write_bytes(raw)


def damage_unequal_lengths(prefix):
    write_index(Path(f"{prefix}.idx"), [65] * 8 + [64, 66], 2)


def damage_gap_between_rows(prefix):
    path = Path(f"{prefix}.idx")
    raw = bytearray(path.read_bytes())
    start = 34 + 4 * 10 + 8 * 5
    raw[start : start + 8] = struct.pack("<q", 999)
    path.write_bytes(raw)


def damage_remove_bin(prefix):
    Path(f"{prefix}.bin").unlink()


def damage_remove_index(prefix):
    Path(f"{prefix}.idx").unlink()


DAMAGES = {
    damage_truncate_bin: "truncated",
    damage_lose_a_row: "describes 1300",
    damage_truncate_index: "truncated",
    damage_foreign_index: "not a Megatron index",
    damage_empty_index: "not a Megatron index",
    damage_version: "version 2",
    damage_unequal_lengths: "64 to 66 tokens",
    damage_gap_between_rows: "back to back",
    damage_remove_bin: "without its .bin",
    damage_remove_index: "without an .idx",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_damage_gives_one_clear_error(tmp_path, write_megatron, damage):
    prefix = write_megatron(tmp_path / "document", make_rows(10, 65))
    damage(prefix)
    with pytest.raises(CorpusError, match=DAMAGES[damage]) as caught:
        open_corpus(str(prefix))
    assert "\n" not in str(caught.value)


def test_missing_shard(tmp_path, write_megatron):
    prefix = write_megatron(tmp_path / "document", make_rows(10, 65), 400)
    (tmp_path / "document-00002-of-00003.bin").unlink()
    with pytest.raises(CorpusError, match=r"\[0, 1, 3\], expected 0\.\.3"):
        open_corpus(str(prefix))


def test_layout_of_the_manifest_must_agree_with_the_index(tmp_path, write_megatron):
    prefix = write_megatron(tmp_path / "document", make_rows(10, 65))
    with pytest.raises(CorpusError, match="the manifest says"):
        open_megatron(prefix, layout=Layout(64, UINT16, 10))


@pytest.mark.parametrize(
    "array",
    [np.zeros(64, np.uint16), np.zeros((3, 64)), np.zeros((64, 70), np.uint16, order="F")],
    ids=["one-dimensional", "float", "Fortran"],
)
def test_array_that_is_no_corpus(tmp_path, array):
    np.save(tmp_path / "tokens.npy", array)
    with pytest.raises(CorpusError, match="two-dimensional integer array in C order"):
        open_corpus(str(tmp_path / "tokens.npy"))


def test_ranges_outside_the_corpus(tmp_path, write_megatron):
    corpus = open_megatron(write_megatron(tmp_path / "document", make_rows(10, 65)))
    for start, stop in [(-1, 3), (5, 4), (0, 11)]:
        with pytest.raises(CorpusError, match="outside corpus"):
            corpus.read(start, stop, 64)
    with pytest.raises(CorpusError, match="rows of 65 tokens, sequences take tokens 0-65:"):
        corpus.read(0, 1, 66)


def test_unknown_name_gets_a_hint():
    with pytest.raises(CorpusError, match="pile-standard"):
        open_corpus("pile-standrad")
