"""The order of training that GPT-NeoX and Megatron write as document, sample and shuffle maps.

The documents of a corpus, in the order of the document map, are one long row of tokens. Sample i
is its tokens [i L, i L + L + x), where x = 1 token is shared with the next sample (x = 0 in
Megatron without `add_extra_token_to_sequence`). The sample map says where sample i begins: entry
of the document map, and offset in that document. Row r of training is sample shuffle[r].
Sources: gpt-neox `megatron/data/gpt2_dataset.py`, Megatron-LM `core/datasets/gpt_dataset.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from memtrace.corpus.array_file import ArrayFile
from memtrace.corpus.documents import Documents
from memtrace.corpus.gather import GatheredRows, Stretches
from memtrace.corpus.parts import Part
from memtrace.errors import CorpusError
from memtrace.types import Int64Array


@dataclass(frozen=True)
class IndexMaps:
    """The three maps of a corpus: where each row of training lies in its documents."""

    documents: Documents
    document_map: ArrayFile
    """Document numbers, every epoch's one after another, `(n,)`."""
    sample_map: ArrayFile
    """Where each sample begins: entry of `document_map` and offset; and the end, `(N + 1, 2)`."""
    shuffle_map: ArrayFile
    """Sample of each row, `(N,)`."""
    row_tokens: int
    """L + x tokens."""
    shared_tokens: int
    """x: tokens that a sample shares with the next one."""
    rows: int
    """Rows that the trainer can reach: N, and N - 1 in GPT-NeoX."""
    whole_documents: bool = False
    """GPT-NeoX's `pack_until_overflow`: samples are whole documents, filled up with 0 or cut."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the maps and the index of the documents."""
        maps = (self.document_map, self.sample_map, self.shuffle_map)
        return (self.documents.index, *(array.part for array in maps))

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.rows

    def gathered(self) -> GatheredRows:
        """Return the rows in training order."""
        return GatheredRows(self.documents.stream, self, self.row_tokens, self.documents.dtype)

    def stretches(self, rows: Int64Array, tokens: int) -> Iterator[Stretches]:
        """Yield where the first `tokens` tokens of the given rows lie, document by document.

        Raises:
            CorpusError: A map is damaged or belongs to another corpus.
        """
        sample = self._samples(rows)
        begin = self.sample_map.take(sample, self.shuffle_map.name)
        entry, offset = begin.T
        last = self._last_entries(sample)
        row, column = np.arange(len(rows)), np.zeros(len(rows), np.int64)
        while len(row):
            document = self.document_map.take(entry, self.sample_map.name)
            length = self.documents.lengths.take(document, self.document_map.name)
            self._check_offsets(entry, offset, length)
            start = self.documents.starts.take(document, self.document_map.name)
            # A sample of whole documents has the first token of the next sample's first document.
            length = np.where(entry == last, 1, length)
            found = np.minimum(length - offset, tokens - column)
            yield Stretches(row, column, start + offset * self.documents.dtype.itemsize, found)
            left = (column + found < tokens) & (entry != last)
            row, column, last = row[left], (column + found)[left], last[left]
            entry, offset = entry[left] + 1, np.zeros(len(row), np.int64)

    def _samples(self, rows: Int64Array) -> Int64Array:
        sample = self.shuffle_map.take(rows, "the corpus file")
        if self.whole_documents:
            # The end of the last sample is no document: the trainer catches the error, and takes
            # the row of that number instead, counted within those that it can reach.
            beyond = sample == len(self.shuffle_map) - 1
            sample[beyond] = self.shuffle_map.take(sample[beyond] % self.rows, "the trainer")
        return sample

    def _last_entries(self, sample: Int64Array) -> Int64Array:
        """Return the entry of the document map at which each sample ends at the latest; or -1."""
        if not self.whole_documents:
            return np.full(len(sample), -1)
        return self.sample_map.take(sample + 1, self.shuffle_map.name)[:, 0]

    def _check_offsets(self, entry: Int64Array, offset: Int64Array, length: Int64Array) -> None:
        outside = (offset < 0) | (offset > length)
        if outside.any():
            first = int(np.flatnonzero(outside)[0])
            raise CorpusError(
                f"{self.sample_map.name} points at token {offset[first]} of the document at entry "
                f"{entry[first]} of {self.document_map.name}, which has {length[first]}: it is "
                "damaged or belongs to another corpus"
            )
