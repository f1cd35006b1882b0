"""Notebooks that run in a second, for the tests of what runs notebooks."""

from __future__ import annotations

from pathlib import Path

import nbformat

PARAMETERS = """\
EPOCHS: int = 10  # passes over the digits
RATE: float = 0.001  # step size
SOURCE: str = "auto"  # where the digits come from
SHOW: bool = True  # draw the figures"""


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook with the given code cells, the first one tagged ``parameters``."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), path)


def write_series(folder: Path) -> Path:
    """Write two: one passes and prints an expectation, one fails in its third code cell."""
    write_notebook(
        folder / "01_pass.ipynb",
        PARAMETERS,
        "from mnistlib import metrics\nmetrics.expect('test accuracy', 0.9781, at_least=0.975)",
        "import os, sys\nprint((EPOCHS, RATE, SOURCE, SHOW))\nprint(sys.executable)\nos.getcwd()",
    )
    write_notebook(
        folder / "02_fail.ipynb", "SEEDS: int = 5  # runs", "print(SEEDS)", "1 / 0", "print(2)"
    )
    return folder
