"""The fit of a run, with its texts: from a table of duplicates, or found in a small corpus."""

from collections.abc import Sequence
from pathlib import Path

from memtrace.errors import CorpusError
from memtrace.point_process.events import EventSequence
from memtrace.point_process.fit import PoissonFit, fit_poisson
from memtrace.point_process.models.piecewise import Cut
from memtrace.point_process.texts.result import by_text
from memtrace.runs.events import read_events
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run
from memtrace.texts.find import find_texts
from memtrace.texts.groups import EventTexts, count_event_texts


def fit_run(
    run: Run,
    *,
    duplicates: str | Path | None = None,
    found: Events | None = None,
    window: int = 512,
    margin: float = 1.05,
    seed: int = 0,
    cuts: Sequence[Cut] = (),
) -> PoissonFit:
    """Fit a Poisson process to what is done of a run, by sequences and by texts.

    Args:
        run: The run.
        duplicates: Folder that `memtrace corpus duplicates` wrote. Without it, a corpus of at most
            2,000,000 rows is read; of a larger one only the number of memorized texts is known.
        found: The events of the run, where they have been read already, with their hashes.
        window: Length of a window in sequences.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Seed of the simulations.
        cuts: Points of training at which the rate may change, chosen before the data were seen.

    Raises:
        CorpusError: `duplicates` is no table of the run's corpus.
        FitError: As `fit_poisson`.
    """
    found = found or read_events(run, hashes=True)
    events = EventSequence.from_run(run, found)
    try:
        texts = find_texts(run, duplicates)
    except CorpusError as error:
        if duplicates is not None:
            raise
        return fit_poisson(
            events,
            window=window,
            margin=margin,
            seed=seed,
            cuts=cuts,
            unknown_texts=str(error),
            event_texts=_event_texts(found, run.exposed_rows),
        )
    known = by_text(texts, found, run.exposed_rows, window=window, margin=margin, seed=seed)
    return fit_poisson(events, window=window, margin=margin, seed=seed, cuts=cuts, by_text=known)


def _event_texts(events: Events, exposed_rows: int) -> EventTexts | None:
    """Return how the exposed events fall on texts, by the hashes that the run keeps of them."""
    if events.text_hash is None:
        return None
    return count_event_texts(events.text_hash[events.sequence_index < exposed_rows])
