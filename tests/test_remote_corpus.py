"""Corpora read over a network: only what is needed, every byte checked, faults survived or told."""

from itertools import cycle

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memtrace.corpus import open_corpus, open_named
from memtrace.corpus.remote import RemotePart
from memtrace.errors import CorpusError
from memtrace.manifests import CorpusManifest

ROWS, TOKENS = 400, 2049


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(3).integers(0, 50_000, (ROWS, TOKENS)).astype(np.uint16)


def shards(rows, size, prefix="document"):
    raw = rows.astype("<u2").tobytes()
    pieces = [raw[i : i + size] for i in range(0, len(raw), size)]
    last = len(pieces) - 1
    return {f"{prefix}-{i:05d}-of-{last:05d}.bin": piece for i, piece in enumerate(pieces)}


def manifest_of(rows, files):
    last = len(files) - 1
    return CorpusManifest(
        name="toy",
        hub="someone/toy",
        files=f"document-{{shard:05d}}-of-{last:05d}.bin",
        shards=len(files),
        row_tokens=rows.shape[1],
        dtype="uint16",
        rows=len(rows),
    )


@pytest.fixture
def corpus(hub, rows):
    files = shards(rows, 300_001)  # not a multiple of the 4098 bytes of a row, nor of a token
    hub.add_repository("dataset", "someone/toy", "main", {**files, "README.md": b"hello"})
    opened = open_named(manifest_of(rows, files))
    hub.requests.clear()
    return opened


def test_hub_corpus_equals_the_rows(corpus, rows):
    assert len(corpus) == ROWS
    np.testing.assert_array_equal(corpus.read(0, ROWS, TOKENS), rows)
    wanted = np.array([399, 0, 73, 73, 398])
    np.testing.assert_array_equal(corpus.take(wanted, 64), rows[wanted, :64])
    np.testing.assert_array_equal(corpus[-1], rows[-1])


def test_a_range_reads_only_its_rows(hub, corpus, rows):
    np.testing.assert_array_equal(corpus.read(100, 110, 64), rows[100:110, :64])
    assert hub.bytes_sent == 9 * 4098 + 128


def test_a_sample_reads_only_its_sequences(hub, corpus, rows):
    wanted = np.arange(0, ROWS, 80)
    np.testing.assert_array_equal(corpus.take(wanted, 64), rows[wanted, :64])
    assert hub.bytes_sent == len(wanted) * 128


def test_near_rows_come_in_one_request(hub, corpus):
    corpus.take([5, 6, 9, 30], 64)
    assert len(hub.requests) == 1


def test_local_and_remote_corpora_have_one_digest(corpus, rows, tmp_path, write_megatron):
    assert corpus.digest == open_corpus(str(write_megatron(tmp_path / "document", rows))).digest


def test_the_token_of_the_hub_is_not_sent_to_its_store(hub, rows, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    files = shards(rows, 300_001)
    hub.add_repository("dataset", "someone/toy", "main", files)
    opened = open_named(manifest_of(rows, files))
    opened.read(0, 3, 64)
    opened.read(0, 3, 64)
    assert hub.requests
    assert hub.tokens_leaked == 0


def test_the_commit_is_pinned(hub, corpus, rows):
    """A corpus that changes on the Hub during a scan of days is not read half old, half new."""
    changed = {name: bytes(len(data)) for name, data in shards(rows, 300_001).items()}
    hub.repositories["dataset", "someone/toy", "main"] = changed
    np.testing.assert_array_equal(corpus.read(7, 8, 64), rows[7:8, :64])
    assert "@main" not in corpus.parts[0].name


@pytest.mark.parametrize("kind", ["drop", "short", "shifted", "busy"])
def test_a_fault_that_passes_is_survived(hub, corpus, rows, kind):
    faults = cycle([kind, kind, None])
    hub.fault = lambda number, path: next(faults)
    np.testing.assert_array_equal(corpus.read(0, ROWS, 64), rows[:, :64])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("drop", "cannot read"),
        ("short", "bytes came"),
        ("shifted", "the server sends"),
        ("busy", "503"),
    ],
)
def test_a_fault_that_stays_gives_one_line(hub, corpus, kind, message):
    hub.fault = lambda number, path: kind
    with pytest.raises(CorpusError, match=message) as caught:
        corpus.read(0, 3, 64)
    assert "\n" not in str(caught.value)
    assert "document-00000" in str(caught.value)
    assert "4 tries" in str(caught.value)


