"""Runs: a folder of scores with the record of how they were made.

RUNS/suite=pythia/model=1.4b/step=143000/
run.json                               written first, completed at the end
workers/                               what each process did; at the end in run.json too
scores/shard-00017-of-01118.parquet    its existence means: done
scores/merged.parquet                  all shards in one, in their place
"""

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from memtrace.errors import RunError, first_line
from memtrace.runs.configuration import Configuration, read_configuration
from memtrace.runs.integrity import (
    ExpectedRows,
    ScoreFile,
    ValidScores,
    is_valid,
    read_score_files,
)
from memtrace.runs.missing import no_run
from memtrace.runs.paths import run_folder, run_folders
from memtrace.runs.scores import SCHEMA_VERSION
from memtrace.runs.shards import Shard, plan_shards
from memtrace.runs.worker_log import merge_logs
from memtrace.storage.documents import read_document
from memtrace.storage.store import list_names, open_store, remove, write_json
from memtrace.types import Int64Array

logger = logging.getLogger(__name__)
MERGED = "merged.parquet"
"""Name of the score file that stands for all shards of a run."""


@dataclass(frozen=True)
class Run:
    """A run folder with its record."""

    folder: Path
    record: dict[str, Any] = field(repr=False)  # long, and a prompt prints what it is given

    @cached_property
    def configuration(self) -> Configuration:
        """Return the recorded configuration.

        Raises:
            RunError: The record has none that fits.
        """
        try:
            found = read_configuration(self.record.get("configuration"))
        except ValueError as error:
            raise RunError(
                f"{self.folder / 'run.json'} is not a run record of this version ({error}); "
                "scan again into another --runs folder"
            ) from error
        place = (f"suite={found.suite}", f"model={found.model}", f"step={found.step}")
        if self.folder.name.startswith("step=") and self.folder.parts[-3:] != place:
            raise RunError(
                f"{self.folder / 'run.json'} is the record of {'/'.join(place)}: a run may be "
                "moved or copied with its three folders only; put it back under these names"
            )
        return found

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
    def is_order_known(self) -> bool:
        """Return whether it is known which step consumes a row, and so what had been seen.

        Where it is not, all rows of the corpus count as scanned, and none as trained on.
        """
        return self.configuration.sequences_per_step is not None

    def require_order(self) -> None:
        """Refuse a run of which the order of training is not known.

        Raises:
            RunError: It is not known.
        """
        if not self.is_order_known:
            raise RunError(
                f"{self.label}: the training order is unknown, so there is no order to test: "
                "neither a manifest nor a corpus file says which step consumed a row; give "
                "--sequences-per-step, or write a manifest with `memtrace models init`"
            )

    def in_order(self, sequences_per_step: int) -> "Run":
        """Return the run of a corpus whose order of training was not known when it was scanned.

        Raises:
            RunError: It is known, or the step has seen nothing.
        """
        known = self.configuration.in_order(sequences_per_step)
        return Run(self.folder, {**self.record, "configuration": asdict(known)})

    @property
    def sequences_per_step(self) -> int | None:
        """Return how many rows one optimizer step consumes, None where unknown or not constant."""
        found = self.configuration.sequences_per_step
        return found if isinstance(found, int) else None

    @property
    def prompt_tokens(self) -> int:
        """Return the number of tokens that the model is given."""
        return self.configuration.prompt_tokens

    @property
    def continuation_tokens(self) -> int:
        """Return the number of tokens that greedy decoding has to return."""
        return self.configuration.continuation_tokens

    @property
    def offset(self) -> int:
        """Return how many tokens of a row come before its sequence."""
        return self.configuration.offset

    @property
    def sequence_tokens(self) -> int:
        """Return the tokens of a sequence: prompt and continuation."""
        return self.configuration.sequence_tokens

    @property
    def label(self) -> str:
        """Return a short name for titles and messages."""
        return f"{self.suite}/{self.model} step {self.step}"

    @property
    def provenance(self) -> str:
        """Return what a figure or a table says of the run that it came from."""
        c = self.configuration
        weights, corpus = (digest.split()[-1][:12] for digest in (c.weight_digest, c.corpus_digest))
        return f"{self.label}, weights {weights}, corpus {corpus}, {c.tested}"

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

    @property
    def merged_path(self) -> Path:
        """Return where the scores of all shards are once they have been merged."""
        return self.folder / "scores" / MERGED

    def file_names(self) -> frozenset[str]:
        """Return the names of the score files that are there now; reads none of them.

        Raises:
            RunError: The folder cannot be read.
        """
        return list_names(self.folder / "scores")

    def valid_scores(self, among: Sequence[Shard] | None = None) -> ValidScores:
        """Validate the score files of all shards, or of some; each file is read once.

        A damaged file is warned of and counts as not done.

        Raises:
            RunError: A readable score file of another run lies in its place.
        """
        shards = self.shards() if among is None else among
        likelihood = self.configuration.likelihood
        while True:
            there = self.file_names()
            if MERGED in there and (merged := self._valid({MERGED: self._all_rows()})):
                return ValidScores(tuple(merged.values()), (), merged=True, likelihood=likelihood)
            found = self._valid(
                {s.file_name: self._rows_of(s) for s in shards if s.file_name in there}
            )
            # Merged meanwhile, the parts may be gone that were there a moment ago.
            if MERGED in there or MERGED not in self.file_names():
                left = (shard for shard in shards if shard.file_name not in found)
                return ValidScores(tuple(found.values()), tuple(left), likelihood=likelihood)

    def _valid(self, wanted: Mapping[str, ExpectedRows]) -> dict[str, ScoreFile]:
        """Return those of these files that are valid, by name."""
        paths = [self.folder / "scores" / name for name in wanted]
        remedy = f"to scan it again: {self.command}"
        return {
            name: file
            for (name, rows), path, file in zip(
                wanted.items(), paths, read_score_files(paths), strict=True
            )
            if is_valid(path, file, rows, self._metadata, remedy) and file
        }

    def _all_rows(self) -> ExpectedRows:
        c = self.configuration
        return ExpectedRows(c.start, c.stop, c.sequences, partly="import" in self.record)

    def _rows_of(self, shard: Shard) -> ExpectedRows:
        partly = "import" in self.record
        return ExpectedRows(shard.start, shard.stop, shard.sequences, partly=partly)

    @cached_property
    def _metadata(self) -> dict[str, str]:
        return self.configuration.metadata()

    def remove_damaged_merge(self) -> None:
        """Delete a merged file that is damaged, before the shards of which it was made are redone.

        Raises:
            OSError, RunError: It cannot be deleted.
        """
        if MERGED in self.file_names() and not self.valid_scores([]).merged:
            remove(self.merged_path)

    def shards_left(self, among: Sequence[Shard] | None = None) -> list[Shard]:
        """Return the shards that are not done, of all or of some; reads every score file.

        Raises:
            RunError: As `valid_scores`.
        """
        return list(self.valid_scores(among).left)

    def shards_missing(self) -> list[Shard]:
        """Return the shards that have no score file; lists one folder and reads no file."""
        there = self.file_names()
        if MERGED in there:
            return []
        return [shard for shard in self.shards() if shard.file_name not in there]

    def scores(self) -> pl.LazyFrame:
        """Return the scores of all finished shards, lazily, in training order."""
        return self.valid_scores().scan()

    @property
    def command(self) -> str:
        """Return the command line that finishes the run where it lies now."""
        words = [str(word) for word in self.record.get("command") or ["memtrace", "scan"]]
        if "--runs" in words:
            at = words.index("--runs")
            words[at : at + 2] = []
        runs = str(self.folder.parents[2])
        return shlex.join(words + ([] if runs == "runs" else ["--runs", runs]))

    def update(self, **entries: Any) -> "Run":
        """Write `run.json` again with these entries and return the run as it is then."""
        record = {**self.record, **entries}
        write_json(self.folder / "run.json", record)
        return Run(self.folder, record)


