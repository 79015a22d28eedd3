"""Memorized by a least probability of the continuation, in place of greedy decoding."""

import json

import numpy as np
import pytest
from builders import write_run

import memtrace
from memtrace.errors import FitError
from memtrace.runs.run import find_runs
from memtrace.texts.groups import Texts

ROWS, STEPS, LEAST = 3000, (50, 100, 150), 1e-3
RNG = np.random.default_rng(4)
VALUES = {step: -RNG.gamma(2, 8, ROWS).astype(np.float32) for step in STEPS}
EACH = Texts.from_labels(np.arange(ROWS))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two folders: greedy decoding returns in one what is probable in the other."""
    folder = tmp_path_factory.mktemp("runs")
    for step, y in VALUES.items():
        shared = {
            "model": "small",
            "step": step,
            "stop": ROWS,
            "exposed_rows": 20 * step,
            "corpus_rows": ROWS,
            "sequences_per_step": 20,
            "shard_size": 1000,
            "weight_digest": str(step),
        }
        probable = y.astype(float) >= np.log(LEAST)
        greedy = lambda rows, probable=probable: np.where(probable[rows], 32, 3)  # noqa: E731
        write_run(folder / "greedy", greedy, **shared)
        write_run(
            folder / "probable", lambda rows: rows * 0, likelihood=lambda r, y=y: y[r], **shared
        )
    return folder


def test_emergence_of_probable_sequences(runs) -> None:
    greedy, probable = (find_runs(runs / name) for name in ("greedy", "probable"))

    found = memtrace.fit_emergence(probable, texts=EACH, min_probability=LEAST)

    expected = memtrace.fit_emergence(greedy, texts=EACH)
    assert found.histories.label == "demo/small, p >= 0.001"
    ours, theirs = found.to_dict(), expected.to_dict()
    assert ours.pop("min_probability") == LEAST
    assert theirs.pop("min_probability") is None
    for key in ("checkpoints", "outcomes", "hazard_by_checkpoint"):
        assert ours.get(key) == theirs.get(key)
    assert found.outcomes == expected.outcomes
    assert found.outcomes.emerged > 100


def test_the_fit_of_probable_sequences(runs) -> None:
    greedy, probable = (find_runs(runs / name, step=100)[0] for name in ("greedy", "probable"))

    found = memtrace.fit_run(probable, min_probability=LEAST)

    expected = memtrace.fit_run(greedy)
    assert found.events.positions.tolist() == expected.events.positions.tolist()
    assert found.trend.rate_ratio == expected.trend.rate_ratio
    assert found.trend.p_value == expected.trend.p_value
    assert "p >= 0.001" in found.summary()


def test_the_commands_take_a_least_probability(memtrace_cli, runs) -> None:
    asked = (runs / "probable", "--min-probability", LEAST, "--json")
    emergence = json.loads(memtrace_cli("emergence", *asked).stdout)
    fit = json.loads(memtrace_cli("fit-poisson", *asked, "--step", 100).stdout)
    assert emergence["min_probability"] == fit["min_probability"] == LEAST
    assert fit["events"] == (VALUES[100][:2000].astype(float) >= np.log(LEAST)).sum()
    result = memtrace_cli("emergence", runs / "greedy", "--min-probability", LEAST)
    assert result.exit_code == 1
    assert "has no log-likelihoods" in result.output
    with pytest.raises(FitError, match="at most 1"):
        memtrace.fit_run(find_runs(runs / "probable", step=100)[0], min_probability=1.5)
