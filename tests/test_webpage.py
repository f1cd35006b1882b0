"""The page without a server, opened from disk in a real Chromium."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from chromium import SHOTS, draw, needs_browser
from PIL import Image
from scipy.interpolate import CubicSpline
from test_app import THREE

from mnistlib import data, models, pendigits, preprocess, recognizer, webpage

pytestmark = needs_browser
IN_README = Path(__file__).parent.parent / ".github" / "webpage.png"
DESKTOP, PHONE = {"width": 1000, "height": 900}, {"width": 390, "height": 844}
# Two strokes of a 4 as one writes it, as shares of the pad.
FOUR = [
    CubicSpline(range(len(places)), places)(np.linspace(0, len(places) - 1, 30))
    for places in (
        [(0.42, 0.2), (0.36, 0.36), (0.3, 0.53), (0.45, 0.56), (0.68, 0.52)],
        [(0.58, 0.34), (0.57, 0.5), (0.55, 0.66), (0.52, 0.84)],
    )
]
# As pad.js draws.
DRAW = """(paths) => {
    const pen = paper.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, 320, 320);
    pen.strokeStyle = "black";
    pen.lineWidth = 20;
    pen.lineCap = pen.lineJoin = "round";
    for (const path of paths) {
        pen.beginPath();
        pen.moveTo(...path[0]);
        path.forEach((point) => pen.lineTo(...point));
        pen.stroke();
    }
    const grey = greyOf(paper), image = mnist.prepared(grey, 320, 320);
    const text = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    return [text(grey), image && text(image), image && mnist.answer(network, image)];
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = webpage.write(recognizer.shipped(), tmp_path_factory.mktemp("page") / "digit.html")
    return path.as_uri()


@pytest.fixture
def opened(browser):
    """Open pages; in the end, that none said anything in the console or asked for anything."""
    said, asked, pages = [], [], []

    def open_page(address, viewport=DESKTOP, **options):
        page = browser.new_context(viewport=viewport, **options).new_page()
        page.on("console", lambda line: said.append(line.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("file:")] == []


def answer(page):
    page.wait_for_timeout(150)
    return page.locator("#answer").inner_text()


def hands(count):
    """Strokes on the pad: half of them by the 14 writers, where they can be had; else scribbles."""
    rng, paths = np.random.default_rng(0), []
    try:
        strokes = pendigits.load().test
        chosen = rng.choice(len(strokes), count // 2, replace=False)
        paths = [[np.asarray(path, float) for path in strokes.paths[number]] for number in chosen]
    except data.DataUnavailable:
        pass
    while len(paths) < count:
        written = []
        for _ in range(rng.integers(1, 4)):
            places = rng.uniform(0, 1, (rng.integers(2, 7), 2))
            curve = CubicSpline(np.arange(len(places)), places)
            written.append(curve(np.linspace(0, len(places) - 1, 40)))
        paths.append(written)
    for written in paths:
        points = np.concatenate(written)
        low, size = points.min(axis=0), max(np.ptp(points, axis=0).max(), 1e-6)
        side = rng.uniform(60, 260)
        place = rng.uniform(25, 295 - side, 2)
        yield [((path - low) / size * side + place).tolist() for path in written]


def test_it_answers_as_python_does_on_a_thousand_drawings(opened, address):
    """The same preparation, the same network: probabilities to a hundredth."""
    page, shipped = opened(address), recognizer.shipped()
    pictures, images, given = [], [], []
    for paths in hands(1_000):
        grey, image, one = page.evaluate(DRAW, paths)
        picture = np.frombuffer(base64.b64decode(grey), np.uint8).reshape(320, 320)
        try:
            expected = preprocess.to_mnist(picture)
        except preprocess.NoDigitFound:
            assert image is None
            continue
        assert image is not None
        pictures.append(expected)
        images.append(np.frombuffer(base64.b64decode(image), np.uint8).reshape(28, 28))
        given.append(one)
    assert len(pictures) >= 900
    apart = np.abs(np.stack(images).astype(int) - pictures).max(axis=(1, 2))
    answers, shares = shipped.answer(np.stack(pictures)), shipped.probabilities(np.stack(pictures))
    off = np.abs(np.array([one["probabilities"] for one in given]) - shares).max(axis=1)
    print(f"images differ by up to {apart.max()}, probabilities by up to {off.max():.4f}")
    assert off.max() <= 0.01
    assert [one["digit"] for one in given] == [one.digit for one in answers]
    near = np.abs(shares.max(axis=1) - shipped.threshold) < 0.01
    sure = np.array([one["sure"] for one in given]) == [one.sure for one in answers]
    assert (sure | near).all()


@pytest.mark.parametrize("name", ["dense_128_64_32_sigmoid", "cnn", "cnn_best"])
def test_a_network_of_ones_own_answers_on_the_page(opened, digits, tmp_path, name):
    model = models.build(name, seed=1, precision="float32")
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.05, w.shape) for w in model.get_weights()])
    own = recognizer.Recognizer(model, temperature=1.5, threshold=0.4)
    page = opened(webpage.write(own, tmp_path / "own.html", about="Of </script> mine").as_uri())
    for image in digits.x_test[:5]:
        ask = "(image) => mnist.answer(network, Uint8Array.from(image)).probabilities"
        given = page.evaluate(ask, image.ravel().tolist())
        np.testing.assert_allclose(given, own.probabilities(image)[0], atol=3e-3)
    assert page.locator("#about").inner_text() == "Of </script> mine"


