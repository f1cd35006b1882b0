"""A folder of somebody's own pictures, and which digit each shows.

Imports without TensorFlow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mnistlib.data import DataError

SUFFIXES = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"),
        # Not all of these can be opened: then the picture is named, not passed over in silence.
        *(".avif", ".heic", ".heif"),
    }
)
"""What the name of a picture ends in, in lower case; other files are passed over."""

WAY = (
    "a picture's label is the name of its folder (7/anna.jpg), or the first character of its own "
    "(7.jpg, 7_anna.jpg)"
)
"""How a picture gets its label, in words."""


@dataclass(frozen=True)
class Labelled:
    """A picture, and the digit that its name or its folder's says it shows, 0–9."""

    path: Path
    label: int


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder, those in its subfolders included, by name.

    Attributes:
        pictures: Those with a label.
        unlabelled: The others.
    """

    pictures: tuple[Labelled, ...]
    unlabelled: tuple[Path, ...]


def load(folder: str | Path) -> Folder:
    """Find the pictures of a folder and their labels, without opening any.

    The label is the name of the nearest subfolder that is a digit (``7/anna.jpg``); else the first
    character of the file's name, if it is a digit and neither a letter nor a digit follows
    (``7.jpg``, ``7_anna.jpg``; not ``20240131.jpg``).

    Raises:
        DataError: There is no such folder, or it holds no picture.
    """
    labelled, unlabelled = [], []
    for path in find(folder):
        label = _label(path.relative_to(Path(folder).expanduser()))
        if label is None:
            unlabelled.append(path)
        else:
            labelled.append(Labelled(path, label))
    return Folder(tuple(labelled), tuple(unlabelled))


def find(folder: str | Path) -> list[Path]:
    """List the pictures of a folder and its subfolders by name; hidden ones are passed over.

    Raises:
        DataError: As ``load``.
    """
    try:
        folder = Path(folder).expanduser()
        there = folder.is_dir()
    except (OSError, ValueError, RuntimeError) as error:  # too long, not to be looked into; ~nobody
        raise DataError(
            f"folder must name a folder of pictures; received {str(folder)[:300]!r}: {error}"
        ) from error
    if not there:
        raise DataError(f"folder must name a folder of pictures; received {str(folder)!r}")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{folder} holds no picture: no file whose name ends in {kinds}")
    return found


def _label(path: Path) -> int | None:
    for part in reversed(path.parts[:-1]):
        if re.fullmatch("[0-9]", part):
            return int(part)
    found = re.match(r"([0-9])(?![^\W_])", path.stem)
    return int(found[1]) if found else None
