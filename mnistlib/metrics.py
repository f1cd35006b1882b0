"""What was right, what was wrong, and how sure we may be of it.

Imports without TensorFlow. Throughout, ``y_true`` and ``y_pred`` are integer labels (n,) and
``probabilities`` is a float array (n, 10) whose rows sum to one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mnistlib.data import CLASSES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Interval:
    """A measured share with its interval and the confidence of that, each in 0–1."""

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def __str__(self) -> str:
        level = f"{100 * self.confidence:g} % interval"
        return f"{percent(self.value)} ({level} {100 * self.low:.2f}–{percent(self.high)})"


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same digits.

    Attributes:
        only_first: Digits that only the first got right.
        only_second: Digits that only the second got right.
        p_value: How often a difference at least this large would arise by chance between two
            equally good classifiers (exact McNemar test, two-sided).
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Difference:
    """Mean difference of two recipes over the same seeds, with its 95 % interval and p-value."""

    mean: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Calibration:
    """Digits gathered in bins of equal width by confidence, 0–1; empty bins hold nan.

    Attributes:
        edges: float (bins + 1,), from 0 to 1.
        confidence: Mean confidence in each bin, float (bins,).
        accuracy: Share of right answers in each bin, float (bins,).
        count: Digits in each bin, int (bins,).
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean ``|accuracy − confidence|``, weighted by digits, 0–1."""
        held = self.count > 0
        gaps = np.abs(self.accuracy[held] - self.confidence[held])
        return float(np.average(gaps, weights=self.count[held]))


def percent(share: float) -> str:
    """Write a share in 0–1 as a percentage: 0.97813 → ``"97.81 %"``."""
    return f"{100 * share:.2f} %"


def mean_sd(shares: Sequence[float]) -> str:
    """Write mean ± sample standard deviation of shares in 0–1: ``"97.81 ± 0.12 %"``.

    Raises:
        ValueError: Fewer than two shares, which have no standard deviation.
    """
    if len(shares) < 2:
        raise ValueError(f"shares must hold at least two values; received {len(shares)}")
    return f"{100 * np.mean(shares):.2f} ± {100 * np.std(shares, ddof=1):.2f} %"


def accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Share of labels that agree, 0–1.

    Raises:
        ValueError: The two are not one-dimensional and equally long, or empty.
    """
    return float(np.mean(_agreement(y_true, y_pred)))


def accuracy_interval(
    y_true: np.ndarray, y_pred: np.ndarray, *, confidence: float = 0.95
) -> Interval:
    """Accuracy with its Wilson score interval.

    The interval tells how far the figure may lie from the accuracy on all the digits that could
    have been drawn (Wilson 1927, JASA 22, p. 209). It does not cover the luck of the training seed.
    """
    from scipy.stats import binomtest

    right = _agreement(y_true, y_pred)
    result = binomtest(int(right.sum()), len(right))
    interval = result.proportion_ci(confidence, method="wilson")
    return Interval(float(right.mean()), float(interval.low), float(interval.high), confidence)


