"""Published evaluations in many forms: folders of many checkpoints, tables and CSV of any type."""

import gzip

import polars as pl
import pytest
from published_files import (
    LAST,
    ROWS,
    evaluated,
    make_tokens,
    make_toy,
    memorized_rows,
    ranks,
    truth,
    write_table,
)

from memtrace.errors import ManifestError, RunError


@pytest.fixture(scope="module")
def tokens():
    return make_tokens()


@pytest.fixture
def toy(tmp_path):
    return make_toy(tmp_path)


def splits(folder, tokens):
    """A folder as `hf download` makes it: tables of two models, and of one of them another step."""
    folder.mkdir()
    for name, start in (("duped.12b", 0), ("deduped.12b", 3), ("duped.12b.10000", 5)):
        write_table(folder / f"{name}-00000-of-00001.parquet", truth()[start:], tokens)
    return folder


def test_of_a_folder_of_many_checkpoints_the_named_one_is_taken(toy, tmp_path, tokens):
    source = splits(tmp_path / "data", tokens)
    run, _ = toy(source, model="12b-deduped")
    assert (run.step, memorized_rows(run)) == (LAST, truth()[3:])
    run, _ = toy(source, model="12b", step=LAST)
    assert memorized_rows(run) == truth()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "several fit"),
        ({"model": "12b"}, "several fit"),
        ({"model": "demo", "step": 2}, "none of demo step 2"),
    ],
)
def test_of_a_folder_of_many_checkpoints_none_is_guessed(toy, tmp_path, tokens, options, message):
    source = splits(tmp_path / "data", tokens)
    with pytest.raises(RunError, match=rf"12b, 12b step 10000, 12b-deduped.*{message}"):
        toy(source, **options)
    assert not (tmp_path / "runs").exists()


def test_a_table_of_which_a_file_is_missing(toy, tmp_path, tokens):
    """Its sequences would count as not memorized."""
    folder = tmp_path / "repository" / "data"
    folder.mkdir(parents=True)
    names = [f"duped.12b-0000{i}-of-00003-1a2b.parquet" for i in range(3)]
    for i, name in enumerate(names):
        write_table(folder / name, truth()[i::3], tokens)
    run, _ = toy(folder)
    assert memorized_rows(run) == truth()
    with pytest.raises(RunError, match=r"in folders of its own \(data\)"):
        toy(folder.parent)
    (folder / names[1]).unlink()
    with pytest.raises(RunError, match=r"2 of the 3 files of its table \(number 1 is missing"):
        toy(folder)
    with pytest.raises(RunError, match=r"1 of the 3 files of its table \(number 1 is missing"):
        toy(folder / names[0])


def test_names_that_contradict_what_is_asked_for(toy, tmp_path, tokens):
    path = write_table(tmp_path / "deduped.12b.parquet", truth(), tokens)
    with pytest.raises(ManifestError, match=r"evaluation of 12b-deduped, not of 12b step 20"):
        toy(path, model="12b")
    folder, _ = ranks(tmp_path / "memorization_12b_10", 10, 2, 16)
    with pytest.raises(ManifestError, match=r"evaluation of 12b step 10, not of 12b step 20"):
        toy(folder, step=LAST)
    with pytest.raises(ManifestError, match="no checkpoint at step 7; the nearest: 2 and 10"):
        toy(path, step=7)


def table(index, tokens=None, **columns):
    tokens = [[1] * 64] * len(index) if tokens is None else tokens
    return pl.DataFrame({"index": index, "tokens": tokens, **columns})


@pytest.mark.parametrize(
    "frame",
    [
        table([7, 9]).cast({"tokens": pl.Array(pl.Int64, 64)}),  # `Sequence(length=64)` of datasets
        table([7, 9]).cast({"tokens": pl.List(pl.UInt16)}),
        table([7.0, 9.0]),
        table([7, 9]).cast({"tokens": pl.List(pl.Float32)}),
        table([9, 7, 9]),
        table([7, 9]).cast({"index": pl.UInt8}),
    ],
)
def test_tables_of_any_numeric_type(toy, tmp_path, frame):
    frame.write_parquet(tmp_path / "x.parquet")
    run, findings = toy(tmp_path / "x.parquet", model="12b")
    assert memorized_rows(run) == [7, 9]
    assert findings.duplicates == len(frame) - 2


