"""The array-API reference of decide.cu: the decision rule for NumPy, torch and CuPy arrays.

Both follow one rule in the same float32 arithmetic and return the same
bytes. Logits are only read, in one pass and a little: a target's own block is read twice.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

Array = Any  # no static type spans NumPy, torch and CuPy

MISS, MATCH, UNDECIDED = 0, 1, 2
NOT_FINITE = 3

TILE = 4096
"""Ids read between two checks whether a row is decided; the same number as in decide.cu."""

SUMMED = 16
"""Rows whose exponentials the reference sums at once: few enough that they stay in a cache."""

NEGLIGIBLE = -80.0
"""An exponent whose exponential no sum with a term of 1 shows; those of smaller ones, denormal
numbers, take ten times as long on a CPU."""

BLOCK = 1024
"""Ids whose maximum the reference takes at once; the answer does not depend on it."""


@np.errstate(over="ignore", invalid="ignore")  # infinities are answers here, as in the kernel
def decide(logits: Array, targets: Array, tolerance: Array | float, *, mask_eos: bool) -> Array:
    """Outcomes of the rule that `memtrace.engine.kernels.decide` documents, `(rows,)`, uint8."""
    xp, place = array_namespace(logits), device(logits)
    rows, vocabulary = logits.shape
    targets = _checked_targets(xp, targets, vocabulary)
    tolerances = _checked_tolerances(xp, tolerance, rows, place)
    first = int(mask_eos and vocabulary > 1)

    target_logits = _widen(xp, logits[xp.arange(rows, device=place), targets])
    competitors = _widen(xp, _best_competitors(xp, logits[:, first:], targets - first))
    lead = competitors - target_logits
    beaten = lead > tolerances
    tied = xp.nonzero((lead == 0) & (tolerances == 0))[0]
    beaten[tied] = xp.argmax(logits[tied, first:], axis=1) + first < targets[tied]

    outcomes = xp.full((rows,), MATCH, dtype=xp.uint8, device=place)
    outcomes[(tolerances > 0) & (lead >= -tolerances) & (competitors > -xp.inf)] = UNDECIDED
    outcomes[beaten] = MISS
    broken = xp.nonzero(~xp.isfinite(target_logits) | ~(competitors < xp.inf))[0]
    if broken.shape[0] > 0:
        values = _widen(xp, logits[broken, :])
        early = _missed_before_broken(xp, values, targets[broken], tolerances[broken], first)
        outcomes[broken] = NOT_FINITE
        outcomes[broken[early]] = MISS
    outcomes[targets < int(mask_eos)] = MISS
    return outcomes


@np.errstate(over="ignore", invalid="ignore")
def score(
    logits: Array,
    targets: Array,
    tolerance: Array | float,
    *,
    temperature: float,
    mask_eos: bool,
) -> tuple[Array, Array]:
    """Outcomes as of `decide`, and log probabilities `(rows,)`, float32."""
    outcomes = decide(logits, targets, tolerance, mask_eos=mask_eos)
    xp, place = array_namespace(logits), device(logits)
    rows = logits.shape[0]
    chosen = _widen(xp, logits[xp.arange(rows, device=place), targets])
    drawn = logits[:, 1:] if mask_eos and logits.shape[1] > 1 else logits
    starts = range(0, rows, SUMMED)
    parts = [_log_sums(xp, drawn[i : i + SUMMED], temperature) for i in starts]
    largest, sums = (xp.concat(each) for each in zip(*parts, strict=True)) if rows else 2 * [chosen]
    log_p = (chosen - largest) / temperature - sums
    log_p[targets < int(mask_eos)] = -xp.inf
    return outcomes, log_p


def _log_sums(xp: Any, logits: Array, temperature: float) -> tuple[Array, Array]:
    """The largest of each row, and the log of the sum of exp((logit - largest) / temperature)."""
    logits = _widen(xp, logits)
    largest = xp.max(logits, axis=1)
    below = logits - largest[:, None]
    if temperature != 1:
        below = below / temperature
    return largest, xp.log(xp.sum(xp.exp(xp.clip(below, NEGLIGIBLE)), axis=1))


def matched_tokens(predicted: Array, truth: Array) -> Array:
    """Leading positions of each row where `predicted` equals `truth`: `(rows,)`, uint8."""
    xp = array_namespace(predicted, truth)
    return xp.astype(_first_true(xp, predicted != truth), xp.uint8)


def _best_competitors(xp: Any, logits: Array, targets: Array) -> Array:
    """Largest logit of each row with the target's left out; -infinity if there is no other."""
    vocabulary = logits.shape[1]
    whole = vocabulary - vocabulary % BLOCK
    parts = [(0, whole, BLOCK), (whole, vocabulary, vocabulary - whole)]
    bests = [
        _best_in_blocks(xp, logits[:, begin:end], targets - begin, width)
        for begin, end, width in parts
        if end > begin
    ]
    return xp.max(xp.stack(bests), axis=0)


