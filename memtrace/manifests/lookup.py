"""Suites, their models and their corpora: what the manifest files say, found by name and validated.

It knows YAML and names; it opens no weights, no token file and no connection.
"""

import os
import re
import reprlib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
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

from memtrace.errors import ManifestError
from memtrace.manifests.steps import expand_steps, step_range, step_text

_PACKAGE = Path(__file__).parents[1]
# In a wheel the folder sits inside the package; in a checkout beside it.
_FOLDERS = (_PACKAGE / "data_manifests", _PACKAGE.parent / "data_manifests")
_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"
_PLACED = "[A-Za-z0-9{][A-Za-z0-9{}._-]*"  # with a place for the step
T = TypeVar("T")


def _beside_manifest(path: Path, info: ValidationInfo) -> Path:
    """Make a path of the manifest absolute; `load_suite` gives the manifest's folder as context."""
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
LocalPath = Annotated[Path, AfterValidator(_beside_manifest)]


class _Document(BaseModel):
    """A part of a manifest: immutable, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Placed(_Document):
    """Something on the Hub, or in a folder of this machine."""

    name: Name
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
    url: str | None = None

    def covers(self, step: int) -> bool:
        """Say whether the checkpoint is one of these."""
        return any(step in step_range(text) for text in self.steps)


class CorpusManifest(_Placed):
    """Token rows in training order, in one file or cut into several."""

    files: FilePattern
    """File name; `{shard}` or `{shard:05d}` stands for the number of the part, from 0."""
    shards: Annotated[int, Field(gt=0, le=100_000)] = 1
    row_tokens: PositiveInt
    dtype: Literal["uint16", "int32", "int64"]
    rows: PositiveInt
    license: str | None = None
    url: str | None = None
    notes: str | None = None

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
    architecture: str
    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    vocab_size: PositiveInt
    """Rows of the output matrix, padding included."""
    parameters: PositiveInt
    dtype: Literal["float16", "bfloat16", "float32"]
    """What it was trained in."""
    memorized: dict[NonNegativeInt, NonNegativeInt] = {}
    """Published numbers of memorized sequences, by step."""
    known_bad: tuple[KnownBad, ...] = ()
    notes: str | None = None

    def source(self, step: int) -> tuple[str, str | None]:
        """Return repository and revision of a checkpoint, or an absolute folder and None."""
        if self.hub is not None:
            return self.hub, self.revision.replace("{step}", str(step))
        return str(self.path).replace("{step}", str(step)), None

    def floor_operations(self, prompt_tokens: int) -> int:
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
    """Models trained on the corpora of one manifest, with checkpoints at the same steps."""

    schema_version: Literal[1] = Field(alias="schema")
    suite: Name
    title: str
    citation: str | None = None
    license: str | None = None
    url: str | None = None
    notes: str | None = None
    sequences_per_step: PositiveInt
    steps: Annotated[tuple[NonNegativeInt, ...], BeforeValidator(expand_steps), Field(min_length=1)]
    """Steps with a checkpoint, ascending; in YAML integers and quoted ranges, ends included."""
    memorized_source: str | None = None
    """Where the published numbers of memorized sequences come from."""
    shared: dict[str, Any] = {}
    """Not read: a place for YAML anchors, so that what models have in common is written once."""
    corpora: Annotated[dict[str, CorpusManifest], BeforeValidator(_with_names)]
    models: tuple[ModelManifest, ...] = Field(min_length=1)

    @property
    def last_step(self) -> int:
        """Step of the last checkpoint."""
        return self.steps[-1]

    def exposed_rows(self, step: int, corpus_rows: int) -> int:
        """Return how many of a corpus' rows, from row 0, a checkpoint has been trained on."""
        return min(step * self.sequences_per_step, corpus_rows)

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        if self.suite == "local":
            raise ValueError("suite 'local' is for models that no manifest names: rename it")
        for model in self.models:
            for problem in self._problems(model):
                raise ValueError(f"model {model.name!r} {problem}")
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
        if unknown := model.memorized.keys() - set(self.steps):
            yield f"has memorized at step {min(unknown)}, which the suite does not have"
        for text in (text for bad in model.known_bad for text in bad.steps):
            if not any(step in step_range(text) for step in self.steps):
                yield f"has known_bad at {text!r}, where the suite has no step"


