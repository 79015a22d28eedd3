"""The first page of a report: what was memorized, by model and checkpoint."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from memtrace.point_process.of_several import UNKNOWN, of_part
from memtrace.point_process.result import PoissonResult
from memtrace.report.charts import HATCHED, available, data, specification
from memtrace.report.numbers import DASH, count, interval, number, percent, signed
from memtrace.report.page import Fact, Finding, Page, Shown, Table

QUESTION = "What did the models memorize?"
COLUMNS = (
    "checkpoint", "share of texts", "95% interval", "texts returned", "share of rows",
    "95% interval, if no two are copies", "rows returned", "rows scanned",
    "share of those not trained on", "returned, not trained on",
)  # fmt: skip
CELL = 44
"""Height of a model in the chart, in CSS pixels."""
CAPTION = (
    "Share of the texts trained on that greedy decoding returns; where copies are not known, each "
    "row is taken as a text. Hatched cells were not scanned. A click on a cell opens its page."
)
CONTROL = (
    "A share of what was trained on holds what would be returned without training too: the share "
    "of what was not trained on says how much that is."
)
NO_COPIES = (
    "Where copies are not known, those of exposed sequences may be among what was not trained on."
)


def overview_page(
    fits: Sequence[tuple[str, int, PoissonResult]], address: str, left_out: Mapping[str, str]
) -> Page:
    """Return the page.

    Args:
        fits: Model, step and fit of each checkpoint.
        address: The page that has the order of each fit, in the same order.
        left_out: Title of each page that there is none of, and why.
    """
    rows = [_row(fit) for _, _, fit in fits]
    chart = share_map(fits, address) if available() else None
    described = (
        f"A row a model and a cell a checkpoint, darker for more: from "
        f"{_range([fit for _, _, fit in fits])} of the texts trained on."
    )
    summary = Finding(
        name="all",
        label=count(len(fits), "checkpoint"),
        answer=_answer(fits),
        rest=_no_more_than_control(fits),
        facts=_facts(fits),
        figure=Shown("Returned by model and checkpoint", described, CAPTION, chart=chart)
        if chart and any(memorized(fit)[1] for _, _, fit in fits)
        else None,
        limits=_limits([fit for *_, fit in fits]),
        not_made=tuple(left_out.items()),
        tables=[Table("Checkpoints", COLUMNS, rows, _links(address, fits))],
    )
    return Page(QUESTION, summary)


def share_map(fits: Sequence[tuple[str, int, PoissonResult]], address: str) -> dict[str, Any]:
    """Return the chart of the share of texts memorized: models by checkpoints, darker is more.

    What was not scanned is hatched: it is not 0%.
    """
    import altair

    rows: list[dict[str, Any]] = [
        {
            "model": model,
            "step": step,
            "share": memorized(fit)[0] / memorized(fit)[1],
            "count": "{:,} of {:,}".format(*memorized(fit)),
            "anchor": _place(address, place, fits),
        }
        for place, (model, step, fit) in enumerate(fits)
        if memorized(fit)[1]
    ]
    step = altair.Tooltip("step:Q", format=",")
    told = [
        "model:N",
        step,
        altair.Tooltip("count:N", title="returned"),
        altair.Tooltip("share:Q", format=".3%"),
    ]
    level = altair.Axis(labelOverlap=True, labelAngle=0, labelExpr="format(datum.value, ',d')")
    most = max((row["share"] for row in rows), default=0.0)
    shares = altair.Scale(domain=[0, most or 1])
    legend = altair.Legend(format=".2~%")
    models = list(dict.fromkeys(row["model"] for row in rows))
    x = altair.X("step:O", title="checkpoint, training step", axis=level)
    y = altair.Y("model:N", title=None, scale=altair.Scale(domain=models))
    cells = altair.Chart(data(rows)).mark_rect(cursor="pointer")
    color = altair.Color("share:Q", title="share", scale=shares, legend=legend)
    chart: Any = cells.encode(x=x, y=y, color=color, tooltip=told)
    if missing := _missing(rows):
        hatched = altair.Chart(data(missing)).mark_rect(fill=HATCHED)
        chart = hatched.encode(x=x, y=y, tooltip=["model:N", step, "share:N"]) + chart
    return specification(chart, height=max(2, len(models)) * CELL)


def _missing(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cells of models and steps that there is no share of."""
    known = {(row["model"], row["step"]) for row in rows}
    models, steps = (list(dict.fromkeys(row[key] for row in rows)) for key in ("model", "step"))
    every = ((model, step) for model in models for step in steps)
    return [
        {"model": model, "step": step, "share": "not scanned"}
        for model, step in every
        if (model, step) not in known
    ]


