"""Fixtures for tests on the simulated devices."""

import pytest
import torch
from simulated_cuda.simulation import simulated


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """The folder of compiled parts, one for all processes of a test run."""
    folder = tmp_path_factory.getbasetemp().parent / "simulated-cuda"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def device(compiled):
    """One simulated device; returns its account."""
    with simulated(compiled) as account, torch.no_grad():
        yield account


@pytest.fixture
def devices(compiled):
    """Two simulated devices; returns their account."""
    with simulated(compiled, devices=2) as account, torch.no_grad():
        yield account
