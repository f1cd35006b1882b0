"""Pictures made for trying recognition: strokes drawn by a program, photographs rendered of digits.

They try whether a picture is brought into MNIST's form. Of other people's hands they say nothing:
the strokes are ours, and the photographs show the digits that they are given. Imports without
TensorFlow.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.interpolate import CubicSpline

# Each way to write a sign is a list of strokes, each stroke the points that a pen passes through,
# as x to the right and y down within a box of 1 × 1. "-" before a stroke: straight between points.
_WAYS: dict[str, tuple[str, ...]] = {
    "0": (
        ".5 0 .15 .2 .05 .55 .25 .95 .6 .98 .9 .7 .92 .35 .75 .05 .45 .01",
        ".6 .02 .25 .1 .1 .5 .3 .9 .6 .97 .85 .6 .8 .2 .5 .03",
    ),
    "1": (
        "- .5 0 .5 1",
        "- .2 .25 .55 0 .55 1",
        "- .62 0 .42 1",
        "- .25 .3 .5 0 .5 1; - .2 1 .8 1",
    ),
    "2": (
        ".08 .22 .3 .02 .7 .03 .85 .28 .6 .58 .3 .8 .05 .98; - .05 .98 .95 .98",
        ".1 .25 .4 0 .8 .15 .75 .45 .35 .75 .1 .92 .25 .82 .5 .92 .9 .95",
    ),
    "3": (
        ".1 .12 .45 0 .8 .12 .75 .36 .42 .47; .42 .47 .82 .55 .88 .8 .5 1 .08 .88",
        ".12 .08 .5 .02 .78 .2 .6 .42 .4 .46 .7 .52 .85 .75 .6 .97 .1 .93",
    ),
    "4": (
        "- .55 0 .08 .65 .95 .65; - .68 .3 .68 1",
        ".2 0 .15 .3 .15 .52; - .15 .52 .85 .52; - .75 0 .75 1",
        "- .7 1 .7 0 .05 .68 .95 .68",
    ),
    "5": (
        "- .2 0 .15 .45; .15 .45 .5 .38 .85 .6 .75 .9 .4 1 .08 .9; - .2 0 .85 0",
        "- .85 .02 .25 .02 .18 .42; .18 .42 .55 .38 .86 .62 .7 .93 .35 1 .08 .9",
    ),
    "6": (
        ".75 0 .4 .15 .15 .5 .15 .8 .45 1 .8 .85 .78 .6 .5 .5 .2 .68",
        ".6 0 .3 .3 .12 .68 .3 .97 .65 .95 .82 .72 .6 .53 .25 .65",
    ),
    "7": (
        "- .05 .02 .92 .02 .4 1",
        "- .08 .03 .9 .03 .45 1; - .3 .5 .82 .5",
        ".05 .1 .4 .02 .9 .04; - .9 .04 .42 1",
    ),
    "8": (
        ".8 .15 .5 0 .2 .18 .35 .42 .7 .6 .82 .82 .5 1 .18 .82 .35 .58 .68 .4 .8 .15",
        ".5 .46 .22 .25 .5 0 .78 .25 .5 .46 .15 .73 .5 1 .85 .73 .5 .46",
    ),
    "9": (
        ".8 .25 .5 0 .18 .22 .35 .5 .7 .42 .8 .2; - .8 .2 .72 1",
        ".82 .12 .45 .02 .2 .25 .4 .5 .75 .35 .82 .12; .82 .12 .82 .5 .7 .85 .35 1",
    ),
    "A": ("- .5 0 .05 1; - .5 0 .95 1; - .22 .62 .78 .62",),
    "E": ("- .9 0 .1 0 .1 1 .9 1; - .1 .48 .75 .48",),
    "F": ("- .9 0 .12 0 .12 1; - .12 .46 .75 .46",),
    "H": ("- .1 0 .1 1; - .9 0 .9 1; - .1 .5 .9 .5",),
    "K": ("- .12 0 .12 1; - .9 0 .12 .55 .9 1",),
    "M": ("- .05 1 .12 0 .5 .7 .88 0 .95 1",),
    "N": ("- .1 1 .1 0 .9 1 .9 0",),
    "P": ("- .15 1 .15 0; .15 .02 .7 .02 .88 .25 .7 .5 .15 .52",),
    "R": ("- .12 1 .12 0; .12 .02 .7 .02 .88 .25 .7 .48 .12 .5; - .4 .5 .9 1",),
    "T": ("- .05 0 .95 0; - .5 0 .5 1",),
    "U": (".1 0 .12 .7 .5 1 .88 .7 .9 0",),
    "W": ("- .02 0 .25 1 .5 .35 .75 1 .98 0",),
    "X": ("- .08 0 .92 1; - .92 0 .08 1",),
    "Y": ("- .08 0 .5 .5 .92 0; - .5 .5 .5 1",),
}

LETTERS = "".join(sign for sign in _WAYS if sign.isalpha())
"""Letters that ``strokes`` can write; a person takes none of them for a digit."""

_INKS = ((20, 20, 25), (25, 40, 130), (150, 25, 30), (15, 85, 50), (95, 95, 100))
_PAPERS = ((250, 250, 248), (245, 238, 220), (225, 225, 230), (235, 240, 215), (205, 195, 180))


def strokes(sign: int | str, seed: int) -> np.ndarray:
    """Draw a digit or letter stroke by stroke, as on a draw pad, by a hand that changes with seed.

    The hand varies the points, the slant and the proportions; the pen its width, shape and colours,
    also light on dark; the canvas its size and the place on it.

    Args:
        sign: A digit 0–9 or one of ``LETTERS``.
        seed: The same seed gives the same picture.

    Returns:
        uint8 (height, width, 3), sides of 120 to 500 pixels.

    Raises:
        ValueError: The sign is not known.
    """
    draw = np.random.default_rng(seed)
    return on_canvas(_written(sign, draw), draw)


def trace(paths: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Draw strokes that somebody wrote, as on a draw pad, with a pen that changes with the seed.

    Pen and canvas are varied as by ``strokes``; the hand is the writer's and stays as it is.

    Args:
        paths: Strokes, each (points, 2), x to the right and y down, such as one digit of
            ``pendigits``.
        seed: The same seed gives the same picture.

    Returns:
        uint8 (height, width, 3), sides of 120 to some 430 pixels.

    Raises:
        ValueError: There is no point to draw.
    """
    if not any(map(len, paths)):
        raise ValueError(f"paths must hold at least one point; received {paths!r}")
    draw = np.random.default_rng(seed)
    points = np.concatenate(paths).astype(float)
    height = draw.uniform(60, 200)
    factor = height / max(np.ptp(points, axis=0).max(), 1)
    scaled = [np.asarray(path, float) * factor for path in paths if len(path)]
    return on_canvas(_inked(scaled, *_pen(height, draw)), draw)


