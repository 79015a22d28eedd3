from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from memtrace.point_process import EventSequence, fit_poisson
from memtrace.point_process import figures as plots
from memtrace.point_process.simulate import log_linear_drift, random_order


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fit():
    events = log_linear_drift(32_768, 800, 1.3, np.random.default_rng(1))
    return fit_poisson(replace(events, sequences_per_step=64, label="demo/tiny step 512"))


def edge_cases() -> dict[str, EventSequence]:
    return {
        "none": EventSequence.from_positions([], n=100),
        "one": EventSequence.from_positions([99], n=100),
        "all": EventSequence.from_positions(np.arange(100), n=100),
        "gaps": EventSequence.from_positions([3, 70], n=100, observed=[[0, 10], [60, 80]]),
        "unexposed": EventSequence.from_positions(
            [], n=0, unexposed_events=2, unexposed_exposure=9
        ),
    }


@pytest.mark.parametrize("name", list(plots.FIGURES))
def test_a_figure_draws_on_the_axes_it_is_given_and_returns_it(fit, name) -> None:
    ax = plt.subplots()[1]

    assert plots.FIGURES[name](fit, ax) is ax
    assert ax.get_title(loc="left")
    assert plots.FIGURES[name](fit, None) is not ax


@pytest.mark.parametrize("name", list(edge_cases()))
def test_pages_without_much_to_show_are_drawn_all_the_same(name) -> None:
    figure = fit_poisson(edge_cases()[name], window=20).plot()
    figure.draw_without_rendering()

    assert len(figure.axes) >= 4


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
    points = next(line for line in ax.lines if line.get_label().endswith("exact 95% intervals"))

    assert ax.get_xlabel() == "training step"
    assert points.get_xdata().max() < 512
    bins = fit.events.windows(-(-fit.events.n // len(points.get_xdata())))
    drawn = points.get_ydata() * bins.exposures / fit.window
    assert drawn.sum() == pytest.approx(fit.events.n_events)


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


def test_files_are_equal_for_equal_fits(fit, tmp_path: Path) -> None:
    for name in ("one", "two"):
        plots.write_figure(fit.plot(), tmp_path / name)

    for suffix in ("png", "svg"):
        one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert plt.get_fignums() == []
