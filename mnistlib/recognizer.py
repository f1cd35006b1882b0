"""A trained network that says how sure it is, and abstains where it is not.

The package carries one (``shipped``). Imports without TensorFlow, which is loaded to train a
network or to open one that Keras saved.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlib import augment, data, inference, metrics, pictures, preprocess
from mnistlib.pictures import Picture

if TYPE_CHECKING:
    import keras

    from mnistlib import handwriting

SHIPPED = Path(__file__).with_name("recognizer.npz")
"""The recognizer that comes with the package. The README names the command that made it."""

# For this share of validation digits, augmented, a trained recognizer is sure. Chosen on writers of
# pendigits set aside, six at a time, from the 30 to learn from: with 0.98, up to 0.7 % of their
# digits were wrong though sure; with 0.96, fewer than 98 % of MNIST's validation digits were sure.
_ANSWERED = 0.97
_EPOCHS = 12


@dataclass(frozen=True)
class Answer:
    """What a recognizer makes of one image.

    Attributes:
        digit: The likeliest digit, 0–9.
        sure: Whether its probability reaches the recognizer's threshold; if not, it abstains.
        top: The three likeliest digits with their calibrated probabilities, likeliest first.
    """

    digit: int
    sure: bool
    top: tuple[tuple[int, float], ...]

    def __str__(self) -> str:
        likely = ", ".join(f"{digit} {100 * share:.1f} %" for digit, share in self.top)
        return f"{self.digit if self.sure else 'not sure'} ({likely})"


@dataclass(frozen=True)
class Recognizer:
    """A network with what was learned about its confidence from digits kept aside.

    Attributes:
        model: uint8 (n, 28, 28) in, probabilities (n, 10) out: of Keras, or one for NumPy alone.
        temperature: What the logarithms of its probabilities are divided by, so that confidence
            matches accuracy (temperature scaling: Guo et al. 2017, arXiv:1706.04599).
        threshold: Least probability, 0–1, at which an answer counts as sure; below, it abstains.
        deslanted: Whether to look at each digit deslanted, too, as the network has learned to.
    """

    model: keras.Model | inference.Network
    temperature: float = 1.0
    threshold: float = 0.9
    deslanted: bool = False

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float (n, 10), of uint8 (n, 28, 28) or of one (28, 28).

        Test-time augmentation: each is an average over the digit moved by up to a pixel in each
        direction, which is more accurate and less sure of itself where the network hesitates.
        """
        predict = _predicting(self.model)
        averaged = inference.predict_tta(predict, digits, shifts=1, deslanted=self.deslanted)
        return metrics.apply_temperature(averaged, self.temperature)

    def answer(self, digits: np.ndarray) -> list[Answer]:
        """Name each of the uint8 (n, 28, 28), or the one (28, 28)."""
        return [
            Answer(
                digit=int(row.argmax()),
                sure=bool(row.max() >= self.threshold),
                top=tuple((int(digit), float(row[digit])) for digit in np.argsort(-row)[:3]),
            )
            for row in self.probabilities(digits)
        ]

    def read(self, picture: Picture) -> list[tuple[preprocess.Digit, Answer]]:
        """Find the digits of a picture, line by line, each from left to right, and name each.

        What is not surely a digit, but would be as two that touch, is parted; what is small beside
        the digits of its line, and no digit is likely, is left out.

        Raises:
            NoDigitFound: The picture holds none.
            PictureError: It is no picture, is damaged, is too large, or holds more digits or
                strokes than ``preprocess.segment`` gathers.
        """
        found = preprocess.segment(picture)
        # Whole digits and what they may be parted into, asked at once.
        asked = [one for digit in found for one in _with_parts(digit)]
        answers = self.answer(np.stack([one.image for one in asked]))
        given = {id(one): answer for one, answer in zip(asked, answers, strict=True)}
        chosen = [one for digit in found for one in _best_parting(digit, given)]
        read = [(one, given[id(one)]) for one in chosen]
        # A plus or a comma is small, and no digit is likely.
        kept = [(one, answer) for one, answer in read if answer.sure or not one.small]
        return kept or read

    def hint(
        self, picture: Picture, found: Sequence[tuple[preprocess.Digit, Answer]]
    ) -> str | None:
        """Say what may be wrong with a picture that was read badly; None if nothing is noticed.

        Of a picture that holds more than a hundred digits, or three hundred with the parts into
        which they may be cut, it doesn't try whether it lies well.

        Args:
            picture: As given to ``read``.
            found: What ``read`` gave.
        """
        own = _sure(found)
        asked = sum(len(_with_parts(digit)) for digit, _ in found)
        if 1 < len(found) <= _MANY and asked <= _ASKED and own < _BADLY:
            upright = pictures.read(picture)
            # The largest, turned three times, would take a gigabyte.
            while upright.width * upright.height > _LARGE:
                upright = upright.reduce(2)
            turned = {way: self._sure_of(upright.rotate(turn, expand=True)) for turn, way in _TURNS}
            best = max(turned, key=lambda way: turned[way])
            if turned[best] >= _WELL:
                return f"The picture seems to lie {best}."
        if any(digit.wide and not answer.sure for digit, answer in found):
            return "One of them is wider than a digit: do two digits touch?"
        return None

    def _sure_of(self, picture: Picture) -> float:
        """Give the share of digits of a picture of which it is sure; 0 if it holds no two."""
        try:
            found = self.read(picture)
        except (preprocess.NoDigitFound, pictures.PictureError):
            return 0.0
        return _sure(found) if len(found) > 1 else 0.0


