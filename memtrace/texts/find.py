"""Find the texts of a run's corpus: in a table, the user's cache, or a small corpus itself."""

from pathlib import Path

from memtrace.corpus import Corpus, open_corpus
from memtrace.corpus.copies import SMALL_ROWS, Copies, cached_copies, read_copies, small_copies
from memtrace.errors import CorpusError, MemtraceError
from memtrace.runs.configuration import describe_tokens
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
    sequence = c.sequence_tokens, c.prompt_tokens, c.offset
    folder = folder or _beside(run)
    if folder is not None:
        found = read_copies(Path(folder))
        _check(found, run, folder)
        return Texts.from_copies(found)
    if (kept := cached_copies(c.corpus_digest, *sequence)) is not None:
        return Texts.from_copies(kept)
    if c.corpus_rows > SMALL_ROWS:
        raise CorpusError(_advice(run, f"it has {c.corpus_rows:,} rows"))
    try:
        corpus = corpus or open_corpus_of(run)
    except CorpusError as error:
        raise CorpusError(_advice(run, str(error))) from error
    if corpus.digest != c.corpus_digest:
        raise CorpusError(_advice(run, f"{corpus.name} is not the corpus that was scanned"))
    return Texts.from_copies(small_copies(corpus, *sequence))


def known_texts(
    run: Run,
    folder: str | Path | None = None,
    given: Texts | None = None,
    corpus: Corpus | None = None,
) -> tuple[Texts | None, str | None]:
    """Return the texts of the corpus of a run, or None and why they are not known.

    Args:
        run: The run.
        folder: As `find_texts` takes it.
        given: The texts, where they are at hand.
        corpus: The corpus, where it is open.

    Raises:
        CorpusError: A folder was named, and has no table of the run's corpus.
    """
    if given is not None:
        return given, None
    try:
        return find_texts(run, folder, corpus), None
    except CorpusError as error:
        if folder is not None:
            raise
        return None, str(error)


def _beside(run: Run) -> Path | None:
    """Return the table that lies in the prefix pack of the run, if there is one."""
    name = run.record.get("corpus", {}).get("name")
    folder = Path(str(name)) / DUPLICATES
    return folder if name is not None and folder.is_dir() else None


def open_corpus_of(run: Run) -> Corpus:
    """Open the corpus that the record of a run names.

    Raises:
        CorpusError: It does not name one, or it is not on this machine.
    """
    name = run.record.get("corpus", {}).get("name")
    if name is None:
        raise CorpusError("the record of the run does not say where it is")
    try:
        found = open_corpus(name)
    except MemtraceError as error:
        raise CorpusError(str(error)) from error
    if found.remote:
        raise CorpusError("it is read over a network")
    return found


def _advice(run: Run, problem: str) -> str:
    return (
        f"the copies in the corpus of {run.label} are not known ({problem}): make a table with "
        f"`{_command(run)}`, then add --duplicates FOLDER"
    )


def _command(run: Run) -> str:
    """Return the command that makes the table of a run's sequences."""
    c = run.configuration
    command = "memtrace corpus duplicates CORPUS --output FOLDER"
    if (c.prompt_tokens, c.continuation_tokens) != (32, 32):
        command += f" --prompt-tokens {c.prompt_tokens}"
        command += f" --continuation-tokens {c.continuation_tokens}"
    return command + (f" --offset {c.offset}" if c.offset else "")


def _check(found: Copies, run: Run, folder: str | Path) -> None:
    c = run.configuration
    known = c.corpus_digest != "unknown"
    if (known and found.corpus_digest != c.corpus_digest) or found.corpus_rows != c.corpus_rows:
        raise CorpusError(
            f"{folder} is the table of another corpus ({found.corpus_rows:,} rows, digest "
            f"{found.corpus_digest[:12]}) than that of {run.label} ({c.corpus_rows:,} rows, "
            f"{c.corpus_digest[:12]}): make one with `{_command(run)}`"
        )
    theirs = found.prompt_tokens, found.tokens - found.prompt_tokens, found.offset
    if found.sequence != (c.sequence_tokens, c.prompt_tokens, c.offset):
        raise CorpusError(
            f"{folder} compares {describe_tokens(*theirs)}, {run.label} tested {c.tested}: make "
            f"its table with `{_command(run)}`"
        )
