"""What holds for every command: one line for each failure, and arguments checked first."""

import json
import logging
import subprocess
import sys
from contextlib import chdir, contextmanager
from io import StringIO

import pytest
from click.testing import CliRunner
from memtrace.cli.console import show_progress
from rich.console import Console

from memtrace.corpus import open_corpus

HEAVY = {"torch", "transformers", "statsmodels", "scipy", "matplotlib"}


@pytest.fixture
def status_raises(monkeypatch):
    """Let `memtrace status` fail with an exception of choice."""

    def arrange(error):
        def survey(*_):
            raise error

        monkeypatch.setattr("memtrace.runs.status.survey", survey)

    return arrange


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        IndexError(),
        OverflowError("cannot convert\nfloat infinity"),
        RecursionError("maximum recursion depth exceeded"),
        OSError(28, "No space left on device", "x"),
    ],
)
def test_any_failure_is_one_line_and_has_a_traceback_on_request(
    memtrace_cli, status_raises, monkeypatch, error
):
    status_raises(error)
    result = memtrace_cli("status", "nowhere")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert type(error).__name__ in line
    assert "MEMTRACE_DEBUG=1" in line
    monkeypatch.setenv("MEMTRACE_DEBUG", "1")
    assert "Traceback" in memtrace_cli("status", "nowhere").stderr


def test_file_that_vanishes_is_named_with_what_to_do(memtrace_cli, status_raises):
    status_raises(FileNotFoundError(2, "No such file or directory", "runs/shard.parquet"))
    (line,) = memtrace_cli("status", "nowhere").stderr.splitlines()
    assert "runs/shard.parquet" in line
    assert "repeat the command" in line


@pytest.mark.parametrize(("module", "extra"), [("torch", "scan"), ("transformers.utils", "scan")])
def test_missing_package_is_named_with_its_extra(memtrace_cli, status_raises, module, extra):
    status_raises(ModuleNotFoundError(f"No module named {module!r}", name=module))
    (line,) = memtrace_cli("status", "nowhere").stderr.splitlines()
    assert f"pip install 'memtrace-llm[{extra}]'" in line


