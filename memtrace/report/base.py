"""What every result offers: a verdict, a document, printed text, a figure, itself in a notebook."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from memtrace.report.html import render
from memtrace.report.page import Finding, head_html
from memtrace.report.text import rendered

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
    head: Callable[[Any], Finding] | None = None
    """What a notebook shows, the head of the result's page; None: what is printed."""


class Report:
    """A result that shows itself as JSON, as text and as a figure.

    An analysis derives its public class from its frozen result and from this class, and names its
    renderers.
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

    def _repr_html_(self) -> str:
        """Show the head of the result's page in a notebook, or the printed text."""
        if self.renderers.head is not None:
            return head_html(self.renderers.head(self))
        return render("memtrace.report", "printed.html", text=self.summary())
