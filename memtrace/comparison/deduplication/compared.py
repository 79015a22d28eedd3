"""Twins from runs: shares by copies seen, and the texts that both corpora have."""

from memtrace.comparison.corpora import Corpora
from memtrace.comparison.deduplication.copies import added, seen_by_copies
from memtrace.comparison.deduplication.matched import NONE_IN_BOTH, matched_shares
from memtrace.comparison.deduplication.result import Deduplication, TwinShares, TwinStep
from memtrace.comparison.deduplication.twins import Twins, find_twins
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.paired.units import is_order_known
from memtrace.comparison.runs import ComparedRun


def compare_twins(corpora: Corpora) -> tuple[Deduplication, ...]:
    """Compare every model with its deduplicated twin, see `find_twins`.

    Args:
        corpora: Finished runs that tested the same tokens by the same rule, and texts that match.
    """
    return tuple(_compared(twins, corpora) for twins in find_twins(corpora.runs))


def _compared(twins: Twins, corpora: Corpora) -> Deduplication:
    pairs = list(zip(twins.standard, twins.deduplicated, strict=True))
    steps = tuple(_step(one, other, corpora) for one, other in pairs)
    standard, deduplicated = (f"{run.suite}/{run.model}" for run in pairs[0])
    return Deduplication(standard, deduplicated, steps)


def _step(standard: ComparedRun, deduplicated: ComparedRun, corpora: Corpora) -> TwinStep:
    seen = [seen_by_copies(run) for run in (standard, deduplicated)]
    by_copies = {name: TwinShares(one, seen[1][name]) for name, one in seen[0].items() if seen[1]}
    total = TwinShares(added(seen[0]), added(seen[1])) if by_copies else None
    reason = None if by_copies else standard.texts_reason or deduplicated.texts_reason
    tables: dict[str, PairedShares] = {}
    if corpora.matched is not None:
        tables = matched_shares(standard, deduplicated, corpora.matched)
    every, why, known = _added(tables), None, is_order_known(standard, deduplicated)
    if not every.texts:
        tables, why = {}, corpora.unmatched or NONE_IN_BOTH
    both = every if tables else None
    return TwinStep(standard.step, by_copies, total, tables, both, reason, why, known)


def _added(tables: dict[str, PairedShares]) -> PairedShares:
    names = ("texts", "both", "baseline_only", "model_only")
    return PairedShares(*(sum(getattr(one, name) for one in tables.values()) for name in names))
