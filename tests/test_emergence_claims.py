"""What the sentences on emergence claim: no more than checkpoints show."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from builders import write_run
from hypothesis import given
from hypothesis import strategies as st

from memtrace.emergence import EmergenceFit, fit_emergence
from memtrace.emergence.charts import half_emerged
from memtrace.emergence.figures import course, figures_of, single
from memtrace.emergence.first_seen import first_seen
from memtrace.emergence.hazard import Cells
from memtrace.emergence.outcomes import RETENTION
from memtrace.emergence.page import emergence_page, finding
from memtrace.emergence.process.fit import fit_emergence_process
from memtrace.emergence.quantiles import quantile_of
from memtrace.emergence.verdict import answer, estimand
from memtrace.report.numbers import interval, percent
from memtrace.runs.run import find_runs
from memtrace.texts.groups import Texts

PER_STEP, TOTAL = 10, 400
ROWS = PER_STEP * TOTAL
EXPOSURE = np.arange(ROWS) // PER_STEP
EACH = Texts.from_labels(np.arange(ROWS))
"""No sequence is a copy of another."""


def write(folder: Path, hits: np.ndarray, steps: list[int], **kw: object) -> None:
    """Write runs of which `hits` (rows, checkpoints) are memorized."""
    for k, step in enumerate(steps):
        write_run(
            folder,
            lambda rows, k=k: np.where(hits[rows, k], 32, 3),
            **{"model": "small", "stop": ROWS, **kw},
            step=step,
            exposed_rows=PER_STEP * step,
            corpus_rows=ROWS,
            sequences_per_step=PER_STEP,
            shard_size=ROWS,
            weight_digest=str(step),
        )


def fitted(
    folder: Path, hits: np.ndarray, steps: list[int], *, texts: Texts | None = EACH, **kw: object
) -> EmergenceFit:
    """Fit such runs."""
    write(folder, hits, steps, **kw)
    return fit_emergence(find_runs(folder), texts=texts)


def times(rng: np.random.Generator, rate: float, rows: int = ROWS) -> np.ndarray:
    """Return when each row emerges, at one rate from its exposure on."""
    return EXPOSURE[:rows] + rng.exponential(1 / rate, rows)


INTERVALS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=12)


@given(INTERVALS, st.sampled_from([0.25, 0.5, 0.75]), st.data())
def test_bounds_hold_the_quantile_of_all_times_that_fit(pairs, part, data) -> None:
    left, width = np.array(pairs, float).T
    time = left + width * np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(left),
                                                      max_size=len(left))))  # fmt: skip
    low, high = quantile_of(left, left + width, part).bounds
    assert low <= np.quantile(time, part, method="inverted_cdf") <= high
    # And there are times at which each bound is the quantile.
    assert low == np.quantile(left, part, method="inverted_cdf")
    assert high == np.quantile(left + width, part, method="inverted_cdf")


@pytest.mark.parametrize("part", [0.25, 0.5])
def test_intervals_of_a_quantile_cover_it_and_widen_as_copies_would(part) -> None:
    rng, inside, draws = np.random.default_rng(1), 0, 600
    for _ in range(draws):
        time = rng.random(40)
        cut = np.floor(time * 8) / 8
        low, high = quantile_of(cut, cut + 1 / 8, part).ci95
        exact = quantile_of(time, time, part).ci95
        assert low <= exact[0] <= exact[1] <= high
        inside += exact[0] <= part <= exact[1]
    assert inside >= (0.95 - 3 * math.sqrt(0.05 * 0.95 / draws)) * draws
    # Four texts that always emerge together are as good as one.
    one, four = quantile_of(time, time, part), quantile_of(*[np.repeat(time, 4)] * 2, part)
    widened = quantile_of(*[np.repeat(time, 4)] * 2, part, widening=2)
    assert widened.ci95 == one.ci95
    assert four.ci95[1] - four.ci95[0] < one.ci95[1] - one.ci95[0]
    # Few texts say nothing of how late it may be, but for the end of all times.
    assert quantile_of([1, 2], [2, 3], 0.75, most=9).ci95 == (0, 9)


def test_the_headline_has_what_is_known_of_half_and_no_more(tmp_path) -> None:
    """Two models with the same times: many checkpoints narrow the bounds that few leave wide."""
    time = np.where(np.arange(ROWS) % 5, np.inf, times(np.random.default_rng(2), 1 / 90))
    widths = {}
    for name, steps in (("few", [0, 200, 400]), ("many", list(range(0, 401, 10)))):
        fit = fitted(tmp_path / name, time[:, None] <= np.array(steps), steps)
        scale = fit.time_scales["share"]
        low, high = scale.among_emerged(0.5).bounds
        emerged = time <= TOTAL
        half = np.median(((time - EXPOSURE) / (TOTAL - EXPOSURE))[emerged])
        assert low <= half <= high
        assert f"{emerged.sum()} of 4,000 texts emerged" in answer(fit)
        assert scale.coarse == (name == "few")
        assert ("too far apart" in answer(fit)) == scale.coarse
        widths[name] = high - low
        shown = [table for table in finding(fit, names=[]).tables if "emerged" in table.title]
        assert interval((low, high), percent) in shown[0].rows[-1]
        for end in scale.among_emerged(0.5).ci95:
            assert (percent(end) in answer(fit)) == (not scale.coarse)
    assert widths["many"] < 0.2 < 0.5 < widths["few"]


def test_what_was_extractable_all_along_is_not_said_to_emerge(tmp_path) -> None:
    """Everything is returned from the start: the first checkpoint's texts had no earlier look."""
    fit = fitted(tmp_path, np.ones((ROWS, 3), bool), [100, 200, 300], texts=None)
    out = fit.outcomes
    assert (out.emerged, out.first_look, fit.shown) == (1000, 1000, 0)
    assert fit.texts == out.emerged + out.generic_exposed == 3000
    assert out.generic == 3000  # with those never trained on
    said = answer(fit)
    assert "not known" in said
    assert not re.search("half|emerged", said)
    assert f"{fit.texts:,}" in said
    assert set(figures_of(fit)) == {"memorized", "flows"}
    assert "Hazard:" not in fit.summary()
    assert not re.search(r"^ *emerged ", fit.summary(), re.MULTILINE)
    scale = fit.to_dict()["time_scales"]["share"]
    assert "not known" in scale["reason"]
    assert "first look" in finding(fit, names=[]).facts[0].name
    assert "not known" in fit_emergence_process(fit.histories).verdict


