"""Figures recorded by a lesson, read back as numbers, and held to bounds.

Imports without TensorFlow. A figure is shown as one line and stored exactly, in a MIME type of its
own beside the text, so that whatever runs notebooks reads numbers, not prose.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import data, repository

MIME = "application/vnd.mnistlib.result+json"
"""How a recorded figure stands in an output."""


@dataclass(frozen=True)
class Figure:
    """A recorded figure.

    Attributes:
        name: What it is, in words.
        values: One value, or one for each seed or fold.
        unit: ``"%"`` for shares 0–1, which are shown in per cent; else written after the number.
        each: What several values belong to, as ``seeds`` or ``folds``.
    """

    name: str
    values: tuple[float, ...]
    unit: str = "%"
    each: str = "seeds"

    @property
    def value(self) -> float:
        """The value, or the mean of several."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float | None:
        """The sample standard deviation of several values; None of one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def __str__(self) -> str:
        shown = in_words(self.value, self.unit)
        if self.sd is None:
            return f"{self.name}: {shown} {self.unit}"
        spread = f"± {in_words(self.sd, self.unit)} {self.unit} ({len(self.values)} {self.each})"
        return f"{self.name}: {shown} {spread}"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        exact = {"name": self.name, "values": list(self.values), "unit": self.unit}
        exact["each"] = self.each
        return {"text/plain": str(self), MIME: exact | {"value": self.value, "sd": self.sd}}


@dataclass(frozen=True)
class Record:
    """What an executed notebook recorded.

    Attributes:
        figures: In the order of the cells.
        is_mnist: Whether it ran on the full MNIST; None where it does not show its digits.
    """

    figures: tuple[Figure, ...]
    is_mnist: bool | None


@dataclass(frozen=True)
class Bound:
    """The value that a figure has to reach, or must not exceed.

    Attributes:
        at_least: The lowest value that is no alarm, or None.
        at_most: The highest such value, or None.
        because: Where the bound comes from.
    """

    at_least: float | None
    at_most: float | None
    because: str

    @property
    def limit(self) -> float:
        """Whichever of the two is given."""
        return self.at_least if self.at_most is None else self.at_most

    @property
    def kind(self) -> str:
        """Which of the two it is, in words."""
        return "at least" if self.at_most is None else "at most"

    def holds(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return value >= self.limit if self.at_most is None else value <= self.limit

    def words(self, unit: str) -> str:
        """Word the bound in the unit of its figure: "at least 97.50 %"."""
        return f"{self.kind} {in_words(self.limit, unit)} {unit}"


def record(
    name: str, value: float | Sequence[float], *, unit: str = "%", each: str = "seeds"
) -> None:
    """Show a figure as one line, and store its exact value in the notebook's output.

    Args:
        name: What the figure is, in words.
        value: The measured value, or one for each seed, of which mean and spread are shown.
        unit: ``"%"``: the values are shares, 0–1, shown in per cent. Else the unit they are in.
        each: What several values belong to: ``seeds``, or ``folds`` of cross-validation.

    Raises:
        ValueError: The name is empty or longer than a line, the unit or ``each`` is empty, a value
            is not a finite number, or one in per cent is not a share.
    """
    if not isinstance(name, str) or not name.strip() or len(name.splitlines()) > 1:
        raise ValueError(f"name must say in one line what the figure is; received {name!r}")
    for argument, word in {"unit": unit, "each": each}.items():
        if not isinstance(word, str) or not word.strip():
            raise ValueError(f"{argument} must be a word or a sign; received {word!r} for {name}")
    values = [value] if isinstance(value, Real) or np.ndim(value) == 0 else list(value)
    if not values or not all(map(_is_finite, values)):
        raise ValueError(
            f"value must be a finite number, or several, one a seed; received {value!r} for {name}"
        )
    # 97.81 for 0.9781 would pass every bound that asks for "at least".
    if unit == "%" and not all(0 <= one <= 1 for one in values):
        raise ValueError(
            f"value must be a share, 0-1, to be shown in per cent; received {value!r} for {name}: "
            "divide it by 100, or give its unit"
        )
    figure = Figure(name, tuple(map(float, values)), unit, each)
    try:
        from IPython.display import display
    except ImportError:
        # Without IPython no notebook runs this, and a script shows the line alone.
        print(figure)
    else:
        display(figure)


def read(notebook: Mapping[str, Any] | str | Path) -> Record:
    """Read what an executed notebook recorded.

    Args:
        notebook: A notebook as nbformat gives it, or its path.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no notebook.
    """
    received = "a notebook without cells"
    if isinstance(notebook, str | Path):
        received = str(notebook)
        try:
            notebook = json.loads(Path(notebook).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"notebook must be a Jupyter notebook; received {received}: {error}"
            ) from error
    if not isinstance(notebook, Mapping) or not isinstance(notebook.get("cells"), list):
        raise ValueError(f"notebook must be a Jupyter notebook; received {received}")
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return Record(tuple(figures_in(outputs)), _ran_on_mnist(outputs))


def figures_in(outputs: Iterable[Mapping[str, Any]]) -> list[Figure]:
    """Read the figures that a cell's outputs record."""
    found = (output.get("data", {}).get(MIME) for output in outputs)
    return [
        Figure(one["name"], tuple(one["values"]), one["unit"], one.get("each", "seeds"))
        for one in found
        if one
    ]


