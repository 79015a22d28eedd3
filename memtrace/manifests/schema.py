"""What a manifest file may say: suites, their models and their corpora, as validated values."""

import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from memtrace.manifests.schedule import ValidSequencesPerStep, rows_before
from memtrace.manifests.steps import expand_steps, step_range, step_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SHOWN = 20
"""Problems of a file that a message lists."""
_LONGEST = 300
"""Characters of a problem."""
_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"
_PLACED = "[A-Za-z0-9{][A-Za-z0-9{}._-]*"  # with a place for the step


def _beside_manifest(path: Path, info: ValidationInfo) -> Path:
    """Make a path of the manifest absolute; `lookup` gives the manifest's folder as context."""
    return Path(info.context["folder"] if info.context else "", path).resolve()


def _with_names(corpora: Any) -> Any:
    """Give each corpus its key as its name."""
    if not isinstance(corpora, dict):
        return corpora
    return {k: {**v, "name": k} if isinstance(v, dict) else v for k, v in corpora.items()}


# Names of suites and models become folder names, and must not lead out of the folder of runs.
Name = Annotated[str, Field(pattern=f"^{_NAME}$")]
HubName = Annotated[str, Field(pattern=f"^{_NAME}/{_NAME}$")]
Revision = Annotated[str, Field(pattern=rf"^{_PLACED}(/{_PLACED})*$")]
FilePattern = Annotated[str, Field(pattern=rf"^{_NAME}(\{{shard(:0[1-9]d)?\}}[A-Za-z0-9._-]*)?$")]
StepRange = Annotated[str, BeforeValidator(step_text)]
Steps = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(expand_steps), Field(min_length=1)]
LocalPath = Annotated[Path, AfterValidator(_beside_manifest)]


class _Document(BaseModel):
    """A part of a manifest: immutable, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class _Placed(_Document):
    """Something on the Hub, or in a folder of this machine."""

    name: Name
    """Short name, which becomes the name of a folder; of a corpus its key."""
    hub: HubName | None = None
    """Repository on the Hub."""
    path: LocalPath | None = None
    """Local folder; in YAML relative to the manifest, here absolute."""

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if (self.hub is None) == (self.path is None):
            raise ValueError(f"{self.name!r} needs either hub or path")
        return self


class KnownBad(_Document):
    """Checkpoints whose place does not hold what its name says."""

    steps: tuple[StepRange, ...] = Field(min_length=1)
    """Steps and ranges as written, ends included."""
    reason: str
    """What is wrong with them."""
    url: str | None = None
    """Where that is told."""

    def covers(self, step: int) -> bool:
        """Say whether the checkpoint is one of these."""
        return any(step in step_range(text) for text in self.steps)


class CorpusManifest(_Placed):
    """Token rows in training order, in one file or cut into several."""

    files: FilePattern
    """File or pack; `{shard}` or `{shard:05d}` stands for the number of the part, from 0."""
    shards: Annotated[int, Field(gt=0, le=100_000)] = 1
    """Number of parts."""
    row_tokens: PositiveInt
    """Tokens of a row; where labels are shifted inputs, one more than the context."""
    dtype: Literal["uint8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
    """Type of a token on disk."""
    rows: PositiveInt
    """Number of rows."""
    license: str | None = None
    """Name of the licence."""
    url: str | None = None
    """Page that describes it."""
    notes: str | None = None
    """Shown by `models show`."""

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if ("{" in self.files) != (self.shards > 1):
            raise ValueError(
                f"{self.name!r} has shards {self.shards} and files {self.files!r}: "
                "2 shards or more need {shard} in the file name, and 1 has none"
            )
        return self

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of the parts, in order."""
        return tuple(self.files.format(shard=shard) for shard in range(self.shards))

    @property
    def local_files(self) -> tuple[Path, ...] | None:
        """Absolute paths of the parts, in order; None for a corpus on the Hub."""
        return None if self.path is None else tuple(self.path / name for name in self.file_names)


class ModelManifest(_Placed):
    """One model: its shape, its checkpoints, the corpus it was trained on, what is known of it."""

    revision: Revision = "step{step}"
    """Branch on the Hub that holds a step; unused for local models."""
    corpus: Name | None
    """Corpus of the same manifest, in the order of training; None where there is none."""
    corpus_note: str | None = None
    """Needed without a corpus: why there is none, and what to pass as --corpus."""
    architecture: str
    """Model type of Transformers."""
    layers: PositiveInt
    """Number of layers."""
    width: PositiveInt
    """Size of a hidden state."""
    heads: PositiveInt
    """Attention heads of a layer."""
    vocab_size: PositiveInt
    """Rows of the output matrix, padding included."""
    parameters: PositiveInt
    """All trained weights; those that two places share count once."""
    dtype: Literal["float16", "bfloat16", "float32"]
    """What it was trained in."""
    steps: Steps | None = None
    """Steps with a checkpoint, where they are not all of the suite's."""
    memorized: dict[NonNegativeInt, NonNegativeInt] = {}
    """Published numbers of memorized sequences, by step."""
    known_bad: tuple[KnownBad, ...] = ()
    """Checkpoints that a scan refuses."""
    notes: str | None = None
    """Shown by `models show`."""

    def source(self, step: int) -> tuple[str, str | None]:
        """Return repository and revision of a checkpoint, or an absolute folder and None."""
        if self.hub is not None:
            return self.hub, self.revision.replace("{step}", str(step))
        return str(self.path).replace("{step}", str(step)), None

    def minimum_flops(self, prompt_tokens: int) -> int:
        """Return the fewest arithmetic operations that decide a sequence.

        One that misses at once costs 2 operations for each trunk weight and prompt position, and
        one row of logits: `2 P k + 2 d V`.
        """
        embedding = self.width * self.vocab_size
        return 2 * (self.parameters - 2 * embedding) * prompt_tokens + 2 * embedding

    def known_bad_reason(self, step: int) -> KnownBad | None:
        """Return why a checkpoint should not be used, or None where nothing is known against it."""
        return next((bad for bad in self.known_bad if bad.covers(step)), None)


