"""Commands take a corpus file: rows by training index are scanned, counted, packed and checked."""

import json

import numpy as np
import polars as pl
import pytest
import yaml
from corpus_files import write_corpus_file, write_neox
from manifest_documents import document, model

import memtrace
from memtrace.corpus import open_corpus
from memtrace.errors import CorpusError
from memtrace.manifests.schedule import rows_before

RAMP = [[0, 4], [10, 16]]


@pytest.fixture
def own(tmp_path):
    """A corpus file over maps of GPT-NeoX, and the rows that it stands for."""
    rows = write_neox(tmp_path, 96)
    content = {"layout": "gpt-neox", "tokens": ["d"], "index_maps": ["m_*"], "row_tokens": 65}
    return write_corpus_file(tmp_path, **content, sequences_per_step=RAMP), rows


def run(memtrace_cli, *args):
    result = memtrace_cli(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_rows_are_those_of_the_formula(own):
    path, rows = own
    np.testing.assert_array_equal(open_corpus(path)[:], rows)


def test_a_scan_is_that_of_the_same_rows_in_an_array(own, tmp_path, neox_folder):
    path, rows = own
    np.save(tmp_path / "rows.npy", rows)
    options = {"model": str(neox_folder), "step": 15, "dtype": "float32"}
    run = memtrace.scan(**options, corpus=path, runs=tmp_path / "a")
    array = memtrace.scan(**options, corpus=str(tmp_path / "rows.npy"), runs=tmp_path / "b")
    exposed = rows_before(tuple(map(tuple, RAMP)), 15)
    assert (run.exposed_rows, array.exposed_rows) == (exposed, len(rows))
    assert run.configuration.corpus_digest == array.configuration.corpus_digest
    found, same = (each.scores().collect() for each in (run, array))
    assert found.equals(same.head(exposed))


def test_step_0_of_a_run_whose_file_tells_the_batches_has_seen_nothing(own, tmp_path, neox_folder):
    path, _ = own
    with pytest.raises(CorpusError, match="has seen no row of corpus my-run"):
        memtrace.scan(model=str(neox_folder), corpus=path, runs=tmp_path / "a")


def test_tables_and_packs(own, tmp_path, memtrace_cli):
    path, rows = own
    info = json.loads(run(memtrace_cli, "corpus", "info", path, "--all", "--json"))
    assert info["rows"] == len(rows)
    assert info["contents"]["largest_id"] == rows.max()
    run(memtrace_cli, "corpus", "pack", path, "--output", tmp_path / "pack")
    np.testing.assert_array_equal(open_corpus(str(tmp_path / "pack"))[:], rows[:, :64])
    run(memtrace_cli, "corpus", "duplicates", path, "--output", tmp_path / "duplicates")
    checks = json.loads(run(memtrace_cli, "corpus", "verify", path, "--json"))
    assert len(checks) == 5  # tokens, their index, three maps
    assert {check["state"] for check in checks} == {"unknown"}


def test_counts_up_to_each_step_of_a_ramp(own, tmp_path, memtrace_cli):
    path, rows = own
    (tmp_path / "terms.txt").write_text("5\n")
    changes = {"sequences_per_step": RAMP, "steps": [1, 10, 12]}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(document(**changes)))
    args = [
        "--suite",
        "toy",
        "--manifest",
        tmp_path / "toy.yaml",
        "--output",
        tmp_path / "c.parquet",
    ]
    run(memtrace_cli, "corpus", "count", path, "--terms", tmp_path / "terms.txt", *args)
    table = pl.read_parquet(tmp_path / "c.parquet")
    seen = [4, 40, 72]
    assert table["count"].to_list() == [int((rows[:n] == 5).sum()) for n in seen]


def test_a_manifest_names_a_corpus_file(own, tmp_path):
    _, rows = own
    said = {"path": ".", "files": "my-run.yaml", "row_tokens": 65, "dtype": "uint16"}
    for count in (len(rows), len(rows) + 1):
        corpora = {"shuffled": {**said, "rows": count}}
        manifest = tmp_path / "toy.yaml"
        manifest.write_text(
            yaml.safe_dump(document(corpora=corpora, models=[model(corpus="shuffled")]))
        )
        if count == len(rows):
            corpus = open_corpus("shuffled", manifest=manifest)
            assert (corpus.name, len(corpus)) == ("shuffled", count)
        else:
            with pytest.raises(CorpusError, match="but the manifest says"):
                open_corpus("shuffled", manifest=manifest)
