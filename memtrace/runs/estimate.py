"""What a finished run of a sample says of all exposed sequences."""

import numpy as np
import polars as pl

from memtrace.runs.run import Run
from memtrace.runs.sampling import CountEstimate, estimate_count


def estimate_run(run: Run) -> CountEstimate | None:
    """Estimate how many of the exposed sequences in a run's range are memorized.

    Returns:
        None where the run is no sample, has seen nothing, or is not finished: the rows that are
        done so far are no random sample.
    """
    c = run.configuration
    stop = min(c.stop, c.exposed_rows)
    if c.sample is None or stop <= c.start or run.shards_left():
        return None
    exposed = run.scores().filter(pl.col("sequence_index") < stop).collect()
    if len(exposed) < 2:
        return None
    memorized = exposed.filter(pl.col("matched_tokens") == run.continuation_tokens)
    edges = c.sample.edges(c.start, c.stop)
    return estimate_count(
        memorized["sequence_index"].to_numpy(),
        exposed["sequence_index"].to_numpy(),
        np.append(edges[edges < stop], stop),
    )
