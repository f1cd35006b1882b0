"""The runs of a sweep in MLflow, where it is installed.

Imports without TensorFlow, and MLflow only when it writes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnistlib.comparison import Sweep
from mnistlib.outcomes import Outcome

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASE = "mlflow.db"
"""Its name in the folder. MLflow 3.17 refuses the files that earlier versions wrote (mlruns)."""

INSTALL = "pip install mlflow"

_LONGEST_NAME, _LONGEST_VALUE = 200, 4_000  # of a key and a text, below MLflow's own limits


def write(sweep: Sweep, folder: str | Path) -> tuple[int, int]:
    """Write the runs that have ended into MLflow's database in ``folder``.

    ``mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`` shows them: an experiment with the
    notebook's name, and a run for each outcome with its parameters, its figures (the mean under the
    figure's name, ``… sd``, and each value as a step of ``… values``), tags, and the executed
    notebook. What is there already, by its hash, is left alone; a run that failed is replaced
    by a later one.

    Args:
        sweep: From ``comparison.load``.
        folder: Made where there is none.

    Returns:
        How many runs were written, and how many were there already.

    Raises:
        ImportError: MLflow is not installed; says what to install.
        ValueError: MLflow refuses; says why.
    """
    # MLflow would report its use to its makers.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow
    except ImportError as error:
        raise ImportError(f"{error}. Writing runs for MLflow needs: {INSTALL}") from error
    # It tells of every table that it creates.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder = Path(folder).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with _refusals():
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / DATABASE}")
        found = client.get_experiment_by_name(sweep.notebook)
        experiment = (
            found.experiment_id
            if found
            else client.create_experiment(
                sweep.notebook, artifact_location=(folder / "artifacts").as_uri()
            )
        )
        there = _by_hash(client, experiment)
        ended = [(run.name, run.outcome) for run in sweep.runs if run.outcome]
        written = 0
        for name, outcome in ended:
            old = there.get(outcome.hash)
            if old is not None and _is_up_to_date(old, outcome):
                continue
            if old is not None:
                client.delete_run(old.info.run_id)
            _write(client, experiment, sweep, name, outcome)
            written += 1
    return written, len(ended) - written


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise ValueError(f"MLflow refuses: {' '.join(str(error).split())}") from error


def _by_hash(client: MlflowClient, experiment: str) -> dict[str, Run]:
    found, token = {}, None
    while True:
        page = client.search_runs([experiment], max_results=1_000, page_token=token)
        found |= {run.data.tags.get("mnistlib.hash"): run for run in page}
        token = page.token
        if not token:
            return found


def _is_up_to_date(old: Run, outcome: Outcome) -> bool:
    same = old.data.tags.get("mnistlib.started") == outcome.started
    return old.info.status == "FINISHED" or (old.info.status == "FAILED" and same)


def _write(
    client: MlflowClient, experiment: str, sweep: Sweep, name: str, outcome: Outcome
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    start = _milliseconds(outcome.started)
    end = start + round(1000 * outcome.seconds)
    tags = {
        "mnistlib.hash": outcome.hash,
        "mnistlib.started": outcome.started,
        "mnistlib.status": outcome.status,
        "mnistlib.sweep": sweep.name,
        "mnistlib.error": outcome.error,
        "mnistlib.full MNIST": outcome.is_mnist,
        "mnistlib.cpu": outcome.cpu,
        "mnistlib.cores": outcome.cores,
        "mnistlib.threads": outcome.threads,
        "mnistlib.units": ", ".join(f"{one.name}: {one.unit}" for one in outcome.figures),
    } | {f"version.{package}": version for package, version in outcome.versions.items()}
    metrics = {"seconds": [outcome.seconds]}
    for figure in outcome.figures:
        metrics[figure.name] = [figure.value]
        if figure.sd is not None:
            metrics |= {f"{figure.name} sd": [figure.sd], f"{figure.name} values": figure.values}
    run = client.create_run(
        experiment, start_time=start, run_name=name, tags={"mnistlib.hash": outcome.hash}
    )
    client.log_batch(
        run.info.run_id,
        metrics=[
            Metric(key, value, end, step)
            for key, values in _named(metrics).items()
            for step, value in enumerate(values)
        ],
        params=[Param(key, _text(value)) for key, value in _named(outcome.parameters).items()],
        tags=[
            RunTag(key, _text(value)) for key, value in _named(tags).items() if value is not None
        ],
    )
    if (path := sweep.folder / name / outcome.output.name).is_file():
        client.log_artifact(run.info.run_id, str(path))
    status = "FINISHED" if outcome.status == "finished" else "FAILED"
    client.set_terminated(run.info.run_id, status, end)


def _milliseconds(started: str) -> int:
    try:
        return round(1000 * datetime.fromisoformat(started).timestamp())
    except ValueError:
        return 0


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """Give each thing a name that MLflow accepts and no other has."""
    named: dict[str, Any] = {}
    for name, value in given.items():
        # A slash would make folders, and two points lead out of them.
        clean = re.sub(r"[^\w\-. :]", "_", name).strip(".")[:_LONGEST_NAME] or "_"
        while clean in named:
            clean += "_"
        named[clean] = value
    return named


def _text(value: Any) -> str:
    return str(value)[:_LONGEST_VALUE]
