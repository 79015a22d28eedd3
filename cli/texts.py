"""`memtrace texts`: read what was memorized."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import fast_imports, one_or_list, print_result, show_progress
from .output import write_table, writing_to
from .parameters import (
    Whole,
    existing_folder,
    json_option,
    only_model,
    only_suite,
    output_option,
    runs_argument,
    step_option,
)

if TYPE_CHECKING:
    from memtrace.texts.memorized import MemorizedTexts

LIMIT = 50
"""Lines that are printed of each model, unless told."""
LABELS = ("recited", "repeating", "incrementing", "templated", "rare")


@click.command()
@runs_argument
@only_suite
@only_model
@step_option(otherwise="memorized at any checkpoint")
@click.option(
    "--label",
    type=click.Choice(LABELS),
    multiple=True,
    help="Only this label; can be given several times.",
)
@click.option("--min-copies", type=Whole(min=1), help="Only texts with so many copies, or more.")
@click.option("--max-copies", type=Whole(min=1), help="Only texts with so many, or fewer.")
@click.option(
    "--at-least",
    type=Whole(min=1, max=255),
    help="Matched tokens from which a text is shown, for near misses too.  [default: the whole "
    "continuation]",
)
@click.option("--order-by", default="text", help="Column of the table, such as copies.")
@click.option("--descending", is_flag=True, help="The largest first.")
@click.option(
    "--limit", type=Whole(min=1), help=f"Texts to show of each model.  [default: {LIMIT}, or all]"
)
@click.option("--corpus", help="The corpus, where the runs do not lead to it.")
@click.option(
    "--duplicates",
    type=existing_folder,
    help="Folder that `corpus duplicates` wrote; a corpus of up to 2,000,000 rows needs none.",
)
@click.option(
    "--tokenizer",
    help="A tokenizer.json, a folder, or a repository on the Hub.  [default: the model's]",
)
@click.option("--redact", is_flag=True, help="Mask e-mail addresses, telephone numbers and keys.")
@json_option
@output_option("texts.parquet, texts.jsonl and texts.html, a page that needs no network")
def texts(
    runs: Path,
    suite: str | None,
    model: str | None,
    step: str | None,
    label: tuple[str, ...],
    min_copies: int | None,
    max_copies: int | None,
    at_least: int | None,
    order_by: str,
    descending: bool,
    limit: int | None,
    corpus: str | None,
    duplicates: Path | None,
    tokenizer: str | None,
    redact: bool,
    json: bool,
    output: Path | None,
) -> None:
    """Read what was memorized.

    One line a text: how many of its copies the last checkpoint had seen and how many there are,
    the steps that train on the first and the last, the first checkpoint that had it, and the first
    after it that had lost it.

    \b
    memtrace texts runs
    memtrace texts runs --model 1.4b --label rare --order-by copies --descending
    memtrace texts runs --at-least 24 --output texts
    """
    from memtrace.manifests.steps import parse_steps

    with fast_imports():
        from memtrace.report.text import terminal_width
        from memtrace.report.texts import texts_document, texts_text
        from memtrace.texts.memorized import memorized_texts
        from memtrace.texts.select import select_texts

    with show_progress("Reading texts"):
        found = memorized_texts(
            runs,
            suite=suite,
            model=model,
            at_least=at_least,
            corpus=corpus,
            duplicates=duplicates,
            tokenizer=tokenizer,
            redacted=redact,
        )
    chosen = [
        select_texts(
            one,
            steps=None if step is None else parse_steps(step, one.steps),
            labels=label,
            least_copies=min_copies,
            most_copies=max_copies,
            order_by=order_by,
            descending=descending,
        )
        for one in found
    ]
    if output is not None:
        for one in chosen:
            _write(output if len(chosen) == 1 else output / f"{one.suite}-{one.model}", one)
    documents = [texts_document(one, limit) for one in chosen] if json else []
    print_result(
        one_or_list(documents) if json else None,
        json,
        lambda: "\n\n".join(texts_text(one, limit or LIMIT, terminal_width()) for one in chosen),
    )


def _write(folder: Path, found: "MemorizedTexts") -> None:
    from memtrace.report.texts_page import texts_page

    with writing_to(folder):
        write_table(folder / "texts.parquet", found.table)
        found.table.write_ndjson(folder / "texts.jsonl")
        (folder / "texts.html").write_text(texts_page(found), encoding="utf-8")
