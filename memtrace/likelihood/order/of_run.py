"""The order of the likelihoods of a run: its rows, those of a baseline, each text once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from memtrace.errors import FitError
from memtrace.likelihood.ages import age_ranges
from memtrace.likelihood.difference import MARGIN
from memtrace.likelihood.order.fit import OrderFit, fit_order
from memtrace.likelihood.order.result import Source
from memtrace.likelihood.rows import Rows, known
from memtrace.runs.likelihoods import (
    Likelihoods,
    likelihood_command,
    read_likelihoods,
    require_likelihoods,
)
from memtrace.runs.run import Run
from memtrace.texts.find import known_texts
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

SAME = ("corpus_digest", "prompt_tokens", "continuation_tokens", "offset", "temperature", "top_k")
"""What a checkpoint and its baseline have to share."""


def test_order(
    run: Run,
    *,
    baseline: Run | None = None,
    duplicates: str | Path | None = None,
    texts: Texts | None = None,
    margin: float = MARGIN,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> OrderFit:
    """Test whether training order shows in the log-likelihoods of a checkpoint.

    Sequences that are the only ones of their text are compared, near-copies taken as different
    texts: those that the checkpoint had seen with those that it had not. With a baseline, only rows
    count that it had not seen either.

    Args:
        run: A run with likelihoods.
        baseline: An earlier checkpoint of the model, see `earliest_baseline`, or a model that was
            trained in another order, with likelihoods of the same rows.
        duplicates: Folder that `memtrace corpus duplicates` wrote; a corpus of at most 2,000,000
            rows needs none. Where copies are not known, each row is taken as a text.
        texts: Which sequences are copies, where this is at hand.
        margin: Nats a token within which a difference does not matter, chosen beforehand.
        seed: Of drawn permutations, and of the sample where there are more than 1,000,000 rows.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        RunError: The order of training is not known.
        FitError: A run has no likelihoods or not all of them, the baseline does not fit, or no row
            with a likelihood had been trained on.
        CorpusError: `duplicates` is no table of the run's corpus.
    """
    run.require_order()
    require_likelihoods(run)
    first = _first_row(run, baseline)
    c = run.configuration
    if c.exposed_rows <= max(c.start, first):
        raise FitError(_not_exposed(run, baseline, first))
    corpus_texts, reason = known_texts(run, duplicates, texts)
    theirs = None if baseline is None else read_likelihoods(baseline, start=first)
    rows = _counted(joined(read_likelihoods(run, start=first), theirs), on_progress)
    if corpus_texts is not None:
        # Near-copies stay: their places are random too, and each text is there once.
        rows = once_only(rows, np.sort(corpus_texts.copies))
    source = Source(
        run.label,
        run.step,
        tuple(one.provenance for one in (run, baseline) if one is not None),
        None if baseline is None else _name(run, baseline),
        reason,
        corpus_texts is not None,
        c.part,
        c.corpus_rows - c.exposed_rows,
    )
    return fit_order(
        known(rows, f"scan all of them: {likelihood_command(run)}"),
        age_ranges(max(c.start, first), c.exposed_rows, c.step, c.sequences_per_step),
        c.sequences,
        source,
        tokens=c.continuation_tokens,
        margin=margin,
        seed=seed,
    )


def earliest_baseline(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the earliest checkpoint of a run's model that has likelihoods and saw less.

    Args:
        run: The run whose order is tested.
        runs: Runs among which to look.

    Returns:
        None where there is none.
    """
    fit = [
        one
        for one in runs
        if (one.suite, one.model) == (run.suite, run.model)
        and one.exposed_rows < run.exposed_rows
        and one.configuration.likelihood
        and one.configuration.min_probability is None
        and not _differences(run, one)
    ]
    return min(fit, key=lambda one: one.step, default=None)


