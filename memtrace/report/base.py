"""What every result offers: a document, printed text, a figure, and itself in a notebook."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from memtrace.report.html import render
from memtrace.report.text import rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

WIDTH = 100


class Report(ABC):
    """A result that shows itself as JSON, as text and as a figure.

    An analysis derives its public class from its frozen result and from this class, and binds its
    renderers: `to_dict`, `__rich__` (what rich prints) and `plot`.
    """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document: undefined values are None, with a reason beside them."""

    @abstractmethod
    def __rich__(self) -> "RenderableType":
        """Return what is printed, as rich takes it: `rich.print(result)` shows it."""

    @abstractmethod
    def plot(self) -> "Figure":
        """Return all figures as one; a notebook shows it, `savefig` writes it."""

    def summary(self, width: int = WIDTH) -> str:
        """Return what is printed as plain text.

        Args:
            width: Columns of the text.
        """
        return rendered(self.__rich__(), width=width)

    def _repr_html_(self) -> str:
        """Show the printed text in a notebook."""
        return render("memtrace.report", "printed.html", text=self.summary())
