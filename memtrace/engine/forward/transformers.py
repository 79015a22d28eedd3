"""Any causal language model, through Transformers: its own forward pass and its own cache.

Its "features" are the logits themselves: where a model's trunk ends and its head begins is not the
same for all.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from memtrace.engine.forward.attention import chosen, described
from memtrace.engine.forward.failures import name_of, named_failures
from memtrace.engine.forward.float64 import Float64Mode
from memtrace.engine.forward.linear import Precision
from memtrace.engine.forward.parallel import cut, parallel_map
from memtrace.engine.forward.routers import RouterWatch
from memtrace.errors import ModelError
from memtrace.models.probe import can_select


def vocabulary(model: PreTrainedModel) -> int:
    """How many token ids a model can read."""
    return next(model.get_input_embeddings().parameters()).shape[0]


def _cache_width(model: PreTrainedModel) -> int:
    """Keys and values of all layers, of one token; heads may share them."""
    config: Any = model.config.get_text_config()
    heads = config.num_attention_heads if hasattr(config, "num_attention_heads") else 1
    size = getattr(config, "head_dim", None) or config.hidden_size // (heads or 1)
    shared = getattr(config, "num_key_value_heads", None) or heads
    return 2 * int(config.num_hidden_layers) * int(shared) * int(size)


def _attention(model: PreTrainedModel, dtype: torch.dtype) -> str:
    """What computes attention: `sdpa: math`, or the model's own code."""
    implementation = str(model.config._attn_implementation or "eager")
    if implementation != "sdpa":
        return implementation
    return f"{implementation}: {described(model.device, dtype)}"


@dataclass(frozen=True, slots=True)
class Read:
    """Sequences read so far."""

    tokens: Tensor
    """`(n, t)`."""
    cache: DynamicCache | None
    """None where the model has no cache whose sequences can be selected."""
    routes_undecided: Tensor
    """`(n,)`: rounding may have sent one of their tokens to another expert."""


def _joined(caches: list[DynamicCache | None]) -> DynamicCache | None:
    """One cache of all sequences; the others are emptied layer by layer."""
    kept = [cache for cache in caches if cache is not None]
    if len(kept) < len(caches):
        return None
    for same in zip(*(cache.layers for cache in kept), strict=True):
        layers: list[Any] = list(same)
        if layers[0].keys is not None:
            layers[0].keys = torch.cat([layer.keys for layer in layers])
            layers[0].values = torch.cat([layer.values for layer in layers])
        for layer in layers[1:]:
            layer.reset()
    return kept[0]