def _predicting(model: keras.Model | inference.Network) -> Callable[[np.ndarray], np.ndarray]:
    if isinstance(model, inference.Network):
        return model.predict
    from mnistlib import models

    return partial(models.predict_proba, model)


# Less than this share of sure answers is bad, and more than that share is well.
_BADLY, _WELL = 0.6, 0.8
# Looking at a picture from three more sides takes three times as long again: not with more digits
# than that, or digits and parts of digits, and with no more pixels.
_MANY, _ASKED, _LARGE = 100, 300, 4_000_000
_TURNS = (
    (-90, "on its side: turn it to the right by a quarter"),
    (90, "on its side: turn it to the left by a quarter"),
    (180, "upside down: turn it by half a turn"),
)


def _sure(found: Sequence[tuple[preprocess.Digit, Answer]]) -> float:
    return sum(answer.sure for _, answer in found) / len(found)


def _with_parts(digit: preprocess.Digit) -> list[preprocess.Digit]:
    return [digit, *(one for part in digit.parts for one in _with_parts(part))]


def _best_parting(digit: preprocess.Digit, answers: Mapping[int, Answer]) -> list[preprocess.Digit]:
    """Give the digit whole, or its parts if each of these is surely a digit and it is not."""
    if answers[id(digit)].sure or not digit.parts:
        return [digit]
    parts = [one for part in digit.parts for one in _best_parting(part, answers)]
    return parts if all(answers[id(one)].sure for one in parts) else [digit]


def calibrate(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    *,
    answered: float = 0.98,
    deslanted: bool = False,
    seed: int = 0,
) -> Recognizer:
    """Learn from digits that the network has not trained on how far to trust it.

    The digits are augmented as in training, because handwriting from elsewhere is less regular than
    MNIST's.

    Args:
        model: A trained network.
        x: Validation digits, uint8 (n, 28, 28).
        y: Their labels (n,).
        answered: Share of these digits, 0–1, for which the answer shall count as sure; for the
            others the recognizer abstains.
        deslanted: Whether the recognizer shall look at each digit deslanted, too.
        seed: Fixes the augmentation.
    """
    x = np.asarray(augment.distort(x, seed))
    raw = inference.predict_tta(_predicting(model), x, shifts=1, deslanted=deslanted)
    temperature = metrics.fit_temperature(y, raw)
    confidence = metrics.apply_temperature(raw, temperature).max(axis=1)
    threshold = min(1.0, float(np.quantile(confidence, 1 - answered)))
    return Recognizer(model, temperature, threshold, deslanted)


