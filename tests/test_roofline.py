"""The roofline counts what closed formulas say."""

import pytest
import torch

from benchmarks import roofline
from benchmarks.sequences import LENGTH, PROMPT, SHAPES, VOCABULARY, random_model

WIDTH, LAYERS = 64, 2


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setitem(SHAPES, "tiny", (WIDTH, LAYERS, 4))
    with torch.device("meta"):
        return random_model("tiny")


def products(sequences, positions, rows):
    """Weights of the trunk, scores and sums of attention, logits."""
    trunk = 2 * 12 * WIDTH**2 * LAYERS * positions
    attention = 4 * WIDTH * LAYERS * positions**2
    return sequences * (trunk + attention + 2 * WIDTH * VOCABULARY * rows)


@torch.inference_mode()
def test_products_of_a_pass(model):
    counted = sum(each[1] for each in roofline.one_pass(model).calls)
    expected = products(roofline.PEER_BATCH, PROMPT + LENGTH - 1, LENGTH)
    assert counted == pytest.approx(expected, rel=1e-3)  # and rotary frequencies


@torch.inference_mode()
def test_products_of_a_cascade_of_which_nobody_survives(model):
    counted = sum(
        each[1] for each in roofline.memtrace(model, torch.float32, 512, [0.0] * LENGTH).calls
    )
    # In the last layer only the last position goes on after its keys and values.
    left_out = 512 * (PROMPT - 1) * (2 * 9 * WIDTH**2 + 4 * WIDTH * PROMPT)
    expected = products(512, PROMPT, 1) - left_out
    assert expected < counted < 1.06 * expected  # one sequence goes on through both chunks


def test_a_row_takes_the_longer_of_device_and_host():
    work = roofline.Work()
    work.calls = [(torch.float32, 3e12, 1.0), (torch.float32, 0.0, 1e12)]
    device = roofline.Device("one", {torch.float32: 1e12}, 1e12)
    rate, waits_for = roofline.rate([(work, 8)], device)
    assert (rate, waits_for) == (pytest.approx(8 / 4), "device")
    work.calls = [(torch.float32, 1.0, 1.0)] * 3
    rate, waits_for = roofline.rate([(work, 1)], device)
    assert (rate, waits_for) == (pytest.approx(1 / (3 * roofline.CALL)), "host")
