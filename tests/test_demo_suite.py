"""The embedded suite: its builder runs, and what is committed is what its README says."""

import hashlib
import importlib.util
import json
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from memtrace.manifests import find_model

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data_manifests" / "demo"
BUDGET = 30_000_000  # bytes
SUITE, MODEL = find_model("demo")
CORPUS = SUITE.corpora["demo"]
SMALL, TWIN = (find_model(name)[1] for name in ("demo-small", "demo-deduped"))


def run_builder(output, steps, seed):
    command = [sys.executable, "-W", "error", DEMO / "build.py", "--output", output]
    command += ["--steps", str(steps), "--seed", str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment)


def read_rows(folder, name="demo"):
    dtype = np.dtype(SUITE.corpora[name].dtype).newbyteorder("<")
    return np.fromfile(folder / "corpus" / f"{name}.bin", dtype).reshape(-1, 65)


def read_index(folder, name):
    """Return magic and version, dtype code, sizes, pointers and document bounds."""
    raw = (folder / "corpus" / f"{name}.idx").read_bytes()
    version, code, n, documents = struct.unpack_from("<QBQQ", raw, 9)
    sizes = np.frombuffer(raw, "<i4", n, 34)
    pointers = np.frombuffer(raw, "<i8", n, 34 + 4 * n)
    bounds = np.frombuffer(raw, "<i8", documents, 34 + 12 * n)
    assert len(raw) == 34 + 12 * n + 8 * documents
    return (raw[:9], version, code), sizes, pointers, bounds


def load(folder, step, name="demo"):
    path = folder / "checkpoints" / name / f"step{step}"
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    assert run_builder(folder, steps=3, seed=5).stdout == ""
    return folder


