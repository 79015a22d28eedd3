"""Batches in turns: while the host waits for one, the device has work of another.

A batch is a generator. It yields where the host would wait: what the device was told up to there is
done later, and others may tell it more. On a CPU there is nothing to wait for, and none yields.
"""

from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

UNDER_WAY = 3
"""Batches between which the host goes round: as many as the waits of one with three chunks."""

Work = Generator[None, None, None]


def in_turns(works: Iterable[Work]) -> None:
    """Do all; each is begun before those that were begun earlier go on by one step.

    So of two batches that were begun one after the other, the first is past its first wait when a
    third begins.
    """
    under_way: list[Work] = []
    for work in works:
        under_way = _go_on([work, *under_way])
        while len(under_way) > UNDER_WAY:
            under_way = [*under_way[:-1], *_go_on(under_way[-1:])]
    while under_way:
        under_way = _go_on(under_way)


def _go_on(works: list[Work]) -> list[Work]:
    """Take each a step on; return those that are not at their end."""
    return [work for work in works if next(work, "done") is None]


def to_host(tensor: Tensor) -> Generator[None, None, np.ndarray]:
    """A copy for the host, which waits for what was queued before it and for nothing behind."""
    if tensor.device.type == "cuda":
        copied = tensor.to("cpu", non_blocking=True)  # into pinned memory
        done: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(tensor.device))
        yield
        done.synchronize()
        tensor = copied
    array: np.ndarray[Any, Any] = tensor.cpu().numpy()
    return array


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """A copy for the device, behind what it has still to do: the host does not wait."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
