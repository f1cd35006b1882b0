"""Pen strokes of 10,992 digits by 44 people, as a tablet recorded them.

Imports without TensorFlow. *Pen-Based Recognition of Handwritten Digits* by E. Alpaydin and
F. Alimoglu 1998, UCI Machine Learning Repository, under CC BY 4.0,
https://archive.ics.uci.edu/ml/datasets/Pen-Based+Recognition+of+Handwritten+Digits.
Collected at Boğaziçi University, Istanbul: ones have a hook there, and sevens may have a bar.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnistlib import cache
from mnistlib.data import ENVIRONMENT_VARIABLE, DataError, DataUnavailable, named

ADDRESS = (
    "https://raw.githubusercontent.com/kleinplw/HMM-Pendigits/"
    "a50dacab2860f6e10389f59d63253354bbc48c3e/data/"
)
FILES = {
    "pendigits-orig.tra": (
        "sha256:a66225d68d7d68591e62944df1ad33b3f5aa608e2df2505844b41f5568a80da4"
    ),
    "pendigits-orig.tes": (
        "sha256:ddb1c19e277a56c7ffe682cc024d6ab73696f9adcc1643ef9ed5aa753007e081"
    ),
}
# The files number the writers of each part from 1.
_TRAINING_WRITERS = 30
# The tablet's 500 units count upwards; pictures count down.
_TABLET = 500


@dataclass(frozen=True, eq=False)
class Strokes:
    """Digits as the pen went, with what each is and who wrote it.

    Attributes:
        paths: For each of n digits its strokes, in the order written; a stroke is int16
            (points, 2), x to the right and y down, 0–500 on the tablet.
        labels: uint8 (n,), 0–9.
        writers: Numbers of writers, int32 (n,): 1–30 in training, 31–44 in the test.
    """

    paths: tuple[tuple[np.ndarray, ...], ...]
    labels: np.ndarray
    writers: np.ndarray

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)
        self.writers.setflags(write=False)
        for digit in self.paths:
            for stroke in digit:
                stroke.setflags(write=False)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True, eq=False)
class Pendigits:
    """The strokes of two groups of people, none of them in both.

    Attributes:
        train: 7,494 digits by 30 writers: learn from these.
        test: 3,498 digits by 14 others: choose nothing on these.
    """

    train: Strokes
    test: Strokes


def load() -> Pendigits:
    """Load the strokes: from ``MNISTLIB_DATA``, the cache, or a download, verified by checksum.

    Raises:
        DataError: A file in ``MNISTLIB_DATA`` is not what was published.
        DataUnavailable: No place has the files.
    """
    train, test = _find()
    return Pendigits(train=_read(train), test=_read(test, before=_TRAINING_WRITERS))


def _find() -> list[Path]:
    if path := named():
        folder = path if path.is_dir() else path.parent
        for place in (folder, folder / "pendigits"):
            paths = [place / name for name in FILES]
            if all(path.is_file() for path in paths):
                _verify(paths)
                return paths
    try:
        return [cache.fetch(ADDRESS, FILES) / name for name in FILES]
    except OSError as error:
        raise DataUnavailable(
            f"the pen strokes of pendigits are not in {ENVIRONMENT_VARIABLE} nor in a cache, and "
            f"their address did not give them: {error}"
        ) from error


def _verify(paths: list[Path]) -> None:
    for path in paths:
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        if f"sha256:{found}" != FILES[path.name]:
            raise DataError(
                f"{path} is not the file that was published (SHA-256 differs): remove it, or fetch "
                "it again"
            )


def _read(path: Path, *, before: int = 0) -> Strokes:
    """Read a file in the UNIPEN format; ``before`` is added to the numbers of its writers.

    A digit begins with ``.SEGMENT``. ``.COMMENT`` gives its label, its writer and a running number;
    the points between ``.PEN_DOWN`` and ``.PEN_UP`` are a stroke.
    """
    digits: list[list[list[tuple[int, int]]]] = []
    labels, writers = [], []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        words = line.split()
        try:
            if not words:
                continue
            if words[0] == ".SEGMENT":
                digits.append([])
            elif words[0] == ".COMMENT":
                label, writer, _ = map(int, words[1:])
                labels.append(label)
                writers.append(before + writer)
            elif words[0] == ".PEN_DOWN":
                digits[-1].append([])
            elif not words[0].startswith("."):
                x, y = map(int, words)
                digits[-1][-1].append((x, _TABLET - y))
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{path}, line {number}, is not in the UNIPEN format: {line}"
            ) from error
    if not len(digits) == len(labels) > 0 or not all(map(all, digits)):
        raise DataError(f"{path} has digits without a label, a stroke or a point")
    return Strokes(
        paths=tuple(tuple(np.array(stroke, np.int16) for stroke in digit) for digit in digits),
        labels=np.array(labels, np.uint8),
        writers=np.array(writers, np.int32),
    )
