"""Pairs of an intervened run and its baseline, measure by measure."""

import math
from dataclasses import replace
from typing import Any

import polars as pl

from memtrace.evaluations.folder import KEY, PERPLEXITY
from memtrace.evaluations.intervention.result import BIAS_METRICS, GAP, Comparison, Difference
from memtrace.evaluations.names import Training
from memtrace.evaluations.populations import population_of
from memtrace.point_process.contrasts import adjust_p_values

BIAS = r"^(crows_pairs|wino_?bias|winogender|simple_cooccurrence_bias)"
COST = r"^(lambada|wikitext|pile_)|perplexity"
COST_METRICS = ("acc", *PERPLEXITY)


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


def kind_of() -> pl.Expr:
    """Return what a measure tells of, bias or cost; null for the others."""
    task, metric = pl.col("task"), pl.col("metric")
    return (
        pl.when(task.str.contains(BIAS) & metric.is_in(BIAS_METRICS))
        .then(pl.lit("bias"))
        .when(task.str.contains(COST) & metric.is_in(COST_METRICS))
        .then(pl.lit("cost"))
    )


def compared(
    place: tuple[str, str, str, int, str, str],
    training: Training | None,
    rows: pl.DataFrame,
    others: pl.DataFrame,
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
            population=population_of(model, training),
            parameters=training.parameters if training else None,
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
        errors = [e / v if v else math.nan for e, v in zip(errors, (value, other), strict=True)]
    change = _scale(value, metric) - _scale(other, metric)
    return Difference(row["step"], other, value, change, math.hypot(*errors))


def _scale(value: float, metric: str) -> float:
    """Return the value on the scale of differences; a perplexity that is none has no logarithm."""
    if metric not in PERPLEXITY:
        return value
    return math.log(value) if value > 0 else math.nan


def adjusted(found: list[Comparison]) -> list[Comparison]:
    """Return the comparisons with adjusted p-values, in the order of the result."""
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
