"""Figures of evaluations: curves by model size, emergence against size, interventions, terms.

They compute no statistic: every number comes from the answer.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.report.figures import BLUE, GREY, INK, RED, axes_for, new_figure, nothing, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memtrace.evaluations.abilities import AbilityCurve
    from memtrace.evaluations.intervention import Comparison, Intervention
    from memtrace.evaluations.report import AbilityEmergence
    from memtrace.evaluations.terms import Series, TermFrequency

PANELS = 5
"""Tasks that a page shows, those that emerged in most models first."""
SMALL, LARGE = "#a9cfe6", "#152a3b"
TASK_COLOURS = (BLUE, RED, "#6a994e", "#8d6a9f", "#c99a2e")


def ability_page(answer: "AbilityEmergence") -> "Figure":
    """Draw the curves of the tasks that emerged, and their emergence against model size."""
    tasks = shown_tasks(answer)
    with styled():
        panels = max(len(tasks), 1) + 1
        rows = -(-panels // 2)
        figure = new_figure(12, 3.9 * rows + 0.6)
        grid = figure.add_gridspec(rows, 2)
        for i, (task, shots) in enumerate(tasks):
            curves = [o for o in answer.curves if (o.task, o.shots, o.main) == (task, shots, True)]
            curves_by_size(curves, figure.add_subplot(grid[i // 2, i % 2]))
        last = panels - 1
        place = grid[last // 2, :] if last % 2 == 0 else grid[last // 2, last % 2]
        emergence_against_size(answer, figure.add_subplot(place))
        figure.suptitle(_wrapped(answer.verdict), x=0.01, ha="left", fontsize=11)
    return figure


def shown_tasks(answer: "AbilityEmergence") -> list[tuple[str, int]]:
    """Return task and shots of the tasks that emerged in most models, the surest gains first."""
    from memtrace.evaluations.abilities import mean_z

    tasks: dict[tuple[str, int], list[AbilityCurve]] = {}
    for one in answer.curves:
        if one.main and one.emerged:
            tasks.setdefault((one.task, one.shots), []).append(one)
    order = sorted(tasks, key=lambda key: (-len(tasks[key]), -mean_z(tasks[key]), key))
    return order[:PANELS]


def curves_by_size(curves: "Sequence[AbilityCurve]", ax: "Axes | None" = None) -> "Axes":
    """Draw one task's curves, darker for larger models, with a dot where each has emerged."""
    from memtrace.evaluations.names import size_and_family

    first = curves[0]
    ax = axes_for(ax, f"{first.task}, {first.shots} shots")
    colours = _size_colours([one.parameters for one in curves])
    for one, colour in sorted(
        zip(curves, colours, strict=True),
        key=lambda pair: (pair[0].family, pair[0].parameters or 0),
    ):
        style = "--" if one.family else "-"
        # Two families of one size look alike but for the dashes: one entry of the legend.
        label = size_and_family(one.model)[0] if not one.family else None
        ax.plot(one.steps, one.values, style, color=colour, lw=1.4, label=label)
        if one.emergence and one.emerged:
            level = float(np.interp(one.emergence.step, one.steps, one.values))
            ax.plot(one.emergence.step, level, "o", color=RED, ms=4.5, zorder=5)
    if first.chance is not None:
        ax.axhline(first.chance, color=GREY, ls=":", lw=1)
        where: dict[str, Any] = {
            "transform": ax.get_yaxis_transform(),
            "color": GREY,
            "fontsize": 8,
        }
        ax.text(0.01, first.chance, "guessing", va="bottom", **where)
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(left=0)
    ax.set_xlabel("training step")
    ax.set_ylabel(first.metric)
    family = next((one.family for one in curves if one.family), None)
    if family:
        ax.plot([], [], "--", color=GREY, label=family)
    ax.legend(loc="upper left", ncols=2)
    return ax


