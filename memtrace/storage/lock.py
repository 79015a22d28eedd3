"""Keep other processes from writing the same output; a lock goes when its process goes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memtrace.errors import MemtraceError
from memtrace.storage.problems import UNSUPPORTED, write_problem


@contextmanager
def locked_folder(folder: Path, *, option: str, raises: type[MemtraceError]) -> Iterator[None]:
    """Make a folder and lock it.

    Args:
        folder: The folder.
        option: The option of the command that names it.
        raises: The error of what is written there.

    Raises:
        MemtraceError: Another process has the lock, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise raises(write_problem(folder, error, option)) from error
    try:
        _lock(descriptor, folder, option, raises)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_file(
    path: Path, what: Path, *, option: str, raises: type[MemtraceError]
) -> Iterator[None]:
    """Make a file that is there while the lock is held.

    Args:
        path: The file; what a killed process left is taken over.
        what: What is written, for messages.
        option: The option of the command that names it.
        raises: The error of what is written there.

    Raises:
        MemtraceError: Another process has the lock, or the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise raises(write_problem(what, error, option)) from error
    try:
        _lock(descriptor, what, option, raises)
        # The file may have been deleted, with the lock on it, between opening and locking.
        if not _is_the_file(descriptor, path):
            raise raises(_taken(what))
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
    finally:
        os.close(descriptor)


def _is_the_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _lock(descriptor: int, what: Path, option: str, raises: type[MemtraceError]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise raises(_taken(what)) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:  # some mounts know no locks
            raise raises(write_problem(what, error, option)) from error


def _taken(what: Path) -> str:
    return f"{what} is being written by another process: wait for it"
