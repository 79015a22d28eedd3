"""Counts of terms: equal to counting by hand, up to each checkpoint, killed anywhere or not."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtrace.corpus import open_corpus, term_counts
from memtrace.corpus.term_counts import (
    NgramCounter,
    Term,
    token_terms,
    tokenized_terms,
    write_counts,
)
from memtrace.errors import CorpusError, DataWarning
from memtrace.manifests import find_model

ROOT = Path(__file__).parents[1]


def by_hand(rows, terms):
    """Count with two loops and a comparison."""
    return [
        sum(
            tuple(row[i : i + len(form)]) == form
            for form in set(term.forms)
            for row in map(list, rows)
            for i in range(len(row) - len(form) + 1)
        )
        for term in terms
    ]


def corpus_of(tmp_path, rows):
    np.save(tmp_path / "rows.npy", rows)
    return open_corpus(str(tmp_path / "rows.npy"))


@pytest.fixture
def rows():
    return np.random.default_rng(0).integers(0, 6, (500, 20)).astype(np.uint16)


TERMS = [
    Term("one", ((1,),)),
    Term("pair or other", ((1, 2), (4,))),
    Term("its beginning", ((1,), (1, 2, 3))),
    Term("twice itself", ((2, 2),)),
    Term("long", ((0, 1, 2, 3, 4),)),
    Term("not there", ((60_000,), (1, 60_000))),
]

forms = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)


@given(
    data=st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=6),
    terms=st.lists(st.lists(forms, min_size=1, max_size=3, unique=True), min_size=1, max_size=5),
    dtype=st.sampled_from(["uint16", "int32", "int64"]),
)
def test_counts_are_those_of_a_plain_loop(data, terms, dtype):
    named = [Term(str(i), tuple(found)) for i, found in enumerate(terms)]
    rows = np.array(data, dtype)
    assert NgramCounter(named).count(rows).tolist() == by_hand(rows, named)


def test_ids_beyond_those_of_the_terms_and_negative_ones_are_no_token_of_a_term():
    rows = np.array([[1, -1, 2, 70_000, 1, 2]], np.int32)
    counter = NgramCounter([Term("a", ((1,),)), Term("b", ((2,),)), Term("c", ((1, 2),))])
    assert counter.count(rows).tolist() == [2, 2, 1]


def test_what_crosses_from_a_row_to_the_next_is_not_counted():
    rows = np.array([[5, 5, 1], [2, 5, 5]], np.uint16)
    assert NgramCounter([Term("1 2", ((1, 2),))]).count(rows).tolist() == [0]


def test_counts_grow_with_the_rows_that_each_checkpoint_has_seen(tmp_path, rows):
    steps = [0, 1, 3, 40, 62, 70]
    write_counts(corpus_of(tmp_path, rows), TERMS, steps, 8, tmp_path / "c.parquet")
    table = pl.read_parquet(tmp_path / "c.parquet")
    assert table.columns == ["term", "step", "count"]
    for step in steps:
        expected = by_hand(rows[: 8 * step], TERMS)
        assert table.filter(step=step)["count"].to_list() == expected, step


def test_pieces_do_not_show(tmp_path, rows, monkeypatch):
    corpus = corpus_of(tmp_path, rows)
    write_counts(corpus, TERMS, [3, 60], 8, tmp_path / "one.parquet")
    monkeypatch.setattr(term_counts, "CHUNK_ROWS", 7)
    monkeypatch.setattr(term_counts, "SAVE_EVERY", 2)
    write_counts(corpus, TERMS, [60, 3, 3], 8, tmp_path / "other.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("fails_at", range(0, 30, 3))
def test_interrupted_anywhere_it_ends_with_the_same_bytes(tmp_path, rows, monkeypatch, fails_at):
    corpus = corpus_of(tmp_path, rows)
    write_counts(corpus, TERMS, [10, 60], 8, tmp_path / "whole.parquet")
    monkeypatch.setattr(term_counts, "CHUNK_ROWS", 20)
    monkeypatch.setattr(term_counts, "SAVE_EVERY", 3)
    seen = []

    def interrupt(count):
        seen.append(count)
        if len(seen) == fails_at + 2:
            raise KeyboardInterrupt

    output = tmp_path / "c.parquet"
    try:
        write_counts(corpus, TERMS, [10, 60], 8, output, on_progress=interrupt)
    except KeyboardInterrupt:
        assert not output.exists()
        again = []
        write_counts(corpus, TERMS, [10, 60], 8, output, on_progress=again.append)
        assert sum(again) == 480
        assert again[0] == (sum(seen[:-1]) // 60) * 60 or fails_at < 3
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_killed_it_goes_on(tmp_path):
    rows = np.random.default_rng(1).integers(0, 9, (60_000, 64)).astype(np.uint16)
    np.save(tmp_path / "rows.npy", rows)
    program = (
        "import sys; from memtrace.corpus import open_corpus, term_counts\n"
        "term_counts.CHUNK_ROWS, term_counts.SAVE_EVERY = 64, 20\n"
        "terms = term_counts.token_terms(['1 2', '3'])\n"
        "term_counts.write_counts(open_corpus(sys.argv[1]), terms,\n"
        "    [5, 100], 600, __import__('pathlib').Path(sys.argv[2]))\n"
    )
    output, progress = tmp_path / "c.parquet", tmp_path / ".c.parquet.progress.npz"
    command = [sys.executable, "-c", program, tmp_path / "rows.npy", output]
    process = subprocess.Popen(command)
    while process.poll() is None and not progress.exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    subprocess.run(command, check=True)
    terms = token_terms(["1 2", "3"])
    write_counts(open_corpus(str(tmp_path / "rows.npy")), terms, [5, 100], 600, tmp_path / "d")
    assert output.read_bytes() == (tmp_path / "d").read_bytes()


def test_a_finished_count_is_kept_and_another_one_refused(tmp_path, rows):
    corpus, output = corpus_of(tmp_path, rows), tmp_path / "c.parquet"
    write_counts(corpus, TERMS, [10], 8, output)
    before = output.stat().st_mtime_ns
    write_counts(corpus, TERMS, [10], 8, output)
    assert output.stat().st_mtime_ns == before
    for other in (([10], 9, TERMS), ([11], 8, TERMS), ([10], 8, TERMS[:2])):
        with pytest.raises(CorpusError, match=r"c.parquet is a count of something else"):
            write_counts(corpus, other[2], other[0], other[1], output)
    (tmp_path / "d.parquet").write_text("no table")
    with pytest.raises(CorpusError, match="no table of counts"):
        write_counts(corpus, TERMS, [10], 8, tmp_path / "d.parquet")


def test_damaged_progress_is_told_and_not_believed(tmp_path, rows):
    (tmp_path / ".c.parquet.progress.npz").write_bytes(b"PK")
    with pytest.raises(CorpusError, match="delete it to begin anew"):
        write_counts(corpus_of(tmp_path, rows), TERMS, [10], 8, tmp_path / "c.parquet")


def test_token_terms_are_lists_of_ids():
    assert token_terms(["15 22", "7", "15 22"]) == [
        Term("15 22", ((15, 22),)),
        Term("7", ((7,),)),
    ]
    for lines in (["the"], ["-1"], ["²"]):
        with pytest.raises(CorpusError, match="pass a tokenizer to count texts"):
            token_terms(lines)
    with pytest.raises(CorpusError, match="no terms"):
        token_terms([])


def test_texts_count_with_and_without_a_space_before_them(shared_folder, tmp_path):
    tokenizer = shared_folder / "data" / "20B_tokenizer.json"
    from tokenizers import Tokenizer

    terms = tokenized_terms(["24", "New York", "the"], tokenizer)
    text = "24 is not 24, New York is the New York of the 24"
    rows = np.array([Tokenizer.from_file(str(tokenizer)).encode(text).ids], np.uint16)
    assert NgramCounter(terms).count(rows).tolist() == [3, 2, 2]
    assert all(len(set(term.forms)) == len(term.forms) for term in terms)


def test_a_tokenizer_that_is_none_is_told(tmp_path):
    with pytest.raises(CorpusError, match=r"cannot read the tokenizer .*none.json"):
        tokenized_terms(["a"], tmp_path / "none.json")


def test_command_counts_the_demo_corpus(memtrace_cli, tmp_path):
    suite, _ = find_model("demo")
    tokenizer = ROOT / "data_manifests" / "demo" / "tokenizer.json"
    (tmp_path / "terms.txt").write_text("import\n42\n\nself\n")
    output = tmp_path / "c.parquet"
    arguments = ["--terms", tmp_path / "terms.txt", "--tokenizer", tokenizer, "--output", output]
    done = memtrace_cli("corpus", "count", "demo", *arguments, "--step", f"1,{suite.last_step}")
    assert done.exit_code == 0, done.output
    corpus = open_corpus("demo")
    assert f"3 terms at 2 steps, in all 65 tokens of {len(corpus):,} rows" in done.stdout
    terms = tokenized_terms(["import", "42", "self"], tokenizer)
    first = corpus.read(0, suite.sequences_per_step, 65)
    table = pl.read_parquet(output)
    assert table.filter(step=1)["count"].to_list() == by_hand(first, terms)
    assert (table.filter(step=suite.last_step)["count"] > table.filter(step=1)["count"]).all()


def test_command_says_what_a_pack_cannot_know_and_whose_steps_are_missing(memtrace_cli, tmp_path):
    pack, terms = tmp_path / "pack", tmp_path / "terms.txt"
    terms.write_text("15\n")
    assert memtrace_cli("corpus", "pack", "demo", "--output", pack).exit_code == 0
    arguments = ("corpus", "count", pack, "--terms", terms, "--output", tmp_path / "c.parquet")
    done = memtrace_cli(*arguments)
    assert done.exit_code == 2
    assert "--suite" in done.output
    with pytest.warns(DataWarning, match="only tokens 0-63 of each row"):
        write_counts(open_corpus(str(pack)), token_terms(["15"]), [4], 64, tmp_path / "d.parquet")
