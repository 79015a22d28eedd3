"""The cascade with a smallest probability: who leaves it is memorized no more, and below.

Each factor of a probability is at most 1, so a running probability that is below the smallest one
that is wanted stays below. A sequence goes on as long as greedy decoding may still return it, or as
long as it may not be below; how many tokens match is what it is without likelihoods.
"""

import math
from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor

from memtrace.engine.definition import Distribution
from memtrace.engine.kernels import MATCH, MISS
from memtrace.engine.scored_rows import error_of, score_rows
from memtrace.engine.stages import ToleranceStage
from memtrace.engine.turns import Work, to_device, to_host


def likelihood_cascade(
    stage: ToleranceStage, distribution: Distribution, sequences: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Decide `(n, k + l)` sequences, and which of them are surely below the smallest probability.

    Returns:
        Outcomes `(n, l)`, uint8, MATCH where no decision was made; and `(n,)`, whether a
        likelihood is surely below the smallest probability: the others may be, too.
    """
    outcomes = np.empty((len(sequences), stage.length), np.uint8)
    below = np.empty(len(sequences), bool)

    def decide_batch(batch: slice, tokens: Tensor) -> Work:
        decided = yield from _decide_batch(stage, distribution, tokens)
        outcomes[batch], below[batch] = decided[:, :-1], decided[:, -1]

    stage.in_batches(sequences, decide_batch)
    return outcomes, below


def _decide_batch(
    stage: ToleranceStage, distribution: Distribution, tokens: Tensor
) -> Generator[None, None, np.ndarray]:
    """Outcomes `(n, l)`, and in one column more whether a sequence is surely below."""
    n, length = len(tokens), stage.length
    prompt = tokens.shape[1] - length
    outcomes = torch.full((n, length), MATCH, dtype=torch.uint8, device=tokens.device)
    below = torch.zeros(n, dtype=torch.bool, device=tokens.device)
    bound = torch.zeros(n, dtype=torch.float64, device=tokens.device)
    alive = torch.arange(n, device=tokens.device)
    features, cache = stage.forward.prompt(tokens[:, :prompt], keep=1)
    start, stop = 0, 1
    while True:
        targets = tokens[alive, prompt + start : prompt + stop]
        scored = score_rows(stage, distribution, features.flatten(0, 1), targets.flatten())
        outcomes[alive, start:stop] = scored.outcomes.view(targets.shape)
        upper = bound[alive, None] + scored.upper.double().view(targets.shape).cumsum(1)
        bound[alive] = upper[:, -1]
        places = torch.arange(start + 1, stop + 1, device=tokens.device)
        limit = math.log(distribution.min_probability or 0) - places * error_of(stage, distribution)
        below[alive] |= (upper < limit).any(1)
        missed = (outcomes[alive, :stop] == MISS).any(1)
        if stop == length:
            break
        going = np.flatnonzero((yield from to_host(~(missed & below[alive]))))
        if not len(going):
            break
        rows = to_device(going, tokens.device)
        alive = alive[rows]
        start, stop = stop, next(s for s in stage.stops if s > stop)
        stop = min(stop, start + max(1, stage.max_rows // len(going)))
        read = tokens[alive, prompt + start - 1 : prompt + stop - 1]
        features, cache = stage.forward.extend(read, cache, rows)
    del features, cache  # others need the memory
    return (yield from to_host(torch.cat([outcomes, below[:, None]], 1)))
