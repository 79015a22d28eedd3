"""Margins, ties and the audit's bound, against independent computations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from memtrace.engine.kernels import MATCH, MISS, NOT_FINITE
from memtrace.engine.margins import decide_exactly, margins, top_competitors, upper_bound

values = st.floats(-4, 4, width=16)


@given(
    logits=arrays.arrays(np.float32, (3, 12), elements=values),
    targets=arrays.arrays(np.int64, 3, elements=st.integers(1, 11)),
    mask_eos=st.booleans(),
)
def test_margins_and_competitors_against_sorting(
    logits: np.ndarray, targets: np.ndarray, mask_eos: bool
) -> None:
    leads = margins(torch.from_numpy(logits), torch.from_numpy(targets), mask_eos)
    ids = top_competitors(torch.from_numpy(logits), torch.from_numpy(targets), mask_eos)
    for row, target, lead, chosen in zip(logits, targets, leads, ids, strict=True):
        others = [row[i] for i in range(int(mask_eos), 12) if i != target]
        assert lead == row[target] - max(others)
        assert chosen[0] == target
        assert sorted(row[chosen[1:]], reverse=True) == sorted(others, reverse=True)[:8]
        assert not (mask_eos and 0 in chosen)


@given(
    logits=arrays.arrays(np.float64, (4, 6), elements=st.sampled_from([0.0, 1.0, 3.0])),
    noise=arrays.arrays(np.float64, (4, 6), elements=st.floats(-1e-14, 1e-14)),
    mask_eos=st.booleans(),
)
def test_ties_go_to_the_lowest_id_whatever_the_last_bits_say(
    logits: np.ndarray, noise: np.ndarray, mask_eos: bool
) -> None:
    first = int(mask_eos)
    chosen = torch.from_numpy(logits[:, first:].argmax(1) + first)
    # Noise of the size of float64's own on logits of size 1; zero stays exact.
    noisy = torch.from_numpy(logits * (1 + noise))
    for target in range(6):
        targets = torch.full((4,), target)
        outcomes = decide_exactly(noisy.clone(), targets, mask_eos)
        assert outcomes.tolist() == torch.where(chosen == targets, MATCH, MISS).tolist()


def test_the_exact_decision_sees_what_float32_cannot() -> None:
    logits = torch.tensor([[1.0, 1.0 + 1e-9]], dtype=torch.float64)
    assert decide_exactly(logits, torch.tensor([1]), False).item() == MATCH
    assert decide_exactly(logits, torch.tensor([0]), False).item() == MISS


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_broken_logits_are_called_broken(value: float) -> None:
    logits = torch.tensor([[1.0, value, 0.0]], dtype=torch.float64)
    assert decide_exactly(logits, torch.tensor([0]), False).item() == NOT_FINITE


@given(st.integers(1, 500), st.data())
def test_the_upper_bound_leaves_five_percent_below_it(n: int, data: st.DataObject) -> None:
    wrong = data.draw(st.integers(0, n - 1))
    bound = upper_bound(n, wrong)
    assert bound is not None
    # Clopper-Pearson's definition: at the bound, so few errors have a probability of 5%.
    assert stats.binom.cdf(wrong, n, bound) == pytest.approx(0.05, rel=1e-6)


def test_the_upper_bound_at_the_ends() -> None:
    assert upper_bound(0, 0) is None
    assert upper_bound(7, 7) == 1.0
    assert upper_bound(1000, 0) == pytest.approx(1 - 0.05 ** (1 / 1000))  # the rule of three
