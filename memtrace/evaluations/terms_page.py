"""The printed page of term frequency: one line a model, task and shots.

It decides nothing: every number comes from the relations.
"""

from typing import TYPE_CHECKING, Any

from memtrace.evaluations.page import p_text, page, table_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from memtrace.evaluations.terms import Series, TermFrequency


def verdict(answer: "TermFrequency") -> str:
    """Return the answer in one plain sentence."""
    known = [one for one in answer.series if one.p_holm == one.p_holm]
    if not known:
        return "No relation could be estimated: too few terms have a right answer."
    up = [one for one in known if one.p_holm < 0.05 and one.relations[-1].slope > 0]
    down = [one for one in known if one.p_holm < 0.05 and one.relations[-1].slope < 0]
    said = (
        f"At the last checkpoint accuracy rises with frequency in {len(up)} of {len(known)} series "
        f"of a model, task and shots (Holm)"
    )
    said += f", and falls in {len(down)}" if down else ""
    moved = [one for one in known if sets_in(one)]
    return f"{said}; in {len(moved)} the relation strengthens at a change point along training."


def sets_in(one: "Series") -> bool:
    """Say whether a series has a change point at which the relation grows (p < 5%, unadjusted)."""
    return one.onset.p_value < 0.05 and one.onset.after > one.onset.before


def terms_page(answer: "TermFrequency") -> "RenderableType":
    """Return the page."""
    blocks: list[tuple[str, Any]] = []
    for task in dict.fromkeys(one.task for one in answer.series):
        mine = [one for one in answer.series if one.task == task]
        blocks.append((f"{task}: last checkpoint, and where the slope changes", _table(mine)))
    blocks.append(("Read with care", _notes(answer)))
    return page("Accuracy and the frequency of terms", answer.verdict, blocks)


def _table(series: "list[Series]") -> "Table":
    names = ("shots", "accuracy", "tau", "slope", "error", "Holm", "changes in", "from", "to", "p")
    table = table_of("model", *names)
    for one in series:
        last, onset = one.relations[-1], one.onset
        table.add_row(
            one.model.removesuffix("-deduped"),
            str(one.shots),
            f"{last.accuracy:.3f}",
            _short(last.rank_correlation),
            _short(last.slope),
            _short(last.slope_error),
            p_text(one.p_holm),
            "-" if onset.ci95 is None else "{:,} to {:,}".format(*onset.ci95),
            _short(onset.before),
            _short(onset.after),
            p_text(onset.p_value),
        )
    return table


def _short(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"


def _notes(answer: "TermFrequency") -> Any:
    from rich.text import Text

    lines = [
        f"counts of: {answer.counted_at}; questions for each term: {answer.questions} (from the "
        "standard errors)",
        "slope: log odds for ten times the count. Frequent terms are also easier in other ways: "
        "no slope is a cause.",
        "changes in: steps between which the slope changes (95%), from one level to another; p is "
        "unadjusted.",
    ]
    if answer.unmatched_terms:
        some = ", ".join(answer.unmatched_terms[:8])
        lines.append(f"without a count and left out: {len(answer.unmatched_terms)} terms ({some})")
    return Text("\n".join(lines))
