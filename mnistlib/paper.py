"""Paper: on a picture of a sheet that lies on something dark, the sheet is found first.

Imports without TensorFlow.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

# The sheet is looked for on a picture reduced to this size, pixels.
_SIDE = 200
# A sheet is at least so much brighter than the table, of 255; takes at least this share of the
# picture and of the rectangle around it; and no more than that share of the rim may be bright.
_BRIGHTER, _LEAST, _RECTANGULAR, _RIM = 50, 0.12, 0.88, 0.3
_ANGLES = np.radians(np.arange(-15, 15.5, 1.0))


def alone(grey: np.ndarray) -> np.ndarray:
    """Put paper in place of the table, if the picture shows a sheet on a dark one.

    A sheet is bright, nearly a rectangle, mostly surrounded by what is darker, and has ink on it:
    so a white digit on a blackboard is none.

    Args:
        grey: uint8 (height, width).

    Returns:
        The same; where it shows a sheet, what is not the sheet has the brightness of its edge.
    """
    step = max(1, -(-max(grey.shape) // _SIDE))
    small = np.asarray(Image.fromarray(grey).reduce(step))
    sheet = _sheet(small)
    if sheet is None:
        return grey
    size = grey.shape[1], grey.shape[0]
    # A margin, because the edge of a sheet is blurred and casts a shadow.
    inner = ndimage.binary_erosion(sheet, iterations=max(2, round(0.015 * max(small.shape))))
    inside = np.asarray(Image.fromarray(inner).resize(size, Image.Resampling.NEAREST))
    # The brightness of bare paper, strokes closed, carried on beyond the edge.
    bare = ndimage.grey_closing(np.where(inner, small, 0), (9, 9))
    nearest = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    bare = ndimage.gaussian_filter(bare[tuple(nearest)].astype(np.float32), 4)
    around = np.asarray(Image.fromarray(bare).resize(size, Image.Resampling.BILINEAR))
    return np.where(inside, grey, np.round(around).astype(np.uint8))


def _sheet(small: np.ndarray) -> np.ndarray | None:
    """Find the sheet, with what is written on it: bool (height, width), or None."""
    from skimage.filters import threshold_otsu

    if np.ptp(small) < _BRIGHTER:
        return None
    bright = small > threshold_otsu(small)
    if np.median(small[bright]) - np.median(small[~bright]) < _BRIGHTER:
        return None
    rim = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    if rim.mean() > _RIM:
        return None
    labels, count = ndimage.label(bright)
    largest = 1 + int(np.argmax(np.bincount(labels.ravel(), minlength=count + 1)[1:]))
    shown = labels == largest
    sheet = ndimage.binary_fill_holes(shown)
    area = np.count_nonzero(sheet)
    if area < _LEAST * sheet.size or _rectangular(sheet) < _RECTANGULAR:
        return None
    written = np.count_nonzero(sheet & ~shown) / area
    return sheet if 0.002 < written < 0.35 else None


def _rectangular(sheet: np.ndarray) -> float:
    """Say which share of the smallest rectangle around it a shape fills, 0–1."""
    rows, columns = np.nonzero(sheet)
    turns = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
    along = np.ptp(np.outer(columns, turns[0]) + np.outer(rows, turns[1]), axis=0) + 1
    across = np.ptp(np.outer(rows, turns[0]) - np.outer(columns, turns[1]), axis=0) + 1
    return len(rows) / float((along * across).min())
