"""`make gpu-check` on a simulated device: it runs to its end, and writes what it says it writes."""

import json
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from simulated_cuda.simulation import simulated

from benchmarks import engine, gpu_check, sequences

N = 64
EVENT = SimpleNamespace(key="k" * 99, count=3, self_device_time_total=5e3, self_cpu_time_total=1e3)
PROFILE = SimpleNamespace(key_averages=lambda: [EVENT])


@pytest.fixture
def check(tmp_path, compiled, monkeypatch):
    """Run it for a tiny model; returns its document and its section."""
    monkeypatch.setitem(sequences.SHAPES, "tiny", (32, 1, 4))
    monkeypatch.setattr(sequences, "VOCABULARY", 211)
    monkeypatch.setattr(gpu_check, "SQUARE", 64)
    monkeypatch.setattr(gpu_check, "PASSES", 1)
    # Peers that generate take a call for each of 32 tokens, and nothing is learned of this project.
    monkeypatch.setattr(engine, "generate", lambda model, _: engine.teacher_forced(model))
    monkeypatch.setattr(torch.profiler, "profile", lambda **_: nullcontext(PROFILE))

    def run():
        words = f"--shapes tiny --sequences {N} --share 0.001 --no-tests --output".split()
        monkeypatch.setattr(sys, "argv", ["gpu-check", *words, str(tmp_path / "out")])
        with simulated(compiled), torch.no_grad():
            gpu_check.main()
        document = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
        return document, (tmp_path / "out" / "gpu_check.md").read_text()

    return run


def test_it_runs_to_its_end(check):
    document, section = check()
    assert "failed" not in document
    shown = document["shapes"]["tiny"]
    rows = {row["name"]: row for row in shown["rows"]}
    assert {name for name in rows if name.startswith("memtrace")} == {
        f"memtrace, {dtype}" for dtype in ("float32", "float16", "bfloat16")
    }
    for name, row in rows.items():
        assert f"| {name} | {row['n']} | {row['rate']:.1f} |" in section
        assert row["wrong"] == 0 or "float32" not in name
        assert ("rate_again" in row) == name.startswith("memtrace")
    assert len(rows) == 9
    assert shown["prompt_pass"][0]["graph"] == "captured"
    stored = shown["stored_in_float16"]
    assert 1 <= stored["host_waits_of_a_batch"] <= 3
    assert 2 < stored["weights_bytes_per_parameter"] < 3
    assert stored["peak_bytes"] > 2 * stored["parameters"]
    assert stored["slowest"] == [{"name": "k" * 80, "calls": 3, "device_ms": 5.0, "host_ms": 1.0}]
    tables = [line for line in section.splitlines() if line.startswith("|")]
    assert len(tables) == 2 + len(rows) + 1 + 2 + len(shown["precisions"]) + 2 + 2


def test_a_part_that_fails_is_told_and_the_rest_is_written(check, monkeypatch):
    one = "memtrace, of zeros", 2, lambda rows: np.zeros(len(rows)), False
    monkeypatch.setattr(gpu_check, "methods", lambda *_: iter([one]))

    def fails(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu_check, "measure_precisions", fails)
    document, section = check()
    assert document["failed"] == {"tiny": "RuntimeError: no such kernel"}
    assert "tiny failed: RuntimeError: no such kernel" in section
    assert "| memtrace, of zeros | 2 |" in section
