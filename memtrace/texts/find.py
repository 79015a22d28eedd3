"""Find the texts of a run's corpus: in a table, the user's cache, or a small corpus itself."""

from pathlib import Path

from memtrace.corpus import Corpus, open_corpus
from memtrace.corpus.copies import SMALL_ROWS, Copies, cached_copies, read_copies, small_copies
from memtrace.errors import CorpusError, MemtraceError
from memtrace.runs.run import Run
from memtrace.texts.groups import Texts

DUPLICATES = "duplicates"
"""Folder of the table in a prefix pack."""


def find_texts(run: Run, folder: str | Path | None = None, corpus: Corpus | None = None) -> Texts:
    """Return the texts of the corpus of a run.

    Args:
        run: The run.
        folder: What `corpus duplicates` wrote. Without it, PACK/duplicates is read, where PACK is
            the prefix pack that was scanned; or the user's cache, or a corpus of at most
            `SMALL_ROWS` rows.
        corpus: The corpus, where it is open; else the one that the record names.

    Raises:
        CorpusError: They are not known, with the command that makes them known, or the table is
            not that of the run's corpus.
    """
    c = run.configuration
    tokens = c.prompt_tokens + c.continuation_tokens, c.prompt_tokens
    folder = folder or _beside(run)
    if folder is not None:
        found = read_copies(Path(folder))
        _check(found, run, folder)
        return Texts.from_copies(found)
    if (kept := cached_copies(c.corpus_digest, *tokens)) is not None:
        return Texts.from_copies(kept)
    if c.corpus_rows > SMALL_ROWS:
        raise CorpusError(_advice(run, f"it has {c.corpus_rows:,} rows"))
    corpus = corpus or _open(run)
    if corpus.digest != c.corpus_digest:
        raise CorpusError(_advice(run, f"{corpus.name} is not the corpus that was scanned"))
    return Texts.from_copies(small_copies(corpus, *tokens))


def _beside(run: Run) -> Path | None:
    """Return the table that lies in the prefix pack of the run, if there is one."""
    name = run.record.get("corpus", {}).get("name")
    folder = Path(str(name)) / DUPLICATES
    return folder if name is not None and folder.is_dir() else None


def _open(run: Run) -> Corpus:
    name = run.record.get("corpus", {}).get("name")
    if name is None:
        raise CorpusError(_advice(run, "the record of the run does not say where it is"))
    try:
        found = open_corpus(name)
    except MemtraceError as error:
        raise CorpusError(_advice(run, str(error))) from error
    if found.remote:
        raise CorpusError(_advice(run, "it is read over a network"))
    return found


def _advice(run: Run, problem: str) -> str:
    return (
        f"the copies in the corpus of {run.label} are not known ({problem}): make a table with "
        "`memtrace corpus duplicates CORPUS --output FOLDER`, then add --duplicates FOLDER"
    )


def _check(found: Copies, run: Run, folder: str | Path) -> None:
    c = run.configuration
    known = c.corpus_digest != "unknown"
    if (known and found.corpus_digest != c.corpus_digest) or found.corpus_rows != c.corpus_rows:
        raise CorpusError(
            f"{folder} is the table of another corpus ({found.corpus_rows:,} rows, digest "
            f"{found.corpus_digest[:12]}) than that of {run.label} ({c.corpus_rows:,} rows, "
            f"{c.corpus_digest[:12]}): make one with `memtrace corpus duplicates`"
        )
    theirs = found.prompt_tokens, found.tokens - found.prompt_tokens
    if theirs != (c.prompt_tokens, c.continuation_tokens):
        raise CorpusError(
            f"{folder} compares prompts of {theirs[0]} and continuations of {theirs[1]} tokens, a "
            f"sequence of {run.label} has {c.prompt_tokens} and {c.continuation_tokens}: texts of "
            f"that length are only found in corpora of up to {SMALL_ROWS:,} rows, without "
            "--duplicates"
        )
