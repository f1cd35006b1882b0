"""Pages made for trying how numbers are read: digits in lines, with what stands on each line.

They try whether digits are found and put in order. The digits on them are the ones given. Imports
without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

KINDS = ("one line", "lines", "tilted lines", "columns", "ragged lines")
"""What ``draw`` can draw: the last two are digits exactly below one another, and lines of unequal
lengths that begin anywhere."""

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

    Digits and their places differ in size; lines are apart by at least an eighth of a digit's
    height, digits by a tenth.

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
    count = 1 if kind == "one line" else int(rng.integers(2, 5))
    length = int(rng.integers(2, 8))
    step = size * rng.uniform(1.15, 2)
    drop = size * rng.uniform(0.12, 1)
    placed: list[tuple[Image.Image, int, int]] = []
    lines, top = [], size / 2
    for _ in range(count):
        if kind == "ragged lines":
            length = int(rng.integers(1, 8))
        chosen = rng.choice(len(digits), length)
        signs = [_sign(digits[number], size * rng.uniform(0.85, 1.1)) for number in chosen]
        offsets = [rng.uniform(0, 0.08) * size for _ in signs]
        left = size / 2 + (rng.uniform(0, 4) * size if kind == "ragged lines" else 0)
        for sign, offset in zip(signs, offsets, strict=True):
            placed.append((sign, round(left), round(top + offset)))
            apart = step if kind == "columns" else sign.width + size * rng.uniform(0.1, 0.6)
            left += max(apart, sign.width + 0.1 * size)
        top += drop + max(s.height + o for s, o in zip(signs, offsets, strict=True))
        lines.append("".join(str(labels[number]) for number in chosen))
    width = max(left + sign.width for sign, left, _ in placed) + size // 2
    cover = Image.new("L", (int(width), int(top - drop + size / 2)))
    for sign, left, at in placed:
        cover.paste(sign, (left, at))
    if kind == "tilted lines":
        cover = cover.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, expand=True)
    cover = cover.filter(ImageFilter.GaussianBlur(size / 60))
    light = _PAPER - np.asarray(cover, np.float32) / 255 * (_PAPER - _INK)
    light += rng.normal(0, 2, light.shape)
    return Page(np.clip(light, 0, 255).astype(np.uint8), tuple(lines), kind)


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
