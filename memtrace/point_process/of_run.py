"""The fit of a run, with its texts: from a table of duplicates, or found in a small corpus."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from memtrace.point_process.events import EventSequence
from memtrace.point_process.fit import Asked, PoissonFit, fit_events
from memtrace.point_process.models.piecewise import Cut
from memtrace.point_process.texts.result import NOT_KNOWN, by_text
from memtrace.runs.events import read_events
from memtrace.runs.likelihoods import find_probable
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run
from memtrace.texts.find import known_texts
from memtrace.texts.groups import EventTexts, count_event_texts


def fit_run(
    run: Run,
    *,
    duplicates: str | Path | None = None,
    found: Events | None = None,
    min_probability: float | None = None,
    window: int = 512,
    margin: float = 1.05,
    seed: int = 0,
    cuts: Sequence[Cut] = (),
    row_interval: bool = False,
) -> PoissonFit:
    """Fit a Poisson process to what is done of a run, by sequences and by texts.

    Args:
        run: The run.
        duplicates: Folder that `memtrace corpus duplicates` wrote; by default `duplicates` in the
            prefix pack that was scanned. Without a table, a corpus of at most 2,000,000 rows is
            read; of a larger one only the number of memorized texts is known.
        found: The events of the run, where they have been read already, with their hashes.
        min_probability: Take a sequence as memorized if its continuation has at least this
            probability, in place of if greedy decoding returns it; the run needs likelihoods.
        window: Length of a window in sequences.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Seed of the simulations.
        cuts: Points of training at which the rate may change, chosen before the data were seen.
        row_interval: Also show an interval of the share of sequences where some are copies; it
            takes the copies as they are (Fay and Feuer 1997: at least 95%).

    Raises:
        CorpusError: `duplicates` is no table of the run's corpus.
        FitError: As `fit_poisson`.
    """
    if found is None:
        if min_probability is None:
            found = read_events(run, hashes=True)
        else:
            found = find_probable(run, min_probability)
    events = EventSequence.from_run(run, found)
    if min_probability is not None:
        events = replace(events, label=f"{events.label}, p >= {min_probability:g}")
    asked = Asked(window, margin, seed, tuple(cuts), row_interval)
    asked.check()
    texts, unknown = known_texts(run, duplicates)
    if texts is None:
        hashed = _event_texts(found, run.exposed_rows)
        return fit_events(events, asked, unknown=unknown or NOT_KNOWN, event_texts=hashed)
    known = by_text(texts, found, run.exposed_rows, window=window, margin=margin, seed=seed)
    return fit_events(events, asked, known)


def _event_texts(events: Events, exposed_rows: int) -> EventTexts | None:
    """Return how the exposed events fall on texts, by the hashes that the run keeps of them."""
    if events.text_hash is None:
        return None
    return count_event_texts(events.text_hash[events.sequence_index < exposed_rows])
