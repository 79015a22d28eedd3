"""The tolerance of a precision, against errors whose distribution is known."""

import numpy as np
import pytest
from scipy import integrate, stats

from memtrace.engine.tolerance import quantile, tolerance_of


def errors(rows, spread, seed=0, m=9):
    """Normal errors whose deviation is log-normal by row; each row has a part in common."""
    random = np.random.default_rng(seed)
    sizes = np.exp(spread * random.normal(size=(rows, 1)))
    return sizes * random.normal(size=(rows, m)) + random.normal(size=(rows, 1))


@pytest.mark.parametrize("spread", [0.0, 0.4, 1.0])
def test_the_quantile_is_that_of_the_mixture(spread):
    for chance in (0.3, 1e-3, 1e-7):
        at = quantile(0.5, spread, chance)

        def density(z, at=at):
            return stats.norm.pdf(z) * 2 * stats.norm.sf(at / np.exp(0.5 + spread * z))

        beyond = integrate.quad(density, -10, 14, epsabs=1e-16, limit=400)[0]
        assert beyond == pytest.approx(chance, rel=1e-3)


@pytest.mark.parametrize("spread", [0.35, 0.7])
def test_the_spread_of_rows_is_told_from_the_noise_of_their_estimates(spread):
    """Differences of two errors have sqrt(2) times their size; the point estimate finds it."""
    true = quantile(np.log(2) / 2, spread)
    found = [tolerance_of(errors(512, spread, seed), cautious=False) for seed in range(20)]
    assert np.median(found) == pytest.approx(true, rel=0.15)


def test_so_few_errors_are_beyond_it_in_a_million_rows():
    """Of the tolerances of 20 calibrations, against the tail that none of them has seen."""
    many = errors(500_000, 0.45, seed=99, m=2)
    differences = np.abs(many[:, 0] - many[:, 1])
    beyond = [(differences > tolerance_of(errors(512, 0.45, seed))).sum() for seed in range(20)]
    assert max(beyond) <= 3
    assert differences.max() > 8 * differences.std()  # a tail that a normal one has not


def test_few_rows_make_it_cautious():
    many, few = (tolerance_of(errors(n, 0.4)) for n in (2000, 12))
    assert few > 1.5 * many
    assert tolerance_of(errors(1, 0.4)) > many


def test_what_is_not_finite_is_left_out_and_nothing_is_no_tolerance():
    made = errors(300, 0.4)
    expected = tolerance_of(made)
    broken = np.concatenate([made, np.full((5, 9), np.nan), np.full((5, 9), np.inf)])
    assert tolerance_of(broken) == expected
    assert tolerance_of(broken[300:]) is None
    assert tolerance_of(np.zeros((4, 9))) == 0
    assert tolerance_of(np.zeros((4, 1))) == 0


def test_a_single_large_error_is_believed():
    made = errors(512, 0.0)
    made[7, 3] += 100
    assert tolerance_of(made) > 150
