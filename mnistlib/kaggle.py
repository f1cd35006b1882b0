"""Kaggle's *Digit Recognizer*: its files read, practice files and submissions written.

Imports without TensorFlow.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnistlib import packed, writing
from mnistlib.data import CLASSES, SIDE, DataError, Digits

ROWS = 28_000
"""Digits in Kaggle's test.csv, and lines in a submission."""

HEADER = "ImageId,Label"

LARGEST = 250_000_000
"""Bytes of a file, unpacked, that are read at most; Kaggle's train.csv has 77 million."""

# A submission of Kaggle's has 230,000 bytes.
_LARGEST_SUBMISSION = 10_000_000
# A row of Kaggle's has at most 3,140 bytes; with quotes and spaces it may have more.
_LONGEST_LINE = 50_000
# What a row of whole numbers consists of. pyarrow alone would read 0x10 as 16.
_SIGNS = b'0123456789,"\r\n \t'
_CELL = re.compile(rb'("?)0*([0-9]{1,3})\1')
_QUOTED = re.compile(rb'(?<![^,\r\n])"([0-9]*)"(?![^,\r\n])')

_PIXELS = tuple(f"pixel{number}" for number in range(SIDE * SIDE))


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of Kaggle's files.

    Attributes:
        x: uint8 (n, 28, 28), 0 = paper, 255 = ink.
        y: uint8 (n,), labels 0–9.
        x_test: uint8 (m, 28, 28), the rows without labels, or None where no test file was given.
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None


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


