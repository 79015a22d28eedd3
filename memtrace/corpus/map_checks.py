"""What is checked of index maps before a row is read by them.

All of a small corpus' maps; of a large one's, samples at evenly spaced places, since its maps have
gigabytes.
"""

import numpy as np

from memtrace.corpus.array_file import ArrayFile
from memtrace.corpus.index_maps import IndexMaps
from memtrace.errors import CorpusError
from memtrace.types import Int64Array

_SEGMENTS = 16
_ALL_SAMPLES = 4096  # in a segment of maps that are checked whole
_SOME_SAMPLES = 64
_ALL_ENTRIES = 1 << 22  # of a map in which duplicate and missing entries are sought


def check_maps(maps: IndexMaps) -> None:
    """Check that three maps belong together and to their corpus.

    Raises:
        CorpusError: They do not, or one is damaged.
    """
    samples = len(maps.sample_map) - 1
    if samples != len(maps.shuffle_map) or maps.rows < 1:
        raise CorpusError(
            f"{maps.sample_map.name} has {samples} samples and {maps.shuffle_map.name} "
            f"{len(maps.shuffle_map)}, where both have the same number, and enough for a row: one "
            "is truncated or belongs to another run"
        )
    if samples <= _ALL_ENTRIES:
        check_permutation(maps.shuffle_map, samples)
    if len(maps.document_map) <= _ALL_ENTRIES:
        _check_epochs(maps)
    for start, stop in _segments(samples):
        if maps.whole_documents:
            _check_whole(maps, maps.sample_map.read(start, stop + 1))
        else:
            _check_samples(maps, maps.sample_map.read(start, stop + 1))


def check_permutation(array: ArrayFile, count: int, entries: int | None = None) -> None:
    """Check that the first entries of an array, or all, are different numbers below `count`.

    Raises:
        CorpusError: It does not.
    """
    found = array.read(0, len(array) if entries is None else entries)
    if not len(found) or found.min() < 0 or found.max() >= count:
        outside = found[(found < 0) | (found >= count)]
        raise CorpusError(
            f"{array.name} has the entry {outside[0] if len(outside) else None}, where all are in "
            f"0..{count - 1}: it is damaged or belongs to another corpus"
        )
    times = np.bincount(found, minlength=count)
    if (times > 1).any():
        twice = int(np.argmax(times > 1))
        raise CorpusError(
            f"{array.name} has the entry {twice} {times[twice]} times, where each is there once: "
            "it is damaged; make it again or fetch it again"
        )


def _segments(samples: int) -> list[tuple[int, int]]:
    if samples <= _SEGMENTS * _ALL_SAMPLES:
        return [
            (start, min(start + _ALL_SAMPLES, samples)) for start in range(0, samples, _ALL_SAMPLES)
        ]
    last = samples - _SOME_SAMPLES
    starts = [last * i // (_SEGMENTS - 1) for i in range(_SEGMENTS)]
    return [(start, start + _SOME_SAMPLES) for start in starts]


def _check_epochs(maps: IndexMaps) -> None:
    """Check that each document of the split is in the document map, equally often."""
    found = maps.document_map.read(0, len(maps.document_map))
    if not len(found) or found.min() < 0 or found.max() >= len(maps.documents):
        raise CorpusError(
            f"{maps.document_map.name} has documents {found.min() if len(found) else 0} to "
            f"{found.max() if len(found) else 0}, {maps.documents.index.name} has "
            f"{len(maps.documents)}: it is damaged or belongs to another corpus"
        )
    first = int(found.min())
    times = np.bincount(found - first)
    # Whole documents end in the midst of an epoch.
    if np.ptp(times) > maps.whole_documents:
        odd = int(np.argmax(times != np.bincount(times).argmax()))
        raise CorpusError(
            f"{maps.document_map.name} has document {first + odd} {times[odd]} times and others "
            f"{np.bincount(times).argmax()} times, where each epoch has each once: it is damaged; "
            "make it again or fetch it again"
        )
    lengths = maps.documents.lengths.read(first, first + len(times))
    total = int(lengths.sum()) * int(times[0])
    step, shared = maps.row_tokens - maps.shared_tokens, maps.shared_tokens
    if not maps.whole_documents and (total - shared) // step != len(maps.shuffle_map):
        raise CorpusError(
            f"{maps.document_map.name} stands for {total} tokens, which make "
            f"{(total - shared) // step} samples of {step} and {shared} that the next one shares; "
            f"{maps.shuffle_map.name} has {len(maps.shuffle_map)}: the maps belong to another "
            f"corpus, or row_tokens is not {maps.row_tokens}"
        )


def _check_samples(maps: IndexMaps, begins: Int64Array) -> None:
    """Check that neighbouring samples begin L tokens apart, on tokens that are there."""
    step = maps.row_tokens - maps.shared_tokens
    lengths = _lengths(maps, begins, len(begins) * step)
    entry = begins[:, 0] - begins[0, 0]
    maps._check_offsets(begins[:, 0], begins[:, 1], lengths[entry])
    position = np.r_[0, np.cumsum(lengths)][entry] + begins[:, 1]
    apart = np.diff(position)
    if (apart != step).any():
        raise CorpusError(
            f"{maps.sample_map.name} has samples that begin {apart[apart != step][0]} tokens "
            f"apart, where row_tokens {maps.row_tokens} needs {step}: it is damaged, belongs to "
            "another corpus, or row_tokens is another"
        )
    if maps.shared_tokens and (begins[:, 1] == lengths[entry]).any():
        raise CorpusError(
            f"{maps.sample_map.name} has a sample that begins after the end of a document, as "
            "Megatron writes where samples share no token (add_extra_token_to_sequence false): "
            f"give row_tokens: {step}"
        )


def _check_whole(maps: IndexMaps, begins: Int64Array) -> None:
    if (begins[:, 1] != 0).any() or (np.diff(begins[:, 0]) < 1).any() or begins[0, 0] < 0:
        raise CorpusError(
            f"{maps.sample_map.name} has samples that do not begin at the beginnings of documents, "
            "one after another, as pack_until_overflow makes them: it is damaged"
        )


def _lengths(maps: IndexMaps, begins: Int64Array, tokens: int) -> Int64Array:
    """Return the lengths of the documents from the first sample to the last one's."""
    entries = begins[:, 0]
    first, last = int(entries[0]), int(entries[-1])
    ascending = (np.diff(entries) >= 0).all() and first >= 0 and last < len(maps.document_map)
    if not ascending or last - first > 4 * tokens:
        low, high = int(entries.min()), int(entries.max())
        overflow = "; a negative entry is a 32-bit overflow of the trainer" if low < 0 else ""
        raise CorpusError(
            f"{maps.sample_map.name} has samples at the entries {low} to {high} of "
            f"{maps.document_map.name}, which has {len(maps.document_map)}, or not in "
            f"order{overflow}: it is damaged or belongs to another corpus"
        )
    documents = maps.document_map.read(first, last + 1)
    return maps.documents.lengths.take(documents, maps.document_map.name)
