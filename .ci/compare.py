"""Hold the committed notebooks to a fresh execution: nbval in strict mode.

Where the full MNIST cannot be had there is nothing to compare with: then the series is executed on
the offline sample instead, and the reason is printed. Run by ``make test``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mnistlib import cli, data

ROOT = Path(__file__).resolve().parent.parent


def command(notebooks: Sequence[Path]) -> list[str]:
    """Word the comparison of these notebooks; the kernel is the interpreter that runs this."""
    return [
        *(sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env"),
        f"--nbval-sanitize-with={ROOT / 'tests' / 'sanitize.cfg'}",
        "--nbval-cell-timeout=1200",
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
    environment = dict(os.environ)
    if named := environment.get(data.ENVIRONMENT_VARIABLE):
        # The kernels run in the notebooks' folder.
        environment[data.ENVIRONMENT_VARIABLE] = str(Path(named).expanduser().resolve())
    notebooks = sorted((ROOT / "notebooks").rglob("[0-9][0-9]_*.ipynb"))
    # The solutions beside the series: much of either occupies one core alone.
    solutions = [path for path in notebooks if path.parent.name == "solutions"]
    series = [path for path in notebooks if path not in solutions]
    with tempfile.TemporaryFile("w+") as said:
        beside = subprocess.Popen(
            command(solutions), cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            codes = [subprocess.call(command(series), cwd=ROOT, env=environment), beside.wait()]
        finally:
            beside.kill()
            beside.wait()
        said.seek(0)
        print(said.read(), flush=True)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
