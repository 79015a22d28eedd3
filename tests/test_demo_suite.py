"""The embedded suite: its builder runs, and what is committed is what its README says."""

import hashlib
import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from memtrace.manifests import find_model

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data_manifests" / "demo"
BUDGET = 12_000_000  # bytes
SUITE, MODEL = find_model("demo")


def run_builder(output, steps, seed):
    command = [sys.executable, "-W", "error", DEMO / "build.py", "--output", output]
    command += ["--steps", str(steps), "--seed", str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment)


def read_rows(folder):
    return np.fromfile(folder / "corpus" / "demo.bin", "<u2").reshape(-1, 65)


def read_index(folder):
    """Return magic and version, dtype code, sizes, pointers and document bounds."""
    raw = (folder / "corpus" / "demo.idx").read_bytes()
    version, code, n, documents = struct.unpack_from("<QBQQ", raw, 9)
    sizes = np.frombuffer(raw, "<i4", n, 34)
    pointers = np.frombuffer(raw, "<i8", n, 34 + 4 * n)
    bounds = np.frombuffer(raw, "<i8", documents, 34 + 12 * n)
    assert len(raw) == 34 + 12 * n + 8 * documents
    return (raw[:9], version, code), sizes, pointers, bounds


def load(folder, step):
    path = folder / "checkpoints" / f"step{step}"
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


@pytest.fixture(scope="module")
def repeated():
    """The sequences that occur more than once, and for each row which of them it is, or -1."""
    sequences, which, copies = np.unique(
        read_rows(DEMO)[:, :64], axis=0, return_inverse=True, return_counts=True
    )
    number = np.where(copies > 1, np.cumsum(copies > 1) - 1, -1)
    return sequences[copies > 1], number[which]


@pytest.mark.parametrize("source", ["built", "committed"])
def test_index_fits_the_rows(source, built):
    folder, n = (built, 3 * 64) if source == "built" else (DEMO, 32_768)
    header, sizes, pointers, bounds = read_index(folder)
    rows = read_rows(folder)
    assert header == (b"MMIDIDX\x00\x00", 1, 8)
    assert rows.shape == (n, 65)
    assert (sizes == 65).all()
    assert np.array_equal(pointers, np.arange(n) * 130)
    assert bounds.tolist() == [0, n]
    assert rows.max() < 512


def test_builder_trains_what_it_saves(built):
    first, last = (load(built, step).state_dict() for step in (0, 3))
    assert all(not torch.equal(first[name], last[name]) for name in first)
    assert not (built / "checkpoints" / "step2").exists()


def test_builder_saves_its_own_tokenizer(built):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(built / "tokenizer.json"))
    text = "def naïve(x):\n    return x + 1  # ≤\n"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.convert_tokens_to_ids("<|endoftext|>") == 0
    assert len(tokenizer) == 512
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_same_seed_gives_the_same_bytes_and_another_seed_other_rows(built, builder, tmp_path):
    run_builder(tmp_path, steps=3, seed=5)
    assert (tmp_path / "SHA256SUMS").read_bytes() == (built / "SHA256SUMS").read_bytes()
    documents = list(builder.read_documents(3 * 64 * builder.CHARACTERS_PER_ROW))
    distinct = builder.cut(documents, builder.train_tokenizer(documents))
    rows = [builder.arrange(distinct, 192, np.random.default_rng(seed)) for seed in (5, 6)]
    assert np.array_equal(rows[0], read_rows(built))
    assert not np.array_equal(rows[0], rows[1])


def test_committed_files_have_their_digests_and_keep_the_budget():
    listed = dict(line.split("  ")[::-1] for line in (DEMO / "SHA256SUMS").read_text().splitlines())
    files = [*DEMO.glob("corpus/*"), *DEMO.glob("checkpoints/*/*"), DEMO / "tokenizer.json"]
    found = {
        path.relative_to(DEMO).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    assert found == listed
    assert sum(path.stat().st_size for path in files) < BUDGET
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (DEMO / "LICENSE.python.txt").read_text()


def test_manifest_describes_the_checkpoints():
    assert {f"step{step}" for step in SUITE.steps} == {
        path.name for path in (DEMO / "checkpoints").iterdir()
    }
    for step in SUITE.steps:
        config = json.loads(Path(MODEL.source(step)[0], "config.json").read_text())
        shape = (MODEL.layers, MODEL.width, MODEL.heads, MODEL.vocab_size)
        names = "num_hidden_layers hidden_size num_attention_heads vocab_size"
        assert shape == tuple(config[name] for name in names.split())
        # Trained in float32, stored as the Hub stores Pythia.
        assert (MODEL.dtype, config["dtype"]) == ("float32", "float16")
    assert sum(weight.numel() for weight in load(DEMO, 512).parameters()) == MODEL.parameters


def test_rows_are_text_of_the_standard_library(builder):
    tokenizer = builder.Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    sample = read_rows(DEMO)[::331]
    library = "\n".join(builder.read_documents(10**9))
    found = [tokenizer.decode(row.tolist()) in library for row in sample]
    assert np.mean(found) > 0.3, "the sources change between versions of Python, but not that much"


def test_corpus_repeats_the_announced_share_at_random_positions(builder, repeated):
    sequences, number = repeated
    copies = number >= 0
    assert copies.sum() == round(builder.REPEATED_SHARE * len(number))
    assert len(sequences) == len(number) // builder.ROWS_PER_REPEATED_SEQUENCE
    assert kstest(np.flatnonzero(copies) / len(number), "uniform").pvalue > 0.01


def test_memorization_grows_and_forgets_as_the_readme_says(repeated):
    """Copies of repeated sequences, decided in float64: the same on every machine."""
    sequences, number = repeated
    tokens = torch.from_numpy(sequences.astype(np.int64))
    rows = np.arange(len(number))
    table, before = [], np.zeros(len(number), bool)
    for step in SUITE.steps:
        with torch.inference_mode():
            guesses = load(DEMO, step).double()(tokens[:, :63]).logits[:, 31:].argmax(-1)
        memorized = (guesses == tokens[:, 32:]).all(1).numpy()
        exposed = memorized[number] & (number >= 0) & (rows < 64 * step)
        table.append((step, memorized.sum(), exposed.sum(), (before & ~exposed).sum()))
        before = exposed
    counts, forgotten = np.array(table)[:, 2:].T
    assert counts[-1] == counts.max() >= 300
    assert counts[0] == 0
    assert forgotten.sum() > 0
    readme = (DEMO / "README.md").read_text()
    for step, distinct, count, lost in table:
        assert f"| {step} | {distinct} | {count:,} | {lost:,} |" in readme
