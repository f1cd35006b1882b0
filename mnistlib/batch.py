"""The series headless: papermill, one kernel process a notebook.

Needs the ``notebooks`` extra. Imports without TensorFlow: only the kernels load it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlib import execution, repository, results
from mnistlib import parameters as parameters_of
from mnistlib.execution import Job
from mnistlib.outcomes import Outcome

FOLDER = repository.find("notebooks")
"""Where the series lies: in the clone, or where the wheel put it."""

QUICK: dict[str, Any] = {"EPOCHS": 2, "SEEDS": 2, "TRIALS": 8, "PROJECTED": 500}
"""Parameters of a quick look, for the notebooks that have them."""


@dataclass(frozen=True)
class Result:
    """One executed notebook, held to its bounds.

    Attributes:
        outcome: What came of it: parameters, figures, seconds, …
        kept: Whether it comes from an earlier call, because nothing that decides it has changed.
        unbound: Why its figures were not held to bounds; None where they were.
        missed: A sentence for each figure that misses its bound.
    """

    outcome: Outcome
    kept: bool
    unbound: str | None
    missed: tuple[str, ...]

    @property
    def name(self) -> str:
        """The notebook's name."""
        return self.outcome.notebook

    @property
    def faults(self) -> list[str]:
        """What went wrong, in sentences; empty where nothing did."""
        error = self.outcome.error
        return [*([f"{self.name} {error}"] if error else []), *self.missed]


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
    declared = {path: parameters_of.read(path) for path in paths}
    known = sorted({name for each in declared.values() for name in each})
    parameters = parameters or {}
    for name in parameters:
        if name not in known:
            raise ValueError(
                f"parameters must be among {', '.join(known) or 'none'} for "
                f"{', '.join(path.stem for path in paths)}; received {name!r}"
            )
    given = {**QUICK, **parameters} if quick else parameters
    return [
        Job(
            path.stem,
            path,
            {name: one.default for name, one in own.items()},
            {name: parameters_of.convert(given[name], own[name]) for name in own if name in given},
        )
        for path, own in declared.items()
    ]


def run(
    jobs: Sequence[Job],
    *,
    source: str | None = None,
    output: str | Path = "runs",
    timeout: float | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> Iterator[Result]:
    """Execute notebooks one after the other, each in a process and a kernel of its own.

    The kernel is the interpreter that calls this, whatever kernels the user has installed. A
    notebook that fails does not keep the next ones from running. One that is finished in ``output``
    from an earlier call, with the same code, parameters and library, is not executed again.

    Args:
        jobs: From ``plan``.
        source: A value of ``SOURCE`` for the notebooks that have this parameter and were not given
            one; ``"sample"`` spares each of them the search for MNIST.
        output: ``<output>/<name>/`` will hold the executed notebook and ``result.json``.
        timeout: Seconds after which a notebook is ended. None: never.
        fresh: Execute also what is finished.
        progress: Show papermill's progress bar on standard error.

    Yields:
        One result a notebook, as it ends.

    Raises:
        ValueError: The bounds beside the notebooks' folder are damaged, or another call is at work
            in ``output``.
        OSError: ``output`` cannot be written to.
    """
    bounds = results.find_bounds(jobs[0].path.parent) if jobs else None
    with execution.locked(output):
        for job in jobs:
            job = job.on(source)
            folder = Path(output).resolve() / job.name
            # A failure is what one mends and tries again.
            kept = execution.finished(folder, execution.fingerprint(job), retry_failed=True)
            outcome = None if fresh else kept
            outcome = outcome or execution.execute(job, folder, timeout=timeout, progress=progress)
            yield _bound(job, outcome, bounds, kept=outcome is kept)


def _bound(
    job: Job,
    outcome: Outcome,
    bounds: Mapping[str, Mapping[str, results.Bound]] | None,
    *,
    kept: bool,
) -> Result:
    unbound = "no tests/bounds.toml lies beside the notebooks' folder" if bounds is None else None
    unbound = unbound or results.why_not_bound(job.changed, outcome.is_mnist)
    # A notebook that failed has not recorded all of its figures; the failure is what to mend.
    free = unbound or outcome.error
    missed = [] if free else results.check(job.name, outcome.figures, bounds)
    return Result(outcome, kept, unbound, tuple(missed))


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
