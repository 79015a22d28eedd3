"""Runs side by side: every number of the document equals one by brute force."""

import json
import math
import re

import numpy as np
import pytest
from builders import write_run
from compared_runs import compared_run, same_step
from comparison_truth import suites
from hypothesis import given, settings
from scipy import stats

import memtrace
from memtrace.comparison.fit import compare_loaded
from memtrace.corpus import open_corpus
from memtrace.errors import CorpusError, FitError
from memtrace.texts.groups import Texts

SIZES = (10**6, 10**7, 10**7, 10**8)
STEPS = (1, 1, 2, 2)


def loaded(suite):
    texts = suite.texts
    return [
        compared_run(
            suite.memorized[run],
            suite.scanned[run],
            model=f"m{SIZES[run]}",
            step=STEPS[run],
            exposed_rows=suite.exposed[STEPS[run] - 1],
            rows=suite.rows,
            texts=texts,
            parameters=SIZES[run],
        )
        for run in range(4)
    ]


def clopper_pearson(count, of):
    if not of:
        return None
    low = stats.beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = stats.beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    return [low, high]


def same(ours, theirs):
    if theirs is None or ours is None:
        return ours is theirs
    return ours == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=70)
@given(suites())
def test_the_document_by_brute_force(suite):
    found = compare_loaded(loaded(suite)).to_dict()
    names = [f"demo/m{size} step {step}" for size, step in zip(SIZES, STEPS, strict=True)]
    pairs = {(one["a"], one["b"]): one for one in found["overlap"]}
    assert len(pairs) == 6
    predicted = {(one["from"], one["to"]): one for one in found["prediction"]}
    expected = {
        (a, b)
        for a in range(4)
        for b in range(4)
        if SIZES[a] <= SIZES[b] and STEPS[a] <= STEPS[b] and a != b
    }
    assert set(predicted) == {(names[a], names[b]) for a, b in expected}
    for a in range(4):
        for b in range(a + 1, 4):
            both, of_a, of_b, texts = suite.table(a, b)
            one = pairs[names[a], names[b]]
            assert (one["texts_both"], one["texts_a"], one["texts_b"]) == (both, of_a, of_b)
            assert one["texts"] == texts
            either = of_a + of_b - both
            assert same(one["jaccard"], both / either if either else None)
            assert same(one["ci95"], clopper_pearson(both, either))
    for a, b in expected:
        both, of_a, of_b, texts = suite.table(a, b)
        one = predicted[names[a], names[b]]
        assert same(one["precision"], both / of_a if of_a else None)
        assert same(one["recall"], both / of_b if of_b else None)
        assert same(one["f1"], 2 * both / (of_a + of_b) if of_a + of_b else None)
        square = of_a * of_b * (texts - of_a) * (texts - of_b)
        phi = both * (texts - of_a - of_b + both) - (of_a - both) * (of_b - both)
        assert same(one["mcc"], phi / math.sqrt(square) if square else None)
        assert same(one["ci95"]["recall"], clopper_pearson(both, of_b))
        assert (one["reason"] is None) == (of_a > 0 and of_b > 0)


@settings(max_examples=40)
@given(suites())
def test_shares_are_of_what_all_models_of_a_step_scanned(suite):
    found = compare_loaded(loaded(suite)).to_dict()
    for place, one in enumerate(found["scale"]):
        step = STEPS[place]
        peers = [run for run in range(4) if STEPS[run] == step]
        common = set.intersection(*(suite.scanned[run] for run in peers))
        seen = {row for row in common if row < suite.exposed[step - 1]}
        hit = suite.memorized[place] & seen
        texts, of = len(suite.units(hit)), len(suite.units(seen))
        assert (one["rows"], one["of_rows"]) == (len(hit), len(seen))
        assert (one["texts"], one["of_texts"]) == (texts, of)
        assert same(one["share"], texts / of if of else None)
        assert same(one["ci95"], clopper_pearson(texts, of))
        assert (one["reason"] is None) == (of > 0)


