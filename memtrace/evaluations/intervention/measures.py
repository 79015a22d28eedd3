"""Which measures of an intervention are shown, and under which short names."""

from memtrace.evaluations.intervention.result import Comparison

SHOWN = ("crows_pairs_english", "crows_pairs_english_gender")
"""Measures of bias that are shown in any case; of others those with an adjusted p below 5%, and
WinoBias and WinoGender, which are about gender too."""
NAME = 18
"""Characters of a measure's name."""
_SHORT = {"crows_pairs": "crows", "english": "en", "french": "fr", "wino_bias": "wino", "+": " "}


def is_shown(one: Comparison) -> bool:
    """Say whether a measure of bias is among those that text and figure show."""
    return one.task in SHOWN or one.task.startswith("wino") or one.p_holm < 0.05


def full_name(one: Comparison) -> str:
    """Return the name of a measure: that of its task, and what is measured where it may be both."""
    return one.task if one.kind == "bias" else f"{one.task} {one.metric}"


def short_name(one: Comparison) -> str:
    """Return a name of the measure that leaves room for the numbers."""
    name = full_name(one)
    for long, short in _SHORT.items():
        name = name.replace(long, short)
    return name if len(name) <= NAME else f"{name[: NAME - 1]}…"


def run_name(one: Comparison) -> str:
    """Return `long` or `short`."""
    return "long" if one.run.endswith("long") else "short"
