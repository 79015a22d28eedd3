"""CuPy as far as the engine uses it: decide.cu, compiled for the CPU, on simulated tensors."""

import fcntl
import types
from contextlib import contextmanager

import torch
from host_shim import library
from simulated_cuda.account import ACCOUNT, current_stream, index_of, on_device
from simulated_cuda.tensor import CudaTensor

THREADS = 2
"""Threads of a block that decides a row: the rule does not depend on how many there are."""


@contextmanager
def once(path):
    """One process at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Array:
    """What DLPack gives: memory, without a copy."""

    def __init__(self, tensor):
        self.tensor = tensor


class Kernel:
    """One function of decide.cu."""

    def __init__(self, compiled, name):
        self._call, self._name = getattr(compiled, f"host_{name}"), name

    def __call__(self, grid, block, arguments):
        plain = []
        for argument in arguments:
            if isinstance(argument, torch.Tensor):
                raise TypeError(f"Unsupported type {type(argument)}")
            is_array = isinstance(argument, Array)
            if is_array and argument.tensor.device.index != index_of():
                raise RuntimeError("an illegal memory access was encountered")
            plain.append(argument.tensor.data_ptr() if is_array else argument.item())
        ACCOUNT.launches += 1
        decides = self._name.startswith(("decide", "score"))
        ACCOUNT.rows_decided += grid[0] * decides
        self._call(grid[0], THREADS if decides else block[0], *plain)


def from_dlpack(tensor):
    if not isinstance(tensor, CudaTensor):
        raise RuntimeError(f"a tensor of the CPU for a CUDA kernel: {tuple(tensor.shape)}")
    if "bfloat16" in str(tensor.dtype):
        raise RuntimeError("Unsupported dtype bfloat16")
    return Array(tensor.__dlpack__())


@contextmanager
def device(index):
    """`cupy.cuda.Device`."""
    ACCOUNT.calls["launch while another device is current"] += index != index_of()
    with on_device(index):
        yield


@contextmanager
def external_stream(pointer, index):
    """`cupy.cuda.ExternalStream`."""
    assert (pointer, index) == (current_stream().cuda_stream, index_of())
    yield


def modules(folder):
    """The modules `cupy`, `cupy.cuda`, ...; the folder is for decide.cu, compiled on first use."""

    class Module:
        def load(self, image):
            assert image == b"compiled"
            with once(folder / "kernels.lock"):
                self._library = library.build(folder)

        def get_function(self, name):
            return Kernel(self._library, name)

    def compile_using_nvrtc(source, options):
        assert "__global__" in source
        assert "--ftz=false" in options
        return b"compiled", None

    named = {
        name: types.ModuleType(name)
        for name in ("cupy", "cupy.cuda", "cupy.cuda.compiler", "cupy.cuda.function")
    }
    cupy, cuda = named["cupy"], named["cupy.cuda"]
    cupy.ndarray = Array
    cupy.cuda, cupy.from_dlpack, cupy.__version__ = cuda, from_dlpack, "14.0.0"
    cuda.Device, cuda.Stream = device, type("Stream", (), {})
    cuda.ExternalStream = external_stream
    named["cupy.cuda.compiler"].compile_using_nvrtc = compile_using_nvrtc
    named["cupy.cuda.function"].Module = Module
    return named