@settings(max_examples=15)
@given(suites())
def test_whatever_is_compared_can_be_shown(suite):
    found = compare_loaded(loaded(suite))
    document = json.dumps(found.to_dict(), allow_nan=False)
    assert "verdict" in document
    assert re.search(r"\bnan\b|\binf\b|None(?! of the)", found.summary()) is None
    assert found.verdict.endswith(".")


def test_every_unit_weighs_the_same_however_the_runs_are_given():
    rng = np.random.default_rng(0)
    runs = [
        compared_run(
            np.flatnonzero(rng.random(300) < share),
            range(300),
            model=f"m{i}",
            rows=300,
            exposed_rows=300,
            parameters=10 ** (6 + i),
        )
        for i, share in enumerate((0.05, 0.1, 0.2, 0.35))
    ]
    one, other = (compare_loaded(each).to_dict() for each in (runs, runs[::-1]))
    assert one == other


def test_unknown_sizes_predict_later_checkpoints_of_themselves_alone():
    runs = [
        compared_run(range(5), range(50), model=model, step=step, parameters=None)
        for model in "ab"
        for step in (1, 2)
    ]
    found = compare_loaded(runs).to_dict()
    pairs = [(one["from"], one["to"]) for one in found["prediction"]]
    assert pairs == [("demo/a step 1", "demo/a step 2"), ("demo/b step 1", "demo/b step 2")]
    assert "no manifest tells the parameters of a, b" in " ".join(
        compare_loaded(runs).summary().split()
    )


def test_seeds_of_a_model_give_one_result_an_error():
    rng = np.random.default_rng(5)
    chosen = [set(np.flatnonzero(rng.random(4000) < 0.1).tolist()) for _ in range(5)]
    runs = [
        compared_run(hit, range(4000), model=f"70m-seed{i}" if i else "70m", rows=4000,
                     exposed_rows=4000, parameters=70)
        for i, hit in enumerate(chosen)
    ]  # fmt: skip
    found = compare_loaded(runs)
    (group,) = found.seeds
    assert (group.of, group.kind, len(group.runs)) == ("70m", "all", 5)
    shares = np.log([len(hit) / 4000 for hit in chosen])
    assert group.spread.spread.value == pytest.approx(shares.std(ddof=1))
    t = stats.t.ppf(0.975, 4) * shares.std(ddof=1) * math.sqrt(1 + 1 / 5)
    assert np.log(group.spread.one_more) == pytest.approx([shares.mean() - t, shares.mean() + t])
    pairs = [len(a & b) / len(a) for a in chosen for b in chosen if a is not b]
    assert group.shared.value == pytest.approx(np.mean(pairs))
    numbers = np.bincount(np.sum([np.isin(range(4000), list(h)) for h in chosen], axis=0))
    assert group.by_number.tolist() == [*numbers[1:], *[0] * (6 - len(numbers))]
    assert not found.predictions  # seeds of one size and step are equals


@pytest.mark.parametrize("hits", [([1, 2], [3, 4]), ([1, 2], [1, 2])])
def test_seeds_that_agree_by_chance_are_not_said_to_agree(hits):
    found = compare_loaded(same_step(hits, ("m-seed1", "m-seed2"), [10, 10]))
    spread = found.seeds[0].spread
    alone = len(set(hits[0]) - set(hits[1])) + 0.5  # texts of one seed, with the half text
    expected = math.sqrt(alone) / 2
    assert spread.spread.value == spread.counting == pytest.approx(expected)
    assert spread.one_more[0] < 2 / 600 / 10
    assert "factor of 1 " not in found.verdict


def test_a_share_of_a_seed_is_at_most_everything():
    found = compare_loaded(same_step([range(60), range(300)], ("m-seed1", "m-seed2"), [10, 10]))
    spread = found.seeds[0].spread
    assert spread.one_more[1] == spread.mean.ci95[1] == 1
    assert "-fold" not in found.summary().partition("Seeds")[2]


def test_where_no_order_is_known_nothing_is_said_of_training(tmp_path):
    runs = [write_run(tmp_path, model=model, sequences_per_step=None) for model in ("70m", "12b")]
    found = memtrace.compare(runs, texts=Texts.from_labels(np.arange(120)))
    assert "trained on" not in found.summary()
    assert "order" in found.summary()


