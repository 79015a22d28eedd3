"""Pairs of runs against a count over every row of simulated suites."""

from dataclasses import replace

import numpy as np
import pytest
from builders import write_run
from compared_runs import compared_run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memtrace.comparison.fit import compare_loaded
from memtrace.comparison.paired.compared import compare_pairs
from memtrace.comparison.paired.likelihoods import likelihood_difference
from memtrace.comparison.paired.pairing import find_pairs
from memtrace.comparison.paired.tables import paired_shares
from memtrace.comparison.paired.times import paired_times
from memtrace.comparison.runs import load_runs
from memtrace.texts.groups import Texts

ROWS = 40
EXPOSED = (0, 12, 20, 33)
rows = st.sets(st.integers(0, ROWS - 1))
labels = st.lists(st.integers(0, 25), min_size=ROWS, max_size=ROWS)


@st.composite
def suites(draw):
    """Labels of texts and continuations, and what two models scanned and memorized."""
    text = np.array(draw(labels))
    passage = text % draw(st.integers(15, 26))  # some texts share their continuation
    scanned = [draw(rows) | set(range(draw(st.integers(0, ROWS)))) for _ in range(2 * len(EXPOSED))]
    memorized = [draw(rows) for _ in scanned]
    return text, passage, scanned, memorized


def truth_table(passage, scanned, memorized, exposed):
    """Count by hand: every scanned row, its class, its text."""
    first = {unit: int(np.flatnonzero(passage == unit)[0]) for unit in passage}
    common = sorted(scanned[0] & scanned[1])
    tables = {}
    for name in ("exposed", "copy_exposed", "unexposed"):
        answers = {}
        for row in common:
            seen, text_seen = row < exposed, first[passage[row]] < exposed
            if name == ("exposed" if seen else "copy_exposed" if text_seen else "unexposed"):
                one = answers.setdefault(passage[row], [False, False])
                one[0] |= row in memorized[0]
                one[1] |= row in memorized[1]
        counts = [tuple(one) for one in answers.values()]
        tables[name] = [
            len(counts), *(counts.count(k) for k in ((True, True), (True, False), (False, True)))
        ]  # fmt: skip
    return tables


@given(suites(), st.integers(0, ROWS))
@settings(max_examples=60)
def test_tables_are_counted_row_by_row(suite, exposed):
    text, passage, scanned, memorized = suite
    texts = Texts.from_labels(text, passage)
    runs = [
        compared_run(memorized[i], scanned[i], exposed_rows=exposed, rows=ROWS, texts=texts)
        for i in range(2)
    ]
    found = paired_shares(*runs)
    expected = truth_table(passage, scanned, memorized, exposed)
    for name, table in found.items():
        counts = [table.texts, table.both, table.baseline_only, table.model_only]
        assert counts == expected[name]


def test_unknown_copies_make_each_row_a_text():
    runs = [compared_run({1, 2, 70}, range(80)), compared_run({2, 3}, range(90))]
    found = paired_shares(*runs)
    exposed = found["exposed"]
    assert (exposed.texts, exposed.both) == (60, 1)
    assert (exposed.baseline_only, exposed.model_only) == (1, 1)
    assert (found["copy_exposed"].texts, found["unexposed"].texts) == (0, 20)
    assert found["unexposed"].baseline_only == 1


@given(suites())
@settings(max_examples=60)
def test_times_are_those_of_each_text(suite):
    text, passage, scanned, memorized = suite
    texts = Texts.from_labels(text, passage)
    runs = [
        compared_run(memorized[i], scanned[i], exposed_rows=x, rows=ROWS, texts=texts, step=i)
        for i, x in enumerate(EXPOSED * 2)
    ]
    arms = [[runs[i] for i in (1, 2, 3)], [runs[i] for i in (5, 6, 7)]]
    found = paired_times(*arms)
    expected = []
    for unit in np.unique(passage):
        copies = np.flatnonzero(passage == unit).tolist()
        kept = [
            r for r in copies
            if all(r in scanned[i] for j in (1, 2, 3) for i in (j, j + 4) if r < EXPOSED[j])
        ]  # fmt: skip
        if copies[0] not in kept or copies[0] >= EXPOSED[-1]:
            continue
        entry = next(j for j in (1, 2, 3) if copies[0] < EXPOSED[j]) - 1
        when = []
        for arm in (0, 4):
            hits = [
                j - 1
                for j in (1, 2, 3)
                if any(row in memorized[j + arm] and row < EXPOSED[j] for row in kept)
            ]
            when.append(hits[0] if hits else 3)
        expected.append((entry, *when))
    lines = np.column_stack((found.entry, found.baseline, found.model))
    assert sorted(expected) == sorted(map(tuple, np.repeat(lines, found.texts, axis=0).tolist()))


def test_a_baseline_is_the_original_and_of_the_same_size():
    def named(model, parameters, step=1, corpus="c"):
        return compared_run(
            [], range(9), model=model, parameters=parameters, step=step, corpus=corpus
        )

    runs = [
        named("70m-seed1", 70),
        named("70m", 70),
        named("70m", 70, 2),
        named("70m-seed1", 70, 2),
        named("12b", 12000),
        named("70m-elsewhere", 70, corpus="d"),
    ]
    (pair,) = find_pairs(runs)
    assert [run.label for run in pair.baselines] == ["demo/70m step 1", "demo/70m step 2"]
    assert {run.model for run in pair.models} == {"70m-seed1"}
    both = [named(model, 70) for model in ("a", "b", "b-seed1")]
    pairs = [(one.models[0].model, one.baselines[0].model) for one in find_pairs(both)]
    assert pairs == [("b", "a"), ("b-seed1", "b")]  # a rerun against its own original
    assert find_pairs([named("12b", 12000), named("mine", None), named("70m", 70)]) == ()
    (pair,) = find_pairs([named("intervened", None), named("published", 70)])
    assert (pair.baselines[0].model, pair.models[0].model) == ("published", "intervened")


