"""Routers: the choices that a forward pass makes for each token, and how close they are.

A mixture of experts sends each token to the experts with the largest scores. That is a step, not a
slope: a rounding error that swaps two experts changes the logits by more than any tolerance. So the
forward pass is watched, whatever its modules are called: a model has routers if it picks the
largest of some numbers (top-k, argmax) for each token. The gap between the last number chosen and
the first one left out says whether rounding can swap them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten


class RouterWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the choices that a forward pass over `(n, t)` tokens makes while this is entered."""

    def __init__(self, tokens: Tensor) -> None:
        """Nothing is chosen yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.routes = False
        """Is anything chosen for each token?"""
        self.gaps = torch.full(tokens.shape, torch.inf, device=tokens.device)
        """The closest choice for each token `(n, t)`: its gap, as a share of the largest number."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Record what an operation chooses, and run it."""
        chosen = _chosen_of_last(func, args)
        if chosen:
            self._record(args[0], chosen)
        return func(*args, **(kwargs or {}))

    def _record(self, values: Tensor, chosen: int) -> None:
        n, t = self.gaps.shape
        by_token = values.shape[0] == n * t or values.shape[:2] == (n, t)
        if not by_token or chosen >= values.shape[-1]:
            return
        self.routes = True
        top = values.topk(chosen + 1).values
        scale = top.abs().amax(-1).clamp(min=torch.finfo(top.dtype).tiny)
        gaps = (top[..., -2] - top[..., -1]) / scale
        gaps = torch.where(top[..., -1].isfinite(), gaps, torch.inf)  # -inf is never chosen
        closest = gaps.reshape(n, t, -1).amin(-1).to(self.gaps.device)
        self.gaps = self.gaps.minimum(closest)


def _chosen_of_last(func: Any, args: tuple[Any, ...]) -> int:
    """How many numbers of the last dimension an operation picks; 0 if that is not what it does."""
    if func not in (_ATEN.topk.default, _ATEN.argmax.default, _ATEN.max.dim):
        return 0
    values, *rest = args
    if func is _ATEN.topk.default:
        chosen, dim = rest[0], rest[1] if len(rest) > 1 else -1
    else:
        chosen, dim = 1, rest[0] if rest else None
    last = dim in (-1, values.ndim - 1)
    return int(chosen) if last and values.ndim > 1 and values.is_floating_point() else 0
