"""What a test of order in likelihoods finds, as frozen values."""

from dataclasses import dataclass

from memtrace.likelihood.ages import Ages
from memtrace.likelihood.controls import Controls
from memtrace.likelihood.difference import Difference, Equivalence
from memtrace.likelihood.ranks import RankCorrelation
from memtrace.likelihood.recency import Recency

LEVEL = 0.05
ROWS_AS_TEXTS = "rows are taken as different texts"


@dataclass(frozen=True)
class Source:
    """Where the rows come from, and what they are."""

    label: str = ""
    """Short name for titles."""
    step: int | None = None
    runs: tuple[str, ...] = ()
    """What each run says of its weights and its corpus."""
    baseline: str | None = None
    """Name of the baseline; None without one."""
    copies_reason: str | None = None
    """Why copies of a text are not told apart; None where each row is the only one of its text."""
    once: bool = False
    """Whether rows were left out whose text occurs more than once."""
    part: str = ""
    """What part of the sequences was scanned, a clause; empty where nothing was left out."""
    later_rows: int = 0
    """Rows of the corpus that the checkpoint had not seen, scanned or not."""


@dataclass(frozen=True, eq=False)
class OrderResult:
    """Everything that is found out about order in the likelihoods of one checkpoint."""

    source: Source
    tokens: int
    """Of a continuation."""
    ages: Ages
    exact: bool
    """Whether ranks are those of all values; else of binned ones, and `partial` of a sample."""
    spearman: RankCorrelation
    """Order and log-likelihood among exposed rows."""
    partial: RankCorrelation | None
    """The same given the baseline; None without one."""
    raw: Difference
    """Exposed minus unexposed rows."""
    adjusted: Difference | None
    """The same at equal baseline; None without one."""
    equivalence: Equivalence
    """Of the difference, within a margin that was chosen beforehand."""
    recency: Recency
    controls: Controls
    seed: int

    @property
    def rows(self) -> int:
        """Return how many rows there are, exposed and unexposed."""
        return self.difference.exposed + self.difference.unexposed

    @property
    def difference(self) -> Difference:
        """Return the difference given the baseline, or the raw one where there is none."""
        return self.adjusted or self.raw

    @property
    def order(self) -> RankCorrelation:
        """Return the rank correlation given the baseline, or the plain one."""
        return self.partial or self.spearman

    @property
    def copies_known(self) -> bool:
        """Return whether every row is known to be the only one of its text."""
        return self.source.copies_reason is None

    @property
    def who(self) -> str:
        """Return what the rows are."""
        return self.named("sequences")

    def named(self, noun: str) -> str:
        """Return a noun for the rows with what they are."""
        return f"{noun} whose exact text occurs once" if self.source.once else noun

    @property
    def caveat(self) -> str:
        """Return what stands beside every interval: empty where copies are known."""
        return "" if self.copies_known else ROWS_AS_TEXTS
