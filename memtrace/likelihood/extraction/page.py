"""The page of what sampling would extract, of one checkpoint or several."""

from collections.abc import Sequence

from memtrace.likelihood.extraction.charts import sample_chart
from memtrace.likelihood.extraction.descriptions import described
from memtrace.likelihood.extraction.figures import (
    captioned,
    shown,
    single,
    titled,
    without_curves,
)
from memtrace.likelihood.extraction.result import Discoverable, ExtractionResult, Share
from memtrace.likelihood.extraction.text import printed
from memtrace.likelihood.extraction.verdict import verdict
from memtrace.report.charts import available
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import DASH, count, interval, percent
from memtrace.report.page import (
    Fact,
    Finding,
    Method,
    Page,
    Shown,
    Table,
    page_of,
    parted,
    shown_of,
)
from memtrace.report.tables import checkpoint_column
from memtrace.report.text import rendered

QUESTION = "How much would sampling extract?"
CLASSES = ("exposed", "unexposed")
"""Texts that have a curve."""
TESTED = (
    "Every scanned sequence: from the probability of its continuation follows exactly how likely n "
    "samples are to return it at least once.",
)
LIMITS = (
    "A sample counts only if it is the whole continuation, token by token. Near copies of it are "
    "not counted.",
    "Prompts are those of the corpus: whoever does not know them extracts less.",
)
OF_COPIES = (
    "A text with many copies is hardly ever unexposed, so unexposed texts are others than exposed "
    "ones. What is chance for a text with many copies is not known from them."
)
METHODS = (
    Method(
        "(n, p)-discoverable",
        "1 - (1 - p_z)^n >= p, p_z the probability of the continuation, computed as "
        "-expm1(n log1p(-p_z))",
        "Hayes et al. (2024), arXiv:2410.19482",
    ),
    Method(
        "Interval of a share",
        "exact binomial interval of the share of texts",
        "Clopper and Pearson (1934), Biometrika 26:404",
    ),
)


def extraction_page(fits: Sequence[ExtractionResult]) -> Page:
    """Return the page of one checkpoint or several."""
    findings = [finding(fit, f"checkpoint-{i + 1}") for i, fit in enumerate(fits)]
    summary = _summary(fits, findings) if len(fits) > 1 else None
    return page_of(QUESTION, findings, summary, METHODS)


def finding(
    fit: ExtractionResult,
    name: str = "checkpoint",
    names: Sequence[str] | None = None,
    *,
    charts: bool = True,
) -> Finding:
    """Return what is shown of one checkpoint.

    Args:
        fit: The result.
        name: Its place on the page.
        names: Of the figures to show; all that there are if left out.
        charts: Charts where they can be drawn; else pictures.
    """
    answer, rest = parted(verdict(fit))
    figures = [_shown(fit, one, charts) for one in (shown(fit) if names is None else names)]
    if without_curves(fit):
        figures = [_in_place(fit), *figures]
    label, facts = brief(fit)
    return Finding(
        name=name,
        label=label,
        answer=answer,
        rest=rest,
        facts=facts,
        figure=figures[0] if figures else None,
        tested=TESTED,
        limits=limits([fit]),
        figures=figures[1:],
        printed=rendered(printed(fit)),
        provenance=[("run", fit.source)] if fit.source else (),
    )


def limits(fits: Sequence[ExtractionResult]) -> list[str]:
    """Return what cannot be seen in the checkpoints, a sentence each."""
    controlled = any(fit.classes["unexposed"].counts.texts and not fit.caveat for fit in fits)
    said = dict.fromkeys(text for fit in fits for text in (fit.caveat, fit.part) if text)
    of_fits = [f"{text[0].upper()}{text[1:]}." for text in said]
    return [*LIMITS, *([OF_COPIES] if controlled else []), *of_fits]


