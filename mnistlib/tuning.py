"""One dense network, its settings and what they are worth: one change at a time, then a search.

``search`` needs Optuna: ``pip install "mnist-notebooks[tune]"``. What is here chooses by whatever
digits it is given, so it must be given validation digits, never the test set.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnistlib import metrics, models, training
from mnistlib._tensorflow import keras
from mnistlib.augment import distort

if TYPE_CHECKING:
    import optuna

SCHEDULES = ("constant", "cosine", "one-cycle")
OPTIMIZERS = ("adam", "sgd", "rmsprop")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Setting:
    """A network of dense layers and how it is trained; the defaults are ``dense_128``'s recipe.

    Attributes:
        hidden: Width of each hidden layer, first to last.
        activation: Of the hidden layers, by Keras's name.
        dropout: Share of each hidden layer's outputs zeroed in training, 0 to below 1.
        l2: Factor of the hidden layers' squared weights that is added to the loss.
        batch_normalization: Normalise each hidden layer between its weights and its activation.
        optimizer: One of ``OPTIMIZERS``.
        momentum: Share of the last step that the next one keeps, 0 to below 1; for ``sgd``.
        learning_rate: The step size; where a schedule lowers it, the largest one.
        schedule: ``"constant"``; ``"cosine"``, falling to zero along half a cosine (Loshchilov and
            Hutter 2017, arXiv:1608.03983); ``"one-cycle"``, rising over the first quarter of the
            steps before that (Smith 2018, arXiv:1803.09820).
        weight_decay: Share of each weight, times the learning rate, that every step takes off
            (AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101).
        label_smoothing: Share of each label spread evenly over all classes, 0 to below 1.
        augment: Train on digits changed at random by ``augment.distort``, anew in every epoch.
        batch_size: Digits per step.
        epochs: Passes over the training digits.
    """

    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    dropout: float = 0.0
    l2: float = 0.0
    batch_normalization: bool = False
    optimizer: str = "adam"
    momentum: float = 0.0
    learning_rate: float = 1e-3
    schedule: str = "constant"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    augment: bool = False
    batch_size: int = 128
    epochs: int = 10

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, tuple) or not all(map(_is_whole, self.hidden)):
            raise ValueError(
                f"hidden must be a tuple of whole numbers from 1; received {self.hidden!r}"
            )
        for name in ("batch_size", "epochs"):
            if not _is_whole(getattr(self, name)):
                raise ValueError(
                    f"{name} must be a whole number from 1; received {getattr(self, name)!r}"
                )
        for name in ("dropout", "momentum", "label_smoothing"):
            if not (_is_number(getattr(self, name)) and 0 <= getattr(self, name) < 1):
                raise ValueError(
                    f"{name} must be from 0 to below 1; received {getattr(self, name)!r}"
                )
        for name in ("l2", "weight_decay"):
            if not (_is_number(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be from 0; received {getattr(self, name)!r}")
        if not (_is_number(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive; received {self.learning_rate!r}")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}; received {getattr(self, name)!r}"
                )
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"momentum is for optimizer='sgd'; received {self.momentum} for {self.optimizer!r}"
            )


BASELINE = Setting()
"""The network of lesson 02 by its recipe, ``training.RECIPES["dense_128"]``."""

CHANGES: dict[str, dict[str, Setting]] = {
    "activation": {
        "sigmoid": Setting(activation="sigmoid"),
        "tanh": Setting(activation="tanh"),
        "GELU": Setting(activation="gelu"),
    },
    "optimizer": {
        "SGD, rate 0.01": Setting(optimizer="sgd", learning_rate=0.01),
        "SGD, rate 0.1": Setting(optimizer="sgd", learning_rate=0.1),
        "SGD, rate 0.1, momentum": Setting(optimizer="sgd", learning_rate=0.1, momentum=0.9),
        "RMSprop": Setting(optimizer="rmsprop"),
    },
    "learning rate": {
        "0.0001": Setting(learning_rate=1e-4),
        "0.0003": Setting(learning_rate=3e-4),
        "0.003": Setting(learning_rate=3e-3),
        "0.01": Setting(learning_rate=1e-2),
    },
    "schedule": {
        "cosine": Setting(schedule="cosine"),
        "one-cycle": Setting(schedule="one-cycle"),
        "one-cycle, peak 0.003": Setting(schedule="one-cycle", learning_rate=3e-3),
    },
    "batch size": {
        "32": Setting(batch_size=32),
        "512": Setting(batch_size=512),
        "512, rate 0.002": Setting(batch_size=512, learning_rate=2e-3),
    },
    "width": {"32": Setting(hidden=(32,)), "512": Setting(hidden=(512,))},
    "depth": {"2 layers": Setting(hidden=(128,) * 2), "3 layers": Setting(hidden=(128,) * 3)},
    "dropout": {"0.2": Setting(dropout=0.2), "0.5": Setting(dropout=0.5)},
    "weights": {
        "L2, 0.0001": Setting(l2=1e-4),
        "weight decay 0.004": Setting(weight_decay=0.004),
        "weight decay 0.1": Setting(weight_decay=0.1),
    },
    "batch norm": {"yes": Setting(batch_normalization=True)},
    "labels": {"smoothed, 0.1": Setting(label_smoothing=0.1)},
    "digits": {"augmented": Setting(augment=True)},
    "epochs": {"5": Setting(epochs=5), "30": Setting(epochs=30)},
}
"""Kind of change → its name → the baseline with this change; ``python -m benchmarks tuning``."""


def build(setting: Setting, *, steps: int, seed: int = 0) -> keras.Model:
    """Build and compile the network of a setting.

    Args:
        setting: What to build.
        steps: Steps of the whole training, over which a schedule stretches.
        seed: Fixes the initial weights and the dropout masks.
    """
    model = models.dense(
        setting.hidden,
        activation=setting.activation,
        dropout=setting.dropout,
        l2=setting.l2,
        batch_normalization=setting.batch_normalization,
        seed=seed,
    )
    loss = keras.losses.SparseCategoricalCrossentropy()
    if setting.label_smoothing:
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=setting.label_smoothing)
    model.compile(optimizer=_optimizer(setting, steps), loss=loss, metrics=["accuracy"])
    return model


def train(
    setting: Setting,
    x: np.ndarray,
    y: np.ndarray,
    *,
    seed: int = 0,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.Model:
    """Build the network of a setting and train it.

    Args:
        setting: What to train, and how.
        x: Training digits, uint8 (n, 28, 28).
        y: Their labels (n,).
        seed: Fixes the initial weights, dropout masks, the order of the digits and their
            augmentation.
        validation: ``(x, y)`` measured after every epoch, for the callbacks.
        callbacks: As for ``training.fit``.
    """
    steps = setting.epochs * math.ceil(len(x) / setting.batch_size)
    model = build(setting, steps=steps, seed=seed)
    training.fit(
        model,
        x,
        y,
        epochs=setting.epochs,
        batch_size=setting.batch_size,
        augment=distort if setting.augment else None,
        validation=validation,
        callbacks=callbacks,
        seed=seed,
    )
    return model


def _optimizer(setting: Setting, steps: int) -> keras.optimizers.Optimizer:
    rate, schedules = setting.learning_rate, keras.optimizers.schedules
    if setting.schedule == "cosine":
        rate = schedules.CosineDecay(rate, steps)
    elif setting.schedule == "one-cycle":
        rise = max(1, steps // 4)
        rate = schedules.CosineDecay(
            rate / 20, max(1, steps - rise), warmup_target=rate, warmup_steps=rise
        )
    decay = setting.weight_decay or None
    if setting.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=setting.momentum, weight_decay=decay)
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    return kinds[setting.optimizer](rate, weight_decay=decay)
