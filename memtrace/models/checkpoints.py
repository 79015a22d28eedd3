"""The folders of checkpoints: what their names say, and which steps are there."""

import re
from pathlib import Path

from memtrace.errors import ModelError
from memtrace.storage.problems import read_problem

STEP = "{step}"
"""What stands for the step in the path of a checkpoint."""
_TRAINER = re.compile("checkpoint-([0-9]{1,18})")


def checkpoints_in(run: Path) -> dict[int, Path]:
    """Return the folders `checkpoint-N` in a folder, by step ascending."""
    matches = ((_TRAINER.fullmatch(path.name), path) for path in run.iterdir() if path.is_dir())
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def name_and_step(folder: Path) -> tuple[str, int]:
    """Return the name of the model in a folder, and its step; links are followed.

    `RUN/checkpoint-500`, as the Trainer of Transformers writes it, is model RUN at step 500. Any
    other folder is a model of that name, at step 0.
    """
    folder = folder.resolve()
    match = _TRAINER.fullmatch(folder.name)
    if match and folder.parent.name:
        return folder.parent.name, int(match[1])
    return folder.name, 0


def checkpoint_template(path: str) -> str:
    """Return a path with `{step}`; that of a trainer's folder of `checkpoint-N` is found.

    Raises:
        ModelError: The path has none, and is no such folder.
    """
    if STEP in path:
        return path
    try:
        if Path(path).is_dir() and checkpoints_in(Path(path)):
            return str(Path(path) / f"checkpoint-{STEP}")
    except OSError as error:
        raise ModelError(read_problem(path, error)) from error
    raise ModelError(
        f"{path} does not say where the step stands: write {STEP} in its place, in quotes, such as "
        f"'ckpt/step{STEP}'"
    )


def find_steps(template: str) -> dict[int, Path]:
    """Return the folders that a path with `{step}` names, by step ascending.

    Raises:
        ModelError: There is none, or a folder cannot be read.
    """
    parts = Path(template).parts
    place = next(i for i, part in enumerate(parts) if STEP in part)
    above = Path(*parts[:place])
    try:
        names = sorted(path.name for path in above.iterdir() if path.is_dir())
    except OSError as error:
        raise ModelError(read_problem(above, error)) from error
    before = re.escape(parts[place].split(STEP, 1)[0])
    matches = (re.match(f"{before}([0-9]{{1,12}})", name) for name in names)
    numbers = {match[1] for match in matches if match}
    asked = [(digits, Path(template.replace(STEP, digits))) for digits in sorted(numbers)]
    there = {int(digits): path for digits, path in asked if str(int(digits)) == digits}
    if found := {step: path for step, path in there.items() if path.is_dir()}:
        return dict(sorted(found.items()))
    if padded := [path.name for digits, path in asked if digits[0] == "0" and path.is_dir()]:
        raise ModelError(
            f"the steps in {above} have leading zeros ({padded[0]}), which a manifest does not "
            f"write: rename the folders, or link to them as {template}"
        )
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    raise ModelError(f"no folder {template}: {above} has {shown or 'no folder at all'}")
