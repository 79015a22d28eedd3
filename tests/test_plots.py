from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import _pylab_helpers

from memtrace.point_process import EventSequence, PoissonFit, fit_poisson
from memtrace.point_process import figures as plots
from memtrace.point_process.figures.descriptions import CAPTIONS, described
from memtrace.point_process.figures.drawing import draw, draw_all
from memtrace.point_process.figures.slides import slider_chart, slides_described
from memtrace.point_process.simulate import log_linear_drift, random_order
from memtrace.point_process.verdict import interval_text
from memtrace.report.figures import new_figure, write_figure
from memtrace.report.numbers import percent


@pytest.fixture(autouse=True)
def _no_figure_stays_open() -> Iterator[None]:
    yield
    assert _pylab_helpers.Gcf.get_all_fig_managers() == []


@pytest.fixture(scope="module")
def fit() -> PoissonFit:
    events = log_linear_drift(32_768, 800, 1.3, np.random.default_rng(1))
    return fit_poisson(replace(events, sequences_per_step=64, label="demo/tiny step 512"))


def edge_cases() -> dict[str, tuple[EventSequence, list[str]]]:
    """Return events of which there is little to show, with the figures that they have."""
    return {
        "none": (EventSequence.from_positions([], n=100), []),
        "one": (
            EventSequence.from_positions([99], n=100),
            ["rate", "cumulative", "residuals", "rootogram", "qq"],
        ),
        "all": (EventSequence.from_positions(np.arange(100), n=100), []),
        "gaps": (
            EventSequence.from_positions([3, 70], n=100, observed=[[0, 10], [60, 80]]),
            ["rate", "cumulative", "residuals", "rootogram", "qq"],
        ),
        "unexposed": (
            EventSequence.from_positions([], n=0, not_exposed_events=2, not_exposed_exposure=9),
            [],
        ),
    }


@pytest.mark.parametrize("name", list(plots.FIGURES))
def test_a_figure_draws_on_the_axes_it_is_given_and_returns_it(fit, name) -> None:
    ax = new_figure().add_subplot()

    assert plots.FIGURES[name](fit, ax) is ax
    assert ax.get_title(loc="left")
    assert plots.FIGURES[name](fit, None) is not ax


@pytest.mark.parametrize("name", list(edge_cases()))
def test_figures_without_anything_to_show_are_left_out(name) -> None:
    events, expected = edge_cases()[name]
    fit = fit_poisson(events, window=20)
    figure = fit.plot()
    figure.draw_without_rendering()

    assert [one for one in plots.shown(fit) if one != "fano"] == expected
    assert all(ax.axison for ax in figure.axes)
    for one in plots.shown(fit):
        assert "nan" not in described(fit, one)


