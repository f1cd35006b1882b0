"""Pages made for trying how numbers are read: digits in lines, with what stands on each line.

They try whether digits are found and put in order. The digits on them are the ones given. Imports
without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from scipy import ndimage

PLAIN = ("one line", "lines", "tilted lines", "columns", "ragged lines")
FORMS = ("boxes", "shared walls", "comb", "squared paper", "ruled paper", "frame", "underlined")
OTHERS = ("signs", "thin pen", "dark desk", "touching")
KINDS = (*PLAIN, *FORMS, *OTHERS)
"""What ``draw`` can draw. Of the plain pages, the last two are digits exactly below one another,
and lines of unequal lengths that begin anywhere."""

SIGNS = "+−×÷=.,"
"""What stands between digits on a page of kind ``signs``: it is not to be read as a digit."""

_PAPER, _INK = 245, 35


@dataclass(frozen=True, eq=False)
class Page:
    """A page and what it says.

    Attributes:
        picture: uint8 (height, width), dark on light.
        lines: The digits of each line, from top to bottom, as in ``("123", "45")``.
        kind: One of ``KINDS``.
    """

    picture: np.ndarray
    lines: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Score:
    """How pages were read.

    Attributes:
        numbers: How many lines there are.
        numbers_right: How many of them were read exactly, in their place.
        digits: How many digits there are.
        digits_right: How many of these were read right; on a line with one too many or too few,
            none counts.
    """

    numbers: int
    numbers_right: int
    digits: int
    digits_right: int


def draw(kind: str, digits: np.ndarray, labels: np.ndarray, *, seed: int) -> Page:
    """Write digits onto a page.

    Digits and their places differ in size; on plain pages, lines are apart by at least an eighth of
    a digit's height, digits by a tenth. In a quarter of the forms, digits may reach the walls.

    Args:
        kind: One of ``KINDS``.
        digits: uint8 (n, 28, 28), 0 = paper and 255 = ink, to choose from.
        labels: Theirs (n,).
        seed: The same seed gives the same page.

    Raises:
        ValueError: The kind is not known.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; received {kind!r}")
    rng = np.random.default_rng(seed)
    size = int(rng.integers(50, 110))
    in_cells = kind in ("boxes", "shared walls", "comb")
    layout = _in_cells if in_cells else _in_lines
    placed, lines, ruled, extent = layout(kind, digits, labels, size, rng)
    written, printed = Image.new("L", extent), Image.new("L", extent)
    for sign, left, top in placed:
        place = (left, top, left + sign.width, top + sign.height)
        # Where two touch, the darker counts.
        written.paste(ImageChops.lighter(written.crop(place), sign), place)
    if kind == "thin pen":
        written, printed = _thinned(written), printed.resize([2 * side for side in extent])
    pencil = ImageDraw.Draw(printed)
    thickness = int(rng.integers(1, max(3, size // 16))) if ruled else 1
    if kind in ("squared paper", "ruled paper"):
        thickness = int(rng.integers(1, 3))
    for line in ruled:
        pencil.line(line, 255, thickness)
    tilt = {"tilted lines": 12, "squared paper": 3, "ruled paper": 3}.get(kind, 2 * in_cells)
    if tilt:
        angle = rng.uniform(-tilt, tilt)
        expand = kind == "tilted lines"
        written, printed = (
            layer.rotate(angle, Image.Resampling.BICUBIC, expand=expand)
            for layer in (written, printed)
        )
    soft = ImageFilter.GaussianBlur(0.4 if kind == "thin pen" else size / 60)
    faint = 0.5
    if ruled and kind not in ("squared paper", "ruled paper"):
        faint = rng.uniform(0.35, 1)
    ink = np.asarray(written.filter(soft), np.float32) / 255
    rules = faint * np.asarray(printed.filter(ImageFilter.GaussianBlur(0.6)), np.float32) / 255
    light = _PAPER - np.maximum(ink, rules) * (_PAPER - _INK)
    if kind == "dark desk":
        light = _on_a_desk(light, rng)
    light += rng.normal(0, 2, light.shape)
    return Page(np.clip(light, 0, 255).astype(np.uint8), tuple(lines), kind)


Layout = tuple[
    list[tuple[Image.Image, int, int]], list[str], list[tuple[float, ...]], tuple[int, int]
]


def _in_lines(
    kind: str, digits: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator
) -> Layout:
    """Write digits freely: signs with left and top, lines, rules, and the extent of the page."""
    single = ("one line", "frame", "underlined", "signs", "thin pen", "touching")
    count = 1 if kind in single else int(rng.integers(2, 5))
    length = int(rng.integers(2, 8))
    step = size * rng.uniform(1.15, 2)
    drop = size * rng.uniform(0.12, 1)
    placed: list[tuple[Image.Image, int, int]] = []
    lines, rules, top = [], [], size / 2
    for _ in range(count):
        if kind == "ragged lines":
            length = int(rng.integers(1, 8))
        chosen = rng.choice(len(digits), length)
        signs = [_sign(digits[number], size * rng.uniform(0.85, 1.1)) for number in chosen]
        offsets = [rng.uniform(0, 0.08) * size for _ in signs]
        left = size / 2 + (rng.uniform(0, 4) * size if kind == "ragged lines" else 0)
        start = left
        for sign, offset in zip(signs, offsets, strict=True):
            placed.append((sign, round(left), round(top + offset)))
            apart = step if kind == "columns" else sign.width + size * rng.uniform(0.1, 0.6)
            left += max(apart, sign.width + 0.1 * size)
            if kind == "touching" and sign is signs[0] and len(signs) > 1:
                left = placed[-1][1] + _until_touching(sign, signs[1], offsets[0], offsets[1])
            if kind == "signs" and sign is not signs[-1]:
                chosen_mark = SIGNS[rng.integers(len(SIGNS))]
                mark = _mark(chosen_mark, size, rng)
                low = top + size * (0.95 if chosen_mark in ".," else 0.5)
                placed.append((mark, round(left), round(low - mark.height / 2)))
                left += mark.width + size * rng.uniform(0.2, 0.4)
        end = placed[-1][1] + placed[-1][0].width
        bottom = max(s.height + o for s, o in zip(signs, offsets, strict=True)) + top
        if kind == "underlined":
            low = bottom + size * rng.uniform(0.03, 0.25)
            slack = size * rng.uniform(0, 0.3, 2)
            rules.append((start - slack[0], low, end + slack[1], low + size * rng.normal(0, 0.05)))
        top = drop + bottom
        lines.append("".join(str(labels[number]) for number in chosen))
    width = int(max(left + sign.width for sign, left, _ in placed) + size // 2)
    height = int(top - drop + size / 2)
    if kind == "frame":
        margin = size * rng.uniform(0.15, 0.35)
        box = (margin, margin, width - margin, height - margin)
        rules += _walls(*box)
    if kind in ("squared paper", "ruled paper"):
        pitch = size * rng.uniform(0.3, 0.6) if kind == "squared paper" else size * 0.9
        far = max(width, height)
        rules += [(-far, at, 2 * far, at) for at in np.arange(pitch / 2 - far, 2 * far, pitch)]
        if kind == "squared paper":
            rules += [(at, -far, at, 2 * far) for at in np.arange(pitch / 3 - far, 2 * far, pitch)]
    return placed, lines, rules, (width, height)


def _in_cells(
    kind: str, digits: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator
) -> Layout:
    """Write each digit into a cell of its own: as ``_in_lines``."""
    rows, count = int(rng.integers(1, 3)), int(rng.integers(3, 9))
    wide, high = size * rng.uniform(1.1, 1.6), size * rng.uniform(1.25, 1.7)
    apart = size * rng.uniform(0.15, 0.5) if kind == "boxes" else 0.0
    untidy = 1.0 if rng.random() < 0.25 else 0.6
    placed, lines, rules = [], [], []
    top = size * 0.6
    for _ in range(rows):
        chosen = rng.choice(len(digits), count)
        for place, number in enumerate(chosen):
            left = size * 0.6 + place * (wide + apart)
            sign = _sign(digits[number], size * rng.uniform(0.8, 1))
            room = np.array([wide - sign.width, high - sign.height]) / 2
            move = rng.uniform(-untidy, untidy, 2) * room
            placed.append((sign, *np.round(np.array([left, top]) + room + move).astype(int)))
            right, bottom = left + wide, top + high
            if kind == "comb":
                tooth = bottom - high * 0.3
                rules += [(left, bottom, right, bottom)]
                rules += [(at, tooth, at, bottom) for at in (left, right)]
            else:
                rules += _walls(left, top, right, bottom)
        top += high + size * rng.uniform(0.4, 1)
        lines.append("".join(str(labels[number]) for number in chosen))
    width = size * 1.2 + count * (wide + apart)
    return placed, lines, rules, (int(width), int(top + size * 0.2))


def _until_touching(
    first: Image.Image, second: Image.Image, above: float, other_above: float
) -> int:
    """Say how far right of the first's edge the second begins, so that they touch, but no more."""
    left, right = np.asarray(first) > 127, np.asarray(second) > 127
    drop = round(other_above) - round(above)
    for place in range(left.shape[1], 0, -1):
        height = max(left.shape[0], right.shape[0]) + abs(drop)
        page = np.zeros((2, height, place + right.shape[1] + left.shape[1]), bool)
        page[0, max(0, -drop) :][: left.shape[0], : left.shape[1]] = left
        page[1, max(0, drop) :][: right.shape[0], place : place + right.shape[1]] = right
        if (page[0] & page[1]).any():
            return place - 1
    return left.shape[1]


def _walls(left: float, top: float, right: float, bottom: float) -> list[tuple[float, ...]]:
    return [
        (left, top, right, top),
        (right, top, right, bottom),
        (right, bottom, left, bottom),
        (left, bottom, left, top),
    ]


def _mark(sign: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Draw a sign of arithmetic or a point, as by the pen that wrote digits of this size."""
    pen = max(2, round(size * rng.uniform(0.06, 0.11)))
    side = round(size * rng.uniform(0.4, 0.6))
    if sign in ".,":
        image = Image.new("L", (2 * pen, 2 * pen if sign == "." else 4 * pen))
        pencil = ImageDraw.Draw(image)
        pencil.ellipse((pen / 2, 0, 1.7 * pen, 1.2 * pen), 255)
        if sign == ",":
            pencil.line((1.3 * pen, pen, pen / 2, 3 * pen), 255, max(1, pen // 2))
        return image
    image = Image.new("L", (side, side))
    pencil, low, high, middle = ImageDraw.Draw(image), pen, side - pen, side / 2
    if sign in "+−÷":
        pencil.line((low, middle, high, middle), 255, pen)
    if sign == "+":
        pencil.line((middle, low, middle, high), 255, pen)
    if sign == "×":
        pencil.line((low, low, high, high), 255, pen)
        pencil.line((low, high, high, low), 255, pen)
    if sign == "=":
        for at in (0.35, 0.65):
            pencil.line((low, at * side, high, at * side), 255, pen)
    if sign == "÷":
        dot = pen / 1.5
        for at in (pen, side - pen):
            pencil.ellipse((middle - dot, at - dot, middle + dot, at + dot), 255)
    return image.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC)


def _thinned(cover: Image.Image) -> Image.Image:
    """Follow the middle of each stroke with a pen of one pixel, on twice as large a canvas."""
    from skimage.morphology import skeletonize

    large = cover.resize([2 * side for side in cover.size], Image.Resampling.BICUBIC)
    return Image.fromarray(np.where(skeletonize(np.asarray(large) > 127), 255, 0).astype(np.uint8))


def _on_a_desk(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay a sheet of paper on a dark desk, a little askew; it covers some half of the picture."""
    height, width = light.shape
    margins = rng.uniform(0.12, 0.35, 4) * min(height, width)
    top, bottom, left, right = margins.astype(int)
    desk = rng.uniform(25, 90)
    inside = Image.fromarray(light.astype(np.float32))
    around = Image.new("F", (width + left + right, height + top + bottom), desk)
    sheet = Image.new("L", around.size)
    around.paste(inside, (left, top))
    sheet.paste(255, (left, top, left + width, top + height))
    angle = rng.uniform(-4, 4)
    turned, cover = (
        np.asarray(layer.rotate(angle, Image.Resampling.BILINEAR), np.float32)
        for layer in (around, sheet)
    )
    share = cover / 255
    grain = ndimage.gaussian_filter(rng.normal(0, 1, turned.shape), (1, 12)) * 12
    return share * turned + (1 - share) * (desk + grain)


def score(pages: Sequence[Page], read: Sequence[Sequence[str]]) -> Score:
    """Compare what was read with what the pages say.

    Args:
        pages: The pages.
        read: Of each page, the digits of each line found.
    """
    numbers = numbers_right = count = right = 0
    for page, found in zip(pages, read, strict=True):
        numbers += len(page.lines)
        count += sum(map(len, page.lines))
        # A line too many or too few moves all below it.
        beside = zip(page.lines, [*found, *[""] * len(page.lines)], strict=False)
        for line, other in beside:
            numbers_right += line == other and len(found) == len(page.lines)
            if len(line) == len(other):
                right += sum(a == b for a, b in zip(line, other, strict=True))
    return Score(numbers, numbers_right, count, right)


def _sign(digit: np.ndarray, height: float) -> Image.Image:
    """Cut a digit out of its frame and bring the 20 pixels of MNIST's box to a height."""
    rows, columns = (np.flatnonzero(digit.max(axis=axis) > 40) for axis in (1, 0))
    cut = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    size = [max(1, round(side * height / 20)) for side in cut.size]
    large = np.asarray(cut.resize(size, Image.Resampling.BICUBIC), np.float32)
    # A pen leaves ink or none: the soft edges of 28 pixels are made steep.
    return Image.fromarray(np.clip((large - 127) * 3 + 127, 0, 255).astype(np.uint8))
