"""How Sphinx builds this folder: MyST pages, notebooks, commands and library from docstrings."""

import json
import re
import shutil
import sys
from importlib import import_module
from importlib.metadata import version as installed
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from copies_figure import draw  # noqa: E402

project = "memtrace"
author = "The memtrace authors"
release = version = installed("memtrace-llm")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build", "_made", "jupyter_execute"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the outputs are those in the files; the tests execute the notebooks

default_role = "literal"  # `x` in a docstring is code
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"  # the others are in the signature

suppress_warnings = ["ref.python"]  # two classes with an attribute `shape` are no mistake

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "memtrace"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

# Sphinx reads its own folder only. What is no longer there leaves the copy too.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks")

draw(HERE / "_made" / "copies.svg")


def inline_math(writer, node):
    """Write a formula as MathML, which browsers show without a script from elsewhere."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def display_math(writer, node):
    """Write a formula on lines of its own."""
    writer.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def help_as_code(_app, _context, lines):
    """Show examples, which come as lines behind a bar, and options in a command's help as code."""
    shown = []
    for line in lines:
        if line.startswith("| "):
            begun = shown and shown[-1].startswith("   ")
            shown += ["   " + line[2:]] if begun else ["::", "", "   " + line[2:]]
        elif ".. option::" in line:
            shown.append(line)
        else:
            shown.append(re.sub(r"(?<![\w`-])--[a-z-]+", r"``\g<0>``", line))
    lines[:] = shown


class SchemaTables(SphinxDirective):
    """`schema-tables:: MODULE.CLASS`: a table of the keys of a pydantic model and of its parts."""

    required_arguments = 1

    def run(self):
        """Return the tables, made from the JSON schema of the class."""
        module, _, name = self.arguments[0].rpartition(".")
        schema = getattr(import_module(module), name).model_json_schema()
        parts = {schema["title"]: schema, **schema.get("$defs", {})}
        lines = [line for title, part in parts.items() for line in schema_table(title, part)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def schema_table(title, part):
    """Yield a table in Markdown of the keys of one object."""
    yield from ("", f"**{title}**: {part.get('description', '').splitlines()[0]}", "")
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    for key, field in part["properties"].items():
        needed = key in part.get("required", ())
        default = "required" if needed else f"`{json.dumps(field.get('default'))}`"
        meaning = " ".join(field.get("description", "").split()).replace("|", "\\|")
        yield f"| `{key}` | {schema_type(field)} | {default} | {meaning} |"
    yield ""


def schema_type(field):
    """Return the type of a JSON schema in words."""
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(schema_type(each) for each in field["anyOf"] if each != {"type": "null"})
    if values := field.get("enum", [field["const"]] if "const" in field else None):
        return ", ".join(f"`{value}`" for value in values)
    if field["type"] == "array":
        item = field.get("items") or {"type": "value"}
        return f"list of {schema_type(item)}" if item.get("type") != "array" else "list of pairs"
    if field["type"] == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"mapping to {schema_type(field['additionalProperties'])}"
    return {"string": "text", "object": "mapping"}.get(field["type"], field["type"])


def setup(app):
    """Register how formulas and the examples of commands are shown."""
    for part in ("description", "options"):
        app.connect(f"sphinx-click-process-{part}", help_as_code)
    app.add_directive("schema-tables", SchemaTables)
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
