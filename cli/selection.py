"""Which runs a command takes: those of the steps that it was given, or the last finished ones."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memtrace.runs.run import Run


def runs_at(found: "list[Run]", step: str) -> "list[Run]":
    """Return the runs of these steps.

    Raises:
        ManifestError: There is no run of a step.
    """
    from memtrace.manifests.steps import parse_steps

    wanted = set(parse_steps(step, [run.step for run in found]))
    return [run for run in found if run.step in wanted]


def finished(found: "list[Run]") -> "list[Run]":
    """Return the runs that are finished.

    Raises:
        RunError: None is.
    """
    from memtrace.runs.events import is_finished

    done = [run for run in found if is_finished(run)]
    if not done:
        raise _none_finished(found[-1])
    return done


def last_finished(found: "list[Run]") -> "list[Run]":
    """Return the last finished run of each model.

    Raises:
        RunError: No run is finished.
    """
    from memtrace.runs.events import is_finished

    last: dict[tuple[str, str], Run] = {}
    for run in reversed(found):
        if (run.suite, run.model) not in last and is_finished(run):
            last[run.suite, run.model] = run
    if not last:
        raise _none_finished(found[-1], ", or name its --step to take what is there")
    return list(reversed(last.values()))


def _none_finished(last: "Run", otherwise: str = "") -> Exception:
    from memtrace.errors import RunError

    return RunError(
        f"no run is finished, not even {last.label}; finish it with `{last.command}`{otherwise}"
    )


def with_likelihoods(found: "list[Run]", step: str | None) -> "list[Run]":
    """Return the runs of these steps, or of all, that have likelihoods.

    Raises:
        FitError: A run of a step has none, or no run at all has.
        ManifestError: There is no run of a step.
    """
    from memtrace.runs.likelihoods import require_likelihoods

    chosen = runs_at(found, step) if step else found
    have = [run for run in chosen if run.configuration.likelihood]
    for run in chosen if step else chosen[-1:] if not have else []:
        require_likelihoods(run)
    return have


def check_same_sequences(runs: "list[Run]") -> None:
    """Refuse to set runs side by side that tested other tokens of a row.

    Raises:
        RunError: Two of them did.
    """
    from memtrace.errors import RunError

    tested = {run.configuration.tested: run.label for run in runs}
    if len(tested) > 1:
        (first, one), (second, other) = list(tested.items())[:2]
        raise RunError(
            f"{one} tested {first}, {other} {second}: these do not compare; choose runs of one "
            "kind with --model and --step"
        )


def by_model(runs: "list[Run]") -> "dict[tuple[str, str], list[Run]]":
    """Return the runs of each suite and model."""
    models: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        models.setdefault((run.suite, run.model), []).append(run)
    return models
