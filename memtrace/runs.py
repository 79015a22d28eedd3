"""Run folders: where they lie, the plan of shards, the run record, what is done and what is left.

It knows paths and records; it reads no corpus and loads no model.

    RUNS/suite=pythia/model=1.4b/step=143000/
        run.json                               written first, completed at the end
        scores/shard-00017-of-01118.parquet    its existence means: done
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from memtrace import __version__
from memtrace.errors import RunError
from memtrace.sampling import Int64Array, Sample
from memtrace.scores import SCHEMA_VERSION, read_metadata, replace_atomically, scan_scores


@dataclass(frozen=True)
class Configuration:
    """What fixes the answer of a run; a run may only be continued with the same one."""

    suite: str
    """Suite of the model; `local` for a model that no manifest names."""
    model: str
    """Short name of the model."""
    step: int
    """Checkpoint: optimizer steps done."""
    start: int
    """First sequence index of the run."""
    stop: int
    """One past the last sequence index of the run."""
    exposed_rows: int
    """Rows [0, exposed_rows) of the corpus were seen by this checkpoint."""
    corpus_rows: int
    """Rows of the whole corpus."""
    sequences_per_step: int | None
    """Rows that one optimizer step consumes; None where no manifest tells."""
    shard_size: int
    """Sequences in a shard; shards begin at multiples of it."""
    prompt_tokens: int
    continuation_tokens: int
    eos_rule: str
    """`none` or `mask-eos`."""
    dtype: str
    """Type in which most decisions are made; the answer is that of float32 in any case."""
    weight_digest: str
    """sha256 over the names and digests of the weight files."""
    corpus_digest: str
    """sha256 over the layout and contents of the corpus, see `Corpus.digest`."""
    sample_size: int | None = None
    """Sequences drawn at random from [start, stop); None: all of them are scanned."""
    sample_seed: int | None = None
    stratum_rows: int | None = None
    """Rows in a stratum of the sample; None: a simple random one."""

    @property
    def sample(self) -> Sample | None:
        """Return the sampling design, None where every sequence is scanned."""
        if self.sample_size is None:
            return None
        return Sample(self.sample_size, self.sample_seed or 0, self.stratum_rows)

    def metadata(self) -> dict[str, str]:
        """Return what every score file says of itself."""
        names = (
            "suite model step prompt_tokens continuation_tokens eos_rule dtype "
            "weight_digest corpus_digest"
        )
        if self.sample_size is not None:
            names += " sample_size sample_seed stratum_rows"
        values = {name: str(getattr(self, name)) for name in names.split()}
        return {"schema_version": SCHEMA_VERSION, "memtrace_version": __version__, **values}

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return `name: theirs -> ours` for each field in which a recorded one differs."""
        ours = asdict(self)
        return [
            f"{name}: {other.get(name)} -> {ours.get(name)}"
            for name in sorted(ours.keys() | other.keys())
            if ours.get(name) != other.get(name)
        ]


@dataclass(frozen=True)
class Shard:
    """Sequences [start, stop): the unit of work and of loss."""

    number: int
    count: int
    start: int
    stop: int
    sampled: int | None = None
    """Sequences of a sample that lie in it; None: all are scanned."""

    @property
    def sequences(self) -> int:
        """Return how many sequences are scanned."""
        return self.stop - self.start if self.sampled is None else self.sampled

    @property
    def file_name(self) -> str:
        """Return the name of the shard's score file."""
        return f"shard-{self.number:05d}-of-{self.count:05d}.parquet"


