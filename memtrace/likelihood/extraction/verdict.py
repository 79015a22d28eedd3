"""What sampling would extract, in plain sentences."""

from memtrace.likelihood.extraction.result import ExtractionResult, Share
from memtrace.report.numbers import count, interval, percent


def verdict(fit: ExtractionResult) -> str:
    """Return how much the most samples return, greedy decoding beside it, and what is chance."""
    exposed = fit.greedy["exposed"]
    if not exposed.of_texts:
        return (
            "Nothing scanned had been trained on at this checkpoint: what is extractable here is "
            f"chance. {_chance(fit)}"
        )
    known = [one for one in fit.table if not one.reason]
    middle = sorted(fit.ps, key=lambda p: abs(p - 0.5))[0]
    chosen = [one for one in known if one.p == middle] or known
    unit = f"{fit.called('exposed')} {fit.unit}"
    greedy = f"greedy decoding returns {exposed.texts:,}"
    if not chosen:
        return (
            f"Of {count(exposed.of_texts, unit)} {greedy}. What samples would return is "
            f"not known: the scan stopped at a probability of {fit.min_probability:g}."
        )
    best = max(chosen, key=lambda one: one.n)
    found = best.shares["exposed"]
    samples = count(best.n, "sample")
    return (
        f"Of {count(found.of_texts, unit)} {found.texts:,} ({_share(fit, found)}) would be "
        f"extracted by {samples} with a chance of {percent(best.p)} or more; {greedy}. "
        f"{_chance(fit, best.n, best.p)}"
    )


def _chance(fit: ExtractionResult, n: int | None = None, p: float | None = None) -> str:
    """Say what texts give that the checkpoint had not seen."""
    which = fit.greedy if n is None or p is None else fit.at(n, p).shares
    found = which["unexposed"]
    if not fit.is_order_known:
        return "What was trained on is unknown, so how much of it is chance is not known."
    if not found.of_texts:
        return f"No unexposed {fit.unit} was scanned, so how much of it is chance is not known."
    how = "greedy decoding returns" if n is None else "the same is true of"
    meant = ": so much is chance among them."
    if fit.copies_reason is not None:
        meant = "; copies of exposed ones may be among them, so how much is chance is not known."
    texts = count(found.of_texts, f"unexposed {fit.unit}")
    return f"Of {texts} {how} {found.texts:,} ({_share(fit, found)}){meant}"


def _share(fit: ExtractionResult, found: Share) -> str:
    return f"{percent(found.share)}, 95% {interval(found.ci95, percent)}{fit.condition}"
