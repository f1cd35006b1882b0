"""Numbers, parameters and lists in words, as reports write them. Imports without TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlib import results

if TYPE_CHECKING:
    import pandas as pd

NONE = "–"
"""What stands where there is nothing."""


def plain(value: Any) -> str:
    """Write a parameter as in its notebook: whole numbers whole, text as it is."""
    return NONE if is_none(value) else str(value)


def in_unit(value: float, unit: str) -> str:
    """Write a value of a figure with its unit: ``"97.81 %"``."""
    return f"{results.in_words(value, unit)} {unit}"


def with_sd(mean: float, sd: float, unit: str) -> str:
    """Write mean ± standard deviation, or the mean where there is none; without the unit."""
    if is_none(mean):
        return NONE
    shown = results.in_words(mean, unit)
    return shown if is_none(sd) else f"{shown} ± {results.in_words(sd, unit)}"


def signed(value: float, unit: str) -> str:
    """Write a difference with its sign, without its unit; zero has none."""
    if is_none(value):
        return NONE
    shown = results.in_words(abs(value), unit)
    zero = not any(digit in shown for digit in "123456789")
    return shown if zero else f"{'−' if value < 0 else '+'}{shown}"


def p_value(value: float) -> str:
    """Write a p-value to three decimals."""
    if is_none(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def listed(words: Sequence[str]) -> str:
    """List words: ``"a, b and c"``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def some(values: Sequence[Any], between: str = ", ") -> str:
    """List values, of many only the first and the last ones."""
    words = [plain(value) for value in values]
    return between.join(words if len(words) <= 8 else [*words[:3], "…", *words[-2:]])


def duration(seconds: float) -> str:
    """Write seconds as what is easiest read: seconds, minutes or hours."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def moment(started: str) -> str:
    """Write a date and time of ISO 8601 without its seconds; what is none, as it is."""
    try:
        return datetime.fromisoformat(started).astimezone(UTC).strftime("%Y-%m-%d at %H:%M UTC")
    except ValueError:
        return started or "an unknown day"


def labels(compared: pd.DataFrame) -> list[str]:
    """Name each setting by the parameters in which settings differ."""
    known = compared.attrs["parameters"]
    varying = [name for name in known if len(in_order(compared[name])) > 1] or known
    columns = [compared[name].map(plain) for name in varying]
    labels = [
        ", ".join(f"{name} = {value}" for name, value in zip(varying, row, strict=True))
        for row in zip(*columns, strict=True)
    ]
    return labels or ["the notebook's own parameters"] * len(compared)


def in_order(values: Iterable[Any]) -> list[Any]:
    """Give the different values, numbers by size."""
    found = different(values)
    return sorted(found) if is_numeric(found) else found


def different(values: Iterable[Any]) -> list[Any]:
    """Give the different values in the order in which they come; 1 is not True."""
    return list({repr(value): value for value in values}.values())


def is_numeric(values: Iterable[Any]) -> bool:
    """Say whether all values are numbers, truth values not among them."""
    return all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
        for value in values
    )


def is_none(value: Any) -> bool:
    """Say whether there is no value: None or nan."""
    return value is None or (isinstance(value, float) and math.isnan(value))
