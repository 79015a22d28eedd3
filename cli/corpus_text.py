"""`memtrace corpus tokenize` and `documents`: text into token rows, and rows back to their text."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_result, resumable, show_progress
from .parameters import Whole, file_type, json_option, manifest_option

if TYPE_CHECKING:
    from memtrace.corpus.tokenize import RowPlan


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--tokenizer",
    required=True,
    metavar="MODEL|FILE",
    help="A tokenizer.json, a model's folder, or a repository on the Hub.",
)
@click.option(
    "--output", type=file_type, required=True, metavar="PREFIX", help="Path without .bin."
)
@click.option("--field", default="text", help="Key or column of the text.")
@click.option(
    "--rows",
    type=click.Choice(["packed", "sliding"]),
    default="packed",
    help="packed: documents joined, each with the end token behind it, and cut. sliding: each "
    "document by itself.",
)
@click.option(
    "--row-tokens",
    type=Whole(min=2),
    help="Tokens of a row.  [default: 2049, of sliding rows 64]",
)
@click.option("--stride", type=Whole(min=1), help="Of sliding rows: a row begins every so many.")
@click.option(
    "--eod", help="Token that ends a document, or its id.  [default: what the tokenizer says]"
)
@json_option
def tokenize(
    files: tuple[Path, ...],
    tokenizer: str,
    output: Path,
    field: str,
    rows: str,
    row_tokens: int | None,
    stride: int | None,
    eod: str | None,
    json: bool,
) -> None:
    """Turn text into token rows that scan reads.

    FILES are .txt (a document each), .jsonl, Parquet, or folders of data sets of Hugging Face.
    PREFIX.bin and .idx hold the rows, PREFIX.documents.parquet the documents that they come from.
    Packed rows are for training data, in the order of the files; sliding rows are for audits.
    Repeating the command after an interruption goes on where it was.

    \b
    memtrace corpus tokenize train.jsonl --tokenizer ./model --output train
    memtrace corpus tokenize a.jsonl --tokenizer ./model --output a --rows sliding --stride 16
    memtrace scan --model ./model --corpus a
    memtrace corpus documents a 0 17
    """
    from memtrace.corpus.source_files import source_files
    from memtrace.corpus.tokenize import tokenize_files
    from memtrace.corpus.tokenizer import load_tokenizer

    plan = _plan(rows, row_tokens, stride)
    if eod is not None and rows == "sliding":
        raise click.UsageError("--eod ends the documents of packed rows: leave it out")
    found, loaded = source_files(files), load_tokenizer(tokenizer)
    size = sum(path.stat().st_size for path in found)
    kept = "what is tokenized is kept"
    with resumable(kept), show_progress("Tokenizing", size, "bytes") as advance:
        done = tokenize_files(
            found, loaded, output, plan, field=field, end_token=eod, on_progress=advance
        )
    document = {"corpus": str(output), "dtype": loaded.dtype.name, **asdict(plan), **asdict(done)}
    print_result(document, json, lambda: _text(document))


def _plan(rows: Any, row_tokens: int | None, stride: int | None) -> "RowPlan":
    from memtrace.corpus.tokenize import RowPlan

    if rows == "packed" and stride is not None:
        raise click.UsageError("--stride is of sliding rows: add --rows sliding")
    if rows == "sliding" and stride is None:
        raise click.UsageError("--rows sliding needs a --stride, such as 16")
    return RowPlan(rows, row_tokens or (2049 if rows == "packed" else 64), stride)


def _text(document: dict[str, Any]) -> str:
    from memtrace.report.numbers import count

    rows, documents, tokens = (
        count(document[f"{each}s"], each) for each in ("row", "document", "token")
    )
    lines = [f"{rows} of {document['row_tokens']} {document['dtype']} tokens, from {documents}"]
    lines[0] += f" of {tokens}"
    if short := document["short_documents"]:
        lines.append(f"{count(short, 'document')} shorter than a row")
    if left := document["left_out_tokens"]:
        lines.append(f"{count(left, 'token')} left at the end, too few for a row")
    return "\n".join([*lines, f"Corpus: {document['corpus']}"])


@click.command()
@click.argument("source")
@click.argument("rows", nargs=-1, required=True, type=Whole(min=0))
@click.option("--tokens", type=Whole(min=1), help="Only of so many tokens at a row's beginning.")
@manifest_option
@json_option
def documents(
    source: str, rows: tuple[int, ...], tokens: int | None, manifest: Path | None, json: bool
) -> None:
    """Show the documents that rows come from.

    SOURCE is a corpus that `corpus tokenize` wrote. Lines and rows of files count from 1.

    \b
    memtrace corpus documents a 0 17
    """
    from memtrace.corpus import open_corpus
    from memtrace.corpus.row_documents import row_documents

    table = row_documents(open_corpus(source, manifest=manifest), rows, tokens)
    print_result(table.to_dicts(), json, lambda: _documents_text(table.rows()))


def _documents_text(rows: list[tuple[Any, ...]]) -> str:
    from memtrace.report.text import columns, rendered, terminal_width

    names = ["sequence", "document", "file", "line", "from its token", "at token of the row"]
    cells = [[str(cell) for cell in row] for row in rows]
    return rendered(columns(names, cells, left=0), width=terminal_width())
