"""Scans with log-likelihoods against their peers: values compared, contenders in turns.

    python -m benchmarks.likelihood --threads 2 --rounds 3

Two questions. How fast are the log-likelihoods of all sequences, against the evaluation harness and
one teacher-forced pass of Transformers with a log-softmax, in float32? And how much longer than a
greedy scan takes one that also has all likelihoods above a smallest probability?

For the second the output layer is multiplied by a power of two, which changes no greedy decision:
random weights give every token nearly the same probability, and a memorized continuation of a
trained model is probable. Then what is right has some 0.9 to 1 a token, and other tokens nearly 0.
On text wrong tokens are more probable, so that more sequences go on for longer than here.

Each round measures every contender once, in turns, by the clock of the processor and by that of
the wall. The table has the least of the rounds.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import GPTNeoXForCausalLM

from benchmarks.engine import describe, harness_of, in_batches
from benchmarks.sequences import LENGTH, PROMPT, SHAPES, make_sequences, random_model
from memtrace.engine import Distribution, Engine, Rules

Score = Callable[[np.ndarray], np.ndarray]
SHARPER = 64.0
LEAST = 1e-3


@dataclass(frozen=True)
class Contender:
    """One method, and the sequences that it is given."""

    name: str
    score: Score
    sequences: np.ndarray


@dataclass(frozen=True)
class Timing:
    """The least times of a method, in seconds for each sequence, and what it said last."""

    processor: float
    wall: float
    values: np.ndarray


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="70m", help="of the Pythia suite")
    parser.add_argument("--sequences", type=int, default=4096, help="of scans that stop early")
    parser.add_argument("--full", type=int, default=256, help="of scans that do not; 0: none")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="to use")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=3, help="of all contenders")
    parser.add_argument("--dtypes", default="float32,auto", help="of scans that stop early")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"{options.shape}: {describe(device, options.threads)}")
    model = random_model(options.shape).to(device)
    sequences, _ = make_sequences(model, max(options.sequences, options.full))
    if options.full:
        compare_full(model, sequences[: options.full], options.rounds)
    with torch.no_grad():
        model.lm_head.weight *= SHARPER
    compare_early(model, sequences[: options.sequences], options.dtypes.split(","), options.rounds)


def compare_full(model: GPTNeoXForCausalLM, sequences: np.ndarray, rounds: int) -> None:
    """All likelihoods: ours, the harness's and those of one pass."""
    ours = engine(model, sequences, Rules(distribution=Distribution()), "auto")
    contenders = [
        Contender("one forward pass and log-softmax, float32", one_pass(model), sequences),
        Contender("memtrace --likelihood, float32", ours, sequences),
    ]
    if (harness := harness_of(model)) is not None:
        peer = Contender("lm-eval loglikelihood, float32", harness_scores(harness), sequences)
        contenders.insert(0, peer)
    timings = measure(contenders, rounds)
    truth = timings[-1].values
    for contender, timing in zip(contenders, timings, strict=True):
        print(line(contender, timing, timings[-1]))
        print(
            f"    largest difference from memtrace: {np.abs(timing.values - truth).max():.2g} nats"
        )
    fastest = min(timing.processor for timing in timings[:-1])
    print(f"of the fastest peer: {fastest / timings[-1].processor:.2f} times as fast (processor)")
    fastest = min(timing.wall for timing in timings[:-1])
    print(f"of the fastest peer: {fastest / timings[-1].wall:.2f} times as fast (wall)\n")


def compare_early(
    model: GPTNeoXForCausalLM, sequences: np.ndarray, dtypes: Sequence[str], rounds: int
) -> None:
    """Likelihoods above a smallest probability, against greedy scans of the same sequences."""
    rules = Rules(distribution=Distribution(min_probability=LEAST))
    contenders = [
        Contender(f"memtrace, greedy, {dtype}", greedy(model, sequences, dtype), sequences)
        for dtype in dtypes
    ]
    contenders += [
        Contender(
            f"memtrace --min-probability {LEAST:g}, {dtype}",
            engine(model, sequences, rules, dtype),
            sequences,
        )
        for dtype in dtypes
    ]
    timings = measure(contenders, rounds)
    for contender, timing in zip(contenders, timings, strict=True):
        print(line(contender, timing, timings[len(dtypes) - 1]))
    kept = (~np.isnan(timings[-1].values)).mean()
    print(f"at least {LEAST:g}: {kept:.2%} of the sequences")
    for place, dtype in enumerate(dtypes):
        ratios = [
            getattr(timings[place + len(dtypes)], clock) / getattr(timings[place], clock)
            for clock in ("processor", "wall")
        ]
        print("{}: {:.2f} times the greedy scan (processor), {:.2f} (wall)".format(dtype, *ratios))


def measure(contenders: Sequence[Contender], rounds: int) -> list[Timing]:
    """Time all of them in turns."""
    least = [(np.inf, np.inf)] * len(contenders)
    values = [np.empty(0)] * len(contenders)
    for each in contenders:
        each.score(each.sequences[:64])  # the first call prepares kernels
    for _ in range(rounds):
        for i, each in enumerate(contenders):
            start = time.process_time(), time.perf_counter()
            values[i] = each.score(each.sequences)
            spent = time.process_time() - start[0], time.perf_counter() - start[1]
            least[i] = min(least[i][0], spent[0]), min(least[i][1], spent[1])
    n = [len(each.sequences) for each in contenders]
    return [Timing(a / m, b / m, v) for (a, b), m, v in zip(least, n, values, strict=True)]


def line(contender: Contender, timing: Timing, base: Timing) -> str:
    """A row of the table."""
    return (
        f"| {contender.name:42} | {len(contender.sequences):6} | {1e3 * timing.processor:7.2f} "
        f"| {1e3 * timing.wall:7.2f} | {timing.processor / base.processor:5.2f} |"
    )


def engine(model: GPTNeoXForCausalLM, sample: np.ndarray, rules: Rules, dtype: str) -> Score:
    """Log-likelihoods by memtrace."""
    made = Engine(model, rules, calibration=sample[-256:], dtype=dtype)

    def score(sequences: np.ndarray) -> np.ndarray:
        found = made.score(sequences).log_likelihood
        assert found is not None
        return found

    return score


def greedy(model: GPTNeoXForCausalLM, sample: np.ndarray, dtype: str) -> Score:
    """Matched tokens by memtrace."""
    return Engine(model, Rules(), calibration=sample[-256:], dtype=dtype).matched_tokens


def one_pass(model: GPTNeoXForCausalLM) -> Score:
    """One pass over 63 tokens, with the logits of the 32 tokens only, and their log-softmax."""

    def score(sequences: np.ndarray) -> np.ndarray:
        tokens = torch.from_numpy(sequences).to(model.device)
        logits = model(tokens[:, :-1], use_cache=False, logits_to_keep=LENGTH).logits
        log_p = logits.log_softmax(-1).gather(2, tokens[:, PROMPT:, None])
        return log_p[..., 0].double().sum(1).cpu().numpy()

    return in_batches(score)


def harness_scores(harness: Callable[[np.ndarray], list[tuple[float, bool]]]) -> Score:
    """The harness's log-likelihoods."""
    return lambda sequences: np.array([value for value, _ in harness(sequences)])


if __name__ == "__main__":
    main()
