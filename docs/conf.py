"""How Sphinx makes the site of the pages that ``.ci/website.py`` lays out. See ``make site``."""

import os
import tomllib
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "MNIST, told in notebooks"
version = release = _PROJECT["version"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
# Read by way of `include` alone.
exclude_patterns = ["README.md"]
# The glossary's entries are headings of the third level; and what a program reads in an output of a
# lesson has a text for people beside it.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
# The public address, for links that name it; the pages themselves link to each other relatively.
html_baseurl = os.environ.get("SITE_ADDRESS", "")

# The committed outputs are shown; nothing is executed.
nb_execution_mode = "off"
# Widgets would be loaded from another host.
nb_ipywidgets_js = {}
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_heading_anchors = 3
myst_enable_extensions = ["html_image"]

# The docstrings are read without TensorFlow, whose import would take half the time of the site.
autodoc_mock_imports = ["keras", "mnistlib._tensorflow", "tensorflow"]
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
maximum_signature_line_length = 80

html_theme = "furo"
html_title = project
html_static_path = [str(Path(__file__).parent / name) for name in ("site.css", "site.js")]
html_favicon = str(Path(__file__).parent / "icon.svg")
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = False
# The search finds every name.
html_use_index = html_domain_indices = False
# A year in the foot of every page would change all of them once a year.
html_show_copyright = False


def _name_keras(app, what, name, obj, options, signature, result):
    """Name Keras's classes as everybody does, not by the module through which they came."""
    return tuple(text and text.replace("mnistlib._tensorflow.", "") for text in (signature, result))


def setup(app):
    """Sphinx calls this once."""
    app.connect("autodoc-process-signature", _name_keras)
