"""Which precisions decide, one after the other: the chain that costs least, as measured."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from memtrace.engine.calibrate import Measured
from memtrace.engine.cascade import schedule
from memtrace.engine.stages import ToleranceStage, on_device

CUDA_CHUNKS = 3
TIMED_SEQUENCES = 256  # on a CUDA device, which few do not fill
TIMED_DECISIONS = 128  # at once, as many as share the reading of the output layer


@dataclass(frozen=True, slots=True)
class Candidate:
    """A calibrated precision, with what it says of the calibration sample."""

    stage: ToleranceStage
    seen: Measured

    def leads(self) -> tuple[Tensor, float]:
        """By how much targets lead, `(n, l)`, infinitely what is not known; and the tolerance."""
        fine = self.stage.fine_tolerance
        logits = self.seen.plain if fine is None else self.seen.fine
        leads = (logits[:, 0] - logits[:, 1:].amax(1)).nan_to_num(nan=torch.inf)
        return leads.view(-1, self.stage.length), self.stage.tolerance if fine is None else fine

    def going(self) -> Tensor:
        """Which sequences are not yet certain misses after each decision, `(n, l)`."""
        leads, tolerance = self.leads()
        return (leads >= -tolerance).cumprod(1).bool()

    def undecided(self) -> float:
        """The share of sequences that it leaves to the next stage."""
        leads, tolerance = self.leads()
        return float(((leads.abs() <= tolerance) & self.going()).any(1).float().mean())


def cheapest(chains: Sequence[Sequence[Candidate]]) -> Sequence[Candidate]:
    """The chain of precisions that takes least time for a token, rechecks included."""
    return min(chains, key=_cost)


def _cost(chain: Sequence[Candidate]) -> float:
    seconds, share = 0.0, 1.0
    for each in chain:
        seconds += share * each.seen.seconds
        share = min(share, each.undecided())
    return seconds


def timed(stage: ToleranceStage, seen: Measured, sample: np.ndarray) -> Candidate:
    """A candidate; on a CUDA device timed on more sequences than it was calibrated with."""
    device = stage.forward.device
    if device.type == "cuda":
        prompts = np.resize(sample, (TIMED_SEQUENCES, sample.shape[1]))[:, : -stage.length]
        tokens = on_device(prompts[: stage.batch_size], device)
        for _ in range(2):  # the first prepares kernels
            torch.cuda.synchronize(device)
            began = time.perf_counter()
            with stage.forward.precision():
                stage.forward.prompt(tokens, keep=1)
            torch.cuda.synchronize(device)
            seen = replace(seen, seconds=(time.perf_counter() - began) / tokens.numel())
    return Candidate(stage, seen)


def stops(first: Candidate, sample: np.ndarray) -> tuple[int, ...]:
    """The cheapest chunks for the survival of the sample and the measured costs of a step."""
    stage = first.stage
    step, decision = _time_step(stage, sample[:1])
    token = first.seen.seconds + decision
    # After each chunk but the last the host waits for the device.
    most = CUDA_CHUNKS if stage.forward.device.type == "cuda" else None
    return schedule(survival(first.going()), step, token * stage.batch_size, most)


def survival(going: Tensor) -> np.ndarray:
    """The shares of sequences that go on after each decision, `(l,)`.

    A sample of few sequences says little of what few do, and a chunk that is too long costs more
    than a step too many. So one half of a share is what text usually gives, a third of all
    sequences after the first decision, an eighth after the second, a fiftieth after the seventh.

    Args:
        going: `(m, l)`, which sequences of the sample go on.
    """
    decisions = np.arange(1, going.shape[1] + 1)
    usual = 1 / (3 * decisions**1.5)
    return np.asarray((going.double().mean(0).numpy() + usual) / 2)


def _time_step(stage: ToleranceStage, sample: np.ndarray) -> tuple[float, float]:
    """Seconds of a step, and of one decision among many.

    A step reads one more token of one sequence, and has its logits.
    """
    forward, steps, decisions = stage.forward, [], []
    together = min(TIMED_DECISIONS, stage.max_rows)
    with forward.precision():
        tokens = on_device(sample, forward.device)
        prompt, rows = tokens.shape[1] - stage.length, torch.arange(1, device=forward.device)
        for _ in range(3):  # the first prepares kernels
            read, cache = forward.prompt(tokens[:, :prompt], keep=1)
            float(read.sum())  # waits for the device
            began = time.perf_counter()
            features, _ = forward.extend(tokens[:, prompt : prompt + 1], cache, rows)
            float(forward.logits(features[0]).sum())
            steps.append(time.perf_counter() - began)
            many = features[0].repeat(together, 1)
            began = time.perf_counter()
            float(forward.logits(many)[:, 0].sum())
            decisions.append((time.perf_counter() - began) / together)
    return min(steps), min(decisions)
