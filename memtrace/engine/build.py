"""Build the precision stages for a model and a corpus: which precisions, how large, how fast."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedModel

from memtrace.engine.calibrate import (
    MARGIN_SEQUENCES,
    float32_stage,
    half_stage,
    router_tolerance,
    spread,
)
from memtrace.engine.choice import Candidate, cheapest, stops, timed
from memtrace.engine.definition import Rules
from memtrace.engine.forward.decoder import DecoderForward
from memtrace.engine.forward.families import decoder_of, make_forward
from memtrace.engine.forward.linear import Precision
from memtrace.engine.forward.split import Split, has_split_products
from memtrace.engine.guess import Calibration, verified
from memtrace.engine.stages import ExactStage, ToleranceStage
from memtrace.errors import ApproximationWarning
from memtrace.models.memory import free_memory

LOGITS_BUDGET = 256 << 20  # bytes
CACHE_BUDGET = 128 << 20  # bytes; twice that makes it 1% faster and takes 300 MB more
LARGEST_BATCH = 1024
LARGEST_PASS = 256  # whole sequences on a CUDA device
CORE_TOKENS = 1024  # read at once by one core


def build_stages(
    model: PreTrainedModel,
    rules: Rules,
    sample: np.ndarray,
    dtype: str,
    batch_size: int | None,
    guess: Calibration | None = None,
) -> tuple[list[ToleranceStage], ExactStage, bool]:
    """The precision stages for a model, from the fastest to the exact one.

    Args:
        model: On its device; in float32 unless we read it ourselves.
        rules: Lengths and EOS rule.
        sample: `(m, k + l)` token ids of the corpus, m at least 1.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: the fastest, rechecks included.
        batch_size: The most sequences in a batch; None for as many as are good.
        guess: The calibration of another checkpoint of the model, with the same rules and dtype.

    Returns:
        One to three stages with tolerances, the exact one, and whether the guess was verified.
    """
    routers = router_tolerance(model, sample)
    sample = spread(sample, MARGIN_SEQUENCES)
    exact = ExactStage(
        forward=make_forward(model, torch.float64, rules.sequence_tokens),
        length=rules.continuation_tokens,
        mask_eos=rules.eos_rule == "mask-eos",
    )
    parts = _Parts(model, rules, batch_size, routers)
    if guess is not None and routers is None:
        stages = verified(guess, parts.stage, exact, sample)
        if stages is not None:
            capture_prompts(stages[0], rules)
            return stages, exact, True
    full = timed(*float32_stage(parts.stage(torch.float32), exact, sample), sample)
    half = _first(parts, _half_types(dtype, parts), full, sample)
    if half is None and dtype not in ("auto", "float32"):
        _warn_of_float32(dtype, routes=routers is not None)
    split = None if dtype == "float32" else _first(parts, _split_types(parts), full, sample)
    chains = [[each for each in chain if each] for chain in ((half, split, full), (half, full))]
    if dtype == "auto" or half is None:
        chains += [[full]]
    if dtype == "auto" and split:
        chains += [[split, full]]
    chosen = cheapest(chains)
    ends = stops(chosen[0], sample)
    stages = [replace(each.stage, stops=ends) for each in chosen]
    capture_prompts(stages[0], rules)  # not before: calibration has shapes of its own
    return stages, exact, False


@dataclass(frozen=True, slots=True)
class _Parts:
    """What stages are made of."""

    model: PreTrainedModel
    rules: Rules
    batch_size: int | None
    routers: float | None

    def stage(self, precision: Precision) -> ToleranceStage:
        """A stage as large as its budgets allow, with tolerances and chunks still to be set."""
        rules = self.rules
        routers = self.routers if precision == torch.float32 else None
        forward = make_forward(self.model, precision, rules.sequence_tokens, routers)
        logits_budget, cache_budget = _budgets(self.model.device)
        rows = max(1, logits_budget // (forward.vocabulary * forward.dtype.itemsize))
        cached = forward.cache_width * forward.dtype.itemsize * rules.prompt_tokens
        most = max(1, min(rows, cache_budget // cached))
        ends = tuple(min(2**i, rules.continuation_tokens) for i in range(9))
        return ToleranceStage(
            forward=forward,
            length=rules.continuation_tokens,
            mask_eos=rules.eos_rule == "mask-eos",
            batch_size=min(most, self.batch_size or LARGEST_BATCH),
            stops=ends,
            max_rows=rows,
            tolerance=0.0,
        )


def capture_prompts(stage: ToleranceStage, rules: Rules) -> None:
    """Have a stage read its full batches of prompts by a CUDA graph, where that is faster."""
    if isinstance(stage.forward, DecoderForward):
        stage.forward.capture(stage.batch_size, rules.prompt_tokens)


def _half_types(dtype: str, parts: _Parts) -> list[Precision]:
    """The half types to try, the best first: none for a model with routers.

    Their error no tolerance bounds. On CUDA float16 is as fast as bfloat16 and errs 8 times less.
    """
    on_cpu = parts.model.device.type == "cpu"
    names = {"float32": [], "auto": ["bfloat16"] if on_cpu else ["float16", "bfloat16"]}
    asked = names.get(dtype, [dtype])
    return [] if parts.routers is not None else [getattr(torch, name) for name in asked]


def _split_types(parts: _Parts) -> list[Precision]:
    """The split products to try between a half type and float32, the best first.

    In the type of the weights two products are enough. A likelihood has the error of its first
    stage, and no stage between.
    """
    model, rules = parts.model, parts.rules
    if rules.distribution is not None or not has_split_products(model.device):
        return []
    if decoder_of(model, rules.sequence_tokens) is None:
        return []
    stored = torch.bfloat16 if model.dtype == torch.bfloat16 else torch.float16
    return [Split(each) for each in dict.fromkeys((stored, torch.bfloat16))]


def _first(
    parts: _Parts, precisions: Sequence[Precision], full: Candidate, sample: np.ndarray
) -> Candidate | None:
    """The first of these precisions whose error can be measured; only one is in memory at once."""
    for precision in precisions:
        found = half_stage(parts.stage(precision), full.seen, sample)
        if found is not None:
            return timed(*found, sample)
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


def _budgets(device: torch.device) -> tuple[int, int]:
    """Bytes that logits, and keys and values, may take."""
    if device.type != "cuda":
        return LOGITS_BUDGET, CACHE_BUDGET
    free = free_memory(device) or 0
    # Six caches at most: prompts of two batches, survivors of three, and one that is copied to.
    return free // 8, free // 8


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
