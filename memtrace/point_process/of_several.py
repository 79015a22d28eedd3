"""What a page says of several fits: the answer, what it rests on, its numbers and the table."""

import math
from collections.abc import Sequence
from typing import Any

from memtrace.point_process.order import UNDERPOWERED
from memtrace.point_process.result import SIGNIFICANT, PoissonResult
from memtrace.point_process.text import bounded
from memtrace.report.numbers import DASH, count, interval, number, p_text, p_value, percent
from memtrace.report.page import Fact, Finding, Table
from memtrace.report.tables import checkpoint_column

COLUMNS = (
    "events",
    "end/start",
    "90% interval",
    "p, Holm",
    "texts",
    "per million",
    "p",
    "p, Benjamini-Yekutieli",
    "within margin",
    "departures found",
    "p of any",
    "dispersion",
    "best model",
)
UNKNOWN = "Where copies are not known, rows are taken as different texts."
WHOLE = 1e6
"""Rate per million where all is memorized."""
LARGE = f"{UNDERPOWERED:g}-fold"
Rows = Sequence[dict[str, Any]]
"""What `several.comparison` returns."""


def answer(rows: Rows) -> str:
    """Return in how many fits the rate drifts, and in how many the order departs in any way."""
    fits, tested, able = count(len(rows), "fit"), with_tests(rows), with_power(rows)
    if not tested:
        return _no_order(rows)
    departs = "the order departs from a random one in some way"
    any_way = f"{departs} in {_some(with_departure(rows))} of {len(tested):,}"
    if not able:
        few = f"In none of {fits} are there events enough to find a {LARGE} drift of the rate"
        return f"{few}; {any_way}."
    drifts = f"A drift of the rate along training is found in {_some(with_drift(rows))}"
    return f"{drifts} of {count(len(able), 'fit')} that could find a {LARGE} one; {any_way}."


def rest(rows: Rows) -> str:
    """Return at which levels that holds, and what is shown to be small."""
    parts = []
    if able := with_power(rows):
        within = [row for row in able if row["equivalent"]]
        parts.append(
            "A drift is found where it holds among all of these at 5% (Holm). In "
            f"{_some(within)} of them the ratio of end to start is shown to be within a factor of "
            f"{able[0]['margin']:g} of 1."
        )
    if tested := with_tests(rows):
        every = [row for row in with_departure(rows) if row["p_value_any_holm"] < SIGNIFICANT]
        parts.append(
            "That an order departs is said at 5% in each fit by itself: of so many random orders "
            f"{number(SIGNIFICANT * len(tested), 2)} would on average, at most. Among all fits "
            f"together it holds in {_some(every)} (Holm)."
        )
    return " ".join(parts)


def facts(rows: Rows, labels: Sequence[str], beside: Sequence[Fact] = ()) -> list[Fact]:
    """Return how many fits can be tested and depart, the smallest p-value, and the most events.

    Args:
        rows: The fits.
        labels: What each is called.
        beside: What other data say, which stands after what these say.
    """
    named = list(zip(rows, labels, strict=True))
    able = [(row, name) for row, name in named if row["powered"]]
    found = [Fact(f"{len(rows):,}", "fits", f"{len(able):,} could find a {LARGE} drift")]
    if tested := with_tests(rows):
        by_chance = number(SIGNIFICANT * len(tested), 2)
        note = f"of {len(tested):,}, each at 5%: {by_chance} by chance"
        departing = f"{len(with_departure(rows)):,}"
        found.append(Fact(departing, "fits whose order departs from a random one", note))
    found += beside
    if able:
        # By the p-value itself: adjusted ones are tied at 1.
        least, label = min(able, key=lambda pair: float(pair[0]["p_value"]))
        alone = p_text(least["p_value"])
        note = f"{label}: end/start {bounded(least['rate_ratio'])}, {alone} alone"
        found.append(Fact(p_value(least["p_value_holm"]), "smallest p of a drift, Holm", note))
    most, label = max(named, key=lambda pair: int(pair[0]["events"]))
    found.append(Fact(f"{most['events']:,}", "most sequences memorized", label))
    return found


def table(rows: Rows, findings: Sequence[Finding]) -> Table:
    """Return the table of all fits, each of which leads to its finding."""
    name, labels = checkpoint_column([one.label for one in findings], "fit")
    cells = [(label, *_cells(row)) for label, row in zip(labels, rows, strict=True)]
    return Table("All fits", (name, *COLUMNS), cells, [one.address for one in findings])


def of_part(fits: Sequence[PoissonResult]) -> list[str]:
    """Say where only a part of what was trained on was scanned."""
    parts = [fit for fit in fits if 0 < fit.events.exposure < fit.events.n]
    if not parts:
        return []
    shares = [fit.events.exposure / fit.events.n for fit in parts]
    where = "" if len(fits) == 1 else f" in {count(len(parts), 'fit')}"
    span = interval((min(shares), max(shares)), lambda share: percent(share, 2))
    if percent(min(shares), 2) == percent(max(shares), 2):
        span = percent(min(shares), 2)
    return [f"Not all that was trained on was scanned{where}: {span} of the sequences."]


def with_tests(rows: Rows) -> list[dict[str, Any]]:
    """Return the fits in which anything of the order could be tested."""
    return [row for row in rows if not math.isnan(row["p_value_any"])]


def with_power(rows: Rows) -> list[dict[str, Any]]:
    """Return the fits that would find a drift of `UNDERPOWERED` with 80% power."""
    return [row for row in rows if row["powered"]]


def with_drift(rows: Rows) -> list[dict[str, Any]]:
    """Return the fits whose rate drifts, among all of them."""
    return [row for row in rows if row["p_value_holm"] < SIGNIFICANT]


def with_departure(rows: Rows) -> list[dict[str, Any]]:
    """Return the fits whose gate found something, each at 5%."""
    return [row for row in rows if row["departures"]]


def _no_order(rows: Rows) -> str:
    """Say that there is no order to test, and why where that is one thing."""
    fits = count(len(rows), "fit")
    if not any(row["events"] for row in rows):
        return f"Nothing is memorized in any of {fits}, so there is no order to test."
    if all(row["rate_per_million"] == WHOLE for row in rows):
        return f"Everything is memorized in each of {fits}, so there is no order to test."
    return f"In none of {fits} is there an order to test."


def _some(rows: Rows) -> str:
    return f"{len(rows):,}" if rows else "none"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['events']:,}",
        bounded(row["rate_ratio"]),
        interval(row["ci90"], bounded),
        p_value(row["p_value_holm"]),
        DASH if row["texts"] is None else f"{row['texts']:,}",
        number(row["rate_per_million"]),
        *(p_value(row[key]) for key in ("p_value", "p_value_by")),
        {True: "yes", False: "no", None: DASH}[row["equivalent"]],
        ", ".join(row["departures"]) or DASH,
        p_value(row["p_value_any"]),
        number(row["dispersion"]),
        row["best_model"] if row["events"] and row["rate_per_million"] < WHOLE else DASH,
    )
