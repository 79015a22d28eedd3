"""Reading memorized texts: the table, the command and the page, against runs written by hand."""

import base64
import gzip
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest
from builders import write_run
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import memtrace
from memtrace.corpus import open_corpus
from memtrace.errors import CorpusError, ManifestError, RunError
from memtrace.report.texts import texts_text
from memtrace.report.texts_page import texts_page
from memtrace.texts.select import select_texts

ROWS, STEP = 120, 10
MEMORIZED = {3: [20, 40, 60], 7: [40], 9: [20, 60], 30: [60]}  # text: steps that had it
NEAR = 50
EVIL = "</script><script>alert(1)</script>\u202e\x1b[2J"


@pytest.fixture(scope="module")
def tokens():
    """Rows of 64 ids: row 3 has 7 copies, row 7 repeats itself, row 9 is nearly row 10."""
    rows = np.random.default_rng(0).integers(10, 250, (ROWS, 64))
    for copy in (13, 23, 55, 66, 77, 110):
        rows[copy] = rows[3]
    rows[7] = np.tile([40, 41], 32)
    rows[10] = rows[9]
    rows[10, 60] = 251
    rows[30, 2] = 253  # markup
    rows[30, 40:43] = [254, 255, 254]  # an address, a line end
    return rows.astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tokens, tmp_path_factory):
    """A corpus, a tokenizer and three checkpoints of one model."""
    place = tmp_path_factory.mktemp("reading")
    np.save(place / "rows.npy", tokens)
    vocabulary = {f"w{i} ": i for i in range(256)}
    named = {253: EVIL, 254: "jane@example.org ", 255: "\n"}
    vocabulary = {named.get(i, word): i for word, i in vocabulary.items()}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0 "))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(place / "tokenizer.json"))
    digest = open_corpus(str(place / "rows.npy")).digest
    for step in (20, 40, 60):
        write_matched(place, tokens, step, digest)
    return place


def write_matched(place, tokens, step, digest, **more):
    memorized = [text for text, steps in MEMORIZED.items() if step in steps]

    def matched(rows):
        same = [(tokens[rows] == tokens[text]).all(axis=1) for text in memorized]
        near = (tokens[rows] == tokens[NEAR]).all(axis=1)
        return np.where(np.any(same, axis=0), 32, np.where(near, 27, 3)).astype(np.uint8)

    sizes = {
        "stop": ROWS,
        "corpus_rows": ROWS,
        "exposed_rows": min(step * 2, ROWS),
        "shard_size": ROWS,
    }
    record = {
        "command": ["memtrace", "scan"],
        "source": str(place),
        "corpus": {"name": str(place / "rows.npy")},
    }
    fixed = {"step": step, "sequences_per_step": 2, "corpus_digest": digest, "record": record}
    write_run(place / "runs", matched, **fixed, **sizes, **more)


@pytest.fixture(scope="module")
def found(folder):
    (one,) = memtrace.memorized_texts(folder / "runs")
    return one


def row(found, text):
    return found.table.row(by_predicate=pl.col("text") == text, named=True)


def test_each_text_that_any_checkpoint_had_is_there_once(found):
    assert found.steps == (20, 40, 60)
    assert found.table["text"].to_list() == sorted(MEMORIZED)
    assert found.tested == "prompt tokens 0 to 31, continuation tokens 32 to 63 of each row"
    assert found.notes == ()


def test_a_prompt_and_a_notebook_show_a_few_of_them(found):
    shown = f"{found.label}: {len(MEMORIZED)} texts memorized at some of 3 checkpoints"
    assert repr(found) == f"<MemorizedTexts {shown}>"
    one = replace(found, table=found.table.head(1), steps=(2560,), model="<b>", notes=("a & b",))
    assert "1 text memorized at step 2,560>" in repr(one)
    html = one._repr_html_()
    assert "&lt;b&gt;" in html
    assert "a &amp; b" in html
    assert html.count("<tr>") == 2  # the names of the columns, and a text
    assert len(MEMORIZED) + 1 == found._repr_html_().count("<tr>")
    hostile = found.table.head(1).with_columns(continuation=pl.lit("<i>\n\x1b"), copies=None)
    assert r"&lt;i&gt;\n\x1b</code>" in replace(found, table=hostile)._repr_html_()
    near = replace(found, at_least=5)
    assert "with at least 5 of 32 tokens matched" in repr(near)


def test_copies_places_and_history(found, tokens):
    recited = row(found, 3)
    assert recited["copy_indices"] == [3, 13, 23, 55, 66, 77, 110]
    assert (recited["copies"], recited["copies_exposed"]) == (7, 7)
    assert (recited["first_step"], recited["last_step"], recited["last_index"]) == (1, 55, 110)
    assert (recited["history"], recited["first_checkpoint"]) == ("111", 20)
    assert recited["lost_checkpoint"] is None
    lost = row(found, 7)
    assert (lost["history"], lost["first_checkpoint"], lost["lost_checkpoint"]) == ("010", 40, 60)
    again = row(found, 9)
    assert (again["history"], again["lost_checkpoint"]) == ("101", 40)
    assert recited["tokens"] == tokens[3].tolist()


