"""Did an intervention on the training data change what was measured, and what did it cost?

What was changed in the data nobody tells. The published intervention swapped pronouns, masculine
to feminine, over the last 7% (`intervention`) or 21% (`intervention-long`) of Pythia's training.
"""

from pathlib import Path

import polars as pl

from memtrace.errors import FitError
from memtrace.evaluations.boundaries import with_errors_at_ends
from memtrace.evaluations.folder import read_evaluations
from memtrace.evaluations.intervention.document import document
from memtrace.evaluations.intervention.figures import figure
from memtrace.evaluations.intervention.page import brief, head
from memtrace.evaluations.intervention.pairs import adjusted, compared, kind_of, with_gaps
from memtrace.evaluations.intervention.result import InterventionResult
from memtrace.evaluations.intervention.text import text
from memtrace.evaluations.intervention.verdict import verdict
from memtrace.evaluations.names import trainings_of
from memtrace.report.base import Renderers, Report


class Intervention(Report, InterventionResult):
    """Every intervened run of a folder against its baseline."""

    renderers = Renderers(verdict, document, text, figure, head, brief)


def compare_interventions(folder: str | Path) -> Intervention:
    """Compare every intervened run below a folder with its model's baseline.

    Pairs are of the same model, checkpoint, shots and measure. The standard error of a difference
    is that of independent evaluations, sqrt(a^2 + b^2). Both runs answer the same questions and
    share most of their training, so their errors go together and the true error is smaller:
    intervals are too wide rather than too narrow. Item-wise answers, which would tell, are not
    published. Checkpoints share questions too, so they are not averaged as if they were repeats.

    Args:
        folder: Holds the JSON files of the evaluation harness, at any depth.

    Raises:
        FitError: Nothing could be read, or no intervened run has a baseline.
    """
    evaluations = read_evaluations(folder)
    table = with_gaps(with_errors_at_ends(evaluations.table))
    table = table.filter(kind_of().is_not_null()).with_columns(kind=kind_of())
    intervened = table.filter(pl.col("run").str.starts_with("intervention"))
    if not intervened.height:
        runs = ", ".join(sorted(set(evaluations.table["run"])))
        raise FitError(
            f"no intervened run in {folder} (runs: {runs}): its model's name says 'intervention', "
            "as in EleutherAI/pythia-intervention-1.4b-deduped"
        )
    found, unpaired = [], []
    sizes = trainings_of(intervened["model"].unique())
    by = ["kind", "task", "metric", "shots", "model", "run"]
    for key, rows in intervened.sort(*by, "step").group_by(by, maintain_order=True):
        kind, task, metric, shots, model, run = key
        others = table.filter(task=task, metric=metric, shots=shots, model=model)
        place = (str(kind), str(task), str(metric), int(str(shots)), str(model), str(run))
        one = compared(place, sizes[place[4]], rows, others)
        if one is None:
            unpaired.append(f"{model} {run}: {task} {metric}")
        else:
            found.append(one)
    if not found:
        raise FitError(
            f"no intervened run in {folder} has a baseline at the same model and checkpoint: add "
            "evaluations of the run without the intervention"
        )
    return Intervention(evaluations, tuple(adjusted(found)), tuple(unpaired))
