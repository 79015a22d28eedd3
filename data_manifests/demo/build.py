"""Build the demo suite from nothing: corpus, tokenizer and every checkpoint of a small GPT-NeoX.

It knows nothing of memtrace: whether a sequence ends up memorized is left to training.

    python data_manifests/demo/build.py --output DIR [--steps 512] [--seed 1]

The text is the standard library of the Python that runs this, and the language reference that comes
with it, so another Python version gives another corpus. The rest follows from the seed and, in the
last bits of the weights, from the number of threads (OMP_NUM_THREADS) and the processor.
"""

import argparse
import copy
import hashlib
import re
import shutil
import struct
import sys
import sysconfig
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.utils.logging import disable_progress_bar

Rows = NDArray[np.uint16]

ROWS_PER_STEP = 64
ROW_TOKENS = 65  # 64 inputs and the last label, as Pythia's 2049 = 2048 + 1
SEQUENCE_TOKENS = ROW_TOKENS - 1
VOCABULARY = 512
END_OF_TEXT = "<|endoftext|>"  # token 0, as in Pythia's vocabulary
SAVED_STEPS = (0, 1, 16, 64, 128, 192, 256, 320, 384, 448, 512)

CHARACTERS_PER_ROW = 256  # nearly twice what a row holds: duplicates and ends are dropped

REPEATED_SHARE = 0.12
ROWS_PER_REPEATED_SEQUENCE = 512  # one repeated sequence for so many rows
PARETO_SHAPE = 1.5  # a few sequences are copied hundreds of times, most some dozen times

ADAMW_LEARNING_RATE = 1e-2
MUON_LEARNING_RATE = 3e-2
FINAL_LEARNING_RATE_SHARE = 0.1
WARMUP_SHARE = 0.02

OTHER_HOLDER = re.compile(r"copyright|all rights reserved|licen[sc]ed (under|to)", re.IGNORECASE)
UNWANTED = ("test", "idlelib", "lib2to3", "encodings", "pydoc_data")
FOREIGN = ("site-packages", "dist-packages", "config-", "_sysconfigdata")  # of this machine


def main() -> None:
    """Read the arguments, build, and list the digests of what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="DIR")
    parser.add_argument("--steps", type=int, default=SAVED_STEPS[-1], metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    arguments = parser.parse_args()
    disable_progress_bar()
    build(arguments.output, arguments.steps, arguments.seed)


def build(output: Path, steps: int, seed: int) -> None:
    """Write the suite with `steps` optimizer steps, hence 64 * `steps` rows, below `output`."""
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(stdlib() / "LICENSE.txt", output / "LICENSE.python.txt")
    documents = list(read_documents(ROWS_PER_STEP * steps * CHARACTERS_PER_ROW))
    log(f"{len(documents)} documents, {sum(map(len, documents)):,} characters")
    tokenizer = train_tokenizer(documents)
    tokenizer.save(str(output / "tokenizer.json"))
    rng = np.random.default_rng(seed)
    rows = arrange(cut(documents, tokenizer), ROWS_PER_STEP * steps, rng)
    write_megatron(output / "corpus" / "demo", rows)
    train(rows, output / "checkpoints", seed)
    write_digests(output)


def stdlib() -> Path:
    """The folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def read_documents(enough: int) -> Iterator[str]:
    """Yield the language reference's topics, then the library's sources, up to `enough` characters.

    A file that names a holder of its own (a copyright, another licence) is left out, so that the
    one notice beside the corpus covers all of it.
    """
    paths = (path for path in sorted(stdlib().rglob("*.py")) if not is_left_out(path))
    sources = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
    free = (text for text in sources if not OTHER_HOLDER.search(text))
    for text in chain((topics[name] for name in sorted(topics)), free):
        yield text
        enough -= len(text)
        if enough <= 0:
            return


def is_left_out(path: Path) -> bool:
    """Say whether a part of a source's path begins with a name that is not used."""
    return any(part.startswith(UNWANTED + FOREIGN) for part in path.relative_to(stdlib()).parts)


