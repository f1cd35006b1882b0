"""Trials of recipes on folds by writer; ``trials.csv`` is the record of all that were tried.

``python -m benchmarks.trials '{"model": "cnn_best", "epochs": 28}'`` trains the recipe that the
JSON object describes, as ``measure.trial`` takes it, on four fifths of MNIST's training digits, and
asks it for the last fifth, whose writers it has not seen; for each of the five fifths, with two
seeds. The test digits have no part in it. Each trial has a process of its own, and a row as soon as
it is there: an interrupted command goes on where it stopped. In the end it sums up all that was
tried, here and in the README beside this file; without a recipe, it does that alone.
"""

from __future__ import annotations

import csv
import hashlib
import inspect
import itertools
import json
import os
import queue
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import report
from benchmarks.__main__ import FOLDER, Measurement, measure
from benchmarks.measure import AUGMENTATION

ROWS = FOLDER / "trials.csv"
# Probabilities of the digits asked for, from which those of an ensemble can be averaged.
KEPT = FOLDER.parent / "runs" / "trials"
FOLDS, SEEDS = 5, 2
TRAINING = ("epochs", "batch_size", "learning_rate", "label_smoothing", "hard_example_mining")
COLUMNS = (
    *("recipe", "fold", "seed", "digits", "errors", "students", "student_errors", "log_loss"),
    *("seconds", "unit"),
)
# Machines are not equally fast every day: a unit holds for so many seconds.
_UNIT_HOLDS = 6 * 3600


def unit() -> float:
    """Give the seconds that keras.io's example takes for its epochs today; measured if need be."""
    path = KEPT / "unit.json"
    if not path.is_file() or time.time() - path.stat().st_mtime > _UNIT_HOLDS:
        figures = measure(Measurement("unit", "keras_io_convnet", {}, "peers"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures))
    return json.loads(path.read_text())["seconds"]


def rows() -> list[dict[str, str]]:
    """Read the record."""
    if not ROWS.is_file():
        return []
    with ROWS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def described(recipe: dict) -> dict:
    """Fill in what a recipe leaves to the network's present one, so that it says all by itself.

    The network may have another recipe tomorrow, and a row must still say what was tried.
    """
    from mnistlib import augment, models, training

    model = recipe["model"]
    present = training.RECIPES[model]
    known = models.options(model) | {name: getattr(present, name) for name in TRAINING}
    distortion = present.augment or (augment.distort if recipe.keys() & {*AUGMENTATION} else None)
    if distortion:
        taken = inspect.signature(distortion).parameters
        known |= {name: taken[name].default for name in AUGMENTATION}
    whole = {"views": True} | known | recipe
    if "teachers" in whole:
        whole["teachers"] = [described(teacher) for teacher in whole["teachers"]]
    return json.loads(json.dumps(whole))  # lists for tuples, as a row gives them back


