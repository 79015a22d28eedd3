"""A model divided among several devices: simulated ones, and what is said where it does not fit."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from benchmarks.families import generated, in_float64, random_model
from memtrace.engine import Engine, Rules, reads_as_stored
from memtrace.errors import ModelError
from memtrace.models import spread
from memtrace.models.loading import load_model
from memtrace.models.weights import Weights, fetch_weights
from memtrace.scanning.jobs import Job
from memtrace.scanning.launch import run_job

pytest.importorskip("accelerate")
RULES = Rules(prompt_tokens=4, continuation_tokens=4)
CUDA = torch.device("cuda", 0)


@dataclass(frozen=True)
class Case:
    weights: Weights
    parameters: int
    sequences: np.ndarray
    truth: np.ndarray


@pytest.fixture(scope="module", params=["llama", "mixtral"])
def case(request, tmp_path_factory):
    model = random_model(request.param)
    folder = tmp_path_factory.mktemp("spread") / request.param
    model.save_pretrained(folder)
    sequences = generated(model, RULES, 12)
    truth = in_float64(model, RULES, sequences)
    return Case(fetch_weights(str(folder)), model.num_parameters(), sequences, truth)


def test_layers_on_two_devices_give_the_truth(case, devices, monkeypatch):
    room = int(4 * case.parameters * 0.9)  # Accelerate leaves that of one layer free
    monkeypatch.setattr(spread, "budgets", lambda: {0: room, 1: room})
    model = load_model(case.weights, CUDA, 8, reads_as_stored, spread=True)
    held = [layer.mlp.parameters() for layer in model.model.layers]
    assert {next(each).device.index for each in held} == {0, 1}
    assert model.dtype == torch.float32
    for dtype in ("float32", "auto"):
        engine = Engine(model, RULES, calibration=case.sequences[:4], dtype=dtype, batch_size=5)
        np.testing.assert_array_equal(engine.matched_tokens(case.sequences), case.truth)
    assert {each.dtype for each in model.parameters()} == {torch.float32}


def test_what_devices_cannot_hold_together_is_refused_before_it_is_read(case, devices):
    devices.memory = devices.allocated + 9 * case.parameters // 2  # float64: 8 bytes a parameter
    with pytest.raises(ModelError, match=rf"{4 * case.parameters:,} bytes in float32, which 2 CUD"):
        load_model(case.weights, CUDA, 8, spread=True)
    with pytest.raises(ModelError, match="take a larger device, or end what else"):
        load_model(case.weights, CUDA, 8)


def test_a_model_that_only_several_devices_hold_is_told_so(case, devices):
    devices.memory = devices.allocated + 7 * case.parameters  # each: 2.8 bytes are for float32
    with pytest.raises(ModelError, match=r"float64, in which .* all 2 CUDA devices with --spread"):
        load_model(case.weights, CUDA, 8)


def test_without_a_cuda_device_there_is_nothing_to_spread_over(memtrace_cli):
    with pytest.raises(ModelError, match="--spread divides a model among CUDA devices"):
        run_job(Job((), spread=True), ["cpu"])
    for other in (["--device", "cpu"], ["--engine", "ray"]):
        told = memtrace_cli("scan", "--model", "demo", "--spread", *other)
        assert told.exit_code == 2
        assert f"not with {' '.join(other)}" in told.output


def test_without_accelerate_it_says_what_to_install(case, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ModelError, match=r"pip install 'memtrace-llm\[spread\]'"):
        spread.divide(case.weights.folder)
