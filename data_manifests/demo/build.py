"""Build the demo suite from nothing: corpora, tokenizer and every checkpoint of small GPT-NeoX.

It knows nothing of memtrace: whether a sequence ends up memorized is left to training.

    python data_manifests/demo/build.py --output DIR [--steps 3072] [--seed 1]

The text is the standard library of the Python that runs this, and the language reference that comes
with it, so another Python version gives another corpus. The rest follows from the seed and, in the
last bits of the weights, from the processor.
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
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.utils.logging import disable_progress_bar

Rows = NDArray[np.unsignedinteger]
Int64Array = NDArray[np.int64]

ROWS_PER_STEP = 16
ROW_TOKENS = 65  # 64 inputs and the last label, as Pythia's 2049 = 2048 + 1
SEQUENCE_TOKENS = ROW_TOKENS - 1
PROMPT_TOKENS = 32  # of a sequence; the other half is its continuation
VOCABULARY = 257
END_OF_TEXT = "<|endoftext|>"  # token 0, as in Pythia's vocabulary; the others are the bytes
SAVED_STEPS = (0, 1, 64, 256, 512, 768, 1024, 1536, 2048, 2560, 3072)
FEW_STEPS = (512, 1024, 1536, 2048, 3072)  # of the models beside the first, to save space

CHARACTERS_PER_ROW = 256  # four times what a row holds: copies and ends are dropped

REPEATED_SHARE = 0.6
COPIES = (2, 160)  # of a repeated text; the density of c copies falls as c ** -0.8
COPIES_POWER = 0.2
CONTEXT_TOKENS = 5
PREDICTABLE = (0.02, 0.3)  # the quantiles between which the sources of repeated texts lie
LEAST_KINDS = 8  # different tokens in a continuation, so that none is a mere ruler

ROWS_PER_FAMILY = 4096  # one family of near-copies for so many rows
FAMILY_TEXTS = (4, 8)
FAMILY_COPIES = (5, 15)  # of each text of a family
LEAD_TOKENS = 16  # in which the texts of a family differ

ADAMW_LEARNING_RATE = 5e-3
MUON_LEARNING_RATE = 1.5e-2
FINAL_LEARNING_RATE_SHARE = 0.1
WARMUP_SHARE = 0.02


@dataclass(frozen=True)
class Shape:
    """The size of a model, its corpus, and the steps that are saved in checkpoints/`name`."""

    name: str
    layers: int
    width: int
    heads: int
    corpus: str = "demo"
    steps: tuple[int, ...] = FEW_STEPS


MODELS = (
    Shape("demo", layers=2, width=128, heads=4, steps=SAVED_STEPS),
    Shape("demo-small", layers=2, width=96, heads=3),
    Shape("demo-deduped", layers=2, width=128, heads=4, corpus="demo-deduped"),
)

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
    """Write the suite with `steps` optimizer steps, hence 16 * `steps` rows, below `output`."""
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(stdlib() / "LICENSE.txt", output / "LICENSE.python.txt")
    documents = list(read_documents(ROWS_PER_STEP * steps * CHARACTERS_PER_ROW))
    log(f"{len(documents)} documents, {sum(map(len, documents)):,} characters")
    tokenizer = new_tokenizer()
    tokenizer.save(str(output / "tokenizer.json"))
    rng = np.random.default_rng(seed)
    rows = arrange(cut(documents, tokenizer), ROWS_PER_STEP * steps, rng)
    corpora = {"demo": rows, "demo-deduped": deduplicated(rows, rng)}
    for name, ordered in corpora.items():
        write_megatron(output / "corpus" / name, ordered)
    for shape in MODELS:
        train(corpora[shape.corpus], shape, output / "checkpoints" / shape.name, seed)
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


def new_tokenizer() -> Tokenizer:
    """A byte-level BPE without merges: the end of text and the 256 bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([END_OF_TEXT, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens([END_OF_TEXT])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
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
    """Draw the rows of the corpus and their order: texts that occur once, and repeated ones.

    The whole corpus is shuffled: every copy lies at a uniformly random position.

    Returns:
        (n_rows, 65) token ids in training order.
    """
    members = draw_families(n_rows // ROWS_PER_FAMILY, rng)
    family_copies = rng.integers(*FAMILY_COPIES, len(members), endpoint=True)
    plain_copies = draw_copies(round(REPEATED_SHARE * n_rows) - family_copies.sum(), rng)
    copies = np.concatenate([plain_copies, family_copies])
    n_single, n_plain = n_rows - copies.sum(), len(plain_copies)

    sources = rng.permutation(np.flatnonzero(is_repeatable(distinct)))
    sources = sources[: n_plain + n_rows // ROWS_PER_FAMILY]
    others = rng.permutation(np.setdiff1d(np.arange(len(distinct)), sources))
    single, leads = np.split(others[: n_single + len(members)], [n_single])
    if len(leads) < len(members) or len(single) < n_single:
        raise SystemExit(f"{n_rows:,} rows need more text than {len(distinct):,} distinct rows")

    variants = distinct[sources[n_plain:]][members]
    variants[:, :LEAD_TOKENS] = distinct[leads, :LEAD_TOKENS]
    repeated = np.concatenate([distinct[sources[:n_plain]], variants])
    return rng.permutation(np.concatenate([distinct[single], repeated.repeat(copies, axis=0)]))


def deduplicated(rows: Rows, rng: np.random.Generator) -> Rows:
    """Keep one row of each text, and go over them until there are as many rows as before.

    All passes are shuffled together, as GPT-NeoX shuffles the epochs of a run.

    Returns:
        (n_rows, 65) token ids in training order, in the smallest type that holds all of them.
    """
    _, first = np.unique(rows[:, :SEQUENCE_TOKENS], axis=0, return_index=True)
    passes = np.resize(rng.permutation(rows[first]), rows.shape)
    return rng.permutation(passes).astype(np.min_scalar_type(rows.max()))


def draw_families(n: int, rng: np.random.Generator) -> Int64Array:
    """Draw how many texts each family has; return the family of each text."""
    return np.arange(n).repeat(rng.integers(*FAMILY_TEXTS, n, endpoint=True))


def draw_copies(n_rows: int, rng: np.random.Generator) -> Int64Array:
    """Draw numbers of copies, as many as fit into `n_rows`, by inversion of their distribution."""
    low, high = np.array(COPIES) ** COPIES_POWER
    copies = (low + (high - low) * rng.random(n_rows)) ** (1 / COPIES_POWER)
    copies = copies.astype(np.int64)
    return copies[copies.cumsum() <= n_rows]


def is_repeatable(rows: Rows) -> NDArray[np.bool_]:
    """Say which rows may be repeated: rather predictable ones, as boilerplate is, but no rulers."""
    bits = surprise(rows)
    low, high = np.quantile(bits, PREDICTABLE)
    continuations = np.sort(rows[:, PROMPT_TOKENS:SEQUENCE_TOKENS], axis=1)
    kinds = 1 + (np.diff(continuations, axis=1) > 0).sum(axis=1)
    return (low <= bits) & (bits <= high) & (kinds >= LEAST_KINDS)


def surprise(rows: Rows) -> NDArray[np.float64]:
    """Mean bits of a token of each continuation, by its counts after up to five tokens elsewhere.

    Each count leaves the token itself out. A context's counts are smoothed with two pseudo-counts
    from the context that is one token shorter (blending: Bell, Cleary and Witten, 1990).
    """
    tokens = rows.astype(np.int64)
    here = tokens[:, PROMPT_TOKENS:SEQUENCE_TOKENS]
    context = np.zeros_like(here)
    probability = np.full(here.shape, 1 / VOCABULARY)
    for n in range(CONTEXT_TOKENS + 1):
        together, alone = elsewhere(context * VOCABULARY + here), elsewhere(context)
        probability = (together + 2 * probability) / (alone + 2)
        before = tokens[:, PROMPT_TOKENS - n - 1 : SEQUENCE_TOKENS - n - 1]
        context = before * VOCABULARY**n + context
    surprises: NDArray[np.float64] = -np.log2(probability).mean(axis=1)
    return surprises


def elsewhere(codes: Int64Array) -> Int64Array:
    """Count, for each place, the other places with the same code."""
    _, number, counts = np.unique(codes, return_inverse=True, return_counts=True)
    return counts[number].reshape(codes.shape) - 1


def write_megatron(prefix: Path, rows: Rows) -> None:
    """Write `prefix`.bin and `prefix`.idx (Megatron's MMIDIDX, version 1), as one document."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    n, length = rows.shape
    code = {"uint8": 1, "uint16": 8}[rows.dtype.name]
    prefix.with_suffix(".bin").write_bytes(rows.astype(rows.dtype.newbyteorder("<")).tobytes())
    with prefix.with_suffix(".idx").open("wb") as index:
        index.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, n, 2))
        index.write(np.full(n, length, "<i4").tobytes())
        index.write((np.arange(n, dtype="<i8") * length * rows.itemsize).tobytes())
        index.write(np.array([0, n], "<i8").tobytes())


def new_model(shape: Shape, seed: int) -> GPTNeoXForCausalLM:
    """A GPT-NeoX of Pythia's kind, but with rotary position embeddings over all of each head."""
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        max_position_embeddings=SEQUENCE_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.05,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(config)


def train(rows: Rows, shape: Shape, checkpoints: Path, seed: int) -> None:
    """Train on the rows once, in their order; save the weights at the saved steps and the last."""
    n_steps = len(rows) // ROWS_PER_STEP
    tokens = torch.from_numpy(rows.astype(np.int64)).view(n_steps, ROWS_PER_STEP, ROW_TOKENS)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)  # the last bits of a sum depend on how it is cut
    model = new_model(shape, seed)
    optimizers = new_optimizers(model)
    schedules = [
        LambdaLR(optimizer, lambda step: learning_rate_share(step, n_steps))
        for optimizer in optimizers
    ]
    if 0 in shape.steps:
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
        if step in (*shape.steps, n_steps):
            save(model, checkpoints / f"step{step}")
            log(f"{shape.name} step {step}: loss {loss.item():.3f}")


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
    built = [*output.glob("corpus/*"), *output.glob("checkpoints/*/*/*"), output / "tokenizer.json"]
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
