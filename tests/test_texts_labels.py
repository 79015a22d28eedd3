"""Labels of texts, similar texts, and what is masked."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.corpus import open_corpus
from memtrace.corpus.copies import find_copies
from memtrace.corpus.similar import SIMILARITY, find_similar, jaccard
from memtrace.texts.labels import LONGEST_PERIOD, Evidence, increments, labels_of, repeats
from memtrace.texts.redact import MASK, redact


@pytest.mark.parametrize("period", [1, 2, 7, LONGEST_PERIOD, LONGEST_PERIOD + 1])
def test_a_period_of_up_to_16_tokens_repeats(period):
    rng = np.random.default_rng(period)
    unit = rng.permutation(500)[:period]
    row = np.concatenate((rng.integers(600, 900, 32 - period), np.tile(unit, 33)))[:64]
    assert repeats(row[None], 32).tolist() == [period <= LONGEST_PERIOD]
    changed = row.copy()
    changed[50] = 999
    assert not repeats(changed[None], 32)[0]


def test_random_tokens_do_not_repeat_and_short_prompts_have_short_periods():
    rows = np.random.default_rng(0).integers(0, 50_000, (200, 64))
    assert not repeats(rows, 32).any()
    assert repeats(np.array([[7, 7, 7, 7]]), 1).tolist() == [True]
    assert repeats(np.array([[7, 8, 7, 8]]), 1).tolist() == [False]  # nothing to repeat yet


@pytest.mark.parametrize(
    ("prompt", "continuation"),
    [
        ("1. a 2. b 3. c ", "4. d 5. e"),
        ("10, 20, 30, ", "40, 50, 60"),
        ("0x0e, 0x0f, 0x10, ", "0x11, 0x12,"),
        ("(1, 7) (2, 7) (3, 9) ", "(4, 1) (5, 7)"),
        ("a) x1y b) c) ", "d) e)"),
        ("A, B, C, ", "D, E, F"),
    ],
)
def test_what_counts_up(prompt, continuation):
    assert increments(prompt, continuation)


@pytest.mark.parametrize(
    ("prompt", "continuation"),
    [
        ("1. a 2. b 3. c 4. d 5. e", " and so on"),  # the continuation has none of it
        ("5, 4, 3, ", "2, 1"),
        ("1, 1, 1, ", "1, 1, 1"),
        ("1, 2, 4, ", "8, 16, 32"),
        ("a, c, e, ", "g, i, k"),
        ("3, 4, ", "5"),
        ("no numbers", " at all"),
        ("A B C ", "d E F"),
    ],
)
def test_what_does_not_count_up(prompt, continuation):
    assert not increments(prompt, continuation)


@pytest.mark.parametrize(
    ("evidence", "labels"),
    [
        (Evidence(6, False, False, False), ["recited"]),
        (Evidence(5, False, False, False), ["rare"]),
        (Evidence(1, True, True, True), ["repeating", "incrementing", "templated"]),
        (Evidence(9, True, False, False), ["recited", "repeating"]),
        (Evidence(None, False, False, False), []),
        (Evidence(1, False, False, None), []),
        (Evidence(None, True, False, None), ["repeating"]),
    ],
)
def test_labels_follow_from_the_evidence(evidence, labels):
    assert labels_of(evidence) == labels


def test_similar_texts_equal_brute_force(tmp_path):
    """Copies with 0 to 30 tokens changed: each pair above the threshold, and no other."""
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 30_000, (240, 64)).astype(np.uint16)
    for i in range(120, 240):
        changed = rng.choice(64, rng.integers(0, 31), replace=False)
        rows[i] = rows[i - 120]
        rows[i, changed] = rng.integers(30_000, 60_000, len(changed))
    np.save(tmp_path / "rows.npy", rows)
    corpus = open_corpus(str(tmp_path / "rows.npy"))
    table = find_similar(corpus, find_copies(corpus, 64, 32))
    grams = [{tuple(row[i : i + 3]) for i in range(62)} for row in rows.tolist()]
    same = {i for i in range(120, 240) if (rows[i] == rows[i - 120]).all()}
    expected = {}
    for i in range(120):
        j = i + 120
        share = len(grams[i] & grams[j]) / len(grams[i] | grams[j])
        np.testing.assert_allclose(jaccard(rows[[i]], rows[[j]]), share)
        if share >= SIMILARITY and j not in same:
            expected |= {i: j, j: i}
    found = dict(table.select("first_index", "similar_index").iter_rows())
    assert found == {i: j for i, j in expected.items() if i in found}  # none is false
    assert len(found) >= 0.97 * len(expected) > 20
    assert not same & set(found)


@pytest.mark.parametrize(
    "secret",
    [
        "jane.doe+x@mail.example.org",
        "+49 (0)30 1234-5678",
        "555-867-5309 12",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "sk-proj-abcdefgh12345678ijkl",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
        "d41d8cd98f00b204e9800998ecf8427e",
        "password = 'hunter2hunter2",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nq1w2",
    ],
)
def test_private_data_are_masked_wherever_they_are(secret):
    shown = redact(f"see {secret}")
    assert len(shown) == len(f"see {secret}")
    assert shown.startswith("see ")
    assert set(shown[4:].replace(MASK, "")) <= set(" '") | set(string.whitespace)


@pytest.mark.parametrize(
    "text",
    [
        "for i in range(100000):",
        "@property\ndef x(self)",
        "2020-01-02, 3.14159265",
        "a = b @ c",
        "",
    ],
)
def test_ordinary_text_is_not_masked(text):
    assert redact(text) == text


@settings(max_examples=30, deadline=None)
@given(st.text())
def test_a_mask_keeps_the_length(text):
    assert len(redact(text)) == len(text)
