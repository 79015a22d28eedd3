"""How Sphinx builds this folder: MyST pages, notebooks, commands and library from docstrings."""

import shutil
from importlib.metadata import version as installed
from pathlib import Path

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

html_theme = "furo"
html_title = "memtrace"

# Sphinx reads its own folder only. What is no longer there leaves the copy too.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks")
