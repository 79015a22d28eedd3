"""Share of texts memorized against model size, at equal steps, by class of exposure.

Models of one suite that were trained on one corpus are on one line; each class of exposure has its
own. How the line and its interval are estimated: `regression`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memtrace.comparison.bend import Bend, find_bend
from memtrace.comparison.classes import ClassShare, ClassTable
from memtrace.comparison.regression import Line, counts_interval, fit_line
from memtrace.comparison.runs import ComparedRun
from memtrace.texts.exposure import CLASSES
from memtrace.types import FloatArray, Interval

AHEAD = (2.0, 10.0)
"""Times the largest model's parameters to which a line is extended."""
NEAR = 1.1
"""Times the smallest model's parameters that the largest needs for a line: what models of about one
size do is no effect of size, and a power of it would be taken far beyond them."""


@dataclass(frozen=True)
class ScalePoint:
    """One run among those of its suite, corpus and step, on the rows that all of them scanned."""

    run: int
    """Place among the runs."""
    classes: dict[str, ClassShare]
    """By class of exposure."""
    rows: int
    """Rows that all of them scanned."""

    @property
    def exposed(self) -> ClassShare:
        """Return the share of what the checkpoint had been trained on."""
        return self.classes["exposed"]


@dataclass(frozen=True)
class Extended:
    """What a line says of a model of another size."""

    parameters: float
    share: float
    """At most 1, where a line has to bend."""
    ci95: Interval
    """Of another model's share, with the scatter of models about the line."""


@dataclass(frozen=True)
class Tested:
    """The largest model, as a line through all smaller ones predicts it."""

    run: int
    predicted: Extended
    share: float

    @property
    def inside(self) -> bool:
        """Return whether the share lies in the interval that was predicted."""
        low, high = self.predicted.ci95
        return low <= self.share <= high


@dataclass(frozen=True, eq=False)
class ScaleLine:
    """The line of one suite, corpus, step and class of exposure."""

    runs: tuple[int, ...]
    """Places of the runs on it, by parameters."""
    exposure: str
    """Class of exposure."""
    sizes: int
    """Different numbers of parameters."""
    line: Line | None = None
    """None where there is none."""
    counts_ci95: Interval | None = None
    """Of the slope by counts of texts alone, as if models did not scatter."""
    bend: Bend | None = None
    extended: tuple[Extended, ...] = ()
    tested: Tested | None = None
    left_out: tuple[int, ...] = ()
    """Runs without a memorized text, which have no place on a log axis."""
    reason: str | None = None
    """Why there is no line."""

    @property
    def slope(self) -> float:
        """Return the power of the parameters with which the share grows; rounding is no growth."""
        return round(float(self.line.coefficients[1]), 12) if self.line else float("nan")


def compared_sizes(runs: Sequence[ComparedRun], points: Sequence[ScalePoint]) -> list[ScalePoint]:
    """Return the points of the last step at which two sizes or more have a place on log axes."""
    steps: dict[int, list[ScalePoint]] = {}
    for one in points:
        if runs[one.run].parameters and one.exposed.texts:
            steps.setdefault(runs[one.run].step, []).append(one)
    sized = [step for step in steps if len({runs[one.run].parameters for one in steps[step]}) > 1]
    return steps[max(sized)] if sized else []


def scale_points(
    places: Sequence[int], tables: dict[str, ClassTable], rows: int
) -> list[ScalePoint]:
    """Return the points of runs at one step.

    Args:
        places: Of the runs among all.
        tables: What they memorized of each class.
        rows: That all of them scanned.
    """
    return [
        ScalePoint(place, {name: tables[name].of(at) for name in CLASSES}, rows)
        for at, place in enumerate(places)
    ]


def scale_line(
    runs: Sequence[ComparedRun], places: Sequence[int], table: ClassTable, columns: Sequence[int],
    exposure: str,
) -> ScaleLine:  # fmt: skip
    """Fit the line of runs at one step, in one class of exposure.

    Args:
        runs: All runs.
        places: Of those on the line, whose parameters are known, by parameters.
        table: What they memorized of the class.
        columns: Places of the runs in the table.
        exposure: The class.
    """
    some = [table.both[at, at] > 0 for at in columns]
    kept = [place for place, yes in zip(places, some, strict=True) if yes]
    left_out = tuple(place for place, yes in zip(places, some, strict=True) if not yes)
    x = np.array([runs[place].parameters or 0 for place in kept], float)
    sizes = len(np.unique(x))
    if sizes < 2 or x.max() < NEAR * x.min():
        reason = _reason(len(places), table.of_texts, sizes)
        return ScaleLine(tuple(kept), exposure, sizes, left_out=left_out, reason=reason)
    chosen = np.array([at for at, yes in zip(columns, some, strict=True) if yes])
    y = np.diagonal(table.both)[chosen] / table.of_texts
    covariance = table.log_covariance(chosen)
    line = fit_line(x, y, covariance)
    return ScaleLine(
        runs=tuple(kept),
        exposure=exposure,
        sizes=sizes,
        line=line,
        counts_ci95=counts_interval(x, y, covariance),
        bend=find_bend(x, y, covariance),
        # Without a size to spare the line has no error, and says nothing of other sizes.
        extended=tuple(
            _extended(times * float(x.max()), *line.predict(times * float(x.max())))
            for times in AHEAD
            if line.degrees
        ),
        tested=predict_largest(kept, x, y, covariance),
        left_out=left_out,
    )


def _reason(runs: int, texts: int, sizes: int) -> str:
    if not texts:
        return "no text of this class was scanned by all of them"
    if sizes > 1:
        return f"the largest model is less than {NEAR:g} times as large as the smallest"
    if runs < 2:
        return "one size: a line needs two"
    return "fewer than two sizes have memorized a text of this class"


def _extended(parameters: float, share: float, ends: Interval) -> Extended:
    low, high = ends
    return Extended(parameters, min(share, 1.0), (min(low, 1.0), min(high, 1.0)))


def predict_largest(
    kept: Sequence[int], x: FloatArray, y: FloatArray, covariance: FloatArray
) -> Tested | None:
    """Predict the largest model from smaller ones: of three sizes or more.

    What is predicted is the share among these texts, with the counting error of its own that it has
    beside that of the line. Both are of the same texts, so that the errors are correlated.
    """
    smaller = x < x.max()
    largest = np.flatnonzero(~smaller)
    if len(largest) != 1 or len(np.unique(x[smaller])) < 3:
        return None
    line = fit_line(x[smaller], y[smaller], covariance[np.ix_(smaller, smaller)])
    at = int(largest[0])
    size = float(x[at])
    common = float(line.powers(size) @ line.weights @ covariance[smaller, at])
    predicted = line.predict(size, float(covariance[at, at]) - 2 * common)
    return Tested(kept[at], _extended(size, *predicted), float(y[at]))
