"""The plan of shards: fixed ranges of sequence indices, each the unit of work and of loss."""

from dataclasses import dataclass, replace

import numpy as np

from memtrace.runs.sampling import Sample


@dataclass(frozen=True)
class Shard:
    """Sequences [start, stop): the unit of work and of loss."""

    number: int
    count: int
    start: int
    stop: int
    sampled: int | None = None
    """Sequences of a sample that lie in it; None: all are scanned."""

    @property
    def sequences(self) -> int:
        """Return how many sequences are scanned."""
        return self.stop - self.start if self.sampled is None else self.sampled

    @property
    def file_name(self) -> str:
        """Return the name of the shard's score file."""
        return f"shard-{self.number:05d}-of-{self.count:05d}.parquet"


def plan_shards(
    start: int, stop: int, shard_size: int, sample: Sample | None = None
) -> list[Shard]:
    """Cut [start, stop) at the multiples of `shard_size`.

    The cuts depend on nothing else, so that any number of workers makes the same files. Shards
    without a row of the sample are left out.
    """
    cuts = range(start // shard_size * shard_size, stop, shard_size) if stop > start else range(0)
    shards = [
        Shard(i, len(cuts), max(cut, start), min(cut + shard_size, stop))
        for i, cut in enumerate(cuts)
    ]
    if sample is None or not shards:
        return shards
    edges = [shard.start for shard in shards] + [stop]
    counts = np.diff(np.searchsorted(sample.rows(start, stop), edges)).tolist()
    return [replace(s, sampled=n) for s, n in zip(shards, counts, strict=True) if n]
