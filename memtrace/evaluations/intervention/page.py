"""The page of interventions: what changed, and what it cost."""

import math
from collections.abc import Sequence

from memtrace.evaluations.intervention.charts import (
    difference_chart,
    significant,
    training_chart,
)
from memtrace.evaluations.intervention.figures import parts_of, single
from memtrace.evaluations.intervention.measures import run_name
from memtrace.evaluations.intervention.result import Comparison, InterventionResult
from memtrace.evaluations.intervention.text import NAMES, row, text
from memtrace.evaluations.intervention.verdict import moved_by_gender, verdict
from memtrace.evaluations.text import read_text
from memtrace.report.charts import available
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import count, interval, number
from memtrace.report.page import Fact, Finding, Method, Page, Shown, Table, parted
from memtrace.report.text import rendered

QUESTION = "What did interventions on the training data change?"
CAPTIONS = {
    "Bias": "Difference at the last checkpoint of both runs, in points, with 95% intervals.",
    "Cost": "Difference at the last checkpoint of both runs with 95% intervals: accuracies in "
    "points, perplexities as logarithms in percent.",
    "Along training": "The same difference at every checkpoint that both runs have; the larger the "
    "model, the stronger its colour.",
}
RED, DASHED = " Red: the adjusted p-value is below 5%.", " Dashed lines are long runs."
LEGEND = (
    "Intervened minus baseline at the last checkpoint, of perplexities the ratio; again: what a "
    "second evaluation of the same baseline changed; sign: checkpoints at which the difference has "
    "the sign of the last; Holm, BY (Benjamini-Yekutieli): adjusted p."
)
TESTED = (
    "Whether each measure differs between an intervened run and its baseline at the last "
    "checkpoint that both have. Measures of bias and of cost are adjusted apart (Holm).",
)
LIMITS = (
    "Both runs answer the same questions: intervals from independent errors are too wide, not too "
    "narrow.",
    "Each run is one training: what another seed would change is not known.",
    "Only its name says that a run is intervened; what was changed in its data is not recorded.",
)
METHODS = (
    Method(
        "Difference",
        "intervened minus baseline, standard error sqrt(a^2 + b^2); perplexities as logarithms",
        "two-sided normal test",
    ),
    Method("Adjusted p-value", "step-down over the measures of a kind", "Holm (1979)"),
)


def intervention_page(result: InterventionResult) -> Page:
    """Return the page of a folder of evaluations."""
    return Page(QUESTION, finding(result), methods=METHODS)


def finding(
    result: InterventionResult, names: Sequence[str] | None = None, *, charts: bool = True
) -> Finding:
    """Return what is shown of a folder of evaluations.

    Args:
        result: The result.
        names: Of the figures to show; all that there are if left out.
        charts: Charts where they can be drawn; else pictures.
    """
    figures = [
        _shown(result, one, charts) for one in (parts_of(result) if names is None else names)
    ]
    runs = {(one.model, one.run) for one in result.comparisons}
    answer, rest = parted(verdict(result))
    return Finding(
        name="all",
        label=count(len(runs), "intervened run"),
        answer=answer,
        rest=rest,
        facts=_facts(result),
        figure=figures[0] if figures else None,
        tested=TESTED,
        limits=LIMITS,
        figures=figures[1:],
        tables=[Table(LEGEND, NAMES, list(map(row, result.comparisons)))],
        printed=rendered(text(result)),
        provenance=[("evaluations", read_text(result.evaluations))],
    )


def head(result: InterventionResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(result, list(parts_of(result))[:1], charts=False)


def _shown(result: InterventionResult, name: str, charts: bool) -> Shown:
    measures = parts_of(result)[name]
    training = name == "Along training"
    title = (
        f"{measures[0].task} along training" if training else f"{name}, intervened minus baseline"
    )
    caption = CAPTIONS[name]
    if training and any(run_name(one) == "long" for one in measures):
        caption += DASHED
    if significant(measures) and not training:
        caption += RED
    chart = None
    if charts and available():
        chart = training_chart(measures) if training else difference_chart(measures)
    image = None if chart else png(untitled(single(result, name)))
    return Shown(title, _described(measures), caption, image, chart)


def _described(measures: Sequence[Comparison]) -> str:
    """Say between which differences the measures lie."""
    least, most = (end(measures, key=lambda one: one.last.difference) for end in (min, max))
    clear = sum(one.p_holm < 0.05 for one in measures)
    return (
        f"{count(len(measures), 'difference')} with intervals, from {_told(least)} to "
        f"{_told(most)}; {clear:,} with an adjusted p-value below 5%."
    )


def _told(one: Comparison) -> str:
    of = f"{one.model} {one.run}, {one.task} {one.metric}"
    return f"{number(100 * one.last.difference, 3)} ({of})"


def _facts(result: InterventionResult) -> list[Fact]:
    facts = []
    for kind, name in (("bias", "measures of bias"), ("cost", "measures of language modelling")):
        tested = [
            one for one in result.comparisons if one.kind == kind and not math.isnan(one.p_holm)
        ]
        if tested:
            changed = sum(one.p_holm < 0.05 for one in tested)
            facts.append(Fact(f"{changed:,} of {len(tested):,}", f"{name} changed", "Holm, 5%"))
    aimed = moved_by_gender(result.comparisons)
    if aimed:
        ends = interval((aimed[0], aimed[-1]), lambda end: f"{end:+.1f}")
        name = "points: stereotyped choices about gender (English), by model and run"
        facts.insert(0, Fact(ends, name))
    return facts
