"""Web pages that need nothing beside them: templates with escaping, scripts and pictures inside.

A page asks the network for nothing, and its Content-Security-Policy says so: only the scripts that
were put in by name may run, which is what their hashes in the policy mean.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_NONE = "'none'"


@cache
def _environment(package: str) -> "Environment":
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loaders = [PackageLoader(name) for name in dict.fromkeys((package, __package__))]
    found = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    return found


def render(
    package: str,
    template: str,
    *,
    scripts: Sequence[str] = (),
    links: Sequence[tuple[str, str]] = (),
    current: str = "",
    **values: Any,
) -> str:
    """Return a template of a package's folder `templates`, filled in and escaped.

    A page extends `page.html`, which has the style sheet, the dark mode, the print rules and the
    policy; its blocks are `title` and `body`.

    Args:
        package: The package, such as `memtrace.point_process`.
        template: The file's name.
        scripts: JavaScript sources that the page runs, in this order, once it is read.
        links: Pages of a report: address and short name.
        current: Which of these names is that of the page.
        values: What the template names.
    """
    inside = [_closed(source) for source in scripts]
    page = _environment(package).get_template(template)
    return page.render(
        scripts=inside, links=links, current=current, policy=content_policy(inside), **values
    )


def content_policy(scripts: Sequence[str]) -> str:
    """Return the Content-Security-Policy of a page that runs these scripts and loads nothing."""
    digests = (hashlib.sha256(source.encode()).digest() for source in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(d).decode('ascii')}'" for d in digests)
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {allowed or _NONE}; "
        "base-uri 'none'; form-action 'none'"
    )


def script(package: str, name: str) -> str:
    """Return the source of a script that lies in a package's folder `templates`."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def picture(image: bytes) -> str:
    """Return a PNG as an address for `src` that has it inside."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def _closed(source: str) -> str:
    r"""Return a script that does not end its element: `<\/` is `</` to JavaScript, not to HTML."""
    return source.replace("</script", r"<\/script")
