"""The engine on a simulated CUDA device: right scores, few host waits, memory, streams."""

import gc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from simulated_cuda import lines
from simulated_cuda.account import CAPTURING

from benchmarks.families import ROUTED, generated, in_float64, random_model
from memtrace.engine import Distribution, Engine, Rules
from memtrace.engine import stages as stages_module
from memtrace.engine.forward import graphs
from memtrace.engine.forward.decoder import DecoderForward
from memtrace.engine.forward.split import has_split_products
from memtrace.engine.kernels import cuda as kernels
from memtrace.engine.kernels import decide, matched_tokens
from memtrace.errors import CapacityWarning, ModelError
from memtrace.models import stored
from memtrace.models.loading import describe_device, visible_devices
from memtrace.models.memory import free_memory
from memtrace.models.weights import Weights

RULES = Rules(prompt_tokens=4, continuation_tokens=4)
N = 16


@pytest.fixture(scope="module")
def case():
    """A model, sequences and their scores in float64, for each family once."""
    made = {}

    def make(family):
        if family not in made:
            model = random_model(family)
            sequences = generated(model, RULES, N)
            made[family] = sequences, in_float64(model, RULES, sequences)
        return random_model(family), *made[family]

    return make


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "auto"])
@pytest.mark.parametrize("family", ["gpt_neox", "llama", "gpt2", "mixtral", "mamba"])
@pytest.mark.filterwarnings("ignore::memtrace.errors.ApproximationWarning")
def test_scores_are_the_truth(case, device, family, dtype):
    model, sequences, truth = case(family)
    assert len(set(truth.tolist())) > 2
    engine = Engine(model.to("cuda"), RULES, calibration=sequences[::4], dtype=dtype, batch_size=7)
    np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
    record = engine.record()
    if family in ROUTED:
        assert record["dtype"] == "float32"
    elif dtype != "auto":
        assert record["dtype"] == dtype
    assert record["audit"]["wrong"] == 0
    assert device.launches > 0
    assert device.rows_decided >= N
    assert device.copies["to the device, asynchronous"] > 0


