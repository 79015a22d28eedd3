"""What a model's forward pass raises, as one line that names model, precision and batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from memtrace.errors import MemtraceError, ModelError, first_line


def name_of(model: PreTrainedModel) -> str:
    """Where a model was loaded from; the name of its class for one made in memory."""
    return model.name_or_path or type(model).__name__


_OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate memory", "ALLOC_FAILED")
"""What CUDA, the allocator of the CPU and cuBLAS say in errors without a type of their own."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Does this mean that a device, or this machine, has no memory left?"""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


@contextmanager
def named_failures(
    name: str, dtype: torch.dtype, batch: Sequence[int] | None = None
) -> Iterator[None]:
    """Turn any exception of a model's own code into a ModelError; running out of memory passes.

    Args:
        name: Of the model.
        dtype: The precision.
        batch: Shape `(n, t)` of the token ids that it reads; None while weights are converted.

    Raises:
        ModelError: Whatever else is raised.
    """
    try:
        yield
    except MemtraceError:
        raise
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        doing = "when it is converted"
        if batch:
            doing = f"on a batch of {batch[0]} sequences of {batch[1]} tokens"
        reason = f"{type(error).__name__}: {first_line(error)}"
        precision = str(dtype).removeprefix("torch.")
        raise ModelError(
            f"{name} fails in {precision} {doing}: {reason}; check that Transformers runs it as "
            "it is"
        ) from error