def bootstrap(
    measure: Callable[..., float],
    *arrays: np.ndarray,
    groups: np.ndarray | None = None,
    resamples: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Measure something with its bootstrap interval (Efron 1979, Annals of Statistics 7, p. 1).

    Digits are drawn anew from those at hand, with replacement, and measured, again and again; the
    interval holds the middle of what came out. Digits by one hand resemble each other, so that
    there are fewer independent ones than digits: with ``groups``, whole groups are drawn.

    Args:
        measure: A function of the arrays.
        *arrays: Each (n, …), one row a digit.
        groups: What belongs together (n,), such as the writer of each digit.
        resamples: How often to draw.
        confidence: Share of the outcomes within the interval, 0–1.
        seed: Fixes the draws.

    Raises:
        ValueError: The arrays and groups are not equally long, or empty.
    """
    sizes = {len(array) for array in (*arrays, *([] if groups is None else [groups]))}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            f"arrays and groups must be equally long and not empty; received {sorted(sizes)}"
        )
    (n,) = sizes
    draw = np.random.default_rng(seed)
    if groups is None:
        members = None
    else:
        _, group = np.unique(groups, return_inverse=True)
        members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    found = []
    for _ in range(resamples):
        if members is None:
            drawn = draw.integers(n, size=n)
        else:
            chosen = draw.integers(len(members), size=len(members))
            drawn = np.concatenate([members[number] for number in chosen])
        found.append(measure(*(array[drawn] for array in arrays)))
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(measure(*arrays)), float(low), float(high), confidence)


def score_change(
    score: Callable[[np.ndarray, np.ndarray], float],
    y_true: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """Measure how much a score changes from one set of probabilities to another, same digits.

    Args:
        score: Such as ``log_loss`` or ``brier``.
        y_true: Labels (n,).
        first: Probabilities (n, 10).
        second: Others for the same digits.
        groups: As for ``bootstrap``, as are the next two.
        resamples: How often to draw.
        seed: Fixes the draws.

    Returns:
        Score of ``second`` − score of ``first``, with its 95 % bootstrap interval.
    """
    return bootstrap(
        lambda y, p, q: score(y, q) - score(y, p),
        *(y_true, first, second),
        groups=groups,
        resamples=resamples,
        seed=seed,
    )


def report(y_true: np.ndarray, y_pred: np.ndarray) -> pd.DataFrame:
    """Precision, recall and F1 (0–1) and the number of digits (support), one row a class."""
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support

    _check_classes(y_true, y_pred)
    columns = precision_recall_fscore_support(
        y_true, y_pred, labels=range(CLASSES), zero_division=0
    )
    table = dict(zip(("precision", "recall", "F1", "support"), columns, strict=True))
    return pd.DataFrame(table, index=pd.Index(range(CLASSES), name="digit"))


def confusion(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Count digits by true class (row) and predicted class (column), int (10, 10)."""
    from sklearn.metrics import confusion_matrix

    _check_classes(y_true, y_pred)
    return confusion_matrix(y_true, y_pred, labels=range(CLASSES))


def most_confused(y_true: np.ndarray, y_pred: np.ndarray, *, pairs: int = 10) -> pd.DataFrame:
    """List the confusions made most often: columns true, predicted, count; most first."""
    import pandas as pd

    counts = confusion(y_true, y_pred)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:pairs]
    order = order[counts.flat[order] > 0]
    true, predicted = np.unravel_index(order, counts.shape)
    return pd.DataFrame({"true": true, "predicted": predicted, "count": counts.flat[order]})


def mistakes(y_true: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """List every wrong answer, the most confident first.

    Returns:
        Columns ``index`` (position in ``y_true``), ``true``, ``predicted``, ``confidence`` (the
        probability given to the prediction) and ``p_true`` (the one given to the true label).
    """
    import pandas as pd

    y_pred = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(~_agreement(y_true, y_pred))
    table = pd.DataFrame(
        {
            "index": wrong,
            "true": y_true[wrong],
            "predicted": y_pred[wrong],
            "confidence": probabilities[wrong, y_pred[wrong]],
            "p_true": probabilities[wrong, y_true[wrong]],
        }
    )
    return table.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def calibration(y_true: np.ndarray, probabilities: np.ndarray, *, bins: int = 15) -> Calibration:
    """Compare confidence with accuracy, bin by bin (Guo et al. 2017, arXiv:1706.04599, section 2).

    A bin holds its upper edge, as in the paper: (0, 1/15], (1/15, 2/15] and so on.
    """
    right = _agreement(y_true, probabilities.argmax(axis=1))
    confidence = probabilities.max(axis=1).astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, confidence, minlength=bins) / count
        mean_accuracy = np.bincount(place, right, minlength=bins) / count
    return Calibration(edges, mean_confidence, mean_accuracy, count)