def test_a_signed_address_that_expires_is_asked_for_again(hub, corpus, rows):
    corpus.read(0, 1, 64)
    once = iter(["gone"])
    hub.fault = lambda number, path: next(once, None)
    np.testing.assert_array_equal(corpus.read(1, 2, 64), rows[1:2, :64])


def test_a_server_without_ranges_is_refused_before_the_download(hub, corpus):
    hub.fault = lambda number, path: "whole"
    with pytest.raises(CorpusError, match="ignores byte ranges"):
        corpus.read(0, 1, 64)


def test_a_truncated_file_on_the_hub_is_told_when_it_is_opened(hub, rows):
    files = shards(rows, 300_001)
    last = max(files)
    hub.add_repository("dataset", "someone/cut", "main", {**files, last: files[last][:-1]})
    manifest = manifest_of(rows, files).model_copy(update={"hub": "someone/cut"})
    with pytest.raises(CorpusError, match=r"truncated"):
        open_named(manifest)
    del files[min(files)]
    hub.add_repository("dataset", "someone/lost", "main", files)
    manifest = manifest_of(rows, shards(rows, 300_001)).model_copy(update={"hub": "someone/lost"})
    with pytest.raises(CorpusError, match="fetch those that are missing"):
        open_named(manifest)


def test_web_server_with_an_index(hub, rows, tmp_path, write_megatron):
    prefix = write_megatron(tmp_path / "document", rows)
    for ending in (".bin", ".idx"):
        hub.files[f"/data/document{ending}"] = prefix.with_suffix(ending).read_bytes()
    corpus = open_corpus(f"{hub.url}/data/document.bin")
    np.testing.assert_array_equal(corpus[10:20], rows[10:20])
    with pytest.raises(CorpusError, match="no corpus"):
        open_corpus(f"{hub.url}/data/nothing")


@pytest.mark.parametrize("damage", ["length", "offset", "count"])
def test_remote_index_is_checked_by_its_ends(hub, tmp_path, monkeypatch, write_megatron, damage):
    monkeypatch.setattr("memtrace.corpus.megatron._CHECKED_REMOTE", 8)
    small = np.zeros((100, 65), np.uint16)
    prefix = write_megatron(tmp_path / "document", small)
    index = bytearray(prefix.with_suffix(".idx").read_bytes())
    place = {"count": 18, "length": 34 + 4 * 99, "offset": 34 + 400 + 8 * 98}[damage]
    index[place] ^= 1
    hub.files["/bad/document.idx"] = bytes(index)
    hub.files["/bad/document.bin"] = prefix.with_suffix(".bin").read_bytes()
    expected = {"count": "truncated", "length": "64 to 65 tokens", "offset": "back to back"}
    with pytest.raises(CorpusError, match=expected[damage]):
        open_corpus(f"{hub.url}/bad/document")


def test_any_store_that_fsspec_knows(rows):
    system = fsspec.filesystem("memory")
    files = shards(rows, 300_001)
    for name, data in files.items():
        system.pipe_file(f"/bucket/pile/{name}", data)
    corpus = open_corpus("memory://bucket/pile/document", expected=manifest_of(rows, files))
    np.testing.assert_array_equal(corpus[70:80], rows[70:80])
    with pytest.raises(CorpusError, match="no corpus 'memory://bucket/pile/other'"):
        open_corpus("memory://bucket/pile/other")


def test_unknown_places_give_one_line(hub):
    for address in ("hf://datasets/no/where/document", "nowhere://x/document"):
        with pytest.raises(CorpusError, match="check the address") as caught:
            open_corpus(address)
        assert "\n" not in str(caught.value)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_rows_in_any_order(corpus, rows, data):
    wanted = data.draw(st.lists(st.integers(0, ROWS - 1), max_size=30))
    tokens = data.draw(st.integers(1, TOKENS))
    expected = rows[wanted, :tokens].reshape(len(wanted), tokens)
    np.testing.assert_array_equal(corpus.take(wanted, tokens), expected)


def test_waits_grow_and_end(monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)

    def request(start, stop):
        raise ConnectionError("no route")

    with pytest.raises(CorpusError, match="no route"):
        RemotePart("x", 10, request).view(0, 10)
    assert waited == sorted(waited)
    assert 30 < sum(waited) < 120
