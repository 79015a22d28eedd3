"""What an error of the file system means for runs and corpora, and what to do about it."""

import errno
import os
import re
from pathlib import Path
from typing import Any

UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP)
"""What network and FUSE mounts answer to a request that they do not know, such as fsync."""
_ROOM = "make room there"
_DEVICE = "check the disk or the network, then the files on it"
_WRITE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: f"the quota is used up: {_ROOM}",
    errno.EFBIG: "files may not be so large there (ulimit -f, or the file system)",
    errno.EACCES: "make the folder writable for you",
    errno.EPERM: "make the folder writable for you",
    errno.EROFS: "it is mounted for reading only",
    errno.EXDEV: "the file system does not rename within this folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "links lead in a circle: mend them",
    errno.EISDIR: "a folder has this name: move it away",
    errno.EMFILE: "too many files are open at once: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open at once on this machine: end other processes",
    errno.EIO: _DEVICE,
    errno.ESTALE: _DEVICE,
    errno.ETIMEDOUT: _DEVICE,
}
_READ = {
    errno.EACCES: "make it readable for you",
    errno.EPERM: "make it readable for you",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.ENAMETOOLONG: "check the path",
    errno.EISDIR: "it is a folder: name a file",
    **{code: _WRITE[code] for code in (errno.ELOOP, errno.EMFILE, errno.ENFILE)},
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ETIMEDOUT), _DEVICE),
}
_IN_WORDS = re.compile(r"\(os error (\d+)\)")


def write_problem(path: Any, error: Exception, option: str) -> str:
    """Say why a file cannot be written, and what to do.

    Args:
        path: The file, or its folder.
        error: What was raised: of the system, or of Polars, which wraps the system's error.
        option: The option of the command that names the place.
    """
    code = _code(error)
    where = _in_the_way(Path(path)) if isinstance(path, Path) else None
    advice = where or _WRITE.get(code, "")
    return (
        f"cannot write {_short(path)}: {_reason(error, code)}; {advice}{', or ' if advice else ''}"
        f"choose another {option}, then repeat the command"
    )


def read_problem(path: Any, error: Exception) -> str:
    """Say why a file cannot be read, and what to do."""
    code = _code(error)
    where = _in_the_way(Path(path)) if isinstance(path, Path) else None
    advice = where or _READ.get(code, "")
    return f"cannot read {_short(path)}: {_reason(error, code)}{'; ' if advice else ''}{advice}"


def _code(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = _IN_WORDS.search(str(error))
    return int(match[1]) if match else 0


def _reason(error: Exception, code: int) -> str:
    return os.strerror(code) if code else " ".join(str(error).split()) or type(error).__name__


def _short(path: Any) -> str:
    """Return a path that a line can hold: names may have thousands of characters."""
    text = str(path)
    return text if len(text) <= 300 else f"{text[:140]}…{text[-140:]}"


def _in_the_way(path: Path) -> str | None:
    """Return what a path, or a folder above it, is that keeps it from being made or opened."""
    try:
        for place in (path, *path.parents):
            if place.is_symlink() and not place.exists():
                return f"{place} is a link to {place.readlink()}, which is not there: mend it"
            if place != path and place.exists() and not place.is_dir():
                return f"{place} is a file, and no folder: move it away"
    except (OSError, ValueError):
        pass
    return None
