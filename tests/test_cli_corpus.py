"""`memtrace corpus` as a user meets it: answers, exit codes, one-line errors."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import yaml

from memtrace.manifests import load_suites


@pytest.fixture
def rows():
    return np.random.default_rng(2).integers(1, 500, (640, 65)).astype(np.uint16)


@pytest.fixture
def prefix(tmp_path, rows, write_megatron):
    return write_megatron(tmp_path / "document", rows, 10_001)


def on_hub(hub, rows, tmp_path, **changes):
    """Put the rows on the fake Hub in shards, and return a manifest that says so."""
    raw = rows.tobytes()
    pieces = [raw[i : i + 20_001] for i in range(0, len(raw), 20_001)]
    last = len(pieces) - 1
    files = {f"document-{i:05d}-of-{last:05d}.bin": piece for i, piece in enumerate(pieces)}
    hub.add_repository("dataset", "someone/pile", "main", {**files, **changes})
    manifest = {
        "schema": 1,
        "suite": "toy",
        "title": "toy",
        "sequences_per_step": 10,
        "steps": [64],
        "corpora": {
            "small-pile": {
                "hub": "someone/pile",
                "files": f"document-{{shard:05d}}-of-{last:05d}.bin",
                "shards": len(files),
                "row_tokens": 65,
                "dtype": "uint16",
                "rows": len(rows),
            }
        },
        "models": [
            {
                "name": "m",
                "path": "m",
                "corpus": "small-pile",
                "architecture": "x",
                "layers": 1,
                "width": 1,
                "heads": 1,
                "vocab_size": 500,
                "parameters": 1,
                "dtype": "float32",
            }
        ],
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(manifest))
    return files


def test_info(memtrace_cli, prefix, rows):
    document = json.loads(memtrace_cli("-q", "corpus", "info", prefix, "--all", "--json").stdout)
    assert (document["rows"], document["tokens"]) == (640, 640 * 65)
    seen = document["contents"]
    assert (seen["smallest_id"], seen["largest_id"]) == (rows.min(), rows.max())
    assert not seen["eod_occurs"]
    assert seen["repeated_prefixes"] == 0
    text = memtrace_cli("corpus", "info", prefix, "--sample", "10").stdout
    assert "read        10 rows\n" in text
    assert "token 0 (EOD) does not occur" in text


def test_info_of_a_range(memtrace_cli, prefix, rows):
    command = ["-q", "corpus", "info", prefix, "--all", "--sequences", "5:9", "--json"]
    seen = json.loads(memtrace_cli(*command).stdout)["contents"]
    assert (seen["rows"], seen["largest_id"]) == (4, rows[5:9].max())


def test_pack_verify_and_a_flipped_bit(memtrace_cli, prefix, tmp_path):
    pack = tmp_path / "pack"
    estimate = json.loads(
        memtrace_cli("corpus", "pack", prefix, "--output", pack, "--dry-run", "--json").stdout
    )
    assert (estimate["files"], estimate["write_bytes"]) == (1, 640 * 128 + 128)
    assert not pack.exists()
    result = memtrace_cli("-q", "corpus", "pack", prefix, "--output", pack)
    assert result.exit_code == 0, result.output
    assert memtrace_cli("corpus", "verify", pack).exit_code == 0
    path = pack / "prefixes-00000-of-00001.npy"
    raw = bytearray(path.read_bytes())
    raw[5_000] ^= 4
    path.write_bytes(raw)
    result = memtrace_cli("corpus", "verify", pack)
    assert result.exit_code == 1
    assert "damaged" in result.stdout
    assert "1 of 1 files are not as they should be" in result.stderr


def test_fetch_from_the_hub_stores_only_the_pack(memtrace_cli, hub, rows, tmp_path):
    on_hub(hub, rows, tmp_path)
    command = ["corpus", "fetch", "small-pile", "--manifest", tmp_path / "toy.yaml"]
    command += ["--output", tmp_path / "pack", "--step", "3"]
    dry = memtrace_cli(*command, "--dry-run")
    assert "1 file to write" in dry.stdout
    assert "to read at" in dry.stdout
    assert not (tmp_path / "pack").exists()
    result = memtrace_cli(*command)
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "pack").iterdir()}
    assert names == {"pack.json", "prefixes-00000-of-00001.npy"}
    found = np.load(tmp_path / "pack" / "prefixes-00000-of-00001.npy")
    np.testing.assert_array_equal(found, rows[:, :64])
    assert memtrace_cli("corpus", "verify", tmp_path / "pack").exit_code == 0


def test_steps_beyond_the_corpus(memtrace_cli, hub, rows, tmp_path):
    on_hub(hub, rows, tmp_path)
    command = ["corpus", "fetch", "small-pile", "--manifest", tmp_path / "toy.yaml"]
    result = memtrace_cli(*command, "--output", tmp_path / "pack", "--step", "99999999")
    assert result.exit_code == 0, result.output
    assert len(np.load(tmp_path / "pack" / "prefixes-00000-of-00001.npy")) == len(rows)
    command = ["corpus", "pack", "small-pile", "--manifest", tmp_path / "toy.yaml"]
    result = memtrace_cli(*command, "--output", tmp_path / "pack", "--sequences", "600:650")
    assert result.exit_code == 1
    assert "rows 600:650 are not a range within the corpus, 0:640" in result.stderr


def test_list_says_what_the_manifests_have(memtrace_cli):
    found = json.loads(memtrace_cli("corpus", "list", "--json").stdout)
    by_name = {row["corpus"]: row for row in found}
    assert set(by_name) >= {"demo", "pile-standard", "pile-deduped"}
    for suite in load_suites():
        for name, corpus in suite.corpora.items():
            row = by_name[name]
            assert (row["suite"], row["rows"], row["hub"]) == (suite.suite, corpus.rows, corpus.hub)
            assert row["tokens"] == corpus.rows * corpus.row_tokens
            assert row["models"] == [m.name for m in suite.models if m.corpus == name]
    text = memtrace_cli("corpus", "list").stdout
    for row in found:
        (line,) = (line for line in text.splitlines() if line.split()[0] == row["corpus"])
        assert f"{row['rows']:,}" in line
        assert (row["hub"] or row["path"]) in line


def test_an_address_is_no_local_output(memtrace_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("s3://bucket/pack", "https://host/a?sig=s3cr3t"):
        result = memtrace_cli("corpus", "pack", "demo", "--output", place)
        assert result.exit_code == 2
        assert "is an address" in result.stderr
        assert "s3cr3t" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_files_are_compared_with_what_the_hub_says(memtrace_cli, hub, rows, tmp_path):
    files = on_hub(hub, rows, tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = ["corpus", "verify", tmp_path / "document", "--published-as", "small-pile"]
    command += ["--manifest", tmp_path / "toy.yaml"]
    result = memtrace_cli(*command)
    assert result.exit_code == 0, result.output
    assert result.stdout.count(" ok ") == len(files)
    content = bytearray(files["document-00001-of-00004.bin"])
    content[9] ^= 1
    (tmp_path / "document-00001-of-00004.bin").write_bytes(content)
    result = memtrace_cli(*command)
    assert result.exit_code == 1
    assert "document-00001-of-00004.bin" in result.stderr


def test_duplicates(memtrace_cli, tmp_path, rows):
    np.save(tmp_path / "rows.npy", np.concatenate([rows[:30], rows[:10]]))
    command = ["-q", "corpus", "duplicates", tmp_path / "rows.npy", "--output", tmp_path / "m"]
    document = json.loads(memtrace_cli(*command, "--json").stdout)
    assert (document["sequences"], document["distinct"], document["repeated"]) == (40, 30, 20)
    table = pl.read_parquet(tmp_path / "m" / "duplicates-*.parquet")
    assert table["last_index"][3] == 33


def test_killed_command_is_repeated(prefix, rows, tmp_path):
    command = [sys.executable, "-m", "memtrace", "-q", "corpus", "pack", str(prefix)]
    command += ["--output", str(tmp_path / "pack")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    found = np.load(tmp_path / "pack" / "prefixes-00000-of-00001.npy")
    np.testing.assert_array_equal(found, rows[:, :64])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["info", "nothing"], 1, "no corpus 'nothing'"),
        (["fetch", "pile-standrad"], 1, "pile-standard"),
        (["fetch", "pile-standard"], 1, "the Hub cannot be read"),
        (["verify", "pile-standard"], 1, "the Hub cannot be read"),
        (["pack", "demo"], 2, "--output"),
        (["fetch", "pile-standard", "--step", "0:5"], 2, "whole number"),
        (["info", "pile-standart"], 1, "memtrace corpus list"),
        (["list", "--manifest", "/dev/zero"], 1, "no regular file"),
        (["info", "demo", "--sample", "0"], 2, "--sample"),
        (["unpack"], 2, "unpack"),
    ],
)
def test_errors_are_one_line(memtrace_cli, arguments, code, words):
    result = memtrace_cli("corpus", *arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.output
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1
