"""Corpora read over a network: only what is needed, every byte checked, faults survived or told."""

from datetime import UTC, datetime
from itertools import cycle

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memtrace.corpus import open_corpus, open_named
from memtrace.corpus.remote import RemotePart
from memtrace.corpus.retries import parse_retry_after
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


@pytest.mark.parametrize("kind", ["drop", "short", "long", "shifted", "busy"])
def test_a_fault_that_passes_is_survived(hub, corpus, rows, kind):
    faults = cycle([kind, kind, None])
    hub.fault = lambda number, path: next(faults)
    np.testing.assert_array_equal(corpus.read(0, ROWS, 64), rows[:, :64])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("drop", "cannot read"),
        ("short", "the server announces"),
        ("long", "the server announces"),
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


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_rows_in_any_order(corpus, rows, data):
    wanted = data.draw(st.lists(st.integers(0, ROWS - 1), max_size=30))
    tokens = data.draw(st.integers(1, TOKENS))
    expected = rows[wanted, :tokens].reshape(len(wanted), tokens)
    np.testing.assert_array_equal(corpus.take(wanted, tokens), expected)


# Opening


@pytest.fixture
def document(hub, rows, tmp_path, write_megatron):
    """A corpus on a web server: its address without an ending."""
    prefix = write_megatron(tmp_path / "document", rows[:20])
    for ending in (".bin", ".idx"):
        hub.files[f"/data/document{ending}"] = prefix.with_suffix(ending).read_bytes()
    return f"{hub.url}/data/document"


def test_the_first_request_is_tried_again_too(hub, document, rows):
    faults = iter(["busy", "drop"])
    hub.fault = lambda number, path: next(faults, None)
    np.testing.assert_array_equal(open_corpus(document)[:], rows[:20])
    files = shards(rows, 300_001)
    hub.add_repository("dataset", "someone/toy", "main", files)
    hub.busy_api = 2
    assert len(open_named(manifest_of(rows, files))) == ROWS


def test_a_server_that_stays_busy_is_given_up(hub, document):
    hub.fault = lambda number, path: "busy"
    with pytest.raises(CorpusError, match=r"answered 503 \(4 tries\)"):
        open_corpus(document)
    assert len(hub.requests) == 4


def test_no_server_at_all_gives_one_line(hub):
    with pytest.raises(CorpusError, match="4 tries") as caught:
        open_corpus("http://127.0.0.1:1/document")
    assert "\n" not in str(caught.value)
    assert "check the address" in str(caught.value)


def test_what_is_refused_is_not_asked_for_again(hub, document):
    corpus = open_corpus(document)
    del hub.files["/data/document.bin"]
    hub.requests.clear()
    with pytest.raises(CorpusError, match="answered 404; check"):
        corpus.read(0, 1, 64)


@pytest.mark.parametrize("change", ["length", "tag"])
def test_a_file_that_is_replaced_on_the_server(hub, document, change):
    path = "/data/document.bin"
    hub.tags[path] = '"one"'
    corpus = open_corpus(document)
    corpus.read(0, 1, 64)
    if change == "length":
        hub.files[path] += bytes(4098)
    else:
        hub.tags[path] = '"two"'
    with pytest.raises(CorpusError, match="has changed while it was in use"):
        corpus.read(1, 2, 64)


def test_a_query_goes_with_each_file_and_is_not_shown(hub, document, rows):
    for address in (f"{document}?sig=secret&se=2026", f"{document}.bin?sig=secret"):
        corpus = open_corpus(address)
        np.testing.assert_array_equal(corpus[:], rows[:20])
        assert "secret" not in corpus.name + "".join(part.name for part in corpus.parts)
        assert corpus.name.startswith(document)
    hub.files.clear()
    with pytest.raises(CorpusError) as caught:
        open_corpus(f"{document}?sig=secret")
    assert "secret" not in str(caught.value)
    with pytest.raises(CorpusError) as caught:
        open_corpus("http://user:secret@127.0.0.1:1/document?sig=secret")
    assert "secret" not in str(caught.value)


# Waiting


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0),
        ("Thursday, 01-Jan-26 00:00:30 GMT", 30),
        ("soon", 0),
        ("-5", 0),
        ("", 0),
        ("٣", 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(text, seconds):
    assert parse_retry_after(text, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("7", 7, 7), ("100000", 120, 120), (None, 0.01, 0.01)]
)
def test_a_busy_server_is_waited_for_as_it_asks(hub, document, monkeypatch, asked, least, most):
    corpus, waited = open_corpus(document), []
    monkeypatch.setattr("memtrace.corpus.retries.time.sleep", waited.append)
    faults = iter(["busy", "busy"])
    hub.fault = lambda number, path: next(faults, None)
    hub.retry_after = asked
    corpus.read(0, 1, 64)
    assert len(waited) == 2
    assert all(least <= wait <= most for wait in waited)


def test_a_busy_hub_is_waited_for_as_it_asks(hub, rows, monkeypatch):
    files, waited = shards(rows, 300_001), []
    hub.add_repository("dataset", "someone/toy", "main", files)
    monkeypatch.setattr("memtrace.corpus.retries.time.sleep", waited.append)
    hub.busy_api, hub.retry_after = 1, "9"
    open_named(manifest_of(rows, files))
    assert 9 in waited


def test_waits_grow_and_end(monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)

    def request(start, stop):
        raise ConnectionError("no route")

    with pytest.raises(CorpusError, match="no route"):
        RemotePart("x", 10, request).view(0, 10)
    assert waited == sorted(waited)
    assert 30 < sum(waited) < 120
