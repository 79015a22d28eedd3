"""What a score means: the number of leading continuation tokens that greedy decoding returns.

Every faster way of deciding is tested against this one. The rule for ties is written out
again where speed needs it: in `margins.decide_exactly`, `kernels/array_api.py` and
`kernels/decide.cu`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from memtrace.errors import MemtraceError, ModelError

EOS_RULES = ("none", "mask-eos")


@dataclass(frozen=True, slots=True)
class Rules:
    """The choices that change an answer; recorded with every run."""

    prompt_tokens: int = 32
    """Tokens given to the model, at the start of the sequence."""
    continuation_tokens: int = 32
    """Tokens that it has to return, right after the prompt."""
    eos_rule: str = "none"
    """`none`: plain argmax. `mask-eos`: token 0 is never chosen, as in the published evaluation."""

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
