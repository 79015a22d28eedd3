"""Fit precision stages to a model and a corpus: tolerances, chunks, batch size, all measured."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import GPTNeoXForCausalLM, PreTrainedModel

from memtrace.engine.cascade import Forward, schedule
from memtrace.engine.definition import Rules
from memtrace.engine.forward.neox import NeoXForward
from memtrace.engine.forward.transformers import GenericForward
from memtrace.engine.kernels import MISS, UNDECIDED
from memtrace.engine.margins import margins, top_competitors
from memtrace.engine.stages import ExactStage, Stage, ToleranceStage, on_device
from memtrace.errors import ApproximationWarning

LOGITS_BUDGET = 256 << 20  # bytes
CACHE_BUDGET = 128 << 20  # bytes; twice that makes it 1% faster and takes 300 MB more
LARGEST_BATCH = 1024
MARGIN_SEQUENCES = 16
EXACT_SEQUENCES = 4
TIMED_SEQUENCES = 64
FLOAT32_SAFETY = 4.0  # times the largest difference seen
FLOAT32_FLOOR = 2.0**-20  # of the largest logit
ROUTER_SAFETY = 16.0  # times the median change of a router's gap
ROUTER_FLOOR = 2.0**-20  # of a router's largest number
HALF_SAFETY = 1.5  # times the largest difference seen, and at least
HALF_DEVIATIONS = 6.0  # times the root mean square of the differences


@dataclass(frozen=True, slots=True)
class Margins:
    """What one precision says of the same decisions, `(r,)` each, in float64."""

    plain: Tensor
    """From the logits as they come."""
    fine: Tensor
    """Among the top competitors, more precisely; in standard deviations of the logits."""
    largest_logit: float


def build_stages(
    model: PreTrainedModel, rules: Rules, sample: np.ndarray, dtype: str, batch_size: int | None
) -> tuple[list[ToleranceStage], ExactStage]:
    """The precision stages for a model, from the fastest to the exact one.

    Args:
        model: In float32, on its device.
        rules: Lengths and EOS rule.
        sample: `(m, k + l)` token ids of the corpus, m at least 1.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: the fastest, rechecks included.
        batch_size: The most sequences in a batch; None for as many as are good.

    Returns:
        One or two stages with tolerances, and the exact one.
    """
    routers = _router_tolerance(model, sample)
    exact = ExactStage(
        forward=_forward(model, torch.float64, rules, None),
        length=rules.continuation_tokens,
        mask_eos=rules.eos_rule == "mask-eos",
    )
    full = _full_stage(_stage(model, torch.float32, rules, batch_size, routers), exact, sample)
    candidates = [
        [half, full]
        for half_type in _half_types(dtype, model.device, routes=routers is not None)
        if (half := _half_stage(_stage(model, half_type, rules, batch_size, None), full, sample))
    ]
    if dtype in ("auto", "float32") or not candidates:
        candidates.append([full])
    if dtype not in ("auto", "float32") and len(candidates[0]) == 1:
        _warn_of_float32(dtype, routes=routers is not None)
    fastest = candidates[0]
    if len(candidates) > 1:
        fastest = min(candidates, key=lambda stages: _cost(stages, sample))
    stops = _stops(fastest[0], sample)
    return [replace(stage, stops=stops) for stage in fastest], exact


def _router_tolerance(model: PreTrainedModel, sample: np.ndarray) -> float | None:
    """How far float32 moves the gaps of the routers' choices; None for a model without routers."""
    if type(model) is GPTNeoXForCausalLM:
        return None
    fast, exact = GenericForward(model, torch.float32), GenericForward(model, torch.float64)
    tokens = on_device(_spread(sample, EXACT_SEQUENCES)[:, :-1], model.device)
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


def _forward(
    model: PreTrainedModel, dtype: torch.dtype, rules: Rules, routers: float | None
) -> Forward:
    """Our own forward pass where there is one for the model, else that of Transformers."""
    if type(model) is GPTNeoXForCausalLM:
        return NeoXForward(model, dtype, rules.sequence_tokens)
    return GenericForward(model, dtype, routers)


def _half_types(dtype: str, device: torch.device, *, routes: bool) -> list[torch.dtype]:
    """The half types to try: none for a model with routers, whose error no tolerance bounds."""
    names = {
        "float32": [],
        "auto": ["bfloat16"] if device.type == "cpu" else ["float16", "bfloat16"],
    }
    return [] if routes else [getattr(torch, name) for name in names.get(dtype, [dtype])]


