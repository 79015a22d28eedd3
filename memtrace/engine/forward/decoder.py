"""Forward passes that compute only what a greedy decision needs, for decoders of our own reading.

A family says where its parts are and how a layer is read (`neox`, `llama`); this runs them. Weights
are in memory once, in the type that they are stored in. Another precision converts them layer by
layer when their turn comes, which is exact where it widens; copies are kept where they are small,
or where the kernels of a CPU read them faster in an order of their own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from memtrace.engine.forward.attention import causal_attention, chosen, described
from memtrace.engine.forward.failures import name_of, named_failures
from memtrace.engine.forward.graphs import LAUNCH_BOUND, CapturedPass
from memtrace.engine.forward.linear import (
    Linear,
    Precision,
    in_parts,
    linear,
    residual_type,
)
from memtrace.engine.forward.parallel import cut, parallel_map
from memtrace.engine.forward.split import Split
from memtrace.engine.forward.token_cache import TokenCache

TOKEN_CACHE_BUDGET = {"cpu": 384 << 20, "cuda": 512 << 20}
"""Bytes that the token cache of the first layer may take, by the type of the device."""
KEPT_SHARE = 1 / 16
"""Of a CUDA device's memory: weights in another type that take no more are kept."""

Heads = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Cache:
    """Keys and values of all layers, each `(layers, n, key heads, positions, head size)`."""

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


