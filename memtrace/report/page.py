"""A page of results: the question, the answer, what shows it, and what lies behind it.

An analysis builds a `Page` from its results; how a page looks is decided here and in `templates`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from memtrace.report.charts import Frames, library
from memtrace.report.figures import DPI, FONT
from memtrace.report.glossary import TERMS, anchor, explained
from memtrace.report.html import picture, render, script
from memtrace.report.tables import Column, columns_of
from memtrace.report.typeset import NO_VALUE, sentence, typeset

WIDE = 500
"""Width of a picture in CSS pixels above which none stands beside it."""
MOST_ROWS = 20
"""Of a table that is seen whole."""
MOST_LISTED = 4
"""Findings up to which each is listed with its answer; of more, the table opens one at a time."""
LONG = 240
"""Characters above which an answer is more than can be seen at once on a small screen."""


@dataclass(frozen=True)
class Fact:
    """A number that stands out, such as `0.052%`, what it is, and its uncertainty."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """A figure on a page: a chart where the library is installed, else a picture."""

    title: str
    description: str
    """What is seen in it, for readers who do not see it."""
    caption: str = ""
    image: bytes | None = None
    """A PNG."""
    chart: dict[str, Any] | None = None
    """A Vega-Lite specification, see `charts`."""

    @property
    def address(self) -> str:
        """Return the picture as an address for `src`."""
        return picture(self.image or b"")

    @property
    def width(self) -> int:
        """Return the width of the picture on a page in CSS pixels: its text is 12 pixels high."""
        pixels = int.from_bytes((self.image or b"")[16:20], "big")  # of the header of a PNG
        return round(pixels / DPI * 72 * 12 / FONT)

    @property
    def wide(self) -> bool:
        """Return whether the picture takes a line of a page by itself."""
        return self.image is not None and self.width > WIDE


@dataclass(frozen=True)
class Table:
    """A table of text; a page lets readers sort it, and filter a long one."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    links: Sequence[str] = ()
    """For each row the address that its first cell leads to, such as `#fit-1`, or nothing."""
    legend: str = ""
    """What the columns mean, under the title."""

    @property
    def filled(self) -> Sequence[Column]:
        """Return the columns as they are read: those without any value are left out."""
        return columns_of(self.columns, self.rows)

    @property
    def has_gaps(self) -> bool:
        """Return whether a cell that is read has no value."""
        return any(cell.text == NO_VALUE for column in self.filled for cell in column.cells)

    @property
    def long(self) -> bool:
        """Return whether it stands in a box that scrolls."""
        return len(self.rows) > MOST_ROWS


@dataclass(frozen=True)
class Method:
    """How a number came about: its name, its formula in a line, and where that is from."""

    name: str
    formula: str
    source: str


@dataclass(frozen=True)
class Finding:
    """One answer with what it rests on."""

    name: str
    """Unique on its page; letters, digits and hyphens."""
    label: str
    """What it is about, such as `pythia/1.4b step 143000`."""
    answer: str
    """One sentence, with its uncertainty."""
    rest: str = ""
    """What else is to be said, folded."""
    facts: Sequence[Fact] = ()
    figure: Shown | None = None
    tested: Sequence[str] = ()
    """What was tested, a sentence each."""
    limits: Sequence[str] = ()
    """What cannot be seen in it, a sentence each."""
    figures: Sequence[Shown] = ()
    """More figures, folded."""
    tables: Sequence[Table] = ()
    printed: str = ""
    """All numbers as the terminal shows them, folded."""
    provenance: Sequence[tuple[str, str]] = ()
    """What the numbers come from: run, digests, the command to repeat."""
    not_made: Sequence[tuple[str, str]] = ()
    """Pages that a report does not have, and why or how to make them."""

    @property
    def address(self) -> str:
        """Return its address on its page."""
        return f"#{self.name}"

    @property
    def sources(self) -> dict[str, list[str]]:
        """Return the provenance by name: a name stands once above all that it has."""
        named: dict[str, list[str]] = {}
        for name, value in self.provenance:
            named.setdefault(name, []).append(value)
        return named

    @property
    def missing(self) -> dict[str, list[str]]:
        """Return the pages that were not made, by reason: each reason is said once."""
        pages: dict[str, list[str]] = {}
        for name, reason in self.not_made:
            pages.setdefault(sentence(reason), []).append(name)
        return pages


@dataclass(frozen=True)
class Page:
    """A question with its answer, and the findings behind it where there are several."""

    question: str
    summary: Finding
    findings: Sequence[Finding] = ()
    methods: Sequence[Method] = ()
    links: Sequence[tuple[str, str]] = field(default=())
    """Pages of the report: address and short name."""
    name: str = ""
    """The short name of this page among them."""


def page_of(
    question: str,
    findings: Sequence[Finding],
    summary: Finding | None,
    methods: Sequence[Method] = (),
) -> Page:
    """Return a page: a single finding stands at its head, several stand under their summary."""
    if summary is None:
        return Page(question, findings[0], methods=methods)
    return Page(question, summary, findings, methods)


def shown_of(shown: Shown | None, label: str) -> Shown | None:
    """Return the figure of one of several findings as the summary has it: named for its own."""
    return shown and replace(shown, title=f"{shown.title}, {label}")


def parted(verdict: str) -> tuple[str, str]:
    """Return the first sentence of a long verdict and the rest; a short one is left whole."""
    if len(verdict) <= LONG:
        return verdict, ""
    first, *rest = re.split(r"(?<=\.) (?=[A-Z])", verdict, maxsplit=1)
    return first, "".join(rest)


def page_html(page: Page) -> str:
    """Return the page as one HTML document that needs nothing beside it."""
    charts = library() if any(shown.chart for shown in _figures(page)) else None
    scripts = [*([charts] if charts else []), script("memtrace.report", "page.js")]
    return render(
        "memtrace.report",
        "findings.html",
        scripts=scripts,
        links=page.links,
        current=page.name,
        page=page,
        alive=charts is not None,
        frames=Frames(),
        explained=explained(),
        typeset=typeset,
        no_value=NO_VALUE,
        one_at_a_time=len(page.findings) > MOST_LISTED and any(map(_leads, page.summary.tables)),
        terms=TERMS,
        anchor=anchor,
    )


def head_html(finding: Finding) -> str:
    """Return the head of a page for a notebook: the answer, its numbers and its figure."""
    return render("memtrace.report", "head.html", finding=finding, typeset=typeset)


def _leads(table: Table) -> bool:
    return any(table.links)


def _figures(page: Page) -> list[Shown]:
    findings = [page.summary, *page.findings]
    first = [finding.figure for finding in findings if finding.figure]
    return first + [shown for finding in findings for shown in finding.figures]
