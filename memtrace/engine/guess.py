"""The calibration of one checkpoint as a first guess for the next: taken if some sequences agree.

Errors of neighbouring checkpoints are nearly of one size. A quarter of the sequences tells whether
that is so; where it is not, nothing of the guess is used. Either way the tolerances are bounds on
what was measured of this checkpoint, and the audit goes on: scores are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from memtrace.engine.calibrate import float32_stage, half_stage, spread
from memtrace.engine.forward.linear import Precision
from memtrace.engine.stages import ExactStage, ToleranceStage

VERIFIED_SEQUENCES, VERIFIED_EXACTLY = 4, 2
LEAST, MOST = 0.8, 4.0  # of a guess, as a share of what the sequences ask for
LEAST_OF_FLOAT32 = 0.4  # which is known from half as many sequences, and hardly ever in doubt


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an engine has measured of a model, for the next checkpoint of that model."""

    precisions: tuple[Precision, ...]
    """Of the stages, the fastest first; the last is float32."""
    tolerances: tuple[tuple[float, float | None], ...]
    """Of the stages: of logits as they come, and of finer ones."""
    stops: tuple[int, ...]

    @classmethod
    def of(cls, stages: Sequence[ToleranceStage]) -> "Calibration":
        """The calibration of these stages, as the audit has left it."""
        return cls(
            tuple(each.forward.products for each in stages),
            tuple((each.tolerance, each.fine_tolerance) for each in stages),
            stages[0].stops,
        )


def verified(
    guess: Calibration,
    make_stage: Callable[[Precision], ToleranceStage],
    exact: ExactStage,
    sample: np.ndarray,
) -> list[ToleranceStage] | None:
    """The stages of a guess, for another model; None if some sequences contradict it.

    Args:
        guess: Of the checkpoint before.
        make_stage: Makes a stage of this model, without tolerances.
        exact: The exact stage of this model.
        sample: `(m, k + l)` token ids.
    """
    some = spread(sample, VERIFIED_SEQUENCES)
    full, seen = float32_stage(
        make_stage(torch.float32), exact, some, VERIFIED_EXACTLY, cautious=False
    )
    stages: list[ToleranceStage] = []
    for precision, tolerances in zip(guess.precisions, guess.tolerances, strict=True):
        found: ToleranceStage | None = full
        if precision != torch.float32:
            half = half_stage(make_stage(precision), seen, some, cautious=False)
            found = half and half[0]
        agreed = found and _agreed(found, tolerances)
        if not agreed:
            return None
        stages.append(replace(agreed, stops=guess.stops))
    return stages


def _agreed(stage: ToleranceStage, guess: tuple[float, float | None]) -> ToleranceStage | None:
    """The stage with tolerances of a guess, nowhere below its own; None if they differ."""
    plain, fine = guess
    found = [(stage.tolerance, plain)]
    if stage.fine_tolerance is not None and fine is not None:
        found.append((stage.fine_tolerance, fine))
        fine = max(stage.fine_tolerance, fine)
    least = LEAST_OF_FLOAT32 if stage.forward.products == torch.float32 else LEAST
    if not all(least * ours <= guessed <= MOST * ours for ours, guessed in found):
        return None
    return replace(stage, tolerance=max(stage.tolerance, plain), fine_tolerance=fine)