def emergence_against_size(answer: "AbilityEmergence", ax: "Axes | None" = None) -> "Axes":
    """Draw the normalized emergence time against the model's parameters, with 95% intervals."""
    ax = axes_for(ax, "Normalized emergence against model size")
    tasks = shown_tasks(answer)
    found = [
        one
        for one in answer.curves
        if one.main and one.emerged and one.parameters and (one.task, one.shots) in tasks
    ]
    if not found:
        return nothing(ax, "no task emerged in a model of known size")
    for (task, shots), colour in zip(tasks, TASK_COLOURS, strict=False):
        for family in sorted({one.family for one in found}):
            mine = [o for o in found if (o.task, o.shots, o.family) == (task, shots, family)]
            mine.sort(key=lambda one: one.parameters or 0)
            x = [one.parameters or math.nan for one in mine]
            shares = [100 * one.emergence.share for one in mine if one.emergence]
            style: dict[str, Any] = {
                "color": colour,
                "mfc": "white" if family else colour,
                "ms": 5,
                "lw": 1.1,
            }
            label = None if family else task
            ax.plot(x, shares, "o--" if family else "o-", label=label, **style)
            for place, one in zip(x, mine, strict=True):
                if one.emergence and one.emergence.share_ci95:
                    ends = [100 * end for end in one.emergence.share_ci95]
                    ax.plot([place, place], ends, color=colour, lw=1, alpha=0.6)
    ax.set_xscale("log")
    ax.set_yscale("log")
    # Intervals that reach almost to step 0 would take most of a logarithmic axis.
    least = min(one.emergence.share for one in found if one.emergence)
    ax.set_ylim(bottom=max(30 * least, 1e-3))
    ax.yaxis.set_major_formatter("{x:g}%")
    ax.set_xlabel("parameters")
    ax.set_ylabel("share of training")
    if any(one.family for one in found):
        ax.plot([], [], "o--", color=GREY, mfc="white", label=found[-1].family or "other family")
    ax.legend(loc="upper left", ncols=2)
    return ax


def intervention_page(answer: "Intervention") -> "Figure":
    """Draw the differences at the end of training, bias and cost, by size of the model."""
    from memtrace.evaluations.intervention_page import is_shown

    bias = [one for one in answer.comparisons if one.kind == "bias" and is_shown(one)]
    cost = [one for one in answer.comparisons if one.kind == "cost"]
    with styled():
        height = 0.32 * max(len(bias), len(cost), 4) + 4.6
        figure = new_figure(12, height)
        grid = figure.add_gridspec(2, 2, height_ratios=(height - 3.8, 3.2))
        differences(bias, figure.add_subplot(grid[0, 0]), "Bias: intervened minus baseline")
        differences(cost, figure.add_subplot(grid[0, 1]), "Cost: intervened minus baseline")
        along_training(bias, figure.add_subplot(grid[1, :]))
        figure.suptitle(_wrapped(answer.verdict), x=0.01, ha="left", fontsize=11)
    return figure


def differences(comparisons: "Sequence[Comparison]", ax: "Axes | None", title: str) -> "Axes":
    """Draw differences at the last checkpoint with 95% intervals, one line each."""
    from memtrace.evaluations.intervention_page import short_name

    ax = axes_for(ax, title)
    if not comparisons:
        return nothing(ax, "no such measure in both runs")
    names = []
    for i, one in enumerate(reversed(comparisons)):
        low, high = (100 * end for end in one.last.ci95)
        colour = RED if one.p_holm < 0.05 else BLUE
        ax.plot([low, high], [i, i], color=GREY, lw=1.2)
        ax.plot(100 * one.last.difference, i, "o", color=colour, ms=5)
        run = "long" if one.run.endswith("long") else "short"
        names.append(f"{short_name(one)}, {one.model.replace('-deduped', '')} {run}")
    ax.axvline(0, color=INK, lw=0.8)
    ax.set_yticks(range(len(names)), names, fontsize=8.5)
    ax.set_ylim(-0.7, len(names) - 0.3)
    ax.set_xlabel("points (perplexity: log, in %), 95% interval")
    return ax


