"""Megatron's `.bin`/`.idx` files of documents of any length, as index maps address them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memtrace.corpus.array_file import ArrayFile
from memtrace.corpus.megatron import LENGTHS_AT, read_header, token_files
from memtrace.corpus.parts import Part, file_part
from memtrace.corpus.stream import ByteStream
from memtrace.errors import CorpusError


@dataclass(frozen=True)
class Documents:
    """Documents in a byte stream; Megatron calls them sequences."""

    stream: ByteStream
    dtype: np.dtype[np.integer]
    """Type of a token on disk."""
    lengths: ArrayFile
    """Tokens of each document."""
    starts: ArrayFile
    """First byte of each document in the stream."""
    index: Part
    """The `.idx` file."""

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.lengths)


def open_documents(prefix: Path) -> Documents:
    """Open `prefix.idx` and `prefix.bin`, or the shards `prefix-#####-of-#####.bin`.

    Raises:
        CorpusError: Files are missing, or the token files have not the bytes that the index tells.
    """
    index_path = prefix.with_name(f"{prefix.name}.idx")
    index = file_part(index_path)
    dtype, count = read_header(index)
    starts_at = LENGTHS_AT + 4 * count
    lengths = ArrayFile(file_part(index_path, LENGTHS_AT, 4 * count), np.dtype("<i4"))
    starts = ArrayFile(file_part(index_path, starts_at, 8 * count), np.dtype("<i8"))
    beside = {p.name: p for p in prefix.parent.iterdir() if p.name.startswith(prefix.name)}
    files = {name: file_part(path) for name, path in beside.items() if name.endswith(".bin")}
    stream = ByteStream(tuple(token_files(files, prefix.name)))
    last = int(starts.read(count - 1, count)[0])
    needed = last + int(lengths.read(count - 1, count)[0]) * dtype.itemsize
    if stream.size != needed:
        problem = "truncated or not all there" if stream.size < needed else "of other files"
        raise CorpusError(
            f"the token files of {prefix} have {stream.size} bytes, {index_path.name} describes "
            f"{needed} ({count} documents of {dtype} tokens): one of them is {problem}"
        )
    return Documents(stream, dtype, lengths, starts, index)