def test_without_an_early_risk_set_there_is_no_curve(tmp_path) -> None:
    """All emerge at once: nobody waits, at any checkpoint, for a curve along training."""
    steps = [100, 200, 400]
    hits = np.array(steps)[None, :] > EXPOSURE[:, None]
    fit = fitted(tmp_path, hits, steps)
    scale = fit.time_scales["training"]
    assert scale.at_risk == len(scale.share) == 0
    assert "too few texts were at risk" in estimand(fit, "training")
    assert "time-training" not in figures_of(fit)


def test_the_curve_along_training_is_of_those_who_wait_at_its_beginning(tmp_path) -> None:
    """One rate for all: the share is that of the time from the first checkpoint to the last."""
    rate, steps = 4e-4, [100, 250, 400]
    time = times(np.random.default_rng(3), rate)
    fit = fitted(tmp_path, time[:, None] <= np.array(steps), steps)
    scale = fit.time_scales["training"]
    assert (scale.since, scale.at_risk) == (100, ((time > 100) & (EXPOSURE < 100)).sum())
    low, high = scale.emerged_ci95
    assert low <= -math.expm1(-rate * 300) <= high
    assert scale.given
    assert "step 100" in estimand(fit, "training")
    assert percent(scale.emerged) in fit.summary()


def test_a_curve_of_no_group_is_not_given(tmp_path) -> None:
    """Texts seen early emerge ten times as often: one curve for all is that of neither."""
    rng, steps = np.random.default_rng(4), [50, 100, 200, 300, 400]
    rate = np.where(EXPOSURE < 100, 2e-3, 2e-4)
    time = EXPOSURE + rng.exponential(1 / rate)
    fit = fitted(tmp_path, time[:, None] <= np.array(steps), steps)
    for name in ("training", "exposure"):
        assert fit.time_scales[name].first_seen.earlier
        assert "not given" in estimand(fit, name)
        assert f"time-{name}" not in figures_of(fit)
        assert fit.to_dict()["time_scales"][name]["reason"] == estimand(fit, name)
    share = fit.time_scales["share"]
    assert share.emerged == pytest.approx((time <= TOTAL).mean(), abs=1e-6)
    assert share.given


