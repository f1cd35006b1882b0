"""Cross-validation: an answer for every digit from a network that did not learn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from mnistlib import models, training
from mnistlib._tensorflow import keras
from mnistlib.data import CLASSES


def out_of_fold(
    model: str | Callable[..., keras.Model],
    x: np.ndarray,
    y: np.ndarray,
    splits: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    seed: int = 0,
    **options,
) -> np.ndarray:
    """Train one network a fold, and let each answer the digits that were kept from it.

    Args:
        model: A name in ``models.NAMES``, or a function that builds a model when called with
            ``seed=…``.
        x: Digits, uint8 (n, 28, 28).
        y: Labels (n,).
        splits: For each fold the places of the digits to learn from and of those to answer, as the
            ``split`` of scikit-learn's ``StratifiedGroupKFold`` and its kin gives them. Every digit
            must be answered once.
        seed: Fixes the start of every network and the order of its digits.
        **options: What else ``training.fit`` takes, such as ``recipe`` and ``augment``.

    Returns:
        Probabilities, float32 (n, 10), in the order of ``x``.

    Raises:
        ValueError: A digit is answered by a network that learned from it, or not exactly once.
    """
    splits = [(np.asarray(learned), np.asarray(asked)) for learned, asked in splits]
    answered = np.concatenate([asked for _, asked in splits]) if splits else np.zeros(0, int)
    if not np.array_equal(np.sort(answered), np.arange(len(x))):
        raise ValueError(
            f"splits must ask for each of the {len(x)} digits once; received {len(answered)} "
            f"places, {len(np.unique(answered))} of them different"
        )
    for learned, asked in splits:
        if both := len(np.intersect1d(learned, asked)):
            raise ValueError(
                f"splits must keep apart what is learned and what is asked; received {both} digits "
                "in both"
            )
    build = models.builder(model)
    probabilities = np.zeros((len(x), CLASSES), np.float32)
    for learned, asked in splits:
        network = build(seed=seed)
        training.fit(network, x[learned], y[learned], seed=seed, **options)
        probabilities[asked] = models.predict_proba(network, x[asked])
    return probabilities
