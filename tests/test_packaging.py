"""What an installed memtrace is: one top-level name, light to import, and parts that stay apart."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "statsmodels", "polars", "pydantic", "matplotlib", "scipy"}
RUN = "from memtrace.cli.main import main\ntry: main([{}])\nexcept SystemExit: pass"


def modules_after(statement):
    """Return the top-level modules that a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport sys; print(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy():
    assert not modules_after(RUN.format("'--help'")) & HEAVY
    assert not modules_after("import memtrace") & HEAVY


@pytest.mark.parametrize("command", ["scan", "fit-poisson", "emergence", "status", "models"])
def test_help_of_each_command_loads_nothing_heavy(command):
    assert not modules_after(RUN.format(f"'{command}', '--help'")) & HEAVY


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("memtrace.point_process", {"torch", "transformers"}),
        ("memtrace.emergence", {"torch", "transformers"}),
        ("memtrace.point_process.figures", {"torch", "transformers"}),
        ("memtrace.runs.scores", {"torch", "transformers", "statsmodels"}),
        ("memtrace.runs.run", {"torch", "transformers", "statsmodels"}),
        ("memtrace.manifests.lookup", {"torch", "transformers", "statsmodels"}),
        ("memtrace.corpus", {"torch", "transformers", "statsmodels"}),
        ("memtrace.scanning.launch", {"statsmodels", "matplotlib"}),
        ("memtrace.engine.engine", {"statsmodels", "matplotlib"}),
    ],
)
def test_halves_stay_apart(module, forbidden):
    assert not modules_after(f"import {module}") & forbidden


def test_public_names_are_there_and_documented():
    import memtrace

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
        "data_manifests/demo/checkpoints/step512/model.safetensors",
        "py.typed",
    ):
        assert f"memtrace/{part}" in names


def test_installed_wheel_works_away_from_the_checkout(wheel, tmp_path):
    """Neither `cli` nor `data_manifests` reaches site-packages; the command and manifests do."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, cwd=tmp_path)
    # The dependencies are those of the test environment, without its editable memtrace.
    site = next(p for p in sys.path if p.endswith("site-packages"))
    program = (
        "import sys, importlib.util\n"
        "assert importlib.util.find_spec('cli') is None\n"
        "assert importlib.util.find_spec('data_manifests') is None\n"
        f"sys.path.append({site!r})\n"
        "import memtrace, memtrace.cli.main\n"
        f"assert memtrace.__file__.startswith({str(tmp_path)!r})\n"
        "memtrace.cli.main.main(['models', 'show', 'demo', '--json'])\n"
    )
    done = subprocess.run(
        [python, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert str(tmp_path) in done.stdout
