"""What has cost users of Pythia's data weeks, one test each, with the place where it was reported.

Weights that are not what their branch says are in `test_verify`, the published results' own faults
in `test_import`.
"""

import sys
import warnings

import numpy as np
import polars as pl
import pytest

from memtrace.corpus import open_corpus
from memtrace.corpus.duplicates import scan_duplicates, write_duplicates
from memtrace.corpus.info import read_contents
from memtrace.corpus.megatron import Layout, open_megatron
from memtrace.corpus.pack_writer import write_pack
from memtrace.corpus.prefix_pack import open_pack
from memtrace.errors import CorpusError
from memtrace.manifests import find_corpus, find_model, load_suites
from memtrace.scanning.published_names import read_label

UINT16 = np.dtype("<u2")
PILE_ROWS, ROW_BYTES, SHARD = 146_432_000, 4098, 30_000_000_000


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(8).integers(2, 50_277, (300, 2049)).astype(np.uint16)


@pytest.fixture(scope="module")
def corpus(rows, tmp_path_factory, write_megatron):
    """Shards of 100,000 bytes, which rows of 4098 straddle, as in the Pile's shards of 30 GB."""
    return open_megatron(
        write_megatron(tmp_path_factory.mktemp("pile") / "document", rows, 100_000)
    )


@pytest.fixture(scope="module")
def pile(tmp_path_factory):
    """The full 600,078,336,000 bytes in 21 sparse shards; only the first and last row are not 0."""
    folder, last = tmp_path_factory.mktemp("sparse"), np.arange(2049, dtype="<u2")
    total = PILE_ROWS * ROW_BYTES
    for i in range(21):
        size = min(SHARD, total - i * SHARD)
        with (folder / f"document-{i:05d}-of-00020.bin").open("wb") as file:
            file.truncate(size)
            if i in (0, 20):
                file.seek(0 if i == 0 else size - ROW_BYTES)
                file.write(last.tobytes())
    assert total == 600_078_336_000
    return open_corpus(str(folder / "document"), expected=find_corpus("pile-standard")[1])


def test_no_index_is_needed_and_the_last_shard_has_the_name_of_its_number(pile):
    """README: 21 files end in -of-00020, and the 2.9 GB of document.idx tell nothing new."""
    assert len(pile.parts) == 21
    assert len(pile) == PILE_ROWS
    np.testing.assert_array_equal(pile[-1], np.arange(2049))
    np.testing.assert_array_equal(pile[np.uint32(0)], np.arange(2049))


def test_rows_straddle_the_shards(corpus, rows, pile):
    """30,000,000,000 is not a multiple of 4098: `head -c` of a shard is not a number of rows."""
    assert SHARD % ROW_BYTES == 888
    edge = SHARD // ROW_BYTES
    assert not pile.read(edge - 1, edge + 2, 2049).any()
    for cut in range(1, 12):
        edge = cut * 100_000 // ROW_BYTES
        np.testing.assert_array_equal(corpus[edge - 1 : edge + 2], rows[edge - 1 : edge + 2])


def test_slices_of_more_than_1048063_rows(pile):
    """pythia issue 193: a sum of int32 lengths wraps at 2^31 / 2049 rows."""
    # Every 1,001st row, so that the sparse file's holes need not be filled with memory.
    sliced = pile[-1 - 1_048 * 1_001 :: 1_001]
    assert len(sliced) == 1_049
    np.testing.assert_array_equal(sliced[-1], np.arange(2049))
    assert not sliced[:-1].any()
    whole = pile[:: PILE_ROWS - 1]
    np.testing.assert_array_equal(whole, np.tile(np.arange(2049), (2, 1)))


@pytest.mark.parametrize("integer", [int, np.int64, np.int32, np.uint16, np.uint64])
def test_numpy_integers_give_rows_and_not_none(corpus, rows, integer):
    """pythia utils/mmap_dataset.py: `dataset[np.int64(3)]` is None."""
    np.testing.assert_array_equal(corpus[integer(3)], rows[3])
    np.testing.assert_array_equal(corpus.read(integer(3), integer(5), 64), rows[3:5, :64])
    np.testing.assert_array_equal(corpus[integer(3) : integer(5)], rows[3:5])


def test_rows_of_any_length(tmp_path, write_megatron):
    """pythia utils/mmap_dataset.py: slices are reshaped to 2049 tokens, whatever the data are."""
    rows = np.arange(60, dtype=np.uint16).reshape(12, 5)
    corpus = open_megatron(write_megatron(tmp_path / "document", rows))
    np.testing.assert_array_equal(corpus[2:9:3], rows[2:9:3])


