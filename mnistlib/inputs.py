"""What people hand to ``fit`` and ``predict_proba``, brought to one form or refused by name.

Imports without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mnistlib.data import SIDE


def as_digits(images: np.ndarray) -> np.ndarray:
    """Bring images to uint8 (n, 28, 28).

    Args:
        images: (n, 28, 28), (n, 28, 28, 1), (n, 784), or one image (28, 28) or (784,), of whole
            numbers 0–255 in any type but bool.

    Raises:
        ValueError: The shape is another, or the values are not whole numbers 0–255; says what to do
            about values that were divided by 255.
    """
    images = np.asarray(images)
    one, flat = (SIDE, SIDE), (SIDE * SIDE,)
    shapes = (one, flat, (*one, 1))
    if images.shape not in (one, flat) and images.shape[1:] not in shapes:
        raise ValueError(
            f"images must be (n, {SIDE}, {SIDE}), (n, {SIDE}, {SIDE}, 1) or (n, {SIDE * SIDE}); "
            f"received {images.dtype} {images.shape}"
        )
    return _as_bytes("images", images).reshape(-1, SIDE, SIDE)


def as_features(x: np.ndarray, *, dtype: str | None) -> np.ndarray:
    """Check the inputs of a training and bring them to the type that the model takes.

    Args:
        x: An array, a list of equally shaped rows, or a table (n, …).
        dtype: The type of the model's input, such as ``"uint8"`` or ``"float32"``; None where the
            model does not tell.

    Returns:
        uint8 (n, …) for a model that takes bytes; else numbers as they came, float64 as float32,
        as Keras does.

    Raises:
        ValueError: ``x`` is no array of numbers, holds NaN or infinity, or holds something else
            than whole numbers 0–255 where the model takes bytes.
    """
    x = _as_array("x", x)
    if x.dtype.kind not in "biuf":
        raise ValueError(f"x must hold numbers; received {x.dtype}")
    if x.ndim == 0:
        raise ValueError(f"x must be an array (n, …); received one value, {x!r}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise ValueError(
            f"x must hold finite numbers; received {np.isnan(x).sum():,} NaN and "
            f"{np.isinf(x).sum():,} infinite values: replace or remove them first"
        )
    if dtype == "uint8":
        return _as_bytes("x", x)
    return x.astype(np.float32) if x.dtype == np.float64 else x


def as_labels(y: np.ndarray, *, classes: int, name: str = "y") -> np.ndarray:
    """Check the labels of a classifier.

    Args:
        y: Whole numbers (n,) or (n, 1), in any numeric type or as pandas holds them, or rows
            (n, classes) that sum to one: one-hot, or soft labels.
        classes: How many classes there are.
        name: What to call them in an error.

    Returns:
        int32 (n,), or float32 (n, classes).

    Raises:
        ValueError: They are text, fractions, of another shape, or no classes of the model.
    """
    y = _as_array(name, y)
    if y.dtype.kind == "O":
        y = np.array(y.tolist())
    if y.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must hold whole numbers 0–{classes - 1} or one-hot rows; received "
            f"{_words(y)}: convert it, as by np.asarray({name}).astype(int)"
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2:
        return _as_rows(y, classes=classes, name=name)
    if y.ndim != 1:
        raise ValueError(f"{name} must be (n,) or (n, {classes}); received {y.shape}")
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        raise ValueError(
            f"{name} must hold whole numbers 0–{classes - 1}; received {y.dtype} with fractions "
            "or NaN"
        )
    # A label beyond the classes makes the loss nan, with no word of why.
    if len(y) and (y.min() < 0 or y.max() >= classes):
        raise ValueError(
            f"{name} must hold labels 0–{classes - 1}; received {y.min():g} to {y.max():g}"
        )
    return y.astype(np.int32)


def as_weights(
    y: np.ndarray,
    sample_weight: np.ndarray | None,
    class_weight: Mapping[int, float] | None,
) -> np.ndarray | None:
    """Make one weight a digit, float32 (n,), of what was given; None where nothing was.

    Args:
        y: Labels (n,), or rows (n, classes).
        sample_weight: A weight for each digit (n,).
        class_weight: Class → weight; a class that is left out counts once.

    Raises:
        ValueError: Both are given, or one is not finite, negative or of another length.
    """
    if class_weight is not None and sample_weight is not None:
        raise ValueError("class_weight and sample_weight cannot both be given: multiply them")
    if class_weight is not None:
        labels = y.argmax(axis=1) if y.ndim == 2 else y
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError("class_weight needs labels that are classes; give sample_weight")
        sample_weight = np.array([class_weight.get(int(label), 1.0) for label in labels])
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float32)
    if weights.shape != (len(y),) or not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(
            f"weights must be one finite number from 0 for each of the {len(y):,} digits; received "
            f"{weights.shape}"
        )
    return weights


def _as_rows(y: np.ndarray, *, classes: int, name: str) -> np.ndarray:
    if y.shape[1] != classes:
        raise ValueError(f"{name} must have {classes} columns, one a class; received {y.shape}")
    if not (np.all(y >= 0) and np.allclose(y.sum(axis=1), 1, atol=1e-3)):
        raise ValueError(
            f"{name} must hold rows that sum to one (one-hot, or shares of the classes); received "
            f"sums from {y.sum(axis=1).min():g} to {y.sum(axis=1).max():g}"
        )
    return y.astype(np.float32)


def _as_array(name: str, values: Sequence | np.ndarray) -> np.ndarray:
    """Make an array of what is one, refusing what only looks like one."""
    if not isinstance(values, np.ndarray):
        if not hasattr(values, "__len__") or isinstance(values, str | bytes | Mapping):
            raise ValueError(f"{name} must be an array; received {type(values).__name__}")
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise ValueError(f"{name} must have rows of one shape: {error}") from error
    return values


def _as_bytes(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    wanted = f"{name} must hold whole numbers 0–255, 0 = paper and 255 = ink"
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{wanted}; received {_words(values)}")
    if values.size == 0:
        return values.astype(np.uint8)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if low >= 0 and 0 < high <= 1:
            raise ValueError(
                f"{wanted}; received {values.dtype} from {low:g} to {high:g}, divided by 255 "
                f"already: this network divides by itself, so give it the bytes, "
                f"np.round(255 * {name}).astype(np.uint8)"
            )
        if not np.array_equal(values, np.round(values)):
            raise ValueError(f"{wanted}; received {values.dtype} with fractions or NaN")
    if low < 0 or high > 255:
        raise ValueError(f"{wanted}; received {values.dtype} from {low:g} to {high:g}")
    return values.astype(np.uint8)


def _words(values: np.ndarray) -> str:
    """Say of what kind an array is, as its owner would."""
    if values.dtype.kind in "US":
        return f"text ({str(values.flat[0])!r}, …)" if values.size else "text"
    return "true and false" if values.dtype.kind == "b" else f"{values.dtype} {values.shape}"
