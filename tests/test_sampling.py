"""Sampled scans: the same rows whatever the shards, and estimates that carry the design's error."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memtrace
from memtrace.errors import FitError, RunError
from memtrace.manifests import find_model
from memtrace.point_process import EventSequence
from memtrace.runs.estimate import estimate_run
from memtrace.runs.sampling import Sample, draw, estimate_count, stratify
from memtrace.runs.shards import plan_shards

SUITE, _ = find_model("demo")
LAST_STEP = {"model": "demo", "step": SUITE.last_step, "dtype": "float32", "sequences": (0, 900)}


@given(st.integers(0, 10**8), st.integers(1, 500), st.integers(0, 5), st.data())
def test_a_draw_is_ascending_unique_and_within(start, length, seed, data):
    n = data.draw(st.integers(1, length))
    rows = draw(start, start + length, n, seed)
    assert len(rows) == n
    assert (np.diff(rows) > 0).all()
    assert start <= rows[0] <= rows[-1] < start + length
    assert (rows == draw(start, start + length, n, seed)).all()


def test_every_row_is_drawn_as_often_as_any_other():
    """10,000 draws of 5 of 20 rows: chi-squared of the frequencies, and of pairs."""
    drawn = np.array([draw(0, 20, 5, seed) for seed in range(10_000)])
    counts = np.bincount(drawn.ravel(), minlength=20)
    # Without replacement the frequencies vary less than multinomially.
    statistic = ((counts - 2500) ** 2 / (2500 * (1 - 5 / 20))).sum() * 19 / 20
    assert 5 < statistic < 45  # 0.999 of chi-squared with 19 degrees of freedom


@given(
    start=st.integers(0, 5_000),
    length=st.integers(1, 3_000),
    width=st.integers(1, 900),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_strata_get_their_share(start, length, width, seed, data):
    n = data.draw(st.integers(1, length))
    stop = start + length
    sample = Sample(n, seed, width)
    edges, rows = sample.edges(start, stop), sample.rows(start, stop)
    assert (edges[0], edges[-1]) == (start, stop)
    assert (np.diff(edges) >= min(width, length)).all()
    assert all(edge % width == 0 for edge in edges[1:-1])
    assert len(rows) == len(set(rows.tolist())) == n
    drawn = np.histogram(rows, edges)[0]
    assert (np.abs(drawn - n * np.diff(edges) / length) < 1).all()


def test_strata_are_whole_steps_and_hold_two_rows():
    sample = stratify(100_000, 0, 146_432_000, 1024)
    assert sample.stratum_rows == 3 * 1024  # 1.43 steps for each of 100,000; two rows need 2.86
    drawn = np.histogram(sample.rows(0, 146_432_000), sample.edges(0, 146_432_000))[0]
    assert drawn.min() >= 2
    assert stratify(10**6, 0, 10**6, 1024).stratum_rows == 1024


@given(st.integers(1, 60), st.integers(0, 40), st.integers(1, 400))
def test_shards_tile_the_sample(size, start, length):
    sample = Sample(max(1, length // 7), 3)
    shards = plan_shards(start, start + length, size, sample)
    rows = sample.rows(start, start + length)
    assert sum(shard.sequences for shard in shards) == len(rows)
    assert all(shard.sequences for shard in shards)
    whole = plan_shards(start, start + length, size)
    assert {shard.file_name for shard in shards} <= {shard.file_name for shard in whole}


def test_too_large_a_sample():
    with pytest.raises(RunError, match="a sample of 11 was asked of 10 sequences"):
        Sample(11, 0).rows(0, 10)


def test_a_full_count_has_no_error():
    rows = np.arange(50)
    estimate = estimate_count(rows[:7], rows, [0, 50])
    assert estimate.count == pytest.approx(7)
    assert estimate.count_ci95 == pytest.approx((7, 7))
    assert estimate_count([], rows, [0, 50]).count_ci95 == (0, 0)


def test_simple_sample_agrees_with_the_textbook():
    """Cochran (1977), Sampling Techniques, ch. 3: N p, and var = (1 - f) p (1 - p) / (n - 1)."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(10_000, 2_000, replace=False))
    events = rows[rng.random(2_000) < 0.3]
    estimate = estimate_count(events, rows, [0, 10_000])
    p = len(events) / 2_000
    error = np.sqrt((1 - 0.2) * p * (1 - p) / 1_999)
    assert estimate.rate == pytest.approx(p)
    assert estimate.count == pytest.approx(10_000 * p)
    low, high = estimate.rate_ci95
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.02)


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.02, 0.3])
@pytest.mark.parametrize("stratified", [False, True])
def test_intervals_cover_the_count(rate, stratified):
    """In 95% of samples or more the interval holds the count; the population has a strong trend."""
    population, n, repeats = 12_000, 1_200, 400
    rng = np.random.default_rng(int(rate * 1000))
    chance = 2 * rate * np.linspace(0, 1, population)
    events = rng.random(population) < chance
    covered, widths = 0, []
    for seed in range(repeats):
        sample = stratify(n, seed, population, 100) if stratified else Sample(n, seed)
        rows = sample.rows(0, population)
        estimate = estimate_count(rows[events[rows]], rows, sample.edges(0, population))
        low, high = estimate.count_ci95
        covered += low - 1e-9 <= events.sum() <= high + 1e-9
        widths.append(high - low)
    # Clopper and Pearson are conservative; 400 repeats leave a standard error of 1.1%.
    assert covered / repeats > 0.925


