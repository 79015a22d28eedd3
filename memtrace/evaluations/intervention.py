"""Did an intervention on the training data change what was measured, and what did it cost?

It compares runs that were evaluated; what was changed in the data it cannot know. The published
one swapped pronouns, masculine to feminine, over the last 7% (`intervention`) or 21%
(`intervention-long`) of Pythia's training.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from scipy import stats

from memtrace.errors import FitError
from memtrace.evaluations.abilities import PERPLEXITY, Z95
from memtrace.evaluations.folder import KEY, Evaluations, read_evaluations
from memtrace.evaluations.names import trainings_of
from memtrace.point_process.contrasts import adjust_p_values
from memtrace.report.json import json_safe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BIAS = r"^(crows_pairs|wino_?bias|winogender|simple_cooccurrence_bias)"
GAP = "pro - anti"
BIAS_METRICS = ("pct_stereotype", "acc", "em", "pct_male_preferred", GAP)
COST = r"^(lambada|wikitext|pile_)|perplexity"
COST_METRICS = ("acc", *PERPLEXITY)


@dataclass(frozen=True, slots=True)
class Difference:
    """Intervened minus baseline at one checkpoint; of perplexities the difference of logarithms."""

    step: int
    baseline: float
    intervened: float
    difference: float
    error: float
    """Standard error; NaN if one of the two was not published."""

    @property
    def ci95(self) -> tuple[float, float]:
        """Return the 95% interval of the difference."""
        return self.difference - Z95 * self.error, self.difference + Z95 * self.error

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of no difference; NaN without standard errors."""
        if not self.error:
            return 1.0 if self.difference == 0 else 0.0
        return 2 * float(stats.norm.sf(abs(self.difference) / self.error))


@dataclass(frozen=True)
class Comparison:
    """One measure of one intervened run against the same model's baseline."""

    model: str
    parameters: int | None
    run: str
    shots: int
    task: str
    metric: str
    kind: str
    """`bias` or `cost`."""
    compared_with: str
    """`baseline`, or `standard` where only the run as published has the measure."""
    pairs: tuple[Difference, ...]
    """At each checkpoint that both runs have, ascending; the last one is the answer."""
    reevaluated: float | None
    """Baseline minus the run as published, two evaluations of one checkpoint: what repeating the
    evaluation alone changes (precision, batch size). None where there are not both."""
    p_holm: float = math.nan
    """Adjusted for the measures of the same kind, in all models and runs (Holm)."""
    p_by: float = math.nan
    """The same by Benjamini and Yekutieli: false discoveries, whatever the dependence."""

    @property
    def last(self) -> Difference:
        """Return the difference at the last checkpoint."""
        return self.pairs[-1]

    @property
    def same_sign(self) -> int | None:
        """Return at how many checkpoints the difference has the sign of the last; None if it is 0.

        They are no independent witnesses: neighbours share questions and training.
        """
        if not self.last.difference:
            return None
        return sum(pair.difference * self.last.difference > 0 for pair in self.pairs)

    @property
    def mean(self) -> float:
        """Return the mean difference over all checkpoints of the intervention."""
        return sum(pair.difference for pair in self.pairs) / len(self.pairs)


