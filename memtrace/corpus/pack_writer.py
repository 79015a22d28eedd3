"""Write a prefix pack from a corpus, wherever that is: streaming, resumable, each file whole."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.prefix_pack import (
    PACK_DOCUMENTS,
    PACK_RECORD,
    PACK_TOKENS,
    ROWS_PER_FILE,
    PackRecord,
    read_record,
)
from memtrace.corpus.row_documents import documents_path
from memtrace.corpus.rows import Tokens
from memtrace.errors import CorpusError
from memtrace.storage.lock import locked_folder
from memtrace.storage.prefetch import READERS, chunks, prefetch
from memtrace.storage.store import replace_atomically


def plan_pack(
    corpus: Corpus,
    folder: Path,
    *,
    rows: tuple[int, int] | None = None,
    tokens: int | None = None,
    offset: int = 0,
    rows_per_file: int = ROWS_PER_FILE,
) -> dict[str, tuple[int, int]]:
    """Return the files that are still to be written for `rows`, by name, with their row ranges.

    Whole files only: a pack has the same files whatever was asked for first.

    Raises:
        CorpusError: The folder holds a pack of another corpus or of other tokens, or the rows or
            tokens are outside this corpus.
    """
    record = _begin(corpus, folder, tokens, offset, rows_per_file)
    return _files_left(corpus, folder, record, rows)


def write_pack(
    corpus: Corpus,
    folder: Path,
    *,
    rows: tuple[int, int] | None = None,
    tokens: int | None = None,
    offset: int = 0,
    rows_per_file: int = ROWS_PER_FILE,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the files of the pack that hold `rows`, all by default; finished ones are kept.

    Interrupted at any moment it loses at most the file that was being written, and repeating it
    gives the same bytes as if nothing had happened.

    Args:
        corpus: Where the rows come from, local or not.
        folder: The pack.
        rows: Only files that hold rows of [first, last).
        tokens: Tokens of each row to keep; by default `PACK_TOKENS`, or all of shorter rows.
        offset: Tokens of each row before them.
        rows_per_file: Rows in a file; the default unless for a test.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        CorpusError: The corpus cannot be read, its rows do not hold the tokens, the folder cannot
            be written, holds a pack of another corpus or of other tokens, or is being written by
            another process.
    """
    with locked_folder(folder, option="--output", raises=CorpusError):
        for stale in folder.glob(".*.tmp"):
            stale.unlink()
        record = _begin(corpus, folder, tokens, offset, rows_per_file)
        _copy_documents(corpus, folder)
        left = _files_left(corpus, folder, record, rows)
        upcoming = prefetch(
            lambda chunk: corpus.read(*chunk, record.row_tokens, offset),
            [chunk for file in left.values() for chunk in chunks(*file)],
            READERS,
        )
        for name, (start, stop) in left.items():
            digest = _write_file(folder / name, record, upcoming, (start, stop), on_progress)
            record = replace(record, files=dict(sorted({**record.files, name: digest}.items())))
            _save(folder, record)


def _begin(
    corpus: Corpus, folder: Path, tokens: int | None, offset: int, rows_per_file: int
) -> PackRecord:
    """Return the record of the pack as it is, or as it begins."""
    new = PackRecord(
        corpus=corpus.name,
        corpus_digest=corpus.digest,
        rows=len(corpus),
        row_tokens=_tokens_kept(corpus, tokens, offset),
        dtype=corpus.dtype.str,
        rows_per_file=rows_per_file,
        files={},
        offset=offset,
        sequences_per_step=corpus.sequences_per_step,
    )
    if not (folder / PACK_RECORD).exists():
        return new
    record = read_record(folder)
    theirs, ours = ({**asdict(r), "files": None, "corpus": None} for r in (record, new))
    for key in theirs:
        if theirs[key] != ours[key]:
            raise CorpusError(
                f"{folder} is a pack of {record.corpus} ({key}: {theirs[key]}), not of "
                f"{corpus.name} ({ours[key]}); choose another --output"
            )
    return record


def _copy_documents(corpus: Corpus, folder: Path) -> None:
    """Copy the table of documents, where the corpus has one: the pack's rows lead back to them."""
    source, target = documents_path(corpus), folder / PACK_DOCUMENTS
    if source is None or source.absolute() == target.absolute() or not source.is_file():
        return
    replace_atomically(
        target, lambda path: shutil.copyfile(source, path), option="--output", raises=CorpusError
    )


