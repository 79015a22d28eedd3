"""The calibration of a checkpoint as a first guess for the next: no score depends on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_engine import case, random_model  # noqa: F401

from memtrace.engine import Engine, Rules
from memtrace.engine.forward.decoder import DecoderForward

VERIFIED = "that of the checkpoint before, verified"


@pytest.fixture
def read(monkeypatch):
    """How many sequences each precision reads whole, to calibrate."""
    counted = {}
    prompt = DecoderForward.prompt

    def counting(forward, tokens, keep):
        if keep > 1 and len(tokens) > 1:
            counted[forward.label] = counted.get(forward.label, 0) + len(tokens)
        return prompt(forward, tokens, keep)

    monkeypatch.setattr(DecoderForward, "prompt", counting)
    return counted


def next_checkpoint(kind, by):
    """The model a little later in its training."""
    model = random_model(kind)
    torch.manual_seed(3)
    with torch.no_grad():
        for each in model.model.layers.parameters() if kind == "llama" else ():
            each += by * each.std().nan_to_num() * torch.randn(each.shape)
    return model


def test_a_guess_that_fits_saves_most_of_a_calibration(case, read):  # noqa: F811
    model, sequences, _ = case("llama")
    before = Engine(model, Rules(), calibration=sequences, dtype="bfloat16")
    assert before.record()["calibration"] == "own"
    read.clear()
    later = next_checkpoint("llama", 1e-3)
    own = Engine(later, Rules(), calibration=sequences, dtype="bfloat16")
    whole = dict(read)
    read.clear()
    guessed = Engine(
        later, Rules(), calibration=sequences, dtype="bfloat16", guess=before.calibration
    )
    assert guessed.record()["calibration"] == VERIFIED
    assert {name: 4 * n for name, n in read.items() if name != "float64"} == {
        name: n for name, n in whole.items() if name != "float64"
    }
    scores = guessed.matched_tokens(sequences)
    np.testing.assert_array_equal(scores, own.matched_tokens(sequences))
    assert guessed.record()["audit"]["wrong"] == 0
    for ours, known in zip(guessed.stages, before.stages, strict=True):
        assert ours.tolerance >= known.tolerance
    assert guessed.stages[0].stops == before.stages[0].stops


@pytest.mark.parametrize("factor", [1 / 20, 20])
@pytest.mark.parametrize("place", [0, 1])
def test_a_guess_that_does_not_fit_is_dropped(case, factor, place):  # noqa: F811
    """In either stage, too narrow and too wide: then nothing of it is used."""
    model, sequences, matched = case("neox")
    own = Engine(model, Rules(), calibration=sequences, dtype="bfloat16")
    guess = own.calibration
    tolerances = [list(each) for each in guess.tolerances]
    tolerances[place] = [None if each is None else factor * each for each in tolerances[place]]
    guess = replace(guess, tolerances=tuple(map(tuple, tolerances)))
    engine = Engine(model, Rules(), calibration=sequences, dtype="bfloat16", guess=guess)
    assert engine.record()["calibration"] == "own"
    assert engine.calibration.tolerances == own.calibration.tolerances
    np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)


def test_what_an_audit_has_widened_stays_wide(case):  # noqa: F811
    model, sequences, _ = case("neox")
    before = Engine(model, Rules(), calibration=sequences, dtype="bfloat16")
    before.stages[0] = replace(before.stages[0], tolerance=1.5 * before.stages[0].tolerance)
    after = Engine(
        model, Rules(), calibration=sequences, dtype="bfloat16", guess=before.calibration
    )
    assert after.record()["calibration"] == VERIFIED
    assert after.stages[0].tolerance == before.stages[0].tolerance
