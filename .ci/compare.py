"""Hold the committed notebooks to a fresh execution: nbval in strict mode, and the bounds.

Where the full MNIST cannot be had there is nothing to compare with: then the series is executed on
the offline sample instead, and the reason is printed. Run by ``make test``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mnistlib import cli, data

ROOT = Path(__file__).resolve().parent.parent


def command(notebooks: Sequence[Path]) -> list[str]:
    """Word the comparison of these notebooks; what it goes by, ``notebooks/conftest.py`` tells."""
    return [
        *(sys.executable, "-m", "pytest", "--nbval"),
        *("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"),
        *map(str, notebooks),
    ]


def main() -> int:
    """Compare, or execute on the sample; returns the exit code."""
    try:
        data.load("mnist")
    except data.DataUnavailable as error:
        print(f"Comparison with the committed outputs skipped: {error}")
        print("The series is executed on the offline sample instead.", flush=True)
        return cli.main(["run", "-p", "SOURCE", "sample"])
    # A notebook to each core: two at once, with a thread each, end before one after the other would
    # with two threads.
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    notebooks = sorted((ROOT / "notebooks").rglob("[0-9][0-9]_*.ipynb"))
    return subprocess.call(command(notebooks), env=environment)


if __name__ == "__main__":
    sys.exit(main())
