"""What a manifest may say, and what not."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifest_documents import document, model, refusal, write
from pydantic import ValidationError

from memtrace.errors import ManifestError
from memtrace.manifests import (
    load_suite,
)
from memtrace.scanning.checkpoints import find_checkpoints

# Every example writes its own manifest over the last one's.
one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


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


def test_a_model_may_lack_checkpoints_of_its_suite(tmp_path):
    models = [model(), model(name="few", steps=["2:8:6"])]
    path = write(tmp_path, document(models=models))
    suite = load_suite(path)
    assert [suite.steps_of(each) for each in suite.models] == [suite.steps, (2, 8)]
    for asked, expected in (("all", [2, 8]), ("last", [8]), ("0:4", [2])):
        found = find_checkpoints("few", asked, manifest=path)
        assert [each.step for each in found] == expected
    with pytest.raises(ManifestError, match="no checkpoint at step 4; the nearest: 2 and 8"):
        find_checkpoints("few", 4, manifest=path)


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
    (document(models=[model(steps=[])]), "models[0].steps"),
    (document(models=[model(steps=[2, 3])]), "step 3"),
    (document(models=[model(steps=[2], memorized={4: 1})]), "memorized at step 4"),
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


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "pipe"])
def test_a_file_without_end_is_refused_at_once(tmp_path, name):
    if name == "pipe":
        os.mkfifo(tmp_path / name)
    with pytest.raises(ManifestError, match="no regular file"):
        load_suite(tmp_path / name)


def test_a_file_that_is_too_large_for_a_manifest(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"# " + b"x" * (1 << 22))
    with pytest.raises(ManifestError, match="more than 4,194,304 bytes"):
        load_suite(path)


def with_steps(steps):
    """A manifest in which the steps are written so."""
    text = yaml.safe_dump(document())
    head, mark, _ = text.partition("steps:\n")
    assert mark
    lines = text[len(head + mark) :].splitlines(keepends=True)
    return head + f"steps: {steps}\n" + "".join(line for line in lines if line[0] != "-")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("[1:8]", tuple(range(1, 9))),  # to YAML 1.1 a number to base 60: 68
        ("[1:30:10]", (1, 11, 21)),
        ("[010]", (10,)),  # to YAML 1.1 the number 8
        ("[0, 7]", (0, 7)),
    ],
)
def test_steps_are_read_as_they_are_written(tmp_path, steps, expected):
    assert load_suite(write(tmp_path, with_steps(steps))).steps == expected


@pytest.mark.parametrize("steps", ["[1_0]", "[-5]", "[1e3]", "[1.0]", "[0x10]", "[2000000000000]"])
def test_steps_that_are_no_plain_numbers(tmp_path, steps):
    with pytest.raises(ManifestError, match="steps"):
        load_suite(write(tmp_path, with_steps(steps)))


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
