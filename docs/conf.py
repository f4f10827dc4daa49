"""Build the pages into a site: `sphinx-build -W -c docs . build/site`, or `tox run -e docs`.

The source is the project's root, so that README.md is a page too and each relative link leads where it leads in the
repository. The pages need nothing of this file: they read as plain Markdown.
"""

import sys
from pathlib import Path
from typing import Any

from pygments.lexers.shell import BashLexer
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import kaspi_delivery_django

project = "kaspi_delivery_django"
version = release = kaspi_delivery_django.__version__
project_copyright = "MIT License"

extensions = ["myst_parser", "sphinxcontrib.mermaid"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
suppress_warnings = ["misc.highlighting_failure"]  # `…` in a block stands for what the reader has

html_theme = "furo"
html_title = f"{project} {version}"
html_additional_pages = {"index": "to_index.html"}
templates_path = ["_templates"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Name a lexer for the fences whose language Pygments does not know."""
    app.add_lexer("crontab", BashLexer)
    return {"parallel_read_safe": True}
