"""Damaged maps, maps of another corpus, wrong corpus files: one clear line each; and the traps."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import write_index
from corpus_files import copied, expected, opened, write_corpus_file

from memtrace.corpus import open_corpus
from memtrace.corpus.array_file import npy_map
from memtrace.corpus.documents import open_documents
from memtrace.corpus.index_maps import IndexMaps
from memtrace.errors import CorpusError


def refusal(name, folder, **changes):
    with pytest.raises(CorpusError) as caught:
        opened(name, folder, **changes)
    text = str(caught.value)
    assert "\n" not in text
    assert "my-run.yaml" in text
    return text


def change(folder: Path, pattern: str, edit) -> None:
    """Rewrite the one array that a pattern names."""
    (path,) = folder.glob(pattern)
    found = edit(np.load(path))
    np.save(path, found)


def put(place, value):
    """Return an edit that puts a value at a place."""

    def edit(array):
        array[place] = value
        return array

    return edit


DOC, SAMPLE, SHUFFLE = (f"*_train_*_{kind}_idx.npy" for kind in ("doc", "sample", "shuffle"))


@pytest.mark.parametrize(
    ("pattern", "edit", "words"),
    [
        (SAMPLE, put((7, 1), 5000), "points at token 5000 of the document"),
        (SAMPLE, put((7, 1), -3), "points at token -3 of the document"),
        (SAMPLE, put((7, 0), -9), "32-bit overflow"),
        (SAMPLE, put((429, 0), 9999), "9999"),
        (SAMPLE, put((slice(100, 200), 1), 0), "tokens apart, where row_tokens 33 needs 32"),
        (SAMPLE, lambda a: a[:-5], "has 424 samples and"),
        (SAMPLE, lambda a: a[:, :1], "an index map is an integer array (n, 2)"),
        (SAMPLE, lambda a: a.astype(float), "float64"),
        (SHUFFLE, lambda a: a[:-5], "the same number"),
        (SHUFFLE, put(3, 4), "2 times, where each is there once"),
        (SHUFFLE, put(3, 5000), "has the entry 5000, where all are in 0..428"),
        (SHUFFLE, lambda a: a.reshape(-1, 1), "an index map is an integer array (n,)"),
        (DOC, put(3, 60), "where each epoch has each once"),
        (DOC, put(3, 4000), "has documents 0 to 4000"),
        (DOC, put(3, -1), "has documents -1 to"),
        (DOC, lambda a: a[:-1], "where each epoch has each once"),
        (DOC, lambda a: a[a != 17], "where each epoch has each once"),
    ],
)
def test_a_damaged_map(pattern, edit, words, tmp_path):
    folder = copied("neox", tmp_path)
    change(folder, pattern, edit)
    assert words in refusal("neox", folder)


@pytest.mark.parametrize("pattern", [DOC, SAMPLE, SHUFFLE])
def test_a_map_that_is_cut_lost_or_no_array(pattern, tmp_path):
    folder = copied("neox", tmp_path)
    (path,) = folder.glob(pattern)
    content = path.read_bytes()
    path.write_bytes(content[:-6])
    assert "truncated" in refusal("neox", folder)
    path.write_bytes(b"PAR1" + content)
    assert "as an array" in refusal("neox", folder)
    path.unlink()
    assert f"lack {path.name}" in refusal("neox", folder)


def test_maps_of_another_corpus(tmp_path):
    folder, other = copied("neox", tmp_path), copied("polypythias", tmp_path)
    assert "has documents 0 to 200" in refusal(
        "neox", folder, index_maps=[str(other / "seed0" / "*")]
    )
    text = refusal("polypythias", other, index_maps=[str(folder / "*_train_*")])
    assert "belong" in text


def test_tokens_that_the_index_does_not_describe(tmp_path):
    folder = copied("neox", tmp_path)
    path = folder / "corpus_text_document.bin"
    path.write_bytes(path.read_bytes()[:-2])
    assert "9396 bytes, corpus_text_document.idx describes 9398" in refusal("neox", folder)
    index = bytearray((folder / "corpus_text_document.idx").read_bytes())
    index[17] = 4  # int32
    (folder / "corpus_text_document.idx").write_bytes(index)
    assert "int32 tokens" in refusal("neox", folder)
    path.unlink()
    assert "no token files corpus_text_document.bin" in refusal("neox", folder)


def test_a_pattern_names_the_maps_of_one_run(tmp_path):
    folder = copied("neox", tmp_path)
    text = refusal("neox", folder, index_maps=["*_indexmap_*"])
    assert "several runs or splits" in text
    assert "_train_indexmap" in text
    assert "_valid_indexmap" in text
    assert "no index maps" in refusal("neox", folder, index_maps=["cache/*"])


@pytest.mark.parametrize("row_tokens", [32, 34, 2049])
def test_the_length_of_a_row_is_that_of_the_maps(row_tokens, tmp_path):
    folder = copied("neox", tmp_path)
    assert "give row_tokens: 33" in refusal("neox", folder, row_tokens=row_tokens)
    for path in folder.glob("*_32sl_*"):  # a name that does not tell
        path.rename(folder / path.name.replace("_32sl_", "_"))
    assert "row_tokens is not" in refusal("neox", folder, row_tokens=row_tokens)


def test_a_row_of_one_document_each_is_not_read(tmp_path):
    folder = copied("neox", tmp_path)
    for path in folder.glob("*_packedpi_*"):
        path.rename(folder / path.name.replace("_packedpi_", "_unpackedpi_"))
    assert "one document a row" in refusal("neox", folder)


def test_whole_documents_begin_at_their_beginnings(tmp_path):
    folder = copied("neox-overflow", tmp_path)
    change(folder, SAMPLE, put((5, 1), 1))
    assert "pack_until_overflow" in refusal("neox-overflow", folder)


# Megatron-core


def test_the_extra_token_is_in_no_name(tmp_path):
    """Both settings share a file name; where samples begin tells them apart."""
    without = copied("megatron-core-no-extra", tmp_path)
    assert "give row_tokens: 32" in refusal("megatron-core", without, row_tokens=33)
    described = copied("megatron-core-final-epoch", tmp_path)
    names = [{path.name for path in (f / "cache").iterdir()} for f in (without, described)]
    assert names[0] == names[1]
    assert "sequence_length 32" in refusal("megatron-core", described, row_tokens=40)


def test_descriptions_choose_the_maps(tmp_path):
    folder = copied("megatron-core", tmp_path)
    assert "has 0 descriptions" in refusal("megatron-core", folder, tokens=["other"])
    assert "is no folder" in refusal("megatron-core", folder, index_maps=["nowhere"])
    (description,) = (folder / "cache").glob("*-description.txt")
    description.with_name("f00-GPTDataset-train-description.txt").write_text(
        description.read_text()
    )
    assert "2 descriptions of training maps" in refusal("megatron-core", folder)
    description.write_text("[]")
    assert "no description of a data set" in refusal("megatron-core", folder)
    description.write_text('{"class"')
    assert "no description of a data set" in refusal("megatron-core", folder)


def test_maps_of_validation_are_passed_over(tmp_path):
    folder = copied("megatron-core", tmp_path)
    (description,) = (folder / "cache").glob("*-description.txt")
    said = json.loads(description.read_text())
    said["index_split"] = "valid"
    other = description.name.replace("-train-", "-valid-")
    description.with_name(other).write_text(json.dumps(said))
    rows = expected("megatron-core")
    np.testing.assert_array_equal(opened("megatron-core", folder).read(0, len(rows), 33), rows)


def test_a_damaged_order_of_a_blend(tmp_path):
    folder = copied("megatron-core-blend", tmp_path)
    change(folder, "cache/*-dataset_index.npy", lambda a: a[:-1])
    assert "399 rows" in refusal("megatron-core-blend", folder)
    change(folder, "cache/*-dataset_index.npy", lambda a: np.full(400, 2, np.int16))
    with pytest.raises(CorpusError, match="of corpus 2, of 2 corpora"):
        opened("megatron-core-blend", folder).read(0, 1, 33)
    change(folder, "cache/*-dataset_index.npy", lambda a: np.zeros(400, np.int16))
    with pytest.raises(CorpusError, match="of 2 corpora and 121 rows"):
        opened("megatron-core-blend", folder).read(0, 400, 33)


# OLMo


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda a: a[:-8], "only less than a batch (8) may be missing"),
        (lambda a: np.r_[a[:-1], a[0]], "2 times, where each is there once"),
        (lambda a: np.r_[a[:-1], np.uint32(167)], "has the entry 167, where all are in 0..166"),
        (lambda a: a.astype(np.uint16)[:-1], "not a positive multiple of the 4"),
        (lambda a: a[:0], "0 bytes"),
    ],
)
def test_a_damaged_index_of_olmo(edit, words, tmp_path):
    folder = copied("olmo", tmp_path)
    path = folder / "epoch1" / "global_indices.npy"
    edit(np.fromfile(path, "<u4")).tofile(path)
    assert words in refusal("olmo", folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dtype": "uint32"}, "of another dtype"),
        ({"dtype": None}, "dtype: uint16"),
        ({"row_tokens": 64}, "belongs to other token files"),
        ({"row_tokens": 16}, "may be missing"),
        ({"chunk": 40}, "belongs to other token files"),
        ({"row_tokens": 10_000}, "too few for a row"),
        ({"sequences_per_step": None}, "say sequences_per_step"),
        ({"index_maps": ["lost.npy"]}, "lost.npy"),
        ({"tokens": ["part-0-00000.npy", "lost.npy"]}, "lost.npy"),
        ({"tokens": ["part-1-00000.npy"]}, "belongs to other token files"),
    ],
)
def test_what_contradicts_the_files_of_olmo(changes, words, tmp_path):
    assert words in refusal("olmo", copied("olmo", tmp_path), **changes)


def test_an_epoch_that_was_filled_up_repeats_its_beginning(tmp_path):
    folder = copied("olmo", tmp_path)
    index = np.r_[np.random.default_rng(0).permutation(167), 0].astype("<u4")
    index[-1] = index[0]
    index.tofile(folder / "index.npy")
    corpus = opened("olmo", folder, index_maps=["index.npy"])
    assert len(corpus) == 168
    np.testing.assert_array_equal(corpus[167], corpus[0])


def test_chunks_of_olmo_core(tmp_path):
    """Windows of a file are cut to a multiple of the chunk, and numbered so."""
    rng = np.random.default_rng(0)
    files = [rng.integers(0, 9999, n).astype("<u2") for n in (7 * 8 + 3, 5 * 8)]
    for number, file in enumerate(files):
        file.tofile(tmp_path / f"{number}.npy")
    windows = np.r_[files[0][:48].reshape(6, 8), files[1][:32].reshape(4, 8)]
    index = np.array([4, 5, 8, 9, 0, 1, 2, 3, 6, 7], "<u4")
    index.tofile(tmp_path / "global_indices_chunk2.npy")
    path = write_corpus_file(
        tmp_path,
        layout="olmo",
        tokens=["0.npy", "1.npy"],
        index_maps=["global_indices_chunk2.npy"],
        dtype="uint16",
        chunk=2,
        row_tokens=8,
    )
    np.testing.assert_array_equal(open_corpus(path)[:], windows[index])


def test_a_header_of_llm_c_that_is_wrong(tmp_path):
    header = np.zeros(256, "<i4")
    header[:3] = 20240520, 1, 100
    (tmp_path / "a.bin").write_bytes(header.tobytes() + bytes(199))
    content = {"layout": "olmo", "tokens": ["a.bin"], "row_tokens": 10}
    path = write_corpus_file(tmp_path, **content)
    with pytest.raises(CorpusError, match="100 uint16 tokens"):
        open_corpus(path)


# 64 bits


def test_a_document_beyond_32_bits(tmp_path):
    """An int32 offset times two bytes, plus a start beyond 4 GB: sparse files take no space."""
    long, row = (1 << 30) + 65, np.arange(1, 34, dtype="<u2")
    write_index(tmp_path / "d.idx", [long, long, 40], 2)
    with (tmp_path / "d.bin").open("wb") as file:
        file.truncate((2 * long + 40) * 2)
        file.seek((long + (1 << 30) + 32) * 2)
        file.write(row.tobytes())
    documents = npy_like(tmp_path / "m_doc_idx.npy", np.arange(3, dtype=np.int32))
    begins = np.array([[0, 0], [1, (1 << 30) + 32]], np.int32)
    samples_map = npy_like(tmp_path / "m_sample_idx.npy", begins)
    shuffle = npy_like(tmp_path / "m_shuffle_idx.npy", np.array([1, 0], np.uint32))
    maps = IndexMaps(open_documents(tmp_path / "d"), documents, samples_map, shuffle, 33, 1, 2)
    np.testing.assert_array_equal(maps.gathered().read(0, 1, 33)[0], row)


def npy_like(path, array):
    np.save(path, array)
    return npy_map(path, array.ndim)


def test_entries_of_32_bits_are_counted_in_64(tmp_path):
    """uint32 + 1 is 0 at the largest number, and int32 times a size wraps."""
    np.save(tmp_path / "shuffle.npy", np.array([2**32 - 1, 0], np.uint32))
    found = npy_map(tmp_path / "shuffle.npy").take(np.array([0, 1]), "a test")
    assert found.dtype == np.int64
    assert (found + 1).tolist() == [2**32, 1]


# Corpus files


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("neox", {"index_maps": None, "row_tokens": None}, "needs index_maps and row_tokens"),
        ("neox", {"dtype": "uint16", "chunk": 2}, "cannot use dtype and chunk"),
        ("neox", {"layout": "gpt_neox"}, "layout"),
        ("neox", {"weights": [1, 2]}, "weights has 2 entries and tokens 1"),
        ("neox", {"tokens": []}, "tokens"),
        ("neox", {"token": ["a"]}, "token"),
        ("neox", {"row_tokens": 0}, "row_tokens"),
        ("neox", {"sequences_per_step": [[5, 8]]}, "from step 0"),
        ("neox", {"sequences_per_step": [[0, 8], [0, 9]]}, "from step 0"),
        ("neox", {"sequences_per_step": 0}, "0 is no number of sequences"),
        ("neox", {"samples": 500}, "samples and micro_batch go together"),
        ("neox", {"micro_batch": 4}, "samples and micro_batch go together"),
        ("neox", {"samples": 500, "micro_batch": 429}, "fewer than a micro-batch of 429"),
        ("neox", {"samples": 0, "micro_batch": 4}, "samples"),
        ("megatron-core", {"samples": 500}, "cannot use samples"),
        ("nanotron", {"seed": None, "dtype": None}, "needs dtype and seed"),
        ("nanotron", {"index_maps": ["a"]}, "cannot use index_maps"),
        ("nanotron", {"weights": [1]}, "weights has 1 entries and tokens 2"),
        ("nanotron", {"tokens": ["a", "c"]}, "c is no folder of datatrove's token files (*.ds)"),
        ("nanotron", {"row_tokens": 3000}, "too few for a row of 3000"),
        ("olmo", {"weights": [1, 2]}, "cannot use weights"),
        ("olmo", {"dtype": "float16"}, "dtype"),
        ("megatron-core", {"index_maps": ["cache", "cache"]}, "is one folder, not 2"),
    ],
)
def test_a_corpus_file_that_is_wrong(name, changes, words, tmp_path):
    assert words in refusal(name, copied(name, tmp_path), **changes)


def test_a_corpus_file_that_is_no_yaml(tmp_path):
    path = tmp_path / "my-run.yaml"
    for content in ("", "[1", "a: &a [*a]", "\0", "corpus: x"):
        path.write_text(content)
        with pytest.raises(CorpusError, match=r"my-run\.yaml"):
            open_corpus(str(path))


def test_plain_rows_by_a_corpus_file(tmp_path, write_megatron):
    rows = np.random.default_rng(0).integers(0, 999, (8, 20)).astype("<u2")
    for name, own in (("a", rows[:5]), ("b", rows[5:])):
        write_megatron(tmp_path / name, own)
        np.save(tmp_path / f"{name}.npy", own)
    for content in (
        {"layout": "megatron", "tokens": ["a", "b.bin"]},
        {"layout": "npy", "tokens": ["a.npy", "b.npy"]},
        {"layout": "npy", "tokens": ["a.npy", "b.npy"], "row_tokens": 20},
    ):
        corpus = open_corpus(write_corpus_file(tmp_path, **content))
        np.testing.assert_array_equal(corpus[:], rows)
        assert corpus.name == "my-run"
    wrong = write_corpus_file(tmp_path, layout="npy", tokens=["a.npy"], row_tokens=21)
    with pytest.raises(CorpusError, match="have 20 tokens, not 21"):
        open_corpus(wrong)
    (tmp_path / "a.idx").unlink()
    bare = {"layout": "megatron", "tokens": ["a"]}
    with pytest.raises(CorpusError, match="give row_tokens and dtype"):
        open_corpus(write_corpus_file(tmp_path, **bare))
    bare |= {"row_tokens": 20, "dtype": "uint16"}
    np.testing.assert_array_equal(open_corpus(write_corpus_file(tmp_path, **bare))[:], rows[:5])
