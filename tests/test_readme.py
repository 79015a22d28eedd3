"""README and documentation cannot rot: commands parse, code prints what is shown, links lead."""

import re
import shlex
import shutil
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType

import click
import pytest

import memtrace
from memtrace.corpus.corpus_file import CorpusFile
from memtrace.manifests import Suite
from memtrace.manifests.documents import load_document

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
HERE = [pytest.param(page, id=page.name) for page in PAGES]
MOST_LINES = 200


def text_of(page):
    return page.read_text(encoding="utf-8")


def commands():
    for page in PAGES:
        for block in re.findall(r"```(?:bash|sh)\n(.*?)```", text_of(page), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if found := re.match(r"(?:srun )?(memtrace .*)", line.strip()):
                    yield pytest.param(
                        found[1].partition(" #")[0].strip(), id=f"{page.name}: {line}"
                    )


@pytest.mark.parametrize("command", list(commands()))
def test_each_command_parses(memtrace_main, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Files and a folder that a command must find to be well-formed.
    for name in re.findall(r"\S+\.(?:parquet|txt|json|yaml)", command):
        (tmp_path / name).touch()
    (tmp_path / "pythia/evals/csv").mkdir(parents=True)
    context = click.Context(memtrace_main, info_name="memtrace")
    words = shlex.split(command.replace("$SLURM_ARRAY_TASK_ID", "3"))[1:]
    group = memtrace_main
    while isinstance(group, click.Group):
        name, group, words = group.resolve_command(context, words)
        assert group is not None, name
    group.make_context(name, words, parent=context)


@pytest.mark.parametrize("page", [README, ROOT / "docs/quickstart.md"], ids=lambda page: page.name)
def test_python_prints_what_the_page_says(page, demo_folder, monkeypatch):
    monkeypatch.chdir(demo_folder)
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text_of(page), re.DOTALL)
    assert len(blocks) == len(re.findall("```python\n", text_of(page)))
    session = ModuleType("session").__dict__
    for code, output in blocks:
        with redirect_stdout(StringIO()) as printed:
            exec(code, session)
        assert printed.getvalue() == output


@pytest.mark.parametrize("page", [README, ROOT / "docs/quickstart.md"], ids=lambda page: page.name)
def test_the_fit_that_a_page_shows_is_what_the_command_prints(page, demo_folder, memtrace_cli):
    (shown,) = (
        block
        for block in re.findall(r"```text\n(.*?)```", text_of(page), re.DOTALL)
        if "the primary end point" in block
    )
    printed = memtrace_cli("fit-poisson", demo_folder / "runs", "--step", "last").output
    # The box around the verdict is as wide as the terminal.
    assert printed.partition("\nEvents\n")[2].startswith(
        shown.partition("\nEvents\n")[2].removesuffix("…\n").rstrip()
    )


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory, demo_scans):
    """Where the code of all pages runs, with the scan that each of them starts from."""
    folder = tmp_path_factory.mktemp("demo")
    run = memtrace.scan("demo", "last", runs=demo_scans / "runs")
    shutil.copytree(run.folder, folder / run.folder.relative_to(demo_scans))
    return folder


@pytest.mark.parametrize("page", HERE)
def test_links_lead_to_files(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text_of(page)):
        # Notebooks are copied into the documentation when it is built.
        beside = page.parent if not link.startswith("notebooks") else ROOT
        if link.startswith("_made/"):  # drawn when the documentation is built
            assert Path(link).name in text_of(ROOT / "docs/conf.py")
        else:
            assert (beside / link).exists(), link


@pytest.mark.parametrize("page", HERE)
def test_each_page_is_in_the_contents(page):
    contents = "".join(text_of(ROOT / "docs" / name) for name in ("index.md", "api.md"))
    assert page in (README, ROOT / "docs/index.md") or f"\n{page.stem}\n" in contents


@pytest.mark.parametrize(("page", "model"), [("manifests", Suite), ("file-formats", CorpusFile)])
def test_the_example_of_a_document_is_one(tmp_path, page, model):
    (example,) = re.findall(r"```yaml\n(.*?)```", text_of(ROOT / f"docs/{page}.md"), re.DOTALL)
    (tmp_path / "example.yaml").write_text(example)
    assert load_document(tmp_path / "example.yaml", model)


PUBLIC = ("", ".point_process", ".emergence", ".evaluations", ".corpus", ".manifests")


@pytest.mark.parametrize("package", PUBLIC)
def test_each_public_name_is_in_the_api_reference(package):
    reference = "".join(text_of(page) for page in (ROOT / "docs").glob("api*.md"))
    for name in import_module(f"memtrace{package}").__all__:
        assert re.search(rf"\.{name}\b", reference), name


def test_the_readme_is_short():
    assert len(text_of(README).splitlines()) <= MOST_LINES


def each_command(group, path="memtrace"):
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from each_command(command, f"{path} {name}")


def test_every_command_and_option_has_help(memtrace_main):
    for path, command in each_command(memtrace_main):
        assert command.help, path
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{path} {param.opts[0]}"
        if not isinstance(command, click.Group):
            assert "\b" in command.help, f"{path} has no example"


def test_every_command_is_in_the_readme(memtrace_main):
    for path, command in each_command(memtrace_main):
        if not isinstance(command, click.Group):
            assert path in text_of(README), path


def test_no_help_is_cut_in_a_list_of_commands(memtrace_main):
    for path, group in [("memtrace", memtrace_main), *each_command(memtrace_main)]:
        if isinstance(group, click.Group):
            shown = group.get_help(click.Context(group, info_name=path, terminal_width=78))
            assert "..." not in shown.partition("Commands:")[2], path
