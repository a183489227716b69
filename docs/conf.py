"""Settings of the documentation site: `sphinx-build -W --keep-going docs docs/_build/html` makes it.

Pages about code are made by generate_pages.py from the sources, which are read and not imported: the build needs
docs/requirements.txt and no TensorFlow.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from generate_pages import generate, recipe_names, with_links_from  # noqa: E402

project = "recipes"
author = "the authors of recipes"
release = re.search(r'__version__ = "(.+)"', (DOCS.parent / "recipes" / "__init__.py").read_text())[1]
version = release

extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["linkify"]
myst_heading_anchors = 4
myst_linkify_fuzzy_links = False  # `mnist_dense.py` is no address
exclude_patterns = ["_build"]
suppress_warnings = ["misc.highlighting_failure"]  # a signature is not always a whole statement

html_theme = "furo"
html_title = f"recipes {release}"
html_static_path = ["_static"]
html_css_files = ["wide_tables.css"]
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True


def setup(app: Sphinx) -> None:
    """Makes the generated pages before Sphinx looks for pages, and points links to files at their pages."""
    app.connect("config-inited", lambda app, config: generate())
    app.connect("source-read", read)


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """The first page is the README; links that leave docs/ for what has a page here go to that page."""
    text = source[0]
    if docname == "index":
        readme = with_links_from("", (DOCS.parent / "README.md").read_text())
        text = readme + "\n" + text[text.index("```{toctree}") :]
    for name in recipe_names():
        text = text.replace(f"](../recipes/{name}.py)", f"](recipes/{name}.md)")
    for path, page in (
        ("CHANGELOG.md", "changelog"),
        ("CONTRIBUTING.md", "contributing"),
        ("benchmarks/README.md", "benchmarks"),
        ("notebooks/README.md", "notebooks"),
    ):
        text = text.replace(f"](../{path}", f"]({page}.md")
    source[0] = text
