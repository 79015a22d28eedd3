"""What a comparison says is true where runs scanned other rows, or have no text to compare."""

import re

import numpy as np
from compared_runs import compared_run

from memtrace.comparison.descriptions import described
from memtrace.comparison.figures import caption, drawn
from memtrace.comparison.fit import compare_loaded
from memtrace.comparison.page import TITLES, finding
from memtrace.texts.groups import Texts

TEXTS = Texts.from_labels(np.arange(1000))


def run_of(model, memorized, scanned=range(1000), **given):
    """Return a run over texts without copies, of which training had seen 600."""
    made = {"rows": 1000, "exposed_rows": 600, "texts": TEXTS, "model": model, **given}
    return compared_run(memorized, scanned, **made)


def said(found) -> str:
    return " ".join(found.summary().split())


def test_shares_on_common_rows_are_said_to_be_so():
    runs = [
        run_of("a", range(30), parameters=10),
        run_of("b", range(30), range(40), parameters=20),
    ]
    found = compare_loaded(runs)
    where = "on the 40 rows that all models of the step scanned"
    assert f"At step 1, {where}, a has memorized 75%" in found.verdict
    assert f"Texts memorized, of those trained on, {where}" in said(found)
    assert where.replace("on", "On", 1) in finding(found, names=[]).tables[0].legend
    same = compare_loaded([runs[0], run_of("c", range(40), parameters=20)])
    assert "all models of" not in said(same)


def test_shares_on_a_part_of_what_a_run_had_seen_are_said_to_be_so():
    where = "on the 500 rows that all models of the step scanned"
    found = compare_loaded(
        [run_of("a", range(30), range(500)), run_of("b", range(40), range(500), parameters=20)]
    )
    assert f"At step 1, {where}, a has memorized 6%" in found.verdict
    assert f"Texts memorized, of those trained on, {where}" in said(found)
    assert "random sample" not in said(found)


def test_what_is_returned_before_training_on_it_is_said_to_be_so():
    runs = [run_of("a", range(590, 605), parameters=10), run_of("b", range(700), parameters=20)]
    found = compare_loaded(runs)
    before = found.predictions[0].unexposed.first
    assert before == 5
    assert (
        f"Of the 15 texts that a returns ({before} of which it was not trained on), "
        in found.verdict
    )
    alone = compare_loaded([run_of("a", range(15), parameters=10), runs[1]])
    assert "Of the 15 texts that a returns, 100%" in alone.verdict
    assert "was not trained on" not in alone.verdict


def test_rows_whose_copies_are_not_known_are_not_called_texts():
    unknown = [
        run_of(name, range(30), parameters=size, texts=None)
        for name, size in (("a", 10), ("b", 20))
    ]
    found = compare_loaded(unknown)
    assert "5% of the sequences that it was trained on" in found.verdict
    shown = finding(found, names=[])
    assert "rows are taken as different texts" in shown.tables[0].legend.lower()
    assert not any("text" in name for name in shown.tables[0].columns)
    assert not any("Copies of a text" in line for line in shown.tested)
    known = finding(compare_loaded([run_of("a", range(30))]), names=[])
    assert any("Copies of a text" in line for line in known.tested)
    assert not any("by size" in line for line in known.tested)


def test_a_sample_is_said_to_be_one():
    sample = {"sample_size": 500, "sample_seed": 0}
    runs = [run_of(model, range(30), range(0, 1000, 2), **sample) for model in "ab"]
    found = compare_loaded(runs)
    assert "rows are a random sample" in said(found)
    assert any("random sample" in limit for limit in finding(found, names=[]).limits)


def test_models_without_a_common_row_are_named():
    runs = [run_of(model, range(30), range(500), parameters=10) for model in "ab"]
    runs.append(run_of("c", range(500, 520), range(500, 1000), parameters=40))
    found = said(compare_loaded(runs))
    assert "on the 0 rows that all models of the step scanned" in found
    assert "models of demo step 1 have scanned no row in common" in found


