"""Images that take a minute to draw, kept in the user's cache folder.

Imports without TensorFlow.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mnistlib import cache, packed
from mnistlib.data import SIDE

# What decides how a picture becomes MNIST's image.
_CODE = (
    *("drawing", "forms", "handwriting", "outliers", "paper", "pictures", "preprocess", "strokes"),
)

# As ``images`` names them.
_NAME = re.compile(r"[A-Za-z0-9-]+-[0-9a-f]{16}\.npz")
# So long is waited for another process that draws the same.
_SECONDS = 600


def images(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Give the images of this name: those drawn earlier, else those that ``make`` draws.

    They count as drawn earlier if the very same code drew them: another state draws them anew, as
    is done where the kept file is damaged. Processes that ask at the same time draw once. Where
    nothing can be written, they are drawn each time, and a warning says why.

    Args:
        name: Of letters, digits and hyphens; says what ``make`` depends on.
        make: Draws them: uint8 (n, 28, 28).
    """
    here = Path(__file__).parent
    code = b"".join((here / f"{module}.py").read_bytes() for module in _CODE)
    digest = hashlib.sha256(code).hexdigest()[:16]
    path = cache.folder() / f"{name}-{digest}.npz"
    if (drawn := _read(path)) is not None:
        return drawn
    with cache.locked(path.stem, seconds=_SECONDS):
        # Meanwhile another process may have drawn them.
        if (drawn := _read(path)) is not None:
            return drawn
        drawn = make()
        try:
            cache.write(path, _packed(drawn))
        except OSError as error:
            warnings.warn(
                f"The drawn images could not be kept in {path.parent} and will be drawn anew the "
                f"next time ({error}). {cache.WAY}",
                stacklevel=3,
            )
    return drawn


def damaged() -> list[Path]:
    """List the files that hold images drawn earlier and cannot be read any more."""
    named = (path for path in cache.folder().glob("*.npz") if _NAME.fullmatch(path.name))
    return sorted(path for path in named if _read(path) is None)


def _read(path: Path) -> np.ndarray | None:
    """Read kept images; None where there are none, or the file is damaged."""
    try:
        # A zip carries a checksum, by which any damage is found.
        with packed.open_zip(path) as archive, archive.open("images.npy") as file:
            found = np.lib.format.read_array(file, allow_pickle=False)
            file.read()
    except packed.ERRORS:
        return None
    return found if found.dtype == np.uint8 and found.shape[1:] == (SIDE, SIDE) else None


def _packed(images: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=images)
    return buffer.getvalue()