def _links(address: str, fits: Sequence[tuple[str, int, PoissonResult]]) -> list[str]:
    return [_place(address, place, fits) for place in range(len(fits))]


def _place(address: str, place: int, fits: Sequence[tuple[str, int, PoissonResult]]) -> str:
    return f"{address}#fit-{place + 1}" if len(fits) > 1 else address


def memorized(fit: PoissonResult) -> tuple[int, int]:
    """Return the memorized and the exposed texts, or sequences where texts are not known."""
    if fit.by_text is not None and fit.by_text.rates.texts:
        return fit.by_text.rates.event_texts, fit.by_text.rates.texts
    return fit.events.n_events, fit.events.exposure


def control(fit: PoissonResult) -> tuple[int, int]:
    """Return the unexposed texts that are returned and all of them; sequences as `memorized`."""
    if fit.by_text is not None:
        unexposed = fit.by_text.classes.unexposed
        return unexposed.event_texts, unexposed.texts
    return fit.events.not_exposed_events or 0, fit.events.not_exposed_exposure or 0


def _share(fit: PoissonResult) -> str:
    events, of = memorized(fit)
    return percent(events / of) if of else percent(None)


def _ends(fit: PoissonResult) -> str:
    if fit.by_text is not None and fit.by_text.rates.texts:
        return interval(fit.by_text.rates.rate_ci95, percent)
    low, high = (end / fit.window for end in fit.rate_ci95)
    return interval((low, high), percent)


def _row(fit: PoissonResult) -> tuple[str, ...]:
    """Return the cells; intervals are of texts, of rows only where copies are not known."""
    events, texts = fit.events, (DASH, DASH, DASH)
    rows = percent(events.fraction) if events.exposure else DASH
    of_rows = _ends(fit) if events.exposure else DASH
    if fit.by_text is not None:
        texts, of_rows = (_share(fit), _ends(fit), f"{memorized(fit)[0]:,}"), DASH
    scanned = f"{events.exposure:,}"
    if events.exposure < events.n:
        scanned += f" of {events.n:,}"
    other, of = control(fit)
    unexposed = (percent(other / of), f"{other:,} of {of:,}") if of else (DASH, DASH)
    return (events.label, *texts, rows, of_rows, f"{events.n_events:,}", scanned, *unexposed)


def _answer(fits: Sequence[tuple[str, int, PoissonResult]]) -> str:
    known = _last_of_each(fits)
    chosen = _headline(fits)
    if chosen is None:
        return "None of the scanned sequences had been trained on."
    fit = chosen[1]
    events, of = memorized(fit)
    unit = "text" if fit.by_text is not None else "sequence"
    what = f"the {'one ' + unit if of == 1 else count(of, unit)} that it was trained on"
    if fit.events.exposure < fit.events.n:
        what = f"{count(of, 'scanned ' + unit)}, of {fit.events.n:,} rows that it was trained on"
    share = f"{_share(fit)}, 95% {_ends(fit)}{_condition(fit)}"
    other, out_of = control(fit)
    said = f"{returns(fit.events.label, len(known))} {events:,} of {what} ({share})"
    if out_of:
        said += f", and {other:,} of {out_of:,} not trained on ({percent(other / out_of)})"
    return f"{said}."


def _condition(fit: PoissonResult) -> str:
    """Return under which condition an interval holds."""
    return "" if fit.by_text is not None else ", if no two are copies of one text"


def returns(label: str, models: int) -> str:
    """Return how a sentence begins on the checkpoint that returns most of the last ones."""
    if models == 1:
        return f"{label} returns"
    return f"Of the last checkpoints of {models:,} models none returns a larger share than {label}:"


