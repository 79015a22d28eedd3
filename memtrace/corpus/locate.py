"""Find a corpus by the name that a user gives: a manifest's, or a path.

It knows names and places; each format is opened by its own module.
"""

from pathlib import Path

import numpy as np

from memtrace.corpus.arrays import open_array
from memtrace.corpus.megatron import Layout, open_megatron
from memtrace.corpus.rows import Corpus
from memtrace.errors import CorpusError, ManifestError
from memtrace.manifests import CorpusManifest, find_corpus


def open_corpus(
    spec: str, *, manifest: Path | None = None, expected: CorpusManifest | None = None
) -> Corpus:
    """Open a corpus by manifest name, Megatron prefix (with or without `.bin`) or `.npy` file.

    Args:
        spec: Name or path. A name that a manifest has wins; write `./name` to mean the file.
        manifest: A manifest of the user's own to look in besides.
        expected: The corpus of the model's suite: gives the row length where `spec` is a path
            without `.idx`.

    Raises:
        CorpusError: There is nothing of that name, or it cannot be read.
    """
    try:
        _, named = find_corpus(spec, manifest=manifest)
    except ManifestError as unknown:
        path = Path(spec)
        if path.suffix == ".npy" and path.is_file():
            return open_array(path)
        prefix = path.with_suffix("") if path.suffix in (".bin", ".idx") else path
        if not any(prefix.parent.glob(f"{_escape(prefix.name)}*.bin")):
            raise CorpusError(f"no corpus {spec!r}: no such file, and {unknown}") from None
        without_index = not Path(f"{prefix}.idx").is_file()
        return open_megatron(
            prefix, layout=_layout(expected) if expected and without_index else None
        )
    return open_named(named)


def open_named(manifest: CorpusManifest) -> Corpus:
    """Open the corpus that a manifest describes.

    Raises:
        CorpusError: Its files are not on this machine or do not fit the manifest.
    """
    files = manifest.local_files
    if files is None:
        raise CorpusError(
            f"corpus {manifest.name} is not on this machine: download it "
            f"(hf download --repo-type dataset {manifest.hub} --local-dir DIR) "
            f"and pass --corpus DIR/{_prefix(manifest.files)}"
        )
    prefix = files[0].parent / _prefix(files[0].name)
    return open_megatron(prefix, layout=_layout(manifest), name=manifest.name)


def _layout(manifest: CorpusManifest) -> Layout:
    dtype = np.dtype(manifest.dtype).newbyteorder("<")
    return Layout(manifest.row_tokens, dtype, manifest.rows)


def _prefix(file_name: str) -> str:
    """Return `document` for `document-{shard:05d}-of-00020.bin` and for `document.bin`."""
    return file_name.removesuffix(".bin").split("-{shard")[0].split("-00000-of-")[0]


def _escape(name: str) -> str:
    """Return `name` so that glob takes it literally."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
