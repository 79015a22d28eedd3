"""What an installed memtrace is: one top-level name, light to import, and parts that stay apart."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import memtrace

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
HEAVY = {"torch", "transformers", "statsmodels", "polars", "pydantic", "matplotlib", "scipy"}


def loaded_after(*statements):
    """Return the top-level modules that a fresh interpreter has loaded after each statement."""
    program = "import json, sys\nfrom contextlib import redirect_stdout, suppress\nloaded = []\n"
    for statement in statements:
        program += f"with redirect_stdout(sys.stderr), suppress(SystemExit):\n    {statement}\n"
        program += "loaded.append([name.split('.')[0] for name in sys.modules])\n"
    command = [sys.executable, "-c", f"{program}print(json.dumps(loaded))"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [set(modules) for modules in json.loads(done.stdout)]


def test_help_loads_nothing_heavy():
    """Of the whole and of each command, in one interpreter, which has imported memtrace first."""
    commands = ["", "scan", "fit-poisson", "emergence", "status", "models"]
    calls = [f"main({[*command.split(), '--help']})" for command in commands]
    first = ["import memtrace", "from memtrace.cli.main import main"]
    for statement, modules in zip(first + calls, loaded_after(*first, *calls), strict=True):
        assert not modules & HEAVY, statement


@pytest.mark.parametrize(
    "halves",
    [
        {  # in this order: each loads what the next one may load too
            "memtrace.manifests.lookup": {"torch", "transformers", "statsmodels"},
            "memtrace.corpus": {"torch", "transformers", "statsmodels"},
            "memtrace.runs.run": {"torch", "transformers", "statsmodels"},
            "memtrace.runs.scores": {"torch", "transformers", "statsmodels"},
            "memtrace.emergence": {"torch", "transformers"},
            "memtrace.point_process": {"torch", "transformers"},
            "memtrace.point_process.figures": {"torch", "transformers"},
        },
        {
            "memtrace.scanning.launch": {"statsmodels", "matplotlib"},
            "memtrace.engine.engine": {"statsmodels", "matplotlib"},
        },
    ],
    ids=["statistics", "scanning"],
)
def test_halves_stay_apart(halves):
    loaded = loaded_after(*(f"import {module}" for module in halves))
    for (module, forbidden), modules in zip(halves.items(), loaded, strict=True):
        assert not modules & forbidden, module


def test_public_names_are_there_and_documented():
    for name in memtrace.__all__:
        assert getattr(memtrace, name).__doc__
        assert name in dir(memtrace)
    with pytest.raises(AttributeError, match="no attribute 'skan'"):
        memtrace.skan  # noqa: B018


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the files that git tracks."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout: the list of files to build from is unknown")
    source = folder / "source"
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", folder, source]
    subprocess.run(command, check=True)
    return next(folder.glob("memtrace_llm-*.whl"))


def test_wheel_holds_one_top_level_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"memtrace"}
    for part in (
        "cli/main.py",
        "data_manifests/pythia.yaml",
        "data_manifests/demo/corpus/demo.bin",
        "data_manifests/demo/corpus/demo-deduped.bin",
        "data_manifests/demo/checkpoints/demo/step1024/model.safetensors",
        "data_manifests/demo/checkpoints/demo-small/step1024/model.safetensors",
        "report/templates/page.html",
        "report/templates/style.css",
        "report/templates/findings.html",
        "report/templates/page.js",
        "py.typed",
    ):
        assert f"memtrace/{part}" in names


NO_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def laptop(wheel, tmp_path_factory):
    """The wheel in an environment of its own, which has no package of the extra `scan`.

    The dependencies are those of the test environment, without its editable memtrace.
    """
    folder = tmp_path_factory.mktemp("laptop") / "venv"
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    absent = {re.split("[^a-z-]", line)[0].replace("-", "_") for line in EXTRAS["scan"]}
    assert absent == {"torch", "transformers", "safetensors", "array_api_compat"}
    (site / "no_torch.py").write_text(NO_TORCH.format(absent=absent))
    outer = [path for path in sys.path if path.endswith("site-packages")]
    (site / "laptop.pth").write_text("\n".join(["import no_torch", *outer]))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def copied_run(tmp_path_factory):
    """Runs of two checkpoints, as they are copied from the machine that scanned them."""
    runs = tmp_path_factory.mktemp("copied") / "runs"
    for step in (256, "last"):
        memtrace.scan("demo", step, sequences=(0, 4096), device="cpu", runs=runs)
    return runs


def test_installed_wheel_works_away_from_the_checkout(laptop, tmp_path):
    """Neither `cli` nor `data_manifests` reaches site-packages; the command and manifests do."""
    program = (
        "import importlib.util\n"
        "assert importlib.util.find_spec('cli') is None\n"
        "assert importlib.util.find_spec('data_manifests') is None\n"
        "import memtrace, memtrace.cli.main\n"
        f"assert memtrace.__file__.startswith({str(laptop.parents[1])!r})\n"
        "memtrace.cli.main.main(['models', 'show', 'demo', '--json'])\n"
    )
    done = subprocess.run(
        [laptop, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert str(laptop.parents[1]) in done.stdout


WITHOUT_TORCH = {
    "fit-poisson --output figures": "rate_per_window",
    "emergence runs --output figures": "texts",
    "texts runs --limit 3 --output texts": "texts",
    "report runs --output report": "pages",
    "status": "finished",
    "models list": "parameters",
    "corpus info demo": "digest",
    "runs compact": "finished",
}


def test_statistics_run_without_torch(laptop, copied_run, tmp_path):
    """One fresh interpreter runs all commands."""
    shutil.copytree(copied_run, tmp_path / "runs")
    program = (
        "import contextlib, io, json, sys\nfrom memtrace.cli.main import main\nfound = {}\n"
        f"for command in {list(WITHOUT_TORCH)!r}:\n"
        "    out = io.StringIO()\n"
        "    with contextlib.redirect_stdout(out):\n"
        "        main([*command.split(), '--json'], standalone_mode=False)\n"
        "    found[command] = json.loads(out.getvalue())\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.dumps(found))\n"
    )
    done = subprocess.run(
        [laptop, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for command, key in WITHOUT_TORCH.items():
        document = found[command]
        assert key in (document[0] if isinstance(document, list) else document), command


def test_scan_names_the_extra_that_it_needs(laptop, tmp_path):
    command = [laptop, "-m", "memtrace", "scan", "--model", "demo", "--step", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "pip install 'memtrace-llm[scan]'" in line
    assert not list(tmp_path.iterdir())


def test_every_extra_is_named_once_and_gpus_include_the_scan():
    assert not {line.split(">")[0] for line in PROJECT["dependencies"]} & {"torch", "transformers"}
    for extra in ("gpu-cuda12", "gpu-cuda13", "ray", "bench"):
        assert "memtrace-llm[scan]" in EXTRAS[extra]
