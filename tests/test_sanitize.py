import base64
import re
import subprocess

import nbformat
import pytest
from compare import ROOT, command
from nbval.plugin import get_sanitize_patterns

from mnistlib.results import Figure

PATTERNS = get_sanitize_patterns((ROOT / "tests" / "sanitize.cfg").read_text(encoding="ascii"))


def sanitized(text):
    for pattern, replacement in PATTERNS:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    ("committed", "measured"),
    [
        ("accuracy 97.81 %", "accuracy 97.79 %"),
        ("accuracy 100.00 %", "accuracy 9.99 %"),
        ("97.81 ± 0.12 %", "97.9 ± 0.1 %"),
        ("97.81 % (95 % interval 97.50–98.08 %)", "97.85 % (95 % interval 97.55–98.12 %)"),
        ("test accuracy: 97.81 %", "test accuracy: 97.60 %"),
        ("mean accuracy: 97.81 ± 0.12 % (5 seeds)", "mean accuracy: 97.70 ± 0.20 % (5 seeds)"),
        ("<Figure size 810x1234 with 1 Axes>", "<Figure size 810x987 with 1 Axes>"),
        ("<Figure size 810x339.75 with 1 Axes>", "<Figure size 810x441 with 1 Axes>"),
        ("fitted in 12.3 s", "fitted in 9 s"),
        ("0.4 ms a digit", "120 µs a digit"),
        ("in 2 min", "in 90 s"),
        ("p = 0.012", "p < 0.001"),
        ("p = 3.4e-05", "p = 0.2"),
        (
            "469/469 - 1s - 3ms/step - accuracy: 0.9658 - loss: 0.1139 - val_loss: 1.2e-04",
            "469/469 - 12s - 391us/step - accuracy: 0.9600 - loss: 0.1200 - val_loss: 0.0900",
        ),
        ("1.52 × as fast", "12.00 × as fast"),
        ("temperature 1.52", "temperature 0.98"),
        ("+0.12 points", "−0.03 points"),
        ("+0.12 points (+0.02 to +0.22 points)", "0.10 points (-0.01 to +0.21 points)"),
        ("87 mistakes", "1 mistake"),
        ("1,204 disagreements", "98 disagreements"),
        ("87 digits wrong", "1 digit wrong"),
        ("<Model at 0x7f3a5c21d0>", "<Model at 0x7f9f00aa10>"),
        ("<td>97.81 ± 0.12 %</td>", "<td>97.80 ± 0.10 %</td>"),
        ("<td>97.81%</td>", "<td>97.80%</td>"),
        ("       accuracy\ncnn   99.10 %", "        accuracy\ncnn   100.00 %"),
    ],
)
def test_a_measurement_may_differ(committed, measured):
    assert committed != measured
    assert sanitized(committed) == sanitized(measured)


@pytest.mark.parametrize(
    ("unit", "committed", "measured"),
    [
        ("%", 0.9781, 0.0999),
        ("s", 12.34, 9.0),
        ("min", 2.0, 1.25),
        ("points", 0.125, -0.033),
        ("mistakes", 1234.0, 87.0),
        ("digits wrong", 87.0, 1.0),
    ],
)
def test_recorded_figure_may_differ_in_value_and_in_nothing_else(unit, committed, measured):
    def shown(name, *values):
        return sanitized(str(Figure(name, values, unit)))

    assert str(Figure("a", (committed,), unit)) != str(Figure("a", (measured,), unit))
    assert shown("a", committed) == shown("a", measured)
    assert shown("a", committed) != shown("b", committed)
    assert shown("a", committed, measured) == shown("a", measured, measured)
    assert shown("a", committed, measured) != shown("a", committed, measured, measured)


@pytest.mark.parametrize(
    ("committed", "changed"),
    [
        ("60,000 training digits", "59,999 training digits"),
        ("mean 33.318, sd 78.567", "mean 33.319, sd 78.567"),
        ("(60000, 28, 28)", "(60000, 28, 27)"),
        ("28 × 28 pixels", "28 × 27 pixels"),
        ("101,770 parameters", "101,771 parameters"),
        ("accuracy: 97.81 ± 0.12 % (5 seeds)", "accuracy: 97.81 ± 0.12 % (4 seeds)"),
        ("<Figure size 810x1234 with 1 Axes>", "<Figure size 810x1234 with 2 Axes>"),
        ("97.81 % of the test digits", "97.81 % of the training digits"),
        ("the 95 % interval", "the 90 % interval"),
        ("97.81 ± 0.12 %", "97.81 ± 0.12 s"),
        ("accuracy: 97.81 %", "accuracy: nan %"),
        ("p = 0.012", "p = nan"),
        ("87 mistakes", "87 digits"),
        ("469/469 - 1s - 3ms/step - loss: 0.1", "468/468 - 1s - 3ms/step - loss: 0.1"),
        ("<td>5,923</td>", "<td>5,924</td>"),
        ("digit\n0  5923", "digit\n0  5924"),
    ],
)
def test_a_fact_or_a_bound_may_not_differ(committed, changed):
    assert sanitized(committed) != sanitized(changed)


PIXEL = base64.b64encode(b"\x89PNG").decode()
HTML = "<b>6,742 ones, 97.81 %</b>"
SOURCE = f"""\
from IPython.display import publish_display_data
print("6,742 ones, 97.81 %")
publish_display_data({{"text/plain": "a table", "text/html": {HTML!r}, "image/png": {PIXEL!r}}})"""


def compare_cell(path, *, printed="6,742 ones, 97.81 %", html=HTML, image=PIXEL):
    """Commit a notebook with these outputs of one cell, and compare it as the build does."""
    cell = nbformat.v4.new_code_cell(SOURCE, execution_count=1)
    bundle = {"text/plain": "a table", "text/html": html, "image/png": image}
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=printed + "\n"),
        nbformat.v4.new_output("display_data", data=bundle),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    # From the root, so that the settings of the build apply: warnings are errors.
    return subprocess.run(
        [
            *command([path]),
            f"--nbval-sanitize-with={ROOT / 'tests' / 'sanitize.cfg'}",
            "--nbval-current-env",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_the_comparison_overlooks_measurements_and_images(tmp_path):
    done = compare_cell(
        tmp_path / "01_same.ipynb",
        printed="6,742 ones, 97.60 %",
        html="<b>6,742 ones, 97.60 %</b>",
        image="iVBORw0K",
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "outputs", [{"printed": "6,743 ones, 97.81 %"}, {"html": "<b>6,743 ones, 97.81 %</b>"}]
)
def test_the_comparison_sees_a_fact_that_changed(tmp_path, outputs):
    done = compare_cell(tmp_path / "01_other.ipynb", **outputs)
    assert done.returncode == 1
    assert "6,743" in done.stdout