def test_strata_narrow_the_interval_where_the_rate_drifts():
    """A rate that differs between strata is known to do so: its variance is left out."""
    population, n = 20_000, 2_000
    chance = np.where(np.arange(population) < population // 2, 0.9, 0.1)
    events = np.random.default_rng(0).random(population) < chance
    widths = {}
    for kind, sample in {"simple": Sample(n, 1), "strata": Sample(n, 1, 1_000)}.items():
        rows = sample.rows(0, population)
        estimate = estimate_count(rows[events[rows]], rows, sample.edges(0, population))
        widths[kind] = np.diff(estimate.count_ci95)[0]
        assert estimate.count == pytest.approx(events.sum(), rel=0.06)
    # Within strata the variance is 0.09, over all of them 0.25.
    assert widths["strata"] / widths["simple"] == pytest.approx(0.6, rel=0.05)


def test_the_estimate_is_unbiased():
    rng = np.random.default_rng(5)
    events = rng.random(3_000) < 0.05
    counts = []
    for seed in range(500):
        sample = Sample(150, seed, 700)  # strata of several sizes, with unequal shares
        rows = sample.rows(130, 3_000)
        counts.append(estimate_count(rows[events[rows]], rows, sample.edges(130, 3_000)).count)
    truth = events[130:].sum()
    assert abs(np.mean(counts) - truth) < 4 * np.std(counts) / np.sqrt(500)


def test_nothing_to_estimate_from():
    with pytest.raises(FitError, match="at least 2"):
        estimate_count([], [3], [0, 10])
    with pytest.raises(FitError, match="events among them"):
        estimate_count([4], [3, 5], [0, 10])


@pytest.fixture(scope="module")
def demo_runs(tmp_path_factory):
    """The whole of a checkpoint of the demo suite and a sample of it."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "whole": memtrace.scan(runs=folder / "whole", **LAST_STEP),
        "sample": memtrace.scan(runs=folder / "sample", sample=300, seed=4, **LAST_STEP),
    }


def test_a_sampled_scan_gives_the_scores_of_its_rows(demo_runs):
    whole, sample = demo_runs["whole"].scores().collect(), demo_runs["sample"].scores().collect()
    rows = Sample(300, 4).rows(0, 900)
    assert sample["sequence_index"].to_list() == rows.tolist()
    assert sample.equals(whole[rows])


@pytest.mark.parametrize("shard_size", [1, 77, 10_000])
def test_shards_do_not_change_a_sample(demo_runs, tmp_path, shard_size):
    run = memtrace.scan(runs=tmp_path, sample=40, seed=4, shard_size=shard_size, **LAST_STEP)
    rows = Sample(40, 4).rows(0, 900)
    assert run.scores().collect().equals(demo_runs["whole"].scores().collect()[rows])


def test_the_design_is_recorded_and_part_of_the_run(demo_runs):
    run = demo_runs["sample"]
    record = json.loads((run.folder / "run.json").read_text())["configuration"]
    assert (record["sample_size"], record["sample_seed"], record["stratum_rows"]) == (300, 4, None)
    assert record["sample_size"] == run.record["sequences_done"]
    with pytest.raises(RunError, match="sample_seed: 4 -> 5"):
        memtrace.scan(runs=run.folder.parents[2], sample=300, seed=5, **LAST_STEP)


def test_statistics_know_what_was_looked_at(demo_runs):
    events = EventSequence.from_run(demo_runs["sample"])
    assert events.exposure == 300
    estimate = estimate_run(demo_runs["sample"])
    assert (estimate.sampled, estimate.population) == (300, 900)
    assert estimate.rate == pytest.approx(events.fraction)
    truth = EventSequence.from_run(demo_runs["whole"]).n_events
    low, high = estimate.count_ci95
    assert low <= truth <= high
    assert estimate_run(demo_runs["whole"]) is None


def test_command_stratified_by_step(tmp_path, memtrace_cli):
    step_rows = SUITE.sequences_per_step
    command = ["-q", "scan", "--model", "demo", "--step", "64", "--runs", tmp_path]
    command += ["--sample", "128", "--seed", "1", "--stratified", "--dtype", "float32"]
    document = json.loads(memtrace_cli(*command, "--json").stdout)
    assert document["sequences"] == document["estimate"]["sampled"] == 128
    assert document["estimate"]["population"] == 64 * step_rows == 1024
    assert "Estimate for all 1,024 sequences, from 128" in memtrace_cli(*command).stdout
    fit = memtrace_cli("fit-poisson", tmp_path, "--window", "64", "--json")
    assert fit.exit_code == 0, fit.output
    sample = json.loads(fit.stdout)["sample"]
    assert (sample["n"], sample["seed"], sample["stratum_rows"]) == (128, 1, step_rows)
    assert sample["count_ci95"] == document["estimate"]["count_ci95"]
    page = memtrace_cli("fit-poisson", tmp_path, "--window", "64").stdout
    assert "Estimate for all 1,024 sequences, from 128" in page
    (record,) = tmp_path.glob("*/*/*/run.json")
    assert json.loads(record.read_text())["configuration"]["stratum_rows"] == step_rows
    (status,) = json.loads(memtrace_cli("status", tmp_path, "--json").stdout)
    assert (status["sequences"], status["finished"]) == (128, True)


def test_sample_of_more_than_there_is(tmp_path, memtrace_cli):
    command = ["scan", "--model", "demo", "--step", "1", "--runs", tmp_path, "--sample", "99"]
    result = memtrace_cli(*command)
    assert result.exit_code == 1
    assert f"a sample of 99 was asked of {SUITE.sequences_per_step} sequences" in result.stderr
