"""A tokenizer from its file, a model's folder or the Hub, and the token that ends a document."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.errors import CorpusError, first_line
from memtrace.storage.address import is_repository

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
_END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[EOS]")


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A tokenizer that adds nothing, cuts nothing and pads nothing."""

    name: str
    """Where it comes from."""
    tokenizer: "Tokenizer"
    end_token: str | None
    """What its configuration calls the end of a text."""

    @cached_property
    def digest(self) -> str:
        """Return the sha256 of all that it does."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    @cached_property
    def largest_id(self) -> int:
        """Return the largest token id."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values())

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Return the type of a token on disk: uint16 where every id fits, else int32."""
        return np.dtype("<u2" if self.largest_id < 1 << 16 else "<i4")

    def end_of_document(self, asked: str | None = None) -> int:
        """Return the id of the token that ends a document.

        Args:
            asked: Its text or its id; by default what the configuration says, or the only usual
                one that the vocabulary has.

        Raises:
            CorpusError: There is no such token.
        """
        if asked is not None and asked.isdecimal() and int(asked) <= self.largest_id:
            return int(asked)
        usual = [self.end_token] if self.end_token else list(_END_TOKENS)
        named = [asked] if asked is not None else usual
        found = [self.tokenizer.token_to_id(each) for each in named]
        if known := [each for each in found if each is not None]:
            return int(known[0])
        if asked is not None:
            raise CorpusError(f"tokenizer {self.name} has no token {asked!r}: give another --eod")
        raise CorpusError(
            f"tokenizer {self.name} does not say which token ends a document: give it as --eod, "
            "such as --eod '<|endoftext|>'"
        )


def load_tokenizer(source: str | Path) -> TextTokenizer:
    """Load a tokenizer.

    Args:
        source: A `tokenizer.json`, a folder that has one, or a repository on the Hub.

    Raises:
        CorpusError: There is none, or it cannot be read.
    """
    from tokenizers import Tokenizer

    path, configuration = _find(str(source))
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise CorpusError(f"cannot read the tokenizer {path}: {first_line(error)}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TextTokenizer(str(source), tokenizer, _end_token(configuration))


def _find(source: str) -> tuple[Path, Path | None]:
    """Return the file of a tokenizer, and that of its configuration."""
    place = Path(source)
    if place.is_dir():
        if not (place / FILE).is_file():
            raise CorpusError(
                f"{place} has no {FILE}: pass the tokenizer's own folder, or write one with "
                f"transformers.AutoTokenizer.from_pretrained(MODEL).save_pretrained({str(place)!r})"
            )
        place = place / FILE
    if place.is_file():
        beside = place.with_name("tokenizer_config.json")
        return place, beside if beside.is_file() else None
    return _download(source, FILE), _download(source, "tokenizer_config.json", needed=False)


def _download(source: str, name: str, *, needed: bool = True) -> Any:
    from huggingface_hub import hf_hub_download

    repository, _, revision = source.partition("@")
    if not is_repository(repository):
        raise CorpusError(
            f"no tokenizer {source!r}: no such file or folder, and no name of a repository on the "
            "Hub (OWNER/NAME)"
        )
    try:
        return Path(hf_hub_download(repository, name, revision=revision or None))
    except Exception as error:  # the client raises what its transport raises
        if not needed:
            return None
        raise CorpusError(
            f"no tokenizer {source!r}: no such file or folder, and no repository on the Hub has "
            f"its {name} ({first_line(error)}); check the name and the network"
        ) from error


def _end_token(configuration: Path | None) -> str | None:
    """Return `eos_token` of a configuration, which is a text or an object with its content."""
    if configuration is None:
        return None
    try:
        said = json.loads(configuration.read_text(encoding="utf-8")).get("eos_token")
    except (OSError, ValueError, AttributeError) as error:
        raise CorpusError(f"cannot read {configuration}: {first_line(error)}") from error
    content = said.get("content") if isinstance(said, dict) else said
    return content if isinstance(content, str) else None
