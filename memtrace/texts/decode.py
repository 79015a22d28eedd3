"""Texts for people: the tokenizer of a run, and prompts and continuations as it decodes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memtrace.corpus.tokenizer import FILE, TextTokenizer, load_tokenizer
from memtrace.errors import CorpusError
from memtrace.runs.run import Run

_ABOVE = 3  # folders above a model in which its tokenizer may lie, as for many checkpoints of one


@dataclass(frozen=True)
class Decoded:
    """Prompts and continuations as text."""

    prompts: list[str]
    continuations: list[str]


def find_tokenizer(run: Run, source: str | Path | None = None) -> TextTokenizer:
    """Return the tokenizer of a run's model.

    Args:
        run: The run.
        source: A `tokenizer.json`, a folder or a repository on the Hub; by default the model's
            folder or one of the three above it, else its repository.

    Raises:
        CorpusError: There is none.
    """
    if source is not None:
        return load_tokenizer(source)
    place = str(run.record.get("source", ""))
    if not place or "import" in run.record:
        raise CorpusError(f"the record of {run.label} does not say where its tokenizer is")
    folder = Path(place)
    if folder.exists():
        around = (folder, *folder.resolve().parents[:_ABOVE])
        found = next((each for each in around if (each / FILE).is_file()), None)
        if found is None:
            raise CorpusError(f"{place} has no {FILE}")
        return load_tokenizer(found)
    revision = run.record.get("hub_commit") or run.record.get("revision")
    return load_tokenizer(f"{place}@{revision}" if revision else place)


def decode(
    tokens: npt.NDArray[np.integer], prompt_tokens: int, tokenizer: TextTokenizer | None
) -> Decoded:
    """Return prompts and continuations as text, which together are the text of both.

    Args:
        tokens: Token ids, shape (n, k + l).
        prompt_tokens: k.
        tokenizer: None where there is none: then ids stand for the text.

    Raises:
        CorpusError: A token id is none of the tokenizer's.
    """
    if tokenizer is None or not len(tokens):
        return Decoded(_ids(tokens[:, :prompt_tokens]), _ids(tokens[:, prompt_tokens:]))
    largest = int(tokens.max())
    if largest > tokenizer.largest_id:
        raise CorpusError(
            f"token id {largest} is none of tokenizer {tokenizer.name}, whose largest is "
            f"{tokenizer.largest_id}: give that of the corpus as --tokenizer"
        )
    whole, prompts, rests = (
        tokenizer.tokenizer.decode_batch(part.tolist(), skip_special_tokens=False)
        for part in (tokens, tokens[:, :prompt_tokens], tokens[:, prompt_tokens:])
    )
    return Decoded(prompts, _continuations(whole, prompts, rests))


def _ids(tokens: npt.NDArray[np.integer]) -> list[str]:
    return [" ".join(map(str, row)) + " " for row in tokens.tolist()]


def _continuations(whole: Sequence[str], prompts: Sequence[str], rests: Sequence[str]) -> list[str]:
    """Return what follows each prompt; some decoders drop a space where a text begins."""
    return [
        text[len(prompt) :] if text.startswith(prompt) else rest
        for text, prompt, rest in zip(whole, prompts, rests, strict=True)
    ]
