"""Find the index maps of a corpus among the files that trainers write.

GPT-NeoX writes `PREFIX_train_0_indexmap_147164160ns_2048sl_1234s_{doc,sample,shuffle}_idx.npy`,
Megatron-core `MD5-GPTDataset-train-{document,sample,shuffle}_index.npy` with a `description.txt`.
The name of the latter is not computed again, but found by what the description says.
"""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from memtrace.corpus.array_file import npy_map
from memtrace.corpus.documents import open_documents
from memtrace.corpus.index_maps import IndexMaps
from memtrace.corpus.map_checks import check_maps
from memtrace.errors import CorpusError
from memtrace.storage.documents import read_document
from memtrace.storage.problems import read_problem

_NEOX = ("_doc_idx.npy", "_sample_idx.npy", "_shuffle_idx.npy")
_MEGATRON = ("-document_index.npy", "-sample_index.npy", "-shuffle_index.npy")
_DESCRIPTION = re.compile(r"(.*?)(-description\.txt|\.dsc)")


def neox_maps(prefix: Path, pattern: Path, row_tokens: int) -> IndexMaps:
    """Open the maps of GPT-NeoX that a pattern names, such as `cache/*_train_0_indexmap_*`.

    Raises:
        CorpusError: The pattern names no maps or those of several runs, or they do not fit.
    """
    stem = _one_stem(pattern)
    length = re.search(r"_(\d+)sl_", stem.name)
    if length and int(length[1]) != row_tokens - 1:
        raise CorpusError(
            f"{stem.name} is of rows of {length[1]} tokens and the last label: give row_tokens: "
            f"{int(length[1]) + 1}, not {row_tokens}, or name other index_maps"
        )
    if "_unpackedpi" in stem.name:
        raise CorpusError(f"{stem.name} has one document a row (unpacked), which is not read")
    return _opened(prefix, stem, _NEOX, row_tokens, shared=1, reached=-1)


def _one_stem(pattern: Path) -> Path:
    """Return what the names of the three maps have in common."""
    folder = pattern.parent
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    named = [name for name in names if fnmatch(name, f"{pattern.name}*")]
    found = {n.removesuffix(end) for n in named for end in _NEOX if n.endswith(end)}
    if len(found) == 1:
        return folder / found.pop()
    if not found:
        raise CorpusError(
            f"no index maps {pattern}: their names end in {', '.join(_NEOX)}; check index_maps"
        )
    raise CorpusError(
        f"{pattern} names the maps of several runs or splits: {', '.join(sorted(found))}; "
        "write index_maps so that it names one"
    )


def _opened(
    prefix: Path, stem: Path, ends: tuple[str, ...], row_tokens: int, shared: int, reached: int = 0
) -> IndexMaps:
    paths = [stem.with_name(stem.name + end) for end in ends]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise CorpusError(f"the maps {stem} lack {', '.join(missing)}: put them beside the others")
    document_map, sample_map, shuffle_map = map(npy_map, paths, (1, 2, 1))
    maps = IndexMaps(
        documents=open_documents(prefix),
        document_map=document_map,
        sample_map=sample_map,
        shuffle_map=shuffle_map,
        row_tokens=row_tokens,
        shared_tokens=shared,
        rows=len(shuffle_map) + reached,
        whole_documents="pack_until_overflow" in stem.name,
    )
    check_maps(maps)
    return maps


@dataclass(frozen=True)
class Description:
    """What Megatron-core wrote beside the maps of a data set."""

    stem: Path
    """Path of the maps without the ends of their names."""
    content: dict[str, Any]

    @property
    def prefix(self) -> str:
        """Return the corpus, as the trainer was given it."""
        return str(self.content.get("dataset_path") or self.content.get("path_prefix") or "")

    @property
    def is_training(self) -> bool:
        """Return whether it is of the training split."""
        said = self.content.get("index_split") or self.content.get("split") or ""
        return "train" in (str(said).rpartition(".")[2].lower(), *self.stem.name.split("-"))


def read_descriptions(folder: Path, kind: str) -> list[Description]:
    """Return the descriptions of training data of a class of Megatron-core in a folder.

    Raises:
        CorpusError: There is no such folder, or a description cannot be read.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder of index maps: check index_maps")
    found = []
    for path in sorted(folder.iterdir()):
        if match := _DESCRIPTION.fullmatch(path.name):
            content = _read_description(path)
            if content.get("class", "GPTDataset") == kind:
                found.append(Description(folder / match[1], content))
    return [description for description in found if description.is_training]


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_document(path))
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error
    except ValueError as error:
        raise CorpusError(f"{path} is no description of a data set: {error}") from error
    if not isinstance(content, dict):
        raise CorpusError(f"{path} is no description of a data set, but {type(content).__name__}")
    return content


def megatron_maps(
    prefix: Path, folder: Path, row_tokens: int, num_samples: int | None = None
) -> IndexMaps:
    """Open the maps of Megatron-core in a folder that are of a corpus.

    Args:
        prefix: The corpus.
        folder: Where the maps and their descriptions are.
        row_tokens: The sequence length, and the extra token where the trainer added one.
        num_samples: Of a blend: how many samples it asked of this corpus.

    Raises:
        CorpusError: There are no such maps, those of several runs, or they do not fit.
    """
    described = read_descriptions(folder, "GPTDataset")
    own = [d for d in described if Path(d.prefix).name == prefix.name]
    if num_samples is not None:
        own = [d for d in own if d.content.get("num_samples") == num_samples] or own
    if len(own) != 1:
        names = ", ".join(f"{d.stem.name} ({d.content.get('num_samples')} samples)" for d in own)
        raise CorpusError(
            f"{folder} has {len(own)} descriptions of training maps of {prefix.name}"
            + (f": {names}; keep one of them there, with its maps" if own else _others(described))
        )
    length = own[0].content.get("sequence_length")
    if not isinstance(length, int) or row_tokens - length not in (0, 1):
        raise CorpusError(
            f"the description of {own[0].stem} has sequence_length {length}: row_tokens is that "
            f"and 1 token more, or that alone where add_extra_token_to_sequence was false, not "
            f"{row_tokens}"
        )
    ends = _MEGATRON if Path(f"{own[0].stem}{_MEGATRON[0]}").is_file() else _NEOX
    return _opened(prefix, own[0].stem, ends, row_tokens, shared=row_tokens - length)


def _others(described: list[Description]) -> str:
    others = sorted({Path(d.prefix).name for d in described})
    return f"; it has those of {', '.join(others) or 'none'}: check tokens and index_maps"
