"""Execute the committed notebooks in place, on the full MNIST. Run by ``make execute``.

Nothing of the execution stays but outputs and counts: no times in the cells, no widget state, and
nothing of papermill's. Each cell of a lesson is given its place in the lesson's talk. The figure of
a cell tagged ``readme-mistakes`` becomes the README's ``.github/mistakes.png``, and so on.
"""

from __future__ import annotations

import base64
import sys
import time
from pathlib import Path

import nbformat
import slides
from nbclient import NotebookClient

from mnistlib import batch, data, kernels

README_FIGURES = Path(__file__).resolve().parent.parent / ".github"
NOTEBOOKS = README_FIGURES.parent / "notebooks"


def execute(path: Path) -> None:
    """Execute one notebook; it is replaced when, and only when, every cell ran.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    path = path.resolve()
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for name in ("execution", "papermill"):
            cell.metadata.pop(name, None)
    NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=kernels.KernelManager,
        resources={"metadata": {"path": str(path.parent)}},
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    ).execute()
    notebook.metadata.pop("widgets", None)
    if path.parent == NOTEBOOKS:
        slides.tag(notebook)
    new = path.with_suffix(".new")
    nbformat.write(notebook, new)
    new.replace(path)
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("readme-"):
                data_of = [output.data for output in cell.outputs if "data" in output]
                png = next(shown["image/png"] for shown in data_of if "image/png" in shown)
                figure = README_FIGURES / f"{tag.removeprefix('readme-')}.png"
                figure.write_bytes(base64.b64decode(png))


def main(names: list[str]) -> None:
    """Execute the notebooks at these paths, or all of them."""
    # Numbers measured on the sample must not be committed.
    data.load("mnist")
    paths = [Path(name) for name in names] or sorted(batch.FOLDER.rglob("[0-9][0-9]_*.ipynb"))
    for path in paths:
        start = time.perf_counter()
        execute(path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
