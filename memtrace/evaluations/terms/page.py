"""The page of terms: does accuracy follow how often training showed a term, and since when?"""

import math
from collections.abc import Sequence

import numpy as np

from memtrace.evaluations.populations import BY_NAME, NO_LINK
from memtrace.evaluations.terms.charts import accuracy_chart, slope_chart
from memtrace.evaluations.terms.figures import groups, in_figure, single, tasks_of
from memtrace.evaluations.terms.result import TermResult, falls, grows
from memtrace.evaluations.terms.text import row, text
from memtrace.evaluations.terms.verdict import models_told, rises, verdict
from memtrace.report.charts import available
from memtrace.report.figures import png
from memtrace.report.numbers import count, interval, number
from memtrace.report.page import Fact, Finding, Method, Page, Shown, Table, parted
from memtrace.report.text import rendered

QUESTION = "Does accuracy follow how often training showed a term?"
CAPTION = (
    "Series with the most shots. Left: mean accuracy in ten groups of terms of like count, at the "
    "last checkpoint. Right: the slope, log odds of a right answer for ten times the count, with "
    "95% intervals."
)
ACCURACY = (
    "Series with the most shots: mean accuracy in ten groups of terms of like count, at the last "
    "checkpoint; the larger the model, the stronger its colour."
)
SLOPE = "The slope, log odds of a right answer for ten times the count, with 95% intervals."
COLUMNS = (
    "task",
    "model",
    "shots",
    "accuracy",
    "tau",
    "slope",
    "its error",
    "p, Holm",
    "changes between steps",
    "from slope",
    "to slope",
    "p of the change",
)
LEGEND = (
    "At the last checkpoint, and where the slope changes. tau: Kendall's rank correlation of "
    "accuracy and count; the steps between which the slope changes are a 95% interval; its p is "
    "adjusted too (Holm)."
)
TESTED = (
    "Whether accuracy on a term goes with its count at the last checkpoint (Holm over all models, "
    "tasks and shots).",
    "Whether the slope changes at a checkpoint (Holm over the same).",
)
LIMITS = (
    "Frequent terms are also easier in other ways: no slope is a cause.",
    "Counts are taken as given: of which corpus they are, their table does not say.",
    "Series of one task share their questions and terms: many that agree are not many witnesses.",
    NO_LINK,
    BY_NAME,
)
METHODS = (
    Method(
        "Slope",
        "logistic regression of right answers on log10(1 + count), sandwich error over terms",
        "White (1982), Econometrica 50:1",
    ),
    Method(
        "Change of the slope",
        "best split into two levels by generalised least squares; p-value by simulation",
        "pays for the search over checkpoints",
    ),
)


def term_page(result: TermResult) -> Page:
    """Return the page of tables of accuracy."""
    return Page(QUESTION, finding(result), methods=METHODS)


def finding(
    result: TermResult, tasks: Sequence[str] | None = None, *, charts: bool = True
) -> Finding:
    """Return what is shown of tables of accuracy.

    Args:
        result: The result.
        tasks: Of which to show the figures; all if left out.
        charts: Charts where they can be drawn; else pictures.
    """
    charts = charts and available()
    chosen = tasks_of(result) if tasks is None else tasks
    figures = [
        one
        for task in chosen
        for one in (_charts(result, task) if charts else _pictures(result, task))
    ]
    answer, rest = parted(verdict(result))
    rows = [(one.task, *row(one)) for one in result.series]
    label, facts = brief(result)
    return Finding(
        name="all",
        label=label,
        answer=answer,
        rest=rest,
        facts=facts,
        figure=figures[0] if figures else None,
        tested=TESTED,
        limits=[*LIMITS, *_left_out(result)],
        figures=figures[1:],
        tables=[Table("Every series", COLUMNS, rows, (), LEGEND)],
        printed=rendered(text(result)),
        provenance=[("counts", f"of the {result.counted_at}" if result.counted_at == "checkpoint"
                     else f"of {result.counted_at}")],
    )  # fmt: skip


def brief(result: TermResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    series = count(len(result.series), "series", "series")
    return f"{series} of {models_told(result)}", _facts(result)


def head(result: TermResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(result, tasks_of(result)[:1], charts=False)


def _pictures(result: TermResult, task: str) -> list[Shown]:
    described = f"{_accuracies(result, task)}{_slopes(result, task)}"
    return [Shown(task, described, CAPTION, png(single(result, task)))]


def _charts(result: TermResult, task: str) -> list[Shown]:
    accuracy, slopes = accuracy_chart(result, task), slope_chart(result, task)
    title = f"{task}: accuracy by count"
    shown = [Shown(title, _accuracies(result, task), ACCURACY, chart=accuracy)]
    if slopes is not None:
        title = f"{task}: slope along training"
        shown.append(Shown(title, _slopes(result, task).strip(), SLOPE, chart=slopes))
    return shown


def _accuracies(result: TermResult, task: str) -> str:
    """Say how accuracy goes from the rarest to the most frequent terms."""
    mine = in_figure(result, task)
    ends = [groups(result, one)[1] for one in mine]
    rises = ", ".join(
        f"{one.model} from {number(end[0], 2)} to {number(end[-1], 2)}"
        for one, end in zip(mine, ends, strict=True)
    )
    return f"Mean accuracy from the rarest to the most frequent tenth of the terms: {rises}."


def _slopes(result: TermResult, task: str) -> str:
    """Say between which values the slopes lie; nothing where none is known."""
    slopes = [one.relations[-1].slope for one in in_figure(result, task)]
    known = [slope for slope in slopes if not math.isnan(slope)]
    if not known:
        return ""
    span = interval((min(known), max(known)), lambda slope: number(slope, 2))
    return f" Slopes at the last checkpoint: {span}."


def _facts(result: TermResult) -> list[Fact]:
    tested = [one for one in result.series if not math.isnan(one.p_holm)]
    if not tested:
        return []
    changing = [one for one in result.series if not math.isnan(one.change_p_holm)]
    up = sum(map(rises, tested))
    middle = float(np.median([one.relations[-1].slope for one in tested]))
    return [
        Fact(f"{up:,} of {len(tested):,}", "series in which accuracy rises with count", "Holm, 5%"),
        Fact(number(middle, 2), "log odds for ten times the count, median of the series"),
        Fact(
            f"{sum(map(grows, changing)):,} and {sum(map(falls, changing)):,} of {len(changing):,}",
            "in which the slope grows, and falls, at a change point",
            "Holm, 5%",
        ),
    ]


def _left_out(result: TermResult) -> list[str]:
    if not result.unmatched_terms:
        return []
    return [f"{count(len(result.unmatched_terms), 'term')} without a count: left out."]
