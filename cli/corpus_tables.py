"""`memtrace corpus duplicates` and `count`: tables of what repeats in a corpus, and of terms."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memtrace.storage.address import public_address

from .console import print_result, resumable, show_progress
from .parameters import (
    existing_file,
    file_type,
    json_option,
    manifest_option,
    output_option,
    sequence_options,
    step_option,
)

if TYPE_CHECKING:
    from memtrace.manifests import Suite


@click.command()
@click.argument("source")
@output_option("the table", required=True)
@sequence_options(None)
@click.option("--near", is_flag=True, help="Also find texts that are nearly the same: templates.")
@manifest_option
@json_option
def duplicates(
    source: str,
    output: Path,
    prompt_tokens: int | None,
    continuation_tokens: int | None,
    offset: int,
    near: bool,
    manifest: Path | None,
    json: bool,
) -> None:
    """Write how often each sequence occurs, and where.

    A Parquet table (duplicates-*.parquet), one row a sequence: how often its tokens occur in the
    corpus, where first and where last. It joins with scores on sequence_index. Beside it, in
    copies-*.parquet, are the repeated sequences alone. A corpus of up to 2,000,000 rows needs no
    such table.

    \b
    memtrace corpus duplicates packs/pile-standard --output duplicates
    memtrace corpus duplicates train.npy --near --output duplicates
    """
    from memtrace.corpus import open_corpus
    from memtrace.corpus.copies import read_copies
    from memtrace.corpus.duplicates import count_repeated, write_duplicates
    from memtrace.corpus.similar import check_size, find_similar, write_similar

    opened = open_corpus(source, manifest=manifest)
    if near:
        check_size(opened)
    with show_progress(f"Counting {opened.name}", len(opened), "rows") as advance:
        write_duplicates(
            opened,
            output,
            prompt_tokens=prompt_tokens,
            continuation_tokens=continuation_tokens,
            offset=offset,
            on_progress=advance,
        )
    document: dict[str, Any] = {"table": str(output), **count_repeated(output), "similar": None}
    if near:
        copies = read_copies(output)
        with show_progress(f"Comparing {opened.name}", len(opened), "rows") as advance:
            similar = find_similar(opened, copies, advance)
        write_similar(output, similar, copies)
        document["similar"] = len(similar)
    print_result(
        document,
        json,
        lambda: (
            _repeated(document)
            + (f"Texts with one that is nearly the same: {document['similar']:,}\n" if near else "")
            + f"Table: {output}"
        ),
    )


def _repeated(document: dict[str, Any]) -> str:
    said = "{sequences:,} sequences, {distinct:,} distinct; ".format_map(document)
    if not document["repeated"]:
        return f"{said}none occurs more than once\n"
    return f"{said}{document['repeated']:,} more than once, at most {document['largest']:,} times\n"


@click.command()
@click.argument("source")
@click.option(
    "--terms",
    type=existing_file,
    required=True,
    help="File of terms, one a line: texts with --tokenizer, else token ids such as 15 22.",
)
@click.option(
    "--tokenizer",
    type=existing_file,
    help="The tokenizer.json of the corpus, for terms that are texts.",
)
@click.option("--suite", help="Suite whose steps count; that of the corpus if a manifest names it.")
@step_option("all")
@click.option(
    "--output",
    type=file_type,
    required=True,
    help="Parquet file of the table.",
)
@manifest_option
@json_option
def count(
    source: str,
    terms: Path,
    tokenizer: Path | None,
    suite: str | None,
    step: str,
    output: Path,
    manifest: Path | None,
    json: bool,
) -> None:
    """Count terms in what each checkpoint has seen.

    The table has term, step and count. Every token of every row counts; a prefix pack has only the
    first 64 of each. A text is counted as its tokens, with and without a space before it, also
    inside longer words. Repeating the command after an interruption goes on where it was.

    \b
    memtrace corpus count pile/document --suite pythia --terms terms.txt --tokenizer tokenizer.json --output counts.parquet
    memtrace corpus count demo --terms ids.txt --step 3072 --output counts.parquet
    """  # noqa: E501
    from memtrace.corpus import open_corpus
    from memtrace.corpus.term_counts import (
        read_terms,
        token_terms,
        tokenized_terms,
        write_counts,
    )
    from memtrace.manifests.steps import parse_steps

    lines = read_terms(terms)
    wanted = tokenized_terms(lines, tokenizer) if tokenizer else token_terms(lines)
    opened = open_corpus(source, manifest=manifest)
    of = _suite_of(source, suite, manifest)
    asked = parse_steps(step, of.steps)
    rows = of.exposed_rows(asked[-1], len(opened))
    with (
        resumable("the counts so far are kept beside the table"),
        show_progress(f"Counting in {opened.name}", rows, "rows") as advance,
    ):
        write_counts(opened, wanted, asked, of.sequences_per_step, output, on_progress=advance)
    document = {
        "table": str(output),
        "terms": len(wanted),
        "steps": asked,
        "rows": rows,
        "tokens_of_a_row": opened.row_tokens,
        "prefixes_only": opened.source_digest is not None,
    }
    print_result(document, json, lambda: _count_text(document))


def _suite_of(source: str, suite: str | None, manifest: Path | None) -> "Suite":
    """Return the suite that was asked for, or that of the corpus."""
    from memtrace.errors import ManifestError
    from memtrace.manifests import find_corpus, find_suite

    if suite is not None:
        return find_suite(suite, manifest=manifest)
    try:
        return find_corpus(source, manifest=manifest)[0]
    except ManifestError as error:
        raise click.UsageError(
            f"no manifest names the corpus {public_address(source)}: say with --suite whose steps "
            "count, such as --suite pythia"
        ) from error


def _count_text(document: dict[str, Any]) -> str:
    tokens = document["tokens_of_a_row"]
    which = (
        f"the {tokens} tokens of the pack" if document["prefixes_only"] else f"all {tokens} tokens"
    )
    steps = len(document["steps"])
    return (
        f"{document['terms']:,} terms at {steps} step{'s' * (steps > 1)}, in {which} of "
        f"{document['rows']:,} rows\nTable: {document['table']}"
    )
