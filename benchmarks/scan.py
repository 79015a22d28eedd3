"""What `memtrace scan` adds to the engine: start, load, read, write; and how much memory it takes.

    python benchmarks/scan.py --sequences 32768

A model of the 70m shape and a corpus are written to a temporary folder, scanned by the command in
a process of its own, and decided again by the engine alone, calibration included. The scores are
compared with the truth.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.sequences import LENGTH, VOCABULARY, cached_sequences, random_model
from memtrace.engine import Engine, Rules
from memtrace.runs.run import load_scores

MADE = 4096  # sequences that are the model's own; the others differ from them after the first miss


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=32768, help="to scan")
    parser.add_argument("--cache", type=Path, help="an .npz file to keep the sequences in")
    options = parser.parse_args()
    model = random_model("70m")
    sequences, matched = varied(*cached_sequences(model, MADE, options.cache), options.sequences)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder / "model")
        np.save(folder / "corpus.npy", sequences.astype(np.uint16))
        whole = scan(folder)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        scores = load_scores(folder / "runs", model="model", step=0).sort("sequence_index")
        found = scores.collect()["matched_tokens"].to_numpy()
    start = time.perf_counter()
    engine = Engine(model, Rules(), calibration=sequences[:256])
    for chunk in np.array_split(sequences, max(1, len(sequences) // 8192)):
        engine.matched_tokens(chunk)
    alone = time.perf_counter() - start
    print(f"{len(sequences):,} sequences, {torch.get_num_threads()} threads")
    print(f"memtrace scan        {whole:8.1f} s, {peak:,} MiB at most")
    print(f"the engine alone     {alone:8.1f} s")
    print(f"overhead             {whole / alone - 1:8.1%}")
    print(f"wrong                {int((found != matched).sum()):8}")


def scan(folder: Path) -> float:
    """Seconds of the command, from its start to its end."""
    command = [sys.executable, "-m", "memtrace", "scan", "--model", str(folder / "model")]
    command += ["--corpus", str(folder / "corpus.npy"), "--runs", str(folder / "runs")]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def varied(sequences: np.ndarray, matched: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """As many sequences as wanted: copies whose last token differs, where it is not reached."""
    missed = np.flatnonzero(matched < LENGTH - 1)
    copies = np.resize(missed, n)
    turns = np.arange(n) // len(missed)
    originals = min(n, len(matched))
    copies[:originals], turns[:originals] = np.arange(originals), 0
    varied = sequences[copies].copy()
    varied[:, -1] = (varied[:, -1] + turns) % VOCABULARY
    return varied, matched[copies]


if __name__ == "__main__":
    main()
