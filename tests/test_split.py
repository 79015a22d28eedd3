"""Split products: their error, how many they are, and an engine that decides with them."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.families import generated, in_float64, random_model
from memtrace.engine import Engine, Rules, build
from memtrace.engine.calibrate import Measured
from memtrace.engine.choice import Candidate, cheapest
from memtrace.engine.forward import split
from memtrace.engine.forward.linear import gated, linear, side_by_side
from memtrace.engine.forward.split import Split, has_split_products
from memtrace.engine.stages import ToleranceStage
from memtrace.errors import ApproximationWarning

RULES = Rules(prompt_tokens=4, continuation_tokens=4)
HALF, BRAIN = torch.float16, torch.bfloat16


def layer(stored=torch.float32, seed=0):
    torch.manual_seed(seed)
    made = nn.Linear(96, 40).to(stored)
    return made.requires_grad_(False)


@pytest.fixture
def products(monkeypatch):
    """The types of what is multiplied."""
    seen, product = [], split._product
    monkeypatch.setattr(
        split, "_product", lambda x, w: seen.append((x.dtype, w.dtype)) or product(x, w)
    )
    return seen


@pytest.mark.parametrize(
    ("parts", "stored", "count", "digits"),
    [
        (HALF, torch.float32, 3, 21),
        (HALF, HALF, 2, 21),
        (BRAIN, torch.float32, 3, 15),
        (BRAIN, BRAIN, 2, 15),
    ],
)
@pytest.mark.parametrize("size", [1e-3, 1.0, 500.0])
def test_the_error_of_split_products(products, parts, stored, count, digits, size):
    """Of each result, as a share of the sum of the sizes of its terms."""
    ours = layer(stored)
    x = size * torch.randn(3, 50, 96, generator=torch.Generator().manual_seed(1))
    found = linear(ours, Split(parts))(x)
    assert products == count * [(parts, parts)]
    assert found.dtype == torch.float32
    weight, bias = ours.weight.double(), ours.bias.double()
    terms = x.double().abs() @ weight.abs().t() + bias.abs()
    share = ((found - (x.double() @ weight.t() + bias)).abs() / terms).max()
    assert share < 2.0**-digits
    rounded = x.to(parts).double() @ weight.to(parts).double().t() + bias
    once = ((rounded - (x.double() @ weight.t() + bias)).abs() / terms).max()
    assert share < once / 60  # of plain half-precision inputs


def test_what_overflows_is_not_finite_and_leaves_its_neighbours_alone():
    x = torch.ones(2, 96)
    x[0, 5] = 1e6
    found = linear(layer(), Split(HALF))(x)
    assert found.isfinite().all(1).tolist() == [False, True]
    assert linear(layer(), Split(BRAIN))(x).isfinite().all()


def test_layers_together_are_the_layers_one_by_one():
    one, two, three = (layer(seed=i) for i in range(3))
    down = nn.Linear(40, 96).requires_grad_(False)
    x = torch.randn(7, 96)
    both = side_by_side([one, two], Split(HALF))(x)
    torch.testing.assert_close(both, torch.cat([one(x), two(x)], 1), rtol=0, atol=1e-5)
    found = gated(one, three, down, nn.SiLU(), Split(HALF))(x)
    expected = down(nn.functional.silu(one(x)) * three(x))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.fixture
def longest(monkeypatch):
    """The simulation knows no time: the chain with most precisions is taken."""
    monkeypatch.setattr(build, "cheapest", lambda chains: max(chains, key=len))


@pytest.mark.parametrize(
    ("family", "stored", "dtype", "labels"),
    [
        ("gpt_neox", HALF, "auto", ["float16", "split float16", "float32"]),
        ("llama", torch.float32, "bfloat16", ["bfloat16", "split float16", "float32"]),
        ("llama", BRAIN, "auto", ["float16", "split bfloat16", "float32"]),
    ],
)
def test_scores_are_the_truth_with_split_products_between(
    device, longest, products, family, stored, dtype, labels
):
    model = random_model(family).to(stored)
    sequences = generated(model.float(), RULES, 24)
    truth = in_float64(model, RULES, sequences)
    model = model.to(stored)
    engine = Engine(model.to("cuda"), RULES, calibration=sequences[::4], dtype=dtype, batch_size=9)
    assert [each["precision"] for each in engine.record()["stages"]] == labels
    coarse, fine, full = (each["tolerance"] for each in engine.record()["stages"])
    assert coarse > 30 * fine
    assert fine < 100 * full
    products.clear()
    np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
    assert len(products) > 0
    record = engine.record()
    assert record["rechecked"] > 0
    assert record["audit"]["wrong"] == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "auto"])
def test_the_host_waits_three_times_in_a_batch(device, longest, dtype):
    """After each chunk but the last, and for the answer."""
    model = random_model("llama").to(HALF)
    sequences = generated(model.float(), RULES, 18)
    model = model.to(HALF)
    engine = Engine(model.to("cuda"), RULES, calibration=sequences[::4], dtype=dtype, batch_size=6)
    every = np.ones((18, RULES.continuation_tokens), bool)
    first, between, _ = engine.stages
    for stage in (first, between):
        device.reset()
        with torch.inference_mode():
            stage.outcomes(sequences, every)
        assert device.host_waits <= 3 * 3, (stage.forward.label, device.where)


def test_the_audit_finds_what_split_products_got_wrong(device, longest, monkeypatch):
    """Products whose rows are mixed up."""
    model = random_model("llama")
    sequences = generated(model, RULES, 48)
    truth = in_float64(model, RULES, sequences)
    engine = Engine(
        model.to("cuda"), RULES, calibration=sequences[::4], dtype="bfloat16", batch_size=9
    )
    wide = [each.tolerance for each in engine.stages]
    monkeypatch.setattr("memtrace.engine.engine.SPLIT_AUDIT", (99, 1.0))
    product = split._product
    monkeypatch.setattr(split, "_product", lambda x, w: product(x, w).flip(0))
    with pytest.warns(ApproximationWarning, match="wrong decision in split float16"):
        np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
    assert engine.stages[1].tolerance > wide[1]
    assert [engine.stages[0].tolerance, engine.stages[2].tolerance] == [wide[0], wide[2]]


def test_a_cpu_has_no_split_products(device):
    assert not has_split_products(torch.device("cpu"))
    assert has_split_products(torch.device("cuda", 0))


def candidate(seconds, margins, tolerance):
    """A precision that says these margins, `(n, l)`, of targets."""
    plain = torch.stack([torch.tensor(margins).flatten(), torch.zeros(4)], 1).double()
    stage = ToleranceStage(
        None, length=2, mask_eos=False, batch_size=8, stops=(1, 2), max_rows=8, tolerance=tolerance
    )
    return Candidate(stage, Measured(None, plain, plain, seconds))


def test_the_cheapest_chain_is_taken():
    """Of two sequences half precision leaves one open; the other has missed before it would be."""
    margins = [[5.0, 0.1], [-5.0, 0.1]]
    half, middle = candidate(1.0, margins, 0.5), candidate(2.0, margins, 0.01)
    full = candidate(16.0, margins, 1e-5)
    assert (half.undecided(), middle.undecided()) == (0.5, 0.0)
    chains = [[half, full], [half, middle, full], [full]]
    assert cheapest(chains) is chains[1]
    assert cheapest([chains[0], chains[2]]) is chains[0]
    slow = candidate(9.0, margins, 0.5)
    assert cheapest([[slow, full], [full]]) == [full]
