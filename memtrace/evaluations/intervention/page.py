"""The page of interventions: what changed, and what it cost."""

import math
from collections.abc import Sequence

from memtrace.evaluations.intervention.charts import (
    difference_chart,
    significant,
    training_chart,
)
from memtrace.evaluations.intervention.figures import parts_of, single
from memtrace.evaluations.intervention.measures import full_name, run_name
from memtrace.evaluations.intervention.result import Comparison, InterventionResult
from memtrace.evaluations.intervention.text import row, text
from memtrace.evaluations.intervention.verdict import (
    KINDS,
    left_open,
    moved_by_gender,
    reach_by_gender,
    runs_told,
    shown,
    tested,
    verdict,
)
from memtrace.evaluations.populations import BY_NAME, NO_LINK
from memtrace.evaluations.text import read_text
from memtrace.report.charts import available
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import count, interval, number, signed
from memtrace.report.page import Fact, Finding, Method, Page, Shown, Table, parted
from memtrace.report.text import rendered

QUESTION = "What did interventions on the training data change?"
CAPTIONS = {
    "Bias": "Difference at the last checkpoint of both runs, in points, with 95% intervals.",
    "Cost": "Difference at the last checkpoint of both runs with 95% intervals: accuracies in "
    "points, perplexities as logarithms in percent.",
    "Along training": "Difference at every checkpoint that both runs have, of the one measure that "
    "the title names; the larger the model, the stronger its colour.",
}
RED, DASHED = " Red: the adjusted p-value is below 5%.", " Dashed lines are long runs."
COLUMNS = (
    "measure",
    "model",
    "run",
    "baseline",
    "intervened",
    "change",
    "95% interval",
    "baseline again",
    "same sign",
    "p, Holm",
    "p, BY",
)
LEGEND = (
    "The change is intervened minus baseline at the last checkpoint, of perplexities the ratio. "
    "Baseline again: what a second evaluation of the same baseline changed. Same sign: checkpoints "
    "at which the difference has the sign of the last one. BY: Benjamini-Yekutieli."
)
TESTED = (
    "Whether each measure differs between an intervened run and its baseline at the last "
    "checkpoint that both have. All measures of bias, in all models and runs, are adjusted "
    "together (Holm), and so are all of cost.",
)
LIMITS = (
    NO_LINK,
    BY_NAME,
    "A change that is not shown may be there: its interval tells how large it may be, for one "
    "measure at a time.",
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
    answer, rest = parted(verdict(result))
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
        tables=[Table("Every measure", COLUMNS, list(map(_row, result.comparisons)), (), LEGEND)],
        printed=rendered(text(result)),
        provenance=[("evaluations", read_text(result.evaluations))],
    )


def brief(result: InterventionResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    return runs_told(result.comparisons), _facts(result)


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
    known = [one for one in measures if not math.isnan(one.last.difference)]
    if not known:
        return "No difference is known."
    least, most = (end(known, key=lambda one: one.last.difference) for end in (min, max))
    clear = sum(one.p_holm < 0.05 for one in known)
    return (
        f"{count(len(known), 'difference')}, from {_told(least)} to {_told(most)}; {clear:,} with "
        "an adjusted p-value below 5%."
    )


def _told(one: Comparison) -> str:
    of = f"{one.model} {one.run}, {one.task} {one.metric}"
    return f"{number(100 * one.last.difference, 3)} ({of})"


def _left_out(result: InterventionResult) -> list[str]:
    if not result.unpaired:
        return []
    return [f"{count(len(result.unpaired), 'measure')} without a baseline: left out."]


def _row(one: Comparison) -> tuple[str, ...]:
    """Return the cells of `COLUMNS`: those that are printed, with the whole name of the measure."""
    return (full_name(one), *row(one)[1:])


def _facts(result: InterventionResult) -> list[Fact]:
    facts = []
    aimed, reach = moved_by_gender(result.comparisons), reach_by_gender(result.comparisons)
    if aimed:
        ends = interval((aimed[0], aimed[-1]), signed) if len(aimed) > 1 else signed(aimed[0])
        name = "points: stereotyped choices about gender (English), by model and run"
        facts.append(Fact(ends, name, f"95%: {interval(reach, signed)}" if reach else ""))
    for kind, name in KINDS.items():
        known = tested([one for one in result.comparisons if one.kind == kind])
        if known:
            unsure = left_open([one for one in known if one.p_holm >= 0.05])
            note = f"Holm, 5%; left open: {unsure}" if unsure else "Holm, 5%"
            share = f"{len(shown(known)):,} of {len(known):,}"
            facts.append(Fact(share, f"measures of {name} in which a change is shown", note))
    return facts