@pytest.fixture(scope="module")
def builder():
    spec = importlib.util.spec_from_file_location("demo_build", DEMO / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Repeated:
    """The texts that occur more than once, and which of them each row is, or -1."""

    sequences: np.ndarray
    copies: np.ndarray
    text_of_row: np.ndarray
    passage: np.ndarray  # near-copies, which differ in their beginning only, are of one passage


@pytest.fixture(scope="module")
def repeated(builder):
    sequences, which, copies = np.unique(
        read_rows(DEMO)[:, :64], axis=0, return_inverse=True, return_counts=True
    )
    number = np.where(copies > 1, np.cumsum(copies > 1) - 1, -1)
    several = sequences[copies > 1]
    _, passage = np.unique(several[:, builder.LEAD_TOKENS :], axis=0, return_inverse=True)
    return Repeated(several, copies[copies > 1], number[which], passage)


def is_memorized(step, sequences, name="demo"):
    """Decide by all logits at once; what float32 cannot decide is decided in float64."""
    model, tokens = load(DEMO, step, name), torch.from_numpy(sequences.astype(np.int64))

    def margins(model, tokens):
        """The smallest lead of a true token over the best other, for each sequence."""
        with torch.inference_mode():
            logits = model(tokens[:, :63]).logits[:, 31:]
        true = tokens[:, 32:, None]
        others = logits.scatter(-1, true, -torch.inf).amax(-1)
        return (logits.gather(-1, true)[..., 0] - others).amin(1).double().numpy()

    found = margins(model, tokens)
    near = np.flatnonzero(abs(found) < 1e-3)
    if len(near):
        found[near] = margins(model.double(), tokens[near])
    return found > 0


@pytest.fixture(scope="module")
def history(repeated):
    """`(checkpoints, repeated texts)`: whether the checkpoint has memorized the text."""
    return np.array([is_memorized(step, repeated.sequences) for step in SUITE.steps])


@pytest.mark.parametrize(("name", "code"), [("demo", 8), ("demo-deduped", 1)])
@pytest.mark.parametrize("source", ["built", "committed"])
def test_index_fits_the_rows(source, name, code, built, builder):
    folder, n = (built, 3 * 16) if source == "built" else (DEMO, CORPUS.rows)
    header, sizes, pointers, bounds = read_index(folder, name)
    rows = read_rows(folder, name)
    assert header == (b"MMIDIDX\x00\x00", 1, code)
    assert rows.shape == (n, 65)
    assert (sizes == 65).all()
    assert np.array_equal(pointers, np.arange(n) * 65 * rows.itemsize)
    assert bounds.tolist() == [0, n]
    assert rows.max() < builder.VOCABULARY == MODEL.vocab_size


def test_builder_trains_what_it_saves(built):
    first, last = (load(built, step).state_dict() for step in (0, 3))
    assert all(not torch.equal(first[name], last[name]) for name in first)
    assert not (built / "checkpoints" / "demo" / "step2").exists()
    twin = load(built, 3, "demo-deduped").state_dict()
    assert {name: weight.shape for name, weight in twin.items()} == {
        name: weight.shape for name, weight in last.items()
    }
    assert any(not torch.equal(twin[name], last[name]) for name in last), "of another corpus"


@pytest.mark.parametrize("source", ["built", "committed"])
def test_deduplicated_corpus_has_each_text_of_the_other_equally_often(source, built):
    folder = built if source == "built" else DEMO
    rows, passes = read_rows(folder), read_rows(folder, "demo-deduped")
    assert rows.shape == passes.shape
    texts = np.unique(rows[:, :64], axis=0)
    again, copies = np.unique(passes[:, :64].astype(rows.dtype), axis=0, return_counts=True)
    assert np.array_equal(texts, again)
    assert copies.max() - copies.min() <= 1
    assert copies.min() == len(rows) // len(texts)


def test_rows_of_all_passes_lie_at_random_positions():
    rows = read_rows(DEMO, "demo-deduped")
    _, first, copies = np.unique(rows[:, :64], axis=0, return_index=True, return_counts=True)
    # The first of c places at random lies before a share u with chance 1 - (1 - u)^c.
    assert kstest(1 - (1 - first / len(rows)) ** copies, "uniform").pvalue > 0.01


def test_builder_saves_its_own_tokenizer(built):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(built / "tokenizer.json"))
    text = "def naïve(x):\n    return x + 1  # ≤\n"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.convert_tokens_to_ids("<|endoftext|>") == 0
    assert len(tokenizer) == 257
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_same_seed_gives_the_same_bytes_and_another_seed_other_rows(built, builder, tmp_path):
    run_builder(tmp_path, steps=3, seed=5)
    assert (tmp_path / "SHA256SUMS").read_bytes() == (built / "SHA256SUMS").read_bytes()
    documents = list(builder.read_documents(3 * 16 * builder.CHARACTERS_PER_ROW))
    distinct = builder.cut(documents, builder.new_tokenizer())
    rows = [builder.arrange(distinct, 48, np.random.default_rng(seed)) for seed in (5, 6)]
    assert np.array_equal(rows[0], read_rows(built))
    assert not np.array_equal(rows[0], rows[1])


