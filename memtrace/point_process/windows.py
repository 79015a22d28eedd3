"""Event counts in windows of the training axis, each with its exposure."""

from dataclasses import dataclass

from memtrace.types import Int64Array


@dataclass(frozen=True)
class Windows:
    """Event counts in consecutive windows of the training axis, each with its exposure."""

    start: Int64Array
    """First index of each window that was scanned, shape (W,)."""
    counts: Int64Array
    """Events in each window, shape (W,)."""
    exposures: Int64Array
    """Observed sequences in each window, shape (W,); never zero."""
