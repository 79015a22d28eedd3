"""OLMo's order of training: windows of headerless token files, in the order of an index file.

Each file is cut into windows of `row_tokens`; what is left over at its end is dropped. An index
file, `global_indices.npy`, is raw uint32 in spite of its name: the window of each row of an epoch.
With OLMo-core's chunks each file has a multiple of `chunk` windows. Without index files the windows
are rows as they lie. Sources: OLMo `olmo/data/`, OLMo-core `src/olmo_core/data/data_loader.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from memtrace.corpus.array_file import ArrayFile
from memtrace.corpus.gather import GatheredRows, Stretches
from memtrace.corpus.map_checks import check_permutation
from memtrace.corpus.parts import FilePart, Part, file_part
from memtrace.corpus.stream import ByteStream
from memtrace.errors import CorpusError
from memtrace.manifests.schedule import SequencesPerStep, last_step, rows_before
from memtrace.types import Int64Array

_LARGEST_WORLD = 1 << 14  # an epoch is cut, or filled up, to a multiple of the number of ranks
_ALL_ENTRIES = 1 << 22  # of an index file in which duplicates are sought
_CHECKED_ENTRIES = 1 << 16
_LLM_C = {20240520: "<u2", 20240801: "<u4"}
_LLM_C_BYTES = 1024


@dataclass(frozen=True)
class Windows:
    """Windows of a byte stream, epoch by epoch."""

    starts: Int64Array
    """First byte in the stream of each file's windows, `(files,)`."""
    ends: Int64Array
    """Windows up to the end of each file, `(files,)`."""
    window_bytes: int
    epochs: tuple[ArrayFile, ...]
    """The window of each row, an array an epoch; none: windows are rows as they lie."""
    rows_of_epochs: tuple[int, ...]
    """Rows that each epoch trained on."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the index files."""
        return tuple(epoch.part for epoch in self.epochs)

    @cached_property
    def _epoch_ends(self) -> Int64Array:
        return np.cumsum(np.array(self.rows_of_epochs, np.int64))

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._epoch_ends[-1])

    def stretches(self, rows: Int64Array, tokens: int) -> Iterator[Stretches]:
        """Yield where the first `tokens` tokens of the given rows lie.

        Raises:
            CorpusError: An index file names a window that is not there.
        """
        window = self._windows(rows)
        file = np.searchsorted(self.ends, window, side="right")
        before = np.r_[0, self.ends][file]
        start = self.starts[file] + (window - before) * self.window_bytes
        zeros = np.zeros(len(rows), np.int64)
        yield Stretches(np.arange(len(rows)), zeros, start, zeros + tokens)

    def _windows(self, rows: Int64Array) -> Int64Array:
        if not self.epochs:
            return rows
        epoch = np.searchsorted(self._epoch_ends, rows, side="right")
        window = np.empty(len(rows), np.int64)
        for number in np.unique(epoch).tolist():
            chosen = epoch == number
            begin = int(self._epoch_ends[number]) - self.rows_of_epochs[number]
            window[chosen] = self.epochs[number].take(rows[chosen] - begin, "the corpus file")
            _check_range(self.epochs[number], window[chosen], int(self.ends[-1]))
        return window


def olmo_rows(
    files: Sequence[Path],
    indices: Sequence[Path],
    *,
    row_tokens: int,
    dtype: str | None,
    chunk: int = 1,
    sequences_per_step: SequencesPerStep | None = None,
) -> GatheredRows:
    """Open headerless token files, or llm.c's, and the index files of their epochs.

    Args:
        files: Token files in the trainer's order.
        indices: Index files, one an epoch; none: rows in the order of the files.
        row_tokens: Tokens of a window.
        dtype: Type of a token; None where the files have a header of llm.c.
        chunk: OLMo-core's windows that were shuffled together.
        sequences_per_step: Needed for several epochs: what makes no whole batch at the end of
            an epoch was not trained on.

    Raises:
        CorpusError: A file is missing, damaged, of another type, or belongs to another corpus.
    """
    opened = [_tokens(path, dtype) for path in files]
    types = {own for _, own in opened}
    if len(types) > 1:
        raise CorpusError(f"{files[0]} and the files after it differ in the type of their tokens")
    token = types.pop()
    stream = ByteStream(tuple(part for part, _ in opened))
    sizes = np.array([part.size for part, _ in opened], np.int64)
    counts = sizes // token.itemsize // row_tokens // chunk * chunk
    windows = int(counts.sum())
    if not windows:
        raise CorpusError(
            f"{files[0]} has {int(sizes[0]) // token.itemsize} {token} tokens, too few for a row "
            f"of {row_tokens}: check row_tokens and dtype"
        )
    epochs = tuple(_index(path, windows, sequences_per_step) for path in indices)
    order = Windows(
        starts=np.cumsum(sizes) - sizes,
        ends=np.cumsum(counts),
        window_bytes=row_tokens * token.itemsize,
        epochs=epochs,
        rows_of_epochs=_trained_on(epochs, sequences_per_step) or (windows,),
    )
    return GatheredRows(stream, order, row_tokens, token)


