"""How Sphinx builds this folder: MyST pages, notebooks, commands and library from docstrings."""

import re
import shutil
from importlib.metadata import version as installed
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

HERE = Path(__file__).parent

project = "memtrace"
author = "The memtrace authors"
release = version = installed("memtrace-llm")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build", "jupyter_execute"]

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

# Sphinx reads its own folder only. What is no longer there leaves the copy too.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks")


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


def setup(app):
    """Register how formulas and the examples of commands are shown."""
    for part in ("description", "options"):
        app.connect(f"sphinx-click-process-{part}", help_as_code)
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
