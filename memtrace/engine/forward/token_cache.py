"""A token cache: what a model's first layer makes of each token, before it attends to others."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own abbreviation)
from torch import Tensor

ROWS_AT_ONCE = 1024


class TokenCache:
    """Rows by token id, each computed when its token is first met.

    Before its attention the first layer sees one token and no position, and a corpus consists of
    the same few thousand tokens again and again.
    """

    def __init__(
        self,
        compute: Callable[[Tensor], tuple[Tensor, ...]],
        vocabulary: int,
        columns: list[Tensor],
    ) -> None:
        """Reserve memory, which the system only provides as rows are filled.

        Args:
            compute: Token ids `(m,)` to rows `(m, width)`, one for each column.
            vocabulary: Number of token ids.
            columns: `(V, width)` each, not yet filled.
        """
        self._compute, self._columns = compute, columns
        self._known = torch.zeros(vocabulary, dtype=torch.bool, device=columns[0].device)
        self._complete = False
        if columns[0].device.type == "cuda":  # to see what is new the host would wait each time
            self.learn(torch.arange(vocabulary, device=columns[0].device))
            self._complete = True

    def learn(self, tokens: Tensor) -> None:
        """Compute the rows of tokens that were not met before."""
        if self._complete:
            return
        met = torch.unique(tokens)
        for new in met[~self._known[met]].split(ROWS_AT_ONCE):
            for column, rows in zip(self._columns, self._compute(new), strict=True):
                column[new] = rows.to(column.dtype)
            self._known[new] = True

    def __call__(self, tokens: Tensor) -> list[Tensor]:
        """Rows `(..., width)` of tokens `(...)`."""
        self.learn(tokens)
        return [F.embedding(tokens, column) for column in self._columns]