def joined(
    checkpoint: Iterable[Likelihoods], baseline: Iterable[Likelihoods] | None
) -> Iterator[Rows]:
    """Yield the rows that both have, in order.

    Args:
        checkpoint: Blocks in order of the rows.
        baseline: Likewise, cut elsewhere and of other rows perhaps; None: without a baseline.
    """
    if baseline is None:
        for block in checkpoint:
            yield Rows(block.sequence_index, block.log_likelihood.astype(float), None)
        return
    ours, theirs = iter(checkpoint), iter(baseline)
    one, other = next(ours, None), next(theirs, None)
    while one is not None and other is not None:
        stop = min(one.sequence_index[-1], other.sequence_index[-1])
        i, j = (int(np.searchsorted(x.sequence_index, stop, "right")) for x in (one, other))
        yield _both(one.part(slice(i)), other.part(slice(j)))
        one = one.part(slice(i, None)) if i < len(one.sequence_index) else next(ours, None)
        other = other.part(slice(j, None)) if j < len(other.sequence_index) else next(theirs, None)


def once_only(rows: Iterable[Rows], copies: Int64Array) -> Iterator[Rows]:
    """Leave out rows whose text occurs more than once.

    Args:
        rows: In order.
        copies: Every row whose text occurs more than once, ascending.
    """
    for block in rows:
        if not len(block):
            continue
        ends = np.searchsorted(copies, [block.index[0], block.index[-1] + 1])
        repeated = copies[slice(*ends)]
        places = np.searchsorted(block.index, repeated)
        alone = np.ones(len(block), bool)
        alone[places[block.index[places] == repeated]] = False
        yield block.part(alone)


def _first_row(run: Run, baseline: Run | None) -> int:
    """Return the first row that a baseline had not seen, 0 where it followed another order."""
    if baseline is None:
        return 0
    require_likelihoods(baseline)
    if different := _differences(run, baseline):
        raise FitError(
            f"{baseline.label} cannot be the baseline of {run.label}: they differ in "
            f"{' and '.join(different)}; scan both alike"
        )
    if baseline.suite != run.suite:
        return 0
    if baseline.exposed_rows >= run.exposed_rows:
        raise FitError(
            f"{baseline.label} had seen all that {run.label} had seen "
            f"({run.exposed_rows:,} rows): choose an earlier --baseline"
        )
    return baseline.exposed_rows


def _differences(run: Run, other: Run) -> list[str]:
    one, two = run.configuration, other.configuration
    return [name.replace("_", " ") for name in SAME if getattr(one, name) != getattr(two, name)]


def _not_exposed(run: Run, baseline: Run | None, first: int) -> str:
    if baseline is not None and first > run.configuration.start:
        return (
            f"{run.label}: its rows from {run.configuration.start:,} on were seen by the baseline "
            f"{baseline.label} or not yet trained on; choose an earlier --baseline"
        )
    return (
        f"{run.label} had not been trained on any row that was scanned "
        f"({run.exposed_rows:,} rows seen, rows from {run.configuration.start:,} on scanned): "
        "there is no order to test; scan a later --step with --likelihood"
    )


def _name(run: Run, baseline: Run) -> str:
    same = (run.suite, run.model) == (baseline.suite, baseline.model)
    return f"step {baseline.step:,}" if same else baseline.label


def _counted(rows: Iterable[Rows], on_progress: Callable[[int], None]) -> Iterator[Rows]:
    for block in rows:
        on_progress(len(block))
        yield block


def _both(one: Likelihoods, other: Likelihoods) -> Rows:
    if np.array_equal(one.sequence_index, other.sequence_index):
        index = one.sequence_index
        return Rows(index, one.log_likelihood.astype(float), other.log_likelihood.astype(float))
    index, i, j = np.intersect1d(
        one.sequence_index, other.sequence_index, assume_unique=True, return_indices=True
    )
    return Rows(index, one.log_likelihood[i].astype(float), other.log_likelihood[j].astype(float))
