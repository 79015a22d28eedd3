"""How many texts are memorized of those that occur once, a few times and often."""

from dataclasses import dataclass

from memtrace.point_process.models.constant import binomial_interval
from memtrace.texts.exposure import CountStrata
from memtrace.types import UNDEFINED, Interval

BOUNDS: tuple[tuple[str, int, int | None], ...] = (
    ("once", 1, 2),
    ("2 to 9", 2, 10),
    ("10 and more", 10, None),
)


@dataclass(frozen=True)
class TextStratum:
    """The exposed texts that occur a number of times in the corpus."""

    name: str
    events: int
    """Memorized texts."""
    texts: int
    """All of them."""
    rate_ci95: Interval
    """Share that is memorized (Clopper and Pearson 1934); NaN without texts."""


def text_strata(counts: CountStrata) -> tuple[TextStratum, ...]:
    """Return the strata, each with the exact interval of its share of memorized texts."""
    found = []
    for name, least, below in BOUNDS:
        inside = counts.duplicate_count >= least
        if below is not None:
            inside &= counts.duplicate_count < below
        events, texts = counts.exposed[inside].sum(axis=0).tolist()
        low, high = binomial_interval(events, texts) if texts else UNDEFINED
        found.append(TextStratum(name, events, texts, (float(low), float(high))))
    return tuple(found)
