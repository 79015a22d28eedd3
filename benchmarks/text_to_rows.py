"""Text into token rows against the tokenizer alone: prints a table.

The text is Python's own standard library, repeated; the tokenizer, a byte-level BPE of 16,384
tokens that is trained on it. Plainly: `encode_batch` and `encode_batch_fast` of `tokenizers` on all
documents at once, in memory, of which the ids are thrown away. `corpus tokenize` also reads the
JSON lines, and writes the rows, the documents, and how far it is. Processor time tells what that
costs.

    python benchmarks/text_to_rows.py --megabytes 64 --folder /scratch
"""

import argparse
import json
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from memtrace.corpus import open_corpus
from memtrace.corpus.row_documents import row_documents
from memtrace.corpus.tokenize import RowPlan, tokenize_files
from memtrace.corpus.tokenizer import load_tokenizer

_CHARACTERS = 4000  # of a document


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=64, help="size of the text")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each")
    parser.add_argument("--folder", type=Path, help="where; the temporary folder if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        texts = write_text(folder, int(options.megabytes * 1e6))
        write_tokenizer(folder, texts)
        measure(folder, texts, options.repeats)


def write_text(folder: Path, size: int) -> list[str]:
    """Write JSON lines of about so many bytes, and return the documents."""
    library = Path(sysconfig.get_path("stdlib"))
    source = "".join(
        path.read_text(encoding="utf-8", errors="replace") for path in sorted(library.glob("*.py"))
    )
    texts = [source[i : i + _CHARACTERS] for i in range(0, len(source), _CHARACTERS)]
    texts = (texts * (size // len(source) + 1))[: size // _CHARACTERS]
    with (folder / "text.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    return texts


def write_tokenizer(folder: Path, texts: list[str]) -> None:
    """Train a byte-level BPE on some of the documents."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=16_384, special_tokens=["<|endoftext|>"], show_progress=False
    )
    tokenizer.train_from_iterator(texts[:1000], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def measure(folder: Path, texts: list[str], repeats: int) -> None:
    """Print the rates, and each as a share of plain `encode_batch_fast`."""
    loaded = load_tokenizer(folder)
    size = sum(len(text.encode()) for text in texts) / 1e6
    runs = iter(range(10**6))

    def rows(plan: RowPlan) -> Callable[[], object]:
        return lambda: tokenize_files(
            [folder / "text.jsonl"], loaded, folder / f"rows-{next(runs)}", plan
        )

    works: dict[str, Callable[[], object]] = {
        "encode_batch": lambda: loaded.tokenizer.encode_batch(texts, add_special_tokens=False),
        "encode_batch_fast": lambda: loaded.tokenizer.encode_batch_fast(
            texts, add_special_tokens=False
        ),
        "packed rows": rows(RowPlan("packed", 2049)),
        "sliding rows, stride 16": rows(RowPlan("sliding", 64, 16)),
    }
    times = {name: fastest(work, repeats) for name, work in works.items()}
    plain = times["encode_batch_fast"]
    print(f"{size:.0f} MB of text in {len(texts):,} documents")
    print(f"{'':<26}{'MB/s':>8}{'time':>8}{'processor':>11}")
    for name, (seconds, processor) in times.items():
        relative = f"{seconds / plain[0]:>8.2f}{processor / plain[1]:>11.2f}"
        print(f"{name:<26}{size / seconds:>8.1f}{relative}")
    corpus = open_corpus(folder / f"rows-{next(runs) - 1}")
    chosen = np.random.default_rng(0).integers(0, len(corpus), 100_000)
    for name, work in {
        "64 tokens of rows at random": lambda: corpus.take(chosen, 64),
        "rows back to documents": lambda: row_documents(corpus, chosen, 64),
    }.items():
        seconds, _ = fastest(work, repeats)
        print(f"{name}: {len(chosen) / seconds:,.0f} rows/s")


def fastest(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the least seconds by the clock, and of the processor."""
    found = []
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - began, time.process_time() - used))
    clock, processor = zip(*found, strict=True)
    return min(clock), min(processor)


if __name__ == "__main__":
    main()
