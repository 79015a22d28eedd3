"""The figures of fits as files, each drawn once; those of several fits in parallel."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from memtrace.point_process.figures.layout import shown, single
from memtrace.point_process.result import PoissonResult
from memtrace.report.figures import Drawing, encoded

Drawings = dict[str, Drawing]
"""By the figure's name."""
FEWEST_PARALLEL = 4
"""Fits from which it pays to start processes, which takes some seconds."""
MOST_PROCESSES = 16


def draw(fit: PoissonResult) -> Drawings:
    """Draw each figure that the fit has."""
    return {name: encoded(single(fit, name)) for name in shown(fit)}


def draw_all(
    fits: Sequence[PoissonResult], on_progress: Callable[[int], None] = lambda _: None
) -> list[Drawings]:
    """Draw the figures of every fit, in several processes where there are many fits.

    Args:
        fits: What to draw.
        on_progress: Called with the number of fits drawn since the last call.
    """
    workers = min((os.cpu_count() or 1), len(fits), MOST_PROCESSES)
    if len(fits) < FEWEST_PARALLEL or workers < 2:
        return [_told(draw(fit), on_progress) for fit in fits]
    # Forked processes would inherit the locks of polars' threads.
    context = multiprocessing.get_context("spawn")
    ignored = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for this process alone
    pool = ProcessPoolExecutor(workers, context, initializer=signal.signal, initargs=ignored)
    try:
        return [_told(found, on_progress) for found in pool.map(draw, fits)]
    finally:
        pool.shutdown(cancel_futures=True)


def _told(found: Drawings, on_progress: Callable[[int], None]) -> Drawings:
    on_progress(1)
    return found
