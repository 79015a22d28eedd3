"""Batches in turns: the order of their steps, and copies between host and device."""

import weakref

import numpy as np
import pytest
import torch
from test_simulated_cuda import RULES, N, case  # noqa: F401

from memtrace.engine import Engine
from memtrace.engine.forward.decoder import DecoderForward
from memtrace.engine.turns import UNDER_WAY, in_turns, to_device, to_host
from memtrace.errors import CapacityWarning


def noted(steps, told):
    """Works of so many steps each, that tell when they take one."""

    def work(i, n):
        for step in range(n):
            told.append((i, step))
            if step < n - 1:
                yield

    return (work(i, n) for i, n in enumerate(steps))


@pytest.mark.parametrize("steps", [[4] * 6, [1, 3, 2, 9, 9, 9, 9, 9, 1, 2], [1] * 4, []])
def test_each_is_begun_before_the_one_before_it_goes_on(steps):
    told = []
    in_turns(noted(steps, told))
    assert sorted(told) == [(i, step) for i, n in enumerate(steps) for step in range(n)]
    at = {each: place for place, each in enumerate(told)}
    for i in range(len(steps) - 1):
        if steps[i] > 1:
            assert at[i, 0] < at[i + 1, 0] < at[i, 1]
            if i + 2 < len(steps):
                assert at[i, 1] < at[i + 2, 0]
        ended = [at[j, n - 1] for j, n in enumerate(steps[: i + 1])]
        assert sum(end > at[i + 1, 0] for end in ended) <= UNDER_WAY


def test_what_comes_is_asked_for_when_its_turn_has_come():
    told, asked = [], []

    def works():
        for i, work in enumerate(noted([3, 3, 3], told)):
            asked.append((i, len(told)))
            yield work

    in_turns(works())
    assert asked == [(0, 0), (1, 1), (2, 3)]


def test_on_a_cpu_nothing_is_copied_and_nobody_waits():
    array = np.arange(6)
    tensor = to_device(array, torch.device("cpu"))
    copy = to_host(tensor)
    with pytest.raises(StopIteration) as ended:
        next(copy)
    assert np.shares_memory(ended.value.value, array)


@pytest.mark.parametrize("all_open", [True, False])
@pytest.mark.parametrize(("family", "graph"), [("gpt_neox", True), ("llama", False)])
def test_the_next_prompts_are_read_while_the_host_waits(
    case,  # noqa: F811
    device,
    monkeypatch,
    family,
    graph,
    all_open,
):
    """The device has work behind what the host waits for, until the last batch is left alone."""
    model, sequences, _ = case(family)
    options = {"calibration": sequences, "dtype": "float32", "batch_size": 3}
    engine = Engine(model.to("cuda"), RULES, **options)
    first, asked = engine.stages[0], np.ones((N, RULES.continuation_tokens), bool)
    if not all_open:
        asked[::3, 0] = asked[1::3, 3:] = asked[2::3, 1:3] = False
    forward = first.forward
    forward.capture(3 if graph else 0, RULES.prompt_tokens)
    plain_prompt, plain_extend = DecoderForward.prompt, DecoderForward.extend
    begun, gone_on = [], []  # caches of batches; which went on first, and how many were begun then

    def prompt(*args, **options):
        features, cache = plain_prompt(*args, **options)
        begun.append(cache.keys)
        return features, cache

    def extend(forward, tokens, cache, rows):
        batch = [i for i, keys in enumerate(begun) if keys is cache.keys]
        gone_on.extend((i, len(begun)) for i in batch[-1:])
        return plain_extend(forward, tokens, cache, rows)

    monkeypatch.setattr(DecoderForward, "prompt", prompt)
    monkeypatch.setattr(DecoderForward, "extend", extend)
    device.reset()
    with torch.inference_mode():
        outcomes = first.outcomes(sequences, asked)
    batches = -(-N // 3)
    assert len(gone_on) > 2
    assert gone_on == [(each, min(each + 2, batches)) for each, _ in gone_on]
    assert (forward.graph == "captured") == graph
    assert device.host_waits <= 3 * batches, device.where
    assert 0 not in device.behind[:-3]
    monkeypatch.undo()
    with torch.inference_mode():
        alone = [first.outcomes(sequences[i : i + 3], asked[i : i + 3]) for i in range(0, N, 3)]
    np.testing.assert_array_equal(outcomes, np.concatenate(alone))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, KeyError])
def test_an_error_leaves_no_batch_begun(case, device, monkeypatch, error):  # noqa: F811
    model, sequences, truth = case("gpt_neox")
    options = {"calibration": sequences[:4], "dtype": "float32", "batch_size": 4}
    engine = Engine(model.to("cuda"), RULES, **options)
    engine.stages[0].forward.capture(0, RULES.prompt_tokens)
    plain_prompt, plain_extend = DecoderForward.prompt, DecoderForward.extend
    caches, fails = [], [error]

    def prompt(*args, **options):
        features, cache = plain_prompt(*args, **options)
        caches.append(weakref.ref(cache.keys))
        return features, cache

    def extend(*args):
        if fails and len(caches) > 2:
            assert sum(each() is not None for each in caches) == 2
            raise fails.pop()("CUDA out of memory")
        return plain_extend(*args)

    monkeypatch.setattr(DecoderForward, "prompt", prompt)
    monkeypatch.setattr(DecoderForward, "extend", extend)
    if error is KeyError:
        with pytest.raises(KeyError):
            engine.matched_tokens(sequences)
        assert [each for each in caches if each() is not None] == []
        return
    with pytest.warns(CapacityWarning, match="4 sequences at once: going on with 2"):
        np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
