"""The shape of a model: what its configuration and the heads of its weight files say."""

import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtrace.errors import ModelError, first_line
from memtrace.manifests import ModelManifest
from memtrace.models.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_TYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows


@dataclass(frozen=True)
class Shape:
    """What a manifest says of a model's size."""

    architecture: str
    """Model type of Transformers, such as `gpt_neox`."""
    layers: int
    width: int
    heads: int
    vocab_size: int
    """Rows of the output matrix, padding included."""
    parameters: int
    """Weights that are trained, those that two places share once."""
    dtype: str | None
    """In which most of them are stored; None where the files do not say without being loaded."""

    def contradictions(self, model: ModelManifest) -> list[str]:
        """Return what a manifest says otherwise, `field: its value, not the true one`."""
        return [
            f"{name} {getattr(model, name):,} (the checkpoint has {getattr(self, name):,})"
            for name in ("layers", "width", "heads", "vocab_size", "parameters")
            if getattr(model, name) != getattr(self, name)
        ]


def read_shape(folder: Path) -> Shape:
    """Read the shape of the model in a folder; no weights are loaded.

    Raises:
        ModelError: There is no readable `config.json`, or not of a causal language model.
    """
    path = folder / "config.json"
    try:
        sizes = _sizes(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{folder} holds no model: cannot read {path.name} in it") from error
    except Exception as error:  # Transformers raises whatever its parsers raise
        raise ModelError(f"cannot read {path}: {first_line(error)}") from error
    return Shape(*sizes, dtype=_stored_dtype(folder))


@lru_cache(maxsize=64)  # the checkpoints of a run have the same configuration
def _sizes(content: str) -> tuple[str, int, int, int, int, int]:
    """Return architecture, layers, width, heads, vocabulary and parameters."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    said = json.loads(content)
    with quiet_transformers(), torch.device("meta"):
        config = AutoConfig.for_model(said.pop("model_type"), **said)
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, trust_remote_code=False
        )
    text: PretrainedConfig = config.get_text_config(decoder=True)
    rows = int(model.get_output_embeddings().weight.shape[0])
    sizes = (text.num_hidden_layers, text.hidden_size, text.num_attention_heads)
    return (config.model_type, *map(int, sizes), rows, model.num_parameters())


def _stored_dtype(folder: Path) -> str | None:
    """Return the type of most weights, from the heads of the safetensors files."""
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        for tensor in _tensors(path):
            if tensor.get("dtype") in _TYPES:
                begin, end = tensor["data_offsets"]
                counts[_TYPES[tensor["dtype"]]] += end - begin
    return counts.most_common(1)[0][0] if counts else None


def _tensors(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what a safetensors file says of each tensor: 8 bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, _LONGEST_HEADER)))
        yield from (value for name, value in header.items() if name != "__metadata__")
    except (OSError, ValueError, struct.error, AttributeError) as error:
        raise ModelError(f"cannot read {path}: {first_line(error)}") from error
