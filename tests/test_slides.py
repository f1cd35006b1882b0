"""Each lesson is a talk, too: the cells say where they belong, and ``make slides`` writes it."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
import slides
from chromium import needs_browser

ROOT = Path(__file__).parent.parent
# What a talk needs, though not the places of its cells.
needs_reveal = pytest.mark.skipif(
    find_spec("sphinx_revealjs") is None and "CI" not in os.environ,
    reason="needs the extra `site`: make install",
)
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


class Page(HTMLParser):
    """What a browser finds on the page of a talk."""

    def __init__(self, text: str):
        super().__init__()
        self.sections, self.pictures, self.notes = 0, [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.sections += tag == "section"
        self.notes += tag == "aside" and given.get("class") == "notes"
        if tag == "img" and given.get("src", "").startswith("data:"):
            self.pictures.append(given.get("alt"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem[:2])
def test_every_cell_of_a_lesson_has_its_place(path):
    notebook = nbformat.read(path, as_version=4)
    given = [cell.metadata.get("slideshow", {}).get("slide_type") for cell in notebook.cells]
    assert given == list(slides.places(notebook.cells)), "run .ci/execute.py on it"
    assert given[0] == "slide"
    assert 5 <= given.count("slide") <= 16


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem[:2])
def test_headings_open_cells(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert "\n## " not in cell.source, "a section's heading opens a cell, and so a slide"


@needs_reveal
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem[:2])
def test_talk_has_every_figure_that_is_told_about(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    shown = [
        cell.metadata.alt
        for cell, place in zip(notebook.cells, slides.places(notebook.cells), strict=True)
        if cell.cell_type == "code" and place == "subslide"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    page = Page(slides.write(path, tmp_path).read_text(encoding="utf-8"))
    assert page.pictures == shown
    assert page.notes > 0
    assert [file.suffix for file in tmp_path.iterdir()] == [".html"]


@needs_reveal
def test_code_of_a_figure_is_hidden_and_other_code_is_shown(tmp_path):
    new = nbformat.v4
    picture = new.new_output("display_data", {"image/png": "iVBORw0KGgo="})
    text = new.new_output("stream", text="97 %")
    notebook = new.new_notebook(
        cells=[
            new.new_markdown_cell("# Draw"),
            new.new_code_cell("set_up = 1"),
            new.new_markdown_cell("## What is it?"),
            new.new_code_cell("draw(digit)", outputs=[picture], metadata={"alt": 'A "two" & <b>'}),
            new.new_markdown_cell("It is a two."),
            new.new_code_cell("measure(digit)", outputs=[text]),
            new.new_code_cell('check("01-two", "")', outputs=[text]),
            new.new_markdown_cell("## Exercises"),
            new.new_code_cell("practise(digit)", outputs=[text]),
            new.new_markdown_cell("## What we found"),
        ]
    )
    slides.tag(notebook)
    assert [cell.metadata.slideshow.slide_type for cell in notebook.cells] == (
        ["slide", "skip", "slide", "subslide", "notes", "subslide", "skip", "skip", "skip", "slide"]
    )
    nbformat.write(notebook, tmp_path / "01_draw.ipynb")
    html = slides.write(tmp_path / "01_draw.ipynb", tmp_path).read_text(encoding="utf-8")
    assert Page(html).pictures == ['A "two" & <b>']
    for hidden in ("set_up", "draw", "practise", "check"):
        assert f'<span class="n">{hidden}</span>' not in html
    assert '<span class="n">measure</span>' in html


def test_place_changes_with_the_outputs():
    cell = nbformat.v4.new_code_cell("draw(digit)", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("## A"), cell])
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": ""})]
    slides.tag(notebook)
    assert cell.metadata.tags == ["parameters", "hide-input"]
    cell.outputs = []
    slides.tag(notebook)
    assert cell.metadata.tags == ["parameters"]
    assert cell.metadata.slideshow.slide_type == "skip"


@needs_reveal
@needs_browser
def test_a_talk_opens_from_disk_and_asks_no_host_for_anything(browser, tmp_path):
    """Each slide in turn: nothing is cut off that can't be scrolled to. Then the speaker's view."""
    address = slides.write(LESSONS[3], tmp_path).as_uri()
    said, asked = [], []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("console", lambda line: said.append(line.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    page.wait_for_function("Reveal.isReady()")
    page.evaluate("Reveal.configure({ transition: 'none' })")
    assert page.locator("h1").inner_text() == "Train a convolutional network"
    seen = 1
    while not page.evaluate("Reveal.isLastSlide()"):
        page.keyboard.press("Space")
        seen += 1
        cut = page.evaluate("""() => {
            const slide = Reveal.getCurrentSlide(), place = slide.getBoundingClientRect();
            const box = getComputedStyle(slide);
            const far = Math.max(...[...slide.querySelectorAll("img, pre, p")]
                .map((part) => part.getBoundingClientRect().bottom));
            return place.bottom > innerHeight + 1
                || (far > innerHeight + 1 && box.overflowY !== "auto");
        }""")
        assert not cut, page.evaluate("Reveal.getCurrentSlide().innerText")
    assert seen == page.evaluate("Reveal.getTotalSlides()")
    page.evaluate("Reveal.slide(0)")
    with context.expect_page() as opened:
        page.keyboard.press("s")
    opened.value.get_by_text("You will learn").first.wait_for(state="attached")
    assert said == []
    assert {url for url in asked if not url.startswith(("data:", "about:", "blob:"))} <= {
        url for url in asked if url.startswith(address)
    }
    context.close()
