"""A real browser for the tests: where it is, how it starts, and how it draws."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
SHOTS = Path(__file__).parent.parent / "runs" / "screenshots"
# Without these, Chromium asks hosts of its own at every start.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")


def draw(page, stroke, pad=None, *, lift=True):
    """Draw a stroke, in shares of the pad's width and height, with the mouse."""
    box = (pad or page.locator("#pad canvas")).bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    if lift:
        page.mouse.up()
