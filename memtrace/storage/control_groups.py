"""Control groups of Linux: the folders that hold the limits of this process."""

from collections.abc import Iterator
from pathlib import Path

GROUPS, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def group_folders(controller: str, groups: Path = GROUPS, root: Path = ROOT) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in; the tightest limit counts.

    Args:
        controller: `cpu` or `memory`: what has to be limited by them.
        groups: Names them, a line each: `0::/user.slice` in version 2, `4:cpu,cpuacct:/job` in 1.
        root: Where they are mounted.
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mounted = root / controllers if controllers else root
        # In a container the group itself is mounted as the root.
        yield from {mounted, *_with_parents(mounted, name)}


def _with_parents(mounted: Path, name: str) -> list[Path]:
    inner = mounted / name.strip("/")
    return [inner, *(each for each in inner.parents if mounted in each.parents)]
