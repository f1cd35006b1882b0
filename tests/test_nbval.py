"""``pytest --nbval`` and ``--nbval-lax`` as somebody types them who knows only nbval."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mnistlib import data, results

ROOT = Path(__file__).parent.parent
BOUNDS = '[01_small."test accuracy"]\nat_least = {at_least}\nbecause = "measured"\n'
DIGITS = f"""\
from IPython.display import publish_display_data
publish_display_data({{"text/plain": "digits", {data.MIME!r}: {{"is_mnist": True}}}})"""


@pytest.fixture
def clone(tmp_path):
    """A clone with one small notebook, which recorded 97.81 % when it was committed."""

    def make(
        *,
        measures: float = 0.976,
        at_least: float = 0.97,
        prints: str = "60,000 digits",
        records: str = "test accuracy",
    ):
        for part in ("notebooks/conftest.py", "tests/sanitize.cfg", "pyproject.toml"):
            (tmp_path / part).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / part, tmp_path / part)
        (tmp_path / "tests" / "bounds.toml").write_text(BOUNDS.format(at_least=at_least))
        committed = results.Figure("test accuracy", (0.9781,))._repr_mimebundle_()
        cells = []
        for source, output in (
            (
                DIGITS,
                nbformat.v4.new_output(
                    "display_data",
                    data={"text/plain": "digits", data.MIME: {"is_mnist": True}},
                ),
            ),
            (
                f"from mnistlib import results\nresults.record({records!r}, {measures})",
                nbformat.v4.new_output("display_data", data=committed),
            ),
            (
                f"print({prints!r})",
                nbformat.v4.new_output("stream", name="stdout", text="60,000 digits\n"),
            ),
        ):
            cell = nbformat.v4.new_code_cell(source, execution_count=len(cells) + 1)
            cell.outputs = [output]
            cells.append(cell)
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, tmp_path / "notebooks" / "01_small.ipynb")
        return tmp_path

    return make


def nbval(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "-p", "no:cacheprovider"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("how", ["--nbval", "--nbval-lax"])
@pytest.mark.parametrize(
    ("inside", "where"),
    [
        (".", "notebooks/"),
        (".", None),
        (".", "."),
        ("notebooks", None),
        ("notebooks", "01_small.ipynb"),
    ],
)
def test_plain_nbval_takes_our_sanitising_without_a_flag(clone, how, inside, where):
    done = nbval(clone() / inside, how, *([where] if where else []))
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("how", ["--nbval", "--nbval-lax"])
def test_fresh_figure_that_misses_its_bound_fails_by_name(clone, how):
    done = nbval(clone(at_least=0.977), how, "notebooks/")
    assert done.returncode == 1
    assert "01_small: test accuracy: 97.60 %; it should be at least 97.70 % (measured)" in (
        done.stdout
    )
    assert "1 failed, 2 passed" in done.stdout


def test_fact_that_changed_fails_the_strict_comparison_alone(clone):
    folder = clone(prints="59,999 digits")
    assert "59,999" in nbval(folder, "--nbval", "notebooks/").stdout
    assert nbval(folder, "--nbval-lax", "notebooks/").returncode == 0


def test_bounded_figure_that_no_cell_records_is_a_fault_of_the_last_cell(clone):
    folder = clone(records="accuracy")
    done = nbval(folder, "--nbval-lax", "notebooks/")
    assert done.returncode == 1
    assert "01_small should record 'test accuracy', at least 0.97; it did not" in done.stdout
    assert "1 failed, 2 passed" in done.stdout
    # Who runs only some of the cells has asked for no more.
    some = ("--deselect", "notebooks/01_small.ipynb::Cell 1")
    done = nbval(folder, "--nbval-lax", "notebooks/", *some)
    assert done.returncode == 0
    assert "2 passed" in done.stdout


def test_kernel_of_the_user_does_not_replace_this_interpreter(clone, tmp_path):
    spec = tmp_path / "share" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["false", "{connection_file}"], "display_name": "other", "language": "python"}'
    )
    path = str(tmp_path / "share")
    assert nbval(clone(), "--nbval", "notebooks/", JUPYTER_PATH=path).returncode == 0
    asked = ("--nbval-kernel-name", "python3", "--nbval-kernel-startup-timeout", "2")
    assert nbval(clone(), "--nbval", "notebooks/", *asked, JUPYTER_PATH=path).returncode == 1


def test_sanitising_that_is_given_goes_first(clone, tmp_path):
    (tmp_path / "none.cfg").write_text("")
    none = f"--nbval-sanitize-with={tmp_path / 'none.cfg'}"
    assert "97.60 %" in nbval(clone(), "--nbval", "notebooks/", none).stdout
    old = (f"--sanitize-with={tmp_path / 'none.cfg'}", "-W", "ignore:--sanitize-with")
    done = nbval(clone(), "--nbval", "notebooks/", *old)
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr


def test_relative_path_to_the_digits_serves_the_kernels_too(clone):
    folder = clone()
    path = folder / "notebooks" / "01_small.ipynb"
    notebook = nbformat.read(path, as_version=4)
    check = "import os\nassert os.path.isabs(os.environ['MNISTLIB_DATA'])\n"
    notebook.cells[2].source = check + notebook.cells[2].source
    nbformat.write(notebook, path)
    done = nbval(folder, "--nbval", "notebooks/", MNISTLIB_DATA="digits.npz")
    assert done.returncode == 0, done.stdout


def test_tests_run_as_ever_where_nbval_is_not_installed(clone):
    folder = clone()
    (folder / "tests" / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    (folder / "notebooks" / "test_nothing_here.py").write_text("def test_nothing():\n    pass\n")
    done = nbval(folder, "-p", "no:nbval")
    assert "2 passed" in done.stdout, done.stdout
