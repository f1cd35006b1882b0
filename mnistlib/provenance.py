"""What a saved network is and what it was made with, in words for people and for programs.

``models.save`` writes it into the file, ``models.describe`` and ``saving.describe`` tell it. It is
what the file's author says: only the checksums in it are compared with anything. Imports without
TensorFlow.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mnistlib import DISTRIBUTION
from mnistlib._rules import Refused, show

LARGEST_WORDS = 1_000
"""Characters of one text."""

LARGEST_ITEMS = 50
"""Items of one list, and entries of one mapping."""


@dataclass(frozen=True)
class Provenance:
    """Where a network comes from, as far as is known.

    Attributes:
        network: Its name, as of ``models.NAMES``.
        parameters: Numbers that it holds; None where the file doesn't say.
        versions: Package → version with which it was saved.
        saved: When, as Keras writes it: ``2026-05-01@12:00:00``, the clock of that machine.
        data: What it was trained on, in words; None where nobody said.
        recipe: How it was trained, in words; None where nobody said.
        about: What else was written down.
        calibration: What a recognizer has learned about its confidence; None where there is none.
        sha256: Part of the file → SHA-256 of its bytes. Empty for a file that Keras wrote by
            itself; else the parts have been compared with it.
    """

    network: str
    parameters: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    saved: str | None = None
    data: str | None = None
    recipe: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        size = "" if self.parameters is None else f", {self.parameters:,} parameters"
        versions = ", ".join(f"{package} {version}" for package, version in self.versions.items())
        lines = {
            "network": f"{self.network}{size}",
            "data": self.data or "not said",
            "recipe": self.recipe or "not said",
            "saved": f"{self.saved or 'not said when'}, with {versions or 'unknown versions'}",
            **{name: _shown(value) for name, value in self.about.items()},
        }
        return "\n".join(f"{name}: {words}" for name, words in lines.items())


def _shown(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def versions(*packages: str) -> dict[str, str]:
    """List the versions of Python, this project and some packages, those that are installed."""
    found = {"python": platform.python_version()}
    for package in (DISTRIBUTION, *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def to_json(made: Provenance) -> dict[str, Any]:
    """Give a provenance as JSON can hold it, without what Keras writes down itself.

    Raises:
        Refused: Something in it is not what ``from_json`` reads.
    """
    written = {
        "network": made.network,
        "parameters": made.parameters,
        "versions": dict(made.versions),
        "data": made.data,
        "recipe": made.recipe,
        "about": _plain(made.about),
        "calibration": None if made.calibration is None else _plain(made.calibration),
        "sha256": dict(made.sha256),
    }
    from_json(written, saved=made.saved)
    return written


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn tuples into lists, as JSON does."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }


def from_json(written: object, *, saved: str | None) -> Provenance:
    """Read what ``to_json`` gave, perhaps changed by somebody since.

    Raises:
        Refused: It is something else: says which part.
    """
    if not isinstance(written, dict) or len(written) > LARGEST_ITEMS:
        raise Refused(f"what it says about itself is no mapping; received {show(written)}")
    parts = {
        name: written.get(name)
        for name in ("network", "parameters", "data", "recipe", "about", "calibration")
    }
    for name in ("network", "data", "recipe"):
        if name == "network" or parts[name] is not None:
            check_words(parts[name], name)
    parameters = parts["parameters"]
    if parameters is not None and not (_is_whole(parameters) and 0 <= parameters < 2**53):
        raise Refused(f"parameters must be a whole number; received {show(parameters)}")
    parts["about"] = parts["about"] or {}
    check_about(parts["about"], "about")
    if parts["calibration"] is not None:
        check_about(parts["calibration"], "calibration")
    for name in ("versions", "sha256"):
        parts[name] = written.get(name) or {}
        check_about(parts[name], name)
        for key, value in parts[name].items():
            check_words(value, f"{name} of {show(key)}")
    return Provenance(saved=saved, **parts)


def check_words(value: object, name: str) -> None:
    """Check that a value is a text that can be shown anywhere; raises ``Refused``."""
    if not (isinstance(value, str) and len(value) <= LARGEST_WORDS and value.isprintable()):
        raise Refused(
            f"{name} must be printable text of at most {LARGEST_WORDS:,} characters; received "
            f"{show(value)}"
        )


def check_about(value: object, name: str) -> None:
    """Check that a value maps words to words, numbers, or lists of them; raises ``Refused``."""
    if not isinstance(value, Mapping) or len(value) > LARGEST_ITEMS:
        raise Refused(
            f"{name} must be a mapping of at most {LARGEST_ITEMS} entries; received {show(value)}"
        )
    for key, content in value.items():
        check_words(key, f"a key of {name}")
        items = content if isinstance(content, list | tuple) else [content]
        if len(items) > LARGEST_ITEMS:
            raise Refused(f"{name} must have lists of at most {LARGEST_ITEMS} items at {show(key)}")
        _check_items(items, f"{name} of {show(key)}")


def _check_items(items: Sequence[object], name: str) -> None:
    for item in items:
        if item is None or isinstance(item, bool) or (_is_whole(item) and abs(item) < 2**63):
            continue
        if isinstance(item, float):
            if not math.isfinite(item):
                raise Refused(f"{name} must be finite; received {item}")
        else:
            check_words(item, name)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
