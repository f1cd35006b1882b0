"""Out-of-distribution images: what is no digit, to learn to abstain from and to be tested with.

Some are made of digits: turned, mirrored, written over each other.

Letters and symbols come from the fonts that Matplotlib carries (DejaVu, STIX, Computer Modern):
bent, written with a pen of some width, and preprocessed as every other picture. What ``learned``
draws and what ``trials`` draws are apart: other symbols, of other shapes, letters of other scripts;
and Latin letters in other fonts and by hand. Imports without TensorFlow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from mnistlib import drawing, kept, preprocess
from mnistlib.data import SIDE

LOOKALIKES = "OoQDIilJjZzSsBbGgqyLhap"
"""Latin letters that somebody may take for a digit: nobody learns that they are none."""

# What else looks like a digit or like one of ``LOOKALIKES``, a slashed zero and a bar among them.
_LIKE_DIGITS = frozenset(
    LOOKALIKES
    + "ΒΖΘΙΟΦβγδεζθιξορςστφ"
    + "БВЗОЧЬЭЪЫФЮЯЛабвдзолруфчэьъыюя"
    + "↑↓↾↿⇂⇃∂∃∅∕∖∘∙∣∤∥∦∫⊕⊖⊗⊘⊙⊚⊛⊜⊝"
    + "▁▏▕▮▯○◌◍◎●◐◑◒◓◔◕◖◗◦◯◴◵◶◷"
)
_LEARNED_FONTS = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSansMono")
_OTHER_FONTS = ("STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10", "cmti10")
_LATIN = "".join(sign for sign in map(chr, (*range(65, 91), *range(97, 123))))


def _block(*ranges: tuple[int, int]) -> str:
    signs = (chr(code) for first, last in ranges for code in range(first, last + 1))
    return "".join(sign for sign in signs if sign not in _LIKE_DIGITS)


# Greek and Cyrillic letters.
_ALPHABETS = _block((0x391, 0x3A1), (0x3A3, 0x3A9), (0x3B1, 0x3C9), (0x410, 0x44F))
# Arrows, mathematical operators, shapes, and a few signs of the keyboard.
_SYMBOLS = _block((0x2190, 0x21FF), (0x2200, 0x222B), (0x2234, 0x22A5), (0x25A0, 0x25FF))
_SYMBOLS += "#%&*+-=?@<>~^{}[]$€£¥§"
# Miscellaneous symbols and dingbats, but for those that hold a digit or look like one (a bar, a
# circle), and for what is learned in much the same shape: arrows, boxes, brackets, crosses like ×
# and +, asterisks, diamonds.
_OTHER_SYMBOLS = _block(
    *((0x2602, 0x2608), (0x260A, 0x260B), (0x260D, 0x260F), (0x2614, 0x2615), (0x2618, 0x2620)),
    *((0x2622, 0x262F), (0x2638, 0x263A), (0x263C, 0x2661), (0x2663, 0x2665), (0x2667, 0x2672)),
    *((0x267A, 0x267F), (0x2692, 0x26A9), (0x2701, 0x2714), (0x271D, 0x2721), (0x2726, 0x2730)),
    *((0x2734, 0x2739), (0x273E, 0x2747), (0x2761, 0x2764), (0x2766, 0x2767)),
)
# Armenian, Georgian, Hebrew, Tifinagh, but for letters that look like a digit.
_OTHER_SCRIPTS = "ԲԴԵԸԹԽԾՃՄՆՊՎՖաբդեըխնպտփֆև" + "დთლორტფქღჭჯჰჟ" + "אמצשת" + "ⴳⴴⴼⴽⴿⵃⵄⵅⵋⵖⵛⵞ"
_FACES = _block((0x1F600, 0x1F640))

KINDS = (
    *("letters by hand", "letters of other fonts", "letters of other scripts", "symbols", "faces"),
    *("furniture", "words", "scribbles", "short scribbles", "look-alikes"),
)
"""What ``trials`` draws."""


def from_digits(x: np.ndarray, y: np.ndarray, *, count: int, seed: int = 0) -> np.ndarray:
    """Make out-of-distribution images out of digits: handwriting, but no digits.

    A quarter each: digits turned by a right angle, mirrored, upside down, and two digits written
    over each other; of each only classes that do not become a digit by it.

    Args:
        x: uint8 (n, 28, 28).
        y: Labels (n,), each class at least once.
        count: How many to make; rounded down to a multiple of four.
        seed: Which digits are taken.

    Returns:
        uint8 (count, 28, 28).
    """
    draw = np.random.default_rng(seed)

    def some(*classes: int) -> np.ndarray:
        return x[draw.choice(np.flatnonzero(np.isin(y, classes)), count // 4)]

    # A zero and an eight stay digits however they are turned; a mirrored two is a five.
    return np.concatenate(
        [
            np.rot90(some(1, 2, 3, 4, 5, 6, 7, 9), axes=(1, 2)),
            some(3, 4, 6, 7, 9)[:, :, ::-1],
            some(3, 4, 7)[:, ::-1, ::-1],
            np.maximum(some(*range(10)), some(*range(10))),
        ]
    )


def learned(count: int, *, seed: int = 0, progress: bool = False) -> np.ndarray:
    """Draw letters and symbols to learn from that they are no digits, some 100 a second.

    They are kept in the user's cache folder, where that can be written. Of eight, three are Latin
    letters, two letters of other alphabets, two symbols, and one is strokes that mean nothing.

    Args:
        count: How many to draw.
        seed: The same seed gives the same images.
        progress: Whether to show a bar on standard error.

    Returns:
        uint8 (count, 28, 28), as MNIST would hold them.
    """
    return kept.images(
        f"outliers-{count}-{seed}", lambda: _learned(count, seed=seed, progress=progress)
    )


def _learned(count: int, *, seed: int, progress: bool) -> np.ndarray:
    latin = "".join(sign for sign in _LATIN if sign not in LOOKALIKES)
    chosen = np.random.default_rng(seed)
    tasks = []
    kinds = (latin, latin, latin, _ALPHABETS, _ALPHABETS, _SYMBOLS, _SYMBOLS, "")
    for number in range(count):
        signs, own = kinds[number % len(kinds)], int(chosen.integers(2**31))
        tasks.append((glyph, signs, _LEARNED_FONTS, own) if signs else (_nonsense, own))
    return _images(tasks, progress=progress)


def trials(count: int = 300, *, seed: int = 0, progress: bool = False) -> dict[str, np.ndarray]:
    """Draw what is no digit, apart from what ``learned`` holds, a set for each of ``KINDS``.

    - ``letters by hand``: the strokes of ``drawing.strokes``.
    - ``letters of other fonts``: STIX and Computer Modern, Latin, upper and lower case.
    - ``letters of other scripts``: Armenian, Georgian, Hebrew and Tifinagh, none of which is
      learned.
    - ``symbols``: chess pieces, scissors, suns, flowers and others of Unicode's blocks
      "Miscellaneous Symbols" and "Dingbats".
    - ``faces``: Unicode's block "Emoticons", and faces drawn stroke by stroke.
    - ``furniture``: chairs, tables, lamps, shelves and beds, drawn stroke by stroke.
    - ``words``: three to six letters, joined as in handwriting.
    - ``scribbles``: ``drawing.scribble`` through six to eight points.
    - ``short scribbles``: through four or five. Many of these are a bare stroke, a 0, a 6 or an 8
      to a person, too.
    - ``look-alikes``: letters of ``LOOKALIKES`` that differ little or not at all from a digit:
      O, o, l, I, i, Z, z, S, s, B, b, g and q. To answer these is hardly a fault.

    Args:
        count: How many of each kind.
        seed: The same seed gives the same images.
        progress: Whether to show a bar on standard error.

    Returns:
        Kind → uint8 (count, 28, 28).
    """
    plain = "".join(sign for sign in _LATIN if sign not in LOOKALIKES)
    numbers = range(seed * count, (seed + 1) * count)
    letters = drawing.LETTERS
    drawn: dict[str, list[tuple]] = {
        "letters by hand": [(_by_hand, letters[n % len(letters)], n) for n in numbers],
        "letters of other fonts": [(glyph, plain, _OTHER_FONTS, n) for n in numbers],
        "letters of other scripts": [(glyph, _OTHER_SCRIPTS, ("DejaVuSans",), n) for n in numbers],
        "symbols": [(glyph, _OTHER_SYMBOLS, ("DejaVuSans",), n) for n in numbers],
        "faces": [
            (glyph, _FACES, ("DejaVuSans",), n) if n % 2 else (_sketch, "face", n) for n in numbers
        ],
        "furniture": [(_sketch, _FURNITURE[n % len(_FURNITURE)], n) for n in numbers],
        "words": [(_word, plain, n) for n in numbers],
        "scribbles": [(_scribble, 6 + n % 3, n) for n in numbers],
        "short scribbles": [(_scribble, 4 + n % 2, n) for n in numbers],
        "look-alikes": [(glyph, "OolIiZzSsBbgq", _OTHER_FONTS, n) for n in numbers],
    }
    every = _images([task for tasks in drawn.values() for task in tasks], progress=progress)
    return {kind: every[place * count :][:count] for place, kind in enumerate(drawn)}


def glyph(signs: str, fonts: Sequence[str], seed: int) -> np.ndarray:
    """Draw one of the signs in one of the fonts, bent, with a pen, on a canvas.

    One in four is filled as printed; of the others, the middle line is followed with a round pen.

    Args:
        signs: Characters to choose from.
        fonts: Names of fonts that Matplotlib carries, to choose from.
        seed: The same seed gives the same picture.

    Returns:
        uint8 (height, width, 3), as by ``drawing.strokes``.

    Raises:
        ValueError: None of the fonts has one of the signs.
    """
    draw = np.random.default_rng(seed)
    having = [(font, sign) for font in fonts for sign in signs if ord(sign) in _signs_of(font)]
    if not having:
        raise ValueError(f"signs: none of {', '.join(fonts)} has any of {signs!r}")
    font, sign = having[draw.integers(len(having))]
    return drawing.on_canvas(_written(_printed(sign, font), draw), draw)


def _images(tasks: Sequence[tuple], *, progress: bool) -> np.ndarray:
    """Do each task, a function and its arguments, and make MNIST's image of the picture."""
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    parts = [tasks[start : start + 100] for start in range(0, len(tasks), 100)]
    work = Parallel(n_jobs=-1, return_as="generator")(delayed(_prepared)(part) for part in parts)
    made = [np.zeros((0, SIDE, SIDE), np.uint8)]
    with tqdm(total=len(tasks), desc="drawing outliers", disable=not progress) as bar:
        for part in work:
            made.append(part)
            bar.update(len(part))
    return np.concatenate(made)


