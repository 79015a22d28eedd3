"""The files of a corpus that is made of text, while they are written and when they are whole.

PREFIX.bin, PREFIX.idx       token rows, as Megatron has them
PREFIX.documents.parquet     `document`, `file`, `line`, `tokens`, `start`
.PREFIX.tokens, .PREFIX.documents, .PREFIX.progress.json    the same while it is written
.PREFIX.lock                 is there while a process writes
"""

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus.megatron import MAGIC
from memtrace.errors import CorpusError
from memtrace.storage.lock import locked_file
from memtrace.storage.store import replace_atomically
from memtrace.storage.tables import write_table

DOCUMENTS = ".documents.parquet"
"""What the name of the table of documents ends in, after the prefix."""
RECORD = np.dtype([("file", "<u4"), ("line", "<u8"), ("tokens", "<u8"), ("start", "<u8")])
"""A document: its file, its line there, its tokens, and where in the corpus it begins."""
IDENTITY = "tokenized"
"""Key of the table's metadata that says of what it was made, and how."""
_CODES = {"<u2": 8, "<i4": 4}  # Megatron's codes of types
_INDEX_ROWS = 1 << 20  # entries of the index that are written at a time

Records = npt.NDArray[np.void]


@dataclass(frozen=True)
class Progress:
    """How far the files go."""

    file: int = 0
    """Number of the file that is being read."""
    line: int = 0
    """Its last line, or row, that is done."""
    documents: int = 0
    tokens: int = 0
    """Tokens written."""


@dataclass(frozen=True)
class OutputFiles:
    """The files of a prefix."""

    prefix: Path

    def path(self, ending: str) -> Path:
        """Return `PREFIX` with an ending."""
        return self.prefix.with_name(self.prefix.name + ending)

    def _hidden(self, ending: str) -> Path:
        return self.prefix.with_name(f".{self.prefix.name}{ending}")

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from writing the same files.

        Raises:
            CorpusError: Another process writes them.
        """
        lock = self._hidden(".lock")
        return locked_file(lock, self.prefix, option="--output", raises=CorpusError)

    def is_finished(self, identity: Mapping[str, Any]) -> bool:
        """Return whether the corpus is whole, and made of the same text in the same way.

        Raises:
            CorpusError: There is one of other text, or made in another way.
        """
        if not self.path(".idx").exists():
            return False
        made = _made_of(self.path(DOCUMENTS))
        if made != dict(identity):
            raise CorpusError(
                f"{self.path('.idx')} is there already, made {_difference(made, identity)}: choose "
                "another --output, or delete it"
            )
        return True

    def begun(self, identity: Mapping[str, Any]) -> Progress:
        """Return how far the work is.

        Raises:
            CorpusError: Other work was begun there.
        """
        record = self._hidden(".progress.json")
        if not record.exists():
            return Progress()
        try:
            said = json.loads(record.read_text(encoding="utf-8"))
            made, progress = said["identity"], Progress(**said["progress"])
        except (ValueError, LookupError, TypeError):
            return Progress()
        if made != dict(identity):
            raise CorpusError(
                f"{self.prefix} was begun {_difference(made, identity)}: repeat that command, "
                f"choose another --output, or delete {record}"
            )
        return progress

    @contextmanager
    def open(
        self, progress: Progress, itemsize: int, row_tokens: int
    ) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """Open the files of tokens and documents, cut to what the progress says of them.

        Raises:
            CorpusError: They are shorter than it says.
        """
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        sizes = (progress.tokens * itemsize, progress.documents * RECORD.itemsize)
        paths = (self._hidden(".tokens"), self._hidden(".documents"))
        if progress.tokens and not paths[0].exists() and self.path(".bin").exists():
            self.path(".bin").replace(paths[0])  # it was killed after the last block
        for path in paths:
            path.touch()
        # After the last block the tokens that fill no row may be cut off already.
        slack = row_tokens * itemsize
        with paths[0].open("r+b") as tokens, paths[1].open("r+b") as documents:
            for file, size in ((tokens, sizes[0]), (documents, sizes[1])):
                if file.seek(0, os.SEEK_END) + slack < size:
                    raise CorpusError(
                        f"{file.name} is shorter than its record says: delete "
                        f"{self._hidden('.progress.json')} to begin again"
                    )
                file.truncate(size)
                file.seek(size)
            yield tokens, documents

    def save(
        self, identity: Mapping[str, Any], progress: Progress, files: Sequence[BinaryIO]
    ) -> None:
        """Write down how far the work is, once what it says is on the disk."""
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        text = json.dumps({"identity": identity, "progress": asdict(progress)})
        replace_atomically(
            self._hidden(".progress.json"),
            lambda path: path.write_bytes(text.encode()),
            option="--output",
            raises=CorpusError,
        )

    def records(self) -> Records:
        """Return the documents that are written."""
        return np.fromfile(self._hidden(".documents"), RECORD)

    def finished_records(self) -> Records:
        """Return the documents of a corpus that is whole; their files are left out."""
        table = pl.read_parquet(self.path(DOCUMENTS), columns=["line", "tokens", "start"])
        found = np.zeros(len(table), RECORD)
        for name in table.columns:
            found[name] = table[name].to_numpy()
        return found

    def finish(
        self,
        identity: Mapping[str, Any],
        rows: int,
        row_tokens: int,
        dtype: np.dtype[np.integer],
        sources: Sequence[Path],
    ) -> None:
        """Give the files their names, the index last: it says that the corpus is whole."""
        os.truncate(self._hidden(".tokens"), rows * row_tokens * dtype.itemsize)
        metadata = {IDENTITY: json.dumps(identity)}
        table = _table(self.records(), sources)
        write_table(self.path(DOCUMENTS), table, metadata, option="--output", raises=CorpusError)
        self._hidden(".tokens").replace(self.path(".bin"))
        replace_atomically(
            self.path(".idx"),
            lambda path: _write_index(path, rows, row_tokens, dtype),
            option="--output",
            raises=CorpusError,
        )
        for ending in (".documents", ".progress.json"):
            self._hidden(ending).unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete what was begun: the text makes no row, so there is nothing to go on with."""
        for ending in (".progress.json", ".tokens", ".documents"):
            self._hidden(ending).unlink(missing_ok=True)