def _best_in_blocks(xp: Any, logits: Array, targets: Array, width: int) -> Array:
    """The same over blocks of `width`: one pass, after which only the target's block is redone."""
    rows, vocabulary = logits.shape
    blocks = xp.reshape(logits, (rows, vocabulary // width, width))
    best = xp.max(blocks, axis=2)
    inside = xp.nonzero((targets >= 0) & (targets < vocabulary))[0]
    block, lane = targets[inside] // width, targets[inside] % width
    others = blocks[inside, block]  # a copy
    others[xp.arange(inside.shape[0], device=device(inside)), lane] = -xp.inf
    best[inside, block] = xp.max(others, axis=1)
    return xp.max(best, axis=1)


def _missed_before_broken(
    xp: Any, logits: Array, targets: Array, tolerances: Array, first: int
) -> Array:
    """Which rows `(rows, vocabulary)` a tile decides before one with a broken logit is read."""
    rows, vocabulary = logits.shape
    ids = xp.arange(vocabulary, device=device(logits))[None, :]
    targets, tolerances = targets[:, None], tolerances[:, None]
    target_logits = logits[xp.arange(rows, device=device(logits)), targets[:, 0]][:, None]
    lead = logits - target_logits
    lower_tie = (tolerances == 0) & (lead == 0) & (ids < targets)
    beaten = (ids >= first) & ((lead > tolerances) | lower_tie)
    broken = ((ids >= first) & ~(logits < xp.inf)) | ~xp.isfinite(target_logits)
    return _first_true(xp, beaten) // TILE < _first_true(xp, broken) // TILE


def _first_true(xp: Any, flags: Array) -> Array:
    """Index of the first true entry of each row, or the length of the row if there is none."""
    end = xp.ones((flags.shape[0], 1), dtype=xp.uint8, device=device(flags))
    return xp.argmax(xp.concat([xp.astype(flags, xp.uint8), end], axis=1), axis=1)


def _widen(xp: Any, logits: Array) -> Array:
    return xp.astype(logits, xp.float32)


def _checked_targets(xp: Any, targets: Array, vocabulary: int) -> Array:
    outside = (targets < 0) | (targets >= vocabulary)
    if xp.any(outside):
        bad = int(targets[outside][0])
        raise ValueError(
            f"target {bad} is no token of a vocabulary of {vocabulary}: fix the caller"
        )
    return xp.astype(targets, xp.int64)


def _checked_tolerances(xp: Any, tolerance: Array | float, rows: int, place: Any) -> Array:
    if isinstance(tolerance, float):
        tolerances = xp.full((rows,), tolerance, dtype=xp.float32, device=place)
    else:
        tolerances = xp.astype(tolerance, xp.float32)
    if not xp.all(tolerances >= 0):
        raise ValueError("a tolerance is negative or NaN: the least is 0, which decides exactly")
    return tolerances
