"""Calibrate a precision stage: how far its margins, and its routers' choices, are from exact."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memtrace.engine.forward.families import decoder_of
from memtrace.engine.forward.transformers import GenericForward
from memtrace.engine.margins import margins, top_competitors
from memtrace.engine.stages import ExactStage, Stage, ToleranceStage, on_device

MARGIN_SEQUENCES = 64
EXACT_SEQUENCES = 4
FLOAT32_SAFETY = 4.0  # times the largest difference seen
FLOAT32_FLOOR = 2.0**-20  # of the largest logit
ROUTER_SAFETY = 16.0  # times the median change of a router's gap
ROUTER_FLOOR = 2.0**-20  # of a router's largest number
HALF_DEVIATIONS = 6.0  # times the root mean square of the differences
NORMAL_LARGEST = 3.5  # deviations: the largest of 2,048 differences, were they normal


@dataclass(frozen=True, slots=True)
class Margins:
    """What one precision says of the same decisions, `(r,)` each, in float64."""

    plain: Tensor
    """From the logits as they come."""
    fine: Tensor
    """Among the top competitors, more precisely; in standard deviations of the logits."""
    largest_logit: float


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


def float32_stage(stage: ToleranceStage, exact: ExactStage, sample: np.ndarray) -> ToleranceStage:
    """Set the tolerance of float32 from how far its margins are from those of float64."""
    sample = spread(sample, EXACT_SEQUENCES)
    ours, true = _measure(stage, sample, len(sample)), _measure(exact, sample, 1)
    error = FLOAT32_SAFETY * _largest(ours.plain - true.plain)
    return replace(stage, tolerance=max(error, FLOAT32_FLOOR * true.largest_logit))


def half_stage(
    stage: ToleranceStage, full: ToleranceStage, sample: np.ndarray
) -> ToleranceStage | None:
    """Set the tolerances of a half type from float32's margins; None if none can be measured."""
    sample = spread(sample, MARGIN_SEQUENCES)
    ours, true = (_measure(each, sample, EXACT_SEQUENCES) for each in (stage, full))
    plain = _bound(ours.plain - true.plain)
    if plain is None:
        return None
    return replace(stage, tolerance=plain, fine_tolerance=_bound(ours.fine - true.fine))


def spread(sample: np.ndarray, count: int) -> np.ndarray:
    """At most so many of the sequences, from the first to the last at even distances."""
    return sample[np.linspace(0, len(sample) - 1, min(count, len(sample))).astype(np.int64)]


def _measure(stage: Stage, sample: np.ndarray, at_once: int) -> Margins:
    """All margins of teacher-forced sequences, `at_once` sequences in a pass."""
    forward, length = stage.forward, stage.length
    plain, fine, largest = [], [], 0.0
    with forward.precision():
        for start in range(0, len(sample), at_once):
            tokens = on_device(sample[start : start + at_once], forward.device)
            kept, _ = forward.prompt(tokens[:, :-1], keep=length)
            features, targets = kept.flatten(0, 1), tokens[:, -length:].flatten()
            logits = forward.logits(features)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            lead = margins(logits, targets, stage.mask_eos).double()
            if forward.router_tolerance is not None:  # all equal: the experts are undecided
                lead = lead.masked_fill(logits.amax(1) == logits.amin(1), torch.nan)
            plain.append(lead)
            few = forward.precise_logits(features, top_competitors(logits, targets, stage.mask_eos))
            fine.append(((few[:, 0] - few[:, 1:].amax(1)) / logits.std(1)).double())
            largest = max(largest, _largest(logits))
    return Margins(torch.cat(plain), torch.cat(fine), largest)


def _largest(values: Tensor) -> float:
    """The largest finite magnitude; what is not finite is found, and named, when it is decided."""
    finite = values[values.isfinite()]
    return float(finite.abs().max()) if len(finite) else 0.0


def _bound(errors: Tensor) -> float | None:
    """A tolerance that errors like these stay within; None if none of them is finite."""
    errors = errors[errors.isfinite()]
    if not len(errors):
        return None
    deviation = float(errors.square().mean().sqrt())
    # A tail that is r times as long where 1 in 2,048 lies is some r^2 times as long at 1 in 10^6.
    tail = max(1.0, _largest(errors) / (NORMAL_LARGEST * deviation)) if deviation else 1.0
    return HALF_DEVIATIONS * deviation * tail**2
