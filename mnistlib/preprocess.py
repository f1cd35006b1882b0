"""Preprocessing: of any picture, the digits in it as MNIST would hold them.

Imports without TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from mnistlib import forms, lines, paper, strokes, touching
from mnistlib.data import SIDE
from mnistlib.pictures import Picture, PictureError, read
from mnistlib.strokes import NoDigitFound

STEPS = ("background", "polarity", "box", "center", "thicken")
"""The steps of ``to_mnist`` that can be left out, to see what each is good for."""

# Pictures are worked on at this size: no longer than the first, no shorter than the second.
_LONGEST = 800
_SHORTEST = 224
# Median absolute deviation → standard deviation, for normally distributed noise.
_NORMAL = 1.4826
# Strokes that keep less than this share of their contrast are finer than the picture's pixels.
_FADED = 0.6
# Side of the box into which MNIST's digits are scaled, and the least width of a stroke in it.
_BOX = 20
_THINNEST = 2.0


@dataclass(frozen=True)
class Digit:
    """One digit of a picture.

    Attributes:
        image: uint8 (28, 28), as MNIST would hold it.
        box: Its left, top, right and bottom edge in the picture, pixels. As in Pillow, the pixels
            at ``right`` and ``bottom`` are just outside.
        line: The line it stands on, counted from 0 at the top of the picture.
        small: Whether it is clearly smaller than the digits beside it, as a plus or a comma is.
        wide: Whether it is wider than a digit: perhaps two that touch.
        parts: If it may be two digits that touch, what it would be parted into, from left to right;
            else empty.
    """

    image: np.ndarray
    box: tuple[int, int, int, int]
    line: int = 0
    small: bool = False
    wide: bool = False
    parts: tuple[Digit, ...] = ()


@dataclass(frozen=True)
class Stages:
    """What ``to_mnist`` made of a picture, one step after the other.

    Attributes:
        grey: The picture in grey, uint8 (height, width), at most 800 pixels long.
        ink: How much of the light each place swallows more than the paper around it (of ink that is
            lighter than its ground: gives back more), float32 (height, width), 0–1.
        mask: What counts as ink, bool (height, width).
        box: Edges of the digit in these, pixels: left, top, right, bottom.
        digit: The digit alone in its frame, strokes thickened where they were thin, float32
            (side, side), 0–1.
        image: The result, uint8 (28, 28).
    """

    grey: np.ndarray
    ink: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int, int]
    digit: np.ndarray
    image: np.ndarray


def to_mnist(picture: Picture, *, without: Collection[str] = ()) -> np.ndarray:
    """Make of a picture of one digit the image that MNIST would hold.

    The digit is told from its paper, scaled into 20 × 20 pixels with its proportions kept, and
    placed so that its centre of mass is in the middle of 28 × 28, as the digits of MNIST were
    (LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document
    recognition", section III-A). Of several digits, the largest is taken; ``segment`` gives all.

    Args:
        picture: What ``pictures.read`` opens: a path, bytes, a Pillow image or an array, dark on
            light or light on dark, of any size.
        without: Members of ``STEPS`` to leave out.

    Returns:
        uint8 (28, 28), 0 = paper and 255 = ink.

    Raises:
        NoDigitFound: The picture is blank, or nothing in it could be a digit.
        PictureError: It is no picture, is damaged, is too large, or holds more than
            ``strokes.MOST_STROKES`` strokes.
    """
    return explain(picture, without=without).image


def to_mnist_all(pictures: Iterable[Picture], *, without: Collection[str] = ()) -> np.ndarray:
    """Do as ``to_mnist`` for each picture; where there is no digit, the image is blank.

    Returns:
        uint8 (n, 28, 28).
    """
    made = []
    for picture in pictures:
        try:
            made.append(to_mnist(picture, without=without))
        except NoDigitFound:
            made.append(np.zeros((SIDE, SIDE), np.uint8))
    return np.array(made, np.uint8).reshape(-1, SIDE, SIDE)


def explain(picture: Picture, *, without: Collection[str] = ()) -> Stages:
    """Do as ``to_mnist`` and keep every stage, for ``plots.preprocessing``."""
    without = _checked_steps(without)
    grey, _ = _grey(read(picture))
    ink, mask = _ink_and_mask(grey, without)
    group = max(strokes.groups(mask), key=lambda group: np.count_nonzero(group.mask))
    digit, image = _normalized(group, ink, without)
    return Stages(grey=grey, ink=ink, mask=mask, box=group.box, digit=digit, image=image)


def segment(picture: Picture) -> list[Digit]:
    """Find the digits of a picture: line by line from the top, each line from left to right.

    Strokes that stand above one another or nearly touch belong together, unless they stand on
    different lines. Lines may be tilted by up to 20 degrees. On a line with digits, signs are left
    out: what is flat (a minus), small and low (a comma), or small and in pieces (a division sign).
    Two digits that touch come as one, with its ``parts``.

    Raises:
        NoDigitFound: As ``to_mnist``.
        PictureError: As ``to_mnist``; or it holds more than ``strokes.MOST_DIGITS`` digits.
    """
    image = read(picture)
    grey, factor = _grey(image)
    ink, mask = _ink_and_mask(grey, frozenset())
    groups = strokes.groups(mask, by_line=True)
    boxes = [group.box for group in groups]

    def digit(group: strokes.Group, line: int, kind: str = "digit", cuts: int = 2) -> Digit:
        # A number of several digits may hang together at several places.
        parts = touching.halves(group.mask) if cuts else []
        return Digit(
            image=_normalized(group, ink, frozenset())[1],
            box=_in_picture(group.box, factor, image.size),
            line=line,
            small=kind == "small",
            wide=kind == "wide",
            parts=tuple(digit(group.part(one), line, cuts=cuts - 1) for one in parts),
        )

    found = []
    for line, row in enumerate(lines.find(boxes)):
        for place, kind in zip(row, lines.kinds([boxes[place] for place in row]), strict=True):
            # An equals or a division sign is in pieces that stand above one another.
            several = groups[place].pieces > 1
            if len(row) == 1 or not (kind == "sign" or (kind == "small" and several)):
                found.append(digit(groups[place], line, kind))
    # A page of pairs that touch has three for each, which a network has to look at.
    if sum(_count(one) for one in found) > 2 * strokes.MOST_DIGITS:
        raise PictureError(
            f"the picture holds {len(found):,} digits, most of them as wide as several; at most "
            f"{2 * strokes.MOST_DIGITS:,} digits and parts of digits are looked at: cut it into "
            "parts"
        )
    return found


def _count(digit: Digit) -> int:
    return 1 + sum(_count(part) for part in digit.parts)


def _in_picture(box: lines.Box, factor: float, size: tuple[int, int]) -> lines.Box:
    """Find the edges in a picture of this size, width and height, of what was found in a copy."""
    left, top, right, bottom = (edge / factor for edge in box)
    # The sides were rounded when the picture shrank: the digit ends within the picture.
    width, height = size
    return (
        math.floor(left),
        math.floor(top),
        min(width, math.ceil(right)),
        min(height, math.ceil(bottom)),
    )


def resize_plainly(picture: Picture) -> np.ndarray:
    """Squeeze a picture into uint8 (28, 28) as most examples do: grey, resized, ink made light."""
    grey = read(picture).convert("L").resize((SIDE, SIDE))
    return 255 - np.asarray(grey)


def _checked_steps(without: Collection[str]) -> frozenset[str]:
    if isinstance(without, str) or not set(without) <= set(STEPS):
        raise ValueError(f"without must hold members of {', '.join(STEPS)}; received {without!r}")
    return frozenset(without)


def _grey(image: Image.Image) -> tuple[np.ndarray, float]:
    """Reduce a picture to grey of a size to work on, uint8, and say by what factor it shrank."""
    longest = max(image.size)
    factor = 1.0
    if longest > _LONGEST:
        factor = _LONGEST / longest
    elif longest < _SHORTEST:
        factor = float(-(-_SHORTEST // longest))
    if factor != 1:
        size = [max(1, round(side * factor)) for side in image.size]
        kind = Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.BOX
        whole, image = image, image.resize(size, kind)
        if factor < 1 and _contrast(image) < _FADED * _contrast(whole):
            image = _boldened(whole, round(1 / factor), size)
    if image.mode == "L":
        return np.asarray(image), factor
    channels = [np.asarray(image.convert("L")), *np.moveaxis(np.asarray(image), -1, 0)]
    spreads = [np.ptp(np.percentile(channel[::2, ::2], (0.5, 99.5))) for channel in channels]
    # Yellow ink is nearly as light as paper, but not in the blue channel.
    best = int(np.argmax(spreads))
    return channels[best if spreads[best] > 1.5 * spreads[0] else 0], factor


def _contrast(image: Image.Image) -> float:
    """Say how far the ink differs from the paper, in grey, if there is a stroke's length of it."""
    length = max(image.size) // 2
    counts = np.array(image.convert("L").histogram())
    paper = np.searchsorted(np.cumsum(counts), counts.sum() / 2)
    far = np.bincount(np.abs(np.arange(256) - paper), counts)
    farther = np.cumsum(np.pad(far, (0, 256 - len(far)))[::-1])
    return float(255 - np.searchsorted(farther, length))


def _boldened(image: Image.Image, times: int, size: Sequence[int]) -> Image.Image:
    """Make strokes of a pixel so wide that they survive when the picture shrinks so many times.

    Returns:
        The picture, shrunk to this size, width and height.
    """
    counts = np.array(image.convert("L").histogram())
    middle = np.mean(_middles(counts))
    dark = np.sum(counts * (np.arange(256.0) - middle) ** 3) < 0
    window = 2 * (times // 2) + 3
    # One after the other: a large picture is larger still in colours.
    bands = []
    for band in image.split():
        values = np.asarray(band)
        for axis in (0, 1):
            values = _extreme(values, window, axis, np.minimum if dark else np.maximum)
        bands.append(Image.fromarray(values).resize(size, Image.Resampling.BOX))
    return Image.merge(image.mode, bands)


def _middles(counts: np.ndarray) -> list[int]:
    """Give the two values in the middle, of which it is known how often each value is there."""
    reached = np.cumsum(counts)
    return [int(np.searchsorted(reached, reached[-1] / 2, side)) for side in ("left", "right")]


def _extreme(values: np.ndarray, window: int, axis: int, choose: np.ufunc) -> np.ndarray:
    """Give the least (or greatest) value within a window along an axis; edges are continued.

    By doubling, which takes as many steps as the logarithm of the window. Filters of Pillow and
    SciPy give the same; for the largest pictures they take seconds.
    """
    room = [(0, 0)] * values.ndim
    room[axis] = (window // 2, window // 2)
    # The axis first: a view.
    values = np.moveaxis(np.pad(values, room, mode="edge"), axis, 0)
    reached = 1
    while reached < window:
        step = min(reached, window - reached)
        values = choose(values[:-step], values[step:])
        reached += step
    return np.ascontiguousarray(np.moveaxis(values, 0, axis))


def _ink_and_mask(grey: np.ndarray, without: frozenset[str]) -> tuple[np.ndarray, np.ndarray]:
    if min(grey.shape) > 2 * _SHORTEST // 3:
        grey = _without_grain(grey)
    grey = paper.alone(grey)
    light = grey.astype(np.float32) / 255
    rim = max(1, round(0.03 * min(grey.shape)))
    border = np.concatenate(
        [light[:rim].ravel(), light[-rim:].ravel(), light[:, :rim].ravel(), light[:, -rim:].ravel()]
    )
    ground = np.median(border)
    even = _NORMAL * np.median(np.abs(border - ground)) < 0.02 or "background" in without
    grounds = [ground]
    if not even:
        windows = (max(light.shape) // share for share in (2, 6))
        grounds = [ndimage.uniform_filter(light, window) for window in windows]
    # Strokes are few and differ much: the sign of the third moment is their side. A shadow can
    # outweigh small dark digits in the wider view, and thick ones look light in the narrower.
    if "polarity" not in without and all(np.mean((light - at) ** 3) > 0 for at in grounds):
        light, ground = 1 - light, 1 - ground
    if not even:
        ground = _paper(light)
    ink = np.clip(1 - light / np.maximum(ground, 0.05), 0, 1).astype(np.float32)
    return ink, _mask(ink)


def _without_grain(grey: np.ndarray) -> np.ndarray:
    """Take away specks of a pixel or two, but no strokes, even of a pixel.

    A median of 3 × 3, which would take thin strokes as well. What it fades clearly is left to one
    in which the middle counts five times (a centre-weighted median: Ko and Lee 1991, "Center
    weighted median filters and their applications to image enhancement"): there, a pixel gives way
    if all of its neighbours but one are lighter, or all but one darker.
    """
    image = Image.fromarray(grey)
    ranked = _ranked(grey)
    least, calm, most = ranked[2], ranked[4], ranked[6]
    contrast = _contrast(image)
    if _contrast(Image.fromarray(calm)) < _FADED * contrast:
        return np.asarray(_boldened(image, 1, image.size))
    weighted = np.clip(grey, least, most)
    faded = np.abs(weighted.astype(int) - calm) > (1 - _FADED) * contrast
    return np.where(faded, weighted, calm)


# Pairs of places to be put in order, one after the other, until nine values are sorted.
_SORTING = (
    *((0, 3), (1, 7), (2, 5), (4, 8), (0, 7), (2, 4), (3, 8), (5, 6), (0, 2), (1, 3), (4, 5)),
    *((7, 8), (1, 4), (3, 6), (5, 7), (0, 1), (2, 4), (3, 5), (6, 8), (2, 3), (4, 5), (6, 7)),
    *((1, 2), (3, 4), (5, 6)),
)


def _ranked(grey: np.ndarray) -> list[np.ndarray]:
    """Sort, for each place, the nine values in the window of 3 × 3 around it; edges are continued.

    By a sorting network (Knuth, "The Art of Computer Programming", volume 3, section 5.3.4), with
    which all places are sorted at once: an eighth of the time of Pillow's filters.
    """
    height, width = grey.shape
    padded = np.pad(grey, 1, mode="edge")
    values = [
        padded[top : top + height, left : left + width] for top in range(3) for left in range(3)
    ]
    for one, other in _SORTING:
        low, high = values[one], values[other]
        values[one], values[other] = np.minimum(low, high), np.maximum(low, high)
    return values


def _paper(light: np.ndarray) -> np.ndarray:
    """Estimate the light that the paper alone would give back, shadows included."""
    height, width = light.shape
    small = _blocks(light, max(1, min(light.shape) // 100)).mean(axis=(1, 3))
    window = max(3, round(min(small.shape) / 4))
    # Strokes narrower than the window are filled from their surroundings; shadows are wider.
    small = ndimage.grey_closing(small, (window, window), mode="nearest")
    small = ndimage.gaussian_filter(small, window / 12, mode="nearest")
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


def _blocks(image: np.ndarray, step: int) -> np.ndarray:
    """Cut an image into squares of ``step`` pixels: (rows, step, columns, step)."""
    rows, columns = (length // step for length in image.shape)
    return image[: rows * step, : columns * step].reshape(rows, step, columns, step)


def _mask(ink: np.ndarray) -> np.ndarray:
    from skimage.filters import apply_hysteresis_threshold, threshold_otsu

    paper = ink[ink <= threshold_otsu(ink)] if np.ptp(ink) > 0 else ink
    middle = np.median(paper)
    noise = _NORMAL * np.median(np.abs(paper - middle))
    floor = max(0.12, middle + 5 * noise)
    strong = ink > floor
    if np.count_nonzero(strong) < max(12, 1e-4 * ink.size):
        raise NoDigitFound("the picture is blank: nothing in it differs clearly from the paper")
    # Walls of a form, faint or dark, are looked for where they are whole.
    printed = forms.find(ink > max(0.06, middle + 5 * noise))
    ink = np.where(printed & ~_written_over(ink, printed, strong), 0, ink)
    # A shadow's corner can be darker than faint ink, and would take the threshold with it.
    ink = np.where(_without_edges(ink > floor), ink, 0)
    inked = ink[_without_specks(ink > floor)]
    if inked.size == 0:
        raise NoDigitFound("the picture holds an edge or a shadow, but no digit")
    # Among what differs from the paper: ruled lines are fainter than strokes.
    threshold = threshold_otsu(inked) if np.ptp(inked) > 0.05 else floor
    threshold = min(threshold, 0.6 * inked.max())
    mask = apply_hysteresis_threshold(ink, max(floor, 0.7 * threshold), threshold)
    return _without_edges(_without_ruling(mask), cut=True)


def _written_over(ink: np.ndarray, printed: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Find where a stroke runs along a printed line: there it is as dark as the other strokes."""
    strokes_ink = ink[strong & ~printed]
    if not printed.any() or strokes_ink.size == 0:
        return np.zeros_like(printed)
    # Not their soft edges.
    line, stroke = np.percentile(ink[printed], 90), np.percentile(strokes_ink, 75)
    if line > 0.75 * stroke:
        return np.zeros_like(printed)
    return ink > (line + stroke) / 2


def _without_edges(mask: np.ndarray, *, cut: bool = False) -> np.ndarray:
    """Take away what lies along the edge of the picture, where something stands free of it.

    With ``cut``, also what merely reaches the edge, where something of a digit's size is free.
    """
    labels, boxes, areas = strokes.pieces(mask)
    sides = np.array([_sides(box) for box in boxes]).reshape(-1, 2)
    sizes, longest = sides.max(axis=1, initial=0), max(mask.shape)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    contact = np.bincount(rim, minlength=len(boxes) + 1)[1:]
    # A band along a whole side is no digit, whatever else there is.
    shares = sides / mask.shape
    band = (shares.max(axis=1, initial=0) > 0.9) & (shares.min(axis=1, initial=1) < 0.3)
    foreign = band & (contact > 0) & (contact >= 0.9 * sizes)
    free = max(sizes[contact == 0], default=0)
    # A shadow's corner is filled, which a digit on squared paper is not, though it touches too.
    filled = areas >= 0.25 * sides.prod(axis=1)
    foreign |= (contact >= 0.5 * sizes) & filled & (free >= 0.04 * longest)
    if cut and free >= max(0.08 * longest, 0.25 * max(sizes[contact > 0], default=0)):
        # A stroke of the digit may reach the edge too: it is smaller, and meets it end on.
        foreign |= (contact > 0) & ((contact >= 0.3 * sizes) | (sizes > free))
    return mask & ~np.isin(labels, 1 + np.flatnonzero(foreign))


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Take away what is too small to be a digit, where there is something larger."""
    labels, boxes, _ = strokes.pieces(mask)
    small = [max(_sides(box)) < 0.04 * max(mask.shape) for box in boxes]
    return mask if all(small) else mask & ~np.isin(labels, 1 + np.flatnonzero(small))


def _sides(box: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = box
    return rows.stop - rows.start, columns.stop - columns.start


def _without_ruling(mask: np.ndarray) -> np.ndarray:
    """Take ruled lines away: straight, near upright or level, thin, from edge to edge."""
    from skimage.transform import hough_line, hough_line_peaks

    thickest = max(3, round(0.015 * max(mask.shape)))
    thick = ndimage.maximum_filter(ndimage.minimum_filter(mask, thickest + 1), thickest + 1)
    thin = mask & ~thick
    if np.count_nonzero(thin) < 0.7 * min(mask.shape):
        return mask
    step = max(1, max(mask.shape) // 400)
    small = _blocks(thin, step).any(axis=(1, 3))
    angles = np.radians(np.arange(-8, 8.1, 0.25))
    clean = mask.copy()
    for upright, near in ((False, angles + np.pi / 2), (True, angles)):
        length = small.shape[0 if upright else 1]
        view = (mask.T, clean.T) if upright else (mask, clean)
        votes, thetas, distances = hough_line(small, theta=near)
        peaks = hough_line_peaks(
            votes, thetas, distances, min_distance=5, min_angle=10, threshold=0.3 * length
        )
        ends = _ends_of_runs(view[0]) if len(peaks[0]) else ()
        for _, theta, distance in zip(*peaks, strict=True):
            # Along the line: x·cos θ + y·sin θ = distance. An upright one is followed down.
            along, across = np.cos(theta), np.sin(theta)
            if upright:
                along, across = across, along
            start = distance * step / across
            _erase_line(*view, ends, start=start, slope=-along / across, thickest=thickest)
    return clean if clean.any() else mask


def _ends_of_runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find, for each pixel of ink, where the ink above and below it ends: first row, and past."""
    places = np.arange(len(mask))[:, None]
    last = np.maximum.accumulate(np.where(mask, -1, places), axis=0)
    following = np.minimum.accumulate(np.where(mask, len(mask), places)[::-1], axis=0)[::-1]
    return last + 1, following


def _erase_line(
    mask: np.ndarray,
    clean: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
    *,
    start: float,
    slope: float,
    thickest: int,
) -> None:
    """Erase from ``clean`` a line that crosses ``mask`` from left to right, but not what it meets.

    Where a stroke meets the line, the ink is thicker than the line, and stays. ``ends`` are those
    of the runs of ink in ``mask``.
    """
    height, width = mask.shape
    reach = max(4, height // 60)
    columns = np.arange(width)
    rows = np.round(start + slope * columns).astype(int) + np.arange(-reach, reach + 1)[:, None]
    inside = (rows >= 0) & (rows < height)
    inked = inside & mask[np.clip(rows, 0, height - 1), columns]
    met = inked.any(axis=0)
    edge = max(1, width // 25)
    if np.mean(met) < 0.7 or not (met[:edge].any() and met[-edge:].any()):
        return
    # In each column the ink next to the line, of two equally near the upper.
    away = np.where(inked, np.abs(np.arange(-reach, reach + 1))[:, None], reach + 1)
    columns = columns[met]
    nearest = rows[away.argmin(axis=0)[met], columns]
    top, bottom = (end[nearest, columns] for end in ends)
    thickness = np.median(bottom - top)
    if thickness > thickest:
        return
    thin = bottom - top <= 1.5 * thickness + 1
    for column, first, past in zip(columns[thin], top[thin], bottom[thin], strict=True):
        clean[first:past, column] = False


def _normalized(
    group: strokes.Group, ink: np.ndarray, without: frozenset[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Bring a digit's strokes into MNIST's frame: float32 (side, side) and uint8 (28, 28)."""
    left, top, right, bottom = group.box
    longest = strokes.longest(group.box)
    # The grey of a stroke's edge belongs to it: MNIST's digits are anti-aliased.
    around = max(1, longest // 20)
    peak = np.percentile(ink[top:bottom, left:right][group.mask], 90)
    side = max(ink.shape)
    if "box" in without:
        mask = group.whole(ink.shape)
    else:
        first = np.array([max(0, top - around), max(0, left - around)])
        ink = ink[first[0] : bottom + around, first[1] : right + around]
        # Only this piece of the mask is made: a page may hold hundreds of digits.
        before = np.array([top, left]) - first
        after = np.array(ink.shape) - before - group.mask.shape
        mask = np.pad(group.mask, np.stack([before, after], axis=1))
    near = ndimage.maximum_filter(mask, 2 * around + 1)
    weight = np.where(near, np.clip(ink / peak, 0, 1), 0)
    margin = longest // 8
    weight, mask = np.pad(weight, margin), np.pad(mask, margin)
    if "thicken" not in without:
        missing = _missing(group, longest)
        if missing > 0:
            mask = _thickened(mask, missing)
            weight = np.maximum(weight, mask)
    left, top, right, bottom = box = strokes.edges(mask)
    if "box" not in without:
        side = strokes.longest(box) * SIDE / _BOX
    if "center" in without:
        row, column, middle = (top + bottom) / 2, (left + right) / 2, 0.5
    else:
        row, column = (place + 0.5 for place in ndimage.center_of_mass(weight))
        # MNIST's own digits have their centre of mass in the middle of pixel 14, counted from 0.
        middle = 14.5 / SIDE
    margin = math.ceil(side)
    padded = Image.fromarray(np.pad(np.round(weight * 255).astype(np.uint8), margin))
    edges = [margin + place - middle * side for place in (column, row)]
    frame = (*edges, *(edge + side for edge in edges))
    image = padded.resize((SIDE, SIDE), Image.Resampling.BOX, box=frame)
    digit = padded.crop([round(edge) for edge in frame])
    return np.asarray(digit, np.float32) / 255, np.asarray(image)


def _missing(group: strokes.Group, longest: int) -> float:
    """Say how much wider, on each side, strokes should be to be as wide as MNIST's, pixels."""
    # The mean distance to the edge of a bar is a quarter of its width.
    depth = ndimage.distance_transform_edt(np.pad(group.mask, 1))[1:-1, 1:-1]
    width = 4 * depth[group.mask].mean() * _BOX / longest
    return (_THINNEST - width) / 2 * longest / _BOX


def _thickened(mask: np.ndarray, missing: float) -> np.ndarray:
    """Widen strokes by so many pixels on each side."""
    left, top, right, bottom = strokes.edges(mask)
    near = math.ceil(missing)
    place = np.s_[max(0, top - near) : bottom + near, max(0, left - near) : right + near]
    thickened = mask.copy()
    thickened[place] = ndimage.distance_transform_edt(~mask[place]) <= missing
    return thickened
