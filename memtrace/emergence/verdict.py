"""Memorization over checkpoints in plain sentences."""

from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.timescales import ENOUGH
from memtrace.report.numbers import count, interval, number, p_text, percent, ratio

UNKNOWN = "Whether exposure caused it is unknown"
LEFT = "the training left after they are first seen"
TOO_FAR = "between checkpoints too far apart to say when"
FEW_FOLLOWED = "followed for long enough"
BETWEEN_TEXTS = "this compares texts, and those with many copies are other texts"


def verdict(fit: EmergenceResult) -> str:
    """Say what happened, when, what was lost, what copies did, and whether exposure caused it."""
    out = fit.outcomes
    was = "was" if out.emerged == 1 else "were"
    first = f"{out.emerged:,} of {_texts(fit)} {was} found memorized after being trained on"
    if not out.emerged:
        return f"{first}{_generic(fit)}."
    if not fit.shown:
        unknown = "at the first look, so whether any emerged is not known"
        return f"{first} {unknown}{_generic(fit)}; {_kept(fit)}. {_cause(fit)}"
    first += _generic(fit)
    return f"{first}; {_when(fit)}{_reserved(fit)}; {_kept(fit)}. {_copies(fit)}{_cause(fit)}"


def answer(fit: EmergenceResult) -> str:
    """Say in one sentence how many texts emerged and when, as far as that is known."""
    out, unit = fit.outcomes, fit.histories.unit
    if not out.emerged:
        before = f"; {out.generic_exposed:,} had been extractable before" * (
            out.generic_exposed > 0
        )
        return f"None of {_texts(fit)} was found memorized only after being trained on{before}."
    if not fit.shown:
        before = f"{out.generic_exposed:,} had been extractable before they were trained on, and "
        were = "was" if out.emerged == 1 else "were"
        return (
            f"Whether {unit}s emerge is not known: of {_texts(fit)} "
            f"{before if out.generic_exposed else ''}{out.emerged:,} {were} memorized at the first "
            "look."
        )
    return f"{out.emerged:,} of {_texts(fit)} emerged, {_when(fit)}{_reserved(fit)}."


def beyond_answer(fit: EmergenceResult) -> str:
    """Return the verdict without what `answer` says."""
    if fit.outcomes.emerged and not fit.shown:
        return verdict(fit)
    generic = f"{_generic(fit).strip(' ()')}. " if fit.outcomes.generic_exposed else ""
    if not fit.outcomes.emerged:
        return generic.strip()
    kept = _kept(fit).replace(" of them ", " of those that emerged ")
    return f"{generic}{kept[0].upper()}{kept[1:]}. {_copies(fit)}{_cause(fit)}"


def at_first_look(n: int) -> str:
    """Say that so many may have been extractable all along."""
    if n == 1:
        return "1 was memorized at the first look at it, and may be generic"
    return f"{n:,} were memorized at the first look at them, and may be generic"


def no_earlier_look(fit: EmergenceResult) -> str | None:
    """Return why nothing is said of the times at which texts emerged, or None."""
    if fit.shown or not fit.outcomes.emerged:
        return None
    return (
        "all that were memorized were so at the first look at them: whether they emerged is not "
        "known (scan with --include-unexposed, or more checkpoints)"
    )


def estimand(fit: EmergenceResult, name: str) -> str:
    """Return what the curve on a time scale is the share of; the three differ."""
    scale, unit = fit.time_scales[name], fit.histories.unit
    if not len(scale.share):
        few = "at risk at any checkpoint but the last" if name == "training" else FEW_FOLLOWED
        return f"not known: too few {unit}s were {few}"
    end, seen = scale.until, scale.first_seen
    if seen.matters:
        early = "earlier" if seen.earlier else "later"
        when = "at the same step" if name == "training" else "at equal time since then"
        return (
            f"not given: {when} {unit}s first seen {early} emerge more often "
            f"({p_text(seen.p_value)}), so it would be the share of no group"
        )
    if name == "training":
        return (
            f"by step {number(end)}, of the {count(scale.at_risk, unit)} not memorized at step "
            f"{number(scale.since)}, and of later ones from when they are first seen, as if that "
            "made no difference"
        )
    if name == "exposure":
        steps = "step" if end == 1 else "steps"
        return (
            f"within {number(end)} {steps}, of all {unit}s, as if when they are first seen made "
            "no difference"
        )
    own = " that are not generic" if fit.outcomes.generic_exposed else ""
    return f"by {percent(end)} of {LEFT}, of all {unit}s{own}"


def together(fit: EmergenceResult) -> str:
    """Return what stands beside intervals in time where many texts emerge together, or nothing."""
    factor = fit.local_overdispersion.widening
    if factor == 1:
        return ""
    return f"many emerge together: think of intervals as about {number(factor, 2)} times as wide"


def evaluated(fit: EmergenceResult) -> str:
    """Return how many texts the shares are of, and whether they are a sample."""
    drawn = "" if fit.histories.scanned is None else "sampled "
    return count(fit.texts, drawn + fit.histories.unit)