def load_bounds(path: str | Path) -> dict[str, dict[str, Bound]]:
    """Read the bounds of a series: notebook → figure → bound.

    Args:
        path: A TOML file: a table for each notebook, in it one for each figure with ``at_least`` or
            ``at_most`` (in shares 0–1 where the figure is shown in per cent) and ``because``.

    Raises:
        ValueError: It is no such file; says what is wrong where.
        FileNotFoundError: There is no such file.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no TOML file: {error}") from error
    return {
        notebook: {name: _bound(f"{path}, {notebook}, {name}", one) for name, one in table.items()}
        for notebook, table in tables.items()
    }


def find_bounds(folder: str | Path) -> dict[str, dict[str, Bound]] | None:
    """Read the bounds of the series that lies in ``folder``: ``tests/bounds.toml`` beside it.

    Returns:
        As from ``load_bounds``; None where there is no such file.

    Raises:
        ValueError: The file is damaged.
    """
    path = Path(folder).resolve().parent / "tests" / "bounds.toml"
    return load_bounds(path) if path.is_file() else None


def check(
    notebook: str, figures: Sequence[Figure], bounds: Mapping[str, Mapping[str, Bound]]
) -> list[str]:
    """Hold the figures of a notebook to its bounds.

    Args:
        notebook: Its name without folder and suffix.
        figures: What it recorded.
        bounds: From ``load_bounds``.

    Returns:
        A sentence for each figure that misses its bound or was not recorded; empty where all hold.
    """
    recorded = {figure.name: figure for figure in figures}
    faults = []
    for name, bound in bounds.get(notebook, {}).items():
        if name not in recorded:
            # Its unit is not known, so the bound is told as its file has it.
            faults.append(
                f"{notebook} should record {name!r}, {bound.kind} {bound.limit}; it did not"
            )
        elif not bound.holds(recorded[name].value):
            figure = recorded[name]
            shown, limit = (in_words(number, figure.unit) for number in (figure.value, bound.limit))
            # Rounded to the digits shown, a near miss would read like the bound itself.
            exact = f", unrounded {figure.value!r}" if shown == limit else ""
            faults.append(
                f"{notebook}: {figure}{exact}; it should be "
                f"{bound.words(figure.unit)} ({bound.because})"
            )
    return faults


def why_not_bound(parameters: Mapping[str, Any], is_mnist: bool | None) -> str | None:
    """Say why bounds do not apply to a run, or None where they do.

    They are those of the full MNIST with every parameter as its notebook has it.

    Args:
        parameters: The values that replaced the notebook's own.
        is_mnist: As in ``Record``.
    """
    if not is_mnist:
        return (
            "it did not run on the full MNIST"
            if is_mnist is False
            else "it does not show which digits it ran on"
        )
    changed = {name: value for name, value in parameters.items() if name != "SOURCE"}
    if changed:
        return "changed: " + ", ".join(f"{name} = {value!r}" for name, value in changed.items())
    return None


def benchmarks() -> dict[str, list[dict]]:
    """Read what ``make bench`` and ``make bench-full`` recorded.

    Returns:
        Name of a measurement → one dictionary of figures (seconds, accuracy 0–1, …) for each
        repetition; under ``machine``, what they were measured on.

    Raises:
        FileNotFoundError: Neither the repository nor the installation has the record.
    """
    path = repository.find("benchmarks/results.json")
    if not path.is_file():
        raise FileNotFoundError(f"no recorded results at {path}: run make bench in the repository")
    return json.loads(path.read_text(encoding="utf-8"))


def in_words(value: float, unit: str) -> str:
    """Write a value of a figure, without its unit: a share 0.97813 → ``"97.81"``."""
    if unit == "%":
        return f"{100 * value:.2f}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _ran_on_mnist(outputs: Iterable[Mapping[str, Any]]) -> bool | None:
    shown = [output.get("data", {}).get(data.MIME) for output in outputs]
    return next((bool(one["is_mnist"]) for one in shown if one), None)


def _bound(place: str, given: Any) -> Bound:
    known = {"at_least", "at_most", "because"}
    if not isinstance(given, dict) or not given.keys() <= known:
        raise ValueError(f"{place}: expected {', '.join(sorted(known))}; received {given!r}")
    limits = [given.get("at_least"), given.get("at_most")]
    numbers = [limit for limit in limits if _is_finite(limit)]
    if len(numbers) != 1 or limits.count(None) != 1:
        raise ValueError(f"{place}: expected at_least or at_most, a number; received {given!r}")
    if not isinstance(given.get("because"), str) or not given["because"].strip():
        raise ValueError(f"{place}: because should say where the bound comes from")
    return Bound(*limits, given["because"])
