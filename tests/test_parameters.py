import json
import re

import nbformat
import pytest
from small_series import write_notebook

from mnistlib import batch, parameters

DECLARED = """\
EPOCHS: int = 10  # passes over the digits (1 or more)
RATE: float = 0.1  # step size (above 0)
SHARE: float = 0.5  # of the digits (0 to 1)
SOURCE: str = "auto"  # which digits (one of auto, mnist, sample)
SHOW: bool = True  # draw the figures
NAME: str = "a"  # a word (as one likes)
UNITS = [128, 64]"""


@pytest.fixture
def declared(tmp_path):
    write_notebook(tmp_path / "a.ipynb", DECLARED)
    return parameters.read(tmp_path / "a.ipynb")


def test_the_cell_is_read_with_types_defaults_and_comments(declared):
    assert list(declared) == ["EPOCHS", "RATE", "SHARE", "SOURCE", "SHOW", "NAME", "UNITS"]
    assert declared["EPOCHS"] == parameters.Parameter(
        "EPOCHS", "int", 10, "passes over the digits (1 or more)"
    )
    assert declared["SOURCE"].default == "auto"


@pytest.mark.parametrize(
    ("name", "value", "converted"),
    [
        ("EPOCHS", "1", 1),
        ("EPOCHS", 1, 1),
        ("RATE", "1e-9", 1e-9),
        ("SHARE", 0, 0.0),
        ("SHARE", "1", 1.0),
        ("SOURCE", "sample", "sample"),
        ("SHOW", "false", False),
        ("NAME", "", ""),
    ],
)
def test_values_in_range_are_converted(declared, name, value, converted):
    found = parameters.convert(value, declared[name])
    assert (found, type(found)) == (converted, type(converted))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("EPOCHS", 0, "1 or more"),
        ("EPOCHS", "-3", "1 or more"),
        ("RATE", 0.0, "above 0"),
        ("RATE", "nan", "a finite number"),
        ("RATE", "inf", "a finite number"),
        ("SHARE", 1.01, "0 to 1"),
        ("SHARE", "-0.01", "0 to 1"),
        ("SOURCE", "elsewhere", "one of auto, mnist, sample"),
        ("SOURCE", "auto, mnist", "one of auto, mnist, sample"),
        ("UNITS", "3", "declared int, float, bool or str"),
    ],
)
def test_values_out_of_range_are_refused_by_name(declared, name, value, wanted):
    with pytest.raises(ValueError, match=f"^{name} must be {re.escape(wanted)}") as caught:
        parameters.convert(value, declared[name])
    if name != "UNITS":
        assert "received" in str(caught.value)


@pytest.mark.parametrize("kernelspec", [None, {"name": "ir", "language": "R"}])
def test_a_notebook_that_python_does_not_run_is_refused_by_name(tmp_path, kernelspec):
    notebook = nbformat.v4.new_notebook()
    if kernelspec:
        notebook.metadata.kernelspec = kernelspec | {"display_name": "R"}
    nbformat.write(notebook, tmp_path / "01_other.ipynb")
    with pytest.raises(ValueError, match=r"01_other\.ipynb must name a Python kernel"):
        batch.plan(folder=tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", json.dumps({"cells": 3}).encode(), b"[" * 100_000]
)
def test_what_is_no_notebook_is_refused_by_name(tmp_path, content):
    (tmp_path / "01_broken.ipynb").write_bytes(content)
    with pytest.raises(ValueError, match=r"01_broken\.ipynb is no Jupyter notebook"):
        batch.plan(folder=tmp_path)


def test_a_notebook_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"notebook must be a file.*nowhere\.ipynb"):
        parameters.read(tmp_path / "nowhere.ipynb")


@pytest.mark.parametrize(
    "path", sorted(batch.FOLDER.glob("[0-9][0-9]_*.ipynb")), ids=lambda p: p.stem
)
def test_every_parameter_of_the_series_says_its_range(path):
    for one in parameters.read(path).values():
        is_path = one.help.startswith("path")
        assert is_path or re.search(r"\((\S+ or more|\S+ to \S+|above \S+|one of .+)\)$", one.help)
        # Its own value is in it.
        assert is_path or parameters.convert(one.default, one) == one.default
