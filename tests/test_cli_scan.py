"""`memtrace scan` and `status` as a user meets them: results, exit codes, one-line errors."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import numpy as np
import pytest
from memtrace.cli.main import main
from memtrace.cli.scan_text import runs_text
from scipy.stats import binomtest
from transformers import AutoModelForCausalLM

from memtrace.corpus import open_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, neox_folder, remembered, write_megatron):
    sequences, _ = remembered(AutoModelForCausalLM.from_pretrained(neox_folder), 30)
    return write_megatron(tmp_path_factory.mktemp("corpus") / "document", sequences)


@pytest.fixture
def scan(memtrace_cli, neox_folder, corpus, tmp_path):
    """Run `memtrace scan` on a small model of one's own."""
    fixed = ["--model", neox_folder, "--corpus", corpus, "--runs", tmp_path / "runs"]
    return lambda *more: memtrace_cli("--quiet", "scan", *fixed, "--dtype", "float32", *more)


def test_result_as_text_and_as_json(scan, tmp_path):
    text = scan()
    assert text.exit_code == 0, text.output
    document = json.loads(scan("--json").stdout)
    assert document["sequences"] == 30
    assert f"{document['memorized']}" in text.stdout
    assert document["not_exposed_sequences"] == 0
    assert document["control"] is None
    assert document["run"] in text.stdout


def test_dry_run_does_nothing(scan, tmp_path):
    document = json.loads(scan("--dry-run", "--shard-size", "7", "--json").stdout)
    assert document["shards"] == document["shards_left"] == 5
    assert document["bytes_to_read"] == 30 * 64 * 2
    assert not (tmp_path / "runs").exists()
    scan("--shard-size", "7")
    assert json.loads(scan("--dry-run", "--shard-size", "7", "--json").stdout)["shards_left"] == 0


def test_dry_run_of_a_pythia_model(memtrace_cli, tmp_path):
    """The plan of the largest job, from a stand-in of the right size that occupies nothing."""
    total, shard = 146_432_000 * 4098, 30_000_000_000
    for i in range(21):
        with (tmp_path / f"document-{i:05d}-of-00020.bin").open("wb") as file:
            file.truncate(min(shard, total - i * shard))
    command = ["scan", "--model", "12b", "--step", "143000", "--corpus", tmp_path / "document"]
    result = memtrace_cli(*command, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["source"] == "EleutherAI/pythia-12b"
    assert document["revision"] == "step143000"
    assert document["shards"] == 1118
    assert document["bytes_to_read"] == 146_432_000 * 128
    text = memtrace_cli(*command, "--dry-run").stdout
    assert "146,432,000" in text
    assert document["minimum_flops"] == pytest.approx(1.06e20, rel=0.01)
    assert f"{document['minimum_flops'] / 1e18:.0f} EFLOP" in text


def control(copy_exposed, unexposed):
    keys = "events", "exposure", "texts", "event_texts"
    classes = {"exposed": (0, 0, 0, 0), "copy_exposed": copy_exposed, "unexposed": unexposed}
    return {name: dict(zip(keys, counts, strict=True)) for name, counts in classes.items()}


def scanned(**values):
    """The document of a scan that has seen nothing."""
    counts = dict.fromkeys(
        ["sequences", "memorized", "not_exposed_sequences", "not_exposed_memorized"], 0
    )
    fixed = {
        "training_order": "known",
        "step": 0,
        "run": "runs/a/b/c",
        "tested": "",
        "likelihood": None,
        "estimate": None,
        "control": None,
    }
    return {**fixed, **counts, "control_reason": "unknown", **values}


def test_copies_of_exposed_sequences_are_no_control(memtrace_cli, tmp_path, neox_folder):
    """A row that was seen, its copy, and two rows of which nothing was."""
    rows = np.random.default_rng(3).integers(1, 90, (4, 64)).astype(np.uint16)
    rows[2] = rows[0]
    np.save(tmp_path / "rows.npy", rows)
    suite = (Path(__file__).parent / "local_suite.yaml").read_text(encoding="utf-8")
    own = tmp_path / "own.yaml"
    own.write_text(suite.replace("sequences_per_step: 10", "sequences_per_step: 1"))
    shutil.copytree(neox_folder, tmp_path / "step1")
    command = ["--quiet", "scan", "--manifest", own, "--model", "tiny", "--step", "1"]
    command += ["--corpus", tmp_path / "rows.npy", "--include-unexposed", "--dtype", "float32"]
    result = memtrace_cli(*command, "--runs", tmp_path / "runs", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["control"]
    counted = {name: (one["exposure"], one["texts"]) for name, one in found.items()}
    assert counted == {"exposed": (1, 1), "copy_exposed": (1, 1), "unexposed": (2, 2)}


def test_classes_of_exposure_are_columns():
    known = scanned(
        sequences=8, memorized=4, control=control((364, 2926, 9, 3), (4, 21_650, 21_624, 4))
    )
    text = runs_text([scanned(), known])
    head, first, second = (re.split(r"  +", line.strip()) for line in text.splitlines()[:3])
    assert head[4:] == ["copy exposed", "memorized", "unexposed", "memorized"]
    assert first[4:] == ["-"] * 4
    assert second[4:] == ["2,926", "364", "21,650", "4"]
    assert "4 of 21,624 unexposed texts are extractable (0.0185%)" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Log-likelihood at step 0: -38.25 nats a continuation, on average."),
        ({"impossible": 8, "mean_nats": None}, "Log-likelihood at step 0: 8 continuations cannot"),
        ({"impossible": 1}, "a continuation that can be drawn, on average. 1 continuation cannot"),
        (
            {"min_probability": 0.001, "below_min_probability": 7},
            "1 of 8 continuations have a probability of at least 0.001; the others are null.",
        ),
    ],
)
def test_likelihoods_are_summed_up(changes, said):
    usual = {"sequences": 8, "impossible": 0, "mean_nats": -38.25, "min_probability": None}
    text = runs_text([scanned(sequences=8, likelihood={**usual, **changes})])
    assert said in " ".join(text.split())


