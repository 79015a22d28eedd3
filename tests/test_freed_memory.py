"""Does memory that is freed stay at hand?"""

import ctypes
import os
import subprocess
import sys

import pytest

IN_BLOCKS_OF_THEIR_OWN = """
import ctypes
import torch
from memtrace.engine.forward.memory import keep_freed_memory

class Used(ctypes.Structure):  # struct mallinfo2 of glibc
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

used = ctypes.CDLL(None).mallinfo2
used.restype = Used

def own():
    before = used().hblkhd
    block = torch.empty(24 << 20, dtype=torch.uint8)
    return used().hblkhd - before

print(own())
keep_freed_memory()
print(own())
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another C library, or an old glibc"
)
def test_large_blocks_are_not_asked_of_the_system_each_time() -> None:
    default = {name: value for name, value in os.environ.items() if "MALLOC_" not in name}
    run = subprocess.run(
        [sys.executable, "-c", IN_BLOCKS_OF_THEIR_OWN],
        env=default,
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, run.stdout.split())
    assert before >= 24 << 20
    assert after == 0
