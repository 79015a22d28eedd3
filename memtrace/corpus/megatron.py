r"""Megatron's `.bin`/`.idx` token files, in one file or in shards, as a `Corpus`.

The index is read only to learn and to check the layout. The files may be local or remote: any
`Part` will do.

    NAME.idx   9 bytes `MMIDIDX\0\0`, then little-endian: uint64 version = 1, uint8 type code,
               uint64 sequences, uint64 documents, int32 lengths[sequences],
               int64 byte offsets[sequences], int64 first sequences[documents]
    NAME.bin, or NAME-00000-of-00020.bin … NAME-00020-of-00020.bin (the suffix is the last number)
"""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.parts import Part, file_part
from memtrace.corpus.stream import RowStream
from memtrace.errors import CorpusError

MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<QBQQ")
LENGTHS_AT = len(MAGIC) + _HEADER.size
"""Where in an index the lengths begin."""
# The type codes of Megatron's index; float codes 6 and 7 cannot be token ids.
_DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
_CHECKED = 1 << 22  # rows of a local index checked at a time: the Pile's has a gigabyte of offsets
_CHECKED_REMOTE = 1 << 13  # rows checked at each end of an index that would have to be downloaded


@dataclass(frozen=True)
class Layout:
    """What a row is."""

    row_tokens: int
    dtype: np.dtype[np.integer]
    rows: int


def open_megatron(prefix: Path, *, layout: Layout | None = None, name: str | None = None) -> Corpus:
    """Open the local token files `prefix.bin` or `prefix-#####-of-#####.bin`.

    Args:
        prefix: Path without `.bin`.
        layout: What a manifest says; without it `prefix.idx` must exist; with both, they agree.
        name: How messages call the corpus; the prefix by default.

    Raises:
        CorpusError: Files are missing, truncated, of another format, or contradict the layout.
    """
    found = sorted(prefix.parent.iterdir()) if prefix.parent.is_dir() else []
    files = {path.name: file_part(path) for path in found if path.name.startswith(prefix.name)}
    return assemble(name or str(prefix), files, prefix.name, layout=layout)


def plain_rows(prefixes: Sequence[Path], row_tokens: int | None, dtype: str | None) -> RowStream:
    """Return the rows of several token files, one after another.

    Args:
        prefixes: Paths without `.bin`.
        row_tokens: Of files without an index.
        dtype: Of files without an index.

    Raises:
        CorpusError: As `open_megatron`; or the files differ in type or length of rows.
    """
    streams = [_plain(prefix, row_tokens, dtype) for prefix in prefixes]
    kinds = {(stream.row_tokens, stream.dtype) for stream in streams}
    if len(kinds) > 1:
        raise CorpusError(f"{prefixes[0]} and what follows it differ in type or length of rows")
    return RowStream(tuple(part for s in streams for part in s.parts), *kinds.pop())


def _plain(prefix: Path, row_tokens: int | None, dtype: str | None) -> RowStream:
    if prefix.with_name(f"{prefix.name}.idx").is_file():
        source = open_megatron(prefix).source
        return RowStream(source.parts, source.row_tokens, source.dtype)
    if row_tokens is None or dtype is None:
        raise CorpusError(f"{prefix}.idx does not exist: without it, give row_tokens and dtype")
    files = {p.name: file_part(p) for p in prefix.parent.glob(f"{prefix.name}*.bin")}
    token = np.dtype(dtype).newbyteorder("<")
    return RowStream(tuple(token_files(files, prefix.name)), row_tokens, token)


def assemble(
    name: str, files: Mapping[str, Part], prefix: str, *, layout: Layout | None = None
) -> Corpus:
    """Make a corpus of token files, wherever they are kept.

    Args:
        name: How messages call the corpus.
        files: The files of the folder, by name; others may be among them.
        prefix: File name without `.bin`.
        layout: As in `open_megatron`.

    Raises:
        CorpusError: As `open_megatron`.
    """
    index = files.get(f"{prefix}.idx")
    found = read_layout(index) if index else None
    chosen = layout or found
    if chosen is None:
        raise CorpusError(
            f"{name}.idx does not exist: without it only a manifest can tell the length of a row"
        )
    if found and found != chosen:
        raise CorpusError(
            f"{name}.idx describes {found}, but the manifest says {layout}: wrong files?"
        )
    parts = tuple(token_files(files, prefix))
    _check_size(name, sum(part.size for part in parts), chosen, "index" if found else "manifest")
    return Corpus(name, RowStream(parts, chosen.row_tokens, chosen.dtype))


def _check_size(name: str, size: int, layout: Layout, source: str) -> None:
    """Compare the bytes of all token files with those that the index or the manifest describes."""
    row_bytes = layout.row_tokens * layout.dtype.itemsize
    expected = layout.rows * row_bytes
    if size == expected:
        return
    problem = (
        f"{expected - size} are missing: a file is truncated or not there; fetch it"
        if size < expected
        else f"{size - expected} too many: the {source} is of other files, or they were written to "
        f"since; use the {source} that belongs to them"
    )
    raise CorpusError(
        f"corpus {name} has {size} bytes, its {source} describes {expected} "
        f"({layout.rows} rows of {row_bytes}), {problem}"
    )


