"""One notebook, executed in a process and a folder of its own.

``execute`` starts this module as a program: it runs papermill, and the kernel is a child of that.
Whatever ends the caller, even ``kill -9``, closes the pipe that the program listens to, so nothing
is left running. Needs the ``notebooks`` extra. Imports without TensorFlow.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import nbformat

from mnistlib import DISTRIBUTION, data, outcomes, results

PARTIAL = ".partial"
"""The folder, beside those of finished runs, in which runs are under way."""

_ENVIRONMENT = (
    "TF_NUM_INTRAOP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
"""Where the libraries under a notebook look up how many threads they may use."""


@dataclass(frozen=True)
class Job:
    """A notebook and the values it is to run with.

    Attributes:
        name: The notebook's name without folder and suffix.
        path: The notebook; never written to.
        defaults: Its parameters with their own values.
        parameters: Values that replace the notebook's own.
    """

    name: str
    path: Path
    defaults: dict[str, Any]
    parameters: dict[str, Any]

    @property
    def accepts(self) -> tuple[str, ...]:
        """The parameters it has."""
        return tuple(self.defaults)

    @property
    def changed(self) -> dict[str, Any]:
        """The values that differ from the notebook's own."""
        return {
            name: value
            for name, value in self.parameters.items()
            if name not in self.defaults or value != self.defaults[name]
        }

    def on(self, source: str | None) -> Job:
        """Give it a value of ``SOURCE``, where it has this parameter and none was given."""
        if source is None or "SOURCE" not in self.accepts:
            return self
        return replace(self, parameters={"SOURCE": source} | self.parameters)


class Stopped(Exception):
    """A run was ended before it was finished; nothing is left of it."""


def fingerprint(job: Job) -> str:
    """Hash what decides the outcome of a job: code cells, parameters, this library.

    A change of prose leaves it as it is; one of a file that a parameter names does not. Returns 64
    hexadecimal digits (SHA-256).
    """
    cells = _sources(job.path, job.path.stat().st_mtime_ns)
    values = sorted((job.defaults | job.parameters).items())
    decides = [cells, [(name, value, _state(value)) for name, value in values], library()]
    return hashlib.sha256(json.dumps(decides, default=str).encode()).hexdigest()


@functools.lru_cache
def _sources(path: Path, changed: int) -> list[str]:
    """Read the code cells of a notebook; the runs of a grid all ask for the same."""
    return [cell.source for cell in _code_cells(path)]


def _state(value: Any) -> tuple[int, int] | None:
    """Tell one state of a file from the next, where the value is a file's absolute path."""
    if not isinstance(value, str) or not Path(value).is_absolute():
        return None
    try:
        found = Path(value).stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


