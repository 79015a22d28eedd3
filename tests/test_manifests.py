"""Manifests: the facts in pythia.yaml, what a manifest may not say and finding by name."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from memtrace.errors import ManifestError
from memtrace.manifests import (
    find_corpus,
    find_model,
    find_suite,
    load_suite,
    load_suites,
)
from memtrace.manifests import lookup as manifests

FOLDER = Path(__file__).parents[1] / "data_manifests"
FACTS = Path(__file__).parents[1].parent / "shared" / "reference" / "pythia-and-peers.md"
PYTHIA = load_suite(FOLDER / "pythia.yaml")
STEPS = [0, *(2**i for i in range(10)), *range(1000, 143_001, 1000)]
SIZES = ["70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b"]

# Every example writes its own manifest over the last one's.
one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def document(**changes: Any) -> dict[str, Any]:
    """Return a small valid manifest, as YAML gives it, with top-level changes."""
    corpus = {"path": "c", "files": "c.bin", "row_tokens": 65, "dtype": "uint16", "rows": 640}
    return {
        "schema": 1,
        "suite": "toy",
        "title": "A toy",
        "sequences_per_step": 64,
        "steps": [0, "2:8:2", 10],
        "corpora": {"text": corpus},
        "models": [model()],
        **changes,
    }


def model(**changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "path": "w/step{step}",
        "corpus": "text",
        "architecture": "gpt-neox",
        "layers": 2,
        "width": 8,
        "heads": 2,
        "vocab_size": 16,
        "parameters": 100,
        "dtype": "float32",
        **changes,
    }


def refusal(folder: Path, content: Any) -> str | None:
    """Return the message with which a manifest is refused, or None where it loads."""
    try:
        load_suite(write(folder, content))
    except ManifestError as error:
        return str(error)
    return None


def write(folder: Path, content: Any, name: str = "toy.yaml") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


# The facts in pythia.yaml


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
            assert all(Path(entry.source(step)[0], "config.json").is_file() for step in suite.steps)


# What a manifest may say, and what not


def test_minimal_manifest(tmp_path, monkeypatch):
    path = write(tmp_path, document())
    monkeypatch.chdir(tmp_path)
    suite = load_suite(Path(path.name))  # paths are absolute even if the manifest's own is not
    assert suite.steps == (0, 2, 4, 6, 8, 10)
    (entry,) = suite.models
    assert entry.source(4) == (str(tmp_path / "w" / "step4"), None)
    assert suite.corpora["text"].local_files == (tmp_path / "c" / "c.bin",)
    with pytest.raises(ValidationError):
        suite.title = "another"


def test_a_step_is_put_in_where_the_folder_has_braces_of_its_own(tmp_path):
    folder = tmp_path / "a{b}"
    folder.mkdir()
    suite = load_suite(write(folder, document()))
    assert suite.models[0].source(2) == (str(folder / "w" / "step2"), None)


BAD = [
    (document(schema=2), "schema"),
    (document(colour="red"), "colour"),
    ({k: v for k, v in document().items() if k != "steps"}, "steps"),
    (document(steps=[]), "steps"),
    (document(steps="all"), "steps"),
    (document(steps=[True]), "True"),
    (document(steps=["5:1"]), "5:1"),
    (document(steps=["1:5:0"]), "1:5:0"),
    (document(steps=[-1]), "-1"),
    (document(steps=[1.5]), "1.5"),
    (document(suite="local"), "local"),
    (document(models=[]), "models"),
    (document(models=[model(), model()]), "small"),
    (document(models=[model(layers="many")]), "models[0].layers"),
    (document(models=[model(layers=0)]), "models[0].layers"),
    (document(models=[model(dtype="fp16")]), "models[0].dtype"),
    (document(models=[model(corpus="texts")]), "texts"),
    (document(models=[model(corpus=None)]), "corpus_note"),
    (document(models=[model(hub="a/b")]), "hub or path"),
    (document(models=[model(path=None)]), "hub or path"),
    (document(models=[model(path=None, hub="no-owner")]), "models[0].hub"),
    (document(models=[model(path="w")]), "{step}"),
    (document(models=[model(path="w\0{step}")]), "models[0].path"),
    (document(models=[model(path=None, hub="a/b", revision="main")]), "{step}"),
    (document(models=[model(memorized={3: 1})]), "step 3"),
    (document(models=[model(memorized={2: -1})]), "models[0].memorized"),
    (document(models=[model(known_bad=[{"steps": ["11:20"], "reason": "r"}])]), "11:20"),
    (document(models=[model(known_bad=[{"steps": [], "reason": "r"}])]), "known_bad"),
    (document(corpora=["text"]), "corpora"),
    (document(corpora={"text": None}), "corpora.text"),
]


@pytest.mark.parametrize(("content", "named"), BAD)
def test_a_bad_manifest_is_refused_in_one_line(tmp_path, content, named):
    path = write(tmp_path, content)
    with pytest.raises(ManifestError) as caught:
        load_suite(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "changes",
    [
        {"files": "c-{shard}.bin"},
        {"files": "c.bin", "shards": 2},
        {"files": "../c.bin"},
        {"files": "c-{shard.__class__}.bin", "shards": 2},
        {"files": "c-{shard:0999999999d}.bin", "shards": 2},
        {"files": "c-{shard}-{shard}.bin", "shards": 2},
        {"rows": 0},
        {"dtype": "uint8x"},
        {"sha256": "unknown key"},
    ],
)
def test_a_bad_corpus_is_refused(tmp_path, changes):
    corpus = document()["corpora"]["text"] | changes
    with pytest.raises(ManifestError, match=r"corpora\.text"):
        load_suite(write(tmp_path, document(corpora={"text": corpus})))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "a: [", "a: \t- b", "&a [*a]", "1: 2", "\x00", "d: 2024-13-45", "[" * 2000],
)
def test_what_is_not_a_manifest_at_all(tmp_path, content):
    with pytest.raises(ManifestError) as caught:
        load_suite(write(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"title: \xe9\n")
    for path in (tmp_path / "nowhere.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(ManifestError, match=re.escape(str(path))):
            load_suite(path)


HOSTILE = [
    "..",
    ".",
    "",
    "../x",
    "a/b",
    "/etc",
    "a\\b",
    "a\0b",
    "a\n",
    "-rf",
    " a",
    "a b",
    "é",
    "~",
]
names = (
    st.sampled_from(HOSTILE)
    | st.text(max_size=8)
    | st.from_regex(r"[A-Za-z0-9._/-]{1,8}", fullmatch=True)
)


@given(name=names, place=st.sampled_from(["suite", "model", "corpus"]))
@one_folder
def test_a_name_is_a_folder_name_or_is_refused(tmp_path, name, place):
    content = {
        "suite": lambda: document(suite=name),
        "model": lambda: document(models=[model(name=name)]),
        "corpus": lambda: document(
            corpora={name: document()["corpora"]["text"]}, models=[model(corpus=name)]
        ),
    }[place]()
    if problem := refusal(tmp_path, content):
        assert not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == "local"
        assert len(problem.splitlines()) == 1
    else:
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()
        assert (tmp_path / name).resolve() != tmp_path.resolve()


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(document())), value=values)
@one_folder
def test_any_value_anywhere_is_accepted_or_refused_cleanly(tmp_path, key, value):
    assert len((refusal(tmp_path, document(**{key: value})) or "loads").splitlines()) == 1


@given(key=st.sampled_from(sorted({**model(), "memorized": 0, "known_bad": 0})), value=values)
@one_folder
def test_any_value_in_a_model_is_accepted_or_refused_cleanly(tmp_path, key, value):
    problem = refusal(tmp_path, document(models=[model(**{key: value})]))
    assert len((problem or "loads").splitlines()) == 1


# Finding by name


def test_unknown_names_come_with_names_near_them():
    for wrong, near in [("1.4b-dedupped", "1.4b-deduped"), ("EleutherAI/pythia-1.4", "1.4b")]:
        with pytest.raises(ManifestError, match=re.escape(near)) as caught:
            find_model(wrong)
        assert "memtrace models list" in str(caught.value)
    with pytest.raises(ManifestError, match="pile-standard"):
        find_corpus("pile-standart")
    with pytest.raises(ManifestError, match="pythia"):
        find_suite("pythai")
    with pytest.raises(ManifestError, match="pythia"):
        find_model("1.4b", suite="pythai")


def test_a_repository_of_the_hub_is_the_model_that_is_in_it(tmp_path):
    for each in PYTHIA.models:
        assert find_model(each.hub) == find_model(each.name)
    on_hub = {key: value for key, value in model(hub="someone/small").items() if key != "path"}
    path = write(tmp_path, document(models=[on_hub, {**on_hub, "name": "other"}]))
    with pytest.raises(ManifestError, match="small"):
        find_model("someone/small", manifest=path)  # two models, told apart by their names


@given(st.text())
@settings(max_examples=25, deadline=None)
def test_any_unknown_name_is_refused_in_one_line(name):
    with pytest.raises(ManifestError) as caught:
        find_model(f"?{name}")  # no name has a question mark
    assert len(str(caught.value).splitlines()) == 1


def test_a_manifest_of_ones_own(tmp_path, monkeypatch):
    before = load_suites()
    path = write(tmp_path, document())
    with pytest.raises(ManifestError):
        find_model("small")
    suite, entry = find_model("small", manifest=path)
    assert (suite.suite, entry.name) == ("toy", "small")
    assert find_corpus("text", manifest=path)[1].rows == 640
    monkeypatch.setenv("MEMTRACE_MANIFESTS", str(tmp_path))
    assert find_model("small") == (suite, entry)
    assert load_suites(path) == [*before, suite]  # the same file twice is one
    monkeypatch.setenv("MEMTRACE_MANIFESTS", str(tmp_path / "nowhere"))
    with pytest.raises(ManifestError, match="MEMTRACE_MANIFESTS"):
        load_suites()


def test_a_name_in_two_suites_needs_the_suite(tmp_path):
    path = write(tmp_path, document(models=[model(name="70m")]))
    with pytest.raises(ManifestError, match=r"pythia and toy.*--suite"):
        find_model("70m", manifest=path)
    assert find_model("70m", suite="toy", manifest=path)[0].suite == "toy"
    assert find_model("70m", suite="pythia", manifest=path)[0].suite == "pythia"


def test_two_manifests_of_one_suite_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMTRACE_MANIFESTS", str(tmp_path))
    write(tmp_path, document())
    again = write(tmp_path, document(), "zzz.yaml")
    with pytest.raises(ManifestError, match=re.escape(str(again))):
        load_suites()


def test_manifests_inside_the_package_come_first(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    (tmp_path / "beside").mkdir()
    write(tmp_path / "inside", document())
    write(tmp_path / "beside", "not a manifest")
    monkeypatch.setattr(manifests, "_FOLDERS", (tmp_path / "inside", tmp_path / "beside"))
    assert [suite.suite for suite in load_suites()] == ["toy"]
