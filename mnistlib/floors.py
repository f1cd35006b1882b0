"""The oldest versions of Keras and gradio without a known hole that concerns this library.

Imports without TensorFlow.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import warnings

FLOORS = {"keras": "3.13.2", "gradio": "6.7"}
"""Package → its first version that is mended: CVE-2026-1462; CVE-2026-28414 and -28416.

``pyproject.toml`` asks for these or newer ones; somebody else's environment may hold an older one.
"""

_OPENS = {"keras": "model files of strangers", "gradio": "a page that others can reach"}


def is_below(version: str, floor: str) -> bool:
    """Tell whether a version comes before another, by its numbers: ``3.9`` before ``3.13.2``."""
    return _numbers(version) < _numbers(floor)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else [0]
    while numbers and numbers[-1] == 0:  # 6.7.0 is 6.7
        numbers.pop()
    return tuple(numbers)


@functools.cache
def warn_once(package: str) -> None:
    """Warn, once in a process, where the installed version of a package is below its floor.

    Args:
        package: A key of ``FLOORS``; one that is not installed is passed over.
    """
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return
    if is_below(version, FLOORS[package]):
        warnings.warn(
            f"{package} {version} has known security holes, which {FLOORS[package]} mends, for "
            f"{_OPENS[package]}: pip install -U '{package}>={FLOORS[package]}'",
            stacklevel=3,
        )
