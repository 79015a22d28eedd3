"""Twins from runs: shares by copies seen, and the texts that both corpora have."""

from collections.abc import Sequence

from memtrace.comparison.deduplication.copies import added, seen_by_copies
from memtrace.comparison.deduplication.matched import NONE_IN_BOTH, matched_shares
from memtrace.comparison.deduplication.result import Deduplication, TwinShares, TwinStep
from memtrace.comparison.deduplication.twins import Twins, find_twins
from memtrace.comparison.matching import row_hashes
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.runs import ComparedRun
from memtrace.errors import CorpusError
from memtrace.runs.memorized import Hashes


def compare_twins(runs: Sequence[ComparedRun]) -> tuple[Deduplication, ...]:
    """Compare every model with its deduplicated twin, see `find_twins`.

    Both corpora are read once, if they are on this machine, to match their texts.

    Args:
        runs: Finished runs that tested the same tokens by the same rule.
    """
    known: dict[str, Hashes | str] = {}
    return tuple(_compared(twins, known) for twins in find_twins(runs))


def _compared(twins: Twins, known: dict[str, Hashes | str]) -> Deduplication:
    pairs = list(zip(twins.standard, twins.deduplicated, strict=True))
    for run in pairs[0]:
        if run.corpus not in known:
            known[run.corpus] = _hashes(run)
    steps = tuple(_step(one, other, known[one.corpus], known[other.corpus]) for one, other in pairs)
    standard, deduplicated = (f"{run.suite}/{run.model}" for run in pairs[0])
    return Deduplication(standard, deduplicated, steps)


def _step(
    standard: ComparedRun,
    deduplicated: ComparedRun,
    ours: Hashes | str,
    theirs: Hashes | str,
) -> TwinStep:
    seen = [seen_by_copies(run) for run in (standard, deduplicated)]
    by_copies = {name: TwinShares(one, seen[1][name]) for name, one in seen[0].items() if seen[1]}
    total = TwinShares(added(seen[0]), added(seen[1])) if by_copies else None
    reason = None if by_copies else standard.texts_reason or deduplicated.texts_reason
    tables: dict[str, PairedShares] = {}
    if isinstance(ours, str):
        why = ours
    elif isinstance(theirs, str):
        why = theirs
    else:
        tables, why = matched_shares(standard, deduplicated, (ours, theirs)), NONE_IN_BOTH
    every = _added(tables)
    if not every.texts:
        return TwinStep(standard.step, by_copies, total, {}, None, reason, why)
    return TwinStep(standard.step, by_copies, total, tables, every, reason)


def _hashes(run: ComparedRun) -> Hashes | str:
    """Return the hash of every row of a run's corpus, or why they are not known."""
    try:
        return row_hashes(run.run)
    except CorpusError:
        return f"texts match by reading both corpora, and that of {run.label} cannot be read here"


def _added(tables: dict[str, PairedShares]) -> PairedShares:
    names = ("texts", "both", "baseline_only", "model_only")
    return PairedShares(*(sum(getattr(one, name) for one in tables.values()) for name in names))
