"""Log-likelihoods of continuations: teacher forced, in passes of one shape.

Every pass reads as many sequences, filled up with copies where there are fewer: so what a sequence
gets depends neither on what else is scored nor on the batch size that is asked for. Values that a
precision cannot tell (logits that overflow, a token at the edge of the top k, a sum at the smallest
probability that is wanted) are computed in the next one, in the end in float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memtrace.engine.calibrate import EXACT_SEQUENCES, MARGIN_SEQUENCES, spread
from memtrace.engine.definition import Distribution
from memtrace.engine.kernels import UNDECIDED, score
from memtrace.engine.margins import FLOAT64_NOISE
from memtrace.engine.stages import ExactStage, Stage, ToleranceStage, name, on_device, settle
from memtrace.errors import ModelError

ROWS_AT_ONCE = 256  # of logits, whose softmax is taken: 51 MB for Pythia's vocabulary in float32
SUM_NOISE = 2.0**-18  # nats by which a float32 sum of exponentials may be off at each place


@dataclass(frozen=True, slots=True)
class Forced:
    """What a pass over whole sequences says of them, in one precision."""

    outcomes: np.ndarray
    """`(n, l)` uint8, of each decision whatever the earlier ones were."""
    log_likelihood: np.ndarray
    """`(n,)` float64, in nats."""
    sure: np.ndarray
    """`(n,)`: the value is within this precision's error of the true one."""


def teacher_forced(
    stage: ToleranceStage, distribution: Distribution, sequences: np.ndarray, at_once: int
) -> Forced:
    """Score `(n, k + l)` sequences, always `at_once` of them in a pass."""
    parts: list[Forced] = []
    with stage.forward.precision():
        for start in range(0, len(sequences), at_once):
            some = sequences[start : start + at_once]
            filled = np.resize(some, (at_once, some.shape[1]))
            tokens = on_device(filled, stage.forward.device)
            features, _ = stage.forward.prompt(tokens[:, :-1], keep=stage.length)
            targets = tokens[:, -stage.length :].flatten()
            scored = [
                _score_rows(stage, distribution, rows, chosen)
                for rows, chosen in zip(
                    torch.split(features.flatten(0, 1), ROWS_AT_ONCE),
                    torch.split(targets, ROWS_AT_ONCE),
                    strict=True,
                )
            ]
            outcomes, log_p, sure = (
                torch.cat(each).view(at_once, -1)[: len(some)] for each in zip(*scored, strict=True)
            )
            if stage.forward.router_tolerance is not None:
                sure &= outcomes != UNDECIDED  # it may be that its experts are
            total = log_p.double().sum(1)
            known = sure.all(1) & ~total.isnan() & (total < torch.inf)
            parts.append(Forced(*(x.cpu().numpy() for x in (outcomes, total, known))))
    return _joined(parts, stage.length)


def _joined(parts: Sequence[Forced], length: int) -> Forced:
    if not parts:
        return Forced(np.empty((0, length), np.uint8), np.empty(0), np.empty(0, bool))
    names = ("outcomes", "log_likelihood", "sure")
    return Forced(*(np.concatenate([getattr(part, each) for part in parts]) for each in names))


