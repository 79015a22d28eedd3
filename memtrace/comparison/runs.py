"""Runs as a comparison sees them: the model, what it saw, what was scanned, what was memorized."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from memtrace.comparison.coverage import intersection, rows_in
from memtrace.comparison.facts import UNKNOWN, ModelFacts, Seed, model_facts
from memtrace.comparison.reading import EventReader
from memtrace.errors import CorpusError, FitError
from memtrace.manifests import load_suites
from memtrace.manifests.schedule import SequencesPerStep
from memtrace.runs.events import is_finished
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run
from memtrace.texts.find import find_texts, known_texts
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One run as a comparison sees it."""

    run: Run
    facts: ModelFacts
    corpus: str
    """Equal for runs whose rows are the same: the digest, or the name where it was not read."""
    read: Callable[[], Events]
    """Reads memorized rows, their hashes where these are asked for and known, and ranges."""
    scanned: Int64Array
    """Half-open ranges of rows that were scanned, ascending and disjoint, shape (r, 2)."""
    memorized: int
    """Memorized rows."""
    memorized_exposed: int
    """Those that it had been trained on."""
    hashed: bool
    """Whether the hashes of the texts of memorized rows are known."""
    texts: Texts | None
    """Copies in the corpus, one value for all runs of it; None where they are not known."""
    texts_reason: str | None
    """Why they are not known."""

    @classmethod
    def of(
        cls,
        run: Run,
        facts: ModelFacts,
        corpus: str,
        read: Callable[[], Events],
        texts: tuple[Texts | None, str | None],
    ) -> "ComparedRun":
        """Build from what reads the events of a run, and the copies in its corpus or why not.

        Raises:
            RunError: The events cannot be read.
        """
        events = read()
        memorized = events.count(run.exposed_rows)["memorized"]
        return cls(
            run, facts, corpus, read, events.scanned, len(events.sequence_index), memorized,
            events.text_hash is not None, *texts,
        )  # fmt: skip

    @property
    def events(self) -> Events:
        """Return the memorized rows, and what was scanned."""
        return self.read()

    @property
    def scanned_sequences(self) -> int:
        """Return how many rows were scanned."""
        return rows_in(self.scanned)

    @property
    def scanned_exposed(self) -> Int64Array:
        """Return the ranges of rows that it had been trained on and was asked for."""
        return intersection(self.scanned, np.array([[0, self.exposed_rows]]))

    @property
    def suite(self) -> str:
        """Return the suite's name."""
        return self.run.suite

    @property
    def model(self) -> str:
        """Return the model's short name."""
        return self.run.model

    @property
    def step(self) -> int:
        """Return the checkpoint."""
        return self.run.step

    @property
    def label(self) -> str:
        """Return what names the run: suite, model and step."""
        return self.run.label

    @property
    def parameters(self) -> int | None:
        """Return all trained weights, None where no manifest has the model."""
        return self.facts.parameters

    @property
    def published(self) -> int | None:
        """Return the published number of exposed rows that it has memorized, None without one."""
        return self.facts.published.get(self.step)

    @property
    def seed(self) -> Seed:
        """Return which rerun of which model this is."""
        return self.facts.seed

    @property
    def exposed_rows(self) -> int:
        """Return how many leading rows of the corpus the checkpoint had seen."""
        return self.run.exposed_rows

    @property
    def sequences_per_step(self) -> SequencesPerStep | None:
        """Return how many rows a step consumes; None where the order is not known."""
        return self.run.configuration.sequences_per_step

    @property
    def units(self) -> Texts | None:
        """Return the texts with near-copies as one, the units of every interval."""
        return None if self.texts is None else self.texts.merged


