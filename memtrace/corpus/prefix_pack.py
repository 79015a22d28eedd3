"""The prefix pack: some tokens of every row (the first 64), 18.7 GB in place of the Pile's 600 GB.

`pack_writer` writes it.

    PACK/pack.json                      the corpus, its rows and digest, sha256 of each file
    PACK/documents.parquet              of a corpus made of text: the table of its documents
    PACK/prefixes-00017-of-00143.npy    (rows, 64): 1,024,000 rows, which are 1000 steps of Pythia
                                        (k + l tokens from `offset` on, where others are packed)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from pydantic import TypeAdapter

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.parts import Bytes, FilePart, Part, file_part
from memtrace.corpus.stream import RowStream
from memtrace.errors import CorpusError
from memtrace.manifests.schedule import SequencesPerStep
from memtrace.storage.digests import file_sha256
from memtrace.storage.documents import read_document
from memtrace.storage.problems import read_problem

PACK_RECORD = "pack.json"
PACK_DOCUMENTS = "documents.parquet"
PACK_TOKENS = 64
"""Tokens of a row that a pack keeps, unless told: prompt and continuation."""
ROWS_PER_FILE = 1_024_000
"""Rows in a file of a pack: 131 MB, and 1000 steps of Pythia."""
_DTYPES = tuple(f"{order}{kind}{size}" for order in "<>|" for kind in "ui" for size in (1, 2, 4, 8))
_MOST_FILES = 10_000


@dataclass(frozen=True)
class PackRecord:
    """What `pack.json` says."""

    corpus: str
    """Name of the corpus that the rows were copied from."""
    corpus_digest: str
    """Its digest, which runs on the pack record too."""
    rows: int
    """Rows of the corpus, in the pack or not."""
    row_tokens: int
    dtype: str
    rows_per_file: int
    files: Mapping[str, str]
    """sha256 of each finished file, by name."""
    offset: int = 0
    """Tokens of a row before those that are kept; written only where there are some."""
    sequences_per_step: SequencesPerStep | None = None
    """Rows that a step of training consumes, where the corpus tells."""
    schema_version: int = 1

    def __post_init__(self) -> None:
        """Check that the numbers describe files."""
        sizes = self.rows, self.row_tokens, self.rows_per_file
        sane = all(0 < size < 2**48 for size in sizes) and 0 <= self.offset < 2**48
        if not sane or self.dtype not in _DTYPES:
            raise ValueError(
                f"rows {self.rows}, row_tokens {self.row_tokens}, offset {self.offset}, "
                f"rows_per_file {self.rows_per_file}, dtype {self.dtype!r} describe no pack"
            )
        if self.rows > _MOST_FILES * self.rows_per_file:
            raise ValueError(f"{self.rows} rows in files of {self.rows_per_file}: too many files")

    def ranges(self) -> dict[str, tuple[int, int]]:
        """Return the rows [start, stop) of every file of the whole pack, by name."""
        return self._ranges

    @cached_property
    def _ranges(self) -> dict[str, tuple[int, int]]:
        cuts = range(0, self.rows, self.rows_per_file)
        return {
            f"prefixes-{i:05d}-of-{len(cuts):05d}.npy": (
                start,
                min(start + self.rows_per_file, self.rows),
            )
            for i, start in enumerate(cuts)
        }

    def file_bytes(self, name: str) -> int:
        """Return how long a file is, header included."""
        start, stop = self.ranges()[name]
        return len(self.header(stop - start)) + (stop - start) * self.row_bytes

    def header(self, rows: int) -> bytes:
        """Return what a file of so many rows begins with."""
        out = BytesIO()
        shape = (rows, self.row_tokens)
        npy.write_array_header_1_0(
            out, {"descr": self.dtype, "fortran_order": False, "shape": shape}
        )
        return out.getvalue()

    def is_done(self, folder: Path, name: str) -> bool:
        """Return whether a file is recorded as finished and there with its full length."""
        path = folder / name
        return (
            name in self.files and path.is_file() and path.stat().st_size == self.file_bytes(name)
        )

    @property
    def row_bytes(self) -> int:
        """Return the bytes of a row in the pack."""
        return self.row_tokens * np.dtype(self.dtype).itemsize


def is_pack(folder: Path) -> bool:
    """Return whether a folder has the record of a pack; False for a name that none can have."""
    try:
        return (folder / PACK_RECORD).is_file()
    except OSError:
        return False


def read_record(folder: Path) -> PackRecord:
    """Read `pack.json`.

    Raises:
        CorpusError: It is missing or not the record of a pack.
    """
    path = folder / PACK_RECORD
    try:
        return TypeAdapter(PackRecord).validate_json(read_document(path), strict=True)
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error
    except ValueError as error:
        problem = " ".join(str(error).split())
        raise CorpusError(f"cannot read the record of the pack {path}: {problem}") from error


def open_pack(folder: Path) -> Corpus:
    """Open a pack as a corpus of all its rows; those that were not fetched cannot be read.

    Each file is compared with its recorded digest when a process first reads from it.

    Raises:
        CorpusError: The record or a file does not fit.
    """
    record = read_record(folder)
    parts = tuple(_open_part(folder, record, name) for name in record.ranges())
    rows = RowStream(parts, record.row_tokens, np.dtype(record.dtype))
    return Corpus(
        str(folder),
        rows,
        record.corpus_digest,
        record.sequences_per_step,
        first_token=record.offset,
    )


@dataclass(frozen=True)
class Checked:
    """A file of a pack, compared with its digest before anything is read from it."""

    file: FilePart
    sha256: str

    @property
    def name(self) -> str:
        """Return the path."""
        return self.file.name

    @property
    def size(self) -> int:
        """Return the bytes of its rows."""
        return self.file.size

    @property
    def remote(self) -> bool:
        """Return False."""
        return False

    def view(self, start: int, stop: int) -> Bytes:
        """Return the bytes [start, stop) of its rows.

        Raises:
            CorpusError: A byte of the file has changed since it was written.
        """
        if self._digest != self.sha256:
            raise CorpusError(
                f"{self.name} has sha256 {self._digest[:12]}…, {PACK_RECORD} says "
                f"{self.sha256[:12]}…: the file is damaged; delete it and pack or fetch it again"
            )
        return self.file.view(start, stop)

    def check_unchanged(self) -> None:
        """Compare size, time and inode of the file with those it had."""
        self.file.check_unchanged()

    @cached_property
    def _digest(self) -> str:
        return file_digest(self.file.path)


@dataclass(frozen=True)
class Absent:
    """A file of a pack that was not fetched."""

    name: str
    folder: Path
    size: int
    remote = False

    def view(self, start: int, stop: int) -> Bytes:  # noqa: ARG002
        """Refuse.

        Raises:
            CorpusError: Always.
        """
        raise CorpusError(
            f"{self.name} is not in the pack {self.folder}: fetch its steps "
            "(memtrace corpus fetch or pack), or choose other --sequences"
        )

    def check_unchanged(self) -> None:
        """Do nothing: what is not there is not read."""


def file_digest(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        CorpusError: It cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error


def _open_part(folder: Path, record: PackRecord, name: str) -> Part:
    start, stop = record.ranges()[name]
    size = (stop - start) * record.row_bytes
    if name not in record.files:
        return Absent(name, folder, size)
    if not record.is_done(folder, name):
        raise CorpusError(
            f"{folder / name} is missing or has not the {record.file_bytes(name)} bytes that "
            f"{PACK_RECORD} tells: pack or fetch it again"
        )
    return Checked(
        file_part(folder / name, len(record.header(stop - start)), size), record.files[name]
    )
