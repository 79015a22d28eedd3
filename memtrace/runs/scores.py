"""The score table: its schema, the metadata in every file, the atomic write and the lazy read.

The run folder is all that the scan and the statistics share: the record, these scores, and the
events that are derived from them.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.storage.checksum import is_intact
from memtrace.storage.tables import write_table

SCHEMA_VERSION = "3"
"""Version of all that a run folder holds: the record, the names of files, the score table."""
SCHEMA = pl.Schema({"sequence_index": pl.UInt64, "matched_tokens": pl.UInt8})
WITH_ACCURACY = pl.Schema([*SCHEMA.items(), ("accuracy", pl.Float32)])
WITH_LIKELIHOOD = pl.Schema([*SCHEMA.items(), ("log_likelihood", pl.Float32)])
LIKELIHOOD_ERRORS = ("log_likelihood_error_rms", "log_likelihood_error_largest")
"""Keys of a score file's metadata: how far its log-likelihoods are off, in nats, as measured."""


def write_scores(
    path: Path,
    sequence_index: npt.NDArray[np.integer],
    matched_tokens: npt.NDArray[np.integer] | pl.Series,
    metadata: Mapping[str, str],
    accuracy: npt.NDArray[np.floating] | None = None,
    log_likelihood: npt.NDArray[np.floating] | pl.Series | None = None,
) -> None:
    """Write one shard so that the file exists whole or not at all.

    Args:
        path: Final name of the shard; its existence means that the shard is done.
        sequence_index: `(n,)` row numbers in the corpus, ascending and unique.
        matched_tokens: `(n,)` leading continuation tokens that greedy decoding returns; null where
            all that is known is that they are not all.
        metadata: Key-value pairs stored in the file; no clock and no host, so that equal work gives
            equal bytes. `sequences` (A:B, the range they lie in) and `rows` are added.
        accuracy: `(n,)` share of the continuation that free-running greedy decoding gets right.
        log_likelihood: `(n,)` log probability of the continuation given the prompt, in nats; null
            where it is below the bound at which the scan stopped. Not together with `accuracy`.

    Raises:
        RunError: The folder cannot be written or the disk is full.
    """
    columns = {"sequence_index": sequence_index, "matched_tokens": matched_tokens}
    if accuracy is not None:
        table = pl.DataFrame({**columns, "accuracy": accuracy}, schema=WITH_ACCURACY)
    elif log_likelihood is not None:
        table = pl.DataFrame({**columns, "log_likelihood": log_likelihood}, schema=WITH_LIKELIHOOD)
    else:
        table = pl.DataFrame(columns, schema=SCHEMA)
    n = len(sequence_index)
    start, stop = (sequence_index[0], sequence_index[-1] + 1) if n else (0, 0)
    metadata = {**metadata, **extent(start, stop, n)}
    write_table(path, table, metadata)


def extent(start: int | str, stop: int | str, n: int) -> dict[str, str]:
    """Return what a score file says of its rows, so that it is not taken for another shard."""
    return {"sequences": f"{start}:{stop}", "rows": f"{n}"}


def read_metadata(file: Path | BytesIO) -> dict[str, str] | None:
    """Return the key-value metadata of a shard, or None where it is not an intact score table.

    Raises:
        OSError: It cannot be read, which says nothing of its bytes.
    """
    try:
        # First: a flipped bit in a Parquet file can end the process that parses it.
        if not is_intact(file):
            return None
        schema = pl.read_parquet_schema(file)
        if schema not in (SCHEMA, WITH_ACCURACY, WITH_LIKELIHOOD):
            return None
        metadata = pl.read_parquet_metadata(file)
        promised = metadata.get("likelihood") == "True"
        return metadata if promised == (schema == WITH_LIKELIHOOD) else None
    except pl.exceptions.PolarsError:
        return None


def scan_scores(files: list[Any], schema: pl.Schema = SCHEMA) -> pl.LazyFrame:
    """Return the rows of these shards, lazily, in the order given, with the columns of `schema`."""
    if not files:
        return pl.LazyFrame(schema=schema)
    tables = pl.scan_parquet(files, extra_columns="ignore", schema=schema)
    return tables.select(schema.names())
