"""Llama and its relatives: RMSNorm, rotary, keys shared by groups of heads, SwiGLU.

Mistral and SmolLM are Llamas; Qwen2 has biases; Qwen3 norms each head of queries and keys; OLMo 2
norms all of them together, and norms what a block gives in place of what it reads.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own abbreviation)
from torch import Tensor
from transformers import (
    LlamaForCausalLM,
    MistralForCausalLM,
    Olmo2ForCausalLM,
    PreTrainedModel,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from memtrace.engine.forward.decoder import Decoder, Heads, rotated
from memtrace.engine.forward.linear import (
    Linear,
    Precision,
    gated,
    linear,
    residual_type,
    side_by_side,
)

LLAMAS: tuple[type, ...] = (
    LlamaForCausalLM,
    MistralForCausalLM,
    Olmo2ForCausalLM,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)


@dataclass(frozen=True, slots=True)
class LlamaLayer:
    """One layer's functions; a norm that a family does not have is the identity."""

    query_heads: int
    key_heads: int
    head_size: int
    qkv: Linear
    """All heads of queries, then keys, then values."""
    output: Linear
    mlp: Linear
    before_attention: Linear
    after_attention: Linear
    before_mlp: Linear
    after_mlp: Linear
    query_norm: Linear | None
    key_norm: Linear | None
    norms_whole: bool
    """Queries and keys are normed over all heads together."""

    def project(self, x: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """Queries, keys and values of `(n, c, d)`; and what the attention's result is added to."""
        return self.qkv(self.before_attention(x)), x[:, -kept:]

    def heads(self, packed: Tensor, rotation: Tensor) -> Heads:
        """What `project` gives, apart and rotated."""
        heads = packed.view(*packed.shape[:2], -1, self.head_size)
        turning = heads[..., : self.query_heads + self.key_heads, :]
        if self.query_norm is not None:
            turning = self._normed(turning, rotation.dtype)
        query, key = self._parts(rotated(turning, rotation))
        value = heads[..., -self.key_heads :, :]
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    def finish(self, base: Tensor, attended: Tensor) -> Tensor:
        """The hidden states after the layer."""
        x = base.add_(self.after_attention(self.output(attended)))
        return x.add_(self.after_mlp(self.mlp(self.before_mlp(x))))

    def _normed(self, heads: Tensor, precision: torch.dtype) -> Tensor:
        """Normed queries and keys, `(n, c, heads, head size)`, in the residual's precision."""
        parts = self._parts(heads.to(precision))
        norms = (self.query_norm, self.key_norm)
        return torch.cat([self._norm(n, x) for n, x in zip(norms, parts, strict=True)], dim=2)

    def _parts(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        return heads[:, :, : self.query_heads], heads[:, :, self.query_heads :]

    def _norm(self, norm: Linear | None, heads: Tensor) -> Tensor:
        assert norm is not None
        if self.norms_whole:
            return norm(heads.flatten(2)).view(heads.shape)
        return norm(heads)


def llama_decoder(model: PreTrainedModel) -> Decoder:
    """Where one of these models keeps its parts."""
    config: Any = model.config
    trunk: Any = model.model
    head: Any = model.lm_head
    size = trunk.layers[0].self_attn.head_dim

    def read_layer(layer: Any, dtype: Precision) -> LlamaLayer:
        residual = residual_type(dtype)
        attention, mlp = layer.self_attn, layer.mlp

        def norm(module: Any) -> Linear:
            return _read_norm(module, residual)

        post_norm = hasattr(layer, "post_feedforward_layernorm")
        after = layer.post_attention_layernorm
        has_norms = hasattr(attention, "q_norm")
        return LlamaLayer(
            query_heads=config.num_attention_heads,
            key_heads=config.num_key_value_heads,
            head_size=size,
            qkv=side_by_side([attention.q_proj, attention.k_proj, attention.v_proj], dtype),
            output=linear(attention.o_proj, dtype),
            mlp=gated(mlp.gate_proj, mlp.up_proj, mlp.down_proj, mlp.act_fn, dtype),
            before_attention=_same if post_norm else norm(layer.input_layernorm),
            after_attention=_widened(norm(after), residual) if post_norm else _same,
            before_mlp=_same if post_norm else norm(after),
            after_mlp=(
                _widened(norm(layer.post_feedforward_layernorm), residual) if post_norm else _same
            ),
            query_norm=norm(attention.q_norm) if has_norms else None,
            key_norm=norm(attention.k_norm) if has_norms else None,
            norms_whole=post_norm,
        )

    return Decoder(
        embedding=trunk.embed_tokens,
        layers=list(trunk.layers),
        norm=trunk.norm,
        head=head,
        rotary=trunk.rotary_emb,
        key_heads=config.num_key_value_heads,
        head_size=size,
        read_layer=read_layer,
        read_norm=_read_norm,
    )


def _read_norm(norm: Any, dtype: torch.dtype) -> Linear:
    weight = norm.weight.detach().to(dtype)
    return lambda x: F.rms_norm(x, weight.shape, weight, norm.variance_epsilon)


def _widened(norm: Linear, dtype: torch.dtype) -> Linear:
    """A norm of what a linear layer gives, in the residual's precision."""
    return lambda x: norm(x.to(dtype))


def _same(x: Tensor) -> Tensor:
    return x
