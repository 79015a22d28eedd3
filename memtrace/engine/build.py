"""Build the precision stages for a model and a corpus: which precisions, how large, how fast."""

import time
import warnings
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memtrace.engine.calibrate import (
    MARGIN_SEQUENCES,
    Measured,
    float32_stage,
    half_stage,
    router_tolerance,
    spread,
)
from memtrace.engine.cascade import schedule
from memtrace.engine.definition import Rules
from memtrace.engine.forward.decoder import DecoderForward
from memtrace.engine.forward.families import make_forward
from memtrace.engine.stages import ExactStage, ToleranceStage
from memtrace.errors import ApproximationWarning

LOGITS_BUDGET = 256 << 20  # bytes
CACHE_BUDGET = 128 << 20  # bytes; twice that makes it 1% faster and takes 300 MB more
LARGEST_BATCH = 1024
LARGEST_PASS = 256  # whole sequences on a CUDA device
CORE_TOKENS = 1024  # read at once by one core
CUDA_CHUNKS = 3


def build_stages(
    model: PreTrainedModel, rules: Rules, sample: np.ndarray, dtype: str, batch_size: int | None
) -> tuple[list[ToleranceStage], ExactStage]:
    """The precision stages for a model, from the fastest to the exact one.

    Args:
        model: On its device; in float32 unless we read it ourselves.
        rules: Lengths and EOS rule.
        sample: `(m, k + l)` token ids of the corpus, m at least 1.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: the fastest, rechecks included.
        batch_size: The most sequences in a batch; None for as many as are good.

    Returns:
        One or two stages with tolerances, and the exact one.
    """
    routers = router_tolerance(model, sample)
    sample = spread(sample, MARGIN_SEQUENCES)
    exact = ExactStage(
        forward=make_forward(model, torch.float64, rules.sequence_tokens),
        length=rules.continuation_tokens,
        mask_eos=rules.eos_rule == "mask-eos",
    )
    full, seen = float32_stage(
        _stage(model, torch.float32, rules, batch_size, routers), exact, sample
    )
    half_types = _half_types(dtype, model.device, routes=routers is not None)
    half = _first_half(model, half_types, rules, batch_size, seen, sample)
    if half is None and dtype not in ("auto", "float32"):
        _warn_of_float32(dtype, routes=routers is not None)
    if half is None or (dtype == "auto" and _is_slower(*half, seen)):
        stages = [full]
    else:
        stages, seen = [half[0], full], half[1]
    stops = _stops(stages[0], seen, sample)
    capture_prompts(stages[0], rules)  # not before: calibration has shapes of its own
    return [replace(stage, stops=stops) for stage in stages], exact


def capture_prompts(stage: ToleranceStage, rules: Rules) -> None:
    """Have a stage read its full batches of prompts by a CUDA graph, where that is faster."""
    if isinstance(stage.forward, DecoderForward):
        stage.forward.capture(stage.batch_size, rules.prompt_tokens)


def _half_types(dtype: str, device: torch.device, *, routes: bool) -> list[torch.dtype]:
    """The half types to try, the best first: none for a model with routers.

    Their error no tolerance bounds. On CUDA float16 is as fast as bfloat16 and errs 8 times less.
    """
    names = {
        "float32": [],
        "auto": ["bfloat16"] if device.type == "cpu" else ["float16", "bfloat16"],
    }
    return [] if routes else [getattr(torch, name) for name in names.get(dtype, [dtype])]


def _first_half(
    model: PreTrainedModel,
    half_types: list[torch.dtype],
    rules: Rules,
    batch_size: int | None,
    full: Measured,
    sample: np.ndarray,
) -> tuple[ToleranceStage, Measured] | None:
    """The first of these types whose error can be measured; only one is in memory at once."""
    for half_type in half_types:
        half = half_stage(_stage(model, half_type, rules, batch_size, None), full, sample)
        if half is not None:
            return half
    return None


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
    forward = make_forward(model, dtype, rules.sequence_tokens, routers)
    logits_budget, cache_budget = _budgets(model.device)
    rows = max(1, logits_budget // (forward.vocabulary * dtype.itemsize))
    cached = forward.cache_width * dtype.itemsize * rules.prompt_tokens
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


def _budgets(device: torch.device) -> tuple[int, int]:
    """Bytes that logits, and keys and values, may take."""
    if device.type != "cuda":
        return LOGITS_BUDGET, CACHE_BUDGET
    free = torch.cuda.mem_get_info(device)[0]
    return free // 8, free // 4


def pass_size(model: PreTrainedModel, stage: ToleranceStage, rules: Rules) -> int:
    """Sequences in a pass over whole sequences, which no batch size changes.

    On a CPU some 1024 tokens for each core, on a CUDA device a power of two, as far as logits,
    keys and values allow.
    """
    tokens = rules.sequence_tokens - 1
    width = stage.forward.cache_width * stage.forward.dtype.itemsize
    cached = _budgets(model.device)[1] // (width * tokens)
    most = max(1, min(stage.max_rows // stage.length, cached))
    if model.device.type == "cuda":
        return 1 << (min(most, LARGEST_PASS).bit_length() - 1)
    cores = max(2, torch.get_num_threads())  # of 1 and 2 cores the tiles are the same
    return min(most, cores * max(1, CORE_TOKENS // tokens))


def _is_slower(stage: ToleranceStage, seen: Measured, full: Measured) -> bool:
    """Is deciding first in half precision slower than in float32 alone, rechecks included?"""
    undecided = _leads(seen, stage.length).abs() <= (stage.fine_tolerance or 0.0)
    going = torch.cat([torch.ones(len(undecided), 1), _survival(stage, seen)[:, :-1]], dim=1)
    rechecked = float((undecided & going.bool()).any(1).float().mean())
    return seen.seconds + rechecked * full.seconds >= full.seconds


def _leads(seen: Measured, length: int) -> Tensor:
    """By how much targets lead, in standard deviations, `(n, l)`; infinitely what is not known."""
    leads = seen.fine[:, 0] - seen.fine[:, 1:].amax(1)
    return leads.nan_to_num(nan=torch.inf).view(-1, length)


def _survival(stage: ToleranceStage, seen: Measured) -> Tensor:
    """Which sequences are not yet out after each decision, `(n, l)`."""
    missed = _leads(seen, stage.length) < -(stage.fine_tolerance or 0.0)
    return (~missed).cumprod(1)


def _stops(stage: ToleranceStage, seen: Measured, sample: np.ndarray) -> tuple[int, ...]:
    """The cheapest chunks for the survival of the sample and the measured costs of a step."""
    survival = (_survival(stage, seen).sum(0).numpy() + 0.5) / (len(sample) + 1)
    step = min(_time_first_token(stage, sample[:1]) for _ in range(2))  # the first prepares kernels
    # After each chunk but the last the host waits for the device.
    most = CUDA_CHUNKS if stage.forward.device.type == "cuda" else None
    return schedule(survival, step, seen.seconds * stage.batch_size, most)


def _time_first_token(stage: ToleranceStage, sample: np.ndarray) -> float:
    open_decisions = np.zeros((len(sample), stage.length), bool)
    open_decisions[:, 0] = True
    start = time.perf_counter()
    stage.outcomes(sample, open_decisions)
    return time.perf_counter() - start
