"""Memorization over checkpoints from score files to the answer, and as a user meets it."""

import json
import math
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builders import write_run
from click.testing import Result

from memtrace.emergence import EmergenceFit, fit_emergence, read_histories
from memtrace.emergence.exposure_effect import exposure_effect
from memtrace.emergence.process.fit import fit_emergence_process
from memtrace.emergence.process.result import Drift
from memtrace.emergence.windows import emergence_windows
from memtrace.errors import FitError, RunError
from memtrace.point_process import Cut
from memtrace.runs.run import find_runs
from memtrace.texts.groups import Texts

PER_STEP, ROWS = 20, 20_000
SHARD = 8192
STEPS = (0, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
TOTAL = ROWS // PER_STEP
EACH = Texts.from_labels(np.arange(ROWS))
"""No sequence is a copy of another."""
Memory = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def scan(folder: Path, memory: Memory, *, include_unexposed: bool = True, seed: int = 0) -> Path:
    """Write the runs of a model; `memory` gives (sequences, checkpoints) from the exposures."""
    rng = np.random.default_rng(seed)
    hits = memory(rng, np.arange(ROWS) // PER_STEP)
    for k, step in enumerate(STEPS):
        exposed = min(PER_STEP * step, ROWS)
        stop = ROWS if include_unexposed else exposed
        if stop == 0:
            continue
        write_run(
            folder,
            lambda rows, k=k: np.where(hits[rows, k], 32, 3),
            model="small",
            step=step,
            stop=stop,
            exposed_rows=exposed,
            corpus_rows=ROWS,
            sequences_per_step=PER_STEP,
            shard_size=SHARD,
            weight_digest=str(step),
        )
    return folder


def emerging(share: float = 0.05, mean: float = 250.0, generic: float = 0.0) -> Memory:
    """Exponential times since exposure for a share of the sequences; some are generic."""

    def memory(rng: np.random.Generator, exposure: np.ndarray) -> np.ndarray:
        time = exposure + rng.exponential(mean, ROWS)
        time[rng.random(ROWS) > share] = np.inf
        return (time[:, None] <= np.array(STEPS)) | (rng.random(ROWS) < generic)[:, None]

    return memory


def drifting(theta: float) -> Memory:
    """A hazard of exp(theta u) along training, of all that were seen."""

    def memory(rng: np.random.Generator, exposure: np.ndarray) -> np.ndarray:
        steps = np.arange(TOTAL + 1)
        cumulative = np.cumsum(5e-5 * np.exp(theta * steps / TOTAL))
        target = cumulative[exposure] + rng.exponential(size=ROWS)
        time = np.searchsorted(cumulative, target).astype(float)
        return time[:, None] <= np.array(STEPS)

    return memory


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scan(tmp_path_factory.mktemp("runs"), emerging(generic=0.01))


@pytest.fixture(scope="module")
def fit(runs: Path) -> EmergenceFit:
    return fit_emergence(find_runs(runs))


def test_truth_is_recovered_from_score_files(fit) -> None:
    law = fit.distributions[0]

    assert fit.texts == ROWS
    assert fit.outcomes.generic == pytest.approx(0.01 * ROWS, rel=0.3)
    assert (
        fit.outcomes.always_retained
        == fit.outcomes.emerged
        == fit.outcomes.memorized_at_last_checkpoint
    )
    low, high = law.intervals["emerging"]
    assert low < 0.05 < high
    low, high = law.intervals["location"]
    assert low < math.log(250) < high
    low, high = law.intervals["before"]
    assert low < 0.01 < high
    least, most = fit.time_scales["exposure"].found.share_by([250, 500])
    truth = 0.05 * -np.expm1([-1, -2])
    assert ((least - 0.005 < truth) & (truth < most + 0.005)).all()
    # The share of all who are memorized at the end is less: many had no time.
    assert fit.outcomes.emerged / ROWS < 0.8 * 0.05
    assert fit.panel.forgetting == 0


def test_exposure_is_told_from_what_is_extractable_anyway(tmp_path, runs) -> None:
    def anyway(rng: np.random.Generator, exposure: np.ndarray) -> np.ndarray:
        return (rng.exponential(20_000, ROWS)[:, None] <= np.array(STEPS)) & (exposure >= 0)[
            :, None
        ]

    caused = exposure_effect(read_histories(find_runs(runs), texts=EACH))
    histories = read_histories(find_runs(scan(tmp_path / "a", anyway)), texts=EACH)
    none = exposure_effect(histories)

    # Nothing became extractable among those not seen: there is a lower bound all the same.
    assert caused.unexposed_events == 0
    assert caused.hazard_ratio == caused.ci95[1] == math.inf
    assert caused.ci95[0] > 10
    assert caused.p_value < 0.001
    low, high = none.ci95
    assert low < 1 < high < 1.9 * low
    fit = fit_emergence(find_runs(tmp_path / "a"), texts=EACH)
    assert "No difference was found" in fit.verdict
    # Without knowing the copies nothing is said of exposure.
    assert (
        "duplicates"
        in fit_emergence(find_runs(tmp_path / "a")).to_dict()["exposure_effect"]["reason"]
    )


def test_without_unexposed_sequences_the_page_says_what_is_not_known(tmp_path) -> None:
    folder = scan(tmp_path, emerging(generic=0.01), include_unexposed=False)
    fit = fit_emergence(find_runs(folder))

    assert fit.outcomes.evaluated_before == 0
    assert "no control group" in fit.verdict
    # Found by the first checkpoint that looked: extractable all along, for all that is known.
    looked = {row: next(s for s in STEPS if s > row // PER_STEP) for row in range(ROWS)}
    own = fit.sequence_table()
    at_first = sum(looked[row] == by for row, by in own.select("first_index", "emerged_by").rows())
    assert fit.outcomes.first_look == at_first > 0
    assert f"{at_first} were memorized at the first look at them" in fit.verdict
    assert fit.to_dict()["exposure_effect"]["reason"]


def test_forgetting_and_flicker_are_told_apart(tmp_path) -> None:
    def flickering(rng: np.random.Generator, exposure: np.ndarray) -> np.ndarray:
        kept = emerging(0.2, 100)(rng, exposure)
        return kept & (rng.random(kept.shape) > 0.1)

    fit = fit_emergence(find_runs(scan(tmp_path, flickering)))

    # What is missed once in ten looks seems to be forgotten and learned again.
    assert fit.outcomes.learned_again > 0.2 * fit.outcomes.emerged
    assert fit.retention.retained == tuple(sorted(fit.retention.retained, reverse=True))
    for parts in zip(
        fit.retention.retained, fit.retention.lost, fit.retention.lost_for_a_time, strict=True
    ):
        assert sum(parts) == pytest.approx(1)
    assert fit.confirmed < fit.outcomes.emerged


def test_a_text_found_at_the_last_checkpoint_says_nothing_of_retention(tmp_path) -> None:
    drawn = {}

    def flickering(rng: np.random.Generator, exposure: np.ndarray) -> np.ndarray:
        drawn["hits"] = emerging(0.2, 400)(rng, exposure) & (rng.random((ROWS, len(STEPS))) > 0.2)
        return drawn["hits"]

    fit = fit_emergence(find_runs(scan(tmp_path, flickering)))

    hits = drawn["hits"]
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), len(STEPS))
    followed = np.flatnonzero(first < len(STEPS) - 1)
    again = hits[followed, first[followed] + 1].mean()
    assert (first == len(STEPS) - 1).sum() > 0.1 * len(followed)
    assert fit.retention.retained[0] == pytest.approx(again)


def test_factors_say_which_texts_they_are_of(runs) -> None:
    """The table above them is of all texts, and may go the other way."""
    known = fit_emergence(find_runs(runs), texts=Texts.from_labels(np.arange(ROWS)))
    assert "all but that of copies: texts that occur once" in known.summary()
    assert "all but that of copies" not in fit_emergence(find_runs(runs)).summary()


def test_rates_of_forgetting_are_recovered(tmp_path) -> None:
    learn, forget = 2e-4, 2e-3

    def chain(rng: np.random.Generator, exposure: np.ndarray) -> np.ndarray:
        state, hits = np.zeros(ROWS, bool), np.zeros((ROWS, len(STEPS)), bool)
        for step in range(TOTAL + 1):
            if step in STEPS:
                hits[:, STEPS.index(step)] = state
            chance = np.where(state, -math.expm1(-forget), -math.expm1(-learn) * (exposure < step))
            state ^= rng.random(ROWS) < chance
        return hits

    fit = fit_emergence(find_runs(scan(tmp_path, chain)))
    low, high = fit.panel.learning_ci95
    assert low < learn < high
    low, high = fit.panel.forgetting_ci95
    assert low < forget < high
    # A chain without flicker forgets a sequence found twice as fast as one found once.
    assert fit.steady.p10 == pytest.approx(fit.panel.p10, rel=0.15)


def test_the_document_is_complete_and_the_table_holds_the_intervals(fit) -> None:
    document = fit.to_dict()
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    assert document["verdict"] in " ".join(fit.summary().replace("│", " ").split()).replace(
        "  ", " "
    )
    nulls = [c for c in document["checkpoints"] if None in (c["share_ci95"], c["unexposed_ci95"])]
    assert all(row["reason"] for row in nulls)
    table = fit.sequence_table()
    assert table.height == document["outcomes"]["ever"]
    memories = table.filter(~pl.col("generic"))
    assert (memories["emerged_after"] < memories["emerged_by"]).all()
    assert memories["normalized_high"].max() <= 1
    assert table.filter("generic")["emerged_by"].null_count() == (document["outcomes"]["generic"])


@pytest.mark.parametrize("theta", [0.0, 1.0])
def test_the_drift_of_emergence_is_that_of_the_hazard(tmp_path, theta) -> None:
    """More have been seen later in training, and checkpoints are far apart: neither is a drift."""
    histories = read_histories(find_runs(scan(tmp_path, drifting(theta), seed=3)))
    fit = fit_emergence_process(histories, margin=1.5)
    low, high = fit.trend.interval(0.99)

    assert low < math.exp(theta) < high
    assert fit.local_overdispersion.p_value > 0.01
    assert (fit.trend.p_value < 0.05) == (theta > 0)
    assert fit.windows.counts.sum() == fit.n_events
    # By counts alone the rate would seem to rise manifold.
    assert fit.windows.counts[-1] > 3 * fit.windows.counts[3]


def test_the_process_says_what_grouped_times_cannot_tell(runs) -> None:
    histories = read_histories(find_runs(runs))
    fit = fit_emergence_process(histories, cuts=[Cut(100, "early"), Cut(500, "late")])
    document = json.loads(json.dumps(fit.to_dict(), allow_nan=False))

    for key in ("uniformity", "control", "last_steps"):
        assert "exact positions" in document[key]["reason"]
    assert document["window"] is None
    (cut,) = [model for model in document["models"] if model["name"] == "known cuts"]
    assert list(cut["parameters"]) == ["rate_from_0", "rate_from_100", "rate_from_500"]
    assert "exact positions" in fit.summary().replace("\n", " ")


def test_looks_that_are_missing_leave_their_emergences_out(tmp_path, runs) -> None:
    every = read_histories(find_runs(runs))
    windows, stop, u, left_out = emergence_windows(every)
    assert left_out == 0
    assert (np.diff(u) > 0).all()
    assert stop.tolist() == list(STEPS[1:])
    assert windows.counts.sum() == every.risk["events"].sum()

    (lost,) = find_runs(scan(tmp_path, emerging(generic=0.01)), step=500)
    lost.path(lost.shards()[0]).unlink()
    fewer = read_histories(find_runs(tmp_path))
    windows, _, _, left_out = emergence_windows(fewer)
    first = every.own.filter(pl.col("first_index") < SHARD)
    gap = first.filter(pl.col("first_with").is_in([500, 600]))
    assert left_out == gap.height > 10
    assert windows.counts.sum() == every.own.height - left_out


def test_a_drift_without_data_is_undefined() -> None:
    nothing = Drift(math.nan, math.nan, "nothing emerged")
    assert nothing.equivalence(1.05).equivalent is None
    with pytest.raises(FitError, match="margin 1 must be"):
        nothing.equivalence(1)


def test_nothing_memorized_is_an_answer(tmp_path) -> None:
    folder = scan(tmp_path, lambda rng, exposure: np.zeros((ROWS, len(STEPS)), bool))
    fit = fit_emergence(find_runs(folder))
    document = fit.to_dict()

    assert document["outcomes"]["emerged"] == 0
    assert document["time_scales"]["training"]["reason"] == "nothing emerged"
    assert document["hazard"]["reason"] == "nothing emerged"
    assert "0 of 20,000 sequences" in fit.summary()
    process = fit_emergence_process(fit.histories)
    assert "Nothing emerged" in process.summary()
    json.dumps(process.to_dict(), allow_nan=False)
    for figure in (fit.plot(), process.plot()):
        figure.clear()


def run(command: Callable[..., Result], *args: object) -> Result:
    result = command("-q", *args)
    assert result.exit_code == 0, result.output
    return result


def test_the_command_writes_what_it_prints(runs, tmp_path, memtrace_cli) -> None:
    output = tmp_path / "figures"
    document = json.loads(run(memtrace_cli, "emergence", runs, "--json", "--output", output).stdout)

    assert json.loads((output / "emergence.json").read_text()) == document
    names = {path.name for path in output.iterdir()}
    assert {"emergence.png", "memorized.svg", "flows.png", "time-exposure.png"} <= names
    table = pl.read_parquet(output / "sequences.parquet")
    assert table.height == document["outcomes"]["ever"]
    text = run(memtrace_cli, "emergence", runs).stdout
    assert "Hazard" in text
    # Each answer says which runs it came from.
    first, last = (find_runs(runs)[place].provenance for place in (0, -1))
    assert document["sources"][0] == first
    assert document["sources"][-1] == last
    folded = " ".join(text.split())
    same = ", corpus c, prompt tokens 0 to 31, continuation tokens 32 to 63 of each row"
    source = f"{len(document['sources'])} runs, {first.removesuffix(same)} to {last}"
    assert f"From {source}" in folded
    assert escape(source) in (output / "memorized.svg").read_text(encoding="utf-8")


def test_exactly_one_source_is_asked_for(runs, tmp_path, memtrace_cli) -> None:
    for args in ([], [runs, "--evals", tmp_path], ["--evals", tmp_path, "--model", "small"]):
        result = memtrace_cli("emergence", *args)
        assert result.exit_code == 2, result.output
    result = memtrace_cli("emergence", tmp_path)
    assert result.exit_code == 1
    assert "holds no run" in result.stderr


def test_fit_poisson_on_the_time_scale_of_emergence(runs, tmp_path, memtrace_cli) -> None:
    options = ("fit-poisson", runs, "--time-scale", "emergence", "--json")
    document = json.loads(run(memtrace_cli, *options, "--output", tmp_path / "out").stdout)
    assert document["time_scale"] == "emergence"
    assert len(document["windows"]["stop"]) == len(STEPS) - 1
    assert (tmp_path / "out" / "fit.png").exists()
    few = json.loads(run(memtrace_cli, *options, "--step", "0,500,1000").stdout)
    assert few["windows"]["stop"] == [500, 1000]
    wrong = memtrace_cli(*options, "--duplicates", tmp_path)
    assert wrong.exit_code == 1
    assert "no table of duplicates" in wrong.stderr


@pytest.mark.parametrize("name", ["emergence.json", "sequences.parquet", "memorized.png"])
def test_a_full_disk_is_one_clear_error(runs, tmp_path, memtrace_cli, name) -> None:
    """A file of this name stands on a device that is full."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    (tmp_path / name).symlink_to(full)
    result = memtrace_cli("emergence", runs, "--output", tmp_path)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith(f"Error: cannot write to {tmp_path}")


def test_a_folder_that_cannot_be_written_is_one_clear_error(runs, tmp_path, memtrace_cli) -> None:
    (tmp_path / "file").write_text("in the way")
    result = memtrace_cli("emergence", runs, "--output", tmp_path / "file" / "below")
    assert result.exit_code == 1
    assert "cannot write to" in result.stderr
    assert RunError.__name__ not in result.stderr
