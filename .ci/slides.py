"""Write a talk of each lesson into runs/slides. Run by ``make slides``.

The cells say themselves where they belong (``slideshow`` in their metadata, set by ``place`` when
the lessons are executed), so that ``jupyter nbconvert --to slides`` gives the same talk. Here the
code of figures is hidden, each figure has its alternative text, and long slides scroll.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import SlidesExporter
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = "hide-input"

# nbconvert's own template has no place for the text (its classic one does).
_TEMPLATE = """\
{%- extends 'reveal/index.html.j2' -%}
{%- block data_png -%}
{% set named = '<img alt="' ~ (cell.metadata.alt or '') | e ~ '" ' %}
{{ super() | string | replace('<img ', named | string) | safe }}
{%- endblock -%}
"""


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
    config.SlidesExporter.reveal_scroll = True
    # A line of code has up to 100 characters.
    config.SlidesExporter.reveal_width = "1200"
    config.SlidesExporter.reveal_height = "800"
    exporter = SlidesExporter(
        config=config,
        extra_loaders=[DictLoader({"talk.html.j2": _TEMPLATE})],
        template_file="talk.html.j2",
    )
    page, _ = exporter.from_filename(str(path))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.html"
    new = target.with_suffix(".new")
    new.write_text(page, encoding="utf-8")
    new.replace(target)
    return target


def main() -> None:
    """Write the talks of all lessons."""
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        print(write(path, ROOT / "runs" / "slides"), file=sys.stderr)


if __name__ == "__main__":
    main()
