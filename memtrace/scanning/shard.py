"""One shard of a scan: read its sequences, decide them, write its scores."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from memtrace.corpus import Corpus
from memtrace.runs.run import Run
from memtrace.runs.scores import write_scores
from memtrace.runs.shards import Shard
from memtrace.storage.prefetch import CHUNK_ROWS, prefetch

if TYPE_CHECKING:
    from memtrace.engine import Engine


def scan_shard(
    run: Run,
    shard: Shard,
    corpus: Corpus,
    engine: "Engine",
    writer: Executor,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Future[None]:
    """Decide every sequence of a shard and have its score file written, whole or not at all.

    Args:
        run: The run that the shard belongs to.
        shard: Which sequences.
        corpus: Where they are read from.
        engine: What decides them.
        writer: What writes the file, while the caller goes on with the next shard.
        on_progress: Called with the number of sequences decided since the last call.

    Returns:
        The end of writing; its result raises RunError if the scores cannot be written.

    Raises:
        CorpusError: The corpus cannot be read, has changed since it was opened, or has ids outside
            the model's vocabulary.
        ModelError: The model gives logits that are not finite.
    """
    tokens, offset, rows = run.sequence_tokens, run.offset, run.rows(shard)
    # Chunks: between two of them progress is reported; the engine cuts its own batches.
    chunks = [rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS)]
    scored = []
    for sequences in prefetch(lambda chunk: corpus.take(chunk, tokens, offset), chunks):
        scored.append(engine.score(sequences))
        on_progress(len(sequences))
    corpus.check_unchanged()  # before the scores of what was read become a file
    matched = np.concatenate([each.matched_tokens for each in scored])
    values = [each.log_likelihood for each in scored if each.log_likelihood is not None]
    # What is below the smallest probability that is wanted is NaN in arrays and null in the table.
    likelihoods = pl.Series(np.concatenate(values), nan_to_null=True) if values else None
    metadata = run.configuration.metadata() | engine.metadata()
    path = run.path(shard)
    return writer.submit(write_scores, path, rows, matched, metadata, log_likelihood=likelihoods)