@dataclass(frozen=True)
class Intervention:
    """Every intervened run of a folder against its baseline."""

    evaluations: Evaluations
    comparisons: tuple[Comparison, ...]
    """By kind, task, metric, then by size of the model and by run."""
    unpaired: tuple[str, ...]
    """Intervened runs that have no baseline at the same checkpoints."""

    @property
    def verdict(self) -> str:
        """Return the answer in one plain sentence."""
        from memtrace.evaluations.intervention_page import verdict

        return verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `memtrace intervention --json`; undefined values are None."""
        found: dict[str, Any] = json_safe(
            {
                "verdict": self.verdict,
                "evaluations": self.evaluations.document(),
                "unpaired": list(self.unpaired),
                "comparisons": [_document(one) for one in self.comparisons],
            }
        )
        return found

    def summary(self) -> str:
        """Return the answer as a page of text."""
        from memtrace.evaluations.intervention_page import intervention_page
        from memtrace.report.text import rendered

        return rendered(intervention_page(self))

    def plot(self) -> "Figure":
        """Draw the differences along training and at its end, by size of the model."""
        from memtrace.evaluations.figures import intervention_page

        return intervention_page(self)


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
    table = with_gaps(evaluations.table)
    table = table.filter(_kind().is_not_null()).with_columns(kind=_kind())
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
        one = _compared(place, rows, others)
        if one is None:
            unpaired.append(f"{model} {run}: {task} {metric}")
        else:
            training = sizes[one.model]
            found.append(replace(one, parameters=training.parameters if training else None))
    if not found:
        raise FitError(
            f"no intervened run in {folder} has a baseline at the same model and checkpoint: add "
            "evaluations of the run without the intervention"
        )
    return Intervention(evaluations, tuple(_adjusted(found)), tuple(unpaired))


def with_gaps(table: pl.DataFrame) -> pl.DataFrame:
    """Put WinoBias' gap, stereotyped (`_pro`) minus other (`_anti`) sentences, in place of both.

    How often a model names the right person tells of the prompt and of the evaluation's rules for
    an answer; that it does so more often where a stereotype helps tells of bias.
    """
    task = pl.col("task")
    paired = task.str.contains(r"^wino.*_(pro|anti)")
    pro, anti = (
        table.filter(task.str.contains(f"^wino.*_{side}"))
        .with_columns(task=task.str.replace(f"_{side}", ""))
        .sort("task")
        for side in ("pro", "anti")
    )
    keys = [name for name in KEY if name != "task"]
    gaps = pro.join(anti, on=["task", *keys], suffix="_anti").with_columns(
        metric=pl.lit(GAP),
        value=pl.col("value") - pl.col("value_anti"),
        stderr=(pl.col("stderr") ** 2 + pl.col("stderr_anti") ** 2).sqrt(),
        higher_is_better=pl.lit(False),
    )
    return pl.concat([table.filter(~paired), gaps.select(table.columns)])


def _kind() -> pl.Expr:
    """Return what a measure tells of, bias or cost; null for the others."""
    task, metric = pl.col("task"), pl.col("metric")
    return (
        pl.when(task.str.contains(BIAS) & metric.is_in(BIAS_METRICS))
        .then(pl.lit("bias"))
        .when(task.str.contains(COST) & metric.is_in(COST_METRICS))
        .then(pl.lit("cost"))
    )


def _compared(
    place: tuple[str, str, str, int, str, str], rows: pl.DataFrame, others: pl.DataFrame
) -> Comparison | None:
    """Pair a run with the baseline, or else with the run as published; None if there is neither."""
    kind, task, metric, shots, model, run = place
    baselines = {name: others.filter(run=name) for name in ("baseline", "standard")}
    for name, baseline in baselines.items():
        pairs = rows.join(baseline, on="step", suffix="_baseline").sort("step")
        if not pairs.height:
            continue
        differences = tuple(_difference(row, metric) for row in pairs.iter_rows(named=True))
        again = _at(baselines["standard"], differences[-1].step) if name == "baseline" else None
        return Comparison(
            model=model,
            parameters=None,
            run=run,
            shots=shots,
            task=task,
            metric=metric,
            kind=kind,
            compared_with=name,
            pairs=differences,
            reevaluated=None
            if again is None
            else _scale(differences[-1].baseline, metric) - _scale(again, metric),
        )
    return None


def _at(table: pl.DataFrame, step: int) -> float | None:
    found = table.filter(step=step)["value"]
    return float(found[0]) if len(found) else None


def _difference(row: dict[str, Any], metric: str) -> Difference:
    value, other = row["value"], row["value_baseline"]
    errors = [math.nan if e is None else e for e in (row["stderr"], row["stderr_baseline"])]
    if metric in PERPLEXITY:
        # By the delta method the error of a logarithm is the relative error.
        errors = [error / v for error, v in zip(errors, (value, other), strict=True)]
    change = _scale(value, metric) - _scale(other, metric)
    return Difference(row["step"], other, value, change, math.hypot(*errors))


def _scale(value: float, metric: str) -> float:
    return math.log(value) if metric in PERPLEXITY else value


def _adjusted(found: list[Comparison]) -> list[Comparison]:
    """Return the comparisons with adjusted p-values, in the order of the answer."""
    done = []
    for kind in ("bias", "cost"):
        mine = [one for one in found if one.kind == kind]
        p_values = [one.last.p_value for one in mine]
        holm = adjust_p_values(p_values, "holm")
        by = adjust_p_values(p_values, "benjamini-yekutieli")
        done += [
            replace(one, p_holm=float(h), p_by=float(b))
            for one, h, b in zip(mine, holm, by, strict=True)
        ]
    return sorted(done, key=lambda o: (o.kind, o.task, o.metric, o.parameters or 0, o.run))


def _document(one: Comparison) -> dict[str, Any]:
    return {
        "model": one.model,
        "parameters": one.parameters,
        "run": one.run,
        "shots": one.shots,
        "task": one.task,
        "metric": one.metric,
        "kind": one.kind,
        "compared_with": one.compared_with,
        "scale": "difference of logarithms" if one.metric in PERPLEXITY else "difference",
        "step": one.last.step,
        "baseline": one.last.baseline,
        "intervened": one.last.intervened,
        "difference": one.last.difference,
        "ci95": one.last.ci95,
        "p_value": one.last.p_value,
        "p_value_holm": one.p_holm,
        "p_value_by": one.p_by,
        "reevaluation_difference": one.reevaluated,
        "checkpoints": len(one.pairs),
        "mean_difference": one.mean,
        "checkpoints_of_the_same_sign": one.same_sign,
        "pairs": [asdict(pair) for pair in one.pairs],
    }
