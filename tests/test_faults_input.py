"""Names that lead elsewhere, files that carry code, inputs that change, odd places and clocks."""

import ast
import os
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from builders import CONFIGURATION
from test_fuzz import MANIFEST
from transformers import AutoModelForCausalLM

import memtrace
from memtrace.corpus import open_corpus
from memtrace.errors import CorpusError, ManifestError, ModelError, RunError
from memtrace.manifests import load_suite
from memtrace.models.loading import load_model
from memtrace.models.weights import fetch_weights
from memtrace.runs.run import begin_run, find_runs, open_run
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.jobs import Job
from memtrace.scanning.launch import run_job
from memtrace.scanning.plan import plan_scan

ROOT = Path(__file__).parents[1]
LEADING_OUT = ["..", "../x", "../../x", "/etc/x", "a/../../x", "a\\..\\x", "a/b"]
NO_NAMES = ["", ".", "a\0b", "a\nb", "x" * 300, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 100]


@pytest.fixture(scope="module")
def job(tmp_path_factory, neox_folder, remembered):
    """What to scan."""
    sequences, _ = remembered(AutoModelForCausalLM.from_pretrained(neox_folder), 60)
    path = tmp_path_factory.mktemp("input") / "tokens.npy"
    np.save(path, sequences.astype(np.uint16))
    options = {"corpus": str(path), "dtype": "float32", "shard_size": 20}
    return {"model": str(neox_folder), **options}


@pytest.fixture(scope="module")
def undisturbed(job, tmp_path_factory):
    return score_bytes(memtrace.scan(**job, runs=tmp_path_factory.mktemp("undisturbed")))


def score_bytes(run):
    return {p.name: p.read_bytes() for p in (run.folder / "scores").glob("*.parquet")}


@pytest.mark.parametrize("name", [*LEADING_OUT, *NO_NAMES], ids=ascii)
@pytest.mark.parametrize("field", ["suite", "model"])
def test_names_that_are_no_folder_of_a_run(tmp_path, field, name):
    with pytest.raises(RunError, match="cannot be the name of a folder") as caught:
        begin_run(tmp_path / "runs", replace(CONFIGURATION, **{field: name}), {})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*LEADING_OUT, *NO_NAMES, "*", "?", "[a]", "**"], ids=ascii)
def test_no_run_is_found_by_a_name_that_leads_out(tmp_path, name):
    begin_run(tmp_path / "runs", CONFIGURATION, {})
    if name:  # nothing given means every model
        with pytest.raises(RunError, match="no run "):
            find_runs(tmp_path / "runs", model=name)


@pytest.mark.parametrize("name", [*LEADING_OUT[:-1], *NO_NAMES[:-2]], ids=ascii)
@pytest.mark.parametrize("field", ["suite", "model", "corpus", "hub", "files", "revision"])
def test_manifests_with_names_that_lead_out(tmp_path, field, name):
    document = yaml.safe_load(yaml.safe_dump(MANIFEST))
    (model,), corpus = document["models"], document["corpora"]["toy"]
    match field:
        case "suite":
            document["suite"] = name
        case "model":
            model["name"] = name
        case "corpus":
            document["corpora"][name] = document["corpora"].pop("toy")
            model["corpus"] = name
        case "hub":
            model["hub"] = f"owner/{name}"
        case "files":
            corpus["files"] = name + "{shard}"
        case "revision":
            model["revision"] = name + "/{step}"
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        load_suite(tmp_path / "toy.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("source", ["owner/../../x", "/nowhere/at/all", "owner/a\0b", "a/" * 200])
def test_models_whose_name_leads_out(job, tmp_path, source, memtrace_cli):
    command = ["scan", "--model", source, "--corpus", job["corpus"], "--runs", tmp_path / "runs"]
    result = memtrace_cli(*command)
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


class Bomb:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace):
        self._trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self._trace),)


def test_an_array_of_pickled_objects_is_not_unpickled(tmp_path):
    objects = np.empty((1, 1), object)
    objects[0, 0] = Bomb(tmp_path / "trace")
    np.save(tmp_path / "tokens.npy", objects, allow_pickle=True)
    with pytest.raises(CorpusError, match=r"tokens\.npy"):
        open_corpus(str(tmp_path / "tokens.npy"))
    assert not (tmp_path / "trace").exists()


def test_a_manifest_with_code_is_not_run(tmp_path):
    code = f"!!python/object/apply:os.mkdir ['{tmp_path / 'trace'}']"
    (tmp_path / "toy.yaml").write_text(f"schema: {code}\n")
    with pytest.raises(ManifestError, match="cannot be read as YAML"):
        load_suite(tmp_path / "toy.yaml")
    assert not (tmp_path / "trace").exists()


