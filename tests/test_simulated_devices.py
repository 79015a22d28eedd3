"""Simulated CUDA devices: one that is not the first, and one that holds a model after another."""

import numpy as np
import pytest
import torch

from benchmarks.families import generated, in_float64, random_model
from memtrace.engine import Engine, Rules, reads_as_stored
from memtrace.models.loading import load_model
from memtrace.models.weights import fetch_weights

RULES = Rules(prompt_tokens=4, continuation_tokens=4)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A GPT-NeoX whose weights lie in float16, sequences and their scores."""
    model = random_model("gpt_neox").half().float()
    sequences = generated(model, RULES, 96)
    truth = in_float64(model, RULES, sequences)
    folder = tmp_path_factory.mktemp("narrow")
    model.half().save_pretrained(folder)
    return fetch_weights(str(folder)), sequences, truth


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2"])
def test_a_device_that_is_not_the_current_one(devices, family):
    """By itself torch captures the current device: of another one's work a graph holds nothing."""
    model = random_model(family)
    sequences = generated(model, RULES, 24)
    truth = in_float64(model, RULES, sequences)
    engine = Engine(
        model.to("cuda:1"), RULES, calibration=sequences[:4], dtype="float16", batch_size=4
    )
    np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
    assert torch.cuda.current_device() == 0
    assert devices.launches > 0 == devices.calls["launch while another device is current"]
    if family == "gpt_neox":
        assert engine.record()["graph"] == "captured"
        assert devices.calls["replay"] > 1


def test_one_checkpoint_after_the_other(devices, narrow):
    """What torch keeps of the first one's batches is free for the second one's weights."""
    weights, sequences, truth = narrow
    devices.memory = devices.allocated + (8 << 20)
    sizes = []
    for _ in range(2):
        model = load_model(weights, torch.device("cuda", 0), 8, reads_as_stored)
        engine = Engine(model, RULES, calibration=sequences[:8], dtype="float32")
        np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
        sizes.append(engine.record()["batch_size"])
        torch.empty(devices.memory - devices.allocated, dtype=torch.uint8, device="cuda")
        assert torch.cuda.mem_get_info(0)[0] == 0
        del model, engine
    assert sizes[0] == sizes[1] > 1
