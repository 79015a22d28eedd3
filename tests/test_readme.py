"""The README cannot rot: its tree is the files on disk, and its commands are commands."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree_paths(text):
    """Return the paths of an indented tree, and whether each is a folder listed as a whole."""
    entries = [re.match(r"( *)(\S+)", line).groups() for line in text.strip("\n").splitlines()]
    paths, parents = [], []
    for i, (indent, name) in enumerate(entries):
        depth = len(indent) // 2
        parents = [*parents[:depth], name]
        following = len(entries[i + 1][0]) // 2 if i + 1 < len(entries) else 0
        if not name.endswith("/") or following <= depth:
            paths.append("".join(parents))
    return paths


def test_tree_is_what_is_on_disk():
    (block,) = re.findall(r"```text\n(pyproject\.toml.*?)```", README, re.DOTALL)
    listed = tree_paths(block)
    assert [path for path in listed if not (ROOT / path).exists()] == []
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout: which files belong to the project is unknown")
    folders = tuple(path for path in listed if path.endswith("/"))
    missing = [
        path
        for path in tracked.stdout.split()
        if path not in listed and not path.startswith(folders)
    ]
    assert missing == []


def commands_in_readme():
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", README, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("memtrace "):
                yield line.split("#")[0].strip()


@pytest.mark.parametrize("command", list(commands_in_readme()))
def test_each_command_parses(memtrace_main, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Files and a folder that a command must find to be well-formed.
    for name in re.findall(r"\S+\.(?:parquet|txt|json)", command):
        (tmp_path / name).touch()
    (tmp_path / "pythia/evals/csv").mkdir(parents=True)
    context = click.Context(memtrace_main, info_name="memtrace")
    words = shlex.split(command)[1:]
    group = memtrace_main
    while isinstance(group, click.Group):
        name, group, words = group.resolve_command(context, words)
        assert group is not None, name
    group.make_context(name, words, parent=context)


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
            assert path in README, path
