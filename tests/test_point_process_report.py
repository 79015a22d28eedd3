import json
import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memtrace.errors import FitError
from memtrace.point_process import EventSequence, fit_poisson
from memtrace.point_process.figures import residuals, shown
from memtrace.point_process.figures.descriptions import described
from memtrace.point_process.fit import Asked, fit_events
from memtrace.point_process.models.piecewise import Cut
from memtrace.point_process.page import QUESTION, finding
from memtrace.point_process.simulate import log_linear_drift, random_order
from memtrace.report.numbers import percent
from memtrace.report.page import Page, page_html

CONTRACT = {
    "events": None,
    "exposure": None,
    "window": None,
    "rate_per_window": None,
    "rate_ci95": None,
    "dispersion": {"index_poisson", "index_binomial", "ci95", "p_value"},
    "trend": {"rate_ratio", "ci90", "ci95", "p_value"},
    "equivalence": {"margin", "equivalent", "p_value"},
    "uniformity": {"ks", "ks_upper95", "laplace_z", "p_value"},
    "change_point": {"index", "step", "rate_ratio", "p_value", "ci95"},
    "models": None,
    "coverage": {"expected", "seen", "missing_ranges"},
    "texts": {"events", "largest_share", "effective", "design_effect", "rate_ci95"},
    "control": {"exposed", "copy_exposed", "unexposed", "rate_difference_ci95"},
    "verdict": None,
}


