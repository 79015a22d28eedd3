"""Memorization over checkpoints as it is printed: the verdict first, then what is behind it."""

import math
from typing import TYPE_CHECKING

from memtrace.emergence.moves import Moves
from memtrace.emergence.outcomes import Outcomes
from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.text_times import WIDTH, Rows, per_million, rate_interval, timed
from memtrace.emergence.verdict import at_first_look, together, verdict
from memtrace.report.numbers import DASH, count, interval, number, percent
from memtrace.report.text import Columns, columns, named_values, sections
from memtrace.types import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

LEGEND = "(control: of those of which it had seen no copy)"
MOST_ROWS = 14
"""Checkpoints printed; the JSON has all."""
ALIKE = "product limit: takes texts found late, not followed for so long, as alike"


def text(fit: EmergenceResult) -> "RenderableType":
    """Return the verdict and the tables."""
    found = fit.histories
    # Beside every interval, since without copies told apart most of them are far too narrow.
    caveat = f"; {found.caveat}" if found.caveat else ""
    beside = f"; {together(fit)}" if together(fit) else ""
    names: list[tuple[str, Columns]] = [
        (f"Memorized by checkpoint {LEGEND}", _by_checkpoint(fit)),
        (f"{found.unit.capitalize()}s", named_values(_outcomes(fit), WIDTH)),
        *timed(fit, beside),
        ("Learning and forgetting", named_values(_moves(fit), WIDTH)),
    ]
    blocks = [(f"{name}{caveat}", block) for name, block in names]
    if beware := _beware(fit):
        blocks.insert(0, ("Beware", named_values(beware, WIDTH)))
    title = f"{found.label}, {len(found.checkpoints)} checkpoints"
    return sections(title, verdict(fit), blocks, found.source)


def _beware(fit: EmergenceResult) -> Rows:
    rows: Rows = []
    found = fit.histories
    if found.caveat:
        narrow = f"{found.caveat}, so intervals are too narrow where there are copies"
        rows.append(("of all intervals", f"{narrow}: {found.copies_reason}"))
    if found.of_sample:
        rows.append(("of all counts", found.of_sample))
    if said := together(fit):
        own = "that of half is widened; shares at a checkpoint are of that checkpoint alone"
        rows.append(("of hazards and times", f"{said}; {own}"))
    return rows


def _by_checkpoint(fit: EmergenceResult) -> Columns:
    names = ("step", "trained on", "memorized", "95%", "generic", "new", "again", "lost", "control")
    rows = [row for row in fit.checkpoints if row.exposed or row.unexposed]
    every = max(1, math.ceil(len(rows) / MOST_ROWS))
    shown = []
    for row in rows[::-1][::every][::-1]:
        counts = (f"{n:,}" for n in (row.generic, row.learned, row.learned_again, row.lost))
        cells = [
            f"{row.step:,}",
            f"{row.exposed:,}",
            _part(row.memorized, row.exposed),
            interval(row.share_ci95, percent),
            *counts,
            _part(row.extractable, row.unexposed),
        ]
        if fit.histories.copies_known:
            cells.append(_part(row.memorized_sequences, row.exposed_sequences))
        shown.append(tuple(cells))
    return columns((*names, "of rows") if fit.histories.copies_known else names, shown)


def _outcomes(fit: EmergenceResult) -> Rows:
    out = fit.outcomes
    unknown = out.emerged - out.evaluated_before
    rows = [
        ("evaluated after being trained on", f"{fit.texts:,}"),
        ("generic: memorized unseen", _generic(out)),
        (
            "emerged" if fit.shown or not out.emerged else "memorized after exposure",
            f"{out.emerged:,} ({_part(out.emerged, fit.texts)}){_copies_of(fit)}",
        ),
    ]
    near, passages = fit.histories.near_copies
    if near:
        one = f"{near:,} texts of the corpus share a continuation: counted as {passages:,}"
        rows.append(("near-copies", one))
    if unknown:
        look = f"; {at_first_look(out.first_look)}" if out.first_look else ""
        rows.append(("not evaluated before exposure", f"{unknown:,} of them{look}"))
    return [*rows, *_kept(out, fit.confirmed), *_retention(fit)] if out.emerged else rows


def _generic(out: Outcomes) -> str:
    late = out.generic - out.generic_exposed
    return f"{out.generic:,}" + (f"; {late:,} of them not evaluated after exposure" if late else "")


def _copies_of(fit: EmergenceResult) -> str:
    out = fit.outcomes
    if out.copies is None or not out.emerged:
        return ""
    return (
        f"; {out.emerged_repeated:,} of them repeated, {count(out.copies, 'copy', 'copies')} in all"
    )


def _kept(out: Outcomes, confirmed: int) -> Rows:
    return [
        ("found again by the next checkpoint", f"{confirmed:,}"),
        ("never lost", f"{out.always_retained:,} ({_part(out.always_retained, out.emerged)})"),
        ("lost, not learned again", f"{out.lost:,} ({_part(out.lost, out.emerged)})"),
        ("lost and learned again", f"{out.learned_again:,}"),
        ("memorized at the last checkpoint", f"{out.memorized_at_last_checkpoint:,}"),
    ]


def _retention(fit: EmergenceResult) -> Rows:
    kept = fit.retention
    rows = []
    for i, n in enumerate(kept.checkpoints):
        ends = interval(kept.retained_ci95[i], percent)
        lost = f"{percent(kept.lost[i])} lost, {percent(kept.lost_for_a_time[i])} lost for a time"
        said = f"{percent(kept.retained[i])} retained (95% {ends}), {lost}; {kept.at_risk[i]:,} at"
        rows.append((f"after {count(n, 'more checkpoint')}", f"{said} risk"))
    return [*rows, ("", ALIKE)] if rows else rows


def _moves(fit: EmergenceResult) -> Rows:
    """Shares by text first; the rates of a chain take all texts as alike."""
    rows = [
        (f"{name} by the next evaluation", _shares(found, fit.histories.unit))
        for name, found in (("lost", fit.forgetting), ("learned", fit.learning))
    ]
    for name, panel in (("any", fit.panel), ("two in a row", fit.steady)):
        if panel.reason:
            rows.append((f"positive evaluations: {name}", panel.reason))
            continue
        rate = f"{per_million(panel.learning)} per million and step"
        rows.append((f"rate of learning, {name}", f"{rate}{_alike(panel.learning_ci95)}"))
        rate = f"{per_million(panel.forgetting)} per million and step"
        rows.append((f"rate of forgetting, {name}", f"{rate}{_alike(panel.forgetting_ci95)}"))
        if panel.forgetting:
            rows.append(
                ("", f"at this rate kept for {number(panel.mean_retention, 3)} steps on average")
            )
        if panel.embeddable is False:
            rows.append(("", "no chain in continuous time moves so much between two checkpoints"))
    return rows


def _shares(found: Moves, unit: str) -> str:
    if math.isnan(found.share):
        return found.reason or DASH
    said = f"{percent(found.share)}, of {count(found.followed, unit)}"
    if found.reason:
        return f"{said}; {found.reason}"
    return f"{said}  95% {interval(found.ci95, percent)}"


def _alike(ends: Interval) -> str:
    return f"  95% {rate_interval(ends)} if all had equal rates"


def _part(n: int, total: int) -> str:
    return percent(n / total) if total else DASH
