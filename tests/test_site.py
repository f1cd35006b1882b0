"""The site, built for real and opened in a real Chromium that has no internet."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import badges
import nbformat
import pytest
import yaml
from chromium import FAINT, draw, needs_browser
from test_app import THREE

from mnistlib import questions

# Where the tests of a change run, the site is part of it.
pytestmark = pytest.mark.skipif(
    find_spec("furo") is None and "CI" not in os.environ,
    reason="needs the extra `site`: make install",
)
ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
LESSON = "notebooks/04_convolutional_network.html"
# One page of every kind.
KINDS = (
    *("index.html", "project.html", "draw.html", "talks.html", "search.html?q=digit", LESSON),
    *("notebooks/02_dense_baseline.html", "notebooks/07_kaggle_digit_recognizer.html"),
    *("notebooks/README.html", "notebooks/glossary.html", "api/metrics.html", "api/cli.html"),
    *(
        "api/index.html",
        "benchmarks/README.html",
        "notebooks/solutions/06_recognise_your_own_digits.html",
    ),
)
PHONE, DESKTOP = {"width": 400, "height": 800}, {"width": 1280, "height": 900}
# What reaches beyond the page's right edge, and can't be scrolled to in a box of its own.
CUT = """() => [...document.querySelectorAll("article *")].filter((element) => {
    const place = element.getBoundingClientRect();
    if (!place.width || place.right <= innerWidth + 1) return false;
    for (let at = element; at.tagName !== "ARTICLE"; at = at.parentElement)
        if (["auto", "scroll"].includes(getComputedStyle(at.parentElement).overflowX)
                && at.parentElement.tagName !== "ARTICLE")
            return false;
    return element.checkVisibility();
}).slice(0, 3).map((element) => `${element.tagName} ${element.className} ${element.innerText}`)"""


# Writes each number into an exercise's form, sends it off, and reads the answer.
ANSWER = """(form, numbers) => numbers.map((number) => {
    form.querySelector("input").value = number;
    form.requestSubmit();
    return form.querySelector("output").textContent;
})"""


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loads, self.places, self.pictures = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(given["href"])
        source = given.get("src", "")
        if source:
            self.loads.append(source)
        if tag == "img":
            self.pictures.append(given.get("alt"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    import website

    return website.build(tmp_path_factory.mktemp("site") / "site").parent


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


@pytest.fixture
def opened(browser, site, serve):
    """Open pages without internet; in the end, that none complained or asked another host."""
    address, said, asked, contexts = serve(site).address, [], [], []

    def open_page(name, viewport=DESKTOP, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda line: line.type in ("error", "warning") and said.append(line.text)
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        context.on("request", lambda request: asked.append(request.url))
        page.goto(address + name)
        page.address = address
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    others = [url for url in asked if not url.startswith((address, "data:", "about:", "blob:"))]
    assert others == []


def test_every_page_of_the_series_is_there_and_can_be_reached(site, pages):
    names = {str(path.relative_to(site)) for path in pages}
    stems = [path.stem for path in LESSONS]
    assert {f"notebooks/{stem}.html" for stem in stems} <= names
    assert {f"notebooks/solutions/{stem}.html" for stem in stems} <= names
    assert {f"talks/{stem}.html" for stem in stems} <= names
    modules = [path.stem for path in (ROOT / "mnistlib").glob("[!_]*.py")]
    assert {f"api/{name}.html" for name in modules} <= names
    seen, new = set(), {"index.html"}
    while new:
        seen |= (at := new)
        new = {
            os.path.normpath(Path(name).parent / unquote(urlsplit(link).path))
            for name in at
            if name in names
            for link in pages[site / name].links
            if not urlsplit(link).scheme and urlsplit(link).path
        } - seen
    # The box on every page leads to the search.
    assert names - seen == {"search.html"}


def test_links_lead_somewhere(pages):
    dead = []
    for path, page in pages.items():
        for link in page.links:
            target, fragment = urldefrag(link)
            if urlsplit(target).scheme:
                assert urlsplit(target).scheme in ("https", "http", "mailto"), (path.name, link)
                continue
            there = (path.parent / unquote(target)).resolve() if target else path
            # A talk's places are its slides, which its script numbers.
            lost = there in pages and fragment and unquote(fragment) not in pages[there].places
            if not there.is_file() or (lost and path.parent.name != "talks"):
                dead.append((path.name, link))
    assert dead == []


def test_nothing_is_loaded_from_another_host(site, pages):
    for path, page in pages.items():
        for source in page.loads:
            if source.startswith("data:"):
                continue
            assert not urlsplit(source).scheme, (path.name, source)
            assert not source.startswith("//"), (path.name, source)
            assert (path.parent / unquote(urlsplit(source).path)).is_file(), (path.name, source)
    styles = [*site.rglob("*.css"), *(path for path in pages if path.parent.name == "talks")]
    for path in styles:
        found = re.findall(
            r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^\"')]*", path.read_text("utf-8")
        )
        assert found == [], path.name


def test_figures_have_the_texts_of_the_lessons(site, pages):
    for path in LESSONS:
        texts = [
            cell.metadata.alt
            for cell in nbformat.read(path, as_version=4).cells
            if cell.cell_type == "code"
            for output in cell.outputs
            if "image/png" in output.get("data", {})
        ]
        assert pages[site / "notebooks" / f"{path.stem}.html"].pictures == texts


@needs_browser
def test_no_page_is_wider_than_a_phone(opened, site, pages):
    """Logs, code and tables scroll in boxes of their own."""
    page, wide = opened("index.html", PHONE), {}
    for path in pages:
        page.goto(page.address + str(path.relative_to(site)), wait_until="domcontentloaded")
        width = page.evaluate("document.documentElement.scrollWidth")
        found = page.evaluate(CUT)
        if width > PHONE["width"] or found:
            wide[path.name] = width, found
    assert wide == {}


@needs_browser
def test_text_is_readable_in_the_light_and_in_the_dark(opened):
    page, faint = opened("index.html"), {}
    page.emulate_media(reduced_motion="reduce")
    for name in KINDS:
        page.goto(page.address + name)
        grounds = []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            if found := page.evaluate(FAINT):
                faint[name, scheme] = found
        assert grounds[0] != grounds[1], name
    assert faint == {}


@needs_browser
def test_search_finds_the_lesson_on_convolutions(opened):
    page = opened("index.html")
    page.locator("input[name=q]").fill("convolution")
    page.keyboard.press("Enter")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    page.get_by_text("Search finished").wait_for()
    assert "04 Train a convolutional network" in results.all_inner_texts()
    page.locator("#search-results").get_by_text("04 Train a convolutional network").first.click()
    assert LESSON in page.url


@needs_browser
def test_a_question_answers_on_the_page(opened):
    page = opened(LESSON)
    question = page.locator("[id='04-larger-image']")
    question.get_by_text("A", exact=True).click()
    asked = questions.check("04-larger-image", "A")
    assert question.get_by_text(str(asked)).is_visible()
    question.get_by_text("C", exact=True).click()
    assert question.get_by_text(str(questions.check("04-larger-image", "C"))).is_visible()
    assert not question.get_by_text(str(asked)).is_visible()
    page.emulate_media(media="print")
    assert not question.is_visible()


def tried(question):
    """Numbers below, in and above an exercise's range, at its ends, and its known mistakes."""
    low, high = question["at_least"], question["at_most"]
    apart = max(abs(low), abs(high), 1)
    yield from (low - apart, low, (low + high) / 2, high, high + apart)
    yield from (mistake["value"] for mistake in question.get("mistakes", []))


