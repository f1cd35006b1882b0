"""Strokes: the connected pieces of ink of a mask, and which of them are pieces of one digit.

Imports without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mnistlib import lines
from mnistlib.pictures import PictureError

MOST_STROKES, MOST_DIGITS = 2_000, 500
"""Of how many strokes digits are gathered, and how many digits a picture may hold. A page of
handwriting has a tenth of that; a picture made to keep a computer busy, many times as much."""


class NoDigitFound(ValueError):
    """The picture holds nothing that could be a digit."""


@dataclass(frozen=True, eq=False)
class Group:
    """The strokes of one digit.

    Attributes:
        mask: They alone, bool (height, width), within their edges.
        box: Left, top, right and bottom edge in the whole picture, pixels.
        pieces: How many strokes there are that do not hang together.
    """

    mask: np.ndarray
    box: lines.Box
    pieces: int = 1

    def whole(self, shape: tuple[int, int]) -> np.ndarray:
        """Give the strokes in a mask of the whole picture, bool (height, width)."""
        left, top, right, bottom = self.box
        mask = np.zeros(shape, bool)
        mask[top:bottom, left:right] = self.mask
        return mask

    def part(self, mask: np.ndarray) -> Group:
        """Make a group of a part of the strokes, given as a mask of the size of this one's."""
        left, top, right, bottom = edges(mask)
        box = (self.box[0] + left, self.box[1] + top, self.box[0] + right, self.box[1] + bottom)
        return Group(mask[top:bottom, left:right], box)