def token_files(files: Mapping[str, Part], prefix: str) -> list[Part]:
    """Return the `.bin` files of a corpus in order.

    Raises:
        CorpusError: There is none, or the shards have gaps.
    """
    if single := files.get(f"{prefix}.bin"):
        return [single]
    pattern = re.compile(re.escape(prefix) + r"-(\d+)-of-(\d+)\.bin")
    matches = [m for name in files if (m := pattern.fullmatch(name))]
    if not matches:
        raise CorpusError(
            f"no token files {prefix}.bin or {prefix}-00000-of-….bin: check the path of the corpus"
        )
    shards = sorted((int(m[1]), m[0]) for m in matches)
    last = {int(m[2]) for m in matches}
    if [number for number, _ in shards] != list(range(max(last) + 1)) or len(last) != 1:
        raise CorpusError(
            f"corpus {prefix} has shards {[number for number, _ in shards]}, "
            f"expected 0..{max(last)}: fetch those that are missing"
        )
    return [files[name] for _, name in shards]


def read_layout(index: Part) -> Layout:
    """Read an `.idx` file and check that it describes rows of one length, back to back.

    Of a remote one only both ends are read: the last offset gives the sum of all lengths.

    Raises:
        CorpusError: It is not a Megatron index, is truncated, or its rows differ in length.
    """
    dtype, sequences = read_header(index)
    return _check_rows(index, LENGTHS_AT, sequences, dtype)


def read_header(index: Part) -> tuple[np.dtype[np.integer], int]:
    """Return the type of a token and the number of sequences that an `.idx` file tells.

    Raises:
        CorpusError: It is not a Megatron index, or is truncated.
    """
    size = LENGTHS_AT
    head = index.view(0, size).tobytes() if index.size >= size else b""
    if not head.startswith(MAGIC):
        raise CorpusError(
            f"{index.name} is not a Megatron index: it has {index.size} bytes and begins with "
            f"{head[:9]!r}, expected {MAGIC!r}"
        )
    version, code, sequences, documents = _HEADER.unpack(head[len(MAGIC) :])
    if version != 1 or code not in _DTYPES or not sequences:
        raise CorpusError(
            f"{index.name} has version {version}, type code {code} and {sequences} sequences; "
            f"memtrace reads version 1, codes {sorted(_DTYPES)} and at least one sequence"
        )
    expected = size + 12 * sequences + 8 * documents
    if index.size != expected:
        raise CorpusError(
            f"{index.name} has {index.size} bytes, its header ({sequences} sequences, {documents} "
            f"documents) needs {expected}: {_index_problem(index, expected, sequences)}"
        )
    return np.dtype(_DTYPES[code]), sequences


def _index_problem(index: Part, expected: int, sequences: int) -> str:
    """Say why an index has another size than its header tells, and what to do."""
    if index.size < expected:
        return "truncated; fetch it again"
    if index.size == expected + sequences:
        return (
            "a multimodal index of Megatron-core, which ends in a mode byte for each sequence; "
            "memtrace reads token rows of text alone; where all of them are text, leave these "
            f"bytes out: head -c {expected} {index.name} > TEXT.idx, beside a TEXT.bin"
        )
    return (
        f"{index.size - expected} bytes were added to it, and it is no multimodal index either "
        f"({sequences} more); write it again with the tool that made it"
    )


def _check_rows(index: Part, offset: int, rows: int, dtype: np.dtype[np.integer]) -> Layout:
    lengths = [
        index.view(offset + 4 * start, offset + 4 * stop).view("<i4")
        for start, stop in _checked(index, rows)
    ]
    shortest, longest = (int(f([f(block) for block in lengths])) for f in (np.min, np.max))
    if shortest != longest or shortest < 1:
        raise CorpusError(
            f"{index.name} has rows of {shortest} to {longest} tokens; memtrace needs rows of one "
            "length in training order; with the trainer's index maps a corpus file (YAML, layout "
            "gpt-neox or megatron-core) makes them of raw documents in place"
        )
    row_bytes, offset = longest * dtype.itemsize, offset + 4 * rows
    for start, stop in _checked(index, rows):
        starts = index.view(offset + 8 * start, offset + 8 * stop).view("<i8")
        if not np.array_equal(starts, np.arange(start, stop, dtype=np.int64) * row_bytes):
            raise CorpusError(
                f"{index.name} has rows that do not lie back to back; memtrace cannot read them "
                "in place"
            )
    return Layout(longest, dtype, rows)


def _checked(index: Part, rows: int) -> list[tuple[int, int]]:
    """Return the ranges of rows whose entries in the index are checked."""
    if index.remote and rows > 2 * _CHECKED_REMOTE:
        return [(0, _CHECKED_REMOTE), (rows - _CHECKED_REMOTE, rows)]
    return [(start, min(start + _CHECKED, rows)) for start in range(0, rows, _CHECKED)]