def load_suite(path: Path) -> Suite:
    """Read one manifest file.

    Raises:
        ManifestError: It cannot be read, is not YAML, or does not validate; the message names the
            file, the field and the problem.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Suite.model_validate(document, context={"folder": path.resolve().parent})
    except ValidationError as error:
        raise ManifestError(f"{path}: {_first_problem(error)}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise ManifestError(f"{path}: cannot be read as YAML: {problem}") from None


def load_suites(manifest: Path | None = None) -> list[Suite]:
    """Load the suites of memtrace, those of the folder MEMTRACE_MANIFESTS, and one file more.

    Args:
        manifest: A manifest file of the user's own.

    Raises:
        ManifestError: A file does not validate, or two files describe a suite of the same name.
    """
    suites: dict[str, Suite] = {}
    for path in _manifest_files(manifest):
        suite = load_suite(path)
        if suites.setdefault(suite.suite, suite) is not suite:
            raise ManifestError(f"{path}: another manifest has a suite {suite.suite!r}: rename it")
    return list(suites.values())


def find_suite(name: str, *, manifest: Path | None = None) -> Suite:
    """Return the suite of that name.

    Raises:
        ManifestError: There is none; the message has names near it.
    """
    return _look_up("suite", name, [(s.suite, s, s) for s in load_suites(manifest)])[0]


def find_model(
    name: str, *, suite: str | None = None, manifest: Path | None = None
) -> tuple[Suite, ModelManifest]:
    """Return the model of that short name, with its suite.

    Args:
        name: Such as `1.4b-deduped`.
        suite: Look in this suite only.
        manifest: A manifest file of the user's own to look in besides.

    Raises:
        ManifestError: There is none (the message has names near it), or several suites have one.
    """
    suites = load_suites(manifest) if suite is None else [find_suite(suite, manifest=manifest)]
    return _look_up("model", name, [(m.name, s, m) for s in suites for m in s.models])


def find_corpus(name: str, *, manifest: Path | None = None) -> tuple[Suite, CorpusManifest]:
    """Return the corpus of that name, with its suite.

    Raises:
        ManifestError: There is none (the message has names near it), or several suites have one.
    """
    suites = load_suites(manifest)
    return _look_up("corpus", name, [(c.name, s, c) for s in suites for c in s.corpora.values()])


def _manifest_files(manifest: Path | None) -> Iterable[Path]:
    """Return the manifest files that apply, each once."""
    folders = [folder for folder in _FOLDERS if folder.is_dir()][:1]
    if own := os.environ.get("MEMTRACE_MANIFESTS"):
        if not Path(own).is_dir():
            raise ManifestError(f"MEMTRACE_MANIFESTS is {own!r}, which is not a folder")
        folders.append(Path(own))
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    return dict.fromkeys(path.resolve() for path in [*files, *([manifest] if manifest else [])])


def _look_up(kind: str, name: str, table: list[tuple[str, Suite, T]]) -> tuple[Suite, T]:
    """Return the one entry of that name in `(name, suite, entry)`, or say why there is none."""
    found = [(suite, entry) for other, suite, entry in table if other == name]
    if len(found) > 1:
        suites = " and ".join(suite.suite for suite, _ in found)
        raise ManifestError(f"{kind} {name!r} is in suites {suites}: name one with --suite")
    if not found:
        # A name on the Hub ends in suite and name: EleutherAI/pythia-1.4b means 1.4b.
        spellings = {f"{suite.suite}-{other}": other for other, suite, _ in table}
        spellings |= {other: other for other, *_ in table}
        close = get_close_matches(name.rpartition("/")[2].lower(), spellings)
        near = ", ".join(dict.fromkeys(spellings[spelling] for spelling in close))
        raise ManifestError(
            f"no manifest has a {kind} {name!r}{f' (near it: {near})' if near else ''}: "
            "`memtrace models list` shows what there is"
        )
    return found[0]


def _first_problem(error: ValidationError) -> str:
    """Return field, problem and value of the first thing that does not validate, in one line."""
    problem, *others = error.errors()
    place = "".join(
        f".{key}" if re.fullmatch(_NAME, str(key)) and isinstance(key, str) else f"[{key!r}]"
        for key in problem["loc"]
    )
    said, value = problem["msg"].removeprefix("Value error, "), problem["input"]
    if problem["type"] != "value_error" and isinstance(value, str | int | float):
        said += f" (got {reprlib.repr(value)})"
    more = f"; and {len(others)} more" if others else ""
    return f"{place.lstrip('.')}{': ' if place else ''}{said}{more}"
