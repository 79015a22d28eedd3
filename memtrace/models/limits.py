"""What a model's configuration allows: how many tokens it reads at once, and which token ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memtrace.errors import ModelError, first_line
from memtrace.models.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Model types of Transformers that look positions up in a table of fixed size. Rotary, ALiBi and
# recurrent models read on beyond the length they were trained on.
_TABLE = frozenset(
    {
        "bart",
        "bert",
        "bert-generation",
        "big_bird",
        "bigbird_pegasus",
        "biogpt",
        "blenderbot",
        "blenderbot-small",
        "codegen",
        "ctrl",
        "electra",
        "ernie",
        "git",
        "gpt-sw3",
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "gptj",
        "marian",
        "mbart",
        "megatron-bert",
        "mvp",
        "openai-gpt",
        "opt",
        "pegasus",
        "plbart",
        "prophetnet",
        "rembert",
        "roc_bert",
        "roformer",
        "trocr",
        "xlm",
    }
)
# Their table begins with rows for padding: positions count from `pad_token_id + 1`.
_TABLE_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
_OTHER_NAMES = {"mpt": "max_seq_len", "whisper": "max_target_positions"}


@dataclass(frozen=True)
class ModelLimits:
    """What a model can read; None where its configuration sets no limit."""

    positions: int | None
    """Most tokens that it reads at once."""
    vocabulary: int | None
    """Number of token ids; the largest one is one less."""

    def check_length(self, tokens: int) -> None:
        """Refuse sequences that are longer than the model's table of positions.

        The last token of a sequence needs no position: it is decided, not read.

        Raises:
            ModelError: `tokens - 1` is more than `positions`.
        """
        if self.positions is not None and tokens - 1 > self.positions:
            raise ModelError(
                f"sequences of {tokens} tokens take {tokens - 1} positions, and this model has "
                f"{self.positions} positions: choose shorter sequences, or a model that reads more"
            )


def read_limits(folder: Path) -> ModelLimits:
    """Read the limits from the `config.json` in a model's folder; no weights are loaded.

    A folder without that file sets no limits.

    Raises:
        ModelError: The file cannot be read, or is of a model type that Transformers does not know.
    """
    from transformers import AutoConfig

    try:
        if not (folder / "config.json").is_file():
            return ModelLimits(None, None)
        with quiet_transformers():
            config = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        text = config.get_text_config(decoder=True)
    except Exception as error:  # Transformers raises whatever its parsers raise
        raise ModelError(f"cannot read {folder / 'config.json'}: {first_line(error)}") from error
    return ModelLimits(_positions(text), getattr(text, "vocab_size", None))


def read_config(folder: Path) -> "PretrainedConfig":
    """Read the configuration of a model, as Transformers does.

    Raises:
        ModelError: It cannot be read, or is of a model type that Transformers does not know.
    """
    from transformers import AutoConfig

    try:
        with quiet_transformers():
            config: PretrainedConfig = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # Transformers raises whatever its parsers raise
        raise ModelError(f"cannot read {folder / 'config.json'}: {first_line(error)}") from error
    return config


def _positions(config: "PretrainedConfig") -> int | None:
    kind = config.model_type
    if kind in _OTHER_NAMES:
        return int(getattr(config, _OTHER_NAMES[kind]))
    if kind in _TABLE:
        return int(config.max_position_embeddings)
    if kind in _TABLE_AFTER_PADDING:
        return int(config.max_position_embeddings) - int(config.pad_token_id or 0) - 1
    return None