def run(*recipes: dict, folds: int = FOLDS, seeds: int = SEEDS) -> None:
    """Try recipes on their folds with each seed, but for what the record has.

    As many trials at a time as there are cores, where each process can be bound to a core of its
    own: these networks are so small that two trainings side by side get on faster than one after
    the other with both cores.

    Args:
        *recipes: What ``measure.trial`` takes. The ``teachers`` of one are recipes tried before,
            whose kept networks of the same fold teach.
        folds: How many of the five folds.
        seeds: How many seeds.
    """
    recipes = tuple(map(described, recipes))
    done = {(row["recipe"], int(row["fold"]), int(row["seed"])) for row in rows()}
    asked = itertools.product(recipes, range(seeds), range(folds))
    missing = [one for one in asked if (_name(one[0]), one[2], one[1]) not in done]
    if not missing:
        return
    unit()  # Alone, before there is other work.
    with _side_by_side() as pool:
        waiting = [pool.submit(_try, recipe, fold, seed) for recipe, seed, fold in missing]
        progress = tqdm(as_completed(waiting), total=len(waiting), unit="trial", mininterval=0)
        try:
            for trial in progress:
                row = trial.result()
                _append(row)
                progress.write(f"{row}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _side_by_side() -> ThreadPoolExecutor:
    """Give a thread for each core, bound to it; one thread where the system binds none."""
    cores: queue.SimpleQueue = queue.SimpleQueue()
    for core in os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [None]:
        cores.put(core)
    return ThreadPoolExecutor(cores.qsize(), initializer=_bind, initargs=(cores,))


def _bind(cores: queue.SimpleQueue) -> None:
    """Bind this thread, and the processes that it starts, to one of the cores."""
    core = cores.get()
    if core is not None:
        os.sched_setaffinity(0, {core})


def _try(recipe: dict, fold: int, seed: int) -> dict:
    name = _name(recipe)
    keywords = recipe | {"fold": fold, "seed": seed, "keep": f"{kept(recipe, fold, seed)}.npy"}
    if "teachers" in recipe:
        keywords["teachers"] = []
        for teacher in recipe["teachers"]:
            paths = sorted(KEPT.glob(f"{kept(teacher, fold, '*').name}.keras"))
            if not paths:
                own = _name(_differing(teacher))
                raise ValueError(
                    f"teachers must be recipes tried before; received {own}, of which there is no "
                    f"network of fold {fold}: try it first"
                )
            keywords["teachers"] += map(str, paths)
    figures = measure(Measurement(name, "trial", keywords))
    return {"recipe": name, "fold": fold, "seed": seed, **figures, "unit": round(unit(), 1)}


def kept(recipe: dict, fold: int, seed: int | str) -> Path:
    """Name the files in which a trial keeps its probabilities and its network, but for the ending.

    A recipe can be longer than the name of a file may be.
    """
    return KEPT / f"{hashlib.sha256(_name(recipe).encode()).hexdigest()[:16]}-{fold}-{seed}"


def _append(row: dict) -> None:
    is_new = not ROWS.is_file()
    with ROWS.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def summary(record: list[dict[str, str]]) -> str:
    """Sum up a record in a table of Markdown, a line for each recipe.

    A recipe is named by what differs from the network's present one. The last columns are the
    change against that on the same folds with the same seeds, and its standard error.
    """
    trials: dict[str, dict] = defaultdict(dict)
    for row in record:
        measured = {name: float(row[name]) for name in COLUMNS[1:]}
        trials[row["recipe"]][row["fold"], row["seed"]] = measured
    lines = [
        "| recipe | trials | errors of 10,000 | of 10,000 by students | log-loss | units | errors, "
        "change | log-loss, change |",
        "|---" * 8 + "|",
    ]
    for name, own in trials.items():
        recipe = json.loads(name)
        present = trials.get(_name(_present(recipe["model"])), {})
        shared = [one for one in own if one in present] if own is not present else []
        errors = [
            1e4 * (own[one]["errors"] - present[one]["errors"]) / own[one]["digits"]
            for one in shared
        ]
        losses = [own[one]["log_loss"] - present[one]["log_loss"] for one in shared]
        rows = own.values()
        lines.append(
            f"| `{_name(_differing(recipe))}` | {len(own)} | {_share(rows, 'errors', 'digits')} "
            f"| {_share(rows, 'student_errors', 'students')} "
            f"| {np.mean([row['log_loss'] for row in rows]):.4f} "
            f"| {np.median([row['seconds'] / row['unit'] for row in rows]):.2f} "
            f"| {_change(errors, '.1f')} | {_change(losses, '.4f')} |"
        )
    return "\n".join(lines)


def _name(recipe: dict) -> str:
    return json.dumps(recipe, sort_keys=True)


def _present(model: str) -> dict:
    return described({"model": model})


def _differing(recipe: dict) -> dict:
    """Leave out what is as in the network's present recipe."""
    usual = _present(recipe["model"])
    differing = {name: value for name, value in recipe.items() if value != usual.get(name)}
    if "teachers" in differing:
        differing["teachers"] = [_differing(teacher) for teacher in differing["teachers"]]
    return {"model": recipe["model"]} | differing


def _share(rows: Iterable[dict], part: str, whole: str) -> str:
    return f"{1e4 * sum(row[part] for row in rows) / sum(row[whole] for row in rows):.1f}"


def _change(differences: list[float], form: str) -> str:
    if len(differences) < 2:
        return ""
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    return f"{np.mean(differences):+{form}} ± {error:{form}}"


def main(arguments: list[str]) -> None:
    """Try the recipes given, each a JSON object with its ``model``; then sum up."""
    run(*map(json.loads, arguments))
    found = summary(rows())
    report.put(FOLDER / "README.md", "trials", found)
    print(found)


if __name__ == "__main__":
    main(sys.argv[1:])
