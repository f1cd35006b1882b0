"""Forms: of a mask of ink, the walls of boxes, frames, combs and underlines, taken away.

What is straight, thin and long may be a stroke of a digit as well. So a line goes only for a
reason: it is the wall of a cell in which something is written, or it runs along several digits.
Imports without TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

# Rise by run of lines that are called level or upright: up to some 8 degrees.
_SLOPES = np.arange(-0.14, 0.1401, 0.005)
# A cell holds something if this share of its height is written on; walls must be there for this
# share of each side, because digits may cross them.
_FILLED, _WALLED = 0.25, 0.65
# A form has fewer level lines than this; each is looked at on the whole page.
_MOST_LINES = 60


@dataclass(frozen=True)
class _Lines:
    """Straight thin lines of one direction, seen as level, in a mask made straight.

    Attributes:
        pixels: Which pixels they are, bool (height, width).
        runs: Length of the run of ink across the line at each pixel, int (height, width).
        labels: The number of the line, from 1, along which a pixel lies, also in its gaps.
        boxes: Where each lies: rows and columns.
    """

    pixels: np.ndarray
    runs: np.ndarray
    labels: np.ndarray
    boxes: list[tuple[slice, slice]]

    def thickness(self, number: int) -> float:
        here = self.pixels[self.boxes[number]] & (self.labels[self.boxes[number]] == number + 1)
        return float(np.median(self.runs[self.boxes[number]][here])) if here.any() else 0.0


def find(mask: np.ndarray) -> np.ndarray:
    """Find the lines of a form among the ink of a page, but not the strokes that cross them.

    Walls of cells count if something is written into one of them, those of empty cells of the same
    height with them; so do lines that run along two digits or more, and the teeth of a comb that
    stand on such. The form may be tilted by up to 8 degrees.

    Args:
        mask: What differs from the paper, bool (height, width).

    Returns:
        The pixels of the form, bool (height, width).
    """
    found = np.zeros_like(mask)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0:
        return found
    # Only where there is ink; a margin, because a page ends outside its frame.
    inked = tuple(slice(max(0, places[0] - 2), places[-1] + 3) for places in (rows, columns))
    longest = max(mask.shape)
    thickest = max(8, round(0.02 * longest))
    found[inked] = _find(mask[inked], thickest, least=max(12, round(0.05 * longest)))
    return found


def _find(mask: np.ndarray, thickest: int, *, least: int) -> np.ndarray:
    none = np.zeros_like(mask)
    level = _slope(mask)
    straight = _shear(mask, level)
    # What underlines a number may be thicker than a wall: no cell depends on it.
    across = _lines(straight, round(1.5 * thickest), least)
    if not across.boxes:
        return none
    upright = _slope(straight.T)
    straight = _shear(straight.T, upright).T
    widths = _runs(straight.T).T
    level_walls, down = _lines(straight, thickest, least), _lines(straight.T, thickest, least)
    walls = np.zeros_like(straight)
    # A cell has two walls of either kind.
    if len(level_walls.boxes) > 1 and len(down.boxes) > 1:
        walls = _walls(straight, level_walls, down, thickest)
    walls |= _rules(straight & ~walls, _lines(straight, round(1.5 * thickest), least), widths)
    if not walls.any():
        return none
    walls = _shear(_shear(walls.T, -upright).T, -level)
    place = tuple(
        slice((long - short) // 2, (long - short) // 2 + short)
        for long, short in zip(walls.shape, mask.shape, strict=True)
    )
    return walls[place]


def _slope(mask: np.ndarray) -> float:
    """Find the slope at which the ink falls into the fewest rows: that of long level lines."""
    rows, columns = np.nonzero(mask[::2, ::2])
    if len(rows) == 0:
        return 0.0
    room = mask.shape[1] // 2
    scores = []
    for slope in _SLOPES:
        counts = np.bincount((rows - slope * columns + 0.14 * room + 1).astype(int))
        scores.append(np.sum(counts.astype(float) ** 3))
    # Of equal ones, the smallest: a page lies straight rather than not.
    best = np.array(scores) * (1 - 0.1 * np.abs(_SLOPES) / 0.14)
    return float(_SLOPES[np.argmax(best)])


def _shear(mask: np.ndarray, slope: float) -> np.ndarray:
    """Move each column up by its place times the slope, with room above and below for it."""
    height, width = mask.shape
    moves = np.round(slope * (np.arange(width) - width // 2)).astype(int)
    room = int(np.abs(moves).max(initial=0))
    if room == 0:
        return mask.copy()
    padded = np.pad(mask, ((room, room), (0, 0)))
    rows = np.arange(height + 2 * room)[:, None] + moves
    inside = (rows >= 0) & (rows < len(padded))
    return np.where(inside, padded[np.clip(rows, 0, len(padded) - 1), np.arange(width)], False)


def _lines(mask: np.ndarray, thickest: int, least: int) -> _Lines:
    """Find level lines, no thicker than the one and no shorter than the other, pixels."""
    runs = _runs(mask)
    thin = mask & (runs <= thickest)
    near = ndimage.maximum_filter1d(thin.view(np.uint8), 3, axis=0)
    # Where a stroke crosses, the thin line has a gap, but not the ink.
    gap = 2 * thickest + 1
    closed = ndimage.minimum_filter1d(ndimage.maximum_filter1d(near, gap, axis=1), gap, axis=1)
    near |= closed & mask
    long = ndimage.maximum_filter1d(ndimage.minimum_filter1d(near, least, axis=1), least, axis=1)
    labels, _ = ndimage.label(long, structure=np.ones((3, 3)))
    return _Lines(thin & (labels > 0), runs, labels, ndimage.find_objects(labels))


def _runs(mask: np.ndarray) -> np.ndarray:
    """Measure, at each pixel of ink, the length of the ink above and below it together."""
    height = len(mask)
    places = np.arange(height)[:, None]
    last = np.maximum.accumulate(np.where(mask, -1, places), axis=0)
    following = np.minimum.accumulate(np.where(mask, height, places)[::-1], axis=0)[::-1]
    return np.where(mask, following - last - 1, 0)


def _walls(mask: np.ndarray, across: _Lines, down: _Lines, thickest: int) -> np.ndarray:
    """Find the pixels that are walls of cells with something in one of them."""
    both = (across.labels > 0) | (down.labels.T > 0)
    closed = ndimage.binary_dilation(both, np.ones((3, 3)))
    holes, _ = ndimage.label(~np.pad(closed, 1))
    outside = holes[0, 0]
    level, upright = across.pixels, down.pixels.T
    walls = np.zeros_like(mask)
    cells = []
    for number, found in enumerate(ndimage.find_objects(holes), 1):
        if number == outside or found is None:
            continue
        top, bottom, left, right = (
            found[0].start - 1,
            found[0].stop - 1,
            found[1].start - 1,
            found[1].stop - 1,
        )
        height, width = bottom - top, right - left
        if min(height, width) < 2 * thickest or min(top, left) < 0:
            continue
        # Straight strokes of what is written in it count as lines, too, and cut pieces out of it.
        area = np.count_nonzero(ndimage.binary_fill_holes(holes[found] == number))
        if area < 0.7 * height * width:
            continue
        reach = thickest + 3
        # A wall is looked for outside the hole, which ends a pixel or two before it.
        sides = (
            level[max(0, top - reach) : top + 1, left:right].any(axis=0),
            level[bottom - 1 : bottom + reach, left:right].any(axis=0),
            upright[top:bottom, max(0, left - reach) : left + 1].any(axis=1),
            upright[top:bottom, right - 1 : right + reach].any(axis=1),
        )
        if min(side.mean() for side in sides) < _WALLED:
            continue
        # In its middle: the corners of the hole of a zero are inked as well.
        rim = round(0.15 * min(height, width)) + 2
        inner = mask[top + rim : bottom - rim, left + rim : right - rim]
        inked = np.flatnonzero(inner.any(axis=1))
        filled = len(inked) > 0 and np.ptp(inked) >= _FILLED * height
        cells.append((top, bottom, left, right, filled))
    heights = [bottom - top for top, bottom, _, _, filled in cells if filled]
    either = level | upright
    for top, bottom, left, right, filled in cells:
        if not filled and not any(0.8 < (bottom - top) / height < 1.25 for height in heights):
            continue
        reach = thickest + 3
        first, start = max(0, top - reach), max(0, left - reach)
        place = np.s_[first : bottom + reach, start : right + reach]
        around = either[place].copy()
        around[top + 1 - first : bottom - 1 - first, left + 1 - start : right - 1 - start] = False
        walls[place] |= around
    if not walls.any():
        return walls
    # A stroke that runs along a wall is mostly thicker.
    across_walls, down_walls = across.runs[walls & level], down.runs.T[walls & upright]
    most = 1.6 * np.median(np.concatenate([across_walls, down_walls])) + 1
    thin = (level & (across.runs <= most)) | (upright & (most >= down.runs.T))
    return walls & thin


def _rules(rest: np.ndarray, across: _Lines, widths: np.ndarray) -> np.ndarray:
    """Find the pixels of lines that run along several digits, and of the teeth that stand on one.

    Args:
        rest: The ink without walls of cells.
        across: Level lines.
        widths: Length of the level run of ink at each pixel.
    """
    rules = np.zeros_like(rest)
    if len(across.boxes) > _MOST_LINES:
        return rules
    for number, (_, columns) in enumerate(across.boxes):
        line = across.pixels & (across.labels == number + 1) & rest
        if not line.any():
            continue
        thickness = across.thickness(number)
        # Not the level strokes that end on the line: they are thicker, or lie beside it.
        middle = np.median(np.nonzero(line)[0])
        line &= across.runs <= 1.3 * thickness + 1
        line &= np.abs(np.arange(len(line)) - middle)[:, None] <= thickness + 2
        others, _ = ndimage.label(rest & ~line & ~rules, structure=np.ones((3, 3)))
        places = ndimage.find_objects(others)
        if not places:
            continue
        heights = np.array([rows.stop - rows.start for rows, _ in places])
        middles = np.array([(along.start + along.stop) / 2 for _, along in places])
        tall = heights >= 0.45 * heights.max()
        beside = tall & (middles > columns.start) & (middles < columns.stop)
        if beside.sum() < 2:
            continue
        height, length = np.median(heights[beside]), columns.stop - columns.start
        ends = np.array([rows.stop for rows, _ in places])[beside]
        below = middle >= np.median(ends) - 0.2 * height
        # The bars of fours and fives beside one another make a line as well, but no long one.
        if length >= (1.5 if below else 4) * height:
            rules |= line | _teeth(rest & ~line, line, widths, thickness)
    return rules


def _teeth(rest: np.ndarray, line: np.ndarray, widths: np.ndarray, thickness: float) -> np.ndarray:
    """Find the teeth of a comb: upright, as thin as the line on which they stand, and alike."""
    most = 1.6 * thickness + 2
    reach = round(thickness) + 3
    pieces, _ = ndimage.label(rest & (widths <= most), structure=np.ones((3, 3)))
    standing = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(pieces), 1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        foot = np.s_[
            max(0, rows.stop - 2 * reach) : rows.stop + reach,
            max(0, columns.start - reach) : columns.stop + reach,
        ]
        if width <= most + 0.15 * height and height >= 2 * thickness + 4 and line[foot].any():
            standing.append((number, height))
    alike = [
        number
        for number, height in standing
        if sum(abs(height - other) <= 0.25 * height for _, other in standing) >= 3
    ]
    return np.isin(pieces, alike) & (pieces > 0)
