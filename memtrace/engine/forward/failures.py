"""What a model's forward pass raises, as one line that names model, precision and batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from memtrace.errors import MemtraceError, ModelError, first_line


def name_of(model: PreTrainedModel) -> str:
    """Where a model was loaded from; the name of its class for one made in memory."""
    return model.name_or_path or type(model).__name__


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
    except (torch.OutOfMemoryError, MemtraceError):
        raise
    except Exception as error:
        doing = "when it is converted"
        if batch:
            doing = f"on a batch of {batch[0]} sequences of {batch[1]} tokens"
        reason = f"{type(error).__name__}: {first_line(error)}"
        advice = "check that Transformers runs it as it is"
        if "memory" in reason.lower():
            advice = "take a smaller --batch-size, or a machine with more memory"
        precision = str(dtype).removeprefix("torch.")
        raise ModelError(f"{name} fails in {precision} {doing}: {reason}; {advice}") from error
