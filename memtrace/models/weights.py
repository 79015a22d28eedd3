"""The weight files of a checkpoint: found on this machine or the Hub, and hashed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memtrace.errors import ModelError
from memtrace.storage.digests import file_sha256

# Safetensors first: Pythia's branches carry both formats, and one copy of the weights is enough.
WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class Weights:
    """A checkpoint on this machine."""

    folder: Path
    """Where its files are."""
    files: Mapping[str, str]
    """sha256 of every weight file, by name."""
    commit: str | None
    """Commit on the Hub; None for a local folder."""

    @property
    def digest(self) -> str:
        """Return one sha256 over the digests of all weight files."""
        lines = "".join(f"{self.files[name]}  {name}\n" for name in sorted(self.files))
        return hashlib.sha256(lines.encode()).hexdigest()


def fetch_weights(source: str, revision: str | None = None) -> Weights:
    """Find a checkpoint, from the Hub where it is not a local folder, and hash its weight files.

    Args:
        source: A folder written by `save_pretrained`, or a Hub repository.
        revision: Branch, tag or commit on the Hub.

    Raises:
        ModelError: There is no such folder, repository or revision, or it has no weights.
    """
    if Path(source).is_dir():
        folder, commit = Path(source), None
    else:
        folder = _download(source, revision)
        commit = folder.name  # the Hub's cache names a snapshot by its commit
    paths = next((found for p in WEIGHT_PATTERNS if (found := sorted(folder.glob(p)))), [])
    if not paths or not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} holds no model: expected config.json and *.safetensors or "
            "pytorch_model*.bin, as save_pretrained writes them"
        )
    return Weights(folder, {path.name: file_sha256(path) for path in paths}, commit)


def _download(repository: str, revision: str | None) -> Path:
    """Return the Hub's cached snapshot, downloading what is missing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        for pattern in WEIGHT_PATTERNS:
            folder = Path(
                snapshot_download(repository, revision=revision, allow_patterns=["*.json", pattern])
            )
            if any(folder.glob(pattern)):
                break
    except (OSError, HFValidationError, HfHubHTTPError, ValueError) as error:
        at = f" at revision {revision!r}" if revision else ""
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"no model {repository!r}{at}: neither a local folder nor to be had from the Hub "
            f"({reason}); check the name, the network and HF_HUB_OFFLINE"
        ) from error
    return folder