def log_loss(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean −log of the probability given to the true label, in nats: the cross-entropy loss."""
    given = probabilities[np.arange(len(y_true)), y_true].astype(np.float64)
    return float(-np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean())


def brier(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance of the probabilities from the truth, summed over classes, 0–2.

    The truth is 1 for the true class and 0 for the others (Brier 1950, Monthly Weather Review 78,
    p. 1). Unlike the log-loss, a single confident mistake adds no more than 2.
    """
    truth = np.eye(CLASSES)[y_true]
    return float(np.square(probabilities - truth).sum(axis=1).mean())


def fit_temperature(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Find the temperature that makes the probabilities fit the labels best.

    Above 1 the network was too sure of itself, below 1 not sure enough (Guo et al. 2017, section
    4.2). Fit it on validation digits, never on the test set.

    Returns:
        The temperature, 0.05–20, that minimises the log-loss.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: log_loss(y_true, apply_temperature(probabilities, float(np.exp(log_t)))),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
    )
    return float(np.exp(found.x))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the log-probabilities by ``temperature`` and normalise again; the order stays.

    Raises:
        ValueError: ``temperature`` is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive; received {temperature!r}")
    from scipy.special import softmax

    floor = np.finfo(np.float32).tiny
    return softmax(np.log(np.maximum(probabilities, floor)) / temperature, axis=1)


def accuracy_by_coverage(
    y_true: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy when only the most confident digits are answered.

    Returns:
        ``(coverage, accuracy)``, both float (n,) in 0–1: entry k − 1 is for the k digits with the
        highest confidence.
    """
    right = _agreement(y_true, probabilities.argmax(axis=1))
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    answered = np.arange(1, len(right) + 1)
    return answered / len(right), np.cumsum(right[order]) / answered


def mcnemar(y_true: np.ndarray, first: np.ndarray, second: np.ndarray) -> Paired:
    """Test whether two sets of predicted labels for the same digits differ in accuracy.

    Only the digits on which exactly one of the two is right count (McNemar 1947, Psychometrika 12,
    p. 153); the exact binomial form is used, so few disagreements are no problem.
    """
    from scipy.stats import binomtest

    right_first, right_second = _agreement(y_true, first), _agreement(y_true, second)
    only_first = int(np.sum(right_first & ~right_second))
    only_second = int(np.sum(right_second & ~right_first))
    apart = only_first + only_second
    p_value = binomtest(only_first, apart).pvalue if apart else 1.0
    return Paired(only_first, only_second, float(p_value))


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two recipes run with the same seeds: paired t-test of ``first − second``.

    Raises:
        ValueError: The two are not equally long, or hold fewer than two values.
    """
    from scipy.stats import t

    if np.shape(first) != np.shape(second) or np.ndim(first) != 1 or len(first) < 2:
        raise ValueError(
            "first and second must hold one value for each of the same two or more seeds; received "
            f"{np.shape(first)} and {np.shape(second)}"
        )
    differences = np.subtract(first, second)
    n = len(differences)
    mean = float(differences.mean())
    error = float(differences.std(ddof=1) / np.sqrt(n))
    if error == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    reach = float(t.ppf(0.975, n - 1)) * error
    p_value = 2 * float(t.sf(abs(mean) / error, n - 1))
    return Difference(mean, mean - reach, mean + reach, p_value)


def _agreement(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or len(y_true) == 0:
        raise ValueError(
            "y_true and y_pred must be labels of the same n > 0 digits, each (n,); received "
            f"{y_true.shape} and {y_pred.shape}"
        )
    # The text "7" equals no number, which would pass for an accuracy of 0.
    if _kind(y_true) != _kind(y_pred):
        raise ValueError(
            "y_true and y_pred must hold labels of one kind; received "
            f"{_kind(y_true)} ({y_true[0]}, …) and {_kind(y_pred)} ({y_pred[0]}, …): convert "
            "one, as by .astype(int)"
        )
    return y_true == y_pred


def _kind(labels: np.ndarray) -> str:
    """Say what labels are made of; numbers of every width are one kind."""
    if labels.dtype.kind == "O":
        labels = np.array(labels.tolist())
    kinds = {"b": "numbers", "i": "numbers", "u": "numbers", "f": "numbers", "U": "text"}
    return kinds.get(labels.dtype.kind, str(labels.dtype))


def _check_classes(y_true: np.ndarray, y_pred: np.ndarray) -> None:
    _agreement(y_true, y_pred)
    for name, labels in (("y_true", y_true), ("y_pred", y_pred)):
        if np.min(labels) < 0 or np.max(labels) >= CLASSES:
            raise ValueError(
                f"{name} must hold labels 0–{CLASSES - 1}; received "
                f"{np.min(labels)} to {np.max(labels)}"
            )
