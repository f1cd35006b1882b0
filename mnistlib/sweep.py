"""A grid of runs of one notebook: on one machine or a cluster, resumed where it was interrupted.

Every combination of values is a papermill run of its own, in a process and a folder of its own
(``execution``). The folder of the sweep is described in ``report``, which reads it. Needs the
``notebooks`` extra, and ``cluster`` for a cluster. Imports without TensorFlow.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import re
import tarfile
import tempfile
import threading
import uuid
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import nbformat
import yaml

from mnistlib import execution, outcomes, report, writing
from mnistlib import parameters as parameters_of
from mnistlib._rules import show
from mnistlib.execution import Job
from mnistlib.outcomes import Outcome

MOST_RUNS = 100_000
"""A grid of more is taken for a mistake."""

_LARGEST_GRID = 1_000_000
"""Bytes of a grid's file."""


def read_grid(path: str | Path) -> dict[str, list[Any]]:
    """Read a grid: a YAML file with a line such as ``EPOCHS: [2, 4]`` for each parameter.

    Returns:
        Parameter → its values; one that is not in a list is the only one.

    Raises:
        ValueError: It is no such file; says what is wrong where.
    """
    path = Path(path)
    try:
        content = path.read_bytes()[: _LARGEST_GRID + 1]
    except OSError as error:
        raise ValueError(f"grid must be a file of YAML; received {str(path)!r}: {error}") from error
    if len(content) > _LARGEST_GRID:
        raise ValueError(f"grid must be a file below 1 MB; {path} is larger")
    try:
        grid = yaml.load(content, _Loader)
    except Exception as error:
        # YAML's tags ask for kinds of values that PyYAML makes with errors of nearly every kind.
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no YAML that a grid can be: {reason[:300]}") from error
    return check_grid(grid, place=str(path))


def check_grid(grid: Any, *, place: str = "grid") -> dict[str, list[Any]]:
    """Bring a grid to its form, parameter → list of values, or refuse it.

    Raises:
        ValueError: It is empty or of another form, or asks for more than ``MOST_RUNS`` runs.
    """
    if not isinstance(grid, Mapping) or not grid:
        raise ValueError(
            f"{place} must give values to parameters, as EPOCHS: [2, 4]; received {show(grid)}"
        )
    checked = {}
    for name, values in grid.items():
        values = values if isinstance(values, list | tuple) else [values]
        if not isinstance(name, str) or not all(
            isinstance(value, bool | int | float | str) for value in values
        ):
            raise ValueError(
                f"{place}: {name} must have numbers, words, true or false as values; received "
                f"{show(values)}"
            )
        if not values:
            raise ValueError(f"{place}: {name} must have at least one value; received none")
        checked[name] = list(values)
    if (runs := math.prod(map(len, checked.values()))) > MOST_RUNS:
        raise ValueError(f"{place} must ask for at most {MOST_RUNS:,} runs; received {runs:,}")
    return checked


def plan(notebook: str | Path, grid: Mapping[str, Sequence[Any]]) -> list[Job]:
    """Make a job of every combination of values, the last parameter's changing fastest.

    Starts no kernel: whatever the notebook's parameters cell does not allow is refused here.

    Args:
        notebook: Its path.
        grid: As from ``read_grid``.

    Raises:
        ValueError: The notebook cannot be read, a parameter is not one of its own, or a value is
            of another type, out of range, or listed twice.
    """
    path = Path(notebook).expanduser().resolve()
    grid, own = check_grid(grid), parameters_of.read(path)
    values = {}
    for name, listed in grid.items():
        if name not in own:
            raise ValueError(
                f"grid must name parameters of {path.name}: {', '.join(own) or 'it has none'}; "
                f"received {name!r}"
            )
        values[name] = [parameters_of.convert(value, own[name]) for value in listed]
        if twice := [one for at, one in enumerate(values[name]) if one in values[name][:at]]:
            raise ValueError(
                f"grid must list each value of {name} once; received {twice[0]!r} twice"
            )
    defaults = {name: one.default for name, one in own.items()}
    return [
        Job(path.stem, path, defaults, dict(zip(values, point, strict=True)))
        for point in itertools.product(*values.values())
    ]