def test_differences_of_log_likelihoods_are_means_over_texts(tmp_path):
    label = np.arange(100)
    label[50:60] = label[:10]
    label[90:95] = 7
    y = np.random.default_rng(0).normal(-50, 9, (2, 100)).astype(np.float32)
    y[:, label != np.arange(100)] = y[:, label[label != np.arange(100)]]
    made = {"exposed_rows": 70, "corpus_rows": 100, "stop": 100}
    runs = [
        write_run(tmp_path, model=name, likelihood=lambda r, i=i: y[i][r], **made)
        for i, name in enumerate("ab")
    ]
    one, other = load_runs(runs, texts=Texts.from_labels(label))
    found = likelihood_difference(one, other)
    apart = (y[1].astype(float) - y[0])[:70][label[:70] == np.arange(70)]
    exposed = found.by_class["exposed"]
    assert exposed.texts == 60
    assert exposed.mean == pytest.approx(apart.mean())
    assert exposed.p_value == pytest.approx(stats.ttest_1samp(apart, 0).pvalue)
    assert found.by_class["copy_exposed"].texts == 1
    assert found.by_class["unexposed"].texts == 25
    (whole,) = compare_pairs([one, other])
    assert whole.last.likelihoods == found
    assert whole.hazard_ratio is None


def test_missing_log_likelihoods_have_a_reason(tmp_path):
    with_nan = write_run(tmp_path, model="a", likelihood=lambda r: np.where(r == 3, np.nan, -1.0))
    without = write_run(tmp_path, model="b")
    warm = write_run(tmp_path, model="c", likelihood=lambda r: -1.0 - r, temperature=2.0)
    a, b, c = load_runs([with_nan, without, warm], texts=Texts.from_labels(np.arange(120)))
    assert "1 log-likelihoods are not known" in likelihood_difference(a, a).reason
    assert "demo/b step 512 has no log-likelihoods" in likelihood_difference(a, b).reason
    assert "temperature: 1.0 against 2.0" in likelihood_difference(a, c).reason


def test_models_that_had_seen_other_rows_are_no_pair_and_named():
    made = {"rows": 100, "parameters": 10}
    runs = [
        compared_run(range(n), range(100), model=model, step=step, exposed_rows=seen, **made)
        for model, step, seen, n in (("a", 1, 60, 9), ("a", 2, 90, 9), ("b", 1, 60, 3),
                                     ("b", 2, 70, 3))
    ]  # fmt: skip
    (pair,) = find_pairs(runs)
    assert [run.step for run in pair.models] == [1]
    found = compare_loaded(runs)
    reason = "demo/a step 2 had seen 90 rows and demo/b step 2 70"
    assert found.to_dict()["unpaired_reasons"][0].startswith(reason)
    assert reason in " ".join(found.summary().split())
    assert compare_loaded([runs[1], runs[3]]).paired == ()


def test_without_a_table_memorized_copies_of_a_text_are_one_unit():
    hashes = np.arange(1, 101, dtype=np.uint64)
    hashes[:20] = 7
    sets = {"a": [(*range(10),), (*range(20), 30, 31)], "b": [(), (31, 32)]}
    runs = {
        model: [
            compared_run(hits, range(100), model=model, step=i, exposed_rows=x, hashes=hashes)
            for i, (hits, x) in enumerate(zip(sets[model], (50, 60), strict=True))
        ]
        for model in sets
    }
    found = paired_shares(runs["a"][1], runs["b"][1])["exposed"]
    assert (found.texts, found.both) == (60 - 19, 1)
    assert (found.baseline_only, found.model_only) == (2, 1)  # 20 copies are one text
    times = paired_times(runs["a"], runs["b"])
    assert times.texts.sum() == 60 - 19
    (whole,) = compare_pairs([*runs["a"], *runs["b"]])
    assert whole.unit == "text"
    assert whole.last.shares["exposed"] == found
    assert whole.hazard_ratio.emerged == (3, 2)


def test_differences_of_memorized_copies_are_one_text_without_a_table(tmp_path):
    hashes = np.arange(120, dtype=np.uint64) % 33  # rows 32, 65 and 98 are memorized
    runs = []
    for i, model in enumerate("ab"):
        run = write_run(tmp_path, model=model, likelihood=lambda r, i=i: -1.0 - i * (r % 5))
        loaded = compared_run((32, 65, 98), range(100), model=model, rows=120, hashes=hashes)
        runs.append(replace(loaded, run=run))
    found = likelihood_difference(*runs)
    assert found.by_class["exposed"].texts == 100 - 2


def test_where_no_order_is_known_pairs_are_of_scanned_texts():
    runs = [
        compared_run(range(9), range(80)),
        compared_run(range(30), range(80), model="b", sequences_per_step=None),
    ]
    found = compare_loaded(runs)
    (pair,) = found.paired
    assert pair.last.shares["exposed"].texts == 80
    assert "Of 80 sequences that both scanned b has memorized" in found.verdict
    assert " exposed sequences" not in " ".join(found.summary().split())
