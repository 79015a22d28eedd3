"""Pairs of runs: what they share, what one predicts of the other, and all combinations."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations as pairs_of

from memtrace.comparison.corpora import Gathering
from memtrace.comparison.coverage import common
from memtrace.comparison.overlap import Combinations, Overlap, combinations, most_telling
from memtrace.comparison.pairs import PairCounts, exposed_levels, pair_counts
from memtrace.comparison.prediction import Prediction, predicts
from memtrace.comparison.ranking import rank
from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.text_scores import row_scores


def pairs_in(
    runs: Sequence[ComparedRun], found: Gathering
) -> tuple[list[Overlap], list[Prediction], dict[tuple[int, int], PairCounts]]:
    """Compare the runs of a gathering with each other, and with those that are asked there too.

    Returns:
        The overlap of each pair, the predictions, and what was counted by places of the pair.
    """
    own, every = len(found.own), len(found.places)
    wanted = [(a, b) for a, b in pairs_of(range(every), 2) if a < own]
    overlaps, predictions, counted = [], [], {}
    for pair in pair_counts(found.masks, wanted):
        a, b = found.places[pair.a], found.places[pair.b]
        crossed = pair.b >= own
        counted[a, b] = pair
        overlaps.append(Overlap(a, b, pair.agreement(), pair.rows, crossed))
        for source, target in ((a, b), (b, a)):
            if predicts(runs[source], runs[target]):
                predictions.append(_prediction(runs, found, pair, source, target))
    return overlaps, predictions, counted


def _prediction(
    runs: Sequence[ComparedRun], found: Gathering, pair: PairCounts, source: int, target: int
) -> Prediction:
    reverse = source != found.places[pair.a]
    every = pair.agreement(reverse=reverse)
    crossed = pair.b >= len(found.own)
    if crossed or found.masks.texts is None:
        return Prediction(source, target, every, None, None, pair.rows, matched_by_text=crossed)
    seen = exposed_levels(found.masks, runs[source].exposed_rows)
    exposed = pair.agreement(seen, reverse=reverse)
    unexposed = pair.agreement(slice(seen.stop, None), reverse=reverse)
    return Prediction(source, target, every, exposed, unexposed, pair.rows)


def with_rankings(
    runs: Sequence[ComparedRun],
    predictions: Sequence[Prediction],
    counted: dict[tuple[int, int], PairCounts],
    recall: float,
) -> list[Prediction]:
    """Return the predictions, those by a run with log-likelihoods with their rankings.

    Raises:
        RunError: A folder cannot be read.
    """
    found = list(predictions)
    for source in sorted({one.source for one in predictions if not one.matched_by_text}):
        if not runs[source].run.configuration.likelihood:
            continue
        scores = row_scores(runs[source])
        for place, one in enumerate(found):
            if one.source == source and not one.matched_by_text and not one.reason:
                a, b = sorted((one.source, one.target))
                memorized = runs[one.target].events.sequence_index
                ranges, units = counted[a, b].ranges, runs[source].units
                values, hit, names = scores.of_texts(memorized, ranges, units)
                found[place] = replace(one, ranking=rank(values, hit, names, recall))
    return found


def combined(runs: Sequence[ComparedRun], found: Gathering) -> Combinations | None:
    """Count all combinations of at most ten runs of a gathering; None for a single run."""
    chosen = most_telling(runs, found.places)
    if len(chosen) < 2:
        return None
    bits = [found.places.index(place) for place in chosen]
    ranges = common([found.masks.events[bit].scanned for bit in bits])
    return combinations(found.masks, bits, chosen, ranges)
