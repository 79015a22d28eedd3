"""Hashes of token sequences: 128 bits, so that equal ones can be counted without comparing.

Among the Pile's 146 million sequences the odds of one false match are 1 to 10^22.
"""

import numpy as np
import numpy.typing as npt

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.rows import Tokens

Words = npt.NDArray[np.uint64]

# Two multipliers that are odd and have no pattern, and two starts: the fractions of pi.
_STARTS = np.array([0x243F6A8885A308D3, 0x13198A2E03707344], np.uint64)
_FACTORS = np.array([0xA4093822299F31D1, 0x082EFA98EC4E6C89], np.uint64)


def hash_prefixes(tokens: Tokens) -> Words:
    """Return 128 bits for each row of `tokens`, `(n, 2)`: equal rows, equal bits.

    Not for adversaries: who knows the constants can make two rows collide.
    """
    raw = np.ascontiguousarray(tokens).view(np.uint8)
    padded = np.pad(raw, ((0, 0), (0, -raw.shape[1] % 8)))
    words = np.ascontiguousarray(padded.view("<u8").T)
    hashes = np.tile(_STARTS[:, None], len(tokens))
    # Two words of zeros at the end spread the last bits over all others.
    for word in (*words, np.uint64(0), np.uint64(0)):
        hashes ^= word
        hashes *= _FACTORS[:, None]
        hashes ^= hashes >> np.uint64(32)
    return np.ascontiguousarray(hashes.T)


def hash_rows(
    corpus: Corpus, rows: tuple[int, int], tokens: int, prompt_tokens: int, offset: int = 0
) -> Words:
    """Return hashes and the index of each row: continuation, text, text, index; shape (n, 4).

    The text is `tokens` tokens of the row from `offset` on. Of the continuation, those after
    `prompt_tokens`, there are 64 bits: in a corpus as large as the Pile the odds of one false match
    are 1 to 1,700.

    Raises:
        CorpusError: The rows cannot be read.
    """
    found = corpus.read(*rows, tokens, offset)
    continuation = hash_prefixes(found[:, prompt_tokens:])[:, 0]
    index = np.arange(*rows, dtype=np.uint64)
    return np.column_stack((continuation, hash_prefixes(found), index))
