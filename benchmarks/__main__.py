"""Measure the series and its peers, side by side: ``make bench``, ``make bench-full``.

Every measurement runs in a process of its own, peers in turn with ours, and is kept in ``runs`` as
soon as it is there: an interrupted benchmark goes on where it stopped. When all are there, they
take the places of the former ones in ``results.json``, from which the table and the figures are
made.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from benchmarks import report

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
# What is not finished, and probabilities of the ensemble's members; not kept in the repository.
KEPT = FOLDER.parent / "runs" / "benchmarks"


@dataclass(frozen=True)
class Measurement:
    """One call of a function of ``measure`` or ``peers``, filed under ``name``.

    ``needs`` names the packages without which it is not run, apart by spaces.
    """

    name: str
    function: str
    keywords: dict = field(default_factory=dict)
    module: str = "measure"
    needs: str | None = None


def quick() -> Iterator[Measurement]:
    """List what takes minutes, peers in turn with ours; ``steps`` has the convolutional ones."""
    for repetition in range(3):
        for batch in (32, 128):
            keywords = {"batch_size": batch, "seed": repetition}
            label = f"dense_128, batch {batch}"
            ours = {"model": "dense_128", "epochs": 10, **keywords}
            yield Measurement(f"{label}: mnistlib", "train", ours)
            yield Measurement(f"{label}: Keras fit", "keras_dense", keywords, "peers")
            yield Measurement(f"{label}: PyTorch eager", "torch_dense", keywords, "peers", "torch")
    for _ in range(3):
        yield Measurement("import mnistlib.data", "import_time", {"module": "mnistlib.data"})
    yield Measurement("one digit", "one_digit")
    yield Measurement("memory of dense_128", "memory")
    # In turn: a busy minute of the machine must not look like a property of one size or network.
    for _ in range(3):
        for digits in (1_000, 10_000, 60_000, 200_000, 1_000_000):
            keywords = {"model": "dense_128", "digits": digits}
            yield Measurement(f"epoch of {digits} digits", "epoch", keywords)
        for batch in (32, 64, 128, 256, 512, 1024, 2048, 4096):
            keywords = {"model": "dense_128", "batch_size": batch}
            yield Measurement(f"epoch in batches of {batch}", "epoch", keywords)
        for model in ("dense_128", "dense_best", "cnn", "cnn_fast", "cnn_best"):
            yield Measurement(f"epoch of {model}", "epoch", {"model": model, "epochs": 5})
    for _ in range(3):
        yield Measurement("Kaggle's train.csv: kaggle.load", "read_kaggle")
        yield Measurement("Kaggle's train.csv: pandas", "read_kaggle", {"by": "pandas"})
    yield Measurement("Kaggle, from nothing to a submission", "kaggle")


def steps() -> Iterator[Measurement]:
    """List the changes that lead from keras.io's network to ``cnn_fast``, one at a time."""
    yield Measurement(report.CONVNET, "keras_io_convnet", {}, "peers")
    shorter = {"epochs": 4, "one_cycle": True}
    yield Measurement(f"{report.CONVNET}, one-cycle", "keras_io_convnet", shorter, "peers")
    for seed in range(5):
        plain = {"model": "cnn_fast", "seed": seed}
        if seed < 3:
            yield Measurement("cnn_fast, Keras fit", "keras_cnn_fast", {"seed": seed}, "peers")
        yield Measurement("cnn_fast", "train", plain)
        yield Measurement(report.MINING, "train", plain | {"hard_example_mining": 0.5})
        yield Measurement("dense_128", "train", {"model": "dense_128", "seed": seed})
    for seed in range(10):
        if seed in (3, 6):
            # In turn with what it's compared with, since the machine's speed drifts.
            yield Measurement(report.AGAIN, "keras_io_convnet", {}, "peers")
        viewed = {"model": "cnn_fast", "seed": seed, "views": True}
        yield Measurement(report.SOONEST, "train", viewed | report.SOONEST_OPTIONS)
        yield Measurement(report.AUGMENTED, "train", viewed | report.AUGMENTED_OPTIONS)


def full() -> Iterator[Measurement]:
    """List the long trainings, ten seeds of each recipe."""
    yield Measurement(report.UNITS["full"], "keras_io_convnet", {}, "peers")
    for seed in range(10):
        views = {"seed": seed, "views": True}
        for model in ("cnn_best", "dense_best"):
            kept = str(KEPT / f"{model}-{seed}.npy")
            yield Measurement(model, "train", {"model": model, "keep": kept, **views})
    for seed in range(5):
        longer = {"model": "cnn_fast", "seed": seed, "epochs": report.LONGER_EPOCHS, "views": True}
        yield Measurement(report.LONGER, "train_augmented", longer)


