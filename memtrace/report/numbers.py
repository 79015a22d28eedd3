"""Numbers as people read them: one form for terminal, pages and figures.

No form ever shows `nan`, `inf` or a power of ten: what is undefined is a dash, what is too large or
too small to mean anything is given as a bound.
"""

import math
from collections.abc import Callable

from memtrace.types import Interval

DASH = "-"
"""Stands for what is undefined."""
LARGEST = 1e12
SMALLEST = 1e-6
LARGEST_RATIO = 1000.0
"""Ratios beyond it are given as bounds: their value says nothing more."""
SMALLEST_P = 0.001
MINUTE, HOUR, DAY, YEAR = 60, 3600, 86_400, 31_557_600


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with so many significant digits, and no fewer than its integer part has."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "unbounded"
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size > LARGEST:
        return f"< -{LARGEST:,.0f}" if sign else f"> {LARGEST:,.0f}"
    if 0 < size < SMALLEST:
        return f"> -{SMALLEST:.6f}" if sign else f"< {SMALLEST:.6f}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size))) if size else 0
    text = f"{size:,.{decimals}f}"
    return sign + (text.rstrip("0").rstrip(".") if "." in text else text)


def signed(value: float, decimals: int = 1) -> str:
    """Return a change with its sign: `+1.6`, `-0.3`; what rounds to none is `+0.0`."""
    return f"{round(value, decimals) + 0.0:+,.{decimals}f}"  # 0.0 added to -0.0 is 0.0


def ratio(value: float | None, digits: int = 3) -> str:
    """Return a ratio; beyond 0.001 and 1,000 only the bound, since its size says nothing more."""
    if value is None or math.isnan(value):
        return DASH
    if LARGEST_RATIO < value < math.inf:
        return f"> {LARGEST_RATIO:,.0f}"
    if 0 < value < 1 / LARGEST_RATIO:
        return f"< {1 / LARGEST_RATIO:g}"
    return number(value, digits)


def fold(value: float | None) -> str:
    """Return a ratio inside a sentence: `1.3-fold`, `more than 1,000-fold`."""
    if value is None or math.isnan(value):
        return "an unknown factor"
    if value > LARGEST_RATIO:
        return f"more than {LARGEST_RATIO:,.0f}-fold"
    if value < 1 / LARGEST_RATIO:
        return f"less than {1 / LARGEST_RATIO:g}-fold"
    return f"{number(value, 3)}-fold"


def percent(share: float | None, digits: int = 3) -> str:
    """Return a share in percent with so many significant digits; beyond 1000% as a factor."""
    if share is None or math.isnan(share):
        return DASH
    return fold(share) if share > 10 else f"{number(100 * share, digits)}%"


def p_value(p: float | None) -> str:
    """Return a p-value for a column of them."""
    if p is None or math.isnan(p):
        return DASH
    return f"< {SMALLEST_P:g}" if p < SMALLEST_P else number(p, 2)


def p_text(p: float | None) -> str:
    """Return a p-value with its name: `p = 0.03`, `p < 0.001`, `p undefined`."""
    text = p_value(p)
    if text == DASH:
        return "p undefined"
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def interval(ends: Interval | None, form: Callable[[float], str] = number) -> str:
    """Return an interval, `0.98 to 1.02`, with its ends in a form of this module.

    An end at infinity is said to be no bound: `at least 0.98`, `at most 1.02`.
    """
    if ends is None or any(end is None or math.isnan(end) for end in ends):
        return DASH
    low, high = ends
    if math.isinf(low) and math.isinf(high):
        return "unbounded"
    if math.isinf(high):
        return f"unbounded, at least {form(low).removeprefix('> ')}"
    if math.isinf(low):
        return f"unbounded, at most {form(high)}"
    texts = form(low), form(high)
    beyond = texts[0] == texts[1] and texts[0].startswith(("<", ">"))
    return texts[0] if beyond else " to ".join(texts)


def count(n: int, noun: str, plural: str | None = None) -> str:
    """Return a number of things: `1 file`, `1,200 files`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def size(n_bytes: float) -> str:
    """Return a number of bytes in the largest unit that it fills: `1.2 GB`, `0.4 kB`."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:,.1f} {name}"
    return f"{n_bytes / 1e3:,.1f} kB"


def duration(seconds: float) -> str:
    """Return a time in its two largest units: `2 h 5 min`, `45 s`, `under 1 s`."""
    if not math.isfinite(seconds):
        return DASH
    if seconds < 1:
        return "under 1 s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return _two_units(whole, MINUTE, "min", 1, "s")
    if whole < 3 * DAY:
        return _two_units(round(seconds / MINUTE) * MINUTE, HOUR, "h", MINUTE, "min")
    days, years = seconds / DAY, seconds / YEAR
    return f"{days:,.0f} days" if years < 2 else f"{number(years, 3)} years"


def _two_units(seconds: int, large: int, name: str, small: int, rest_name: str) -> str:
    whole, rest = divmod(seconds, large)
    return f"{whole} {name}" + (f" {rest // small} {rest_name}" if rest else "")
