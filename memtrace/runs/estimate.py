"""What a finished run of a sample says of all exposed sequences."""

import numpy as np

from memtrace.runs.events import read_events
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run
from memtrace.runs.sampling import CountEstimate, estimate_count


def estimate_run(run: Run, events: Events | None = None) -> CountEstimate | None:
    """Estimate how many of the exposed sequences in a run's range are memorized.

    Args:
        run: The run.
        events: Its events, where they have been read already.

    Returns:
        None where the run is no sample, has seen nothing, or is not finished: the rows that are
        done so far are no random sample.
    """
    c = run.configuration
    stop = min(c.stop, c.exposed_rows)
    if c.sample is None or stop <= c.start:
        return None
    events = events or read_events(run)
    if events.scanned_sequences < c.sequences:
        return None
    rows, memorized = events.scanned_rows(), events.sequence_index
    rows, memorized = rows[rows < stop], memorized[memorized < stop]
    if len(rows) < 2:
        return None
    edges = c.sample.edges(c.start, c.stop)
    return estimate_count(memorized, rows, np.append(edges[edges < stop], stop))
