"""What each precision costs and errs on a device: half types, split products, float32.

    python -m benchmarks.precisions --shape 70m --device cpu

For each precision: the pass over prompts, in milliseconds and in multiples of float16's (bfloat16's
on a CPU); and how far logits are from float64's, in standard deviations of a row's logits.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks.engine import clock_of, seconds
from benchmarks.sequences import LENGTH, PROMPT, SHAPES, VOCABULARY, random_model
from memtrace.engine.forward.families import make_forward
from memtrace.engine.forward.linear import Precision
from memtrace.engine.forward.split import Split, has_split_products
from memtrace.engine.margins import top_competitors
from memtrace.engine.switches import full_precision

EXACT = 4  # sequences


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="70m", help="of the Pythia suite")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--sequences", type=int, default=64, help="in a pass")
    options = parser.parse_args()
    device = torch.device(options.device)
    model = random_model(options.shape).half().requires_grad_(False).to(device)
    random = np.random.default_rng(0)
    rows = random.integers(0, VOCABULARY, (options.sequences, PROMPT + LENGTH))
    for row in measure_precisions(model, rows, clock_of(device, torch.get_num_threads())):
        print(row)


@full_precision()
def measure_precisions(
    model: PreTrainedModel, rows: np.ndarray, clock: Callable[[], float]
) -> list[dict[str, object]]:
    """A row for each precision; a model whose weights lie in float16 shows two products."""
    half = torch.float16 if model.device.type == "cuda" else torch.bfloat16
    precisions: list[Precision] = [half, torch.float32]
    if has_split_products(model.device):
        precisions[1:1] = [Split(torch.float16), Split(torch.bfloat16)]
    tokens = torch.from_numpy(rows.astype(np.int64)).to(model.device)
    true = _logits(model, torch.float64, tokens[:EXACT])
    ids = top_competitors(true, tokens[:EXACT, -LENGTH:].flatten(), mask_eos=False)
    measured: list[dict[str, object]] = []
    for precision in precisions:
        spent = _time_prompt(model, precision, tokens[:, :PROMPT], clock)
        errors = (_logits(model, precision, tokens[:EXACT]) - true).gather(1, ids) / true.std(
            1, keepdim=True
        )
        first = measured[0]["ms"] if measured else 1e3 * spent
        measured.append(
            {
                "precision": str(precision).removeprefix("torch."),
                "ms": round(1e3 * spent, 3),
                "times_half": round(1e3 * spent / float(str(first)), 2),
                "rms_error": float(f"{float(errors.square().mean().sqrt()):.2g}"),
            }
        )
    return measured


@torch.inference_mode()
def _logits(model: PreTrainedModel, precision: Precision, tokens: torch.Tensor) -> torch.Tensor:
    forward = make_forward(model, precision, PROMPT + LENGTH)
    with forward.precision():
        features, _ = forward.prompt(tokens[:, :-1], keep=LENGTH)
        return forward.logits(features.flatten(0, 1)).double()


@torch.inference_mode()
def _time_prompt(
    model: PreTrainedModel,
    precision: Precision,
    prompts: torch.Tensor,
    clock: Callable[[], float],
) -> float:
    """Seconds of a pass, the least of three."""
    forward = make_forward(model, precision, PROMPT + LENGTH)
    with forward.precision():
        forward.prompt(prompts, keep=1)  # the first call prepares kernels
        return min(seconds(lambda: forward.prompt(prompts, keep=1), clock) for _ in range(3))


if __name__ == "__main__":
    main()
