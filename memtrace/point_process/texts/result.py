"""What is known of a checkpoint by text: rates, classes of exposure, and the effect of exposure."""

from dataclasses import dataclass

from memtrace.point_process.strata import TextStratum, text_strata
from memtrace.point_process.texts.exposure_effect import (
    OnceEffect,
    StratifiedEffect,
    once_effect,
    sharp_null_p_value,
    stratified_effect,
)
from memtrace.point_process.texts.rates import TextRates, text_rates
from memtrace.point_process.texts.text_order import TextOrder, text_order
from memtrace.runs.memorized import Events
from memtrace.texts.exposure import (
    ExposureClasses,
    count_classes,
    count_exposed_texts,
    count_strata,
)
from memtrace.texts.groups import Texts
from memtrace.texts.near import NearCounts, count_near

NOT_KNOWN = "the copies in the corpus are not known"


@dataclass(frozen=True)
class ByText:
    """Statistics of a checkpoint whose unit is the text; near-copies count as one text."""

    rates: TextRates
    """Of the exposed texts."""
    classes: ExposureClasses
    """Exposed, copy exposed and unexposed: only the last are a control."""
    near: NearCounts
    once: OnceEffect | None
    """Effect of exposure on texts that occur once; None where a group has none."""
    stratified: StratifiedEffect | None
    """That on all texts, by duplicate count; None where no count has both groups."""
    repeated_control: bool
    """Whether of some duplicate count above 1 there are exposed and unexposed texts."""
    sharp_null_p_value: float
    """Exposure changes no result: exposed sequences against all others."""
    strata: tuple[TextStratum, ...]
    """Exposed texts by their copies in the corpus: once, 2 to 9, 10 and more."""
    order: TextOrder
    """Of the exposed texts: the primary end point."""

    @property
    def reason(self) -> str | None:
        """Return why the effect of exposure on texts that occur once is not known."""
        classes = self.classes
        if self.once is not None:
            return None
        if not classes.exposed.exposure:
            return "no exposed sequence was scanned"
        if classes.unexposed.exposure:
            return "no text that occurs once was scanned in one of the groups"
        if classes.copy_exposed.exposure:
            return "every sequence that is not exposed is a copy of an exposed one"
        return "no sequence was scanned that is not exposed"


def by_text(
    texts: Texts,
    events: Events,
    exposed_rows: int,
    *,
    window: int = 512,
    margin: float = 1.05,
    seed: int = 0,
) -> ByText:
    """Compute what is known by text of a checkpoint.

    Args:
        texts: The texts of the corpus.
        events: Its memorized sequences and what was scanned.
        exposed_rows: Rows that it had been exposed to.
        window: Length of a window in sequences.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Of the simulations.
    """
    units = texts.merged
    strata = count_strata(units, events, exposed_rows)
    exact = count_classes(texts, events, exposed_rows)
    classes = exact if units is texts else count_classes(units, events, exposed_rows)
    both = (strata.exposed[:, 1] > 0) & (strata.unexposed[:, 1] > 0)
    return ByText(
        rates=text_rates(count_exposed_texts(units, events, exposed_rows)),
        classes=classes,
        near=count_near(texts, events, exposed_rows, exact, classes),
        once=once_effect(strata),
        stratified=stratified_effect(strata),
        repeated_control=bool((both & (strata.duplicate_count > 1)).any()),
        sharp_null_p_value=sharp_null_p_value(classes),
        strata=text_strata(strata),
        order=text_order(units, events, exposed_rows, window=window, margin=margin, seed=seed),
    )
