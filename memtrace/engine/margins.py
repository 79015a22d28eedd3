"""How certain a decision is: margins, top competitors, ties, and the bound of an audit."""

import torch
from scipy.special import betaincinv
from torch import Tensor

from memtrace.engine.kernels import MATCH, MISS, NOT_FINITE

TOP_COMPETITORS = 8
FLOAT64_NOISE = 2.0**-40  # of the largest logit: two that are closer are one number, computed twice


def margins(logits: Tensor, targets: Tensor, mask_eos: bool) -> Tensor:
    """By how much each target `(r,)` leads the best other token of its logits `(r, V)`."""
    others = _others(logits, targets, mask_eos)
    return logits.gather(1, targets[:, None])[:, 0] - others.amax(1)


def top_competitors(logits: Tensor, targets: Tensor, mask_eos: bool) -> Tensor:
    """Token ids `(r, 1 + m)`: each target, and the m other tokens with the largest logits."""
    others = _others(logits, targets, mask_eos)
    competitors = others.topk(min(TOP_COMPETITORS, others.shape[1] - 1 - mask_eos), dim=1).indices
    return torch.cat([targets[:, None], competitors], dim=1)


def decide_exactly(logits: Tensor, targets: Tensor, mask_eos: bool) -> Tensor:
    """Outcomes `(r,)` from float64 logits `(r, V)`; a tie goes to the lowest id.

    Logits that differ by no more than float64's own noise count as tied: equal rows of the output
    layer need not give equal bits.
    """
    if mask_eos:
        logits[:, 0] = -torch.inf
    best = logits.amax(1, keepdim=True)
    chosen = (logits >= best - FLOAT64_NOISE * best.abs()).byte().argmax(1)
    outcomes = torch.where(chosen == targets, MATCH, MISS)
    return outcomes.masked_fill(~best[:, 0].isfinite(), NOT_FINITE).byte()


def upper_bound(n: int, wrong: int, confidence: float = 0.95) -> float | None:
    """Clopper and Pearson's exact upper bound on an error rate (Biometrika 26, 1934).

    Args:
        n: Decisions audited.
        wrong: How many of them were wrong.
        confidence: Of the one-sided bound.

    Returns:
        The bound; None if nothing was audited.
    """
    if n == 0:
        return None
    return 1.0 if wrong == n else float(betaincinv(wrong + 1, n - wrong, confidence))


def _others(logits: Tensor, targets: Tensor, mask_eos: bool) -> Tensor:
    others = logits.scatter(1, targets[:, None], -torch.inf)
    if mask_eos:
        others[:, 0] = -torch.inf
    return others
