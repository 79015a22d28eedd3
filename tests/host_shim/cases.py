"""Questions for the decision kernels, and the documented rule as a plain loop that answers them.

Made without regard to how the array-API reference and the kernels work.
"""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st

from memtrace.engine.kernels import MATCH, MISS, NOT_FINITE, UNDECIDED, decide


@dataclass(frozen=True)
class Case:
    logits: torch.Tensor  # (rows, vocabulary), inside a frame of NaN that nobody may read
    targets: torch.Tensor
    tolerances: torch.Tensor
    mask_eos: bool

    def answer(self):
        return decide(self.logits, self.targets, self.tolerances, mask_eos=self.mask_eos)


@st.composite
def cases(draw, dtype, broken=True):
    """Rows with ties, near ties, margins just at the tolerance, and logits that are not finite."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = draw(st.integers(1, 5))
    sizes = [(1, 3), (4, 40), (1020, 1030), (4090, 4100), (8180, 9000)]
    vocabulary = draw(st.one_of([st.integers(*ends) for ends in sizes]))
    levels = draw(st.sampled_from([2, 9, 1000]))
    left, right = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    if draw(st.booleans()):  # rows that start at multiples of 16 bytes, as a model's do
        left, right = left // 8 * 8, -vocabulary % 8
    values = torch.from_numpy(rng.integers(0, levels, (rows, vocabulary)) / 8 - 3).to(dtype)
    if draw(st.booleans()):
        values += torch.from_numpy(rng.normal(size=values.shape)).to(dtype)
    targets = rng.integers(0, vocabulary, rows)
    raised = rng.random(rows) < 0.7  # most targets compete for the top, some are token 0
    targets[rng.random(rows) < 0.2] = 0
    for row in np.flatnonzero(raised):
        best = values[row].max()
        values[row, targets[row]] = best + float(rng.choice([-0.125, 0, 0, 0.125, 0.5]))
    tolerances = boundary_tolerances(rng, values.float().numpy(), targets)
    if broken:
        for _ in range(draw(st.integers(0, 3))):
            spot = int(rng.choice([0, 4095, 4096, rng.integers(vocabulary), vocabulary - 1]))
            spoiled = float(rng.choice([np.nan, np.inf, -np.inf]))
            values[rng.integers(rows), min(spot, vocabulary - 1)] = spoiled
    frame = torch.full((rows, left + vocabulary + right), torch.nan, dtype=dtype)
    logits = frame[:, left : left + vocabulary]
    logits[:] = values
    return Case(logits, torch.from_numpy(targets), tolerances, draw(st.booleans()))


def boundary_tolerances(rng, values, targets):
    """Zero, ordinary, or the very margin of the row and its neighbours in float32."""
    tolerances = np.zeros(len(targets), np.float32)
    for row, target in enumerate(targets):
        rest = np.delete(values[row], target)
        margin = abs(values[row, target] - rest.max()) if rest.size else np.float32(1)
        near = [margin, np.nextafter(margin, np.float32(np.inf)), np.nextafter(margin, 0 * margin)]
        tolerances[row] = rng.choice([0, 0, 1e-3, 0.25, *near, np.inf])
    return torch.from_numpy(tolerances)


INF, NAN = float("inf"), float("nan")
BY_HAND = [  # logits, target, tolerance, mask_eos, outcome
    ([1.0, 2.0], 1, 0.0, False, MATCH),
    ([1.0, 2.0], 0, 0.0, False, MISS),
    ([2.0, 2.0], 0, 0.0, False, MATCH),  # a tie goes to the lowest id
    ([2.0, 2.0], 1, 0.0, False, MISS),
    ([2.0, 2.0], 0, 0.5, False, UNDECIDED),
    ([1.0, 2.0], 1, 1.0, False, UNDECIDED),  # a margin at the tolerance
    ([1.0, 2.0], 0, 1.0, False, UNDECIDED),
    ([1.0, 2.0], 1, 0.5, False, MATCH),
    ([1.0, 2.0], 0, 0.5, False, MISS),
    ([3.0, 2.0], 1, 0.0, True, MATCH),  # EOS can never be chosen
    ([3.0, 2.0], 0, 0.5, True, MISS),
    ([NAN, 2.0], 1, 0.0, True, MATCH),
    ([NAN, 2.0], 0, 0.0, True, MISS),
    ([1.0], 0, INF, False, MATCH),  # nobody competes
    ([1.0, -INF, -INF], 0, INF, False, MATCH),
    ([-1e38, 3e38], 1, INF, False, UNDECIDED),
    ([1.0, NAN], 0, 0.0, False, NOT_FINITE),
    ([NAN, 1.0], 0, 0.0, False, NOT_FINITE),
    ([1.0, INF], 0, 0.0, False, NOT_FINITE),
    ([INF, 1.0], 0, 0.0, False, NOT_FINITE),
    ([-INF, 1.0], 0, 0.0, False, NOT_FINITE),
    ([1.0, 2.0, *[0.0] * 4093, NAN], 0, 0.0, False, NOT_FINITE),  # in the tile of the miss
    ([1.0, 2.0, *[0.0] * 4094, NAN], 0, 0.0, False, MISS),  # behind it
    ([NAN, 1.0, 2.0, *[0.0] * 4093, NAN], 1, 0.0, True, MISS),
    ([1.0, *[0.0] * 4094, 2.0, NAN], 0, 0.0, False, MISS),
    ([1.0, *[0.0] * 4095, 2.0, NAN], 0, 0.0, False, NOT_FINITE),
]


def asked(logits, target, tolerance, mask_eos):
    return Case(torch.tensor([logits]), torch.tensor([target]), torch.tensor([tolerance]), mask_eos)


def plain(case):
    """The documented rule, row by row and tile by tile."""
    rows = zip(case.logits.float().numpy(), case.targets.tolist(), case.tolerances, strict=True)
    return [plain_row(row, t, np.float32(tau), case.mask_eos) for row, t, tau in rows]


def plain_row(row, target, tau, mask_eos):
    if mask_eos and target == 0:
        return MISS
    if not np.isfinite(row[target]):
        return NOT_FINITE
    margins = []
    for tile in np.split(np.arange(len(row)), range(4096, len(row), 4096)):
        ids = tile[(tile != target) & ((tile > 0) | (not mask_eos))]
        if np.any(np.isnan(row[ids]) | (row[ids] == np.inf)):
            return NOT_FINITE
        margin = row[target] - row[ids[row[ids] > -np.inf]]
        if np.any(margin < -tau) or (tau == 0 and np.any(row[ids[ids < target]] == row[target])):
            return MISS
        margins.extend(margin)
    return MATCH if tau == 0 or all(margin > tau for margin in margins) else UNDECIDED