@needs_browser
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem[:2])
def test_exercises_answer_on_the_page_as_in_the_lesson(opened, path):
    page, found = opened(f"notebooks/{path.stem}.html"), 0
    for name, question in questions.questions().items():
        if not name.startswith(path.stem[:2]):
            continue
        asked = page.locator(f"[id='{name}']")
        assert asked.count() == 1, name
        if "right" in question:
            continue
        numbers = list(tried(question))
        said = asked.evaluate(ANSWER, [*map(repr, numbers), "", "many"])
        assert said[:-2] == [str(questions.check(name, number)) for number in numbers]
        assert said[-2:] == ["A number goes here."] * 2
        found += len(numbers)
    assert found >= 5


@needs_browser
def test_numbers_are_read_as_people_write_them(opened):
    page = opened(LESSON)
    asked = page.locator("[id='04-keras-convnet']")
    for written in ("34826", " 34,826 ", "34 826"):
        asked.locator("input").fill(written)
        asked.locator("input").press("Enter")
        assert asked.locator("output").inner_text().startswith("Right. "), written


@needs_browser
def test_what_is_drawn_is_read(opened):
    page = opened("draw.html", {"width": 1280, "height": 1400})
    frame = page.frame_locator("iframe.pad")
    draw(page, THREE, frame.locator("#pad canvas"))
    frame.locator("#answer").get_by_text("3", exact=True).wait_for()


