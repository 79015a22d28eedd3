"""The cascade: decide the first token of all, then go on with those that are still right."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from memtrace.engine.forward.linear import Precision
from memtrace.engine.kernels import MATCH, MISS
from memtrace.engine.turns import to_device, to_host


class Forward(Protocol):
    """A model in one precision that reads prompts, then more tokens on the cached ones."""

    dtype: torch.dtype
    """Of features, keys and values, and logits."""
    products: Precision
    """How linear layers multiply."""
    label: str
    """That, for records: `float16`, `split float16`."""
    may_overflow: bool
    """Numbers that float32 has are infinite in it."""
    device: torch.device
    vocabulary: int
    cache_width: int
    """Numbers that are kept of a token: keys and values of all layers."""
    router_tolerance: float | None
    """Gaps of a router that rounding may have closed: the logits after them are all equal."""
    attention: str
    """What computes it, for the record: `flash, efficient, math` are torch's back ends."""

    @property
    def graph(self) -> str | None:
        """For the record: whether prompts are read by a captured CUDA graph; None if not meant."""
        ...

    def precision(self) -> AbstractContextManager[Any]:
        """Where the other methods may be called."""
        ...

    def prompt(self, tokens: Tensor, keep: int) -> tuple[Tensor, Any]:
        """Read `(n, k)` tokens; return the features `(n, keep, d)` of the last ones and a cache."""
        ...

    def extend(self, tokens: Tensor, cache: Any, rows: Tensor) -> tuple[Tensor, Any]:
        """Read `(m, c)` more tokens of the cached sequences `rows`: features `(m, c, d)`, cache."""
        ...

    def logits(self, features: Tensor) -> Tensor:
        """The logits `(r, V)` that follow `(r, d)` features."""
        ...

    def precise_logits(self, features: Tensor, ids: Tensor) -> Tensor:
        """The logits of a few `(r, m)` token ids, as precisely as the features allow."""
        ...


Decide = Callable[[Tensor, Tensor], Tensor]


def cascade(
    forward: Forward,
    decide: Decide,
    tokens: Tensor,
    open_decisions: np.ndarray,
    stops: tuple[int, ...],
    max_rows: int,
) -> Generator[None, None, np.ndarray]:
    """Decide continuation tokens in growing chunks; a sequence leaves at its first miss.

    A decision that stays undecided counts as a match here: the sequence goes on, and the next
    stage settles all its undecided decisions together.

    Args:
        forward: The model.
        decide: Features `(r, d)` and targets `(r,)` to outcomes `(r,)`.
        tokens: `(n, k + l)` token ids.
        open_decisions: `(n, l)`, which decisions to make; the others count as matches.
        stops: The chunks: decisions [0, 1), [1, stops[1]), ..., the last stop being l.
        max_rows: The most rows of logits in one step; chunks are cut to it.

    Yields:
        After each chunk but the last, to learn how many sequences go on, and for the outcomes: see
        `turns`. At the second step the cache of the prompts is no longer needed.

    Returns:
        Outcomes `(n, l)`, uint8; MATCH where no decision was made.
    """
    n, length = open_decisions.shape
    prompt, device = tokens.shape[1] - length, tokens.device
    outcomes = torch.full((n, length), MATCH, dtype=torch.uint8, device=device)
    alive, still_open = torch.arange(n, device=device), open_decisions
    features, cache = forward.prompt(tokens[:, :prompt], keep=1)
    start, stop = 0, 1
    while True:
        asked = still_open[:, start:stop]
        if asked.all():
            targets = tokens[alive, prompt + start : prompt + stop]
            decided = decide(features.flatten(0, 1), targets.flatten()).view(targets.shape)
            outcomes[alive, start:stop] = decided
        elif asked.any():
            row, column = (to_device(each, device) for each in asked.nonzero())
            where = alive[row], column + start
            outcomes[where] = decide(features[row, column], tokens[where[0], prompt + where[1]])
        later = still_open[:, stop:].any(1)
        if not later.any():
            break
        right = yield from to_host((outcomes[alive, start:stop] != MISS).all(1))
        going = np.flatnonzero(right & later)
        if not len(going):
            break
        rows, still_open = to_device(going, device), still_open[going]
        alive = alive[rows]
        start, stop = stop, next(s for s in stops if s > stop)
        # Nothing is read behind the last decision that is asked for.
        stop = min(stop, 1 + int(np.flatnonzero(still_open.any(0)).max()))
        stop = min(stop, start + max(1, max_rows // len(going)))
        read = tokens[alive, prompt + start - 1 : prompt + stop - 1]
        features, cache = forward.extend(read, cache, rows)
    del features, cache  # others need the memory
    return (yield from to_host(outcomes))


def schedule(
    survival: np.ndarray, step_cost: float, token_cost: float, most: int | None = None
) -> tuple[int, ...]:
    """The chunks that cost least in expectation.

    A chunk [i, j) costs `step_cost + token_cost * survival[i - 1] * (j - i)`: what every step costs
    however few sequences are left, and what reading j - i tokens of the survivors costs.

    Args:
        survival: `(l,)`, the share of sequences that are still right after decisions 0..j.
        step_cost: Seconds of a step with hardly any token.
        token_cost: Seconds to read one token of all sequences of a batch.
        most: Chunks, at least 2; None for any number.

    Returns:
        Ascending ends of the chunks, from 1 to l.
    """
    length = len(survival)
    left = length if most is None else most - 1
    # best[i]: cost and ends of at most so many chunks from decision i on.
    nothing: tuple[float, tuple[int, ...]] = (np.inf, ())
    best = [*[nothing] * length, (0.0, nothing[1])]
    for _ in range(left):
        before = best
        chosen = [
            min(
                (
                    step_cost + token_cost * survival[i - 1] * (j - i) + before[j][0],
                    (j, *before[j][1]),
                )
                for j in range(i + 1, length + 1)
            )
            for i in range(1, length)
        ]
        best = [nothing, *chosen, before[-1]]
        if best == before:
            break
    return (1, *best[1][1])
