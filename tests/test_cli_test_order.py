"""`memtrace test-order` on runs, as a user meets it."""

import json
import re
from html import unescape

import numpy as np
import polars as pl
import pytest
from builders import write_run

import memtrace
from memtrace.corpus.copies import Copies, write_copies, write_near_copies
from memtrace.errors import CorpusError, FitError
from memtrace.likelihood import earliest_baseline, order_of_rows
from memtrace.likelihood.order.page import limits
from memtrace.report.page import parted
from memtrace.report.typeset import typeset
from memtrace.runs.compact import compact
from memtrace.runs.likelihoods import Likelihoods, find_probable, read_likelihoods
from memtrace.runs.run import find_runs
from memtrace.texts.groups import Texts

ROWS, PER_STEP = 2000, 20
STEPS = (0, 40, 60, 100)


def likelihoods(seed=0):
    """Return those of each checkpoint: exposure adds 3 nats, which fade; copies are alike."""
    rng = np.random.default_rng(seed)
    base = -rng.gamma(4, 15, ROWS) - 1
    base[1000:1100] = base[:100]
    found = {}
    for step in STEPS:
        age = step - 1 - np.arange(ROWS) // PER_STEP
        effect = np.where(age >= 0, 3 * np.exp(-np.maximum(age, 0) / 30), 0)
        y = np.minimum(base + effect + rng.normal(0, 2, ROWS), -0.01)
        y[1000:1100] = y[:100]
        found[step] = y.astype(np.float32)
    return found


VALUES = likelihoods()
LABELS = np.arange(ROWS)
LABELS[1000:1100] = LABELS[:100]


def write(folder, steps=STEPS, values=VALUES, **changes):
    for step in steps:
        write_run(
            folder,
            likelihood=lambda rows, step=step: values[step][rows],
            model="small",
            step=step,
            stop=ROWS,
            exposed_rows=step * PER_STEP,
            corpus_rows=ROWS,
            sequences_per_step=PER_STEP,
            shard_size=512,
            weight_digest=f"w{step}",
            **changes,
        )
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def duplicates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("duplicates")
    texts = Texts.from_labels(LABELS)
    names = np.repeat(texts.names, texts.duplicate_counts)
    copies = Copies("c", ROWS, 64, 32, names, texts.copies)
    write_copies(folder, 0, 1, copies)
    write_near_copies(folder, copies)
    return folder


def at(runs, step):
    return find_runs(runs, step=step)[0]


def test_a_run_gives_what_its_once_only_rows_give(runs, duplicates) -> None:
    found = memtrace.test_order(at(runs, 60), baseline=at(runs, 40), duplicates=str(duplicates))

    once = np.flatnonzero(np.bincount(LABELS, minlength=ROWS)[LABELS] == 1)
    index = once[once >= 40 * PER_STEP]
    y, b = (VALUES[step][index].astype(float) for step in (60, 40))
    direct = order_of_rows(index, y, baseline=b, exposed_rows=1200, step=60, sequences_per_step=20)
    for name in ("nats", "standard_error", "residual_sd"):
        ours, theirs = (getattr(one.difference, name) for one in (found, direct))
        assert ours == pytest.approx(theirs, rel=1e-9)
    curves = [[one.nats for one in fit.recency.bins] for fit in (found, direct)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-9)
    assert found.spearman == direct.spearman
    assert found.partial == direct.partial
    assert found.rows == len(index)
    assert found.copies_known


def test_near_copies_are_texts_of_their_own(runs) -> None:
    """A row that shares only its continuation with another is compared as every other."""
    passages = LABELS.copy()
    passages[1500:1550] = passages[1400:1450]  # different texts, one continuation
    texts = Texts.from_labels(LABELS, passages)

    found = memtrace.test_order(at(runs, 60), baseline=at(runs, 40), texts=texts)

    alone = np.bincount(LABELS, minlength=ROWS)[LABELS] == 1
    assert found.rows == alone[40 * PER_STEP :].sum()
    exact = memtrace.test_order(
        at(runs, 60), baseline=at(runs, 40), texts=Texts.from_labels(LABELS)
    )
    assert found.rows == exact.rows
    assert found.difference == exact.difference
    assert any("Near-copies" in limit for limit in limits([found]))


