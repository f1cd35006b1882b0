"""Who wrote each digit of MNIST, as QMNIST's labels tell.

Imports without TensorFlow. QMNIST is by C. Yadav and L. Bottou 2019, "Cold case: the lost MNIST
digits", arXiv:1905.10498, under the BSD licence: they traced every digit of MNIST to its writer.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnistlib import cache
from mnistlib.data import ENVIRONMENT_VARIABLE, DataError, DataUnavailable, named

ADDRESS = (
    "https://raw.githubusercontent.com/facebookresearch/qmnist/"
    "94061367ec2e099ea18c553c75727ecf849ddb9b/"
)
FILES = {
    "qmnist-train-labels-idx2-int.gz": (
        "sha256:2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f"
    ),
    "qmnist-test-labels-idx2-int.gz": (
        "sha256:9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06"
    ),
}
# Columns of a row: the label, the part of NIST's collection, the writer; then places in its files.
_COLUMNS, _PART, _WRITER = 8, 1, 2
# hsf_4 was written by high-school students, the other parts by employees of the Census Bureau.
_STUDENTS = 4
# QMNIST has 60,000 test digits; the first of them are MNIST's.
_TEST_DIGITS = 10_000


@dataclass(frozen=True, eq=False)
class Writers:
    """The writer of each digit, in the order of MNIST.

    Attributes:
        train: Numbers of writers, int32 (60,000,); none of them wrote a test digit.
        test: Likewise, int32 (10,000,).
        train_students: Whether a student wrote it, not an employee of the Census Bureau, bool
            (60,000,).
        test_students: Likewise, bool (10,000,).
    """

    train: np.ndarray
    test: np.ndarray
    train_students: np.ndarray
    test_students: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.train, self.test, self.train_students, self.test_students):
            array.setflags(write=False)


def load() -> Writers:
    """Load the writers: from ``MNISTLIB_DATA``, the cache, or a download, verified by checksum.

    Raises:
        DataError: A file in ``MNISTLIB_DATA`` is not what QMNIST published.
        DataUnavailable: No place has the files.
    """
    train, test = (_read(path) for path in _find())
    test = test[:_TEST_DIGITS]
    return Writers(
        train=train[:, _WRITER].copy(),
        test=test[:, _WRITER].copy(),
        train_students=train[:, _PART] == _STUDENTS,
        test_students=test[:, _PART] == _STUDENTS,
    )


def _find() -> list[Path]:
    if path := named():
        folder = path if path.is_dir() else path.parent
        for place in (folder, folder / "qmnist"):
            paths = [place / name for name in FILES]
            if all(path.is_file() for path in paths):
                _verify(paths)
                return paths
    try:
        return [cache.fetch(ADDRESS, FILES) / name for name in FILES]
    except OSError as error:
        raise DataUnavailable(
            f"QMNIST's labels are not in {ENVIRONMENT_VARIABLE} nor in a cache, and their address "
            f"did not give them: {error}"
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
                f"{path} is not the file that QMNIST published (SHA-256 differs): remove it, or "
                "fetch it again"
            )


def _read(path: Path) -> np.ndarray:
    """Read an IDX file of 32-bit integers, int32 (n, 8)."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    # Two zeros, type 12 (int32), rank 2, the two sizes.
    header = struct.Struct(">HBBII")
    rows = (len(content) - header.size) // (4 * _COLUMNS)
    expected = header.pack(0, 12, 2, max(rows, 0), _COLUMNS)
    if content[: header.size] != expected or len(content) != header.size + 4 * rows * _COLUMNS:
        raise DataError(f"{path} is not an IDX file of integers (n, {_COLUMNS})")
    values = np.frombuffer(content, ">i4", offset=header.size)
    return values.reshape(rows, _COLUMNS).astype(np.int32)
