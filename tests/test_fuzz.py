"""Files from elsewhere, as bad as chance can make them: an answer, or one of our errors.

`MEMTRACE_FUZZ=100000 pytest tests/test_fuzz.py` tries so many inputs of each kind; without it a few
of each. Begin it under `ulimit -v 4000000`: an input that asks for all memory then fails alone.
What campaigns have found is kept here as cases of their own.
"""

import io
import json
import os
import shutil
import struct
import tempfile
import warnings
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from builders import CONFIGURATION
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from memtrace.corpus.megatron import MAGIC, open_megatron
from memtrace.corpus.npy import open_array
from memtrace.corpus.prefix_pack import PACK_RECORD, open_pack
from memtrace.errors import CorpusError, ManifestError, MemtraceError, RunError
from memtrace.manifests import load_suite
from memtrace.runs.run import open_run
from memtrace.runs.scores import SCHEMA_VERSION, read_metadata, write_scores

EXAMPLES = int(os.environ.get("MEMTRACE_FUZZ", "40"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
ODD_NUMBERS = st.sampled_from([0, -1, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 10**30])
ODD_TEXTS = st.sampled_from(["", ".", "..", "../x", "/etc", "a\0b", "x" * 5000, "\ud800", "0:10"])
JSON = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | st.integers() | st.floats() | ODD_TEXTS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@contextmanager
def scratch():
    """A folder of its own for each input; warnings are no failure here."""
    folder = Path(tempfile.mkdtemp())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield folder
    finally:
        shutil.rmtree(folder)


def changed(data, content):
    """Bytes with a few changed, cut or inserted."""
    out = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(out) - 1, 0)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "number"])):
            case "flip" if out:
                out[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del out[at : at + data.draw(st.integers(1, 64))]
            case "insert":
                out[at:at] = data.draw(st.binary(max_size=16))
            case "number":
                number = data.draw(ODD_NUMBERS.filter(lambda n: 0 <= n < 2**64))
                out[at : at + 8] = struct.pack("<Q", number)
    return bytes(out)


def replaced(data, document):
    """A document with one of its values replaced by any other, taken away, or added to."""
    place = document = json.loads(json.dumps(document))
    while True:
        if not place:
            return document
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        match data.draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case "replace":
                place[key] = data.draw(JSON)
            case "remove":
                del place[key]
            case "add" if isinstance(place, dict):
                place[data.draw(st.text())] = data.draw(JSON)
        return document


def index(rows=4, tokens=3):
    starts = np.arange(rows, dtype="<i8") * tokens * 2
    header = MAGIC + struct.pack("<QBQQ", 1, 8, rows, rows + 1)
    lengths = np.full(rows, tokens, "<i4")
    return header + lengths.tobytes() + starts.tobytes() + bytes(8 * (rows + 1))


@fuzz
@given(st.data(), st.binary(max_size=200) | st.just(None))
def test_megatron_index(data, content):
    with scratch() as folder:
        (folder / "a.idx").write_bytes(changed(data, index()) if content is None else content)
        (folder / "a.bin").write_bytes(bytes(24))
        with suppress(MemtraceError):
            open_megatron(folder / "a")[:]


@fuzz
@given(st.data())
def test_array(data):
    file = io.BytesIO()
    np.save(file, np.arange(12, dtype=np.uint16).reshape(4, 3))
    with scratch() as folder:
        (folder / "a.npy").write_bytes(changed(data, file.getvalue()))
        with suppress(MemtraceError):
            open_array(folder / "a.npy")[:]


PACK = {
    "corpus": "a",
    "corpus_digest": "c",
    "rows": 4,
    "row_tokens": 3,
    "dtype": "<u2",
    "rows_per_file": 2,
    "files": {},
    "schema_version": 1,
}


def open_pack_record(text):
    with scratch() as folder:
        (folder / PACK_RECORD).write_bytes(text)
        with suppress(MemtraceError):
            len(open_pack(folder))


@fuzz
@given(st.data())
def test_pack_record(data):
    text = json.dumps(PACK).encode()
    valid = data.draw(st.booleans())
    open_pack_record(json.dumps(replaced(data, PACK)).encode() if valid else changed(data, text))


MANIFEST = {
    "schema": 1,
    "suite": "toy",
    "title": "toy",
    "sequences_per_step": 16,
    "steps": [0, 1, "2:8:2"],
    "corpora": {
        "toy": {
            "path": ".",
            "files": "document-{shard:05d}-of-00002.bin",
            "shards": 3,
            "row_tokens": 65,
            "dtype": "uint16",
            "rows": 150,
        }
    },
    "models": [
        {
            "name": "tiny",
            "hub": "owner/tiny",
            "corpus": "toy",
            "architecture": "gpt-neox",
            "layers": 2,
            "width": 32,
            "heads": 4,
            "vocab_size": 96,
            "parameters": 31_616,
            "dtype": "float32",
            "memorized": {8: 5},
            "known_bad": [{"steps": [2], "reason": "wrong branch"}],
        }
    ],
}


def read_manifest(text):
    with scratch() as folder:
        (folder / "toy.yaml").write_bytes(text)
        with suppress(MemtraceError):
            suite = load_suite(folder / "toy.yaml")
            for model in suite.models:
                model.source(suite.last_step)
            assert all(len(corpus.file_names) for corpus in suite.corpora.values())


@fuzz
@given(st.data())
def test_manifest(data):
    text = yaml.safe_dump(MANIFEST).encode()
    valid = data.draw(st.booleans())
    if valid:
        document = replaced(data, MANIFEST)
        assume("\\ud800" not in json.dumps(document))
        text = yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass")
    read_manifest(text if valid else changed(data, text))


@pytest.mark.parametrize("shards", [0, -1, 2**31, 10**30])
def test_manifests_that_have_taken_all_memory(shards, tmp_path):
    """The names of two thousand million files were made."""
    toy = MANIFEST["corpora"]["toy"] | {"shards": shards}
    text = yaml.safe_dump(MANIFEST | {"corpora": {"toy": toy}})
    (tmp_path / "toy.yaml").write_text(text)
    with pytest.raises(ManifestError, match=r"corpora\.toy\.shards"):
        load_suite(tmp_path / "toy.yaml")


RECORD = {
    "schema_version": SCHEMA_VERSION,
    "configuration": asdict(CONFIGURATION),
    "command": ["memtrace", "scan", "--model", "demo"],
    "weights": {"model.safetensors": "a"},
    "corpus": {"name": "a", "dtype": "uint16"},
    "sequences_done": 0,
    "workers": [{"sequences": 5, "seconds": 1.0, "sequences_per_second": 5.0}],
}


def read_run_record(text):
    with scratch() as folder:
        run_folder = folder / "suite=demo" / "model=demo" / "step=512"
        run_folder.mkdir(parents=True)
        (run_folder / "run.json").write_bytes(text)
        with suppress(MemtraceError):
            run = open_run(run_folder)
            assert isinstance(run.command, str)
            assert isinstance(run.label, str)
            run.shards_left()
            run.scores().collect()


@fuzz
@given(st.data())
def test_run_record(data):
    text = json.dumps(RECORD).encode()
    valid = data.draw(st.booleans())
    read_run_record(json.dumps(replaced(data, RECORD)).encode() if valid else changed(data, text))


@pytest.fixture(scope="module")
def score_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scores") / "a.parquet"
    write_scores(path, np.arange(40), np.arange(40) % 33, {"suite": "demo"})
    return path.read_bytes()


@fuzz
@given(st.data())
def test_score_file(score_file, data):
    """No change goes unseen, and none reaches the Parquet parser, which some would crash."""
    content = changed(data, score_file)
    assume(content != score_file)
    with scratch() as folder:
        (folder / "a.parquet").write_bytes(content)
        assert read_metadata(folder / "a.parquet") is None


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<u2', 'fortran_order': False, 'shape': (4, 3\0\0\0\0\0\0\0\0",
        b"{'descr': '<u2', 'fortran_order': False, 'shape': (4, 10" + b"0" * 30 + b")}",
        b"  {'descr':\n 5",
        b"(" * 9000,
    ],
)
def test_headers_of_arrays_that_have_crashed(header, tmp_path):
    """NumPy's parser let errors of Python's tokenizer through."""
    header += b"\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
    (tmp_path / "a.npy").write_bytes(start + header + bytes(24))
    with pytest.raises(CorpusError, match=r"a\.npy"):
        open_array(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "change",
    [
        {"rows": -1},
        {"rows": 10**30},
        {"rows": "4"},
        {"rows": 10**12, "rows_per_file": 1},
        {"rows_per_file": 0},
        {"row_tokens": None},
        {"dtype": None},
        {"dtype": "O"},
        {"dtype": "<f4"},
        {"files": 5},
        {"files": ["prefixes-00000-of-00002.npy"]},
        {"files": {"prefixes-00000-of-00002.npy": 5}},
    ],
    ids=str,
)
def test_records_of_packs_that_have_crashed(change, tmp_path):
    (tmp_path / PACK_RECORD).write_text(json.dumps(PACK | change))
    with pytest.raises(CorpusError, match=r"pack\.json") as caught:
        open_pack(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"start": "0"},
        {"start": -1},
        {"stop": 10**30},
        {"stop": 1.5},
        {"shard_size": 0},
        {"shard_size": None},
        {"sample_size": 5, "sample_seed": -1},
        {"sample_size": 5, "stratum_rows": 0},
        {"sample_size": -5},
        {"suite": None},
        {"model": "\ud800"},
        {"step": True},
        {"unknown": 1},
        {"stop": 10**9, "corpus_rows": 10**9, "shard_size": 1},
    ],
    ids=ascii,
)
def test_run_records_that_have_crashed(change, tmp_path):
    record = RECORD | {"configuration": RECORD["configuration"] | change}
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"run\.json") as caught:
        open_run(tmp_path).shards_left()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"command": 5}', "NaN"])
def test_run_records_that_are_no_record(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json"):
        open_run(tmp_path)


def test_a_bit_of_every_byte_of_a_score_file(score_file, tmp_path):
    path = tmp_path / "a.parquet"
    for at in range(len(score_file)):
        content = bytearray(score_file)
        content[at] ^= 1 << at % 8
        path.write_bytes(content)
        assert read_metadata(path) is None
