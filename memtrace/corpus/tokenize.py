"""Text into token rows, with the documents that they come from.

Documents are read as a stream and encoded a block at a time, on all cores.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from memtrace.corpus.source_files import read_texts, source_files
from memtrace.corpus.tokenized_files import RECORD, OutputFiles, Progress, Records
from memtrace.corpus.tokenizer import TextTokenizer
from memtrace.errors import CorpusError
from memtrace.storage.prefetch import prefetch
from memtrace.storage.problems import write_problem

RowKind = Literal["packed", "sliding"]
_BLOCK = 1 << 23  # characters that are encoded at a time
_BLOCK_DOCUMENTS = 1 << 14


@dataclass(frozen=True)
class RowPlan:
    """How documents become rows."""

    kind: RowKind
    """packed: joined, each with the end token behind it, and cut. sliding: each by itself."""
    row_tokens: int
    stride: int | None = None
    """Of sliding rows: tokens from the beginning of one to that of the next."""

    def __post_init__(self) -> None:
        """Refuse what makes no rows.

        Raises:
            CorpusError: It makes none.
        """
        if self.row_tokens < 2 or (self.kind == "sliding") != (self.stride is not None):
            raise CorpusError(
                f"{self.kind} rows of {self.row_tokens} tokens, stride {self.stride}: rows have 2 "
                "tokens or more, and sliding rows, and no others, have a stride"
            )
        if self.stride is not None and self.stride < 1:
            raise CorpusError(f"a stride of {self.stride} leads nowhere: give 1 or more")


@dataclass(frozen=True)
class Tokenized:
    """What was written."""

    rows: int
    documents: int
    tokens: int
    """Tokens of all documents, without those that end them."""
    short_documents: int | None
    """Of sliding rows: documents with fewer tokens than a row, which are in none."""
    left_out_tokens: int | None
    """Of packed rows: tokens at the end that fill no row."""


@dataclass(frozen=True)
class _Block:
    """Documents that are encoded at once."""

    texts: list[str]
    places: list[tuple[int, int]]
    """File and line of each."""
    size: float
    """Bytes of the files."""


def tokenize_files(
    paths: Sequence[str | Path],
    tokenizer: TextTokenizer,
    prefix: str | Path,
    plan: RowPlan,
    *,
    field: str = "text",
    end_token: str | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Tokenized:
    """Write `PREFIX.bin`, `PREFIX.idx` and the table of documents.

    Killed at any moment, it goes on when it is repeated, and the files end up with the same bytes.

    Args:
        paths: Files and folders of text, see `source_files`.
        tokenizer: What encodes them; nothing is added at the beginning of a document.
        prefix: Path of the output without `.bin`.
        plan: How documents become rows.
        field: Key or column of the text.
        end_token: Text or id of the token that ends a document, for packed rows.
        on_progress: Called with the number of bytes of the files done since the last call.

    Raises:
        CorpusError: A file cannot be read, there is no whole row, the output holds, or has
            begun, something else, or another process writes it.
    """
    files, output = source_files(paths), OutputFiles(Path(prefix))
    eod = tokenizer.end_of_document(end_token) if plan.kind == "packed" else None
    identity = _identity(files, tokenizer, plan, field, eod)
    encode = _Encoder(tokenizer, plan, eod)
    try:
        if output.is_finished(identity):
            on_progress(sum(path.stat().st_size for path in files))
            return _summary(output.finished_records(), plan, eod is not None)
        with output.locked():
            return _write(files, output, identity, encode, field, on_progress)
    except OSError as error:
        raise CorpusError(write_problem(output.prefix, error, "--output")) from error


def _write(
    files: Sequence[Path],
    output: OutputFiles,
    identity: Mapping[str, Any],
    encode: "_Encoder",
    field: str,
    on_progress: Callable[[int], None],
) -> Tokenized:
    """Write what is left; another process may have finished it before the lock was had."""
    plan, dtype, is_packed = encode.plan, encode.tokenizer.dtype, encode.eod is not None
    if output.is_finished(identity):
        return _summary(output.finished_records(), plan, is_packed)
    progress = output.begun(identity)
    on_progress(sum(path.stat().st_size for path in files[: progress.file]))
    with output.open(progress, dtype.itemsize, plan.row_tokens) as (tokens, documents):
        for block, encoded, records in prefetch(encode, _blocks(files, field, progress)):
            unit = 1 if plan.kind == "packed" else plan.row_tokens
            records["start"] += progress.tokens // unit
            tokens.write(encoded.data)
            documents.write(records.tobytes())
            progress = _after(progress, block, len(encoded))
            output.save(identity, progress, (tokens, documents))
            on_progress(round(block.size))
        records = output.records()
    found = _summary(records, plan, is_packed)
    if not found.rows:
        output.discard()
        if not found.tokens:
            raise CorpusError(f"there is no text in {files[0]}{' and the rest' * (len(files) > 1)}")
        raise CorpusError(
            f"the {found.tokens:,} tokens of the text make no row of {plan.row_tokens:,}: choose "
            "fewer --row-tokens"
        )
    output.finish(identity, found.rows, plan.row_tokens, dtype, files)
    return found


def _identity(
    files: Sequence[Path], tokenizer: TextTokenizer, plan: RowPlan, field: str, eod: int | None
) -> dict[str, Any]:
    """Return what determines the output."""
    stats = [path.stat() for path in files]
    return {
        "files": [str(path) for path in files],
        "sizes_of_files": [[each.st_size, each.st_mtime_ns] for each in stats],
        "tokenizer": tokenizer.digest,
        "field": field,
        "rows": asdict(plan),
        "end_token": eod,
    }


def _blocks(files: Sequence[Path], field: str, progress: Progress) -> Iterator[_Block]:
    """Yield what is left of the files, in blocks."""
    texts: list[str] = []
    places: list[tuple[int, int]] = []
    characters, size = 0, 0.0
    for number in range(progress.file, len(files)):
        done = progress.line if number == progress.file else 0
        for found in read_texts(files[number], field, done):
            texts.append(found.text)
            places.append((number, found.line))
            characters += len(found.text)
            size += found.size
            if characters >= _BLOCK or len(texts) >= _BLOCK_DOCUMENTS:
                yield _Block(texts, places, size)
                texts, places, characters, size = [], [], 0, 0.0
    if texts:
        yield _Block(texts, places, size)


def _after(progress: Progress, block: _Block, tokens: int) -> Progress:
    file, line = block.places[-1]
    return replace(
        progress,
        file=file,
        line=line,
        documents=progress.documents + len(block.texts),
        tokens=progress.tokens + tokens,
    )


@dataclass(frozen=True)
class _Encoder:
    """Encodes blocks, on all cores."""

    tokenizer: TextTokenizer
    plan: RowPlan
    eod: int | None

    def __call__(self, block: _Block) -> tuple[_Block, npt.NDArray[np.integer], Records]:
        """Return the block, its tokens one after another, and its documents."""
        encode = self.tokenizer.tokenizer.encode_batch_fast
        encoded = [each.ids for each in encode(block.texts, add_special_tokens=False)]
        records = np.zeros(len(encoded), RECORD)
        records["file"], records["line"] = np.array(block.places, np.int64).T
        records["tokens"] = [len(ids) for ids in encoded]
        join = self._packed if self.plan.kind == "packed" else self._sliding
        pieces, counts = join(encoded, self.tokenizer.dtype)
        records["start"] = np.cumsum(counts) - counts
        return block, np.concatenate([*pieces, np.empty(0, self.tokenizer.dtype)]), records

    def _packed(
        self, encoded: list[list[int]], dtype: np.dtype[np.integer]
    ) -> tuple[list[npt.NDArray[np.integer]], npt.NDArray[np.uint64]]:
        """Return each document with the end token, and how many tokens that are."""
        pieces = [np.array([*ids, self.eod], dtype) for ids in encoded]
        return pieces, np.array([len(piece) for piece in pieces], np.uint64)

    def _sliding(
        self, encoded: list[list[int]], dtype: np.dtype[np.integer]
    ) -> tuple[list[npt.NDArray[np.integer]], npt.NDArray[np.uint64]]:
        """Return the rows of each document, one after another, and how many rows those are."""
        length, stride = self.plan.row_tokens, self.plan.stride
        whole = [np.array(ids, dtype) for ids in encoded]
        pieces = [
            np.lib.stride_tricks.sliding_window_view(ids, length)[::stride].ravel()
            if len(ids) >= length
            else ids[:0]
            for ids in whole
        ]
        return pieces, np.array([len(piece) // length for piece in pieces], np.uint64)


def rows_of(tokens: npt.NDArray[np.integer], plan: RowPlan) -> npt.NDArray[np.int64]:
    """Return how many sliding rows documents of so many tokens have."""
    return np.maximum((tokens.astype(np.int64) - plan.row_tokens) // (plan.stride or 1) + 1, 0)


def _summary(records: Records, plan: RowPlan, is_packed: bool) -> Tokenized:
    tokens, documents = int(records["tokens"].sum()), len(records)
    if is_packed:
        rows, left = divmod(tokens + documents, plan.row_tokens)
        return Tokenized(rows, documents, tokens, None, left)
    short = int((records["tokens"] < plan.row_tokens).sum())
    return Tokenized(int(rows_of(records["tokens"], plan).sum()), documents, tokens, short, None)
