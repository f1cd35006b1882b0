"""Lines of writing: which of the digits on a page stand beside one another, and in what order.

Imports without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[int, int, int, int]
"""Left, top, right and bottom edge, pixels."""

WIDE = 1.4
"""Width by height beyond which hardly any digit is."""

# Slopes (rise by run) at which a page may lie: up to 20 degrees either way, the smallest first.
_SLOPES = np.tan(np.radians(sorted(np.arange(-20, 20.5, 0.5), key=abs)))
# Two digits stand on one line if this share of the smaller one's height is beside the other.
_BESIDE = 0.5
# One that stands alone joins a line if it reaches into it with this share of its height.
_REACHES = 0.35


def find(boxes: Sequence[Box]) -> list[list[int]]:
    """Gather boxes into lines, also where the page is tilted by up to 20 degrees.

    The tilt is the one at which the boxes, pushed to the left edge along it, cover the fewest rows
    (a projection profile: Postl 1986, "Detection of linear oblique structures and skew scan in
    digitized documents"). Each box then continues the line of the nearest one beside it.

    Args:
        boxes: Edges of the digits, in any order.

    Returns:
        Places in ``boxes``: lines from top to bottom, each from left to right.
    """
    if len(boxes) == 0:
        return []
    left, top, right, bottom = np.array(boxes, float).T
    middle, height = (left + right) / 2, bottom - top
    slope = _slope(middle, top, bottom)
    top, bottom = top - slope * middle, bottom - slope * middle
    home = np.arange(len(boxes))
    for one in range(len(boxes)):
        beside = np.minimum(bottom, bottom[one]) - np.maximum(top, top[one])
        beside = beside >= _BESIDE * np.minimum(height, height[one])
        follows = np.flatnonzero(beside & (middle > middle[one]))
        if len(follows):
            nearest = follows[np.argmin(middle[follows])]
            home[home == home[nearest]] = home[one]
    lines = [np.flatnonzero(home == line) for line in np.unique(home)]
    lines = _with_strays(lines, left, right, top, bottom)
    lines.sort(key=lambda line: float(np.mean((top + bottom)[line])))
    return [sorted(line.tolist(), key=lambda place: boxes[place]) for line in lines]


def _with_strays(
    lines: list[np.ndarray],
    left: np.ndarray,
    right: np.ndarray,
    top: np.ndarray,
    bottom: np.ndarray,
) -> list[np.ndarray]:
    """Give a box that stands alone to the line in whose band it reaches, if there is room for it.

    In the box of a form, a digit may stand so low that the next one is not beside it.
    """
    kept = [line for line in lines if len(line) > 1]
    bands = np.array([_band(line, top, bottom) for line in kept]).reshape(-1, 2)
    for alone in (line for line in lines if len(line) == 1):
        box = alone[0]
        reach = np.minimum(bottom[box], bands[:, 1]) - np.maximum(top[box], bands[:, 0])
        near = np.flatnonzero(reach >= _REACHES * (bottom[box] - top[box]))
        # Of those that it reaches into equally, the last.
        for place in near[np.lexsort((near, reach[near]))][::-1]:
            line = kept[place]
            if len(line) > 1 and ((right[line] <= left[box]) | (left[line] >= right[box])).all():
                kept[place] = np.append(line, box)
                bands[place] = _band(kept[place], top, bottom)
                break
        else:
            kept.append(alone)
            bands = np.append(bands, [_band(alone, top, bottom)], axis=0)
    return kept


def _band(line: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> tuple[float, float]:
    return float(np.median(top[line])), float(np.median(bottom[line]))


def kinds(line: Sequence[Box]) -> list[str]:
    """Say of what stands on a line whether it has the size of a digit.

    Args:
        line: Edges of what stands on it.

    Returns:
        ``"sign"`` for a minus, a dash or a bar, and for what is as small and stands as low as a
        comma; ``"small"`` for what is clearly smaller than the others, at half their height (plus,
        times) or in their lower or upper half alone; ``"wide"`` for what is wider than a digit;
        else ``"digit"``.
    """
    left, top, right, bottom = np.array(line, float).T
    heights, widths, middles = bottom - top, right - left, (top + bottom) / 2
    tall = heights >= 0.75 * heights.max()
    height, middle = np.median(heights[tall]), np.median(middles[tall])
    between = (heights <= 0.6 * height) & (widths <= 0.75 * height)
    between &= np.abs(middles - middle) <= 0.25 * height
    beside = (heights <= 0.5 * height) & (widths <= 0.4 * height)
    beside &= (top >= middle - 0.05 * height) | (bottom <= middle + 0.05 * height)
    flat = heights <= np.minimum(0.4 * widths, 0.4 * height)
    comma = (heights <= 0.4 * height) & (widths <= 0.4 * height) & (top >= middle + 0.05 * height)
    wide = (widths >= WIDE * heights) & (widths >= WIDE * height) & ~flat
    found = np.select([flat | comma, between | beside, wide], ["sign", "small", "wide"], "digit")
    return found.tolist()


def _slope(middle: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> float:
    """Find the slope along which the boxes cover the fewest rows; of equal ones, the smallest."""
    # The ends of digits differ most from one to the next.
    trim = 0.1 * (bottom - top)
    covered = [
        _length(top + trim - slope * middle, bottom - trim - slope * middle) for slope in _SLOPES
    ]
    # A level page is likelier than one whose digits happen to stand better at a slant.
    slack = 0.02 * np.median(bottom - top)
    return float(_SLOPES[np.argmin(covered + slack * np.arange(len(_SLOPES)) / 2)])


def _length(start: np.ndarray, stop: np.ndarray) -> float:
    """Measure how much of a line the intervals cover together."""
    order = np.argsort(start)
    start, reached = start[order], np.maximum.accumulate(stop[order])
    gaps = np.maximum(start[1:] - reached[:-1], 0)
    return float(reached[-1] - start[0] - gaps.sum())
