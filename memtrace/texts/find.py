"""Find the texts of a run's corpus: in a table, the user's cache, or a small corpus itself."""

from pathlib import Path

from memtrace.corpus import Corpus, open_corpus
from memtrace.corpus.copies import SMALL_ROWS, Copies, cached_copies, read_copies, small_copies
from memtrace.errors import CorpusError, MemtraceError
from memtrace.runs.run import Run
from memtrace.texts.groups import Texts


def find_texts(run: Run, folder: str | Path | None = None, corpus: Corpus | None = None) -> Texts:
    """Return the texts of the corpus of a run.

    Args:
        run: The run.
        folder: What `corpus duplicates` wrote. Without it, corpora of at most `SMALL_ROWS` rows
            are read, or the user's cache.
        corpus: The corpus, where it is open; else the one that the record names.

    Raises:
        CorpusError: They are not known, with the command that makes them known, or the table is
            not that of the run's corpus.
    """
    c = run.configuration
    tokens = c.prompt_tokens + c.continuation_tokens
    if folder is not None:
        found = read_copies(Path(folder))
        _check(found, run, folder, tokens)
        return Texts.from_copies(found)
    if (kept := cached_copies(c.corpus_digest, tokens)) is not None:
        return Texts.from_copies(kept)
    if c.corpus_rows > SMALL_ROWS:
        raise CorpusError(_advice(run, f"it has {c.corpus_rows:,} rows"))
    corpus = corpus or _open(run)
    if corpus.digest != c.corpus_digest:
        raise CorpusError(_advice(run, f"{corpus.name} is not the corpus that was scanned"))
    return Texts.from_copies(small_copies(corpus, tokens))


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


def _check(found: Copies, run: Run, folder: str | Path, tokens: int) -> None:
    c = run.configuration
    known = c.corpus_digest != "unknown"
    if (known and found.corpus_digest != c.corpus_digest) or found.corpus_rows != c.corpus_rows:
        raise CorpusError(
            f"{folder} is the table of another corpus ({found.corpus_rows:,} rows, digest "
            f"{found.corpus_digest[:12]}) than that of {run.label} ({c.corpus_rows:,} rows, "
            f"{c.corpus_digest[:12]}): make one with `memtrace corpus duplicates`"
        )
    if found.tokens != tokens:
        raise CorpusError(
            f"{folder} compares {found.tokens} tokens, a sequence of {run.label} has {tokens}: "
            "texts of that length are only found in corpora of up to "
            f"{SMALL_ROWS:,} rows, without --duplicates"
        )
