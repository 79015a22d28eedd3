"""Rows of several corpora in one order of training, by weights, as GPT-NeoX and Megatron blend."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memtrace.corpus.array_file import ArrayFile, npy_map
from memtrace.corpus.map_files import Description, read_descriptions
from memtrace.corpus.parts import Part
from memtrace.corpus.rows import Rows, Tokens
from memtrace.errors import CorpusError
from memtrace.types import Int64Array

_ENDS = ("-dataset_index.npy", "-dataset_sample_index.npy")


@dataclass(frozen=True)
class BlendOrder:
    """Which corpus each row comes from, and which of its rows it is, both `(n,)`."""

    corpus: ArrayFile | npt.NDArray[np.int16]
    row: ArrayFile | Int64Array

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the files that it was read from."""
        arrays = (self.corpus, self.row)
        return tuple(array.part for array in arrays if isinstance(array, ArrayFile))

    def take(self, rows: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return corpus and row in it of each given row."""
        if isinstance(self.corpus, ArrayFile) and isinstance(self.row, ArrayFile):
            pointer = "the corpus file"
            return self.corpus.take(rows, pointer), self.row.take(rows, pointer)
        return np.asarray(self.corpus)[rows].astype(np.int64), np.asarray(self.row)[rows]


@dataclass(frozen=True)
class BlendedRows:
    """Rows of several corpora of one row length."""

    sources: tuple[Rows, ...]
    order: BlendOrder

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the files of all corpora, and those of the order."""
        return (*(part for source in self.sources for part in source.parts), *self.order.parts)

    @property
    def row_tokens(self) -> int:
        """Return the tokens of a row."""
        return self.sources[0].row_tokens

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Return a type that holds the tokens of each corpus; of the disk where they agree."""
        own = [source.dtype for source in self.sources]
        return own[0] if len(set(own)) == 1 else np.result_type(*own)

    @property
    def remote(self) -> bool:
        """Return whether reading needs a network."""
        return any(source.remote for source in self.sources)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.order.corpus)

    def read(self, start: int, stop: int, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the rows [start, stop), `(stop - start, tokens)`."""
        return self.take(np.arange(start, stop), tokens)

    def take(self, rows: Int64Array, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the given rows, `(len(rows), tokens)`.

        Raises:
            CorpusError: The order names a corpus or a row that is not there.
        """
        corpus, row = self.order.take(rows)
        out = np.empty((len(rows), tokens), self.dtype.newbyteorder("="))
        for number in np.unique(corpus).tolist():
            chosen = corpus == number
            self._check(number, row[chosen])
            out[chosen] = self.sources[number].take(row[chosen], tokens)
        return out

    def _check(self, number: int, row: Int64Array) -> None:
        count = len(self.sources[number]) if 0 <= number < len(self.sources) else 0
        if not 0 <= int(row.min()) <= int(row.max()) < count:
            where = self.order.parts[0].name if self.order.parts else "the blend"
            raise CorpusError(
                f"{where} takes row {row.max()} of corpus {number}, of {len(self.sources)} corpora "
                f"and {count} rows: it is damaged or belongs to other corpora"
            )


def greedy_blend(weights: Sequence[float], counts: Sequence[int]) -> BlendOrder:
    """Return the order that both trainers compute: at each row the corpus that is most behind.

    Row i is of the corpus k with the largest w_k max(i, 1) - taken_k, of the first one on ties, in
    float64. It ends where a corpus has no row left. Source: `build_blending_indices` in gpt-neox
    `megatron/data/helpers.cpp` and Megatron-LM `core/datasets/helpers.cpp`. About a microsecond
    for each row and corpus, and ten bytes of memory for each row.

    Args:
        weights: Of each corpus, positive.
        counts: Rows of each corpus.
    """
    order: list[int] = []
    left = list(counts)
    for most in most_behind(weights):
        if not left[most]:
            break
        left[most] -= 1
        order.append(most)
    return _order(order)


def most_behind(weights: Sequence[float]) -> Iterator[int]:
    """Yield the corpus of each row, without end: the one that is most behind its weight."""
    shares = (np.asarray(weights, np.float64) / np.sum(np.asarray(weights, np.float64))).tolist()
    taken, numbers = [0] * len(shares), range(len(shares))
    for row in itertools.count():
        i = max(float(row), 1.0)
        behind = [shares[k] * i - taken[k] for k in numbers]
        most = behind.index(max(behind))
        yield most
        taken[most] += 1


def exhaustive_blend(counts: Sequence[int]) -> BlendOrder:
    """Return the order of Megatron-core without weights: every row of every corpus, once.

    As `greedy_blend` with the counts for weights, among the corpora that have rows left. Source:
    `build_exhaustive_blending_indices` in Megatron-LM `core/datasets/helpers.cpp`.
    """
    total = sum(counts)
    shares, taken = [count / total for count in counts], [0] * len(counts)
    order: list[int] = []
    left = [k for k, count in enumerate(counts) if count]
    while left:
        i = max(float(len(order)), 1.0)
        behind = [shares[k] * i - taken[k] for k in left]
        most = left[behind.index(max(behind))]
        order.append(most)
        taken[most] += 1
        if taken[most] == counts[most]:
            left.remove(most)
    return _order(order)


def _order(corpora: list[int]) -> BlendOrder:
    corpus = np.array(corpora, np.int16)
    return BlendOrder(corpus, numbered(corpus))


def numbered(corpus: npt.NDArray[np.int16]) -> Int64Array:
    """Return of each row how many earlier rows are of its corpus, `(n,)`."""
    row = np.empty(len(corpus), np.int64)
    for number in np.unique(corpus):
        chosen = corpus == number
        row[chosen] = np.arange(np.count_nonzero(chosen))
    return row


def find_blend(folder: Path, prefixes: Sequence[Path]) -> Description | None:
    """Return the description of Megatron-core's blend of these corpora, if it is in a folder.

    Raises:
        CorpusError: There are several.
    """
    names = [prefix.name for prefix in prefixes]
    found = [
        blend
        for blend in read_descriptions(folder, "BlendedDataset")
        if [Path(Description(blend.stem, each).prefix).name for each in _members(blend)] == names
    ]
    if len(found) > 1:
        raise CorpusError(
            f"{folder} has {len(found)} blends of {', '.join(names)}: "
            f"{', '.join(blend.stem.name for blend in found)}; keep one of them there"
        )
    return found[0] if found else None


def asked_samples(blend: Description) -> list[int | None]:
    """Return how many samples a blend asked of each corpus, None where it does not say."""
    return [each.get("num_samples") for each in _members(blend)]


def saved_order(blend: Description) -> BlendOrder | None:
    """Return the order that Megatron-core saved with a blend, None where it saved none.

    Raises:
        CorpusError: Its files do not fit each other.
    """
    paths = [blend.stem.with_name(blend.stem.name + end) for end in _ENDS]
    if not any(path.is_file() for path in paths):
        return None
    corpus, row = map(npy_map, paths)
    if len(corpus) != len(row):
        raise CorpusError(
            f"{paths[0]} has {len(corpus)} rows and {paths[1].name} {len(row)}: one is truncated"
        )
    return BlendOrder(corpus, row)


def _members(blend: Description) -> list[dict[str, Any]]:
    members = blend.content.get("datasets")
    return [each for each in members if isinstance(each, dict)] if isinstance(members, list) else []
