"""Rows in the order of trainers are those that the trainers' own code gave, row for row."""

import pickle

import numpy as np
import pytest
from corpus_files import FILES, ORDERS, copied, expected, opened, write_corpus_file
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.corpus import open_corpus
from memtrace.corpus.blend import exhaustive_blend, greedy_blend
from memtrace.corpus.info import read_contents
from memtrace.corpus.nanotron import nanoset_order
from memtrace.corpus.pack_writer import write_pack
from memtrace.errors import CorpusError

SAME = sorted(FILES)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orders")
    return {name: opened(name, copied(name, folder)) for name in SAME}


@pytest.mark.parametrize("name", SAME)
def test_every_row_is_the_trainers(name, tmp_path):
    corpus, rows = opened(name, copied(name, tmp_path)), expected(name)
    got = corpus.read(0, len(rows), corpus.row_tokens)
    np.testing.assert_array_equal(got, rows)
    assert got.dtype == rows.dtype
    assert len(corpus) >= len(rows)


def test_another_seed_of_the_same_corpus(tmp_path):
    corpus = opened("polypythias", copied("polypythias", tmp_path), index_maps=["seed1/*"])
    rows = expected("polypythias", "expected_seed1.npy")
    np.testing.assert_array_equal(corpus.read(0, 400, 33), rows)


def test_a_run_of_gpt_neox_begins_again_with_whole_micro_batches(tmp_path):
    """Without a number of samples each row that can be reached is there once."""
    folder, rows = copied("neox-overflow", tmp_path), expected("neox-overflow")
    once = opened("neox-overflow", folder, samples=None, micro_batch=None)
    assert len(once) == 119
    np.testing.assert_array_equal(once.read(0, 116, 33), rows[:116])
    again = opened("neox-overflow", folder, samples=240)[:]
    np.testing.assert_array_equal(again[:232], np.tile(rows[:116], (2, 1)))
    np.testing.assert_array_equal(again[116:120], rows[116:])


def test_nanotron_without_weights_and_one_epoch(tmp_path):
    folder, rows = copied("nanotron", tmp_path), expected("nanotron", "expected_no_weights.npy")
    np.testing.assert_array_equal(opened("nanotron", folder, weights=None)[:], rows)
    epoch = opened("nanotron", folder, weights=None, samples=None)
    assert len(epoch) == 171
    np.testing.assert_array_equal(epoch[:], rows[:171])
    np.testing.assert_array_equal(np.resize(epoch[:], rows.shape), rows)


def test_nanotron_has_the_source_of_each_row_that_the_trainer_had():
    sources = expected("nanotron", "expected_source.npy")
    order = nanoset_order([0.7, 0.3], [123, 48], 1234)
    np.testing.assert_array_equal(np.column_stack((order.corpus, order.row)), sources[:171])


@pytest.mark.parametrize(
    ("name", "last_first"), [("expected_sorted.npy", False), ("expected.npy", True)]
)
def test_files_without_an_index_are_windows_as_they_lie(name, last_first, tmp_path):
    files = sorted((ORDERS / "datatrove" / "tokens").glob("*.ds"), reverse=last_first)
    tokens = [str(file) for file in files]
    path = write_corpus_file(tmp_path, layout="olmo", tokens=tokens, dtype="uint16", row_tokens=33)
    np.testing.assert_array_equal(open_corpus(path)[:], expected("datatrove", name))


def test_the_last_sample_of_gpt_neox_is_never_used(tmp_path):
    folder = copied("neox", tmp_path)
    corpus = opened("neox", folder)
    (shuffle,) = folder.glob("*_train_*_shuffle_idx.npy")
    assert len(corpus) == len(np.load(shuffle)) - 1 == 428
    assert len(opened("megatron-core", copied("megatron-core", tmp_path))) == 429


@pytest.mark.parametrize("name", SAME)
@settings(max_examples=20)
@given(data=st.data())
def test_any_rows_and_any_number_of_tokens(corpora, name, data):
    corpus, rows = corpora[name], expected(name)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=20))
    tokens = data.draw(st.integers(1, corpus.row_tokens))
    np.testing.assert_array_equal(
        corpus.take(chosen, tokens), rows[np.array(chosen, int)][:, :tokens]
    )