def test_indexing_is_that_of_arrays(corpus, rows):
    for key in (slice(None), slice(5, 2), slice(-4, None), slice(None, None, -7), slice(0, 999)):
        np.testing.assert_array_equal(corpus[key], rows[key])
    for key in ([], [3], [7, 7, 0, -1], np.array([299, 150])):
        np.testing.assert_array_equal(corpus[key], rows[np.asarray(key, int)])
    assert len(corpus) == sum(1 for _ in corpus) == 300
    for key in (300, -301, [0, 300], [0.5], [True] * 300, [[1]]):
        with pytest.raises(IndexError):
            corpus[key]


def test_step_i_consumes_rows_1024_i_to_1024_i_plus_1023():
    """pythia issues 76, 123, 127, 136, 153 and the off-by-one of batch_viewer.py (da58a10)."""
    suite, _ = find_model("1.4b")
    assert suite.exposed_rows(0, PILE_ROWS) == 0
    assert suite.exposed_rows(1, PILE_ROWS) == 1024
    assert suite.exposed_rows(143_000, PILE_ROWS) == PILE_ROWS


def test_shards_are_read_in_place(tmp_path, rows, write_megatron):
    """pythia issues 114, 126: joining 600 GB of shards takes hours and crashes."""
    prefix = write_megatron(tmp_path / "document", rows, 100_000)
    before = sorted(tmp_path.iterdir())
    np.testing.assert_array_equal(open_corpus(str(prefix))[:], rows)
    assert sorted(tmp_path.iterdir()) == before


def test_whether_there_is_an_end_of_document_is_counted(corpus, rows):
    """pythia issues 123, 175: the README speaks of token 0, users find none in the deduped set."""
    found = read_contents(corpus)
    assert (found.smallest_id, found.eod_tokens) == (rows.min(), 0)
    assert found.smallest_id >= 2


def test_when_repeats_come_is_read_from_the_rows(tmp_path, rows):
    """pythia issue 144: does the second pass of the deduplicated set begin at step 98,000?"""
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(300), 2))[:450]
    np.save(tmp_path / "rows.npy", rows[order])
    write_duplicates(open_corpus(str(tmp_path / "rows.npy")), tmp_path / "table")
    table = scan_duplicates(tmp_path / "table").collect()
    second = [i for i, row in enumerate(order) if row in order[:i]]
    repeats = table.filter(pl.col("sequence_index") > pl.col("first_index"))
    assert repeats["sequence_index"].to_list() == second
    assert min(second) < 150  # interleaved from the start, as documents of all epochs are


def test_rows_overlap_by_one_token_and_the_64_are_the_first(corpus, rows):
    """Rows are 2048 inputs and the last label; a sequence begins at offset 0 and nowhere else."""
    np.testing.assert_array_equal(corpus.read(7, 8, 64)[0], rows[7, :64])
    with pytest.raises(CorpusError, match="sequences take tokens 0-2049:"):
        corpus.read(0, 1, 2050)


def test_checksums_are_made_where_none_are_published(corpus, rows, tmp_path):
    """pythia issue 183: no checksums of the preshuffled sets; a pack has its own from the start."""
    write_pack(corpus, tmp_path, rows_per_file=200)
    path = tmp_path / "prefixes-00001-of-00002.npy"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorpusError, match="damaged"):
        open_pack(tmp_path).read(250, 251, 64)


def test_a_flipped_byte_is_found_by_scan(tmp_path, neox_folder, memtrace_cli):
    """And no score is written of it."""
    np.save(tmp_path / "rows.npy", np.full((300, 65), 5, np.uint16))
    pack = tmp_path / "pack"
    write_pack(open_corpus(str(tmp_path / "rows.npy")), pack, rows_per_file=200)
    command = ["-q", "scan", "--model", neox_folder, "--corpus", pack, "--runs", tmp_path / "runs"]
    command += ["--dtype", "float32", "--sequences", "200:210"]
    path = pack / "prefixes-00001-of-00002.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:140] + bytes([whole[140] ^ 1]) + whole[141:])
    result = memtrace_cli(*command)
    assert result.exit_code == 1
    assert "the file is damaged; delete it" in result.stderr
    assert not list((tmp_path / "runs").rglob("*.parquet"))
    path.write_bytes(whole)
    assert memtrace_cli(*command).exit_code == 0


