"""The order of nanotron's Nanoset: windows of datatrove's token files, folder by folder.

The files of a folder are reordered by datatrove with a seed of its own, 42, and each is cut into
windows that share no token. An epoch has as many rows as there are windows. Its folders follow the
greedy rule of `blend`, by weights, or by their windows where there are none; a folder that is used
up begins again, so that windows of another may be left out. One permutation shuffles the epoch, and
every later epoch has the order of the first. Sources: nanotron `src/nanotron/data/nanoset.py`,
datatrove `src/datatrove/utils/dataset.py`.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from memtrace.corpus.blend import BlendedRows, BlendOrder, most_behind, numbered
from memtrace.corpus.gather import GatheredRows
from memtrace.corpus.olmo import olmo_rows
from memtrace.errors import CorpusError

_ORDER_OF_FILES = 42  # datatrove's seed; nanotron gives none


def nanotron_rows(
    folders: Sequence[Path],
    *,
    row_tokens: int,
    dtype: str,
    seed: int,
    weights: Sequence[float] | None,
) -> BlendedRows:
    """Open the rows of one epoch of a Nanoset.

    Args:
        folders: Folders of `.ds` files, in the order of the trainer's configuration.
        row_tokens: Tokens of a window: `sequence_length` and the last label.
        dtype: Type of a token: uint16 or uint32, datatrove's token_size 2 or 4.
        seed: nanotron's seed of the data.
        weights: Of each folder; None where the trainer was given none.

    Raises:
        CorpusError: A folder has no such files, or they are damaged or too short.
    """
    sources = tuple(_windows(folder, row_tokens=row_tokens, dtype=dtype) for folder in folders)
    counts = [len(source) for source in sources]
    return BlendedRows(sources, nanoset_order(weights or counts, counts, seed))


def _windows(folder: Path, *, row_tokens: int, dtype: str) -> GatheredRows:
    files = sorted(folder.glob("*.ds"))
    if not files:
        raise CorpusError(f"{folder} is no folder of datatrove's token files (*.ds): check tokens")
    order = np.random.default_rng(_ORDER_OF_FILES).permutation(len(files))
    return olmo_rows([files[i] for i in order], (), row_tokens=row_tokens, dtype=dtype)


def nanoset_order(weights: Sequence[float], counts: Sequence[int], seed: int) -> BlendOrder:
    """Return folder and window of each row of an epoch.

    Args:
        weights: Of each folder, positive.
        counts: Windows of each folder.
        seed: Of the shuffle.
    """
    rows = sum(counts)
    folder = np.fromiter(islice(most_behind(weights), rows), np.int16, rows)
    window = numbered(folder) % np.array(counts, np.int64)[folder]
    shuffled = np.random.RandomState(seed).permutation(rows)
    return BlendOrder(folder[shuffled], window[shuffled])