def brief(fit: ExtractionResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    return fit.label, _facts(fit)


def head(fit: ExtractionResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(fit, names=shown(fit)[:1], charts=False)


def _shown(fit: ExtractionResult, name: str, charts: bool) -> Shown:
    chart = sample_chart(fit) if charts and available() and name == "samples" else None
    image = None if chart else png(untitled(single(fit, name)))
    return Shown(titled(fit, name), described(fit, name), captioned(fit, name), image, chart)


def _in_place(fit: ExtractionResult) -> Shown:
    """Return the sentence that stands where there is no curve to draw."""
    reason = without_curves(fit)
    return Shown(titled(fit, "samples"), reason, reason)


def _facts(fit: ExtractionResult) -> list[Fact]:
    """Return what greedy decoding gives, what the most samples give, and what chance gives."""
    greedy = f"of {fit.called('exposed')} {fit.unit}s, greedy decoding"
    facts = [_fact(fit, fit.greedy["exposed"], greedy)]
    if most := _most(fit):
        how = f"{count(most.n, 'sample')}, chance {percent(most.p)} or more"
        facts += [
            _fact(fit, most.shares[name], f"of {fit.called(name)} {fit.unit}s, {how}")
            for name in CLASSES[: 2 if fit.is_order_known else 1]
        ]
    return facts


def _most(fit: ExtractionResult) -> Discoverable | None:
    """Return what the most samples return, with the chance that is nearest to one half."""
    known = [one for one in fit.table if not one.reason]
    return max(known, key=lambda one: (one.n, -abs(one.p - 0.5)), default=None)


def _most_samples(fits: Sequence[ExtractionResult]) -> tuple[str, str]:
    """Return the headings of the columns of samples: their number where it is one."""
    numbers = {one.n for one in map(_most, fits) if one}
    how = count(numbers.pop(), "sample") if len(numbers) == 1 else "most samples"
    return how, f"unexposed, {how}"


def _fact(fit: ExtractionResult, found: Share, name: str) -> Fact:
    if not found.of_texts:
        return Fact(DASH, name, f"no such {fit.unit} was scanned")
    ends = f"95% {interval(found.ci95, percent)}{fit.condition}"
    note = f"{ends}; {found.texts:,} of {found.of_texts:,}"
    return Fact(percent(found.share), name, note)


def _chosen(fits: Sequence[ExtractionResult]) -> tuple[int, str]:
    """Return the last checkpoint with exposed and unexposed texts, else the last, and which it is.

    Only with unexposed texts is it known what is chance.
    """
    both = [
        place
        for place, fit in enumerate(fits)
        if all(fit.classes[name].counts.texts for name in CLASSES)
    ]
    if both and both[-1] < len(fits) - 1:
        return both[-1], f"the last with unexposed {fits[both[-1]].unit}s, of"
    return len(fits) - 1, "the last of"


def _summary(fits: Sequence[ExtractionResult], findings: Sequence[Finding]) -> Finding:
    chosen, which = _chosen(fits)
    last, rows = findings[chosen], []
    for fit in fits:
        facts = _facts(fit)
        rows.append((*(fact.value for fact in facts), *[""] * (3 - len(facts))))
    unit = "text" if all(fit.unit == "text" for fit in fits) else "sequence"
    links = [one.address for one in findings]
    name, labels = checkpoint_column([fit.label for fit in fits])
    title, columns = f"Share of {unit}s extracted", ("greedy", *_most_samples(fits))
    if chances := {percent(one.p) for one in map(_most, fits) if one}:
        title += f", by samples with a chance of {' or '.join(sorted(chances))} or more"
    cells = [(label, *row) for label, row in zip(labels, rows, strict=True)]
    return Finding(
        name="all",
        label=f"{last.label}, {which} {count(len(fits), 'checkpoint')}",
        answer=last.answer,
        rest=last.rest,
        facts=last.facts,
        figure=shown_of(last.figure, last.label),
        tested=TESTED,
        limits=limits(fits),
        tables=[Table(title, (name, *columns), cells, links)],
    )