def along_training(comparisons: "Sequence[Comparison]", ax: "Axes | None" = None) -> "Axes":
    """Draw the difference of one measure at every checkpoint of the intervention."""
    ax = axes_for(ax, "")
    tasks = [one.task for one in comparisons]
    gendered = [task for task in tasks if "gender" in task or task.startswith("wino")]
    if not tasks:
        return nothing(ax, "no measure of bias in both runs")
    task = (gendered or tasks)[0]
    mine = [one for one in comparisons if one.task == task]
    ax.set_title(f"{task}: difference along training", loc="left", fontweight="bold")
    colours = _size_colours([one.parameters for one in mine])
    for one, colour in zip(mine, colours, strict=True):
        style = "--" if one.run.endswith("long") else "-"
        label = f"{one.model.replace('-deduped', '')} {'long' if style == '--' else 'short'}"
        steps = [pair.step for pair in one.pairs]
        change = [100 * pair.difference for pair in one.pairs]
        ax.plot(steps, change, style, marker=".", color=colour, lw=1.3, label=label)
    ax.axhline(0, color=INK, lw=0.8)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("training step")
    ax.set_ylabel("percentage points")
    ax.legend(loc="upper left", ncols=5)
    ax.margins(y=0.25)
    return ax


def terms_page(answer: "TermFrequency") -> "Figure":
    """Draw, for each task, accuracy against count and the slope along training."""
    tasks = list(dict.fromkeys(one.task for one in answer.series))
    with styled():
        figure = new_figure(12, 3.9 * len(tasks) + 0.6)
        axes = figure.subplots(len(tasks), 2, squeeze=False)
        for task, (left, right) in zip(tasks, axes, strict=True):
            shots = max(one.shots for one in answer.series if one.task == task)
            mine = [o for o in answer.series if (o.task, o.shots) == (task, shots)]
            accuracy_against_count(answer, mine, left)
            slope_along_training(mine, right)
        figure.suptitle(_wrapped(answer.verdict), x=0.01, ha="left", fontsize=11)
    return figure


def accuracy_against_count(
    answer: "TermFrequency", series: "Sequence[Series]", ax: "Axes | None" = None
) -> "Axes":
    """Draw mean accuracy in ten groups of terms of like count, at the last checkpoint."""
    first = series[0]
    ax = axes_for(ax, f"{first.task.removeprefix('num_reasoning_')}, {first.shots} shots")
    for one, colour in zip(series, _size_colours([s.parameters for s in series]), strict=True):
        points = answer.points.filter(
            model=one.model, task=one.task, shots=one.shots, step=one.relations[-1].step
        ).sort("count", "term")
        tenths = np.array_split(np.arange(points.height), 10)
        count, accuracy = points["count"].to_numpy(), points["acc"].to_numpy()
        x = [float(np.exp(np.log1p(count[i]).mean())) for i in tenths if len(i)]
        y = [float(accuracy[i].mean()) for i in tenths if len(i)]
        ax.plot(x, y, "o-", color=colour, ms=3.5, lw=1.2, label=one.model.removesuffix("-deduped"))
    ax.set_xscale("log")
    ax.set_ylim(top=1.5 * ax.get_ylim()[1])  # room for the legend
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= 1])
    ax.set_xlabel("count of the term (means of ten groups of terms)")
    ax.set_ylabel("accuracy")
    ax.legend(loc="upper left", ncols=2)
    return ax


def slope_along_training(series: "Sequence[Series]", ax: "Axes | None" = None) -> "Axes":
    """Draw the slope at each checkpoint with 95% intervals."""
    ax = axes_for(ax, "Log odds for ten times the count")
    for i, (one, colour) in enumerate(
        zip(series, _size_colours([s.parameters for s in series]), strict=True)
    ):
        known = [r for r in one.relations if r.reason is None]
        if not known:
            continue
        # Shifted a little, so that intervals of several models do not cover each other.
        steps = np.array([r.step for r in known])
        x = steps + 0.004 * steps.max() * (i - (len(series) - 1) / 2)
        error = [1.96 * r.slope_error for r in known]
        style: dict[str, Any] = {"color": colour, "ms": 3.5, "lw": 1.2, "elinewidth": 0.8}
        ax.errorbar(x, [r.slope for r in known], error, fmt="o-", **style)
    ax.axhline(0, color=INK, lw=0.8)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("training step")
    ax.set_ylabel("slope")
    return ax


def _size_colours(parameters: Sequence[int | None]) -> list[Any]:
    """Return a colour for each model, darker for more parameters; grey where not known."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("size", [SMALL, BLUE, LARGE])
    order = sorted({p for p in parameters if p})
    return [colours(order.index(p) / max(len(order) - 1, 1)) if p else GREY for p in parameters]


def _wrapped(text: str) -> str:
    import textwrap

    return textwrap.fill(text, 140)
