"""The document of `extraction --json`: what is not known is null, with the reason."""

import math
from typing import Any

from memtrace.likelihood.extraction.result import Discoverable, ExtractionResult, Share
from memtrace.likelihood.extraction.sequences import histogram_edges
from memtrace.likelihood.extraction.verdict import verdict
from memtrace.report.json import json_safe
from memtrace.texts.exposure import CLASSES


def document(fit: ExtractionResult) -> dict[str, Any]:
    """Return the document; shares and their intervals are of texts."""
    edges = histogram_edges()
    safe: dict[str, Any] = json_safe(
        {
            "label": fit.label,
            "step": fit.step,
            "source": fit.source,
            "continuation_tokens": fit.tokens,
            "sampling": {"temperature": fit.temperature, "top_k": fit.top_k},
            "min_probability": fit.min_probability,
            "scanned": fit.part or "all",
            "order_known": fit.is_order_known,
            "copies_known": fit.copies_reason is None,
            "copies_reason": fit.copies_reason,
            "greedy": {name: _share(one) for name, one in fit.greedy.items()},
            "discoverable": [_entry(one) for one in fit.table],
            "curve": [_curve(fit, name, p) for p in fit.ps for name in ("exposed", "unexposed")],
            "distribution": {
                "log10_probability": edges,
                **{name: one.histogram for name, one in fit.classes.items()},
                "below_min_probability": {name: one.below for name, one in fit.classes.items()},
            },
            "verdict": verdict(fit),
        }
    )
    return safe


def _entry(one: Discoverable) -> dict[str, Any]:
    """Return an entry; a probability below the smallest float is 0 beside its logarithm."""
    shares = {name: _share(one.shares[name]) if one.shares else None for name in CLASSES}
    exposed = shares["exposed"] or {}
    return {
        "n": one.n,
        "p": one.p,
        "probability": math.exp(one.log_likelihood),
        "log_likelihood": one.log_likelihood,
        **{key: exposed.get(key) for key in ("sequences", "texts", "share", "ci95")},
        **shares,
        "reason": one.reason or exposed.get("reason"),
    }


def _share(found: Share) -> dict[str, Any]:
    return {**vars(found), "reason": None if found.of_texts else "none was scanned"}


def _curve(fit: ExtractionResult, name: str, p: float) -> dict[str, Any]:
    n, share = fit.curve(name, p)
    partly = f"the scan stopped at a probability of {fit.min_probability}"
    return {
        "class": name,
        "p": p,
        "n": n.astype(int),
        "share": share,
        "reason": partly if not (share == share).all() else None,
    }
