"""What a block of texts went through from checkpoint to checkpoint, as grouped counts.

One checkpoint after another is folded into arrays of the length of the block: memory grows with
the block and never with the number of checkpoints.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.emergence.copy_steps import CopySteps
from memtrace.types import Int64Array

Rows = slice | Int64Array
NEVER = -1
RETAINED, LOST, RELEARNED = 0, 1, 2
"""How a first memory ended: not yet, for good, or with the text learned again."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Counts that blocks add to; K checkpoints."""

    shares: Int64Array
    """Of each checkpoint, shape (K, 5): exposed texts evaluated, those memorized, and the generic
    ones among them; unexposed texts evaluated, and those extractable."""
    transitions: Int64Array
    """From one evaluation of a text to its next, both after exposure, shape (K, K, 2, 2, 2):
    earlier checkpoint, later checkpoint, history, state then, state now. History is 1 where a
    memorized text was memorized at the evaluation before too, and where one that is not had been.
    """
    steady: Int64Array
    """The same of pairs of evaluations, memorized at both or not: the earlier pair's first and
    second checkpoint, state of that pair, state of the next; shape (K, K, 2, 2)."""
    control: Int64Array
    """Unexposed texts not yet extractable at a checkpoint, by that and the next, and those of them
    that were extractable then, still unexposed; of texts that occur once, and of the others, shape
    (K, K, 2, 2)."""
    idle: Int64Array
    """Exposed texts that were never memorized, by evaluations after exposure, shape (K + 1,)."""

    @classmethod
    def empty(cls, k: int) -> "Tables":
        """Return tables of zeros for k checkpoints."""
        shapes = (k, 5), (k, k, 2, 2, 2), (k, k, 2, 2), (k, k, 2, 2), (k + 1,)
        return cls(*(np.zeros(shape, np.int64) for shape in shapes))


