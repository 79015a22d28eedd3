"""What only a CUDA device can show, in one command: `make gpu-check`.

    python -m benchmarks.gpu_check --output gpu-check

Runs the tests marked `gpu`, the engine against its peers on this device (memtrace twice, to see
what only the first call costs) and the pass over the prompts with and without a captured graph,
counts how often the host waits for the device in a batch, and measures the memory of a model whose
weights lie in float16.
Writes `gpu_check.json`, after every part, and `gpu_check.md`: a section for benchmarks/README.md.
A part that fails is told in both, and the others go on.
"""

import argparse
import gc
import json
import platform
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import transformers

from benchmarks.engine import clock_of, measure, methods, minimum_flops, seconds
from benchmarks.precisions import measure_precisions
from benchmarks.sequences import LENGTH, PROMPT, SHAPES, cached_sequences, random_model
from memtrace.engine import Engine, Rules
from memtrace.engine.forward.families import make_forward

Results = dict[str, Any]
DEVICE = torch.device("cuda", 0)
SQUARE = 8192  # rows of matrices whose products are timed
PASSES = 20  # over prompts, timed together


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("gpu-check"), help="a folder")
    parser.add_argument("--shapes", default="70m,410m", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--sequences", type=int, default=20480, help="for memtrace")
    parser.add_argument("--share", type=float, default=0.125, help="of the peers' sequences")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device: there is nothing to check")
    options.output.mkdir(parents=True, exist_ok=True)
    results: Results = {"device": _device(), "shapes": {}}
    parts: list[tuple[str, Callable[[], None]]] = []
    if not options.no_tests:
        parts.append(("tests", lambda: results.update(tests=run_tests())))
    for shape in options.shapes.split(","):
        shown = results["shapes"].setdefault(shape, {})
        parts.append((shape, lambda s=shape, r=shown: measure_shape(s, options, r)))
    for title, part in parts:
        began = time.perf_counter()
        try:
            part()
        except Exception as error:
            traceback.print_exc()
            results.setdefault("failed", {})[title] = f"{type(error).__name__}: {error}"
        results.setdefault("seconds", {})[title] = round(time.perf_counter() - began, 1)
        text = json.dumps(results, indent=1, allow_nan=False)
        (options.output / "gpu_check.json").write_text(text + "\n", encoding="utf-8")
        (options.output / "gpu_check.md").write_text(section(results), encoding="utf-8")
    print(section(results))


def _device() -> Results:
    return {
        "name": torch.cuda.get_device_name(DEVICE),
        "bytes": torch.cuda.mem_get_info(DEVICE)[1],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def run_tests() -> Results:
    """The tests that need a device: how many passed, and the names of those that did not."""
    files = [p for p in Path("tests").glob("test_*.py") if "mark.gpu" in p.read_text("utf-8")]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-rfE", "-p", "no:cacheprovider"]
    command += map(str, files)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"code": done.returncode, "summary": lines[-1] if lines else "", "failed": failed}


def measure_shape(shape: str, options: argparse.Namespace, results: Results) -> None:
    """Everything about a model of one shape."""
    clock = clock_of(DEVICE, 1)
    model = random_model(shape).half().float().requires_grad_(False).to(DEVICE)
    sequences, matched = cached_sequences(model, options.sequences, None)
    rows = results.setdefault("rows", [])
    results["tflops"] = {}
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        a, b = torch.randn(2, SQUARE, SQUARE, dtype=dtype, device=DEVICE)
        peak = max(2 * SQUARE**3 / seconds(lambda a=a, b=b: a @ b, clock) for _ in range(8))
        results["tflops"][str(dtype).removeprefix("torch.")] = round(peak / 1e12, 1)
    results["gflop_of_a_miss"] = round(minimum_flops(model) / 1e9, 2)
    for title, count, answer, memorized_only in methods(model, sequences, options.share):
        truth = matched[:count] == LENGTH if memorized_only else matched[:count]
        row = measure(title, answer, sequences[:count], truth, clock)
        rows.append({"name": row.name, "n": row.sequences, "rate": row.rate, "wrong": row.wrong})
        if title.startswith("memtrace"):  # is what is slow only slow the first time?
            spent = seconds(lambda a=answer, n=count: a(sequences[:n]), clock)
            rows[-1]["rate_again"] = count / spent
        print(rows[-1], flush=True)
    del answer, truth  # and with them the last engine
    model = model.half()
    gc.collect()
    torch.cuda.empty_cache()
    results["precisions"] = measure_precisions(model, sequences[:1024], clock)
    results["prompt_pass"] = measure_graph(model, sequences, clock)
    results["stored_in_float16"] = measure_stored(model, sequences, matched, clock)


@torch.inference_mode()
def measure_graph(
    model: torch.nn.Module, sequences: np.ndarray, clock: Callable[[], float]
) -> list[Results]:
    """The pass over the prompts of a batch in float16, as it is called and as a captured graph."""
    forward = make_forward(model, torch.float16, PROMPT + LENGTH)
    measured = []
    with forward.precision():
        for n in (64, 1024):
            tokens = torch.from_numpy(sequences[:n, :PROMPT].astype(np.int64)).to(DEVICE)
            row: Results = {"sequences": n}
            for title, captured in (("called_ms", 0), ("captured_ms", n)):
                forward.capture(captured, PROMPT)
                for _ in range(3):
                    forward.prompt(tokens, keep=1)
                spent = seconds(
                    lambda t=tokens: [forward.prompt(t, keep=1) for _ in range(PASSES)], clock
                )
                row[title] = round(1e3 * spent / PASSES, 3)
            measured.append(row | {"graph": forward.graph})
            print(measured[-1], flush=True)
    return measured


def measure_stored(
    model: torch.nn.Module,
    sequences: np.ndarray,
    matched: np.ndarray,
    clock: Callable[[], float],
) -> Results:
    """Speed, memory and host waits of a model whose weights stay in float16."""
    parameters = sum(each.numel() for each in model.parameters())
    gc.collect()  # captured graphs keep their memory until they are collected
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(DEVICE)
    weights = torch.cuda.memory_allocated(DEVICE)
    start = clock()
    engine = Engine(model, Rules(), calibration=sequences[-256:])
    calibration = clock() - start
    row = measure("as stored", engine.matched_tokens, sequences, matched, clock)
    again = len(sequences) / seconds(lambda: engine.matched_tokens(sequences), clock)
    first = engine.stages[0]
    batch = sequences[: first.batch_size]
    return {
        "parameters": parameters,
        "weights_bytes_per_parameter": round(weights / parameters, 3),
        "peak_bytes": torch.cuda.max_memory_allocated(DEVICE),
        "calibration_seconds": round(calibration, 2),
        "rate": row.rate,
        "rate_again": again,
        "wrong": row.wrong,
        "n": row.sequences,
        "host_waits_of_a_batch": host_waits(lambda: first.outcomes(batch, _all_open(batch))),
        "slowest": slowest(lambda: first.outcomes(batch, _all_open(batch))),
        "record": engine.record(),
    }


def _all_open(sequences: np.ndarray) -> np.ndarray:
    return np.ones((len(sequences), LENGTH), bool)


@torch.inference_mode()
def host_waits(work: Callable[[], object]) -> int:
    """How often the host waits for the device: for events, and as torch itself sees it."""
    work()
    torch.cuda.synchronize(DEVICE)
    synchronize, events = torch.cuda.Event.synchronize, 0

    def counted(event: torch.cuda.Event) -> None:
        nonlocal events
        events += 1
        synchronize(event)

    with (
        warnings.catch_warnings(record=True) as caught,
        patch.object(torch.cuda.Event, "synchronize", counted),
    ):
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    # Not what torch says of the mode itself when it is first switched on.
    return events + sum("synchronizing CUDA operation" in str(each.message) for each in caught)


@torch.inference_mode()
def slowest(work: Callable[[], object], most: int = 10) -> list[Results]:
    """The operations that take most of the device's time, in milliseconds; and of the host's."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        work()
        torch.cuda.synchronize(DEVICE)
    events = sorted(profile.key_averages(), key=lambda e: -e.self_device_time_total)
    return [
        {
            "name": event.key[:80],
            "calls": event.count,
            "device_ms": round(event.self_device_time_total / 1e3, 2),
            "host_ms": round(event.self_cpu_time_total / 1e3, 2),
        }
        for event in events[:most]
    ]


def section(results: Results) -> str:
    """The results as a section of a page."""
    device = results["device"]
    lines = [
        f"# On {device['name']}",
        "",
        f"    python -m benchmarks.gpu_check --shapes {','.join(results['shapes'])}",
        "",
        f"torch {device['torch']} (CUDA {device['cuda']}), transformers {device['transformers']}.",
    ]
    if "tests" in results:
        lines += [f"Tests marked `gpu`: {results['tests']['summary']}."]
    for shape, shown in results["shapes"].items():
        if not shown.get("rows"):
            continue
        peaks = ", ".join(f"{value} in {name}" for name, value in shown["tflops"].items())
        lines += [
            "",
            f"## pythia-{shape}'s shape",
            "",
            f"TFLOP/s of {SQUARE}-square products: {peaks}.",
            "",
            "| method | sequences | per second | a second time | wrong |",
            "|---|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {r['name']} | {r['n']} | {r['rate']:.1f} | {_again(r)} | {r['wrong']} |"
            for r in shown["rows"]
        ]
        lines += _stored_lines(shown.get("stored_in_float16"))
        lines += _precision_lines(shown.get("precisions", []))
        lines += _graph_lines(shown.get("prompt_pass", []))
    for title, reason in results.get("failed", {}).items():
        lines += ["", f"{title} failed: {reason}"]
    return "\n".join(lines) + "\n"


def _again(row: Results) -> str:
    return f"{row['rate_again']:.1f}" if "rate_again" in row else ""


def _stored_lines(shown: Results | None) -> list[str]:
    if shown is None:
        return []
    precisions = ", ".join(each["precision"] for each in shown["record"]["stages"])
    return [
        f"| memtrace, weights in float16, auto ({shown['record']['dtype']}) | {shown['n']} "
        f"| {shown['rate']:.1f} | {_again(shown)} | {shown['wrong']} |",
        "",
        f"Weights in float16: {shown['weights_bytes_per_parameter']} bytes a parameter, at most "
        f"{shown['peak_bytes'] / 2**30:.2f} GiB with all batches. Calibration: "
        f"{shown['calibration_seconds']} s. Precisions: {precisions}. The host waits "
        f"{shown['host_waits_of_a_batch']} times in a batch of {shown['record']['batch_size']}.",
    ]


def _precision_lines(rows: list[Results]) -> list[str]:
    if not rows:
        return []
    return [
        "",
        "| precision of a pass over prompts | ms | times half | error, deviations of logits |",
        "|---|---:|---:|---:|",
        *(
            f"| {r['precision']} | {r['ms']} | {r['times_half']} | {r['rms_error']:.1e} |"
            for r in rows
        ),
    ]


def _graph_lines(rows: list[Results]) -> list[str]:
    if not rows:
        return []
    return [
        "",
        "| prompts read in float16, ms | called | captured as a CUDA graph | |",
        "|---:|---:|---:|---|",
        *(
            f"| {r['sequences']} | {r['called_ms']} | {r['captured_ms']} | {r['graph']} |"
            for r in rows
        ),
    ]


if __name__ == "__main__":
    main()
