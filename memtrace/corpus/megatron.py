r"""Megatron's `.bin`/`.idx` token files, in one piece or in shards, as a `Corpus`.

It reads the index only to learn and to check the layout; the rows themselves are read by `rows`.

    NAME.idx   9 bytes `MMIDIDX\0\0`, then little-endian: uint64 version = 1, uint8 type code,
               uint64 sequences, uint64 documents, int32 lengths[sequences],
               int64 byte offsets[sequences], int64 first sequences[documents]
    NAME.bin, or NAME-00000-of-00020.bin … NAME-00020-of-00020.bin (the suffix is the last number)
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memtrace.corpus.rows import Corpus, Part
from memtrace.errors import CorpusError

MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<QBQQ")
# The type codes of Megatron's index; float codes 6 and 7 cannot be token ids.
_DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}


@dataclass(frozen=True)
class Layout:
    """What a row is."""

    row_tokens: int
    dtype: np.dtype[np.integer]
    rows: int


def open_megatron(prefix: Path, *, layout: Layout | None = None, name: str | None = None) -> Corpus:
    """Open the token files `prefix.bin` or `prefix-#####-of-#####.bin`.

    Args:
        prefix: Path without `.bin`.
        layout: What a manifest says; without it `prefix.idx` must exist; with both, they agree.
        name: How messages call the corpus; the prefix by default.

    Raises:
        CorpusError: Files are missing, truncated, of another format, or contradict the layout.
    """
    index = Path(f"{prefix}.idx")
    found = read_layout(index) if index.is_file() else None
    if layout is None and found is None:
        raise CorpusError(
            f"{index} does not exist: without it only a manifest can tell the length of a row"
        )
    if layout and found and layout != found:
        raise CorpusError(
            f"{index} describes {found}, but the manifest says {layout}: wrong files?"
        )
    chosen = layout or found
    if chosen is None:
        raise CorpusError(f"corpus {prefix} has no layout")
    parts = tuple(Part(path, 0, path.stat().st_size) for path in token_files(prefix))
    corpus = Corpus(name or str(prefix), parts, chosen.row_tokens, chosen.dtype)
    if len(corpus) != chosen.rows:
        expected = chosen.rows * corpus.row_bytes
        raise CorpusError(
            f"corpus {corpus.name} has {corpus.size} bytes, expected {expected} "
            f"({chosen.rows} rows of {corpus.row_bytes}): a file is truncated or missing: fetch it"
        )
    return corpus


def token_files(prefix: Path) -> list[Path]:
    """Return the `.bin` files of a corpus in order.

    Raises:
        CorpusError: There is none, or the shards have gaps.
    """
    single = Path(f"{prefix}.bin")
    if single.is_file():
        return [single]
    pattern = re.compile(re.escape(prefix.name) + r"-(\d+)-of-(\d+)\.bin")
    matches = [m for path in prefix.parent.glob("*.bin") if (m := pattern.fullmatch(path.name))]
    if not matches:
        raise CorpusError(
            f"no token files {single} or {prefix}-00000-of-….bin: check the path of the corpus"
        )
    shards = sorted((int(m[1]), prefix.parent / m[0]) for m in matches)
    last = {int(m[2]) for m in matches}
    if [number for number, _ in shards] != list(range(max(last) + 1)) or len(last) != 1:
        raise CorpusError(
            f"corpus {prefix} has shards {[number for number, _ in shards]}, "
            f"expected 0..{max(last)}: fetch those that are missing"
        )
    return [path for _, path in shards]


def read_layout(index: Path) -> Layout:
    """Read an `.idx` file and check that it describes rows of one length, back to back.

    Raises:
        CorpusError: It is not a Megatron index, is truncated, or its rows differ in length.
    """
    try:
        size = index.stat().st_size
        with index.open("rb") as file:
            head = file.read(len(MAGIC) + _HEADER.size)
    except OSError as error:
        raise CorpusError(f"cannot read {index}: {error.strerror}") from error
    if not head.startswith(MAGIC) or len(head) < len(MAGIC) + _HEADER.size:
        raise CorpusError(
            f"{index} is not a Megatron index: it begins with {head[:9]!r}, expected {MAGIC!r}"
        )
    version, code, sequences, documents = _HEADER.unpack(head[len(MAGIC) :])
    if version != 1 or code not in _DTYPES or not sequences:
        raise CorpusError(
            f"{index} has version {version}, type code {code} and {sequences} sequences; "
            f"memtrace reads version 1, codes {sorted(_DTYPES)} and at least one sequence"
        )
    expected = len(head) + 12 * sequences + 8 * documents
    if size != expected:
        raise CorpusError(
            f"{index} has {size} bytes, its header ({sequences} sequences, {documents} documents) "
            f"needs {expected}: truncated; fetch it again"
        )
    return _check_rows(index, len(head), sequences, np.dtype(_DTYPES[code]))


def _check_rows(index: Path, offset: int, rows: int, dtype: np.dtype[np.integer]) -> Layout:
    lengths = np.memmap(index, "<i4", "r", offset, (rows,))
    starts = np.memmap(index, "<i8", "r", offset + 4 * rows, (rows,))
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest != longest or shortest < 1:
        raise CorpusError(
            f"{index} has rows of {shortest} to {longest} tokens; memtrace needs rows of one "
            "length in training order (Pythia's preshuffled files, not the raw documents)"
        )
    row_bytes = longest * dtype.itemsize
    # Step 0 of an arithmetic progression and every step of it: the rows lie back to back.
    if starts[0] != 0 or not _rises_by(starts, row_bytes):
        raise CorpusError(
            f"{index} has rows that do not lie back to back; memtrace cannot read them in place"
        )
    return Layout(longest, dtype, rows)


def _rises_by(starts: "np.memmap[tuple[int], np.dtype[np.int64]]", step: int) -> bool:
    chunk = 1 << 22  # 32 MiB at a time: the index of the Pile has a gigabyte of offsets
    return all(
        bool((np.diff(starts[i : i + chunk + 1]) == step).all())
        for i in range(0, len(starts), chunk)
    )