@functools.cache
def library() -> str:
    """Hash this library as it was when first asked: its modules and the recognizer."""
    folder, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), *folder.glob("*.npz")]):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def execute(
    job: Job,
    folder: str | Path,
    *,
    threads: int | None = None,
    timeout: float | None = None,
    progress: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> outcomes.Outcome:
    """Execute a notebook, and put the folder with it and its outcome into place.

    Args:
        job: What to run.
        folder: Where notebook and ``result.json`` will lie, once both are complete; until then the
            run works in a folder beside it, and so does whatever the notebook writes where it runs.
        threads: For the libraries under the notebook. None: as many as they take.
        timeout: Seconds after which the run is ended, with what it has done kept. None: never.
        progress: Show papermill's bar on standard error.
        stop: Asked four times a second; once it says so the run is ended and leaves nothing.

    Returns:
        The outcome. Its status is ``"died"`` where kernel or process was killed from outside.

    Raises:
        Stopped: ``stop`` said so.
        OSError: The outcome could not be written, as on a full disk; nothing is left of the run.
    """
    folder = Path(folder).resolve()
    with working_beside(folder) as work:
        outcome = _run(job, work, threads, timeout, progress, stop)
        outcomes.write(outcome, work)
        place(work, folder)
    return outcomes.read(folder)


@contextlib.contextmanager
def working_beside(folder: Path) -> Iterator[Path]:
    """Make a folder on the same disk to work in; nothing is left of it."""
    work = folder.parent / PARTIAL / f"{folder.name[:60]}-{uuid.uuid4().hex[:8]}"
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):
            # Another run may be at work beside it: then it is not empty, and stays.
            work.parent.rmdir()


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[Path]:
    """Keep other calls out of a folder of runs, and clear away what a killed one left there.

    Args:
        folder: Made where it is missing.

    Raises:
        ValueError: Another call is at work in it.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ValueError(
            f"output must be a folder that no other run is at work in; received {str(folder)!r}: "
            "wait for the other one, or name another folder"
        ) from error
    try:
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        yield folder
    finally:
        lock.release()


def finished(
    folder: str | Path, hash: str, *, retry_failed: bool = False
) -> outcomes.Outcome | None:
    """Find the outcome of a run that need not be done again.

    Args:
        folder: Where it would lie.
        hash: The job's ``fingerprint``.
        retry_failed: Don't count runs whose notebook failed or took too long.

    Returns:
        The outcome; None where there is none, of another hash, or damaged.
    """
    try:
        outcome = outcomes.read(folder)
    except (OSError, ValueError):
        return None
    done = {"finished"} if retry_failed else {"finished", "failed", "timeout"}
    is_there = outcome.hash == hash and outcome.status in done and outcome.output.is_file()
    return outcome if is_there else None


def _run(
    job: Job,
    work: Path,
    threads: int | None,
    timeout: float | None,
    progress: bool,
    stop: Callable[[], bool],
) -> outcomes.Outcome:
    output = work / f"{job.name}.ipynb"
    environment = dict(os.environ)
    if threads is not None and threads < cores():
        environment |= dict.fromkeys(_ENVIRONMENT, str(threads))
    if named := environment.get(data.ENVIRONMENT_VARIABLE):
        # The kernel runs in another folder.
        environment[data.ENVIRONMENT_VARIABLE] = str(Path(named).expanduser().resolve())
    order = {"path": str(job.path), "output": str(output), "parameters": job.parameters}
    order |= {"bar": _bar(job.name) if progress else False}
    # The notebook may be edited while it runs.
    hash = fingerprint(job)
    started, start = datetime.datetime.now(datetime.UTC), time.perf_counter()
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            # -P: what lies in the folder we are called from is none of its modules.
            [sys.executable, "-P", "-m", "mnistlib.execution"],
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=None if progress else log,
            env=environment,
            # Ctrl-C is for the caller, who ends the run in an orderly way.
            start_new_session=True,
        )
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            late = _wait(process, timeout, stop)
        finally:
            _end(process)
        answer.seek(0)
        said = answer.read().decode(errors="replace").splitlines()
        log.seek(0)
        last_words = log.read().decode(errors="replace").strip().splitlines()[-1:]
    if late:
        failure = outcomes.Failure(_last_cell(output), "Timeout", f"not done after {timeout:g} s")
        status = "timeout"
    elif process.returncode == 0 and said:
        status, failure = _understand(json.loads(said[-1]), output)
    else:
        ended = f"its process ended with {process.returncode}, from outside"
        status = "died"
        failure = outcomes.Failure(
            _last_cell(output), "ProcessDied", ". ".join([ended, *last_words])
        )
    record = results.read(output) if output.exists() else results.Record((), None)
    return outcomes.Outcome(
        notebook=job.name,
        parameters=job.defaults | job.parameters,
        point=job.parameters,
        status=status,
        error=failure,
        figures=record.figures,
        is_mnist=record.is_mnist,
        output=output,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - start, 3),
        hash=hash,
        versions=_versions(),
        cpu=_cpu(),
        cores=cores(),
        threads=min(threads or cores(), cores()),
    )


def _wait(process: subprocess.Popen, timeout: float | None, stop: Callable[[], bool]) -> bool:
    """Wait for the program to end; returns whether it has taken too long."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            process.wait(timeout=0.25)
        except subprocess.TimeoutExpired:
            if stop():
                raise Stopped from None
            if deadline is not None and time.monotonic() > deadline:
                return True
        else:
            return False


