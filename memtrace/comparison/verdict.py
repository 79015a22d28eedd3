"""What a comparison says, in plain sentences: only what its intervals show."""

import math

from memtrace.comparison.budget import Plan
from memtrace.comparison.deduplication.text import deduplication_sentence
from memtrace.comparison.paired.text import paired_sentence
from memtrace.comparison.prediction import Prediction
from memtrace.comparison.profile.text import profile_sentence
from memtrace.comparison.regression import factor
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.scale import ScaleLine
from memtrace.comparison.seeds import SeedGroup
from memtrace.report.numbers import count, interval, number, percent, ratio
from memtrace.report.typeset import steps_apart
from memtrace.types import UNDEFINED


def verdict(found: ComparisonResult) -> str:
    """Return what size does, what is predicted and at what cost, and what a seed changes."""
    said = [_scale(found), _prediction(found), _plan(found), _seeds(found), *_others(found)]
    kept = [sentence for sentence in said if sentence]
    return steps_apart(" ".join(kept) if kept else _nothing(found))


def headline(found: ComparisonResult) -> ScaleLine | None:
    """Return the line of exposed texts at the last step with most sizes; None without any."""
    lines = [one for one in found.lines if one.line is not None and one.exposure == "exposed"]
    return max(lines, key=lambda one: (one.sizes, found.runs[one.runs[0]].step), default=None)


def foremost(found: ComparisonResult) -> Prediction | None:
    """Return the prediction of the last target with the best F1; None where none is defined.

    Runs of one corpus come first: those of two share only some of their texts.
    """
    defined = [one for one in found.predictions if not one.reason]
    known = [one for one in defined if not one.matched_by_text] or defined
    if not known:
        return None
    last = max(one.target for one in known)
    return max((one for one in known if one.target == last), key=lambda one: one.every.f1.value)


def cheapest(found: ComparisonResult) -> Plan | None:
    """Return the cheapest plan for the last target, where it saves anything."""
    saving = [plan for plan in found.plans if plan.saves]
    last = max((plan.target for plan in saving), default=None)
    return next((plan for plan in saving if plan.target == last), None)


def _scale(found: ComparisonResult) -> str:
    one = headline(found)
    if one is None or one.line is None:
        return ""
    first, last = (found.runs[one.runs[place]] for place in (0, -1))
    points = {point.run: point for point in found.points}
    small, large = (points[one.runs[place]].exposed.share.value for place in (0, -1))
    which = "it was trained on" if found.is_order_known(one.runs) else "were scanned"
    rows = {point.rows for point in found.narrowed if point.run in one.runs}
    where = "".join(
        f", on the {count(n, 'row')} that all models of the step scanned," for n in rows
    )
    said = (
        f"At step {last.step:,}{where} {first.model} has memorized {percent(small)} of the "
        f"{found.unit}s that {which}, {last.model} {percent(large)}: "
    )
    if not one.line.degrees:
        return f"{said}{_two_sizes(found, one)}."
    low, high = map(_of_doubling, one.line.interval(1))
    said += (
        "each doubling of the parameters multiplies the share by "
        f"{_three(_of_doubling(one.slope))} (95% {interval((low, high), _three)}; "
        f"{count(one.sizes, 'size')})"
    )
    if one.bend is not None and one.bend.shown:
        at = one.bend.parameters
        where = "" if at is None else f", most at about {_about(at)} parameters"
        said += (
            f". The line bends{where}: a doubling multiplies the share by "
            f"{number(_of_doubling(one.bend.slopes[0]), 3)} at the small end and by "
            f"{number(_of_doubling(one.bend.slopes[1]), 3)} at the large one"
        )
    return said + "."


def _about(parameters: float) -> str:
    """Return a number of parameters with two digits that say something."""
    return f"{float(f'{parameters:.2g}'):,.0f}"


def _two_sizes(found: ComparisonResult, one: ScaleLine) -> str:
    """Say what two sizes show, and nothing of others."""
    small, large = (found.runs[one.runs[place]].parameters or 1 for place in (0, -1))
    times = large / small
    share, low, high = (
        factor(math.log(times) * power) for power in (one.slope, *(one.counts_ci95 or UNDEFINED))
    )
    return (
        f"{_three(times)} times the parameters, {_three(share)} times the share (95% "
        f"{interval((low, high), _three)} by counts of {found.unit}s alone, since two sizes do not "
        "tell how sizes scatter)"
    )


def _three(value: float) -> str:
    return number(value, 3)


def _of_doubling(power: float) -> float:
    """Return by what each doubling of the parameters multiplies the share."""
    return factor(math.log(2) * power)


