"""Where runs are kept: a local folder, or an address such as `s3://bucket/runs` through fsspec.

A local place is a `pathlib.Path`. An address is a path of universal_pathlib, which has the same
methods. Wherever it is, a file exists whole or not at all: on a local disk it is written under
a temporary name, flushed and renamed; an object store publishes an upload when it is complete; on
other remote file systems it is uploaded under a temporary name and renamed.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from memtrace.errors import MemtraceError, RunError, first_line
from memtrace.storage.address import public_address
from memtrace.storage.problems import UNSUPPORTED, read_problem, write_problem

OBJECT_STORES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
    "hf": "huggingface-hub",
}
"""Protocols whose uploads appear under their name at once and complete, and what speaks them."""
_CONNECTIONS = 16


def open_store(place: str | Path) -> Path:
    """Return the path of a folder of runs, local or at an address.

    Raises:
        RunError: The package that speaks the protocol is missing, or the store cannot be reached.
    """
    if not isinstance(place, str):
        return place  # opened already, perhaps with a password that its text does not have
    protocol, is_address, rest = place.partition("://")
    if not is_address:
        return Path(place)
    if protocol == "file":
        return Path(rest)
    from fsspec import get_filesystem_class
    from upath import UPath

    # Other workers write there too: a listing that is kept is soon out of date.
    options: dict[str, Any] = {"use_listings_cache": False} if protocol in OBJECT_STORES else {}
    path: Any = None
    try:
        # The path is printed and recorded: a password goes with the options instead.
        shown = public_address(place)
        if shown != place:
            options |= get_filesystem_class(protocol)._get_kwargs_from_urls(place)
        path = UPath(shown, protocol=protocol, **options)
        _remote_names(path)
    except FileNotFoundError:
        pass  # it is empty
    except ImportError as error:
        package = OBJECT_STORES.get(protocol)
        how = f"pip install {package}" if package else str(error)
        shown = public_address(place)
        raise RunError(f"cannot use {shown}: nothing here speaks {protocol}://; {how}") from error
    except Exception as error:  # a store raises what its transport raises
        raise _unreachable(place, error) from error
    found: Path = path
    return found


def list_names(folder: Path) -> frozenset[str]:
    """Return the names in a folder, asking nothing about each; none where there is no folder.

    Raises:
        RunError: It cannot be read.
    """
    try:
        if isinstance(folder, Path):
            # Names alone, not a Path of each: a folder of runs has a million score files.
            return frozenset(os.listdir(folder))  # noqa: PTH208
        return _remote_names(folder)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise RunError(f"{read_problem(folder, error)}; choose another --runs folder") from error


def _remote_names(folder: Any) -> frozenset[str]:
    folder.fs.invalidate_cache(folder.path)
    listed = folder.fs.ls(folder.path, detail=False)
    return frozenset(name.rstrip("/").rpartition("/")[2] for name in listed)


def source(path: Path) -> Path | BytesIO:
    """Return what a reader of Parquet takes: a local path, or the bytes of a remote file.

    Raises:
        OSError: The remote file cannot be read.
    """
    return path if isinstance(path, Path) else BytesIO(path.read_bytes())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON document so that it exists whole or not at all.

    Raises:
        RunError: It cannot be written there.
    """
    # In ASCII: the name of a folder need not be text in any encoding.
    content = (json.dumps(value, indent=2) + "\n").encode("ascii")

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    replace_atomically(path, write)


def remove(path: Path) -> None:
    """Delete a file; one that is gone already is no error.

    Raises:
        OSError, RunError: It cannot be deleted.
    """
    if isinstance(path, Path):
        path.unlink(missing_ok=True)
        return
    try:
        # Of the file system: some of its paths have no `unlink`.
        path.fs.rm_file(path.path)
    except Exception as error:  # a store raises what its transport raises
        if path.name in list_names(path.parent):
            raise _unreachable(path, error) from error


def replace_atomically(
    path: Path,
    write: Callable[[Path], object],
    *,
    option: str = "--runs",
    raises: type[MemtraceError] = RunError,
) -> None:
    """Let `write` fill a temporary file on this machine, and give it its final name.

    Args:
        path: The file.
        write: Fills the file that it is given.
        option: The option of the command that names the place.
        raises: The error where nothing can be written there.

    Raises:
        MemtraceError: Nothing can be written there.
    """
    try:
        if isinstance(path, Path):
            _rename_into_place(path, write)
        else:
            _upload(path, write)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise raises(write_problem(path, error, option)) from error


def _temporary(path: Path) -> Path:
    """Return a name that no reader's glob sees and that no process anywhere has.

    Containers on two machines write the same shard with the same process id.
    """
    return path.with_name(f".{path.name}.{token_hex(6)}.tmp")


def _rename_into_place(path: Path, write: Callable[[Path], object]) -> None:
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb+") as file:
            _sync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    """Ask for what was written to be durable, of file systems that can: some mounts cannot."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def _upload(path: Any, write: Callable[[Path], object]) -> None:
    with TemporaryDirectory() as folder:
        whole = Path(folder) / path.name
        write(whole)
        try:
            if path.protocol in OBJECT_STORES:
                path.fs.put_file(str(whole), path.path)
            else:
                _upload_and_rename(whole, path)
        except MemtraceError:
            raise
        except Exception as error:  # a store raises what its transport raises
            raise _unreachable(path, error) from error


def _upload_and_rename(whole: Path, path: Any) -> None:
    temporary: Any = _temporary(path)
    path.fs.makedirs(path.parent.path, exist_ok=True)
    path.fs.put_file(str(whole), temporary.path)
    path.fs.mv(temporary.path, path.path)


def _unreachable(place: Any, error: Exception) -> RunError:
    problem = public_address(f"cannot use {place}: {first_line(error)}")
    return RunError(
        f"{problem}; check the address, the network and the credentials, then repeat the command"
    )