def made_of(documents: Path) -> dict[str, Any]:
    """Return of what a table of documents says that it was made, and how.

    Raises:
        CorpusError: It is no such table.
    """
    made = _made_of(documents)
    if made is None:
        raise CorpusError(
            f"{documents} is no table of documents: it is written by `memtrace corpus tokenize`"
        )
    return made


def _made_of(documents: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(pl.read_parquet_metadata(documents)[IDENTITY])
    except (OSError, pl.exceptions.PolarsError, LookupError, ValueError):
        return None
    return found


def _difference(made: Mapping[str, Any] | None, identity: Mapping[str, Any]) -> str:
    """Return in which way something was made otherwise."""
    if made is None:
        return "by something else"
    names = [name for name in identity if made.get(name) != identity[name]]
    return f"with other {' and '.join(names).replace('_', ' ')}"


def _table(records: Records, sources: Sequence[Path]) -> pl.DataFrame:
    names = pl.Series("file", [str(path) for path in sources], pl.String)
    return pl.DataFrame(
        {
            "document": np.arange(len(records), dtype=np.uint64),
            "file": names.cast(pl.Categorical).gather(pl.Series(records["file"].astype(np.uint32))),
            "line": records["line"].astype(np.uint64),
            "tokens": records["tokens"].astype(np.uint64),
            "start": records["start"].astype(np.uint64),
        }
    )


def _write_index(path: Path, rows: int, row_tokens: int, dtype: np.dtype[np.integer]) -> None:
    """Write Megatron's index of rows of one length."""
    with path.open("wb") as file:
        file.write(MAGIC + struct.pack("<QBQQ", 1, _CODES[dtype.str], rows, rows + 1))
        arrays = (
            ("<i4", 0, rows),
            ("<i8", row_tokens * dtype.itemsize, rows),
            ("<i8", 1, rows + 1),
        )
        for kind, scale, count in arrays:
            for start in range(0, count, _INDEX_ROWS):
                place = np.arange(start, min(start + _INDEX_ROWS, count), dtype=np.int64)
                values = place * scale if scale else np.full(len(place), row_tokens)
                file.write(values.astype(kind).tobytes())
