"""The page in a real browser: Debian's or the system's Chromium, driven by Playwright."""

import base64
import contextlib
import io
import os
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from chromium import CHROMIUM, FLAGS, draw, needs_browser, shot
from PIL import Image

from benchmarks import serving
from mnistlib import app, drawing, recognizer


@pytest.fixture(scope="module")
def model(reader, tmp_path_factory):
    return recognizer.save(reader, tmp_path_factory.mktemp("model") / "reader.keras")


@pytest.fixture(scope="module")
def address(model, tmp_path_factory):
    """The page as ``mnistlib app`` serves it, in a process of its own."""
    log = tmp_path_factory.mktemp("app") / "log"
    with serving.page("--model", model, log=log) as (address, _):
        yield f"{address}/"


@pytest.fixture
def page(browser, address):
    """The page just opened; in the end, that it said nothing in the console and asked nobody."""
    said, asked = [], []
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#pad canvas")
    yield page
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


# Corners of a stroke, as shares of the pad.
THREE = [
    *((0.35, 0.25), (0.5, 0.2), (0.65, 0.28), (0.62, 0.4), (0.48, 0.48)),
    *((0.64, 0.56), (0.68, 0.7), (0.52, 0.8), (0.34, 0.74)),
]
SEVEN = [(0.3, 0.22), (0.68, 0.22), (0.45, 0.8)]


def expect_answer(page, digit, seconds=20):
    answered = "digit => document.querySelector('#answer h2')?.innerText.trim() === digit"
    page.wait_for_function(answered, arg=str(digit), timeout=1000 * seconds)


@needs_browser
def test_draws_a_three_clears_and_draws_a_seven(page):
    draw(page, THREE)
    expect_answer(page, 3)
    assert page.locator("#read img").count() == 1
    shot(page, "three.png")
    page.get_by_role("button", name="Clear", exact=True).click()
    page.wait_for_function("!document.querySelector('#answer h2')")
    draw(page, SEVEN)
    expect_answer(page, 7)
    shot(page, "seven.png")


@needs_browser
def test_strokes_are_taken_back_by_button_and_by_key(page):
    draw(page, SEVEN)
    expect_answer(page, 7)
    expected = page.locator("#read img").get_attribute("src")
    draw(page, [(0.32, 0.75), (0.7, 0.78)])
    draw(page, [(0.3, 0.3), (0.3, 0.75)])
    page.wait_for_function(
        "before => document.querySelector('#read img')?.src !== before", arg=expected
    )
    page.get_by_role("button", name="Undo", exact=True).click()
    page.locator("#pad canvas").press("Control+z")
    # What was drawn first, and is shown last.
    page.wait_for_function(
        "before => document.querySelector('#read img')?.src === before", arg=expected
    )
    expect_answer(page, 7)
    page.locator("#pad canvas").press("Escape")
    page.wait_for_function("!document.querySelector('#answer h2')")


@needs_browser
def test_draws_with_a_finger(browser, address):
    phone = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = phone.new_page()
    page.goto(address)
    page.wait_for_selector("#pad canvas")
    box = page.locator("#pad canvas").bounding_box()
    session = phone.new_cdp_session(page)
    kinds = ["touchStart", *["touchMove"] * (len(SEVEN) - 1)]
    for kind, (x, y) in zip(kinds, SEVEN, strict=True):
        point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect_answer(page, 7)
    shot(page, "phone.png")
    phone.close()


