"""The order of several checkpoints side by side: one row each, p-values adjusted for their number.

Checkpoints of one model are not replicates: their likelihoods are of the same sequences.
"""

from collections.abc import Sequence

from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.text import nats
from memtrace.likelihood.order.verdict import age_text
from memtrace.point_process.contrasts import adjust_p_values
from memtrace.report.numbers import DASH, interval, number, p_value, percent
from memtrace.report.text import Columns, columns

COLUMNS = (
    "step",
    "exposed",
    "unexposed",
    "nats",
    "95%",
    "p",
    "rho",
    "p of rho",
    "largest",
    "left",
    "controls",
)
LEGEND = (
    "Exposed minus unexposed, nats a sequence; rho: rank correlation of order and likelihood among "
    "exposed sequences, given the baseline where there is one; largest: steps since exposure of "
    "the largest effect among ages whose band leaves out 0; left: share of it at the oldest age. "
    "p-values hold for all rows of the table together (Holm)."
)


def table_rows(fits: Sequence[OrderResult]) -> list[tuple[str, ...]]:
    """Return a row for each checkpoint, as `COLUMNS` names the cells."""
    effect = adjust_p_values([fit.difference.p_value for fit in fits], "holm").tolist()
    order = adjust_p_values([fit.order.p_value for fit in fits], "holm").tolist()
    models = {_model(fit) for fit in fits}
    return [
        (
            fit.source.label if len(models) > 1 else f"{fit.source.step:,}",
            f"{fit.difference.exposed:,}",
            f"{fit.difference.unexposed:,}",
            nats(fit.difference.nats),
            interval(fit.difference.interval(), nats),
            p_value(effect[place]),
            number(fit.order.rho, 3),
            p_value(order[place]),
            _largest(fit),
            percent(fit.recency.retention, 2),
            "fail" if fit.controls.failed else "hold",
        )
        for place, fit in enumerate(fits)
    ]


def order_table(fits: Sequence[OrderResult]) -> Columns:
    """Return the table of several checkpoints as it is printed."""
    return columns(COLUMNS, table_rows(fits))


def _model(fit: OrderResult) -> str:
    return fit.source.label.rpartition(" step ")[0]


def _largest(fit: OrderResult) -> str:
    largest = fit.recency.largest
    return age_text(largest.steps_ago, "").rstrip("s ") if largest else DASH
