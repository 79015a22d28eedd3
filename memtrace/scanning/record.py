"""The record of a scan: what is written when a run begins, and when it is complete."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from memtrace.errors import RunError
from memtrace.models.weights import Weights
from memtrace.runs.events import are_events_written, write_events
from memtrace.runs.run import Run, open_run
from memtrace.scanning.checks import refuse_identical_weights
from memtrace.scanning.plan import ScanPlan


def first_record(plan: ScanPlan, weights: Weights, command: Sequence[str]) -> Mapping[str, Any]:
    """Return what the record of a run says from the beginning."""
    names = ("torch", "transformers", "numpy", "polars")
    return {
        "command": list(command),
        "source": plan.checkpoint.source,
        "revision": plan.checkpoint.revision,
        "hub_commit": weights.commit,
        "weights": dict(weights.files),
        "corpus": {
            "name": plan.corpus.name,
            "rows": len(plan.corpus),
            "row_tokens": plan.corpus.row_tokens,
            "dtype": str(plan.corpus.dtype),
            "files": [part.name for part in plan.corpus.parts],
        },
        "versions": {
            "memtrace": version("memtrace-llm"),
            "python": platform.python_version(),
            **{name: version(name) for name in names},
        },
        "sequences_done": 0,
        "workers": [],
    }


def complete_record(plan: ScanPlan, *, again: bool = False) -> bool:
    """Write the events of a run and, into its record, that all is done; return whether it is.

    Every score file is read once more before the record says so. `again` writes it even where it
    says so already, with the worker logs that have been added.

    Raises:
        ModelError: A step that was scanned at the same time has the same weights.
        CorpusError: The corpus has changed, or the texts of the events cannot be read.
    """
    run = open_run(plan.folder)  # as the other workers have left it
    if run.shards_missing():
        return False
    done = run.record.get("sequences_done") == plan.sequences
    if done and not again and are_events_written(run, plan.corpus):
        return True
    scores = run.valid_scores()
    if scores.left:
        return False
    if not plan.allow_known_bad:
        refuse_identical_weights(plan.runs, run.configuration)
    plan.corpus.check_unchanged(digest=True)
    write_events(run, scores, plan.corpus)
    run.update(sequences_done=plan.sequences)
    return True


def completed(plan: ScanPlan) -> Run:
    """Return the run of a plan whose shards have all been done.

    Raises:
        ModelError: As `complete_record`.
        RunError: Some of its score files are gone or damaged.
    """
    if not complete_record(plan):
        raise RunError(
            f"{plan.folder} has lost score files while it was scanned: find out who deletes there, "
            "then repeat the command"
        )
    return open_run(plan.folder)