def test_all_later_sequences_may_be_copies():
    text = runs_text([scanned(control=control((3, 9, 2, 1), (0, 0, 0, 0)))])
    assert "Control at step 0: there is none; every later sequence is a copy" in text


def test_without_a_table_the_command_is_named():
    text = runs_text([scanned(not_exposed_sequences=7, control_reason="make a table with X")])
    assert "copy exposed" not in text
    assert "No control group: make a table with X." in text


@pytest.mark.parametrize("n", [1, 3, 500, 20_000])
def test_a_control_group_without_events_gives_a_bound(n):
    """The largest rate at which none of n would still be seen one time in twenty."""
    text = runs_text([scanned(control=control((0, 0, 0, 0), (0, n, n, 0)))])
    bound = binomtest(0, n, alternative="less").proportion_ci(0.95).high
    assert f"none of {n:,} unexposed text" in text
    assert float(re.search(r"below ([0-9.]+)%", text)[1]) == pytest.approx(100 * bound, rel=0.005)


def test_tables_show_what_is_undefined_as_a_dash():
    text = runs_text([scanned()])
    assert text.splitlines()[1].split() == ["0", "0", "0", "-", "-", "-"]
    assert "Control" not in text


def test_status_names_what_is_left_and_the_command_that_finishes_it(scan, memtrace_cli, tmp_path):
    scan("--shard-size", "7")
    runs = tmp_path / "runs"
    (document,) = json.loads(memtrace_cli("status", runs, "--json").stdout)
    assert document["finished"]
    assert document["shards"] == 5
    next(runs.glob("*/*/*/scores/shard-00002*")).unlink()
    (document,) = json.loads(memtrace_cli("status", runs, "--json").stdout)
    assert document["shards_left"] == 1
    assert document["sequences_left"] == 7
    assert document["command"] in memtrace_cli("status", runs).stdout
    finished = memtrace_cli(*shlex.split(document["command"])[1:])
    assert finished.exit_code == 0, finished.output
    assert json.loads(memtrace_cli("status", runs, "--json").stdout)[0]["finished"]


def test_options_from_the_environment(scan, monkeypatch):
    monkeypatch.setenv("MEMTRACE_SCAN_JSON", "1")
    monkeypatch.setenv("MEMTRACE_SCAN_SEQUENCES", "3:13")
    assert json.loads(scan().stdout)["sequences"] == 10


def test_every_option_has_the_environment_variable_of_its_name():
    def options(command, words=()):
        for name, each in getattr(command, "commands", {}).items():
            yield from options(each, (*words, name))
        yield from ((words, each) for each in command.params if isinstance(each, click.Option))

    for words, option in options(main):
        assert f"--{option.name.replace('_', '-')}" in option.opts, words


def assert_one_line(result, code, *words):
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in lines[0]
    if code == 1:
        assert result.stderr.strip() == lines[0]


