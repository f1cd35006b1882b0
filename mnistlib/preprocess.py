"""Preprocessing: of any picture, the digits in it as MNIST would hold them.

Imports without TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from mnistlib import forms, lines, paper
from mnistlib.data import SIDE
from mnistlib.pictures import Picture, read

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


class NoDigitFound(ValueError):
    """The picture holds nothing that could be a digit."""


@dataclass(frozen=True)
class Digit:
    """One digit of a picture.

    Attributes:
        image: uint8 (28, 28), as MNIST would hold it.
        box: Its left, top, right and bottom edge in the picture, pixels. As in Pillow, the pixels
            at ``right`` and ``bottom`` are just outside.
        line: The line it stands on, counted from 0 at the top of the picture.
    """

    image: np.ndarray
    box: tuple[int, int, int, int]
    line: int = 0


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
        PictureError: It is no picture, is damaged, or is too large.
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
    group = max(_groups(mask), key=np.count_nonzero)
    digit, image = _normalized(group, ink, without)
    return Stages(grey=grey, ink=ink, mask=mask, box=_box(group), digit=digit, image=image)


def segment(picture: Picture) -> list[Digit]:
    """Find the digits of a picture: line by line from the top, each line from left to right.

    Strokes that stand above one another or nearly touch belong together, unless they stand on
    different lines; digits written into each other are not parted. Lines may be tilted by up to 20
    degrees.

    Raises:
        NoDigitFound: As ``to_mnist``.
        PictureError: As ``to_mnist``.
    """
    image = read(picture)
    grey, factor = _grey(image)
    ink, mask = _ink_and_mask(grey, frozenset())
    found = []
    groups = _groups(mask, by_line=True)
    boxes = [_box(group) for group in groups]
    places = [_without_signs(row, boxes) for row in lines.find(boxes)]
    for line, group in ((line, groups[n]) for line, row in enumerate(places) for n in row):
        left, top, right, bottom = (edge / factor for edge in _box(group))
        # The sides were rounded when the picture shrank: the digit ends within the picture.
        width, height = image.size
        box = (
            math.floor(left),
            math.floor(top),
            min(width, math.ceil(right)),
            min(height, math.ceil(bottom)),
        )
        found.append(Digit(_normalized(group, ink, frozenset())[1], box, line))
    return found


def _without_signs(line: Sequence[int], boxes: Sequence[lines.Box]) -> list[int]:
    """Take away what stands between the digits of a line: plus, minus, a point in the middle.

    A sign is flat, or it is clearly smaller than the digits beside it and at half their height, or
    lies in their lower half alone (a comma) or the upper.
    """
    tops, bottoms = (np.array([boxes[place][edge] for place in line]) for edge in (1, 3))
    heights, middles = bottoms - tops, (tops + bottoms) / 2
    widths = np.array([boxes[place][2] - boxes[place][0] for place in line])
    tall = heights >= 0.75 * heights.max()
    height, middle = np.median(heights[tall]), np.median(middles[tall])
    small = (heights <= 0.6 * height) & (widths <= 0.75 * height)
    between = np.abs(middles - middle) <= 0.25 * height
    beside = (heights <= 0.5 * height) & (widths <= 0.4 * height)
    beside &= (tops >= middle - 0.05 * height) | (bottoms <= middle + 0.05 * height)
    flat = heights <= np.minimum(0.4 * widths, 0.4 * height)
    return [place for place, sign in zip(line, small & between | beside | flat, strict=True) if not sign]


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
            image = _boldened(whole, round(1 / factor)).resize(size, kind)
    if image.mode == "L":
        return np.asarray(image), factor
    channels = [np.asarray(image.convert("L")), *np.moveaxis(np.asarray(image), -1, 0)]
    spreads = [np.ptp(np.percentile(channel[::2, ::2], (0.5, 99.5))) for channel in channels]
    # Yellow ink is nearly as light as paper, but not in the blue channel.
    best = int(np.argmax(spreads))
    return channels[best if spreads[best] > 1.5 * spreads[0] else 0], factor


def _contrast(image: Image.Image) -> float:
    """Say how far the ink differs from the paper, in grey, if there is a stroke's length of it."""
    grey = np.asarray(image.convert("L")).astype(np.int16)
    far = np.abs(grey - np.median(grey)).ravel()
    return float(np.partition(far, -max(grey.shape) // 2)[-max(grey.shape) // 2])


def _boldened(image: Image.Image, times: int) -> Image.Image:
    """Make strokes of a pixel so wide that they survive when the picture shrinks so many times."""
    grey = np.asarray(image.convert("L")).astype(np.float32)
    dark = np.mean((grey - np.median(grey)) ** 3) < 0
    kind = ImageFilter.MinFilter if dark else ImageFilter.MaxFilter
    return image.filter(kind(2 * (times // 2) + 3))


def _ink_and_mask(grey: np.ndarray, without: frozenset[str]) -> tuple[np.ndarray, np.ndarray]:
    if min(grey.shape) > 2 * _SHORTEST // 3:
        image = Image.fromarray(grey)
        calm = image.filter(ImageFilter.MedianFilter(3))
        # It takes specks away, and would take strokes of a pixel with them.
        thin = _contrast(calm) < _FADED * _contrast(image)
        grey = np.asarray(_boldened(image, 1) if thin else calm)
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
    ink = np.where(forms.find(ink > max(0.06, middle + 5 * noise)), 0, ink)
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


def _without_edges(mask: np.ndarray, *, cut: bool = False) -> np.ndarray:
    """Take away what lies along the edge of the picture, where something stands free of it.

    With ``cut``, also what merely reaches the edge, where something of a digit's size is free.
    """
    labels, boxes, areas = _pieces(mask)
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
    labels, boxes, _ = _pieces(mask)
    small = [max(_sides(box)) < 0.04 * max(mask.shape) for box in boxes]
    return mask if all(small) else mask & ~np.isin(labels, 1 + np.flatnonzero(small))


def _pieces(mask: np.ndarray) -> tuple[np.ndarray, list[tuple[slice, slice]], np.ndarray]:
    """Number the connected pieces of a mask from 1; their boxes and their areas, pixels."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return labels, ndimage.find_objects(labels), areas


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
            votes, thetas, distances, min_distance=5, min_angle=10, threshold=0.5 * length
        )
        for _, theta, distance in zip(*peaks, strict=True):
            # Along the line: x·cos θ + y·sin θ = distance. An upright one is followed down.
            along, across = np.cos(theta), np.sin(theta)
            if upright:
                along, across = across, along
            start = distance * step / across
            _erase_line(*view, start=start, slope=-along / across, thickest=thickest)
    return clean if clean.any() else mask


def _erase_line(
    mask: np.ndarray, clean: np.ndarray, *, start: float, slope: float, thickest: int
) -> None:
    """Erase from ``clean`` a line that crosses ``mask`` from left to right, but not what it meets.

    Where a stroke meets the line, the ink is thicker than the line, and stays.
    """
    height, width = mask.shape
    reach = max(4, height // 60)
    runs = []
    for column in range(width):
        row = round(start + slope * column)
        low, high = max(0, row - reach), min(height, row + reach + 1)
        inked = np.flatnonzero(mask[low:high, column]) + low
        if len(inked) == 0:
            runs.append(None)
            continue
        top = bottom = inked[np.argmin(np.abs(inked - row))]
        while top > 0 and mask[top - 1, column]:
            top -= 1
        while bottom < height - 1 and mask[bottom + 1, column]:
            bottom += 1
        runs.append((top, bottom + 1))
    met = [run is not None for run in runs]
    edge = max(1, width // 25)
    if np.mean(met) < 0.7 or not (any(met[:edge]) and any(met[-edge:])):
        return
    thickness = np.median([run[1] - run[0] for run in runs if run])
    if thickness > thickest:
        return
    for column, run in enumerate(runs):
        if run and run[1] - run[0] <= 1.5 * thickness + 1:
            clean[run[0] : run[1], column] = False


def _groups(mask: np.ndarray, *, by_line: bool = False) -> list[np.ndarray]:
    """Gather the strokes of each digit: one bool (height, width) for each.

    With ``by_line``, strokes that stand on different lines are kept apart.
    """
    labels, boxes, areas = _pieces(mask)
    strokes = [
        _Stroke(number, rows.start, rows.stop, columns.start, columns.stop, area)
        for number, ((rows, columns), area) in enumerate(zip(boxes, areas, strict=True), 1)
    ]
    strokes = [s for s in strokes if not any(s.frames(other) for other in strokes)]
    tallest = max((stroke.size for stroke in strokes), default=0)
    if tallest < max(10, 0.02 * max(mask.shape)):
        raise NoDigitFound("the picture holds specks, but nothing as large as a digit")
    largest = max(stroke.area for stroke in strokes)
    strokes = [s for s in strokes if s.size >= 0.12 * tallest and s.area >= 0.02 * largest]
    on = _lines_of_strokes(strokes) if by_line else {}
    groups: list[list[_Stroke]] = []
    for stroke in sorted(strokes, key=lambda stroke: -stroke.area):
        homes = [
            group
            for group in groups
            if any(stroke.belongs_to(other) or (by_line and stroke.tops(other)) for other in group)
            and all(_may_join(stroke, other, on) for other in group)
        ]
        # Between two lines, a fragment belongs to the nearer digit.
        home = min(homes, key=stroke.strangeness) if on and homes else next(iter(homes), None)
        if home is None:
            groups.append([stroke])
        else:
            home.append(stroke)
    if by_line:
        groups = _with_their_bars(groups, on)
    # What is far smaller than the largest is a speck, a comma or a stain, but no digit.
    masks = [np.isin(labels, [stroke.number for stroke in group]) for group in groups]
    sizes = [_longest(_box(group)) for group in masks]
    masks = [
        group
        for group, size in zip(masks, sizes, strict=True)
        if size >= 0.25 * max(sizes) and not _is_blob(group)
    ]
    if not masks:
        raise NoDigitFound("the picture holds blots, but no strokes that could be a digit")
    return masks


def _lines_of_strokes(strokes: list[_Stroke]) -> dict[int, int]:
    """Say on which line the tall strokes stand: their number → the line; empty if on one only."""
    tallest = max(stroke.bottom - stroke.top for stroke in strokes)
    tall = [s for s in strokes if s.bottom - s.top >= 0.45 * tallest]
    found = lines.find([(s.left, s.top, s.right, s.bottom) for s in tall])
    # What stands alone above or below may be half of a digit in two pieces, unless the other line
    # is a line beyond doubt.
    if len(found) < 2 or max(map(len, found)) < 2:
        return {}
    return {tall[place].number: line for line, places in enumerate(found) for place in places}


def _with_their_bars(groups: list[list[_Stroke]], on: dict[int, int]) -> list[list[_Stroke]]:
    """Give a bar back to the digit beside which it stands, where that is in pieces itself."""
    kept: list[list[_Stroke]] = []
    for group in sorted(groups, key=lambda group: -sum(stroke.area for stroke in group)):
        bar = _around(group)
        homes = [
            home
            for home in kept
            if bar.tops(_around(home)) and all(_may_join(a, b, on) for a in group for b in home)
        ]
        if homes:
            homes[0].extend(group)
        else:
            kept.append(group)
    return kept


def _around(group: list[_Stroke]) -> _Stroke:
    """Take the strokes of a group as one."""
    return _Stroke(
        number=group[0].number,
        top=min(stroke.top for stroke in group),
        bottom=max(stroke.bottom for stroke in group),
        left=min(stroke.left for stroke in group),
        right=max(stroke.right for stroke in group),
        area=sum(stroke.area for stroke in group),
    )


def _may_join(one: _Stroke, other: _Stroke, on: dict[int, int]) -> bool:
    apart = {on[stroke.number] for stroke in (one, other) if stroke.number in on}
    return len(apart) < 2


@dataclass(frozen=True)
class _Stroke:
    """A connected piece of ink: its number, its edges and its area, pixels."""

    number: int
    top: int
    bottom: int
    left: int
    right: int
    area: float

    @property
    def size(self) -> int:
        return max(self.bottom - self.top, self.right - self.left)

    def tops(self, other: _Stroke) -> bool:
        """Whether this is a bar beside the upper half of the other, as of a five in two strokes.

        Signs stand lower (a minus, a comma) or further off.
        """
        height = other.bottom - other.top
        across = max(self.left, other.left) - min(self.right, other.right)
        low = other.top + 0.5 * height
        return (
            self.bottom - self.top < 0.45 * height
            and self.bottom < low
            and across <= 0.12 * height
            and other.top - self.bottom <= 0.3 * height
        )

    def strangeness(self, others: list[_Stroke]) -> tuple[bool, int]:
        """Compare homes of a fragment: one whose bar it is comes first, then the nearest."""
        gaps = (max(self.top, o.top) - min(self.bottom, o.bottom) for o in others)
        return not any(self.tops(other) for other in others), min(gaps)

    def frames(self, other: _Stroke) -> bool:
        """Whether the other, of a digit's size, stands within this one's edges, free of them."""
        inside = (
            self.left < other.left
            and other.right < self.right
            and self.top < other.top
            and other.bottom < self.bottom
        )
        return inside and other.size >= 0.35 * self.size

    def belongs_to(self, other: _Stroke) -> bool:
        """Whether both are pieces of one digit: over one another, or a fragment close by."""
        across = min(self.right, other.right) - max(self.left, other.left)
        apart = max(self.top, other.top) - min(self.bottom, other.bottom)
        taller = max(self.size, other.size)
        narrower = min(self.right - self.left, other.right - other.left)
        if across >= 0.4 * narrower:
            return apart <= 0.4 * taller
        return -across <= 0.1 * taller and apart <= 0 and min(self.size, other.size) < 0.6 * taller


def _is_blob(group: np.ndarray) -> bool:
    """Whether one disc covers most of it, as of a blot or of a dark picture's corner."""
    left, top, right, bottom = box = _box(group)
    depth = ndimage.distance_transform_edt(np.pad(group[top:bottom, left:right], 1))
    return 2 * depth.max() > 0.7 * _longest(box)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _longest(box: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = box
    return max(right - left, bottom - top)


def _normalized(
    group: np.ndarray, ink: np.ndarray, without: frozenset[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Bring a digit's strokes into MNIST's frame: float32 (side, side) and uint8 (28, 28)."""
    left, top, right, bottom = box = _box(group)
    longest = _longest(box)
    # The grey of a stroke's edge belongs to it: MNIST's digits are anti-aliased.
    around = max(1, longest // 20)
    peak, side = np.percentile(ink[group], 90), max(ink.shape)
    if "box" not in without:
        cut = np.s_[max(0, top - around) : bottom + around, max(0, left - around) : right + around]
        ink, group = ink[cut], group[cut]
    near = ndimage.maximum_filter(group, 2 * around + 1)
    weight = np.where(near, np.clip(ink / peak, 0, 1), 0)
    margin = longest // 8
    weight, group = np.pad(weight, margin), np.pad(group, margin)
    if "thicken" not in without:
        # The mean distance to the edge of a bar is a quarter of its width.
        width = 4 * ndimage.distance_transform_edt(group)[group].mean() * _BOX / longest
        missing = (_THINNEST - width) / 2 * longest / _BOX
        if missing > 0:
            group = ndimage.distance_transform_edt(~group) <= missing
            weight = np.maximum(weight, group)
    left, top, right, bottom = box = _box(group)
    if "box" not in without:
        side = _longest(box) * SIDE / _BOX
    if "center" in without:
        row, column, middle = (top + bottom) / 2, (left + right) / 2, 0.5
    else:
        row, column = (place + 0.5 for place in ndimage.center_of_mass(weight))
        # MNIST's own digits have their centre of mass in the middle of pixel 14, counted from 0.
        middle = 14.5 / SIDE
    margin = math.ceil(side)
    padded = Image.fromarray(np.round(np.pad(weight, margin) * 255).astype(np.uint8))
    edges = [margin + place - middle * side for place in (column, row)]
    frame = (*edges, *(edge + side for edge in edges))
    image = padded.resize((SIDE, SIDE), Image.Resampling.BOX, box=frame)
    digit = padded.crop([round(edge) for edge in frame])
    return np.asarray(digit, np.float32) / 255, np.asarray(image)
