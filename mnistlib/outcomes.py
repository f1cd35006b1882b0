"""What came of one run of a notebook, as a file that lies beside the executed notebook.

Imports without TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from mnistlib import writing
from mnistlib.results import Figure

FILE = "result.json"
"""Its name, in a folder of its own for each run."""

STATUSES = ("finished", "failed", "timeout", "died")
"""``failed``: a cell raised an exception. ``timeout``: the run took longer than it was allowed.
``died``: it was ended from outside, and is done again when the sweep goes on."""


@dataclass(frozen=True)
class Failure:
    """Where and why a notebook stopped.

    Attributes:
        cell: The number in the brackets of ``In [ ]`` in the executed notebook; None when it
            stopped before its first code cell.
        exception: Name of the exception.
        message: Its message.
    """

    cell: int | None
    exception: str
    message: str

    def __str__(self) -> str:
        where = "before its first cell" if self.cell is None else f"in cell In [{self.cell}]"
        return f"failed {where}: {self.exception}: {self.message}"


@dataclass(frozen=True)
class Outcome:
    """One executed notebook, with what it was executed with.

    Attributes:
        notebook: The notebook's name without folder and suffix.
        parameters: Every parameter with the value it ran with, the notebook's own included.
        point: Those of them that were set for this run.
        status: One of ``STATUSES``.
        error: Why it stopped; None where every cell ran.
        figures: The figures it recorded, in order.
        is_mnist: Whether it ran on the full MNIST; None where it does not show its digits.
        output: The executed notebook; partly executed where ``error`` is set.
        started: Date and time (UTC, ISO 8601).
        seconds: Duration, start of the kernel included.
        hash: SHA-256 of what decides the outcome: code cells, parameters, library.
        versions: Of Python and of the packages that compute.
        cpu: The processor's name.
        cores: How many it has for us.
        threads: How many of them the run was given.
    """

    notebook: str
    parameters: dict[str, Any]
    point: dict[str, Any]
    status: str
    error: Failure | None
    figures: tuple[Figure, ...]
    is_mnist: bool | None
    output: Path
    started: str
    seconds: float
    hash: str
    versions: dict[str, str]
    cpu: str
    cores: int
    threads: int


_TYPES: dict[str, tuple[type, ...]] = {
    "notebook": (str,),
    "parameters": (dict,),
    "point": (dict,),
    "status": (str,),
    "error": (dict, type(None)),
    "figures": (list,),
    "is_mnist": (bool, type(None)),
    "output": (str,),
    "started": (str,),
    "seconds": (float, int),
    "hash": (str,),
    "versions": (dict,),
    "cpu": (str,),
    "cores": (int,),
    "threads": (int,),
}


def write(outcome: Outcome, folder: str | Path) -> Path:
    """Write an outcome into the folder that holds its executed notebook.

    Returns:
        The path of the file, written completely or not at all.
    """
    path = Path(folder) / FILE
    content = asdict(replace(outcome, output=Path(outcome.output.name)))
    content["output"] = outcome.output.name
    writing.write(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def read(folder: str | Path) -> Outcome:
    """Read the outcome that lies in a run's folder.

    Raises:
        FileNotFoundError: There is none: the run is not finished.
        ValueError: The file is damaged; says where.
    """
    path = Path(folder) / FILE
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    _check(content, path)
    try:
        error = content["error"] and Failure(**content["error"])
        figures = tuple(_figure(one) for one in content["figures"])
    except (TypeError, KeyError, ValueError, OverflowError) as wrong:
        raise ValueError(f"{path}: error or figures are damaged: {wrong}") from wrong
    output = path.resolve().parent / content["output"]
    return Outcome(**content | {"error": error or None, "figures": figures, "output": output})


def _check(content: Any, path: Path) -> None:
    names = {field.name for field in fields(Outcome)}
    if not isinstance(content, Mapping) or content.keys() != names:
        received = ", ".join(map(str, content)) if isinstance(content, Mapping) else repr(content)
        raise ValueError(f"{path} must hold {', '.join(sorted(names))}; received {received[:500]}")
    for name, types in _TYPES.items():
        if not isinstance(content[name], types):
            raise ValueError(f"{path}: {name} must be {_words(types)}; received {content[name]!r}")
    if content["status"] not in STATUSES:
        known = ", ".join(STATUSES)
        raise ValueError(f"{path}: status must be one of {known}; received {content['status']!r}")
    if Path(content["output"]).name != content["output"]:
        raise ValueError(f"{path}: output must be a file's name; received {content['output']!r}")


def _words(types: tuple[type, ...]) -> str:
    return " or ".join("null" if one is type(None) else one.__name__ for one in types)


def _figure(given: Mapping[str, Any]) -> Figure:
    values = tuple(float(value) for value in given["values"])
    if not values:
        raise ValueError(f"{given['name']} has no value")
    # Larger ones, of which no mean can be taken, and NaN are never recorded.
    if not all(abs(value) < 1e100 for value in values):
        raise ValueError(f"{given['name']} has a value that is no finite number")
    return Figure(str(given["name"]), values, str(given["unit"]), str(given["each"]))
