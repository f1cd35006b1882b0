"""In which scale a network of somebody else takes its pixels: found by trying it on known digits.

A network that has learned from pixels divided by 255 still answers when it is given 0–255, and
often rightly, but with nearly every probability at 100 %. So among the scales in which it is about
as accurate as in any, log loss decides, which a wrong answer costs the more the surer it is.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import numpy as np

from mnistlib import data, models
from mnistlib._tensorflow import keras, standard_settings
from mnistlib.data import SIDE

LEAST_ACCURACY = 0.5
"""Of the known digits, below which a network is taken to read something else."""

# So many digits are enough for a network that takes its time, and so many multiplications for all.
_FEWEST, _MOST_WORK = 100, 30_000_000_000
# Within so much of the best accuracy, log loss decides.
_AS_ACCURATE = 0.03
# An answer that is wrong at 100 % costs this much, not infinitely much.
_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Scale:
    """How pixels 0–255 (0 = paper, 255 = ink) are changed before a network sees them.

    Attributes:
        words: What it takes, in words.
        factor: What each pixel is multiplied by.
        offset: What is then added.
    """

    words: str
    factor: float = 1.0
    offset: float = 0.0


BYTES = Scale("pixels 0–255")
SCALES = (
    BYTES,
    Scale("pixels divided by 255", 1 / 255),
    Scale("pixels from -1 to 1", 2 / 255, -1.0),
    # As PyTorch's and many other examples do it: MNIST's mean and standard deviation.
    Scale("pixels less 0.1307, divided by 0.3081", 1 / 255 / 0.3081, -0.1307 / 0.3081),
    Scale("dark ink on light paper, 0–255", -1.0, 255.0),
    Scale("dark ink on light paper, divided by 255", -1 / 255, 1.0),
)
"""What is tried, in this order."""


def adapt(model: keras.Model) -> tuple[keras.Model, Scale]:
    """Make a classifier of digits take pixels 0–255, whatever it has learned from.

    Args:
        model: A classifier of ten classes that takes digits as (28, 28), (28, 28, 1) or (784,), and
            gives probabilities or logits; see ``models.predict_proba``.

    Returns:
        The model as it is where it takes pixels 0–255; else one with the scaling before it. And the
        scale that it takes.

    Raises:
        ValueError: It takes or gives something else, or reads fewer than ``LEAST_ACCURACY`` of the
            known digits in every scale.
        DataUnavailable: There are no digits to try it on.
    """
    # What is no classifier of digits is refused before any digit is looked for.
    models.predict_proba(model, np.zeros((1, SIDE, SIDE), np.uint8))
    digits, labels = known_digits()
    if known := models.cost(model):
        # Of the largest that are opened, a digit takes a tenth of a second: in six scales.
        few = min(len(digits), max(_FEWEST, _MOST_WORK // known.work))
        digits, labels = digits[:few], labels[:few]
    tried = []
    for scale in SCALES:
        scaled = _before(model, scale)
        probabilities = models.predict_proba(scaled, digits)
        right = float((probabilities.argmax(axis=1) == labels).mean())
        tried.append((_loss(labels, probabilities), right, scale, scaled))
    right = max(one[1] for one in tried)
    if right < LEAST_ACCURACY:
        raise ValueError(
            f"model must read digits 0–9; received one that reads {100 * right:.0f} % of "
            f"{len(labels)} known digits at best, of these kinds: "
            f"{'; '.join(one.words for one in SCALES)}. Where it has learned from something else, "
            "put that in its first layer, as by keras.layers.Rescaling"
        )
    accurate = [one for one in tried if one[1] >= right - _AS_ACCURATE]
    _, _, scale, scaled = min(accurate, key=lambda one: one[0])
    return scaled, scale


@functools.cache
def known_digits() -> tuple[np.ndarray, np.ndarray]:
    """Give 500 of the digits that ``data.load`` finds, of those to learn from.

    Returns:
        uint8 (500, 28, 28) and labels (500,).

    Raises:
        DataUnavailable: Neither MNIST nor the offline sample can be had.
    """
    with warnings.catch_warnings():
        # The sample will do.
        warnings.filterwarnings("ignore", message="Running on the offline sample")
        digits = data.load()
    return digits.x_train[-500:], digits.y_train[-500:]


def _loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    given = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, _LEAST_PROBABILITY)).mean())


def _before(model: keras.Model, scale: Scale) -> keras.Model:
    """Put a scale before a model, of Keras's own layers, so that the whole can be saved."""
    if scale is BYTES:
        return model
    shape = models.input_shape(model)
    with standard_settings("float32"):
        pixels = keras.Input((SIDE, SIDE), dtype="uint8", name="pixels")
        x = keras.layers.Rescaling(scale.factor, scale.offset, name="rescale")(pixels)
        x = keras.layers.Reshape(shape, name="reshape")(x)
        return keras.Model(pixels, model(x), name=f"{model.name}_scaled")