def test_a_table_of_no_memorized_sequence(toy, tmp_path):
    frame = table([], []).cast({"index": pl.Int64, "tokens": pl.List(pl.Int64)})
    frame.write_parquet(tmp_path / "x.parquet")
    run, _ = toy(tmp_path / "x.parquet", model="12b")
    assert evaluated(run) == list(range(ROWS))
    assert memorized_rows(run) == []


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table([7, None]), "index is missing in 1 of 2 rows"),
        (table([7.0, 7.5]), "index 7.5 is no whole number"),
        (table([7.0, float("nan")]), "index nan is no whole number"),
        (table([7.0, 1e300]), r"index 1e\+?300 is no whole number"),
        (table([True, False]), "index is Boolean, expected whole numbers"),
        (table(["7", "9"]), "index is String"),
        (table([7, ROWS]), f"index {ROWS}, the corpus has rows 0 to {ROWS - 1}"),
        (table([-7, 9]), "index -7"),
        (table([7, 9], [[True] * 64] * 2), "a token id is Boolean"),
        (table([7, 9], [[1] * 64, None]), "tokens are missing in 1 of 2 rows"),
        (table([7, 9], [[1] * 64, [None] * 64]), "a token id is missing in 64 of 128 rows"),
        (table([7, 9], [1, 2]), "tokens are Int64, expected lists"),
        (table([7, 9]).rename({"index": "idx"}), "no column index among idx, tokens"),
        (table([7, 9]).rename({"tokens": "text"}), "no column tokens among index, text"),
        (table([7, 9], accuracy=[1.0, None]), "not within 0 to 1: None of index 9"),
    ],
)
def test_tables_that_cannot_be_right(toy, tmp_path, frame, message):
    frame.write_parquet(tmp_path / "x.parquet")
    with pytest.raises(RunError, match=message) as caught:
        toy(tmp_path / "x.parquet", model="12b", step=LAST)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_sequences_of_two_lengths_in_two_files(toy, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    table([7]).write_parquet(folder / "a.parquet")
    table([9], [[1] * 32]).write_parquet(folder / "b.parquet")
    with pytest.raises(RunError, match=r"sequences of \[32, 64\] tokens"):
        toy(folder, model="12b")


@pytest.mark.parametrize(
    "text",
    [
        "index,accuracy\n7,1.0\n8,0.5\n",
        "7,1.0\n8,0.5\n",
        "\ufeffindex,accuracy\n7.0,1\n8.0,0.5\n",
        "accuracy,step,index\n1.0,3,7\n0.5,3,8\n",
        '"index","accuracy"\n7,1.0\n8,0.5\n',
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_csv_of_any_form(toy, tmp_path, text, zipped):
    path = tmp_path / ("x.csv.gz" if zipped else "x.csv")
    content = text.encode()
    path.write_bytes(gzip.compress(content) if zipped else content)
    run, findings = toy(path, model="12b")
    assert evaluated(run) == [7, 8]
    assert memorized_rows(run) == [7]
    assert findings.missing == ROWS - 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("idx,accuracy\n7,1.0\n", "no column index among idx, accuracy"),
        ("index,accuracy\n,1.0\n", "index is missing in 1 of 1 rows"),
        ("7.5,1.0\n", "index 7.5 is no whole number"),
        ("0,7,1.0\n", "3 columns without names"),
        ("7,\n", "cannot read|not within"),
        ("7,nan\n", "not within 0 to 1"),
    ],
)
def test_csv_that_cannot_be_right(toy, tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(RunError, match=message) as caught:
        toy(tmp_path / "x.csv", model="12b")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet", "x.h5", "x"])
def test_files_that_are_something_else(toy, tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(RunError, match=rf"cannot read .*{name} as an evaluation: \S") as caught:
        toy(tmp_path / name, model="12b")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_gone_and_links_that_lead_nowhere(toy, tmp_path):
    with pytest.raises(RunError, match="No such file"):
        toy(tmp_path / "nowhere", model="12b")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(RunError, match="No such file"):
        toy(folder, model="12b")
