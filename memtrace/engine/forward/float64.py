"""Float64 all the way: what a model's own code rounds to float32 stays in float64.

Norms, rotary embeddings and softmax of many models cast to float32 inside, because half precision
is too coarse for them. In a model of float64 numbers the same casts throw digits away.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Float64Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, every operation that is to give float32 gives float64."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, with float64 wherever float32 is asked for."""
        widened = {key: _widen(value) for key, value in (kwargs or {}).items()}
        return func(*map(_widen, args), **widened)


def _widen(argument: Any) -> Any:
    return torch.float64 if argument is torch.float32 else argument
