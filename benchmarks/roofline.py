"""How fast each row of the benchmark can be on a GPU, from published figures alone.

    python -m benchmarks.roofline --shapes 70m,410m,1.4b

Every method is run on tensors without data (`meta`), with the shapes that it has on a device. Of
each call its products, its bytes and its launch are counted. A call takes the device the longer of
products / peak and bytes / bandwidth; the host takes the same time for every call that is no view;
a row takes the longer of the two sums. Nothing is measured: docs/roofline.md has what came of it.
"""

import argparse
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache, GPTNeoXForCausalLM

from benchmarks.sequences import LENGTH, PROMPT, SHAPES, SURVIVAL, VOCABULARY, random_model
from memtrace.engine.forward import decoder
from memtrace.engine.forward.neox import neox_forward

CALL = 5e-6
"""Seconds of the host for a call of torch in Python, its kernel launched; 5 to 10 are usual."""
PEER_BATCH, BATCH = 64, 1024
STOPS = (1, 4, LENGTH)
"""Chunks of decisions: at most three on a CUDA device."""


@dataclass(frozen=True)
class Device:
    """Published: operations a second, dense, and bytes a second."""

    name: str
    flops: dict[torch.dtype, float]
    bandwidth: float


_FLOPS = {torch.float32: 67e12, torch.float16: 989e12, torch.bfloat16: 989e12}
DEVICES = {
    "h100": Device("H100 SXM", _FLOPS, 3.35e12),
    "h200": Device("H200 SXM", _FLOPS, 4.8e12),
}


