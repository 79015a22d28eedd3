"""Texts for people: the tokenizer of a run, and prompts and continuations as it decodes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memtrace.corpus.tokenizer import FILE, TextTokenizer, load_tokenizer
from memtrace.errors import CorpusError, ManifestError
from memtrace.manifests import find_model
from memtrace.runs.run import Run
from memtrace.storage.address import is_repository

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
    if (around := _around(place)) is not None:
        return load_tokenizer(around)
    if is_repository(place):
        revision = run.record.get("hub_commit") or run.record.get("revision")
        return load_tokenizer(f"{place}@{revision}" if revision else place)
    if Path(place).exists():
        raise CorpusError(f"the model's folder {Path(place).name} has no {FILE}")
    # The folder has moved, or the runs come from another machine: a manifest may have its own.
    moved = _place_in_manifest(run)
    if moved is None or (around := _around(moved)) is None:
        raise CorpusError(f"the model's folder {Path(place).name} is not on this machine")
    return load_tokenizer(around)


def _around(place: str) -> Path | None:
    """Return the folder that has a tokenizer, of a model's folder and those above it.

    The folder itself may be gone, as those of old checkpoints are.
    """
    folder = Path(place)
    if is_repository(place) and not folder.exists():
        return None
    around = (folder, *folder.resolve().parents[:_ABOVE])
    return next((each for each in around if (each / FILE).is_file()), None)


def _place_in_manifest(run: Run) -> str | None:
    try:
        _, model = find_model(run.model, suite=run.suite)
    except ManifestError:
        return None
    return None if model.hub else model.source(run.step)[0]


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
