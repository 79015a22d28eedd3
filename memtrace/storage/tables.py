"""Write a Parquet table with its checksum and metadata, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from memtrace.errors import MemtraceError, RunError
from memtrace.storage.checksum import BLANK_CHECKSUM, CHECKSUM_KEY, write_checksum
from memtrace.storage.store import replace_atomically


def write_table(
    path: Path,
    table: pl.DataFrame,
    metadata: Mapping[str, str],
    *,
    option: str = "--runs",
    raises: type[MemtraceError] = RunError,
) -> None:
    """Write a table with its checksum and metadata.

    Args:
        path: The file.
        table: What it holds.
        metadata: Key-value pairs; no clock and no host, so that equal work gives equal bytes.
        option: The option of the command that names the place.
        raises: The error where nothing can be written there.

    Raises:
        MemtraceError: The folder cannot be written or the disk is full.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            table.write_parquet(
                file, compression="zstd", metadata={**metadata, CHECKSUM_KEY: BLANK_CHECKSUM}
            )
        write_checksum(temporary)

    replace_atomically(path, write, option=option, raises=raises)
