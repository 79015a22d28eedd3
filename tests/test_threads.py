"""Threads of the engine: the limits of control groups, and how they wait."""

import os
import subprocess
import sys

import pytest
import torch

from memtrace.engine import threads


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "800000 100000"}, 2.0),
        ("0::/a/b\n", {"a/cpu.max": "max 100000", "a/b/cpu.max": "300000 100000"}, 3.0),
        ("0::/a\n", {}, None),
        (
            "5:memory:/job\n4:cpu,cpuacct:/job\n",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
                "memory/job/cpu.max": "1 1",
            },
            4.0,
        ),
        (
            "4:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("0::/\n", {"cpu.max": "not a number"}, None),
    ],
)
def test_limits_of_control_groups(tmp_path, groups, files, limit):
    (tmp_path / "groups").write_text(groups)
    write(tmp_path / "mounted", files)
    assert threads.cpu_limit(tmp_path / "groups", tmp_path / "mounted") == limit


def test_no_control_groups_at_all(tmp_path):
    assert threads.cpu_limit(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(
    ("limit", "asked", "expected"), [(1.6, None, 2), (0.2, None, 1), (9.0, None, 3), (1.0, "3", 3)]
)
def test_threads_are_no_more_than_the_limit(monkeypatch, limit, asked, expected):
    monkeypatch.setattr(threads, "cpu_limit", lambda *_: limit)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        threads.limit_threads()
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("chosen", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_wait_without_spinning_unless_the_user_says_so(chosen, expected):
    code = (
        "import sys, os, memtrace.scanning.worker\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    surroundings = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if chosen:
        surroundings["OMP_WAIT_POLICY"] = chosen
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=True)
    assert told.stdout.strip() == expected