class Block:
    """The histories of the texts named in [start, start + n) so far."""

    def __init__(
        self,
        start: int,
        exposed_from: Int64Array,
        bins: Int64Array,
        copies: CopySteps,
        checkpoints: Int64Array,
    ) -> None:
        """Begin before the first checkpoint.

        Args:
            start: Name of the first text.
            exposed_from: Number of the first checkpoint that had seen each text, K if none had;
                ascending, shape (n,).
            bins: Bin of exposure of each text, counted from 0, shape (n,).
            copies: Of the texts in the block that occur more than once.
            checkpoints: Steps, ascending, shape (K,).
        """
        n, k = len(exposed_from), len(checkpoints)
        self.start, self.k, self.checkpoints = start, k, checkpoints
        self.exposed_from, self.copies = exposed_from.astype(np.int16), copies
        self.repeated = np.zeros(n, bool)
        self.repeated[copies.rows] = True
        self.cells, self.n_cells = 2 * bins + self.repeated, 2 * (int(bins.max(initial=0)) + 1)
        # Checkpoint numbers. `first` is k before the first hit, ~c of a hit before exposure.
        self.first = np.full(n, k, np.int16)
        self.last_without, self.confirmed = np.full(n, NEVER, np.int16), self.first.copy()
        self.previous, self.earlier = (np.full(n, NEVER, np.int16) for _ in range(2))
        self.state, self.earlier_state, self.evaluated_before = (
            np.zeros(n, bool) for _ in range(3)
        )
        self.retained, self.retention_end = np.zeros(n, np.int16), np.zeros(n, np.int8)
        self.evaluations, self.memorized_before, self.losses, self.gains = np.zeros(
            (4, n), np.int16
        )
        self._risk: list[tuple[int, Int64Array, Int64Array]] = []
        self._waiting: list[pl.DataFrame] = []
        self._emerged: list[pl.DataFrame] = []

    def add(self, c: int, rows: Int64Array, hit: npt.NDArray[np.bool_], tables: Tables) -> None:
        """Fold in the scores of checkpoint number c; checkpoints come in order.

        Args:
            c: Number of the checkpoint.
            rows: Ascending positions in the block that were evaluated.
            hit: Whether each of them was memorized, same shape.
            tables: Counts to add to.
        """
        exposed = int(np.searchsorted(rows, np.searchsorted(self.exposed_from, c, side="right")))
        after, before = _compact(rows[:exposed]), _compact(rows[exposed:])
        self._add_unexposed(c, before, hit[exposed:], tables)
        self._add_exposed(c, after, hit[:exposed], tables)
        for at, x in ((after, hit[:exposed]), (before, hit[exposed:])):
            self.earlier_state[at], self.earlier[at] = self.state[at], self.previous[at]
            self.state[at], self.previous[at] = x, c

    def _add_unexposed(self, c: int, at: Rows, hit: npt.NDArray[np.bool_], tables: Tables) -> None:
        tables.shares[c, 3:] += (len(hit), int(hit.sum()))
        self.evaluated_before[at] = True
        first, start = self.first[at], self.previous[at]
        risk = (first == self.k) & (start != NEVER)
        for often, part in enumerate((~self.repeated[at], self.repeated[at])):
            _count_pairs(tables.control[:, c, often, 0], start[risk & part])
            _count_pairs(tables.control[:, c, often, 1], start[risk & part & hit])
        self.first[at] = np.where(hit & (first == self.k), ~np.int16(c), first)

    def _add_exposed(self, c: int, at: Rows, hit: npt.NDArray[np.bool_], tables: Tables) -> None:
        first = self.first[at]
        own = first >= 0
        tables.shares[c, :3] += (len(hit), int(hit.sum()), int((hit & ~own).sum()))
        since = self.exposed_from[at]
        start = np.where(self.previous[at] >= since, self.previous[at], NEVER)
        risk = first == self.k
        self.evaluations[at] += 1
        self._count_risk(c, start[risk], self.cells[at][risk])
        self._count_copies(c, at, risk & ((start == c - 1) | ((start < 0) & (since == c))), hit)
        _count_pairs(tables.transitions[:, c, 0, 0, 0], start[risk & (start >= 0)])
        pair = own & (self.earlier[at] >= since)
        _count_triples(tables.steady[..., 0, 0], self.earlier[at][pair], start[pair])
        # From here on the few that were memorized at some time: all others stayed 0.
        chosen = np.flatnonzero((risk & hit) | (own & ~risk))
        self._follow(c, _pick(at, chosen), start[chosen], hit[chosen], pair[chosen], tables)

    def _count_risk(self, c: int, start: npt.NDArray[np.int16], cells: Int64Array) -> None:
        code = (start.astype(np.int64) + 1) * self.n_cells + cells
        counts = np.bincount(code)
        found = np.flatnonzero(counts)
        self._risk.append((c, found, counts[found]))

    def _count_copies(
        self, c: int, at: Rows, near: npt.NDArray[np.bool_], hit: npt.NDArray[np.bool_]
    ) -> None:
        """Add the times since the checkpoint before, if it evaluated the text or came too early."""
        low, high = int(self.checkpoints[c - 1]) if c else 0, int(self.checkpoints[c])
        for part, kept in ((near & ~hit, self._waiting), (near & hit, self._emerged)):
            texts = np.zeros(len(self.first), bool)
            texts[at] = part
            text, copies, steps = self.copies.between(low, high, texts[self.copies.rows])
            if kept is self._waiting:
                total = np.bincount(copies, steps).astype(np.int64)
                text, copies = np.full(np.count_nonzero(total), -1), np.flatnonzero(total)
                steps = total[copies]
            else:
                text = self.copies.rows[text] + self.start
            table = {"text": text, "checkpoint": np.full(len(text), high)}
            kept.append(pl.DataFrame({**table, "copies": copies, "steps": steps}, COPY_TIMES))

    def _follow(
        self,
        c: int,
        rows: Int64Array,
        start: npt.NDArray[np.int16],
        hit: npt.NDArray[np.bool_],
        pair: npt.NDArray[np.bool_],
        tables: Tables,
    ) -> None:
        """Fold in the texts that are memorized, or were."""
        state, earlier_state = self.state[rows] & (start >= 0), self.earlier_state[rows] & pair
        new = self.first[rows] == self.k
        history = np.where(state, earlier_state, ~new)
        seen = start >= 0
        moved, key = tables.transitions[:, c], np.stack((start, history, state, hit))
        np.add.at(moved, tuple(key[:, seen]), 1)
        # Those at risk were all counted as staying 0.
        np.subtract.at(moved[:, 0, 0, 0], start[seen & new], 1)
        s, then = earlier_state & state, state & hit
        key = np.stack((self.earlier[rows], start, s, then))[:, pair]
        np.add.at(tables.steady, tuple(key), 1)
        np.subtract.at(tables.steady[..., 0, 0], tuple(key[:2]), 1)
        self.memorized_before[rows[state]] += 1
        self.losses[rows[state & ~hit]] += 1
        self.gains[rows[seen & ~state & hit]] += 1
        self._mark(c, rows, new, state, hit)

    def _mark(
        self,
        c: int,
        rows: Int64Array,
        new: npt.NDArray[np.bool_],
        state: npt.NDArray[np.bool_],
        hit: npt.NDArray[np.bool_],
    ) -> None:
        """Note first hits, the first two in a row, and how long the first memory is kept."""
        born = rows[new]
        self.first[born], self.last_without[born] = c, self.previous[born]
        twice = rows[state & hit & (self.confirmed[rows] == self.k)]
        self.confirmed[twice] = self.previous[twice]
        end = self.retention_end[rows]
        going = ~new & (end == RETAINED)
        self.retained[rows[new | (going & hit)]] += 1
        self.retention_end[rows[going & ~hit]] = LOST
        self.retention_end[rows[(end == LOST) & hit]] = RELEARNED

    def memorized(self) -> pl.DataFrame:
        """Return a row for each text ever memorized; checkpoints by number."""
        rows = np.flatnonzero(self.first != self.k)
        first = self.first[rows]
        return pl.DataFrame(
            {
                "first_index": (rows + self.start).astype(np.uint64),
                "cell": self.cells[rows],
                "last_without": self.last_without[rows],
                "first_with": np.where(first < 0, ~first, first),
                "before_exposure": first < 0,
                "evaluated_before": self.evaluated_before[rows],
                "confirmed": self.confirmed[rows],
                "retention_checkpoints": self.retained[rows],
                "retention_end": self.retention_end[rows],
                "memorized_at_last": self.state[rows],
                "last_checkpoint": self.previous[rows],
                "evaluations": self.evaluations[rows],
                "memorized_before": self.memorized_before[rows],
                "losses": self.losses[rows],
                "gains": self.gains[rows],
            }
        )

    def never(self) -> pl.DataFrame:
        """Return how many exposed texts were never memorized, by cell and last checkpoint."""
        seen = (self.first == self.k) & (self.previous >= self.exposed_from)
        shape = (self.n_cells, self.k, 2)
        key = (self.cells[seen], self.previous[seen], self.evaluated_before[seen].astype(np.int64))
        counts = np.bincount(np.ravel_multi_index(key, shape))
        found = np.flatnonzero(counts)
        cell, last_checkpoint, before = np.unravel_index(found, shape)
        return pl.DataFrame(
            {
                "cell": cell,
                "last_checkpoint": last_checkpoint.astype(np.int16),
                "evaluated_before": before.astype(bool),
                "count": counts[found],
            }
        )

    def idle(self) -> Int64Array:
        """Return how many exposed texts were never memorized, by evaluations after exposure."""
        seen = (self.first == self.k) & (self.evaluations > 0)
        return np.bincount(self.evaluations[seen], minlength=self.k + 1)

    def copy_times(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the steps at risk by copies seen, of those that did not emerge and that did.

        Of texts with more than one copy, and since the checkpoint before: as `copies_effect` takes
        them, with -1 in place of the `text` of those that are added up.
        """
        none = pl.DataFrame(schema=COPY_TIMES)
        waiting, emerged = (pl.concat([none, *kept]) for kept in (self._waiting, self._emerged))
        return waiting, emerged

    def risk(self) -> pl.DataFrame:
        """Return how many were not yet memorized at each checkpoint, by cell and the one before."""
        frames = [
            pl.DataFrame(
                {
                    "cell": code % self.n_cells,
                    "start": (code // self.n_cells - 1).astype(np.int16),
                    "checkpoint": np.full(len(code), c, np.int16),
                    "at_risk": counts,
                }
            )
            for c, code, counts in self._risk
        ]
        return pl.concat(frames) if frames else pl.DataFrame(schema=RISK)


COPY_TIMES = pl.Schema(dict.fromkeys(("text", "checkpoint", "copies", "steps"), pl.Int64))
RISK = pl.Schema({"cell": pl.Int64, "start": pl.Int16, "checkpoint": pl.Int16, "at_risk": pl.Int64})


def _compact(rows: Int64Array) -> Rows:
    """Return a slice where the rows have no gap: it copies nothing."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _pick(rows: Rows, chosen: Int64Array) -> Int64Array:
    return rows[chosen] if isinstance(rows, np.ndarray) else chosen + rows.start


def _count_pairs(table: Int64Array, start: npt.NDArray[np.int16]) -> None:
    table += np.bincount(start, minlength=len(table))


def _count_triples(
    table: Int64Array, earlier: npt.NDArray[np.int16], start: npt.NDArray[np.int16]
) -> None:
    k = len(table)
    code = earlier.astype(np.int64) * k + start
    table += np.bincount(code, minlength=k * k).reshape(k, k)
