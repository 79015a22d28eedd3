"""A precision stage leaves undecided what it cannot know."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import torch

from memtrace.engine.kernels import MATCH, UNDECIDED
from memtrace.engine.stages import ToleranceStage

VOCABULARY = 89


def test_a_row_of_equal_logits_among_others_is_left_to_the_next_stage() -> None:
    """Its deviation is 0, and a tie goes to the lowest id only where ids are known."""
    logits = torch.randn(4, VOCABULARY, generator=torch.Generator().manual_seed(0))
    logits[1] = 0.5
    forward = SimpleNamespace(
        logits=lambda features: features,
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