def test_sequences_that_the_checkpoint_has_not_seen(memtrace_cli, tmp_path):
    given = ["scan", "--model", "demo", "--step", "1", "--runs", tmp_path]
    result = memtrace_cli(*given, "--sequences", "5000:6000")
    assert_one_line(result, 1, "5000:6000", "has seen 0:16", "--include-unexposed")
    allowed = f"choose A:B in 0:{len(open_corpus('demo'))}"
    assert_one_line(memtrace_cli(*given, "--sequences", "0:99999999"), 1, allowed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--stratified"], ["--worker", "1/" + "9" * 5000]])
def test_options_that_cannot_be(memtrace_cli, options):
    assert memtrace_cli("scan", "--model", "demo", *options).exit_code == 2


def test_unknown_model(memtrace_cli):
    assert_one_line(memtrace_cli("scan", "--model", "1.4b-dedupped"), 1, "1.4b-deduped")


def test_step_that_does_not_exist(memtrace_cli):
    assert_one_line(memtrace_cli("scan", "--model", "1.4b", "--step", "1500"), 1, "1000 and 2000")


def test_corpus_that_is_not_on_this_machine(memtrace_cli):
    result = memtrace_cli("scan", "--model", "1.4b", "--step", "1000")
    assert_one_line(result, 1, "pile-standard", "hf download", "--corpus")


def test_corpus_of_another_order(memtrace_cli):
    assert_one_line(memtrace_cli("scan", "--model", "410m-seed3"), 1, "--corpus")


def test_missing_and_truncated_corpus(scan, neox_folder, memtrace_cli, corpus, tmp_path):
    missing = memtrace_cli("scan", "--model", neox_folder, "--corpus", tmp_path / "nothing")
    assert_one_line(missing, 1, "nothing")
    for ending in ("bin", "idx"):
        content = corpus.with_suffix(f".{ending}").read_bytes()
        (tmp_path / f"cut.{ending}").write_bytes(content[:-1] if ending == "bin" else content)
    cut = memtrace_cli("scan", "--model", neox_folder, "--corpus", tmp_path / "cut")
    assert_one_line(cut, 1, "truncated", "3839")


def test_foreign_file(neox_folder, memtrace_cli, tmp_path):
    (tmp_path / "foreign.idx").write_bytes(b"\x89PNG" + bytes(100))
    (tmp_path / "foreign.bin").write_bytes(bytes(1280))
    result = memtrace_cli("scan", "--model", neox_folder, "--corpus", tmp_path / "foreign.bin")
    assert_one_line(result, 1, "not a Megatron index")


def test_token_ids_beyond_the_vocabulary(neox_folder, memtrace_cli, tmp_path):
    np.save(tmp_path / "tokens.npy", np.full((4, 64), 96, np.uint16))
    command = ["scan", "--model", neox_folder, "--corpus", tmp_path / "tokens.npy"]
    assert_one_line(memtrace_cli(*command, "--runs", tmp_path / "runs"), 1, "96", "vocabulary")


def test_sequences_outside_the_corpus(scan):
    assert_one_line(scan("--sequences", "10:31"), 1, "10:31", "0:30")


def test_changed_configuration(scan):
    assert scan().exit_code == 0
    result = scan("--eos-rule", "mask-eos")
    assert_one_line(result, 1, "eos_rule: none -> mask-eos", "memtrace scan")


def test_runs_folder_that_is_a_file(scan, tmp_path):
    (tmp_path / "runs").write_text("")
    assert_one_line(scan(), 1, str(tmp_path / "runs"), "--runs")


def test_read_only_runs_folder(scan, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    runs.chmod(0o500)
    mounted = False
    if os.geteuid() == 0:  # permissions do not bind root, a read-only file system does
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(runs)]
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        if not mounted:
            pytest.skip("root here may not mount, and permissions do not bind root")
    try:
        assert_one_line(scan(), 1, str(runs), "--runs")
    finally:
        if mounted:
            subprocess.run(["umount", str(runs)], check=True)


def test_status_of_no_runs(memtrace_cli, tmp_path):
    assert_one_line(memtrace_cli("status", tmp_path), 1, "memtrace scan")


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan"],
        ["scan", "--model", "demo", "--sequences", "5"],
        ["scan", "--model", "demo", "--sequences", "a:b"],
        ["scan", "--model", "demo", "--step", "x"],
        ["scan", "--model", "demo", "--step", "5:1"],
        ["scan", "--model", "demo", "--batch-size", "0"],
        ["scan", "--model", "demo", "--dtype", "int8"],
        ["scan", "--model", "demo", "--shard-size", "-1"],
        ["scna"],
    ],
    ids=" ".join,
)
def test_usage_errors_exit_with_2(memtrace_cli, arguments):
    assert_one_line(memtrace_cli(*arguments), 2)


def test_interrupt_exits_with_130(scan, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("memtrace.scanning.launch.run_job", interrupted)
    result = scan()
    assert result.exit_code == 130
    assert "repeat the command" in result.stderr
