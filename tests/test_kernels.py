"""The decision kernels: a plain loop, the array-API reference, the CUDA source on CPU and GPU."""

import ctypes
import functools
import re
import sys
import tomllib
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from host_shim.cases import BY_HAND, Case, asked, cases, plain
from host_shim.library import DECISIONS, KERNELS, SCORES, decide_on_host
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.engine.kernels import (
    MATCH,
    MISS,
    NOT_FINITE,
    UNDECIDED,
    cuda,
    decide,
    matched_tokens,
)
from memtrace.errors import ModelError

ROOT = Path(__file__).parents[1]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
some = functools.partial(settings)


def test_rule_by_hand():
    answers = [asked(*question).answer().item() for *question, _ in BY_HAND]
    assert answers == [outcome for *_, outcome in BY_HAND]


@each_dtype
@some(max_examples=300)
@given(data=st.data())
def test_reference_follows_the_rule_in_torch_and_numpy(dtype, data):
    case = data.draw(cases(dtype))
    expected = plain(case)
    assert case.answer().tolist() == expected
    if dtype != torch.bfloat16:
        in_numpy = decide(
            case.logits.numpy(),
            case.targets.numpy(),
            case.tolerances.numpy(),
            mask_eos=case.mask_eos,
        )
        assert in_numpy.dtype == np.uint8
        assert in_numpy.tolist() == expected


@each_dtype
@some(max_examples=100)
@given(data=st.data())
def test_without_a_tolerance_the_answer_is_argmax(dtype, data):
    case = data.draw(cases(dtype, broken=False))
    logits = case.logits.clone()
    if case.mask_eos:
        logits[:, 0] = -torch.inf
    wins = (logits.argmax(1) == case.targets) & ~(case.mask_eos & (case.targets == 0))
    outcomes = decide(case.logits, case.targets, 0.0, mask_eos=case.mask_eos)
    assert (outcomes == MATCH).tolist() == wins.tolist()
    assert set(outcomes.tolist()) <= {MISS, MATCH}


@each_dtype
@some(max_examples=60)
@given(data=st.data())
def test_certain_answers_have_an_exact_margin_beyond_the_tolerance(dtype, data):
    case = data.draw(cases(dtype, broken=False))
    outcomes = case.answer().tolist()
    for row, target, tau, outcome in zip(
        case.logits.tolist(),
        case.targets.tolist(),
        case.tolerances.tolist(),
        outcomes,
        strict=True,
    ):
        competitors = [x for v, x in enumerate(row) if v != target and (v or not case.mask_eos)]
        masked = case.mask_eos and target == 0
        if competitors and outcome != UNDECIDED and 0 < tau < np.inf and not masked:
            margin = Fraction(row[target]) - Fraction(max(competitors))
            assert (margin > tau) == (outcome == MATCH)
            assert abs(margin) > Fraction(tau)


@some(max_examples=60)
@given(data=st.data())
def test_rows_are_decided_alone_and_logits_are_left_as_they_were(data):
    case = data.draw(cases(torch.float32))
    before = case.logits.clone()
    together = case.answer().tolist()
    pairs = zip(case.targets, case.tolerances.tolist(), strict=True)
    alone = [
        decide(case.logits[i : i + 1], t[None], tau, mask_eos=case.mask_eos).item()
        for i, (t, tau) in enumerate(pairs)
    ]
    assert alone == together
    assert torch.equal(case.logits.view(torch.int32), before.view(torch.int32))


@given(
    rows=st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=9),
)
@some(max_examples=50)
def test_matched_tokens_counts_up_to_the_first_difference(rows):
    right = np.array(rows)
    truth = np.arange(right.size).reshape(right.shape)
    predicted = np.where(right, truth, truth + 1)
    expected = [([*row, False]).index(False) for row in rows]
    assert matched_tokens(predicted, truth).tolist() == expected
    counted = matched_tokens(torch.from_numpy(predicted), torch.from_numpy(truth))
    assert counted.dtype == torch.uint8
    assert counted.tolist() == expected


