"""Rows in a trainer's order against plain reads of the same bytes: prints a table.

It writes documents of random tokens and the maps of GPT-NeoX for them, and takes the first 64
tokens of rows in training order, warm (in the page cache). Plainly: one `pread` for each row, of as
many bytes, at places that are known beforehand. It fails below 10,000 rows a second.

    python benchmarks/orders.py --gigabytes 2 --folder /scratch
"""

import argparse
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from memtrace.corpus import open_corpus

LENGTH, TOKENS, FLOOR = 2048, 64, 10_000
_DOCUMENT = 1000  # tokens of a document, on average
_BATCH = 8192


def main() -> int:
    """Measure and print; return 1 if rows come too slowly."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=2, help="size of the token file")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each")
    parser.add_argument("--folder", type=Path, help="where; the temporary folder if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        lengths = write_documents(folder, int(options.gigabytes * 5e8))
        write_maps(folder, lengths)
        began = time.perf_counter()
        corpus = open_corpus(str(folder / "run.yaml"))
        opening = time.perf_counter() - began
        rows = min(len(corpus), 40 * _BATCH)
        places = np.random.default_rng(1).integers(0, int(lengths.sum()) - TOKENS, rows) * 2
        ordered = least(options.repeats, lambda: take(corpus, rows))
        plain = least(options.repeats, lambda: read_plainly(folder / "d.bin", places.tolist()))
    print(
        f"{len(corpus):,} rows; opening {opening:.2f} s; {rows / ordered:,.0f} rows/s of {TOKENS} "
        f"tokens; plain reads {rows / plain:,.0f} rows/s: {plain / ordered:.2f} of them"
    )
    return int(rows / ordered < FLOOR)


def least(repeats: int, work: Callable[[], None]) -> float:
    """Return the least seconds of several runs."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def take(corpus, rows: int) -> None:
    """Take rows in training order, batch by batch."""
    for start in range(0, rows, _BATCH):
        corpus.read(start, min(start + _BATCH, rows), TOKENS)


def read_plainly(path: Path, places: list[int]) -> None:
    """Read as many bytes as `take` does, at known places."""
    descriptor = os.open(path, os.O_RDONLY)
    for place in places:
        os.pread(descriptor, 2 * TOKENS, place)
    os.close(descriptor)


def write_documents(folder: Path, tokens: int) -> np.ndarray:
    """Write `d.bin` and `d.idx` and return the lengths of the documents."""
    rng = np.random.default_rng(0)
    lengths = 1 + rng.exponential(_DOCUMENT, tokens // _DOCUMENT).astype(np.int32)
    starts = np.r_[0, np.cumsum(lengths, dtype=np.int64)[:-1]] * 2
    head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, len(lengths), len(lengths) + 1)
    documents = np.arange(len(lengths) + 1, dtype=np.int64)
    (folder / "d.idx").write_bytes(
        head + lengths.tobytes() + starts.tobytes() + documents.tobytes()
    )
    with (folder / "d.bin").open("wb") as file:
        for low in range(0, int(lengths.sum()), 1 << 24):
            count = min(1 << 24, int(lengths.sum()) - low)
            rng.integers(0, 50_000, count, dtype=np.uint16).tofile(file)
    return lengths


def write_maps(folder: Path, lengths: np.ndarray) -> None:
    """Write the maps of one epoch, and a corpus file."""
    rng = np.random.RandomState(1)
    documents = rng.permutation(len(lengths)).astype(np.int32)
    ends = np.cumsum(lengths[documents], dtype=np.int64)
    samples = int(ends[-1] - 1) // LENGTH
    begins = np.arange(samples + 1) * LENGTH
    entry = np.searchsorted(ends, begins, side="right")
    offset = begins - np.r_[0, ends][entry]
    np.save(folder / "m_doc_idx.npy", documents)
    np.save(folder / "m_sample_idx.npy", np.column_stack((entry, offset)).astype(np.int32))
    np.save(folder / "m_shuffle_idx.npy", rng.permutation(samples).astype(np.uint32))
    content = {"corpus": "run", "layout": "gpt-neox", "tokens": ["d"], "index_maps": ["m_*"]}
    (folder / "run.yaml").write_text(yaml.safe_dump({**content, "row_tokens": LENGTH + 1}))


if __name__ == "__main__":
    sys.exit(main())
