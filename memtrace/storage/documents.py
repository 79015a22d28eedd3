"""Read a file that should be small, and refuse it where it is not."""

import stat
from pathlib import Path

DOCUMENT_BYTES = 1 << 26
"""Of a JSON document, more than any that memtrace writes."""


def read_document(path: Path, most: int = DOCUMENT_BYTES) -> bytes:
    """Return the content of a regular file, or of a remote one.

    A device or a pipe has no end, and may fill all memory or block.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no regular file, or has more than `most` bytes.
    """
    if not isinstance(path, Path):
        content: bytes = path.read_bytes()
    elif stat.S_ISREG(path.stat().st_mode):
        with path.open("rb") as file:
            content = file.read(most + 1)
    else:
        raise ValueError("it is no regular file")
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content
