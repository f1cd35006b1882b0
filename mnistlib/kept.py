"""Images that take a minute to draw, kept in the user's cache folder.

Imports without TensorFlow.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mnistlib import DISTRIBUTION
from mnistlib.data import CACHE_WAY

# What decides how a picture becomes MNIST's image.
_CODE = (
    *("drawing", "forms", "handwriting", "outliers", "paper", "pictures", "preprocess", "strokes"),
)


def images(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Give the images of this name: those drawn earlier, else those that ``make`` draws.

    They count as drawn earlier if the very same code drew them: another state draws them anew.
    Where nothing can be written, they are drawn each time.

    Args:
        name: Of letters, digits and hyphens; says what ``make`` depends on.
        make: Draws them: uint8 (n, 28, 28).
    """
    import pooch

    here = Path(__file__).parent
    code = b"".join((here / f"{module}.py").read_bytes() for module in _CODE)
    digest = hashlib.sha256(code).hexdigest()[:16]
    path = Path(pooch.os_cache(DISTRIBUTION)) / f"{name}-{digest}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        drawn = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
            new = Path(folder) / path.name
            np.save(new, drawn)
            new.replace(path)
    except OSError as error:
        warnings.warn(
            f"The drawn images could not be kept in {path.parent} and will be drawn anew the next "
            f"time ({error}). {CACHE_WAY}",
            stacklevel=3,
        )
    return drawn