def test_committed_files_have_their_digests_and_keep_the_budget():
    listed = dict(line.split("  ")[::-1] for line in (DEMO / "SHA256SUMS").read_text().splitlines())
    files = [*DEMO.glob("corpus/*"), *DEMO.glob("checkpoints/*/*/*"), DEMO / "tokenizer.json"]
    found = {
        path.relative_to(DEMO).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    assert found == listed
    assert sum(path.stat().st_size for path in files) < BUDGET
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (DEMO / "LICENSE.python.txt").read_text()


@pytest.mark.parametrize("model", SUITE.models, ids=lambda model: model.name)
def test_manifest_describes_the_checkpoints(model, builder):
    steps = SUITE.steps_of(model)
    (shape,) = (each for each in builder.MODELS if each.name == model.name)
    assert (shape.corpus, shape.steps) == (model.corpus, steps)
    folder = DEMO / "checkpoints" / model.name
    assert {f"step{step}" for step in steps} == {path.name for path in folder.iterdir()}
    for step in steps:
        config = json.loads(Path(model.source(step)[0], "config.json").read_text())
        shape = (model.layers, model.width, model.heads, model.vocab_size)
        names = "num_hidden_layers hidden_size num_attention_heads vocab_size"
        assert shape == tuple(config[name] for name in names.split())
        # Trained in float32, stored as the Hub stores Pythia.
        assert (model.dtype, config["dtype"]) == ("float32", "float16")
    last = load(DEMO, SUITE.last_step, model.name)
    assert sum(weight.numel() for weight in last.parameters()) == model.parameters


def test_rows_are_text_of_the_standard_library(builder):
    tokenizer = builder.Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    sample = read_rows(DEMO)[::331]
    library = "\n".join(builder.read_documents(10**9))
    found = [tokenizer.decode(row.tolist()) in library for row in sample]
    assert np.mean(found) > 0.3, "the sources change between versions of Python, but not that much"


def test_corpus_repeats_the_announced_share_at_random_positions(builder, repeated):
    is_copy = repeated.text_of_row >= 0
    n_rows = len(is_copy)
    short = builder.REPEATED_SHARE * n_rows - is_copy.sum()
    assert 0 <= short < builder.COPIES[1], "texts are drawn whole, as many as fit"
    assert builder.COPIES[0] <= repeated.copies.min() < repeated.copies.max() < builder.COPIES[1]
    assert kstest(np.flatnonzero(is_copy) / n_rows, "uniform").pvalue > 0.01
    families = np.bincount(repeated.passage)
    assert (families > 1).sum() == n_rows // builder.ROWS_PER_FAMILY


def test_surprise_is_that_of_a_plain_count(builder):
    rows = np.random.default_rng(1).integers(0, 3, (5, 65)).astype(np.uint16)
    places = [(row, column) for row in range(5) for column in range(32, 64)]

    def probability(place, n):
        """Of the token at a place, from the other places where the n tokens before are the same."""
        if n < 0:
            return 1 / builder.VOCABULARY
        context, token = (rows[place[0], place[1] - n : place[1]], rows[place])
        same = [p for p in places if (rows[p[0], p[1] - n : p[1]] == context).all() and p != place]
        hits = sum(rows[p] == token for p in same)
        return (hits + 2 * probability(place, n - 1)) / (len(same) + 2)

    bits = -np.log2([probability(place, 5) for place in places]).reshape(5, 32).mean(1)
    np.testing.assert_allclose(builder.surprise(rows), bits)


def test_the_suite_shows_what_it_is_for(repeated, history):
    """Enough independent texts, few and many copies, emergences at many times, forgetting."""
    last, copies = history[-1], repeated.copies
    assert len(set(repeated.passage[last])) >= 150
    assert copies[last].max() < 0.15 * copies[last].sum()
    assert len(set(repeated.passage[last & (copies < 50)])) >= 20
    first = history.argmax(0)[history.any(0)]
    assert len(set(first)) >= 5
    assert not history[0].any()
    lost = history[:-1] & ~history[1:]
    again = history[1:] & ~history[:-1] & np.logical_or.accumulate(history)[:-1]
    assert lost.any(0).sum() >= 20
    assert again.any(0).sum() >= 20


def test_memorization_grows_and_forgets_as_the_readme_says(repeated, history):
    readme = (DEMO / "README.md").read_text()
    before = ever = np.zeros_like(history[0])
    for step, now in zip(SUITE.steps, history, strict=True):
        cells = (
            now.sum(),
            len(set(repeated.passage[now])),
            (now & ~ever).sum(),
            (before & ~now).sum(),
            (now & ~before & ever).sum(),
            now[repeated.text_of_row[: SUITE.sequences_per_step * step]].sum(
                where=repeated.text_of_row[: SUITE.sequences_per_step * step] >= 0
            ),
        )
        assert f"| {step:,} | " + " | ".join(f"{cell:,}" for cell in cells) + " |" in readme
        before, ever = now, ever | now


def test_the_smaller_model_and_the_twin_memorized_what_the_readme_says(repeated, history):
    readme = (DEMO / "README.md").read_text()
    for step in SUITE.steps_of(SMALL)[2::2]:
        full = history[SUITE.steps.index(step)]
        small, twin = (
            is_memorized(step, repeated.sequences, model.name) for model in (SMALL, TWIN)
        )
        cells = (full.sum(), small.sum(), (small & full).sum(), twin.sum())
        assert f"| {step:,} | " + " | ".join(map(str, cells)) + " |" in readme
    assert twin.sum() < small.sum() < full.sum()