def _prediction(found: ComparisonResult) -> str:
    one = foremost(found)
    if one is None:
        return ""
    source, target = found.label(one.source), found.label(one.target)
    seen, right, caught = one.every, one.every.precision, one.every.recall
    scanned = [found.runs[place].scanned_sequences for place in (one.source, one.target)]
    among = "" if scanned == [one.rows] * 2 else "both scanned and "
    early = one.unexposed.first if one.unexposed else 0
    which = "which" if seen.first == 1 else f"{early:,} of which"
    who = f"{among}{source} returns" + (f" ({which} it was not trained on)" if early else "")
    chance = f"of all that both scanned {percent(seen.second / seen.texts)} are"
    tried = sum(each.target == one.target and not each.reason for each in found.predictions)
    chance += f"; {source} is the best of {tried} runs by F1" if tried > 1 else ""
    if not seen.both:
        none = f"None of the {seen.first:,} {found.unit}s that {who} is"
        alone = f"The one {found.unit} that {who} is not"
        return f"{alone if seen.first == 1 else none} returned by {target} ({chance})."
    share = f"{percent(caught.value)} ({interval(caught.ci95, percent)}) of what {target} returns"
    if seen.first == 1:
        one_text = f"The one {found.unit} that {who}"
        return f"{one_text} is returned by {target} too ({chance}); it is {share}."
    are, they = ("is", "it is") if seen.both == 1 else ("are", "they are")
    return (
        f"Of the {seen.first:,} {found.unit}s that {who}, {percent(right.value)} "
        f"({interval(right.ci95, percent)}) {are} returned by {target} too ({chance}); {they} "
        f"{share}."
    )


def _plan(found: ComparisonResult) -> str:
    plan = cheapest(found)
    if plan is None:
        return ""
    source, target = found.label(plan.source), found.label(plan.target)
    how = (
        f"then with {target} the {percent(plan.texts)} that rank highest by its log-likelihoods"
        if plan.how == "ranked"
        else f"then {percent(plan.texts)} of them with {target}, those that {source} returns first"
    )
    cost = f"{percent(plan.cost)} (95% {interval(plan.ci95, percent)} for other such texts)"
    return (
        f"To find {percent(plan.recall)} of what {target} returns, scan all texts with "
        f"{source}, {how}: {cost} of the cost of a scan of all with {target}."
    )


def _seeds(found: ComparisonResult) -> str:
    known = [group for group in found.seeds if group.spread is not None]
    if not known:
        return ""
    group: SeedGroup = max(known, key=lambda one: (len(one.runs), one.step))
    spread = group.spread
    if spread is None:
        return ""
    low, high = spread.spread.ci95
    said = (
        f"The shares of {count(len(group.runs), 'seed')} of {group.of} scatter by a factor of "
        f"{ratio(math.exp(spread.spread.value))} (geometric standard deviation, 95% "
        f"{ratio(math.exp(low))} to {ratio(math.exp(high))})"
    )
    if group.shared is not None:
        said += (
            f"; a text that one has memorized, another has with a chance of "
            f"{percent(group.shared.value)}, any text with one of "
            f"{percent(float(group.shares.mean()))}"
        )
    return said + "."


def _others(found: ComparisonResult) -> list[str]:
    """Say what deduplication, another training and exposure changed: of each the last."""
    said = [deduplication_sentence(one) for one in found.deduplication[-1:]]
    said += [paired_sentence(one) for one in found.paired[-1:]]
    said += [profile_sentence(one) for one in found.profiles if one.instantaneous][-1:]
    return [f"{sentence}." for sentence in said]


def _nothing(found: ComparisonResult) -> str:
    if len(found.runs) == 1:
        return (
            f"One run, {found.runs[0].label}: there is nothing to compare it with. Scan another "
            "model or checkpoint into the same folder."
        )
    if found.unmatched and not found.overlaps:
        return f"Texts of different corpora are not compared: {found.unmatched}."
    if not any(run.memorized for run in found.runs):
        return f"None of the {count(len(found.runs), 'run')} has memorized a sequence."
    shown = [one for one in found.overlaps if not one.reason]
    if not shown:
        of = " of one corpus" if found.unmatched else ""
        return (
            f"No two of the runs{of} have memorized a {found.unit} among the rows that both "
            "scanned."
        )
    one = max(shown, key=lambda each: each.agreement.either)
    return (
        f"{found.label(one.a)} and {found.label(one.b)} have {one.agreement.both:,} of "
        f"{count(one.agreement.either, f'memorized {found.unit}')} in common "
        f"({percent(one.agreement.jaccard.value)}, 95% "
        f"{interval(one.agreement.jaccard.ci95, percent)})."
    )
