"""Fixtures for tests of the CUDA source and its launcher, on machines without a GPU."""

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from host_shim.library import build

from memtrace.engine.kernels import cuda


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    library = build(tmp_path_factory.mktemp("host_shim"))
    if library is None:
        pytest.skip("no g++ to compile the kernels for the CPU")
    return library


@pytest.fixture
def stand_in(host, monkeypatch):
    """What the launcher uses of CuPy, over the host's kernels; returns the streams launched on."""
    streams = []

    def function(name):
        def launch(grid, block, arguments):
            values = [
                a.ctypes.data
                if isinstance(a, np.ndarray)
                else np.ctypeslib.as_ctypes_type(a.dtype)(a)
                for a in arguments
            ]
            getattr(host, f"host_{name}")(*grid, *block, *values)

        return launch

    class Module:
        def load(self, compiled):
            assert compiled == b"compiled"

        get_function = staticmethod(function)

    def compile_using_nvrtc(source, options):
        assert (source, options) == (cuda.SOURCE.read_text(), cuda.OPTIONS)
        return b"compiled", None

    cupy = SimpleNamespace(
        ndarray=type("ndarray", (), {}),  # array_api_compat asks for it
        from_dlpack=np.from_dlpack,
        cuda=SimpleNamespace(
            Device=lambda index: nullcontext(),
            Stream=SimpleNamespace(
                from_external=lambda stream: nullcontext(streams.append(stream))
            ),
        ),
    )
    parts = {
        "cupy": cupy,
        "cupy.cuda": cupy.cuda,
        "cupy.cuda.compiler": SimpleNamespace(compile_using_nvrtc=compile_using_nvrtc),
        "cupy.cuda.function": SimpleNamespace(Module=Module),
    }
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, name, part)
    stream = SimpleNamespace(__cuda_stream__=lambda: (0, 7))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(cuda, "_module", cuda._module.__wrapped__)
    return streams
