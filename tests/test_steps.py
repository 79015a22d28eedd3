"""The grammar of steps: what each form asks for, and what is refused."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtrace.errors import ManifestError
from memtrace.manifests.steps import check_steps, parse_steps

STEPS = [0, *(2**i for i in range(10)), *range(1000, 143_001, 1000)]


@given(st.lists(st.sampled_from(STEPS), min_size=1), st.randoms())
def test_steps_written_out_are_read_back(chosen, random):
    random.shuffle(chosen)
    assert parse_steps(" , ".join(map(str, chosen)), STEPS) == sorted(set(chosen))


@given(st.integers(0, 150_000), st.integers(0, 150_000))
def test_a_range_without_increment_holds_the_checkpoints_within(start, length):
    expected = [step for step in STEPS if start <= step <= start + length]
    text = f"{start}:{start + length}"
    if expected:
        assert parse_steps(text, STEPS) == expected
    else:
        with pytest.raises(ManifestError, match=str(start)):
            parse_steps(text, STEPS)


small = st.integers(0, 60)


@given(st.sets(small, min_size=1), small, small, st.integers(1, 9))
def test_a_range_with_increment_asks_for_each_of_its_steps(steps, start, length, increment):
    asked = set(range(start, start + length + 1, increment))
    text = f"{start}:{start + length}:{increment}"
    if asked <= steps:
        assert parse_steps(text, sorted(steps)) == sorted(asked)
    else:
        with pytest.raises(ManifestError, match=rf"step {min(asked - steps)}\b"):
            parse_steps(text, sorted(steps))


def test_words_and_lists():
    assert parse_steps("ALL", STEPS) == STEPS
    assert parse_steps("Last", STEPS) == [143_000]
    assert parse_steps("last,0, 0:2", STEPS) == [0, 1, 2, 143_000]
    assert parse_steps("1000:143000:1000", STEPS) == STEPS[11:]


@given(st.integers(0, 200_000).filter(lambda step: step not in STEPS))
def test_a_missing_step_is_named_with_its_neighbours(step):
    with pytest.raises(ManifestError) as caught:
        parse_steps(str(step), STEPS)
    numbers = [int(number) for number in re.findall(r"\d+", str(caught.value))]
    assert numbers[0] == step
    assert min(STEPS, key=lambda other: abs(other - step)) in numbers[1:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "1000,",
        "a",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "1::2",
        ":5",
        "1:2:3:4",
        "2:1",
        "0:4:0",
        "٣",
        "1_0",
        "-5",
        "-5:5",
        "0x1",
    ],
)
def test_malformed_steps(text):
    with pytest.raises(ValueError, match=re.escape(repr(text.rpartition(",")[2]))):
        parse_steps(text, STEPS)


def test_a_range_without_end_costs_nothing():
    with pytest.raises(ManifestError, match="step 3"):
        parse_steps(f"0:{10**12}:1", STEPS)
    assert parse_steps(f"0:{10**12}", STEPS) == STEPS
    many = range(200_000)
    assert parse_steps("0:199999:1", many) == list(many)


@pytest.mark.parametrize("text", [f"{10**12 + 1}", f"0:{10**13}", f"0:1:{10**13}", "9" * 5000])
def test_numbers_that_no_step_can_be(text):
    for read in (check_steps, lambda text: parse_steps(text, STEPS)):
        with pytest.raises(ValueError, match="too large: the last step is 1,000,000,000,000") as e:
            read(text)
        assert len(str(e.value)) < 200


@given(st.text(alphabet="0123456789:, alst", max_size=20))
def test_any_text_gives_checkpoints_or_a_clean_refusal(text):
    steps = None
    with contextlib.suppress(ManifestError, ValueError):
        steps = parse_steps(text, STEPS)
    assert steps is None or (steps and steps == sorted(set(steps) & set(STEPS)))


def test_a_step_as_tables_show_it_is_told_how_to_write_it():
    with pytest.raises(ManifestError, match=r"no checkpoint at step 2; .* has no comma: 2560\)"):
        parse_steps("2,560", [0, 1, 64, 2560])
    assert parse_steps("1,512", [1, 512]) == [1, 512]
