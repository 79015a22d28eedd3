"""Corpus files: YAML that says where tokens lie, and in which order training consumed them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    model_validator,
)

from memtrace.corpus.blend import (
    BlendedRows,
    asked_samples,
    exhaustive_blend,
    find_blend,
    greedy_blend,
    saved_order,
)
from memtrace.corpus.corpus import Corpus
from memtrace.corpus.gather import GatheredRows
from memtrace.corpus.map_files import megatron_maps, neox_maps
from memtrace.corpus.megatron import plain_rows
from memtrace.corpus.nanotron import nanotron_rows
from memtrace.corpus.npy import array_rows
from memtrace.corpus.olmo import olmo_rows
from memtrace.corpus.parquet import parquet_rows
from memtrace.corpus.repeated import RepeatedRows
from memtrace.corpus.rows import Rows
from memtrace.errors import CorpusError, ManifestError
from memtrace.manifests.documents import load_document
from memtrace.manifests.schedule import ValidSequencesPerStep
from memtrace.manifests.schema import Name

CORPUS_FILES = (".yaml", ".yml")
# Of each layout: the keys that it needs, and those that it can use besides.
_KEYS = {
    "megatron": ((), ("dtype", "row_tokens")),
    "gpt-neox": (("index_maps", "row_tokens"), ("weights", "samples", "micro_batch")),
    "megatron-core": (("index_maps", "row_tokens"), ("weights",)),
    "olmo": (("row_tokens",), ("index_maps", "dtype", "chunk")),
    "nanotron": (("dtype", "row_tokens", "seed"), ("weights", "samples")),
    "npy": ((), ("row_tokens",)),
    "parquet": ((), ("row_tokens",)),
}
_OWN = (
    "weights",
    "index_maps",
    "dtype",
    "chunk",
    "seed",
    "samples",
    "micro_batch",
    "row_tokens",
)


def _beside(path: Path, info: ValidationInfo) -> Path:
    """Make a path absolute, and follow no link: files of the Hub's cache are links to others."""
    return Path(info.context["folder"] if info.context else "", path)


Paths = Annotated[tuple[Annotated[Path, AfterValidator(_beside)], ...], Field(min_length=1)]


class CorpusFile(BaseModel):
    """What a corpus file says; paths are absolute once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: Name
    """Name of the corpus."""
    layout: Literal["megatron", "gpt-neox", "megatron-core", "olmo", "nanotron", "npy", "parquet"]
    tokens: Paths
    """Prefixes, files or (nanotron) folders, in the trainer's order."""
    weights: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | None = None
    """Of each prefix in a blend, if the trainer was given weights."""
    index_maps: Paths | None = None
    """A pattern for each prefix (gpt-neox), a folder (megatron-core), files by epoch (olmo)."""
    dtype: Literal["uint8", "uint16", "uint32", "int16", "int32", "int64"] | None = None
    """Type of a token in files without a header."""
    chunk: PositiveInt | None = None
    """OLMo-core: sequences that were shuffled together."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    """nanotron: the seed of its data."""
    samples: PositiveInt | None = None
    """Rows that training consumed, where it began its order again (nanotron, gpt-neox)."""
    micro_batch: PositiveInt | None = None
    """gpt-neox with `samples`: rows of a micro-batch, of all ranks together."""
    row_tokens: Annotated[int, Field(gt=0, lt=1 << 31)] | None = None
    """Tokens of a row, the last label included."""
    sequences_per_step: ValidSequencesPerStep | None = None
    """Rows that a step consumes: a number, or a list of [from step, sequences]."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        needed, used = _KEYS[self.layout]
        given = [key for key in _OWN if getattr(self, key) is not None]
        if missing := [key for key in needed if key not in given]:
            raise ValueError(f"layout {self.layout} needs {' and '.join(missing)}")
        if other := [key for key in given if key not in (*needed, *used)]:
            raise ValueError(f"layout {self.layout} cannot use {' and '.join(other)}: leave it out")
        if self.layout == "gpt-neox" and (self.samples is None) != (self.micro_batch is None):
            raise ValueError(
                "samples and micro_batch go together: gpt-neox repeats whole micro-batches"
            )
        if self.micro_batch and len(self.tokens) > 1:
            raise ValueError("a blend that begins again is not read: leave out samples")
        counts: dict[str, tuple[Any, ...] | None] = {"weights": self.weights}
        if self.layout == "gpt-neox":
            counts["index_maps"] = self.index_maps
        for key, values in counts.items():
            if values is not None and len(values) != len(self.tokens):
                raise ValueError(
                    f"{key} has {len(values)} entries and tokens {len(self.tokens)}: one each"
                )
        return self


