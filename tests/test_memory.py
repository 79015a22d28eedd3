"""Memory that is free, as control groups leave it."""

from functools import partial

import pytest
import torch

from memtrace.models import memory
from memtrace.storage.control_groups import group_folders

CPU = torch.device("cpu")
MACHINE = 1 << 20
UNLIMITED = 9223372036854771712  # as version 1 says it


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("0::/\n", {"memory.max": "max", "memory.current": "5"}, MACHINE),
        ("0::/\n", {"memory.max": "900", "memory.current": "500", "memory.stat": "anon 9"}, 400),
        (
            "0::/a/b\n",
            {
                "a/memory.max": "900",
                "a/memory.current": "500",
                "a/memory.stat": "file 300\ninactive_file 60\nactive_file 40\nshmem 200",
                "a/b/memory.max": "max",
            },
            500,
        ),
        (
            "4:cpu:/\n3:memory:/job\n",
            {
                "memory/memory.limit_in_bytes": str(UNLIMITED),
                "memory/memory.usage_in_bytes": "7",
                "memory/memory.stat": "cache 0",
                "memory/job/memory.limit_in_bytes": "700",
                "memory/job/memory.usage_in_bytes": "650",
                "memory/job/memory.stat": "active_file 5\ntotal_active_file 9\ninactive_file 1",
                "cpu/memory.max": "1",
            },
            60,
        ),
        ("0::/\n", {"memory.max": "9", "memory.current": "20", "memory.stat": ""}, 0),
        ("0::/\n", {"memory.max": "many", "memory.current": "20", "memory.stat": ""}, MACHINE),
    ],
)
def test_a_control_group_leaves_less_than_the_machine_has(
    tmp_path, monkeypatch, groups, files, free
):
    (tmp_path / "groups").write_text(groups)
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {MACHINE // 1024} kB\n")
    for name, text in files.items():
        path = tmp_path / "mounted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    places = {"groups": tmp_path / "groups", "root": tmp_path / "mounted"}
    monkeypatch.setattr(memory, "group_folders", partial(group_folders, **places))
    assert memory.free_memory(CPU) == free


def test_where_nobody_says_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(memory, "group_folders", lambda *_: [])
    assert memory.free_memory(CPU) is None
