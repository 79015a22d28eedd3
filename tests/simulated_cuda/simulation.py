"""Turn the simulation on and off: torch.cuda, CuPy, and the tensors of `device="cuda"`."""

import ctypes
import gc
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import torch
from simulated_cuda import cupy_stub
from simulated_cuda.account import (
    ACCOUNT,
    DEVICES,
    Event,
    Stream,
    current_stream,
    default_stream,
    on_device,
    on_stream,
)
from simulated_cuda.cupy_stub import once
from simulated_cuda.graphs import CUDAGraph, capture
from simulated_cuda.tensor import ATEN, CudaTensor, Mode, cuda_device, dispatch
from torch.utils._device import _device_constructors

from memtrace.engine.kernels import cuda as kernels


@contextmanager
def simulated(folder, devices=1):
    """So many CUDA devices are there; yields the account of them.

    Args:
        folder: Where the compiled parts are kept; processes may share it.
        devices: How many.
    """
    load_guard(folder)
    _device_constructors()  # `with torch.device(...)` knows torch.tensor by what it is now
    with ExitStack() as stack:
        for name, value in _torch_cuda(devices).items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        for place, name, value in _functions():
            stack.enter_context(patch.object(place, name, value))
        stack.enter_context(patch.dict(sys.modules, _cupy(folder)))
        # `.data = ...` of a parameter of the CPU keeps it there: modules get new parameters.
        overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        stack.callback(kernels._module.cache_clear)
        kernels._module.cache_clear()
        stack.enter_context(Mode())
        ACCOUNT.memory, ACCOUNT.fails, ACCOUNT.tf32 = 80 << 30, None, None
        if ACCOUNT.allocated:
            gc.collect()  # what earlier tests have left behind is not found free later
        ACCOUNT.reserved = ACCOUNT.allocated
        ACCOUNT.reset()
        yield ACCOUNT


@cache
def _cupy(folder):
    return cupy_stub.modules(folder)


@cache
def load_guard(folder):
    """Compile the guard, which indexing, `~` and others ask for in C++, once for all processes."""
    library, source = folder / "guard.so", Path(__file__).with_name("guard.cpp")
    with once(folder / "guard.lock"):
        if not library.exists():
            root = Path(torch.__file__).parent
            flags = ["-std=c++20", "-O0", "-shared", "-fPIC", f"-I{root}/include"]
            files = [str(source), "-o", str(library), f"-L{root}/lib", "-lc10"]
            subprocess.run(["g++", *flags, *files], check=True)
    ctypes.CDLL(str(library))


def _torch_cuda(devices):
    return {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: devices,
        "current_device": lambda: DEVICES[-1],
        "device": on_device,
        "get_device_name": lambda *_: "simulated CUDA device",
        "get_device_capability": lambda *_: (9, 0),
        "mem_get_info": lambda *_: (ACCOUNT.memory - ACCOUNT.reserved, ACCOUNT.memory),
        "memory_allocated": lambda *_: ACCOUNT.allocated,
        "max_memory_allocated": lambda *_: ACCOUNT.peak,
        "reset_peak_memory_stats": lambda *_: setattr(ACCOUNT, "peak", ACCOUNT.allocated),
        "set_sync_debug_mode": lambda mode: setattr(ACCOUNT, "warns", mode == "warn"),
        "Stream": Stream,
        "Event": Event,
        "stream": on_stream,
        "current_stream": current_stream,
        "default_stream": default_stream,
        "CUDAGraph": CUDAGraph,
        "graph": capture,
        "empty_cache": ACCOUNT.empty_cache,
        "synchronize": lambda *_: ACCOUNT.wait("synchronize"),
        "get_rng_state": lambda *_: torch.zeros(1),
        "is_bf16_supported": lambda *_: True,
    }


def _functions():
    """Functions of torch that reach for a device before they are dispatched."""
    plain_to, plain_tensor = torch.Tensor.to, torch.tensor

    def to(self, *args, **kwargs):
        """Outside inference mode aten.to is C++ alone until it asks the guard."""
        other = kwargs.get("other", args[0] if args else None)
        if not isinstance(self, CudaTensor) and not isinstance(other, torch.Tensor):
            given = {k: v for k, v in kwargs.items() if k != "copy"}
            device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **given)
            if device is not None and device.type == "cuda":
                options = {
                    "dtype": dtype or self.dtype,
                    "device": cuda_device(device.index),
                    "non_blocking": non_blocking,
                }
                return dispatch(ATEN._to_copy.default, (self,), options)
        return plain_to(self, *args, **kwargs)

    def tensor(data, *, device=None, **kwargs):
        """torch.tensor fills a tensor of the host and copies it: so does this."""
        if device is None or torch.device(device).type != "cuda":
            return plain_tensor(data, **kwargs, **({} if device is None else {"device": device}))
        return plain_tensor(data, device="cpu", **kwargs).to(torch.device(device))

    def pin_memory(self, *_):
        copy = self.clone()
        copy.pinned = True
        return copy

    plain_attention = torch.nn.functional.scaled_dot_product_attention

    def attention(*args, **kwargs):
        """Outside inference mode C++ chooses a back end, and calls its products."""
        found = plain_attention(*args, **kwargs)
        ACCOUNT.attention[found.dtype, _attention_backends()] += 1
        return found

    return [
        (torch.nn.functional, "scaled_dot_product_attention", attention),
        (torch.Tensor, "to", to),
        (torch.Tensor, "pin_memory", pin_memory),
        (torch, "tensor", tensor),
    ]


def _attention_backends():
    """Those that are allowed now, by torch's switches."""
    cuda = torch.backends.cuda
    enabled = {
        "flash": cuda.flash_sdp_enabled(),
        "efficient": cuda.mem_efficient_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
        "cudnn": cuda.cudnn_sdp_enabled(),
    }
    return ", ".join(name for name, allowed in enabled.items() if allowed)
