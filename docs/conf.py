"""The documentation site: `make docs` builds it into build/docs, with warnings as errors.

Its pages are the Markdown files of the repository, where they lie, so that their links work here, on a code host and
on the site alike; only the reference is made from docstrings.
"""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.cli import get_docs_for_click

import mage
from mage import cli

project, author = "MAGE on Ray", "the authors of MAGE on Ray"
version = release = mage.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**.md", "benchmarks/*.md"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"MAGE on Ray {release}"
html_show_copyright = False
copybutton_prompt_text = r"\$ "
pygments_style, pygments_dark_style = "friendly", "monokai"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
napoleon_numpy_docstring, napoleon_use_ivar = False, True
suppress_warnings = ["misc.highlighting_failure"]  # a `..` in the middle of an example is what its reader expects

WORD_WITH_UNDERSCORE = re.compile(r"(?<![`\w])(\w+)_(?!\w)")
"""To reStructuredText, a word that ends so is a link."""


def plain_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are prose with formulas, not reStructuredText: what it would read as markup is escaped."""
    for number, line in enumerate(lines):
        escaped = line.replace("\\", "\\\\").replace("*", "\\*").replace("|", "\\|")
        lines[number] = WORD_WITH_UNDERSCORE.sub(r"\1\\_", re.sub(r"`([^`]+)`", r"``\1``", escaped))


def with_commands(app: Any, name: str, content: list[str]) -> None:
    """Appends the options of all commands to the page of commands."""
    if name == "docs/reference/commands":
        command = typer.main.get_command(cli.main)
        options = get_docs_for_click(obj=command, ctx=typer.Context(command), name="mage", indent=1)
        content[0] += options


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", plain_text, priority=400)
    app.connect("source-read", with_commands)
