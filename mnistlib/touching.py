"""Touching digits: where two that hang together could be cut apart.

Imports without TensorFlow.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mnistlib import strokes

# What is at least so wide, in heights, may be two digits; a cut goes through no more ink than this
# times a stroke's width; and on each side of it stands ink of at least this share of the height.
_WIDE, _THROUGH, _HEIGHT = 0.9, 2.0, 0.55


def halves(group: np.ndarray) -> list[np.ndarray]:
    """Cut what may be two digits that touch, along the seam with the least ink.

    A wide 4 can be cut in two as well: which it is, a network has to say.

    Args:
        group: The strokes, bool (height, width).

    Returns:
        The left part and the right, like ``group``; empty if it cannot be two digits.
    """
    left, top, right, bottom = strokes.edges(group)
    height, width = bottom - top, right - left
    margin = max(2, round(0.2 * height))
    if width < max(_WIDE * height, 2 * margin + 1):
        return []
    ink = group[top:bottom, left:right]
    depth = ndimage.distance_transform_edt(np.pad(ink, 1))[1:-1, 1:-1]
    # The mean distance to the edge of a bar is a quarter of its width.
    stroke = 4 * depth[ink].mean()
    cost, seam = _seam(ink, margin=margin, stroke=stroke)
    if cost > _THROUGH * stroke:
        return []
    columns = np.arange(width)
    parts = []
    for side in (ink & (columns < seam[:, None]), ink & (columns >= seam[:, None])):
        rows = np.flatnonzero(side.any(axis=1))
        if len(rows) == 0 or np.ptp(rows) + 1 < _HEIGHT * height:
            return []
        whole = np.zeros_like(group)
        whole[top:bottom, left:right] = side
        parts.append(whole)
    return parts


def _seam(ink: np.ndarray, *, margin: int, stroke: float) -> tuple[float, np.ndarray]:
    """Find the way from top to bottom through the least ink, at least so far from both sides.

    Of ways that differ by less than a stroke's width, the nearer to the middle is taken.

    Dynamic programming, as for seam carving (Avidan and Shamir 2007, "Seam carving for
    content-aware image resizing"): from row to row, it moves by a pixel at most.

    Returns:
        How much ink it goes through, pixels; and its column in each row.
    """
    height, width = ink.shape
    off = np.abs(np.arange(margin, width - margin) - width / 2) / width
    cost = ink[:, margin : width - margin].astype(float)
    # A bend costs a little, so that of equal seams the straightest is taken.
    total = cost + 2 * off * stroke / height
    steps = np.zeros(total.shape, int)
    for row in range(1, height):
        above = np.pad(total[row - 1], 1, constant_values=np.inf)
        ways = np.stack([above[:-2] + 0.01, above[1:-1], above[2:] + 0.01])
        steps[row] = ways.argmin(axis=0) - 1
        total[row] += ways.min(axis=0)
    seam = np.zeros(height, int)
    seam[-1] = int(total[-1].argmin())
    for row in range(height - 1, 0, -1):
        seam[row - 1] = seam[row] + steps[row, seam[row]]
    return float(cost[np.arange(height), seam].sum()), seam + margin
