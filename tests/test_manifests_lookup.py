"""Finding suites, models and corpora by name."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_documents import document, model, write

from memtrace.errors import ManifestError
from memtrace.manifests import (
    find_corpus,
    find_model,
    find_suite,
    load_suite,
    load_suites,
    lookup,
)

FOLDER = Path(__file__).parents[1] / "data_manifests"
PYTHIA = load_suite(FOLDER / "pythia.yaml")


def test_unknown_names_come_with_names_near_them():
    for wrong, near in [("1.4b-dedupped", "1.4b-deduped"), ("EleutherAI/pythia-1.4", "1.4b")]:
        with pytest.raises(ManifestError, match=re.escape(near)) as caught:
            find_model(wrong)
        assert "memtrace models list" in str(caught.value)
    with pytest.raises(ManifestError, match=r"pile-standard.*memtrace corpus list"):
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
@settings(max_examples=25)
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
    monkeypatch.setattr(lookup, "_FOLDERS", (tmp_path / "inside", tmp_path / "beside"))
    assert [suite.suite for suite in load_suites()] == ["toy"]