def test_interruption_claims_only_what_is_true(memtrace_cli, status_raises, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    status_raises(KeyboardInterrupt())
    result = memtrace_cli("status", "nowhere")
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("memtrace.scanning.launch.run_job", interrupted)
    result = memtrace_cli("scan", "--model", "demo", "--step", "1", "--device", "cpu")
    assert result.exit_code == 130
    assert "finished shards are kept" in result.stderr


def test_reader_that_closes_the_pipe_is_no_failure():
    command = f"{sys.executable} -m memtrace models show demo | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout
    assert done.stderr == ""
    closed = f"{sys.executable} -m memtrace models list --json >&-"
    for command in (f"{sys.executable} -m memtrace models list --json | true", closed):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr


BAD_ARGUMENTS = [
    (["fit-poisson", "--window", "0"], "x>=1"),
    (["fit-poisson", "--window", "1_0"], "not a whole number"),
    (["fit-poisson", "--window", "٣"], "not a whole number"),
    (["fit-poisson", "--window", "9" * 20], "9,223,372,036,854,775,807"),
    (["fit-poisson", "--window", "9" * 5000], "9,223,372,036,854,775,807"),
    (["fit-poisson", "--seed", "-1"], "x>=0"),
    (["fit-poisson", "--margin", "nan"], "not a number"),
    (["fit-poisson", "--margin", "1e999"], "too large"),
    (["fit-poisson", "--step", "12a"], "12a"),
    (["fit-poisson", "--cuts", "5:1"], "5:1"),
    (["emergence", "--evals", "no-such-folder"], "no-such-folder"),
    (["emergence", "--level", "1_0"], "not a number"),
    (["simulate", "--sequences", "9" * 20, "--events", "1"], "too large"),
    (["simulate", "--sequences", "5", "--events", "10"], "10 is more than the 5"),
    (["simulate", "--step", "-1"], "-1"),
    (["scan", "--model", "demo", "--step", "1000:"], "1000:"),
    (["scan", "--model", "demo", "--step", "9" * 5000], "too large"),
    (["scan", "--model", "demo", "--batch-size", "1_0"], "neither auto nor a whole number"),
    (["scan", "--model", "demo", "--sequences", "9:3"], "holds nothing"),
    (["scan", "--model", "demo", "--sequences", f"0:{10**19 - 1}"], "holds nothing"),
    (["scan", "--model", "demo", "--worker", "2/2"], "0/8"),
    (["runs", "compact", "--step", "x"], "'x'"),
    (["models", "verify", "demo", "--step", "last,"], "''"),
    (["import", ".", "--step", "1_0"], "not a whole number"),
    (["corpus", "count", "demo", "--step", "0x10"], "0x10"),
    (["intervention", "--evals", "no-such-folder"], "no-such-folder"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_ARGUMENTS, ids=lambda a: " ".join(a)[:40])
def test_bad_argument_is_refused_with_its_value(memtrace_cli, arguments, words):
    result = memtrace_cli(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr.splitlines()[-1]


UNKNOWN = [
    ["fit-poisson", "no-such-folder"],
    ["emergence", "no-such-folder"],
    ["simulate", "no-such-folder"],
    ["status", "no-such-folder"],
    ["runs", "compact", "no-such-folder"],
    ["scan", "--model", "no-such-model"],
    ["scan", "--model", "demo", "--step", "123456"],
    ["models", "verify", "no-such-model"],
    ["corpus", "info", "no-such-corpus"],
    ["corpus", "duplicates", "no-such-corpus", "--output", "x"],
    ["fit-poisson", "--window", "0"],
    ["intervention", "--evals", "no-such-folder"],
]


def test_what_is_not_there_is_refused_before_heavy_imports(tmp_path):
    """One fresh interpreter asks for all of it: none may load what only the work needs."""
    program = (
        "import sys\nfrom memtrace.cli.main import main\n"
        f"for arguments in {UNKNOWN!r}:\n"
        "    try: main(arguments)\n"
        "    except SystemExit as done: assert done.code in (1, 2), (arguments, done.code)\n"
        f"    found = {HEAVY!r} & sys.modules.keys()\n"
        "    assert not found, (arguments, found)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_environment_gives_options_and_is_checked_too(memtrace_cli, monkeypatch):
    monkeypatch.setenv("MEMTRACE_SCAN_BATCH_SIZE", "1_0")
    result = memtrace_cli("scan", "--model", "demo", "--dry-run")
    assert result.exit_code == 2
    assert "'1_0' is neither auto nor a whole number" in result.stderr


def test_verbose_logs_each_step_and_quiet_none(tmp_path):
    """In a process of its own: pytest has handlers of its own."""
    arguments = ["scan", "--model", "demo", "--step", "256", "--sequences", "0:256"]
    arguments += ["--device", "cpu", "--runs"]
    program = (
        "import contextlib, io, json\nfrom memtrace.cli.main import main\ntold = {}\n"
        "for flag in ('-v', '-q'):\n"
        "    told[flag], out = io.StringIO(), io.StringIO()\n"
        "    with contextlib.redirect_stderr(told[flag]), contextlib.redirect_stdout(out):\n"
        f"        main([flag, *{arguments!r}, 'runs' + flag], standalone_mode=False)\n"
        "print(json.dumps({flag: text.getvalue() for flag, text in told.items()}))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    told = json.loads(done.stdout)
    rows = f"corpus demo: {len(open_corpus('demo')):,} rows"
    for words in (rows, "step256", "tolerance", ".parquet written"):
        assert words in told["-v"]
    assert told["-q"] == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit-poisson", "--output", "figures"],
        ["emergence", "runs", "--output", "figures"],
        ["runs", "compact"],
        ["corpus", "verify", "pack"],
        ["corpus", "duplicates", "demo", "--output", "table"],
        ["corpus", "info", "demo"],
        ["corpus", "pack", "demo", "--output", "another"],
        ["models", "verify", "demo"],
        ["simulate", "--sequences", "1000", "--events", "50", "--draws", "2"],
        ["simulate", "runs", "--draws", "2"],
    ],
    ids=" ".join,
)
def test_what_takes_time_shows_that_it_works(memtrace_cli, scanned, monkeypatch, arguments):
    """Each of these takes more than two seconds on real data."""
    monkeypatch.chdir(scanned)
    shown = []

    @contextmanager
    def noted(description, total=None, unit="sequences"):
        shown.append(description)
        yield lambda _: None

    for module in [m for name, m in sys.modules.items() if name.startswith("memtrace.cli.")]:
        if hasattr(module, "show_progress"):
            monkeypatch.setattr(module, "show_progress", noted)
    result = memtrace_cli(*arguments)
    assert result.exit_code == 0, result.output
    assert shown


@pytest.fixture(scope="module")
def scanned(tmp_path_factory, memtrace_main):
    """A folder with runs of two checkpoints and a pack."""
    folder = tmp_path_factory.mktemp("scanned")
    for arguments in (
        ["scan", "--model", "demo", "--step", "256,last", "--sequences", "0:4096"],
        ["corpus", "pack", "demo", "--output", "pack"],
    ):
        with chdir(folder):
            assert CliRunner().invoke(memtrace_main, ["-q", *arguments]).exit_code == 0
    return folder


def test_progress_without_a_known_total_ends():
    with show_progress("Working") as advance:
        advance(1)


@pytest.mark.parametrize("total", [None, 100])
def test_progress_on_a_terminal_says_what_and_how_much(monkeypatch, total):
    told = Console(file=StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("memtrace.cli.console.stderr", lambda: told)
    logging.getLogger("memtrace").setLevel(logging.INFO)
    with show_progress("Working", total, "rows") as advance:
        advance(40)
    shown = told.file.getvalue()
    assert "Working" in shown
    assert ("40 rows" in shown) == (total is not None)