def plan_shards(
    start: int, stop: int, shard_size: int, sample: Sample | None = None
) -> list[Shard]:
    """Cut [start, stop) at the multiples of `shard_size`.

    The cuts depend on nothing else, so that any number of workers makes the same files. Shards
    without a row of the sample are left out.
    """
    cuts = range(start // shard_size * shard_size, stop, shard_size) if stop > start else range(0)
    shards = [
        Shard(i, len(cuts), max(cut, start), min(cut + shard_size, stop))
        for i, cut in enumerate(cuts)
    ]
    if sample is None or not shards:
        return shards
    edges = [shard.start for shard in shards] + [stop]
    counts = np.diff(np.searchsorted(sample.rows(start, stop), edges)).tolist()
    return [replace(s, sampled=n) for s, n in zip(shards, counts, strict=True) if n]


@dataclass(frozen=True)
class Run:
    """A run folder with its record."""

    folder: Path
    record: dict[str, Any]

    @cached_property
    def configuration(self) -> Configuration:
        """Return the recorded configuration."""
        try:
            return Configuration(**self.record["configuration"])
        except (KeyError, TypeError) as error:
            raise RunError(
                f"{self.folder / 'run.json'} is not a run record of this version ({error}); "
                "scan again into another --runs folder"
            ) from error

    @property
    def suite(self) -> str:
        """Return the suite's name."""
        return self.configuration.suite

    @property
    def model(self) -> str:
        """Return the model's short name."""
        return self.configuration.model

    @property
    def step(self) -> int:
        """Return the checkpoint."""
        return self.configuration.step

    @property
    def exposed_rows(self) -> int:
        """Return how many leading rows of the corpus the checkpoint had seen."""
        return self.configuration.exposed_rows

    @property
    def corpus_rows(self) -> int:
        """Return how many rows the corpus has."""
        return self.configuration.corpus_rows

    @property
    def sequences_per_step(self) -> int | None:
        """Return how many rows one optimizer step consumes, None where unknown."""
        return self.configuration.sequences_per_step

    @property
    def prompt_tokens(self) -> int:
        """Return the number of tokens that the model is given."""
        return self.configuration.prompt_tokens

    @property
    def continuation_tokens(self) -> int:
        """Return the number of tokens that greedy decoding has to return."""
        return self.configuration.continuation_tokens

    @property
    def label(self) -> str:
        """Return a short name for titles and messages."""
        return f"{self.suite}/{self.model} step {self.step}"

    def shards(self) -> list[Shard]:
        """Return the plan: every shard of the run, done or not."""
        c = self.configuration
        return plan_shards(c.start, c.stop, c.shard_size, c.sample)

    def rows(self, shard: Shard) -> Int64Array:
        """Return the sequence indices that are scanned in `shard`, ascending."""
        c = self.configuration
        if c.sample is None:
            return np.arange(shard.start, shard.stop)
        rows = c.sample.rows(c.start, c.stop)
        return rows[slice(*np.searchsorted(rows, [shard.start, shard.stop]))]

    def path(self, shard: Shard) -> Path:
        """Return where the scores of `shard` are or will be."""
        return self.folder / "scores" / shard.file_name

    @cached_property
    def _expected_metadata(self) -> dict[str, str]:
        return self.configuration.metadata()

    def is_done(self, shard: Shard) -> bool:
        """Return whether the shard's file is there, whole, and of this run.

        Raises:
            RunError: A readable score file of another run lies in its place.
        """
        path = self.path(shard)
        found = read_metadata(path) if path.is_file() else None
        if found is None:
            return False
        for name, expected in self._expected_metadata.items():
            # Another release may finish a run: the definition, not the version, fixes the answer.
            if name != "memtrace_version" and found.get(name) != expected:
                raise RunError(
                    f"{path} belongs to another run ({name}: {found.get(name)}, "
                    f"expected {expected}); move it away and repeat the command"
                )
        return True

    def shards_left(self) -> list[Shard]:
        """Return the shards that are not done."""
        return [shard for shard in self.shards() if not self.is_done(shard)]

    def scores(self) -> pl.LazyFrame:
        """Return the scores of all finished shards, lazily, in training order."""
        return scan_scores([self.path(shard) for shard in self.shards() if self.is_done(shard)])

    @property
    def command(self) -> str:
        """Return the command line that began the run and that finishes it."""
        return shlex.join(self.record.get("command") or ["memtrace", "scan"])

    def update(self, **entries: Any) -> "Run":
        """Write `run.json` again with these entries and return the run as it is then."""
        record = {**self.record, **entries}
        _write_json(self.folder / "run.json", record)
        return Run(self.folder, record)


def run_folder(runs: Path, suite: str, model: str, step: int) -> Path:
    """Return where the run of this model and checkpoint lies."""
    return runs / f"suite={suite}" / f"model={model}" / f"step={step}"


def begin_run(runs: Path, configuration: Configuration, record: Mapping[str, Any]) -> Run:
    """Create the run with its record, or open it to go on.

    Raises:
        RunError: The folder cannot be written, or holds a run of another configuration; the
            message lists each difference.
    """
    c = configuration
    folder = run_folder(runs, c.suite, c.model, c.step)
    if not (folder / "run.json").exists():
        return Run(folder, {}).update(
            schema_version=SCHEMA_VERSION, configuration=asdict(configuration), **record
        )
    run = open_run(folder)
    if differences := configuration.differences(run.record.get("configuration", {})):
        raise RunError(
            f"{folder} holds a run of another configuration ({'; '.join(differences)}); "
            "choose another --runs folder, or repeat the recorded command: " + run.command
        )
    return run


def open_run(folder: Path) -> Run:
    """Open an existing run folder.

    Raises:
        RunError: There is no readable run record.
    """
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read the run record {path}: {error}") from error
    if not isinstance(record, dict):
        raise RunError(f"cannot read the run record {path}: it is not a JSON object")
    return Run(folder, record)


def find_runs(
    runs: Path, *, suite: str | None = None, model: str | None = None, step: int | None = None
) -> list[Run]:
    """Return every run below `runs` that fits, by suite, model and step.

    Raises:
        RunError: There is none; the message names those that exist.
    """
    pattern = f"suite={suite or '*'}/model={model or '*'}/step={'*' if step is None else step}"
    found = [open_run(path.parent) for path in runs.glob(f"{pattern}/run.json")]
    if not found:
        there = sorted(str(path.parent.relative_to(runs)) for path in runs.glob("*/*/*/run.json"))
        if not there:
            raise RunError(f"{runs} holds no run at all: make one with `memtrace scan`")
        raise RunError(
            f"no run {pattern} in {runs}; it holds {', '.join(there[:8])}"
            f"{' and others' if len(there) > 8 else ''}: choose one of them, or scan that one"
        )
    return sorted(found, key=lambda run: (run.suite, run.model, run.step))


def find_run(runs: Path, *, suite: str | None = None, model: str, step: int) -> Run:
    """Return the one run of this model at this step.

    Raises:
        RunError: There is none, or more than one suite has it.
    """
    found = find_runs(runs, suite=suite, model=model, step=step)
    if len(found) > 1:
        suites = ", ".join(run.suite for run in found)
        raise RunError(f"model {model!r} was scanned in several suites ({suites}): name the suite")
    return found[0]


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    replace_atomically(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
