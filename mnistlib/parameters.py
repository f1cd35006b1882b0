"""The parameters of a notebook: what its parameters cell declares, and values held to that.

A line of the cell tagged ``parameters`` reads ``EPOCHS: int = 10  # passes over the digits (1 or
more)``. The brackets are optional: ``(1 or more)``, ``(0 to 1)``, ``(above 0)`` or ``(one of auto,
mnist, sample)``. A comment that begins with "path" makes a value the path of something that exists.

Needs the ``notebooks`` extra. Imports without TensorFlow.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill

_NUMBER = r"-?[\d.]+(?:e-?\d+)?"
_RANGES = (
    rf"\((?P<low>{_NUMBER}) or more\)",
    rf"\((?P<low>{_NUMBER}) to (?P<high>{_NUMBER})\)",
    rf"\(above (?P<above>{_NUMBER})\)",
    r"\(one of (?P<choices>[^)]+)\)",
)


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell.

    Attributes:
        name: The variable.
        type_name: Its declared type: int, float, bool or str to be settable.
        default: The notebook's own value; one that is no literal stays text.
        help: The comment behind it.
    """

    name: str
    type_name: str
    default: Any
    help: str


def read(path: str | Path) -> dict[str, Parameter]:
    """Read the parameters that a notebook declares, by name; none where no cell is tagged.

    Raises:
        ValueError: It is no notebook, or none that Python runs; names the file.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError as error:
        raise ValueError(f"notebook must be a file; there is no {str(path)!r}") from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is no Jupyter notebook: {reason[:200]}") from error
    kernelspec = notebook.metadata.get("kernelspec", {})
    if kernelspec.get("language", "python" if kernelspec else "") != "python":
        raise ValueError(
            f"{path} must name a Python kernel in its metadata (kernelspec); received "
            f"{dict(kernelspec) or 'none'}: open it in JupyterLab, choose a kernel and save it"
        )
    found = papermill.inspect_notebook(str(path))
    return {
        name: Parameter(name, one["inferred_type_name"], _literal(one["default"]), one["help"])
        for name, one in found.items()
    }


def convert(value: Any, parameter: Parameter) -> Any:
    """Bring a value to the type that its parameter declares, and hold it to the range.

    Args:
        value: Of that type, or text that says it.
        parameter: From ``read``.

    Raises:
        ValueError: It is of another type, out of range, or a path that leads nowhere.
    """
    readers = {"int": int, "float": float, "str": str, "bool": _read_bool}
    name, type_name = parameter.name, parameter.type_name
    if type_name not in readers:
        raise ValueError(
            f"{name} must be declared int, float, bool or str in its notebook to be set; received "
            f"{type_name!r}"
        )
    fits = type(value).__name__ == type_name or (type_name == "float" and type(value) is int)
    if not fits and not isinstance(value, str):
        raise ValueError(f"{name} must be of type {type_name}; received {value!r}")
    try:
        value = readers[type_name](value)
    except ValueError as error:
        raise ValueError(f"{name} must be of type {type_name}; received {value!r}") from error
    is_path = type_name == "str" and parameter.help.lower().startswith("path")
    if is_path and value:
        return _resolve(value, name)
    _check_range(value, parameter)
    return value


def _check_range(value: Any, parameter: Parameter) -> None:
    found = next((match for one in _RANGES if (match := re.search(one, parameter.help))), None)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{parameter.name} must be a finite number; received {value!r}")
    if found is None or isinstance(value, bool):
        return
    limits = found.groupdict()
    if "choices" in limits:
        holds = str(value) in re.split(r"\s*(?:,|\bor\b)\s*", limits["choices"].strip())
    elif isinstance(value, str):
        holds = True
    else:
        holds = (
            ("low" not in limits or value >= float(limits["low"]))
            and ("high" not in limits or value <= float(limits["high"]))
            and ("above" not in limits or value > float(limits["above"]))
        )
    if not holds:
        wanted = found.group()[1:-1]
        raise ValueError(f"{parameter.name} must be {wanted}; received {value!r}")


def _resolve(value: str, name: str) -> str:
    """Make a path absolute, or refuse one that leads nowhere before a kernel starts."""
    path = Path(value).expanduser().resolve()
    try:
        found = path.exists()
    except OSError:
        found = False
    if not found:
        raise ValueError(
            f"{name} must be the path of something that exists; received {value!r}, and there is "
            f"no {str(path)!r}"
        )
    return str(path)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _read_bool(value: str | bool) -> bool:
    words = {"true": True, "false": False}
    if str(value).lower() not in words:
        raise ValueError(f"value must be true or false; received {value!r}")
    return words[str(value).lower()]
