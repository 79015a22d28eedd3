"""What a score means: the number of leading continuation tokens that greedy decoding returns.

Every faster way of deciding is tested against this one. The rule for ties is written out
again where speed needs it: in `margins.decide_exactly`, `kernels/array_api.py` and
`kernels/decide.cu`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from memtrace.errors import MemtraceError, ModelError

EOS_RULES = ("none", "mask-eos")


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a token is drawn from at each place, and which likelihoods are wanted."""

    temperature: float = 1.0
    """Logits are divided by it before the softmax."""
    top_k: int | None = None
    """Only so many tokens can be drawn, those with the largest logits; of equal ones, those with
    the lowest ids. None: every token."""
    min_probability: float | None = None
    """The likelihood of a continuation below it is not wanted, only that it is below."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            MemtraceError: A value outside its range.
        """
        if not 0 < self.temperature < math.inf:
            raise MemtraceError(
                f"temperature {self.temperature:g}: choose a number above 0 (1 is the model's own "
                "distribution; greedy decoding, its limit at 0, is `matched_tokens`)"
            )
        if self.top_k is not None and self.top_k < 1:
            raise MemtraceError(f"top-k {self.top_k}: choose 1 or more tokens")
        if self.min_probability is not None and not 0 < self.min_probability < 1:
            raise MemtraceError(
                f"a smallest probability of {self.min_probability:g}: choose one between 0 and 1, "
                "such as 0.001"
            )


@dataclass(frozen=True, slots=True)
class Rules:
    """The choices that change an answer; recorded with every run."""

    prompt_tokens: int = 32
    """Tokens given to the model, at the start of the sequence."""
    continuation_tokens: int = 32
    """Tokens that it has to return, right after the prompt."""
    eos_rule: str = "none"
    """`none`: plain argmax. `mask-eos`: token 0 is never chosen, as in the published evaluation."""
    distribution: Distribution | None = None
    """What log-likelihoods are of; None: none are wanted."""
    offset: int = 0
    """Tokens of a row before its sequence."""

    def first_dtype(self, dtype: str) -> str:
        """The type that decides first where one is asked for; `auto` where it is to be chosen.

        A number has an error that no later stage takes away, so likelihoods are in float32.
        """
        wanted = self.distribution
        whole = wanted is not None and wanted.min_probability is None
        return "float32" if whole and dtype == "auto" else dtype

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            MemtraceError: for an unknown EOS rule, or lengths that a score cannot hold.
        """
        if self.eos_rule not in EOS_RULES:
            raise MemtraceError(
                f"EOS rule {self.eos_rule!r} is unknown; choose one of {', '.join(EOS_RULES)}"
            )
        if self.prompt_tokens < 1:
            raise MemtraceError(
                f"a prompt of {self.prompt_tokens} tokens is too short; use 1 or more"
            )
        if self.offset < 0:
            raise MemtraceError(f"a sequence begins at token {self.offset} of a row; use 0 or more")
        if not 1 <= self.continuation_tokens <= 255:
            raise MemtraceError(
                f"a continuation of {self.continuation_tokens} tokens does not fit a score "
                "(UInt8); use 1 to 255"
            )

    @property
    def sequence_tokens(self) -> int:
        """Tokens of a sequence: prompt and continuation."""
        return self.prompt_tokens + self.continuation_tokens


def matched_tokens(logits: Any, continuation: Any, eos_rule: str = "none") -> np.ndarray:
    """Count the leading continuation tokens that greedy decoding returns.

    Teacher forcing decides greedy decoding: as long as every earlier token was right, the model has
    read exactly what it would have generated. So token j is returned iff tokens 0..j-1 are, and
    token j is the argmax of the logits after the true prompt and the true tokens 0..j-1. Of several
    largest logits the one with the lowest token id is chosen, as `torch.argmax` does.

    Args:
        logits: `(n, l, V)`; entry `[i, j]` follows the prompt and the first j continuation tokens.
        continuation: `(n, l)`, the true token ids.
        eos_rule: `none`, or `mask-eos`, under which token 0 is never chosen.

    Returns:
        `(n,)` UInt8 of 0 to l.

    Raises:
        ModelError: when a logit is not finite.
    """
    logits = np.asarray(logits).copy()
    if not np.isfinite(logits).all():
        raise ModelError("logits are not finite: greedy decoding has no answer; check the weights")
    if eos_rule == "mask-eos":
        logits[..., 0] = -np.inf
    right = logits.argmax(axis=-1) == np.asarray(continuation)
    return np.asarray(np.logical_and.accumulate(right, axis=-1).sum(axis=-1), np.uint8)


def log_likelihoods(
    logits: Any, continuation: Any, distribution: Distribution, eos_rule: str = "none"
) -> np.ndarray:
    """Return the log probability of each continuation given its prompt, teacher forced.

    It is the sum over the l places of log p(token | all tokens before it), where p is the softmax
    of the logits divided by the temperature, over the tokens that can be drawn. A continuation with
    a token that cannot be drawn (outside the top k, or token 0 under `mask-eos`) has -inf.

    Args:
        logits: `(n, l, V)`; entry `[i, j]` follows the prompt and the first j continuation tokens.
        continuation: `(n, l)`, the true token ids.
        distribution: Temperature and top k; the smallest probability is not applied.
        eos_rule: `none`, or `mask-eos`, under which token 0 is never drawn.

    Returns:
        `(n,)` float64, in nats, each at most 0.
    """
    scaled = np.asarray(logits, np.float64).copy() / distribution.temperature
    if eos_rule == "mask-eos":
        scaled[..., 0] = -np.inf
    if distribution.top_k is not None:
        # A stable sort keeps equal ones in the order of their ids.
        order = np.argsort(-scaled, axis=-1, kind="stable")[..., distribution.top_k :]
        np.put_along_axis(scaled, order, -np.inf, axis=-1)
    largest = scaled.max(axis=-1, keepdims=True)
    sums = np.log(np.exp(scaled - largest).sum(axis=-1))
    chosen = np.take_along_axis(scaled - largest, np.asarray(continuation)[..., None], axis=-1)
    return np.asarray((chosen[..., 0] - sums).sum(axis=-1), np.float64)
