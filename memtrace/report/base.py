"""What every result offers: a verdict, a document, printed text, a figure, itself in a notebook."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from memtrace.report.page import Fact, Finding, head_html
from memtrace.report.text import printable, rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

WIDTH = 100


@dataclass(frozen=True)
class Renderers:
    """The functions of a result that show it."""

    verdict: Callable[[Any], str]
    document: Callable[[Any], dict[str, Any]]
    text: "Callable[[Any], RenderableType]"
    figure: "Callable[[Any], Figure]"
    head: Callable[[Any], Finding]
    """What a notebook shows, the head of the result's page."""
    brief: Callable[[Any], tuple[str, Sequence[Fact]]]
    """What a prompt shows: what the result is of, and its numbers, of which the first is shown."""


class Report:
    """A result that shows itself as JSON, as text and as a figure.

    An analysis derives its public class from this class and from its frozen result, in this order,
    and names its renderers.
    """

    renderers: ClassVar[Renderers]

    @property
    def verdict(self) -> str:
        """Return the result in plain sentences."""
        return self.renderers.verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `--json`: undefined values are None, with a reason beside them."""
        return self.renderers.document(self)

    def __rich__(self) -> "RenderableType":
        """Return what is printed, as rich takes it: `rich.print(result)` shows it."""
        return self.renderers.text(self)

    def plot(self) -> "Figure":
        """Return all figures as one; a notebook shows it, `savefig` writes it."""
        return self.renderers.figure(self)

    def summary(self, width: int = WIDTH) -> str:
        """Return what is printed as plain text.

        Args:
            width: Columns of the text.
        """
        return rendered(self.__rich__(), width=width)

    def __repr__(self) -> str:
        """Show one line at a prompt: of what the result is, and its first number."""
        label, facts = self.renderers.brief(self)
        first = [f"{fact.value} ({fact.name})" for fact in facts[:1]]
        said = printable(": ".join(filter(None, [label, *first])))
        return f"<{' '.join(filter(None, [type(self).__name__, said]))}>"

    def _repr_html_(self) -> str:
        """Show the head of the result's page in a notebook."""
        return head_html(self.renderers.head(self))