def _prepared(tasks: Sequence[tuple[Callable, ...]]) -> np.ndarray:
    return preprocess.to_mnist_all(task(*arguments) for task, *arguments in tasks)


def _by_hand(sign: str, seed: int) -> np.ndarray:
    return drawing.strokes(sign, seed)


def _scribble(points: int, seed: int) -> np.ndarray:
    return drawing.scribble(seed, points=points)


@functools.cache
def _path_of(font: str) -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf")


@functools.cache
def _signs_of(font: str) -> frozenset[int]:
    """Tell what a font can write; one that this Matplotlib does not carry yet, nothing."""
    from matplotlib.ft2font import FT2Font

    path = _path_of(font)
    return frozenset(FT2Font(path).get_charmap()) if Path(path).is_file() else frozenset()


@functools.cache
def _printed(sign: str, font: str) -> np.ndarray:
    """Print a sign, some 100 pixels high, cut to its edges: bool (height, width)."""
    size = 100
    while True:
        shape = ImageFont.truetype(_path_of(font), size)
        left, top, right, bottom = shape.getbbox(sign)
        if max(right - left, bottom - top) >= 90 or size > 800:
            break
        size = math.ceil(size * 100 / max(1, right - left, bottom - top))
    image = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), sign, 255, shape)
    return np.asarray(image) > 127


