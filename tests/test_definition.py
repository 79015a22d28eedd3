"""The definition of matched tokens against a loop that follows greedy decoding token by token."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memtrace.engine import EOS_RULES, Rules
from memtrace.engine.definition import matched_tokens
from memtrace.errors import MemtraceError, ModelError

shapes = st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(2, 5))
few_values = st.sampled_from([-1.0, 0.0, 0.5, 2.0])  # so that ties are common


def by_hand(logits: list[list[float]], continuation: list[int], eos_rule: str) -> int:
    """Choose token by token, in plain Python, until one is not the true one."""
    for count, (row, truth) in enumerate(zip(logits, continuation, strict=True)):
        allowed = range(1 if eos_rule == "mask-eos" else 0, len(row))
        if min(allowed, key=lambda token: (-row[token], token)) != truth:
            return count
    return len(continuation)


@given(data=st.data(), shape=shapes, eos_rule=st.sampled_from(EOS_RULES))
def test_matched_tokens_against_a_loop(data: st.DataObject, shape: tuple, eos_rule: str) -> None:
    n, length, vocabulary = shape
    logits = data.draw(arrays.arrays(np.float32, shape, elements=few_values))
    ids = st.integers(0, vocabulary - 1)
    continuation = data.draw(arrays.arrays(np.int64, (n, length), elements=ids))
    pairs = zip(logits.tolist(), continuation.tolist(), strict=True)
    expected = [by_hand(*pair, eos_rule) for pair in pairs]
    before = logits.copy()
    counted = matched_tokens(logits, continuation, eos_rule)
    assert counted.dtype == np.uint8
    assert counted.tolist() == expected
    np.testing.assert_array_equal(logits, before)


@given(logits=arrays.arrays(np.float32, (3, 4, 5), elements=few_values))
def test_the_chosen_tokens_are_those_of_torch_argmax(logits: np.ndarray) -> None:
    chosen = torch.from_numpy(logits).argmax(-1)
    assert matched_tokens(torch.from_numpy(logits), chosen).tolist() == [4, 4, 4]


def test_masked_eos_is_never_right_and_never_wins() -> None:
    logits = np.array([[[9.0, 1.0, 0.0], [0.0, 1.0, 2.0]]])
    assert matched_tokens(logits, [[1, 2]], "none") == 0
    assert matched_tokens(logits, [[1, 2]], "mask-eos") == 2
    assert matched_tokens(logits, [[0, 2]], "mask-eos") == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_have_no_answer(value: float) -> None:
    logits = np.zeros((1, 2, 3))
    logits[0, 1, 2] = value
    with pytest.raises(ModelError, match="not finite"):
        matched_tokens(logits, [[0, 0]])


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"eos_rule": "mask"}, "'mask'.*mask-eos"),
        ({"prompt_tokens": 0}, "prompt of 0"),
        ({"continuation_tokens": 0}, "continuation of 0"),
        ({"continuation_tokens": 256}, "256.*255"),
    ],
)
def test_rules_refuse_what_has_no_meaning(choice: dict, named: str) -> None:
    with pytest.raises(MemtraceError, match=named):
        Rules(**choice)


def test_the_rules_load_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from memtrace.engine import Rules; import memtrace.engine.definition; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
