"""Open the lessons in an environment of Colab's own versions. Run by ``make colab-check``.

The wheel is built and laid beside each lesson, as one uploads it; the lesson's set-up cell finds it
and installs it. Nothing that Colab has may move, no cell may fail, and none may print in red. A
module named google.colab stands in for Colab's own. Needs Python 3.13, which is Colab's.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import build_wheel
import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets import default

from mnistlib import batch

CI = Path(__file__).resolve().parent
VERSIONS = CI / "colab.txt"
FOLDER = CI.parent / "runs" / "colab"


def environment(python: str, folder: Path) -> Path:
    """Make an environment of Colab's versions, with a stand-in for google.colab.

    Returns:
        Its interpreter.
    """
    there = folder / "bin" / "python"
    call([python, "-m", "venv", "--clear", str(folder)])
    # Colab's kernel knows google.colab before the first cell runs. protobuf owns google/.
    place = Path(said([there, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]))
    call([*pip(there), "install", "--quiet", "-r", str(VERSIONS)])
    (place / "google" / "colab").mkdir(parents=True)
    (place / "google" / "colab" / "__init__.py").touch()
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-colab.py").write_text("import google.colab\n", encoding="utf-8")
    return there


def execute(path: Path, python: Path, place: Path, built: Path) -> Iterator[str]:
    """Execute a lesson in a folder of its own, with the wheel beside it; yields what is wrong."""
    place.mkdir(parents=True)
    shutil.copy(built, place)
    notebook = nbformat.read(path, as_version=4)

    class Specs(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            own = {"IPYTHONDIR": str(python.parents[1] / "ipython"), "PYTHONPATH": ""}
            # Else the kernel's debugger tells the terminal of Python's frozen modules.
            own["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
            return KernelSpec(argv=argv, display_name="Colab", language="python", env=own)

    class Manager(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _specs(self) -> KernelSpecManager:
            return Specs(parent=self)

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=Manager,
        resources={"metadata": {"path": str(place)}},
        timeout=None,
        coalesce_streams=True,
    )
    try:
        client.execute()
    except CellExecutionError as failed:
        yield f"a cell failed: {failed.ename}: {failed.evalue}"
    nbformat.write(notebook, place / path.name)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {cell.execution_count} prints in red: {output.text.strip()[:500]}"


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Say which packages of Colab's are there no more, or in another version."""
    return [
        f"{name} {version} became {after.get(name, 'missing')}"
        for name, version in before.items()
        if after.get(name) != version
    ]


def freeze(python: Path) -> dict[str, str]:
    """Read name → version of everything installed."""
    lines = said([*pip(python), "list", "--format=freeze"]).splitlines()
    return dict(line.split("==", 1) for line in lines)


def pip(python: Path) -> list[str]:
    """Begin a command of pip's."""
    return [str(python), "-m", "pip", "--disable-pip-version-check"]


def call(command: list[str]) -> None:
    """Run a command; what it prints is seen, and it must succeed."""
    subprocess.run(command, check=True)


def said(command: list) -> str:
    """Run a command and give what it printed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main(arguments: list[str]) -> int:
    """Check some lessons or all of them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make colab-check")
    parser.add_argument("names", nargs="*", help="lessons, such as 04; all of them by default")
    parser.add_argument("--python", default="python3.13", help="an interpreter of Colab's version")
    asked = parser.parse_args(arguments)
    jobs = batch.plan(asked.names)
    if shutil.which(asked.python) is None:
        print(f"There is no {asked.python}, which Colab runs: name one: COLAB_PYTHON=…")
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    start = time.perf_counter()
    print("Making an environment of Colab's versions; minutes the first time", flush=True)
    python = environment(asked.python, FOLDER / "venv")
    built, before = build_wheel.build(FOLDER), freeze(python)
    print(f"{time.perf_counter() - start:.0f} s: {len(before)} packages, {built.name}", flush=True)
    faults = []
    for job in jobs:
        start = time.perf_counter()
        wrong = list(execute(job.path, python, FOLDER / job.name, built))
        print(f"{job.name}: {time.perf_counter() - start:.0f} s", *wrong, sep="\n  ", flush=True)
        faults += wrong
    after = freeze(python)
    new = sorted(after.keys() - before.keys())
    print(f"Installed beside Colab's packages: {', '.join(new)}")
    faults += moved(before, after)
    print("\n".join(faults) or "Nothing of Colab's moved, and nothing is red.")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