def _end(process: subprocess.Popen) -> None:
    """Have the program end itself and its kernel; kill what does not."""
    process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _understand(said: dict[str, Any], output: Path) -> tuple[str, outcomes.Failure | None]:
    if said["status"] == "finished":
        return "finished", None
    if said["errno"] == errno.ENOSPC:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}; no run can be kept", str(output))
    cell = said["cell"] if said["status"] == "failed" else _last_cell(output)
    return said["status"], outcomes.Failure(cell, said["exception"], said["message"])


def place(work: Path, folder: Path) -> None:
    """Move a complete run into place; what makes it one, ``result.json``, comes last."""
    if not folder.exists():
        work.rename(folder)
        return
    # Whatever else lies there stays.
    (folder / outcomes.FILE).unlink(missing_ok=True)
    for path in sorted(work.iterdir(), key=lambda path: path.name == outcomes.FILE):
        target = folder / path.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        path.replace(target)


def _bar(name: str) -> dict[str, Any]:
    """Options of the progress bar; in a log, each drawing of it is a line that stays."""
    return {"desc": name, "mininterval": 0.1 if sys.stderr.isatty() else 10}


def _last_cell(path: Path) -> int | None:
    """Number the code cell that was running when the kernel went away."""
    started = [
        cell for cell in _code_cells(path) if cell.metadata.get("papermill", {}).get("start_time")
    ]
    return len(started) or None


def _code_cells(path: Path) -> list[nbformat.NotebookNode]:
    if not path.exists():
        return []
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def cores() -> int:
    """Count the processor's cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@functools.cache
def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in (DISTRIBUTION, "keras", "tensorflow", "numpy"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _watch(pipe: int) -> None:
    """End this process and its kernel when nobody is left at the other end of the pipe."""
    import psutil

    while os.read(pipe, 1024):
        pass
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(1)


def _papermill(order: dict[str, Any]) -> None:
    import papermill

    from mnistlib.kernels import KernelManager

    for is_last in (False, True):
        try:
            papermill.execute_notebook(
                order["path"],
                order["output"],
                parameters=order["parameters"],
                kernel_name="python3",
                kernel_manager_class=KernelManager,
                progress_bar=order["bar"],
                cwd=str(Path(order["output"]).parent),
            )
        except papermill.PapermillExecutionError:
            raise
        except RuntimeError:
            # Kernels that start at the same moment may have picked the same port, which ends one
            # of them. As long as no cell has begun, nothing is done twice.
            if is_last or _last_cell(Path(order["output"])):
                raise
        else:
            return


def main() -> None:
    """Execute what standard input orders; answer with a line of JSON on standard output."""
    # What cells or libraries print here must not pass for the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    line = b""
    while not line.endswith(b"\n"):
        if not (more := os.read(0, 1)):
            return
        line += more
    order = json.loads(line)
    threading.Thread(target=_watch, args=(0,), daemon=True).start()

    import papermill

    said = {"status": "finished"}
    try:
        _papermill(order)
    except papermill.PapermillExecutionError as failed:
        said = {"status": "failed", "cell": failed.exec_count, "exception": failed.ename}
        said |= {"message": failed.evalue, "errno": None}
    except Exception as failed:
        # The kernel died or did not start, or the notebook could not be written.
        said = {"status": "died", "exception": type(failed).__name__, "message": str(failed)}
        said["errno"] = getattr(failed, "errno", None)
    print(json.dumps(said), file=answer, flush=True)


if __name__ == "__main__":
    main()
