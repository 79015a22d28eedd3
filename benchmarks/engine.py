"""The engine against its peers: one table, all rows on the same sequences, answers compared.

    python -m benchmarks.engine --shape 70m --sequences 20480

With --threads 1 the clock is the processor's, which a busy machine disturbs least: the figures are
then sequences per second of one core. Otherwise it is the wall's, and on a CUDA device it waits for
the device.
"""

import argparse
import copy
import gc
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import GPTNeoXForCausalLM

from benchmarks.sequences import (
    LENGTH,
    PROMPT,
    SHAPES,
    VOCABULARY,
    cached_sequences,
    random_model,
)
from memtrace.engine import Engine, Rules
from memtrace.engine.stages import name

Answer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Row:
    """One method, measured."""

    name: str
    sequences: int
    rate: float
    """Sequences a second."""
    wrong: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="70m", help="of the Pythia suite")
    parser.add_argument("--sequences", type=int, default=20480, help="for memtrace")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the peers' sequences; 0 leaves them out"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="to use")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--cache", type=Path, help="an .npz file to keep the sequences in")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    clock = clock_of(device, options.threads)
    model = random_model(options.shape).to(device)
    sequences, matched = cached_sequences(model, options.sequences, options.cache)
    print(f"{options.shape}: {describe(device, options.threads)}")
    peaks = {dtype: matrix_peak(dtype, device, clock) for dtype in (torch.float32, torch.bfloat16)}
    floors = {dtype: peak / minimum_flops(model) for dtype, peak in peaks.items()}
    for dtype in peaks:
        peak, floor = peaks[dtype] / 1e9, floors[dtype]
        print(f"{name(dtype)} products: {peak:.0f} GFLOP/s, a floor of {floor:.0f} sequences/s")
    rows = []
    for title, n, answer, memorized_only in methods(model, sequences, options.share):
        truth = matched[:n] == LENGTH if memorized_only else matched[:n]
        rows.append(measure(title, answer, sequences[:n], truth, clock))
        print(line(rows[-1], rows), flush=True)
    certified = rows[-1]
    print(f"share of the bfloat16 floor: {certified.rate / floors[torch.bfloat16]:.2f}")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
    if device.type == "cuda":
        print(f"peak memory of the device: {torch.cuda.max_memory_allocated(device) >> 20} MiB")


def clock_of(device: torch.device, threads: int) -> Callable[[], float]:
    """A clock that is right for the device: it waits for what a CUDA device has been given."""
    if device.type == "cpu":
        return time.process_time if threads == 1 else time.perf_counter

    def waiting() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return waiting


def describe(device: torch.device, threads: int) -> str:
    """What the figures were measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {threads} threads"


def minimum_flops(model: GPTNeoXForCausalLM) -> float:
    """What a sequence that misses at once needs: 32 positions of the trunk, one row of logits."""
    head = model.lm_head.weight.numel()
    trunk = sum(p.numel() for p in model.gpt_neox.parameters()) - head
    return 2.0 * (PROMPT * trunk + head)


def matrix_peak(dtype: torch.dtype, device: torch.device, clock: Callable[[], float]) -> float:
    """Operations a second of the best of some products of square matrices."""
    n = 2048 if device.type == "cpu" else 8192
    a, b = torch.randn(2, n, n, dtype=dtype, device=device)
    return max(2 * n**3 / seconds(lambda: a @ b, clock) for _ in range(8))


def seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """How long it takes."""
    start = clock()
    work()
    return clock() - start


def methods(
    model: GPTNeoXForCausalLM, sequences: np.ndarray, share: float
) -> Iterator[tuple[str, int, Answer, bool]]:
    """Yield name, number of sequences, how to answer, and whether it tells memorized ones only."""
    scale = share if model.device.type == "cpu" else 16 * share

    def few(n: int) -> int:
        return max(4, int(n * scale))

    if share > 0:
        models = {torch.float32: model, torch.bfloat16: copy.deepcopy(model).bfloat16()}
        for dtype, peer in models.items():
            yield f"generate without a cache, {name(dtype)}", few(64), generate(peer, False), False
            yield f"generate with a cache, {name(dtype)}", few(256), generate(peer, True), False
            yield f"one forward pass, {name(dtype)}", few(256), teacher_forced(peer), False
            if (harness := evaluation_harness(peer)) is not None:
                yield f"lm-eval loglikelihood, {name(dtype)}", few(256), harness, True
        del models, peer, harness
        gc.collect()
    halves = [torch.bfloat16] if model.device.type == "cpu" else [torch.float16, torch.bfloat16]
    for dtype in (torch.float32, *halves):
        engine = Engine(model, Rules(), calibration=sequences[-256:], dtype=name(dtype))
        n = min(len(sequences), few(4096)) if dtype == torch.float32 else len(sequences)
        yield f"memtrace, {name(dtype)}", n, engine.matched_tokens, False
        print(json.dumps(engine.record()))


def generate(model: GPTNeoXForCausalLM, use_cache: bool) -> Answer:
    """The published script's method: greedy generation, then comparison."""

    def answer(sequences: np.ndarray) -> np.ndarray:
        prompts = torch.from_numpy(sequences[:, :PROMPT]).to(model.device)
        returned = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=False,
            use_cache=use_cache,
            max_length=PROMPT + LENGTH,
            eos_token_id=None,
            pad_token_id=0,
        )
        right = returned[:, PROMPT:].cpu().numpy() == sequences[:, PROMPT:]
        return np.logical_and.accumulate(right, axis=1).sum(axis=1)

    return in_batches(answer)


