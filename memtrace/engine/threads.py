"""How many threads to compute with: no more than the CPUs that this process may use.

OpenMP counts the CPUs of the process's affinity; a limit of its control group, as containers and
batch systems set it, it does not see. More threads than that wait for each other at every product.
"""

import os
from pathlib import Path

import torch

from memtrace.storage.control_groups import GROUPS, ROOT, group_folders


def limit_threads() -> None:
    """Take fewer threads where the control group allows fewer CPUs; not if the user has chosen."""
    limit = cpu_limit()
    if limit is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), round(limit))))


def cpu_limit(groups: Path = GROUPS, root: Path = ROOT) -> float | None:
    """CPUs that the control groups of this process allow; None without a limit."""
    limits = [each for folder in group_folders("cpu", groups, root) for each in _limits_of(folder)]
    return min(limits, default=None)


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
