"""Runs gathered by corpus: each gathering has its own runs, and what others say of its rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from memtrace.comparison.batches import Batch, batches
from memtrace.comparison.masks import MaskedRows
from memtrace.comparison.matching import MatchedCorpora, row_hashes
from memtrace.comparison.projection import projected
from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.telling import last_checkpoints
from memtrace.errors import CorpusError, FitError
from memtrace.runs.memorized import Events, Hashes


@dataclass(frozen=True, eq=False)
class Gathering:
    """Runs over the rows of one corpus, and which of their pairs and steps are to be counted."""

    batch: Batch
    masks: MaskedRows

    @property
    def places(self) -> tuple[int, ...]:
        """Return the places of all runs here; a run's place in it is its bit."""
        return self.batch.own + self.batch.others

    def bits(self, places: Sequence[int]) -> list[int]:
        """Return the bits of runs by their places among all."""
        return [self.bit(place) for place in places]

    def bit(self, place: int) -> int:
        """Return the bit of a run by its place among all."""
        return self._at[place]

    @cached_property
    def _at(self) -> dict[int, int]:
        return {place: bit for bit, place in enumerate(self.places)}


@dataclass(frozen=True, eq=False)
class Corpora:
    """Runs by corpus, and the texts that two of the corpora have or more."""

    runs: tuple[ComparedRun, ...]
    matched: MatchedCorpora | None
    """None where texts are not matched, or there is one corpus."""
    unmatched: str | None
    """Why runs of different corpora do not meet; None where they do, or there is one corpus."""

    def gatherings(self) -> Iterator[Gathering]:
        """Yield what is counted together: each pair of runs meets in one gathering.

        Raises:
            RunError: Events cannot be read.
        """
        groups = list(by_corpus(self.runs).values())
        for number, own in enumerate(groups):
            others = [] if self.matched is None else [p for g in groups[number + 1 :] for p in g]
            asked = _Asked(self.runs, self.runs[own[0]].corpus, self.matched, {*own})
            for batch in batches(self.runs, own, others):
                places = batch.own + batch.others
                exposed = [self.runs[place].exposed_rows for place in batch.own]
                events = [asked.events(place) for place in places]
                yield Gathering(batch, MaskedRows.of(events, exposed, self.runs[own[0]].units))


@dataclass(eq=False)
class _Asked:
    """What runs say of the rows of one corpus; of other corpora the last checkpoints are kept."""

    runs: Sequence[ComparedRun]
    corpus: str
    matched: MatchedCorpora | None
    own: set[int]
    _kept: dict[int, Events] = field(default_factory=dict)

    def events(self, place: int) -> Events:
        run = self.runs[place]
        if place in self.own or self.matched is None:
            return run.events
        if place in self._kept:
            return self._kept[place]
        found = projected(run, self.corpus, self.matched)
        if place in last_checkpoints(self.runs, range(len(self.runs))):
            self._kept[place] = found
        return found


def by_corpus(runs: Sequence[ComparedRun]) -> dict[str, list[int]]:
    """Return the places of the runs of each corpus."""
    corpora: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        corpora.setdefault(run.corpus, []).append(place)
    return corpora


def match_corpora(runs: Sequence[ComparedRun]) -> Corpora:
    """Match texts of different corpora by their hashes.

    Raises:
        FitError: A corpus has no text in common with another.
    """
    corpora = by_corpus(runs)
    firsts = {corpus: runs[places[0]] for corpus, places in corpora.items()}
    if len(firsts) == 1:
        return Corpora(tuple(runs), None, None)
    hashes: dict[str, Hashes] = {}
    for corpus, run in firsts.items():
        try:
            hashes[corpus] = row_hashes(run.run)
        except CorpusError as error:
            return Corpora(tuple(runs), None, _not_here(run, error))
    matched = MatchedCorpora.of(hashes)
    for corpus, run in reversed(firsts.items()):
        if not matched.has_match(corpus):
            other = next(one for one in firsts.values() if one is not run)
            raise FitError(
                f"{other.label} and {run.label} do not compare: their corpora have no text in "
                "common; choose runs of one corpus with --models"
            )
    return Corpora(tuple(runs), matched, None)


def _not_here(run: ComparedRun, error: CorpusError) -> str:
    """Say why texts of different corpora are not matched."""
    return (
        f"the corpus of {run.label} cannot be read here ({error}), so its texts match with no "
        "other corpus: scan with --corpus and a local copy or a prefix pack"
    )
