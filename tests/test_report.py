"""The kit that every result is shown with: numbers, JSON, text, figures, web pages."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memtrace
from memtrace.emergence.process.fit import EmergenceProcess
from memtrace.evaluations.abilities.fit import AbilityEmergence
from memtrace.evaluations.intervention.fit import Intervention
from memtrace.evaluations.terms.fit import TermFrequency
from memtrace.report.base import Renderers, Report
from memtrace.report.figures import GREY, INK, RED, new_figure, png
from memtrace.report.html import picture
from memtrace.report.json import json_safe, json_text
from memtrace.report.numbers import (
    count,
    duration,
    fold,
    interval,
    number,
    p_text,
    p_value,
    percent,
    ratio,
    signed,
)
from memtrace.report.page import Fact, Finding, Page, head_html, page_html
from memtrace.report.text import columns, named_values, printable, rendered, terminal_width

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
FORMS = (number, ratio, fold, percent, p_value, p_text, duration)


@given(ANY_FLOAT)
def test_no_form_of_a_number_shows_nan_infinity_or_a_power_of_ten(value) -> None:
    texts = [form(value) for form in FORMS] + [interval((value, 1.0)), interval((1.0, value))]

    for text in texts:
        assert not re.search(r"nan|inf|\de[+-]?\d", text), text
        assert len(text) < 60


@given(st.floats(min_value=1e-5, max_value=1e11))
def test_a_number_keeps_its_value_to_four_digits(value) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=1e-3)
    assert number(-value) == f"-{number(value)}"


def test_forms_of_numbers() -> None:
    assert [number(x) for x in (0, 12345.6, 0.98765, 1e-9, math.nan)] == [
        "0", "12,346", "0.9877", "< 0.000001", "-",
    ]  # fmt: skip
    assert [ratio(x) for x in (1.0321, 5e180, math.inf, 1e-9, 0)] == [
        "1.03", "> 1,000", "unbounded", "< 0.001", "0",
    ]  # fmt: skip
    assert [fold(x) for x in (2.5, 1.63e4)] == ["2.5-fold", "more than 1,000-fold"]
    assert [percent(x) for x in (0.0123, 45.1498, 2e9)] == [
        "1.23%", "45.1-fold", "more than 1,000-fold",
    ]  # fmt: skip
    assert [p_value(p) for p in (1.0, 0.0312, 1e-300, None)] == ["1", "0.031", "< 0.001", "-"]
    assert [p_text(p) for p in (0.5, 0.0, math.nan)] == ["p = 0.5", "p < 0.001", "p undefined"]
    assert interval((0.9812, 1.0234), ratio) == "0.981 to 1.02"
    assert interval((2.0, math.inf)) == "unbounded, at least 2"
    assert interval((math.nan, math.nan)) == interval(None) == "-"
    assert [count(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
    assert count(2, "entry", "entries") == "2 entries"


def test_durations_in_their_two_largest_units() -> None:
    seconds = (3.3e-7 * 3600, 45, 59.6, 61, 3600, 7500, 7199.9, 200_000, 5 * 86_400, 1e9)
    assert [duration(s) for s in seconds] == [
        "under 1 s", "45 s", "1 min", "1 min 1 s", "1 h", "2 h 5 min", "2 h", "55 h 33 min",
        "5 days", "31.7 years",
    ]  # fmt: skip


@given(st.recursive(ANY_FLOAT | st.integers() | st.none(), lambda x: st.lists(x) | st.tuples(x)))
def test_every_document_made_safe_is_strict_json(value) -> None:
    document = json_safe({"value": value, "array": np.array([1.0, math.nan]), "n": np.int64(3)})
    assert json.loads(json_text(document)) == document
    assert document["array"] == [1.0, None]


def test_json_of_undefined_values() -> None:
    assert json_safe([math.nan, math.nan]) is None
    assert json_safe((0.5, math.inf)) == [0.5, None]
    assert json_safe(np.float32(0.5)) == 0.5
    assert json_safe(np.bool_(True)) is True
    with pytest.raises(ValueError, match="JSON"):
        json_text(math.nan)


@pytest.mark.parametrize("width", [60, 100, 200])
def test_tables_cut_no_value_at_any_width(width) -> None:
    long = "demo/pythia-160m-deduped-with-a-very-long-name step 143,000"
    cells = [long, *(f"{value:,}" for value in range(1_000_000, 1_000_006))]
    text = rendered(columns(["fit", *"abcdef"], [cells]), width=width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    squeezed = re.sub(r"\s", "", text)
    for part in (*cells[0].split(), *cells[1:]):
        assert all(char in squeezed for char in part)


def test_changes_have_a_sign_and_none_is_minus_zero() -> None:
    assert [signed(x) for x in (-0.04, 0.0, -0.05001, 1.649, -1234.5)] == [
        "+0.0", "+0.0", "-0.1", "+1.6", "-1,234.5"
    ]  # fmt: skip
    assert signed(-0.0004, 2) == "+0.00"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_too_wide_comes_in_blocks_that_break_no_number(width) -> None:
    names = ["step", *(f"column number {place}" for place in range(9))]
    rows = [[f"{step:,}", *(f"{step + place:,} to {10**place:,}" for place in range(9))]
            for step in (1_000, 143_000)]  # fmt: skip
    text = rendered(columns(names, rows), width=width)
    lines = text.splitlines()

    assert max(map(len, lines)) <= width
    for row in rows:
        assert all(any(cell in line for line in lines) for cell in row)
    blocks = text.split("\n\n")
    assert len(blocks) > 1
    assert all("step" in block and "143,000" in block for block in blocks)


@pytest.mark.parametrize("width", [60, 80])
def test_names_and_values_keep_to_the_width_and_lose_nothing(width) -> None:
    value = "they take texts as independent, but here many emerge together: " * 3
    text = rendered(named_values([("of all intervals but the factors", value)]), width=width)

    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    assert all(words.count(word) >= value.split().count(word) for word in set(value.split()))


def test_terminals_between_60_and_200_columns_are_filled(monkeypatch) -> None:
    for given_columns, used in (("20", 60), ("77", 77), ("500", 200)):
        monkeypatch.setenv("COLUMNS", given_columns)
        assert terminal_width() == used


def test_values_are_no_markup_and_move_no_cursor() -> None:
    assert "[red]a[/]" in rendered(named_values([("name", "[red]a[/]")]))
    assert printable("a\x1b[31m\rb") == r"a\x1b[31m\rb"
    assert printable("naïve 世界") == "naïve 世界"
    assert r"\x1b" in rendered(columns(["a"], [["\x1b[2J"]]))


def drawn(_: object):
    figure = new_figure()
    figure.add_subplot().plot([1, 2])
    return figure


class Example(Report):
    renderers = Renderers(
        verdict=lambda _: "One.",
        document=lambda _: {},
        text=lambda _: named_values([("a <b>", "1")]),
        figure=drawn,
        head=lambda _: Finding("one", "a <b>", "One.", facts=[Fact("1 < 2", "fact")]),
        brief=lambda _: ("a\n<b>", [Fact("1%", "of 2 texts"), Fact("3", "more")]),
    )


class OfNothing(Example):
    renderers = replace(Example.renderers, brief=lambda _: ("", []))


def test_a_result_shows_itself_as_text_and_in_a_notebook() -> None:
    assert Example().summary().split() == ["a", "<b>", "1"]
    assert "a &lt;b&gt;" in Example()._repr_html_()
    assert "1 &lt; 2" in Example()._repr_html_()


def test_a_result_is_one_line_at_a_prompt() -> None:
    assert repr(Example()) == r"<Example a\n<b>: 1% (of 2 texts)>"
    assert repr(OfNothing()) == "<OfNothing>"


RESULTS = [
    memtrace.PoissonFit,
    memtrace.EmergenceFit,
    memtrace.OrderFit,
    memtrace.ExtractionFit,
    memtrace.Comparison,
    EmergenceProcess,
    Intervention,
    TermFrequency,
    AbilityEmergence,
]


@pytest.mark.parametrize("result", RESULTS)
def test_no_result_prints_its_values_one_by_one_at_a_prompt(result) -> None:
    """A dataclass writes a representation of its own over that of its base."""
    assert result.__repr__ is Report.__repr__


def test_figures_belong_to_their_holder_and_show_themselves() -> None:
    from matplotlib import _pylab_helpers

    figures = [Example().plot() for _ in range(3)]

    assert _pylab_helpers.Gcf.get_all_fig_managers() == []
    assert figures[0]._repr_png_() == png(figures[2])
    assert picture(png(figures[0])).startswith("data:image/png;base64,iVBOR")


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_of_text_have_a_contrast_of_at_least_four_and_a_half() -> None:
    for colour in (INK, RED, GREY):
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_templates_escape_what_they_show() -> None:
    shown = head_html(Finding("one", "label", "One.", printed="<script>&"))
    assert "&lt;script&gt;&amp;" in shown
    assert "<script>" not in shown


def test_the_numbers_of_a_page_stand_in_their_order() -> None:
    facts = [Fact(f"{k} apples", "number") for k in range(1, 7)]
    html = page_html(Page("Why?", Finding("one", "label", "One.", rest="Two.", facts=facts)))
    places = [html.index(fact.value) for fact in facts]
    assert places == sorted(places)
    assert html.index("Two.") < places[0]
