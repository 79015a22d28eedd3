"""Pairs of models from runs: tables at each checkpoint, and one hazard ratio over all of them."""

from collections.abc import Callable, Sequence

from memtrace.comparison.paired.hazard_ratio import HazardRatio, hazard_ratio
from memtrace.comparison.paired.likelihoods import likelihood_difference
from memtrace.comparison.paired.pairing import Pair, find_pairs
from memtrace.comparison.paired.result import PairedModels, PairedStep
from memtrace.comparison.paired.tables import paired_shares
from memtrace.comparison.paired.times import paired_times
from memtrace.comparison.paired.units import PairUnits, is_order_known, units_of
from memtrace.comparison.runs import ComparedRun


def compare_pairs(
    runs: Sequence[ComparedRun], on_progress: Callable[[int], None] = lambda _: None
) -> tuple[PairedModels, ...]:
    """Compare every model with its baseline, see `find_pairs`.

    Args:
        runs: Finished runs that tested the same tokens by the same rule.
        on_progress: Called with the number of log-likelihoods read since the last call.

    Raises:
        RunError: A folder cannot be read.
    """
    return tuple(_compared(pair, on_progress) for pair in find_pairs(runs))


def _compared(pair: Pair, on_progress: Callable[[int], None]) -> PairedModels:
    units = units_of([*pair.baselines, *pair.models])
    steps = tuple(
        PairedStep(
            baseline.step,
            paired_shares(baseline, model, units),
            likelihood_difference(baseline, model, on_progress, units),
            is_order_known(baseline, model),
        )
        for baseline, model in zip(pair.baselines, pair.models, strict=True)
    )
    one, other = pair.baselines[-1], pair.models[-1]
    baseline, model = (f"{run.suite}/{run.model}" for run in (one, other))
    return PairedModels(baseline, model, units.name, steps, _hazard_ratio(pair, units))


def _hazard_ratio(pair: Pair, units: PairUnits) -> HazardRatio | None:
    """Return the ratio over the checkpoints that had seen something, each more than the last."""
    kept, seen = [], 0
    for baseline, model in zip(pair.baselines, pair.models, strict=True):
        if is_order_known(baseline, model) and baseline.exposed_rows > seen:
            kept.append((baseline, model))
            seen = baseline.exposed_rows
    if len(kept) < 2:
        return None
    baselines, models = zip(*kept, strict=True)
    return hazard_ratio(paired_times(baselines, models, units))