@needs_browser
def test_the_theme_can_be_chosen(opened):
    # An emulated scheme would reach into the frame, whatever the page says of it.
    page = opened("draw.html", color_scheme="null")
    ground = "getComputedStyle(document.body).backgroundColor"
    page.frame_locator("iframe.pad").locator("#pad canvas").wait_for()
    frames = page.frames
    for theme in ("light", "dark"):
        while page.locator("body").get_attribute("data-theme") != theme:
            page.locator(".theme-toggle:visible").first.click()
        lightness = [
            sum(map(int, re.findall(r"\d+", frame.evaluate(ground))[:3])) for frame in frames
        ]
        assert len(lightness) == 2
        assert all((value > 600) == (theme == "light") for value in lightness), lightness
        assert page.evaluate(FAINT) == []


@needs_browser
def test_print_has_the_lesson_and_nothing_to_click(opened):
    page = opened(LESSON)
    page.emulate_media(media="print")
    navigation = (".sidebar-drawer", ".toc-drawer", ".mobile-header", ".related-pages")
    for name in (*navigation, ".skip-to-content", "iframe"):
        assert page.locator(name).count(), name
        assert not page.locator(name).first.is_visible(), name
    assert page.locator("article h1").is_visible()
    assert page.locator("article img").first.is_visible()
    width = page.evaluate("document.querySelector('article').getBoundingClientRect().width")
    assert width > 0.85 * DESKTOP["width"]


def test_layout_shows_no_pictures_of_other_hosts_once_there_is_an_address(tmp_path):
    """A badge is such a picture; its link stays."""
    import shutil

    import website

    clone, laid = tmp_path / "clone", tmp_path / "pages"
    for name in ("notebooks", "docs", "mnistlib", "benchmarks", ".github"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, clone)
    badges.set_repository("Someone/digits", clone)
    assert "badge.svg" in (clone / "README.md").read_text("utf-8")
    laid.mkdir()
    website.lay_out(laid, clone)
    for path in [*laid.rglob("*.md"), *laid.rglob("*.ipynb")]:
        assert not re.search(r"!\[[^]]*\]\(https?:", path.read_text("utf-8")), path.name
    lesson = nbformat.read(laid / "notebooks" / LESSONS[3].name, as_version=4)
    colab = f"https://colab.research.google.com/github/Someone/digits/blob/main/notebooks/{LESSONS[3].name}"
    assert f'<a href="{colab}">Open in Colab</a>' in lesson.cells[0].source
    assert "github.com/Someone/digits/blob/main/mnistlib" not in "".join(
        cell.source for cell in lesson.cells
    )


@pytest.mark.parametrize(
    ("repository", "address"),
    [
        ("-owner-/mnist-notebooks", ""),
        ("Someone/digits", "https://someone.github.io/digits/"),
        ("Someone/someone.github.io", "https://someone.github.io/"),
    ],
)
def test_address_of_the_site_follows_the_repositorys(repository, address):
    assert badges.site(repository) == address


def test_a_dead_link_stops_the_build_and_leaves_the_old_site(tmp_path, monkeypatch):
    import subprocess

    import website

    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("old")

    def one_page(folder, root):
        (folder / "index.md").write_text("# One\n\n[nowhere](gone.md)\n")

    monkeypatch.setattr(website, "lay_out", one_page)
    with pytest.raises(subprocess.CalledProcessError):
        website.build(site)
    assert (site / "index.html").read_text() == "old"


def test_workflow_publishes_what_make_site_makes_from_the_repositorys_own_address():
    workflow = yaml.safe_load((ROOT / ".github/workflows/site.yml").read_text("utf-8"))
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert workflow["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert "make site" in [step.get("run") for step in build["steps"]]
    (upload,) = (step for step in build["steps"] if "upload-pages" in step.get("uses", ""))
    assert upload["with"]["path"] == "runs/site"
    assert publish["if"] == "needs.build.outputs.ours == 1"
