"""The page of abilities: when each emerged, by task and size of the model."""

from collections.abc import Sequence

from memtrace.evaluations.abilities.charts import curve_chart
from memtrace.evaluations.abilities.figures import figure, shown_tasks
from memtrace.evaluations.abilities.result import KNOWN, AbilityCurve, AbilityResult
from memtrace.evaluations.abilities.text import models, text
from memtrace.evaluations.abilities.verdict import named_populations, range_of, verdict
from memtrace.evaluations.boundaries import TOLD
from memtrace.evaluations.populations import BY_NAME, NO_LINK
from memtrace.evaluations.text import read_text
from memtrace.report.charts import available
from memtrace.report.figures import png
from memtrace.report.numbers import DASH, count, interval, number, p_value, percent
from memtrace.report.page import Fact, Finding, Method, Page, Shown, Table, parted
from memtrace.report.text import rendered

QUESTION = "How early in training do abilities emerge?"
CAPTION = (
    "The tasks that emerged in most models, a line for each model evaluated: the larger the model, "
    "the stronger its colour."
)
COLUMNS = ("model", "task", "share of training", "95% interval", "gain", "p, Holm", "shots")
LEGEND = (
    "p: of a gain that ends above guessing, adjusted for all curves (Holm); no share of training "
    f"where its 95% interval spans more than a factor of {KNOWN}."
)
TESTED = (
    "Whether each curve gains from step 0 to the last checkpoint and ends above guessing, where "
    "its level is known: one p-value for both, adjusted for all curves of all models (Holm).",
    "Where it first makes the asked share of its gain; not adjusted for the number of curves.",
    "Whether that moves with size, in three models of a family or more; not adjusted for the "
    "number of tasks.",
)
LIMITS = (
    NO_LINK,
    BY_NAME,
    "Of a model of no manifest training counts as over at its last evaluation.",
    "Between checkpoints a curve is taken as straight.",
    "A task that rises to the level of guessing has gained, but is no ability.",
    "A curve that is not shown to emerge may have gained less than its errors let see.",
    "Each model is one training: how a line through a few sizes scatters does not tell what "
    "another seed would give.",
)
METHODS = (
    Method(
        "Normalized emergence",
        "first step at which the curve makes the asked share of its gain, over all steps",
        "linear interpolation between checkpoints; interval by drawing the published errors",
    ),
    Method(
        "Gain",
        "last level minus that of step 0, over the root of the sum of squared standard errors",
        "normal test; Holm (1979), Scand. J. Stat. 6:65",
    ),
    Method(
        "Gain that ends above guessing",
        "the larger of the p-values of the gain and of a last level at guessing",
        "intersection-union test: Berger (1982), Technometrics 24:295",
    ),
    Method("Accuracies of 0 and 1", TOLD, "Clopper and Pearson (1934), Biometrika 26:404"),
)


def ability_page(result: AbilityResult) -> Page:
    """Return the page of a folder of evaluations."""
    return Page(QUESTION, _finding(result, charts=available()), methods=METHODS)


def brief(result: AbilityResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    return models(result) or "no model with an accuracy", _facts(result)


def head(result: AbilityResult) -> Finding:
    """Return what a notebook shows of a folder of evaluations."""
    return _finding(result, charts=False)


def _finding(result: AbilityResult, *, charts: bool) -> Finding:
    chart = curve_chart(result) if charts and shown_tasks(result) else None
    image = None if chart else png(figure(result))
    answer, rest = parted(verdict(result))
    families = sorted({one.population.family for one in result.main if one.population.family})
    dashed = f" Dashed: {', '.join(families)}." if families else ""
    label, facts = brief(result)
    return Finding(
        name="all",
        label=label,
        answer=answer,
        rest=rest,
        facts=facts,
        figure=Shown(
            "Abilities along training", _described(result), CAPTION + dashed, image, chart
        ),
        tested=TESTED,
        limits=LIMITS,
        tables=[
            Table("Curves that emerged", COLUMNS, list(map(_row, _emerged(result))), (), LEGEND)
        ],
        printed=rendered(text(result)),
        provenance=[("evaluations", read_text(result.evaluations))],
    )


def _described(result: AbilityResult) -> str:
    """Say where the curves of each task that is shown end."""
    told = []
    for task, shots in shown_tasks(result):
        ends = {
            one.model: one.values[-1]
            for one in result.main
            if (one.task, one.shots) == (task, shots)
        }
        least, most = (end(ends, key=lambda model: ends[model]) for end in (min, max))
        span = f"{number(ends[least], 2)} ({least}) to {number(ends[most], 2)} ({most})"
        told.append(f"{task}, {count(shots, 'shot')}: {count(len(ends), 'model')}, {span}")
    if not told:
        return "No task emerged, so there is no curve."
    return f"Curves of the tasks that emerged, by their level at the end. {'; '.join(told)}."


def _emerged(result: AbilityResult) -> list[AbilityCurve]:
    """Return the curves that emerged, by size of the model."""
    emerged = (one for one in result.main if one.emerged)
    return sorted(emerged, key=lambda one: (one.parameters or 0, one.model, one.task))


def _facts(result: AbilityResult) -> list[Fact]:
    facts = []
    for population, curves in named_populations(result).items():
        shares = [one.emergence.share for one in range_of(curves) if one.emergence]
        of = "training" if population.suite else "the steps that were evaluated"
        name = f"of {of}: {curves[0].task}, {population.told(len(curves))}"
        ends = interval((shares[0], shares[-1]), percent) if len(curves) > 1 else percent(shares[0])
        facts.append(Fact(ends, name))
    tested = result.tested
    if tested:
        emerged = sum(one.emerged for one in tested)
        tasks = count(len({one.task for one in tested}), "task")
        shown = f"{emerged:,} of {len(tested):,}"
        facts.append(Fact(shown, f"curves of {tasks} shown to emerge", "Holm, 5%"))
    return facts


def _row(one: AbilityCurve) -> tuple[str, ...]:
    found = one.emergence
    return (
        one.model,
        one.task,
        percent(found.share) if found and one.placed else DASH,
        interval(found.share_ci95, percent) if found and found.share_ci95 else DASH,
        number(one.gain, 3),
        p_value(one.emergence_p_holm),
        f"{one.shots:,}",
    )
