"""The counterfactual profile of a model, as one value."""

from dataclasses import dataclass, field

from memtrace.comparison.profile.effects import Cell, Effect

LOG_LIKELIHOOD, MATCHED_TOKENS = "log_likelihood", "matched_tokens"
UNITS = {LOG_LIKELIHOOD: "nats", MATCHED_TOKENS: "tokens"}


@dataclass(frozen=True)
class Cohort:
    """Texts that training saw between two checkpoints."""

    after: int
    """Step of the last checkpoint that had not seen them."""
    by: int
    """Step of the first that had."""
    texts: int


@dataclass(frozen=True)
class Later:
    """The effect so many checkpoints after the first that had seen a text."""

    checkpoints: int
    steps: tuple[int, int]
    """Fewest and most steps from the first checkpoint to this one, over cohorts."""
    effect: Effect


@dataclass(frozen=True, eq=False)
class Profile:
    """What training on a text changed in a model: by cohort, by checkpoint, and on average."""

    model: str
    """Suite and model."""
    outcome: str
    """`log_likelihood`, of a continuation, or `matched_tokens`."""
    steps: tuple[int, ...]
    """The checkpoints, ascending."""
    unit: str
    """`text`, or `sequence` where copies are not known."""
    cohorts: tuple[Cohort, ...] = ()
    cells: dict[Cell, Effect] = field(default_factory=dict)
    """By place in `cohorts` and in `steps`; where undefined there is none."""
    instantaneous: Effect | None = None
    """Of every cohort at the first checkpoint that had seen it."""
    persistent: tuple[Later, ...] = ()
    """Of every cohort at later checkpoints."""
    residual: Effect | None = None
    """At the last checkpoint with a control, of the cohorts first seen before it."""
    residual_step: int | None = None
    before: Effect | None = None
    """Before exposure, where there is none if order is random."""
    reason: str | None = None
    """Why there is no profile."""

    @property
    def outcome_unit(self) -> str:
        """Return what effects count: nats or tokens, of one continuation."""
        return UNITS[self.outcome]