def _tokens_kept(corpus: Corpus, tokens: int | None, offset: int) -> int:
    """Return how many tokens of a row are kept: the usual number, or all of shorter rows."""
    if tokens is None:
        tokens = min(PACK_TOKENS, max(corpus.first_token + corpus.row_tokens - offset, 1))
    corpus.check_tokens(tokens, offset)
    return tokens


def _files_left(
    corpus: Corpus, folder: Path, record: PackRecord, rows: tuple[int, int] | None
) -> dict[str, tuple[int, int]]:
    """Return the files that hold `rows` and are not done, by name, with their row ranges."""
    first, last = rows or (0, len(corpus))
    if not 0 <= first < last <= len(corpus):
        raise CorpusError(f"rows {first}:{last} are not a range within the corpus, 0:{len(corpus)}")
    return {
        name: (start, stop)
        for name, (start, stop) in record.ranges().items()
        if start < last and first < stop and not record.is_done(folder, name)
    }


def _write_file(
    path: Path,
    record: PackRecord,
    upcoming: Iterator[Tokens],
    rows: tuple[int, int],
    on_progress: Callable[[int], None],
) -> str:
    """Write one file of the pack, whole or not at all, and return its sha256."""
    header = record.header(rows[1] - rows[0])
    digest = hashlib.sha256(header)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(header)
            for _ in chunks(*rows):
                tokens = next(upcoming)
                raw = tokens.astype(record.dtype, copy=False).data
                digest.update(raw)
                file.write(raw)
                on_progress(len(tokens))

    replace_atomically(path, write, option="--output", raises=CorpusError)
    return digest.hexdigest()


def _save(folder: Path, record: PackRecord) -> None:
    fields = asdict(record)
    if not record.offset:  # so that usual packs are as they always were
        del fields["offset"]
    text = json.dumps(fields, indent=2) + "\n"

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    replace_atomically(folder / PACK_RECORD, write, option="--output", raises=CorpusError)


@dataclass(frozen=True)
class Estimate:
    """What writing a pack will take."""

    files: int
    """Files still to be written."""
    rows: int
    read_bytes: int
    write_bytes: int
    free_bytes: int
    """Space that is left where the pack goes."""
    seconds: float | None
    """How long reading takes at the speed just measured; None where nothing is left."""


def estimate_pack(
    corpus: Corpus,
    folder: Path,
    *,
    rows: tuple[int, int] | None = None,
    tokens: int | None = None,
    offset: int = 0,
    rows_per_file: int = ROWS_PER_FILE,
) -> Estimate:
    """Say what `write_pack` with the same arguments will read and write, and time its first chunks.

    Raises:
        CorpusError: As `plan_pack`; and if the space does not suffice.
    """
    record = _begin(corpus, folder, tokens, offset, rows_per_file)
    left = _files_left(corpus, folder, record, rows)
    count = sum(stop - start for start, stop in left.values())
    read_bytes = count * corpus.row_bytes
    estimate = Estimate(
        files=len(left),
        rows=count,
        read_bytes=read_bytes,
        write_bytes=sum(map(record.file_bytes, left)),
        free_bytes=free_bytes(folder),
        seconds=count / _rows_per_second(corpus, record, next(iter(left.values())))
        if left
        else None,
    )
    if estimate.write_bytes > estimate.free_bytes:
        raise CorpusError(
            f"{folder} needs {estimate.write_bytes / 1e9:.1f} GB, {estimate.free_bytes / 1e9:.1f} "
            "GB are free: make room, choose another --output, or fewer rows (--sequences)"
        )
    return estimate


def free_bytes(folder: Path) -> int:
    """Return the free space where a folder is or will be."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    return shutil.disk_usage(there).free


def _rows_per_second(corpus: Corpus, record: PackRecord, rows: tuple[int, int]) -> float:
    """Read a few chunks as they will be read, and return how fast that went."""

    def read_one(chunk: tuple[int, int]) -> Tokens:
        return corpus.read(*chunk, 1, record.offset)

    sample, began = chunks(*rows)[:READERS], time.monotonic()
    read = sum(map(len, prefetch(read_one, sample, READERS)))
    return read / max(time.monotonic() - began, 1e-6)