def teacher_forced(model: GPTNeoXForCausalLM) -> Answer:
    """One pass over 63 tokens, with the logits of the 32 decisions only."""

    def answer(sequences: np.ndarray) -> np.ndarray:
        tokens = torch.from_numpy(sequences).to(model.device)
        logits = model(tokens[:, :-1], use_cache=False, logits_to_keep=LENGTH).logits
        right = (logits.argmax(-1) == tokens[:, PROMPT:]).cpu().numpy()
        return np.logical_and.accumulate(right, axis=1).sum(axis=1)

    return in_batches(answer)


def evaluation_harness(model: GPTNeoXForCausalLM) -> Answer | None:
    """What the harness says is greedy; None where lm-eval is not installed."""
    harness = harness_of(model)
    if harness is None:
        return None
    return lambda sequences: np.array([is_greedy for _, is_greedy in harness(sequences)])


def harness_of(
    model: GPTNeoXForCausalLM,
) -> Callable[[np.ndarray], list[tuple[float, bool]]] | None:
    """The harness's own path, to log-likelihoods and whether a continuation is greedy."""
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        print("lm-eval is not installed: its row is left out", file=sys.stderr)
        return None
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="0", pad_token="0")
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=64, device=str(model.device))

    def answer(sequences: np.ndarray) -> list[tuple[float, bool]]:
        requests = [
            (("", str(i)), row[:PROMPT].tolist(), row[PROMPT:].tolist())
            for i, row in enumerate(sequences)
        ]
        told: list[tuple[float, bool]] = harness._loglikelihood_tokens(requests, disable_tqdm=True)
        return told

    return answer


def in_batches(answer: Answer, size: int = 64) -> Answer:
    """The same, 64 sequences at a time."""

    @torch.inference_mode()
    def answers(sequences: np.ndarray) -> np.ndarray:
        parts = [answer(sequences[i : i + size]) for i in range(0, len(sequences), size)]
        return np.concatenate(parts)

    return answers


def measure(
    title: str, answer: Answer, sequences: np.ndarray, truth: np.ndarray, clock: Callable[[], float]
) -> Row:
    """Time a method on sequences whose answers are known."""
    answer(sequences[:8])  # the first call prepares kernels
    start = clock()
    answers = answer(sequences)
    n, spent = len(sequences), clock() - start
    return Row(title, n, n / spent, int((answers != truth).sum()))


def line(row: Row, rows: list[Row]) -> str:
    """A row of the table, with its speed in multiples of the published method's."""
    return (
        f"| {row.name:38} | {row.sequences:6} | {row.rate:8.2f} | {row.rate / rows[0].rate:6.1f} "
        f"| {row.wrong} |"
    )


if __name__ == "__main__":
    main()