def open_corpus_file(path: str | Path) -> Corpus:
    """Open the corpus that a corpus file describes.

    Raises:
        CorpusError: The file does not validate, or what it names is missing, damaged, or does not
            belong together.
    """
    try:
        said = load_document(Path(path), CorpusFile)
    except ManifestError as error:
        raise CorpusError(str(error)) from error
    try:
        rows = _rows(said)
        if said.row_tokens is not None and said.row_tokens != rows.row_tokens:
            raise CorpusError(f"the rows have {rows.row_tokens} tokens, not {said.row_tokens}")
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from error
    return Corpus(said.corpus, rows, sequences_per_step=said.sequences_per_step)


def _rows(said: CorpusFile) -> Rows:
    prefixes = [_without_ending(path) for path in said.tokens]
    maps, row_tokens = said.index_maps or (), said.row_tokens or 0
    match said.layout:
        case "gpt-neox":
            found = [
                neox_maps(prefix, pattern, row_tokens).gathered()
                for prefix, pattern in zip(prefixes, maps, strict=True)
            ]
            return _neox_repeated(_neox_blend(found, said.weights), said)
        case "megatron-core":
            return _megatron_core(prefixes, maps, row_tokens, said.weights)
        case "olmo":
            return olmo_rows(
                said.tokens,
                maps,
                row_tokens=row_tokens,
                dtype=said.dtype,
                chunk=said.chunk or 1,
                sequences_per_step=said.sequences_per_step,
            )
        case "nanotron":
            epoch = nanotron_rows(
                said.tokens,
                row_tokens=row_tokens,
                dtype=said.dtype or "",
                seed=said.seed or 0,
                weights=said.weights,
            )
            return RepeatedRows(epoch, len(epoch), said.samples) if said.samples else epoch
        case "npy":
            return array_rows(said.tokens)
        case "parquet":
            return parquet_rows(said.tokens)
        case "megatron":
            return plain_rows(prefixes, said.row_tokens, said.dtype)


def _neox_blend(sources: Sequence[GatheredRows], weights: Sequence[float] | None) -> Rows:
    """GPT-NeoX gives equal weights where it was given none."""
    if len(sources) == 1:
        return sources[0]
    order = greedy_blend(weights or [1.0] * len(sources), [len(each) for each in sources])
    return BlendedRows(tuple(sources), order)


def _neox_repeated(rows: Rows, said: CorpusFile) -> Rows:
    """Begin again after the last whole micro-batch, as the trainer's `cycle` of batches does."""
    if said.samples is None or said.micro_batch is None:
        return rows
    period = len(rows) // said.micro_batch * said.micro_batch
    if not period:
        raise CorpusError(
            f"the maps reach {len(rows)} rows, fewer than a micro-batch of {said.micro_batch}: "
            "check micro_batch"
        )
    return RepeatedRows(rows, period, said.samples)


def _megatron_core(
    prefixes: Sequence[Path],
    folders: Sequence[Path],
    row_tokens: int,
    weights: Sequence[float] | None,
) -> Rows:
    if len(folders) != 1:
        raise CorpusError(f"index_maps of megatron-core is one folder, not {len(folders)}")
    folder = folders[0]
    if len(prefixes) == 1:
        return megatron_maps(prefixes[0], folder, row_tokens).gathered()
    blend = find_blend(folder, prefixes)
    asked = asked_samples(blend) if blend else [None] * len(prefixes)
    sources = tuple(
        megatron_maps(prefix, folder, row_tokens, samples).gathered()
        for prefix, samples in zip(prefixes, asked, strict=True)
    )
    counts = [len(each) for each in sources]
    order = saved_order(blend) if blend else None
    if order is None and blend and weights is None:
        raise CorpusError(f"{folder} has a blend without its saved order: give the weights")
    if order is None:
        order = greedy_blend(weights, counts) if weights else exhaustive_blend(counts)
    return BlendedRows(sources, order)


def _without_ending(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (".bin", ".idx") else path
