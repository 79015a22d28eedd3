"""Sequences of any length, anywhere in a row: k tokens of prompt, l of continuation, an offset."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import write_run, write_shard
from transformers import AutoModelForCausalLM, GPTNeoConfig, GPTNeoForCausalLM

import memtrace
from memtrace.corpus import open_corpus
from memtrace.corpus.duplicates import scan_duplicates, write_duplicates
from memtrace.corpus.pack_writer import write_pack
from memtrace.errors import CorpusError, FitError, MemtraceError, RunError
from memtrace.runs.events import hash_texts, read_events
from memtrace.runs.load_scores import load_scores
from memtrace.runs.run import find_runs
from memtrace.scanning.import_published import import_run
from memtrace.texts.find import find_texts

K, L, OFFSET = 5, 7, 9
SEQUENCE = {"prompt_tokens": K, "continuation_tokens": L, "offset": OFFSET}
VOCABULARY = 3000


def matched(run):
    return run.scores().collect()["matched_tokens"].to_numpy()


@pytest.fixture(scope="module")
def gpt_neo(tmp_path_factory):
    """A random GPT-Neo, as save_pretrained writes it."""
    torch.manual_seed(3)
    config = GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_layers=2,
        attention_types=[[["global", "local"], 1]],
        num_heads=2,
        window_size=16,
        max_position_embeddings=128,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-gpt-neo"
    GPTNeoForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def prompts():
    """The prompts of real rows of the Pile, where they are at hand, else random ones.

    Their token ids are numbered again, since a small vocabulary is faster.
    """
    path = Path(__file__).parents[2] / "shared/data/lm-extraction-benchmark/val_prefix.npy"
    random = np.random.default_rng(0).zipf(1.3, (90, 50)) % 50257
    found = np.load(path)[:90] if path.is_file() else random
    return np.unique(found, return_inverse=True)[1].reshape(90, 50)


def test_50_and_50_tokens_of_a_gpt_neo_are_what_generate_returns(gpt_neo, prompts, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(gpt_neo).eval()
    # Without a mask, generate takes tokens that are the pad token for padding.
    generated = model.generate(
        torch.from_numpy(prompts),
        attention_mask=torch.ones(prompts.shape, dtype=torch.long),
        do_sample=False,
        max_new_tokens=50,
        pad_token_id=0,
    )[:, 50:].numpy()
    # A third as generated, a third changed somewhere, a third somebody else's continuation.
    continuations = generated.copy()
    for row, position in zip(range(30, 60), np.linspace(0, 49, 30).astype(int), strict=True):
        continuations[row, position] = (continuations[row, position] + 1) % VOCABULARY
    continuations[60:] = np.roll(generated, 1, axis=0)[60:]
    expected = np.logical_and.accumulate(generated == continuations, axis=1).sum(axis=1)
    rows = np.concatenate((np.full((90, 3), 1), prompts, continuations), axis=1)
    np.save(tmp_path / "rows.npy", rows.astype(np.uint16))
    run = memtrace.scan(
        str(gpt_neo),
        corpus=str(tmp_path / "rows.npy"),
        runs=tmp_path / "runs",
        prompt_tokens=50,
        continuation_tokens=50,
        offset=3,
        dtype="float32",
    )
    np.testing.assert_array_equal(matched(run), expected)
    assert {0, 50} < set(expected.tolist())
    assert (
        run.configuration.tested
        == "prompt tokens 3 to 52, continuation tokens 53 to 102 of each row"
    )


@pytest.fixture(scope="module")
def rows(neox_folder):
    """Rows of 30 tokens, the middle of which the model returns wholly or in part."""
    model = AutoModelForCausalLM.from_pretrained(neox_folder).eval()
    rng = np.random.default_rng(1)
    found = rng.integers(1, 96, (80, 30))
    middle = torch.from_numpy(found[:, OFFSET : OFFSET + K])
    end = OFFSET + K + L
    found[:, OFFSET:end] = model.generate(middle, do_sample=False, max_new_tokens=L, pad_token_id=0)
    changed = rng.random(80) < 0.5
    places = rng.integers(OFFSET + K, end, 80)
    found[changed, places[changed]] = 95 - found[changed, places[changed]]
    found[40:50, OFFSET:end] = found[:10, OFFSET:end]  # copies, in rows that differ elsewhere
    return found.astype(np.uint16)


@pytest.fixture(scope="module")
def corpus(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "rows.npy"
    np.save(path, rows)
    return path


@pytest.fixture(scope="module")
def scanned(neox_folder, corpus, tmp_path_factory):
    """Scan with lengths and an offset of one's own, from any corpus."""

    def scan(source=corpus, runs=None, *, k=K, continuation=L, offset=OFFSET):
        return memtrace.scan(
            str(neox_folder),
            corpus=str(source),
            runs=runs or tmp_path_factory.mktemp("runs"),
            run="mine",
            prompt_tokens=k,
            continuation_tokens=continuation,
            offset=offset,
            shard_size=32,
            dtype="float32",
        )

    return scan