def test_labels_and_words(found, tokens):
    assert dict(found.table.select("text", "label").iter_rows()) == {
        3: "recited",
        7: "repeating",
        9: "templated",
        30: "rare",
    }
    words = row(found, 9)
    assert words["prompt"] == "".join(f"w{i} " for i in tokens[9, :32])
    assert words["continuation"] == "".join(f"w{i} " for i in tokens[9, 32:])


def test_near_misses(folder):
    (found,) = memtrace.memorized_texts(folder / "runs", at_least=24)
    assert found.table["text"].to_list() == sorted([*MEMORIZED, NEAR])
    assert row(found, NEAR)["matched_tokens"] == 27
    assert row(found, 3)["matched_tokens"] == 32
    with pytest.raises(RunError, match="choose 1 to 32"):
        memtrace.memorized_texts(folder / "runs", at_least=33)


def test_selection_and_order(found):
    def texts(**options):
        return select_texts(found, **options).table["text"].to_list()

    assert texts(steps=[40]) == [3, 7]
    assert texts(labels=["rare", "repeating"]) == [7, 30]
    assert texts(least_copies=2) == [3]
    assert texts(most_copies=1) == [7, 9, 30]
    assert texts(order_by="copies", descending=True) == [3, 7, 9, 30]
    assert texts(order_by="lost_checkpoint") == [9, 7, 3, 30]  # not known: last
    for wrong in ({"order_by": "colour"}, {"labels": ["odd"]}, {"steps": [99]}):
        with pytest.raises(RunError):
            texts(**wrong)


def test_without_a_tokenizer_ids_stand_for_text(folder, tokens, tmp_path):
    moved = tmp_path / "model"
    moved.mkdir()
    for path in (folder / "runs").rglob("run.json"):
        there = tmp_path / "runs" / path.relative_to(folder / "runs")
        there.parent.mkdir(parents=True)
        record = json.loads(path.read_text()) | {"source": str(moved)}
        there.write_text(json.dumps(record))
        for file in path.parent.glob("scores/*"):
            (there.parent / "scores").mkdir(exist_ok=True)
            (there.parent / "scores" / file.name).write_bytes(file.read_bytes())
    (found,) = memtrace.memorized_texts(tmp_path / "runs")
    assert row(found, 9)["prompt"].split() == [str(i) for i in tokens[9, :32]]
    assert any("--tokenizer" in note for note in found.notes)
    (given,) = memtrace.memorized_texts(tmp_path / "runs", tokenizer=folder / "tokenizer.json")
    assert row(given, 30)["prompt"].count(EVIL) == 1