def train_tokenizer(documents: list[str]) -> Tokenizer:
    """Train a byte-level BPE on the text: 256 bytes, 255 merges and the end of text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def cut(documents: list[str], tokenizer: Tokenizer) -> Rows:
    """Cut each document into consecutive rows; keep one of those that begin with the same sequence.

    Returns:
        (rows, 65) token ids, no two rows alike in their first 64.
    """
    pieces = []
    for encoding in tokenizer.encode_batch_fast(documents):
        ids = np.array(encoding.ids, np.uint16)
        pieces.append(ids[: len(ids) // ROW_TOKENS * ROW_TOKENS].reshape(-1, ROW_TOKENS))
    rows: Rows = np.concatenate(pieces)
    _, first = np.unique(rows[:, :SEQUENCE_TOKENS], axis=0, return_index=True)
    return rows[np.sort(first)]


def arrange(distinct: Rows, n_rows: int, rng: np.random.Generator) -> Rows:
    """Draw the rows of the corpus and their order: mostly once each, some sequences many times.

    Each of the repeated rows is an independent draw from a few sequences with Pareto weights, and
    the whole corpus is shuffled: every copy lies at a uniformly random position.

    Returns:
        (n_rows, 65) token ids in training order.
    """
    n_repeated = round(REPEATED_SHARE * n_rows)
    n_sources = max(1, n_rows // ROWS_PER_REPEATED_SEQUENCE)
    n_single = n_rows - n_repeated
    if len(distinct) < n_single + n_sources:
        raise SystemExit(f"{n_rows:,} rows need more text than {len(distinct):,} distinct rows")
    chosen = rng.permutation(len(distinct))[: n_single + n_sources]
    weights = 1 + rng.pareto(PARETO_SHAPE, n_sources)
    copies = rng.choice(chosen[n_single:], n_repeated, p=weights / weights.sum())
    return distinct[rng.permutation(np.concatenate([chosen[:n_single], copies]))]


def write_megatron(prefix: Path, rows: Rows) -> None:
    """Write `prefix`.bin and `prefix`.idx (Megatron's MMIDIDX, version 1), as one document."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    n, length = rows.shape
    prefix.with_suffix(".bin").write_bytes(rows.astype("<u2").tobytes())
    with prefix.with_suffix(".idx").open("wb") as index:
        index.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, n, 2))  # 8 means uint16
        index.write(np.full(n, length, "<i4").tobytes())
        index.write((np.arange(n, dtype="<i8") * length * rows.itemsize).tobytes())
        index.write(np.array([0, n], "<i8").tobytes())


def new_model(seed: int) -> GPTNeoXForCausalLM:
    """A GPT-NeoX of Pythia's kind, as large as eleven float16 checkpoints in 8 MB allow."""
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=4 * 96,
        max_position_embeddings=SEQUENCE_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25},
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.05,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(config)


def train(rows: Rows, checkpoints: Path, seed: int) -> None:
    """Train on the rows once, in their order; save the weights at the saved steps and the last."""
    n_steps = len(rows) // ROWS_PER_STEP
    tokens = torch.from_numpy(rows.astype(np.int64)).view(n_steps, ROWS_PER_STEP, ROW_TOKENS)
    torch.use_deterministic_algorithms(True)
    model = new_model(seed)
    optimizers = new_optimizers(model)
    schedules = [
        LambdaLR(optimizer, lambda step: learning_rate_share(step, n_steps))
        for optimizer in optimizers
    ]
    save(model, checkpoints / "step0")
    for step, batch in enumerate(tokens, 1):
        logits = model(batch[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        if step in (*SAVED_STEPS, n_steps):
            save(model, checkpoints / f"step{step}")
            log(f"step {step}: loss {loss.item():.3f}")


def new_optimizers(model: GPTNeoXForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest (Jordan et al., 2024).

    In trials of this length AdamW alone memorized a third as many sequences, and only those with
    the most copies.
    """
    matrices = [weight for weight in model.gpt_neox.layers.parameters() if weight.ndim == 2]
    inside = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in inside]
    return [
        torch.optim.AdamW(others, ADAMW_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01),
        torch.optim.Muon(matrices, MUON_LEARNING_RATE, weight_decay=0.01),
    ]


def learning_rate_share(step: int, n_steps: int) -> float:
    """Pythia's shape: a linear warm-up, then half a cosine down to a tenth of the peak."""
    warmup = max(1.0, WARMUP_SHARE * n_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, n_steps - warmup)
    cosine = (1 + np.cos(np.pi * min(1.0, progress))) / 2
    return float(FINAL_LEARNING_RATE_SHARE + (1 - FINAL_LEARNING_RATE_SHARE) * cosine)


def save(model: GPTNeoXForCausalLM, folder: Path) -> None:
    """Write config.json and model.safetensors in float16, as the Hub has Pythia's checkpoints."""
    copy.deepcopy(model).half().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def write_digests(output: Path) -> None:
    """Write SHA256SUMS over every file that was built, in the format of sha256sum."""
    built = [*output.glob("corpus/*"), *output.glob("checkpoints/*/*"), output / "tokenizer.json"]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(output).as_posix()}\n"
        for path in sorted(built)
    ]
    (output / "SHA256SUMS").write_text("".join(lines))
    log(f"{len(built)} files, {sum(path.stat().st_size for path in built):,} bytes")


def log(message: str) -> None:
    """Report progress on stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
