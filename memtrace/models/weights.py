"""The weight files of a checkpoint: found on this machine or the Hub, and hashed."""

import errno
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from memtrace.errors import ModelError, first_line
from memtrace.storage.address import is_repository
from memtrace.storage.digests import file_sha256

# Safetensors first: Pythia's branches carry both formats, and one copy of the weights is enough.
WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
_ADAPTER_PATTERNS = ("adapter_config.json", "adapter_model.*")
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)
_LONGEST_NAME = 120  # characters of a path or name that an error shows


@dataclass(frozen=True)
class Stamp:
    """What changes in the directory when a file is replaced or written to."""

    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """Read it from the file system; links are followed."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True)
class Weights:
    """A checkpoint on this machine."""

    folder: Path
    """Where its files are."""
    files: Mapping[str, str]
    """sha256 of every weight file, by name."""
    commit: str | None
    """Commit on the Hub; None for a local folder."""
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    """Size, time and inode of every weight file, and of the configuration, when it was hashed."""

    @property
    def digest(self) -> str:
        """Return one sha256 over the digests of all weight files."""
        lines = "".join(f"{self.files[name]}  {name}\n" for name in sorted(self.files))
        return hashlib.sha256(lines.encode()).hexdigest()

    def check_unchanged(self) -> None:
        """Refuse files that are no longer those that were hashed.

        Raises:
            ModelError: A weight file or the configuration was written to, replaced or deleted.
        """
        for name, stamp in self.stamps.items():
            try:
                same = Stamp.of(self.folder / name) == stamp
            except OSError:
                same = False
            if not same:
                raise ModelError(
                    f"{self.folder / name} has changed since it was hashed: wait until nothing "
                    "writes there any more, then repeat the command"
                )


def is_local(source: str) -> bool:
    """Return whether a model is a folder of this machine.

    Raises:
        ModelError: The path is too long, or leads through a folder that may not be read.
    """
    try:
        return Path(source).is_dir()
    except OSError as error:
        raise ModelError(f"cannot read {_short(source)}: {error.strerror}") from error


def fetch_weights(source: str, revision: str | None = None) -> Weights:
    """Find a checkpoint, from the Hub where it is not a local folder, and hash its weight files.

    Args:
        source: A folder written by `save_pretrained`, or a Hub repository.
        revision: Branch, tag or commit on the Hub.

    Raises:
        ModelError: There is no such folder, repository or revision; or it has no weights, or some
            that cannot be read, or an adapter.
    """
    local = is_local(source)
    if not local and Path(source).is_file():
        raise ModelError(f"{source} is a file: give the folder that holds it and its config.json")
    if not local and not is_repository(source):
        raise ModelError(
            f"no model {_short(source)!r}: no such folder, and no name of a repository on the Hub "
            "(OWNER/NAME)"
        )
    folder = Path(source) if local else _download(source, revision)
    try:
        paths = _weight_files(folder)
    except OSError as error:
        raise ModelError(f"cannot read {folder}: {error.strerror}") from error
    hashed = {path.name: _hash(path) for path in (*paths, folder / "config.json")}
    return Weights(
        folder,
        files={path.name: hashed[path.name][0] for path in paths},
        commit=None if local else folder.name,  # the Hub's cache names a snapshot by its commit
        stamps={name: stamp for name, (_, stamp) in hashed.items()},
    )


def _weight_files(folder: Path) -> list[Path]:
    """Return the files of the format that is loaded, in order; refuse a folder that is no model."""
    names = sorted(path.name for path in folder.iterdir())  # unlike glob, fails where it cannot
    _refuse_adapter(folder, names)
    found = ([name for name in names if _matches(name, (p,))] for p in WEIGHT_PATTERNS)
    chosen = next((some for some in found if some), [])
    if not chosen or "config.json" not in names:
        raise ModelError(
            f"{folder} holds no model: expected config.json and *.safetensors or "
            "pytorch_model*.bin, as save_pretrained writes them"
        )
    for name in ("config.json", *chosen):
        if not (folder / name).exists():
            raise ModelError(
                f"{folder / name} is a link to a file that is gone: download or copy it again"
            )
    _check_index(folder, chosen)
    return [folder / name for name in chosen]


def _refuse_adapter(folder: Path, names: list[str]) -> None:
    """Refuse what changes the weights of a model, and is not part of them."""
    if adapters := [name for name in names if _matches(name, _ADAPTER_PATTERNS)]:
        raise ModelError(
            f"{folder} holds an adapter ({adapters[0]}), which would not take part: merge it into "
            "the weights (peft: merge_and_unload, then save_pretrained), or move it away to scan "
            "the model without it"
        )


def _check_index(folder: Path, chosen: list[str]) -> None:
    """Refuse an index that names shards which are not there, or lie elsewhere and are not hashed.

    Transformers reads it where there is no single file with all weights.
    """
    single = "model.safetensors" if chosen[0].endswith(".safetensors") else "pytorch_model.bin"
    index = folder / f"{single}.index.json"
    if single in chosen or not index.exists():
        return
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of weight files: {first_line(error)}") from error
    if missing := sorted(shards.difference(chosen)):
        raise ModelError(
            f"{index} names weight files that are not beside it ({', '.join(missing[:3])}"
            f"{', …' if len(missing) > 3 else ''}): download or copy them again"
        )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(Path(name).match(pattern) for pattern in patterns)


def _hash(path: Path) -> tuple[str, Stamp]:
    """Return the sha256 of a file that nobody writes to meanwhile."""
    try:
        stamp = Stamp.of(path)
        digest = file_sha256(path)
        changed = Stamp.of(path) != stamp
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or first_line(error)}") from error
    if changed:
        raise ModelError(f"{path} has changed while it was hashed: wait until it is complete")
    return digest, stamp


def _download(repository: str, revision: str | None) -> Path:
    """Return the Hub's cached snapshot, downloading what is missing."""
    from huggingface_hub import snapshot_download

    at = f" at revision {revision!r}" if revision else ""
    try:
        for pattern in WEIGHT_PATTERNS:
            folder = Path(
                snapshot_download(repository, revision=revision, allow_patterns=["*.json", pattern])
            )
            if any(folder.glob(pattern)):
                break
    except Exception as error:  # the client raises what its transport raises
        if isinstance(error, OSError) and error.errno in _DISK_FAULTS:
            raise ModelError(
                f"cannot store {repository}{at} in the Hub's cache: {error.strerror}"
            ) from error
        raise ModelError(
            f"no model {_short(repository)!r}{at}: neither a local folder nor to be had from the "
            f"Hub ({_short(first_line(error))}); check the name, the network and HF_HUB_OFFLINE"
        ) from error
    return folder


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"
