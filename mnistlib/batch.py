"""The series headless: papermill, one kernel process a notebook.

Needs the ``notebooks`` extra. Imports without TensorFlow: only the kernels load it.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from traitlets import default

from mnistlib import results

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
"""Where the series lies in a clone of the repository."""

QUICK: dict[str, Any] = {"EPOCHS": 2, "SEEDS": 2, "TRIALS": 8, "PROJECTED": 500}
"""Parameters of a quick look, for the notebooks that have them."""


@dataclass(frozen=True)
class Job:
    """A notebook and the values it is to run with.

    Attributes:
        name: The notebook's name without folder and suffix.
        path: The notebook; never written to.
        accepts: The parameters it has.
        parameters: Values that replace the notebook's own.
        changed: Those of them that differ from the notebook's own.
    """

    name: str
    path: Path
    accepts: tuple[str, ...]
    parameters: dict[str, Any]
    changed: dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """Where and why a notebook stopped.

    Attributes:
        notebook: The notebook's name.
        cell: The number in the brackets of ``In [ ]`` in the executed notebook; None when it
            stopped before its first code cell.
        exception: Name of the exception.
        message: Its message.
    """

    notebook: str
    cell: int | None
    exception: str
    message: str

    def __str__(self) -> str:
        where = "before its first cell" if self.cell is None else f"in cell In [{self.cell}]"
        return f"{self.notebook} failed {where}: {self.exception}: {self.message}"


@dataclass(frozen=True)
class Result:
    """One executed notebook.

    Attributes:
        name: The notebook's name.
        seconds: Duration, start of the kernel included.
        figures: The figures it recorded, in order.
        unbound: Why its figures were not held to bounds; None where they were.
        output: The executed notebook; partly executed when ``error`` is set.
        error: None when every cell ran.
        missed: A sentence for each figure that misses its bound.
    """

    name: str
    seconds: float
    figures: tuple[results.Figure, ...]
    unbound: str | None
    output: Path
    error: Failure | None
    missed: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """What went wrong, in sentences; empty where nothing did."""
        return [*([str(self.error)] if self.error else []), *self.missed]


def plan(
    names: Sequence[str] = (),
    *,
    parameters: Mapping[str, Any] | None = None,
    quick: bool = False,
    folder: str | Path = FOLDER,
) -> list[Job]:
    """Decide what runs with which values, and refuse what cannot; starts no kernel.

    Args:
        names: Notebooks by name (``"02_dense_baseline"``) or number (``"02"``). Empty: the series.
        parameters: Values by name. Each goes to the notebooks that have it; a string is converted
            to the type that the notebook declares. Of one whose help begins with "path", a relative
            path is meant from here: the kernels run in other folders.
        quick: Add the values of ``QUICK``, where ``parameters`` does not say otherwise.
        folder: Where the notebooks lie.

    Returns:
        The jobs, in the order of the series.

    Raises:
        ValueError: A notebook or a parameter is unknown, a value does not fit the declared type, a
            path leads nowhere, or the folder holds no notebooks.
    """
    paths = _select(names, Path(folder))
    declared = {path: papermill.inspect_notebook(path) for path in paths}
    known = sorted({name for each in declared.values() for name in each})
    parameters = parameters or {}
    for name in parameters:
        if name not in known:
            raise ValueError(
                f"parameters must be among {', '.join(known) or 'none'} for "
                f"{', '.join(path.stem for path in paths)}; received {name!r}"
            )
    given = {**QUICK, **parameters} if quick else parameters
    jobs = []
    for path in paths:
        own = declared[path]
        values = {name: _convert(given[name], own[name]) for name in own if name in given}
        changed = {name: value for name, value in values.items() if value != _default(own[name])}
        jobs.append(Job(path.stem, path, tuple(own), values, changed))
    return jobs


def run(
    jobs: Sequence[Job],
    *,
    source: str | None = None,
    output: str | Path = "runs",
    progress: bool = True,
) -> Iterator[Result]:
    """Execute notebooks one after the other, each in a kernel process of its own.

    The kernel is the interpreter that calls this, whatever kernels the user has installed. A
    notebook that fails does not keep the next ones from running.

    Args:
        jobs: From ``plan``.
        source: A value of ``SOURCE`` for the notebooks that have this parameter and were not given
            one; ``"sample"`` spares each of them the search for MNIST.
        output: ``<output>/<name>/<name>.ipynb`` is written cell by cell.
        progress: Show papermill's progress bar on standard error.

    Yields:
        One result a notebook, as it ends.

    Raises:
        ValueError: The bounds beside the notebooks' folder are damaged.
    """
    bounds = results.find_bounds(jobs[0].path.parent) if jobs else None
    for job in jobs:
        if source is not None and "SOURCE" in job.accepts:
            job = replace(job, parameters={"SOURCE": source} | job.parameters)
        yield _execute(job, Path(output).resolve() / job.name, bounds, progress)


def _select(names: Sequence[str], folder: Path) -> list[Path]:
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise ValueError(
            f"folder must hold notebooks named 01_….ipynb and so on; received {str(folder)!r}: run "
            "from a clone of the repository, or name the folder"
        )
    chosen = set()
    for name in names:
        matching = {path for path in paths if name in (path.stem, path.stem[:2])}
        if not matching:
            raise ValueError(
                f"names must be among {', '.join(path.stem for path in paths)}, or their numbers; "
                f"received {name!r}"
            )
        chosen |= matching
    return [path for path in paths if path in chosen] if names else paths


def _convert(value: Any, declared: Mapping[str, str]) -> Any:
    """Bring a value to the type that the parameters cell declares, or refuse it."""
    readers = {"int": int, "float": float, "str": str, "bool": _read_bool}
    type_name = declared["inferred_type_name"]
    if type_name not in readers:
        raise ValueError(
            f"{declared['name']} must be declared int, float, bool or str in its notebook to be "
            f"set; received {type_name!r}"
        )
    fits = type(value).__name__ == type_name or (type_name == "float" and type(value) is int)
    if not fits and not isinstance(value, str):
        raise ValueError(f"{declared['name']} must be of type {type_name}; received {value!r}")
    try:
        value = readers[type_name](value)
    except ValueError as error:
        raise ValueError(
            f"{declared['name']} must be of type {type_name}; received {value!r}"
        ) from error
    is_path = type_name == "str" and declared["help"].lower().startswith("path")
    return _resolve(value, declared["name"]) if is_path and value else value


def _resolve(value: str, name: str) -> str:
    """Make a path absolute, or refuse one that leads nowhere before a kernel starts."""
    path = Path(value).expanduser().resolve()
    try:
        found = path.exists()
    except OSError:
        found = False
    if not found:
        raise ValueError(
            f"{name} must be the path of something that exists; received {value!r}, and there is "
            f"no {str(path)!r}"
        )
    return str(path)


def _default(declared: Mapping[str, str]) -> Any:
    """Read the notebook's own value of a parameter; one that is no literal stays text."""
    try:
        return ast.literal_eval(declared["default"])
    except (ValueError, SyntaxError):
        return declared["default"]


