"""The checksum of a score file: a sha256 of the whole file, kept inside it.

Of Parquet this needs only that the values of its key-value metadata lie in the file as they are.
So a damaged file is found before a parser sees it, which one flipped bit can crash.

The digest is taken with its own place filled with zeros, as the checksum of a tar header is.
"""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

CHECKSUM_KEY = "file_sha256"
"""Key of the digest in the metadata of the file."""
BLANK_CHECKSUM = "0" * 64
"""Value with which a file is written, before its digest is known."""

_MARK = CHECKSUM_KEY.encode() + b"\x18\x40"  # Thrift: the next field, a string of 64 bytes
_TAIL = 1 << 18  # the metadata lie in the last bytes, behind the row groups
_BLOCK = 1 << 22


def write_checksum(path: str | Path) -> None:
    """Put the digest of a freshly written file into its place.

    Raises:
        ValueError: The file was not written with a blank checksum.
        OSError: It cannot be read or written.
    """
    with Path(path).open("rb+") as file:
        place = _place(file)
        if place is None:
            raise ValueError(f"{path} was written without {CHECKSUM_KEY} in its metadata")
        digest = _digest(file, place)
        file.seek(place)
        file.write(digest)


def is_intact(source: str | Path | BytesIO) -> bool:
    """Return whether every bit of a file is as it was written; False where it has no checksum.

    Raises:
        OSError: It cannot be read.
    """
    if isinstance(source, BytesIO):
        place = source.tell()
        try:
            return _matches(source)
        finally:
            source.seek(place)
    path = Path(source) if isinstance(source, str) else source
    with path.open("rb") as file:
        return _matches(file)


def _matches(file: BinaryIO) -> bool:
    place = _place(file)
    if place is None:
        return False
    file.seek(place)
    found = file.read(len(BLANK_CHECKSUM))
    return found == _digest(file, place)


def _place(file: BinaryIO) -> int | None:
    """Return where in the file the digest is, None where there is none."""
    size = file.seek(0, 2)
    start = file.seek(max(0, size - _TAIL))
    tail = file.read()
    at = tail.rfind(_MARK) + len(_MARK)
    fits = at >= len(_MARK) and at + len(BLANK_CHECKSUM) <= len(tail)
    return start + at if fits else None


def _digest(file: BinaryIO, place: int) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    for start in range(0, place, _BLOCK):
        digest.update(file.read(min(_BLOCK, place - start)))
    digest.update(BLANK_CHECKSUM.encode())
    file.seek(len(BLANK_CHECKSUM), 1)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest().encode()
