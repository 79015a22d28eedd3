"""The facts in pythia.yaml, and every manifest that comes with memtrace."""

import re
from pathlib import Path
from typing import Any

import pytest

from memtrace.manifests import (
    find_corpus,
    find_model,
    load_suite,
)

FOLDER = Path(__file__).parents[1] / "data_manifests"
PYTHIA = load_suite(FOLDER / "pythia.yaml")
FACTS = Path(__file__).parents[1].parent / "shared" / "reference" / "pythia-and-peers.md"
STEPS = [0, *(2**i for i in range(10)), *range(1000, 143_001, 1000)]
SIZES = ["70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b"]


@pytest.mark.parametrize("entry", PYTHIA.models, ids=lambda entry: entry.name)
def test_parameters_follow_from_the_shape(entry):
    """GPT-NeoX: two embeddings; per layer 12 d^2 weights, 13 d biases and norms; one norm."""
    d = entry.width
    assert entry.parameters == (
        2 * entry.vocab_size * d + entry.layers * (12 * d * d + 13 * d) + 2 * d
    )
    assert entry.width % entry.heads == 0
    assert entry.vocab_size >= 50_277  # the tokenizer
    assert entry.vocab_size % 128 == 0


def test_every_pythia_model_is_there_once():
    names = [f"{size}{variant}" for size in SIZES for variant in ("", "-deduped")] + ["14m", "31m"]
    names += [f"{size}-seed{i}" for size in ["14m", "31m", *SIZES[:3]] for i in range(1, 10)]
    names += [f"160m-{kind}-seed{i}" for kind in ("data", "weight") for i in (1, 2, 3)]
    assert sorted(entry.name for entry in PYTHIA.models) == sorted(names)
    for entry in PYTHIA.models:
        assert entry.source(512) == (f"EleutherAI/pythia-{entry.name}", "step512")


def test_models_of_one_size_have_one_shape():
    shapes: dict[str, set[tuple[Any, ...]]] = {}
    for entry in PYTHIA.models:
        shape = (entry.layers, entry.width, entry.heads, entry.vocab_size, entry.dtype)
        shapes.setdefault(entry.name.partition("-")[0], set()).add(shape)
    assert all(len(of_size) == 1 for of_size in shapes.values())


def test_only_1b_was_trained_in_bfloat16():
    other = {entry.name for entry in PYTHIA.models if entry.dtype != "float16"}
    assert other == {"1b", "1b-deduped"}
    assert find_model("1b", suite="pythia")[1].dtype == "bfloat16"


def test_schedule_and_exposure():
    assert list(PYTHIA.steps) == STEPS
    assert (len(STEPS), PYTHIA.last_step) == (154, 143_000)
    rows = PYTHIA.corpora["pile-standard"].rows
    assert PYTHIA.exposed_rows(0, rows) == 0
    assert PYTHIA.exposed_rows(23_000, rows) == 23_552_000
    assert PYTHIA.exposed_rows(143_000, rows) == rows  # the last checkpoint has seen it all, once
    assert PYTHIA.exposed_rows(143_000, 1000) == 1000


@pytest.mark.parametrize("name", ["pile-standard", "pile-deduped"])
def test_corpora(name):
    _, corpus = find_corpus(name)
    assert corpus.name == name
    assert corpus.local_files is None
    assert corpus.rows * corpus.row_tokens * 2 == 600_078_336_000
    assert len(corpus.file_names) == 21
    assert corpus.file_names[0] == "document-00000-of-00020.bin"
    assert corpus.file_names[-1] == "document-00020-of-00020.bin"


def test_models_have_the_corpus_of_their_name():
    for entry in PYTHIA.models:
        if "seed" in entry.name:
            assert entry.corpus is None
            assert "--corpus" in entry.corpus_note
        elif entry.name != "31m":
            expected = "pile-deduped" if "deduped" in entry.name else "pile-standard"
            assert entry.corpus == expected


