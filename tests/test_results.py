from __future__ import annotations

import json
import math
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient

from mnistlib import repository, results
from mnistlib.results import Bound, Figure

finite = st.floats(-1e6, 1e6)


def executed(*sources: str) -> nbformat.NotebookNode:
    """A notebook with these cells, executed by a real kernel and kept as JSON."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    NotebookClient(notebook, timeout=120).execute()
    return nbformat.reads(nbformat.writes(notebook), as_version=4)


# --- recording and reading back -----------------------------------------------------------------


def test_what_a_lesson_records_is_shown_as_a_line_and_read_back_exactly(tmp_path):
    notebook = executed(
        "from mnistlib import results",
        "for k in (0.1, 0.2):\n    results.record(f'share {k}', k + 1e-12)\nresults.record('a', 1)",
        "import numpy as np\nresults.record('mean', np.float32([0.97, 0.98]))",
        "results.record('time', 1.5, unit='s')\nprint('share: 99.00 %')",
    )
    path = tmp_path / "run.ipynb"
    nbformat.write(notebook, path)
    for source in (notebook, path, str(path)):
        record = results.read(source)
        assert record.is_mnist is None
        assert record.figures == (
            Figure("share 0.1", (0.1 + 1e-12,)),
            Figure("share 0.2", (0.2 + 1e-12,)),
            Figure("a", (1.0,)),
            Figure("mean", (float(np.float32(0.97)), float(np.float32(0.98)))),
            Figure("time", (1.5,), "s"),
        )
    texts = [o.data["text/plain"] for cell in notebook.cells for o in cell.outputs if "data" in o]
    assert texts == [
        "share 0.1: 10.00 %",
        "share 0.2: 20.00 %",
        "a: 100.00 %",
        "mean: 97.50 ± 0.71 % (2 seeds)",
        "time: 1.5 s",
    ]


@pytest.mark.parametrize("ipython", ["", "import sys; sys.modules['IPython'] = None\n"])
def test_a_script_prints_the_same_line_with_and_without_ipython(ipython):
    code = ipython + "from mnistlib import results\nresults.record('test accuracy', 0.97813)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "test accuracy: 97.81 %\n"


def test_digits_that_a_lesson_shows_are_read_back():
    load = "import warnings\nfrom mnistlib import data\nwarnings.simplefilter('ignore')\n"
    assert results.read(executed(load + "data.load('sample')")).is_mnist is False


@given(st.text(min_size=1).filter(str.strip), st.lists(finite, min_size=1, max_size=6))
def test_stored_figures_survive_json(name, values):
    figure = Figure(name, tuple(values), "s")
    bundle = json.loads(json.dumps(figure._repr_mimebundle_()))
    assert results.figures_in([{"data": bundle}]) == [figure]
    assert bundle[results.MIME]["value"] == pytest.approx(sum(values) / len(values), abs=1e-6)


def test_outputs_of_other_kinds_are_passed_over():
    outputs = [{"text": "97 %"}, {"data": {"text/plain": "97 %"}}, {"ename": "ValueError"}]
    assert results.figures_in(outputs) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("", 0.5, "name must say in one line what the figure is; received ''"),
        ("  ", 0.5, "name must say in one line"),
        (None, 0.5, "name must say"),
        ("a", math.nan, "finite number.* received nan for a"),
        ("a", math.inf, "finite number"),
        ("a", [0.5, math.nan], "finite number"),
        ("a", [], "finite number"),
        ("a", "0.5", "finite number"),
        ("a", ["0.5"], "finite number"),
        ("a", None, "finite number"),
        ("a", np.zeros((2, 2)), "finite number"),
        ("a", True, "finite number"),
        ("two\nlines", 0.5, "in one line"),
        ("a", 97.81, "share, 0-1, .*; received 97.81 for a: divide it by 100, or give its unit"),
        ("a", [0.97, 98], "share, 0-1"),
        ("a", -0.01, "share, 0-1"),
    ],
)
def test_what_is_no_figure_is_refused(name, value, said):
    with pytest.raises(ValueError, match=said):
        results.record(name, value)


@pytest.mark.parametrize("argument", ["unit", "each"])
@pytest.mark.parametrize("word", ["", " ", None, 3])
def test_unit_that_is_none_is_refused(argument, word):
    said = f"{argument} must be a word or a sign; received {word!r} for a"
    with pytest.raises(ValueError, match=said):
        results.record("a", 0.5, **{argument: word})


def test_figure_of_folds_says_so_and_is_read_back():
    figure = Figure("a", (0.5, 0.7), each="folds")
    assert str(figure) == "a: 60.00 ± 14.14 % (2 folds)"
    output = {"output_type": "display_data", "data": figure._repr_mimebundle_(), "metadata": {}}
    (cell,) = read_back = results.figures_in([output])
    assert read_back == [figure]
    assert cell.each == "folds"


@pytest.mark.parametrize(
    ("values", "unit", "line"),
    [
        ((0.97813,), "%", "a: 97.81 %"),
        ((0.97, 0.98), "%", "a: 97.50 ± 0.71 % (2 seeds)"),
        ((12345.0,), "mistakes", "a: 12,345 mistakes"),
        ((80.0, 93.0), "mistakes", "a: 86.5 ± 9.192 mistakes (2 seeds)"),
        ((-0.125,), "points", "a: -0.125 points"),
    ],
)
def test_figure_is_worded_in_its_unit(values, unit, line):
    assert str(Figure("a", values, unit)) == line


@pytest.mark.parametrize("text", ["no json", "[1]", "{}", '{"cells": 3}'])
def test_file_that_is_no_notebook_is_refused(tmp_path, text):
    (tmp_path / "x.ipynb").write_text(text)
    with pytest.raises(ValueError, match=r"must be a Jupyter notebook; received .*x\.ipynb"):
        results.read(tmp_path / "x.ipynb")


# --- bounds -------------------------------------------------------------------------------------


def bounds_of(tmp_path, text):
    path = tmp_path / "bounds.toml"
    path.write_text(text, encoding="utf-8")
    return results.load_bounds(path)


def test_bounds_hold_the_mean_of_several_values(tmp_path):
    bounds = bounds_of(
        tmp_path,
        '[02."test accuracy"]\nat_least = 0.975\nbecause = "mean less three sd"\n'
        '[02."error"]\nat_most = 0.02\nbecause = "claimed"\n',
    )
    good = [Figure("test accuracy", (0.974, 0.976)), Figure("error", (0.02,))]
    assert results.check("02", good, bounds) == []
    assert results.check("03", [], bounds) == []
    bad = [Figure("test accuracy", (0.974, 0.9758)), Figure("error", (0.0201,))]
    assert results.check("02", bad, bounds) == [
        "02: test accuracy: 97.49 ± 0.13 % (2 seeds); it should be at least 97.50 % "
        "(mean less three sd)",
        "02: error: 2.01 %; it should be at most 2.00 % (claimed)",
    ]
    assert results.check("02", good[:1], bounds) == [
        "02 should record 'error', at most 0.02; it did not"
    ]


@pytest.mark.parametrize(
    ("figure", "limit", "sentence"),
    [
        (
            Figure("a", (0.97498,)),
            "at_least = 0.975",
            "02: a: 97.50 %, unrounded 0.97498; it should be at least 97.50 % (measured)",
        ),
        (
            Figure("a", (12.00001,), "s"),
            "at_most = 12",
            "02: a: 12 s, unrounded 12.00001; it should be at most 12 s (measured)",
        ),
        (
            Figure("a", (12.4,), "s"),
            "at_most = 12",
            "02: a: 12.4 s; it should be at most 12 s (measured)",
        ),
        (None, "at_most = 12", "02 should record 'a', at most 12; it did not"),
    ],
)
def test_a_missed_bound_never_reads_like_a_met_one(tmp_path, figure, limit, sentence):
    bounds = bounds_of(tmp_path, f'[02.a]\n{limit}\nbecause = "measured"\n')
    assert results.check("02", [figure] if figure else [], bounds) == [sentence]


def test_bounds_are_found_beside_the_notebooks(tmp_path):
    (tmp_path / "notebooks").mkdir()
    assert results.find_bounds(tmp_path / "notebooks") is None
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "bounds.toml").write_text('[02.a]\nat_least = 1\nbecause = "claimed"')
    expected = {"02": {"a": Bound(1, None, "claimed")}}
    assert results.find_bounds(tmp_path / "notebooks") == expected


@given(finite, finite)
def test_bound_is_met_from_its_own_side(limit, value):
    assert Bound(limit, None, "").holds(value) is (value >= limit)
    assert Bound(None, limit, "").holds(value) is (value <= limit)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[02\n", "is no TOML file"),
        ("[02]\na = 3", "02, a: expected at_least, at_most, because; received 3"),
        ('[02.a]\nat_leest = 1\nbecause = "x"', "02, a: expected at_least"),
        ('[02.a]\nbecause = "x"', "expected at_least or at_most, a number"),
        ('[02.a]\nat_least = 1\nat_most = 2\nbecause = "x"', "at_least or at_most"),
        ('[02.a]\nat_least = "1"\nbecause = "x"', "a number"),
        ('[02.a]\nat_least = nan\nbecause = "x"', "a number"),
        ("[02.a]\nat_least = 1", "because should say where the bound comes from"),
        ('[02.a]\nat_least = 1\nbecause = " "', "because should say"),
    ],
)
def test_bounds_that_are_none_are_refused(tmp_path, text, said):
    with pytest.raises(ValueError, match=f"bounds.toml.*{said}"):
        bounds_of(tmp_path, text)


@pytest.mark.parametrize(
    ("changed", "is_mnist", "why"),
    [
        ({}, True, None),
        ({"SOURCE": "mnist"}, True, None),
        ({"EPOCHS": 3}, True, "changed: EPOCHS = 3"),
        ({}, False, "it did not run on the full MNIST"),
        ({}, None, "it does not show which digits it ran on"),
    ],
)
def test_bounds_apply_to_the_full_mnist_and_the_notebooks_own_parameters(changed, is_mnist, why):
    assert results.why_not_bound(changed, is_mnist) == why


# --- the record of the benchmarks ---------------------------------------------------------------


def test_record_of_the_benchmarks_is_read():
    record = results.benchmarks()
    assert record["dense_128"][0].keys() >= {"seconds", "accuracy"}


def test_missing_record_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(repository, "_CLONE", tmp_path)
    with pytest.raises(FileNotFoundError, match="run make bench in the repository"):
        results.benchmarks()
