"""decide.cu compiled for the CPU by g++, as a library that Python can call.

It knows the arguments of the kernels and nothing of the rule.
"""

import ctypes
import hashlib
import shutil
import subprocess
from pathlib import Path

import torch

from memtrace.engine.kernels import cuda

DECISIONS = ["decide_float32", "decide_float16", "decide_bfloat16"]
SCORES = ["score_float32", "score_float16", "score_bfloat16"]
KERNELS = [*DECISIONS, *SCORES, "matched_tokens"]


def build(folder):
    """The library, made in `folder` unless it is there; None without g++.

    Undefined behaviour in it stops the process.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    source = Path(__file__).with_name("host.cpp")
    compiled = hashlib.sha256(source.read_bytes() + cuda.SOURCE.read_bytes()).hexdigest()[:16]
    library = folder / f"host-{compiled}.so"  # the folder may outlive a change of the source
    options = ["-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror"]
    options += [
        "-fsanitize=undefined",
        "-fsanitize-undefined-trap-on-error",
        "-fno-strict-aliasing",
    ]
    include = ["-I", str(cuda.SOURCE.parent)]
    if not library.exists():
        subprocess.run([compiler, *options, *include, str(source), "-o", str(library)], check=True)
    lib = ctypes.CDLL(str(library))
    grid, pointer, index, size = ctypes.c_uint, ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
    asked = [pointer, size, index, pointer, pointer]
    for name in DECISIONS:
        getattr(lib, f"host_{name}").argtypes = [grid, grid, *asked, index, pointer]
    for name in SCORES:
        arguments = [*asked, ctypes.c_float, index, pointer, pointer]
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


def score_on_host(host, case, threads, temperature):
    """Outcomes and log probabilities of a case."""
    rows, vocabulary = case.logits.shape
    outcomes = torch.full((rows,), 255, dtype=torch.uint8)
    log_p = torch.full((rows,), 255.0)
    getattr(host, f"host_score_{str(case.logits.dtype).removeprefix('torch.')}")(
        rows,
        threads,
        case.logits.data_ptr(),
        case.logits.stride(0),
        vocabulary,
        case.targets.data_ptr(),
        case.tolerances.data_ptr(),
        1 / temperature,
        int(case.mask_eos),
        outcomes.data_ptr(),
        log_p.data_ptr(),
    )
    return outcomes, log_p