def test_whether_it_matters_when_a_text_is_first_seen_has_its_level() -> None:
    rng, draws = np.random.default_rng(5), 400
    time = np.repeat(np.arange(6), 8)
    exposure = np.tile(np.linspace(0, 70, 8), 6)
    at_risk, length = rng.integers(200, 2000, 48), rng.integers(1, 9, 48).astype(float)
    rate = 2e-3 * np.exp(rng.normal(0, 1, 6))[time]
    found = {0.0: 0, 0.02: 0}
    for slope in found:
        mean = at_risk * length * rate * np.exp(-slope * exposure)
        for _ in range(draws):
            events = np.minimum(rng.poisson(mean), at_risk)
            cells = Cells(events, at_risk, length, exposure, exposure, exposure, events > 0)
            seen = first_seen(cells, time)
            found[slope] += seen.matters and (not slope or seen.earlier)
    assert found[0.0] <= (0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)) * draws
    assert found[0.02] >= 0.9 * draws


def test_retention_has_its_number_at_risk_and_stops_with_few(tmp_path) -> None:
    steps = list(range(0, 401, 50))
    rng = np.random.default_rng(6)
    time = times(rng, 1.2e-4)
    hits = (time[:, None] <= np.array(steps)) & (rng.random((ROWS, len(steps))) < 0.8)
    fit = fitted(tmp_path, hits, steps)
    kept = fit.retention
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), len(steps))
    expected = {}
    for n in RETENTION:
        late = np.flatnonzero(first + n < len(steps))
        held = [hits[row, first[row] : first[row] + n].all() for row in late]
        expected[n] = sum(held)
    assert dict(zip(kept.checkpoints, kept.at_risk, strict=True)) == {
        n: count for n, count in expected.items() if count >= 10
    }
    assert 0 < expected[4] < 10  # so that there is one to leave out
    for share, (low, high) in zip(kept.retained, kept.retained_ci95, strict=True):
        assert low < share < high
    assert f"{kept.at_risk[-1]} at risk" in " ".join(fit.summary().split())


def test_a_page_of_several_models_begins_with_the_one_with_most_and_names_all(tmp_path) -> None:
    steps, time = [0, 400], times(np.random.default_rng(7), 1e-4)
    fits = [
        fitted(tmp_path / name, (time[:, None] <= steps) & kept[:, None], steps, model=name)
        for name, kept in (("large", EXPOSURE >= 0), ("small", EXPOSURE % 2 == 0))
    ]
    assert fits[0].outcomes.emerged > fits[1].outcomes.emerged
    page = emergence_page(fits, ["demo/lonely"])
    assert page.summary.label == "demo/large, the one with most of 3 models"
    assert page.summary.answer == page.findings[0].answer
    assert "demo/lonely was scanned at one checkpoint and is left out" in " ".join(
        page.summary.limits
    )
    assert [row[0] for row in page.summary.tables[0].rows][-1] == "demo/lonely"


