import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from small_series import write_notebook, write_series

ROOT = Path(__file__).parent.parent
COMMAND = Path(sysconfig.get_path("scripts")) / "mnistlib"
SAMPLE = ("-p", "SOURCE", "sample")


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "notebooks")


@pytest.fixture
def mnistlib(tmp_path):
    """Run the command line in a process of its own, in an empty folder."""

    def call(*arguments, **environment):
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


def test_importing_the_command_line_imports_neither_tensorflow_nor_papermill():
    code = "import sys, mnistlib.cli; print({'tensorflow', 'keras', 'papermill'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_version(mnistlib):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert mnistlib("--version").stdout.split()[-1] == project["version"]


def test_run_prints_the_source_and_a_table(mnistlib, series):
    done = mnistlib("run", "01", "--notebooks", series, *SAMPLE, "-p", "EPOCHS", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Data: offline sample")
    assert lines[2].split() == ["notebook", "seconds", "output"]
    assert lines[3].split()[::2] == ["01_pass", "runs/01_pass/01_pass.ipynb"]
    assert lines[4].strip() == "test accuracy: 97.81 % [at least 97.50 %]"
    assert "01_pass" in done.stderr


def test_a_failure_is_named_and_the_exit_code_says_so(mnistlib, series, tmp_path):
    done = mnistlib("run", "--notebooks", series, "--output", "elsewhere", *SAMPLE)
    assert done.returncode == 1
    assert "02_fail failed in cell In [3]: ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr
    assert "test accuracy: 97.81 %" in done.stdout
    assert (tmp_path / "elsewhere" / "02_fail" / "02_fail.ipynb").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["03"], "names must be among"),
        (["-p", "EPOCH", "3"], "parameters must be among"),
        (["-p", "EPOCHS", "x"], "EPOCHS must be of type int"),
        (["-p", "SOURCE", "elsewhere"], "source must be one of"),
    ],
)
def test_what_is_unknown_is_refused_before_anything_runs(
    mnistlib, series, tmp_path, arguments, message
):
    done = mnistlib("run", "--notebooks", series, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_path_that_holds_no_mnist_is_refused(mnistlib, series):
    done = mnistlib("run", "--notebooks", series, MNISTLIB_DATA="nowhere.npz")
    assert done.returncode == 2
    assert "nowhere.npz" in done.stderr


def test_a_relative_path_to_the_digits_serves_the_kernels_too(mnistlib, tmp_path):
    write_notebook(
        tmp_path / "01_where.ipynb",
        "SOURCE: str = 'auto'",
        "import os\nassert os.path.isabs(os.environ['MNISTLIB_DATA'])",
    )
    done = mnistlib("run", "--notebooks", tmp_path, *SAMPLE, MNISTLIB_DATA="digits.npz")
    assert done.returncode == 0, done.stderr