def _last_of_each(fits: Sequence[tuple[str, int, PoissonResult]]) -> dict[str, PoissonResult]:
    """Return the last checkpoint of each model that was trained on something that was scanned."""
    last = {model: fit for model, _, fit in fits}
    return {model: fit for model, fit in last.items() if memorized(fit)[1]}


def _headline(
    fits: Sequence[tuple[str, int, PoissonResult]],
) -> tuple[str, PoissonResult] | None:
    """Return the model of which most is returned, and its last checkpoint."""
    known = _last_of_each(fits)
    share = {name: memorized(fit)[0] / memorized(fit)[1] for name, fit in known.items()}
    model = max(share, key=lambda name: share[name], default=None)
    return None if model is None else (model, known[model])


def _no_more_than_control(fits: Sequence[tuple[str, int, PoissonResult]]) -> str:
    """Say so where as much is returned of what was not trained on."""
    chosen = _headline(fits)
    if chosen is None:
        return ""
    (events, of), (other, out_of) = memorized(chosen[1]), control(chosen[1])
    if not events or not out_of or other / out_of < events / of:
        return ""
    return (
        "It returns no less of what it was not trained on, so nothing here shows that training "
        "on these sequences made it return them."
    )


def _limits(fits: Sequence[PoissonResult]) -> list[str]:
    unknown = [UNKNOWN, NO_COPIES] if any(fit.by_text is None for fit in fits) else []
    return [CONTROL, *unknown, *of_part(fits)]


def _facts(fits: Sequence[tuple[str, int, PoissonResult]]) -> list[Fact]:
    """Return the share of the model with most, its rows with all copies, and how it changed."""
    shares = {model: _of(fit) for model, _, fit in fits if memorized(fit)[1]}
    if not shares:
        return []
    model = max(shares, key=lambda name: shares[name])
    mine = [fit for name, _, fit in fits if name == model and memorized(fit)[1]]
    last = mine[-1]
    return [_share_fact(last), *_control_fact(mine), *_rows_fact(last), *_change_fact(mine)]


def _of(fit: PoissonResult) -> float:
    events, of = memorized(fit)
    return events / of


def _share_fact(fit: PoissonResult) -> Fact:
    unit = "texts" if fit.by_text is not None else "sequences"
    events, of = memorized(fit)
    name = f"of the {unit} trained on: {events:,} of {of:,}"
    note = f"95% interval {_ends(fit)}{_condition(fit)}; {fit.events.label}"
    return Fact(_share(fit), name, note)


def _control_fact(mine: Sequence[PoissonResult]) -> list[Fact]:
    """Say what the last checkpoint that left something unexposed returns of it."""
    with_control = [fit for fit in mine if control(fit)[1]]
    if not with_control:
        return []
    fit = with_control[-1]
    other, of = control(fit)
    unit = "texts" if fit.by_text is not None else "sequences"
    name = f"of the {unit} not trained on, the control: {other:,} of {of:,}"
    return [Fact(percent(other / of), name, fit.events.label)]


def _rows_fact(fit: PoissonResult) -> list[Fact]:
    """Say how many rows the memorized texts are: it is why their shares differ."""
    events = fit.events
    if fit.by_text is None or not events.n_events:
        return []
    each = number(events.n_events / memorized(fit)[0], 3)
    note = f"{percent(events.fraction)} of the rows trained on: {each} to a text on average"
    return [Fact(f"{events.n_events:,}", "rows, with all copies of these texts", note)]


def _change_fact(mine: Sequence[PoissonResult]) -> list[Fact]:
    """Say how the share changed since the checkpoint before the last."""
    if len(mine) < 2:
        return []
    before, last = mine[-2:]
    decimals = _decimals(max(_of(before), _of(last)))
    change = f"{signed(100 * (_of(last) - _of(before)), decimals)} points"
    was = f"from {_share(before)} of {memorized(before)[1]:,}"
    return [Fact(change, f"since {before.events.label}", was)]


def _decimals(share: float) -> int:
    """Return decimals of percent points that show two digits of a share."""
    return max(2, 1 - math.floor(math.log10(100 * share))) if share else 2


def _range(fits: Sequence[PoissonResult]) -> str:
    shares = [events / of for events, of in map(memorized, fits) if of]
    return f"{percent(min(shares, default=None))} to {percent(max(shares, default=None))}"
