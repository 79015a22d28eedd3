"""Printed pages of evaluations: verdict first, then the numbers, then what was read.

They decide nothing: every number comes from the answer.
"""

from typing import TYPE_CHECKING, Any

from memtrace.evaluations.abilities import AbilityCurve
from memtrace.evaluations.folder import Evaluations

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from memtrace.evaluations.report import AbilityEmergence

LISTED = 8
"""Files that the page names; the document names all."""


def verdict(answer: "AbilityEmergence") -> str:
    """Return the answer in one plain sentence."""
    main = [one for one in answer.curves if one.main]
    emerged = [one for one in main if one.emerged]
    counted = f"{len(emerged)} of {len(main)} curves gain significantly and end above guessing"
    found = answer.headline
    if not found:
        return f"{counted}: there is no emergence time to tell."
    first, last = (f"{one.emergence.share:.2%} ({one.model})" for one in _ends(found))
    told = f"{found[0].task} has made {_portion(answer.level)} of its gain at {first}"
    told += f" to {last} of training" if len(found) > 1 else " of training"
    return f"{counted}. {told}{_moves(answer)}."


def ability_page(answer: "AbilityEmergence") -> "RenderableType":
    """Return the page of the emergence of abilities."""
    blocks: list[tuple[str, Any]] = []
    if answer.headline:
        blocks.append((f"{answer.headline[0].task}, by model", _headline(answer.headline)))
    for family in sorted({one.family for one in answer.curves}):
        for shots in sorted({one.shots for one in answer.curves}):
            blocks += _shares(answer, family, shots)
    if any(one.clock == "normalized_emergence" for one in answer.trends):
        blocks.append(("With ten times the parameters (unadjusted)", _trends(answer)))
    blocks.append(("Evaluations", files_table(answer.evaluations)))
    return page("Emergence of abilities", answer.verdict, blocks)


def page(title: str, said: str, blocks: list[tuple[str, Any]]) -> "RenderableType":
    """Return a page: the verdict in a panel, then each table under its heading."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    parts: list[Any] = [
        Panel(Text(said), title=Text(title), title_align="left", border_style="blue")
    ]
    for heading, table in blocks:
        parts += [Text(""), Text(heading, style="bold"), Padding(table, (0, 0, 0, 2))]
    return Group(*parts)


def table_of(*columns: str) -> "Table":
    """Return an empty table: the first column to the left, the others to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    return table


def files_table(evaluations: Evaluations) -> "Table":
    """Return what was read and what not, with reasons."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(min_width=14, style="cyan")
    table.add_column(overflow="fold")
    done = len(evaluations.files) - len(evaluations.unread)
    values = f"{evaluations.table.height:,} values"
    table.add_row("read", f"{done:,} of {len(evaluations.files):,} .json files, {values}")
    if evaluations.others:
        table.add_row("not looked at", f"{evaluations.others:,} files that are not .json")
    for name, files in (("not read", evaluations.unread), ("in part", evaluations.noted)):
        for file in files[:LISTED]:
            table.add_row(name, f"{file.path}: {file.note}".replace("[", "\\["))
        if len(files) > LISTED:
            table.add_row(name, f"and {len(files) - LISTED} more (all in --json)")
    return table


def number(value: float | None, digits: int = 3) -> str:
    """Return a number of a table; nothing known is a dash."""
    return "-" if value is None or value != value else f"{value:,.{digits}g}"


def interval_text(ends: tuple[float, float] | None, form: str = "{:.3g}") -> str:
    """Return `low to high`, or a dash."""
    return "-" if ends is None else " to ".join(form.format(end) for end in ends)


def p_text(p: float | None) -> str:
    """Return a p-value in few characters, or a dash."""
    if p is None or p != p:
        return "-"
    return "<.001" if p < 0.001 else f"{p:.2g}"


def _portion(level: float) -> str:
    return "half" if level == 0.5 else f"{level:.0%}"


def _ends(found: tuple[AbilityCurve, ...]) -> list[Any]:
    ordered = sorted(found, key=lambda one: one.emergence.share if one.emergence else 0.0)
    return [ordered[0], ordered[-1]]


def _moves(answer: "AbilityEmergence") -> str:
    """Say how the headline's emergence moves with size, if it is known."""
    one = answer.headline[0]
    known = [
        t
        for t in answer.trends
        if (t.task, t.metric, t.shots, t.clock)
        == (one.task, one.metric, one.shots, "normalized_emergence")
    ]
    if not known:
        return ""
    best = max(known, key=lambda t: t.trend.models).trend
    way = "later" if best.factor > 1 else "earlier"
    factor = best.factor if best.factor > 1 else 1 / best.factor
    sure = best.factor_ci95 and (best.factor_ci95[0] > 1 or best.factor_ci95[1] < 1)
    said = f"{factor:.2f} times {way} with ten times the parameters"
    return f": {said} ({'95% interval' if sure else 'not significantly; 95% interval'} " + (
        f"{interval_text(best.factor_ci95, '{:.2f}')})"
    )


def _headline(found: tuple[AbilityCurve, ...]) -> "Table":
    names = (
        "step",
        "95% interval",
        "% of training",
        "log steps",
        "tokens/param",
        "final",
        "chance",
    )
    table = table_of("model", *names)
    for one in found:
        if one.emergence is None:
            continue
        table.add_row(
            one.model,
            f"{one.emergence.step:,.0f}",
            interval_text(one.emergence.step_ci95, "{:,.0f}"),
            f"{one.emergence.share:.2%}",
            f"{one.emergence.log_share:.1%}",
            number(one.emergence.tokens_per_parameter),
            number(one.values[-1]),
            number(one.chance),
        )
    return table


def _shares(answer: "AbilityEmergence", family: str, shots: int) -> list[tuple[str, Any]]:
    """Return heading and table of tasks by models; none where no task emerged in two models."""
    mine = [o for o in answer.curves if (o.family, o.shots, o.main) == (family, shots, True)]
    models = sorted({(one.parameters or 0, one.model) for one in mine})
    by_task: dict[str, dict[str, AbilityCurve]] = {}
    for one in mine:
        by_task.setdefault(one.task, {})[one.model] = one
    few = min(2, len(models))
    shown = {t: row for t, row in by_task.items() if sum(o.emerged for o in row.values()) >= few}
    if not shown:
        return []
    table = table_of("task", *(model.removesuffix(f"-{family}") for _, model in models))
    for task, row in sorted(shown.items()):
        cells = [row.get(model) for _, model in models]
        table.add_row(task, *map(_share, cells))
    group = f"{family}, {shots} shots" if family else f"{shots} shots"
    left = len(by_task) - len(shown)
    others = f"; {left} tasks emerged in fewer than {few} models: see --json" if left else ""
    return [(f"Normalized emergence in % of training ({group}{others})", table)]


def _share(one: AbilityCurve | None) -> str:
    if one is None or one.emergence is None or not one.emerged:
        return "-"
    return f"{100 * one.emergence.share:.2f}"


def _trends(answer: "AbilityEmergence") -> "Table":
    table = table_of("task", "metric", "shots", "models", "later by", "95% interval", "tau", "p")
    for one in answer.trends:
        if one.clock != "normalized_emergence":
            continue
        trend = one.trend
        table.add_row(
            f"{one.task[:30]} ({one.family})" if one.family else one.task[:40],
            one.metric,
            str(one.shots),
            str(trend.models),
            f"x {trend.factor:.2f}",
            interval_text(trend.factor_ci95, "{:.2f}"),
            f"{trend.rank_correlation:.2f}",
            p_text(trend.p_value),
        )
    return table
