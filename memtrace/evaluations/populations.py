"""Which models a sentence is about: those of one suite and one family, or those of no manifest."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memtrace.evaluations.names import Training, size_and_family
from memtrace.report.numbers import count

UNKNOWN = "in no manifest"
"""Family of the models that no manifest has."""
LISTED = 3
"""Families, or models of no manifest, that are named."""
NO_LINK = (
    "The numbers come from evaluations alone: nothing on this page is of sequences that were "
    "scanned."
)
BY_NAME = (
    "Which model was evaluated, its size and the length of its training follow from names alone, "
    "by the manifests."
)


@dataclass(frozen=True, slots=True)
class Population:
    """Models that one sentence may speak of: they differ in size, not in their corpus."""

    suite: str | None
    """None for models of no manifest."""
    family: str
    """What follows the size in their names, such as `deduped`; empty where nothing does."""

    @property
    def order(self) -> tuple[bool, str, str]:
        """Return what populations are sorted by: those of no manifest come last."""
        return self.suite is None, self.suite or "", self.family

    @property
    def kind(self) -> str:
        """Return the family as a word: `standard` where the name has none."""
        return self.family or "standard"

    def told(self, models: int) -> str:
        """Return so many of its models: `6 standard models of pythia`."""
        if self.suite is None:
            return f"{count(models, 'model')} that no manifest has"
        return f"{models:,} {self.kind} {'model' if models == 1 else 'models'} of {self.suite}"


def population_of(model: str, training: Training | None) -> Population:
    """Return what a model belongs to, by what the manifests say of it."""
    if training is None:
        return Population(None, UNKNOWN)
    return Population(training.suite, size_and_family(model)[1])


def populations_told(models: Iterable[tuple[Population, str]]) -> str:
    """Return what was evaluated: `6 standard and 4 deduped models of pythia`.

    Args:
        models: Population and name of each; the same one may come again.
    """
    found = sorted(set(models), key=lambda one: (*one[0].order, one[1]))
    suites = dict.fromkeys(population.suite for population, _ in found)
    return "; ".join(_of_suite(suite, [one for one in found if one[0].suite == suite])
                     for suite in suites)  # fmt: skip


def _of_suite(suite: str | None, models: Sequence[tuple[Population, str]]) -> str:
    if suite is None:
        names = [name for _, name in models]
        more = ", …" if len(names) > LISTED else ""
        return f"{count(len(names), 'model')} {UNKNOWN} ({', '.join(names[:LISTED])}{more})"
    families = Counter(population.kind for population, _ in models)
    if len(families) > LISTED:
        return f"{len(models):,} models of {suite}, of {len(families):,} families"
    *before, last = [f"{n:,} {kind}" for kind, n in families.items()]
    each = f"{', '.join(before)} and {last}" if before else last
    return f"{each} {'model' if len(models) == 1 else 'models'} of {suite}"


def short_names(models: Iterable[str]) -> dict[str, str]:
    """Return each model's name without `-deduped` where all of them have it."""
    names = set(models)
    shared = all(name.endswith("-deduped") for name in names)
    return {name: name.removesuffix("-deduped") if shared else name for name in names}