def test_shares_on_a_page_are_of_scanned_texts_where_no_order_is_known():
    sizes = {"a": 10, "b": 10, "c": 30, "d": 90}
    runs = [
        run_of(model, range(9 * (1 + place)), range(1000), parameters=size, exposed_rows=1000,
               sequences_per_step=None)
        for place, (model, size) in enumerate(sizes.items())
    ]  # fmt: skip
    found = compare_loaded(runs)
    page = finding(found, names=[])
    assert page.tables[0].title.endswith("of those scanned")
    told = [found.verdict]
    for name in drawn(found):
        told += [caption(found, name), TITLES[name], described(found, name)]
    assert not re.search(r"(?<!un)exposed|trained on|had seen", " ".join(told))
    assert {one["order_known"] for one in found.to_dict()["runs"]} == {False}
    assert found.predictions[0].exposed is None
    (known,) = compare_loaded([run_of("a", range(9))]).to_dict()["runs"]
    assert known["order_known"]


def test_of_runs_with_and_without_an_order_shares_are_said_to_be_of_either():
    runs = [run_of("a", range(9)), run_of("b", range(9), sequences_per_step=None)]
    assert "trained on, or scanned where no order is known" in said(compare_loaded(runs))


def test_twins_without_an_order_are_compared_by_copies_in_their_corpora():
    twins = [
        run_of(model, range(20), corpus=model, exposed_rows=1000, sequences_per_step=None)
        for model in ("a", "a-deduped")
    ]
    found = compare_loaded(twins)
    assert found.deduplication[0].last.total is not None
    assert "that each was asked for at step 1 a and a-deduped have memorized" in found.verdict
    assert "had seen" not in said(found)
    assert "had seen" in said(
        compare_loaded([run_of(m, range(9), corpus=m) for m in ("a", "a-deduped")])
    )


def test_a_model_that_is_not_on_the_line_is_named_where_the_line_is_printed():
    counts = {"z": 0, "s": 10, "m": 20, "l": 45}
    runs = [
        run_of(name, range(n), parameters=10**place)
        for place, (name, n) in enumerate(counts.items())
    ]
    found = compare_loaded(runs)
    note = "the line of exposed texts at step 1 leaves out z: no text memorized"
    assert note in said(found)
    assert any(note[1:] in limit for limit in finding(found, names=[]).limits)


def test_corpora_that_do_not_match_are_not_said_to_share_nothing():
    runs = [run_of(model, range(20), corpus=model, parameters=None) for model in "ab"]
    found = compare_loaded(runs)
    assert found.unmatched is not None
    assert found.unmatched in found.verdict
    assert "No two" not in found.verdict


def test_predictions_of_one_text_or_none_are_said_as_such():
    def said_of(first, second):
        runs = [run_of("a", first, parameters=10), run_of("b", second, parameters=20)]
        return compare_loaded(runs).verdict

    by_chance = "(of all that both scanned 5% are)"
    assert f"The one text that a returns is returned by b too {by_chance}" in said_of(
        [3], range(50)
    )
    alone = said_of([700], range(50))
    assert "The one text that a returns (which it was not trained on) is not returned by b" in alone
    assert f"None of the 2 texts that a returns is returned by b {by_chance}" in said_of(
        [60, 70], range(50)
    )
    some = said_of([3, 70, 80], range(50))
    assert "Of the 3 texts that a returns, 33.3%" in some
    assert f"is returned by b too {by_chance}; it is 2%" in some


def test_steps_have_one_form_in_a_verdict():
    runs = [
        run_of(model, range(hits), parameters=size, step=step)
        for model, size, step, hits in (
            ("a", 10, 1024, 10),
            ("a", 10, 2560, 20),
            ("b", 20, 2560, 30),
        )
    ]
    told = compare_loaded(runs).verdict
    assert "a step 2,560 is the best" in told
    assert not re.search(r"step \d{4}", told)
