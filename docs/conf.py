"""How the site is made: `make docs`."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generated

project = "medbench"
author = "The medbench developers"
copyright = author  # the name that Sphinx asks for
release = metadata.version("medbench")
html_title = f"medbench {release}"
html_theme = "furo"
html_copy_source = False
smartquotes = False  # options keep both their hyphens
exclude_patterns = ["_build"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes, units and ranges; spelt out, ArrayLike fills five lines
napoleon_custom_sections = ["Source"]
default_role = "code"  # docstrings put names between single backticks


def setup(app: Any) -> None:
    """Fills pages from the code, and puts the schema and published results beside them."""
    app.connect("source-read", lambda _, page, source: source.__setitem__(0, generated.fill(page, source[0])))
    app.connect("env-get-outdated", lambda *_: list(generated.PAGES))
    for write in (generated.write_schema, generated.write_results):
        app.connect("build-finished", lambda app, error, write=write: None if error else write(Path(app.outdir)))
