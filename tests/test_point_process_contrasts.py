"""Two rates, exactly: against enumeration of every pair of counts."""

import math

import numpy as np
import pytest
from scipy import stats

from memtrace.errors import FitError
from memtrace.point_process.contrasts import compare_rates

LEVEL = 0.05
EXPOSURES = (800.0, 3011.0)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("total", [1, 7, 40])
def test_size_and_coverage_are_exact_given_the_sum(ratio, total) -> None:
    """Every split of the sum with its binomial chance: nothing errs more often than it says."""
    share = ratio * EXPOSURES[0] / (ratio * EXPOSURES[0] + EXPOSURES[1])
    found = [compare_rates((x, total - x), EXPOSURES) for x in range(total + 1)]
    chance = stats.binom.pmf(np.arange(total + 1), total, share)
    missed = [not one.interval()[0] <= ratio <= one.interval()[1] for one in found]
    assert chance[missed].sum() <= LEVEL
    # At the ends of the equivalence region, and at equal rates.
    if ratio != 1:
        claimed = [bool(one.equivalence(2.0).equivalent) for one in found]
        assert chance[claimed].sum() <= LEVEL
    else:
        assert chance[[one.p_value <= LEVEL for one in found]].sum() <= LEVEL


@pytest.mark.parametrize("x", range(0, 31, 3))
def test_p_value_interval_and_equivalence_agree(x) -> None:
    found = compare_rates((x, 30 - x), EXPOSURES)
    low, high = found.interval()
    assert (found.p_value <= LEVEL) == (not low <= 1 <= high)
    low, high = found.interval(0.90)
    for margin in (1.5, 3.0, 10.0):
        assert found.equivalence(margin).equivalent == (1 / margin < low and high < margin)
    turned = compare_rates((30 - x, x), EXPOSURES[::-1])
    assert turned.p_value == pytest.approx(found.p_value)
    assert turned.interval(0.90)[1] == pytest.approx(1 / low if low else math.inf)


def test_counts_of_zero_bound_one_side_only() -> None:
    assert compare_rates((0, 5), (1, 1)).interval()[0] == 0
    assert compare_rates((5, 0), (1, 1)).interval()[1] == math.inf
    none = compare_rates((0, 0), (1, 1))
    assert math.isnan(none.ratio)
    assert none.p_value == 1
    assert all(map(math.isnan, none.interval()))
    assert none.equivalence(2).equivalent is None


@pytest.mark.parametrize(
    ("events", "exposures"), [((-1, 2), (1, 1)), ((1.5, 2), (1, 1)), ((1, 2), (0, 1))]
)
def test_what_is_no_count_or_exposure_is_refused(events, exposures) -> None:
    with pytest.raises(FitError, match="must be"):
        compare_rates(events, exposures)