def test_a_manifest_that_grows_when_it_is_read(tmp_path):
    """Aliases of aliases: a hundred bytes a level, ten times as many items."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    lines += ["steps: *a11", "schema: 1"]
    (tmp_path / "toy.yaml").write_text("\n".join(lines))
    with pytest.raises(ManifestError) as caught:
        load_suite(tmp_path / "toy.yaml")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("steps", ["0:99999999999999", "0:9999999999999999999999:1"])
def test_a_manifest_with_more_steps_than_any_training(tmp_path, steps):
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(MANIFEST | {"steps": [steps]}))
    with pytest.raises(ManifestError, match="steps"):
        load_suite(tmp_path / "toy.yaml")


def test_a_pickle_in_place_of_weights_is_not_run(neox_folder, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes((neox_folder / "config.json").read_bytes())
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    with pytest.raises(ModelError):
        load_model(fetch_weights(str(folder)), torch.device("cpu"))
    assert not (tmp_path / "trace").exists()


def test_code_that_comes_with_a_model_is_not_run(neox_folder, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    weights = neox_folder / "model.safetensors"
    (folder / "model.safetensors").write_bytes(weights.read_bytes())
    (folder / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": '
        '"own.Own"}}'
    )
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'trace')!r})\n")
    with pytest.raises(ModelError) as caught:
        load_model(fetch_weights(str(folder)), torch.device("cpu"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trace").exists()


def calls(tree):
    """Yield every call in a module as its dotted name and its constant keywords."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keywords = {k.arg: getattr(k.value, "value", ...) for k in node.keywords}
            yield ast.unparse(node.func), keywords


def test_nothing_is_read_that_could_run():
    loaders = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for path in [*ROOT.glob("memtrace/**/*.py"), *ROOT.glob("cli/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & loaders, path
        for name, keywords in calls(tree):
            assert name not in ("eval", "exec", "yaml.load", "yaml.unsafe_load"), path
            assert keywords.get("allow_pickle", False) is False, path
            assert keywords.get("trust_remote_code", False) is False, path
            if name in ("torch.load", "AutoModelForCausalLM.from_pretrained"):
                assert keywords["weights_only"] is True, path


def test_a_corpus_that_changed_between_two_workers_is_refused(job, undisturbed, tmp_path):
    tokens = np.load(job["corpus"])
    path = tmp_path / "tokens.npy"
    np.save(path, tokens)
    own = {**job, "corpus": str(path)}
    run = memtrace.scan(**own, runs=tmp_path / "runs")
    sorted((run.folder / "scores").iterdir())[1].unlink()
    tokens[59, 63] ^= 1
    np.save(path, tokens)
    with pytest.raises(RunError, match=r"corpus_digest: \w{64} -> \w{64}"):
        memtrace.scan(**own, runs=tmp_path / "runs")
    tokens[59, 63] ^= 1
    np.save(path, tokens)
    assert score_bytes(memtrace.scan(**own, runs=tmp_path / "runs")) == undisturbed


def change(path, row):
    """Change one token of a row in place."""
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek(-2 * 64 * (60 - row), os.SEEK_END)
        token = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([token[0] ^ 1]))


@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "same time"])
def test_a_corpus_that_changes_during_a_scan(job, undisturbed, tmp_path, hidden):
    """Found before the next score file by size, time and inode; at the end by the digest."""
    path = Path(shutil.copy(job["corpus"], tmp_path))
    own = {**job, "corpus": str(path)}
    (checkpoint,) = find_checkpoints(own.pop("model"))
    plan = plan_scan(checkpoint, runs=tmp_path / "runs", **own)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    done = []

    def on_progress(count):
        done.append(count)
        if len(done) == 2:  # the second of three shards is decided, not yet written
            change(path, 59)
            if hidden:
                os.utime(path, ns=times)

    with pytest.raises(CorpusError, match="has changed while it was in use"):
        run_job(Job((plan,)), ["cpu"], on_progress=on_progress)
    run = open_run(plan.folder)
    assert run.record["sequences_done"] == 0
    if not hidden:
        assert len(score_bytes(run)) == 1
        change(path, 59)
        assert score_bytes(memtrace.scan(**job | own, runs=tmp_path / "runs")) == undisturbed


def test_clocks_that_stand_still_or_go_back(job, undisturbed, tmp_path, monkeypatch):
    back = count(2e9, -1e6)
    monkeypatch.setattr(time, "time", lambda: next(back))
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    run = memtrace.scan(**job, runs=tmp_path)
    for path in run.folder.rglob("*"):
        os.utime(path, (4e9, 4e9))
    sorted((run.folder / "scores").iterdir())[0].unlink()
    assert score_bytes(memtrace.scan(**job, runs=tmp_path)) == undisturbed


def test_any_locale_time_zone_and_path(job, undisturbed, tmp_path):
    """In the C locale, with spaces and letters of other alphabets in every path."""
    folder = tmp_path / "Läufe und 日本語 'a'"
    folder.mkdir()
    (folder / "töken s.npy").write_bytes(Path(job["corpus"]).read_bytes())
    model = folder / "мод ель"
    shutil.copytree(job["model"], model)
    command = [sys.executable, "-m", "memtrace", "scan", "--model", str(model), "--runs"]
    command += [str(folder / "runs"), "--corpus", str(folder / "töken s.npy")]
    command += ["--dtype", "float32", "--shard-size", "20"]
    odd = {"LC_ALL": "C", "LANG": "C", "TZ": "Asia/Kathmandu", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=os.environ | odd, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    (run,) = find_runs(folder / "runs")
    assert run.model == model.name
    same = {"model": str(model), "corpus": str(folder / "töken s.npy")}
    alike = memtrace.scan(**job | same, runs=folder / "again")
    assert score_bytes(run) == score_bytes(alike)


def test_a_folder_whose_name_is_no_text(job, tmp_path):
    runs = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    with pytest.raises(RunError, match=r"udcff' is no text in UTF-8") as caught:
        memtrace.scan(**job, runs=runs)
    assert str(caught.value).isascii()
    assert not runs.exists()
