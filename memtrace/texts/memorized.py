"""Which texts has a model memorized, what do they say, and what came of them along training?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus import Corpus, open_corpus
from memtrace.corpus.copies import Copies, read_copies, small_copies
from memtrace.corpus.row_documents import has_documents, row_documents
from memtrace.corpus.similar import find_similar, read_similar
from memtrace.corpus.tokenizer import TextTokenizer
from memtrace.errors import CorpusError, ManifestError, RunError
from memtrace.manifests.schedule import steps_of
from memtrace.runs.events import is_finished
from memtrace.runs.run import Run, find_runs
from memtrace.storage.store import open_store
from memtrace.texts.decode import decode, find_tokenizer
from memtrace.texts.distinct import distinct
from memtrace.texts.find import known_texts, open_corpus_of
from memtrace.texts.groups import Texts
from memtrace.texts.history import copies_of, histories, hits_of
from memtrace.texts.labels import Evidence, increments, labels_of, repeats
from memtrace.texts.redact import redact
from memtrace.texts.shown import first_texts
from memtrace.types import Int64Array

MOST_COMPARED = 200_000
"""Rows of a corpus whose similar texts are found without a table, in seconds."""


@dataclass(frozen=True, eq=False, repr=False)
class MemorizedTexts:
    """The texts that one model has memorized at some checkpoint, in training order."""

    suite: str
    model: str
    tested: str
    """Which tokens of a row are a sequence."""
    steps: tuple[int, ...]
    """The checkpoints, ascending."""
    at_least: int
    """Matched tokens from which a text is here."""
    continuation_tokens: int
    table: pl.DataFrame
    """One row a text; see `memorized_texts`."""
    notes: tuple[str, ...]
    """What could not be known, and what to give so that it is."""

    @property
    def label(self) -> str:
        """Return a short name for titles."""
        return f"{self.suite}/{self.model}"

    def __repr__(self) -> str:
        """Show one line at a prompt: of what the texts are, and how many there are."""
        return f"<MemorizedTexts {self.label}: {self._told}>"

    def _repr_html_(self) -> str:
        """Show in a notebook how many texts there are, the first of them, and what is not known."""
        about = (
            f"<strong>{escape(self.label)}</strong><br>{escape(f'{self._told}; {self.tested}.')}"
        )
        notes = "".join(f"<p><small>Note: {escape(note)}</small></p>" for note in self.notes)
        edge = "border-left:4px solid #2f6690;padding:.2rem .8rem"
        return f'<p style="{edge}">{about}</p>{first_texts(self.table)}{notes}'

    @property
    def _told(self) -> str:
        n, steps, all_of = len(self.table), len(self.steps), self.continuation_tokens
        near = f" with at least {self.at_least} of {all_of} tokens matched"
        what = " memorized" if self.at_least == all_of else near
        where = f"step {self.steps[-1]:,}" if steps == 1 else f"some of {steps:,} checkpoints"
        return f"{n:,} {'text' if n == 1 else 'texts'}{what} at {where}"


def memorized_texts(
    runs: str | Path,
    *,
    suite: str | None = None,
    model: str | None = None,
    at_least: int | None = None,
    corpus: str | Path | None = None,
    duplicates: str | Path | None = None,
    tokenizer: str | Path | None = None,
    redacted: bool = False,
) -> list[MemorizedTexts]:
    """Read what each model has memorized at any of its checkpoints.

    The tables have these columns: `text` (its name: the index of its first copy), `prompt`,
    `continuation`, `tokens` (ids), `matched_tokens` (most at any checkpoint; null where the scores
    do not say), `copies` (in the corpus; null where not known), `copies_exposed` (those that the
    last checkpoint had seen), `first_index`, `last_index`, `first_step`, `last_step` (which train
    on its first and last copy; null where the order is not known), `copy_indices` (rows of all
    copies), `first_checkpoint` that had it, `lost_checkpoint` (the first one after it that had not;
    null: none), `history` (for each checkpoint 1 memorized, 0 not, - not evaluated),
    `log_likelihood` (of the last checkpoint that scanned it; nats), `file`, `line` (of its
    document), `label`, `labels` (all that hold).

    Args:
        runs: Folder of runs.
        suite: Only this suite.
        model: Only this model.
        at_least: Matched tokens from which a text is taken: near misses too; by default all of the
            continuation.
        corpus: The corpus, where the records of the runs do not lead to it.
        duplicates: Folder that `memtrace corpus duplicates` wrote.
        tokenizer: A `tokenizer.json`, a folder or a repository on the Hub; by default the model's.
        redacted: Mask e-mail addresses, telephone numbers and keys, and leave the token ids out.

    Raises:
        RunError: There is no such run, or runs of one model tested other tokens.
        CorpusError: The corpus or a table is not at hand, or not that of the runs.
    """
    models: dict[tuple[str, str], list[Run]] = {}
    for run in find_runs(open_store(runs), suite=suite, model=model):
        models.setdefault((run.suite, run.model), []).append(run)
    folder = None if duplicates is None else Path(duplicates)
    found = [read_model(group, at_least, corpus, folder, tokenizer) for group in models.values()]
    return [hide(one) for one in found] if redacted else found


def read_model(
    runs: Sequence[Run],
    at_least: int | None = None,
    corpus: str | Path | None = None,
    duplicates: Path | None = None,
    tokenizer: str | Path | None = None,
) -> MemorizedTexts:
    """Read what one model has memorized; see `memorized_texts`."""
    last, c = runs[-1], runs[-1].configuration
    _check_alike(runs)
    limit = c.continuation_tokens if at_least is None else at_least
    if not 1 <= limit <= c.continuation_tokens:
        raise RunError(
            f"at least {limit} matched tokens: a continuation of {last.label} has "
            f"{c.continuation_tokens}; choose 1 to {c.continuation_tokens}"
        )
    opened = _corpus(last, corpus)
    if c.corpus_digest not in ("unknown", opened.digest):
        raise CorpusError(
            f"{opened.name} is not the corpus of {last.label}: give the right one as --corpus"
        )
    hits = [hits_of(run, limit) for run in runs]
    rows = distinct(np.concatenate([np.asarray(each.rows) for each in hits]))
    texts, copies_note = _texts(last, opened, duplicates, rows)
    names = distinct(texts.names_of(rows))
    tokens = opened.take(names, c.sequence_tokens, c.offset)
    known, tokenizer_note = _tokenizer(last, tokenizer)
    similar, similar_note = _similar(last, opened, duplicates, copies_note)
    table = pl.concat(
        [
            _contents(names, tokens, c.prompt_tokens, known),
            _places(last, names, texts, copies_note),
            histories(names, texts, hits, runs),
            _documents(opened, names, c.offset + c.sequence_tokens),
        ],
        how="horizontal",
    )
    return MemorizedTexts(
        suite=last.suite,
        model=last.model,
        tested=c.tested,
        steps=tuple(run.step for run in runs),
        at_least=limit,
        continuation_tokens=c.continuation_tokens,
        table=_with_labels(table, tokens, c.prompt_tokens, similar, known is not None),
        notes=tuple(filter(None, (_unfinished(runs), tokenizer_note, copies_note, similar_note))),
    )


def _corpus(run: Run, given: str | Path | None) -> Corpus:
    if given is not None:
        return open_corpus(str(given))
    try:
        return open_corpus_of(run)
    except CorpusError as error:
        raise CorpusError(
            f"the corpus of {run.label}, which has its texts, is not at hand ({error}): give it to "
            "`memtrace texts` as --corpus"
        ) from error


def hide(found: MemorizedTexts) -> MemorizedTexts:
    """Return it with private data masked, and without token ids, which have them too."""
    whole = zip(found.table["prompt"], found.table["continuation"], strict=True)
    masked = [(redact(prompt + rest), len(prompt)) for prompt, rest in whole]
    table = found.table.drop("tokens").with_columns(
        prompt=pl.Series([text[:cut] for text, cut in masked], dtype=pl.String),
        continuation=pl.Series([text[cut:] for text, cut in masked], dtype=pl.String),
        file=found.table["file"].map_elements(redact, return_dtype=pl.String),
    )
    return replace(found, table=table)


def _unfinished(runs: Sequence[Run]) -> str:
    """Say which checkpoints are not finished: they may have memorized more."""
    left = [run for run in runs if not is_finished(run)]
    if not left:
        return ""
    which = f"{left[0].label} is" if len(left) == 1 else f"{len(left):,} of the checkpoints are"
    return f"{which} not finished, so texts may be missing: `{left[0].command}` finishes"


def _check_alike(runs: Sequence[Run]) -> None:
    first = runs[0].configuration
    for run in runs[1:]:
        c = run.configuration
        if (c.tested, c.corpus_digest) != (first.tested, first.corpus_digest):
            raise RunError(
                f"{runs[0].label} and {run.label} differ in corpus or in the tokens that they "
                "tested: keep such runs in folders of their own"
            )


def _texts(
    run: Run, corpus: Corpus, duplicates: Path | None, rows: Int64Array
) -> tuple[Texts, str]:
    """Return the texts of the corpus; where copies are not known, those among the rows found."""
    texts, unknown = known_texts(run, duplicates, corpus=corpus)
    if texts is not None:
        return texts, ""
    c = run.configuration
    tokens = corpus.take(rows, c.sequence_tokens, c.offset)
    _, first, which = np.unique(tokens, axis=0, return_index=True, return_inverse=True)
    names = rows[first[which]]
    order = np.lexsort((rows, names))
    repeated = order[np.bincount(which, minlength=len(first))[which[order]] > 1]
    pairs = names[repeated], rows[repeated]
    table = Copies(c.corpus_digest, c.corpus_rows, c.sequence_tokens, c.prompt_tokens, *pairs)
    return Texts.from_copies(table), unknown or ""


def _tokenizer(run: Run, source: str | Path | None) -> tuple[TextTokenizer | None, str]:
    try:
        return find_tokenizer(run, source), ""
    except CorpusError as error:
        if source is not None:
            raise
        note = f"shown as token numbers, since no tokenizer was found ({error}): add one with "
        return None, note + "`--tokenizer`"


def _similar(
    run: Run, corpus: Corpus, duplicates: Path | None, unknown: str
) -> tuple[Int64Array | None, str]:
    """Return the names of the texts that have a similar one, None where they are not known."""
    if duplicates is not None and (table := read_similar(duplicates)) is not None:
        return table["first_index"].cast(pl.Int64).to_numpy(), ""
    c = run.configuration
    if unknown or corpus.remote or len(corpus) > MOST_COMPARED:
        return None, (
            "similar texts are not known, so that no text is labelled templated or rare: make a "
            "table with `memtrace corpus duplicates CORPUS --near --output FOLDER`, then add "
            "--duplicates FOLDER"
        )
    sequence = c.sequence_tokens, c.prompt_tokens, c.offset
    copies = small_copies(corpus, *sequence) if duplicates is None else read_copies(duplicates)
    table = find_similar(corpus, copies)
    return table["first_index"].cast(pl.Int64).to_numpy(), ""


def _contents(
    names: Int64Array,
    tokens: npt.NDArray[np.integer],
    prompt_tokens: int,
    tokenizer: TextTokenizer | None,
) -> pl.DataFrame:
    decoded = decode(tokens, prompt_tokens, tokenizer)
    columns = {
        "text": pl.Series(names, dtype=pl.Int64),
        "prompt": pl.Series(decoded.prompts, dtype=pl.String),
        "continuation": pl.Series(decoded.continuations, dtype=pl.String),
        "tokens": pl.Series(tokens.astype(np.int64).tolist(), dtype=pl.List(pl.Int64)),
    }
    return pl.DataFrame(columns)


def _places(run: Run, names: Int64Array, texts: Texts, unknown: str) -> pl.DataFrame:
    """Return how many copies there are, and where the first and the last lie."""
    counts = texts.counts_of(names)
    seen = texts.copies_before(names, run.exposed_rows)
    ends = names.copy()
    if len(texts.names):
        repeated = np.isin(names, texts.names)
        where = np.searchsorted(texts.names, names[repeated])
        ends[repeated] = texts.copies[texts.begins[where + 1] - 1]
    per_step = run.configuration.sequences_per_step
    steps = [
        pl.Series([None] * len(rows), dtype=pl.Int64)
        if per_step is None
        else pl.Series(steps_of(per_step, rows), dtype=pl.Int64)
        for rows in (names, ends)
    ]
    nothing = pl.Series([None] * len(names), dtype=pl.Int64)
    return pl.DataFrame(
        {
            "copies": nothing if unknown else pl.Series(counts, dtype=pl.Int64),
            "copies_exposed": nothing
            if unknown or not run.is_order_known
            else pl.Series(seen, dtype=pl.Int64),
            "first_index": pl.Series(names, dtype=pl.Int64),
            "last_index": pl.Series(ends, dtype=pl.Int64),
            "first_step": steps[0],
            "last_step": steps[1],
            "copy_indices": pl.Series(_indices(names, texts), dtype=pl.List(pl.Int64)),
        }
    )


def _indices(names: Int64Array, texts: Texts) -> list[list[int]]:
    """Return the rows of all copies of each text."""
    places, rows = copies_of(names, texts)
    order = np.lexsort((rows, places))
    ends = np.cumsum(np.bincount(places, minlength=len(names)))
    return [part.tolist() for part in np.split(rows[order], ends[:-1])] if len(names) else []


def _documents(corpus: Corpus, names: Int64Array, tokens: int) -> pl.DataFrame:
    """Return the document in which each text ends, where the corpus knows its documents."""
    schema = {"file": pl.String(), "line": pl.Int64()}
    try:
        known = has_documents(corpus)
        found = row_documents(corpus, names, tokens) if known else None
    except (CorpusError, ManifestError):
        found = None
    if found is None:
        return pl.DataFrame({name: [None] * len(names) for name in schema}, schema=schema)
    last = found.unique("sequence_index", keep="last", maintain_order=True)
    wanted = pl.DataFrame({"sequence_index": pl.Series(names, dtype=pl.UInt64)})
    joined = wanted.join(last, on="sequence_index", how="left", maintain_order="left")
    return joined.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _with_labels(
    table: pl.DataFrame,
    tokens: npt.NDArray[np.integer],
    prompt_tokens: int,
    similar: Int64Array | None,
    decoded: bool,
) -> pl.DataFrame:
    repeating = repeats(tokens, prompt_tokens)
    templated = None if similar is None else np.isin(table["text"].to_numpy(), similar)
    labels = [
        labels_of(
            Evidence(
                copies=copies,
                repeats=bool(repeating[i]),
                increments=decoded and increments(prompt, rest),
                similar=None if templated is None else bool(templated[i]),
            )
        )
        for i, (copies, prompt, rest) in enumerate(
            table.select("copies", "prompt", "continuation").iter_rows()
        )
    ]
    return table.with_columns(
        label=pl.Series([each[0] if each else None for each in labels], dtype=pl.String),
        labels=pl.Series(labels, dtype=pl.List(pl.String)),
    )
