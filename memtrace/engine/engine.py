"""The engine: sequences in, exact matched tokens out, whatever else was in the batch."""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from memtrace.engine.build import LARGEST_BATCH, build_stages, capture_prompts, pass_size
from memtrace.engine.definition import Rules
from memtrace.engine.forward.failures import ran_out_of_memory
from memtrace.engine.forward.transformers import vocabulary
from memtrace.engine.guess import Calibration
from memtrace.engine.kernels.cuda import import_cupy
from memtrace.engine.likelihood import Likelihoods
from memtrace.engine.margins import upper_bound
from memtrace.engine.stages import ExactStage, Stage, ToleranceStage, resolve
from memtrace.engine.switches import full_precision
from memtrace.engine.threads import limit_threads
from memtrace.errors import (
    ApproximationWarning,
    CapacityWarning,
    CorpusError,
    ModelError,
    first_line,
)

AUDIT_SHARE = 1 / 256
AUDIT_LEAST = 16  # sequences in a call
SPLIT_AUDIT = 4, 1 / 256  # the same, of those that split products decided
FLOAT64_AUDIT = 4, 1 / 2048  # the same, where float32 decides first and float64 audits it


@dataclass(frozen=True, slots=True)
class Scores:
    """What a call of the engine returns, one entry for each sequence."""

    matched_tokens: np.ndarray
    """`(n,)` UInt8, 0 to l."""
    log_likelihood: np.ndarray | None
    """`(n,)` float32, in nats; NaN below the smallest probability that is wanted. None where no
    likelihoods are."""