def train(
    name: str = "cnn_fast",
    digits: data.Digits | None = None,
    *,
    others: Sequence[handwriting.Handwriting] = (),
    epochs: int | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
) -> tuple[Recognizer, metrics.Interval]:
    """Train a network with data augmentation and calibrate it.

    Nine tenths of the training digits train the network, and with them some quarter as many
    out-of-distribution images, for which it learns to answer "each equally likely" (outlier
    exposure: Hendrycks, Mazeika and Dietterich 2019, arXiv:1812.04606): half made of digits, half
    letters and symbols (``outliers``). The other tenth measures
    the network, and fits temperature and threshold. The test digits are not touched.

    MNIST is American handwriting. Digits of ``others`` are trained on as well, all of them.

    Args:
        name: One of ``models.NAMES``.
        digits: Where to learn from; None loads what ``data.load`` finds.
        others: Handwriting from elsewhere, such as ``handwriting.load()``.
        epochs: None: those of the network's recipe, and at least twelve.
        seed: Fixes split, initial weights, order and augmentation.
        callbacks: Keras callbacks.
        verbose: As Keras's: 0 silent, 1 a bar, 2 a line for each epoch.

    Returns:
        The recognizer, and the network's accuracy on the validation digits.

    Raises:
        ValueError: The name is not known.
    """
    from mnistlib import models, outliers, training

    digits = digits or data.load()
    x, y, x_val, y_val = data.split(digits.x_train, digits.y_train, validation=0.1, seed=seed)
    model = models.build(name, seed=seed)
    strange = np.concatenate(
        [
            outliers.from_digits(x, y, count=len(x) // 8, seed=seed),
            outliers.learned(len(x) // 9, progress=verbose > 0),
        ]
    )
    x = np.concatenate([x, *(other.images for other in others)])
    y = np.concatenate([y, *(other.labels for other in others)])
    targets = np.eye(data.CLASSES, dtype=np.float32)[y]
    undecided = np.full((len(strange), data.CLASSES), 1 / data.CLASSES, np.float32)
    recipe = training.RECIPES[name]
    training.fit(
        model,
        np.concatenate([x, strange]),
        np.concatenate([targets, undecided]),
        recipe=name,
        epochs=max(_EPOCHS, recipe.epochs) if epochs is None else epochs,
        # Half of the digits deslanted: hands elsewhere lean in other ways.
        augment=partial(recipe.augment or augment.distort, deslanted=0.5),
        # The out-of-distribution images stay hard, and would take most of the steps.
        hard_example_mining=0,
        seed=seed,
        callbacks=callbacks,
        verbose=verbose,
    )
    right = models.predict_proba(model, x_val).argmax(axis=1)
    recognizer = calibrate(model, x_val, y_val, answered=_ANSWERED, deslanted=True, seed=seed)
    return recognizer, metrics.accuracy_interval(y_val, right)


def of_others(*, progress: bool = False) -> list[handwriting.Handwriting]:
    """Give what a recognizer learns from besides MNIST: 30 writers of ``pendigits``, if to be had.

    Where they cannot be had, the list is empty, and a warning says so.

    Args:
        progress: Whether to show a bar on standard error while their digits are drawn.
    """
    from mnistlib import handwriting

    try:
        return [handwriting.load(progress=progress)]
    except data.DataUnavailable as missing:
        warnings.warn(
            "The recognizer knows no other handwriting than MNIST's, which is American: a one with "
            f"a hook or a seven with a bar may be misread. For {missing}.",
            stacklevel=2,
        )
        return []


def shipped() -> Recognizer:
    """Give the recognizer that comes with the package; needs neither TensorFlow nor digits."""
    return load(SHIPPED)


_CALIBRATION = ("temperature", "threshold", "deslanted")
_LARGEST_CALIBRATION = 10_000
# Well beyond what ``metrics.fit_temperature`` finds, 0.05 to 20; further out every answer is at
# 100 % or all are alike.
_COOLEST, _HOTTEST = 0.01, 100.0


def save(
    recognizer: Recognizer, path: str | Path, *, about: Mapping[str, Any] | None = None
) -> Path:
    """Write a recognizer to one file, its calibration included.

    Args:
        recognizer: The recognizer.
        path: Ending in ``.keras``, for Keras, which opens it like any other; or in ``.npz``, for
            NumPy alone (``inference.save``): small and fast to open.
        about: What to write down about it, such as what it was trained on: text, numbers and lists
            of them.

    Raises:
        ValueError: The path ends otherwise, the network or the calibration could not be loaded
            again, or ``about`` holds something else.
        FileNotFoundError: There is no such folder.
        OSError: Nothing can be written there.
    """
    path = Path(path)
    calibration = {
        "temperature": float(recognizer.temperature),
        "threshold": float(recognizer.threshold),
        "deslanted": bool(recognizer.deslanted),
    }
    _calibrated(recognizer.model, calibration, "recognizer")
    if path.suffix == ".npz":
        return inference.save(_in_numpy(recognizer), path, about={**(about or {}), **calibration})
    from mnistlib import models

    return models.save(recognizer.model, path, about=about, calibration=calibration)


def _in_numpy(recognizer: Recognizer) -> inference.Network:
    if isinstance(recognizer.model, inference.Network):
        return recognizer.model
    return inference.from_keras(recognizer.model)


def load(path: str | Path) -> Recognizer:
    """Read a recognizer: an ``.npz``, or a network of Keras with its calibration.

    A network of Keras without a calibration may be anybody's: any classifier of ten classes that
    takes digits as (28, 28), (28, 28, 1) or (784,) and ends in a softmax or in logits. In which
    scale it takes pixels is found by trying (``scales.adapt``); where that is not 0–255, a warning
    says so.

    Earlier states wrote the calibration beside the network, to a ``.json``. It counts only for a
    file that says nothing about itself, as theirs did not: else it is of an earlier network.

    Raises:
        FileNotFoundError: There is no such network.
        ValueError: The network reads no digits, or the calibration is not what ``save`` writes.
        OSError: A file cannot be read.
    """
    if Path(path).suffix == ".npz":
        network, about = inference.load(path)
        return _calibrated(network, about, path)
    from mnistlib import models

    model = models.load(path)
    made, beside = models.describe(model), Path(path).with_suffix(".json")
    if made.calibration is not None:
        calibration, place = made.calibration, Path(path)
    elif made.sha256 or not beside.is_file():
        return _anybodys(model, path)
    else:
        calibration, place = _read_calibration(beside), beside
    if models.input_shape(model) != (data.SIDE, data.SIDE):
        raise ValueError(f"{path} must take digits (n, 28, 28); it takes {model.input_shape}")
    return _calibrated(model, calibration, place)


def _read_calibration(path: Path) -> Mapping:
    try:
        with path.open("rb") as file:
            # It takes a hundred; another file of this name may be of any size.
            return json.loads(file.read(_LARGEST_CALIBRATION))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no calibration of a recognizer: {error!r}") from error


def _calibrated(
    model: keras.Model | inference.Network, calibration: Mapping, path: str | Path
) -> Recognizer:
    try:
        temperature, threshold = (calibration[name] for name in _CALIBRATION[:2])
        # Files of earlier states do not say: theirs were not.
        deslanted = calibration.get("deslanted", False)
        for name, value in (("temperature", temperature), ("threshold", threshold)):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number; received {value!r}")
        if not isinstance(deslanted, bool):
            raise TypeError(f"deslanted must be true or false; received {deslanted!r}")
        if not (_COOLEST <= temperature <= _HOTTEST and 0 <= threshold <= 1):
            raise ValueError(
                f"temperature must be from {_COOLEST} to {_HOTTEST} and threshold from 0 to 1; "
                f"received {temperature} and {threshold}"
            )
        return Recognizer(model, float(temperature), float(threshold), deslanted)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no calibration of a recognizer: {error!r}") from error


def _anybodys(model: keras.Model, path: str | Path) -> Recognizer:
    """Make a recognizer of a network that was not trained here."""
    from mnistlib import scales

    try:
        adapted, scale = scales.adapt(model)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except data.DataUnavailable as missing:
        warnings.warn(
            f"{path} could not be tried on known digits: it is taken to have learned from pixels "
            f"0–255. {missing}",
            stacklevel=3,
        )
        return Recognizer(model)
    if scale != scales.BYTES:
        warnings.warn(
            f"{path} has learned from {scale.words}, as known digits show: each picture is scaled "
            "so before it sees it.",
            stacklevel=3,
        )
    return Recognizer(adapted)
