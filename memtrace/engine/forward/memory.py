"""Memory of a CPU: what a layer has freed, the next one takes, without the system in between."""

import torch

LARGEST = (32 << 20) - (64 << 10)
"""Bytes: just below the 32 MiB above which glibc learns nothing from what is freed."""


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to 64 MiB a thread; other C libraries do as they did.

    By default it gives large blocks back at once, and the system fills each new one with zeros,
    page by page: a sixth of a float32 pass, whose layers take and free some megabytes each. When it
    frees a block that it had asked the system for, it keeps blocks of that size from then on, and
    twice as many bytes (mallopt(3), M_MMAP_THRESHOLD). This block is never written, so it takes no
    memory. Where the limits are set by the user (MALLOC_TRIM_THRESHOLD_), they stay.
    """
    torch.empty(LARGEST, dtype=torch.uint8)
