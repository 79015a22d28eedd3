"""Rows of logits scored in one precision: the decision and the log probability of each target."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memtrace.engine.definition import Distribution
from memtrace.engine.kernels import UNDECIDED, score
from memtrace.engine.stages import ToleranceStage

SUM_NOISE = 2.0**-16  # nats by which a float32 sum of exponentials may be off


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """What one precision says of rows of logits, `(r,)` each."""

    outcomes: Tensor
    log_p: Tensor
    """In nats, float32."""
    sure: Tensor
    """Whether `log_p` is within this precision's error of the true value."""
    upper: Tensor
    """As `log_p`, and never below the true value by more than this precision's error."""


def error_of(stage: ToleranceStage, distribution: Distribution) -> float:
    """How far one log probability can be off, in nats: as the margin of a decision can."""
    return stage.tolerance / distribution.temperature + SUM_NOISE


def score_rows(
    stage: ToleranceStage, distribution: Distribution, features: Tensor, targets: Tensor
) -> ScoredRows:
    """Score the targets `(r,)` of features `(r, d)`."""
    logits = stage.forward.logits(features)
    outcomes, log_p = score(
        logits,
        targets,
        stage.tolerance,
        temperature=distribution.temperature,
        mask_eos=stage.mask_eos,
    )
    upper, sure = log_p, torch.ones_like(log_p, dtype=torch.bool)
    if distribution.top_k is not None:
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        top = among_top(wide, targets, distribution, stage.mask_eos)
        sure = ~(top.lead.abs() <= stage.tolerance)  # NaN: no token is left out
        log_p = top.log_p.masked_fill(~top.inside, -torch.inf)
        upper = torch.where(sure, log_p, top.log_p)
    if stage.forward.router_tolerance is not None:  # all equal: the experts are undecided
        doubtful = outcomes == UNDECIDED
        sure, upper = sure & ~doubtful, upper.masked_fill(doubtful, 0.0)
    outcomes = stage.refine(outcomes, features, logits, targets)
    return ScoredRows(outcomes, log_p, sure, upper)


@dataclass(frozen=True, slots=True)
class TopTokens:
    """Targets among the tokens with the largest logits of each row, `(r,)` each."""

    inside: Tensor
    """Whether the target is one of them."""
    log_p: Tensor
    """Its log probability among them, if it is."""
    lead: Tensor
    """By how much it leads the first token that is left out, or, below 0, is behind the last that
    is not; NaN where none is left out."""


def among_top(
    logits: Tensor,
    targets: Tensor,
    distribution: Distribution,
    mask_eos: bool,
    noise: float = 0.0,
) -> TopTokens:
    """Find targets `(r,)` among the top k of logits `(r, V)`; all of them where top k is None.

    Logits that differ by `noise`, a share of the largest, or less are equal: of equal ones those
    with the lowest ids can be drawn.
    """
    if mask_eos:
        logits = logits.clone()
        logits[:, 0] = -torch.inf
    vocabulary = logits.shape[1]
    count = min(distribution.top_k or vocabulary, vocabulary)
    top = logits.topk(min(count + 1, vocabulary), dim=1).values
    chosen = logits.gather(1, targets[:, None])
    equal = noise * top[:, :1].abs()
    lower = torch.arange(vocabulary, device=logits.device) < targets[:, None]
    ahead = (logits > chosen + equal) | (((logits - chosen).abs() <= equal) & lower)
    inside = (ahead.sum(1) < count) & (chosen[:, 0] > -torch.inf)
    drawn = (top[:, :count] - top[:, :1]) / distribution.temperature
    log_p = (chosen - top[:, :1])[:, 0] / distribution.temperature - drawn.logsumexp(1)
    lead = torch.full_like(log_p, torch.nan)
    if count < vocabulary:
        lead = chosen[:, 0] - torch.where(inside, top[:, count], top[:, count - 1])
    return TopTokens(inside, log_p, lead)
