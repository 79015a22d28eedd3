"""What the API pages document is reachable from `import memtrace`, and takes paths as text."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
DIRECTIVE = re.compile(r"^\.\. auto(module|function|class):: (\S+)$", re.MULTILINE)


def documented():
    """Return the names that the pages document, those of whole modules with their members."""
    names = []
    for page in sorted(DOCS.glob("api*.md")):
        for kind, name in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            names.append(name)
            if kind == "module":
                module = importlib.import_module(name)
                names += [
                    f"{name}.{key}" for key, value in vars(module).items() if own(value, name)
                ]
    return names


def own(value, module):
    is_public = inspect.isfunction(value) or inspect.isclass(value)
    return is_public and value.__module__ == module and not value.__name__.startswith("_")


NAMES = documented()


def test_the_pages_document_something():
    assert len(NAMES) > 150
    assert {"memtrace.scan", "memtrace.runs.run.find_runs"} < set(NAMES)


@pytest.mark.parametrize("first", ["memtrace.load_scores"])
def test_each_resolves_from_import_memtrace(first):
    """Whatever else was asked for before: another name may have loaded half of a package."""
    lines = "\n".join(f"assert {name} is not None" for name in (first, *NAMES))
    done = subprocess.run(
        [sys.executable, "-c", f"import memtrace\n{lines}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def resolved(name):
    value = importlib.import_module("memtrace")
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    return value


def functions():
    for name in NAMES:
        value = resolved(name)
        if inspect.isfunction(value):
            yield name, value


def test_every_path_may_be_a_string():
    only_paths = [
        f"{name}({parameter.name}: {parameter.annotation})"
        for name, value in functions()
        for parameter in inspect.signature(value).parameters.values()
        if "Path" in (said := str(parameter.annotation)) and "str" not in said.replace("strict", "")
    ]
    assert only_paths == []
