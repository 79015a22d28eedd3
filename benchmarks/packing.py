"""Packing against `dd` reading the same file: prints a table, and fails below 0.7 of dd's speed.

It writes a corpus of random rows as long as Pythia's, and reads it warm (in the page cache) and
cold (dropped from it), alternating, the best of each.

    python benchmarks/packing.py --gigabytes 4 --folder /scratch
"""

import argparse
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from memtrace.corpus.megatron import Layout, open_megatron
from memtrace.corpus.pack_writer import write_pack

ROW_TOKENS, FLOOR = 2049, 0.7
_WRITTEN = 4096  # rows at a time


def main() -> int:
    """Measure and print; return 1 if packing is slower than the floor."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=4, help="size of the corpus")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each")
    parser.add_argument(
        "--folder", type=Path, help="where; the system's temporary folder if not given"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        rows = write_corpus(folder / "document.bin", int(options.gigabytes * 1e9))
        slow = [
            report(state, *measure(folder, rows, state == "cold", options.repeats))
            for state in ("warm", "cold")
        ]
    return int(any(slow))


def write_corpus(path: Path, size: int) -> int:
    """Write about `size` bytes of random rows and return how many rows there are."""
    rng, rows = np.random.default_rng(0), max(1, size // (2 * ROW_TOKENS))
    with path.open("wb") as file:
        for start in range(0, rows, _WRITTEN):
            count = min(_WRITTEN, rows - start)
            rng.integers(0, 50_277, (count, ROW_TOKENS), dtype=np.uint16).tofile(file)
        file.flush()
        os.fsync(file.fileno())
    return rows


def measure(folder: Path, rows: int, cold: bool, repeats: int) -> tuple[int, float, float]:
    """Return the bytes of the corpus, and the least seconds that dd and packing took."""
    path = folder / "document.bin"
    seconds: dict[Callable[[Path, int], None], float] = {read_with_dd: np.inf, pack: np.inf}
    for _ in range(repeats):
        for work in seconds:
            prepare(path, cold)
            began = time.perf_counter()
            work(folder, rows)
            seconds[work] = min(seconds[work], time.perf_counter() - began)
            shutil.rmtree(folder / "pack", ignore_errors=True)
    return path.stat().st_size, seconds[read_with_dd], seconds[pack]


def prepare(path: Path, cold: bool) -> None:
    """Bring the file into the page cache, or drop it from there."""
    gc.collect()  # pages that a forgotten corpus has mapped are not dropped
    with path.open("rb") as file:
        if cold:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        else:
            while file.read(1 << 24):
                pass


def read_with_dd(folder: Path, rows: int) -> None:  # noqa: ARG001
    """Read the file as dd does."""
    command = ["dd", f"if={folder / 'document.bin'}", "of=/dev/null", "bs=1M"]
    subprocess.run(command, check=True, capture_output=True)


def pack(folder: Path, rows: int) -> None:
    """Pack the corpus as the command does."""
    layout = Layout(ROW_TOKENS, np.dtype("<u2"), rows)
    write_pack(open_megatron(folder / "document", layout=layout), folder / "pack")


def report(state: str, size: int, dd: float, packing: float) -> bool:
    """Print one line and return whether packing was too slow."""
    ratio = dd / packing
    print(
        f"{state}: {size / 1e9:.1f} GB, dd {size / dd / 1e9:.2f} GB/s, "
        f"packing {size / packing / 1e9:.2f} GB/s: {ratio:.2f} of dd (at least {FLOOR})"
    )
    return ratio < FLOOR


if __name__ == "__main__":
    sys.exit(main())
