"""What `test-order` prints: the verdict first, then the numbers behind it."""

import math
from typing import TYPE_CHECKING

from memtrace.likelihood.difference import Difference
from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.verdict import adjusted_p_values, age_text, verdict
from memtrace.likelihood.ranks import RankCorrelation
from memtrace.report.numbers import DASH, count, interval, number, p_text, percent, ratio
from memtrace.report.text import columns, named_values, sections
from memtrace.types import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

Rows = list[tuple[str, str]]
WIDTH = 32
"""Of the names in a table, so that those of several lie below each other."""


def printed(fit: OrderResult) -> "RenderableType":
    """Return the verdict and the tables."""
    # Beside every interval, since with copies taken as texts of their own they are too narrow.
    caveat = f"; {fit.caveat}" if fit.caveat else ""
    blocks: list[tuple[str, RenderableType]] = [
        (f"Exposed minus unexposed, nats a sequence{caveat}", named_values(_effect(fit), WIDTH)),
        (f"Order among exposed sequences{caveat}", named_values(_order(fit), WIDTH)),
    ]
    of = "those seen longest ago" if fit.recency.relative else "unexposed ones"
    if fit.recency.bins:
        blocks.append((f"By age: nats more than {of}{caveat}", _by_age(fit)))
    blocks.append(("Age", named_values(_recency(fit), WIDTH)))
    blocks.append(("Tests together, adjusted by Holm", named_values(_adjusted(fit), WIDTH)))
    blocks.append(("Negative controls: no training can cause these", _controls(fit)))
    beware = {"copies": fit.source.copies_reason, "part": fit.source.part}
    if why := [(name, said) for name, said in beware.items() if said]:
        blocks.append(("Beware", named_values(why, WIDTH)))
    rows = fit.named(count(fit.rows, "sequence"))
    title = f"{fit.source.label or 'Order in likelihoods'}, {rows}"
    return sections(title, verdict(fit), blocks, "; ".join(fit.source.runs))


def nats(value: float) -> str:
    """Return a difference in nats for a column."""
    return number(value, 3)


def _effect(fit: OrderResult) -> Rows:
    raw, best = fit.raw, fit.difference
    rows = [("exposed, unexposed", f"{raw.exposed:,} and {count(raw.unexposed, 'sequence')}")]
    if raw.reason:
        return [*rows, ("difference", f"not known: {raw.reason}")]
    rows.append(("difference", _difference(raw)))
    if fit.adjusted:
        rows.append((f"given {fit.source.baseline}", _difference(fit.adjusted)))
    if best.reason:
        return rows
    token, even = best.nats / fit.tokens, fit.equivalence
    # A token this much likelier: no overflow below 700 nats a token.
    factor = ratio(math.exp(min(token, 700.0)))
    inside = even.reason or f"{'yes' if even.equivalent else 'no'}, {p_text(even.p_value)}"
    return [
        *rows,
        ("of each token", f"{nats(token)} nats, {factor} times as likely"),
        (f"within {even.margin:g} nats a token", inside),
        ("minimum detectable difference", f"{nats(best.detectable)} nats at 80% power"),
    ]


def _order(fit: OrderResult) -> Rows:
    rows = [("rank correlation", _correlation(fit.spearman))]
    if fit.partial:
        of = "" if fit.exact else f", of {fit.partial.n:,} drawn at random"
        rows.append((f"given {fit.source.baseline}", _correlation(fit.partial) + of))
    least = f"{number(fit.order.detectable, 2)} at 80% power"
    if math.isnan(fit.order.detectable):
        least = f"near 1 at best, of {count(fit.order.n, 'row')}"
    return [*rows, ("minimum detectable correlation", least)]


def _by_age(fit: OrderResult) -> "RenderableType":
    rows = [
        (
            age_text(one.steps_ago, fit.ages.unit),
            f"{one.n:,}",
            nats(one.nats),
            interval(one.ci95, nats),
            interval(one.band95, nats),
        )
        for one in fit.recency.bins
    ]
    names = ("since exposure", "sequences", "nats", "95%", "all at once, 95%")
    return columns(names, rows)


def _recency(fit: OrderResult) -> Rows:
    curve = fit.recency
    if not curve.bins:
        return [("undefined", curve.reason or DASH)]
    how = "drawn, since some ages have few sequences" if curve.drawn else "normal"
    rows = [("no age differs", f"{p_text(curve.p_value)} ({how})")]
    if curve.largest is None:
        return [("largest", "no age whose band leaves out 0"), *rows]
    where = f"{age_text(curve.largest.steps_ago, fit.ages.unit)} since exposure"
    rows.insert(0, ("largest, band without 0", where))
    if not curve.relative:
        rows.append(("oldest over largest", percent(curve.retention)))
    return rows


def _adjusted(fit: OrderResult) -> Rows:
    found = adjusted_p_values(fit)
    return [(name, p_text(p)) for name, p in found.items()] or [
        ("undefined", "no test can be made")
    ]


def _controls(fit: OrderResult) -> "RenderableType":
    failed = fit.controls.failed
    rows = [
        (name, f"{p_text(p)}{': FAILS' if name in failed else ''}")
        for name, p in fit.controls.p_values.items()
    ]
    return named_values(rows or [("none known", "every scanned sequence is exposed")], WIDTH)


def _difference(found: Difference) -> str:
    if found.reason:
        return f"not known: {found.reason}"
    return f"{nats(found.nats)}, {_ends(found.interval())}, {p_text(found.p_value)}"


def _correlation(found: RankCorrelation) -> str:
    if found.reason:
        return f"undefined: {found.reason}"
    return f"{number(found.rho, 3)}, {_ends(found.ci95)}, {p_text(found.p_value)}"


def _ends(ends: Interval) -> str:
    return f"95% {interval(ends, nats)}"
