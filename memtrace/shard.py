"""One shard of a scan: read its sequences, decide them, write its scores.

It knows nothing of other shards, other workers or other checkpoints.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memtrace.corpus import Corpus
from memtrace.runs import Run, Shard
from memtrace.scores import write_scores

if TYPE_CHECKING:
    from memtrace.greedy import Engine

_PIECE = 8192  # sequences between two reports of progress; the engine cuts its own batches


def scan_shard(
    run: Run,
    shard: Shard,
    corpus: Corpus,
    engine: "Engine",
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Decide every sequence of a shard and write its score file, whole or not at all.

    Args:
        run: The run that the shard belongs to.
        shard: Which sequences.
        corpus: Where they are read from.
        engine: What decides them.
        on_progress: Called with the number of sequences decided since the last call.

    Raises:
        CorpusError: The corpus cannot be read or has ids outside the model's vocabulary.
        ModelError: The model gives logits that are not finite.
        RunError: The scores cannot be written.
    """
    tokens = run.prompt_tokens + run.continuation_tokens
    matched = []
    for sequences in _read_ahead(corpus, shard, tokens):
        matched.append(engine.matched_tokens(sequences))
        on_progress(len(sequences))
    write_scores(
        run.path(shard),
        np.arange(shard.start, shard.stop, dtype=np.uint64),
        np.concatenate(matched),
        run.configuration.metadata(),
    )


def _read_ahead(corpus: Corpus, shard: Shard, tokens: int) -> Iterator[npt.NDArray[np.integer]]:
    """Yield the shard's sequences piece by piece, reading the next while one is being decided."""

    def read(start: int) -> npt.NDArray[np.integer]:
        return corpus.read(start, min(start + _PIECE, shard.stop), tokens)

    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(read, shard.start)
        for following in range(shard.start + _PIECE, shard.stop, _PIECE):
            sequences = upcoming.result()
            upcoming = reader.submit(read, following)
            yield sequences
        yield upcoming.result()
