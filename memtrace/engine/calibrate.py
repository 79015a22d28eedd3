"""Calibrate a precision stage: how far its logits, and its routers' choices, are from exact."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memtrace.engine.forward.families import decoder_of
from memtrace.engine.forward.transformers import GenericForward
from memtrace.engine.margins import top_competitors
from memtrace.engine.stages import ExactStage, Stage, ToleranceStage, on_device
from memtrace.engine.tolerance import tolerance_of

MARGIN_SEQUENCES = 16
EXACT_SEQUENCES = 4
MEASURED_AT_ONCE = 8  # sequences
ROWS_AT_ONCE = 128  # of logits
FLOAT32_FLOOR = 2.0**-20  # of the largest logit of those that compete
ROUTER_SAFETY = 16.0  # times the median change of a router's gap
ROUTER_FLOOR = 2.0**-20  # of a router's largest number


@dataclass(frozen=True, slots=True)
class Measured:
    """What one precision says of teacher-forced sequences, r decisions in all."""

    ids: Tensor
    """`(r, 1 + m)`: the target of each, and its top competitors."""
    plain: Tensor
    """`(r, 1 + m)` float64: their logits as they come."""
    fine: Tensor
    """`(r, 1 + m)` float64: more precisely; in standard deviations of the row's logits."""
    seconds: float
    """Of reading one token, by the later of two passes or more."""

    def rows(self, rows: Tensor) -> "Measured":
        """Of some of the decisions."""
        return replace(self, ids=self.ids[rows], plain=self.plain[rows], fine=self.fine[rows])


def router_tolerance(model: PreTrainedModel, sample: np.ndarray) -> float | None:
    """How far float32 moves the gaps of the routers' choices; None for a model without routers."""
    if decoder_of(model, sample.shape[1]) is not None:
        return None
    fast, exact = GenericForward(model, torch.float32), GenericForward(model, torch.float64)
    tokens = on_device(spread(sample, EXACT_SEQUENCES)[:, :-1], model.device)
    with fast.precision():
        ours = fast.router_gaps(tokens)
    if ours is None:
        return None
    with exact.precision():
        true = [exact.router_gaps(row[None]) for row in tokens]
    errors = (ours - torch.cat([gaps for gaps in true if gaps is not None])).abs()
    # The median, because behind a choice that rounding has changed everything differs.
    typical = float(errors[errors.isfinite()].median()) if errors.isfinite().any() else 0.0
    return max(ROUTER_SAFETY * typical, ROUTER_FLOOR)


def float32_stage(
    stage: ToleranceStage,
    exact: ExactStage,
    sample: np.ndarray,
    exactly: int = EXACT_SEQUENCES,
    *,
    cautious: bool = True,
) -> tuple[ToleranceStage, Measured]:
    """Set the tolerance of float32 from how far its logits are from those of float64.

    Args:
        stage: Without a tolerance.
        exact: Float64.
        sample: `(m, k + l)` token ids.
        exactly: How many of the sequences float64 reads.
        cautious: See `tolerance_of`.

    Returns:
        The stage, and what it says of all of the sample: the reference for half types.
    """
    at_once = min(MEASURED_AT_ONCE, stage.batch_size)
    ours = measure(stage, sample, at_once)
    chosen = places(len(sample), exactly)
    of_chosen = torch.arange(len(ours.ids)).view(len(sample), -1)[torch.from_numpy(chosen)]
    ours_again = ours.rows(of_chosen.flatten())
    true = measure(exact, sample[chosen], at_once, ours_again.ids)
    error = tolerance_of(_errors(ours_again.plain, true.plain), cautious=cautious) or 0.0
    largest = float(true.plain.nan_to_num(0.0, 0.0, 0.0).abs().max())
    return replace(stage, tolerance=max(error, FLOAT32_FLOOR * largest)), ours


def half_stage(
    stage: ToleranceStage, full: Measured, sample: np.ndarray, *, cautious: bool = True
) -> tuple[ToleranceStage, Measured] | None:
    """Set the tolerances of another precision from float32's logits; None if none is finite."""
    ours = measure(stage, sample, min(MEASURED_AT_ONCE, stage.batch_size), full.ids)
    plain = tolerance_of(_errors(ours.plain, full.plain), cautious=cautious)
    if plain is None:
        return None
    if stage.forward.dtype.itemsize == 4:  # split products have no finer ones
        return replace(stage, tolerance=plain), ours
    # A competitor that is close decides: what leads by far may be off by more.
    close = slice(1, None) if ours.ids.shape[1] > 2 else slice(None)
    errors = _errors(ours.fine[:, close], full.fine[:, close])
    fine = tolerance_of(errors, cautious=cautious)
    return replace(stage, tolerance=plain, fine_tolerance=fine), ours


def places(length: int, count: int) -> np.ndarray:
    """At most so many places, from the first to the last at even distances."""
    return np.asarray(np.linspace(0, length - 1, min(count, length)), np.int64)


def spread(sample: np.ndarray, count: int) -> np.ndarray:
    """At most so many of the sequences, from the first to the last at even distances."""
    return np.asarray(sample[places(len(sample), count)])


def measure(stage: Stage, sample: np.ndarray, at_once: int, ids: Tensor | None = None) -> Measured:
    """The logits of all decisions of teacher-forced sequences, of their top competitors.

    Args:
        stage: The precision.
        sample: `(m, k + l)` token ids.
        at_once: Sequences in a pass.
        ids: Whose logits; by default those that are the largest in this precision.
    """
    forward, length = stage.forward, stage.length
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    seconds, done = 0.0, 0
    with forward.precision():
        for start in range(0, len(sample), at_once):
            tokens = on_device(sample[start : start + at_once], forward.device)
            began = time.perf_counter()
            kept, _ = forward.prompt(tokens[:, :-1], keep=length)
            float(kept.sum())  # waits for the device
            seconds = (time.perf_counter() - began) / tokens[:, :-1].numel()
            features, targets = kept.flatten(0, 1), tokens[:, -length:].flatten()
            for first in range(0, len(features), ROWS_AT_ONCE):
                some = slice(first, min(first + ROWS_AT_ONCE, len(features)))
                asked = None if ids is None else ids[done + some.start : done + some.stop]
                found.append(_measure_rows(stage, features[some], targets[some], asked))
            done += len(features)
    chosen, plain, fine = (torch.cat([parts[i] for parts in found]) for i in range(3))
    return Measured(chosen, plain, fine, seconds)


def _measure_rows(
    stage: Stage, features: Tensor, targets: Tensor, ids: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, plain and fine logits of some rows, on the host."""
    forward = stage.forward
    logits = forward.logits(features)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if ids is None:
        ids = top_competitors(logits, targets, stage.mask_eos)
    ids = ids.to(logits.device)
    plain = logits.gather(1, ids).double()
    if forward.router_tolerance is not None:  # all equal: the experts are undecided
        plain[logits.amax(1) == logits.amin(1)] = torch.nan
    fine = (forward.precise_logits(features, ids) / logits.std(1, keepdim=True)).double()
    return ids.cpu(), plain.cpu(), fine.cpu()


def _errors(ours: Tensor, true: Tensor) -> np.ndarray:
    return (ours - true).numpy()
