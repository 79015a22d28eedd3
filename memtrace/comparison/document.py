"""The document of `compare --json`: what is not known is null, with the reason."""

from typing import Any

from memtrace.comparison.agreement import Agreement, Measure
from memtrace.comparison.budget import Plan
from memtrace.comparison.classes import ClassShare
from memtrace.comparison.deduplication.document import deduplication_document
from memtrace.comparison.overlap import Combinations, Overlap
from memtrace.comparison.paired.document import paired_document
from memtrace.comparison.prediction import Prediction
from memtrace.comparison.profile.document import profile_document
from memtrace.comparison.ranking import Ranking
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.scale import Extended, ScaleLine, ScalePoint
from memtrace.comparison.seeds import SeedGroup
from memtrace.comparison.verdict import verdict
from memtrace.report.json import json_safe

MEASURES = ("precision", "recall", "f1", "mcc")


def document(found: ComparisonResult) -> dict[str, Any]:
    """Return the document; shares and their intervals are of texts."""
    names = [run.label for run in found.runs]
    safe: dict[str, Any] = json_safe(
        {
            "tested": found.runs[0].run.configuration.tested,
            "eos_rule": found.runs[0].run.configuration.eos_rule,
            "copies_known": not found.caveats,
            "copies_reason": "; ".join(found.copies_reasons) or None,
            "unmatched_reason": found.unmatched,
            "runs": [_run(run) for run in found.runs],
            "pairs": "all" if found.are_all_paired else "last",
            "scale": [_point(found.runs[one.run], one) for one in found.points],
            "scale_lines": [_line(one, found) for one in found.lines],
            "prediction": [_prediction(one, names) for one in found.predictions],
            "budget": [_plan(one, names) for one in found.plans],
            "overlap": [_overlap(one, names) for one in found.overlaps],
            "combinations": _combinations(found.combinations, names),
            "seeds": [_seeds(one, names) for one in found.seeds],
            "deduplication": deduplication_document(found.deduplication),
            "paired": paired_document(found.paired),
            "unpaired_reasons": found.unpaired,
            "profile": profile_document(found.profiles),
            "verdict": verdict(found),
        }
    )
    return safe


def _run(run: ComparedRun) -> dict[str, Any]:
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        "parameters": run.parameters,
        "seed": vars(run.seed),
        "corpus": run.corpus,
        "exposed_rows": run.exposed_rows,
        "order_known": run.run.is_order_known,
        "scanned": run.scanned_sequences,
        "memorized": run.memorized,
        "memorized_exposed": run.memorized_exposed,
        "published": run.published,
    }


def _point(run: ComparedRun, one: ScalePoint) -> dict[str, Any]:
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        "parameters": run.parameters,
        **_class(one.exposed),
        "classes": {name: _class(each) for name, each in one.classes.items()},
        "compared_rows": one.rows,
        "reason": _no_share(run, one),
    }


def _no_share(run: ComparedRun, one: ScalePoint) -> str | None:
    if one.exposed.of_texts:
        return None
    rows = "row that the checkpoint had been trained on" if run.run.is_order_known else "row"
    return f"no {rows} was scanned by all runs of its step"


def _class(one: ClassShare) -> dict[str, Any]:
    measure = one.share
    return {**vars(one), "share": measure.value, "ci95": measure.ci95}


def _line(one: ScaleLine, found: ComparisonResult) -> dict[str, Any]:
    first = found.runs[(one.runs + one.left_out)[0]]
    line = one.line
    return {
        "suite": first.suite,
        "step": first.step,
        "exposure": one.exposure,
        "models": [found.runs[place].model for place in one.runs],
        "sizes": one.sizes,
        "slope": one.slope,
        "ci95": line.interval(1) if line else None,
        "p_value": line.p_value(1) if line else None,
        "counts_ci95": one.counts_ci95,
        "between_models_sd": line.tau if line and line.degrees else None,
        "bend": one.bend and {**vars(one.bend), "shown": one.bend.shown},
        "extrapolation": [_extended(each) for each in one.extended],
        "tested": one.tested
        and {
            "model": found.runs[one.tested.run].model,
            **_extended(one.tested.predicted),
            "observed": one.tested.share,
            "inside": one.tested.inside,
        },
        "left_out": [found.runs[place].model for place in one.left_out],
        "reason": one.reason
        or (None if line and line.degrees else "two sizes do not tell how sizes scatter"),
    }


