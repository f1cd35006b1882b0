"""Where what belongs to the series but not to the package lies: lessons, bounds, recorded timings.

In a clone it lies beside the package; the wheel puts it into ``share/mnist-notebooks``. Imports
without TensorFlow.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from mnistlib import DISTRIBUTION

_CLONE = Path(__file__).resolve().parents[1]


def find(name: str) -> Path:
    """Find a file or folder of the repository by its place in it.

    Args:
        name: With slashes, such as ``"benchmarks/results.json"`` or ``"notebooks"``.

    Returns:
        Its path in the clone that the package is run from, or in the installation; where neither
        has it, the path at which a clone would.
    """
    # Beside an installed package, a folder of that name belongs to somebody else.
    if (_CLONE / "pyproject.toml").is_file() and (_CLONE / ".ci").is_dir():
        return _CLONE / name
    share = f"share/{DISTRIBUTION}"
    # pip's record says where it was put, but not where it was told --target.
    recorded = [
        Path(str(file.locate()).partition(share)[0]).resolve()
        for file in _installed()
        if f"/{share}/" in f"/{file.as_posix()}"
    ]
    places = [root / share / name for root in (*recorded[:1], _CLONE)]
    return next((place for place in places if place.exists()), _CLONE / name)


def _installed() -> list[importlib.metadata.PackagePath]:
    try:
        return importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
