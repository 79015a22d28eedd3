"""The definition of matched tokens: equal to decoding step by step, ties and EOS rule included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from memtrace.errors import MemtraceError, ModelError
from memtrace.greedy.definition import Rules, matched_tokens


def by_hand(logits, continuation, eos_rule):
    """Choose token after token in plain Python; the first of several largest is the lowest id."""
    matched = []
    for row, truth in zip(logits.tolist(), continuation.tolist(), strict=True):
        count = 0
        for scores, target in zip(row, truth, strict=True):
            ids = range(1 if eos_rule == "mask-eos" else 0, len(scores))
            if max(ids, key=lambda v: (scores[v], -v)) != target:
                break
            count += 1
        matched.append(count)
    return matched


@given(
    data=st.data(),
    n=st.integers(1, 4),
    length=st.integers(1, 6),
    vocabulary=st.integers(2, 7),
    eos_rule=st.sampled_from(["none", "mask-eos"]),
)
def test_equal_to_decoding_by_hand(data, n, length, vocabulary, eos_rule):
    """Logits of few different values, so that ties are everywhere."""
    values = st.sampled_from([-1.0, 0.0, 0.5])
    logits = data.draw(hnp.arrays(np.float32, (n, length, vocabulary), elements=values))
    # Mostly the right token, so that later positions are reached.
    first = 1 if eos_rule == "mask-eos" else 0
    right = logits[..., first:].argmax(-1) + first
    noise = data.draw(hnp.arrays(np.int64, (n, length), elements=st.sampled_from([0, 0, 0, 1])))
    continuation = (right + noise) % vocabulary
    before = logits.copy()
    found = matched_tokens(logits, continuation, eos_rule)
    assert found.dtype == np.uint8
    assert found.tolist() == by_hand(logits, continuation, eos_rule)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite(value):
    logits = np.zeros((2, 3, 4))
    logits[1, 2, 3] = value
    with pytest.raises(ModelError, match="not finite"):
        matched_tokens(logits, np.zeros((2, 3), int))


@pytest.mark.parametrize(
    "wrong", [{"eos_rule": "mask"}, {"prompt_tokens": 0}, {"continuation_tokens": 256}]
)
def test_rules_without_meaning(wrong):
    with pytest.raises(MemtraceError, match=str(next(iter(wrong.values())))):
        Rules(**wrong)