def run(
    jobs: Sequence[Job],
    out: str | Path,
    *,
    grid: Mapping[str, Sequence[Any]],
    source: str | None = None,
    workers: int = 1,
    cluster: str | None = None,
    threads: int | None = None,
    timeout: float | None = None,
    retry_failed: bool = False,
) -> Iterator[tuple[Outcome, bool]]:
    """Execute what is missing of a sweep, and keep its report up to date.

    A run that lies in ``out`` is done again only if code, parameters or library have changed, or if
    it was ended from outside.

    Args:
        jobs: From ``plan``.
        out: The sweep's folder; see ``report``. Runs of an earlier grid stay in it, but not in the
            report.
        grid: What the jobs were planned from, for the report.
        source: A value of ``SOURCE``, where the notebook has this parameter and the grid does not
            set it.
        workers: Runs at a time on this machine.
        cluster: Address of a Dask scheduler, as ``tcp://10.0.0.1:8786``, whose workers run the
            notebooks instead; one run for each thread of theirs.
        threads: Of each run. None: the machine's cores shared out among its runs.
        timeout: Seconds after which a run is ended and counts as done. None: never.
        retry_failed: Do runs again that failed or took too long.

    Yields:
        Each outcome, and whether it was there before: first those, then the others as they end.

    Raises:
        ValueError: ``workers`` is below 1, another call is at work in ``out``, or the cluster does
            not answer or has another version of this library.
        OSError: ``out`` cannot be written to, as on a full disk. What was finished is kept.
    """
    if workers < 1:
        raise ValueError(f"workers must be a whole number from 1; received {workers!r}")
    if not jobs:
        raise ValueError("jobs must be those of a plan; received none")
    grid = check_grid(grid)
    with execution.locked(out) as out:
        # The notebook may be edited while the sweep runs.
        copy = out / jobs[0].path.name
        writing.write(copy, jobs[0].path.read_text(encoding="utf-8"))
        jobs = [replace(job, path=copy).on(source) for job in jobs]
        folders = _folders(out, jobs, grid)
        plan = {"notebook": jobs[0].name, "grid": grid, "runs": [*folders]}
        writing.write(out / report.PLAN, json.dumps(plan, indent=1, ensure_ascii=False))
        done: dict[str, Outcome] = {}
        for name, job in folders.items():
            hash = execution.fingerprint(job)
            if kept := execution.finished(out / name, hash, retry_failed=retry_failed):
                done[name] = kept
        report.write_live(out, done)
        for outcome in list(done.values()):
            yield outcome, True
        missing = {name: job for name, job in folders.items() if name not in done}
        if cluster is None:
            cores = execution.cores()
            threads = threads or max(1, cores // min(workers, cores))
            ended = _on_this_machine(missing, out, workers, threads, timeout)
        else:
            ended = _on_cluster(missing, out, cluster, threads, timeout)
        with contextlib.closing(ended):
            for name, outcome in ended:
                done[name] = outcome
                report.write_live(out, done)
                yield outcome, False


def _on_this_machine(
    missing: Mapping[str, Job],
    out: Path,
    workers: int,
    threads: int,
    timeout: float | None,
) -> Iterator[tuple[str, Outcome]]:
    # Each run is a process; a thread waits for it.
    leave = threading.Event()

    def execute(name: str, job: Job) -> tuple[str, Outcome]:
        outcome = execution.execute(
            job,
            out / name,
            threads=threads,
            timeout=timeout,
            stop=leave.is_set,
        )
        return name, outcome

    tasks = (joblib.delayed(execute)(name, job) for name, job in missing.items())
    parallel = joblib.Parallel(
        n_jobs=workers, backend="threading", return_as="generator_unordered", pre_dispatch=workers
    )
    try:
        yield from parallel(tasks)
    finally:
        leave.set()


def _on_cluster(
    missing: Mapping[str, Job],
    out: Path,
    address: str,
    threads: int | None,
    timeout: float | None,
) -> Iterator[tuple[str, Outcome]]:
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise ValueError(f"cluster needs: pip install distributed ({error})") from error
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cluster must be the address of a Dask scheduler that answers, as "
            f"tcp://10.0.0.1:8786; received {address!r}: {error}"
        ) from error
    # Not through joblib's backend: while one worker alone has arrived, it runs everything here.
    # The jobs of a sweep share their notebook.
    text = _without_outputs(next(iter(missing.values())).path) if missing else ""
    with client, client.as_current():
        futures = [
            client.submit(
                *(_execute_there, name, job, text),
                *(execution.library(), threads, timeout),
                key=f"{name}-{uuid.uuid4().hex}",
                pure=False,
            )
            for name, job in missing.items()
        ]
        for future in as_completed(futures):
            # Of a run that took several workers with it nothing is known: it stays missing.
            with contextlib.suppress(KilledWorker):
                name, outcome, packed = future.result()
                # A path of the worker's must not decide whether the run is done again.
                outcome = replace(outcome, hash=execution.fingerprint(missing[name]))
                yield name, _unpack(packed, outcome, out / name)
            future.release()


def _without_outputs(path: Path) -> str:
    """Read a notebook as it travels: what it showed last time is most of its size."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    return nbformat.writes(notebook)


def _execute_there(
    name: str, job: Job, text: str, library: str, threads: int | None, timeout: float | None
) -> tuple[str, Outcome, bytes]:
    """Execute a job on a worker of a cluster, which need not see the folders of this machine."""
    from distributed import get_worker

    if library != execution.library():
        raise ValueError("cluster must run the same version of this library on its workers")
    worker = get_worker()
    key = worker.get_current_task()

    def given_up() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state != "executing"

    with tempfile.TemporaryDirectory() as folder:
        notebook = Path(folder) / job.path.name
        notebook.write_text(text, encoding="utf-8")
        outcome = execution.execute(
            replace(job, path=notebook),
            Path(folder) / "run",
            threads=threads or worker.state.nthreads,
            timeout=timeout,
            stop=given_up,
        )
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.add(outcome.output.parent, arcname=".")
    return name, outcome, buffer.getvalue()


def _unpack(packed: bytes, outcome: Outcome, folder: Path) -> Outcome:
    with execution.working_beside(folder) as work:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(work, filter="data")
        outcomes.write(outcome, work)
        execution.place(work, folder)
    return outcomes.read(folder)


def _folders(out: Path, jobs: Sequence[Job], names: Collection[str]) -> dict[str, Job]:
    """Name each job's folder: what the grid sets, readable, and the beginning of its hash.

    A run of an earlier grid keeps its folder, however that one put it.
    """
    there = {path.parent.name.rpartition("-")[2]: path.parent.name for path in out.glob("*/*.json")}
    folders = {}
    for job in jobs:
        hash = execution.fingerprint(job)[:8]
        words = ",".join(f"{name}={job.parameters[name]}" for name in names)
        readable = re.sub(r"[^\w.+=,-]", "_", words)[:80]
        folders[there.get(hash, f"{readable}-{hash}")] = job
    return folders


class _Loader(yaml.SafeLoader):
    """Refuses a parameter that is given twice, of which YAML would keep the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{node.tag} is no mapping")
    pairs = [loader.construct_object(key) for key, _ in node.value]
    if twice := [one for at, one in enumerate(pairs) if one in pairs[:at]]:
        raise ValueError(f"{twice[0]!r} is given twice")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
