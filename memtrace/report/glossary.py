"""Terms that a page explains where they occur: on hover, on tap, by keyboard."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from memtrace.report.typeset import typeset

if TYPE_CHECKING:
    from markupsafe import Markup

TERMS = {
    "copies": "Sequences with the same tokens. A model gives all copies of a text one result, so "
    "they are one observation, not many.",
    "copy exposed": "A sequence that was not trained on itself, but a copy of it was. It is no "
    "control: the model has seen its text.",
    "design effect": "How many times larger the variance of a share is because copies of a text "
    "share one result. At 247, a million rows say no more than some 4,000 independent ones.",
    "end/start": "The rate at the end of training over the rate at its start, by a log-linear "
    "trend. 1 means that order does not matter.",
    "equivalence": "A test of the claim that a difference is smaller than a margin fixed "
    "beforehand. No significant difference is not yet equivalence.",
    "Fano factor": "Variance over mean of the counts in windows of one length. In a random order "
    "it is about 1 at every length.",
    "Holm": "An adjustment of p-values for their number. All claims at 5% then hold together with "
    "95% confidence, whatever the dependence of the tests.",
    "KS distance": "Kolmogorov-Smirnov: the largest difference between the share of the events so "
    "far and the share of the sequences so far.",
    "nats": "Natural units of log probability: one nat is a factor of 2.72.",
    "NPMLE": "The nonparametric maximum likelihood estimate of a distribution whose times are "
    "known only to lie between two checkpoints (Turnbull 1976).",
    "recency": "That sequences from the last steps before a checkpoint are memorized more often "
    "than older ones.",
    "unexposed": "A sequence of which no copy had been trained on at the checkpoint: the control "
    "group. What is extractable there was not memorized from training on it.",
}
"""Term -> what it means, in words of everyday statistics."""


_BUTTON = (
    '<span class="whole">{}<button type="button" class="term" popovertarget="term-{}">{}</button>{}'
    "</span>"
)
_CODE = re.compile(r"`([^`]+)`|(?<![\w-])(--[a-z][a-z-]*(?: [A-Z]{3,})?)")


def explained(terms: Iterable[str] = tuple(TERMS)) -> Callable[[str], "Markup"]:
    """Return the filter of one page: it escapes and sets text, and marks each term's first place.

    A marked term is a button that opens its explanation; `TERMS` gives the explanations. What
    stands between backticks, and an option with its placeholder, is code.

    Args:
        terms: Those that the page has the explanations of.
    """
    from markupsafe import Markup, escape

    left = sorted(terms, key=len, reverse=True)

    def mark(text: str) -> Markup:
        found = re.search(_pattern(left), text) if left else None
        if found is None:
            return escape(text)
        before, term, after = found.groups()
        left.remove(term)
        marked = Markup(_BUTTON).format(before, anchor(term), term, after)
        return escape(text[: found.start()]) + marked + mark(text[found.end() :])

    def filtered(text: str) -> Markup:
        parts = enumerate(_CODE.split(text))  # sentence, command or None, option or None, ...
        shown = (code(part) if i % 3 else mark(typeset(part)) for i, part in parts if part)
        return Markup("").join(shown)

    return filtered


def code(text: str) -> "Markup":
    """Return a command: lines break between its words, and inside those that fill a line alone."""
    from markupsafe import Markup

    words = (Markup("<span>{}</span>").format(word) for word in text.split(" "))
    return Markup("<code>{}</code>").format(Markup(" ").join(words))


def _pattern(terms: Iterable[str]) -> str:
    """Return what finds a term with the brackets and points that stay on its line."""
    names = "|".join(map(re.escape, terms))
    return rf"([(]?)(?<![\w-])({names})(?![\w-])([).,;:]*)"


def anchor(term: str) -> str:
    """Return the end of the name that the explanation of a term has on a page."""
    return re.sub(r"\W+", "-", term).lower()
