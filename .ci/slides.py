"""Write a talk of each lesson into runs/slides. Run by ``make slides``.

The cells say themselves where they belong (``slideshow`` in their metadata, set by ``place`` when
the lessons are executed), so that ``jupyter nbconvert --to slides`` gives the same talk. Here the
code of figures is hidden, each figure has its alternative text, long slides scroll, and a talk is
one file that asks no host for anything: reveal.js is in it, from the package sphinx-revealjs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import SlidesExporter
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = "hide-input"

# nbconvert's own template loads reveal.js, jQuery, MathJax and others from other hosts, and has no
# place for the text of a figure (its classic one does).
_TEMPLATE = """\
{%- extends 'reveal/index.html.j2' -%}
{%- block header -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ nb.cells[0].source.splitlines()[0].lstrip('# ') | e }}</title>
{%- for css in resources.inlining.css + resources.talk.css %}
<style>
{{ css }}
</style>
{%- endfor %}
</head>
{%- endblock header -%}
{%- block footer_js -%}
{%- for js in resources.talk.js %}
<script>
{{ js }}
</script>
{%- endfor %}
{%- endblock footer_js -%}
{%- block data_png -%}
{% set named = '<img alt="' ~ (cell.metadata.alt or '') | e ~ '" ' %}
{{ super() | string | replace('<img ', named | string) | safe }}
{%- endblock -%}
"""

_STYLE = """\
main { height: 100%; }
.reveal { --r-main-font: system-ui, sans-serif; --r-heading-font: var(--r-main-font);
  --r-heading-text-transform: none; --r-main-font-size: 30px; --r-heading1-size: 2em;
  --r-heading2-size: 1.5em; --r-code-font: ui-monospace, "DejaVu Sans Mono", monospace; }
.reveal .slides { text-align: left; }
/* What is higher than the slide scrolls. */
.reveal .slides section section { max-height: 100%; overflow-y: auto; }
.reveal .anchor-link, .jp-InputPrompt, .jp-OutputPrompt { display: none; }
.reveal pre { width: 100%; margin: 0.4em 0; font-size: 19px; line-height: 1.35; box-shadow: none; }
.reveal .jp-InputArea pre { padding: 0.6em 0.8em; border-left: 4px solid #0072b2; }
.reveal .jp-OutputArea pre { padding: 0 0.8em; overflow-x: auto; }
/* A figure is as large as the slide lets it be. */
.reveal img { display: block; margin: 0.4em auto; width: 100%; max-height: 680px;
  object-fit: contain; }
.reveal table { font-size: 20px; }
.reveal caption { margin-bottom: 0.4em; }
"""

# With the slide's place in the address, a page that is loaded anew opens where it was.
_START = "Reveal.initialize({ width: 1200, height: 800, hash: true, plugins: [RevealNotes] });"


def places(cells: Sequence[nbformat.NotebookNode]) -> Iterator[str]:
    """Say of each cell whether it opens a slide, follows below one, or is for the speaker alone.

    A section's heading opens a slide. Guesses, questions and what was measured follow below it;
    prose becomes the speaker's notes; what sets up or practises is left out.
    """
    begun = exercises = False
    for cell in cells:
        if cell.cell_type == "markdown":
            heading = cell.source.startswith("#")
            begun = begun or cell.source.startswith("## ")
            exercises = cell.source.startswith("## Exercises") if heading else exercises
            if exercises:
                yield "skip"
            elif heading:
                yield "slide"
            else:
                asks = "**Your guess:**" in cell.source or "**Why?**" in cell.source
                yield "subslide" if asks else "notes"
        elif not begun or exercises or cell.source.startswith("check("):
            yield "skip"
        else:
            yield "subslide" if cell.outputs or "keras." in cell.source else "skip"


def tag(notebook: nbformat.NotebookNode) -> None:
    """Set the place of every cell, and mark the cells whose figure says more than their code."""
    for cell, place in zip(notebook.cells, places(notebook.cells), strict=True):
        cell.metadata["slideshow"] = {"slide_type": place}
        tags = [name for name in cell.metadata.get("tags", []) if name != HIDDEN]
        if place == "subslide" and shows_figure(cell):
            tags.append(HIDDEN)
        cell.metadata.pop("tags", None)
        if tags:
            cell.metadata["tags"] = tags


def shows_figure(cell: nbformat.NotebookNode) -> bool:
    """Say whether the outputs of a cell hold a picture."""
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def write(path: Path, folder: Path) -> Path:
    """Write the talk of the lesson at ``path``; returns its page."""
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {HIDDEN}
    config.CSSHTMLHeaderPreprocessor.style = "a11y-high-contrast-light"
    exporter = SlidesExporter(
        config=config,
        extra_loaders=[DictLoader({"talk.html.j2": _TEMPLATE})],
        template_file="talk.html.j2",
    )
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            # A badge is a picture of another host, and a talk is often read beside no lesson.
            source = re.sub(r"\[!\[[^]]*\]\([^)]*\)\]\([^)]*\)\s*", "", cell.source)
            cell.source = re.sub(r"\[([^]]+)\]\((?!https?:)[^)]*\)", r"\1", source)
    page, _ = exporter.from_notebook_node(notebook, resources={"talk": _reveal()})
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.html"
    new = target.with_suffix(".new")
    new.write_text(page, encoding="utf-8")
    new.replace(target)
    return target


def _reveal() -> dict[str, list[str]]:
    """Read the styles and scripts that make a page a talk; none names an address to load."""
    folder = files("sphinx_revealjs") / "_static" / "revealjs"
    css, theme, js, notes = (
        (folder / name).read_text(encoding="utf-8")
        for name in (
            "dist/reveal.css",
            "dist/theme/white.css",
            "dist/reveal.js",
            "plugin/notes/notes.js",
        )
    )
    # Its font has no place in one file; readers have one of their own.
    theme = re.sub(r"@import url\([^)]*\);", "", theme)
    # A script in a page ends at the first such tag, even within quotes.
    scripts = [re.sub(r"</(?=script)", r"<\\/", script, flags=re.I) for script in (js, notes)]
    return {"css": [css, theme, _STYLE], "js": [*scripts, _START]}


def main() -> None:
    """Write the talks of all lessons."""
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        print(write(path, ROOT / "runs" / "slides"), file=sys.stderr)


if __name__ == "__main__":
    main()
