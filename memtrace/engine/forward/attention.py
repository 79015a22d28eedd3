"""Attention: causal, on CUDA by back ends of torch that are chosen here.

Which kernel torch takes by itself depends on its version, the device and the shapes. Left out is
cuDNN: it prepares a plan for every shape, and shapes change with every batch of survivors. Of the
others the type decides, because a kernel refuses types that it does not have.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own abbreviation)
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 128
"""Positions up to which a CPU computes bfloat16 attention by its definition."""

NAMES = {
    SDPBackend.FLASH_ATTENTION: "flash",
    SDPBackend.EFFICIENT_ATTENTION: "efficient",
    SDPBackend.MATH: "math",
}


def backends(device: torch.device, dtype: torch.dtype) -> list[SDPBackend]:
    """The back ends that compute a type, the first that can is taken.

    On CUDA flash has half precision only, and no masks but the causal one; the memory-efficient
    kernel has masks, and float32 too. Float64 is the definition itself: two products and a softmax.
    """
    if device.type == "cpu":
        return [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    if dtype == torch.float64:
        return [SDPBackend.MATH]
    if dtype == torch.float32:
        return [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@contextmanager
def chosen(device: torch.device) -> Iterator[None]:
    """While it is entered, no other back ends are taken, and a CUDA device is the current one.

    Torch's switch for it is one for the whole process; a CPU, where threads may be at work on
    several models, has no others anyway. Where another device is current, CuPy goes back to that
    one after each launch, which takes some hundred megabytes of it.
    """
    if device.type == "cpu":
        yield
        return
    with torch.cuda.device(device), sdpa_kernel(list(NAMES)):
        yield


def described(device: torch.device, dtype: torch.dtype) -> str:
    """The back ends for the record: `flash, efficient, math`."""
    return ", ".join(NAMES[each] for each in backends(device, dtype))


def causal_attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention from the last positions; all are `(n, heads, positions, head size)`.

    Query heads that share keys follow each other: together they are one head with more queries.
    Queries may be more precise than keys and values, whose type the result has.
    """
    n, heads, c, size = query.shape
    groups, positions = keys.shape[1:3]
    share = heads // groups
    if keys.dtype == torch.bfloat16 and positions <= SHORT and _multiplies_bfloat16(keys.device):
        return _short_attention(query, keys, values)
    query = query.to(keys.dtype)
    if c == positions and share == 1:  # without a mask of our own flash can take it
        return F.scaled_dot_product_attention(query, keys, values, is_causal=True)
    seen = None
    if c > 1:
        seen = torch.ones(c, positions, dtype=torch.bool, device=query.device).tril(positions - c)
        seen = seen.repeat(share, 1) if share > 1 else seen
    folded = query.reshape(n, groups, share * c, size)
    # On CUDA the result lies in another order of its dimensions, so a view of it may not exist.
    found = F.scaled_dot_product_attention(folded, keys, values, attn_mask=seen)
    return found.reshape(query.shape)


def _short_attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The definition, for which torch's flash takes twice as long on a CPU where keys are few.

    As there, scores and softmax are in float32, weights and results in the type of the values.
    """
    n, heads, c, size = query.shape
    groups, positions = keys.shape[1:3]
    unseen = torch.full((c, positions), -torch.inf).triu(positions - c + 1)
    scores = torch.baddbmm(
        unseen.repeat(heads // groups, 1),
        query.float().reshape(n * groups, -1, size),
        keys.float().reshape(n * groups, positions, size).mT,
        alpha=size**-0.5,
    )
    weights = scores.softmax(-1).to(values.dtype)
    return (weights @ values.reshape(n * groups, positions, size)).view(query.shape)


@cache
def _multiplies_bfloat16(device: torch.device) -> bool:
    on_cpu = device.type == "cpu" and torch._C._has_mkldnn
    return on_cpu and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