def test_no_rows_and_no_tokens_are_fine():
    empty = torch.empty(0, dtype=torch.int64)
    assert decide(torch.empty(0, 5), empty, 0.0, mask_eos=True).shape == (0,)
    assert matched_tokens(torch.empty(2, 0), torch.empty(2, 0)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("logits", "targets", "tolerance", "error", "message"),
    [
        (torch.zeros(2, 5), torch.tensor([1, 5]), 0.0, ValueError, "target 5 .* vocabulary of 5"),
        (torch.zeros(2, 5), torch.tensor([-1, 0]), 0.0, ValueError, "target -1"),
        (torch.zeros(2, 5), torch.tensor([1]), 0.0, ValueError, r"targets .*\(1,\)"),
        (torch.zeros(2, 5), torch.tensor([1, 1]), -0.5, ValueError, "negative"),
        (torch.zeros(2, 5), torch.tensor([1, 1]), torch.zeros(3), ValueError, r"tolerances .*3"),
        (torch.zeros(5), torch.tensor([1]), 0.0, ValueError, r"logits have shape \(5,\)"),
        (torch.zeros(1, 5).double(), torch.tensor([1]), 0.0, TypeError, "float64"),
    ],
)
def test_bad_questions_are_refused(logits, targets, tolerance, error, message):
    with pytest.raises(error, match=message):
        decide(logits, targets, tolerance, mask_eos=False)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((2, 256), (2, 256)), ((2,), (2,))])
def test_token_matrices_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="two equal shapes"):
        matched_tokens(*map(np.zeros, shapes))


# ---------------------------------------------------------------- the CUDA source on the CPU


@each_dtype
@some(max_examples=200)
@given(data=st.data())
def test_cuda_source_gives_the_bytes_of_the_reference(host, dtype, data):
    case = data.draw(cases(dtype))
    threads = data.draw(st.sampled_from([1, 2, 7, 32]))
    assert decide_on_host(host, case, threads).tolist() == case.answer().tolist()


def test_cuda_source_answers_by_hand(host):
    answers = [decide_on_host(host, asked(*question), 8).item() for *question, _ in BY_HAND]
    assert answers == [outcome for *_, outcome in BY_HAND]