class Layer(Protocol):
    """One layer's functions: norms in the residual stream's precision, linear layers in theirs."""

    def project(self, x: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """Queries, keys and values of `(n, c, d)`; and what the attention's result is added to."""
        ...

    def heads(self, packed: Tensor, rotation: Tensor) -> Heads:
        """What `project` gives, apart and rotated: `(n, heads or key heads, c, head size)` each.

        Queries and keys are in the rotation's precision, values as they come.
        """
        ...

    def finish(self, base: Tensor, attended: Tensor) -> Tensor:
        """The hidden states after the layer, in the memory of `base`."""
        ...


@dataclass(frozen=True, slots=True)
class Decoder:
    """Where a model keeps its parts, and how its family reads them."""

    embedding: nn.Module
    layers: Sequence[nn.Module]
    norm: nn.Module
    head: nn.Linear
    rotary: nn.Module
    key_heads: int
    head_size: int
    read_layer: Callable[[nn.Module, Precision], Layer]
    read_norm: Callable[[nn.Module, torch.dtype], Linear]


class DecoderForward:
    """Prompt and continuation passes over one model's weights, in one precision.

    In half precision only the inputs and results of linear layers are rounded: the residual stream,
    the norms, the rotation and the softmax stay in float32.
    """

    def __init__(
        self, model: PreTrainedModel, decoder: Decoder, precision: Precision, positions: int
    ) -> None:
        """Read the weights; no sequence will be longer than `positions` tokens."""
        self.dtype = dtype = torch.float32 if isinstance(precision, Split) else precision
        self.device = model.device
        self.products: Precision = precision
        self.label = str(precision).removeprefix("torch.")
        self.may_overflow = precision != dtype or dtype.itemsize < 4
        self.vocabulary: int = decoder.head.weight.shape[0]
        self.router_tolerance: float | None = None
        self.attention = described(self.device, dtype)
        self.cache_width = 2 * len(decoder.layers) * decoder.key_heads * decoder.head_size
        self._name, self._decoder = name_of(model), decoder
        self._residual = residual_type(precision)
        self._norm = decoder.read_norm(decoder.norm, self._residual)
        self._rotation = _rotation(decoder.rotary, positions, self._residual)
        self._prompt_cache: Cache | None = None
        self._captured: CapturedPass[tuple[Tensor, Cache]] | None = None
        self._layers: list[Layer] | None = None
        if _is_kept(model, decoder.head.weight, precision):
            self._layers = [decoder.read_layer(layer, precision) for layer in decoder.layers]
            self._head = linear(decoder.head, precision)
        self._token_cache = self._first_layer_cache() if dtype.itemsize == 2 else None

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Where the other methods may be called: attention has its back ends.

        What it leaves free is for the next precision.
        """
        try:
            with chosen(self.device):
                yield
        finally:
            self._prompt_cache = None

    def prompt(self, tokens: Tensor, keep: int) -> tuple[Tensor, Cache]:
        """Read `(n, k)` tokens; return the features `(n, keep, d)` of the last ones and a cache.

        The cache is valid until the next prompt, on CUDA until the one after: its memory is used
        again.
        """
        if self._token_cache is not None:
            self._token_cache.learn(tokens)  # so that tiles only read it
        with named_failures(self._name, self.dtype, tokens.shape):
            if self._captured is not None and keep == 1:
                return self._captured(tokens, self._read_prompt)
            return self._read_prompt(tokens, keep)

    def capture(self, sequences: int, tokens: int) -> None:
        """Capture the pass over so many prompts as a CUDA graph, where that can make it faster.

        Args:
            sequences: In a batch; what was captured before is given back.
            tokens: Of a prompt.
        """
        self._captured = None
        products = sum(each.numel() for each in self._decoder.layers[0].parameters())
        launch_bound = 2 * products * sequences * tokens <= LAUNCH_BOUND
        if self.device.type == "cuda" and self._layers is not None and launch_bound:
            self._captured = CapturedPass(sequences)

    @property
    def graph(self) -> str | None:
        """What the record says of the captured pass; None without one."""
        return None if self._captured is None else self._captured.state

    def _read_prompt(self, tokens: Tensor, keep: int = 1) -> tuple[Tensor, Cache]:
        n, k = tokens.shape
        shape = (len(self._decoder.layers), n, self._decoder.key_heads, k, self._decoder.head_size)
        cache = self._prompt_cache
        if cache is None or cache.keys.shape != shape:
            self._prompt_cache = cache = None  # first of all: two of them need not fit
            cache = Cache.empty(shape, self.dtype, self.device)
            if self.device.type != "cuda":  # there torch keeps memory, and two are in use at once
                self._prompt_cache = cache

        def read(tile: slice) -> Tensor:
            return self._run(tokens[tile], cache.view(tile), keep)

        return torch.cat(parallel_map(read, cut(n, k, self.device))), cache

    def extend(self, tokens: Tensor, cache: Cache, rows: Tensor) -> tuple[Tensor, Cache]:
        """Read `(m, c)` more tokens of the cached sequences `rows`: features `(m, c, d)`, cache."""
        c = tokens.shape[1]
        cache = cache.copy(rows, room=c)
        with named_failures(self._name, self.dtype, tokens.shape):
            return self._run(tokens, cache, keep=c), cache

    def logits(self, features: Tensor) -> Tensor:
        """The logits `(r, V)` that follow `(r, d)` features."""
        normed = self._norm(features)
        if self._layers is not None:
            return self._head(normed)
        return in_parts(self._decoder.head, self.products, normed)

    def precise_logits(self, features: Tensor, ids: Tensor) -> Tensor:
        """The logits of a few `(r, m)` token ids, by products in the residual's precision."""
        normed: Tensor = self._norm(features)
        weight: Tensor = self._decoder.head.weight[ids].to(self._residual)
        return (weight * normed[:, None]).sum(2)

    def _run(self, tokens: Tensor, cache: Cache, keep: int) -> Tensor:
        """Fill the cache's last positions; return the hidden states of the last `keep` ones."""
        c, positions = tokens.shape[1], cache.keys.shape[3]
        rotation = self._rotation[:, positions - c : positions]
        x: Tensor = self._decoder.embedding(tokens).to(self._residual)
        for i, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
            layer = self._layer(i)
            kept = keep if i == len(cache.keys) - 1 else c
            if i == 0 and self._token_cache is not None:
                packed, base = self._token_cache(tokens)
                base = base[:, -kept:]
            else:
                packed, base = layer.project(x, kept)
            query, new_keys, new_values = layer.heads(packed, rotation)
            keys[:, :, positions - c :], values[:, :, positions - c :] = new_keys, new_values
            attended = causal_attention(query[:, :, c - kept :], keys, values)
            x = layer.finish(base, attended.transpose(1, 2).flatten(2))
        return x

    def _layer(self, i: int) -> Layer:
        if self._layers is not None:
            return self._layers[i]
        return self._decoder.read_layer(self._decoder.layers[i], self.products)

    def _first_layer_cache(self) -> TokenCache | None:
        """What goes into the first attention, by token, in float32; None if it is too large."""
        precise = self._decoder.read_layer(self._decoder.layers[0], torch.float32)
        # Not self: a circle would keep the weights until it is collected.
        embedding, residual = self._decoder.embedding, self._residual

        def compute(tokens: Tensor) -> tuple[Tensor, ...]:
            x = embedding(tokens)[None].to(residual)
            return tuple(rows[0] for rows in precise.project(x, len(tokens)))

        example = compute(torch.zeros(1, dtype=torch.int64, device=self.device))
        types = [self.dtype, self._residual]
        widths = [rows.shape[1] for rows in example]
        row = sum(w * dtype.itemsize for w, dtype in zip(widths, types, strict=True))
        if self.vocabulary * row > TOKEN_CACHE_BUDGET.get(self.device.type, 0):
            return None
        columns = [
            torch.empty((self.vocabulary, w), dtype=dtype, device=self.device)
            for w, dtype in zip(widths, types, strict=True)
        ]
        return TokenCache(compute, self.vocabulary, columns)


def _is_kept(model: PreTrainedModel, weight: Tensor, precision: Precision) -> bool:
    """Are weights in this type kept, or made when their turn comes?"""
    if precision == weight.dtype or (isinstance(precision, Split) and precision.fits(weight)):
        return True
    dtype = torch.float32 if isinstance(precision, Split) else precision  # two half parts, or one
    if weight.device.type == "cuda":
        size = dtype.itemsize * sum(each.numel() for each in model.parameters())
        total: int = torch.cuda.mem_get_info(weight.device)[1]
        return dtype != torch.float64 and size <= KEPT_SHARE * total
    return dtype.itemsize == 2  # oneDNN multiplies faster by weights in an order of its own


def _rotation(rotary: nn.Module, positions: int, dtype: torch.dtype) -> Tensor:
    """The rotary embedding's cosines and sines `(2, positions, 1, pairs)`, computed in float64."""
    frequencies = rotary.get_buffer("inv_freq").double()
    places = torch.arange(positions, device=frequencies.device).double()
    angles = places[:, None] * frequencies
    scale = float(rotary.attention_scaling)  # type: ignore[arg-type]
    return (scale * torch.stack([angles.cos(), angles.sin()])).to(dtype)[:, :, None]


def rotated(heads: Tensor, rotation: Tensor) -> Tensor:
    """Queries and keys `(n, c, ..., head size)` with their first dimensions rotated.

    Dimensions a and b of a pair, half the rotated ones apart, become a cos - b sin and
    b cos + a sin. What is given is in the rotation's precision.
    """
    cos, sin = rotation
    pairs = cos.shape[-1]
    heads = heads.to(cos.dtype)
    first, second, rest = heads.tensor_split((pairs, 2 * pairs), dim=-1)
    turned = torch.cat([second, first], dim=-1) * torch.cat([-sin, sin], dim=-1)
    turned.addcmul_(heads[..., : 2 * pairs], torch.cat([cos, cos], dim=-1))
    return torch.cat([turned, rest], dim=-1) if rest.shape[-1] else turned