def test_published_counts_grow_with_size_and_with_duplicates():
    last = {entry.name: entry.memorized.get(143_000) for entry in PYTHIA.models}
    for variant in ("", "-deduped"):
        counts = [last[size + variant] for size in SIZES]
        assert counts == sorted(counts)
    assert all(last[f"{size}-deduped"] < last[size] for size in SIZES)
    for entry in PYTHIA.models:
        assert list(entry.memorized) == sorted(entry.memorized)
        assert list(entry.memorized.values()) == sorted(entry.memorized.values())
        for step, count in entry.memorized.items():
            rate = count / PYTHIA.exposed_rows(step, PYTHIA.corpora[entry.corpus].rows)
            assert 0.002 < rate < 0.02


@pytest.mark.skipif(not FACTS.is_file(), reason="the project's page of facts is not here")
def test_shapes_and_counts_against_the_page_of_facts():
    rows = [
        [cell.strip(" *") for cell in line.split("|")[1:-1]]
        for line in FACTS.read_text().splitlines()
    ]
    shapes = {row[0]: row for row in rows if len(row) == 10 and re.fullmatch(r"[\d.]+[mb]", row[0])}
    counts = {row[0]: row for row in rows if len(row) == 9 and re.fullmatch(r"[\d.]+[mb]", row[0])}
    assert (len(shapes), len(counts)) == (10, 8)
    dtypes = {"fp16": "float16", "bf16": "bfloat16"}

    def number(cell: str) -> int:
        return int(cell.split()[0].replace(",", ""))

    for entry in PYTHIA.models:
        size, _, variant = entry.name.partition("-")
        _, layers, width, heads, _, vocab_size, parameters, *_, dtype = shapes[size]
        assert (entry.layers, entry.width, entry.heads, entry.vocab_size) == tuple(
            map(number, (layers, width, heads, vocab_size))
        )
        assert (entry.parameters, entry.dtype) == (number(parameters), dtypes[dtype])
        if size in counts and variant in ("", "deduped"):
            published = counts[size][5 if variant else 1]
            assert entry.memorized[143_000] == number(published)


def bad_steps(name: str) -> set[int]:
    _, entry = find_model(name, suite="pythia")
    return {step for step in PYTHIA.steps if entry.known_bad_reason(step)}


def test_sound_branches_of_2_8b_are_those_with_a_file_of_their_own():
    """The report lists the sound branches too: 68, between 66000 and 142000."""
    sound = set(PYTHIA.steps) - bad_steps("2.8b")
    others = {70_000, 80_000, 90_000, 100_000, 103_000, 110_000, 120_000, 130_000, 140_000}
    assert sound == set(range(66_000, 142_001, 1000)) - others
    assert len(sound) == 68


def test_known_bad_branches_elsewhere():
    assert bad_steps("12b") == {50_000, 58_000}
    assert bad_steps("410m-seed2") == {111_000}
    assert bad_steps("410m-seed6") == {88_000}
    assert bad_steps("410m-seed9") == {40_000}
    for seed in (1, 2):
        assert bad_steps(f"160m-weight-seed{seed}") == set(PYTHIA.steps) - {0}
    faulty = {entry.name for entry in PYTHIA.models if entry.known_bad}
    assert len(faulty) == 7
    for entry in PYTHIA.models:
        for bad in entry.known_bad:
            assert re.fullmatch(r"https://github\.com/EleutherAI/pythia/issues/20[2356]", bad.url)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_every_manifest_that_comes_with_memtrace(path):
    suite = load_suite(path)
    assert path.stem == suite.suite
    for corpus in suite.corpora.values():
        for file in corpus.local_files or ():
            assert file.is_file()
    for entry in suite.models:
        if entry.hub is None:
            places = [Path(entry.source(step)[0]) for step in suite.steps_of(entry)]
            assert all((place / "config.json").is_file() for place in places)