class Work(TorchDispatchMode):  # type: ignore[misc]
    """Calls that are made while it is entered: type, products and bytes of each."""

    def __init__(self) -> None:
        """None yet."""
        super().__init__()
        self.calls: list[tuple[torch.dtype, float, float]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make a call, and note it."""
        name = func._opname
        if name in ("_local_scalar_dense", "item", "is_nonzero"):
            return True  # is this mask the causal one? It is
        out = func(*args, **(kwargs or {}))
        if _launches(func, name, args, out):
            tensors = [*_tensors(args), *_tensors(out)]
            if name == "embedding":  # reads the rows that it returns
                tensors = [*_tensors(out), *_tensors(out)]
            moved = sum(float(t.numel() * t.element_size()) for t in tensors)
            dtype = next((t.dtype for t in _tensors(out)), torch.float32)
            self.calls.append((dtype, _products(name, args, out), moved))
        return out

    def add(self, dtype: torch.dtype, moved: float) -> None:
        """A kernel of our own."""
        self.calls.append((dtype, 0.0, moved))

    def on(self, device: Device) -> tuple[float, float]:
        """Seconds of the device, and of the host."""
        busy = 0.0
        for dtype, products, moved in self.calls:
            peak = device.flops.get(dtype, device.flops[torch.float32])
            busy += max(products / peak, moved / device.bandwidth)
        return busy, CALL * len(self.calls)


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    return [t for each in tree for t in _tensors(each)] if isinstance(tree, list | tuple) else []


def _launches(func: Any, name: str, args: Any, out: Any) -> bool:
    """Does the call compute: is it no view of what it is given, nor memory that is not filled?"""
    given = {t.untyped_storage()._cdata for t in _tensors(args)}
    views = all(t.untyped_storage()._cdata in given for t in _tensors(out))
    writes = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
    return writes or not (views or name.startswith(("empty", "new_empty")))


def _products(name: str, args: Any, out: Any) -> float:
    if name in ("linear", "mm", "bmm", "matmul"):
        return 2.0 * out.numel() * args[0].shape[-1]
    if name in ("addmm", "baddbmm"):
        return 2.0 * out.numel() * args[1].shape[-1]
    if "scaled_dot_product" in name:
        query, keys = args[:2]
        return 4.0 * query.numel() * keys.shape[-2]
    return 0.0


def generated(model: GPTNeoXForCausalLM, *, cached: bool) -> Work:
    """Greedy generation of a batch of the peers."""
    with Work() as work:
        cache = DynamicCache() if cached else None
        for position in range(PROMPT, PROMPT + LENGTH):
            read = 1 if cached and position > PROMPT else position
            tokens = torch.zeros(PEER_BATCH, read, dtype=torch.int64, device="meta")
            options = (
                {"past_key_values": cache, "use_cache": True} if cached else {"use_cache": False}
            )
            model(tokens, logits_to_keep=1, **options).logits[:, -1].argmax(-1)
    return work


def one_pass(model: GPTNeoXForCausalLM) -> Work:
    """One pass over a batch of whole sequences."""
    with Work() as work:
        tokens = torch.zeros(PEER_BATCH, PROMPT + LENGTH - 1, dtype=torch.int64, device="meta")
        model(tokens, use_cache=False, logits_to_keep=LENGTH).logits.argmax(-1)
    return work


def memtrace(model: GPTNeoXForCausalLM, dtype: torch.dtype, sequences: int, survival: Any) -> Work:
    """The cascade over a batch, with as many survivors as there are on average."""
    forward = _forward(model, dtype)
    with Work() as work:
        tokens = torch.zeros(sequences, PROMPT, dtype=torch.int64, device="meta")
        features, cache = forward.prompt(tokens, keep=1)
        for start, stop in zip((0, *STOPS), STOPS, strict=False):
            if start:
                assert survival is not None
                alive = max(1, round(sequences * survival[start - 1]))
                read = torch.zeros(alive, stop - start, dtype=torch.int64, device="meta")
                rows = torch.zeros(alive, dtype=torch.int64, device="meta")
                features, cache = forward.extend(read, cache, rows)
            logits = forward.logits(features.flatten(0, 1))
            work.add(dtype, logits.numel() * logits.element_size())  # the decision
    return work


class _Known:
    """The token cache, when every token is known: two look-ups."""

    def __init__(self, columns: list[Tensor]) -> None:
        self._columns = columns

    def learn(self, tokens: Tensor) -> None:
        """Nothing is left to learn."""

    def __call__(self, tokens: Tensor) -> list[Tensor]:
        """Rows of each column."""
        return [torch.nn.functional.embedding(tokens, column) for column in self._columns]


def _forward(model: GPTNeoXForCausalLM, dtype: torch.dtype) -> decoder.DecoderForward:
    forward = neox_forward(model, dtype, PROMPT + LENGTH)
    width = model.config.hidden_size
    columns = [
        torch.empty(VOCABULARY, 3 * width, dtype=dtype, device="meta"),
        torch.empty(VOCABULARY, width, dtype=torch.float32, device="meta"),
    ]
    size = sum(column.numel() * column.element_size() for column in columns)
    if dtype.itemsize == 2 and size <= decoder.TOKEN_CACHE_BUDGET["cuda"]:
        forward._token_cache = _Known(columns)  # type: ignore[assignment]
    return forward


@torch.inference_mode()
def rows(shape: str) -> list[tuple[str, list[tuple[Work, float]]]]:
    """For each row of the benchmark its parts: work, and of how many sequences it is."""
    with torch.device("meta"):
        wide, narrow = random_model(shape), random_model(shape).bfloat16()
    first = memtrace(wide, torch.float16, BATCH, SURVIVAL)
    full = memtrace(wide, torch.float32, BATCH, SURVIVAL)
    again = {share: memtrace(wide, torch.float32, BATCH, [1.0] * LENGTH) for share in (0.02, 0.10)}
    return [
        ("generate without a cache, float32", [(generated(wide, cached=False), PEER_BATCH)]),
        ("generate with a cache, float32", [(generated(wide, cached=True), PEER_BATCH)]),
        ("one forward pass, float32", [(one_pass(wide), PEER_BATCH)]),
        ("one forward pass, bfloat16", [(one_pass(narrow), PEER_BATCH)]),
        ("memtrace, float32", [(full, BATCH)]),
        ("memtrace, float16, 2% decided again", [(first, BATCH), (again[0.02], BATCH / 0.02)]),
        ("memtrace, bfloat16, 10% decided again", [(first, BATCH), (again[0.10], BATCH / 0.10)]),
    ]


def rate(parts: list[tuple[Work, float]], device: Device) -> tuple[float, str]:
    """Sequences a second, and what the row waits for."""
    busy, host = (sum(work.on(device)[i] / n for work, n in parts) for i in (0, 1))
    return 1 / max(busy, host), "device" if busy >= host else "host"


def table(shapes: list[str], devices: list[Device]) -> list[str]:
    """Markdown: a row for each method, a column for each device and shape."""
    found = {shape: rows(shape) for shape in shapes}
    heads = [f"{shape}, {device.name}" for shape in shapes for device in devices]
    lines = [f"| method | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for i, (title, _) in enumerate(next(iter(found.values()))):
        told = [rate(found[shape][i][1], device) for shape in shapes for device in devices]
        lines.append(f"| {title} | " + " | ".join(f"{r:,.0f} ({w})" for r, w in told) + " |")
    return lines


def main() -> None:
    """Predict and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shapes", default="70m,410m,1.4b", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--devices", default="h200", help=f"of {', '.join(DEVICES)}")
    parser.add_argument(
        "--products", help="TFLOP/s that float32 and half products reach, such as 51,750"
    )
    options = parser.parse_args()
    devices = [DEVICES[name] for name in options.devices.split(",")]
    if options.products:
        wide, half = (float(each) * 1e12 for each in options.products.split(","))
        peaks = {torch.float32: wide, torch.float16: half, torch.bfloat16: half}
        devices = [replace(device, flops=peaks) for device in devices]
    print("\n".join(table(options.shapes.split(","), devices)))


if __name__ == "__main__":
    main()