def _score_rows(
    stage: ToleranceStage, distribution: Distribution, features: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Outcomes, log probabilities and whether these are sure, `(r,)` each."""
    logits = stage.forward.logits(features)
    outcomes, log_p = score(
        logits,
        targets,
        stage.tolerance,
        temperature=distribution.temperature,
        mask_eos=stage.mask_eos,
    )
    sure = torch.ones_like(log_p, dtype=torch.bool)
    if distribution.top_k is not None:
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        log_p, lead = among_top(wide, targets, distribution, stage.mask_eos, noise=0.0)
        sure = ~(lead.abs() <= stage.tolerance)  # NaN: no token is left out
    return stage.refine(outcomes, features, logits, targets), log_p, sure


def among_top(
    logits: Tensor, targets: Tensor, distribution: Distribution, mask_eos: bool, noise: float
) -> tuple[Tensor, Tensor]:
    """Log probabilities `(r,)` among the top k logits of each row; -inf outside of them.

    Args:
        logits: `(r, V)`.
        targets: `(r,)`.
        distribution: Temperature, and top k, which is not None.
        mask_eos: Token 0 cannot be drawn.
        noise: Logits that differ by this share of the largest or less are equal: the lowest ids
            of equal ones are drawn.

    Returns:
        Log probabilities; and by how much each target leads the first token that is left out, or,
        below 0, is behind the last that is not. NaN where nothing is left out.
    """
    if mask_eos:
        logits = logits.clone()
        logits[:, 0] = -torch.inf
    count = min(distribution.top_k or logits.shape[1], logits.shape[1])
    top = logits.topk(min(count + 1, logits.shape[1]), dim=1).values
    chosen = logits.gather(1, targets[:, None])
    equal = noise * top[:, :1].abs()
    ids = torch.arange(logits.shape[1], device=logits.device)
    ahead = (logits > chosen + equal) | (
        ((logits - chosen).abs() <= equal) & (ids < targets[:, None])
    )
    inside = (ahead.sum(1) < count) & (chosen[:, 0] > -torch.inf)
    scaled = (top[:, :count] - top[:, :1]) / distribution.temperature
    log_p = (chosen - top[:, :1])[:, 0] / distribution.temperature - scaled.logsumexp(1)
    if top.shape[1] == count:
        lead = torch.full_like(log_p, torch.nan)
    else:
        lead = chosen[:, 0] - torch.where(inside, top[:, count], top[:, count - 1])
    return torch.where(inside, log_p, -torch.inf), lead


def exact(stage: ExactStage, distribution: Distribution, sequences: np.ndarray) -> np.ndarray:
    """Log-likelihoods `(n,)` in float64, one sequence at a time."""
    values = np.empty(len(sequences))
    with stage.forward.precision():
        for i in range(len(sequences)):
            tokens = on_device(sequences[i : i + 1], stage.forward.device)
            features, _ = stage.forward.prompt(tokens[:, :-1], keep=stage.length)
            logits, targets = stage.forward.logits(features[0]), tokens[0, -stage.length :]
            log_p, _ = among_top(logits, targets, distribution, stage.mask_eos, FLOAT64_NOISE)
            values[i] = float(log_p.sum())
    return values


def settle_likelihoods(
    forced: Forced,
    stages: Sequence[Stage],
    distribution: Distribution,
    sequences: np.ndarray,
    at_once: int,
    positions: np.ndarray,
) -> np.ndarray:
    """Compute in the next stages what the first has no sure value of.

    Args:
        forced: What the first stage says.
        stages: From that one to the exact one.
        distribution: Below its smallest probability a value is NaN.
        sequences: `(n, k + l)` token ids.
        at_once: Sequences in a pass.
        positions: `(n,)`, how an error names the sequences.

    Returns:
        `(n,)` float64, in nats.

    Raises:
        ModelError: A logit is not finite in float32 or float64.
    """
    stage, *others = stages
    values, sure = forced.log_likelihood, forced.sure
    least = distribution.min_probability
    if isinstance(stage, ToleranceStage) and least is not None:
        error = _error(stage, distribution) * stage.length
        sure = sure & ~(np.abs(values - np.log(least)) <= error)
    broken = positions[np.isnan(values) | (values == np.inf)]
    if len(broken) and stage.forward.dtype.itemsize >= 4:
        raise ModelError(
            f"logits are not finite in {name(stage.forward.dtype)} in {len(broken)} of a batch of "
            f"{len(values)} sequences, the first at position {broken.min()} of the call: check "
            "the weights for NaN, infinite or huge values"
        )
    if least is not None:
        below = values < np.log(least) * (1 + FLOAT64_NOISE)
        values = np.where(below, np.nan, values)
    rows = np.flatnonzero(~sure)
    if len(rows):
        again = _again(others[0], distribution, sequences[rows], at_once)
        values = values.copy()
        values[rows] = settle_likelihoods(
            again, others, distribution, sequences[rows], at_once, positions[rows]
        )
    return values


def _again(stage: Stage, distribution: Distribution, sequences: np.ndarray, at_once: int) -> Forced:
    if isinstance(stage, ToleranceStage):
        return teacher_forced(stage, distribution, sequences, at_once)
    values = exact(stage, distribution, sequences)
    nothing = np.empty((len(values), 0), np.uint8)
    return Forced(nothing, values, np.ones(len(values), bool))


def _error(stage: ToleranceStage, distribution: Distribution) -> float:
    """How far one log probability can be off, in nats: as the margin of a decision can."""
    return stage.tolerance / distribution.temperature + SUM_NOISE


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """How an engine computes log-likelihoods, and how far off they are."""

    distribution: Distribution
    dtype: str
    """In which values are computed."""
    at_once: int
    """Sequences in a pass."""
    error: dict[str, Any]
    """Against the next precision on sequences of the calibration sample, in nats."""

    @classmethod
    def of(
        cls,
        distribution: Distribution,
        stages: Sequence[ToleranceStage],
        true: ExactStage,
        sample: np.ndarray,
    ) -> "Likelihoods":
        """Choose the size of a pass, and measure the error on some of the sample."""
        stage = stages[0]
        at_once = pass_size(stage, sample.shape[1])
        whole = replace(distribution, min_probability=None)
        if len(stages) == 1:
            some = spread(sample, EXACT_SEQUENCES)
            reference = exact(true, whole, some)
        else:
            some = spread(sample, MARGIN_SEQUENCES)
            reference = teacher_forced(stages[1], whole, some, at_once).log_likelihood
        ours = teacher_forced(stage, whole, some, at_once).log_likelihood
        compared = stages[1].forward.dtype if len(stages) > 1 else true.forward.dtype
        error = measured_error(ours, reference, name(compared))
        return cls(distribution, name(stage.forward.dtype), at_once, error)

    def halved(self) -> "Likelihoods":
        """With half as many sequences in a pass."""
        return replace(self, at_once=max(1, self.at_once // 2))

    def record(self) -> dict[str, Any]:
        """What a run record says of it; JSON-safe."""
        return {"dtype": self.dtype, "sequences_at_once": self.at_once, "error": self.error}

    def metadata(self) -> dict[str, str]:
        """What a score file says of it: two digits, rounded up, so that equal work agrees."""
        names = ("rms", "largest")
        errors = {
            f"log_likelihood_error_{each}": f"{_rounded_up(self.error[each]):g}"
            for each in names
            if self.error[each] is not None
        }
        return {"log_likelihood_dtype": self.dtype, **errors}

    def decide(
        self, stages: Sequence[Stage], sequences: np.ndarray, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What `resolve` returns of every decision, and log-likelihoods `(n,)` in float32.

        Raises:
            ModelError: A logit is not finite in float32 or float64.
        """
        first = stages[0]
        assert isinstance(first, ToleranceStage)
        forced = teacher_forced(first, self.distribution, sequences, self.at_once)
        decided = settle(forced.outcomes, stages, sequences, positions)
        values = settle_likelihoods(
            forced, stages, self.distribution, sequences, self.at_once, positions
        )
        return *decided, values.astype(np.float32)


def pass_size(stage: ToleranceStage, tokens: int) -> int:
    """Sequences in a pass: some 1024 tokens for each core, as far as logits and caches allow."""
    cores = max(2, torch.get_num_threads())
    return max(1, min(cores * max(1, 1024 // tokens), stage.max_rows // stage.length))


def measured_error(ours: np.ndarray, true: np.ndarray, against: str) -> dict[str, Any]:
    """Root mean square and largest difference of finite log-likelihoods, in nats."""
    finite = np.isfinite(ours) & np.isfinite(true)
    differences = ours[finite] - true[finite]
    return {
        "n": len(differences),
        "against": against,
        "rms": float(np.sqrt(np.mean(differences**2))) if len(differences) else None,
        "largest": float(np.abs(differences).max()) if len(differences) else None,
    }


def _rounded_up(value: float) -> float:
    """The next number with two digits."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit
