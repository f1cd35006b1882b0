"""Data augmentation by the batch: digits moved, deslanted, and distorted at random.

``shift`` and ``deslant`` also serve test-time augmentation, and need no TensorFlow; ``distort``
loads it when it is called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mnistlib.data import SIDE

if TYPE_CHECKING:
    import tensorflow as tf

# Digits that lean further, columns a row, are deslanted by no more than this.
_STEEPEST = 0.7
# The compiled arithmetic of ``distort`` is for one number of images. These few serve all: compiling
# takes longer than the images that are added to fill one up.
_WARPED_AT_ONCE = (128, 512, 2_048, 8_192)
# What the processor's cache holds; all of MNIST in one go takes several times as long.
_DESLANTED_AT_ONCE = 250


def shift(images: np.ndarray, *, rows: int = 0, columns: int = 0) -> np.ndarray:
    """Move images down by ``rows`` and right by ``columns`` pixels; what leaves the frame is lost.

    Args:
        images: (n, height, width) of any type.
        rows: Pixels to move down; negative moves up.
        columns: Pixels to move right; negative moves left.

    Returns:
        An array of the same shape and type, filled with 0 where nothing moved in.
    """
    moved = np.zeros_like(images)
    height, width = images.shape[1:]
    to_rows, from_rows = _overlap(height, rows)
    to_columns, from_columns = _overlap(width, columns)
    moved[:, to_rows, to_columns] = images[:, from_rows, from_columns]
    return moved


def distort(
    images: tf.Tensor | np.ndarray,
    seed: int,
    *,
    degrees: float = 10.0,
    zoom: float = 0.1,
    pixels: float = 2.0,
    elastic: float = 0.0,
    deslanted: float = 0.0,
) -> tf.Tensor:
    """Rotate, stretch, move and bend each image at random, for data augmentation by the batch.

    Each image gets its own angle, its own factors across and down, and its own move, drawn evenly
    from the ranges given, and its own bend: displacements drawn at 5 × 5 points and interpolated
    between them, a cheap form of the elastic distortions of Simard, Steinkraus and Platt 2003
    (ICDAR, section 2). Values between pixels are interpolated bilinearly.

    Args:
        images: uint8 (n, 28, 28).
        seed: The same seed gives the same images.
        degrees: Largest rotation either way.
        zoom: Largest relative change of width and of height, 0–1.
        pixels: Largest move in either direction.
        elastic: Standard deviation of the displacement at the 25 points, pixels.
        deslanted: Share of the images, 0–1, that are first deslanted as by ``deslant``.

    Returns:
        uint8 (n, 28, 28).
    """
    from mnistlib._tensorflow import tf

    images = tf.convert_to_tensor(images)
    draw, one_each = np.random.default_rng(seed), (len(images), 1, 1)
    angle = np.radians(draw.uniform(-degrees, degrees, one_each))
    across, down = (1 + draw.uniform(-zoom, zoom, one_each) for _ in range(2))
    move_x, move_y = (draw.uniform(-pixels, pixels, one_each) for _ in range(2))
    # Where each pixel of the result is read from: x = a·column + b·row + move, from the middle.
    affine = (
        *(np.cos(angle) / across, np.sin(angle) / across, move_x),
        *(-np.sin(angle) / down, np.cos(angle) / down, move_y),
    )
    bend = draw.standard_normal((2, len(images), 5, 5), np.float32) * np.float32(elastic)
    if deslanted:
        chosen = draw.random(one_each) < deslanted
        affine = _after(affine, *(chosen * part for part in _slant(np.asarray(images))))
    affine = [part.astype(np.float32) for part in affine]
    return _warped(images, affine, bend if elastic else None)


def deslant(images: np.ndarray) -> np.ndarray:
    """Deslant each digit: shear it until its rows' centres lie below one another.

    The shear is that of the straight line through the ink that the second moments give, as for the
    deslanted digits of LeCun, Bottou, Bengio and Haffner 1998 (section III-A). The centre of the
    ink comes to the middle of the frame.

    Args:
        images: uint8 (n, 28, 28).

    Returns:
        uint8 (n, 28, 28).
    """
    images = np.asarray(images)
    deslanted = np.empty_like(images)
    for start in range(0, len(images), _DESLANTED_AT_ONCE):
        part = slice(start, start + _DESLANTED_AT_ONCE)
        deslanted[part] = _sheared(images[part])
    return deslanted


def _sheared(images: np.ndarray) -> np.ndarray:
    lean, column, row = (part.astype(np.float32) for part in _slant(images))
    places = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    down = np.clip(places + row[:, 0] + (SIDE - 1) / 2, -1, SIDE)
    along = np.clip(places + lean * places[:, None] + column + (SIDE - 1) / 2, -1, SIDE)
    top, left = np.floor(down), np.floor(along)
    # One pixel of paper before the image, and two behind it, the second for places on the first.
    padded = np.pad(images.astype(np.float32), ((0, 0), (1, 2), (1, 2)))
    at = top.astype(int)[:, :, None] + 1
    upper, lower = (np.take_along_axis(padded, at + more, axis=1) for more in (0, 1))
    share = (down - top)[:, :, None]
    lines = upper * (1 - share) + lower * share
    at = left.astype(int) + 1
    near, far = (np.take_along_axis(lines, at + more, axis=2) for more in (0, 1))
    share = along - left
    return np.round(near * (1 - share) + far * share).astype(images.dtype)


def _slant(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure how far each digit leans, columns a row, and where its ink is centred: (n, 1, 1).

    The centre is the column and the row, from the middle of the image; of a blank image, all are 0.
    """
    ink = images.astype(np.float32)
    places = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    by_row, by_column = ink.sum(axis=2), ink.sum(axis=1)
    total = np.maximum(by_row.sum(axis=1), 1)
    row, column = by_row @ places / total, by_column @ places / total
    rows, columns = places - row[:, None], places - column[:, None]
    spread = np.maximum((by_row * rows**2).sum(axis=1), 1)
    together = np.einsum("nr,nr->n", np.einsum("nrc,nc->nr", ink, columns), rows)
    lean = np.clip(together / spread, -_STEEPEST, _STEEPEST)
    return tuple(part[:, None, None] for part in (lean, column, row))