def _texts(fit: EmergenceResult) -> str:
    """Return the same with how texts are counted."""
    joined = " (near-copies as one)" if fit.histories.near_copies[0] else ""
    return f"{evaluated(fit)}{joined}"


def _generic(fit: EmergenceResult) -> str:
    generic = fit.outcomes.generic_exposed
    if not generic:
        return ""
    if fit.histories.copies_known:
        are = "is" if generic == 1 else "are"
        return f" ({generic:,} more {are} generic: memorized before any copy had been seen)"
    were = "was" if generic == 1 else "were"
    return (
        f" ({generic:,} more {were} memorized before that row had been seen; without a table of "
        "duplicates it is not known whether a copy had)"
    )


def _reserved(fit: EmergenceResult) -> str:
    """Say how many of those that emerged may have been extractable all along."""
    first = fit.outcomes.first_look
    if not first:
        return ""
    return f"; {at_first_look(first)}"


def too_few(fit: EmergenceResult) -> str | None:
    """Return why there is no distribution of the time of emergence, or None."""
    out, unit = fit.outcomes, fit.histories.unit
    if out.emerged >= ENOUGH:
        return None
    if out.copies is not None and out.copies > out.emerged:
        rows = f"{count(out.copies, 'row')}, but {count(out.emerged, unit)}"
        return f"{rows}: too few to say how it varies"
    return f"{count(out.emerged, unit)}: too few to say how it varies"


def _when(fit: EmergenceResult) -> str:
    if reason := too_few(fit):
        return f"when is not said ({reason})"
    scale = fit.time_scales["share"]
    half = scale.among_emerged(0.5)
    low, high = half.bounds
    span = f"the first {interval(half.bounds, percent)}"
    if low == 0:
        span = f"at most the first {percent(high)}"
    when = f"half of them within {span} of {LEFT}"
    if not scale.coarse:
        return f"{when} (with sampling error, 95%: {interval(half.ci95, percent)})"
    return f"{TOO_FAR}: {when}" if (low, high) != (0, scale.until) else TOO_FAR


def _kept(fit: EmergenceResult) -> str:
    out = fit.outcomes
    lost = out.emerged - out.always_retained
    if not lost:
        return "none was found lost at a later checkpoint"
    were = "was" if lost == 1 else "were"
    again = out.learned_again
    if not again:
        return f"{lost:,} of them {were} lost at some later checkpoint, and not learned again"
    kept = f"{lost:,} of them {were} lost at some later checkpoint"
    if lost == again:
        return f"{kept}, and learned again"
    return f"{kept}, and {again:,} of these learned again"


def _copies(fit: EmergenceResult) -> str:
    """Say how the chance grows with the copies seen, where that is known."""
    found = fit.copies
    if found.reason:
        return ""
    times, *ends = (2**power for power in (found.exponent, *found.ci95))
    said = f"x {ratio(times)}, 95% {interval((ends[0], ends[1]), ratio)}"
    if ends[0] > 1 or ends[1] < 1:
        faster = "faster" if ends[0] > 1 else "more slowly"
        return (
            f"Texts of which more copies have been seen emerge {faster}: twice as many, {said}; "
            f"{BETWEEN_TEXTS}. "
        )
    return f"No effect of further copies of a text was found (twice as many: {said}). "


def _cause(fit: EmergenceResult) -> str:
    """Compare with the control group, as far as there is one."""
    control = fit.control
    if not control.evaluated:
        return (
            f"{UNKNOWN}: there is no control group, since no {fit.histories.unit} was scanned at a "
            "checkpoint that had not seen it (scan with --include-unexposed)."
        )
    if fit.histories.copies_known and control.followed and not control.became_extractable:
        most = number(control.rate_ci95[1] * 1e6, 3)
        least = fit.effect.ci95[0]
        times = f"at least {ratio(least).removeprefix('> ')} times as often"
        more = (
            f"; those trained on emerge {times}" if least > 1 else ""
        )  # a bound below 1 says less
        return (
            "Of the texts that occur once and were not yet trained on none became extractable "
            f"(followed for {count(control.exposure, 'text step')}: 95% interval of the rate 0 to "
            f"{most} per million and step){more}."
        )
    return f"{UNKNOWN}: {fit.effect.reason}." if fit.effect.reason else _effect(fit)


def _effect(fit: EmergenceResult) -> str:
    found = fit.effect
    low, high = found.ci95
    said = (
        f"({found.exposed_events:,} against {found.unexposed_events:,}: hazard x "
        f"{ratio(found.hazard_ratio)}, 95% {interval(found.ci95, ratio)})"
    )
    if low > 1:
        return (
            "Of texts that occur once, those trained on emerge more often than those not yet "
            f"trained on become extractable {said}."
        )
    if high < 1:
        return (
            "But of texts that occur once, those trained on emerge less often than those not yet "
            f"trained on become extractable {said}."
        )
    return (
        "No difference was found between how often texts that occur once emerge after being "
        f"trained on and become extractable before {said}."
    )