def test_a_run_begun_on_the_corpus_is_finished_on_its_pack(tmp_path, neox_folder, memtrace_cli):
    """600 GB or 18.7 GB: the same sequences, so the same run."""
    rows = np.random.default_rng(0).integers(1, 96, (40, 70)).astype(np.uint16)
    np.save(tmp_path / "rows.npy", rows)
    write_pack(open_corpus(str(tmp_path / "rows.npy")), tmp_path / "pack")
    command = ["-q", "scan", "--model", neox_folder, "--dtype", "float32", "--shard-size", "10"]
    command += ["--run", "mine"]  # else a model of no manifest has a place for each corpus
    for name, runs in (("rows.npy", "a"), ("pack", "b"), ("rows.npy", "c")):
        memtrace_cli(*command, "--corpus", tmp_path / name, "--runs", tmp_path / runs)
    tables = {
        runs: {p.name: p.read_bytes() for p in (tmp_path / runs).rglob("*.parquet")}
        for runs in "abc"
    }
    assert tables["a"] == tables["b"]
    next((tmp_path / "c").rglob("shard-00002*")).unlink()
    finished = memtrace_cli(*command, "--corpus", tmp_path / "pack", "--runs", tmp_path / "c")
    assert finished.exit_code == 0, finished.output


def test_published_tables_say_duped_where_the_data_say_standard():
    """pythia-memorized-evals: `duped`; the corpus: `standard`; the models: no suffix."""
    assert find_model(read_label("duped.1.4b").model)[1].corpus == "pile-standard"
    assert find_model(read_label("deduped.1.4b").model)[1].corpus == "pile-deduped"


def test_models_whose_order_is_not_that_of_the_corpus_have_none():
    """PolyPythias were trained in orders of their own (pile-preshuffled-seeds)."""
    assert find_model("410m-seed3")[1].corpus is None


def test_shapes_are_not_taken_from_the_training_configuration():
    """The 12b-deduped.yml swaps layers and heads; padded vocabularies differ (issues 65, 68)."""
    for suffix in ("", "-deduped"):
        model = find_model(f"12b{suffix}")[1]
        assert (model.layers, model.heads, model.vocab_size) == (36, 40, 50_688)
    assert find_model("6.9b")[1].vocab_size == 50_432


def test_the_incomplete_and_the_old_data_sets_are_not_offered():
    """pile-standard-pythia-resharded has 2 of its files; the idxmaps are 83 shards of the past."""
    places = {corpus.hub for suite in load_suites() for corpus in suite.corpora.values()}
    assert not {place for place in places if place and ("resharded" in place or "idxmaps" in place)}


def test_the_raw_documents_are_not_mistaken_for_rows(tmp_path):
    """Documents of many lengths are what the preshuffled rows were cut from."""
    from conftest import write_index

    write_index(tmp_path / "document.idx", [7, 2049, 31], 2)
    (tmp_path / "document.bin").write_bytes(bytes(2 * (7 + 2049 + 31)))
    with pytest.raises(CorpusError, match="rows of one length in training order"):
        open_corpus(str(tmp_path / "document"))


def test_wrong_row_lengths_are_not_read_as_rows(tmp_path, rows, write_megatron):
    """2048 for 2049 shifts every row by one token more: it is refused, not read."""
    prefix = write_megatron(tmp_path / "document", rows)
    prefix.with_suffix(".idx").unlink()
    with pytest.raises(CorpusError, match="its manifest describes"):
        open_megatron(prefix, layout=Layout(2048, UINT16, 300))


@pytest.mark.parametrize("shard_bytes", [None, 100_000])
def test_equal_to_megatron_cores_own_reader(tmp_path, rows, write_megatron, shard_bytes):
    """The reader of the library that trained with these files, on files written byte by byte.

    megatron-core reads one file only, and without an index of shards: it gets the whole one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what else is not installed
        module = pytest.importorskip(
            "megatron.core.datasets.indexed_dataset",
            reason="megatron-core is not installed: pip install --no-deps megatron-core",
            exc_type=ImportError,
        )
        theirs = module.IndexedDataset(str(write_megatron(tmp_path / "whole", rows)))
        ours = open_megatron(write_megatron(tmp_path / "document", rows, shard_bytes))
        assert len(ours) == len(theirs)
        for index in (0, 1, 24, 150, 299):
            np.testing.assert_array_equal(ours[index], theirs[index])
        np.testing.assert_array_equal(ours[20:60], np.stack(theirs[20:60]))
    for name in [name for name in sys.modules if name.startswith("megatron")]:
        del sys.modules[name]
