"""`memtrace simulate`: draw memorized sequences from a model of the rate, and test them."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_result, show_progress
from .parameters import (
    Number,
    Whole,
    file_type,
    json_option,
    margin_option,
    only_model,
    only_suite,
    optional_runs,
    seed_option,
    step_option,
    window_option,
)
from .selection import runs_at

if TYPE_CHECKING:
    import numpy as np

    from memtrace.point_process import EventSequence
    from memtrace.point_process.power import Power


@click.command()
@optional_runs
@only_suite
@only_model
@step_option("last")
@click.option(
    "--process",
    default="log-linear",
    help="Fitted rate to draw from: homogeneous, log-linear, tenths, change point, change points, "
    "spline, power law or recency.",
)
@click.option("--sequences", type=Whole(min=1), help="Without RUNS: sequences in training.")
@click.option("--events", type=Whole(min=1), help="Without RUNS: expected events.")
@click.option(
    "--rate-ratio",
    type=Number(min=0, min_open=True),
    default=1.0,
    help="Without RUNS: rate at the end over rate at the start.",
)
@click.option(
    "--likelihood",
    is_flag=True,
    help="Draw log-likelihoods in place of events, and test their order. Without RUNS.",
)
@click.option(
    "--nats",
    type=Number(),
    default=1.0,
    help="With --likelihood: what exposure adds to the log-likelihood of a sequence.",
)
@click.option(
    "--residual-sd",
    type=Number(min=0, min_open=True),
    default=8.0,
    help="With --likelihood: standard deviation of what the baseline leaves, in nats.",
)
@click.option(
    "--exposed-share",
    type=Number(0, 1, min_open=True),
    default=0.5,
    help="With --likelihood: share of the sequences that are exposed.",
)
@click.option(
    "--fades",
    type=Number(min=0, min_open=True),
    help="With --likelihood: age at which the effect has fallen to 1/e, as a share of the exposed "
    "sequences.  [default: it does not fade]",
)
@click.option("--draws", type=Whole(min=1), default=100, help="Number of draws.")
@window_option
@margin_option
@seed_option("the draws")
@json_option
@click.option(
    "--output",
    type=file_type,
    help="Parquet file for the draws: columns draw and sequence_index.",
)
def simulate(
    runs: Path | None,
    suite: str | None,
    model: str | None,
    step: str,
    process: str,
    sequences: int | None,
    events: int | None,
    rate_ratio: float,
    likelihood: bool,
    nats: float,
    residual_sd: float,
    exposed_share: float,
    fades: float | None,
    draws: int,
    window: int,
    margin: float,
    seed: int,
    json: bool,
    output: Path | None,
) -> None:
    """Draw sequences or likelihoods with an effect: is it found?

    The result is how often each test finds that order matters. Draws follow the fitted rate of a
    run or, without RUNS, a number of events with a drift, or log-likelihoods with an effect of
    exposure (--likelihood).

    \b
    memtrace simulate --sequences 146432000 --events 1870000 --rate-ratio 1.01 --draws 20
    memtrace simulate runs --model 1.4b --process spline --draws 200
    memtrace simulate runs --process homogeneous --draws 1 --output draws.parquet
    memtrace simulate --likelihood --sequences 1000 --nats 2 --residual-sd 8
    """
    if likelihood:
        if runs is not None or not sequences or events or output:
            raise click.UsageError(
                "--likelihood takes --sequences, and no RUNS, --events, --output"
            )
        given = {"exposed_share": exposed_share, "fades": fades}
        _likelihoods(sequences, nats, residual_sd, given, draws, seed, json)
        return
    if runs is not None:
        draw = _like_a_run(runs, suite, model, step, process, window)
    elif sequences and events:
        if events > sequences:
            raise click.BadParameter(
                f"{events:,} is more than the {sequences:,} sequences", param_hint="--events"
            )
        draw = _drifting(sequences, events, rate_ratio)
    else:
        raise click.UsageError("give RUNS, or both --sequences and --events")
    import numpy as np

    from memtrace.point_process.power import simulate_power

    kept: list[EventSequence] = []
    with show_progress("Drawing", draws, "draws") as advance:

        def recorded(rng: "np.random.Generator") -> "EventSequence":
            drawn = draw(rng)
            if output is not None:
                kept.append(drawn)
            advance(1)
            return drawn

        rng = np.random.default_rng(seed)
        power = simulate_power(recorded, draws, rng, window=window, margin=margin)
    if output is not None:
        _write(output, kept)
    result = {**asdict(power), "margin": margin, "window": window, "seed": seed}
    print_result(_defined(result), json, lambda: _text(power, margin))


def _likelihoods(
    sequences: int,
    nats: float,
    residual_sd: float,
    given: dict[str, Any],
    draws: int,
    seed: int,
    json: bool,
) -> None:
    """Draw log-likelihoods, test their order, and print how often something is found."""
    import numpy as np

    from memtrace.likelihood import LikelihoodModel, simulate_order

    model = LikelihoodModel(sequences, nats, residual_sd, **given)
    with show_progress("Drawing", draws, "draws") as advance:
        rng = np.random.default_rng(seed)
        power = simulate_order(model, draws, rng, on_progress=advance)
    lines = [
        f"{draws:,} draws of {sequences:,} sequences, to which exposure adds an estimated "
        f"{power.mean_nats:.3g} nats on average; share in which each test finds something, at "
        f"{power.level:.0%}:",
        *(f"  {name:<26}{share:7.1%}" for name, share in power.rejected.items()),
        f"  {'within 0.01 nats a token':<26}{power.equivalent:7.1%}",
    ]
    result = {**asdict(model), **asdict(power), "seed": seed}
    print_result(_defined(result), json, lambda: "\n".join(lines))


def _like_a_run(
    runs: Path, suite: str | None, model: str | None, step: str, process: str, window: int
) -> "Callable[[np.random.Generator], EventSequence]":
    """Return draws like the last of the runs that fit the options."""
    from memtrace.runs.run import find_runs

    run = runs_at(find_runs(runs, suite=suite, model=model), step)[-1]
    from memtrace.point_process import EventSequence, fit_poisson
    from memtrace.point_process.simulate import from_model

    events = EventSequence.from_run(run)
    models = {one.name: one for one in fit_poisson(events, window=window).models if one.rate}
    if process not in models:
        names = ", ".join(models)
        raise click.BadParameter(f"{process!r} is none of {names}", param_hint="--process")
    return lambda rng: from_model(models[process], events, rng)


def _drifting(
    sequences: int, events: int, rate_ratio: float
) -> "Callable[[np.random.Generator], EventSequence]":
    from memtrace.point_process.simulate import log_linear_drift, random_order

    if rate_ratio == 1:
        return lambda rng: random_order(sequences, events, rng)
    return lambda rng: log_linear_drift(sequences, events, rate_ratio, rng)


def _write(output: Path, kept: "list[EventSequence]") -> None:
    import numpy as np
    import polars as pl

    from memtrace.errors import RunError

    counts = [one.n_events for one in kept]
    table = pl.DataFrame(
        {
            "draw": np.repeat(np.arange(len(kept), dtype=np.uint32), counts),
            "sequence_index": np.concatenate([one.positions for one in kept]).astype(np.uint64),
        }
    )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(output)
    except OSError as error:
        raise RunError(
            f"cannot write {output}: {error.strerror or error}; choose another --output"
        ) from error


def _defined(result: dict[str, Any]) -> dict[str, Any]:
    from memtrace.report.json import json_safe

    safe: dict[str, Any] = json_safe(result)
    return safe


def _text(power: "Power", margin: float) -> str:
    lines = [
        f"{power.draws:,} draws of {power.mean_events:,.1f} events on average; share in which each "
        f"test finds that order matters, at {power.level:.0%}:",
        *(f"  {name:<22}{share:7.1%}" for name, share in power.rejected.items()),
        f"  within margin {margin:<8g}{power.equivalent:7.1%}",
    ]
    return "\n".join(lines)
