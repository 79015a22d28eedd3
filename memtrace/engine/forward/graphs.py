"""CUDA graphs: a pass of one shape is captured once, and then started by one call of the host.

A pass takes some twenty calls a layer, of 5 to 10 microseconds each on the host. Where a layer's
products take less than that on the device, the device waits. Larger passes gain nothing.
"""

from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Generic, TypeVar

import torch
from torch import Tensor

from memtrace.errors import first_line

R = TypeVar("R")

IN_TURNS = 2
"""Captures of a pass: what one returned is read while the other runs."""

LAUNCH_BOUND = 1e12
"""Operations of a layer's products: 2 ms at 500 TFLOP/s, some ten times what its calls take."""


class CapturedPass(Generic[R]):
    """A pass over `(n, k)` token ids, captured when its shape is met for the second time.

    The first time prepares the kernels. A pass that cannot be captured, for want of memory too,
    runs as it did before; `state` says so.
    """

    def __init__(self, sequences: int) -> None:
        """Nothing is captured yet.

        Args:
            sequences: n; passes over other numbers are left alone.
        """
        self.state = "not captured: no batch of its size came twice"
        """For the record: `captured`, or why not."""
        self._sequences = sequences
        self._met: torch.Size | None = None
        self._captured: deque[tuple[torch.cuda.CUDAGraph, Tensor, R]] = deque()

    def __call__(self, tokens: Tensor, run: Callable[[Tensor], R]) -> R:
        """What the pass `run` returns; of a captured one, valid until the next but one.

        Args:
            tokens: `(n, k)`.
            run: Always the same pass. It neither waits for the device nor keeps what depends on
                the tokens, but for what it returns.
        """
        if len(tokens) != self._sequences:
            return run(tokens)
        if not self._captured and self._met == tokens.shape:
            self._capture(tokens, run)
        self._met = tokens.shape
        if not self._captured or self._captured[0][1].shape != tokens.shape:
            return run(tokens)
        graph, read, returned = self._captured[0]
        self._captured.rotate()
        read.copy_(tokens)
        graph.replay()
        return returned

    def _capture(self, tokens: Tensor, run: Callable[[Tensor], R]) -> None:
        try:
            self._captured.extend(_captured(tokens, run) for _ in range(IN_TURNS))
            self.state = "captured"
        except Exception as error:  # of any call that a device or a version cannot capture
            self.state, self._sequences = f"not captured: {first_line(error)}", 0
            self._captured.clear()


def _captured(tokens: Tensor, run: Callable[[Tensor], R]) -> tuple[torch.cuda.CUDAGraph, Tensor, R]:
    """A graph of a pass, what it reads and what it returns."""
    graph, read = torch.cuda.CUDAGraph(), tokens.clone()
    # Where a capture fails, torch leaves its stream entered. Other threads may go on.
    with (
        torch.cuda.stream(torch.cuda.current_stream(tokens.device)),
        torch.cuda.graph(graph, stream=_stream(tokens.device), capture_error_mode="thread_local"),
    ):
        returned = run(read)
    return graph, read, returned


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """For all captures on a device, each stream having buffers of its own in cuBLAS.

    Torch's own one is of the device that was current at the first capture: of work on another
    device a graph would hold nothing.
    """
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream
