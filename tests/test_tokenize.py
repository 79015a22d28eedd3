"""Text to token rows and back: every reader, both kinds of rows, kills, and what is refused."""

import itertools
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from memtrace.corpus import open_corpus, tokenize, tokenized_files
from memtrace.corpus.pack_writer import write_pack
from memtrace.corpus.row_documents import has_documents, row_documents
from memtrace.corpus.source_files import read_texts, source_files
from memtrace.corpus.tokenize import RowPlan, tokenize_files
from memtrace.corpus.tokenizer import load_tokenizer
from memtrace.errors import CorpusError
from memtrace.storage import lock

WORDS = [f"w{i}" for i in range(50)]
TEXTS = [" ".join(np.random.default_rng(i).choice(WORDS, 3 + 7 * i % 40)) for i in range(30)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tokenizer whose ids are the numbers of words, cutting and padding by default."""
    vocabulary = {"<|endoftext|>": 0, "[UNK]": 51, **{word: i + 1 for i, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=9)
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text('{"eos_token": {"content": "<|endoftext|>"}}')
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


def ids(text):
    """Encode a text by hand."""
    return [WORDS.index(word) + 1 for word in text.split()]


def write_jsonl(path, texts, field="text"):
    path.write_text("".join(json.dumps({field: text}) + "\n" for text in texts))
    return path


def packed(texts, length):
    """Join and cut by hand."""
    stream = list(itertools.chain.from_iterable([*ids(text), 0] for text in texts))
    return [stream[i : i + length] for i in range(0, len(stream) - length + 1, length)]


def sliding(texts, length, stride):
    return [
        ids(text)[i : i + length]
        for text in texts
        for i in range(0, len(ids(text)) - length + 1, stride)
    ]


def test_packed_rows_are_documents_joined_and_cut(tmp_path, tokenizer):
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    done = tokenize_files([source], tokenizer, tmp_path / "out", RowPlan("packed", 17))
    rows = open_corpus(tmp_path / "out")[:]
    assert rows.tolist() == packed(TEXTS, 17)
    assert (done.rows, done.documents) == (len(rows), len(TEXTS))
    assert done.rows * 17 + done.left_out_tokens == done.tokens + len(TEXTS)
    assert open_corpus(tmp_path / "out").dtype == np.uint16


@pytest.mark.parametrize("stride", [1, 3, 8, 20])
def test_sliding_rows_are_each_document_by_itself(tmp_path, tokenizer, stride):
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    done = tokenize_files([source], tokenizer, tmp_path / "out", RowPlan("sliding", 8, stride))
    assert open_corpus(tmp_path / "out")[:].tolist() == sliding(TEXTS, 8, stride)
    assert done.short_documents == sum(len(ids(text)) < 8 for text in TEXTS)


def files_of_every_kind(path):
    """Write the texts five times: in three orders of storage of data sets, and as lines."""
    write_jsonl(path / "a.jsonl", TEXTS)
    table = pl.DataFrame({"id": range(len(TEXTS)), "text": TEXTS})
    table.write_parquet(path / "a.parquet")
    table.write_ipc(path / "a.arrow")
    (path / "hf").mkdir()
    for number, part in enumerate((table[:12], table[12:])):
        part.write_ipc_stream(path / "hf" / f"{'ba'[number]}.arrow")
    state = {"_data_files": [{"filename": "b.arrow"}, {"filename": "a.arrow"}]}
    (path / "hf" / "state.json").write_text(json.dumps(state))
    (path / "txt").mkdir()
    for number, text in enumerate(TEXTS):
        (path / "txt" / f"{number:02d}.txt").write_text(text)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.arrow", "hf", "txt"])
def test_every_reader_gives_the_same_documents(tmp_path, tokenizer, name):
    files_of_every_kind(tmp_path)
    files = source_files([tmp_path / name])
    found = [(path, text.line, text.text) for path in files for text in read_texts(path, "text")]
    assert [text for _, _, text in found] == TEXTS
    assert sum(text.size for path in files for text in read_texts(path, "text")) == pytest.approx(
        sum(path.stat().st_size for path in files)
    )
    for path, line, text in found:  # from any place
        assert next(read_texts(path, "text", line - 1)).text == text
    assert [line for _, line, _ in found if name[0] == "a"] in ([], [*range(1, 31)])


@pytest.mark.parametrize("plan", [RowPlan("packed", 17), RowPlan("sliding", 8, 3)])
def test_rows_lead_back_to_their_documents(tmp_path, tokenizer, plan):
    """The tokens of each document, from where the table says, are those of the row."""
    sources = [write_jsonl(tmp_path / "a.jsonl", TEXTS[:11]), tmp_path / "b.jsonl"]
    write_jsonl(sources[1], TEXTS[11:])
    tokenize_files(sources, tokenizer, tmp_path / "out", plan)
    corpus = open_corpus(tmp_path / "out")
    assert has_documents(corpus)
    table = row_documents(corpus, range(len(corpus)))
    filled = np.zeros((len(corpus), plan.row_tokens), bool)
    for row, document, file, line, first, place in table.rows():
        of_file = next(path for path in sources if str(path) == file)
        text = json.loads(of_file.read_text().splitlines()[line - 1])["text"]
        assert text == TEXTS[document]
        own = [*ids(text), *([0] if plan.kind == "packed" else [])][first:]
        own = own[: plan.row_tokens - place]
        assert corpus[row][place : place + len(own)].tolist() == own
        filled[row, place : place + len(own)] = True
    assert filled.all()
    few = row_documents(corpus, [3], 1)
    assert few.equals(table.filter(pl.col("sequence_index") == 3)[:1])


def test_a_command_that_is_killed_goes_on_where_it_was(tmp_path, tokenizer, monkeypatch):
    """Killed before or after any step of writing, and repeated until it is whole."""
    sources = [write_jsonl(tmp_path / f"{i}.jsonl", TEXTS[i * 10 : i * 10 + 10]) for i in range(3)]
    monkeypatch.setattr(tokenize, "_BLOCK_DOCUMENTS", 4)
    plan = RowPlan("packed", 17)
    tokenize_files(sources, tokenizer, tmp_path / "whole", plan)
    expected = {end: (tmp_path / f"whole{end}").read_bytes() for end in (".bin", ".idx")}
    table = pl.read_parquet(tmp_path / "whole.documents.parquet")
    calls = itertools.count()
    limit = 0

    def dying(work):
        def call(*args, **kwargs):
            if next(calls) >= limit:
                raise KeyboardInterrupt
            return work(*args, **kwargs)

        return call

    real = tokenized_files.replace_atomically
    monkeypatch.setattr(tokenized_files, "replace_atomically", dying(real))
    monkeypatch.setattr(tokenized_files, "write_table", dying(tokenized_files.write_table))
    for limit in range(1, 20):  # noqa: B007 (`dying` reads it)
        calls = itertools.count()
        try:
            tokenize_files(sources, tokenizer, tmp_path / "out", plan)
            break
        except KeyboardInterrupt:
            for path in tmp_path.glob(".out.[td]*"):  # what was written and not yet recorded
                path.write_bytes(path.read_bytes() + b"x")
    assert {end: (tmp_path / f"out{end}").read_bytes() for end in expected} == expected
    assert pl.read_parquet(tmp_path / "out.documents.parquet").equals(table)
    assert not list(tmp_path.glob(".out*"))


def test_two_processes_do_not_write_one_corpus(tmp_path, tokenizer):
    source, plan = write_jsonl(tmp_path / "a.jsonl", TEXTS), RowPlan("packed", 17)
    output = tmp_path / "out"
    with tokenized_files.OutputFiles(output).locked():
        tokenize_files([source], tokenizer, tmp_path / "other", plan)
        with pytest.raises(CorpusError, match=r"out is being written by another process"):
            tokenize_files([source], tokenizer, output, plan)
        assert not list(tmp_path.glob("out*"))
    (tmp_path / ".out.lock").touch()  # of a process that was killed
    tokenize_files([source], tokenizer, output, plan)
    assert not list(tmp_path.glob(".out*"))


def test_a_lock_on_a_file_that_was_deleted_is_no_lock(tmp_path, monkeypatch):
    """Between opening and locking the one who had the lock may be done and delete the file."""
    path = tmp_path / ".out.lock"
    monkeypatch.setattr(lock.fcntl, "flock", lambda *_: path.unlink())
    with (
        pytest.raises(CorpusError, match="another process"),
        lock.locked_file(path, tmp_path / "out", option="--output", raises=CorpusError),
    ):
        pytest.fail("held a lock that nobody else sees")


@pytest.mark.parametrize("offset", [0, 5])
@pytest.mark.parametrize("plan", [RowPlan("packed", 17), RowPlan("sliding", 17, 5)])
def test_a_pack_leads_back_to_the_documents(tmp_path, tokenizer, plan, offset):
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    tokenize_files([source], tokenizer, tmp_path / "out", plan)
    corpus = open_corpus(tmp_path / "out")
    write_pack(corpus, tmp_path / "pack", tokens=8, offset=offset)
    write_pack(open_corpus(tmp_path / "pack"), tmp_path / "again", tokens=8, offset=offset)
    rows = range(len(corpus))
    expected = row_documents(corpus, rows, offset + 8)
    for name in ("pack", "again"):
        assert row_documents(open_corpus(tmp_path / name), rows).equals(expected)


def test_what_is_whole_is_not_made_again_and_nothing_else_is_written_over(tmp_path, tokenizer):
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    plan = RowPlan("packed", 17)
    done = tokenize_files([source], tokenizer, tmp_path / "out", plan)
    stamp = (tmp_path / "out.bin").stat().st_mtime_ns
    assert tokenize_files([source], tokenizer, tmp_path / "out", plan) == done
    assert (tmp_path / "out.bin").stat().st_mtime_ns == stamp
    with pytest.raises(CorpusError, match="there already, made with other rows: choose another"):
        tokenize_files([source], tokenizer, tmp_path / "out", RowPlan("packed", 18))
    write_jsonl(source, TEXTS[1:])
    with pytest.raises(CorpusError, match="made with other sizes of files"):
        tokenize_files([source], tokenizer, tmp_path / "out", plan)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    length=st.integers(2, 6),
    block=st.integers(1, 4),
)
def test_any_documents_in_any_blocks(tmp_path_factory, tokenizer, lengths, length, block):
    texts = [" ".join(WORDS[i : i + count]) for i, count in enumerate(lengths)]
    path = tmp_path_factory.mktemp("any")
    write_jsonl(path / "a.jsonl", texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenize, "_BLOCK_DOCUMENTS", block)
        for name, plan, rows in (
            ("p", RowPlan("packed", length), packed(texts, length)),
            ("s", RowPlan("sliding", length, 2), sliding(texts, length, 2)),
        ):
            if not rows:
                with pytest.raises(CorpusError, match=r"make no row of|no text"):
                    tokenize_files([path / "a.jsonl"], tokenizer, path / name, plan)
                continue
            tokenize_files([path / "a.jsonl"], tokenizer, path / name, plan)
            assert open_corpus(path / name)[:].tolist() == rows


def test_a_large_vocabulary_takes_int32(tmp_path):
    vocabulary = {f"x{i}": i for i in range(70_000)} | {"</s>": 70_000}
    large = Tokenizer(models.WordLevel(vocabulary, unk_token="x0"))
    large.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    large.save(str(tmp_path / "tokenizer.json"))
    source = write_jsonl(tmp_path / "a.jsonl", ["x69999 x1 x2"])
    tokenize_files([source], load_tokenizer(tmp_path), tmp_path / "out", RowPlan("packed", 2))
    corpus = open_corpus(tmp_path / "out")
    assert (corpus.dtype, corpus[:].tolist()) == (np.int32, [[69999, 1], [2, 70_000]])


BAD = [
    ("a.jsonl", b'{"text": 1}\n', r"line 1 has no text under 'text': it has text"),
    ("a.jsonl", b'{"text": "w1"}\n[1]\n', r"line 2 has no text under 'text': it has no key"),
    ("a.jsonl", b'{"text": "w1"}\n{"te', "line 2 is no JSON"),
    ("a.txt", b"\xff\xfe\x00", "is no text in UTF-8"),
    ("a.csv", b"a,b", "is no text that is read"),
    ("a.jsonl", b"\n", "there is no text in"),
    ("a.parquet", b"PAR1", "cannot read .*parquet"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_what_is_no_text_gets_one_line(tmp_path, tokenizer, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        tokenize_files([tmp_path / name], tokenizer, tmp_path / "out", RowPlan("packed", 4))
    assert "\n" not in str(caught.value)
    # Nothing stays behind: the same output takes other text.
    (tmp_path / "good.txt").write_text("w1 w2 w3 w4 w5")
    done = tokenize_files(
        [tmp_path / "good.txt"], tokenizer, tmp_path / "out", RowPlan("packed", 4)
    )
    assert done.rows == 1


def test_a_table_without_the_column_names_those_that_it_has(tmp_path, tokenizer):
    pl.DataFrame({"id": [1], "body": ["w1"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match="no column 'text' of text; its columns of text: body"):
        tokenize_files([tmp_path / "a.parquet"], tokenizer, tmp_path / "o", RowPlan("packed", 2))
    with pytest.raises(CorpusError, match=r"is a table of text \(body.*--field body"):
        open_corpus(tmp_path / "a.parquet")


def test_half_a_pair_of_surrogates_is_replaced(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a\\ud83d b"}\n')
    assert next(read_texts(tmp_path / "a.jsonl", "text")).text == "a\ufffd b"


def test_a_tokenizer_that_does_not_say_how_documents_end(tmp_path):
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    bare = load_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(CorpusError, match="give it as --eod"):
        bare.end_of_document()
    with pytest.raises(CorpusError, match="has no token 'b'"):
        bare.end_of_document("b")
    assert bare.end_of_document("a") == bare.end_of_document("0") == 0
    with pytest.raises(CorpusError, match=r"has no tokenizer\.json"):
        load_tokenizer(tmp_path.parent)


def test_the_commands(tmp_path, folder, memtrace_cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "a.jsonl", TEXTS, "body")
    command = ["corpus", "tokenize", "a.jsonl", "--tokenizer", folder, "--output", "out"]
    slide = [*command, "--field", "body", "--rows", "sliding"]
    assert "needs a --stride" in memtrace_cli(*slide).output
    done = memtrace_cli(*slide, "--row-tokens", 8, "--stride", 4, "--json")
    assert done.exit_code == 0, done.output
    rows = sliding(TEXTS, 8, 4)
    assert json.loads(done.stdout)["rows"] == len(rows)
    found = memtrace_cli("corpus", "documents", "out", 0, len(rows) - 1, "--json")
    first, last = json.loads(found.stdout)
    assert rows[0] == ids(TEXTS[first["document"]])[first["document_token"] :][:8]
    assert rows[-1] == ids(TEXTS[last["line"] - 1])[last["document_token"] :][:8]
    assert last["file"] == "a.jsonl"


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "texts"])
def test_text_in_place_of_a_corpus_is_told_the_command(tmp_path, name):
    (tmp_path / "texts").mkdir()
    for path in (tmp_path / "a.jsonl", tmp_path / "a.txt", tmp_path / "texts" / "b.txt"):
        path.write_text('{"text": "a"}\n')
    with pytest.raises(CorpusError, match=f"memtrace corpus tokenize .*{name} --tokenizer MODEL"):
        open_corpus(tmp_path / name)
