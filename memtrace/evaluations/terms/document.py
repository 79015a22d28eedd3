"""The document of `memtrace term-frequency --json`."""

from dataclasses import asdict
from typing import Any

from memtrace.evaluations.terms.result import Series, TermResult
from memtrace.evaluations.terms.verdict import verdict
from memtrace.report.json import json_safe


def document(result: TermResult) -> dict[str, Any]:
    """Return the document; undefined values are None."""
    found: dict[str, Any] = json_safe(
        {
            "verdict": verdict(result),
            "counted_at": result.counted_at,
            "questions_per_term": result.questions,
            "unmatched_terms": list(result.unmatched_terms),
            "seed": result.seed,
            "series": [_series(one) for one in result.series],
        }
    )
    return found


def _series(one: Series) -> dict[str, Any]:
    found = asdict(one)
    return {**found.pop("population"), **found}
