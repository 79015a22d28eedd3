"""Text as pages set it: a true minus, ± and dash, intervals by name, steps as 3,072.

The terminal keeps to what every keyboard has.
"""

import re

NO_VALUE = "\N{EN DASH}"
"""Stands for a value that there is none of."""
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
_TIMES = re.compile(r"(?<!\S)x (?=\d)")
_PLUS_MINUS = re.compile(r"(?<!\S)\+/?- ?(?=\.?\d)")
_MINUS = re.compile(r"(?<![\w.,:/=-])-(?=\.?\d)")
_SIGNED_ZERO = re.compile(rf"(?<!\S)[+{MINUS}](?=0(?:\.0+)?(?![\d.]))")
_LEVEL = re.compile(rf"\b(9[059]%) (?=(?:[<>] )?[{MINUS}+]?[\d.,]+%? to (?:[<>] )?[{MINUS}+]?\d)")
_UNDEFINED = re.compile(r"\bp undefined\b")
_STEPS = re.compile(r"(?<![-/\w.])steps? \d{4,}(?: to \d{4,})?\b")


def typeset(text: str) -> str:
    """Return a sentence, a cell or a heading with the signs of print: `-0.9` has a true minus.

    Hyphens of names, options and ranges stay. `95% 1% to 2%` becomes `95% interval 1% to 2%`: they
    are not three shares.
    """
    if text.strip() in ("", "-"):
        return text.replace("-", NO_VALUE)
    signed = _SIGNED_ZERO.sub("", _MINUS.sub(MINUS, _PLUS_MINUS.sub("±", text)))
    signed = _TIMES.sub(f"{TIMES} ", signed)
    said = _UNDEFINED.sub(f"p {NO_VALUE}", _LEVEL.sub(r"\1 interval ", signed))
    return steps_apart(said)


def sentence(text: str) -> str:
    """Return a reason as a sentence begins, in upper case; a name at its head stays as it is."""
    word = re.match(r"[a-z]+(?=[ ,:;]|$)", text)
    return text[:1].upper() + text[1:] if word else text


def steps_apart(text: str) -> str:
    """Return a text in which steps have their thousands apart: `step 3072` becomes `step 3,072`."""
    return _STEPS.sub(lambda steps: re.sub(r"\d+", _thousands, steps[0]), text)


def _thousands(digits: re.Match[str]) -> str:
    return f"{int(digits[0]):,}"