def test_a_model_with_one_checkpoint_does_not_keep_others_from_an_answer(
    tmp_path, memtrace_cli
) -> None:
    nothing = np.zeros((ROWS, 2), bool)
    write(tmp_path, nothing, [200, 400])
    write(tmp_path, nothing, [400], model="lonely")
    result = memtrace_cli("emergence", tmp_path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["model"] == "small"
    assert "demo/lonely has one checkpoint and is left out" in result.stderr
    alone = memtrace_cli("emergence", tmp_path, "--model", "lonely")
    assert alone.exit_code == 1
    assert "at least 2 checkpoints" in alone.stderr


def test_only_what_was_tested_is_said_to_be(tmp_path) -> None:
    """Of copies nothing is tested where they are unknown; else it is no experiment."""
    steps, rng = [0, 200, 400], np.random.default_rng(8)
    labels = rng.permutation(np.where(np.arange(ROWS) < 600, np.arange(ROWS) % 60, np.arange(ROWS)))
    texts = Texts.from_labels(labels)
    name = texts.names_of(np.arange(ROWS))
    time = times(rng, np.where(texts.counts_of(name) > 1, 5e-3, 2e-4))[name]
    hits = time[:, None] <= np.array(steps)
    known, unknown = (fitted(tmp_path, hits, steps, texts=one) for one in (texts, None))
    said = finding(known, names=[])
    assert "copies" in " ".join(said.tested)
    assert "not drawn at random" in " ".join(said.limits)
    assert "compares texts" in known.verdict
    said = finding(unknown, names=[])
    assert "copies" not in " ".join(said.tested)
    assert "not drawn at random" not in " ".join(said.limits)


def test_a_sample_is_said_to_be_one_where_shares_stand(tmp_path) -> None:
    steps, time = [0, 400], times(np.random.default_rng(9), 4e-4)
    hits = time[:, None] <= np.array(steps)
    fit = fitted(tmp_path, hits, steps, texts=None, sample_size=1000, sample_seed=1)
    assert "of 1,000 sampled sequences" in answer(fit)
    assert "of 1,000 sampled sequences" in fit.verdict
    assert "sampled" not in answer(fitted(tmp_path / "all", hits, steps))


def test_shares_of_the_rest_end_with_the_last_checkpoint(tmp_path) -> None:
    """Training goes on after the last row: a second epoch, of which nothing else is known."""
    steps = [100, 300, 500, 700]  # the rows end at 400
    hits = np.where(np.arange(ROWS) % 9 == 0, EXPOSURE + 150.0, np.inf)[:, None] <= np.array(steps)
    fit = fitted(tmp_path, hits, steps)
    assert fit.histories.total_steps == 700
    for part in (0.25, 0.5, 0.75):
        quantile = fit.time_scales["share"].among_emerged(part)
        assert all(0 <= end <= 1 for end in (*quantile.bounds, *quantile.ci95))


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> EmergenceFit:
    """Return a model of ten checkpoints that memorizes at one rate."""
    steps = list(range(40, 401, 40))
    time = times(np.random.default_rng(2), 1e-3)
    return fitted(tmp_path_factory.mktemp("steady"), time[:, None] <= steps, steps)


def test_the_curve_is_level_where_the_estimate_is_known_and_ends_with_training(steady) -> None:
    for name in ("exposure", "share"):
        scale = steady.time_scales[name]
        times, share, low, high = course(scale)
        assert times[-1] == scale.until
        assert np.all(np.diff(times) >= 0)
        assert np.all((low <= share) & (share <= high))
        begins, ends = slice(0, None, 2), slice(1, None, 2)
        assert np.array_equal(share[begins], share[ends])
        wide = times[ends] > times[begins]
        middle = (times[begins] + times[ends])[wide] / 2
        for found in scale.found.share_by(middle):
            assert found == pytest.approx(share[begins][wide])


def test_what_is_folded_says_nothing_that_the_answer_says(steady) -> None:
    page = emergence_page([steady]).summary
    assert f"{steady.outcomes.emerged:,} of" in page.answer
    assert "half of them" in page.answer
    assert "half of them" not in page.rest
    assert steady.verdict.endswith(page.rest.rsplit(". ", 1)[1])
    bounds = steady.time_scales["training"].among_emerged(0.5).bounds
    assert half_emerged(steady) == bounds


def test_hazards_that_are_all_0_are_drawn_up_to_their_intervals(tmp_path) -> None:
    """All that was left emerges at the last checkpoint: of that hazard only a bound is known."""
    steps = [100, 200, 300, 400]
    hits = np.repeat([[False, False, False, True]], ROWS, axis=0)
    fit = fitted(tmp_path, hits, steps)
    known = [one for one in fit.hazard_by_checkpoint if math.isfinite(one.rate)]
    assert fit.outcomes.emerged == ROWS
    assert [one.rate for one in known] == [0, 0, 0]
    top = single(fit, "hazard-training").axes[0].get_ylim()[1]
    assert top > 1e6 * max(one.ci95[1] for one in known)
