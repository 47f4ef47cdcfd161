"""Settings of the documentation's site: `make docs` builds it, without a network and with warnings as errors."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from generated import addresses, fill  # noqa: E402
from pydantic import BaseModel  # noqa: E402

project = "mien"
copyright = "the authors of mien, Apache-2.0"
language = "en"
highlight_language = "none"  # of blocks that name no language
smartquotes = False  # it makes a dash of the two hyphens of an option

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

# Docstrings name things in single backticks.
default_role = "code"
autoclass_content = "both"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("Existing", "Named", "Picture", "Pixels", "Progress", "Truth")}
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

html_theme = "pydata_sphinx_theme"
html_title = "mien"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_baseurl = addresses()["Documentation"]
html_theme_options = {
    "external_links": [{"name": "Repository", "url": addresses()["Repository"]}],
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_nav_level": 1,
}
html_sidebars = {"index": [], "quickstart": []}


# Pages with parts that are read from the code: built again each time.
READ_FROM_CODE = ["reference/api", "reference/command-line", "reference/recipes", "project-layout", "results"]


def setup(app: Any) -> None:
    app.connect("source-read", _fill)
    app.connect("autodoc-process-signature", _plain_signature)
    app.connect(
        "env-get-outdated",
        lambda *_: ["reference/api", "reference/command-line", "reference/recipes", "project-layout", "results"],
    )


def _fill(app: Any, page: str, source: list[str]) -> None:
    source[0] = fill(source[0])


def _plain_signature(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """No parameters beside the name of a class that nobody makes by hand; names of types as the code has them."""
    if inspect.isclass(thing) and (issubclass(thing, BaseModel) or name in _MADE):
        return "", None
    return _named(signature), _named(returns)


def _named(text: str | None) -> str | None:
    text = text and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text)
    return text and _ARRAY.sub(r"NDArray[\1]", text)


_ARRAY = re.compile(
    r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?(?:numpy\.)?dtype\[~?(?:numpy\.)?(\w+?)_?\]\]"
)
_MADE = {"mien.FaceSet", "mien.Predictions", "mien.Run", "mien.Votes"}
