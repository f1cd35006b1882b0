"""Build the wheel into dist/. Run by ``make wheel``.

From a copy: setuptools leaves a ``build`` folder behind, and what lies in one goes into the next
wheel.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LEFT = (".git", ".venv", "runs", "build", "dist", "*.egg-info", "__pycache__")


def build(folder: Path) -> Path:
    """Build the wheel of what lies in the repository, committed or not; older ones go.

    Args:
        folder: Where to put it; made where it is missing.

    Returns:
        The wheel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    with tempfile.TemporaryDirectory() as scratch:
        copy, made = Path(scratch) / "copy", Path(scratch) / "made"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*_LEFT))
        command = [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(made), str(copy)]
        subprocess.run(command, check=True)
        (wheel,) = made.glob("*.whl")
        for old in folder.glob(f"{wheel.name.partition('-')[0]}-*.whl"):
            old.unlink()
        return Path(shutil.copy(wheel, folder))


if __name__ == "__main__":
    print(build(ROOT / "dist"))
