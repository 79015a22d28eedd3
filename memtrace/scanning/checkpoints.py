"""Which checkpoints a model name and a list of steps mean, and where their weights are."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from memtrace.corpus import Corpus
from memtrace.errors import ManifestError
from memtrace.manifests import ModelManifest, Suite, find_model, load_suites
from memtrace.manifests.steps import parse_steps
from memtrace.models.checkpoints import checkpoints_in, name_and_step
from memtrace.models.weights import is_local


@dataclass(frozen=True)
class Checkpoint:
    """A model at a step, and what is known of its training."""

    suite: str
    model: str
    step: int
    source: str
    """Local folder or Hub repository."""
    revision: str | None
    manifest: tuple[Suite, ModelManifest] | None
    """Where the model comes from; None for one that no manifest names."""


def find_checkpoints(
    model: str,
    step: int | str | None = None,
    *,
    suite: str | None = None,
    manifest: str | Path | None = None,
) -> list[Checkpoint]:
    """Find the checkpoints that a model name and a list of steps mean.

    Args:
        model: Short name from a manifest, a local folder, or a Hub `repository[@revision]`; a
            folder of the same name as a model needs a slash (`./demo`).
        step: A step, or a text such as `1000,2000`, `1000:143000:1000`, `all`, `last`. By default
            the last one; of a folder `RUN/checkpoint-500` 500, of other folders and repositories 0.
            In a folder with such folders it chooses among them.
        suite: The suite, where two have a model of that name.
        manifest: A manifest file of the user's own.

    Raises:
        ManifestError: No manifest names the model or the step, and it is no folder or repository.
        ModelError: It is a path that cannot be read.
    """
    is_folder = is_local(model) and not _is_named(model, manifest)
    if suite is None and ("/" in model or is_folder):
        return _series(model, step) or [_local_checkpoint(model, step)]
    found = find_model(model, suite=suite, manifest=manifest)
    steps = parse_steps(str("last" if step is None else step), found[0].steps_of(found[1]))
    return [
        Checkpoint(found[0].suite, found[1].name, each, *_source(found[1], each), found)
        for each in steps
    ]


def place_run(
    checkpoint: Checkpoint, corpus: Corpus, run: str | None, manifest: str | Path | None
) -> Checkpoint:
    """Return a checkpoint with the suite under which its runs lie.

    The runs of a model that no manifest names lie by corpus, so that those of several corpora do
    not meet: in suite `local-CORPUS`, or what `run` says.

    Raises:
        ManifestError: A manifest has the model, or a suite of that name.
    """
    if checkpoint.manifest is not None:
        if run is not None:
            raise ManifestError(
                f"{checkpoint.model} is of suite {checkpoint.suite}: --run names the runs of a "
                "model that no manifest names; choose another --runs folder"
            )
        return checkpoint
    stem = re.sub(r"\.(npy|bin|idx|parquet|ya?ml)$", "", re.split(r"[/\\]", corpus.name)[-1])
    suite = run or f"local-{re.sub('[^A-Za-z0-9._-]', '-', stem)[:60]}"
    if any(each.suite == suite for each in load_suites(manifest)):
        raise ManifestError(f"a manifest has a suite {suite!r}: choose another --run")
    return replace(checkpoint, suite=suite)


def _is_named(model: str, manifest: str | Path | None) -> bool:
    """Return whether a manifest has a model of that name, which then is no folder of that name."""
    return any(each.name == model for suite in load_suites(manifest) for each in suite.models)


def _source(model: ModelManifest, step: int) -> tuple[str, str | None]:
    source, revision = model.source(step)
    return str(source), revision


def _series(model: str, step: int | str | None) -> list[Checkpoint]:
    """Return the checkpoints `checkpoint-N` of a trainer's folder, where the step means them.

    Where the folder also holds a model itself, it is that model for which no step is given, or one
    that no checkpoint has.
    """
    found = checkpoints_in(Path(model)) if is_local(model) else {}
    asked = "last" if step is None else str(step)
    is_own = step is None or (asked.isdecimal() and int(asked) not in found)
    if not found or (is_own and (Path(model) / "config.json").is_file()):
        return []
    return [_local_checkpoint(str(found[each]), None) for each in parse_steps(asked, list(found))]


def _local_checkpoint(model: str, step: int | str | None) -> Checkpoint:
    """Name a model that no manifest knows after its folder or repository.

    A folder's model has the name of the folder, however the path is written (`.`, a slash at the
    end, a link to it); `RUN/checkpoint-500`, as trainers write it, is model RUN at step 500. A
    model of the Hub has the name `owner--repository`.
    """
    local = is_local(model)
    source, _, revision = (model, "", "") if local else model.partition("@")
    name, own_step = name_and_step(Path(model)) if local else (source.replace("/", "--"), 0)
    label = str(own_step if step is None else step)
    if not re.fullmatch("[0-9]{1,18}", label):
        raise ManifestError(
            f"step {label!r} of a model that no manifest names only labels the run: give one "
            "whole number from 0 on"
        )
    return Checkpoint("local", name, int(label), source, revision or None, None)
