"""decide.cu compiled for the CPU by g++, as a library that Python can call.

It knows the arguments of the kernels and nothing of the rule.
"""

import ctypes
import shutil
import subprocess
from pathlib import Path

import torch

from memtrace.engine.kernels import cuda

KERNELS = ["decide_float32", "decide_float16", "decide_bfloat16", "matched_tokens"]


def build(folder):
    """The library, made in `folder` unless it is there; None without g++.

    Undefined behaviour in it stops the process.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    library = folder / "host.so"
    options = ["-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror"]
    options += [
        "-fsanitize=undefined",
        "-fsanitize-undefined-trap-on-error",
        "-fno-strict-aliasing",
    ]
    include = ["-I", str(cuda.SOURCE.parent)]
    source = Path(__file__).with_name("host.cpp")
    if not library.exists():
        subprocess.run([compiler, *options, *include, str(source), "-o", str(library)], check=True)
    lib = ctypes.CDLL(str(library))
    grid, pointer, index, size = ctypes.c_uint, ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
    for name in KERNELS[:3]:
        arguments = [pointer, size, index, pointer, pointer, index, pointer]
        getattr(lib, f"host_{name}").argtypes = [grid, grid, *arguments]
    lib.host_matched_tokens.argtypes = [grid, grid, pointer, pointer, index, index, pointer]
    lib.host_widen_float16.restype = ctypes.c_float
    return lib


def decide_on_host(host, case, threads):
    rows, vocabulary = case.logits.shape
    outcomes = torch.full((rows,), 255, dtype=torch.uint8)
    getattr(host, f"host_decide_{str(case.logits.dtype).removeprefix('torch.')}")(
        rows,
        threads,
        case.logits.data_ptr(),
        case.logits.stride(0),
        vocabulary,
        case.targets.data_ptr(),
        case.tolerances.data_ptr(),
        int(case.mask_eos),
        outcomes.data_ptr(),
    )
    return outcomes
