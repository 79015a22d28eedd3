"""The first page of a report on runs whose order of training is not known."""

from collections.abc import Mapping, Sequence

from memtrace.point_process.models.constant import binomial_interval
from memtrace.point_process.overview import QUESTION, returns
from memtrace.report.numbers import DASH, count, interval, percent
from memtrace.report.page import Fact, Finding, Page, Table
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run

COLUMNS = (
    "checkpoint", "share of rows", "95% interval, if no two are copies", "rows returned",
    "rows scanned",
)  # fmt: skip
LIMITS = (
    "Which rows a model was trained on before a checkpoint is not known, so a row that it returns "
    "may be one that it has not seen.",
    "Each row is taken as a different text: copies of one text make intervals too narrow.",
)


def unordered_page(scanned: Sequence[tuple[Run, Events]], left_out: Mapping[str, str]) -> Page:
    """Return the page: what is returned of what was scanned, with nothing of training.

    Args:
        scanned: Each run with its events; at least one, those of a model in ascending steps.
        left_out: Title of each page that there is none of, and why.
    """
    last = {(run.suite, run.model): (run, *_counts(events)) for run, events in scanned}
    run, n, rows = max(last.values(), key=lambda one: one[1] / max(one[2], 1))
    returned = f"{n:,} of {count(rows, 'scanned sequence')}"
    who = returns(run.label, len(last))
    share, ends = _share(n, rows)
    note = f"95% interval {ends}, if no two are copies of one text; {run.label}"
    summary = Finding(
        name="all",
        label=count(len(scanned), "checkpoint"),
        answer=f"{who} {returned} ({share}); whether it was trained on them is not known.",
        facts=[Fact(share, f"of the sequences scanned: {n:,} of {rows:,}", note)],
        limits=LIMITS,
        tables=[Table("Checkpoints", COLUMNS, [_row(*one) for one in scanned])],
        provenance=[("run", run.provenance) for run, _ in scanned],
        not_made=tuple(left_out.items()),
    )
    return Page(QUESTION, summary)


def _row(run: Run, events: Events) -> tuple[str, ...]:
    n, rows = _counts(events)
    return (run.label, *_share(n, rows), f"{n:,}", f"{rows:,}")


def _counts(events: Events) -> tuple[int, int]:
    """Return how many rows are returned, of how many scanned."""
    return len(events.sequence_index), events.scanned_sequences


def _share(n: int, rows: int) -> tuple[str, str]:
    """Return the share of rows and its exact interval."""
    if not rows:
        return DASH, DASH
    low, high = map(float, binomial_interval(n, rows))
    return percent(n / rows), interval((low, high), percent)
