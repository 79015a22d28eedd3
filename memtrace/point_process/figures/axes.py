"""The training axis: steps where they have a meaning, what was not scanned in grey, known cuts."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memtrace.manifests.schedule import place_in_steps
from memtrace.point_process.result import PoissonResult
from memtrace.report.figures import GREY, RED
from memtrace.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FEWEST_STEPS = 5
TICKS = 5
GAP = 0.02
"""Share of the axis from which a range that was not scanned is shaded: below it lie the gaps
between the rows of a sample."""


def position(fit: PoissonResult, index: "npt.NDArray[Any]") -> "FloatArray":
    """Return indices in training steps, or unchanged where steps have no meaning."""
    if fit.events.ramp is not None:
        return place_in_steps(fit.events.ramp, index)
    return np.asarray(index, float) / axis_unit(fit)


def axis_unit(fit: PoissonResult) -> int:
    """Return the sequences of one unit of the axis: a step, or 1 where there are few steps or none.

    An axis of one or two steps would have no tick between its ends.
    """
    step = fit.events.sequences_per_step or 1
    return step if fit.events.n >= FEWEST_STEPS * step else 1


def axis_name(fit: PoissonResult) -> str:
    """Return what the axis counts."""
    in_steps = axis_unit(fit) > 1 or fit.events.ramp is not None
    return "training step" if in_steps else "sequence index"


def training_axis(ax: "Axes", fit: PoissonResult) -> None:
    """Label the training axis and shade the ranges that were not scanned, if they can be seen."""
    from matplotlib.ticker import MaxNLocator

    events = fit.events
    ax.set_xlabel(axis_name(fit))
    ax.xaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    start, stop = position(fit, np.array([0.0, events.n]))
    ax.set_xlim(start - 0.03 * (stop - start), stop + 0.03 * (stop - start))
    visible = np.diff(events.missing, axis=1)[:, 0] > GAP * events.n
    shaded = position(fit, events.missing[visible])
    for low, high in shaded:
        ax.axvspan(low, high, color=GREY, alpha=0.18, lw=0, zorder=0)
    for low, high in sorted(shaded, key=np.ptp)[-1:]:  # the widest has room for the words
        where = ((low + high) / 2, 0.04)
        style: dict[str, Any] = {"rotation": 90, "ha": "center", "color": GREY}
        ax.text(*where, "not scanned", transform=ax.get_xaxis_transform(), **style)
    for cut in fit.cuts:
        x = float(position(fit, np.array([cut.index]))[0])
        ax.axvline(x, color=RED, lw=0.9, ls=":", zorder=1)
        style = {"rotation": 90, "ha": "right", "va": "bottom", "color": RED}
        ax.text(x, 0.02, cut.name, transform=ax.get_xaxis_transform(), **style)
