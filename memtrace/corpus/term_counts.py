"""Count terms in a corpus up to each checkpoint: a table of (term, step, count), out of core.

A term is one or several n-grams of tokens, its forms: from a text with and without a leading space.
Every place of a row at which a form begins counts once, so occurrences may overlap, and a term
inside a longer word or number counts where it is tokenized as such. What crosses from one row to
the next is no occurrence: the next row of training is from another document.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.rows import Tokens
from memtrace.errors import CorpusError, DataWarning
from memtrace.manifests.schedule import SequencesPerStep, rows_before
from memtrace.storage.documents import read_document
from memtrace.storage.prefetch import READERS, prefetch
from memtrace.storage.problems import read_problem
from memtrace.storage.store import replace_atomically

Counts = npt.NDArray[np.int64]
COUNTS_SCHEMA = pl.Schema({"term": pl.String, "step": pl.Int64, "count": pl.Int64})
CHUNK_ROWS = 1024
"""Rows that are read and counted at once: 4 MB of the Pile, and about ten times that meanwhile."""
SAVE_EVERY = 128
"""Chunks after which progress is saved: half a gigabyte of the Pile."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term and the n-grams of tokens that count as it."""

    name: str
    forms: tuple[tuple[int, ...], ...]
    """Distinct, each of one token at least."""


def read_terms(path: str | Path) -> list[str]:
    """Return the terms of a text file, one a line.

    Raises:
        CorpusError: It cannot be read, or is no text.
    """
    try:
        lines = read_document(Path(path)).decode().splitlines()
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error
    except ValueError as error:
        raise CorpusError(f"{path} is no text file of terms, one a line: {error}") from error
    return [line for line in lines if line.strip()]


def tokenized_terms(texts: Iterable[str], tokenizer: str | Path) -> list[Term]:
    """Return each text as a term: its tokens as it stands, and with a space before it.

    Args:
        texts: Terms such as `24` or `New York`.
        tokenizer: A `tokenizer.json`.

    Raises:
        CorpusError: The tokenizer cannot be read, or makes no token of a text.
    """
    from tokenizers import Tokenizer

    try:
        encode = Tokenizer.from_file(str(tokenizer)).encode
    except Exception as error:  # the library raises Exception itself
        raise CorpusError(f"cannot read the tokenizer {tokenizer}: {error}") from error

    def tokens(text: str) -> tuple[int, ...]:
        return tuple(encode(text, add_special_tokens=False).ids)

    return _checked(
        Term(text, tuple(dict.fromkeys(filter(None, (tokens(text), tokens(f" {text}"))))))
        for text in texts
    )


def token_terms(lines: Iterable[str]) -> list[Term]:
    """Return each line of token ids, such as `15 22`, as a term of one form.

    Raises:
        CorpusError: A line is not a list of token ids.
    """
    terms = []
    for line in lines:
        words = line.split()
        if not words or not all(word.isascii() and word.isdigit() for word in words):
            raise CorpusError(
                f"{line!r} is not a list of token ids such as `15 22`: pass a tokenizer to count "
                "texts"
            )
        terms.append(Term(" ".join(words), (tuple(map(int, words)),)))
    return _checked(terms)


def _checked(terms: Iterable[Term]) -> list[Term]:
    """Return the terms, each once, if each has a form.

    Raises:
        CorpusError: There is none, or one without a token.
    """
    unique = list({term.name: term for term in terms}.values())
    if not unique:
        raise CorpusError("no terms: name one a line")
    if empty := [term.name for term in unique if not term.forms]:
        raise CorpusError(f"the tokenizer makes no token of the term {empty[0]!r}: leave it out")
    return unique


