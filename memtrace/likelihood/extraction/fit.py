"""What would sampling extract? Likelihoods of a run in, shares by class of exposure out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from memtrace.errors import FitError
from memtrace.likelihood.extraction.chances import least_log_likelihood
from memtrace.likelihood.extraction.document import document
from memtrace.likelihood.extraction.figures import overview
from memtrace.likelihood.extraction.page import brief, head
from memtrace.likelihood.extraction.result import (
    Discoverable,
    ExtractionResult,
    least_known,
    share_of,
)
from memtrace.likelihood.extraction.sequences import ClassLikelihoods, by_class
from memtrace.likelihood.extraction.text import printed
from memtrace.likelihood.extraction.verdict import verdict
from memtrace.report.base import Renderers, Report
from memtrace.report.numbers import number
from memtrace.runs.likelihoods import Likelihoods, read_likelihoods, require_likelihoods
from memtrace.runs.run import Run
from memtrace.texts.find import known_texts
from memtrace.texts.groups import Texts

SAMPLES = (1, 10, 100, 1000)
CHANCES = (0.1, 0.5, 0.9)


class ExtractionFit(Report, ExtractionResult):
    """A result that shows itself: see `ExtractionResult` for the values."""

    renderers = Renderers(verdict, document, printed, overview, head, brief)


def fit_extraction(
    run: Run,
    *,
    n: Sequence[int] = SAMPLES,
    p: Sequence[float] = CHANCES,
    duplicates: str | Path | None = None,
    texts: Texts | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> ExtractionFit:
    """Count what n samples return with a chance of at least p, by exposure.

    Args:
        run: A run with likelihoods; the samples are drawn at its temperature and top-k.
        n: Numbers of samples.
        p: Chances that at least one of them is the continuation.
        duplicates: Folder that `memtrace corpus duplicates` wrote; a corpus of at most 2,000,000
            rows needs none. Where copies are not known, each row is taken as a text.
        texts: Which sequences are copies, where this is at hand.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        FitError: The run has no likelihoods, nothing of it is done, or n or p is out of range.
        CorpusError: `duplicates` is no table of the run's corpus.
    """
    require_likelihoods(run)
    c = run.configuration
    ns, ps = tuple(sorted(set(n))), tuple(sorted(set(p)))
    if not ns or not ps:
        raise FitError("give at least one n and one p, such as 100 and 0.5")
    floor = min(least_log_likelihood(max(*ns, 2), one) for one in ps)
    least_log_likelihood(min(ns), ps[0])  # the smallest n is checked too
    found, reason = known_texts(run, duplicates, texts)
    units = found and found.merged  # near-copies are one text
    blocks = _counted(read_likelihoods(run, matched=True), on_progress)
    classes = by_class(blocks, units, c.exposed_rows, c.continuation_tokens, floor)
    if not any(one.counts.exposure for one in classes.values()):
        raise FitError(f"nothing of {run.label} is scanned yet; finish it with: {run.command}")
    return ExtractionFit(
        label=run.label,
        step=run.step,
        source=run.provenance,
        tokens=c.continuation_tokens,
        temperature=c.temperature,
        top_k=c.top_k,
        min_probability=c.min_probability,
        copies_reason=reason,
        classes=classes,
        ns=ns,
        ps=ps,
        table=tuple(_discoverable(classes, a, b, c.min_probability) for b in ps for a in ns),
        part=c.part,
        is_order_known=run.is_order_known,
    )


def _discoverable(
    classes: dict[str, ClassLikelihoods], n: int, p: float, min_probability: float | None
) -> Discoverable:
    least = least_log_likelihood(n, p)
    if least < least_known(min_probability):
        reason = f"not known: the scan stopped at a probability of {number(min_probability, 3)}"
        return Discoverable(n, p, least, {}, reason)
    shares = {
        name: share_of(one, one.sequences_from(least), one.texts_from(least))
        for name, one in classes.items()
    }
    return Discoverable(n, p, least, shares)


def _counted(
    blocks: Iterator[Likelihoods], on_progress: Callable[[int], None]
) -> Iterator[Likelihoods]:
    for block in blocks:
        on_progress(len(block.sequence_index))
        yield block