def test_the_digest_is_that_of_the_rows_however_they_are_stored(tmp_path):
    corpus = opened("neox", copied("neox", tmp_path))
    np.save(tmp_path / "rows.npy", corpus[:])
    assert open_corpus(str(tmp_path / "rows.npy")).digest == corpus.digest
    assert pickle.loads(pickle.dumps(corpus)).digest == corpus.digest


def test_a_changed_map_changes_the_digest_and_is_noticed(tmp_path):
    folder = copied("neox", tmp_path)
    corpus = opened("neox", folder)
    before = corpus.digest
    (path,) = folder.glob("*_train_*_shuffle_idx.npy")
    shuffle = np.load(path)
    shuffle[[0, 1]] = shuffle[[1, 0]]
    np.save(path, shuffle)
    with pytest.raises(CorpusError, match="has changed while it was in use"):
        corpus.check_unchanged()
    assert opened("neox", folder).digest != before


def test_a_pack_and_a_summary_of_rows_in_a_trainers_order(tmp_path):
    corpus, rows = (
        opened("megatron-core-blend", copied("megatron-core-blend", tmp_path)),
        expected("megatron-core-blend"),
    )
    write_pack(corpus, tmp_path / "pack", rows_per_file=100)
    pack = open_corpus(str(tmp_path / "pack"))
    np.testing.assert_array_equal(pack.read(0, 400, 33), rows)
    assert pack.digest == corpus.digest
    assert read_contents(corpus).largest_id == corpus[:].max()


# Blends


def test_a_blend_that_was_not_saved_is_computed(tmp_path):
    folder = copied("megatron-core-blend", tmp_path)
    for path in (folder / "cache").glob("*-Blended*"):
        path.unlink()
    corpus, rows = opened("megatron-core-blend", folder), expected("megatron-core-blend")
    np.testing.assert_array_equal(corpus.read(0, 400, 33), rows)


def test_gpt_neox_blends_by_the_same_rule(tmp_path):
    """Its maps lie beside each corpus; the order of the blend is in no file."""
    folder = copied("megatron-core-blend", tmp_path)
    for name in "ab":
        for kind, short in (("document", "doc"), ("sample", "sample"), ("shuffle", "shuffle")):
            for path in (folder / "cache").glob(f"*GPTDataset-train-{kind}_index.npy"):
                described = path.name.replace(f"{kind}_index.npy", "description.txt")
                if f'"{name}_text' in (path.parent / described).read_text():
                    path.rename(folder / f"{name}_train_0_indexmap_9ns_32sl_1s_{short}_idx.npy")
    corpus = opened(
        "megatron-core-blend",
        folder,
        layout="gpt-neox",
        index_maps=["a_train_0_indexmap_*", "b_train_0_indexmap_*"],
    )
    rows = expected("megatron-core-blend")
    np.testing.assert_array_equal(corpus.read(0, 390, 33), rows[:390])


def plain_greedy(weights, counts):
    """The rule as it is written, with NumPy."""
    shares, taken, found = np.array(weights) / np.sum(weights), np.zeros(len(weights)), []
    while True:
        most = int(np.argmax(shares * max(len(found), 1) - taken))
        if taken[most] == counts[most]:
            return found
        found.append((most, int(taken[most])))
        taken[most] += 1


@given(
    blend=st.lists(st.tuples(st.floats(0.1, 10), st.integers(1, 60)), min_size=1, max_size=4),
)
def test_the_order_of_a_blend(blend):
    weights, counts = zip(*blend, strict=True)
    order = greedy_blend(weights, counts)
    found = list(zip(order.corpus.tolist(), order.row.tolist(), strict=True))
    assert found == plain_greedy(weights, counts)


@given(counts=st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_a_blend_without_weights_has_every_row_once(counts):
    order = exhaustive_blend(counts)
    found = sorted(zip(order.corpus.tolist(), order.row.tolist(), strict=True))
    assert found == [(k, i) for k, count in enumerate(counts) for i in range(count)]


def test_documents_without_maps_are_told_of_corpus_files():
    with pytest.raises(CorpusError, match=r"rows of 1 to 301 tokens.*a corpus file \(YAML"):
        open_corpus(str(ORDERS / "neox" / "corpus_text_document"))
