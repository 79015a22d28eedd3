"""Memory that is free: of a CUDA device, or of this machine as far as this process may use it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from memtrace.storage.control_groups import group_folders

if TYPE_CHECKING:
    import torch

_MEMINFO = Path("/proc/meminfo")


def free_memory(device: "torch.device") -> int | None:
    """Bytes that are free; None where nobody says.

    On CUDA torch keeps what was freed, so that all of it goes back first: else the weights of the
    checkpoint before would still count.
    """
    import torch

    if device.type != "cuda":
        return min(_available(), default=None)
    torch.cuda.empty_cache()
    free: int = torch.cuda.mem_get_info(device)[0]
    return free


def _available() -> Iterator[int]:
    """What the machine has, and what each control group leaves of its limit."""
    with suppress(OSError):
        for line in _MEMINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
    for folder in group_folders("memory"):
        with suppress(OSError, ValueError):
            yield _left_of(folder)


def _left_of(folder: Path) -> int:
    """Bytes that a group may still take, pages of files that it can drop included.

    Raises:
        OSError, ValueError: It has no limit.
    """
    names = ("memory.max", "memory.current")
    if not (folder / names[0]).exists():
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in names)
    lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    told = dict(line.split()[:2] for line in lines)
    # Version 1 has both: what is in the group itself, and with the groups in it.
    kinds = ("active_file", "inactive_file")
    files = sum(int(told.get(f"total_{kind}", told.get(kind, 0))) for kind in kinds)
    return max(0, limit - used + files)
