"""Worker logs: what each process did for a run, one small file each, merged when a run is opened.

    RUN/workers/0001795513661000000000-4711-node7.json

A log has one writer, so that any number of processes may work on a run and none overwrites what
another one wrote. It is written again after every shard: a process that is killed loses no more.
"""

import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from memtrace.storage.documents import read_document
from memtrace.storage.store import list_names, write_json

_FOLDER = "workers"


def name_process() -> str:
    """Return a name for this process that no other one has, and that sorts by time."""
    return f"{time.time_ns():022d}-{os.getpid()}-{platform.node()}"


def write_log(run_folder: Path, process: str, entries: Mapping[str, Any]) -> None:
    """Write what a process has done for a run so far, in place of its last log.

    Raises:
        RunError: It cannot be written.
    """
    write_json(run_folder / _FOLDER / f"{process}.json", {"process": process, **entries})


def merge_logs(run_folder: Path, recorded: Any) -> list[Any]:
    """Return the logs of a run by time: those in its record, and those in files beside it.

    Raises:
        RunError: The folder cannot be read.
    """
    known = list(recorded) if isinstance(recorded, list) else []
    have = {each.get("process") for each in known if isinstance(each, dict)}
    for name in sorted(list_names(run_folder / _FOLDER)):
        if not name.endswith(".json") or name.startswith(".") or name[:-5] in have:
            continue
        # A damaged log costs a line of provenance, and no score.
        with suppress(OSError, ValueError, RecursionError):
            log = json.loads(read_document(run_folder / _FOLDER / name).decode())
            if isinstance(log, dict):
                known.append(log)
    return sorted(known, key=_order)


def _order(log: Any) -> str:
    return str(log.get("process", "")) if isinstance(log, dict) else ""