def _extended(one: Extended) -> dict[str, Any]:
    return {"parameters": one.parameters, "share": one.share, "ci95": one.ci95}


def _prediction(one: Prediction, names: list[str]) -> dict[str, Any]:
    return {
        "from": names[one.source],
        "to": names[one.target],
        **_agreement(one.every),
        "rows": one.rows,
        "matched_by": "text" if one.matched_by_text else "row",
        "exposed": one.exposed and _agreement(one.exposed),
        "unexposed": one.unexposed and _agreement(one.unexposed),
        "ranking": one.ranking and _ranking(one.ranking),
        "reason": one.reason,
    }


def _agreement(found: Agreement) -> dict[str, Any]:
    measures: dict[str, Measure] = {name: getattr(found, name) for name in MEASURES}
    return {
        **{name: one.value for name, one in measures.items()},
        "ci95": {name: one.ci95 for name, one in measures.items()},
        "texts_both": found.both,
        "texts_from": found.first,
        "texts_to": found.second,
        "texts": found.texts,
    }


def _ranking(one: Ranking) -> dict[str, Any]:
    return {
        "auc": one.auc.value,
        "ci95": one.auc.ci95,
        "threshold": one.threshold,
        "held_out": one.held_out and _agreement(one.held_out),
        "recall": one.recall,
        "share_of_texts": one.budget,
        "share_of_texts_ci95": one.budget_ci95,
        "texts": one.texts,
    }


def _plan(one: Plan, names: list[str]) -> dict[str, Any]:
    return {
        "from": names[one.source],
        "to": names[one.target],
        "recall": one.recall,
        "how": one.how,
        "share_of_texts": one.texts,
        "cost": one.cost,
        "ci95": one.ci95,
        "saves": one.saves,
    }


def _overlap(one: Overlap, names: list[str]) -> dict[str, Any]:
    found = one.agreement
    return {
        "a": names[one.a],
        "b": names[one.b],
        "texts_a": found.first,
        "texts_b": found.second,
        "texts_both": found.both,
        "jaccard": found.jaccard.value,
        "ci95": found.jaccard.ci95,
        "containment": one.contained,
        "phi": found.mcc.value,
        "texts": found.texts,
        "rows": one.rows,
        "matched_by": "text" if one.matched_by_text else "row",
        "reason": one.reason,
    }


def _combinations(found: Combinations | None, names: list[str]) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "runs": [names[place] for place in found.runs],
        "texts": found.scanned,
        "counts": [
            {"runs": [names[found.runs[bit]] for bit in which.nonzero()[0]], "texts": int(texts)}
            for which, texts in zip(found.members, found.texts, strict=True)
        ],
    }


def _seeds(one: SeedGroup, names: list[str]) -> dict[str, Any]:
    spread = one.spread
    return {
        "of": one.of,
        "differs": one.kind,
        "step": one.step,
        "runs": [names[place] for place in one.runs],
        "shares": one.shares,
        "mean": spread and _measure(spread.mean),
        "sd_log_share": spread and _measure(spread.spread),
        "sd_by_counts": spread and spread.counting,
        "one_more_ci95": spread and spread.one_more,
        "shared": one.shared and _measure(one.shared),
        "jaccard": one.jaccard and _measure(one.jaccard),
        "texts_by_seeds": one.by_number,
        "reason": None if spread else "a seed has memorized no text, or none that was scanned",
    }


def _measure(one: Measure) -> dict[str, Any]:
    return {"value": one.value, "ci95": one.ci95}