def test_what_two_of_several_scanned_is_said_to_be_so():
    runs = [
        compared_run(range(9), range(stop), model=f"m{stop}", parameters=stop) for stop in (40, 60)
    ]
    assert (
        "Of the 9 sequences that both scanned and m40 returns, 100%" in compare_loaded(runs).verdict
    )


def test_one_run_has_nothing_beside_it():
    found = compare_loaded([compared_run(range(3), range(10))])
    assert "nothing to compare" in found.verdict
    assert found.to_dict()["overlap"] == []
    with pytest.raises(FitError, match="between 0 and 1"):
        memtrace.compare([], recall=1.0)


@pytest.fixture
def two_corpora(tmp_path):
    """Runs of two corpora, of which some rows have the same text."""
    rng = np.random.default_rng(2)
    texts = rng.integers(1, 50, (40, 65)).astype(np.uint16)
    labels = {"a": rng.integers(0, 25, 60), "b": rng.integers(15, 40, 50)}
    runs = []
    for name, rows in labels.items():
        np.save(tmp_path / f"{name}.npy", texts[rows])
        corpus, n = open_corpus(str(tmp_path / f"{name}.npy")), len(rows)
        runs.append(
            write_run(
                tmp_path / "runs",
                lambda r, rows=rows, cut=3 if name == "a" else 2: (rows[r] % cut == 0) * 32,
                model=name,
                record={"command": ["memtrace", "scan"], "corpus": {"name": corpus.name}},
                corpus_digest=corpus.digest,
                corpus_rows=n,
                exposed_rows=n,
                stop=n,
            )
        )
    return runs, labels, tmp_path


def test_runs_of_two_corpora_are_compared_on_texts_of_both(two_corpora):
    runs, labels, _ = two_corpora
    (one,) = memtrace.compare(runs).to_dict()["overlap"]
    common = set(labels["a"].tolist()) & set(labels["b"].tolist())
    a, b = ({text for text in common if text % cut == 0} for cut in (3, 2))
    assert (one["texts_a"], one["texts_b"], one["texts_both"]) == (len(a), len(b), len(a & b))
    assert one["texts"] == len(common)
    assert one["matched_by"] == "text"


def test_corpora_without_a_common_text_are_refused(two_corpora):
    runs, _, folder = two_corpora
    np.save(folder / "c.npy", np.random.default_rng(9).integers(50, 99, (30, 65)).astype("u2"))
    corpus = open_corpus(str(folder / "c.npy"))
    other = write_run(
        folder / "runs",
        model="c",
        record={"command": ["memtrace", "scan"], "corpus": {"name": corpus.name}},
        corpus_digest=corpus.digest,
        corpus_rows=30,
        exposed_rows=30,
        stop=30,
    )
    with pytest.raises(FitError, match="no text in common"):
        memtrace.compare([*runs, other])


def test_a_corpus_elsewhere_leaves_its_runs_unmatched(two_corpora):
    runs, _, folder = two_corpora
    loaded = memtrace.compare(runs[:1])
    assert loaded.unmatched is None
    (folder / "b.npy").unlink()
    found = memtrace.compare(runs).to_dict()
    assert found["overlap"] == []
    assert "b.npy" in found["unmatched_reason"]


def test_a_table_of_another_corpus_is_refused(two_corpora, tmp_path):
    runs, *_ = two_corpora
    with pytest.raises(CorpusError, match="no table of duplicates"):
        memtrace.compare(runs, duplicates=[tmp_path / "nothing"])


def test_the_command(two_corpora, memtrace_cli):
    folder = two_corpora[2] / "runs"
    assert "Texts in common" in memtrace_cli("compare", folder).stdout
    refused = memtrace_cli("compare", folder, "--models", "a,x")
    assert refused.exit_code == 1
    assert "no run of model 'x'; there are runs of a, b" in refused.output


def test_unfinished_and_other_rules_are_refused(tmp_path, memtrace_cli):
    write_run(tmp_path, model="a")
    write_run(tmp_path, model="b", eos_rule="mask-eos")
    refused = memtrace_cli("compare", tmp_path)
    assert refused.exit_code == 1
    assert "rule: none against mask-eos" in refused.output