def test_nothing_on_the_page_is_cut_off_or_covers_the_next_panel(fit) -> None:
    figure = fit.plot()
    figure.draw_without_rendering()
    whole = figure.bbox
    boxes = [ax.get_tightbbox() for ax in figure.axes]

    for i, box in enumerate(boxes):
        assert box.x0 >= whole.x0
        assert box.x1 <= whole.x1
        assert box.y0 >= whole.y0
        assert box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_rate_is_drawn_over_steps_and_its_points_hold_all_events(fit) -> None:
    ax = plots.rate_over_training(fit)
    points = next(line for line in ax.lines if line.get_marker() == "o")

    assert ax.get_xlabel() == "training step"
    assert points.get_xdata().max() < 512
    bins = fit.events.windows(-(-fit.events.n // len(points.get_xdata())))
    drawn = points.get_ydata() * bins.exposures / fit.window
    assert drawn.sum() == pytest.approx(fit.events.n_events)


@pytest.mark.parametrize("sequences_per_step", [None, 1, 7, 30, 100, 1000])
def test_ticks_of_a_short_training_are_distinct(sequences_per_step) -> None:
    events = EventSequence.from_positions(
        np.arange(0, 100, 9), n=100, sequences_per_step=sequences_per_step
    )
    ax = plots.rate_over_training(fit_poisson(events, window=20))
    ax.figure.draw_without_rendering()
    labels = [label.get_text() for label in ax.get_xticklabels()]

    assert len(labels) == len(set(labels))


def test_cumulative_curve_reaches_the_kolmogorov_distance(fit) -> None:
    ax = plots.cumulative_deviation(fit)
    curve = max(ax.lines, key=lambda line: len(line.get_xdata()))

    assert np.abs(curve.get_ydata()).max() == pytest.approx(100 * fit.uniformity.ks)
    assert curve.get_ydata()[0] == curve.get_ydata()[-1] == 0


def test_qq_does_not_change_if_windows_are_permuted_but_the_cumulative_curve_does() -> None:
    rng = np.random.default_rng(2)
    events = random_order(512 * 100, 700, rng)
    order = np.argsort(np.bincount(events.positions // 512, minlength=100), kind="stable")
    where = np.empty(100, dtype=np.int64)
    where[order] = np.arange(100)
    moved = where[events.positions // 512] * 512 + events.positions % 512
    given, arranged = fit_poisson(events), fit_poisson(EventSequence.from_positions(moved, n=51200))

    offsets = [
        np.concatenate([c.get_offsets() for c in plots.qq_window_counts(f).collections])
        for f in (given, arranged)
    ]
    np.testing.assert_array_equal(*offsets)
    assert arranged.uniformity.ks > 3 * given.uniformity.ks


def test_small_multiples_share_a_scale_that_no_wide_band_flattens(fit) -> None:
    few = fit_poisson(log_linear_drift(32_768, 40, 1.0, np.random.default_rng(3)))
    figure = plots.small_multiples([fit, few])
    tenths = [f.events.windows(-(-f.events.n // 10)) for f in (fit, few)]
    rates = [w.counts / w.exposures for w in tenths]
    highest = max(
        (rate / f.events.fraction).max() for rate, f in zip(rates, (fit, few), strict=True)
    )

    for ax in figure.axes:
        assert ax.get_ylim() == pytest.approx((0, 1.35 * max(1.5, highest)))
    assert figure.get_supylabel() == "rate / mean rate"
    assert [ax.get_xlabel() for ax in figure.axes] == ["training step", "sequence index"]


def test_alternative_texts_say_what_is_seen(fit) -> None:
    texts = {name: described(fit, name) for name in plots.shown(fit)}

    assert texts.keys() <= CAPTIONS.keys()
    assert interval_text(fit.trend) in texts["rate"]
    assert percent(fit.uniformity.ks) in texts["cumulative"]
    assert f"{fit.windows.counts.min()} to {fit.windows.counts.max()}," in texts["qq"]


def test_files_are_equal_for_equal_fits(fit, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_figure(fit.plot(), tmp_path / name)

    for suffix in ("png", "svg"):
        one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_figures_drawn_in_parallel_are_those_drawn_here() -> None:
    none, one = (
        fit_poisson(EventSequence.from_positions(positions, n=100, label="short"), window=20)
        for positions in ([], [40])
    )
    done: list[int] = []
    several = draw_all([none, none, one, none], done.append)

    assert several == [draw(none), draw(none), draw(one), draw(none)]
    assert sum(done) == 4


def test_a_slider_never_leaves_its_panel_empty_and_its_axis_stays(fit) -> None:
    pytest.importorskip("altair")
    few = fit_poisson(EventSequence.from_positions([3, 40], n=100, label="few"), window=20)
    none = fit_poisson(EventSequence.from_positions([], n=100, label="none"), window=20)
    chart = slider_chart([few, fit, none])
    points = [row for row in _rows(chart) if "part" in row]
    said = {row["place"]: row["reason"] for row in _rows(chart) if "reason" in row}

    assert {row["place"] for row in points} == {2}
    assert [bool(said[place]) for place in (1, 2, 3)] == [True, False, True]
    assert chart["params"][0]["value"] == 2
    low, high = chart["layer"][1]["encoding"]["y"]["scale"]["domain"]
    assert low == 0
    assert all(low <= row["rate"] <= high for row in points)
    assert [row["least"] < row["rate"] < row["most"] for row in points].count(False) == 0


def test_random_orders_stay_in_the_band_of_the_slider() -> None:
    pytest.importorskip("altair")
    rng = np.random.default_rng(4)
    fits = [fit_poisson(random_order(4_000, 200, rng)) for _ in range(8)]
    told = slides_described(fits)
    inside, of = (int(told.split(", ")[-1].split(" ")[i]) for i in (0, 2))

    assert of == 80
    assert inside >= 70


def _rows(chart):
    """Return all rows of data inside a chart."""
    inside = [part.get("data", {}).get("values", []) for part in (chart, *chart["layer"])]
    return [row for rows in (*inside, *chart.get("datasets", {}).values()) for row in rows]
