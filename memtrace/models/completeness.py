"""Did a model get all of its weights, and was every stored weight used?

Transformers fills what is missing with random numbers and drops what it has no place for.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from memtrace.errors import ModelError

# Masks, rotations and places that older versions stored although they follow from the
# configuration.
_DERIVED = re.compile(
    r"(^|\.)((attn|attention|self_attn|self_attention)\.(masked_)?bias|position_ids"
    r"|inv_freq|cos_cached|sin_cached)$"
)
_WRAPPERS = ("module", "model", "state_dict", "model_state_dict")
_MOST_NAMES = 3  # of each list in a message


def check_completeness(info: Mapping[str, Collection[Any]], folder: Path) -> None:
    """Refuse a model of which some weights were not loaded.

    Buffers that follow from the configuration may be left over, and a head that is tied to the
    embedding may be missing.

    Args:
        info: What `from_pretrained(output_loading_info=True, ignore_mismatched_sizes=True)` tells.
        folder: Where the model is, for the message.

    Raises:
        ModelError: Weights are missing, left over or of another shape.
    """
    missing = sorted(info["missing_keys"])
    unused = sorted(key for key in info["unexpected_keys"] if not _DERIVED.search(key))
    mismatched = sorted(
        f"{key} {list(stored)} in place of {list(expected)}"
        for key, stored, expected in info["mismatched_keys"]
    )
    faults = {"missing": missing, "left over": unused, "of another shape": mismatched}
    if any(faults.values()):
        listed = "; ".join(f"{what}: {_listed(names)}" for what, names in faults.items() if names)
        raise ModelError(
            f"the weights in {folder} do not fit its config.json ({listed}): "
            f"{_next_step(missing, unused)}"
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _next_step(missing: list[str], unused: list[str]) -> str:
    if prefix := _prefix(missing, unused):
        return f"remove the prefix {prefix!r} from the names of the weights and save them again"
    if wrappers := [name for name in unused if name in _WRAPPERS]:
        return f"save the entry {wrappers[0]!r} of the file as a file of its own"
    return "save weights and config.json of one model together, with save_pretrained"


def _prefix(missing: Iterable[str], unused: Iterable[str]) -> str | None:
    """Return what stands before the name of a missing weight, as compilers and wrappers add it."""
    wanted = tuple(f".{name}" for name in missing)
    wrapped = next((name for name in unused if wanted and name.endswith(wanted)), None)
    if wrapped is None:
        return None
    longest = max((name for name in wanted if wrapped.endswith(name)), key=len)
    return wrapped[: len(wrapped) - len(longest) + 1]
