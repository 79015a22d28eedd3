"""What sampling would extract at one checkpoint, as frozen values."""

from dataclasses import dataclass

import numpy as np

from memtrace.likelihood.extraction.chances import least_log_likelihood
from memtrace.likelihood.extraction.sequences import ClassLikelihoods
from memtrace.point_process.models.constant import binomial_interval
from memtrace.types import UNDEFINED, FloatArray, Interval

ROWS_AS_TEXTS = "rows are taken as different texts"
IF_NO_COPIES = "if no two are copies of one text"
CURVE = 60
"""Points of a curve over n."""


@dataclass(frozen=True)
class Share:
    """How much of a class of exposure is extracted."""

    sequences: int
    texts: int
    of_sequences: int
    """Scanned ones."""
    of_texts: int
    share: float
    """Of the texts; NaN without any."""
    ci95: Interval
    """Of the share of texts (Clopper and Pearson 1934)."""


@dataclass(frozen=True)
class Discoverable:
    """What is (n, p)-discoverable: returned by at least one of n samples with a chance of p."""

    n: int
    p: float
    log_likelihood: float
    """From which on a sequence is."""
    shares: dict[str, Share]
    """By class of exposure."""
    reason: str | None = None
    """Why it is not known: then `shares` is empty."""


@dataclass(frozen=True, eq=False)
class ExtractionResult:
    """Everything that is found out about extraction at one checkpoint."""

    label: str
    step: int
    source: str
    """What the run says of its weights and its corpus."""
    tokens: int
    """Of a continuation."""
    temperature: float
    top_k: int | None
    min_probability: float | None
    """At which the scan stopped: smaller probabilities are not known."""
    copies_reason: str | None
    """Why copies of a text are not told apart; None where they are."""
    classes: dict[str, ClassLikelihoods]
    """By class of exposure."""
    ns: tuple[int, ...]
    ps: tuple[float, ...]
    table: tuple[Discoverable, ...]
    """For each p and n in this order."""
    part: str = ""
    """What part of the sequences was scanned, a clause; empty where nothing was left out."""
    is_order_known: bool = True
    """Whether it is known what was trained on; where not, all rows are in the class exposed."""

    def called(self, name: str) -> str:
        """Return what a class is called: of an unknown order rows are scanned, none is exposed."""
        return (
            "scanned" if name == "exposed" and not self.is_order_known else name.replace("_", " ")
        )

    @property
    def unit(self) -> str:
        """Return what is counted: texts, or sequences where copies are not known."""
        return "text" if self.copies_reason is None else "sequence"

    @property
    def condition(self) -> str:
        """Return under which condition intervals hold: empty where copies are known."""
        return "" if self.copies_reason is None else f", {IF_NO_COPIES}"

    @property
    def caveat(self) -> str:
        """Return what stands beside every interval: empty where copies are known."""
        return "" if self.copies_reason is None else ROWS_AS_TEXTS

    @property
    def greedy(self) -> dict[str, Share]:
        """Return what greedy decoding returns, by class of exposure."""
        return {
            name: share_of(one, one.counts.events, one.counts.event_texts)
            for name, one in self.classes.items()
        }

    def at(self, n: int, p: float) -> Discoverable:
        """Return one entry of the table."""
        return next(one for one in self.table if (one.n, one.p) == (n, p))

    def curve(self, name: str, p: float) -> tuple[FloatArray, FloatArray]:
        """Return numbers of samples, and the share of texts of a class discoverable with them.

        Where that is not known it is NaN; both have shape (points,).
        """
        found = self.classes[name]
        n = np.unique(np.round(np.geomspace(1, max(*self.ns, 2), CURVE)))
        least = [least_log_likelihood(float(one), p) for one in n]
        known = least_known(self.min_probability)
        texts = [found.texts_from(one) if one >= known else np.nan for one in least]
        return n, np.array(texts) / max(found.counts.texts, 1)


def share_of(found: ClassLikelihoods, sequences: int, texts: int) -> Share:
    """Return the share of a class, with its interval by text."""
    of = found.counts
    low, high = binomial_interval(texts, of.texts) if of.texts else UNDEFINED
    share = texts / of.texts if of.texts else float("nan")
    return Share(sequences, texts, of.exposure, of.texts, share, (float(low), float(high)))


def least_known(min_probability: float | None) -> float:
    """Return the log-likelihood down to which values are known: minus infinity without a bound."""
    return float(np.log(min_probability)) if min_probability else -np.inf