class Suite(_Document):
    """Models trained on the corpora of one manifest, with checkpoints at steps of one list."""

    schema_version: Literal[1] = Field(alias="schema")
    """Version of this format."""
    suite: Name
    """Short name, which becomes the name of a folder."""
    title: str
    """One line."""
    citation: str | None = None
    """What to cite."""
    license: str | None = None
    """Name of the licence."""
    url: str | None = None
    """Page that describes it."""
    notes: str | None = None
    """Shown by `models show`."""
    sequences_per_step: ValidSequencesPerStep
    """Rows that a step consumes: a number, or a list of [from step, sequences]."""
    steps: Steps
    """Steps with a checkpoint, ascending; in YAML integers and quoted ranges, ends included."""
    memorized_source: str | None = None
    """Where the published numbers of memorized sequences come from."""
    shared: dict[str, Any] = {}
    """Not read: a place for YAML anchors, so that what models have in common is written once."""
    corpora: Annotated[dict[str, CorpusManifest], BeforeValidator(_with_names)]
    """The corpora, by name."""
    models: tuple[ModelManifest, ...] = Field(min_length=1)
    """The models."""

    @property
    def last_step(self) -> int:
        """Step of the last checkpoint."""
        return self.steps[-1]

    def steps_of(self, model: ModelManifest) -> tuple[int, ...]:
        """Return the steps at which a model has a checkpoint, ascending."""
        return self.steps if model.steps is None else model.steps

    def exposed_rows(self, step: int, corpus_rows: int) -> int:
        """Return how many of a corpus' rows, from row 0, a checkpoint has been trained on."""
        return min(rows_before(self.sequences_per_step, step), corpus_rows)

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        if self.suite == "local" or self.suite.startswith("local-"):
            raise ValueError(
                f"suite {self.suite!r} is for models that no manifest names: rename it"
            )
        problems = [
            f"model {model.name!r} {problem}"
            for model in self.models
            for problem in self._problems(model)
        ]
        if problems:
            raise ValueError("; ".join(dict.fromkeys(problems)))
        return self

    def _problems(self, model: ModelManifest) -> Iterator[str]:
        """Yield what in a model contradicts the rest of the file."""
        if sum(model.name == other.name for other in self.models) > 1:
            yield "is there more than once"
        if model.corpus is None and model.corpus_note is None:
            yield "has corpus null: say in corpus_note why, and what to pass as --corpus"
        if model.corpus is not None and model.corpus not in self.corpora:
            yield f"has corpus {model.corpus!r}, corpora has {', '.join(self.corpora) or 'none'}"
        template = model.revision if model.hub else str(model.path)
        if len(self.steps) > 1 and "{step}" not in template:
            yield "has no {step} in revision or path: every step would be the same checkpoint"
        if unknown := set(self.steps_of(model)) - set(self.steps):
            yield f"has step {min(unknown)}, which the suite does not have"
        if unknown := model.memorized.keys() - set(self.steps_of(model)):
            yield f"has memorized at step {min(unknown)}, where it has no checkpoint"
        for text in (text for bad in model.known_bad for text in bad.steps):
            if not any(step in step_range(text) for step in self.steps_of(model)):
                yield f"has known_bad at {text!r}, where it has no checkpoint"


def problems(error: ValidationError) -> str:
    """Return field, problem and value of all that does not validate, in one line."""
    found = [_problem(each) for each in error.errors()]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def _problem(problem: "ErrorDetails") -> str:
    place = "".join(
        f".{key}" if re.fullmatch(_NAME, str(key)) and isinstance(key, str) else f"[{key!r}]"
        for key in problem["loc"]
    )
    said, value = problem["msg"].removeprefix("Value error, "), problem["input"]
    if problem["type"] != "value_error" and isinstance(value, str | int | float):
        said += f" (got {reprlib.repr(value)})"
    if len(said) > _LONGEST:  # it may repeat a value that grew as it was read
        said = f"{said[:_LONGEST]}..."
    return f"{place.lstrip('.')}{': ' if place else ''}{said}"
