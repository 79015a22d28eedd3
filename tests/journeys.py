"""What three users have when they come: made in an empty folder, small and in seconds."""

import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import torch
from conftest import write_index
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

DOCS = Path(__file__).parents[1] / "docs"
LENGTH, BATCH, STEPS = 64, 16, (0, 20, 40, 60)
WORDS = [f"w{i}" for i in range(90)]


def run_page(name, memtrace_cli):
    """Execute the blocks of a page in order, in the working directory; return what is printed.

    A YAML block is written to the file that its first line names.
    """
    page = (DOCS / name).read_text(encoding="utf-8")
    session, printed = ModuleType("session").__dict__, {}
    for kind, block in re.findall(r"```(bash|python|yaml)\n(.*?)```", page, re.DOTALL):
        if kind == "yaml":
            Path(block.partition("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")
        elif kind == "python":
            exec(block, session)
        else:
            for line in block.replace("\\\n", " ").splitlines():
                done = memtrace_cli(*shlex.split(line, comments=True)[1:])
                assert done.exit_code == 0, f"{line}: {done.output}"
                printed[line.split(" #")[0].strip()] = done.stdout
    return session, printed


def small_model(vocabulary):
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPTNeoXForCausalLM(config)


def train(model, batches, keep=lambda step: None):
    """Take a step of Adam for each batch of rows; `keep` is called with the steps that are done."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    keep(0)
    for step, rows in enumerate(batches, start=1):
        batch = torch.from_numpy(rows.astype(np.int64))
        optimizer.zero_grad()
        model(batch, labels=batch).loss.backward()
        optimizer.step()
        keep(step)


def write_student():
    """A run of GPT-NeoX: raw documents, its three maps, and four checkpoints.

    Every document has as many tokens as a row, and half of them are one text.
    """
    rng = np.random.default_rng(0)
    documents = rng.integers(1, 90, (STEPS[-1] * BATCH + 20, LENGTH)).astype("<u2")
    documents[::2] = documents[0]
    Path("data").mkdir()
    write_index(Path("data/text_document.idx"), [LENGTH] * len(documents), 2)
    documents.tofile("data/text_document.bin")
    order, samples = rng.permutation(len(documents)), len(documents) - 1
    shuffle = rng.permutation(samples)
    stem = f"data/text_document_train_0_indexmap_{samples}ns_{LENGTH}sl_0s"
    np.save(f"{stem}_doc_idx.npy", order.astype(np.int32))
    places = np.column_stack((np.arange(samples + 1), np.zeros(samples + 1)))
    np.save(f"{stem}_sample_idx.npy", places.astype(np.int32))
    np.save(f"{stem}_shuffle_idx.npy", shuffle.astype(np.uint32))
    stream = documents[order].ravel()
    rows = stream[shuffle[:, None] * LENGTH + np.arange(LENGTH + 1)]
    model = small_model(96)

    def keep(step):
        if step in STEPS:
            model.save_pretrained(f"ckpt/step{step}")

    train(model, rows[: STEPS[-1] * BATCH].reshape(STEPS[-1], BATCH, LENGTH + 1), keep)
    return rows


def write_auditor():
    """A model that remembers one sentence, its tokenizer, and a file of pages with it."""
    rng = np.random.default_rng(0)
    vocabulary = {"<|endoftext|>": 0, "[UNK]": 91, **{word: i + 1 for i, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    secret = rng.choice(WORDS, 80)
    model = small_model(96)
    row = np.array([tokenizer.encode(" ".join(secret)).ids])
    train(model, [row] * 40)
    model.save_pretrained("model")
    tokenizer.save("model/tokenizer.json")
    pages = [" ".join(rng.choice(WORDS, 100)) for _ in range(12)]
    pages[7] = " ".join([*rng.choice(WORDS, 32), *secret, *rng.choice(WORDS, 20)])
    Path("pages.jsonl").write_text("".join(json.dumps({"text": page}) + "\n" for page in pages))
    return " ".join(secret)


def write_statistician():
    """The indices of 400 events in 100,000 sequences, whose rate rises."""
    rng = np.random.default_rng(5)
    indices = np.unique((100_000 * rng.random(400) ** 0.8).astype(int))
    pl.DataFrame({"index": rng.permutation(indices)}).write_parquet("indices.parquet")
