"""Charts that readers can ask: Vega-Lite specifications, drawn by a library inside the page.

Altair and the library are in the extra `report`. Without it pages have pictures.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from memtrace.report.json import json_safe
from memtrace.report.typeset import steps_apart, typeset

if TYPE_CHECKING:
    import altair

HEIGHT = 280
"""Of a chart, in CSS pixels; its width is that of its place."""
LABEL = 15
"""Height of a label at the end of a line, in CSS pixels."""
TICK = 90
"""Room of a number on an axis of steps, in CSS pixels."""
LEADER = 16
"""Length of the stroke from the end of a line to its name, in CSS pixels."""
UNDER: dict[str, Any] = {"strokeWidth": 4}
OVER: dict[str, Any] = {"strokeWidth": 2, "strokeDash": [6, 4]}
"""How two lines are drawn that may lie on one another, so that both are seen."""
HATCHED = "url(#hatch)"
"""Fill of what there is no value of: a pattern of the page."""
MOST_ROWS = 5000
"""Of the data of one chart: more cannot be told apart, and would make the page slow."""


@cache
def available() -> bool:
    """Return whether charts can be drawn: the extra `report` is installed."""
    return all(find_spec(name) is not None for name in ("altair", "vl_convert"))


@cache
def library() -> str | None:
    """Return the JavaScript that draws charts, None where the extra is not installed."""
    if not available():
        return None
    import vl_convert

    bundle: Any = vl_convert.javascript_bundle  # its stub lacks the default of the argument
    return str(bundle())


def step_axis() -> "altair.Axis":
    """Return an axis of training steps, with few numbers on a narrow chart."""
    import altair

    few = altair.ExprRef(f"ceil(width / {TICK})")
    return altair.Axis(format=",d", tickCount=few, tickMinStep=1)


def data(rows: list[dict[str, Any]]) -> "altair.InlineData":
    """Return rows as the data of a chart, inside it, to five digits; what is not finite is missing.

    Raises:
        ValueError: There are more rows than `MOST_ROWS`.
    """
    import altair

    if len(rows) > MOST_ROWS:
        raise ValueError(f"{len(rows):,} rows, above {MOST_ROWS:,}: thin them out for a chart")
    return altair.InlineData(values=[json_safe(_rounded(row)) for row in rows])


def apart(levels: Sequence[float], height: float, bottom: float = -math.inf) -> list[float]:
    """Return where the labels of lines that end at these levels go, so that none covers another.

    They keep their order; those above move up, and one at the bottom stands above its axis.

    Args:
        levels: Where the lines end, on the scale of the chart: logarithms on a log axis.
        height: Of the chart, on the same scale.
        bottom: Where its axis is.
    """
    room = LABEL / HEIGHT * height
    moved, below = list(levels), bottom - room / 2
    for place in sorted(range(len(levels)), key=lambda i: levels[i]):
        below = moved[place] = max(levels[place], below + room)
    return moved


class Frames:
    """What the charts of one page have in common, each frame once: many differ in rows alone."""

    def __init__(self) -> None:
        """Begin without any."""
        self._places: dict[str, int] = {}

    def split(self, chart: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rows of a chart, by columns, its domains, and the number of its frame.

        In a frame the number of a domain stands in its place.
        """
        domains: list[Any] = []
        names = {name: f"rows-{i}" for i, name in enumerate(chart.get("datasets", {}))}
        shared = _without_domains({**chart, "datasets": {}}, domains)
        text = json.dumps({**shared, "datasets": dict.fromkeys(names.values())}, sort_keys=True)
        for long, short in names.items():
            text = text.replace(f'"name": "{long}"', f'"name": "{short}"')
        place = self._places.setdefault(text, len(self._places))
        rows = {short: _by_column(chart["datasets"][long]) for long, short in names.items()}
        return {"frame": place, "domains": domains, "datasets": rows}

    @property
    def all(self) -> list[dict[str, Any]]:
        """Return the frames by number."""
        return [json.loads(text) for text in self._places]


def _without_domains(part: Any, domains: list[Any]) -> Any:
    """Return a part of a chart with the places of domains in `domains`, to which they are put."""
    if isinstance(part, list):
        return [_without_domains(one, domains) for one in part]
    if not isinstance(part, Mapping):
        return part
    found = {}
    for key, value in part.items():
        if key == "domain" and isinstance(value, list):
            domains.append(value)
            found[key] = len(domains) - 1
        else:
            found[key] = _without_domains(value, domains)
    return found


def _by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return rows without repeating the names of their columns; what a row lacks is None."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "rows": [[row.get(name) for name in columns] for row in rows]}


def end_names(base: "altair.Chart", x: str, y: Callable[[str], "altair.Y"], level: str) -> Any:
    """Return the names at the ends of lines, each led to by a stroke from where its line ends.

    Args:
        base: Its data have `name` and `at`, from `apart`, in the last row of each line.
        x: The column along the lines.
        y: Returns the encoding of a column on the axis of levels.
        level: The column of levels.
    """
    import altair

    ends = base.transform_filter("isValid(datum.at)")
    strokes = ends.mark_rule(style="quiet", strokeWidth=0.7, xOffset=4, x2Offset=LEADER)
    names = ends.mark_text(align="left", dx=LEADER + 2)
    return altair.layer(
        strokes.encode(x2=x, y=y(level), y2="at"), names.encode(y=y("at"), text="name:N")
    )


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}


def slider(name: str, title: str, places: int, first: int | None = None) -> "altair.Parameter":
    """Return a slider over places from 1; it begins at `first`, or else at the last.

    `specification` takes what stands at each place: the reader sees that, not the number.
    """
    import altair

    bound = altair.binding_range(min=1, max=places, step=1, name=f"{title}: ")
    return altair.param(name=name, value=first or places, bind=bound)


def specification(
    chart: "altair.TopLevelMixin",
    height: int = HEIGHT,
    sliders: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return a chart as the page's script takes it: as wide as its place.

    Args:
        chart: The chart.
        height: In CSS pixels.
        sliders: For each `slider` by name what stands at its places.
    """
    places = {name: list(map(typeset, each)) for name, each in (sliders or {}).items()}
    told = {"usermeta": {"sliders": places}} if places else {}
    wide: Any = chart
    made = wide.properties(width="container", height=height, **told).to_dict(validate=False)
    made.pop("config", None)  # of Altair: the page has its own
    return dict(json.loads(steps_apart(json.dumps(made, ensure_ascii=False))))
