"""The cascade with a smallest probability: who leaves it is memorized no more, and below.

Each factor of a probability is at most 1, so a running probability that is below the smallest one
that is wanted stays below. A sequence goes on as long as greedy decoding may still return it, or as
long as it may not be below; how many tokens match is what it is without likelihoods.
"""

import math

import numpy as np
import torch
from torch import Tensor

from memtrace.engine.definition import Distribution
from memtrace.engine.kernels import MATCH, MISS
from memtrace.engine.scored_rows import error_of, score_rows
from memtrace.engine.stages import ToleranceStage, prefetch_to_device


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
    with stage.forward.precision():
        starts = range(0, len(sequences), stage.batch_size)
        batches = [slice(start, start + stage.batch_size) for start in starts]
        cut = ((sequences[batch], np.empty(0, bool)) for batch in batches)
        moved = prefetch_to_device(cut, stage.forward.device)
        for batch, (tokens, _) in zip(batches, moved, strict=True):
            decided = _decide_batch(stage, distribution, tokens)
            outcomes[batch], below[batch] = (each.cpu().numpy() for each in decided)
    return outcomes, below


def _decide_batch(
    stage: ToleranceStage, distribution: Distribution, tokens: Tensor
) -> tuple[Tensor, Tensor]:
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
        rows = (~(missed & below[alive])).nonzero()[:, 0]
        if not len(rows) or stop == length:
            return outcomes, below
        alive = alive[rows]
        start, stop = stop, next(s for s in stage.stops if s > stop)
        stop = min(stop, start + max(1, stage.max_rows // len(alive)))
        read = tokens[alive, prompt + start - 1 : prompt + stop - 1]
        features, cache = stage.forward.extend(read, cache, rows)
