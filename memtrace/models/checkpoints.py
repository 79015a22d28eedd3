"""What the name of a folder says of the checkpoint in it."""

import re
from pathlib import Path

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