def _after(
    affine: tuple[np.ndarray, ...], lean: np.ndarray, column: np.ndarray, row: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Read not from the image where ``affine`` says, but from the deslanted image."""
    a, b, move_x, c, d, move_y = affine
    return (a + lean * c, b + lean * d, move_x + lean * move_y + column, c, d, move_y + row)


def _warped(images: tf.Tensor, affine: list[np.ndarray], bend: np.ndarray | None) -> tf.Tensor:
    """Warp images, filled up to a number for which the arithmetic is compiled already."""
    from mnistlib._tensorflow import tf

    count, most = len(images), _WARPED_AT_ONCE[-1]
    if count > most:
        parts = [slice(start, start + most) for start in range(0, count, most)]
        warped = [
            _warped(
                images[one], [part[one] for part in affine], None if bend is None else bend[:, one]
            )
            for one in parts
        ]
        return tf.concat(warped, axis=0)
    more = next(number for number in _WARPED_AT_ONCE if number >= count) - count
    images = tf.pad(images, [[0, more], [0, 0], [0, 0]])
    affine = [np.pad(part, [(0, more), (0, 0), (0, 0)]) for part in affine]
    if bend is not None:
        bend = np.pad(bend, [(0, 0), (0, more), (0, 0), (0, 0)])
    return _compiled_warp()(images, affine, bend)[:count]


@functools.cache
def _compiled_warp() -> Callable:
    """Compile the arithmetic of ``distort`` into one pass over the pixels."""
    from mnistlib._tensorflow import tf

    def warp(images, affine, bend):
        a, b, move_x, c, d, move_y = affine
        height, width = images.shape[1:]
        row = tf.range(float(height))[None, :, None] - (height - 1) / 2
        column = tf.range(float(width))[None, None, :] - (width - 1) / 2
        x = a * column + b * row + move_x + (width - 1) / 2
        y = c * column + d * row + move_y + (height - 1) / 2
        if bend is not None:
            down, across = (_splines(bend.shape[2], length) for length in (height, width))
            bend_x, bend_y = tf.unstack(tf.einsum("rp,knpq,cq->knrc", down, bend, across))
            x, y = x + bend_x, y + bend_y
        return tf.cast(tf.round(_bilinear(images, x, y)), images.dtype)

    return tf.function(warp, jit_compile=True, autograph=False, reduce_retracing=False)


def _bilinear(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Read each image (n, height, width) at columns x and rows y (n, …); paper all around."""
    from mnistlib._tensorflow import tf

    height, width = images.shape[1:]
    x, y = tf.clip_by_value(x, -1.0, float(width)), tf.clip_by_value(y, -1.0, float(height))
    left, top = tf.floor(x), tf.floor(y)
    right_share, low_share = x - left, y - top
    # One pixel of paper before the image, and two behind it, the second for places on the first.
    pixels = tf.reshape(tf.pad(images, [[0, 0], [1, 2], [1, 2]]), [images.shape[0], -1])
    line = width + 3
    first = (tf.cast(top, tf.int32) + 1) * line + tf.cast(left, tf.int32) + 1

    def at(offset):
        return tf.cast(tf.gather(pixels, first + offset, batch_dims=1), tf.float32)

    upper = at(0) * (1 - right_share) + at(1) * right_share
    lower = at(line) * (1 - right_share) + at(line + 1) * right_share
    return upper * (1 - low_share) + lower * low_share


def _splines(points: int, length: int) -> np.ndarray:
    """Weights, float32 (length, points), of a cubic spline through evenly spaced points."""
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(np.linspace(0, 1, points), np.eye(points))
    return spline(np.linspace(0, 1, length)).astype(np.float32)


def _overlap(length: int, offset: int) -> tuple[slice, slice]:
    """Slices of the target and of the source that a move by ``offset`` maps onto each other."""
    kept = max(0, length - abs(offset))
    target = max(0, offset)
    source = max(0, -offset)
    return slice(target, target + kept), slice(source, source + kept)
