"""The README cannot rot: its commands are commands."""

import re
import shlex
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_no_help_is_cut_in_a_list_of_commands(memtrace_main):
    for path, group in [("memtrace", memtrace_main), *each_command(memtrace_main)]:
        if isinstance(group, click.Group):
            shown = group.get_help(click.Context(group, info_name=path, terminal_width=80))
            assert "..." not in shown.partition("Commands:")[2], path
