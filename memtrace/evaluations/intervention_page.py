"""The printed page of interventions: bias first, then what it cost.

It decides nothing: every number comes from the comparison.
"""

import math
from typing import TYPE_CHECKING, Any

from memtrace.evaluations.intervention import BIAS_METRICS
from memtrace.evaluations.page import files_table, interval_text, number, p_text, page, table_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from memtrace.evaluations.intervention import Comparison, Intervention

SHOWN = ("crows_pairs_english", "crows_pairs_english_gender")
"""Measures of bias that the page shows in any case; of others those with an adjusted p below 5%,
and WinoBias and WinoGender, which are about gender too."""
NAME = 18
"""Characters of a measure's name."""
_SHORT = {"crows_pairs": "crows", "english": "en", "french": "fr", "wino_bias": "wino", "+": " "}


def verdict(answer: "Intervention") -> str:
    """Return the answer in one plain sentence."""
    bias = [one for one in answer.comparisons if one.kind == "bias"]
    cost = [one for one in answer.comparisons if one.kind == "cost"]
    parts = []
    if bias:
        parts.append(f"{_found(bias)} of bias changed at the end of training (Holm)")
        parts.append(_gender(bias))
    if cost:
        parts.append(f"{_found(cost)} of language modelling changed")
    return "; ".join(part for part in parts if part) + "."


def intervention_page(answer: "Intervention") -> "RenderableType":
    """Return the page."""
    bias = [one for one in answer.comparisons if one.kind == "bias"]
    cost = [one for one in answer.comparisons if one.kind == "cost"]
    shown = [one for one in bias if is_shown(one)]
    blocks: list[tuple[str, Any]] = []
    if shown:
        left = f"; {len(bias) - len(shown)} more in --json" if len(shown) < len(bias) else ""
        blocks.append((f"Bias, intervened minus baseline, last checkpoint{left}", _table(shown)))
    if cost:
        title = "Cost, intervened minus baseline, last checkpoint (perplexity: ratio)"
        blocks.append((title, _table(cost)))
    note = (
        "Both runs answer the same questions: intervals from independent errors are too wide, not "
        "too narrow.\nagain: what a second evaluation of the same baseline changed. sign: "
        "checkpoints at which the difference\nhas the sign of the last. Holm and BY: adjusted for "
        f"{len(bias)} measures of bias, {len(cost)} of cost."
    )
    blocks.append(("Read with care", _text(note)))
    if answer.unpaired:
        blocks.append((f"No baseline for {len(answer.unpaired)} measures", _listed(answer)))
    blocks.append(("Evaluations", files_table(answer.evaluations)))
    return page("Intervention against baseline", answer.verdict, blocks)


def is_shown(one: "Comparison") -> bool:
    """Say whether a measure of bias is among those that page and figure show."""
    return one.task in SHOWN or one.task.startswith("wino") or one.p_holm < 0.05


def _found(measures: "list[Comparison]") -> str:
    changed = sum(one.p_holm < 0.05 for one in measures)
    return f"{changed} of {len(measures)} measures"


def _gender(bias: "list[Comparison]") -> str:
    """Say how far the measure that the swap of pronouns aims at moved."""
    aimed = [one for one in bias if one.task == "crows_pairs_english_gender"]
    if not aimed:
        return ""
    change = [100 * one.last.difference for one in aimed]
    widest = max(aimed, key=lambda one: one.last.error)
    half = 100 * 1.96 * widest.last.error
    return (
        f"stereotyped choices about gender (English) moved by {min(change):+.1f} to "
        f"{max(change):+.1f} points, known to {half:.1f} points"
    )


def _text(words: str) -> Any:
    from rich.text import Text

    return Text(words)


def _listed(answer: "Intervention") -> Any:
    more = len(answer.unpaired) - 8
    lines = [*answer.unpaired[:8], *([f"and {more} more (all in --json)"] if more > 0 else [])]
    return _text("\n".join(lines))


def _table(comparisons: "list[Comparison]") -> "Table":
    names = ("run", "before", "after", "change", "95% interval", "again", "sign", "Holm", "BY")
    table = table_of("measure", "model", *names)
    previous = ""
    for one in comparisons:
        name = short_name(one)
        last, ratio = one.last, one.metric not in BIAS_METRICS
        change, again, *ends = (
            math.exp(value) if ratio else 100 * value
            for value in (last.difference, one.reevaluated or 0.0, *last.ci95)
        )
        table.add_row(
            "" if name == previous else name,
            one.model.replace("-deduped", ""),
            "long" if one.run.endswith("long") else "short",
            number(last.baseline if ratio else 100 * last.baseline),
            number(last.intervened if ratio else 100 * last.intervened),
            f"x {change:.3f}" if ratio else f"{change:+.1f}",
            interval_text((ends[0], ends[1]), "{:.3f}" if ratio else "{:+.1f}"),
            "-" if one.reevaluated is None else f"x {again:.3f}" if ratio else f"{again:+.1f}",
            "-" if one.same_sign is None else f"{one.same_sign}/{len(one.pairs)}",
            p_text(one.p_holm),
            p_text(one.p_by),
        )
        previous = name
    return table


def short_name(one: "Comparison") -> str:
    """Return a name of the measure that leaves room for the numbers."""
    name = one.task if one.kind == "bias" else f"{one.task} {one.metric}"
    for long, short in _SHORT.items():
        name = name.replace(long, short)
    return name if len(name) <= NAME else f"{name[: NAME - 1]}…"
