"""Lines through the shares of models of several sizes: powers, bends, and what they do not say."""

import re

import numpy as np
import pytest
from compared_runs import compared_run, same_step

from memtrace.comparison.fit import compare_loaded
from memtrace.comparison.page import finding
from memtrace.comparison.regression import fit_line


def power_law(parameters, shares, n=20_000, step=1):
    """Runs with exactly these shares of memorized texts, nested."""
    return [
        compared_run(
            range(round(share * n)),
            range(n),
            model=f"m{size}",
            step=step,
            rows=n,
            exposed_rows=n,
            parameters=size,
        )
        for size, share in zip(parameters, shares, strict=True)
    ]


def test_a_power_law_is_found_with_its_power():
    sizes = [10**6, 4 * 10**6, 16 * 10**6, 64 * 10**6, 256 * 10**6]
    line = compare_loaded(power_law(sizes, [0.01 * 2**i for i in range(5)])).lines[0]
    assert line.slope == pytest.approx(0.5, abs=1e-6)
    low, high = line.line.interval(1)
    assert low < 0.5 < high
    assert not line.bend.shown
    assert line.tested.inside
    assert line.extended[0].share == pytest.approx(0.16 * 2**0.5, rel=1e-6)


def test_a_bend_is_said_with_its_place_only_where_it_is_shown():
    sizes = [10**6 * 4**i for i in range(8)]
    rise = [0.001 * 2.0 ** min(i, 4) * 1.1 ** max(i - 4, 0) for i in range(8)]
    found = compare_loaded(power_law(sizes, rise, n=200_000))
    bend = found.lines[0].bend
    assert bend.shown
    assert bend.slopes[0] > bend.slopes[1]
    assert sizes[3] < bend.parameters < sizes[5]
    assert "bends" in found.verdict
    (place,) = re.findall(r"most at about ([0-9,]+) parameters", found.verdict)
    assert int(place.replace(",", "")) == pytest.approx(bend.parameters, rel=0.05)
    straight = compare_loaded(power_law(sizes, [0.001 * 2.0**i for i in range(8)], n=200_000))
    assert straight.lines[0].bend.parameters is None
    assert "bends" not in straight.verdict


def test_two_sizes_have_a_power_and_no_interval_of_models():
    found = compare_loaded(power_law([10**6, 10**8], [0.01, 0.1]))
    (line,) = [one for one in found.to_dict()["scale_lines"] if one["slope"] is not None]
    assert line["slope"] == pytest.approx(0.5)
    assert line["ci95"] is None
    assert line["reason"] == "two sizes do not tell how sizes scatter"
    assert line["counts_ci95"][0] < 0.5 < line["counts_ci95"][1]
    low, high = (100**power for power in line["counts_ci95"])
    share = f"100 times the parameters, 10 times the share (95% {low:.3g} to {high:.3g} by counts"
    assert share in found.verdict
    assert "doubling" not in found.verdict
    assert "by counts alone, two sizes" in finding(found, names=[]).facts[0].note
    assert line["extrapolation"] == []  # no number of another size without its error


@pytest.mark.parametrize("sizes", [(10_000, 10_010, 10_020, 10_045), (10_000, 10_999)])
def test_models_of_about_one_size_have_no_line(sizes):
    shares = (0.1, 0.5, 0.05, 0.3)[: len(sizes)]
    found = compare_loaded(power_law(sizes, shares))
    assert found.lines[0].line is None
    assert "less than 1.1 times as large" in found.to_dict()["scale_lines"][0]["reason"]
    assert "doubling" not in found.verdict
    assert "less than 1.1 times as large" in found.summary()


def test_a_steep_line_is_extended_to_all_texts_at_most():
    found = compare_loaded(power_law([10_000, 10_010, 10_600, 11_001], [0.01, 0.5, 0.001, 0.9]))
    low, high = found.lines[0].extended[-1].ci95
    assert 0 <= low <= found.lines[0].extended[-1].share <= high == 1
    assert fit_line(
        np.array([1e4, 1.001e4, 1.002e4]), np.array([0.1, 0.9, 0.1]), np.eye(3)
    ).predict(1e9)[1] == (0, np.inf)
    assert "inf" not in found.summary()


def test_seeds_of_two_sizes_do_not_tell_how_sizes_scatter():
    rng = np.random.default_rng(3)
    names = [f"{base}-seed{seed}" for base in "sb" for seed in range(1, 6)]
    hits = [rng.choice(600, (30, 50)[i // 5] + i % 5, replace=False) for i in range(10)]
    line = compare_loaded(same_step(hits, names, [10] * 5 + [20] * 5)).lines[0]
    assert (line.sizes, line.line.degrees, line.extended, line.bend) == (2, 0, (), None)


@pytest.mark.parametrize("texts", [range(2), range(600)])
def test_the_same_texts_do_not_show_that_size_changes_nothing(texts):
    found = compare_loaded(same_step([texts] * 3, "sml", [10, 100, 1000]))
    low, high = found.lines[0].counts_ci95
    assert low < -0.1 / len(texts)
    assert high > 0.1 / len(texts)
    assert "95% 1 to 1;" not in found.verdict


def test_a_size_without_a_memorized_text_is_left_out_and_named():
    found = compare_loaded(power_law([10**6, 10**7, 10**8], [0, 0.01, 0.1]))
    line = next(one for one in found.to_dict()["scale_lines"] if one["exposure"] == "exposed")
    assert line["models"] == ["m10000000", "m100000000"]
    assert line["left_out"] == ["m1000000"]