def _written(shape: np.ndarray, draw: np.random.Generator) -> Image.Image:
    """Bend a shape and write it with a pen: how far each pixel is covered, mode "L"."""
    from skimage.morphology import skeletonize

    bent = _bent(shape, draw)
    if draw.random() < 0.25:
        return Image.fromarray(np.where(bent, 255, 0).astype(np.uint8))
    height = max(bent.shape)
    pen = height * draw.uniform(0.012, 0.06)
    line = np.pad(skeletonize(bent), math.ceil(pen) + 1)
    if not line.any():
        line = np.pad(bent, math.ceil(pen) + 1)
    far = ndimage.distance_transform_edt(~line, sampling=(1, draw.uniform(0.7, 1)))
    return Image.fromarray((255 * np.clip(pen + 0.5 - far, 0, 1)).astype(np.uint8))


def _bent(shape: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Slant, turn, stretch and bend a shape at random; bool (height, width), cut to its edges."""
    height, width = shape.shape
    side = max(height, width)
    angle, slant = math.radians(draw.uniform(-10, 10)), draw.uniform(-0.3, 0.3)
    stretch = np.exp(draw.uniform(-0.2, 0.2))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.array([[1, 0], [slant, stretch]]) @ turn
    canvas = 2 * side
    rows, columns = np.mgrid[:canvas, :canvas] - canvas / 2.0
    waves = draw.normal(0, 0.035 * side, (2, 5, 5)).astype(np.float32)
    smooth = Image.Resampling.BICUBIC
    moves = [np.asarray(Image.fromarray(one).resize((canvas, canvas), smooth)) for one in waves]
    places = [
        matrix[0, 0] * rows + matrix[0, 1] * columns + moves[0] + height / 2,
        matrix[1, 0] * rows + matrix[1, 1] * columns + moves[1] + width / 2,
    ]
    bent = ndimage.map_coordinates(shape.astype(np.float32), places, order=1) > 0.5
    if not bent.any():
        return shape
    found = ndimage.find_objects(bent.astype(np.uint8))[0]
    return bent[found]


def _nonsense(seed: int) -> np.ndarray:
    """Draw strokes that mean nothing: straight ones with many turns, or a few loops."""
    draw = np.random.default_rng(seed)
    if draw.random() < 0.4:
        paths = [draw.uniform(0, 1, (draw.integers(3, 7), 2)) for _ in range(draw.integers(1, 4))]
        if len(paths) == 1:
            paths = [draw.uniform(0, 1, (draw.integers(5, 9), 2))]
    else:
        # A sum of circles that turn at different speeds.
        time = np.linspace(0, draw.uniform(4, 7), 120)[:, None]
        speeds = np.arange(1, 4)
        sizes = draw.normal(0, 1 / speeds, (2, 3))
        phases = draw.uniform(0, 2 * np.pi, (2, 3))
        paths = [
            np.stack(
                [
                    np.cos(time * speeds + phase) @ size
                    for phase, size in zip(phases, sizes, strict=True)
                ],
                axis=1,
            )
        ]
    return drawing.trace([path * draw.uniform(0.7, 1.3, 2) for path in paths], seed)


def _word(signs: str, seed: int) -> np.ndarray:
    """Write three to six letters that a line joins."""
    draw = np.random.default_rng(seed)
    letters, height = [], 100
    for _ in range(draw.integers(3, 7)):
        sign = signs[draw.integers(len(signs))]
        letters.append(_bent(_printed(sign, "STIXGeneralItalic"), draw))
    width = sum(letter.shape[1] for letter in letters)
    tallest = max(letter.shape[0] for letter in letters)
    page, left = np.zeros((max(height, tallest), width), bool), 0
    for letter in letters:
        page[-letter.shape[0] :, left : left + letter.shape[1]] |= letter
        left += letter.shape[1]
    # As in handwriting, a stroke along the line joins them.
    page[-12:-5] = True
    return drawing.on_canvas(Image.fromarray(np.where(page, 255, 0).astype(np.uint8)), draw)


# Furniture and a face, stroke by stroke in a unit square, x to the right and y down.
_SKETCHES: dict[str, tuple[str, ...]] = {
    "chair": (".2 0 .2 1", ".2 .55 .8 .55", ".8 .55 .8 1", ".2 .05 .28 .55"),
    "table": ("0 .3 1 .3", ".1 .3 .1 1", ".9 .3 .9 1", "0 .36 1 .36"),
    "lamp": (".3 0 .7 0 .9 .35 .1 .35 .3 0", ".5 .35 .5 1", ".25 1 .75 1"),
    "shelf": ("0 0 1 0 1 1 0 1 0 0", "0 .33 1 .33", "0 .66 1 .66", ".5 0 .5 .33"),
    "bed": ("0 .1 0 1", "0 .7 1 .7", "1 .4 1 1", "0 .5 .3 .5 .3 .7", "0 .78 1 .78"),
    "sofa": (".1 .5 .1 .1 .9 .1 .9 .5", "0 .4 0 .9 1 .9 1 .4", "0 .6 1 .6", ".5 .1 .5 .6"),
}
_FURNITURE = tuple(_SKETCHES)


def _sketch(what: str, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    around = np.linspace(0, 2 * np.pi, 40)
    if what == "face":
        wide, high = draw.uniform(0.35, 0.5, 2)
        eye, gaze = draw.uniform(0.03, 0.07), draw.uniform(0.12, 0.22)
        smile = draw.uniform(-0.15, 0.2)
        mouth = np.linspace(-1, 1, 20)
        paths = [
            np.column_stack([0.5 + wide * np.cos(around), 0.5 + high * np.sin(around)]),
            np.column_stack([0.5 - gaze + eye * np.cos(around), 0.38 + eye * np.sin(around)]),
            np.column_stack([0.5 + gaze + eye * np.cos(around), 0.38 + eye * np.sin(around)]),
            np.column_stack([0.5 + 0.2 * mouth, 0.7 + smile * (1 - mouth**2)]),
        ]
        if draw.random() < 0.5:
            paths.append(np.array([[0.5, 0.42], [0.46, 0.56], [0.52, 0.56]]))
    else:
        paths = [np.array(path.split(), float).reshape(-1, 2) for path in _SKETCHES[what]]
    size = draw.uniform(0.7, 1.3, 2)
    shaken = [(path + draw.normal(0, 0.012, path.shape)) * size for path in paths]
    return drawing.trace(shaken, seed)