@needs_browser
def test_uploads_a_photograph(page, mnist, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(drawing.photograph(mnist.x_test[0], 4)).save(path)
    page.get_by_role("tab", name="Picture").click()
    page.locator("#picture input[type=file]").set_input_files(path)
    expect_answer(page, int(mnist.y_test[0]))
    shot(page, "upload.png")


@needs_browser
def test_an_upload_that_no_reader_knows_gets_the_way_out(page, tmp_path):
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    page.get_by_role("tab", name="Picture").click()
    page.locator("#picture input[type=file]").set_input_files(path)
    page.locator("#note").get_by_text("photo.heic is a HEIC picture").wait_for(timeout=20_000)
    assert "export it as JPEG" in page.locator("#note").inner_text()


@needs_browser
def test_other_websites_cannot_use_the_page(browser, address, serve, tmp_path):
    """A website that gives its name this machine's address, and one that sends from its own."""
    port = address.rstrip("/").rpartition(":")[2]
    (tmp_path / "index.html").write_text("<p>A website</p>")
    flags = [*FLAGS, "--host-resolver-rules=MAP *.example 127.0.0.1"]
    # Playwright runs once in a process.
    with browser.browser_type.launch(executable_path=CHROMIUM, args=flags) as resolving:
        page = resolving.new_page()
        assert page.goto(f"http://evil.example:{port}/").status == 403
        assert "not served as" in page.inner_text("body")
        statuses = []
        page.on("response", lambda answer: statuses.append(answer.status))
        page.goto(serve(tmp_path).address)
        send = """async place => {
            const form = new FormData();
            form.append("files", new Blob(["12345"]), "a.png");
            await fetch(place, {method: "POST", mode: "no-cors", body: form});
        }"""
        page.evaluate(send, f"{address}gradio_api/upload")
        assert statuses[-1] == 403


def test_blank_pads_and_wrong_files_get_words(reader, tmp_path):
    assert app._answer(reader, None) == (None, "", "")
    blank = io.BytesIO()
    Image.new("RGB", (320, 320), "white").save(blank, "PNG")
    assert app._answer(reader, blank.getvalue())[2] == "No digit found yet."
    wrong = tmp_path / "x.png"
    wrong.write_text("no picture")
    words = app._answer(reader, str(wrong))[2]
    assert "cannot be read" in words
    assert "x.png is no picture" in words
    assert str(tmp_path) not in words


def test_several_lines_are_told_apart(reader):
    page = np.full((300, 300), 255, np.uint8)
    for top in (30, 150):
        for left in (60, 140):
            page[top : top + 100, left : left + 12] = 0
    assert "Line by line: 1 1 / 1 1. Above is the largest." in app._answer(reader, page)[2]


def test_several_digits_are_read_from_left_to_right(reader):
    file = io.BytesIO()
    Image.fromarray(drawing.sheet([7, 2, 0], seed=3)).save(file, "PNG")
    shares, image, words = app._answer(reader, file.getvalue())
    assert "From left to right: 7 2 0" in words
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    shown = Image.open(
        io.BytesIO(base64.b64decode(image.partition("base64,")[2].partition('"')[0]))
    )
    assert shown.size == (224, 224)


def test_without_gradio_the_command_says_what_to_install(tmp_path):
    code = textwrap.dedent(
        """
        import sys
        sys.modules["gradio"] = None
        from mnistlib.cli import main
        main(["app"])
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "pip install gradio" in done.stderr
    assert "Traceback" not in done.stderr


def run_app(*options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "mnistlib", "app", *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_gradio_that_cannot_be_imported_is_not_called_missing():
    code = textwrap.dedent(
        """
        import sys
        sys.modules["fastapi"] = None
        from mnistlib.cli import main
        main(["app"])
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "gradio is installed but cannot be imported" in done.stderr
    assert "fastapi" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "proxies",
    [
        {"all_proxy": "socks5://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"},
        {"http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"},
    ],
)
def test_the_page_goes_through_no_proxy(model, tmp_path, proxies):
    none = {"no_proxy": "", "NO_PROXY": ""}
    with serving.page("--model", model, log=tmp_path / "log", **proxies, **none):
        pass
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_port_that_is_taken_is_refused_before_anything_is_loaded():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run_app("--port", str(port), "--model", __file__)
    assert done.returncode == 1
    assert f"--port: port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_of_another_machine_is_refused():
    done = run_app("--host", "192.0.2.1", "--model", __file__)
    assert done.returncode == 1
    assert "--host: host must be an address of this machine" in done.stderr


def test_the_next_free_port_is_taken_and_said(model, tmp_path):
    with contextlib.ExitStack() as stack:
        for port in (app.FIRST_PORT, app.FIRST_PORT + 1):
            other = stack.enter_context(socket.socket())
            # Where it is taken already, by whomever, that will do.
            with contextlib.suppress(OSError):
                other.bind(("127.0.0.1", port))
                other.listen()
        port = app.find_port("127.0.0.1")
        assert port > app.FIRST_PORT + 1
        command = ("-m", "mnistlib", "app", "--model", model)
        with serving.serve(f"http://127.0.0.1:{port}/", *command, log=tmp_path / "log"):
            pass
    assert (
        f"port {app.FIRST_PORT} is taken; the page is on {port}" in (tmp_path / "log").read_text()
    )
