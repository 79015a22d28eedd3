"""Tables and signs on pages: every value is kept, and stands where a reader looks for it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtrace.report.glossary import explained
from memtrace.report.tables import checkpoint_column, columns_of
from memtrace.report.typeset import MINUS, NO_VALUE, TIMES, sentence, typeset

SHARES = ("0.0341%", "1.01%", "12%")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("-0.9 (-1.2 to +0.3)", f"{MINUS}0.9 ({MINUS}1.2 to +0.3)"),
        ("+- 7.7", "±7.7"),
        ("+0.0", "0.0"),
        ("0 nats, p undefined", f"0 nats, p {NO_VALUE}"),
        ("1.07%, 95% 0.935% to 1.22%", "1.07%, 95% interval 0.935% to 1.22%"),
        ("90% < 0.001 to 3, of 95% 12 to it", "90% interval < 0.001 to 3, of 95% 12 to it"),
        ("-0.0", "0.0"),
        ("-", NO_VALUE),
        ("x 1.009, 2 x 2", f"{TIMES} 1.009, 2 {TIMES} 2"),
        ("demo step 3072", "demo step 3,072"),
        ("steps 1024 to 3072", "steps 1,024 to 3,072"),
        ("add --step 3072 to runs/step 3072", "add --step 3072 to runs/step 3072"),
        ("pythia-1.4b, 3-7, 1e-05 and 2026-01-02", "pythia-1.4b, 3-7, 1e-05 and 2026-01-02"),
    ],
)
def test_signs_and_steps_are_those_of_print_and_names_stay(text, printed) -> None:
    assert typeset(text) == printed
    assert typeset(printed) == printed


def test_text_stands_to_the_left_and_numbers_to_the_right() -> None:
    columns = columns_of(
        ("run", "model", "share", "95%", "why"),
        [
            ("1", "12b", "x 1.4", "0.9% to 12.3%", "few"),
            ("b", "70m", "-", "unbounded, at least 3", "-"),
            ("c", "1.4b", "< 0.001", "-", ""),
        ],
    )
    assert [one.numeric for one in columns] == [False, False, True, True, False]
    assert [one.name for one in columns] == ["run", "model", "share", "95% interval", "why"]
    assert [one.text for one in columns[-1].cells] == ["few", NO_VALUE, NO_VALUE]


def test_checkpoints_of_one_model_are_named_by_their_steps_alone() -> None:
    steps = ["pythia/1.4b step 2", "pythia/1.4b step 143000"]
    assert checkpoint_column(steps) == ("step", ["2", "143,000"])
    for others in ([*steps, "pythia/70m step 2"], ["fit 1", "fit 2"], ["a step b"], [""]):
        assert checkpoint_column(others, "fit") == ("fit", others)


def test_columns_without_a_value_are_left_out_but_never_the_names() -> None:
    rows = [("-", "-", "1"), ("-", "", "-")]
    assert [one.name for one in columns_of(("name", "empty", "n"), rows)] == ["name", "n"]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), st.booleans())
def test_points_of_numbers_stand_in_a_column(values, percents) -> None:
    unit = "%" if percents else ""
    cells = [f"{value:,.3f}"[:7].rstrip(".") + unit for value in values]
    _, column = columns_of(("name", "n"), [("a", cell) for cell in cells])
    behind = {len(re.sub(r"^[\d,]+|%", "", one.text) + one.room) for one in column.cells}
    assert len(behind) == 1
    assert [one.text for one in column.cells] == cells


def test_commands_are_code_terms_are_marked_whole_and_markup_is_escaped() -> None:
    mark = explained()
    html = str(mark("near-copies (Holm), `scan --likelihood <x>` and copies."))
    assert "near-copies" in html
    assert re.search(r"<span[^>]*>\(<button[^>]*>Holm</button>\),</span>", html)
    assert "<code><span>scan</span> <span>--likelihood</span> <span>&lt;x&gt;</span></code>" in html
    assert re.search(r"<button[^>]*>copies</button>\.", html)
    option = "<code><span>--duplicates</span> <span>FOLDER</span></code>, A"
    assert option in str(mark("add --duplicates FOLDER, A"))


@pytest.mark.parametrize(
    ("reason", "begins"),
    [
        ("one run has nothing", "One run has nothing"),
        ("demo/demo-small step 3072 has none", "demo/demo-small step 3072 has none"),
        ("pythia-70m has none", "pythia-70m has none"),
        ("step_3 is out", "step_3 is out"),
        ("none", "None"),
        ("", ""),
    ],
)
def test_a_reason_begins_like_a_sentence_and_a_name_stays(reason, begins) -> None:
    assert sentence(reason) == begins
