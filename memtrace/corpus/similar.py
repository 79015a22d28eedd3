"""Texts of a corpus that are nearly the same: templates that were filled in differently.

    similar.parquet     first_index, similar_index, similarity

Texts are compared by the sets of their trigrams of tokens. Candidates come from MinHash with
locality-sensitive hashing (Broder 1997; Leskovec et al., "Mining of Massive Datasets", chapter 3),
and each pair is then compared exactly: none in the table is false. Of pairs at the threshold 1% are
missed, of those above 0.8 fewer than 1 in 1,000.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus.copies import Copies, copies_metadata
from memtrace.corpus.corpus import Corpus
from memtrace.corpus.hashes import Words
from memtrace.corpus.rows import Tokens
from memtrace.errors import CorpusError, first_line
from memtrace.storage.checksum import is_intact
from memtrace.storage.prefetch import READERS, chunks, prefetch
from memtrace.storage.tables import write_table
from memtrace.types import FloatArray, Int64Array

SCHEMA = pl.Schema({"first_index": pl.UInt64, "similar_index": pl.UInt64, "similarity": pl.Float32})
SIMILARITY = 0.7
"""Shared trigrams, as a share of all of two texts, from which they are similar (Jaccard)."""
MOST_ROWS = 20_000_000
"""Rows of a corpus that are compared in memory, at some 400 bytes each."""
FILE = "similar.parquet"
_GRAM = 3
_BANDS, _BAND = 25, 5  # of a pair at 0.7 one of 25 bands of 5 agrees in 99%, at 0.3 in 6%
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_PAIRS = 1 << 16  # compared at a time


def find_similar(
    corpus: Corpus, copies: Copies, on_progress: Callable[[int], None] = lambda _: None
) -> pl.DataFrame:
    """Return a table of `SCHEMA`: each text that has a similar one, and one that is.

    Copies of a text are not similar to it: they are the same.

    Args:
        corpus: A corpus of at most `MOST_ROWS` rows.
        copies: Its repeated sequences, and which tokens make them.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        CorpusError: The corpus cannot be read, or has too many rows.
    """
    check_size(corpus)
    first = np.ones(len(corpus), bool)
    first[copies.sequence_index] = False
    first[copies.first_index] = True

    def read(rows: tuple[int, int]) -> tuple[Tokens, Words]:
        tokens = corpus.read(*rows, copies.tokens, copies.offset)[first[slice(*rows)]]
        return tokens, _band_hashes(_grams(tokens))

    texts, bands = [], []
    for (start, stop), (tokens, hashes) in zip(
        chunks(0, len(corpus)),
        prefetch(read, chunks(0, len(corpus)), READERS),
        strict=True,
    ):
        texts.append(tokens)
        bands.append(hashes)
        on_progress(stop - start)
    return _table(np.flatnonzero(first), np.concatenate(texts), np.concatenate(bands))


def check_size(corpus: Corpus) -> None:
    """Refuse a corpus that is too large to be compared in memory.

    Raises:
        CorpusError: It has more than `MOST_ROWS` rows.
    """
    if len(corpus) > MOST_ROWS:
        raise CorpusError(
            f"corpus {corpus.name} has {len(corpus):,} rows: similar texts are found in up to "
            f"{MOST_ROWS:,}; leave out --near"
        )


def write_similar(folder: str | Path, similar: pl.DataFrame, copies: Copies) -> None:
    """Write the table beside that of the copies.

    Raises:
        CorpusError: The folder cannot be written.
    """
    metadata = copies_metadata(copies.corpus_digest, copies.corpus_rows, *copies.sequence)
    write_table(Path(folder) / FILE, similar, metadata, option="--output", raises=CorpusError)


def read_similar(folder: str | Path) -> pl.DataFrame | None:
    """Return the table in a folder of duplicates, None where there is none.

    Raises:
        CorpusError: It is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        if is_intact(path) and pl.read_parquet_schema(path) == SCHEMA:
            return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CorpusError(f"cannot read {path}: {first_line(error)}") from error
    raise CorpusError(f"{path} is damaged: repeat `memtrace corpus duplicates --near`")


def _grams(tokens: Tokens) -> Words:
    """Return a hash of each trigram of tokens, ascending in each row, shape (n, tokens - 2)."""
    wide = tokens.astype(np.uint64)
    width = wide.shape[1] - min(_GRAM, wide.shape[1]) + 1
    found = np.zeros((len(wide), width), np.uint64)
    for place in range(min(_GRAM, wide.shape[1])):
        found = (found ^ wide[:, place : place + width]) * _FACTORS[place]
        found ^= found >> np.uint64(29)
    found.sort(axis=1)
    return found


def _band_hashes(grams: Words) -> Words:
    """Return a hash of each band of the MinHash signature, shape (n, bands)."""
    from rensa import RMinHash

    if not len(grams):
        return np.empty((0, _BANDS), np.uint64)
    offsets = np.arange(len(grams) + 1, dtype=np.uint64) * np.uint64(grams.shape[1])
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        np.ascontiguousarray(grams).ravel(), offsets, _BANDS * _BAND, 42
    )
    signatures = np.array(matrix.to_rows(), np.uint64).reshape(len(grams), _BANDS, _BAND)
    found = np.zeros((len(grams), _BANDS), np.uint64)
    for place in range(_BAND):
        found = (found ^ signatures[:, :, place]) * _FACTORS[place % 3]
        found ^= found >> np.uint64(31)
    return found


def _table(names: Int64Array, texts: Tokens, bands: Words) -> pl.DataFrame:
    parts = [pl.DataFrame(schema=SCHEMA)]
    for band in bands.T:
        pairs = _candidates(band)
        for start in range(0, len(pairs), _PAIRS):
            some = pairs[start : start + _PAIRS]
            similarity = jaccard(texts[some[:, 0]], texts[some[:, 1]])
            kept = similarity >= SIMILARITY
            one, other = names[some[kept]].T
            both = np.append(one, other), np.append(other, one), np.tile(similarity[kept], 2)
            parts.append(pl.DataFrame(dict(zip(SCHEMA, both, strict=True)), schema=SCHEMA))
    found = pl.concat(parts)
    order = ["first_index", "similarity", "similar_index"]
    best = found.sort(order, descending=[False, True, False])
    return best.unique("first_index", keep="first", maintain_order=True)


def _candidates(band: npt.NDArray[np.uint64]) -> Int64Array:
    """Return pairs of texts with one hash: neighbours, and each with the first, shape (p, 2)."""
    order = np.argsort(band, kind="stable")
    same = band[order[1:]] == band[order[:-1]]
    begins = np.maximum.accumulate(np.where(np.append(False, same), 0, np.arange(len(order))))
    later = np.flatnonzero(same) + 1
    with_first = np.column_stack((order[begins[later]], order[later]))
    neighbours = np.column_stack((order[later - 1], order[later]))
    return np.concatenate((with_first, neighbours[later - 1 != begins[later]]))


def jaccard(one: Tokens, other: Tokens) -> FloatArray:
    """Return the share of trigrams that two texts have in common, of all that either has.

    Args:
        one: Token ids, shape (p, tokens).
        other: Likewise.

    Returns:
        Shape (p,).
    """
    grams = [_grams(each) for each in (one, other)]
    sizes = [1 + (np.diff(each.view(np.int64), axis=1) != 0).sum(axis=1) for each in grams]
    union = np.sort(np.concatenate(grams, axis=1), axis=1)
    total = 1 + (np.diff(union.view(np.int64), axis=1) != 0).sum(axis=1)
    shared = sizes[0] + sizes[1] - total
    return np.asarray(shared / total, np.float64)