def test_an_offset_is_the_same_as_rows_that_begin_there(scanned, rows, tmp_path):
    run = scanned()
    np.save(tmp_path / "cut.npy", rows[:, OFFSET:])
    cut = scanned(tmp_path / "cut.npy", offset=0)
    np.testing.assert_array_equal(matched(run), matched(cut))
    assert 0 < (matched(run) == L).sum() < len(rows)
    events = read_events(run, hashes=True)
    texts = rows[events.sequence_index.astype(int), OFFSET : OFFSET + K + L]
    np.testing.assert_array_equal(events.text_hash, hash_texts(texts))


def test_a_pack_of_these_tokens_finishes_a_run_of_the_corpus(scanned, corpus, rows, tmp_path):
    opened = open_corpus(str(corpus))
    write_pack(opened, tmp_path / "pack", tokens=K + L + 2, offset=OFFSET - 1)
    pack = open_corpus(str(tmp_path / "pack"))
    np.testing.assert_array_equal(pack[:], rows[:, OFFSET - 1 : OFFSET + K + L + 1])
    np.testing.assert_array_equal(pack.take([3, 1], 4, OFFSET), rows[[3, 1], OFFSET : OFFSET + 4])
    whole, run = scanned(), scanned(runs=tmp_path / "runs")
    path = run.path(run.shards()[1])
    path.unlink()
    again = scanned(tmp_path / "pack", tmp_path / "runs")
    files = sorted(path.name for path in (whole.folder / "scores").iterdir())
    for name in files:
        ours, theirs = (one.folder / "scores" / name for one in (again, whole))
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("tokens", "offset", "taken"), [(64, 0, "0-63"), (10, 21, "21-30"), (31, 0, "0-30")]
)
def test_rows_that_are_too_short_get_one_line(corpus, tmp_path, tokens, offset, taken):
    opened = open_corpus(str(corpus))
    match = f"rows of 30 tokens, sequences take tokens {taken}:"
    with pytest.raises(CorpusError, match=match):
        write_pack(opened, tmp_path / "pack", tokens=tokens, offset=offset)
    with pytest.raises(CorpusError, match=match):
        write_duplicates(
            opened,
            tmp_path / "table",
            prompt_tokens=9,
            continuation_tokens=tokens - 9,
            offset=offset,
        )
    assert not list(tmp_path.rglob("*.*"))


def test_a_scan_of_too_short_rows_writes_nothing(memtrace_cli, neox_folder, corpus, tmp_path):
    options = ("--prompt-tokens", 25, "--continuation-tokens", 5, "--offset", 1)
    where = ("--corpus", corpus, "--runs", tmp_path / "runs")
    result = memtrace_cli("scan", "--model", neox_folder, *where, *options)
    assert result.exit_code == 1
    assert "rows of 30 tokens, sequences take tokens 1-30:" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_pack_does_not_hold_tokens_before_its_first(corpus, tmp_path):
    write_pack(open_corpus(str(corpus)), tmp_path / "pack", tokens=12, offset=9)
    pack = open_corpus(str(tmp_path / "pack"))
    with pytest.raises(
        CorpusError, match="has tokens 9-20 of each row, sequences take tokens 0-11"
    ):
        pack.read(0, 5, 12)
    with pytest.raises(CorpusError, match=r"offset: 9\), not of .* \(8\); choose another --output"):
        write_pack(open_corpus(str(corpus)), tmp_path / "pack", tokens=12, offset=8)


def test_usual_packs_tables_and_scores_say_nothing_of_an_offset(corpus, tmp_path):
    write_pack(open_corpus(str(corpus)), tmp_path / "pack")
    assert "offset" not in json.loads((tmp_path / "pack" / "pack.json").read_text())
    run = write_run(tmp_path / "runs")
    assert "offset" not in run.configuration.metadata()
    assert (
        run.configuration.tested
        == "prompt tokens 0 to 31, continuation tokens 32 to 63 of each row"
    )


