"""Runs in, everything that is compared out, and how it is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memtrace.comparison.budget import RECALL, plans
from memtrace.comparison.corpora import Corpora, by_corpus, match_corpora
from memtrace.comparison.deduplication.compared import compare_twins
from memtrace.comparison.document import document
from memtrace.comparison.figures import overview
from memtrace.comparison.of_pairs import combined, pairs_in, with_rankings
from memtrace.comparison.of_seeds import seeds_of, texts_by_seeds
from memtrace.comparison.of_steps import StepTable, step_tables
from memtrace.comparison.overlap import Combinations, Overlap
from memtrace.comparison.page import brief, head
from memtrace.comparison.paired.compared import compare_pairs
from memtrace.comparison.paired.pairing import unlike_exposure
from memtrace.comparison.prediction import Prediction
from memtrace.comparison.profile.fit import fit_profiles
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.runs import ComparedRun, load_runs
from memtrace.comparison.text import text
from memtrace.comparison.verdict import verdict
from memtrace.errors import FitError
from memtrace.report.base import Renderers, Report
from memtrace.runs.run import Run
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array


class Comparison(Report, ComparisonResult):
    """A result that shows itself: see `ComparisonResult` for the values."""

    renderers = Renderers(verdict, document, text, overview, head, brief)


def compare(
    runs: Sequence[Run],
    *,
    duplicates: Sequence[str | Path] = (),
    texts: Texts | None = None,
    manifest: str | Path | None = None,
    recall: float = RECALL,
    profile: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Set runs side by side: what size does, what one predicts of another, what they share.

    Args:
        runs: Finished runs that tested the same tokens by the same rule, of models, checkpoints,
            seeds and corpora as you like; `find_runs` returns them.
        duplicates: Folders that `memtrace corpus duplicates` wrote, one for each corpus; corpora of
            at most 2,000,000 rows need none.
        texts: Which sequences are copies, where this is at hand, and all runs are of one corpus.
        manifest: A manifest file of your own, to look for numbers of parameters in.
        recall: Share of the memorized texts that a budget is asked for.
        profile: Also estimate the counterfactual profile of models without log-likelihoods, by
            matched tokens: this reads all their scores, where all else reads their events alone.
        on_progress: Called with 1 for each run read.

    Raises:
        FitError: The runs do not compare, with the difference; or `recall` is out of range.
        CorpusError: A table of duplicates cannot be read, or belongs to none of the runs.
        RunError: A run cannot be read.
    """
    _check_recall(recall)
    loaded = load_runs(
        runs, duplicates=duplicates, texts=texts, manifest=manifest, on_progress=on_progress
    )
    return compare_loaded(loaded, recall=recall, profile=profile)


def compare_loaded(
    runs: Sequence[ComparedRun],
    *,
    recall: float = RECALL,
    profile: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Compare runs that have been read.

    Args:
        runs: As `load_runs` returns them.
        recall: Share of the memorized texts that a budget is asked for.
        profile: Also estimate profiles of runs without log-likelihoods.
        on_progress: Called with the number of runs that have been counted since the last call.

    Raises:
        FitError: Their corpora have no text in common; or `recall` is out of range.
        RunError: Events or log-likelihoods cannot be read.
    """
    _check_recall(recall)
    ordered = in_order(runs)
    corpora = match_corpora(ordered)
    profiled = [run for run in ordered if profile or run.run.configuration.likelihood]
    counted = _counted(corpora, recall, on_progress)
    points = [point for table in counted.tables for point in table.points()]
    predictions = sorted(counted.predictions, key=lambda one: (one.target, one.source))
    return Comparison(
        runs=tuple(ordered),
        points=tuple(sorted(points, key=lambda point: point.run)),
        lines=tuple(line for table in counted.tables for line in table.lines(ordered)),
        predictions=tuple(predictions),
        plans=tuple(plans(ordered, predictions, recall)),
        overlaps=tuple(sorted(counted.overlaps, key=lambda one: (one.a, one.b))),
        combinations=counted.combinations,
        seeds=tuple(seeds_of(ordered, counted.tables, counted.overlaps, counted.by_seeds)),
        deduplication=compare_twins(corpora),
        paired=compare_pairs(ordered),
        profiles=fit_profiles(profiled),
        unmatched=corpora.unmatched,
        unpaired=unlike_exposure(ordered),
    )


def _check_recall(recall: float) -> None:
    if not 0 < recall < 1:
        raise FitError(f"recall {recall:g} must lie between 0 and 1, such as {RECALL:g}")


@dataclass(eq=False)
class _Counted:
    """What all gatherings of runs give."""

    combinations: Combinations | None = None
    tables: list[StepTable] = field(default_factory=list)
    overlaps: list[Overlap] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    by_seeds: dict[tuple[int, ...], Int64Array] = field(default_factory=dict)


def _counted(corpora: Corpora, recall: float, on_progress: Callable[[int], None]) -> _Counted:
    """Count what runs share, gathering by gathering, so that few of them are in memory."""
    runs, counted = corpora.runs, _Counted()
    for number, found in enumerate(corpora.gatherings()):
        tables = step_tables(runs, found)
        pairs, predicted, of_pair = pairs_in(runs, found)
        counted.tables += tables
        counted.overlaps += pairs
        counted.predictions += with_rankings(runs, predicted, of_pair, recall)
        counted.by_seeds |= texts_by_seeds(runs, found)
        if not number:
            counted.combinations = combined(runs, found)
        on_progress(sum(len(table.places) for table in tables))
    counted.tables.sort(key=lambda table: _line_order(runs, table))
    return counted


def _line_order(runs: Sequence[ComparedRun], table: StepTable) -> tuple[int, str, int]:
    first = runs[table.places[0]]
    return list(by_corpus(runs)).index(first.corpus), first.suite, first.step


def in_order(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Return runs by corpus as they come, then by size, model and step; unknown sizes last."""
    corpora = list(dict.fromkeys(run.corpus for run in runs))

    def key(run: ComparedRun) -> tuple[int, bool, int, str, str, int]:
        size = run.parameters or 0
        return corpora.index(run.corpus), not size, size, run.suite, run.model, run.step

    return sorted(runs, key=key)