def ensembles() -> Iterator[Measurement]:
    """List what takes several networks: their average, and a network that learns from them.

    The first ensemble is of networks that ``full`` has trained.
    """
    yield Measurement(report.UNITS["ensembles"], "keras_io_convnet", {}, "peers")
    of_one_kind = [str(KEPT / f"cnn_best-{seed}.npy") for seed in range(5)]
    yield Measurement(report.OF_ONE_KIND, "ensemble", {"kept": of_one_kind})
    draws = [[] for _ in range(report.DRAWS)]
    for number in range(report.DRAWS * report.MEMBERS // len(report.KINDS)):
        for name, options in report.KINDS.items():
            kept = str(KEPT / f"{name}-{number}.npy")
            # Seeds of no other table.
            member = {"model": "cnn_best", "seed": 100 + number, "views": True, "keep": kept}
            yield Measurement(name, "train", member | options)
            draws[number % report.DRAWS].append(kept)
    for members in draws:
        yield Measurement("ensemble", "ensemble", {"kept": members, "against": of_one_kind})
    for seed, members in enumerate(draws):
        teachers = [str(Path(kept).with_suffix(".keras")) for kept in members]
        for name, options in report.TAUGHT.items():
            kept = str(KEPT / f"{name}-{seed}.npy")
            pupil = {"model": "cnn_best", "seed": seed, "views": True, "keep": kept}
            yield Measurement(name, "train", pupil | options | {"teachers": teachers})


def hands() -> Iterator[Measurement]:
    """List what lesson 06 shows of five seeds and trains with two."""
    for seed in range(5):
        yield Measurement("pictures of other kinds", "hands", {"seed": seed})


def writers() -> Iterator[Measurement]:
    """List what lesson 01 shows of a network: how much a random division flatters it."""
    for seed in range(5):
        for way in ("at random", "by writer"):
            yield Measurement(f"{report.DIVIDED} {way}", "divided", {"way": way, "seed": seed})


def tuning() -> Iterator[Measurement]:
    """List what lesson 08 shows: one change at a time, fewer digits, and all the networks."""
    from mnistlib.tuning import CHANGES, COSTS, recorded_as

    for kind in ("baseline", *CHANGES):
        yield Measurement(recorded_as(kind), "tuned", {"kind": kind})
    for model in ("dense_128", "cnn_fast"):
        keywords = {"model": model, "sizes": report.SIZES}
        yield Measurement(f"{model}, fewer digits", "learned", keywords)
    for model in report.REFERENCES:
        yield Measurement(f"{model}, by its recipe", "repeated", {"model": model})
    yield Measurement(COSTS, "costs")


def recognizer() -> Iterator[Measurement]:
    """List what the recognizer reads and declines, and what it owes to 30 writers of pendigits."""
    for seed in range(5):
        for way in report.LEARNED:
            yield Measurement(f"recognizer, {way}", "recognized", {"way": way, "seed": seed})


def answers() -> Iterator[Measurement]:
    """List how long a program waits for the digit in one picture, process and all."""
    for _ in range(5):
        for way in report.ANSWERING:
            yield Measurement(f"one picture: {way}", "answered", {"way": way})


def runtimes() -> Iterator[Measurement]:
    """List what the shipped network costs in NumPy, and in the runtimes made for answering."""
    needs = {"ONNX Runtime": "onnxruntime tf2onnx", "LiteRT": "ai_edge_litert"}
    for _ in range(7):
        for way in report.RUNTIMES:
            own = {"way": way}
            yield Measurement(f"runtime: {way}", "runtime", own, "peers", needs.get(way))


def app() -> Iterator[Measurement]:
    """List how the page answers: one client alone, and sixteen at a time."""
    for name, keywords in report.SERVING.items():
        yield Measurement(f"page: {name}", "under_load", keywords, "serving", "gradio httpx psutil")


def lessons() -> Iterator[Measurement]:
    """List the lessons, whose seconds the teacher's guide names."""
    for path in sorted((FOLDER.parent / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        yield Measurement(f"lesson {path.stem}", "lesson", {"name": path.stem})


def run(plan: str, measurements: list[Measurement]) -> dict:
    """Make the measurements of a plan, those left by an interruption excepted.

    Returns:
        The whole record, in which they have taken the places of the former ones.
    """
    unfinished = KEPT / f"unfinished-{plan}.json"
    results = json.loads(unfinished.read_text()) if unfinished.exists() else {}
    missing, seen = [], {}
    for one in measurements:
        seen[one.name] = seen.get(one.name, 0) + 1
        if len(results.get(one.name, [])) < seen[one.name]:
            missing.append(one)
    progress = tqdm(missing, unit="measurement", mininterval=0, disable=not missing)
    for one in progress:
        progress.set_description(one.name)
        packages = (one.needs or "").split()
        absent = [name for name in packages if importlib.util.find_spec(name) is None]
        if absent:
            progress.write(f"not run: {one.name} needs {absent[0]}, which is not installed")
            continue
        figures = measure(one)
        progress.write(f"{one.name}: {figures}")
        results.setdefault(one.name, []).append(figures)
        write(results, unfinished)
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    # A peer that was not run must not stand beside figures of another day or machine.
    kept = {name: figures for name, figures in before.items() if name not in seen}
    kept["machine"] = {**before.get("machine", {}), plan: machine()}
    write(kept | results, RESULTS)
    unfinished.unlink(missing_ok=True)
    return kept | results


def measure(one: Measurement) -> dict:
    """Run one measurement in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"benchmarks.{one.module}", one.function]
        command += [json.dumps(one.keywords), str(path)]
        subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.DEVNULL, check=True)
        return json.loads(path.read_text())


def machine() -> dict:
    """Describe what the figures were measured on."""
    from mnistlib import models
    from mnistlib._tensorflow import keras, tf

    flags = models.cpu_flags()
    return {
        "date": datetime.date.today().isoformat(),
        "cores": os.cpu_count(),
        "vector units": [unit for unit in ("avx2", "avx512f", "amx_bf16") if unit in flags],
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def write(results: dict, path: Path) -> None:
    """Replace a file of results, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    new.replace(path)


def main(arguments: list[str]) -> None:
    """Measure (any of the plans, or none), print the table, draw the figures."""
    plans = (
        *(quick, steps, full, ensembles, hands, writers, tuning, recognizer, answers, runtimes),
        *(app, lessons),
    )
    chosen = {plan.__name__: plan for plan in plans}
    unknown = set(arguments) - chosen.keys()
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; choose from {', '.join(chosen)}")
    for name in arguments:
        run(name, list(chosen[name]()))
    results = json.loads(RESULTS.read_text())
    print(report.table(results))
    report.write(results)
    report.draw(results)


if __name__ == "__main__":
    main(sys.argv[1:])