def _read_bool(value: str | bool) -> bool:
    words = {"true": True, "false": False}
    if str(value).lower() not in words:
        raise ValueError(f"value must be true or false; received {value!r}")
    return words[str(value).lower()]


def _execute(
    job: Job,
    folder: Path,
    bounds: Mapping[str, Mapping[str, results.Bound]] | None,
    progress: bool,
) -> Result:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{job.name}.ipynb"
    # What an earlier run left must not pass for the outcome of this one.
    path.unlink(missing_ok=True)
    error = None
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            job.path,
            path,
            parameters=job.parameters,
            kernel_name="python3",
            kernel_manager_class=KernelManager,
            progress_bar=_bar(job.name) if progress else False,
            cwd=folder,
        )
    except papermill.PapermillExecutionError as failed:
        error = Failure(job.name, failed.exec_count, failed.ename, failed.evalue)
    except Exception as failed:
        # A kernel that died or did not start: no cell has an error output to tell of it.
        error = Failure(job.name, _last_cell(path), type(failed).__name__, str(failed))
    seconds = time.perf_counter() - start
    record = results.read(path) if path.exists() else results.Record((), None)
    unbound = "no tests/bounds.toml lies beside the notebooks' folder" if bounds is None else None
    unbound = unbound or results.why_not_bound(job.changed, record.is_mnist)
    # A notebook that failed has not recorded all of its figures; the failure is what to mend.
    missed = [] if unbound or error else results.check(job.name, record.figures, bounds)
    return Result(job.name, seconds, record.figures, unbound, path, error, tuple(missed))


def _bar(name: str) -> dict[str, Any]:
    """Options of the progress bar; in a log, each drawing of it is a line that stays."""
    return {"desc": name, "mininterval": 0.1 if sys.stderr.isatty() else 10}


def _last_cell(path: Path) -> int | None:
    """Number the code cell that was running when the kernel went away."""
    cells = _code_cells(path)
    started = [cell for cell in cells if cell.metadata.papermill.start_time]
    return len(started) or None


def _code_cells(path: Path) -> list[nbformat.NotebookNode]:
    if not path.exists():
        return []
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


class _ThisInterpreter(KernelSpecManager):
    """Answers with the running interpreter for every kernel name.

    A ``python3`` kernel in the user's home folder may belong to another environment.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


class KernelManager(AsyncKernelManager):
    """Starts every kernel with the interpreter that runs this, over an encrypted connection."""

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return _ThisInterpreter(parent=self)

    @default("transport_encryption")
    def _transport_encryption_default(self) -> str:
        # Other users of the machine could read along; newer kernels warn of it in every log.
        return "auto"
