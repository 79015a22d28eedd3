"""Models that Transformers reads, a tile of the batch on each core: the same as all at once."""

import numpy as np
import pytest
import torch

from benchmarks.families import generated, in_float64, random_model
from memtrace.engine import Engine, Rules
from memtrace.engine.forward import parallel
from memtrace.engine.forward.transformers import GenericForward

RULES = Rules(prompt_tokens=4, continuation_tokens=4)


@pytest.fixture
def cores():
    """Set the number of cores that the engine sees."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@torch.inference_mode()
def read(forward, tokens, rows):
    """Logits after prompts, and of what some of them go on with."""
    with forward.precision():
        first, cache = forward.prompt(tokens[:, :8], keep=1)
        more, cache = forward.extend(tokens[rows, 8:10], cache, rows)
        last, _ = forward.extend(tokens[rows[::2], 10:], cache, torch.arange(0, len(rows), 2))
    return first.float(), more.float(), last.float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["gpt2", "mixtral", "mamba", "bart"])
def test_tiles_give_the_logits_of_the_whole_batch(family, dtype, cores, monkeypatch):
    model = random_model(family).requires_grad_(False)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(3, 499, (23, 12)))
    rows = torch.tensor([0, 2, 9, 17, 22])
    forward = GenericForward(model, dtype)
    cores(1)
    whole = read(forward, tokens, rows)
    cores(2)
    monkeypatch.setitem(parallel.TILE_TOKENS, "cpu", 24)
    assert len(parallel.cut(23, 8, torch.device("cpu"))) == 8
    away = 1e-4 if dtype == torch.float32 else 0.1
    for tiled, expected in zip(read(forward, tokens, rows), whole, strict=True):
        torch.testing.assert_close(tiled, expected, rtol=0, atol=away)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("family", ["gpt2", "mixtral"])
def test_scores_on_two_cores_are_the_truth(family, cores, monkeypatch):
    model = random_model(family)
    sequences = generated(model, RULES, 24)
    truth = in_float64(model, RULES, sequences)
    cores(2)
    monkeypatch.setitem(parallel.TILE_TOKENS, "cpu", 8)
    engine = Engine(model, RULES, calibration=sequences[::4], dtype="auto", batch_size=11)
    np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
