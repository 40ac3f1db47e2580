"""How the documentation is built: `python -m sphinx docs docs/_build/html`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

# The examples share a store of their own, and fetch nothing.
os.environ["SKTRANSFER_CACHE"] = str(Path(__file__).parent / "_build" / "store")
os.environ["HF_HUB_OFFLINE"] = "1"

import sktransfer  # noqa: E402

project = "sktransfer"
author = copyright = "the sktransfer developers"
version = release = sktransfer.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_static", "_templates", "examples"]
templates_path = ["_templates"]
# Docstrings write code in single backticks.
default_role = "literal"
# Quotes are a part of what is to be typed.
smartquotes = False
toc_object_entries_show_parents = "hide"

autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "subsection_order": [
        f"examples/{section}"
        for section in ("first_steps", "choosing", "inspecting", "few_labels")
    ],
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sktransfer",),
    "ignore_repr_types": "matplotlib",
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "sktransfer"
html_static_path = ["_static"]
html_css_files = ["signatures.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "sktransfer"},
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
# Pages without others below them need no column for those.
html_sidebars: dict[str, list[str]] = {
    page: [] for page in ("index", "guide", "benchmarks", "recipes", "changelog")
}


def link_to_pages(app: Any, page: str, source: list[str]) -> None:
    """Point links to an example's script at its page, which the repository lacks."""
    script = r"\]\(((?:\.\./)?)examples/([\w/]+)\.py\)"
    source[0] = re.sub(script, r"](\1auto_examples/\2.rst)", source[0])


def skip_inherited(
    app: Any, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what scikit-learn and the standard library document themselves."""
    function = getattr(member, "fget", member)
    module = getattr(function, "__module__", None) or ""
    return None if module.startswith("sktransfer") else True


def setup(app: Any) -> None:
    """Connect the functions above."""
    app.connect("source-read", link_to_pages)
    app.connect("autodoc-skip-member", skip_inherited)