def _warn_of_float32(dtype: str, *, routes: bool) -> None:
    reason = (
        "the model sends tokens to experts, and rounding changes to which"
        if routes
        else "no margin of the calibration sequences is finite in it"
    )
    warnings.warn(
        f"{dtype} was asked for, and float32 is used: {reason}", ApproximationWarning, stacklevel=4
    )


def _stage(
    model: PreTrainedModel,
    dtype: torch.dtype,
    rules: Rules,
    batch_size: int | None,
    routers: float | None,
) -> ToleranceStage:
    """A stage as large as its budgets allow, with tolerances and chunks still to be set."""
    forward = _forward(model, dtype, rules, routers)
    config = model.config.get_text_config()
    logits_budget, cache_budget = LOGITS_BUDGET, CACHE_BUDGET
    if model.device.type == "cuda":
        free = torch.cuda.mem_get_info(model.device)[0]
        logits_budget, cache_budget = free // 8, free // 4
    rows = max(1, logits_budget // (forward.vocabulary * dtype.itemsize))
    cached = (
        2 * config.num_hidden_layers * config.hidden_size * dtype.itemsize * rules.prompt_tokens
    )
    most = max(1, min(rows, cache_budget // cached))
    stops = tuple(min(2**i, rules.continuation_tokens) for i in range(9))
    return ToleranceStage(
        forward=forward,
        length=rules.continuation_tokens,
        mask_eos=rules.eos_rule == "mask-eos",
        batch_size=min(most, batch_size or LARGEST_BATCH),
        stops=stops,
        max_rows=rows,
        tolerance=0.0,
    )


def _full_stage(stage: ToleranceStage, exact: ExactStage, sample: np.ndarray) -> ToleranceStage:
    """Set the tolerance of float32 from how far its margins are from those of float64."""
    sample = _spread(sample, EXACT_SEQUENCES)
    ours, true = _measure(stage, sample, len(sample)), _measure(exact, sample, 1)
    error = FLOAT32_SAFETY * _largest(ours.plain - true.plain)
    return replace(stage, tolerance=max(error, FLOAT32_FLOOR * true.largest_logit))


def _half_stage(
    stage: ToleranceStage, full: ToleranceStage, sample: np.ndarray
) -> ToleranceStage | None:
    """Set the tolerances of a half type from float32's margins; None if none can be measured."""
    sample = _spread(sample, MARGIN_SEQUENCES)
    ours, true = (_measure(each, sample, EXACT_SEQUENCES) for each in (stage, full))
    plain = _bound(ours.plain - true.plain)
    if plain is None:
        return None
    return replace(stage, tolerance=plain, fine_tolerance=_bound(ours.fine - true.fine))


def _spread(sample: np.ndarray, count: int) -> np.ndarray:
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
            if forward.router_tolerance is not None:  # all equal: experts are in doubt, not logits
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
    return max(
        HALF_DEVIATIONS * float(errors.square().mean().sqrt()), HALF_SAFETY * _largest(errors)
    )


def _cost(stages: Sequence[ToleranceStage], sample: np.ndarray) -> float:
    """Seconds to decide some first tokens; what a stage leaves undecided, by the next."""
    sample = _spread(sample, TIMED_SEQUENCES)
    seconds, share = 0.0, 1.0
    for stage in stages:
        spent, outcomes = _time_first_token(stage, sample)
        seconds += share * spent
        share *= float((outcomes[:, 0] >= UNDECIDED).mean())
    return seconds


def _time_first_token(stage: ToleranceStage, sample: np.ndarray) -> tuple[float, np.ndarray]:
    open_decisions = np.zeros((len(sample), stage.length), bool)
    open_decisions[:, 0] = True
    stage.outcomes(sample, open_decisions)  # the first call prepares kernels
    start = time.perf_counter()
    outcomes = stage.outcomes(sample, open_decisions)
    return time.perf_counter() - start, outcomes


def _stops(stage: ToleranceStage, sample: np.ndarray) -> tuple[int, ...]:
    """The cheapest chunks for the survival of the sample and the measured costs of a step."""
    outcomes = stage.outcomes(sample, np.ones((len(sample), stage.length), bool))
    right = np.logical_and.accumulate(outcomes != MISS, axis=1)
    survival = (right.sum(axis=0) + 0.5) / (len(sample) + 1)
    timed = _spread(sample, TIMED_SEQUENCES)
    seconds, _ = _time_first_token(stage, timed)
    prompt = timed.shape[1] - stage.length
    step, _ = _time_first_token(stage, timed[:1])
    return schedule(survival, step, seconds / (len(timed) * prompt) * stage.batch_size)
