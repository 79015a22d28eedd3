"""Everything that a comparison of runs finds out, as frozen values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from memtrace.comparison.batches import are_all_paired
from memtrace.comparison.budget import Plan
from memtrace.comparison.coverage import rows_in
from memtrace.comparison.deduplication.result import Deduplication
from memtrace.comparison.overlap import Combinations, Overlap
from memtrace.comparison.paired.result import PairedModels
from memtrace.comparison.prediction import Prediction
from memtrace.comparison.profile.result import Profile
from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.scale import ScaleLine, ScalePoint
from memtrace.comparison.seeds import SeedGroup
from memtrace.comparison.telling import last_checkpoints, most_telling

DRAWN = 32
"""Runs that a heat map shows where not every pair was counted."""
ROWS_AS_TEXTS = "rows are taken as different texts"
OF_SAMPLE = "rows are a random sample, in which a text with more copies is more likely to be"
BY_HASH = "copies are told among memorized sequences alone, near-copies are not"


@dataclass(frozen=True, eq=False)
class ComparisonResult:
    """Runs side by side; every other value names a run by its place among them."""

    runs: tuple[ComparedRun, ...]
    """By corpus, size, model and step."""
    points: tuple[ScalePoint, ...]
    """One a run, in this order."""
    lines: tuple[ScaleLine, ...]
    """By suite, corpus, step and class of exposure."""
    predictions: tuple[Prediction, ...]
    plans: tuple[Plan, ...]
    overlaps: tuple[Overlap, ...]
    combinations: Combinations | None
    """None for a single run, or where texts of different corpora do not match."""
    seeds: tuple[SeedGroup, ...]
    deduplication: tuple[Deduplication, ...] = ()
    """A model and its deduplicated twin."""
    paired: tuple[PairedModels, ...] = ()
    """A model and its baseline, of one size, on the same rows."""
    profiles: tuple[Profile, ...] = ()
    """Of every model with two checkpoints or more."""
    unmatched: str | None = None
    """Why runs of different corpora are not matched; None where they are or need not be."""

    unpaired: tuple[str, ...] = ()
    """Why models of one size are no pair at some step."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """Return what stands beside every interval: empty of whole runs whose copies are known."""
        sampled = any(run.run.configuration.sample_size is not None for run in self.runs)
        unknown = [run for run in self.runs if run.texts is None]
        named = [run for run in unknown if run.hashed]
        found = [OF_SAMPLE] * sampled + [BY_HASH] * bool(named)
        return tuple(found + ([ROWS_AS_TEXTS] if len(named) < len(unknown) else []))

    @property
    def unit(self) -> str:
        """Return what is counted: a text, or a sequence where copies are not known of a run."""
        return "sequence" if ROWS_AS_TEXTS in self.caveats else "text"

    @property
    def are_all_paired(self) -> bool:
        """Return whether every pair of runs was counted, and not a choice of them."""
        return are_all_paired(self.runs)

    @cached_property
    def drawn_predictions(self) -> tuple[Prediction, ...]:
        """Return those that are drawn: all, or of many runs some that predict a last checkpoint."""
        if self.are_all_paired:
            return self.predictions
        every = range(len(self.runs))
        some, last = set(most_telling(self.runs, every, DRAWN)), self._last_drawn
        return tuple(one for one in self.predictions if one.source in some and one.target in last)

    @cached_property
    def drawn_overlaps(self) -> tuple[Overlap, ...]:
        """Return those that are drawn: all, or of many runs those of last checkpoints."""
        if self.are_all_paired:
            return self.overlaps
        last = self._last_drawn
        return tuple(one for one in self.overlaps if last >= {one.a, one.b})

    def telling_points(self, most: int) -> list[ScalePoint]:
        """Return at most so many points, evenly over the training of each model."""
        kept = set(most_telling(self.runs, range(len(self.runs)), most))
        return [one for one in self.points if one.run in kept]

    @property
    def _last_drawn(self) -> set[int]:
        """Return the places of the last checkpoints that are drawn."""
        last = last_checkpoints(self.runs, range(len(self.runs)))
        return set(most_telling(self.runs, sorted(last), DRAWN))

    @property
    def narrowed(self) -> tuple[ScalePoint, ...]:
        """Return the points on a part of what their run had seen, or of what it scanned."""
        return tuple(one for one in self.points if one.rows < _whole(self.runs[one.run]))

    def is_order_known(self, places: Iterable[int]) -> bool:
        """Return whether it is known of these runs which rows they had been trained on."""
        return all(self.runs[place].run.is_order_known for place in places)

    @property
    def of_texts(self) -> str:
        """Return of which texts shares are: `trained on`, `scanned`, or what holds of each run."""
        known = {run.run.is_order_known for run in self.runs}
        if len(known) == 2:
            return "trained on, or scanned where no order is known"
        return "trained on" if known.pop() else "scanned"

    @property
    def copies_reasons(self) -> tuple[str, ...]:
        """Return why copies are not known, once for each corpus."""
        return tuple(dict.fromkeys(run.texts_reason for run in self.runs if run.texts_reason))

    @property
    def drawn_profile(self) -> Profile:
        """Return the last profile that has an effect; there is one where it is drawn."""
        return [one for one in self.profiles if one.instantaneous is not None][-1]

    def label(self, place: int) -> str:
        """Return what names a run here: as short as is unique among the runs."""
        return self._labels[place]

    @cached_property
    def _labels(self) -> list[str]:
        return short_labels(self.runs)


def short_labels(runs: Sequence[ComparedRun]) -> list[str]:
    """Return a name for each run: the model, its suite if there are several, its step likewise."""
    suites = len({run.suite for run in runs}) > 1
    steps = len({run.step for run in runs}) > 1
    models = len({(run.suite, run.model) for run in runs}) > 1
    if steps and not models:
        return [f"step {run.step}" for run in runs]
    return [
        (f"{run.suite}/" if suites else "") + run.model + (f" step {run.step}" if steps else "")
        for run in runs
    ]


def _whole(run: ComparedRun) -> int:
    """Return the rows that a run would have to share for its shares to be of all that it saw.

    They are all that it scanned and, where it left some out, all that it had been trained on too.
    """
    return run.scanned_sequences + run.exposed_rows - rows_in(run.scanned_exposed)
