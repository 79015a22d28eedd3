"""A precision stage leaves undecided what it cannot know."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from memtrace.engine import stages
from memtrace.engine.cascade import schedule
from memtrace.engine.choice import survival
from memtrace.engine.kernels import MATCH, MISS, UNDECIDED
from memtrace.engine.stages import ToleranceStage

VOCABULARY = 89


@pytest.mark.parametrize("rows", [0, 3, 4])
def test_a_row_of_equal_logits_among_others_is_left_to_the_next_stage(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deviation is 0, and a tie goes to the lowest id only where ids are known.

    How many rows of logits are in memory at once (one at least) makes no difference.
    """
    monkeypatch.setattr(stages, "CPU_LOGITS", rows * VOCABULARY * 4)
    seen: list[int] = []

    def logits_of(features: torch.Tensor) -> torch.Tensor:
        seen.append(len(features))
        return features

    logits = torch.randn(4, VOCABULARY, generator=torch.Generator().manual_seed(0))
    logits[1] = 0.5
    forward = SimpleNamespace(
        logits=logits_of,
        vocabulary=VOCABULARY,
        dtype=torch.float32,
        precise_logits=lambda features, ids: features.gather(1, ids),
        precision=nullcontext,
        device=torch.device("cpu"),
        prompt=lambda tokens, keep: (logits[tokens[:, 0]][:, None], None),
    )
    stage = ToleranceStage(
        forward=forward,
        length=1,
        mask_eos=False,
        batch_size=4,
        stops=(1,),
        max_rows=4,
        tolerance=1e-3,
        fine_tolerance=1e-3,
    )
    targets = logits.argmax(1)
    targets[1] = 5
    sequences = torch.stack([torch.arange(4), targets], 1).numpy()
    outcomes = stage.outcomes(sequences, np.ones((4, 1), bool))
    assert outcomes[:, 0].tolist() == [MATCH, UNDECIDED, MATCH, MATCH]
    assert max(seen) == max(rows, 1)
    assert sum(seen) == 4


def test_nothing_is_read_behind_the_last_decision_that_is_asked_for() -> None:
    """Each next token is one more; of two sequences only the second has an open decision late."""
    read: list[tuple[int, int]] = []

    def features(tokens: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(tokens + 1, VOCABULARY).float()

    def extend(tokens: torch.Tensor, cache: None, rows: torch.Tensor) -> tuple[torch.Tensor, None]:
        read.append((tokens.shape[0], tokens.shape[1]))
        return features(tokens), None

    forward = SimpleNamespace(
        logits=lambda features: features,
        vocabulary=VOCABULARY,
        dtype=torch.float32,
        precision=nullcontext,
        device=torch.device("cpu"),
        prompt=lambda tokens, keep: (features(tokens[:, -keep:]), None),
        extend=extend,
    )
    stage = ToleranceStage(
        forward=forward,
        length=8,
        mask_eos=False,
        batch_size=2,
        stops=(1, 4, 8),
        max_rows=64,
        tolerance=1e-3,
    )
    sequences = np.arange(9)[None] + np.array([[3], [20]])
    decisions = np.zeros((2, 8), bool)
    decisions[0, 1] = decisions[1, 5] = True
    sequences[1, 6] = 0
    outcomes = stage.outcomes(sequences, decisions)
    assert read == [(2, 3), (1, 2)]
    expected = np.full((2, 8), MATCH)
    expected[1, 5] = MISS
    np.testing.assert_array_equal(outcomes, expected)


def test_a_small_sample_does_not_say_that_nobody_goes_on() -> None:
    """Nor that all do; shares fall as they must, and a chunk of all that is left is too long."""
    for going in (torch.zeros(16, 32, dtype=torch.bool), torch.ones(16, 32, dtype=torch.bool)):
        shares = survival(going)
        assert (np.diff(shares) < 0).all()
        assert 0 < shares[-1]
        assert shares[0] < 1
    nobody = schedule(survival(torch.zeros(16, 32, dtype=torch.bool)), 1.0, 16.0)
    assert nobody[:2] == (1, 2)
    assert len(nobody) > 3
