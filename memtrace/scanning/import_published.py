"""Turn evaluations that others have published into runs, as if they had been scanned here."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

from memtrace.corpus import Corpus, open_corpus
from memtrace.errors import CorpusError, ManifestError, RunError
from memtrace.manifests import ModelManifest, Suite, find_model
from memtrace.manifests.steps import parse_steps
from memtrace.runs.configuration import Configuration
from memtrace.runs.events import write_events
from memtrace.runs.run import Run, begin_run
from memtrace.runs.scores import write_scores
from memtrace.runs.shards import Shard
from memtrace.scanning.plan import SHARD_SIZE
from memtrace.scanning.published import Evaluation, Findings, read_evaluation
from memtrace.scanning.published_names import Label, choose_files
from memtrace.storage.address import public_address
from memtrace.storage.store import open_store

PROMPT_TOKENS = CONTINUATION_TOKENS = 32
# The script generated with min_length 64 and token 0 as end of sequence, which forbids token 0.
_EOS_RULE, _DTYPE = "mask-eos", "float16"
_CHECKED = 8192  # sequences compared with the corpus at a time


def import_run(
    source: str | Path,
    *,
    model: str | None = None,
    step: int | None = None,
    suite: str | None = None,
    corpus: str | None = None,
    runs: str | Path = "runs",
    prompt_tokens: int = PROMPT_TOKENS,
    continuation_tokens: int = CONTINUATION_TOKENS,
    offset: int = 0,
    shard_size: int = SHARD_SIZE,
    manifest: str | Path | None = None,
    command: Sequence[str] = (),
    on_progress: Callable[[int], None] = lambda _: None,
) -> tuple[Run, Findings]:
    """Import one evaluation of one checkpoint.

    Matched tokens are all for a memorized sequence and null for another: accuracy counts right
    tokens wherever they are, so that only all of them tell how many lead.

    Args:
        source: A file, or a folder of files; see `published_files`. Of a folder with the tables
            of several checkpoints, those of `model` and `step` are taken.
        model: Short name; where it is not given, what the names of the files say.
        step: Checkpoint; likewise, else the last one.
        suite: The suite, where two have a model of that name.
        corpus: Compare the imported tokens with this corpus.
        runs: Folder of runs.
        prompt_tokens: Tokens that the model was given.
        continuation_tokens: Tokens after them that it had to return.
        offset: Tokens of a row before its sequence.
        shard_size: Sequences in a score file.
        manifest: A manifest file of your own.
        command: The command line to record.
        on_progress: Called with the number of sequences written since the last call.

    Raises:
        ManifestError: No model is named, or no manifest knows it.
        CorpusError: The tokens are not those of the corpus.
        RunError: The files cannot be read, or another run lies where this one goes.
    """
    source, runs = Path(source), open_store(runs)
    files, label = choose_files(source, Label(model, step))
    name = model or label.model
    if name is None:
        raise ManifestError(
            f"the name of {source} does not tell its model: give --model and --step"
        )
    owner, found = find_model(name, suite=suite, manifest=manifest)
    at = next((each for each in (step, label.step) if each is not None), owner.last_step)
    _check_label(source, label, owner, found.name, at)
    opened = open_corpus(corpus, manifest=manifest) if corpus else None
    rows = len(opened) if opened else _rows(owner, found)
    exposed = owner.exposed_rows(at, rows)
    evaluation = read_evaluation(files, corpus_rows=rows, exposed_rows=exposed)
    _check_length(evaluation, source, prompt_tokens + continuation_tokens)
    if opened:
        opened.check_tokens(prompt_tokens + continuation_tokens, offset)
        _compare(evaluation, opened, offset)
    configuration = Configuration(
        suite=owner.suite,
        model=found.name,
        step=at,
        start=0,
        stop=exposed,
        exposed_rows=exposed,
        corpus_rows=rows,
        sequences_per_step=owner.sequences_per_step,
        shard_size=shard_size,
        prompt_tokens=prompt_tokens,
        continuation_tokens=continuation_tokens,
        offset=offset,
        eos_rule=_EOS_RULE,
        dtype=_DTYPE,
        weight_digest=f"imported {_digest(evaluation)}",
        corpus_digest=opened.digest if opened else "unknown",
    )
    record = {
        "command": list(command),
        "source": str(source),
        "import": {
            **asdict(evaluation.findings),
            "compared_with_corpus": corpus and public_address(corpus),
        },
        "versions": {"memtrace": version("memtrace-llm")},
    }
    run = begin_run(runs, configuration, record)
    for shard in run.shards_left():
        on_progress(_write_shard(run, shard, evaluation))
    write_events(run, run.valid_scores(), opened)
    done = exposed if evaluation.memorized_only else len(evaluation.index)
    return run.update(sequences_done=done), evaluation.findings


def _check_label(source: Path, label: Label, owner: Suite, model: str, step: int) -> None:
    """Refuse files whose names say that they are of another checkpoint of the suite."""
    others = {each.name for each in owner.models} - {model}
    if label.model in others or (label.step in owner.steps and label.step != step):
        raise ManifestError(
            f"{source} is named as an evaluation of {label}, not of {model} step {step}: give the "
            "files of that checkpoint, or rename these if the name is wrong"
        )
    parse_steps(str(step), owner.steps)


def _rows(suite: Suite, model: ModelManifest) -> int:
    if model.corpus is None:
        raise CorpusError(f"no corpus in the training order of {model.name}: {model.corpus_note}")
    return suite.corpora[model.corpus].rows


def _write_shard(run: Run, shard: Shard, evaluation: Evaluation) -> int:
    """Write the scores of one shard and return how many sequences it has."""
    chosen = slice(*np.searchsorted(evaluation.index, [shard.start, shard.stop]))
    found, memorized = evaluation.index[chosen], evaluation.memorized[chosen]
    rows = np.arange(shard.start, shard.stop) if evaluation.memorized_only else found
    matched = np.isin(rows, found[memorized])
    table = pl.select(
        pl.when(pl.lit(pl.Series(matched))).then(pl.lit(run.continuation_tokens, pl.UInt8))
    ).to_series()
    accuracy = None if evaluation.accuracy is None else evaluation.accuracy[chosen]
    write_scores(run.path(shard), rows, table, run.configuration.metadata(), accuracy)
    return len(rows)


def _check_length(evaluation: Evaluation, source: Path, tokens: int) -> None:
    """Refuse sequences that are of another length than was said."""
    if evaluation.tokens is None or not len(evaluation.tokens):
        return
    if (width := evaluation.tokens.shape[1]) != tokens:
        raise RunError(
            f"{source} has sequences of {width} tokens, not of {tokens}: give the "
            "--prompt-tokens and --continuation-tokens with which they were evaluated"
        )


def _compare(evaluation: Evaluation, corpus: Corpus, offset: int) -> None:
    """Compare the imported tokens with the corpus, where there are tokens.

    Raises:
        CorpusError: They differ: another corpus, another order, or labels that are off by one.
    """
    if evaluation.tokens is None:
        return
    width = evaluation.tokens.shape[1]
    wrong = 0
    first: int | None = None
    for start in range(0, len(evaluation.index), _CHECKED):
        index = evaluation.index[start : start + _CHECKED]
        theirs = evaluation.tokens[start : start + _CHECKED]
        differs = (corpus.take(index, width, offset) != theirs).any(axis=1)
        wrong += int(differs.sum())
        if first is None and differs.any():
            first = int(index[differs][0])
    if wrong:
        raise CorpusError(
            f"{wrong} of {len(evaluation.index)} imported sequences are not what corpus "
            f"{corpus.name} has at their index (first: {first}): it is another corpus or another "
            "order; `duped` tables belong to pile-standard, `deduped` ones to pile-deduped"
        )


def _digest(evaluation: Evaluation) -> str:
    digest = hashlib.sha256(evaluation.index.tobytes())
    digest.update(evaluation.memorized.tobytes())
    if evaluation.accuracy is not None:
        digest.update(evaluation.accuracy.tobytes())
    return digest.hexdigest()