class GenericForward:
    """Prompt and continuation passes over one model's weights, in one precision.

    Half precision is autocast: products in `dtype`, the residual stream and the norms in float32.
    For float64 the model itself is converted and back, which loses nothing: its parameters are
    float32 numbers.

    With a router tolerance the logits that follow a close choice of experts are zeros: all equal,
    so that no decision on them is certain.
    """

    def __init__(
        self, model: PreTrainedModel, dtype: torch.dtype, router_tolerance: float | None = None
    ) -> None:
        """Share the model, which is in float32.

        Args:
            model: Any causal language model of Transformers.
            dtype: The precision of this pass.
            router_tolerance: Gaps of a router, as a share of its largest number, that rounding may
                have closed; None for a model without routers, and where it does not matter.
        """
        self.dtype, self.device = dtype, model.device
        self.products: Precision = dtype
        self.label = str(dtype).removeprefix("torch.")
        self.may_overflow = dtype.itemsize < 4
        self.vocabulary = vocabulary(model)
        self.cache_width = _cache_width(model)
        self.router_tolerance = router_tolerance
        self.attention = _attention(model, dtype)
        self.graph: str | None = None
        self._model, self._name = model, name_of(model)
        self._cache_works = True

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Bring the model into this precision, and back."""
        with ExitStack() as stack:
            stack.enter_context(chosen(self.device))
            if self.dtype == torch.float64:
                stack.enter_context(self._in_float64())
            elif self.dtype != torch.float32:
                stack.enter_context(self._casts_kept())
                stack.enter_context(torch.autocast(self.device.type, self.dtype))
            yield

    @contextmanager
    def _casts_kept(self) -> Iterator[None]:
        """Autocast keeps the casts of weights that need a gradient; of others it makes new ones."""
        frozen = [
            each for each in self._model.parameters() if each.ndim > 1 and not each.requires_grad
        ]
        try:
            for weight in frozen:
                weight.requires_grad_(True)
            yield
        finally:
            for weight in frozen:
                weight.requires_grad_(False)

    @contextmanager
    def _in_float64(self) -> Iterator[None]:
        """Parameters in float64, constants that the code makes too, and experts that can be."""
        default = torch.get_default_dtype()
        experts = self._model.get_experts_implementation()
        try:
            with named_failures(self._name, self.dtype):
                self._convert(torch.float64)
                # The grouped products that it takes otherwise have no float64.
                self._model.set_experts_implementation("eager")
            torch.set_default_dtype(torch.float64)  # XGLM's mask overflows in float32
            with Float64Mode():  # type: ignore[no-untyped-call]
                yield
        finally:
            torch.set_default_dtype(default)
            self._convert(torch.float32)  # also what a failure left half converted
            self._model.set_experts_implementation(experts)

    def _convert(self, dtype: torch.dtype) -> None:
        # Converted in inference mode, the caller's parameters could not be trained any more.
        with torch.inference_mode(False), torch.no_grad():
            nn.Module.to(self._model, dtype)

    def router_gaps(self, tokens: Tensor) -> Tensor | None:
        """How close the routers' choices for `(n, t)` tokens are; None without routers.

        Returns:
            The smallest gap for each token `(n, t)`, as a share of the router's largest number.
        """
        watch = RouterWatch(tokens)
        with watch, named_failures(self._name, self.dtype, tokens.shape):
            self._model(tokens, logits_to_keep=1, use_cache=False)
        return watch.gaps if watch.routes else None

    def prompt(self, tokens: Tensor, keep: int) -> tuple[Tensor, Read]:
        """Read `(n, k)` tokens; return the logits `(n, keep, V)` after the last ones, a cache."""
        nobody = torch.zeros(len(tokens), dtype=torch.bool, device=self.device)
        if self._cache_works:
            try:
                return self._from_start(tokens, nobody, keep, use_cache=True)
            except ModelError:  # BART's decoder counts the layers of its encoder
                self._cache_works = False
        return self._from_start(tokens, nobody, keep, use_cache=False)

    def extend(self, tokens: Tensor, cache: Read, rows: Tensor) -> tuple[Tensor, Read]:
        """Read `(m, c)` more tokens of the sequences `rows`; return logits `(m, c, V)` and cache.

        A model without a cache whose sequences can be selected reads them again from the start.
        """
        whole = torch.cat([cache.tokens[rows], tokens], dim=1)
        undecided = cache.routes_undecided[rows]
        if cache.cache is None:
            return self._from_start(whole, undecided, tokens.shape[1], use_cache=False)
        layers: list[Any] = cache.cache.layers
        for layer in layers:  # each on the device that it is computed on
            if layer.keys is not None:
                layer.batch_select_indices(rows.to(layer.keys.device))
        read = Read(whole, cache.cache, undecided)
        return self._run(read, tokens, tokens.shape[1], use_cache=True, past_key_values=cache.cache)

    def logits(self, features: Tensor) -> Tensor:
        """The logits of `(r, V)` features: themselves."""
        return features

    def precise_logits(self, features: Tensor, ids: Tensor) -> Tensor:
        """The logits of `(r, m)` token ids: those there are, in float32."""
        return features.gather(1, ids).float()

    def _from_start(
        self, tokens: Tensor, undecided: Tensor, keep: int, *, use_cache: bool
    ) -> tuple[Tensor, Read]:
        """Read whole sequences, in tiles: on a CPU one core for each."""

        def read(tile: slice) -> tuple[Tensor, Read]:
            some = Read(tokens[tile], None, undecided[tile])
            return self._run(some, some.tokens, keep, use_cache=use_cache)

        parts = parallel_map(read, cut(len(tokens), tokens.shape[1], self.device))
        if len(parts) == 1:
            return parts[0]
        reads = [part for _, part in parts]
        routes = torch.cat([each.routes_undecided for each in reads])
        cache = _joined([each.cache for each in reads])
        return torch.cat([logits for logits, _ in parts]), Read(tokens, cache, routes)

    def _run(self, read: Read, tokens: Tensor, keep: int, **options: Any) -> tuple[Tensor, Read]:
        """Read tokens, of sequences of which earlier ones may be in the cache."""
        watch = RouterWatch(tokens)
        with ExitStack() as stack:
            stack.enter_context(named_failures(self._name, self.dtype, tokens.shape))
            if self.dtype.itemsize == 2:  # in inference mode autocast keeps no casts
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.no_grad())
            if self.router_tolerance is not None:
                stack.enter_context(watch)
            output = self._model(tokens, logits_to_keep=keep, **options)
        logits, routes_undecided = output.logits[:, -keep:], read.routes_undecided
        if self.router_tolerance is not None:
            close = (watch.gaps <= self.router_tolerance).cumsum(1) > 0
            close |= read.routes_undecided[:, None]
            logits = logits.masked_fill(close[:, -keep:, None], 0.0)
            routes_undecided = close[:, -1]
        cache = output.get("past_key_values")
        kept = cache if can_select(cache) else None
        return logits, Read(read.tokens, kept, routes_undecided)