def test_duplicates_of_these_tokens_equal_brute_force(corpus, rows, tmp_path):
    write_duplicates(open_corpus(str(corpus)), tmp_path / "table", **SEQUENCE)
    texts = [row.tobytes() for row in np.ascontiguousarray(rows[:, OFFSET : OFFSET + K + L])]
    counts = Counter(texts)
    table = scan_duplicates(tmp_path / "table").collect()
    assert table["duplicate_count"].to_list() == [counts[text] for text in texts]
    assert table["first_index"].to_list() == [texts.index(text) for text in texts]
    assert max(counts.values()) > 1


def test_texts_of_a_run_are_those_of_its_tokens(scanned, corpus, tmp_path):
    run = scanned()
    found = find_texts(run)
    write_duplicates(open_corpus(str(corpus)), tmp_path / "own", **SEQUENCE)
    write_duplicates(open_corpus(str(corpus)), tmp_path / "other")
    np.testing.assert_array_equal(find_texts(run, tmp_path / "own").copies, found.copies)
    assert len(found.copies) >= 20
    with pytest.raises(CorpusError, match=f"--continuation-tokens {L} --offset {OFFSET}"):
        find_texts(run, tmp_path / "other")


@pytest.mark.parametrize(
    "change", [{"offset": 8}, {"prompt_tokens": 31, "continuation_tokens": 33}]
)
def test_scores_of_other_tokens_are_never_mixed_in(tmp_path, change):
    run = write_run(tmp_path / "runs", shards=[0])
    other = write_run(tmp_path / "other", shards=[], **change)
    write_shard(other, other.shards()[1])
    other.path(other.shards()[1]).rename(run.path(run.shards()[1]))
    with pytest.raises(RunError, match="belongs to another run"):
        run.scores()


def test_runs_of_other_tokens_are_not_set_side_by_side(tmp_path, memtrace_cli):
    many = {"exposed_rows": 100, "corpus_rows": 120, "corpus_digest": "c"}
    write_run(tmp_path / "runs", step=1, **many)
    write_run(tmp_path / "runs", step=2, offset=8, **many)
    result = memtrace_cli("fit-poisson", tmp_path / "runs", "--step", "all")
    assert result.exit_code == 1
    assert (
        "prompt tokens 0 to 31, continuation tokens 32 to 63 of each row, demo/demo step 2 "
        "prompt tokens 8 to 39, continuation tokens 40 to 71 of each row" in result.stderr
    )
    with pytest.raises(FitError, match=r"differ in offset \(0, 8\)"):
        memtrace.fit_emergence(find_runs(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"continuation": 256}, "256 tokens does not fit a score"),
        ({"k": 0}, "a prompt of 0 tokens is too short"),
        ({"offset": -1}, "begins at token -1 of a row"),
    ],
)
def test_lengths_that_make_no_sequence(scanned, options, match):
    with pytest.raises(MemtraceError, match=match):
        scanned(**options)


def test_import_of_other_lengths(rows, corpus, tmp_path):
    import polars as pl

    texts = rows[[4, 20, 33], OFFSET : OFFSET + K + L].astype(np.int64)
    table = pl.DataFrame({"index": [4, 20, 33], "tokens": texts.tolist()})
    table.write_parquet(tmp_path / "memorized.parquet")
    source = {"model": "demo", "step": 64, "corpus": str(corpus), "runs": tmp_path / "runs"}
    run, _ = import_run(tmp_path / "memorized.parquet", **source, **SEQUENCE)
    assert (
        run.configuration.tested
        == "prompt tokens 9 to 13, continuation tokens 14 to 20 of each row"
    )
    assert read_events(run).sequence_index.tolist() == [4, 20, 33]
    scores = load_scores(tmp_path / "runs", model="demo", step=64).collect()
    assert scores["matched_tokens"].max() == L
    with pytest.raises(RunError, match="sequences of 12 tokens, not of 64: give the --prompt"):
        import_run(tmp_path / "memorized.parquet", **source | {"runs": tmp_path / "other"})
    with pytest.raises(CorpusError, match="3 of 3 imported sequences are not what corpus"):
        import_run(
            tmp_path / "memorized.parquet",
            **source | {"runs": tmp_path / "third"},
            **SEQUENCE | {"offset": 8},
        )
