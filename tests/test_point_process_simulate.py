"""Simulation, power, strata and the page: what is drawn is what was asked for."""

import re

import numpy as np
import pytest
from scipy import stats

from memtrace.errors import FitError
from memtrace.point_process import EventSequence, fit_poisson
from memtrace.point_process.figures import shown
from memtrace.point_process.model import best_model
from memtrace.point_process.models.counts import poisson_counts
from memtrace.point_process.page import fit_page
from memtrace.point_process.power import simulate_power
from memtrace.point_process.several import comparison
from memtrace.point_process.simulate import (
    from_model,
    from_rate,
    log_linear_drift,
    random_order,
    window_counts,
)
from memtrace.point_process.text import comparison_table
from memtrace.report.charts import available
from memtrace.report.page import page_html
from memtrace.report.text import rendered


def test_draws_follow_the_rate() -> None:
    rng, n = np.random.default_rng(0), 20_000
    drawn = np.concatenate([from_rate(lambda u: 0.4 * u**2, n, rng).positions for _ in range(20)])

    # Of a rate u^2 the cube of u is uniform.
    assert stats.kstest(((drawn + 0.5) / n) ** 3, "uniform").pvalue > 0.01
    assert len(drawn) == pytest.approx(20 * n * 0.4 / 3, rel=0.02)


def test_counts_on_an_axis_beyond_numpys_limit_are_drawn_all_the_same() -> None:
    exposures = np.array([2**40, 2**41, 2**40])
    drawn = window_counts(exposures, 400, np.random.default_rng(7), 300)

    assert (drawn.sum(axis=1) == 400).all()
    assert drawn.mean(axis=0) == pytest.approx([100, 200, 100], rel=0.03)
    assert drawn[:, 1].var() == pytest.approx(100, rel=0.3)
    assert window_counts(exposures, 9, np.random.default_rng(7)).sum() == 9


def test_a_rate_of_one_makes_every_sequence_an_event() -> None:
    drawn = from_rate(np.ones_like, 50, np.random.default_rng(1))

    np.testing.assert_array_equal(drawn.positions, np.arange(50))
    assert from_rate(np.ones_like, 0, np.random.default_rng(1)).n_events == 0


def test_every_fitted_rate_can_be_drawn_from_and_keeps_what_was_seen() -> None:
    events = EventSequence.from_positions(
        np.arange(0, 6000, 12), n=10_000, observed=[[0, 6000], [9000, 10_000]], sequences_per_step=8
    )
    fit = fit_poisson(events, window=100)
    rng = np.random.default_rng(2)
    for model in fit.models:
        if model.rate is None:
            continue
        drawn = from_model(model, events, rng)
        assert drawn.exposure == events.exposure
        assert drawn.n_events == pytest.approx(events.n_events, abs=5 * events.n_events**0.5)
    with pytest.raises(FitError, match="describes window counts"):
        from_model(poisson_counts(fit.windows), events, rng)


def test_power_is_the_level_at_a_constant_rate_and_near_one_at_a_drift() -> None:
    rng = np.random.default_rng(3)
    null = simulate_power(lambda r: random_order(20_000, 400, r), 60, rng, window=200)
    drift = simulate_power(lambda r: log_linear_drift(20_000, 400, 2.5, r), 60, rng, window=50)

    assert max(null.rejected.values()) < 0.2
    assert drift.rejected["trend"] > 0.95
    assert drift.rejected["dispersion"] < drift.rejected["trend"]
    assert null.mean_events == 400


def test_the_best_model_beats_chance_and_not_only_the_criterion() -> None:
    chosen = []
    for seed in range(8):
        events = random_order(16_384, 6, np.random.default_rng(seed))
        chosen.append(best_model(fit_poisson(events).models).name)

    assert chosen.count("homogeneous") + chosen.count("change points") >= 6


def test_several_fits_are_adjusted_for_their_number() -> None:
    rng = np.random.default_rng(5)
    fits = [fit_poisson(log_linear_drift(20_000, 300, ratio, rng)) for ratio in (1.0, 1.0, 3.0)]
    fits.append(fit_poisson(EventSequence.from_positions([], n=100)))
    rows = comparison(fits)

    for row in rows[:3]:
        assert row["p_value"] <= row["p_value_holm"] <= 1
    assert rows[2]["p_value_holm"] == pytest.approx(3 * rows[2]["p_value"])
    last = rendered(comparison_table(rows, list("abcd"))).splitlines()[-1]
    assert last.split() == ["d", "0", "-", "0", "-", "-", "-", "-"]


def test_the_web_page_needs_nothing_beside_it_and_escapes_labels() -> None:
    fits = [
        fit_poisson(EventSequence.from_positions([1, 40, 77], n=100, label="<b>one</b>")),
        fit_poisson(random_order(4000, 200, np.random.default_rng(6))),
    ]
    page = page_html(fit_page(fits))

    assert "<b>one</b>" not in page
    assert "&lt;b&gt;one&lt;/b&gt;" in page
    assert "control" not in shown(fits[1])
    pictures = page.count('src="data:image/png;base64,')
    charts = page.count('class="chart"')
    of_all = 2 if available() else 1
    assert pictures + charts == of_all + sum(len(shown(fit)) for fit in fits)
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    addresses = re.findall(r'<(?:a|img|link|script|iframe)\b[^>]*?(?:src|href)="([^"]*)', markup)
    assert all(address.startswith(("data:", "#")) for address in addresses)
    for fit in fits:
        assert fit.verdict in page
