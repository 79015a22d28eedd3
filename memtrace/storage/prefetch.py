"""Do slow work before its results are needed: in order, a few jobs at a time in memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")

READERS = 4
"""Chunks of a corpus that are read at the same time: enough to keep a disk busy."""
CHUNK_ROWS = 8192
"""Rows that are read at once: 34 MB of the Pile."""


def chunks(start: int, stop: int) -> list[tuple[int, int]]:
    """Cut the rows [start, stop) into ranges of at most `CHUNK_ROWS`."""
    return [(cut, min(cut + CHUNK_ROWS, stop)) for cut in range(start, stop, CHUNK_ROWS)]


def prefetch(
    work: Callable[[J], R], jobs: Iterable[J], workers: int = 1, *, depth: int | None = None
) -> Iterator[R]:
    """Yield `work(job)` of each job in order, while the next ones are being worked on.

    Args:
        work: What to do, in a thread.
        jobs: What to do it with.
        workers: Jobs worked on at the same time.
        depth: Jobs under way or waiting to be used; two a worker by default.

    Raises:
        Exception: What `work` raises comes out in its turn.
    """
    upcoming = iter(jobs)
    under_way: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            first = islice(upcoming, depth or 2 * workers)
            under_way.extend(pool.submit(work, job) for job in first)
            while under_way:
                result = under_way.popleft().result()
                under_way.extend(pool.submit(work, job) for job in islice(upcoming, 1))
                yield result
        finally:
            for future in under_way:
                future.cancel()
