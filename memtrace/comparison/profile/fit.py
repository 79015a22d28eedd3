"""Counterfactual profiles from runs: one model at several checkpoints, each text once."""

from collections.abc import Callable, Sequence

import numpy as np

from memtrace.comparison.coverage import common
from memtrace.comparison.profile.effects import Cell, Effects
from memtrace.comparison.profile.moments import CohortSums
from memtrace.comparison.profile.outcomes import read_column, side_by_side
from memtrace.comparison.profile.result import (
    LOG_LIKELIHOOD,
    MATCHED_TOKENS,
    Cohort,
    Later,
    Profile,
)
from memtrace.comparison.runs import ComparedRun
from memtrace.texts.distinct import among

NO_CONTROL = (
    "no {unit} was scanned at two checkpoints before it was trained on, so there is no control: "
    "scan with --include-unexposed"
)

NO_COPIES = "a copy of a text that was trained on is no control, and {reason}"


def fit_profiles(
    runs: Sequence[ComparedRun], on_progress: Callable[[int], None] = lambda _: None
) -> tuple[Profile, ...]:
    """Return the profile of every model with two checkpoints or more.

    Args:
        runs: Finished runs that tested the same tokens by the same rule.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        RunError: A folder cannot be read.
    """
    models: dict[tuple[str, str, str], list[ComparedRun]] = {}
    for run in runs:
        if run.run.is_order_known:
            models.setdefault((run.suite, run.model, run.corpus), []).append(run)
    chosen = (_growing(every) for every in models.values())
    return tuple(fit_profile(some, on_progress) for some in chosen if len(some) > 1)


def fit_profile(
    runs: Sequence[ComparedRun], on_progress: Callable[[int], None] = lambda _: None
) -> Profile:
    """Estimate what training on a text changed in one model.

    Texts that occur once are compared, and have no near-copies: others are trained on again. The
    outcome is the log-likelihood of a continuation where all runs have all of them, else how many
    of its tokens greedy decoding returns.

    Args:
        runs: Of one model, each having seen more rows than the one before.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        RunError: A folder cannot be read.
    """
    first = runs[0]
    outcome = LOG_LIKELIHOOD if _have_likelihoods(runs) else MATCHED_TOKENS
    steps, unit = tuple(run.step for run in runs), "sequence" if first.texts is None else "text"
    name = f"{first.suite}/{first.model}"
    if first.units is None:
        reason = NO_COPIES.format(reason=first.texts_reason)
        return Profile(name, outcome, steps, unit, reason=reason)
    exposed = np.array([run.exposed_rows for run in runs], np.int64)
    scanned = common([run.scanned for run in runs])
    if not (scanned[:, 1] > exposed[1]).any():
        return Profile(name, outcome, steps, unit, reason=NO_CONTROL.format(unit=unit))
    sums = CohortSums(exposed)
    copies = np.sort(first.units.copies)
    for rows, outcomes in side_by_side([read_column(run.run, outcome) for run in runs]):
        once = ~among(rows, copies)
        if not np.isfinite(outcomes[once]).all():
            reason = "some log-likelihoods are not known, or that of probability 0"
            return Profile(name, outcome, steps, unit, reason=reason)
        sums.add(rows[once], outcomes[once])
        on_progress(len(rows) * len(runs))
    return _profile(Effects(sums.moments()), Profile(name, outcome, steps, unit))


def _profile(effects: Effects, empty: Profile) -> Profile:
    """Return the cells, and their means by the time since exposure."""
    steps, k = empty.steps, len(empty.steps)
    texts = effects.moments.texts.tolist()
    cells = [(g, c) for g in range(1, k) for c in range(k) if effects.is_defined(g, c)]
    after = [cell for cell in cells if cell[1] >= cell[0]]
    if not after:
        reason = NO_CONTROL.format(unit=empty.unit)
        return Profile(empty.model, empty.outcome, steps, empty.unit, reason=reason)
    last = max(c for _, c in after)
    before = [cell for cell in cells if cell[1] < cell[0]]
    residual = [(g, c) for g, c in after if c == last > g]
    return Profile(
        empty.model,
        empty.outcome,
        steps,
        empty.unit,
        cohorts=tuple(Cohort(steps[g - 1], steps[g], texts[g]) for g in range(1, k)),
        cells={(g - 1, c): effects.cell(g, c) for g, c in cells},
        instantaneous=effects.mean([(g, c) for g, c in after if g == c]),
        persistent=tuple(_later(effects, after, steps)),
        residual=effects.mean(residual) if residual else None,
        residual_step=steps[last] if residual else None,
        before=effects.mean(before) if before else None,
    )


def _later(effects: Effects, after: Sequence[Cell], steps: Sequence[int]) -> list[Later]:
    found = []
    for distance in range(1, max(c - g for g, c in after) + 1):
        cells = [(g, c) for g, c in after if c - g == distance]
        gone = [steps[c] - steps[g] for g, c in cells]
        if cells:
            found.append(Later(distance, (min(gone), max(gone)), effects.mean(cells)))
    return found


def _growing(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Return runs by step, without those that had seen no more than the one before."""
    kept: list[ComparedRun] = []
    for run in sorted(runs, key=lambda one: one.step):
        if not kept or run.exposed_rows > kept[-1].exposed_rows:
            kept.append(run)
    return kept


def _have_likelihoods(runs: Sequence[ComparedRun]) -> bool:
    """Return whether all runs have all log-likelihoods, at one temperature and top k."""
    every = [run.run.configuration for run in runs]
    alike = len({(one.temperature, one.top_k) for one in every}) == 1
    return alike and all(one.likelihood and one.min_probability is None for one in every)
