"""`memtrace corpus`: look into a corpus, check it, pack or fetch its prefixes, count in it."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_result, resumable, show_progress
from .corpus_tables import count, duplicates
from .corpus_text import documents, tokenize
from .parameters import (
    SequenceRange,
    Whole,
    folder_type,
    json_option,
    manifest_option,
    offset_option,
    output_option,
    seed_option,
    tokens_option,
)

if TYPE_CHECKING:
    from memtrace.corpus import Corpus
    from memtrace.corpus.pack_writer import Estimate
    from memtrace.corpus.verify import FileCheck
    from memtrace.manifests import CorpusManifest, Suite

logger = logging.getLogger("memtrace")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what it takes in time and space, and do nothing."
)


@click.group()
def corpus() -> None:
    """Make, check and pack a corpus, and count in it.

    A corpus is a name from the manifests, a Megatron prefix (with or without .bin), a prefix pack,
    a .npy file, Parquet with a column of token ids, a corpus file (YAML), or an address such as
    hf://datasets/OWNER/NAME/document.
    """


@corpus.command("list")
@manifest_option
@json_option
def list_corpora(manifest: Path | None, json: bool) -> None:
    """List every corpus that has a name here.

    \b
    memtrace corpus list
    """
    from memtrace.manifests import load_suites

    suites = load_suites(manifest)
    rows = [_row(suite, named) for suite in suites for named in suite.corpora.values()]
    print_result(rows, json, lambda: _list_text(rows))


@corpus.command()
@click.argument("source")
@click.option("--sample", type=Whole(min=1), default=10_000, help="Rows to read, drawn at random.")
@seed_option("the sample")
@click.option("--all", is_flag=True, help="Read every row.")
@click.option("--sequences", type=SequenceRange(), help="Only rows A to B, B not included.")
@manifest_option
@json_option
def info(
    source: str,
    sample: int,
    seed: int,
    all: bool,
    sequences: tuple[int, int] | None,
    manifest: Path | None,
    json: bool,
) -> None:
    """Show what a corpus is and what its rows hold.

    \b
    memtrace corpus info demo --all
    memtrace corpus info pile-standard --sample 1000
    """
    import numpy as np

    from memtrace.corpus import open_corpus
    from memtrace.corpus.info import read_contents
    from memtrace.runs.sampling import draw

    opened = open_corpus(source, manifest=manifest)
    start, stop = sequences or (0, len(opened))
    rows = np.arange(start, stop) if all else draw(start, stop, min(sample, stop - start), seed)
    whole = all and sequences is None
    with show_progress(f"Reading {opened.name}", len(rows), "rows") as advance:
        contents = read_contents(opened, None if whole else rows, advance)
    document = {
        "corpus": opened.name,
        "rows": len(opened),
        "row_tokens": opened.row_tokens,
        "first_token": opened.first_token,
        "tokens": len(opened) * opened.row_tokens,
        "dtype": opened.dtype.name,
        "bytes": opened.size,
        "parts": len(opened.parts),
        "remote": opened.remote,
        "digest": opened.digest,
        "contents": asdict(contents) | {"eod_occurs": contents.eod_tokens > 0},
    }
    print_result(document, json, lambda: _info_text(document))


@corpus.command()
@click.argument("source")
@click.option(
    "--published-as", metavar="NAME", help="Compare with the Hub's digests of this corpus."
)
@manifest_option
@json_option
def verify(source: str, published_as: str | None, manifest: Path | None, json: bool) -> None:
    """Compare files with their sizes and digests.

    Exit 1 if one is bad. A pack is compared with its own record. Other files are compared with a
    SHA256SUMS beside them, or with what the Hub says of the corpus --published-as.

    \b
    memtrace corpus verify packs/pile-standard
    memtrace corpus verify pile/document --published-as pile-standard
    """
    from memtrace.errors import CorpusError

    checks = _verify(source, published_as, manifest)
    print_result([asdict(check) for check in checks], json, lambda: _verify_text(checks))
    if bad := [check.name for check in checks if check.is_bad]:
        raise CorpusError(
            f"{len(bad)} of {len(checks)} files are not as they should be ({', '.join(bad[:3])}): "
            "delete them and pack, fetch or download them again"
        )


@corpus.command()
@click.argument("source")
@output_option("the pack", required=True)
@click.option(
    "--sequences",
    type=SequenceRange(),
    help="Only the files that hold rows A to B, B not included.",
)
@tokens_option
@offset_option
@dry_run_option
@manifest_option
@json_option
def pack(
    source: str,
    output: Path,
    sequences: tuple[int, int] | None,
    tokens: int | None,
    offset: int,
    dry_run: bool,
    manifest: Path | None,
    json: bool,
) -> None:
    """Write the first 64 tokens of every row into a prefix pack.

    Of rows of 2,049 tokens it has 3% of the bytes. Repeating the command after an interruption
    loses at most one file.

    \b
    memtrace corpus pack pile/document --output packs/pile
    memtrace corpus pack pile/document --tokens 100 --output packs/pile-100
    """
    from memtrace.corpus import open_corpus

    opened = open_corpus(source, manifest=manifest)
    _pack(opened, output, sequences, tokens, offset, dry_run, json)


@corpus.command()
@click.argument("name")
@click.option(
    "--step",
    type=Whole(min=1),
    help="Only the files that hold what the checkpoint of this step has seen.  [default: all]",
)
@tokens_option
@offset_option
@click.option("--output", type=folder_type, help="Folder of the pack.  [default: packs/NAME]")
@dry_run_option
@manifest_option
@json_option
def fetch(
    name: str,
    step: int | None,
    tokens: int | None,
    offset: int,
    output: Path | None,
    dry_run: bool,
    manifest: Path | None,
    json: bool,
) -> None:
    """Make a prefix pack straight from the Hub.

    The corpus is not stored. Repeating the command after an interruption loses at most one file.

    \b
    memtrace corpus fetch pile-standard --step 1000
    memtrace corpus fetch pile-standard --dry-run
    """
    from memtrace.corpus import open_named
    from memtrace.manifests import find_corpus

    suite, named = find_corpus(name, manifest=manifest)
    rows = None if step is None else (0, suite.exposed_rows(step, named.rows))
    folder = output or Path("packs", name)
    _pack(open_named(named), folder, rows, tokens, offset, dry_run, json)


corpus.add_command(duplicates)
corpus.add_command(count)
corpus.add_command(tokenize)
corpus.add_command(documents)


def _row(suite: "Suite", named: "CorpusManifest") -> dict[str, Any]:
    """Return what the manifest says of a corpus."""
    return {
        "corpus": named.name,
        "suite": suite.suite,
        "rows": named.rows,
        "row_tokens": named.row_tokens,
        "dtype": named.dtype,
        "tokens": named.rows * named.row_tokens,
        "hub": named.hub,
        "path": None if named.path is None else str(named.path),
        "models": [model.name for model in suite.models if model.corpus == named.name],
        "license": named.license,
        "url": named.url,
        "notes": named.notes,
    }


def _list_text(rows: list[dict[str, Any]]) -> str:
    head = ("corpus", "suite", "rows", "tokens a row", "models", "where it is")
    table = [
        (
            row["corpus"],
            row["suite"],
            f"{row['rows']:,}",
            f"{row['row_tokens']:,} {row['dtype']}",
            str(len(row["models"])),
            f"hf://datasets/{row['hub']}" if row["hub"] else row["path"],
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *table, strict=True)]
    lines = ("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in (head, *table))
    return "\n".join(lines)


def _pack(
    source: "Corpus",
    output: Path,
    rows: tuple[int, int] | None,
    tokens: int | None,
    offset: int,
    dry_run: bool,
    json: bool,
) -> None:
    from memtrace.corpus.pack_writer import estimate_pack, write_pack

    kept: dict[str, Any] = {"rows": rows, "tokens": tokens, "offset": offset}
    estimate = estimate_pack(source, output, **kept)
    if not dry_run:
        logger.info("%s", _estimate_text(estimate))
        title = f"Packing {source.name}"
        with (
            resumable("finished files of the pack are kept"),
            show_progress(title, estimate.rows, "rows") as advance,
        ):
            write_pack(source, output, **kept, on_progress=advance)
    document = {"pack": str(output), **asdict(estimate)}
    text: Callable[[], str] = lambda: (  # noqa: E731 (a def would need a docstring to say less)
        _estimate_text(estimate) if dry_run else f"Pack: {output}"
    )
    print_result(document, json, text)


def _estimate_text(estimate: "Estimate") -> str:
    from memtrace.report.numbers import count, duration, size

    if not estimate.files:
        return "Nothing is left to write."
    seconds = estimate.seconds or 0
    speed = estimate.read_bytes / max(seconds, 1e-9)
    return (
        f"{count(estimate.files, 'file')} to write, {size(estimate.write_bytes)} "
        f"({size(estimate.free_bytes)} free); {size(estimate.read_bytes)} to read at "
        f"{size(speed)}/s: {duration(seconds)}"
    )


def _verify(source: str, published_as: str | None, manifest: Path | None) -> "list[FileCheck]":
    from memtrace.corpus import open_corpus
    from memtrace.corpus.open import published_files
    from memtrace.corpus.prefix_pack import is_pack
    from memtrace.corpus.verify import verify_corpus, verify_pack
    from memtrace.manifests import find_corpus

    if is_pack(Path(source)):
        size = sum(file.stat().st_size for file in Path(source).glob("*.npy"))
        with show_progress(f"Hashing {source}", size, "bytes") as advance:
            return verify_pack(Path(source), advance)
    named = find_corpus(published_as, manifest=manifest)[1] if published_as else None
    opened = open_corpus(source, manifest=manifest, expected=named)
    published = published_files(named) if named else None
    with show_progress(f"Hashing {opened.name}", opened.size, "bytes") as advance:
        return verify_corpus(opened, published, advance)


def _verify_text(checks: "list[FileCheck]") -> str:
    width = max(len(check.name) for check in checks)
    return "\n".join(f"{check.name:<{width}}  {check.state:<8} {check.detail}" for check in checks)


def _info_text(document: dict[str, Any]) -> str:
    from memtrace.report.numbers import count

    seen = document["contents"]
    which = "all rows" if seen["rows"] == document["rows"] else count(seen["rows"], "row")
    place = "read over the network" if document["remote"] else "on this machine"
    eod = f"occurs {seen['eod_tokens']:,} times" if seen["eod_occurs"] else "does not occur"
    first = document["first_token"]
    at = f", tokens {first}-{first + document['row_tokens'] - 1} of each" if first else ""
    lines = [
        ("corpus", f"{document['corpus']}, {count(document['parts'], 'file')} {place}"),
        (
            "rows",
            f"{document['rows']:,} of {document['row_tokens']} {document['dtype']} tokens{at}",
        ),
        ("tokens", f"{document['tokens']:,} ({document['bytes']:,} bytes)"),
        ("digest", document["digest"]),
        ("read", which),
        ("token ids", f"{seen['smallest_id']} to {seen['largest_id']}; token 0 (EOD) {eod}"),
        (
            "repeated",
            f"{count(seen['repeated_prefixes'], 'row')} with the first 64 tokens of an earlier one",
        ),
    ]
    return "\n".join(f"{label:<12}{text}" for label, text in lines)
