"""The house keeps its form: no circles, no hidden imports, few entries, short files.

`lint-imports` (pyproject.toml) holds the layers; these tests see every import statement by itself:
at the top of a file, in functions, and under TYPE_CHECKING.
"""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "memtrace").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported(name, node):
    """Yield our own modules that an import statement of module `name` loads."""
    if isinstance(node, ast.Import):
        targets = [(alias.name, None) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, *filter(None, [node.module])])
        targets = [(base, alias.name) for alias in node.names]
    else:
        return
    for module, member in targets:
        module = module.replace("memtrace.cli", "cli", 1)
        for found in (f"{module}.{member}", module):
            if found in MODULES:
                yield found
                break


IMPORTS = {
    name: {found for node in ast.walk(tree) for found in imported(name, node)} - {name}
    for name, tree in TREES.items()
}


def reachable(start):
    seen, ahead = set(), [*IMPORTS[start]]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += IMPORTS[name]
    return seen


def strongly_connected():
    """Return the groups of modules of which each reaches all others."""
    reach = {name: reachable(name) for name in MODULES}
    groups = defaultdict(set)
    for name in MODULES:
        if name in reach[name]:
            circle = {other for other in reach[name] if name in reach[other]}
            groups[min(circle)] |= circle
    return [sorted(group) for group in groups.values()]


def hidden_imports(name):
    """Yield the places where a function imports one of our own modules."""
    for function in ast.walk(TREES[name]):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                for found in imported(name, node):
                    yield f"{MODULES[name].relative_to(ROOT)}:{node.lineno} imports {found}"


def test_the_walk_sees_the_imports():
    """The other tests would pass if it saw none."""
    assert "memtrace.runs.run" in IMPORTS["memtrace.runs.status"]
    assert "cli.console" in IMPORTS["cli.scan"]
    assert "memtrace.scanning.plan" in IMPORTS["cli.scan"]  # in a function
    assert list(hidden_imports("cli.scan"))
    assert sum(map(len, IMPORTS.values())) > 300


def test_no_circle_runs_through_any_imports():
    assert strongly_connected() == []


def test_no_function_of_the_library_imports_our_own_modules():
    library = [name for name in MODULES if name.startswith("memtrace")]
    assert [place for name in library for place in hidden_imports(name)] == []


def test_library_does_not_know_the_commands():
    above = {name for name, found in IMPORTS.items() if any(m.startswith("cli") for m in found)}
    assert {name for name in above if name.startswith("memtrace")} == {"memtrace.__main__"}


def test_the_library_has_few_entries():
    own = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
    entries = {path.name for path in (ROOT / "memtrace").iterdir()} - own
    assert len(entries) <= 16, sorted(entries)


TESTS = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
