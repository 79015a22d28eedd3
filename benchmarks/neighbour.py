"""The engine beside another job: what is left of its quiet speed.

    python -m benchmarks.neighbour            # two and a half minutes, on a machine that is quiet

The neighbour multiplies matrices on as many threads as memtrace has, and waits as OpenMP does by
default: it spins. Quiet and disturbed measurements take turns, so that the ratio of their medians
is of one run. Two jobs with as many threads as there are cores have half of them each: a ratio of
0.5 loses nothing but what is shared.
"""

import memtrace.scanning.worker  # noqa: F401, I001 (first: it says how threads wait, as the command does)

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from benchmarks.sequences import random_model
from memtrace.engine import Engine, Rules

ROUNDS, SEQUENCES = 3, 64
NEIGHBOUR = """
import torch
torch.set_num_threads({threads})
a = torch.randn(512, 512)
while True:
    a @ a
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, load {os.getloadavg()[0]:.1f} at the start")
    for title, model in models():
        engine, sequences = prepared(model)
        quiet, disturbed = [], []
        for _ in range(ROUNDS):
            quiet.append(speed(engine, sequences, options.seconds))
            with neighbour(options.threads):
                disturbed.append(speed(engine, sequences, options.seconds))
        alone, beside = statistics.median(quiet), statistics.median(disturbed)
        print(
            f"{title}: {alone:.1f} sequences/s, {beside:.1f} beside a neighbour: "
            f"{beside / alone:.2f} (each {rounded(quiet)} and {rounded(disturbed)})",
            flush=True,
        )


def models() -> Iterator[tuple[str, PreTrainedModel]]:
    """One that we read, one that Transformers reads; random weights."""
    yield "pythia-70m's shape", random_model("70m")
    torch.manual_seed(0)
    config = GPT2Config(n_layer=6, vocab_size=8000, bos_token_id=0, eos_token_id=0)
    yield "6 layers of GPT-2 through Transformers", GPT2LMHeadModel(config).eval()


def prepared(model: PreTrainedModel) -> tuple[Engine, np.ndarray]:
    """An engine in bfloat16, and sequences of random tokens."""
    tokens = np.random.default_rng(0).integers(1, model.config.vocab_size, (4096, 64))
    engine = Engine(
        model, Rules(), calibration=tokens[-64:], dtype="bfloat16", batch_size=SEQUENCES
    )
    return engine, tokens


def speed(engine: Engine, sequences: np.ndarray, seconds: float) -> float:
    """Sequences a second, by the clock of the wall."""
    began, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds or not done:
        start = done % (len(sequences) - SEQUENCES)
        engine.matched_tokens(sequences[start : start + SEQUENCES])
        done += SEQUENCES
    return done / spent


@contextmanager
def neighbour(threads: int) -> Iterator[None]:
    """Another job is at work meanwhile."""
    ways = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-c", NEIGHBOUR.format(threads=threads)]
    with subprocess.Popen(command, env=ways) as job:
        try:
            time.sleep(3)  # until it has begun
            yield
        finally:
            job.terminate()


def rounded(values: list[float]) -> str:
    """The values in one line."""
    return ", ".join(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    main()
