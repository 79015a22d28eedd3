"""Any causal language model, through Transformers: its own forward pass and its own cache.

Its "features" are the logits themselves: where a model's trunk ends
and its head begins is not the same for all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


def vocabulary(model: PreTrainedModel) -> int:
    """How many token ids a model can read."""
    return next(model.get_input_embeddings().parameters()).shape[0]


class GenericForward:
    """Prompt and continuation passes over one model's weights, in one precision.

    Half precision is autocast: products in `dtype`, the residual stream and the norms in float32.
    For float64 the model itself is converted and back, which loses nothing: its parameters are
    float32 numbers.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        """Share the model, which is in float32."""
        self.dtype, self.device = dtype, model.device
        self.vocabulary = vocabulary(model)
        self._model = model

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Bring the model into this precision, and back."""
        if self.dtype == torch.float64:
            self._convert(torch.float64)
            try:
                yield
            finally:
                self._convert(torch.float32)
        elif self.dtype == torch.float32:
            yield
        else:
            with torch.autocast(self.device.type, self.dtype):
                yield

    def _convert(self, dtype: torch.dtype) -> None:
        # Converted in inference mode, the caller's parameters could not be trained any more.
        with torch.inference_mode(False), torch.no_grad():
            nn.Module.to(self._model, dtype)

    def prompt(self, tokens: Tensor, keep: int) -> tuple[Tensor, Any]:
        """Read `(n, k)` tokens; return the logits `(n, keep, V)` after the last ones, a cache."""
        logits, cache = self._run(tokens, keep, use_cache=True)
        selectable = isinstance(cache, DynamicCache) and all(
            type(layer) is DynamicLayer for layer in cache.layers
        )
        return logits, cache if selectable else tokens

    def extend(self, tokens: Tensor, cache: Any, rows: Tensor) -> tuple[Tensor, Any]:
        """Read `(m, c)` more tokens of the sequences `rows`; return logits `(m, c, V)` and cache.

        A model without a cache whose sequences can be selected reads them again from the start.
        """
        keep = tokens.shape[1]
        if isinstance(cache, Tensor):
            tokens = torch.cat([cache[rows], tokens], dim=1)
            return self._run(tokens, keep, use_cache=False)[0], tokens
        cache.batch_select_indices(rows)
        return self._run(tokens, keep, use_cache=True, past_key_values=cache)

    def logits(self, features: Tensor) -> Tensor:
        """The logits of `(r, V)` features: themselves."""
        return features

    def precise_logits(self, features: Tensor, ids: Tensor) -> Tensor:
        """The logits of `(r, m)` token ids: those there are, in float32."""
        return features.gather(1, ids).float()

    def _run(self, tokens: Tensor, keep: int, **options: Any) -> tuple[Tensor, Any]:
        output = self._model(tokens, logits_to_keep=keep, **options)
        return output.logits[:, -keep:], output.get("past_key_values")
