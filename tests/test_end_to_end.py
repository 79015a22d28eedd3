"""The main job on the embedded suite: scan, fit, figures, and the answers that `generate` gives."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import memtrace
from memtrace.corpus import open_corpus
from memtrace.manifests import find_model

SUITE, MODEL = find_model("demo")
LAST = SUITE.last_step
PART = (0, 6144)
"""Sequences that are scanned: some of all that there are."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return memtrace.scan("demo", LAST, runs=tmp_path_factory.mktemp("runs"), sequences=PART)


def generated_tokens(sequences, eos_rule):
    """Return matched tokens by Transformers' own greedy decoding, in float32."""
    model = AutoModelForCausalLM.from_pretrained(MODEL.source(LAST)[0], dtype=torch.float32)
    # Token 0 is the model's EOS token: either it means nothing, or it may not come before the end.
    rule = {"eos_token_id": None} if eos_rule == "none" else {"eos_token_id": 0, "min_length": 64}
    prompts = torch.from_numpy(sequences[:, :32].astype(np.int64))
    out = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        max_length=64,
        pad_token_id=0,
        **rule,
    ).numpy()
    right = out[:, 32:] == sequences[:, 32:]
    return np.logical_and.accumulate(right, axis=1).sum(axis=1)


@pytest.mark.parametrize("eos_rule", ["none", "mask-eos"])
def test_scores_equal_greedy_generation(run, tmp_path, eos_rule):
    """Of all memorized sequences and of hundreds of others, drawn at random."""
    matched = run.scores().collect()["matched_tokens"].to_numpy()
    rng = np.random.default_rng(5)
    chosen = np.flatnonzero(matched >= 8)
    chosen = np.union1d(rng.permutation(chosen)[:300], rng.choice(len(matched), 400))
    sequences = open_corpus("demo").take(chosen, 64)
    if eos_rule == "mask-eos":
        run = memtrace.scan("demo", LAST, runs=tmp_path, eos_rule=eos_rule, sequences=PART)
        matched = run.scores().collect()["matched_tokens"].to_numpy()
    np.testing.assert_array_equal(matched[chosen], generated_tokens(sequences, eos_rule))


def test_half_precision_gives_the_same_answer(run, tmp_path):
    dtypes = {"float32", "bfloat16"} - {run.configuration.dtype}
    assert dtypes
    for dtype in dtypes:
        options = {"runs": tmp_path / dtype, "dtype": dtype, "sequences": PART}
        other = memtrace.scan("demo", LAST, **options)
        assert other.scores().collect().equals(run.scores().collect())


def test_demo_from_scan_to_figures(memtrace_cli, tmp_path):
    """What `make demo` does, at three checkpoints."""
    runs, figures = tmp_path / "runs", tmp_path / "figures"
    steps = ",".join(map(str, (*SUITE.steps[-3:-1], LAST)))
    command = ("scan", "--model", "demo", "--step", steps, "--include-unexposed")
    part = ("--sequences", ":".join(map(str, PART)), "--runs", runs)
    scanned = memtrace_cli(*command, *part)
    assert scanned.exit_code == 0, scanned.output
    fitted = memtrace_cli("fit-poisson", runs, "--output", figures, "--json")
    assert fitted.exit_code == 0, fitted.output
    document = json.loads(fitted.stdout)
    assert document["step"] == LAST
    matched = memtrace.load_scores(runs, model="demo", step=LAST).collect()["matched_tokens"]
    assert document["events"] == (matched == 32).sum() > 0
    assert document["coverage"]["missing_ranges"] == [[PART[1], document["coverage"]["expected"]]]
    assert document["verdict"]
    assert {path.suffix for path in figures.iterdir()} >= {".png", ".svg", ".json"}
    everything = json.loads(memtrace_cli("fit-poisson", runs, "--step", "all", "--json").stdout)
    assert [one["step"] for one in everything] == list(map(int, steps.split(",")))
    # Only the primary end point, with copies that of texts that occur once, knows of the other
    # checkpoints: here too few such texts are memorized to be one of a family of tests.
    once = everything[-1]["texts"]["trend"]["once"]
    assert once.pop("p_value_holm") is once.pop("p_value_by") is None
    assert once["reason"]
    assert everything[-1] == document
