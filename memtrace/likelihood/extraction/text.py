"""What `extraction` prints: the verdict first, then a line for each n and p."""

import math
from typing import TYPE_CHECKING

from memtrace.likelihood.extraction.result import ExtractionResult, Share
from memtrace.likelihood.extraction.verdict import verdict
from memtrace.report.numbers import DASH, count, interval, number, percent
from memtrace.report.text import columns, named_values, sections

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 24
NAMES = ("samples", "chance", "from p of", "sequences", "texts", "share", "95%", "unexposed texts")


def printed(fit: ExtractionResult) -> "RenderableType":
    """Return the verdict and the tables."""
    caveat = f"; {fit.caveat}" if fit.caveat else ""
    blocks: list[tuple[str, RenderableType]] = [
        (
            f"{fit.called('exposed').capitalize()} sequences that samples return{caveat}",
            _table(fit),
        ),
        (f"Returned by greedy decoding{caveat}", _greedy(fit)),
    ]
    if reasons := list(dict.fromkeys(one.reason for one in fit.table if one.reason)):
        blocks.append(("Undefined", named_values([(DASH, one) for one in reasons], WIDTH)))
    beware = {"copies": fit.copies_reason, "part": fit.part}
    if why := [(name, said) for name, said in beware.items() if said]:
        blocks.append(("Beware", named_values(why, WIDTH)))
    title = f"{fit.label}: {_sampling(fit)}"
    return sections(title, verdict(fit), blocks, fit.source)


def probability(log_likelihood: float) -> str:
    """Return a probability, as a power of ten where it is small."""
    if log_likelihood < math.log(1e-5):
        return f"10^{log_likelihood / math.log(10):.1f}"
    return number(math.exp(log_likelihood), 3)


def _sampling(fit: ExtractionResult) -> str:
    words = [count(fit.tokens, "token"), f"temperature {fit.temperature:g}"]
    if fit.top_k is not None:
        words.append(f"top-k {fit.top_k:,}")
    return ", ".join(words)


def _table(fit: ExtractionResult) -> "RenderableType":
    rows = []
    for one in fit.table:
        head = (f"{one.n:,}", percent(one.p), probability(one.log_likelihood))
        if one.reason:
            rows.append((*head, *[DASH] * 5))
            continue
        exposed, other = one.shares["exposed"], one.shares["unexposed"]
        rows.append((*head, *_cells(exposed), _part(other)))
    # Where nothing unexposed was scanned, as the verdict says, the last column would be empty.
    used = len(NAMES) if any(row[-1] != DASH for row in rows) else len(NAMES) - 1
    return columns(NAMES[:used], [row[:used] for row in rows], left=0, keys=2)


def _greedy(fit: ExtractionResult) -> "RenderableType":
    rows = [
        (fit.called(name), f"{one.of_sequences:,}", *_cells(one))
        for name, one in fit.greedy.items()
        if one.of_sequences
    ]
    return columns(("", "scanned", "sequences", "texts", "share", "95%"), rows)


def _cells(one: Share) -> tuple[str, ...]:
    ends = interval(one.ci95, percent)
    return f"{one.sequences:,}", f"{one.texts:,}", percent(one.share), ends


def _part(one: Share) -> str:
    return f"{one.texts:,}, {percent(one.share)}" if one.of_texts else DASH
