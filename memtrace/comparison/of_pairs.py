"""Pairs of runs: what they share, what one predicts of the other, and all combinations."""

from collections.abc import Sequence
from dataclasses import replace

from memtrace.comparison.batches import COMBINED
from memtrace.comparison.corpora import Gathering
from memtrace.comparison.coverage import common
from memtrace.comparison.masks import MaskedRows
from memtrace.comparison.overlap import Combinations, Overlap, combinations
from memtrace.comparison.pairs import PairCounts, exposed_levels, pair_counts
from memtrace.comparison.prediction import Prediction, predicts
from memtrace.comparison.ranking import rank
from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.telling import most_telling
from memtrace.comparison.text_scores import row_scores


def pairs_in(
    runs: Sequence[ComparedRun], found: Gathering
) -> tuple[list[Overlap], list[Prediction], dict[tuple[int, int], PairCounts]]:
    """Compare the runs of a gathering with each other, and with those that are asked there too.

    Returns:
        The overlap of each pair, the predictions, and what was counted by places of the pair.
    """
    bits = [(found.bit(a), found.bit(b)) for a, b in found.batch.pairs]
    others = set(found.batch.others)
    overlaps, predictions, counted = [], [], {}
    for (a, b), pair in zip(found.batch.pairs, pair_counts(found.masks, bits), strict=True):
        crossed = b in others
        counted[a, b] = pair
        overlaps.append(Overlap(a, b, pair.agreement(), pair.rows, crossed))
        for source, target in ((a, b), (b, a)):
            if predicts(runs[source], runs[target]):
                one = _prediction(runs, found.masks, pair, (source, target), crossed)
                predictions.append(one)
    return overlaps, predictions, counted


def _prediction(
    runs: Sequence[ComparedRun],
    masks: MaskedRows,
    pair: PairCounts,
    ends: tuple[int, int],
    crossed: bool,
) -> Prediction:
    source, target = ends
    reverse = source > target  # a pair has the smaller place first
    every = pair.agreement(reverse=reverse)
    if crossed or masks.texts is None or not runs[source].run.is_order_known:
        return Prediction(source, target, every, None, None, pair.rows, matched_by_text=crossed)
    seen = exposed_levels(masks, runs[source].exposed_rows)
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
    chosen = most_telling(runs, found.places, COMBINED)
    if len(chosen) < 2:
        return None
    bits = found.bits(chosen)
    ranges = common([found.masks.scanned[bit] for bit in bits])
    return combinations(found.masks, bits, chosen, ranges)
