"""What a scan on a CPU holds in memory: resident bytes of a process of its own.

    python -m benchmarks.memory --shape 410m

A model whose weights lie in float16 is written to disk, and another process loads it as `memtrace
scan` does, calibrates and scores. Every token occurs, as in a long scan: the token cache is full.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.sequences import LENGTH, PROMPT, SHAPES, VOCABULARY, random_model
from memtrace.engine import Engine, Rules, reads_as_stored
from memtrace.models.loading import load_model
from memtrace.models.weights import fetch_weights


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="410m", help="of the Pythia suite")
    parser.add_argument("--dtype", default="auto", help="as of memtrace scan")
    parser.add_argument("--sequences", type=int, default=1024, help="to score")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        measure(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        random_model(options.shape).half().save_pretrained(folder)
        command = [sys.executable, "-m", "benchmarks.memory", *sys.argv[1:], "--folder", folder]
        subprocess.run(command, check=True)


def measure(options: argparse.Namespace) -> None:
    """Load, calibrate and score, and say after each what is resident."""
    random, shape = np.random.default_rng(0), (options.sequences, PROMPT + LENGTH)
    rows = np.resize(random.permutation(VOCABULARY), shape)
    weights, device = fetch_weights(str(options.folder)), torch.device("cpu")
    model = load_model(weights, device, PROMPT + LENGTH, reads_as_stored)
    parameters = sum(each.numel() for each in model.parameters())
    print(f"{parameters:,} parameters in {str(model.dtype).removeprefix('torch.')}")
    print(f"loaded: {resident() / 1e9:.2f} GB")
    engine = Engine(model, Rules(), calibration=rows[:256], dtype=options.dtype)
    print(f"calibrated, {engine.record()['dtype']} first: {resident() / 1e9:.2f} GB")
    engine.matched_tokens(rows)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    left = (most - 4.6 * parameters) / 1e9
    print(f"at most: {most / 1e9:.2f} GB, which is 4.6 bytes a parameter and {left:.2f} GB")


def resident() -> int:
    """Bytes of this process that are in memory now."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(found) * 1024


if __name__ == "__main__":
    main()
