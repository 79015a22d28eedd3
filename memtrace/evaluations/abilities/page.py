"""The page of abilities: when each emerged, by task and size of the model."""

from memtrace.evaluations.abilities.charts import curve_chart
from memtrace.evaluations.abilities.figures import figure, shown_tasks
from memtrace.evaluations.abilities.result import AbilityCurve, AbilityResult
from memtrace.evaluations.abilities.text import text
from memtrace.evaluations.abilities.verdict import verdict
from memtrace.report.charts import available
from memtrace.report.figures import png
from memtrace.report.numbers import DASH, count, interval, number, p_value, percent
from memtrace.report.page import Fact, Finding, Method, Page, Shown, Table, parted
from memtrace.report.text import rendered

QUESTION = "How early in training do abilities emerge?"
CAPTION = (
    "The tasks that emerged in most models, a line a model: the larger the model, the stronger its "
    "colour."
)
COLUMNS = ("model", "task", "shots", "gain", "p, Holm", "share of training", "95%")
TESTED = (
    "Whether each curve gains from step 0 to the last checkpoint, adjusted for the tasks of a "
    "model (Holm), and where it first makes the asked share of its gain.",
)
LIMITS = (
    "Between checkpoints a curve is taken as straight.",
    "A task that rises to the level of guessing has gained, but is no ability.",
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
)


def ability_page(result: AbilityResult) -> Page:
    """Return the page of a folder of evaluations."""
    return Page(QUESTION, _finding(result, charts=available()), methods=METHODS)


def head(result: AbilityResult) -> Finding:
    """Return what a notebook shows of a folder of evaluations."""
    return _finding(result, charts=False)


def _finding(result: AbilityResult, *, charts: bool) -> Finding:
    chart = curve_chart(result) if charts and shown_tasks(result) else None
    image = None if chart else png(figure(result))
    answer, rest = parted(verdict(result))
    families = sorted({one.family for one in _emerged(result) if one.family})
    dashed = f" Dashed: {' and '.join(families)}." if families else ""
    return Finding(
        name="all",
        label=count(len({one.model for one in result.curves}), "model"),
        answer=answer,
        rest=rest,
        facts=_facts(result),
        figure=Shown(
            "Abilities along training", _described(result), CAPTION + dashed, image, chart
        ),
        tested=TESTED,
        limits=LIMITS,
        tables=[Table("Curves that emerged", COLUMNS, [_row(one) for one in _emerged(result)])],
        printed=rendered(text(result)),
    )


def _described(result: AbilityResult) -> str:
    """Say where the curves of each task that is shown end."""
    told = []
    for task, shots in shown_tasks(result):
        ends = {
            one.model: one.values[-1]
            for one in _emerged(result)
            if (one.task, one.shots) == (task, shots)
        }
        least, most = (end(ends, key=lambda model: ends[model]) for end in (min, max))
        span = f"{number(ends[least], 2)} ({least}) to {number(ends[most], 2)} ({most})"
        told.append(f"{task}, {count(shots, 'shot')}: {count(len(ends), 'model')}, {span}")
    if not told:
        return "No task emerged, so there is no curve."
    return f"Curves of the tasks that emerged, by their level at the end. {'; '.join(told)}."


def _emerged(result: AbilityResult) -> list[AbilityCurve]:
    return [one for one in result.curves if one.main and one.emerged]


def _facts(result: AbilityResult) -> list[Fact]:
    main = [one for one in result.curves if one.main]
    emerged = _emerged(result)
    facts = [Fact(f"{len(emerged):,}", f"of {count(len(main), 'curve')} emerged")]
    headline = [one for one in result.headline if one.emergence]
    if headline:
        shares = [one.emergence.share for one in headline if one.emergence]
        name = f"of training: {headline[0].task}, earliest and latest model"
        facts.append(Fact(interval((min(shares), max(shares)), percent), name))
    return [*facts, Fact(f"{len({one.task for one in main}):,}", "tasks")]


def _row(one: AbilityCurve) -> tuple[str, ...]:
    found = one.emergence
    return (
        one.model,
        one.task,
        f"{one.shots:,}",
        number(one.gain, 3),
        p_value(one.p_value_holm),
        percent(found.share) if found else DASH,
        interval(found.share_ci95, percent) if found and found.share_ci95 else DASH,
    )
