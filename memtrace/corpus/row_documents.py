"""From rows of a corpus that was made of text back to the documents that they come from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.prefix_pack import PACK_DOCUMENTS
from memtrace.corpus.tokenized_files import DOCUMENTS, made_of
from memtrace.errors import CorpusError

SCHEMA = pl.Schema(
    {
        "sequence_index": pl.UInt64(),
        "document": pl.UInt64(),
        "file": pl.String(),
        "line": pl.UInt64(),
        "document_token": pl.UInt64(),
        "row_token": pl.UInt64(),
    }
)
"""Columns of `row_documents`."""


def has_documents(corpus: Corpus) -> bool:
    """Return whether the documents of a corpus are known: `corpus tokenize` wrote it."""
    table = documents_path(corpus)
    return table is not None and table.is_file()


def row_documents(
    corpus: Corpus, rows: Sequence[int] | npt.NDArray[np.integer], tokens: int | None = None
) -> pl.DataFrame:
    """Return the documents of which rows, or their first tokens, are made.

    Args:
        corpus: A corpus that `memtrace corpus tokenize` wrote, or a pack of one.
        rows: Row numbers.
        tokens: Only documents that lie in so many tokens at the beginning of a row; all by
            default, or up to the last one that a pack keeps.

    Returns:
        `SCHEMA`, one row for each row and document: the number of the document, its file and its
        line there (from 1), which token of it is the first in the row, and where in the row that
        is. In the order of `rows`, and of the documents in each.

    Raises:
        CorpusError: No table of documents belongs to the corpus, or it has no such row.
    """
    path = documents_path(corpus)
    if path is None or not path.is_file():
        raise CorpusError(
            f"the documents of corpus {corpus.name} are not known: only corpora that "
            "`memtrace corpus tokenize` wrote, and packs of them, have a table of them"
        )
    wanted = np.asarray(rows, np.int64)
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(corpus):
        raise CorpusError(f"row {wanted.max()} is outside corpus {corpus.name} (0..{len(corpus)})")
    table, plan = pl.read_parquet(path), made_of(path)["rows"]
    starts = table["start"].to_numpy().astype(np.int64)
    if plan["kind"] == "sliding":
        return _sliding(table, starts, wanted, plan["stride"])
    held = corpus.first_token + corpus.row_tokens
    return _packed(table, starts, wanted, plan["row_tokens"], tokens or held)


def documents_path(corpus: Corpus) -> Path | None:
    """Return where the table of documents would lie: beside the token file, or in the pack."""
    first = Path(corpus.parts[0].name)
    if corpus.source_digest:
        return first.with_name(PACK_DOCUMENTS)
    return first.with_name(first.stem + DOCUMENTS) if first.suffix == ".bin" else None


def _sliding(
    table: pl.DataFrame,
    starts: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    stride: int,
) -> pl.DataFrame:
    # Of documents with equal starts only the last has rows: the others are too short.
    which = np.searchsorted(starts, rows, side="right") - 1
    return _join(table, rows, which, (rows - starts[which]) * stride, np.zeros_like(rows))


def _packed(
    table: pl.DataFrame,
    starts: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    row_tokens: int,
    tokens: int,
) -> pl.DataFrame:
    begin = rows * row_tokens
    first = np.searchsorted(starts, begin, side="right") - 1
    after = np.searchsorted(starts, begin + tokens, side="left")
    counts = after - first
    owner = np.repeat(np.arange(len(rows)), counts)
    which = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[owner]
    offset = begin[owner] - starts[which]
    return _join(table, rows[owner], which, np.maximum(offset, 0), np.maximum(-offset, 0))


def _join(
    table: pl.DataFrame,
    rows: npt.NDArray[np.int64],
    which: npt.NDArray[np.int64],
    document_token: npt.NDArray[np.int64],
    row_token: npt.NDArray[np.int64],
) -> pl.DataFrame:
    chosen = table.select("document", "file", "line")[which]
    return chosen.with_columns(
        sequence_index=pl.Series(rows),
        document_token=pl.Series(document_token),
        row_token=pl.Series(row_token),
    ).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