def _tokens(path: Path, dtype: str | None) -> tuple[FilePart, np.dtype[np.integer]]:
    """Return the tokens of a file, without llm.c's header where it has one, and their type."""
    part = file_part(path)
    head = part.view(0, min(8, part.size)).tobytes()
    if head.startswith(b"\x93NUMPY"):
        raise CorpusError(f"{path} is an array with NumPy's header: use layout npy")
    magic = int.from_bytes(head[:4], "little")
    if magic in _LLM_C and part.size >= _LLM_C_BYTES:
        return _llm_c(path, part, np.dtype(_LLM_C[magic]), dtype)
    if dtype is None:
        raise CorpusError(
            f"{path} has no header: say the type of its tokens, such as dtype: uint16 (uint32 "
            "where the vocabulary has more than 65,536)"
        )
    token: np.dtype[np.integer] = np.dtype(dtype).newbyteorder("<")
    if part.size % token.itemsize or not part.size:
        raise CorpusError(
            f"{path} has {part.size} bytes, not a positive multiple of the {token.itemsize} of a "
            f"{dtype} token: it is truncated or of another dtype"
        )
    return part, token


def _llm_c(
    path: Path, whole: FilePart, found: np.dtype[np.integer], dtype: str | None
) -> tuple[FilePart, np.dtype[np.integer]]:
    """Return the tokens behind the header of llm.c: 256 int32: magic, version 1, tokens."""
    _, version, count = whole.view(0, 12).view("<i4").tolist()
    needed = _LLM_C_BYTES + count * found.itemsize
    if version != 1 or whole.size != needed:
        raise CorpusError(
            f"{path} has {whole.size} bytes, its header of llm.c (version {version}, {count} "
            f"{found} tokens) needs version 1 and {needed}: it is truncated or damaged"
        )
    if dtype is not None and np.dtype(dtype) != found:
        raise CorpusError(f"{path} has {found} tokens by its header: leave out dtype: {dtype}")
    return file_part(path, _LLM_C_BYTES, count * found.itemsize), found


def _index(path: Path, windows: int, sequences_per_step: SequencesPerStep | None) -> ArrayFile:
    part = file_part(path)
    index = ArrayFile(part, np.dtype("<u4"))
    if part.size % 4 or not part.size:
        raise CorpusError(
            f"{path} has {part.size} bytes, not a positive multiple of the 4 of an entry: it is "
            "truncated; fetch it again or make it again"
        )
    if isinstance(sequences_per_step, int):
        most, what = sequences_per_step, "a batch"
    else:
        most, what = _LARGEST_WORLD, "what ranks share"
    if len(index) <= windows - most:
        raise CorpusError(
            f"{path} has {len(index)} entries for the {windows} windows of the token files; only "
            f"less than {what} ({most}) may be missing: it is truncated, belongs to other files, "
            "or row_tokens, dtype or chunk is another"
        )
    if len(index) <= _ALL_ENTRIES:
        _check_entries(index, windows)
    else:
        places = np.linspace(0, len(index) - 1, _CHECKED_ENTRIES).astype(np.int64)
        _check_range(index, index.take(places, str(path)), windows)
    return index


def _check_entries(index: ArrayFile, windows: int) -> None:
    """Check that each window is there once; a padded epoch repeats its beginning."""
    whole = min(len(index), windows)
    found = index.read(0, len(index))
    if not np.array_equal(found[whole:], np.resize(found[:whole], len(found))[whole:]):
        raise CorpusError(
            f"{index.name} has {len(found)} entries for {windows} windows, and those beyond do not "
            "repeat its beginning: it belongs to other token files, or row_tokens, dtype or chunk "
            "is another"
        )
    check_permutation(index, windows, whole)


def _check_range(index: ArrayFile, found: Int64Array, windows: int) -> None:
    if len(found) and int(found.max()) >= windows:
        raise CorpusError(
            f"{index.name} points at window {found.max()}, the token files have {windows}: it is "
            "damaged, belongs to other files, or row_tokens, dtype or chunk is another"
        )


def _trained_on(
    epochs: Sequence[ArrayFile], sequences_per_step: SequencesPerStep | None
) -> tuple[int, ...]:
    """Return the rows of each epoch that made whole batches."""
    if len(epochs) > 1 and sequences_per_step is None:
        raise CorpusError(
            "index_maps has several epochs: say sequences_per_step, since what makes no whole "
            "batch at the end of an epoch was not trained on"
        )
    if sequences_per_step is None:
        return tuple(map(len, epochs))
    rows, seen = [], 0
    for epoch in epochs:
        after = rows_before(sequences_per_step, last_step(sequences_per_step, seen + len(epoch)))
        rows.append(after - seen)
        seen = after
    return tuple(rows)