@pytest.mark.parametrize(
    ("name", "viewport", "scheme"),
    [
        ("desktop", DESKTOP, "light"),
        ("desktop-dark", DESKTOP, "dark"),
        ("phone", PHONE, "light"),
        ("phone-dark", PHONE, "dark"),
    ],
)
def test_a_drawn_three_is_read_while_it_is_drawn(opened, address, name, viewport, scheme):
    page = opened(address, viewport, color_scheme=scheme)
    assert answer(page) == "Draw a digit."
    draw(page, THREE, lift=False)
    assert answer(page) == "3"
    page.mouse.up()
    assert answer(page) == "3"
    shares = page.locator("#shares span:nth-child(3n)").all_inner_texts()
    assert len(shares) == 10
    assert sum(float(share.removesuffix(" %")) for share in shares) == pytest.approx(100, abs=0.6)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    assert [row.locator("canvas").count() for row in page.locator(".maps").all()] == [16, 32]
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"webpage-{name}.png", full_page=True)


def rough(picture):
    """A picture's grey in squares of 20 pixels: fonts and edges differ between machines."""
    grey = np.asarray(Image.open(picture).convert("L"), float)
    rows, columns = (length // 20 for length in grey.shape)
    cut = grey[: rows * 20, : columns * 20]
    return cut.reshape(rows, 20, columns, 20).mean(axis=(1, 3))


def test_the_readme_shows_the_page_as_it_is(opened, address):
    """If the page has changed, copy runs/screenshots/webpage.png to .github, and look at it."""
    page = opened(address, {"width": 840, "height": 1010})
    for stroke in FOUR:
        draw(page, stroke)
    assert answer(page) == "4"
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "webpage.png")
    now, shown = rough(SHOTS / "webpage.png"), rough(IN_README)
    assert now.shape == shown.shape
    assert np.abs(now - shown).mean() < 1.5
    assert IN_README.stat().st_size <= 150_000
    # Another digit on the pad would have been noticed.
    page.click("button.clear")
    draw(page, THREE)
    assert answer(page) == "3"
    other = rough(io.BytesIO(page.screenshot()))
    assert np.abs(other - shown).mean() > 3


def test_a_finger_draws(opened, address):
    page = opened(address, PHONE, has_touch=True)
    touch = page.context.new_cdp_session(page)
    box = page.locator("#pad canvas").bounding_box()
    points = [
        {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in THREE
    ]

    def send(kind, *touching):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(touching)})

    send("touchStart", points[0])
    for point in points[1:]:
        send("touchMove", point)
    send("touchEnd")
    assert answer(page) == "3"


def test_strokes_are_taken_back_by_button_and_by_key(opened, address):
    page = opened(address)
    for undo in (
        lambda: page.click("button.undo"),
        lambda: page.click("button.clear"),
        lambda: page.keyboard.press("Control+z"),
        lambda: page.keyboard.press("Escape"),
    ):
        draw(page, THREE)
        assert answer(page) == "3"
        page.focus("#pad canvas")
        undo()
        assert answer(page) == "Draw a digit."


def test_it_may_say_not_sure(opened, address):
    page = opened(address)
    scrawl = [(0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8), (0.5, 0.1), (0.5, 0.9), (0.1, 0.5)]
    draw(page, scrawl)
    assert answer(page) == "Not sure"


def test_it_works_inside_an_iframe(opened, address, tmp_path):
    outer = tmp_path / "lesson.html"
    outer.write_text(f'<iframe src="{address}" width="900" height="800"></iframe>')
    page = opened(outer.as_uri())
    inner = page.frame_locator("iframe")
    draw(page, THREE, inner.locator("#pad canvas"))
    page.wait_for_timeout(150)
    assert inner.locator("#answer").inner_text() == "3"


def test_the_page_is_small_and_names_no_address():
    text = webpage.build(recognizer.shipped())
    readme = (IN_README.parent.parent / "README.md").read_text(encoding="utf-8")
    assert f"one file of {len(text.encode()) / 1000:.0f} kB" in readme
    assert len(text.encode()) < 1_000_000
    assert re.findall(r"https?://|src=|@import|url\(", text) == []
    assert "pendigits" in text


def test_a_network_that_only_keras_computes_is_refused(tmp_path):
    import keras

    layers = [keras.layers.Flatten(), keras.layers.LayerNormalization(name="odd")]
    last = keras.layers.Dense(10, activation="softmax")
    model = keras.Sequential([keras.Input((28, 28)), *layers, last])
    with pytest.raises(ValueError, match="'odd', a LayerNormalization"):
        webpage.write(recognizer.Recognizer(model), tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
