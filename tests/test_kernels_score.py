"""The kernel of log probabilities: float64, its reference, the CUDA source on CPU and GPU."""

import functools

import numpy as np
import pytest
import torch
from host_shim.cases import BY_HAND, Case, asked, cases
from host_shim.library import score_on_host
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.engine.kernels import score

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
some = functools.partial(settings, deadline=None)
temperatures = st.sampled_from([1.0, 0.25, 3.0])


def reference(case, temperature):
    return score(
        case.logits, case.targets, case.tolerances, temperature=temperature, mask_eos=case.mask_eos
    )


def assert_same(found, expected, terms=0):
    """Log probabilities agree, but for what a sum of so many terms in a row can be off."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-6 + terms * 2.0**-24)


@each_dtype
@some(max_examples=40)
@given(data=st.data())
def test_reference_is_the_log_softmax_beside_the_decision(dtype, data):
    case, temperature = data.draw(cases(dtype)), data.draw(temperatures)
    outcomes, log_p = reference(case, temperature)
    assert outcomes.tolist() == case.answer().tolist()
    assert log_p.dtype == torch.float32
    wide = case.logits.double()
    if case.mask_eos:
        wide[:, 0] = -torch.inf
    expected = (wide / temperature).log_softmax(1).gather(1, case.targets[:, None])[:, 0]
    expected[case.mask_eos & (case.targets == 0)] = -torch.inf
    assert_same(log_p.numpy(), expected.float().numpy())
    if dtype != torch.bfloat16:
        arrays = (x.numpy() for x in (case.logits, case.targets, case.tolerances))
        found, in_numpy = score(*arrays, temperature=temperature, mask_eos=case.mask_eos)
        assert found.tolist() == outcomes.tolist()
        assert_same(in_numpy, log_p.numpy())


@each_dtype
@some(max_examples=40)
@given(data=st.data())
def test_cuda_source_agrees_with_the_reference(host, dtype, data):
    case, temperature = data.draw(cases(dtype)), data.draw(temperatures)
    outcomes, log_p = reference(case, temperature)
    threads = data.draw(st.sampled_from([1, 2, 7, 32]))
    found, on_host = score_on_host(host, case, threads, temperature)
    assert found.tolist() == outcomes.tolist()
    assert_same(on_host.numpy(), log_p.numpy(), terms=case.logits.shape[1] / threads)


def test_cuda_source_scores_by_hand(host):
    for *question, outcome in BY_HAND:
        found, log_p = score_on_host(host, asked(*question), 8, 1.0)
        assert found.tolist() == [outcome]
        assert_same(log_p.numpy(), reference(asked(*question), 1.0)[1].numpy())


@each_dtype
@pytest.mark.parametrize("lost", [8, 11, 15])
def test_cuda_source_sees_what_is_no_number_among_tokens_that_cannot_be(host, dtype, lost):
    """16 bytes of -infinity, as a model gives to tokens that it never says, and one NaN."""
    logits = torch.zeros(1, 64, dtype=dtype)
    logits[0, 8:16] = -torch.inf
    spoiled = logits.clone()
    spoiled[0, lost] = torch.nan
    one, zero = torch.tensor([1]), torch.zeros(1)
    for values, expected in ((logits, -np.log(56)), (spoiled, np.nan)):
        case = Case(values, one, zero, mask_eos=False)
        for threads in (1, 4):
            _, log_p = score_on_host(host, case, threads, 1.0)
            assert_same(log_p.numpy(), np.float32([expected]))
        assert_same(reference(case, 1.0)[1].numpy(), np.float32([expected]))


def test_cuda_source_gives_a_bug_of_the_caller_no_number(host):
    for target, tau in ((-1, 0.0), (9, 0.0), (2**40, 0.0), (3, -1.0)):
        _, log_p = score_on_host(host, asked([0.0] * 9, target, tau, False), 4, 1.0)
        assert log_p.isnan().all()


def test_a_temperature_of_0_is_refused():
    with pytest.raises(ValueError, match="temperature 0"):
        score(torch.zeros(1, 3), torch.tensor([1]), 0.0, temperature=0.0, mask_eos=False)


def test_no_rows_have_no_scores():
    none = torch.empty(0, dtype=torch.int64)
    outcomes, log_p = score(torch.empty(0, 5), none, 0.0, mask_eos=True)
    assert outcomes.shape == log_p.shape == (0,)


@each_dtype
def test_launcher_passes_what_the_kernel_takes(stand_in, dtype):
    from memtrace.engine.kernels import cuda

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 4200, generator=generator).to(dtype)[:, 3:4150]
    targets = torch.stack([logits[0].argmax(), torch.tensor(0), *logits[2:].argmax(1)]).int()
    for tolerance in (0.5, torch.tensor([0.0, 0.1, 20.0, 0.5])):
        options = {"temperature": 0.5, "mask_eos": True}
        found, log_p = cuda.score(logits, targets, tolerance, **options)
        expected, reference_log_p = score(logits, targets, tolerance, **options)
        assert found.tolist() == expected.tolist()
        assert_same(log_p.numpy(), reference_log_p.numpy())
    assert len(stand_in) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@each_dtype
@some(max_examples=40)
@given(data=st.data())
def test_gpu_agrees_with_the_reference(dtype, data):
    case, temperature = data.draw(cases(dtype)), data.draw(temperatures)
    frame, view = case.logits._base.cuda(), case.logits
    logits = frame.as_strided(view.shape, view.stride(), view.storage_offset())
    on_gpu = Case(logits, case.targets.cuda(), case.tolerances.cuda(), case.mask_eos)
    outcomes, log_p = reference(case, temperature)
    found, on_device = reference(on_gpu, temperature)
    assert found.tolist() == outcomes.tolist()
    assert_same(on_device.cpu().numpy(), log_p.numpy())
