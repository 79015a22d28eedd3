"""Corpus files for tests, and the fixtures that trainers' own code made."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from conftest import write_index

from memtrace.corpus import Corpus, open_corpus

Rows = npt.NDArray[np.integer]
ORDERS = Path(__file__).parent / "data_orders"

# What a user writes for each folder.
FILES: dict[str, dict[str, Any]] = {
    "neox": {
        "layout": "gpt-neox",
        "tokens": ["corpus_text_document"],
        "index_maps": ["corpus_text_document_train_indexmap_*"],
        "row_tokens": 33,
    },
    "neox-overflow": {
        "layout": "gpt-neox",
        "tokens": ["corpus_text_document"],
        "index_maps": ["corpus_text_document_train_indexmap_*"],
        "row_tokens": 33,
        "samples": 120,
        "micro_batch": 4,
    },
    "polypythias": {
        "layout": "gpt-neox",
        "tokens": ["pile_20B_tokenizer_text_document"],
        "index_maps": ["seed0/*"],
        "row_tokens": 33,
    },
    "megatron-core": {
        "layout": "megatron-core",
        "tokens": ["corpus_text_document"],
        "index_maps": ["cache"],
        "row_tokens": 33,
    },
    "megatron-core-blend": {
        "layout": "megatron-core",
        "tokens": ["a_text_document", "b_text_document"],
        "weights": [3, 7],
        "index_maps": ["cache"],
        "row_tokens": 33,
    },
    "olmo": {
        "layout": "olmo",
        "tokens": ["part-0-00000.npy", "part-1-00000.npy"],
        "index_maps": ["epoch0/global_indices.npy", "epoch1/global_indices.npy"],
        "dtype": "uint16",
        "row_tokens": 32,
        "sequences_per_step": 8,
    },
    "nanotron": {
        "layout": "nanotron",
        "tokens": ["a", "b"],
        "weights": [0.7, 0.3],
        "dtype": "uint32",
        "row_tokens": 33,
        "seed": 1234,
        "samples": 520,
    },
}
FILES["megatron-core-final-epoch"] = FILES["megatron-core"]
FILES["megatron-core-no-extra"] = {**FILES["megatron-core"], "row_tokens": 32}


def write_corpus_file(folder: Path, **content: Any) -> str:
    """Write a corpus file into a folder and return its path."""
    path = folder / "my-run.yaml"
    path.write_text(yaml.safe_dump({"corpus": "my-run", **content}))
    return str(path)


def copied(name: str, folder: Path) -> Path:
    """Copy a fixture to a folder of its own, where a test may change it."""
    return Path(shutil.copytree(ORDERS / name, folder / name))


def opened(name: str, folder: Path, **changes: Any) -> Corpus:
    """Open a copied fixture by a corpus file; a change to None leaves a key out."""
    content = {k: v for k, v in {**FILES[name], **changes}.items() if v is not None}
    return open_corpus(write_corpus_file(folder, **content))


def write_neox(folder: Path, vocabulary: int, length: int = 64, seed: int = 0) -> Rows:
    """Write documents, GPT-NeoX's maps and a corpus file; return the rows, by the formula alone."""
    rng = np.random.default_rng(seed)
    documents = [rng.integers(1, vocabulary, n).astype("<u2") for n in rng.integers(1, 300, 90)]
    write_index(folder / "d.idx", [len(document) for document in documents], 2)
    np.concatenate(documents).tofile(folder / "d.bin")
    order = rng.permutation(np.repeat(np.arange(90), 2))
    tokens = np.concatenate([documents[i] for i in order])
    samples = (len(tokens) - 1) // length
    ends = np.cumsum([len(documents[i]) for i in order])
    begins = np.arange(samples + 1) * length
    entry = np.searchsorted(ends, begins, side="right")
    shuffle = rng.permutation(samples)
    np.save(folder / "m_doc_idx.npy", order.astype(np.int32))
    places = np.column_stack((entry, begins - np.r_[0, ends][entry]))
    np.save(folder / "m_sample_idx.npy", places.astype(np.int32))
    np.save(folder / "m_shuffle_idx.npy", shuffle.astype(np.uint32))
    return tokens[shuffle[:-1, None] * length + np.arange(length + 1)]


def expected(name: str, file: str = "expected.npy") -> Rows:
    """Return the rows that the trainer's code gave."""
    rows: Rows = np.load(ORDERS / name / file)
    return rows
