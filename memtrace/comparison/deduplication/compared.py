"""Twins from runs: shares by copies seen, and the texts that both corpora have."""

from collections.abc import Mapping, Sequence

from memtrace.comparison.deduplication.copies import added, seen_by_copies
from memtrace.comparison.deduplication.matched import NONE_IN_BOTH, matched_shares
from memtrace.comparison.deduplication.result import Deduplication, TwinShares, TwinStep
from memtrace.comparison.deduplication.twins import Twins, find_twins
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.runs import ComparedRun
from memtrace.runs.memorized import Hashes


def compare_twins(
    runs: Sequence[ComparedRun], hashes: Mapping[str, Hashes], unmatched: str | None = None
) -> tuple[Deduplication, ...]:
    """Compare every model with its deduplicated twin, see `find_twins`.

    Args:
        runs: Finished runs that tested the same tokens by the same rule.
        hashes: By corpus, of the text of each of its rows; empty where they are not known.
        unmatched: Why they are not.
    """
    return tuple(_compared(twins, hashes, unmatched) for twins in find_twins(runs))


def _compared(twins: Twins, hashes: Mapping[str, Hashes], unmatched: str | None) -> Deduplication:
    pairs = list(zip(twins.standard, twins.deduplicated, strict=True))
    steps = tuple(_step(one, other, hashes, unmatched) for one, other in pairs)
    standard, deduplicated = (f"{run.suite}/{run.model}" for run in pairs[0])
    return Deduplication(standard, deduplicated, steps)


def _step(
    standard: ComparedRun,
    deduplicated: ComparedRun,
    hashes: Mapping[str, Hashes],
    unmatched: str | None,
) -> TwinStep:
    seen = [seen_by_copies(run) for run in (standard, deduplicated)]
    by_copies = {name: TwinShares(one, seen[1][name]) for name, one in seen[0].items() if seen[1]}
    total = TwinShares(added(seen[0]), added(seen[1])) if by_copies else None
    reason = None if by_copies else standard.texts_reason or deduplicated.texts_reason
    tables: dict[str, PairedShares] = {}
    if hashes:
        both = hashes[standard.corpus], hashes[deduplicated.corpus]
        tables = matched_shares(standard, deduplicated, both)
    every = _added(tables)
    if not every.texts:
        why = NONE_IN_BOTH if hashes else unmatched
        return TwinStep(standard.step, by_copies, total, {}, None, reason, why)
    return TwinStep(standard.step, by_copies, total, tables, every, reason)


def _added(tables: dict[str, PairedShares]) -> PairedShares:
    names = ("texts", "both", "baseline_only", "model_only")
    return PairedShares(*(sum(getattr(one, name) for one in tables.values()) for name in names))
