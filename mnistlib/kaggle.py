"""Kaggle's *Digit Recognizer*: practice files in its format, and submissions written and checked.

Its two files are read by ``data.load_kaggle``. Imports without TensorFlow.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnistlib.data import CLASSES, DataError, Digits

ROWS = 28_000
"""Digits in Kaggle's test.csv, and lines in a submission."""

HEADER = "ImageId,Label"


@dataclass(frozen=True)
class Demo:
    """Paths of the practice files.

    Attributes:
        train: Pixels with labels, as Kaggle's train.csv.
        test: Pixels alone, as Kaggle's test.csv.
        answers: The labels of ``test`` as a perfect submission, which Kaggle keeps to itself.
    """

    train: Path
    test: Path
    answers: Path


def make_demo(folder: str | Path, digits: Digits, *, seed: int = 0) -> Demo:
    """Write practice files in Kaggle's exact format, their digits shuffled.

    Args:
        folder: Where to write; made if need be. Files of these names are replaced.
        digits: MNIST gives 42,000 + 28,000 rows, as Kaggle has; fewer digits the same shares.
        seed: Fixes the order.

    Returns:
        The three paths.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    x = np.concatenate([digits.x_train, digits.x_test]).reshape(-1, digits.x_train[0].size)
    y = np.concatenate([digits.y_train, digits.y_test])
    order = np.random.default_rng(seed).permutation(len(x))
    labelled, hidden = np.split(order, [round(0.6 * len(x))])
    pixels = [f"pixel{number}" for number in range(x.shape[1])]
    demo = Demo(folder / "train.csv", folder / "test.csv", folder / "answers.csv")
    train = np.column_stack([y[labelled], x[labelled]])
    _write_table(demo.train, ["label", *pixels], train)
    _write_table(demo.test, pixels, x[hidden])
    write_submission(demo.answers, y[hidden])
    return demo


def write_submission(path: str | Path, labels: np.ndarray) -> Path:
    """Write a submission, ids from 1, completely or not at all; then read it back and check it.

    Args:
        path: Where to write.
        labels: Predicted labels (n,), 0–9, in the order of test.csv.
    """
    path, labels = Path(path), np.asarray(labels)
    if labels.ndim != 1 or not np.all(np.isin(labels, range(CLASSES))) or len(labels) == 0:
        raise ValueError(f"labels must be (n,) whole numbers 0–9; received {labels.dtype} "
                         f"{labels.shape}")  # fmt: skip
    rows = np.column_stack([np.arange(1, len(labels) + 1), labels.astype(np.uint8)])
    _write_table(path, HEADER.split(","), rows)
    read_submission(path, rows=len(labels))
    return path


def read_submission(path: str | Path, *, rows: int = ROWS) -> np.ndarray:
    """Read a submission and check its format, row by row.

    Args:
        path: The file.
        rows: How many digits the test file has.

    Returns:
        The labels, uint8 (rows,).

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is no valid submission; says which row (the header is row 1) and why.
    """
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not plain ASCII text: {error}") from error
    if not lines or lines[0] != HEADER:
        received = repr(lines[0][:60]) if lines else "an empty file"
        raise DataError(f"{path}, row 1: expected {HEADER}; received {received}")
    if len(lines) - 1 != rows:
        raise DataError(f"{path} should have {rows:,} rows after the header; it has "
                        f"{len(lines) - 1:,}")  # fmt: skip
    labels = np.empty(rows, np.uint8)
    for number, line in enumerate(lines[1:], start=1):
        image_id, _, label = line.partition(",")
        if image_id != str(number):
            raise DataError(f"{path}, row {number + 1}, column ImageId: expected {number}; "
                            f"received {image_id[:30]!r}")  # fmt: skip
        if label not in map(str, range(CLASSES)):
            raise DataError(f"{path}, row {number + 1}, column Label: expected a digit 0–9; "
                            f"received {label[:30]!r}")  # fmt: skip
        labels[number - 1] = int(label)
    return labels


def _write_table(path: Path, columns: list[str], rows: np.ndarray) -> None:
    """Write whole numbers as CSV without quotes, as Kaggle's files are, and move it into place."""
    import pyarrow
    from pyarrow import csv

    table = pyarrow.table(list(np.asfortranarray(rows).T), names=columns)
    options = csv.WriteOptions(include_header=False)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        written = Path(folder) / path.name
        with written.open("wb") as file:
            file.write(f"{','.join(columns)}\n".encode())
            csv.write_csv(table, file, options)
        written.replace(path)