class NgramCounter:
    """A trie of n-grams that counts, for many terms at once, where in rows they begin.

    The places at which a form may begin are found by one look-up of every token; the few that are
    left are followed through the trie, all together, one token at a time.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        """Build the trie."""
        # Node 0 is the root; an edge is (node, token) -> node.
        edges: dict[tuple[int, int], int] = {}
        ends: list[tuple[int, int]] = []
        for i, term in enumerate(terms):
            for form in term.forms:
                node = 0
                for token in form:
                    node = edges.setdefault((node, token), len(edges) + 1)
                ends.append((node, i))
        self._vocabulary = max(token for _, token in edges) + 1
        self._depth = max(len(form) for term in terms for form in term.forms)
        # One entry for each 16-bit token, so that the tokens of most corpora need no comparison.
        self._first = np.zeros(max(self._vocabulary, 1 << 16) + 1, np.int64)
        for (node, token), child in edges.items():
            if not node:
                self._first[token] = child
        self._begins = self._first != 0
        later = sorted((n * self._vocabulary + t, child) for (n, t), child in edges.items() if n)
        self._keys = np.array([key for key, _ in later], np.int64)
        self._children = np.array([child for _, child in later], np.int64)
        self._nodes = len(edges) + 1
        self._ends, self._terms = (np.array(c, np.int64) for c in zip(*ends, strict=True))
        self._count = len(terms)

    def count(self, rows: Tokens) -> Counts:
        """Return how often each term begins in the rows, shape `(terms,)`.

        Args:
            rows: `(n, row_tokens)` token ids.
        """
        # A negative id, which is none, becomes one beyond every vocabulary.
        flat = rows.ravel().view(f"u{rows.dtype.itemsize}")
        if flat.dtype.itemsize > 2:
            flat = np.minimum(flat, len(self._first) - 1)
        place = np.flatnonzero(self._begins[flat])
        node = self._first[flat[place]]
        visits = np.bincount(node, minlength=self._nodes)
        row_tokens = rows.shape[1]
        for depth in range(1, self._depth):
            inside = place % row_tokens + depth < row_tokens
            place, node = place[inside], node[inside]
            if not len(place) or not len(self._keys):
                break
            token = flat[place + depth].astype(np.int64)
            key = node * self._vocabulary + token
            found = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
            matched = (self._keys[found] == key) & (token < self._vocabulary)
            place, node = place[matched], self._children[found[matched]]
            visits += np.bincount(node, minlength=self._nodes)
        counts = np.zeros(self._count, np.int64)
        # Two forms of a term are two nodes; two terms of the same form share one.
        np.add.at(counts, self._terms, visits[self._ends])
        return counts


def write_counts(
    corpus: Corpus,
    terms: Sequence[Term],
    steps: Sequence[int],
    sequences_per_step: SequencesPerStep,
    output: str | Path,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write how often each term occurs in what each checkpoint has seen, as `COUNTS_SCHEMA`.

    The corpus is read once. Killed at any moment, it goes on when repeated, from progress kept
    beside the output, and the file ends up with the same bytes as if nothing had happened.

    Args:
        corpus: The rows; of a prefix pack only the beginnings of rows are there to be counted.
        terms: What to count.
        steps: Checkpoints.
        sequences_per_step: Rows that a step consumes, or from which step on how many.
        output: The Parquet file.
        on_progress: Called with the number of rows counted since the last call.

    Raises:
        CorpusError: The corpus cannot be read, the file cannot be written, or it holds or has
            begun another count.
    """
    output = Path(output)
    if corpus.source_digest:
        warnings.warn(
            f"{corpus.name} has only {corpus.held}: the counts are of those",
            DataWarning,
            stacklevel=2,
        )
    asked = sorted(set(steps))
    edges = [min(rows_before(sequences_per_step, step), len(corpus)) for step in asked]
    identity = _identity(corpus, terms, asked, sequences_per_step)
    if output.exists():
        _refuse_other(_recorded(output), identity, output)
        on_progress(edges[-1])
        return
    progress = output.with_name(f".{output.name}.progress.npz")
    done, counts = _resume(progress, identity, output, (len(asked), len(terms)))
    on_progress(done)
    counter = NgramCounter(terms)
    left = [chunk for chunk in _chunks(edges) if chunk[0] >= done]
    counted = prefetch(lambda chunk: counter.count(corpus[slice(*chunk)]), left, READERS)
    for i, (chunk, found) in enumerate(zip(left, counted, strict=True), 1):
        counts[np.searchsorted(edges, chunk[1])] += found
        on_progress(chunk[1] - chunk[0])
        if i % SAVE_EVERY == 0:
            _save(progress, identity, chunk[1], counts)
    _finish(output, identity, terms, asked, np.cumsum(counts, axis=0))
    progress.unlink(missing_ok=True)


def _chunks(edges: Sequence[int]) -> list[tuple[int, int]]:
    """Cut the rows up to the last edge so that no chunk crosses an edge."""
    return [
        (start, min(start + CHUNK_ROWS, high))
        for low, high in pairwise([0, *edges])
        for start in range(low, high, CHUNK_ROWS)
    ]


def _identity(
    corpus: Corpus,
    terms: Sequence[Term],
    steps: Sequence[int],
    sequences_per_step: SequencesPerStep,
) -> dict[str, str]:
    """Return what a count is of, as it is recorded in its file."""
    forms = json.dumps([[term.name, term.forms] for term in terms]).encode()
    return {
        "schema_version": "1",
        "corpus_digest": corpus.digest,
        "row_tokens": str(corpus.row_tokens),
        "sequences_per_step": str(sequences_per_step),
        "steps": hashlib.sha256(json.dumps(list(steps)).encode()).hexdigest(),
        "terms": hashlib.sha256(forms).hexdigest(),
    }


def _refuse_other(found: dict[str, str], wanted: dict[str, str], output: Path) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise CorpusError(
                f"{output} is a count of something else ({key}: {found.get(key, 'unknown')[:12]}, "
                f"not {value[:12]}): choose another --output, or delete it"
            )


def _recorded(output: Path) -> dict[str, str]:
    try:
        return dict(pl.read_parquet_metadata(output))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorpusError(
            f"{output} is there and is no table of counts ({error}): choose another --output"
        ) from error


def _resume(
    progress: Path, identity: dict[str, str], output: Path, shape: tuple[int, int]
) -> tuple[int, Counts]:
    """Return the rows already counted, and the counts between checkpoints, `(steps, terms)`."""
    if not progress.exists():
        return 0, np.zeros(shape, np.int64)
    try:
        with np.load(progress) as saved:
            kept = json.loads(str(saved["identity"]))
            done, counts = int(saved["rows"]), saved["counts"]
    except (OSError, ValueError, KeyError) as error:
        raise CorpusError(
            f"{progress} cannot be read ({error}): delete it to begin anew"
        ) from error
    _refuse_other(kept, identity, output)
    return done, counts


def _save(progress: Path, identity: dict[str, str], rows: int, counts: Counts) -> None:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, identity=json.dumps(identity), rows=rows, counts=counts)

    replace_atomically(progress, write, option="--output", raises=CorpusError)


def _finish(
    output: Path, identity: dict[str, str], terms: Sequence[Term], steps: list[int], counts: Counts
) -> None:
    table = pl.DataFrame(
        {
            "term": np.repeat([term.name for term in terms], len(steps)),
            "step": np.tile(steps, len(terms)),
            "count": counts.T.ravel(),
        },
        schema=COUNTS_SCHEMA,
    )

    def write(path: Path) -> None:
        with path.open("wb") as file:
            table.write_parquet(file, compression="zstd", metadata=identity)

    replace_atomically(output, write, option="--output", raises=CorpusError)