def sheet(signs: Sequence[int | str], seed: int) -> np.ndarray:
    """Draw several signs beside one another on white paper.

    Args:
        signs: Digits or ``LETTERS``, from left to right.
        seed: The same seed gives the same picture.

    Returns:
        uint8 (height, width), dark on light.
    """
    draw = np.random.default_rng(seed)
    written = [_written(sign, draw) for sign in signs]
    height = 20 + max(coverage.height for coverage in written)
    width = 20 + sum(coverage.width + 20 for coverage in written)
    canvas, left = Image.new("L", (width, height), 250), 20
    for coverage in written:
        top = 10 + int(draw.integers(0, height - coverage.height - 19))
        canvas.paste(30, (left, top), coverage)
        left += coverage.width + 20
    return np.asarray(canvas)


def scribble(seed: int, *, points: int | None = None) -> np.ndarray:
    """Draw strokes that mean nothing: a wild line of a few turns.

    Args:
        seed: The same seed gives the same picture.
        points: Through how many random points the line runs, from 2; None: four to eight.

    Returns:
        uint8 (256, 256, 3).
    """
    draw = np.random.default_rng(seed)
    points = draw.integers(4, 9) if points is None else points
    places = draw.uniform(40, 216, (points, 2))
    image = Image.new("RGB", (256, 256), _PAPERS[0])
    curve = CubicSpline(np.arange(points), places)(np.linspace(0, points - 1, 400))
    width = int(draw.integers(5, 18))
    ImageDraw.Draw(image).line([tuple(point) for point in curve], _INKS[0], width, joint="curve")
    return np.asarray(image)


