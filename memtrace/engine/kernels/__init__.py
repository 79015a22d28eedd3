"""Is each row's target the greedy choice? A CUDA kernel and its array-API reference."""

import math
from functools import partial

from array_api_compat import is_torch_array

from memtrace.storage.modules import submodule

from . import array_api, cuda
from .array_api import MATCH, MISS, NOT_FINITE, UNDECIDED, Array

__all__ = ["MATCH", "MISS", "NOT_FINITE", "UNDECIDED", "decide", "matched_tokens", "score"]

DTYPES = ("float32", "float16", "bfloat16")


def decide(logits: Array, targets: Array, tolerance: Array | float, *, mask_eos: bool) -> Array:
    """Is the target of each row its greedy choice: match, miss or undecided?

    The margin is the target's logit less the best of its competitors, in float32 (half types
    widen exactly). At tolerance 0 the answer is that of `torch.argmax`: a tie goes to the lowest
    id. Above 0 a margin beyond the tolerance is MATCH or MISS, any other UNDECIDED; rounding of
    the margin never makes one within the tolerance look certain.

    NOT_FINITE means that the target's logit is NaN or infinite, or a competitor's is NaN or
    +infinity (one of -infinity does not compete). Rows are read in tiles of 4096 ids in ascending
    order; a tile that makes a miss certain ends the row, so broken logits in later tiles go unseen.

    Args:
        logits: `(rows, vocabulary)`, float32, float16 or bfloat16, read in place; rows may lie
            apart, the logits of a row may not (on CUDA). CUDA tensors go to the kernel, on
            torch's current stream; any other array to the array-API
            reference.
        targets: `(rows,)` token ids, of an integer type, on the device of the logits.
        tolerance: in logits, 0 or more: one for all rows or, as float32, `(rows,)`.
        mask_eos: Token 0 can never be chosen: it competes with none, and as a target it is a MISS.

    Returns:
        `(rows,)` uint8: MISS, MATCH, UNDECIDED or NOT_FINITE.

    Raises:
        TypeError: Logits of another type.
        ValueError: Shapes that do not fit, a target outside the vocabulary, a negative tolerance.
            (The kernel cannot raise for a value: such a row is NOT_FINITE.)
        ModelError: CUDA logits without CuPy.
    """
    _check(logits, targets, tolerance)
    if getattr(tolerance, "ndim", 0) == 0:
        tolerance = float(tolerance)
    backend = cuda if _on_cuda(logits) else array_api
    return backend.decide(logits, targets, tolerance, mask_eos=mask_eos)


def score(
    logits: Array,
    targets: Array,
    tolerance: Array | float,
    *,
    temperature: float = 1.0,
    mask_eos: bool,
) -> tuple[Array, Array]:
    """Is the target of each row its greedy choice, and how probable is it?

    Args:
        logits: As of `decide`.
        targets: As of `decide`.
        tolerance: As of `decide`.
        temperature: Above 0; logits are divided by it before the softmax.
        mask_eos: Token 0 can never be chosen: it has no probability.

    Returns:
        `(rows,)` uint8, the outcomes of `decide`; and `(rows,)` float32, the log of the softmax at
        the target, in nats, computed in float32: -inf for a masked target, NaN or infinite where
        a logit is NaN or +infinity.

    Raises:
        TypeError, ValueError, ModelError: As of `decide`.
        ValueError: A temperature that is not above 0.
    """
    _check(logits, targets, tolerance)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature {temperature}: expected a number above 0")
    if getattr(tolerance, "ndim", 0) == 0:
        tolerance = float(tolerance)
    backend = cuda if _on_cuda(logits) else array_api
    outcomes, log_p = backend.score(
        logits, targets, tolerance, temperature=temperature, mask_eos=mask_eos
    )
    return outcomes, log_p


def matched_tokens(predicted: Array, truth: Array) -> Array:
    """How many leading tokens of each row agree.

    Args:
        predicted: `(rows, length)` token ids, of an integer type, `length` at most 255.
        truth: the same, on the same device.

    Returns:
        `(rows,)` uint8, each 0 to `length`.

    Raises:
        ValueError: Shapes that differ, or rows too long to be counted in a byte.
        ModelError: CUDA tensors without CuPy.
    """
    if predicted.ndim != 2 or predicted.shape != truth.shape or predicted.shape[1] > 255:
        raise ValueError(
            f"predicted tokens {tuple(predicted.shape)} and truth {tuple(truth.shape)}: expected "
            "two equal shapes (rows, length) with a length of at most 255"
        )
    backend = cuda if _on_cuda(predicted) else array_api
    return backend.matched_tokens(predicted, truth)


def _on_cuda(array: Array) -> bool:
    return is_torch_array(array) and array.is_cuda


def _check(logits: Array, targets: Array, tolerance: Array | float) -> None:
    dtype = str(logits.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise TypeError(f"logits are {dtype}: convert them to one of {', '.join(DTYPES)}")
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits have shape {tuple(logits.shape)}: expected (rows, vocabulary)")
    rows = tuple(logits.shape[:1])
    if tuple(targets.shape) != rows:
        raise ValueError(f"targets have shape {tuple(targets.shape)}: expected {rows}")
    shape = tuple(getattr(tolerance, "shape", ()))
    if shape not in ((), rows):
        raise ValueError(f"tolerances have shape {shape}: expected one number, or {rows}")


__getattr__ = partial(submodule, __name__)
