"""What training does, on the page of a comparison: its numbers that stand out, and its tables."""

from memtrace.comparison.deduplication import text as of_twins
from memtrace.comparison.paired import text as of_pairs
from memtrace.comparison.profile import text as of_profiles
from memtrace.comparison.result import ComparisonResult
from memtrace.report.numbers import interval
from memtrace.report.page import Fact, Table

MOST = 8
"""Twins, pairs and profiles that have tables on a page, the last ones; the JSON has all."""


def training_facts(found: ComparisonResult) -> list[Fact]:
    """Return the difference of the last twin, of the last pair, and the last effect of training."""
    facts = []
    for twins in found.deduplication[-1:]:
        if (total := twins.last.total) is not None:
            name = f"{of_pairs.short_name(twins.deduplicated)} against its standard model"
            note = f"95% {of_pairs.between(total.difference_ci95)}"
            facts.append(Fact(of_pairs.points(total.difference), name, note))
    for pair in found.paired[-1:]:
        table, (model, baseline) = pair.last.shares["exposed"], of_pairs.names_of(pair)
        if table.texts:
            note = f"95% {of_pairs.between(table.difference_ci95)}"
            facts.append(
                Fact(of_pairs.points(table.difference), f"{model} against {baseline}", note)
            )
    for one in [profile for profile in found.profiles if profile.instantaneous is not None][-1:]:
        if (effect := one.instantaneous) is not None:
            note = f"95% {interval(effect.ci95, of_pairs.signed)}"
            value = f"{of_pairs.signed(effect.estimate)} {one.outcome_unit}"
            name = f"of training {of_pairs.short_name(one.model)} on a {one.unit}"
            facts.append(Fact(value, name, note))
    return facts


def training_tables(found: ComparisonResult) -> list[Table]:
    """Return the tables of twins, pairs and profiles that have rows."""
    tables = []
    for twins in found.deduplication[-MOST:]:
        title = f"{of_pairs.short_name(twins.deduplicated)}, step {twins.last.step:,}"
        seen, matched = of_twins.seen_rows(twins.last), of_twins.matched_rows(twins.last)
        names = of_twins.seen_columns(twins.last), of_twins.matched_columns(twins.last)
        where = "seen" if twins.last.is_order_known else "in each corpus"
        tables.append(Table(f"{title}: memorized by copies {where}", names[0], seen))
        both = of_twins.of_both(twins.last)
        tables.append(Table(f"{title}: texts {both}", names[1], matched))
    for pair in found.paired[-MOST:]:
        model, baseline = of_pairs.names_of(pair)
        columns = ("step", f"{pair.unit}s", *of_pairs.COLUMNS)
        rows = of_pairs.shares_rows(pair.steps)
        tables.append(Table(f"{model} against {baseline}", columns, rows))
    for one in found.profiles[-MOST:]:
        rows = [] if one.reason else of_profiles.effect_rows(one)
        title = f"What training {of_pairs.short_name(one.model)} on a {one.unit} changed"
        tables.append(Table(f"{title}, {one.outcome_unit}", of_profiles.COLUMNS, rows))
    return [table for table in tables if table.rows]