def load_runs(
    runs: Sequence[Run],
    *,
    duplicates: Sequence[str | Path] = (),
    texts: Texts | None = None,
    manifest: str | Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> tuple[ComparedRun, ...]:
    """Read runs to be compared; copies are looked for once per corpus.

    Args:
        runs: Finished runs that tested the same tokens by the same rule, see `check_rules`.
        duplicates: Folders that `corpus duplicates` wrote, one for each corpus at most; corpora of
            at most 2,000,000 rows need none.
        texts: Which sequences are copies, where this is at hand, and all runs are of one corpus.
        manifest: A manifest file of one's own to look for parameters in.
        on_progress: Called with 1 for each run read.

    Raises:
        FitError: There is none, or they do not compare; the message names the difference.
        CorpusError: A table of duplicates cannot be read, or belongs to none of the runs.
        RunError: A run cannot be read.
    """
    if not runs:
        raise FitError("no run to compare: scan with two models, or at two checkpoints")
    check_rules(runs)
    suites = load_suites(manifest)
    facts = [model_facts(run.suite, run.model, suites) for run in runs]
    corpora = [corpus_of(run, one) for run, one in zip(runs, facts, strict=True)]
    first: dict[str, Run] = {}
    for corpus, run in zip(corpora, runs, strict=True):
        first.setdefault(corpus, run)
    known = _texts_by_corpus(first, duplicates, texts)
    readers = EventReader(hashes=False), EventReader(hashes=True)
    found = []
    for run, one, corpus in zip(runs, facts, corpora, strict=True):
        _check_finished(run)
        reader = readers[known[corpus][0] is None]  # hashes tell copies where nothing else does
        read = partial(reader.read, run)
        found.append(ComparedRun.of(run, one, corpus, read, known[corpus]))
        on_progress(1)
    return tuple(found)


def corpus_of(run: Run, facts: ModelFacts) -> str:
    """Return what is equal for two runs whose rows are the same.

    A run that was imported without its corpus has the corpus that its manifest names.
    """
    digest = run.configuration.corpus_digest
    if digest != UNKNOWN:
        return digest
    return f"{facts.corpus or run.label}, {run.corpus_rows:,} rows, not read"


def check_rules(runs: Sequence[Run]) -> None:
    """Refuse runs that tested other tokens, or by another rule.

    Raises:
        FitError: Two of them did, with the difference; or one is there more than once.
    """
    first, *others = runs
    labels = [run.label for run in runs]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise FitError(f"{twice[0]} is there more than once: leave out the folder that has it too")
    for run in others:
        for name, of in (("tested", "tested"), ("end-of-sequence rule", "eos_rule")):
            ours, theirs = (getattr(each.configuration, of) for each in (first, run))
            if ours != theirs:
                raise FitError(
                    f"{first.label} and {run.label} do not compare ({name}: {ours} against "
                    f"{theirs}): choose runs of one kind with --models and --step, or scan again"
                )


def _check_finished(run: Run) -> None:
    """Refuse a run of which something is missing: it would count as not memorized.

    Raises:
        FitError: It is not finished.
    """
    if not is_finished(run):
        raise FitError(
            f"{run.label} is not finished; finish it with `{run.command}`, or choose others with "
            "--models and --step"
        )


def _texts_by_corpus(
    first: dict[str, Run], folders: Sequence[str | Path], given: Texts | None
) -> dict[str, tuple[Texts | None, str | None]]:
    """Return the copies in each corpus, or why they are not known."""
    found: dict[str, tuple[Texts | None, str | None]] = {}
    for folder in folders:
        corpus, texts = _table_for(first, folder)
        found[corpus] = texts, None
    for corpus, run in first.items():
        if corpus not in found:
            found[corpus] = known_texts(run, given=given)
    return found


def _table_for(first: dict[str, Run], folder: str | Path) -> tuple[str, Texts]:
    """Return the corpus of a table of duplicates, and the table.

    Raises:
        CorpusError: It is that of none of the runs, or may be that of several.
    """
    problems, fitting = [], {}
    for corpus, run in first.items():
        try:
            fitting[corpus] = find_texts(run, folder)
        except CorpusError as error:
            problems.append(error)
    if not fitting:
        raise problems[0]
    # A run that was imported without its corpus takes any table of as many rows.
    named = [each for each in fitting if first[each].configuration.corpus_digest != UNKNOWN]
    chosen = named or list(fitting)
    if len(chosen) > 1:
        one, other = (first[each].label for each in chosen[:2])
        raise CorpusError(
            f"{folder} may be the table of {one} or of {other}, which were imported without a "
            "corpus: import them with --corpus, or compare them one by one with --models"
        )
    return chosen[0], fitting[chosen[0]]