def test_blocks_and_merged_shards_change_nothing(runs, duplicates, tmp_path, monkeypatch) -> None:
    whole = memtrace.test_order(at(runs, 60), baseline=at(runs, 40), duplicates=duplicates)
    write(tmp_path, (40, 60))
    compact(at(tmp_path, 40))
    monkeypatch.setattr("memtrace.runs.likelihoods.BLOCK", 97)

    found = memtrace.test_order(at(tmp_path, 60), baseline=at(tmp_path, 40), duplicates=duplicates)

    assert found.spearman == whole.spearman
    assert found.difference.nats == pytest.approx(whole.difference.nats, abs=1e-10)


def test_a_baseline_of_other_rows_is_joined(runs, duplicates, tmp_path) -> None:
    """A sample against a whole: the rows that both have."""
    write(tmp_path, (60,), sample_size=700, sample_seed=3)
    write(tmp_path, (40,))

    found = memtrace.test_order(at(tmp_path, 60), baseline=at(tmp_path, 40), duplicates=duplicates)

    index = np.concatenate([b.sequence_index for b in read_likelihoods(at(tmp_path, 60))])
    once = np.bincount(LABELS, minlength=ROWS)[LABELS] == 1
    assert found.rows == (once[index] & (index >= 800)).sum()


def test_unknown_copies_are_said_beside_every_interval(runs) -> None:
    found = memtrace.test_order(at(runs, 60), baseline=at(runs, 40))

    assert not found.copies_known
    assert found.summary().count("rows are taken as different texts") == 3
    assert found.to_dict()["texts"] is None
    assert found.rows == ROWS - 800


def test_the_default_baseline_is_the_earliest_checkpoint(runs) -> None:
    every = find_runs(runs)
    assert earliest_baseline(at(runs, 60), every).step == 0
    assert earliest_baseline(at(runs, 0), every) is None


def test_what_does_not_fit_is_refused_with_the_next_step(runs, tmp_path, duplicates) -> None:
    with pytest.raises(FitError, match="choose an earlier --baseline"):
        memtrace.test_order(at(runs, 40), baseline=at(runs, 60))
    with pytest.raises(FitError, match="scan a later --step"):
        memtrace.test_order(at(runs, 0))
    plain = write_run(tmp_path / "plain", model="small", step=60)
    with pytest.raises(FitError, match=r"has no log-likelihoods.*--likelihood --runs"):
        memtrace.test_order(plain)
    hot = write(tmp_path / "hot", (60,), temperature=2.0)
    with pytest.raises(FitError, match="differ in temperature"):
        memtrace.test_order(at(hot, 60), baseline=at(runs, 40))
    with pytest.raises(CorpusError, match="no table of duplicates"):
        memtrace.test_order(at(runs, 60), duplicates=tmp_path)
    values = {60: np.where(VALUES[60] < -40, np.nan, VALUES[60])}
    cut = write(tmp_path / "cut", (60,), values, min_probability=4e-18)
    with pytest.raises(
        FitError, match=r"of 412 log-likelihoods from row 100 on are not known.*--likelihood"
    ):
        memtrace.test_order(at(cut, 60), duplicates=duplicates)


def test_probable_sequences_are_events(runs, tmp_path) -> None:
    found = find_probable(at(runs, 60), 1e-10)
    expected = np.flatnonzero(VALUES[60] >= np.log(1e-10))
    assert found.sequence_index.tolist() == expected.tolist()
    assert found.scanned.tolist() == [[0, ROWS]]
    values = {60: np.where(VALUES[60] < np.log(1e-12), np.nan, VALUES[60])}
    cut = at(
        write(tmp_path, (60,), values, min_probability=1e-12, sample_size=300, sample_seed=1), 60
    )
    assert np.isin(find_probable(cut, 1e-10).sequence_index, expected).all()
    assert find_probable(cut, 1e-12).scanned_sequences == 300
    with pytest.raises(FitError, match="ask for 1e-12 or more"):
        find_probable(cut, 1e-13)
    with pytest.raises(FitError, match="above 0 and at most 1"):
        find_probable(cut, 2.0)


