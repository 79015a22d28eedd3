"""What is seen in each figure of extraction, for readers who do not see it."""

import numpy as np

from memtrace.likelihood.extraction.figures import DRAWN, middle_chance
from memtrace.likelihood.extraction.result import ExtractionResult
from memtrace.likelihood.extraction.sequences import PER_DECADE, histogram_edges
from memtrace.report.numbers import count, number, percent


def described(fit: ExtractionResult, name: str) -> str:
    """Return the alternative text of one of the figures that `shown` lists."""
    return _samples(fit) if name == "samples" else _probabilities(fit)


def _samples(fit: ExtractionResult) -> str:
    middle = middle_chance(fit)
    curves = [_curve(fit, name, middle) for name in DRAWN if fit.classes[name].counts.texts]
    greedy = [
        f"{percent(fit.greedy[name].share)} of {fit.called(name)} {fit.unit}s"
        for name in DRAWN
        if fit.greedy[name].of_texts
    ]
    against = f"Share of {fit.unit}s against the number of samples"
    return (
        f"{against}, a curve a class: {'; '.join(curves)}. "
        f"Greedy decoding returns {' and '.join(greedy)}."
    )


def _curve(fit: ExtractionResult, name: str, p: float) -> str:
    n, share = fit.curve(name, p)
    seen = np.flatnonzero(np.isfinite(share) & (share > 0))
    of = f"{fit.called(name)}, chance {percent(p)} or more"
    if not len(seen):
        return f"{of}: none"
    first, last = seen[0], seen[-1]
    start = f"{percent(float(share[first]))} with {count(int(n[first]), 'sample')}"
    return f"{of}: {start}, {percent(float(share[last]))} with {int(n[last]):,}"


def _probabilities(fit: ExtractionResult) -> str:
    edges = histogram_edges()[::PER_DECADE]
    parts = []
    for name, one in fit.classes.items():
        counts = one.histogram.reshape(-1, PER_DECADE).sum(axis=1)
        if not counts.any():
            continue
        most = int(counts.argmax())
        parts.append(
            f"of {one.counts.exposure:,} {fit.called(name)} sequences most, "
            f"{percent(counts[most] / one.counts.exposure)}, between 1e{number(edges[most])} and "
            f"1e{number(edges[most + 1])}"
        )
    return f"Histogram of probabilities by power of ten: {'; '.join(parts)}."