@pytest.mark.parametrize(
    ("family", "dtype", "distribution"),
    [
        ("gpt_neox", "float32", Distribution()),
        ("gpt_neox", "auto", Distribution(temperature=0.5, min_probability=1e-6)),
        ("gpt2", "bfloat16", Distribution(temperature=2.0)),
        ("llama", "auto", Distribution(top_k=50, min_probability=1e-6)),
        ("mixtral", "float32", Distribution()),
        ("gpt_neox", "bfloat16", Distribution(top_k=50, temperature=0.7)),
        ("llama", "float16", Distribution()),
        ("mamba", "auto", Distribution(min_probability=1e-6)),
    ],
)
def test_likelihoods_are_those_of_a_cpu(case, device, family, dtype, distribution):
    model, sequences, truth = case(family)
    rules = replace(RULES, distribution=distribution)
    expected = Engine(model, rules, calibration=sequences[::4], dtype="float32").score(sequences)
    engine = Engine(model.to("cuda"), rules, calibration=sequences[::4], dtype=dtype, batch_size=7)
    found = engine.score(sequences)
    np.testing.assert_array_equal(found.matched_tokens, truth)
    away = {"bfloat16": 2.0, "float16": 0.25}.get(dtype, 1e-4)
    np.testing.assert_allclose(found.log_likelihood, expected.log_likelihood, rtol=0, atol=away)
    assert engine.record()["likelihood"]["dtype"] == ("float32" if dtype == "auto" else dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("family", ["gpt_neox", "llama"])
def test_the_host_waits_three_times_in_a_batch(case, device, family, dtype):
    """After each chunk but the last, and for the answer; whatever was met before."""
    model, sequences, _ = case(family)
    engine = Engine(model.to("cuda"), RULES, calibration=sequences, dtype=dtype, batch_size=6)
    (first, *_), every = engine.stages, np.ones((N, RULES.continuation_tokens), bool)
    assert len(first.stops) <= 3
    device.reset()
    with torch.inference_mode():
        outcomes = first.outcomes(sequences, every)
    batches = -(-N // 6)
    assert device.host_waits <= 3 * batches, device.where
    assert len(np.unique(outcomes)) > 1


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2"])
def test_attention_takes_no_other_back_ends(case, device, family):
    model, sequences, _ = case(family)
    device.reset()
    engine = Engine(model.to("cuda"), RULES, calibration=sequences, dtype="float16", batch_size=7)
    engine.matched_tokens(sequences)
    assert set(device.attention) == {
        (dtype, "flash, efficient, math")  # no cuDNN
        for dtype in (torch.float64, torch.float32, torch.float16)
    }
    assert engine.record()["attention"].endswith("flash, efficient, math")


@pytest.mark.parametrize(("family", "dtype"), [("gpt_neox", "float16"), ("llama", "float32")])
def test_a_captured_pass_gives_the_same(case, device, family, dtype):
    model, sequences, truth = case(family)
    options = {"calibration": sequences[:4], "dtype": dtype, "batch_size": 3}
    engine = Engine(model.to("cuda"), RULES, **options)
    assert engine.record()["graph"].startswith("not captured")
    sequences, truth = np.tile(sequences, (3, 1)), np.tile(truth, 3)
    sequences[N:, 1] = (sequences[N:, 1] + 1) % 7  # other prompts, so that nothing is decided twice
    forward = engine.stages[0].forward
    with torch.inference_mode():
        prompts = torch.from_numpy(sequences[:, :4].astype(np.int64)).to("cuda").split(3)
        with forward.precision():
            replayed = [_copied(forward.prompt(each, keep=1)) for each in prompts]
            assert engine.record()["graph"] == "captured"
            assert device.calls["replay"] == len(sequences) // 3 - 1
            forward.capture(0, 4)
            eager = [_copied(forward.prompt(each, keep=1)) for each in prompts]
    for ours, theirs in zip(replayed, eager, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)
    np.testing.assert_array_equal(engine.matched_tokens(sequences[:N]), truth[:N])


def _copied(read):
    features, cache = read
    return features.cpu(), cache.keys.cpu(), cache.values.cpu()


@pytest.mark.parametrize("reason", ["stream is capturing", "out of memory"])
def test_a_pass_that_cannot_be_captured_runs_as_before(case, device, monkeypatch, reason):
    model, sequences, truth = case("gpt_neox")
    options = {"calibration": sequences[:4], "dtype": "float32", "batch_size": 3}
    engine = Engine(model.to("cuda"), RULES, **options)
    device.reset()
    read = DecoderForward._read_prompt

    def waiting(forward, tokens, keep=1):
        tokens.unique()
        return read(forward, tokens, keep)

    if reason == "out of memory":
        device.fails = lambda _: bool(CAPTURING)
    else:
        monkeypatch.setattr(DecoderForward, "_read_prompt", waiting)
    np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
    assert reason in engine.record()["graph"]
    assert device.calls["capture"] == 1
    assert device.calls["replay"] == 0


def test_smaller_batches_have_a_graph_of_their_own(case, device):
    model, sequences, truth = case("gpt_neox")
    options = {"calibration": sequences[:4], "dtype": "float32", "batch_size": 6}
    engine = Engine(model.to("cuda"), RULES, **options)
    np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
    assert engine.record()["graph"] == "captured"
    with pytest.warns(CapacityWarning, match="6 sequences at once: going on with 3"):
        engine._halve_batches("no memory")
    assert engine.record()["graph"].startswith("not captured")
    device.reset()
    np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
    assert engine.record()["graph"] == "captured"
    assert device.calls["replay"] == N // 3 - 1


def test_what_does_not_fit_is_halved(case, device):
    model, sequences, truth = case("gpt_neox")
    engine = Engine(
        model.to("cuda"), RULES, calibration=sequences[:4], dtype="float32", batch_size=N
    )
    numbers = 2 * model.config.num_hidden_layers * model.config.hidden_size * RULES.prompt_tokens
    device.fails = lambda size: size == 4 * numbers * N  # keys and values of all sequences
    with pytest.warns(CapacityWarning) as told:
        np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
    assert "16 sequences at once: going on with 8" in str(told[0].message)
    assert device.calls["empty_cache"] > 0
    engine.stages[0].forward.capture(0, 4)  # a graph has memory that halving gives back
    gc.collect()  # what earlier tests have left behind is not found free later
    device.fails, device.memory = None, device.allocated
    with pytest.warns(CapacityWarning), pytest.raises(ModelError, match=r"one .*\(CUDA out of mem"):
        engine.matched_tokens(sequences)


def test_batches_are_as_large_as_the_free_memory_allows(case, device):
    model, sequences, _ = case("gpt_neox")
    model.to("cuda")
    sizes = []
    for free in (4 << 20, 1 << 30):
        device.memory = device.allocated + free
        engine = Engine(model, RULES, calibration=sequences[:4], dtype="float32")
        sizes.append(engine.record()["batch_size"])
    assert 1 < sizes[0] < 1024 == sizes[1]


def test_a_copy_that_is_not_waited_for_is_seen(case, device, monkeypatch):
    model, sequences, _ = case("gpt_neox")
    engine = Engine(model.to("cuda"), RULES, calibration=sequences[:4], dtype="float32")
    monkeypatch.setattr(stages_module, "_arrived", lambda batch, copies: batch)
    with pytest.raises(RuntimeError, match="has not waited"):
        engine.matched_tokens(sequences)


def test_the_device_is_strict(device):
    ours, host = torch.ones(3, 3, device="cuda"), torch.ones(3, 3)
    with pytest.raises(RuntimeError, match="same device"):
        ours @ host
    with pytest.raises(RuntimeError, match="same device"):
        ours + torch.ones(3, 3, device="cuda:1")
    with pytest.raises(TypeError, match=r"\.cpu\(\)"):
        np.asarray(ours)
    waits = device.host_waits
    assert (ours + torch.tensor(2.0)).sum().item() == 27
    assert ours.to("cuda:0") is ours
    assert device.host_waits == waits + 1
    early = ours.sum(1).to("cpu", non_blocking=True)
    moment = torch.cuda.Event()
    moment.record()
    (ours + 1).max()
    assert early.isnan().all()  # nobody has waited
    moment.synchronize()
    assert early.tolist() == [3, 3, 3]
    assert device.behind[-2:] == [0, 2]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        made = torch.ones(2, device="cuda")
    with pytest.raises(RuntimeError, match="waited"):
        made + 1
    torch.cuda.current_stream().wait_stream(side)
    with pytest.raises(RuntimeError, match="record_stream"):
        made + 1
    made.record_stream(torch.cuda.current_stream())
    assert (made + 1).tolist() == [2, 2]


def test_memory_is_counted_once_and_given_back(device):
    before = device.allocated
    a = torch.zeros(1000, device="cuda")
    b = a[::2].view(-1)
    assert device.allocated == before + 4000
    device.memory = device.allocated + 100
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        torch.zeros(101, dtype=torch.uint8, device="cuda")
    del a
    assert device.allocated == before + 4000
    del b
    assert device.allocated == before


def test_tf32_rounds_products(device):
    a = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    exact, ours = a @ a, a.to("cuda")
    device.tf32 = False
    assert torch.equal((ours @ ours).cpu(), exact)
    device.tf32 = True
    error = ((ours @ ours).cpu() - exact).abs().max()
    assert 1e-4 < error < 1e-2


def test_tf32_that_the_user_allows_does_not_reach_the_engine(case, device):
    """As TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 leaves torch's switches."""
    model, sequences, truth = case("gpt_neox")
    model.to("cuda")
    tolerances = []
    for user in ("highest", "high"):
        torch.set_float32_matmul_precision(user)
        try:
            engine = Engine(model, RULES, calibration=sequences[::4], dtype="float32")
            np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
            assert torch.backends.cuda.matmul.allow_tf32 == (user == "high")
        finally:
            torch.set_float32_matmul_precision("highest")
        tolerances.append(engine.stages[0].tolerance)
    assert tolerances[0] == tolerances[1]


def test_leading_tokens_that_agree(device):
    random = torch.Generator().manual_seed(1)
    a, b = torch.randint(0, 2, (2, 50, 7), generator=random)
    expected = matched_tokens(a, b)
    assert torch.equal(matched_tokens(a.to("cuda"), b.to("cuda")).cpu(), expected)


def test_a_decision_on_a_device_needs_rows_in_one_piece_and_may_be_empty(device):
    logits = torch.zeros(5, 4, device="cuda")
    with pytest.raises(ValueError, match="the last must be 1"):
        decide(logits.t(), torch.zeros(4, dtype=torch.int64, device="cuda"), 0.0, mask_eos=False)
    nothing = torch.zeros(0, dtype=torch.int64, device="cuda")
    assert decide(logits[:0], nothing, 0.0, mask_eos=False).shape == (0,)


def test_a_stream_that_speaks_the_newer_protocol_is_given_as_it_is(device):
    stream = SimpleNamespace(__cuda_stream__=lambda: (0, 7))
    cuda = SimpleNamespace(Stream=SimpleNamespace(from_external=lambda given: given))
    assert kernels._cupy_stream(SimpleNamespace(cuda=cuda), stream) is stream


def test_every_line_for_a_device_has_run(case, device, monkeypatch):
    """Shown by the lines themselves: of branches on `device.type`, and of files for CUDA alone."""
    has_split_products.cache_clear()
    graphs._stream.cache_clear()
    with lines.recorded() as seen:
        test_what_does_not_fit_is_halved(case, device)
        device.memory = 80 << 30
        test_a_pass_that_cannot_be_captured_runs_as_before(
            case, device, monkeypatch, "out of memory"
        )
        device.fails = None
        test_smaller_batches_have_a_graph_of_their_own(case, device)
        model, sequences, truth = case("gpt_neox")
        options = {"calibration": sequences[::4], "dtype": "float16", "batch_size": 7}
        engine = Engine(model.to("cuda"), RULES, **options)
        np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
        rules = replace(RULES, distribution=Distribution())
        Engine(model, rules, calibration=sequences[::4], dtype="float32").score(sequences)
        test_leading_tokens_that_agree(device)
        test_a_decision_on_a_device_needs_rows_in_one_piece_and_may_be_empty(device)
        test_a_stream_that_speaks_the_newer_protocol_is_given_as_it_is(device)
        assert visible_devices("auto") == ["cuda:0"]
        assert free_memory(torch.device("cuda", 0)) == device.memory - device.allocated
        nothing = Weights(Path(), {}, None)
        assert stored._spreading(nothing, torch.device("cuda", 0)) == ""
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert "all 2 CUDA devices" in stored._spreading(nothing, torch.device("cuda", 0))
        monkeypatch.setattr(stored, "budgets", lambda: {0: -1})
        assert stored._spreading(nothing, torch.device("cuda", 0)) == ""
        assert describe_device(torch.device("cuda", 0)) == "simulated CUDA device"
    wanted = set(lines.for_cuda())
    files = Counter(path.rsplit("/", 1)[1] for path, _ in wanted)
    assert files["cuda.py"] > 30
    assert files["graphs.py"] > 15
    assert {"build.py", "engine.py", "stages.py", "loading.py", "memory.py"} <= set(files)
    assert sorted(wanted - seen) == []