class Engine:
    """Decides sequences with one causal language model.

    Half precision decides first; what its error could have turned is decided again in float32, and
    what float32 leaves undecided in float64, one sequence at a time. So no answer depends on the
    precision asked for, nor on batches. A random sample of what half precision was certain of is
    decided again too: the audit.

    A model with routers (a mixture of experts) is decided in float32 first, whatever is asked for:
    rounding that swaps two experts changes the logits by more than any tolerance. Where float32's
    own rounding could have swapped them, float64 decides everything that follows. In float64 a tie
    of two experts goes as `torch.topk` has it, always for one sequence of one length: the answer
    depends on no batch, though experts that are equal have no lowest id as tokens do.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rules: Rules,
        *,
        calibration: np.ndarray,
        dtype: str = "auto",
        batch_size: int | None = None,
        seed: int = 0,
        guess: Calibration | None = None,
    ) -> None:
        """Calibrate to the model.

        Args:
            model: A causal language model in float32, on its device, in eval mode.
            rules: Lengths of prompt and continuation, and the EOS rule.
            calibration: `(m, k + l)` token ids of the corpus, some 256, to measure errors and
                survival on.
            dtype: `float32`, `bfloat16`, `float16`, or `auto` for the fastest.
            batch_size: Sequences in a batch; None for as many as are good.
            seed: Of the audit's sample.
            guess: `calibration` of an engine for another checkpoint of the model, with the same
                rules and dtype: used where a few sequences agree with it. No score depends on it.

        Raises:
            CorpusError: No calibration sequences, or token ids outside the vocabulary.
            ModelError: The model is on a CUDA device, and CuPy is not installed.
        """
        if model.device.type == "cuda":
            import_cupy()  # so that it is missed now, not at the first decision
        limit_threads()
        self._rules = rules
        self._vocabulary = vocabulary(model)
        self._random = np.random.default_rng(seed)
        self._audited = self._wrong = self._widened = 0
        self._sequences = self._distinct = self._rechecked = 0
        if not len(calibration):
            raise CorpusError("no sequences to calibrate with: give the engine some of the corpus")
        sample = self._checked(calibration)
        largest_pass = None
        while True:
            try:
                stages, self.exact, self._likelihoods, self._verified = _build(
                    model, rules, sample, dtype, batch_size, largest_pass, guess
                )
                break
            except Exception as error:
                if not ran_out_of_memory(error):
                    raise
                told = first_line(error)  # see `score`
            at_once = min(batch_size or LARGEST_BATCH, len(sample))
            batch_size = largest_pass = _fewer(at_once, told, model.device)
        self.stages = stages
        """The fastest first, as they are now: with smaller batches or wider tolerances."""

    @torch.inference_mode()
    def matched_tokens(self, sequences: np.ndarray) -> np.ndarray:
        """Count the leading continuation tokens that greedy decoding returns.

        Args:
            sequences: `(n, k + l)` token ids of any integer type; any n.

        Returns:
            `(n,)` UInt8, each 0 to l.

        Raises:
            CorpusError: A wrong shape, or a token id outside the vocabulary.
            ModelError: The model gives logits that are not finite, or does not fit into memory.
        """
        return self.score(sequences).matched_tokens

    @torch.inference_mode()
    @full_precision()
    def score(self, sequences: np.ndarray) -> Scores:
        """Count the leading tokens that greedy decoding returns; log-likelihoods where wanted.

        Args, Raises: As `matched_tokens`.
        """
        distinct, positions, copies = _distinct(self._checked(sequences))
        while True:
            try:
                matched, first, undecided, values = self._decide(distinct, positions)
                if (
                    self._audit(distinct, first, undecided, positions)
                    and self._audit_split(distinct, matched, undecided, positions)
                    and (len(self.stages) == 1 or self._audit_nulls(distinct, values))
                ):
                    break
                continue
            except Exception as error:
                if not ran_out_of_memory(error):
                    raise
                told = first_line(error)  # while the error lives, its frames hold memory
            self._halve_batches(told)
        self._sequences += len(sequences)
        self._distinct += len(distinct)
        self._rechecked += int(undecided.any(axis=1).sum())
        return Scores(
            np.asarray(matched[copies], np.uint8), None if values is None else values[copies]
        )

    def _decide(
        self, sequences: np.ndarray, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """What `resolve` returns, and log-likelihoods; None where none are wanted."""
        stages: list[Stage] = [*self.stages, self.exact]
        if self._likelihoods is None:
            every_decision = np.ones((len(sequences), self._rules.continuation_tokens), bool)
            return *resolve(stages, sequences, every_decision, positions), None
        return self._likelihoods.decide(stages, sequences, positions)

    @property
    def calibration(self) -> Calibration:
        """What was measured, and widened since: a guess for the next checkpoint of the model."""
        return Calibration.of(self.stages)

    def record(self) -> dict[str, Any]:
        """What a run record says of the engine; JSON-safe."""
        stage = self.stages[0]
        return {
            "dtype": stage.forward.label,
            "stages": [
                {"precision": each.forward.label, "tolerance": each.tolerance}
                for each in self.stages
            ],
            "attention": stage.forward.attention,
            "graph": stage.forward.graph,
            "calibration": "that of the checkpoint before, verified" if self._verified else "own",
            "batch_size": stage.batch_size,
            "schedule": list(stage.stops),
            "tolerance": {
                "logits": stage.tolerance,
                "top_competitors_in_standard_deviations": stage.fine_tolerance,
                "router_gap": stage.forward.router_tolerance,
            },
            "audit": {
                "n": self._audited,
                "wrong": self._wrong,
                "upper95": upper_bound(self._audited, self._wrong),
                "widened": self._widened,
            },
            "sequences": self._sequences,
            "distinct": self._distinct,
            "rechecked": self._rechecked,
            "likelihood": self._likelihoods.record() if self._likelihoods else None,
        }

    def metadata(self) -> dict[str, str]:
        """What a score file says of the engine: how far its log-likelihoods are off."""
        return self._likelihoods.metadata() if self._likelihoods else {}

    def _checked(self, sequences: np.ndarray) -> np.ndarray:
        tokens = self._rules.sequence_tokens
        if sequences.ndim != 2 or sequences.shape[1] != tokens:
            raise CorpusError(f"sequences of shape {sequences.shape}: expected (n, {tokens})")
        if sequences.size:
            for token in (int(sequences.max()), int(sequences.min())):
                if not 0 <= token < self._vocabulary:
                    raise CorpusError(
                        f"token id {token} is outside the model's vocabulary of "
                        f"{self._vocabulary}: the corpus was tokenized for another model"
                    )
        return sequences

    def _audit(
        self, sequences: np.ndarray, first: np.ndarray, undecided: np.ndarray, positions: np.ndarray
    ) -> bool:
        """Decide a sample of the first stage's certain decisions again; widen it after an error.

        Float32 decides them, or float64 where float32 was first.
        """
        n = len(sequences)
        least, share = (AUDIT_LEAST, AUDIT_SHARE) if self.stages[1:] else FLOAT64_AUDIT
        size = min(n, max(least, round(n * share)))
        rows = np.sort(self._random.choice(n, size, replace=False))
        certain = (np.arange(undecided.shape[1]) <= first[rows, None]) & ~undecided[rows]
        auditors: list[Stage] = [*self.stages[1:][-1:], self.exact]
        again, _, _ = resolve(auditors, sequences[rows], certain, positions[rows])
        return self._passed(int(certain.sum()), int((again != first[rows]).sum()), 0)

    def _audit_split(
        self,
        sequences: np.ndarray,
        matched: np.ndarray,
        undecided: np.ndarray,
        positions: np.ndarray,
    ) -> bool:
        """Have float32 decide some of what the split products between decided."""
        if len(self.stages) < 3:
            return True
        rows = np.flatnonzero(undecided.any(axis=1))
        size = min(len(rows), max(SPLIT_AUDIT[0], round(len(rows) * SPLIT_AUDIT[1])))
        rows = np.sort(self._random.choice(rows, size, replace=False))
        decided = undecided[rows]
        decided &= np.arange(undecided.shape[1]) <= matched[rows, None]
        again, _, _ = resolve(
            [self.stages[-1], self.exact], sequences[rows], decided, positions[rows]
        )
        # What was not undecided counts as matched: a first miss that the first stage knew is later.
        length = undecided.shape[1]
        missed = np.take_along_axis(
            np.pad(decided, ((0, 0), (0, 1))), matched[rows, None].astype(np.int64), axis=1
        )[:, 0]
        expected = np.where(missed, matched[rows], length)
        return self._passed(int(decided.sum()), int((again != expected).sum()), 1)

    def _passed(self, audited: int, wrong: int, stage: int) -> bool:
        """Count an audit of a stage, which is widened if any decision was wrong."""
        self._audited += audited
        self._wrong += wrong
        if wrong:
            self._widen(stage)
        return wrong == 0

    def _audit_nulls(self, sequences: np.ndarray, values: np.ndarray | None) -> bool:
        """Compute in float32 some likelihoods that half precision found below the smallest one."""
        if self._likelihoods is None or values is None:
            return True
        rows = np.flatnonzero(np.isnan(values))
        rows = np.sort(self._random.choice(rows, min(len(rows), AUDIT_LEAST), replace=False))
        stages: list[Stage] = [*self.stages, self.exact]
        wrong = self._likelihoods.count_not_below(stages, sequences[rows])
        return self._passed(len(rows), wrong, 0)

    def _halve_batches(self, told: str) -> None:
        size = self.stages[0].batch_size
        if self._likelihoods is not None:
            size = max(size, self._likelihoods.at_once)
        self.stages = [_halved(stage) for stage in self.stages]
        capture_prompts(self.stages[0], self._rules)
        if self._likelihoods is not None:
            self._likelihoods = self._likelihoods.halved()
        _fewer(size, told, self.stages[0].forward.device, advise=not self._likelihoods)

    def _widen(self, place: int) -> None:
        stage, self._widened = self.stages[place], self._widened + 1
        fine = None if stage.fine_tolerance is None else 2 * stage.fine_tolerance
        self.stages[place] = replace(stage, tolerance=2 * stage.tolerance, fine_tolerance=fine)
        warnings.warn(
            f"the audit found a wrong decision in {stage.forward.label} beyond the tolerance "
            f"of {stage.tolerance:.3g}: it is doubled, and these sequences are decided again",
            ApproximationWarning,
            stacklevel=5,
        )


@torch.inference_mode()
@full_precision()
def _build(
    model: PreTrainedModel,
    rules: Rules,
    sample: np.ndarray,
    dtype: str,
    batch_size: int | None,
    largest_pass: int | None,
    guess: Calibration | None,
) -> tuple[list[ToleranceStage], ExactStage, Likelihoods | None, bool]:
    """The stages, and what log-likelihoods need where they are wanted."""
    wanted, first = rules.distribution, rules.first_dtype(dtype)
    stages, exact, known = build_stages(model, rules, sample, first, batch_size, guess)
    every: list[Stage] = [*stages, exact]
    if wanted is None:
        return stages, exact, None, known
    at_once = pass_size(model, stages[-1], rules)
    at_once = min(at_once, largest_pass or at_once)
    return stages, exact, Likelihoods.of(wanted, every, dtype, at_once, sample), known


def _fewer(size: int, told: str, device: torch.device, *, advise: bool = True) -> int:
    """Half as many sequences at once, with a warning.

    Raises:
        ModelError: It was one.
    """
    if size == 1:
        raise ModelError(
            f"out of memory with one sequence at a time ({told}); "
            "take a larger device, or end what else runs on it"
        )
    if device.type == "cuda":
        torch.cuda.empty_cache()
    warnings.warn(
        f"out of memory with {size} sequences at once: going on with {size // 2}"
        + (f"; --batch-size {size // 2} begins with so many" if advise else ""),
        CapacityWarning,
        stacklevel=4,
    )
    return size // 2


def _halved(stage: ToleranceStage) -> ToleranceStage:
    """The stage with half as many sequences, and rows of logits, at once."""
    return replace(
        stage, batch_size=max(1, stage.batch_size // 2), max_rows=max(1, stage.max_rows // 2)
    )


def _distinct(sequences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct sequences, where each is first, and which of them each sequence is."""
    rows = np.ascontiguousarray(sequences)
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    _, positions, copies = np.unique(keys, return_index=True, return_inverse=True)
    return rows[positions], positions, copies
