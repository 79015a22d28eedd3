"""Runs gathered by corpus: each gathering has its own runs, and what others say of its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from memtrace.comparison.masks import MaskedRows
from memtrace.comparison.projection import HashedCorpus, projected
from memtrace.comparison.runs import ComparedRun
from memtrace.errors import CorpusError, FitError
from memtrace.runs.memorized import Hashes


@dataclass(frozen=True, eq=False)
class Gathering:
    """Runs over the rows of one corpus."""

    own: tuple[int, ...]
    """Places of the runs of this corpus among all."""
    others: tuple[int, ...]
    """Places of runs of other corpora that are asked here too."""
    masks: MaskedRows
    """Of both, in this order."""

    @property
    def places(self) -> tuple[int, ...]:
        """Return the places of all runs here; a run's place in it is its bit."""
        return self.own + self.others


@dataclass(frozen=True, eq=False)
class Gathered:
    """All runs, by corpus; each pair of runs meets in exactly one gathering."""

    gatherings: tuple[Gathering, ...]
    unmatched: str | None
    """Why runs of different corpora do not meet; None where they do, or there is one corpus."""
    hashes: Mapping[str, Hashes]
    """By corpus, the hash of the text of each row; empty where not needed or not known."""


def gather(runs: Sequence[ComparedRun]) -> Gathered:
    """Gather runs by corpus; texts of different corpora match by their hashes.

    Raises:
        FitError: Two corpora have no text in common, or there are too many runs.
    """
    corpora: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        corpora.setdefault(run.corpus, []).append(place)
    groups = list(corpora.values())
    hashed, unmatched = _hashed(runs, groups)
    found = []
    for number, own in enumerate(groups):
        others = [] if hashed is None else groups[number + 1 :]
        events = [runs[place].events for place in own]
        for later, group in enumerate(others, number + 1):
            if hashed is not None:
                chosen = [runs[place] for place in group]
                events += projected(chosen, hashed[later], hashed[number])
        first = runs[own[0]]
        masks = MaskedRows.of(events, [runs[place].exposed_rows for place in own], first.units)
        found.append(Gathering(tuple(own), tuple(chain.from_iterable(others)), masks))
    known = {} if hashed is None else zip(corpora, (one.hashes for one in hashed), strict=True)
    return Gathered(tuple(found), unmatched, dict(known))


def _hashed(
    runs: Sequence[ComparedRun], groups: Sequence[Sequence[int]]
) -> tuple[list[HashedCorpus] | None, str | None]:
    """Return the hashes of all corpora, or None and why they are not known.

    Raises:
        FitError: Two have no text in common.
    """
    if len(groups) == 1:
        return None, None
    firsts = [runs[group[0]] for group in groups]
    hashed = []
    for run in firsts:
        try:
            hashed.append(HashedCorpus.of(run))
        except CorpusError as error:
            return None, _not_here(run, error)
    for place, run in enumerate(firsts[1:], 1):
        if not any(hashed[place].shares_text(before) for before in hashed[:place]):
            raise FitError(
                f"{firsts[0].label} and {run.label} do not compare: their corpora have no text in "
                "common; choose runs of one corpus with --models"
            )
    return hashed, None


def _not_here(run: ComparedRun, error: CorpusError) -> str:
    """Say why texts of different corpora are not matched."""
    detail = f" ({error.__cause__})" if error.__cause__ else ""
    return (
        f"the corpus of {run.label} cannot be read here{detail}, so its texts match with no other "
        "corpus: scan with --corpus and a local copy or a prefix pack"
    )