def test_likelihoods_are_read_from_a_row_on(runs) -> None:
    parts = list(read_likelihoods(at(runs, 60), start=1000, matched=True))
    index = np.concatenate([part.sequence_index for part in parts])
    assert index.tolist() == list(range(1000, ROWS))
    assert np.concatenate([p.log_likelihood for p in parts]).tolist() == VALUES[60][1000:].tolist()
    assert isinstance(parts[0], Likelihoods)


def test_the_command_prints_a_table_of_checkpoints(memtrace_cli, runs, duplicates) -> None:
    result = memtrace_cli("test-order", runs, "--duplicates", duplicates)

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["step", "exposed", "unexposed", "nats"]
    assert [line.split()[0] for line in lines[1:4]] == ["40", "60", "100"]
    assert "small step 100" in result.stdout
    assert max(map(len, lines)) <= 100


def test_all_steps_are_those_that_can_be_tested(memtrace_cli, runs, duplicates) -> None:
    """The checkpoint before training has no order, and does not keep the others from theirs."""
    every = memtrace_cli("test-order", runs, "--step", "all", "--duplicates", duplicates)

    assert every.exit_code == 0, every.output
    assert every.stdout == memtrace_cli("test-order", runs, "--duplicates", duplicates).stdout


def test_the_command_answers_as_the_library(memtrace_cli, runs, duplicates, tmp_path) -> None:
    asked = ("test-order", runs, "--step", 60, "--baseline", 40, "--duplicates", duplicates)
    result = memtrace_cli(*asked, "--json", "--output", tmp_path)

    document = json.loads(result.stdout)
    found = memtrace.test_order(at(runs, 60), baseline=at(runs, 40), duplicates=duplicates)
    assert document["exposed_minus_unexposed"]["nats"] == found.difference.nats
    assert document["spearman"]["rho"] == found.spearman.rho
    assert document["baseline"] == "step 40"
    assert document["sequences"] == document["texts"] == found.rows
    assert {"steps_ago", "nats", "ci95"} <= document["recency"][0].keys()
    assert document["verdict"] == found.verdict
    assert json.loads((tmp_path / "order.json").read_text()) == document
    names = {path.name for path in tmp_path.iterdir()}
    assert {"by-age.png", "by-age.svg", "exposure.png", "report.html"} <= names
    page = unescape(re.sub("<[^>]*>", "", (tmp_path / "report.html").read_text()))
    assert all(typeset(part) in page for part in parted(found.verdict))


def test_the_baseline_is_a_step_or_a_model(memtrace_cli, runs, tmp_path) -> None:
    write(tmp_path, (60,))
    write_run(
        tmp_path,
        likelihood=lambda rows: VALUES[0][rows],
        suite="other",
        model="reference",
        step=7,
        stop=ROWS,
        exposed_rows=ROWS,
        corpus_rows=ROWS,
        shard_size=512,
    )
    asked = ("test-order", tmp_path, "--model", "small", "--json")
    document = json.loads(memtrace_cli(*asked, "--baseline", "reference").stdout)
    assert document["baseline"] == "other/reference step 7"
    assert document["sequences"] == ROWS
    assert json.loads(memtrace_cli(*asked).stdout)["baseline"] is None
    wrong = memtrace_cli(*asked, "--baseline", "none")
    assert wrong.exit_code == 1
    assert "no run of model 'none'" in wrong.output


def test_the_page_of_several_checkpoints(memtrace_cli, runs, duplicates, tmp_path) -> None:
    asked = ("--duplicates", duplicates, "--output", tmp_path, "--step", "60,100")
    assert memtrace_cli("test-order", runs, *asked, "--json").exit_code == 0

    assert len(json.loads((tmp_path / "order.json").read_text())) == 2
    assert (tmp_path / "curves.png").exists()
    page = (tmp_path / "report.html").read_text()
    assert "left at oldest" in page
    assert "small step 60" in page
    assert "small step 100" in page


def test_runs_without_likelihoods_are_told_the_command(memtrace_cli, tmp_path) -> None:
    write_run(tmp_path, model="small", step=60)
    for command in ("test-order", "extraction"):
        result = memtrace_cli(command, tmp_path)
        assert result.exit_code == 1
        assert "memtrace scan --likelihood --runs" in result.output
        assert len(result.output.splitlines()) == 1


def test_score_tables_hold_what_was_written(runs) -> None:
    table = at(runs, 60).scores().collect()
    assert table["log_likelihood"].dtype == pl.Float32
