"""Strokes: the connected pieces of ink of a mask, and which of them are pieces of one digit.

Imports without TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mnistlib import lines


class NoDigitFound(ValueError):
    """The picture holds nothing that could be a digit."""


def pieces(mask: np.ndarray) -> tuple[np.ndarray, list[tuple[slice, slice]], np.ndarray]:
    """Number the connected pieces of a mask from 1; their boxes and their areas, pixels."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return labels, ndimage.find_objects(labels), areas


def groups(mask: np.ndarray, *, by_line: bool = False) -> list[np.ndarray]:
    """Gather the strokes of each digit: one bool (height, width) for each.

    With ``by_line``, strokes that stand on different lines are kept apart.
    """
    labels, boxes, areas = pieces(mask)
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
    gathered: list[list[_Stroke]] = []
    for stroke in sorted(strokes, key=lambda stroke: -stroke.area):
        homes = [
            group
            for group in gathered
            if any(stroke.belongs_to(other) or (by_line and stroke.tops(other)) for other in group)
            and all(_may_join(stroke, other, on) for other in group)
        ]
        # Between two lines, a fragment belongs to the nearer digit.
        home = min(homes, key=stroke.strangeness) if on and homes else next(iter(homes), None)
        if home is None:
            gathered.append([stroke])
        else:
            home.append(stroke)
    if by_line:
        gathered = _with_their_bars(gathered, on)
    # What is far smaller than the largest is a speck, a comma or a stain, but no digit.
    masks = [np.isin(labels, [stroke.number for stroke in group]) for group in gathered]
    sizes = [longest(edges(group)) for group in masks]
    masks = [
        group
        for group, size in zip(masks, sizes, strict=True)
        if size >= 0.25 * max(sizes) and not _is_blob(group)
    ]
    if not masks:
        raise NoDigitFound("the picture holds blots, but no strokes that could be a digit")
    return masks


def _lines_of_strokes(strokes: list[_Stroke]) -> dict[int, int]:
    """Say on which line strokes stand, the tall ones and what is beside one of these.

    Returns:
        A stroke's number → its line; empty if there is but one line.
    """
    tallest = max(stroke.bottom - stroke.top for stroke in strokes)
    tall = [s for s in strokes if s.bottom - s.top >= 0.45 * tallest]
    found = lines.find([(s.left, s.top, s.right, s.bottom) for s in tall])
    # What stands alone above or below may be half of a digit in two pieces, unless the other line
    # is a line beyond doubt.
    if len(found) < 2 or max(map(len, found)) < 2:
        return {}
    on = {tall[place].number: line for line, places in enumerate(found) for place in places}
    for short in (stroke for stroke in strokes if stroke.number not in on):
        # On each line, the digit next to it.
        nearest = [
            min((tall[place] for place in places), key=short.distance_across) for places in found
        ]
        beside = [line for line, other in enumerate(nearest) if short.is_beside(other)]
        if len(beside) == 1:
            on[short.number] = beside[0]
    return on


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

    def distance_across(self, other: _Stroke) -> float:
        """How far the middles are apart, from left to right."""
        return abs(self.left + self.right - other.left - other.right) / 2

    def is_beside(self, other: _Stroke) -> bool:
        """Whether it lies between the other's upper and lower edge, but for a tenth."""
        shared = min(self.bottom, other.bottom) - max(self.top, other.top)
        return shared >= 0.9 * (self.bottom - self.top)

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
    left, top, right, bottom = box = edges(group)
    depth = ndimage.distance_transform_edt(np.pad(group[top:bottom, left:right], 1))
    return 2 * depth.max() > 0.7 * longest(box)


def edges(mask: np.ndarray) -> lines.Box:
    """Find the left, top, right and bottom edge of what is set in a mask, pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def longest(box: lines.Box) -> int:
    """Give the longer side of a box, pixels."""
    left, top, right, bottom = box
    return max(right - left, bottom - top)
