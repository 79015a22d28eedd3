"""A forward pass of GPT-NeoX that computes only what a greedy decision needs.

It shares the weights of the Transformers model.
"""

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own abbreviation)
from torch import Tensor, nn
from transformers import GPTNeoXForCausalLM
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXLayer

from memtrace.engine.forward.failures import name_of, named_failures
from memtrace.engine.forward.linear import Linear, linear
from memtrace.engine.forward.parallel import cut, parallel_map
from memtrace.engine.forward.token_cache import TokenCache

TOKEN_CACHE_BUDGET = 512 << 20
"""Bytes that the token cache of the first layer may take."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Keys and values of all layers, each `(layers, n, heads, positions, head size)`."""

    keys: Tensor
    values: Tensor

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> "Cache":
        """Memory that is not yet filled."""
        keys, values = torch.empty((2, *shape), dtype=dtype, device=device)
        return cls(keys, values)

    def view(self, rows: slice) -> "Cache":
        """Some of the sequences, in place."""
        return Cache(self.keys[:, rows], self.values[:, rows])

    def copy(self, rows: Tensor, room: int) -> "Cache":
        """Some of the sequences, with room for more positions."""
        layers, _, heads, positions, size = self.keys.shape
        shape = (layers, len(rows), heads, positions + room, size)
        copied = Cache.empty(shape, self.keys.dtype, self.keys.device)
        for i in range(layers):  # one after the other: an index copies before it is copied
            copied.keys[i, :, :, :positions] = self.keys[i, rows]
            copied.values[i, :, :, :positions] = self.values[i, rows]
        return copied


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's functions: norms in the residual stream's precision, linear layers in theirs."""

    attention_norm: nn.Module
    mlp_norm: nn.Module
    qkv: Linear
    """To `(..., heads, q/k/v, head size)`, flattened."""
    dense: Linear
    up: Linear
    """With the activation."""
    down: Linear

    @classmethod
    def of(cls, layer: GPTNeoXLayer, dtype: torch.dtype) -> "Layer":
        """Read a layer of Transformers, for linear layers in `dtype`."""
        return cls(
            attention_norm=_norm(layer.input_layernorm, dtype),
            mlp_norm=_norm(layer.post_attention_layernorm, dtype),
            qkv=linear(layer.attention.query_key_value, dtype),
            dense=linear(layer.attention.dense, dtype),
            up=linear(layer.mlp.dense_h_to_4h, dtype, layer.mlp.act),
            down=linear(layer.mlp.dense_4h_to_h, dtype),
        )


class NeoXForward:
    """Prompt and continuation passes over one model's weights, in one precision.

    In half precision only the inputs and results of linear layers are rounded: the residual stream,
    the norms, the rotation and the softmax stay in float32. In float64 every weight is converted
    when its turn comes, and not kept.
    """

    def __init__(self, model: GPTNeoXForCausalLM, dtype: torch.dtype, positions: int) -> None:
        """Read the weights; no sequence will be longer than `positions` tokens."""
        config, trunk = model.config, model.gpt_neox
        self.dtype, self.device, self.vocabulary = dtype, model.device, config.vocab_size
        self.router_tolerance: float | None = None
        self._name = name_of(model)
        self._residual = torch.promote_types(dtype, torch.float32)
        self._parallel = config.use_parallel_residual
        self._heads = (config.num_attention_heads, config.hidden_size // config.num_attention_heads)
        self._embedding, self._head = trunk.embed_in, model.lm_head
        self._norm = _norm(trunk.final_layer_norm, dtype)
        self._rotation = _rotation(model, positions, self._residual)
        self._sources = [layer for layer in trunk.layers if isinstance(layer, GPTNeoXLayer)]
        self._prompt_cache: Cache | None = None
        if dtype != torch.float64:
            self._layers = [Layer.of(layer, dtype) for layer in self._sources]
            self._head_linear = linear(model.lm_head, dtype)
        self._token_cache = self._first_layer_cache() if dtype.itemsize == 2 else None

    def precision(self) -> AbstractContextManager[None]:
        """Nothing to prepare."""
        return nullcontext()

    def prompt(self, tokens: Tensor, keep: int) -> tuple[Tensor, Cache]:
        """Read `(n, k)` tokens; return the features `(n, keep, d)` of the last ones and a cache.

        The cache is valid until the next prompt: its memory is used again.
        """
        n, k = tokens.shape
        shape = (len(self._sources), n, self._heads[0], k, self._heads[1])
        if self._prompt_cache is None or self._prompt_cache.keys.shape != shape:
            self._prompt_cache = None  # first of all: two of them need not fit
            self._prompt_cache = Cache.empty(shape, self.dtype, self.device)
        cache = self._prompt_cache
        if self._token_cache is not None:
            self._token_cache.learn(tokens)  # so that tiles only read it

        def read(tile: slice) -> Tensor:
            return self._run(tokens[tile], cache.view(tile), keep)

        with named_failures(self._name, self.dtype, tokens.shape):
            features = parallel_map(read, cut(n, k, self.device))
        return torch.cat(features), cache

    def extend(self, tokens: Tensor, cache: Cache, rows: Tensor) -> tuple[Tensor, Cache]:
        """Read `(m, c)` more tokens of the cached sequences `rows`: features `(m, c, d)`, cache."""
        c = tokens.shape[1]
        cache = cache.copy(rows, room=c)
        with named_failures(self._name, self.dtype, tokens.shape):
            return self._run(tokens, cache, keep=c), cache

    def logits(self, features: Tensor) -> Tensor:
        """The logits `(r, V)` that follow `(r, d)` features."""
        if self.dtype == torch.float64:
            return linear(self._head, self.dtype)(self._norm(features))
        return self._head_linear(self._norm(features))

    def precise_logits(self, features: Tensor, ids: Tensor) -> Tensor:
        """The logits of a few `(r, m)` token ids, by products in the residual's precision."""
        normed: Tensor = self._norm(features)
        weight: Tensor = self._head.weight[ids]
        return (weight * normed[:, None]).sum(2)

    def _run(self, tokens: Tensor, cache: Cache, keep: int) -> Tensor:
        """Fill the cache's last positions; return the hidden states of the last `keep` ones."""
        x: Tensor = self._embedding(tokens).to(self._residual)
        for i, source in enumerate(self._sources):
            layer = Layer.of(source, self.dtype) if self.dtype == torch.float64 else self._layers[i]
            kept = keep if i == len(self._sources) - 1 else tokens.shape[1]
            if i == 0 and self._token_cache is not None:
                qkv, x = self._token_cache(tokens)
                x = x[:, -kept:]
            else:
                qkv, x = self._before_attention(layer, x, kept)
            x = x + layer.dense(self._attend(qkv, cache.keys[i], cache.values[i], kept))
            if not self._parallel:
                x = x + layer.down(layer.up(layer.mlp_norm(x)))
        return x

    def _first_layer_cache(self) -> TokenCache | None:
        """What goes into the first attention, by token, in float32; None if it is too large."""
        width = self._embedding.weight.shape[1]
        if (
            self.vocabulary * width * (3 * self.dtype.itemsize + self._residual.itemsize)
            > TOKEN_CACHE_BUDGET
        ):
            return None
        precise = Layer.of(self._sources[0], torch.float32)

        def compute(tokens: Tensor) -> tuple[Tensor, ...]:
            rows = self._before_attention(precise, self._embedding(tokens)[None], kept=len(tokens))
            return tuple(row[0] for row in rows)

        columns = [
            torch.empty((self.vocabulary, 3 * width), dtype=self.dtype, device=self.device),
            torch.empty((self.vocabulary, width), dtype=self._residual, device=self.device),
        ]
        return TokenCache(compute, self.vocabulary, columns)

    def _before_attention(self, layer: Layer, x: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """Queries, keys and values of `(n, c, d)`; and what the attention's result is added to."""
        qkv = layer.qkv(layer.attention_norm(x))
        x = x[:, -kept:]
        if self._parallel:
            x = x + layer.down(layer.up(layer.mlp_norm(x)))
        return qkv, x

    def _attend(self, qkv: Tensor, keys: Tensor, values: Tensor, kept: int) -> Tensor:
        """Add to a layer's cache; attend from the last `kept` positions to all; `(n, kept, d)`."""
        c, positions = qkv.shape[1], keys.shape[2]
        qkv = qkv.view(len(qkv), c, self._heads[0], 3, self._heads[1])
        _rotate(qkv[..., :2, :], self._rotation[positions - c : positions])
        query, key, value = (part.transpose(1, 2) for part in qkv.unbind(3))
        keys[:, :, positions - c :], values[:, :, positions - c :] = key, value
        return _attention(query[:, :, c - kept :], keys, values).transpose(1, 2).flatten(2)


def _norm(norm: nn.LayerNorm, dtype: torch.dtype) -> nn.Module:
    """The norm itself, or in float64 a copy."""
    return copy.deepcopy(norm).double() if dtype == torch.float64 else norm


def _rotation(model: GPTNeoXForCausalLM, positions: int, dtype: torch.dtype) -> Tensor:
    """The rotary embedding as complex factors `(positions, 1, 1, pairs)`.

    Rotating a pair (a, b) by an angle is multiplying a + ib by cos + i sin.
    """
    places = torch.arange(positions, device=model.device)[None]
    cos, sin = model.gpt_neox.rotary_emb(torch.zeros((), device=model.device), places)
    pairs = cos.shape[-1] // 2
    factors = torch.complex(cos[0, :, :pairs].to(dtype), sin[0, :, :pairs].to(dtype))
    return factors[:, None, None]


def _rotate(heads: Tensor, rotation: Tensor) -> None:
    """Rotate in place the first dimensions of `(n, c, heads, 2, head size)` queries and keys."""
    pairs, real = rotation.shape[-1], rotation.real.dtype
    first, second = heads[..., :pairs], heads[..., pairs : 2 * pairs]
    turned = torch.complex(first.to(real), second.to(real)) * rotation
    first.copy_(turned.real)
    second.copy_(turned.imag)


def _attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention from the last positions; all are `(n, heads, positions, head size)`."""
    c, positions = query.shape[2], keys.shape[2]
    seen = None
    if c > 1:
        seen = torch.ones(c, positions, dtype=torch.bool, device=query.device).tril(positions - c)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=seen)
