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

from memtrace.engine.calibrate import EXACT_SEQUENCES, MARGIN_SEQUENCES, spread
from memtrace.engine.definition import Distribution
from memtrace.engine.likelihood_cascade import likelihood_cascade
from memtrace.engine.margins import FLOAT64_NOISE
from memtrace.engine.scored_rows import among_top, error_of, score_rows
from memtrace.engine.stages import ExactStage, Stage, ToleranceStage, name, on_device, settle
from memtrace.errors import ModelError

ROWS_AT_ONCE = 256  # of logits on a CPU: 51 MB for Pythia's vocabulary in float32


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
            # On a CUDA device all rows of a pass, which was chosen for them.
            rows_at_once = ROWS_AT_ONCE if tokens.device.type == "cpu" else len(targets)
            scored = [
                score_rows(stage, distribution, rows, chosen)
                for rows, chosen in zip(
                    torch.split(features.flatten(0, 1), rows_at_once),
                    torch.split(targets, rows_at_once),
                    strict=True,
                )
            ]
            outcomes, log_p, sure = (
                torch.cat([getattr(rows, each) for rows in scored]).view(at_once, -1)[: len(some)]
                for each in ("outcomes", "log_p", "sure")
            )
            total = log_p.double().sum(1)
            known = sure.all(1) & ~total.isnan() & (total < torch.inf)
            parts.append(Forced(*(x.cpu().numpy() for x in (outcomes, total, known))))
    return _joined(parts, stage.length)


def _joined(parts: Sequence[Forced], length: int) -> Forced:
    if not parts:
        return Forced(np.empty((0, length), np.uint8), np.empty(0), np.empty(0, bool))
    names = ("outcomes", "log_likelihood", "sure")
    return Forced(*(np.concatenate([getattr(part, each) for part in parts]) for each in names))


def exact(stage: ExactStage, distribution: Distribution, sequences: np.ndarray) -> np.ndarray:
    """Log-likelihoods `(n,)` in float64, one sequence at a time."""
    values = np.empty(len(sequences))
    with stage.forward.precision():
        for i in range(len(sequences)):
            tokens = on_device(sequences[i : i + 1], stage.forward.device)
            features, _ = stage.forward.prompt(tokens[:, :-1], keep=stage.length)
            logits, targets = stage.forward.logits(features[0]), tokens[0, -stage.length :]
            top = among_top(logits, targets, distribution, stage.mask_eos, FLOAT64_NOISE)
            values[i] = float(top.log_p.masked_fill(~top.inside, -torch.inf).sum())
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
        error = error_of(stage, distribution) * stage.length
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
        again = _score(others[0], distribution, sequences[rows], at_once)
        values = values.copy()
        values[rows] = settle_likelihoods(
            again, others, distribution, sequences[rows], at_once, positions[rows]
        )
    return values


def _score(stage: Stage, distribution: Distribution, sequences: np.ndarray, at_once: int) -> Forced:
    if isinstance(stage, ToleranceStage):
        return teacher_forced(stage, distribution, sequences, at_once)
    values = exact(stage, distribution, sequences)
    nothing = np.empty((len(values), 0), np.uint8)
    return Forced(nothing, values, np.ones(len(values), bool))


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """How an engine computes log-likelihoods, and how far off they are."""

    distribution: Distribution
    place: int
    """Of the stage that computes values, among all stages."""
    dtype: str
    """Of that stage."""
    at_once: int
    """Sequences in a pass."""
    error: dict[str, Any]
    """Against the next precision on sequences of the calibration sample, in nats."""

    @classmethod
    def of(
        cls,
        distribution: Distribution,
        stages: Sequence[Stage],
        dtype: str,
        at_once: int,
        sample: np.ndarray,
    ) -> "Likelihoods":
        """Choose the stage, and measure the error on some of the sample.

        Args:
            distribution: What likelihoods are of.
            stages: From the fastest to the exact one.
            dtype: `auto` for float32, else the type of the first stage.
            at_once: Sequences in a pass.
            sample: `(m, k + l)` token ids of the corpus.
        """
        place = len(stages) - 2 if dtype == "auto" else 0
        stage, following = stages[place : place + 2]
        assert isinstance(stage, ToleranceStage)
        whole = replace(distribution, min_probability=None)
        some = spread(
            sample, EXACT_SEQUENCES if isinstance(following, ExactStage) else MARGIN_SEQUENCES
        )
        ours, reference = (
            _score(each, whole, some, at_once).log_likelihood for each in (stage, following)
        )
        error = measured_error(ours, reference, name(following.forward.dtype))
        return cls(distribution, place, name(stage.forward.dtype), at_once, error)

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
        first, likely = stages[0], np.ones(len(sequences), bool)
        assert isinstance(first, ToleranceStage)
        if self.distribution.min_probability is None:
            forced = teacher_forced(first, self.distribution, sequences, self.at_once)
            outcomes = forced.outcomes
        else:
            outcomes, below = likelihood_cascade(first, self.distribution, sequences)
            likely = ~below
            forced = self._of_value(stages, sequences[likely])
        decided = settle(outcomes, stages, sequences, positions)
        values = np.full(len(sequences), np.nan)
        values[likely] = settle_likelihoods(
            forced,
            stages[self.place :],
            self.distribution,
            sequences[likely],
            self.at_once,
            positions[likely],
        )
        return *decided, values.astype(np.float32)

    def count_not_below(self, stages: Sequence[Stage], sequences: np.ndarray) -> int:
        """Count those that float32 is sure are not below the smallest probability."""
        least, full = self.distribution.min_probability, stages[-2]
        if least is None or not isinstance(full, ToleranceStage):
            return 0
        size = max(1, min(self.at_once, len(sequences)))  # the number itself is not kept
        again = teacher_forced(full, self.distribution, sequences, size)
        error = error_of(full, self.distribution) * full.length
        return int((again.sure & (again.log_likelihood > math.log(least) + error)).sum())

    def _of_value(self, stages: Sequence[Stage], sequences: np.ndarray) -> Forced:
        return _score(stages[self.place], self.distribution, sequences, self.at_once)


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
