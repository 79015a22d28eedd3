"""A comparison as it is printed: the verdict first, then what is behind it."""

from typing import TYPE_CHECKING

from memtrace.comparison.batches import MOST
from memtrace.comparison.coverage import rows_in
from memtrace.comparison.deduplication.text import deduplication_blocks
from memtrace.comparison.paired.text import paired_blocks
from memtrace.comparison.profile.text import profile_blocks
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.scale import ScaleLine, ScalePoint
from memtrace.comparison.seeds import SeedGroup
from memtrace.comparison.text_pairs import (
    MOST_ROWS,
    combinations_table,
    combined,
    more_rows,
    overlaps_table,
    plans_table,
    predictions_table,
    rankings_table,
    three,
)
from memtrace.comparison.verdict import verdict
from memtrace.report.numbers import DASH, count, interval, number, p_value, percent
from memtrace.report.text import Columns, columns, named_values, sections

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 24
MOST_POINTS = 24
"""Runs of which the share is printed; the JSON has all."""
MOST_MODELS = 8
"""Models whose names a line lists."""
CLASSES = {"exposed": "exposed", "copy_exposed": "copy exposed", "unexposed": "unexposed"}
KINDS = {"all": "order and initial weights", "data": "order", "weight": "initial weights"}


def text(found: ComparisonResult) -> "RenderableType":
    """Return the verdict and the tables that have rows."""
    caveat = "".join(f"; {one}" for one in found.caveats)
    blocks: list[tuple[str, RenderableType]] = [(f"{shares_title(found)}{caveat}", _points(found))]
    if any(one.line is not None for one in found.lines):
        blocks.append(("Share against parameters, both on log axes", _lines(found)))
    if found.predictions:
        blocks.append((f"What one predicts of another{caveat}", predictions_table(found)))
    if any(one.ranking is not None for one in found.predictions):
        blocks.append(("Ranked by log-likelihood", rankings_table(found)))
    if any(plan.saves for plan in found.plans):
        blocks.append((f"Cost of finding {percent(found.plans[0].recall)}", plans_table(found)))
    if found.overlaps:
        blocks.append((f"Texts in common{caveat}", overlaps_table(found)))
    if found.combinations is not None and len(found.combinations.runs) > 2:
        blocks.append((combined(found.combinations, len(found.runs)), combinations_table(found)))
    if found.seeds:
        blocks.append(("Seeds", _seeds(found)))
    blocks += deduplication_blocks(found.deduplication)
    blocks += paired_blocks(found.paired, caveat)
    blocks += profile_blocks(found.profiles)
    if beware := _beware(found):
        blocks.append(("Beware", named_values(beware, WIDTH)))
    title = f"{count(len(found.runs), 'run')}, {found.runs[0].run.configuration.tested}"
    return sections(title, verdict(found), blocks)


def shares_title(found: ComparisonResult) -> str:
    """Return the heading of the shares: of which texts they are, and on which rows."""
    title = f"Texts memorized, of those {found.of_texts}"
    if not found.narrowed:
        return title
    rows = {one.rows for one in found.points}
    if len(rows) > 1:
        return f"{title}, on the rows that all models of a step scanned"
    return f"{title}, on the {count(rows.pop(), 'row')} that all models of the step scanned"


def left_out(found: ComparisonResult) -> list[str]:
    """Name the models that have no place on a line, since they have not memorized a text."""
    said = []
    for one in found.lines:
        if one.line is not None and one.left_out:
            models = [found.runs[place].model for place in one.left_out]
            said.append(
                f"the line of {_class_name(found, one)} texts at step "
                f"{found.runs[one.runs[0]].step:,} leaves out {_some(models)}: no text memorized"
            )
    return said


def _class_name(found: ComparisonResult, one: ScaleLine) -> str:
    known = found.is_order_known(one.runs + one.left_out)
    return CLASSES[one.exposure] if known else "scanned"


def _some(models: list[str]) -> str:
    more = len(models) - MOST_MODELS
    return ", ".join(models[:MOST_MODELS]) + (f" and {more:,} more" if more > 0 else "")


def share_cells(found: ComparisonResult, point: ScalePoint) -> tuple[str, ...]:
    """Return a run, its parameters, and the texts and rows memorized of those trained on."""
    seen, size = point.exposed, found.runs[point.run].parameters
    return (
        found.label(point.run),
        DASH if size is None else f"{size:,}",
        f"{seen.texts:,}",
        f"{seen.of_texts:,}",
        percent(seen.share.value),
        interval(seen.share.ci95, percent),
        f"{seen.rows:,}",
    )


def _points(found: ComparisonResult) -> Columns:
    names = ("", "parameters", "texts", "of", "share", "95%", "rows", "unexposed texts")
    rows = []
    for one in found.telling_points(MOST_POINTS):
        other = one.classes["unexposed"]
        unexposed = f"{other.texts:,} of {other.of_texts:,}" if other.of_texts else DASH
        rows.append((*share_cells(found, one), unexposed))
    rows += more_rows(found.points, len(names), MOST_POINTS)
    used = len(names) if any(row[-1] != DASH for row in rows) else len(names) - 1
    return columns(names[:used], [row[:used] for row in rows])


def _lines(found: ComparisonResult) -> Columns:
    names = (
        "step",
        "class",
        "sizes",
        "power",
        "95%",
        "by counts alone",
        "bends, p",
        "10 times as large",
    )
    rows = []
    for one in found.lines:
        if one.line is None:
            continue
        rows.append(
            (
                f"{found.runs[one.runs[0]].step:,}",
                _class_name(found, one),
                str(one.sizes),
                number(one.slope, 3),
                interval(one.line.interval(1), three),
                interval(one.counts_ci95, three),
                p_value(one.bend.p_value) if one.bend else DASH,
                _ahead(one),
            )
        )
    return columns(names, [*rows[-MOST_ROWS:], *more_rows(rows, len(names))], left=2)


def _ahead(one: ScaleLine) -> str:
    """Return the share at the largest extension of a line with its error, a dash without one."""
    if not one.extended:
        return DASH
    return f"{percent(one.extended[-1].share)} ({interval(one.extended[-1].ci95, percent)})"


def _seeds(found: ComparisonResult) -> Columns:
    names = (
        "model",
        "step",
        "seeds differ in",
        "seeds",
        "mean share",
        "SD of log",
        "95%",
        "one more",
        "shared",
    )
    rows = [_seed_row(one) for one in found.seeds]
    return columns(names, [*rows[-MOST_ROWS:], *more_rows(rows, len(names))], left=1)


def _seed_row(one: SeedGroup) -> tuple[str, ...]:
    spread = one.spread
    cells = [DASH] * 4
    if spread is not None:
        cells = [
            percent(spread.mean.value),
            number(spread.spread.value, 3),
            interval(spread.spread.ci95, three),
            interval(spread.one_more, percent),
        ]
    shared = DASH if one.shared is None else percent(one.shared.value)
    return one.of, f"{one.step:,}", KINDS[one.kind], str(len(one.runs)), *cells, shared


def _beware(found: ComparisonResult) -> list[tuple[str, str]]:
    rows = [("copies", reason) for reason in found.copies_reasons]
    unordered = [run.label for run in found.runs if not run.run.is_order_known]
    if unordered:
        rows.append(
            ("order", f"not known of {_some(unordered)}: shares are of all that was scanned")
        )
    if found.unmatched:
        rows.append(("other corpora", found.unmatched))
    if not found.are_all_paired:
        rows.append(
            (
                "pairs",
                f"of more than {MOST} runs those are compared that have one step, and each with "
                "the last checkpoint of every model",
            )
        )
    rows += [("pairs", reason) for reason in found.unpaired]
    if found.plans and not any(plan.saves for plan in found.plans):
        best = min(found.plans, key=lambda plan: plan.cost)
        rows.append(
            (
                "budget",
                "no smaller model clearly saves anything if it is asked first: at best it costs "
                f"{percent(best.cost)} (95% {interval(best.ci95, percent)}) of a scan of all with "
                f"{found.label(best.target)}, as against {percent(best.recall)} at random",
            )
        )
    if any(one.matched_by_text for one in found.overlaps):
        rows.append(("*", "of two corpora: texts that both have, matched by hash"))
    unknown = sorted({run.model for run in found.runs if run.parameters is None})
    if unknown:
        rows.append(
            (
                "sizes",
                f"no manifest tells the parameters of {_some(unknown)}: give one with --manifest",
            )
        )
    rows += [("rows", line) for line in _apart(found)]
    rows += [("published", line) for line in map(_published, found.runs) if line]
    rows += [("lines", line) for line in dict.fromkeys(map(_line_note, found.lines)) if line]
    rows += [("lines", line) for line in left_out(found)]
    return rows


def _apart(found: ComparisonResult) -> list[str]:
    """Say at which steps the models have scanned no row in common."""
    runs = [found.runs[one.run] for one in found.narrowed if not one.rows]
    where = dict.fromkeys(f"{run.suite} step {run.step:,}" for run in runs)
    return [
        f"the models of {each} have scanned no row in common: choose some with --models"
        for each in where
    ]


def _published(run: ComparedRun) -> str:
    """Say where a run that scanned all that it was trained on has another count than published."""
    ours, theirs = run.memorized_exposed, run.published
    whole = rows_in(run.scanned_exposed) == run.exposed_rows
    if theirs is None or ours == theirs or not whole:
        return ""
    return f"{run.label}: {ours:,} exposed rows are memorized here, {theirs:,} as published"


def _line_note(one: ScaleLine) -> str:
    if one.line is not None and not one.line.degrees:
        return "two sizes do not tell how sizes scatter about a line: no interval of the power"
    return f"none: {one.reason}" if one.line is None and one.sizes > 1 and one.reason else ""
