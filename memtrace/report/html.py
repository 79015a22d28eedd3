"""Web pages that need nothing beside them: templates with escaping, pictures inside the page."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _environment(package: str) -> "Environment":
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loaders = [PackageLoader(name) for name in dict.fromkeys((package, __package__))]
    return Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(package: str, template: str, **values: Any) -> str:
    """Return a template of a package's folder `templates`, filled in and escaped.

    A page extends `page.html`, which has the style sheet, the dark mode and the print rules; its
    blocks are `title` and `body`.

    Args:
        package: The package, such as `memtrace.point_process`.
        template: The file's name.
        values: What the template names.
    """
    return _environment(package).get_template(template).render(**values)


def fits_page(
    title: str, sections: Sequence[Mapping[str, Any]], overview: Mapping[str, Any] | None = None
) -> str:
    """Return a page of one fit or several: their table, then for each verdict, figures, numbers.

    Args:
        title: What the page answers.
        sections: Of each fit `label`, `verdict`, `text` (what is printed) and `figures`, each with
            `image`, `alt` and `caption`.
        overview: Of several fits `columns`, `rows`, `note`, `image` and `alt`.
    """
    return render("memtrace.report", "fits.html", title=title, sections=sections, overview=overview)


def picture(image: bytes) -> str:
    """Return a PNG as an address for `src` that has it inside."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
