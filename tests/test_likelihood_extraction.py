"""What sampling extracts: counted by brute force, and by sampling."""

import json
import re
from decimal import Decimal, getcontext
from html import unescape

import numpy as np
import pytest
import torch
from builders import write_run
from transformers import AutoModelForCausalLM

import memtrace
from memtrace.engine import Distribution, Engine, Rules
from memtrace.errors import FitError
from memtrace.likelihood.extraction.chances import chance_within, least_log_likelihood
from memtrace.likelihood.extraction.page import extraction_page
from memtrace.report.page import parted
from memtrace.report.typeset import typeset
from memtrace.texts.groups import Texts

ROWS, EXPOSED = 3000, 1800


def values(seed=0):
    """Return log-likelihoods and labels of texts, copies of which have one value."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(ROWS) < 0.3, rng.integers(0, 60, ROWS), 100 + np.arange(ROWS))
    of_label = -rng.gamma(1.5, 6, labels.max() + 1)
    return of_label[labels].astype(np.float32), labels


VALUES, LABELS = values()
TEXTS = Texts.from_labels(LABELS)


def write(folder, y=VALUES, **changes):
    return write_run(
        folder,
        lambda rows: np.where(VALUES[rows] > -0.7, 32, 5),
        likelihood=lambda rows: y[rows],
        model="small",
        step=90,
        stop=ROWS,
        exposed_rows=EXPOSED,
        corpus_rows=ROWS,
        sequences_per_step=20,
        shard_size=700,
        **changes,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write(tmp_path_factory.mktemp("runs"))


def brute_force(n, p, name):
    """Return sequences and texts of a class that are (n, p)-discoverable, one by one."""
    seen = set(LABELS[:EXPOSED])
    rows = {
        "exposed": range(EXPOSED),
        "copy_exposed": [i for i in range(EXPOSED, ROWS) if LABELS[i] in seen],
        "unexposed": [i for i in range(EXPOSED, ROWS) if LABELS[i] not in seen],
    }[name]
    hit = [i for i in rows if 1 - (1 - np.exp(float(VALUES[i]))) ** n >= p]
    texts = {LABELS[i] for i in rows}
    return len(hit), len({LABELS[i] for i in hit}), len(list(rows)), len(texts)


def test_extraction_is_what_brute_force_counts(run) -> None:
    found = memtrace.fit_extraction(run, n=(1, 7, 1000), p=(0.1, 0.9), texts=TEXTS)

    for entry in found.table:
        for name, share in entry.shares.items():
            counted = (share.sequences, share.texts, share.of_sequences, share.of_texts)
            assert counted == brute_force(entry.n, entry.p, name)
            assert share.share == share.texts / share.of_texts
            assert share.ci95[0] <= share.share <= share.ci95[1]
    for name, one in found.classes.items():
        assert one.histogram.sum() == brute_force(1, 0.5, name)[2]


def test_the_curve_over_n_meets_the_table(run) -> None:
    found = memtrace.fit_extraction(run, texts=TEXTS)

    for p in found.ps:
        n, share = found.curve("exposed", p)
        assert n[0] == 1
        assert n[-1] == 1000
        assert (np.diff(share) >= 0).all()
        assert share[-1] == found.at(1000, p).shares["exposed"].share
        assert share[0] == found.at(1, p).shares["exposed"].share


@pytest.mark.parametrize("log_p", [-1e-9, -0.3, -40.0, -700.0])
@pytest.mark.parametrize("n", [1, 1000, 10**9])
def test_chances_are_exact_however_small(log_p, n) -> None:
    """Against 400 digits: nothing rounds to 0, or to 1 before it is 1."""
    getcontext().prec = 400
    exact = 1 - (1 - Decimal(log_p).exp()) ** n
    assert float(chance_within(log_p, n)) == pytest.approx(float(exact), rel=1e-7)
    if float(exact) < 1 - 1e-6:
        assert least_log_likelihood(n, float(exact)) == pytest.approx(log_p, rel=1e-6, abs=1e-9)


def test_below_the_least_probability_nothing_is_claimed(tmp_path) -> None:
    bound = 1e-3
    cut = np.where(np.log(bound) > VALUES, np.nan, VALUES)
    run = write(tmp_path, cut, min_probability=bound)
    whole = write(tmp_path / "whole")

    found = memtrace.fit_extraction(run, texts=TEXTS)

    complete = memtrace.fit_extraction(whole, texts=TEXTS)
    known = [entry for entry in found.table if not entry.reason]
    assert {entry.reason is None for entry in found.table} == {True, False}
    for entry in found.table:
        decided = entry.log_likelihood >= np.log(bound)
        assert decided == (entry.reason is None)
    for entry in known:
        assert entry.shares == complete.at(entry.n, entry.p).shares
    assert sum(one.below for one in found.classes.values()) == np.isnan(cut).sum()
    n, share = found.curve("exposed", 0.1)
    least = np.array([least_log_likelihood(float(one), 0.1) for one in n])
    assert (np.isnan(share) == (least < np.log(bound))).all()
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    nulls = [one for one in document["discoverable"] if one["exposed"] is None]
    assert nulls
    assert all("scan stopped" in one["reason"] for one in nulls)
    assert "Undefined" in found.summary()


def test_unknown_copies_make_each_row_a_text(run) -> None:
    found = memtrace.fit_extraction(run)

    share = found.at(1000, 0.5).shares["exposed"]
    assert share.sequences == share.texts == brute_force(1000, 0.5, "exposed")[0]
    assert "rows are taken as different texts" in found.summary()
    assert "copies of exposed ones may be among them, so how much is chance is not" in found.verdict
    assert "so much is chance" not in found.verdict


def test_what_has_no_meaning_is_refused(run) -> None:
    for n, p in (((0,), (0.5,)), ((1,), (1.0,)), ((1,), (0.0,)), ((), (0.5,))):
        with pytest.raises(FitError):
            memtrace.fit_extraction(run, n=n, p=p)


def test_the_command_answers_as_the_library(memtrace_cli, run, tmp_path) -> None:
    runs = run.folder.parents[2]
    result = memtrace_cli(
        "extraction", runs, "--n", "1,50", "--p", "0.5", "--json", "--output", tmp_path
    )

    document = json.loads(result.stdout)
    found = memtrace.fit_extraction(run, n=(1, 50), p=(0.5,))
    assert [one["n"] for one in document["discoverable"]] == [1, 50]
    assert document["discoverable"][1]["texts"] == found.at(50, 0.5).shares["exposed"].texts
    assert {"sequences", "texts", "share", "ci95"} <= document["discoverable"][0].keys()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "extraction.json",
        "report.html",
        *(f"{name}.{kind}" for name in ("samples", "probabilities") for kind in ("png", "svg")),
    }
    page = unescape(re.sub("<[^>]*>", "", (tmp_path / "report.html").read_text()))
    assert all(typeset(part) in page for part in parted(found.verdict))
    for wrong in ("0,1", "1,x", "1.5"):
        assert memtrace_cli("extraction", runs, "--n", wrong).exit_code == 2
    assert memtrace_cli("extraction", runs, "--p", "1").exit_code == 2


@pytest.fixture(scope="module")
def decided(neox_folder):
    """Short sequences, drawn from a model, with what the engine says of them."""
    model = AutoModelForCausalLM.from_pretrained(neox_folder)
    model.get_output_embeddings().weight.data *= 5  # some continuations are likely
    torch.manual_seed(0)
    sequences = draw(model, torch.randint(1, 96, (60, 6)))
    rules = Rules(6, 3, distribution=Distribution())
    tokens = sequences.numpy()
    return model, sequences, Engine(model, rules, calibration=tokens).score(tokens)


def draw(model, prompts):
    """Sample three tokens after each prompt, from the whole distribution."""
    with torch.inference_mode():
        return model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            top_k=0,
            max_new_tokens=3,
            eos_token_id=-1,
            pad_token_id=0,
        )


def test_sampling_returns_what_is_said(decided) -> None:
    """20,000 draws of `generate(do_sample=True)` of one continuation."""
    model, sequences, scores = decided
    found = np.asarray(scores.log_likelihood, float)
    row = int(np.abs(found - np.log(0.1)).argmin())
    prompt, wanted = sequences[row : row + 1, :6], sequences[row, 6:]
    torch.manual_seed(1)
    drawn = [draw(model, prompt.expand(2000, -1))[:, 6:] for _ in range(10)]
    hit = np.concatenate([(one == wanted).all(1).numpy() for one in drawn])

    p = float(np.exp(found[row]))
    assert 0.001 < p < 0.9
    assert hit.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20_000))
    within = float(chance_within(found[row], 10))
    some = hit.reshape(-1, 10).any(axis=1).mean()
    assert some == pytest.approx(within, abs=4 * np.sqrt(within * (1 - within) / 2000))


def test_more_than_a_half_is_greedy(decided) -> None:
    """Each factor of a product above 1/2 is above 1/2, so every token is the likeliest one."""
    scores = decided[2]
    sure = np.asarray(scores.log_likelihood) > np.log(0.5)
    assert sure.any()
    assert (np.asarray(scores.matched_tokens)[sure] == 3).all()


def test_where_copies_are_not_known_sequences_are_counted_under_a_condition(run) -> None:
    unknown, known = (memtrace.fit_extraction(run, texts=texts) for texts in (None, TEXTS))
    alone, several = extraction_page([unknown]), extraction_page([unknown, unknown])

    assert "exposed sequences" in unknown.verdict
    assert unknown.verdict.count("if no two are copies of one text") == 2  # of both intervals
    for page in (alone, several):
        for fact in page.summary.facts:
            assert "if no two are copies" in fact.note
            assert "texts" not in fact.name
        assert any("Rows are taken as different texts" in text for text in page.summary.limits)
        assert not any("many copies" in text for text in page.summary.limits)
    of_texts = extraction_page([known]).summary
    assert "exposed texts" in known.verdict
    assert "if no two" not in known.verdict + "".join(fact.note for fact in of_texts.facts)
    assert any("many copies" in text for text in of_texts.limits)


def test_a_sample_is_named(tmp_path) -> None:
    found = memtrace.fit_extraction(write(tmp_path, sample_size=900, sample_seed=1), texts=TEXTS)
    named = "random sample was scanned, 900 of 3,000 sequences"

    assert any(named in text for text in extraction_page([found]).summary.limits)
    assert named in " ".join(found.summary().split())
    assert named in found.to_dict()["scanned"]


def test_of_an_unknown_order_nothing_is_called_exposed(tmp_path):
    run = write_run(
        tmp_path,
        lambda rows: np.where(rows % 5 == 0, 32, 3),
        likelihood=lambda rows: -(rows % 7.0),
        sequences_per_step=None,
        stop=500,
        corpus_rows=500,
        exposed_rows=500,
    )
    fit = memtrace.fit_extraction(run)
    assert fit.to_dict()["order_known"] is False
    page = extraction_page([fit]).summary
    said = [page.answer, page.rest, *(f"{one.value} {one.name}" for one in page.facts)]
    for text in (fit.verdict, fit.summary(), *said, page.figure.description):
        assert "exposed" not in text.lower(), text
    assert "scanned sequences" in fit.verdict
    assert "What was trained on is unknown" in fit.verdict
