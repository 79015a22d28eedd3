"""How many threads to compute with: no more than the CPUs that this process may use.

OpenMP counts the CPUs of the process's affinity; a limit of its control group, as containers and
batch systems set it, it does not see. More threads than that wait for each other at every product.
"""

import os
from pathlib import Path

import torch

_GROUPS, _ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def limit_threads() -> None:
    """Take fewer threads where the control group allows fewer CPUs; not if the user has chosen."""
    limit = cpu_limit(_GROUPS, _ROOT)
    if limit is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), round(limit))))


def cpu_limit(groups: Path, root: Path) -> float | None:
    """CPUs that the control groups of this process allow; None without a limit.

    Args:
        groups: Names them, a line each: `0::/user.slice` in version 2, `4:cpu,cpuacct:/job` in 1.
        root: Where they are mounted.
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    limits: list[float] = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounted = root / controllers if controllers else root
        # In a container the group itself is mounted as the root.
        for folder in {mounted, *_folders(mounted, name)}:
            limits += _limits_of(folder)
    return min(limits, default=None)


def _folders(mounted: Path, name: str) -> list[Path]:
    """A group and those that it lies in: the tightest limit counts."""
    inner = mounted / name.strip("/")
    return [inner, *(each for each in inner.parents if mounted in each.parents)]


def _limits_of(folder: Path) -> list[float]:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
        return [int(quota) / int(period)] if quota not in ("max", "-1") else []
    except (OSError, ValueError):
        return []
