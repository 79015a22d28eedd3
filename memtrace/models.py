"""Load a causal language model at a revision: its files, their digests, its device.

It knows folders and the Hub; it does not know suites, steps or what the model is asked.
"""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memtrace.digests import file_sha256
from memtrace.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

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


def choose_device(device: str) -> "torch.device":
    """Return the device for `auto`, `cpu` or `cuda` (or `cuda:N`).

    Raises:
        ModelError: CUDA was asked for and is not there.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError("device cuda asked for, but torch sees no CUDA device; use --device cpu")
    return torch.device(device)


def visible_devices(device: str) -> list[str]:
    """Return the devices to use for `auto`, `cpu` or `cuda`: every GPU, or the CPU.

    Raises:
        ModelError: CUDA was asked for and is not there.
    """
    import torch

    if choose_device(device).type == "cpu":
        return ["cpu"]
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def describe_device(device: "torch.device") -> str:
    """Return the device's name for the record."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def load_model(weights: Weights, device: "torch.device") -> "PreTrainedModel":
    """Load a causal LM in float32, the type of the canonical answer, ready for inference.

    Half-precision weights are widened exactly.

    Raises:
        ModelError: The files are not a causal LM that Transformers can load.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    # Transformers draws a progress bar for each load; ours is the only one that a scan shows.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            weights.folder,
            dtype=torch.float32,
            local_files_only=True,
            weights_only=True,
            trust_remote_code=False,  # nor ask, which a batch job could not answer
        )
    except (
        Exception
    ) as error:  # Transformers raises whatever its parsers raise; the user needs one line
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"cannot load the model in {weights.folder}: {reason}") from error
    # Through the base class: Transformers' own overrides are not typed.
    module: torch.nn.Module = model
    module.to(device).eval().requires_grad_(False)
    return model