def begin_run(runs: Path, configuration: Configuration, record: Mapping[str, Any]) -> Run:
    """Create the run with its record, or open it to go on.

    A run of another configuration that has no score file yet gives way: nothing is lost.

    Raises:
        RunError: The folder cannot be written, or holds a run of another configuration; the
            message lists each difference.
    """
    c = configuration
    folder = run_folder(runs, c.suite, c.model, c.step)
    first = {"schema_version": SCHEMA_VERSION, "configuration": asdict(configuration), **record}
    if "run.json" not in list_names(folder):
        Run(folder, {}).update(**first)
    # Read again: of two processes that begin it at once, one has written over the other.
    run = open_run(folder)
    if differences := configuration.differences(run.record.get("configuration", {})):
        if not any(name.endswith(".parquet") for name in run.file_names()):
            return Run(folder, {}).update(**first)
        raise RunError(
            f"{folder} holds a run of another configuration ({'; '.join(differences)}); choose "
            f"another --runs folder, or take again what it was begun with: {run.command}"
        )
    return run


def open_run(folder: str | Path) -> Run:
    """Open an existing run folder.

    Raises:
        RunError: There is no readable run record.
    """
    folder = open_store(folder)
    path = folder / "run.json"
    try:
        record = json.loads(read_document(path).decode())
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, first_line(error)) from error
    if not isinstance(record, dict) or not isinstance(record.get("command", []), list):
        raise _unreadable(path, "it is not what memtrace writes")
    if (schema := record.get("schema_version")) != SCHEMA_VERSION:
        raise RunError(
            f"{path} was made by another memtrace (schema {str(schema)[:20]!a}, "
            f"this one reads {SCHEMA_VERSION!r}): scan again into another --runs folder"
        )
    record["workers"] = merge_logs(folder, record.get("workers"))
    return Run(folder, record)


def _unreadable(path: Path, reason: str) -> RunError:
    return RunError(
        f"cannot read the run record {path}: {reason}; if it is damaged, delete it and repeat the "
        "scan: score files are kept"
    )


def find_runs(
    runs: str | Path,
    *,
    suite: str | None = None,
    model: str | None = None,
    step: int | None = None,
) -> list[Run]:
    """Return every run below `runs` that fits, by suite, model and step.

    Raises:
        RunError: There is none; the message names those that exist.
    """
    runs = open_store(runs)
    found = [open_run(folder) for folder in run_folders(runs, suite, model, step)]
    if not found:
        raise no_run(runs, suite, model, step)
    logger.debug("found in %s: %s", runs, ", ".join(run.label for run in found))
    return sorted(found, key=lambda run: (run.suite, run.model, run.step))


def find_run(runs: str | Path, *, suite: str | None = None, model: str, step: int) -> Run:
    """Return the one run of this model at this step.

    Raises:
        RunError: There is none, or more than one suite has it.
    """
    found = find_runs(runs, suite=suite, model=model, step=step)
    if len(found) > 1:
        suites = ", ".join(run.suite for run in found)
        raise RunError(f"model {model!r} was scanned in several suites ({suites}): name the suite")
    return found[0]