def photograph(digit: np.ndarray, seed: int) -> np.ndarray:
    """Render a digit of MNIST as if somebody had photographed it on paper.

    The digit is turned, scaled and placed; the ink has a colour, the paper a colour, a grain and in
    a third of the pictures squares or lines; the light falls off, and a shadow lies over a part;
    the picture is blurred, noisy, and compressed as JPEG.

    Args:
        digit: uint8 (28, 28), 0 = paper and 255 = ink.
        seed: The same seed gives the same picture.

    Returns:
        uint8 (height, width, 3), sides of 200 to 480 pixels.
    """
    draw = np.random.default_rng(seed)
    height, width = draw.integers(200, 481, 2)
    side = int(min(height, width) * draw.uniform(0.55, 1.1))
    sign = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    sign = sign.rotate(draw.uniform(-12, 12), Image.Resampling.BICUBIC)
    sheet = Image.new("L", (int(width), int(height)))
    # The outer fifth of MNIST's frame is empty: it may leave the sheet.
    room = np.array([width - 0.7 * side, height - 0.7 * side])
    left, top = (room * draw.uniform(0.1, 0.9, 2) - 0.15 * side).astype(int)
    sheet.paste(sign, (int(left), int(top)))
    inked = np.asarray(sheet.filter(ImageFilter.GaussianBlur(side / 90)), np.float32) / 255
    # A pen leaves ink or none: the soft edges of 28 pixels are made steep.
    inked = np.clip((inked - 0.5) * 4 + 0.5, 0, 1) * draw.uniform(0.75, 1)
    paper = np.array(_PAPERS[draw.integers(len(_PAPERS))], np.float32)
    ink = np.array(_INKS[draw.integers(len(_INKS))], np.float32)
    scene = paper * _grain(draw, (height, width), 3, 0.015)[..., None]
    scene = scene * (1 - _ruling(draw, height, width)[..., None] * (1, 0.75, 0.45))
    scene = scene * (1 - inked[..., None]) + ink * inked[..., None]
    scene *= _light(draw, height, width)[..., None]
    picture = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(draw.uniform(0.3, 2)))
    noisy = np.asarray(picture) + draw.normal(0, draw.uniform(1, 6), (height, width, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=int(draw.integers(35, 95))
    )
    return np.asarray(Image.open(file))


def trials(
    images: np.ndarray, labels: np.ndarray
) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
    """Gather the pictures of lesson 06: three kinds, with the digit that each picture shows.

    - ``other people's digits``: every third of the 1,797 of scikit-learn, 8 × 8 pixels, light on
      dark. Thirteen people wrote them (Alpaydin and Kaynak 1998, "Optical Recognition of
      Handwritten Digits", UCI Machine Learning Repository).
    - ``rendered photographs``: the first 300 of the digits given, by ``photograph``.
    - ``drawings``: 200 digits, by ``strokes``.

    Args:
        images: uint8 (n, 28, 28), digits that no network was trained on.
        labels: Theirs (n,).

    Returns:
        Kind → its pictures and their labels.
    """
    from sklearn.datasets import load_digits

    others = load_digits()
    count = min(300, len(images))
    return {
        "other people's digits": (list(others.images[::3]), others.target[::3]),
        "rendered photographs": (
            [photograph(images[number], seed=number) for number in range(count)],
            labels[:count],
        ),
        "drawings": ([strokes(n % 10, seed=n) for n in range(200)], np.arange(200) % 10),
    }


def _written(sign: int | str, draw: np.random.Generator) -> Image.Image:
    """Write a sign by a hand and with a pen drawn anew; how far each pixel is covered, mode "L"."""
    if str(sign) not in _WAYS:
        raise ValueError(f"sign must be a digit or one of {LETTERS}; received {sign!r}")
    ways = _WAYS[str(sign)]
    way = ways[draw.integers(len(ways))]
    height = draw.uniform(60, 300)
    width = height * draw.uniform(0.45, 0.8)
    angle, slant = math.radians(draw.uniform(-8, 8)), draw.uniform(-0.1, 0.3)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    lean = np.array([[1, -slant], [0, 1]])
    paths = [
        (path + draw.normal(0, 0.018, path.shape) - 0.5) * (width, height) @ (turn @ lean).T
        for path in map(_path, way.split(";"))
    ]
    return _inked(paths, *_pen(height, draw))


def _pen(height: float, draw: np.random.Generator) -> tuple[float, float]:
    """Take a pen for a digit of this height: its width, pixels, and how flat its tip is, 0.5–1."""
    return height * draw.uniform(0.025, 0.13), draw.uniform(0.5, 1)


def _inked(paths: Sequence[np.ndarray], pen: float, flat: float) -> Image.Image:
    """Draw strokes; how far each pixel is covered, mode "L", with a margin of a pen's width."""
    low = np.min([path.min(axis=0) for path in paths], axis=0) - pen
    high = np.max([path.max(axis=0) for path in paths], axis=0) + pen
    # Drawn at four times the size and reduced: smooth edges.
    large = Image.new("L", [4 * math.ceil(length) for length in high - low])
    canvas = ImageDraw.Draw(large)
    for path in paths:
        for x, y in (_dense(path) - low) * 4:
            canvas.ellipse((x - 2 * pen, y - 2 * pen * flat, x + 2 * pen, y + 2 * pen * flat), 255)
    return large.reduce(4)


def on_canvas(coverage: Image.Image, draw: np.random.Generator) -> np.ndarray:
    """Paste what was written onto a canvas: its size, place and colours are drawn anew."""
    # Room on the canvas, in a place of its own.
    size = np.array(coverage.size)
    columns, rows = np.clip(size * draw.uniform(1.05, 1.9, 2), 120, 500).astype(int)
    left, top = (draw.uniform(0, 1, 2) * np.maximum((columns, rows) - size, 0)).astype(int)
    dark, light = _INKS[draw.integers(len(_INKS))], _PAPERS[draw.integers(len(_PAPERS))]
    ink, paper = (light, dark) if draw.random() < 0.3 else (dark, light)
    canvas = Image.new("RGB", (int(columns), int(rows)), paper)
    canvas.paste(ink, (int(left), int(top)), coverage)
    return np.asarray(canvas)


def _path(words: str) -> np.ndarray:
    """Read a stroke, and follow it closely enough that a hand's tremor bends it only a little."""
    straight = words.split()[0] == "-"
    points = np.array(words.replace("-", "").split(), float).reshape(-1, 2)
    if straight:
        return points
    knots = np.arange(len(points))
    return CubicSpline(knots, points)(np.linspace(0, knots[-1], 2 * len(points)))


def _dense(path: np.ndarray) -> np.ndarray:
    """Follow a path in steps of about half a pixel."""
    lengths = np.hypot(*np.diff(path, axis=0).T)
    along = np.concatenate([[0], np.cumsum(lengths)])
    steps = np.linspace(0, along[-1], int(2 * along[-1]) + 2)
    return np.column_stack([np.interp(steps, along, part) for part in path.T])


def _grain(draw: np.random.Generator, shape: tuple[int, int], cell: int, sd: float) -> np.ndarray:
    """Brightness around 1 that varies from cell to cell, float32."""
    height, width = shape
    coarse = draw.normal(1, sd, (-(-height // cell), -(-width // cell))).astype(np.float32)
    grain = Image.fromarray(coarse).resize((int(width), int(height)), Image.Resampling.BICUBIC)
    return np.asarray(grain)


def _ruling(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Squares in a sixth of the cases, lines in another; how much light they take, 0–1."""
    kind, lines = draw.random(), np.zeros((height, width), np.float32)
    step, strength = draw.integers(25, 70), draw.uniform(0.1, 0.3)
    if kind < 1 / 3:
        lines[draw.integers(step) :: step] = strength
    if kind < 1 / 6:
        lines[:, draw.integers(step) :: step] = strength
    return lines


def _light(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    """How much light falls on each place: less towards one side, less still within a shadow."""
    row, column = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angles = draw.uniform(0, 2 * math.pi, 2)
    across, over = (math.cos(a) * column + math.sin(a) * row for a in angles)
    light = 1 - draw.uniform(0, 0.25) * (across + 1) / 2
    edge, softness = draw.uniform(-0.5, 1.5), draw.uniform(0.02, 0.3)
    return light * (1 - draw.uniform(0.1, 0.5) / (1 + np.exp((edge - over) / softness)))
