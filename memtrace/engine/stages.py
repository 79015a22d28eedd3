"""Precision stages: what one leaves undecided, the next one resolves."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memtrace.engine.cascade import Forward, cascade
from memtrace.engine.kernels import MATCH, MISS, NOT_FINITE, UNDECIDED, decide
from memtrace.engine.margins import decide_exactly, top_competitors
from memtrace.engine.turns import Work, in_turns, to_device
from memtrace.errors import ModelError

FINE_LEAST, FINE_SHARE = 16, 8  # rows of a step that a CUDA device decides more finely: 16 + 1/8
CPU_LOGITS = 24 << 20  # bytes at once on a CPU: for 32 MiB the C library asks the system anew


@dataclass(frozen=True, slots=True)
class ToleranceStage:
    """A precision whose decisions are believed where the margin is beyond its tolerance."""

    forward: Forward
    length: int
    mask_eos: bool
    batch_size: int
    stops: tuple[int, ...]
    """Ends of the chunks of decisions, 1 to l."""
    max_rows: int
    """The most rows of logits at once."""
    tolerance: float
    """In logits, for the logits as the forward pass gives them."""
    fine_tolerance: float | None = None
    """In standard deviations of a row's logits, for its precise logits."""

    def outcomes(self, sequences: np.ndarray, open_decisions: np.ndarray) -> np.ndarray:
        """Batches through the cascade; each sequence up to its first certain miss."""
        outcomes = np.empty(open_decisions.shape, np.uint8)

        def decide_batch(batch: slice, tokens: Tensor) -> Work:
            outcomes[batch] = yield from cascade(
                self.forward,
                self._decide,
                tokens,
                open_decisions[batch],
                self.stops,
                self.max_rows,
            )

        self.in_batches(sequences, decide_batch)
        return outcomes

    def in_batches(self, sequences: np.ndarray, work: Callable[[slice, Tensor], Work]) -> None:
        """Do a work, in this precision, for each batch and its token ids on the device."""
        starts = range(0, len(sequences), self.batch_size)
        batches = [slice(start, start + self.batch_size) for start in starts]
        with self.forward.precision():
            moved = prefetch_to_device((sequences[each] for each in batches), self.forward.device)
            in_turns(map(work, batches, moved))

    def _decide(self, features: Tensor, targets: Tensor) -> Tensor:
        if features.device.type != "cpu":
            return self._decide_rows(features, targets)
        rows = max(1, CPU_LOGITS // (self.forward.vocabulary * self.forward.dtype.itemsize))
        parts = zip(torch.split(features, rows), torch.split(targets, rows), strict=True)
        return torch.cat([self._decide_rows(*part) for part in parts])

    def _decide_rows(self, features: Tensor, targets: Tensor) -> Tensor:
        logits = self.forward.logits(features)
        outcomes: Tensor = decide(logits, targets, self.tolerance, mask_eos=self.mask_eos)
        return self.refine(outcomes, features, logits, targets)

    def refine(self, outcomes: Tensor, features: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Decide what the logits leave undecided by more precise ones of the top competitors."""
        if self.fine_tolerance is None or not len(outcomes):
            return outcomes
        rows = _undecided(outcomes)
        if len(rows):
            near, targets = logits[rows].float(), targets[rows]
            ids = top_competitors(near, targets, self.mask_eos)
            few = self.forward.precise_logits(features[rows], ids)
            # Undecided stays what overflows: its deviation is not a number. So does a tie, which
            # a tolerance of 0 would decide by the place among the competitors, not by the id.
            spread = near.std(1).nan_to_num(nan=torch.inf)
            tolerance = (self.fine_tolerance * spread).clamp_min(torch.finfo(torch.float32).tiny)
            finer = decide(few, torch.zeros_like(targets), tolerance, mask_eos=False)
            unknown = (finer == MATCH) & self._may_be_more(near, ids)
            finer = finer.masked_fill(unknown, UNDECIDED)
            outcomes[rows] = torch.where(outcomes[rows] == UNDECIDED, finer, outcomes[rows])
        return outcomes

    def _may_be_more(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Which rows `(r,)` may have yet another competitor than those of `ids`."""
        if ids.shape[1] + self.mask_eos >= logits.shape[1]:
            return torch.zeros_like(ids[:, 0], dtype=torch.bool)
        target, last = logits.gather(1, ids[:, [0, -1]]).unbind(1)
        return last >= target - self.tolerance


def _undecided(outcomes: Tensor) -> Tensor:
    """Which rows are undecided; on CUDA a fixed number of rows, with as many of them as there are.

    To know how many they are the host would wait for the device. What is beyond the number stays
    undecided, and the next stage decides it.
    """
    undecided = outcomes == UNDECIDED
    if outcomes.device.type == "cuda":
        most = min(len(outcomes), FINE_LEAST + len(outcomes) // FINE_SHARE)
        return undecided.float().topk(most).indices
    return undecided.nonzero()[:, 0]


@dataclass(frozen=True, slots=True)
class ExactStage:
    """Float64, one sequence at a time and always of one shape: it leaves nothing undecided."""

    forward: Forward
    length: int
    mask_eos: bool

    def outcomes(self, sequences: np.ndarray, open_decisions: np.ndarray) -> np.ndarray:
        """Every open decision, whatever the earlier ones were."""
        outcomes = np.full(open_decisions.shape, MATCH, np.uint8)
        with self.forward.precision():
            for i in range(len(sequences)):
                tokens = on_device(sequences[i : i + 1], self.forward.device)
                features, _ = self.forward.prompt(tokens[:, :-1], keep=self.length)
                logits = self.forward.logits(features[0])
                decided = decide_exactly(logits, tokens[0, -self.length :], self.mask_eos)
                outcomes[i] = decided.cpu().numpy()
        outcomes[~open_decisions] = MATCH
        return outcomes


Stage = ToleranceStage | ExactStage


def name(dtype: torch.dtype) -> str:
    """`float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")


def on_device(sequences: np.ndarray, device: torch.device) -> Tensor:
    """Token ids as int64 on a device."""
    return torch.from_numpy(sequences.astype(np.int64)).to(device)


def prefetch_to_device(batches: Iterable[np.ndarray], device: torch.device) -> Iterator[Tensor]:
    """Yield token ids of each batch on a device, those of the next on their way.

    On CUDA they are copied from pinned memory on a stream of their own, while a batch is decided.
    """
    if device.type != "cuda":
        yield from (on_device(tokens, device) for tokens in batches)
        return
    copies: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    moved: list[Tensor] = []
    for tokens in batches:
        with torch.cuda.stream(copies):
            moved.append(to_device(tokens.astype(np.int64), device))
        if len(moved) == 2:
            yield _arrived(moved.pop(0), copies)
    for batch in moved:
        yield _arrived(batch, copies)


def _arrived(batch: Tensor, copies: torch.cuda.Stream) -> Tensor:
    """The batch, for use on the current stream, which waits for the copies."""
    current = torch.cuda.current_stream(batch.device)
    current.wait_stream(copies)
    batch.record_stream(current)  # so that its memory is not used again before that is done
    return batch


def resolve(
    stages: Sequence[Stage],
    sequences: np.ndarray,
    open_decisions: np.ndarray,
    positions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decide with the first stage; what it leaves undecided, with the others.

    Args:
        stages: From the fastest to the exact one.
        sequences: `(n, k + l)` token ids.
        open_decisions: `(n, l)`, what to decide; anything else counts as matched.
        positions: `(n,)`, how an error names the sequences.

    Returns:
        Matched tokens `(n,)`; and what the first stage alone says: matched tokens `(n,)` if all
        that it leaves undecided were matches, and which decisions these are `(n, l)`.

    Raises:
        ModelError: A logit is not finite in float32 or float64.
    """
    outcomes = stages[0].outcomes(sequences, open_decisions)
    return settle(outcomes, stages, sequences, positions)


def settle(
    outcomes: np.ndarray, stages: Sequence[Stage], sequences: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decide with the other stages what the first has left undecided; as `resolve`.

    Args:
        outcomes: `(n, l)`, what the first stage says.
        stages: From the fastest to the exact one.
        sequences: `(n, k + l)` token ids.
        positions: `(n,)`, how an error names the sequences.
    """
    forward = stages[0].forward
    broken = positions[(outcomes == NOT_FINITE).any(axis=1)]
    if len(broken) and not forward.may_overflow:
        raise ModelError(
            f"logits are not finite in {forward.label} in {len(broken)} of a batch of "
            f"{len(outcomes)} sequences, the first at position {broken.min()} of the call: check "
            "the weights for NaN, infinite or huge values"
        )
    length = outcomes.shape[1]
    missed = outcomes == MISS
    first = np.where(missed.any(axis=1), missed.argmax(axis=1), length)
    # What a half type cannot represent is undecided too.
    undecided = (outcomes >= UNDECIDED) & (np.arange(length) < first[:, None])
    matched = first.copy()
    rows = undecided.any(axis=1).nonzero()[0]
    if len(rows):
        settled, _, _ = resolve(stages[1:], sequences[rows], undecided[rows], positions[rows])
        matched[rows] = np.minimum(matched[rows], settled)
    return matched, first, undecided