def pieces(mask: np.ndarray) -> tuple[np.ndarray, list[tuple[slice, slice]], np.ndarray]:
    """Number the connected pieces of a mask from 1; their boxes and their areas, pixels."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return labels, ndimage.find_objects(labels), areas


def groups(mask: np.ndarray, *, by_line: bool = False) -> list[Group]:
    """Gather the strokes of each digit.

    With ``by_line``, strokes that stand on different lines are kept apart.

    Raises:
        NoDigitFound: Nothing in the mask could be a digit.
        PictureError: There are more than ``MOST_STROKES`` strokes or ``MOST_DIGITS`` digits.
    """
    labels, boxes, areas = pieces(mask)
    strokes = _of_some_size(_Strokes.of(boxes, areas), least=max(10, 0.02 * max(mask.shape)))
    on = _lines_of_strokes(strokes) if by_line else np.full(len(strokes), -1)
    # The largest first: a fragment goes to a digit that is there already.
    order = np.argsort(-strokes.area, kind="stable")
    gathered = _gather(strokes[order], on[order], by_line=by_line)
    gathered = [order[members] for members in gathered]
    if by_line:
        gathered = _with_their_bars(gathered, strokes, on)
    # What is far smaller than the largest is a speck, a comma or a stain, but no digit.
    around = [strokes.around(members) for members in gathered]
    least = 0.25 * max(longest(box) for box in around)
    found = [pair for pair in zip(gathered, around, strict=True) if longest(pair[1]) >= least]
    if len(found) > MOST_DIGITS:
        raise PictureError(
            f"the picture holds {len(found):,} digits or what looks like digits; at most "
            f"{MOST_DIGITS} are read: cut it into parts"
        )
    made = []
    chosen = np.zeros(len(boxes) + 1, bool)
    for members, (left, top, right, bottom) in found:
        chosen[strokes.number[members]] = True
        group = chosen[labels[top:bottom, left:right]]
        chosen[strokes.number[members]] = False
        if not _is_blob(group):
            made.append(Group(group, (left, top, right, bottom), len(members)))
    if not made:
        raise NoDigitFound("the picture holds blots, but no strokes that could be a digit")
    return made


def _of_some_size(strokes: _Strokes, *, least: float) -> _Strokes:
    """Leave out frames around others, and what is far smaller than the largest stroke.

    Specks of dust and the grain of a photograph may be many thousand: they are compared with none
    but the large ones.
    """
    size = strokes.size

    def is_frame(place: int) -> bool:
        return bool(strokes[place].frames(strokes).any())

    def first(order: np.ndarray) -> int | None:
        return next((place for place in order if not is_frame(place)), None)

    large = np.flatnonzero(size >= least)
    tallest = first(large[np.argsort(-size[large], kind="stable")])
    if tallest is None:
        raise NoDigitFound("the picture holds specks, but nothing as large as a digit")
    largest = first(np.argsort(-strokes.area, kind="stable"))
    kept = (size >= 0.12 * size[tallest]) & (strokes.area >= 0.02 * strokes.area[largest])
    places = np.flatnonzero(kept)
    if len(places) > MOST_STROKES:
        raise PictureError(
            f"the picture holds {len(places):,} strokes or specks; of at most {MOST_STROKES:,}, "
            "digits are gathered: cut out the part with the digits, or take a clearer picture"
        )
    return strokes[[place for place in places if not is_frame(place)]]


def _gather(strokes: _Strokes, on: np.ndarray, *, by_line: bool) -> list[np.ndarray]:
    """Gather strokes, the largest first, into digits.

    Returns:
        For each digit, the places of its strokes.
    """
    home = np.zeros(len(strokes), int)
    count = 0
    for place in range(len(strokes)):
        one, others, homes = strokes[place], strokes[:place], home[:place]
        tops = one.tops(others) if by_line else np.zeros(place, bool)
        joined = np.zeros(count, bool)
        joined[homes[one.belongs_to(others) | tops]] = True
        joined[homes[_on_other_lines(on[place], on[:place])]] = False
        found = np.flatnonzero(joined)
        if len(found) == 0:
            home[place] = count
            count += 1
        elif len(found) == 1 or (on < 0).all():
            home[place] = found[0]
        else:
            # Between two lines, a fragment belongs to the digit whose bar it is, or to the nearer.
            topped, gap = np.zeros(count, bool), np.full(count, np.inf)
            topped[homes[tops]] = True
            np.minimum.at(gap, homes, one.gap(others))
            home[place] = min(found, key=lambda digit: (not topped[digit], gap[digit]))
    return [np.flatnonzero(home == digit) for digit in range(count)]


def _lines_of_strokes(strokes: _Strokes) -> np.ndarray:
    """Say on which line strokes stand, the tall ones and what is beside one of these.

    Returns:
        The line of each stroke, int (n,); -1 where that is not known, or if there is but one line.
    """
    on = np.full(len(strokes), -1)
    height = strokes.bottom - strokes.top
    is_tall = height >= 0.45 * height.max()
    tall, short = np.flatnonzero(is_tall), np.flatnonzero(~is_tall)
    found = lines.find(strokes[tall].boxes())
    # What stands alone above or below may be half of a digit in two pieces, unless the other line
    # is a line beyond doubt.
    if len(found) < 2 or max(map(len, found)) < 2:
        return on
    line = np.repeat(np.arange(len(found)), [len(places) for places in found])
    tall = tall[np.concatenate(found)]
    on[tall] = line
    others = strokes[tall]
    for place in short:
        # On each line, the digit next to it.
        order = np.lexsort((strokes[place].distance_across(others), line))
        nearest = order[np.searchsorted(line, np.arange(len(found)))]
        beside = np.flatnonzero(strokes[place].is_beside(others[nearest]))
        if len(beside) == 1:
            on[place] = beside[0]
    return on


def _with_their_bars(
    groups: Sequence[np.ndarray], strokes: _Strokes, on: np.ndarray
) -> list[np.ndarray]:
    """Give a bar back to the digit beside which it stands, where that is in pieces itself."""
    kept: list[np.ndarray] = []
    around = np.zeros((len(groups), 4), int)
    for group in sorted(groups, key=lambda group: -strokes.area[group].sum()):
        box = np.array([strokes.around(group)])
        bar, homes = _Strokes.at(box)[0], _Strokes.at(around[: len(kept)])
        home = next(
            (
                place
                for place in np.flatnonzero(bar.tops(homes))
                if not any(_on_other_lines(line, on[kept[place]]).any() for line in on[group])
            ),
            None,
        )
        if home is None:
            around[len(kept)] = box[0]
            kept.append(group)
        else:
            kept[home] = np.concatenate([kept[home], group])
            around[home] = strokes.around(kept[home])
    return kept


def _on_other_lines(line: int, others: np.ndarray) -> np.ndarray:
    """Which of these lines are known to be another than the one."""
    return (others != line) & (others >= 0) & (line >= 0)


@dataclass(frozen=True, eq=False)
class _Strokes:
    """Connected pieces of ink: their numbers, edges and areas, pixels; arrays (n,), or one's own.

    Methods that compare take one stroke with many others.
    """

    number: np.ndarray
    left: np.ndarray
    top: np.ndarray
    right: np.ndarray
    bottom: np.ndarray
    area: np.ndarray

    @classmethod
    def of(cls, boxes: Sequence[tuple[slice, slice]], areas: np.ndarray) -> _Strokes:
        places = [(c.start, r.start, c.stop, r.stop) for r, c in boxes]
        edges = np.array(places, int).reshape(-1, 4)
        return cls(np.arange(1, len(boxes) + 1), *edges.T, np.asarray(areas))

    @classmethod
    def at(cls, boxes: np.ndarray) -> _Strokes:
        """Take boxes, int (n, 4), as strokes."""
        return cls(np.arange(len(boxes)), *boxes.T, np.zeros(len(boxes)))

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, places: int | slice | Sequence[int] | np.ndarray) -> _Strokes:
        if isinstance(places, list):
            places = np.array(places, int)
        fields = (self.number, self.left, self.top, self.right, self.bottom, self.area)
        return _Strokes(*(field[places] for field in fields))

    def boxes(self) -> list[lines.Box]:
        edges = np.stack([self.left, self.top, self.right, self.bottom], axis=1)
        return [tuple(box) for box in edges.tolist()]

    def around(self, places: np.ndarray) -> lines.Box:
        """Give the edges around some of them."""
        return (
            int(self.left[places].min()),
            int(self.top[places].min()),
            int(self.right[places].max()),
            int(self.bottom[places].max()),
        )

    @property
    def size(self) -> np.ndarray:
        return np.maximum(self.bottom - self.top, self.right - self.left)

    def tops(self, other: _Strokes) -> np.ndarray:
        """Whether this is a bar beside the upper half of the other, as of a five in two strokes.

        Signs stand lower (a minus, a comma) or further off.
        """
        height = other.bottom - other.top
        across = np.maximum(self.left, other.left) - np.minimum(self.right, other.right)
        low = other.top + 0.5 * height
        return (
            (self.bottom - self.top < 0.45 * height)
            & (self.bottom < low)
            & (across <= 0.12 * height)
            & (other.top - self.bottom <= 0.3 * height)
        )

    def distance_across(self, other: _Strokes) -> np.ndarray:
        """How far the middles are apart, from left to right."""
        return np.abs(self.left + self.right - other.left - other.right) / 2

    def is_beside(self, other: _Strokes) -> np.ndarray:
        """Whether it lies between the other's upper and lower edge, but for a tenth."""
        shared = np.minimum(self.bottom, other.bottom) - np.maximum(self.top, other.top)
        return shared >= 0.9 * (self.bottom - self.top)

    def gap(self, other: _Strokes) -> np.ndarray:
        """How far the other is above or below; negative where it is beside."""
        return np.maximum(self.top, other.top) - np.minimum(self.bottom, other.bottom)

    def frames(self, other: _Strokes) -> np.ndarray:
        """Whether the other, of a digit's size, stands within this one's edges, free of them."""
        return (
            (self.left < other.left)
            & (other.right < self.right)
            & (self.top < other.top)
            & (other.bottom < self.bottom)
            & (other.size >= 0.35 * self.size)
        )

    def belongs_to(self, other: _Strokes) -> np.ndarray:
        """Whether both are pieces of one digit: over one another, or a fragment close by."""
        across = np.minimum(self.right, other.right) - np.maximum(self.left, other.left)
        apart = self.gap(other)
        taller = np.maximum(self.size, other.size)
        narrower = np.minimum(self.right - self.left, other.right - other.left)
        fragment = np.minimum(self.size, other.size) < 0.6 * taller
        close = (-across <= 0.1 * taller) & (apart <= 0) & fragment
        return np.where(across >= 0.4 * narrower, apart <= 0.4 * taller, close)


def _is_blob(group: np.ndarray) -> bool:
    """Whether one disc covers most of it, as of a blot or of a dark picture's corner."""
    depth = ndimage.distance_transform_edt(np.pad(group, 1))
    return 2 * depth.max() > 0.7 * max(group.shape)


def edges(mask: np.ndarray) -> lines.Box:
    """Find the left, top, right and bottom edge of what is set in a mask, pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def longest(box: lines.Box) -> int:
    """Give the longer side of a box, pixels."""
    left, top, right, bottom = box
    return max(right - left, bottom - top)