def test_cuda_source_widens_every_float16_exactly(host):
    patterns = np.arange(2**16, dtype=np.uint16)
    widened = np.array([host.host_widen_float16(int(bits)) for bits in patterns], np.float32)
    expected = patterns.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(widened, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(widened[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize(("target", "tau"), [(-1, 0.0), (9, 0.0), (2**40, 0.0), (3, -1.0)])
def test_cuda_source_answers_a_bug_of_the_caller_loudly(host, target, tau):
    case = asked([0.0] * 9, target, tau, False)
    assert decide_on_host(host, case, threads=4).tolist() == [NOT_FINITE]


@pytest.mark.parametrize("threads", [1, 4, 32])
def test_cuda_source_counts_the_matched_tokens_of_the_reference(host, threads):
    rng = np.random.default_rng(threads)
    truth = rng.integers(0, 50304, (57, 32))
    wrong = rng.random(truth.shape) < rng.choice([0, 0.03, 0.5], (57, 1))
    predicted = np.where(wrong, truth + 1, truth)
    matched = np.full(57, 255, np.uint8)
    host.host_matched_tokens(
        -(-57 // threads),
        threads,
        predicted.ctypes.data,
        truth.ctypes.data,
        *truth.shape,
        matched.ctypes.data,
    )
    np.testing.assert_array_equal(matched, matched_tokens(predicted, truth))
    assert {0, 32} <= set(matched.tolist())


# ---------------------------------------------------------------- the CUDA source under NVRTC


@pytest.fixture(scope="session")
def nvrtc():
    package = find_spec("nvidia.cuda_nvrtc") if find_spec("nvidia") else None
    if package is None:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc-cu12")
    folders = package.submodule_search_locations
    libraries = (path for folder in folders for path in Path(folder, "lib").glob("libnvrtc.so.*"))
    return ctypes.CDLL(str(next(libraries)))


def compile_with(nvrtc, architecture, kind):
    """The PTX or CUBIN that the launcher's options make of the source; the log on failure."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    source = cuda.SOURCE.read_bytes()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"", 0, None, None) == 0
    options = [f"--gpu-architecture={architecture}", *cuda.OPTIONS]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), array)

    def fetch(what):
        assert getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
        buffer = ctypes.create_string_buffer(size.value)
        assert getattr(nvrtc, f"nvrtcGet{what}")(program, buffer) == 0
        return buffer.raw

    assert not failed, fetch("ProgramLog").decode()
    return fetch(kind)


@pytest.mark.parametrize("capability", [70, 80, 90, 100])
def test_source_compiles_for(nvrtc, capability):
    cubin = compile_with(nvrtc, f"sm_{capability}", "CUBIN")
    assert cubin.startswith(b"\x7fELF")
    assert all(f".text.{name}".encode() in cubin for name in KERNELS)


def test_logits_are_read_16_bytes_at_a_time(nvrtc):
    ptx = compile_with(nvrtc, "compute_90", "PTX").decode(errors="replace")
    bodies = dict(re.findall(r"\.entry (\w+)\((.*?)\n}", ptx, re.DOTALL))
    assert set(bodies) == set(KERNELS)
    assert all(re.search(r"ld\.global(\.nc)?\.v4", bodies[name]) for name in [*DECISIONS, *SCORES])


# ---------------------------------------------------------------- the launcher


@pytest.mark.parametrize("built_for", ["12.8", "13.0", None])
def test_cuda_without_cupy_names_an_extra_that_exists(monkeypatch, built_for):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    with pytest.raises(ModelError, match=r"pip install 'memtrace-llm\[") as caught:
        cuda.decide(torch.zeros(1, 3), torch.tensor([1]), 0.0, mask_eos=False)
    extra = re.search(r"\[(.+?)\]", str(caught.value)).group(1)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert f"cupy-cuda{(built_for or '12')[:2]}x" in " ".join(extras[extra])
    assert "\n" not in str(caught.value)


@each_dtype
@pytest.mark.parametrize("mask_eos", [False, True])
def test_launcher_passes_what_the_kernels_take(stand_in, dtype, mask_eos):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 4200, generator=generator).to(dtype)[:, 3:4150]
    logits[1, 0], logits[3, 4100] = 50, torch.nan
    targets = torch.stack([logits[0].argmax(), torch.tensor(0), *logits[2:, :4000].argmax(1)]).int()
    for tolerance in (0.0, 0.5, torch.tensor([0.0, 0.1, 20.0, 0.5])):
        launched = cuda.decide(logits, targets, tolerance, mask_eos=mask_eos)
        assert launched.tolist() == decide(logits, targets, tolerance, mask_eos=mask_eos).tolist()
    assert len(stand_in) == 3


def test_launcher_counts_matched_tokens(stand_in):
    predicted, truth = torch.tensor([[1, 2, 3], [1, 0, 3]]), torch.tensor([[1, 2, 3], [1, 2, 3]])
    assert cuda.matched_tokens(predicted.int(), truth.int()).tolist() == [3, 1]


def test_launcher_starts_nothing_for_no_rows(stand_in):
    no_rows = torch.empty(0, dtype=torch.int64)
    assert cuda.decide(torch.empty(0, 5), no_rows, 0.0, mask_eos=False).shape == (0,)
    assert stand_in == []


def test_launcher_refuses_logits_that_lie_apart(stand_in):
    with pytest.raises(ValueError, match="strides"):
        cuda.decide(torch.zeros(5, 2).T, torch.tensor([1, 1]), 0.0, mask_eos=False)


# ---------------------------------------------------------------- a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@each_dtype
@some(max_examples=200)
@given(data=st.data())
def test_gpu_gives_the_bytes_of_the_reference(dtype, data):
    case = data.draw(cases(dtype))
    frame, view = case.logits._base.cuda(), case.logits
    logits = frame.as_strided(view.shape, view.stride(), view.storage_offset())
    on_gpu = Case(logits, case.targets.cuda(), case.tolerances.cuda(), case.mask_eos)
    assert on_gpu.answer().tolist() == case.answer().tolist()
