"""Who did what for a run: one small file for each process, merged when the record is read.

It knows names and JSON; what a process does is known by `launch`.

    RUN/sittings/0001795513661000000000-4711-node7.json

A file has one writer, so that any number of processes may work on a run and none overwrites what
another one noted. It is written again after every shard: a process that is killed loses no more.
"""

import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from memtrace.storage.store import list_names, write_json


def name_process() -> str:
    """Return a name for this process that no other one has, and that sorts by time."""
    return f"{time.time_ns():022d}-{os.getpid()}-{platform.node()}"


def write_sitting(run_folder: Path, process: str, entries: Mapping[str, Any]) -> None:
    """Note what a process has done for a run so far, in place of what it noted before.

    Raises:
        RunError: It cannot be written.
    """
    write_json(run_folder / "sittings" / f"{process}.json", {"process": process, **entries})


def merge_sittings(run_folder: Path, recorded: Any) -> list[Any]:
    """Return the sittings of a run, by time: those in its record, and those noted beside it.

    Raises:
        RunError: The folder cannot be read.
    """
    known = list(recorded) if isinstance(recorded, list) else []
    have = {each.get("process") for each in known if isinstance(each, dict)}
    for name in sorted(list_names(run_folder / "sittings")):
        if not name.endswith(".json") or name.startswith(".") or name[:-5] in have:
            continue
        # A damaged note costs a line of provenance, and no score.
        with suppress(OSError, ValueError, RecursionError):
            noted = json.loads((run_folder / "sittings" / name).read_text(encoding="utf-8"))
            if isinstance(noted, dict):
                known.append(noted)
    return sorted(known, key=_order)


def _order(sitting: Any) -> str:
    return str(sitting.get("process", "")) if isinstance(sitting, dict) else ""