def load(train_csv: str | Path, test_csv: str | Path | None = None) -> Rows:
    """Read Kaggle's files: plain, gzipped, or in the zip of the download.

    ``train.csv`` has the columns ``label,pixel0…pixel783``, ``test.csv`` the pixels alone; pixel
    number = 28 · row + column. Everything is checked before it is used, and no more than
    ``LARGEST`` bytes of a file are read.

    Args:
        train_csv: ``train.csv``, ``train.csv.gz``, or the zip that holds it.
        test_csv: ``test.csv`` likewise (may be the same zip), or None.

    Returns:
        The digits, in the order of the files.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file cannot be read or is not what it should be; says where: file, row (the
            header is row 1) and column.
    """
    rows = _read_csv(Path(train_csv), "train.csv", ("label", *_PIXELS))
    labels, pixels = rows[:, 0].copy(), np.ascontiguousarray(rows[:, 1:])
    del rows
    if wrong := np.flatnonzero(labels >= CLASSES).tolist():
        raise DataError(
            f"{train_csv}, row {wrong[0] + 2}, column label: expected a digit 0–9; received "
            f"{labels[wrong[0]]}"
        )
    tested = None if test_csv is None else _read_csv(Path(test_csv), "test.csv", _PIXELS)
    return Rows(
        x=pixels.reshape(-1, SIDE, SIDE),
        y=labels,
        x_test=None if tested is None else tested.reshape(-1, SIDE, SIDE),
    )


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
    demo = Demo(folder / "train.csv", folder / "test.csv", folder / "answers.csv")
    _write_table(demo.train, ("label", *_PIXELS), np.column_stack([y[labelled], x[labelled]]))
    _write_table(demo.test, _PIXELS, x[hidden])
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
        raise ValueError(
            f"labels must be (n,) whole numbers 0–9; received {labels.dtype} {labels.shape}"
        )
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
        DataError: It is no valid submission, or cannot be read; says which row (the header is row
            1) and why.
    """
    most = max(_LARGEST_SUBMISSION, 20 * rows)
    content = bytearray()
    for piece in _pieces(Path(path)):
        content += piece
        if len(content) > most:
            raise DataError(f"{path} is no submission: it has more than {most:,} bytes")
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not plain ASCII text: {error}") from error
    if not lines or lines[0] != HEADER:
        received = repr(lines[0][:60]) if lines else "an empty file"
        raise DataError(f"{path}, row 1: expected {HEADER}; received {received}")
    if len(lines) - 1 != rows:
        raise DataError(
            f"{path} should have {rows:,} rows after the header; it has {len(lines) - 1:,}"
        )
    labels = np.empty(rows, np.uint8)
    for number, line in enumerate(lines[1:], start=1):
        image_id, _, label = line.partition(",")
        if image_id != str(number):
            raise DataError(
                f"{path}, row {number + 1}, column ImageId: expected {number}; received "
                f"{image_id[:30]!r}"
            )
        if label not in map(str, range(CLASSES)):
            raise DataError(
                f"{path}, row {number + 1}, column Label: expected a digit 0–9; received "
                f"{label[:30]!r}"
            )
        labels[number - 1] = int(label)
    return labels


def _read_csv(path: Path, member: str, columns: Sequence[str]) -> np.ndarray:
    """Read whole numbers 0–255 under exactly these columns, uint8 (rows, columns)."""
    from tqdm import tqdm

    blocks = _blocks(path, member)
    header, _, rest = next(blocks, b"").partition(b"\n")
    _check_header(header[:_LONGEST_LINE], path, columns)
    parts, row = [], 2
    # Kaggle's own file takes a busy machine three seconds, too few for a bar in a notebook.
    with tqdm(desc=f"reading {path.name}", unit=" rows", delay=10) as progress:
        for block in itertools.chain([rest], blocks):
            parts.append(_numbers(block, row, path, columns))
            row += block.count(b"\n")
            progress.update(len(parts[-1]))
    numbers = np.concatenate(parts)
    if not len(numbers):
        raise DataError(f"{path} has a header and no rows")
    return numbers


def _blocks(path: Path, member: str) -> Iterator[bytes]:
    """Read a CSV file as blocks of whole lines, some megabytes at a time, within bounds."""
    total, rest = 0, b""
    for piece in _pieces(path, member):
        total += len(piece)
        if total > LARGEST:
            raise DataError(f"{path} holds more than {LARGEST:,} bytes, which no such table does")
        lines, line_end, rest = (rest + piece).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise DataError(
                f"{path} has a line of more than {_LONGEST_LINE:,} bytes, which no row has"
            )
        if line_end:
            yield lines + line_end
    if rest:
        yield rest


def _pieces(path: Path, member: str | None = None) -> Iterator[bytes]:
    """Read a file, by its first bytes gzipped, a zip (as ``member``) or plain, piece by piece."""
    try:
        if not path.is_file() and path.exists():
            raise DataError(f"{path} is no file but {'a folder' if path.is_dir() else 'a device'}")
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if member is None or not start.startswith((b"\x1f\x8b", b"PK\x03\x04")):
                yield from iter(lambda: file.read(packed.PIECE), b"")
            elif start.startswith(b"PK"):
                yield from _unzip(path, member)
            else:
                yield from packed.gunzip(file)
    except (FileNotFoundError, DataError):
        raise
    except packed.ERRORS as error:
        raise DataError(
            f"{path} cannot be read, is damaged or cut off ({error}): download it again"
        ) from error


def _unzip(path: Path, member: str) -> Iterator[bytes]:
    with packed.open_zip(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        found = [name for name in names if Path(name).name == member] or names
        if len(found) != 1:
            held = ", ".join(ascii(name[:60])[1:-1] for name in archive.namelist()[:5])
            raise DataError(f"{path} should hold one {member}; it holds {held or 'nothing'}")
        with archive.open(found[0]) as file:
            yield from iter(lambda: file.read(packed.PIECE), b"")


def _check_header(line: bytes, path: Path, columns: Sequence[str]) -> None:
    if not line.strip():
        raise DataError(f"{path} is empty")
    if line[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in line:
        raise DataError(f"{path} is in UTF-16 or no text at all: save it as CSV in UTF-8")
    if line.lstrip().startswith(b"<"):
        raise DataError(
            f"{path} is a web page, as Kaggle sends to whoever is not signed in: download it there"
        )
    words = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip().split(",")
    found = [word.strip().strip('"') for word in words]
    if found == list(columns):
        return
    wanted = "label, pixel0, …, pixel783" if "label" in columns else "pixel0, …, pixel783"
    if found == ["ImageId", "Label"]:
        what = "it is a submission (ImageId, Label)"
    elif found == ["label", *columns]:
        what = "it has labels, as train.csv has"
    elif ["label", *found] == list(columns):
        what = "it has no labels, as test.csv has none"
    elif missing := [name for name in columns if name not in found]:
        what = f"missing: {_some(missing)}"
    elif extra := [name for name in found if name not in columns]:
        what = f"not expected: {_some(extra)}"
    elif len(found) != len(columns):
        what = f"repeated: {_some([name for name in columns if found.count(name) > 1])}"
    else:
        pairs = enumerate(zip(found, columns, strict=True), start=1)
        place, (name, right) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
        what = f"column {place} is {name}, not {right}"
    raise DataError(f"{path}, row 1: the columns should be {wanted}; {what}")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name[:30] for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _numbers(block: bytes, row: int, path: Path, columns: Sequence[str]) -> np.ndarray:
    """Read whole lines, the first of them being row ``row`` of the file."""
    import pyarrow
    from pyarrow import csv

    if not block.strip():
        return np.zeros((0, len(columns)), np.uint8)
    plain, reason = _QUOTED.sub(rb"\1", block) if b'"' in block else block, "it has stray quotes"
    if not plain.translate(None, _SIGNS) and b'"' not in plain:
        try:
            # One thread: another, reading ahead of a refused block, would abort the process.
            table = csv.read_csv(
                pyarrow.BufferReader(plain),
                csv.ReadOptions(column_names=columns, use_threads=False),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pyarrow.uint8()), null_values=[]
                ),
            )
            return np.stack(table.columns).T.copy()
        except pyarrow.ArrowInvalid as error:
            reason = str(error)
    # The fast reader does not tell the row.
    raise DataError(_first_fault(block, row, path, columns) or f"{path}: {reason}")


def _first_fault(block: bytes, row: int, path: Path, columns: Sequence[str]) -> str | None:
    for number, line in enumerate(io.BytesIO(block), start=row):
        cells = line.strip().split(b",")
        if not line.strip():
            continue
        if len(cells) != len(columns):
            cut = "" if line.endswith(b"\n") else "; the file is cut off: download it again"
            return (
                f"{path}, row {number}: expected {len(columns)} values; received {len(cells)}{cut}"
            )
        for name, cell in zip(columns, cells, strict=True):
            text = cell.strip(b" \t\r")
            digits = _CELL.fullmatch(text)
            if not digits or int(digits[2]) > 255:
                return (
                    f"{path}, row {number}, column {name}: expected a whole number 0–255; received "
                    f"{text.decode('utf-8', 'replace')[:30]!r}"
                )
    return None


def _write_table(path: Path, columns: Sequence[str], rows: np.ndarray) -> None:
    """Write whole numbers as CSV without quotes, as Kaggle's files are, and move it into place."""
    import pyarrow
    from pyarrow import csv

    table = pyarrow.table(list(np.asfortranarray(rows).T), names=list(columns))
    options = csv.WriteOptions(include_header=False)
    with writing.replacing(path) as written, written.open("wb") as file:
        file.write(f"{','.join(columns)}\n".encode())
        csv.write_csv(table, file, options)
