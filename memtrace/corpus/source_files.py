"""Files of text, document by document: .txt, .jsonl, Parquet, and data sets of Hugging Face.

A document has the number of its line or row in the file, counted from 1. A .txt file is one
document.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from memtrace.errors import CorpusError, first_line
from memtrace.storage.problems import read_problem

_ROWS = 4096
"""Rows of a table that are read at a time."""


@dataclass(frozen=True)
class SourceText:
    """A document."""

    line: int
    """Line or row of its file, from 1."""
    text: str
    size: float
    """Its share of the bytes of the file."""


def source_files(paths: Sequence[str | Path]) -> list[Path]:
    """Return the files of text that paths name, those of folders by name.

    Raises:
        CorpusError: There is none, or one is of a kind that is not read.
    """
    found = [file for path in paths for file in _files(Path(path))]
    for path in found:
        if path.suffix not in _READERS:
            raise CorpusError(
                f"{path} is no text that is read: expected {', '.join(_READERS)}, or the folder of "
                "a data set of Hugging Face"
            )
    return found


def read_texts(path: str | Path, field: str, done: int = 0) -> Iterator[SourceText]:
    """Yield the documents of a file, after the first `done` of them.

    Args:
        path: One of `source_files`.
        field: Key or column of the text; of .txt files unused.
        done: Documents to pass over.

    Raises:
        CorpusError: The file cannot be read, or a document in it is no text.
    """
    path = Path(path)
    try:
        yield from _READERS[path.suffix](path, field, done)
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error
    except pl.exceptions.PolarsError as error:
        raise CorpusError(f"cannot read {path}: {first_line(error)}") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is no text in UTF-8: {error.reason}") from error


def _files(path: Path) -> list[Path]:
    try:
        if not path.exists():
            raise CorpusError(f"no file {path}: check the path")
        if not path.is_dir():
            return [path]
        names = {each.name for each in path.iterdir()}
        if "dataset_dict.json" in names:
            splits = json.loads((path / "dataset_dict.json").read_text())["splits"]
            raise CorpusError(f"{path} has the splits {', '.join(splits)}: pass {path}/SPLIT")
        if "state.json" in names:
            state = json.loads((path / "state.json").read_text(encoding="utf-8"))
            return [path / each["filename"] for each in state["_data_files"]]
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error
    except (ValueError, LookupError, TypeError) as error:
        raise CorpusError(f"{path} is no data set of Hugging Face: {first_line(error)}") from error
    if found := [path / name for name in sorted(names) if Path(name).suffix in _READERS]:
        return found
    raise CorpusError(f"{path} has no file of text: expected {', '.join(_READERS)}")


def _read_txt(path: Path, field: str, done: int) -> Iterator[SourceText]:  # noqa: ARG001
    if not done:
        yield SourceText(1, path.read_bytes().decode(), path.stat().st_size)


def _read_jsonl(path: Path, field: str, done: int) -> Iterator[SourceText]:
    """Yield a document of each line that is not blank; `done` counts lines."""
    with path.open("rb") as file:
        for number, line in islice(enumerate(file, start=1), done, None):
            if line.strip():
                yield SourceText(number, _text_of(path, number, line, field), len(line))


def _text_of(path: Path, number: int, line: bytes, field: str) -> str:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{path} line {number} is no JSON: {first_line(error)}") from error
    text = document.get(field) if isinstance(document, dict) else None
    if not isinstance(text, str):
        keys = ", ".join(list(document)[:8]) if isinstance(document, dict) else "no key at all"
        raise CorpusError(
            f"{path} line {number} has no text under {field!r}: it has {keys}; choose --field"
        )
    # JSON can escape half of a pair of surrogates, which is no character.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _read_parquet(path: Path, field: str, done: int) -> Iterator[SourceText]:
    table = pl.scan_parquet(path, glob=False)
    _check_column(path, table.collect_schema(), field)
    rows = int(table.select(pl.len()).collect().item())
    for start in range(done, rows, _ROWS):
        block = table.select(field).slice(start, _ROWS).collect().to_series()
        yield from _of_column(path, block, start, path.stat().st_size / rows)


def _read_arrow(path: Path, field: str, done: int) -> Iterator[SourceText]:
    """Read an Arrow stream, as data sets are stored; it is read whole (shards have 500 MB)."""
    with path.open("rb") as file:
        is_stream = file.read(4) == b"\xff\xff\xff\xff"
    table = pl.read_ipc_stream(path) if is_stream else pl.scan_ipc(path).collect()
    _check_column(path, table.schema, field)
    size = path.stat().st_size / max(len(table), 1)
    yield from _of_column(path, table[field][done:], done, size)


def _check_column(path: Path, schema: pl.Schema, field: str) -> None:
    if schema.get(field) != pl.String:
        texts = [name for name, kind in schema.items() if kind == pl.String]
        raise CorpusError(
            f"{path} has no column {field!r} of text; its columns of text: "
            f"{', '.join(texts) or 'none'}; choose --field"
        )


def _of_column(path: Path, column: pl.Series, start: int, size: float) -> Iterator[SourceText]:
    for number, text in enumerate(column, start=start + 1):
        if text is None:
            raise CorpusError(f"{path} row {number} has null in place of a text: leave it out")
        yield SourceText(number, text, size)


_READERS: dict[str, Callable[[Path, str, int], Iterator[SourceText]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
}
TEXT_ENDINGS = tuple(_READERS)
