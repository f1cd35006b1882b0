"""A sweep's folder without running anything: 2 × 3 settings, 5 seeds, notebooks of one cell."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nbformat
import numpy as np

from mnistlib import outcomes
from mnistlib.outcomes import Failure, Outcome
from mnistlib.results import Figure

GRID = {"EPOCHS": [2, 4], "BATCH_SIZE": [32, 128, 512], "SEED": [0, 1, 2, 3, 4]}
VERSIONS = {"python": "3.11.9", "keras": "3.15.1", "numpy": "2.3.0"}


def accuracy(point: dict) -> float:
    """What a run of the fixture measured; every seed moves all settings alike, and a bit more."""
    rng = np.random.default_rng([point["EPOCHS"], point["BATCH_SIZE"], point["SEED"]])
    shared = np.random.default_rng(point["SEED"]).normal(0, 0.003)
    size = np.log2(point["BATCH_SIZE"] / 32)
    return float(0.97 + 0.002 * point["EPOCHS"] - 0.004 * size + shared + rng.normal(0, 0.0005))


def outcome(point: dict, *, number: int = 0, **changed) -> Outcome:
    """One finished run, or another where ``changed`` says so."""
    usual = {
        "notebook": "02_dense_baseline",
        "parameters": {"SOURCE": "mnist"} | point,
        "point": point,
        "status": "finished",
        "error": None,
        "figures": (Figure("validation accuracy", (0.97,)),),
        "is_mnist": True,
        "output": Path("02_dense_baseline.ipynb"),
        "started": f"2026-11-26T03:{number // 60 % 60:02}:{number % 60:02}+00:00",
        "seconds": 10.0 + number,
        "hash": f"{number:064x}",
        "versions": VERSIONS,
        "cpu": "Some CPU",
        "cores": 2,
        "threads": 1,
    }
    return Outcome(**usual | changed)


def failed(**changed) -> dict:
    """What is different of a run that failed."""
    error = Failure(3, "ZeroDivisionError", "division by zero")
    return {"status": "failed", "error": error, "figures": ()} | changed


def write(folder: Path, grid: dict, made: list[Outcome | None], *, names=None) -> Path:
    """Write a sweep's folder; None stands for a run that is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    points = [dict(zip(grid, each, strict=True)) for each in itertools.product(*grid.values())]
    if names is None:
        names = [
            ",".join(f"{name}={value}" for name, value in point.items()) + f"-{number:08x}"
            for number, point in enumerate(points)
        ]
    content = {"notebook": "02_dense_baseline", "grid": grid, "runs": names}
    (folder / "sweep.json").write_text(json.dumps(content), encoding="utf-8")
    for name, one in zip(names, made, strict=True):
        if one is not None:
            (folder / name).mkdir()
            cell = nbformat.v4.new_code_cell("1 + 1", id="cell")
            nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / name / one.output.name)
            outcomes.write(one, folder / name)
    return folder


def write_sweep(folder: Path) -> Path:
    """Write the 2 × 3 × 5 runs: one failed, one is missing."""
    made: list[Outcome | None] = []
    for number, values in enumerate(itertools.product(*GRID.values())):
        point = dict(zip(GRID, values, strict=True))
        figures = (
            Figure("validation accuracy", (accuracy(point),)),
            Figure("mistakes", (round(10_000 * (1 - accuracy(point))),), "mistakes"),
        )
        changed = failed() if values == (2, 512, 4) else {"figures": figures}
        one = outcome(point, number=number, **changed)
        made.append(None if values == (4, 128, 1) else one)
    return write(folder, GRID, made)
