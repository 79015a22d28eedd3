"""Labels of memorized texts: why is it no wonder that the model knows it, or is it one?

The taxonomy of Prashanth et al. (2024), "Recite, Reconstruct, Recollect: Memorization in LMs as a
Multifaceted Phenomenon" (arXiv 2406.17746): a text is *recited* where it has many copies,
*reconstructed* where its form shows how it goes on (`repeating`, `incrementing`, `templated`), and
else *recollected*, here `rare`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

LABELS = ("recited", "repeating", "incrementing", "templated", "rare")
"""In the order in which the first that holds names a text."""
MOST_COPIES = 5
"""Copies of a text above which it is recited (Prashanth et al. 2024)."""
LONGEST_PERIOD = 16
"""Tokens after which a repeating text begins again, at most."""
FEWEST_TERMS = 5
"""Terms that count up in an incrementing text, at least."""
_STRIDES = 4  # sequences that may alternate, such as the columns of a table
_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]+)|(\d{1,18})")
_LETTER = re.compile(r"(?<![^\W_])[A-Za-z](?![^\W_])")


@dataclass(frozen=True)
class Evidence:
    """What is known of one text."""

    copies: int | None
    """Its duplicate count; None where it is not known."""
    repeats: bool
    increments: bool
    similar: bool | None
    """Whether the corpus has a text that is nearly the same; None where it is not known."""


def labels_of(evidence: Evidence) -> list[str]:
    """Return every label that holds, in the order of `LABELS`.

    `rare` holds where no other does, of a text with at most `MOST_COPIES` copies; where the copies
    or the similar texts are not known, nothing is said in place of it.
    """
    holds = {
        "recited": (evidence.copies or 0) > MOST_COPIES,
        "repeating": evidence.repeats,
        "incrementing": evidence.increments,
        "templated": bool(evidence.similar),
    }
    found = [label for label, true in holds.items() if true]
    known = evidence.copies is not None and evidence.similar is not None
    return found or (["rare"] if known else [])


def repeats(tokens: npt.NDArray[np.integer], prompt_tokens: int) -> npt.NDArray[np.bool_]:
    """Return which texts go on as their prompt repeats itself.

    Each token of the continuation is the one that lies p tokens before it, for one p of at most
    `LONGEST_PERIOD`: the prompt ends with the period, and the continuation goes on with it.

    Args:
        tokens: Token ids, shape (n, k + l).
        prompt_tokens: k.

    Returns:
        Shape (n,).
    """
    found = np.zeros(len(tokens), bool)
    stop = tokens.shape[1]
    for period in range(1, min(LONGEST_PERIOD, prompt_tokens) + 1):
        before = tokens[:, prompt_tokens - period : stop - period]
        found |= (tokens[:, prompt_tokens:] == before).all(axis=1)
    return found


def increments(prompt: str, continuation: str) -> bool:
    """Return whether numbers or single letters of a text count up into its continuation.

    Numbers are decimal, or hexadecimal after `0x`; of up to four that alternate, as in a table, one
    has to. It counts up where at least `FEWEST_TERMS` of them in a row, the last one of the text
    among them, have one positive difference, and the continuation has one of them at least. Letters
    have to follow each other in the alphabet.
    """
    text, begin = prompt + continuation, len(prompt)
    numbers = [
        (match.start(), int(match[1], 16) if match[1] else int(match[2]))
        for match in _NUMBER.finditer(text)
    ]
    letters = [(match.start(), ord(match[0])) for match in _LETTER.finditer(text)]
    return _counts_up(numbers, begin, None) or _counts_up(letters, begin, 1)


def _counts_up(terms: Sequence[tuple[int, int]], begin: int, step: int | None) -> bool:
    """Return whether the last terms, or every second to fourth of them, count up."""
    if not terms or terms[-1][0] < begin:
        return False
    for stride in range(1, _STRIDES + 1):
        for skipped in range(stride):
            values = [value for _, value in terms[::-1]][skipped::stride]
            if _falls(values[:FEWEST_TERMS], step):  # from the last one backwards
                return True
    return False


def _falls(values: Sequence[int], step: int | None) -> bool:
    """Return whether enough values each lie the same step below the one before."""
    differences = {a - b for a, b in pairwise(values)}
    if len(values) < FEWEST_TERMS or len(differences) != 1:
        return False
    (difference,) = differences
    return difference > 0 and step in (None, difference)
