"""Notebooks that run in a second, for the tests of what runs notebooks."""

from __future__ import annotations

from pathlib import Path

import nbformat

PARAMETERS = """\
EPOCHS: int = 10  # passes over the digits
RATE: float = 0.001  # step size
SOURCE: str = "auto"  # where the digits come from
SHOW: bool = True  # draw the figures"""

# What a lesson shows of its digits, without the seconds that loading them takes.
RECORDS = """\
from IPython.display import publish_display_data
from mnistlib import data, results
shown = {"source": "few", "is_mnist": SOURCE != "sample", "training": 1, "test": 1}
publish_display_data({"text/plain": "Digits(few)", data.MIME: shown})
results.record("test accuracy", [0.97, 0.98])
results.record("mistakes", 219, unit="mistakes")"""

BOUNDS = """\
["01_pass"."test accuracy"]
at_least = {at_least}
because = "0.975 ± 0.007"
"""


def write_bounds(folder: Path, at_least: float) -> None:
    """Write the bounds of the series in ``folder`` where they are looked for."""
    path = folder.parent / "tests" / "bounds.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(BOUNDS.format(at_least=at_least), encoding="utf-8")


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook with the given code cells, the first one tagged ``parameters``."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), path)


def write_series(folder: Path) -> Path:
    """Write two: one passes and records a figure, one fails in its third code cell."""
    write_notebook(
        folder / "01_pass.ipynb",
        PARAMETERS,
        RECORDS,
        "import os, sys\nprint((EPOCHS, RATE, SOURCE, SHOW))\nprint(sys.executable)\nos.getcwd()",
    )
    write_notebook(
        folder / "02_fail.ipynb", "SEEDS: int = 5  # runs", "print(SEEDS)", "1 / 0", "print(2)"
    )
    return folder
