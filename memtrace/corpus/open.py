"""Find a corpus by the name that a user gives: a manifest's, a path or an address."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.corpus_file import CORPUS_FILES, open_corpus_file
from memtrace.corpus.megatron import Layout, assemble, open_megatron
from memtrace.corpus.npy import open_array
from memtrace.corpus.parquet import is_table, parquet_rows
from memtrace.corpus.prefix_pack import is_pack, open_pack
from memtrace.corpus.recognize import recognize
from memtrace.corpus.remote import WEB, RemotePart, remote_files
from memtrace.errors import CorpusError, ManifestError
from memtrace.manifests import CorpusManifest, find_corpus
from memtrace.storage.address import public_address
from memtrace.storage.problems import read_problem


def open_corpus(
    spec: str | Path, *, manifest: str | Path | None = None, expected: CorpusManifest | None = None
) -> Corpus:
    """Open a corpus by name, path or address.

    Args:
        spec: A name from a manifest; a Megatron prefix (with or without `.bin`), local or with a
            protocol (`hf://datasets/OWNER/NAME/document`, `https://…`, `s3://…`); a prefix pack; a
            `.npy` file; a Parquet file or folder with a column of token ids; a corpus file (YAML).
            A name that a manifest has wins; write `./name` to mean the file.
        manifest: A manifest of the user's own to look in besides.
        expected: The corpus of the model's suite: gives the row length where `spec` is a path
            without `.idx`.

    Raises:
        CorpusError: There is nothing of that name, or it cannot be read.
    """
    spec = str(spec)
    try:
        _, named = find_corpus(spec, manifest=manifest)
    except ManifestError as unknown:
        if "://" in spec:
            return _open_remote(spec, expected)
        return _open_path(Path(spec), Path(_without_ending(spec)), expected, unknown)
    return open_named(named)


def open_named(manifest: CorpusManifest) -> Corpus:
    """Open the corpus that a manifest describes, from the Hub by byte ranges if it lies there.

    Raises:
        CorpusError: Its files cannot be had or do not fit the manifest.
    """
    layout, files = _layout(manifest), manifest.local_files
    if files is not None and len(files) == 1 and (opened := _open_single(files[0])):
        return _fitting(opened, manifest)
    if files is not None:
        prefix = files[0].parent / _prefix(files[0].name)
        return open_megatron(prefix, layout=layout, name=manifest.name)
    try:
        found = published_files(manifest)
    except CorpusError as error:
        raise CorpusError(
            f"corpus {manifest.name} is not on this machine, and the Hub cannot be read ({error}): "
            f"`memtrace corpus fetch {manifest.name}` where there is a network, or download it all "
            f"(hf download --repo-type dataset {manifest.hub} --local-dir DIR), then pass "
            f"--corpus DIR/{_prefix(manifest.files)}"
        ) from error
    return assemble(manifest.name, found, _prefix(manifest.files), layout=layout)


def _open_single(path: Path) -> Corpus | None:
    """Open a corpus of one file or folder that tells its layout itself; None for token files."""
    if path.suffix == ".npy" and path.is_file():
        return open_array(path)
    if path.suffix in CORPUS_FILES and path.is_file():
        return open_corpus_file(path)
    if is_pack(path):
        return open_pack(path)
    return Corpus(str(path), parquet_rows([path])) if is_table(path) else None


def _fitting(opened: Corpus, manifest: CorpusManifest) -> Corpus:
    """Return a corpus under the manifest's name, if it is what that says."""
    found = Layout(opened.row_tokens, opened.dtype, len(opened))
    if found != _layout(manifest):
        raise CorpusError(
            f"{manifest.files} describes {found}, but the manifest says {_layout(manifest)}: "
            "mend one of them"
        )
    return replace(opened, name=manifest.name)


def published_files(manifest: CorpusManifest) -> dict[str, RemotePart]:
    """Return the files of a corpus as the Hub has them, by name.

    Raises:
        CorpusError: It is not on the Hub, or the Hub cannot be reached.
    """
    if manifest.hub is None:
        raise CorpusError(f"corpus {manifest.name} is not on the Hub, but in {manifest.path}")
    return remote_files(f"hf://datasets/{manifest.hub}/{_prefix(manifest.files)}")


def _open_path(
    path: Path, prefix: Path, expected: CorpusManifest | None, unknown: ManifestError
) -> Corpus:
    try:
        if single := _open_single(path):
            return single
        if foreign := _foreign(path, prefix, expected):
            raise foreign
        if not any(prefix.parent.glob(f"{_escape(prefix.name)}*.bin")):
            raise CorpusError(f"no corpus {str(path)!r}: no such file, and {unknown}")
        without_index = not Path(f"{prefix}.idx").is_file()
        layout = _layout(expected) if expected and without_index else None
        return open_megatron(prefix, layout=layout)
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error


def _foreign(path: Path, prefix: Path, expected: CorpusManifest | None) -> CorpusError | None:
    """Return what a path is that is there and no prefix of token files whose rows are known."""
    single, index = Path(f"{prefix}.bin"), Path(f"{prefix}.idx")
    if single.is_file():
        return None if index.is_file() or expected else recognize(single)
    sharded = any(prefix.parent.glob(f"{_escape(prefix.name)}-*-of-*.bin"))
    return None if sharded else recognize(index if index.is_file() else path)


def _open_remote(spec: str, expected: CorpusManifest | None) -> Corpus:
    # The query of a signed address belongs to each of its files.
    address, mark, query = spec.partition("?") if spec.startswith(WEB) else (spec, "", "")
    prefix, shown = _without_ending(address), public_address(spec)
    files, name = remote_files(prefix + mark + query), prefix.rpartition("/")[2]
    if not files:
        raise CorpusError(
            f"no corpus {shown!r}: there is no file {name}.bin or {name}-#####….bin there"
        )
    without_index = f"{name}.idx" not in files
    return assemble(
        shown, files, name, layout=_layout(expected) if expected and without_index else None
    )


def _layout(manifest: CorpusManifest) -> Layout:
    dtype = np.dtype(manifest.dtype).newbyteorder("<")
    return Layout(manifest.row_tokens, dtype, manifest.rows)


def _without_ending(spec: str) -> str:
    return spec[:-4] if spec.endswith((".bin", ".idx")) else spec


def _prefix(file_name: str) -> str:
    """Return `document` for `document-{shard:05d}-of-00020.bin` and for `document.bin`."""
    return file_name.removesuffix(".bin").split("-{shard")[0].split("-00000-of-")[0]


def _escape(name: str) -> str:
    """Return `name` so that glob takes it literally."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
