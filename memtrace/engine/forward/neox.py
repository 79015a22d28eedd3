"""GPT-NeoX, and with it Pythia: parallel or sequential residual, LayerNorm, partial rotary."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own abbreviation)
from torch import Tensor
from transformers import GPTNeoXForCausalLM

from memtrace.engine.forward.decoder import Decoder, DecoderForward, Heads, rotated
from memtrace.engine.forward.linear import Linear, Precision, linear, residual_type


@dataclass(frozen=True, slots=True)
class NeoXLayer:
    """One layer's functions."""

    head_size: int
    parallel: bool
    attention_norm: Linear
    mlp_norm: Linear
    qkv: Linear
    """To `(..., heads, q/k/v, head size)`, flattened."""
    dense: Linear
    up: Linear
    """With the activation."""
    down: Linear

    def project(self, x: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """Queries, keys and values of `(n, c, d)`; and what the attention's result is added to."""
        packed = self.qkv(self.attention_norm(x))
        x = x[:, -kept:]
        if self.parallel:
            x = x + self.down(self.up(self.mlp_norm(x)))
        return packed, x

    def heads(self, packed: Tensor, rotation: Tensor) -> Heads:
        """What `project` gives, apart and rotated."""
        heads = packed.view(*packed.shape[:2], -1, 3, self.head_size)
        turned = rotated(heads[..., :2, :], rotation[:, :, None])
        query, key = (part.transpose(1, 2) for part in turned.unbind(3))
        return query, key, heads[..., 2, :].transpose(1, 2)

    def finish(self, base: Tensor, attended: Tensor) -> Tensor:
        """The hidden states after the layer."""
        x = base.add_(self.dense(attended))
        if not self.parallel:
            x.add_(self.down(self.up(self.mlp_norm(x))))
        return x


def neox_decoder(model: GPTNeoXForCausalLM) -> Decoder:
    """Where a GPT-NeoX keeps its parts."""
    config, trunk = model.config, model.gpt_neox
    head_size = config.hidden_size // config.num_attention_heads

    def read_layer(layer: Any, dtype: Precision) -> NeoXLayer:
        residual = residual_type(dtype)
        return NeoXLayer(
            head_size=head_size,
            parallel=config.use_parallel_residual,
            attention_norm=_read_norm(layer.input_layernorm, residual),
            mlp_norm=_read_norm(layer.post_attention_layernorm, residual),
            qkv=linear(layer.attention.query_key_value, dtype),
            dense=linear(layer.attention.dense, dtype),
            up=linear(layer.mlp.dense_h_to_4h, dtype, layer.mlp.act),
            down=linear(layer.mlp.dense_4h_to_h, dtype),
        )

    return Decoder(
        embedding=trunk.embed_in,
        layers=list(trunk.layers),
        norm=trunk.final_layer_norm,
        head=model.lm_head,
        rotary=trunk.rotary_emb,
        key_heads=config.num_attention_heads,
        head_size=head_size,
        read_layer=read_layer,
        read_norm=_read_norm,
    )


def neox_forward(model: GPTNeoXForCausalLM, dtype: torch.dtype, positions: int) -> DecoderForward:
    """A GPT-NeoX in one precision, for sequences of at most so many tokens."""
    return DecoderForward(model, neox_decoder(model), dtype, positions)


def _read_norm(norm: Any, dtype: torch.dtype) -> Linear:
    weight, bias = (each.detach().to(dtype) for each in (norm.weight, norm.bias))
    return lambda x: F.layer_norm(x, weight.shape, weight, bias, norm.eps)
