"""A parallel map over tiles of a batch: one core for each tile, not all cores for every tile.

Cores that share every product wait for each other after each; these meet at the end of a batch.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

R = TypeVar("R")

TILE_TOKENS = {"cpu": 1024}
"""Tokens read at once, so that what a product writes is in the cache when the next reads it."""


def cut(n: int, tokens: int, device: torch.device) -> list[slice]:
    """Cut n sequences of so many tokens into tiles of nearly one size, some for each core."""
    if device.type not in TILE_TOKENS:
        return [slice(0, n)]
    cores = torch.get_num_threads()
    rounds = -(-n * tokens // (TILE_TOKENS[device.type] * cores))
    count = min(max(1, rounds * cores), n) or 1
    edges = [n * i // count for i in range(count + 1)]
    return [slice(*ends) for ends in pairwise(edges)]


def parallel_map(work: Callable[[slice], R], tiles: Sequence[slice]) -> list[R]:
    """Return `work(tile)` of each tile; the tiles are worked on at the same time on a CPU."""
    cores = torch.get_num_threads()
    if cores == 1 or len(tiles) == 1:
        return [work(tile) for tile in tiles]
    # Each thread has modes of its own.
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    casts, narrow = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def alone(tile: slice) -> R:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            # Not torch.autocast: where a thread leaves that, all forget the weights they have cast.
            torch.set_autocast_dtype("cpu", narrow)
            torch.set_autocast_enabled("cpu", casts)
            try:
                return work(tile)
            finally:
                torch.set_autocast_enabled("cpu", False)

    return list(_pool(cores).map(alone, tiles))


@cache
def _pool(cores: int) -> ThreadPoolExecutor:
    """Threads that compute on one core each, whatever this one does."""
    pool, all_there = ThreadPoolExecutor(cores), threading.Barrier(cores)

    def begin() -> None:
        torch.set_num_threads(1)
        all_there.wait()

    for begun in [pool.submit(begin) for _ in range(cores)]:
        begun.result()
    torch.set_num_threads(cores)  # MKL has one number for all threads
    return pool


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
