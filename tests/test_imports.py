from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter, where nothing is imported or silenced yet."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "KERAS"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[1],
        env=kept | environment,
    )


def test_data_images_metrics_and_plots_do_not_import_tensorflow():
    ran = python(
        "import sys, mnistlib\n"
        "from mnistlib import data, drawing, images, kaggle, metrics, pictures, plots\n"
        "print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")


def test_importing_models_writes_nothing_to_standard_error():
    """Not even TensorFlow's C++ does, which passes Python's ``sys.stderr`` by."""
    ran = python("import os, mnistlib.models\nos.write(2, b'open again')")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "open again")


def test_failing_import_is_not_silenced():
    ran = python("import mnistlib.models", KERAS_BACKEND="none-such")
    assert ran.returncode == 1
    assert "none-such" in ran.stderr