def test_a_model_that_moved_is_found_by_its_manifest(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    for path in (tmp_path / "runs").rglob("run.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"source": "/gone/model"}))
    (found,) = memtrace.memorized_texts(tmp_path / "runs")
    assert found.notes == ()  # the manifest of the suite demo has a tokenizer
    monkeypatch.setattr("memtrace.texts.decode.find_model", no_model)
    (without,) = memtrace.memorized_texts(tmp_path / "runs")
    assert any("folder model is not on this machine" in note for note in without.notes)


def no_model(*_, **__):
    raise ManifestError("no manifest has it")


def test_unfinished_checkpoints_are_told(folder, tmp_path):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    unfinished = tmp_path / "runs" / "suite=demo" / "model=demo" / "step=40"
    for path in (*unfinished.glob("scores/*"), *unfinished.glob("events.parquet")):
        path.unlink()
    (found,) = memtrace.memorized_texts(tmp_path / "runs")
    (note,) = found.notes
    assert note.startswith("demo/demo step 40 is not finished")
    assert "memtrace scan" in note


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_at_any_width_no_number_is_cut(found, width):
    text = click.unstyle(texts_text(found, 50, width))
    assert all(len(line) <= width for line in text.splitlines()[2:])
    table = text.split(found.tested)[1]
    for name in MEMORIZED:
        each = row(found, name)
        assert f"{each['copies_exposed']}/{each['copies']}" in table
        assert str(each["last_index"]) in table
        assert f"{each['first_step']}" in table
    assert table.count(" | ") == len(MEMORIZED) + 1


def test_another_corpus_is_refused(folder, tokens, tmp_path):
    np.save(tmp_path / "other.npy", tokens[::-1])
    with pytest.raises(CorpusError, match="is not the corpus of demo/demo step 60"):
        memtrace.memorized_texts(folder / "runs", corpus=tmp_path / "other.npy")


def test_the_command_prints_one_line_a_text(folder, memtrace_cli):
    result = memtrace_cli("texts", folder / "runs")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if " | " in line]
    assert [int(line.split()[0]) for line in lines[1:]] == sorted(MEMORIZED)
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    assert "\x1b[2J" not in result.stdout
    assert "\u202e" not in result.stdout
    short = memtrace_cli("texts", folder / "runs", "--limit", 1, "--label", "rare").stdout
    assert "1 text memorized at some checkpoint" in short


def test_nats_are_shown_where_likelihoods_were_scanned(tokens, tmp_path, memtrace_cli):
    np.save(tmp_path / "rows.npy", tokens)
    digest = open_corpus(str(tmp_path / "rows.npy")).digest
    write_matched(tmp_path, tokens, 60, digest, likelihood=lambda rows: -0.25 - rows / 8)
    (read,) = memtrace.memorized_texts(tmp_path / "runs")
    nats = dict(read.table.select("text", "log_likelihood").iter_rows())
    assert {text for text, _ in read.table.select("text", "label").iter_rows()} == set(nats)
    for text in (9, 30):
        assert nats[text] == -0.25 - text / 8
    assert nats[3] in {-0.25 - row / 8 for row in (3, 13, 23, 55, 66, 77, 110)}
    shown = memtrace_cli("texts", tmp_path / "runs").stdout.splitlines()
    assert "nats" in next(line for line in shown if " | " in line).split()
    line = next(line for line in shown if line.lstrip().startswith("9 "))
    assert "-1.38" in line.split()


def test_the_document_is_shown_also_by_way_of_a_pack(tmp_path, memtrace_cli):
    """Rows that `corpus tokenize` made, and a pack of them."""
    words = {"<|endoftext|>": 0, **{f"w{i}": i for i in range(1, 200)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    texts = [" ".join(f"w{1 + (7 * i + j) % 199}" for j in range(64)) for i in range(20)]
    (tmp_path / "pages.txt.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts)
    )
    arguments = ["--tokenizer", tmp_path / "tokenizer.json", "--output", tmp_path / "pages"]
    slide = ["--rows", "sliding", "--stride", 64, "--row-tokens", 64]
    source = tmp_path / "pages.txt.jsonl"
    for command in (
        ["corpus", "tokenize", source, *arguments, *slide],
        ["corpus", "pack", tmp_path / "pages", "--output", tmp_path / "pack"],
    ):
        done = memtrace_cli(*command)
        assert done.exit_code == 0, done.output
    digest = open_corpus(tmp_path / "pages").digest
    for name in ("pages", "pack"):
        record = {
            "command": ["memtrace", "scan"],
            "source": str(tmp_path),
            "corpus": {"name": str(tmp_path / name)},
        }
        write_run(
            tmp_path / f"runs-{name}",
            lambda rows: np.where(rows == 11, 32, 0),
            record=record,
            step=60,
            corpus_digest=digest,
            stop=20,
            corpus_rows=20,
            exposed_rows=20,
            shard_size=20,
        )
        shown = memtrace_cli("texts", tmp_path / f"runs-{name}")
        assert shown.exit_code == 0, shown.output
        assert "pages.txt.jsonl:12" in shown.stdout
        document = json.loads(memtrace_cli("texts", tmp_path / f"runs-{name}", "--json").stdout)
        assert [(t["file"], t["line"]) for t in document["texts"]] == [(str(source), 12)]


def test_json_is_the_table(folder, found, memtrace_cli):
    document = json.loads(memtrace_cli("texts", folder / "runs", "--json").stdout)
    assert document["texts"] == found.table.to_dicts()
    assert document["count"] == 4


def test_nothing_private_is_written_anywhere(folder, memtrace_cli, tmp_path):
    plain = memtrace_cli("texts", folder / "runs", "--json", "--output", tmp_path / "plain")
    assert "jane@example.org" in plain.stdout
    out = tmp_path / "redacted"
    result = memtrace_cli("texts", folder / "runs", "--json", "--redact", "--output", out)
    assert "tokens" not in json.loads(result.stdout)["texts"][0]
    data = decoded(out / "texts.html")
    written = [result.stdout, (out / "texts.jsonl").read_text(), json.dumps(data)]
    written.append(json.dumps(pl.read_parquet(out / "texts.parquet").to_dicts()))
    assert not any("jane" in text or "example.org" in text for text in written)
    assert "tokens" not in pl.read_parquet_schema(out / "texts.parquet")


def decoded(path: Path):
    packed = re.search(
        r'<script id="data" type="text/plain">([A-Za-z0-9+/=]*)</script>', path.read_text()
    )
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_the_page_has_every_text_and_no_markup_of_them(found, tmp_path):
    html = texts_page(found)
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    data = decoded(tmp_path / "page.html")
    assert data["columns"]["text"] == found.table["text"].to_list()
    assert data["columns"]["prompt"] == found.table["prompt"].to_list()
    assert "alert(1)" not in html
    assert texts_page(found) == html
    assert not re.search(r"(src|href)=[\"']?https?:", html)


def test_a_table_of_duplicates_says_the_same(folder, found, memtrace_cli, tmp_path):
    table = ("corpus", "duplicates", folder / "rows.npy", "--output", tmp_path / "table")
    result = memtrace_cli(*table, "--near", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["similar"] == 2  # rows 9 and 10
    (again,) = memtrace.memorized_texts(folder / "runs", duplicates=tmp_path / "table")
    assert again.table.equals(found.table)
    assert memtrace_cli(*table).exit_code == 0
    assert not (tmp_path / "table" / "similar.parquet").exists()  # not that of another table
