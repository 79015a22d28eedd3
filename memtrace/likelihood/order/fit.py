"""Does training order matter, in the likelihoods? Rows in, every statistic out."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from memtrace.errors import FitError
from memtrace.likelihood.ages import Ages, age_ranges
from memtrace.likelihood.controls import Controls
from memtrace.likelihood.difference import MARGIN, adjusted_difference, raw_difference
from memtrace.likelihood.order.document import document
from memtrace.likelihood.order.figures import overview
from memtrace.likelihood.order.page import brief, head
from memtrace.likelihood.order.result import OrderResult, Source
from memtrace.likelihood.order.text import printed
from memtrace.likelihood.order.verdict import verdict
from memtrace.likelihood.recency import recency_curve
from memtrace.likelihood.rows import OrderSums, Rows, known
from memtrace.manifests.schedule import SequencesPerStep
from memtrace.report.base import Renderers, Report


class OrderFit(Report, OrderResult):
    """A result that shows itself: see `OrderResult` for the values."""

    renderers = Renderers(verdict, document, printed, overview, head, brief)


def order_of_rows(
    sequence_index: npt.ArrayLike,
    log_likelihood: npt.ArrayLike,
    *,
    baseline: npt.ArrayLike | None = None,
    exposed_rows: int,
    step: int | None = None,
    sequences_per_step: SequencesPerStep | None = None,
    tokens: int = 32,
    margin: float = MARGIN,
    seed: int = 0,
) -> OrderFit:
    """Test the order of rows whose likelihoods are at hand.

    Args:
        sequence_index: Row numbers in training order, ascending, shape (n,); of each text one.
        log_likelihood: Of their continuations at the checkpoint, nats, shape (n,).
        baseline: The same at a checkpoint that had seen none of these rows, or of a model that
            was trained on other data, shape (n,).
        exposed_rows: Rows [0, exposed_rows) of the corpus were seen by the checkpoint.
        step: The checkpoint.
        sequences_per_step: Rows that each step consumes; without it ages count sequences.
        tokens: Of a continuation.
        margin: Nats a token within which a difference does not matter.
        seed: Of drawn permutations.

    Raises:
        FitError: Nothing is exposed, values are not finite or rows not ascending.
    """
    index = np.asarray(sequence_index, np.int64)
    y = np.asarray(log_likelihood, float)
    b = None if baseline is None else np.asarray(baseline, float)
    if len(y) != len(index) or (b is not None and len(b) != len(index)):
        raise FitError(f"{len(index)} rows with {len(y)} log-likelihoods: give one for each row")
    if len(index) and (np.diff(index) <= 0).any():
        raise FitError("rows must be ascending and unique: sort them, and keep one of each")
    first = int(index[0]) if len(index) else 0
    if step is None:
        sequences_per_step = None
    ages = age_ranges(first, exposed_rows, step or 0, sequences_per_step)
    rows = known([Rows(index, y, b)], "leave these rows out, or compute their likelihoods")
    source = Source(step=step, baseline=None if b is None else "the baseline")
    return fit_order(rows, ages, len(index), source, tokens=tokens, margin=margin, seed=seed)


def fit_order(
    rows: Iterable[Rows],
    ages: Ages,
    most_rows: int,
    source: Source,
    *,
    tokens: int,
    margin: float,
    seed: int,
) -> OrderFit:
    """Sum the rows and test what they add up to.

    Args:
        rows: In order of training, each the only one of its text.
        ages: Ranges of the exposed ones.
        most_rows: At least as many rows as come.
        source: Where they come from; it has a baseline if they have.
        tokens: Of a continuation.
        margin: Nats a token within which a difference does not matter.
        seed: Of drawn permutations, and of the sample where there are very many rows.

    Raises:
        FitError: Nothing is exposed, or the margin is not above 0.
    """
    baseline = source.baseline is not None
    if not margin > 0:
        raise FitError(f"margin {margin:g} must be above 0 nats a token, such as {MARGIN:g}")
    seeds = np.random.SeedSequence(seed).spawn(5)
    sums = OrderSums(ages, tokens, baseline=baseline, most_rows=most_rows, seed=seeds[0])
    for block in rows:
        sums.add(block)
    if not sums.exposed.n:
        raise FitError(_nothing(source, sums.unexposed.n))
    raw = raw_difference(sums.exposed, sums.unexposed)
    adjusted = adjusted_difference(sums.exposed, sums.unexposed) if baseline else None
    kept = sums.rows
    pool = np.column_stack(
        (np.zeros(len(kept)) if kept.baseline is None else kept.baseline, kept.log_likelihood)
    )
    return OrderFit(
        source=source,
        tokens=tokens,
        ages=ages,
        exact=sums.exact,
        spearman=sums.correlation("exposed", "log_likelihood", seeds[1]),
        partial=sums.partial() if baseline else None,
        raw=raw,
        adjusted=adjusted,
        equivalence=(adjusted or raw).equivalence(margin, tokens),
        recency=recency_curve(
            ages.steps_ago[::-1], sums.bins[::-1], sums.unexposed, pool, seeds[2]
        ),
        controls=Controls(
            sums.correlation("unexposed", "log_likelihood", seeds[3]),
            sums.baseline_correlation(seeds[4]) if baseline else None,
            sums.baseline_balance() if baseline else None,
        ),
        seed=seed,
    )


def _nothing(source: Source, unexposed: int) -> str:
    where = source.label or "these rows"
    if not unexposed and source.baseline:
        return (
            f"{where}: no row that {source.baseline} had not been trained on has a likelihood at "
            "both checkpoints; scan both with --include-unexposed"
        )
    if not unexposed and source.once:
        return (
            f"{where}: every text that was scanned occurs more than once, and copies of a text are "
            "not independent; `memtrace fit-poisson` tests the order of such texts"
        )
    return (
        f"{where}: none of the {unexposed:,} rows with a likelihood had been trained on at this "
        "checkpoint, so there is no order to test; scan a later --step"
    )
