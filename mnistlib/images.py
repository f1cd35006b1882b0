"""Pictures of digits: shifted, and varied at random for training.

Imports without TensorFlow, which ``vary`` loads when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


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


def vary(
    images: tf.Tensor | np.ndarray,
    seed: int,
    *,
    degrees: float = 10.0,
    zoom: float = 0.1,
    pixels: float = 2.0,
) -> tf.Tensor:
    """Rotate, stretch and move each image at random, a whole batch in one operation.

    Each image gets its own angle, its own factors across and down, and its own move, drawn evenly
    from the ranges given. Values between pixels are interpolated bilinearly.

    Args:
        images: uint8 (n, 28, 28).
        seed: The same seed gives the same images.
        degrees: Largest rotation either way.
        zoom: Largest relative change of width and of height, 0–1.
        pixels: Largest move in either direction.

    Returns:
        uint8 (n, 28, 28).
    """
    from mnistlib._tensorflow import tf

    count, height, width = tf.shape(images)[0], *images.shape[1:]
    draw = tf.random.Generator.from_seed(seed)
    angle = draw.uniform([count], -degrees, degrees) * (np.pi / 180)
    across = 1 + draw.uniform([count], -zoom, zoom)
    down = 1 + draw.uniform([count], -zoom, zoom)
    move_x = draw.uniform([count], -pixels, pixels)
    move_y = draw.uniform([count], -pixels, pixels)
    # The transform maps each output position to the input position that it is read from.
    a, b = tf.cos(angle) / across, tf.sin(angle) / across
    c, d = -tf.sin(angle) / down, tf.cos(angle) / down
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x = middle_x + move_x - a * middle_x - b * middle_y
    y = middle_y + move_y - c * middle_x - d * middle_y
    zero = tf.zeros_like(angle)
    varied = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32)[..., None],
        transforms=tf.stack([a, b, x, c, d, y, zero, zero], axis=1),
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return tf.cast(tf.round(varied[..., 0]), tf.uint8)


def _overlap(length: int, offset: int) -> tuple[slice, slice]:
    """Slices of the target and of the source that a move by ``offset`` maps onto each other."""
    kept = max(0, length - abs(offset))
    target = max(0, offset)
    source = max(0, -offset)
    return slice(target, target + kept), slice(source, source + kept)