@st.composite
def event_sequences(draw) -> EventSequence:
    n = draw(st.integers(1, 50))
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=4, unique=True)))
    observed = np.array(cuts[: len(cuts) // 2 * 2]).reshape(-1, 2)
    seen = np.concatenate([[], *(np.arange(a, b) for a, b in observed)]).astype(int)
    chosen = draw(st.sets(st.sampled_from(seen.tolist()))) if len(seen) else set()
    control = draw(st.sampled_from([None, 0, 3]))
    return EventSequence.from_positions(
        np.array(sorted(chosen), dtype=np.int64),
        n=n,
        observed=observed,
        not_exposed_events=control,
        not_exposed_exposure=None if control is None else 7,
    )


def nulls_without_reason(value: object) -> list[str]:
    """Return the keys whose value is null in an object that gives no reason."""
    if isinstance(value, list):
        return [name for item in value for name in nulls_without_reason(item)]
    if not isinstance(value, dict):
        return []
    inner = [name for item in value.values() for name in nulls_without_reason(item)]
    if value.get("reason"):
        return []
    return inner + [k for k, v in value.items() if v is None and k != "reason"]


@given(event_sequences(), st.integers(1, 60))
def test_every_document_is_complete_json_and_every_null_has_a_reason(events, window) -> None:
    if events.exposure == 0 and events.not_exposed_exposure is None:
        with pytest.raises(FitError, match="no sequence was scanned"):
            fit_poisson(events, window=window)
        return
    fit = fit_poisson(events, window=window)
    document = json.loads(json.dumps(fit.to_dict(), allow_nan=False))

    assert CONTRACT.keys() <= document.keys()
    for name, keys in CONTRACT.items():
        assert keys is None or keys <= document[name].keys()
    assert {"name", "log_likelihood", "parameters", "aic", "bic"} <= document["models"][0].keys()
    assert nulls_without_reason(document) == []
    assert document["verdict"].endswith(".")
    assert document["events"] == events.n_events
    assert document["coverage"]["seen"] + sum(b - a for a, b in events.missing) == events.n
    assert fit.summary().count("\n") > 10


@st.composite
def patterns(draw) -> EventSequence:
    """No event, one anywhere, all of a short axis, or a block at the start or the end."""
    n = draw(st.integers(1, 40) | st.sampled_from([32_768, 10_000_000]))
    block = np.arange(draw(st.integers(1, min(n, 40))))
    where = draw(st.sampled_from(["none", "one", "start", "end"]))
    chosen = {
        "none": block[:0],
        "one": np.array([draw(st.sampled_from([0, n // 2, n - 1]) | st.integers(0, n - 1))]),
        "start": block,
        "end": n - 1 - block,
    }[where]
    control = draw(st.sampled_from([None, 0, 3]))
    return EventSequence.from_positions(
        chosen,
        n=n,
        sequences_per_step=draw(st.sampled_from([None, 1 + n // 500, 1 + n // 3])),
        not_exposed_events=control,
        not_exposed_exposure=None if control is None else 20_000,
    )


@settings(max_examples=20)
@given(patterns())
@example(EventSequence.from_positions([0], n=32_768, sequences_per_step=64))
@example(EventSequence.from_positions([32_767], n=32_768, sequences_per_step=64))
@example(EventSequence.from_positions(np.arange(40), n=10_000_000))
@example(EventSequence.from_positions(10_000_000 - np.arange(1, 40), n=10_000_000))
def test_any_pattern_of_events_gives_a_document_and_sentences_without_nan(events) -> None:
    # So many windows of 512 that a long axis would take gigabytes.
    fit = fit_poisson(events, window=max(512, events.n // 2000))
    document = json.dumps(fit.to_dict(), allow_nan=False)
    whole = page_html(Page(QUESTION, finding(fit, ())))
    page = re.sub("<script.*?</script>", "", whole, flags=re.DOTALL)
    seen = [fit.verdict, fit.summary(60), page, *(described(fit, name) for name in shown(fit))]

    assert nulls_without_reason(json.loads(document)) == []
    for text in seen:
        assert not re.search(r"\bnan\b|\binf\b|\de[+-]\d|9[05]% 0 to 0\b(?!\.)", text), text


@pytest.mark.parametrize("index", [0, 32_767])
def test_a_single_event_at_an_end_is_no_drift_of_a_size_that_can_be_told(index) -> None:
    fit = fit_poisson(EventSequence.from_positions([index], n=32_768, sequences_per_step=64))
    low, high = fit.trend.log_interval(0.95)

    assert low < fit.trend.theta < high
    assert math.isfinite(low)
    assert math.isfinite(high)
    document = fit.to_dict()["trend"]
    assert document["rate_ratio"] is document["log_ci95"] is None
    assert document["reason"] == "1 event: a rate ratio takes 10"
    assert "with 1 event the minimum detectable ratio at 80% power is more than 1,000-fold" in (
        fit.verdict
    )
    assert re.search("rate, end over start +1 event: a rate ratio takes 10", fit.summary())
    assert fit.primary is None


def test_change_point_names_the_step_and_the_models_name_the_best() -> None:
    rng = np.random.default_rng(9)
    rate = np.where(np.arange(64 * 500) < 64 * 200, 0.02, 0.06)
    events = EventSequence.from_positions(
        np.flatnonzero(rng.random(len(rate)) < rate), n=len(rate), sequences_per_step=64
    )
    document = fit_poisson(events, cuts=[Cut(64 * 200, "here")]).to_dict()
    change = document["change_point"]

    assert change["p_value"] < 0.01
    assert change["ci95"][0] <= 64 * 200 <= change["ci95"][1]
    assert change["step"] == change["index"] / 64
    names = [model["name"] for model in document["models"]]
    assert {"homogeneous", "tenths", "known cuts", "change points", "spline"} <= set(names)
    assert document["best_model"] in ("change point", "change points", "known cuts")
    by_name = dict(zip(names, document["models"], strict=True))
    assert by_name["known cuts"]["p_value"] < 1e-10


def test_the_same_seed_gives_the_same_document_and_another_only_other_simulations() -> None:
    events = random_order(100_000, 60, np.random.default_rng(0))
    one, again = fit_poisson(events, seed=3), fit_poisson(events, seed=3)
    other = fit_poisson(events, seed=4)

    assert one.to_dict() == again.to_dict()
    assert one.dispersion.method == "simulation"
    assert one.to_dict()["dispersion"]["p_value"] != other.to_dict()["dispersion"]["p_value"]
    assert one.to_dict()["trend"] == other.to_dict()["trend"]


def test_rates_scale_with_the_window_and_nothing_of_the_order_does() -> None:
    events = random_order(65_536, 900, np.random.default_rng(1))
    small, large = (fit_poisson(events, window=w).to_dict() for w in (256, 1024))

    assert large["rate_per_window"] == pytest.approx(4 * small["rate_per_window"])
    assert large["rate_ci95"] == pytest.approx([4 * end for end in small["rate_ci95"]])
    assert large["rate_per_million"] == small["rate_per_million"]
    assert large["uniformity"] == small["uniformity"]


def test_log_linear_model_is_never_less_likely_than_the_constant_rate() -> None:
    rng = np.random.default_rng(2)
    for ratio in (1.0, 2.0):
        constant, drift, *_ = fit_poisson(log_linear_drift(20_000, 300, ratio, rng)).models
        assert drift.log_likelihood >= constant.log_likelihood
        assert (drift.aic < constant.aic) == (drift.log_likelihood - constant.log_likelihood > 1)


def test_sequences_not_exposed_are_no_control_where_copies_are_not_known() -> None:
    events = EventSequence.from_positions(
        np.arange(0, 5120, 10), n=5120, not_exposed_events=2, not_exposed_exposure=1024
    )
    fit = fit_events(events, Asked(), unknown="make the table")
    control = fit.to_dict()["control"]

    assert control["not_exposed"] == {"events": 2, "exposure": 1024}
    assert control["rate_difference"] is control["unexposed"] is None
    assert control["reason"] == "make the table"
    shown = re.sub(r"\s+", " ", fit.summary(200))
    assert (
        "2 of 1,024 extractable; copies of exposed ones may be among them: make the table" in shown
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 0}, "window 0 must hold"),
        ({"window": 10**20}, "window 100,000,000,000,000,000,000 must hold 1 to"),
        ({"window": 2**63 - 1}, "must hold 1 to 1,000,000,000,000 sequences"),
        ({"margin": 1.0}, "margin 1.0 must be a rate ratio"),
    ],
)
def test_settings_without_meaning_are_refused(changes, message) -> None:
    with pytest.raises(FitError, match=message):
        fit_poisson(EventSequence.from_positions([1, 5], n=10), **changes)


def steady(n_events: int) -> EventSequence:
    return random_order(1_000_000, n_events, np.random.default_rng(5))


def test_verdicts() -> None:
    rng = np.random.default_rng(6)
    cases = {
        "No drift: start and end of training agree within the margin of 1.05": steady(100_000),
        "No drift found, but one as large as the margin of 1.05 is not ruled out": steady(1000),
        "Drift: the rate is higher at the end": log_linear_drift(1_000_000, 20_000, 1.5, rng),
        "Drift: the rate is lower at the end": log_linear_drift(1_000_000, 20_000, 0.6, rng),
        "Too few events to tell whether the rate drifts: with 4 events the minimum": steady(4),
        "No memorized sequence among 50: the rate is below": EventSequence.from_positions([], n=50),
        "All 3 sequences are memorized": EventSequence.from_positions([0, 1, 2], n=3),
        "Nothing to say about training order": EventSequence.from_positions(
            [], n=0, not_exposed_events=1, not_exposed_exposure=9
        ),
    }
    for beginning, events in cases.items():
        assert fit_poisson(events).verdict.startswith(beginning)


def test_verdict_tells_how_uneven_the_windows_are() -> None:
    rng = np.random.default_rng(7)
    n = 512 * 2000
    shocks = 0.02 * np.where(np.arange(n) // 512 % 2, 0.7, 1.3)
    uneven = fit_poisson(EventSequence.from_positions(np.flatnonzero(rng.random(n) < shocks), n=n))
    assert "counts vary more between windows than a random order makes them" in uneven.verdict
    assert f"the rate varies by {percent(uneven.trend.about.cv, 2)}" in uneven.verdict
    assert uneven.trend.overdispersion > 1.5

    regular = fit_poisson(EventSequence.from_positions(np.arange(20, n, 50), n=n))
    assert "counts vary less between windows than a random order makes them" in regular.verdict
    assert regular.trend.inflation == 1


def test_verdict_sees_a_bump_in_the_middle_that_is_no_drift() -> None:
    rng = np.random.default_rng(8)
    n = 1_000_000
    u = (np.arange(n) + 0.5) / n
    rate = 0.01 * np.where(np.abs(u - 0.5) < 0.1, 1.2, 1.0)
    fit = fit_poisson(EventSequence.from_positions(np.flatnonzero(rng.random(n) < rate), n=n))

    assert fit.trend.p_value > 0.05
    assert fit.verdict.startswith("Hump: the rate is highest near sequence 4")
    assert fit.order.departures.bow is not None
    assert 1.1 < fit.order.departures.bow.over_start < 1.4


def test_pythia_scale_needs_exact_integers() -> None:
    n, k = 146_432_000, np.arange(1_000_000, dtype=np.int64)
    positions = (2 * k + 1) * n // (2 * len(k))
    fit = fit_poisson(EventSequence.from_positions(positions, n=n, sequences_per_step=1024))

    assert fit.windows.counts.sum() == len(k)
    assert fit.dispersion.binomial.p_under == 0
    assert math.log(fit.trend.rate_ratio) == pytest.approx(0, abs=1e-8)
    assert fit.to_dict()["equivalence"]["equivalent"] is True


@pytest.mark.parametrize("first", [0, 10_000_000 - 40])
def test_residuals_of_events_that_no_model_expects_are_drawn_at_the_edge(first) -> None:
    fit = fit_poisson(
        EventSequence.from_positions(first + np.arange(40), n=10_000_000), window=5_000
    )
    ax = residuals(fit)
    assert np.isfinite(ax.get_ylim()).all()
