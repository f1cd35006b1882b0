"""The table and the figures made from ``results.json``."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np

from mnistlib import plots
from mnistlib.metrics import mean_sd, percent

FOLDER = Path(__file__).resolve().parent
CONVNET = "keras.io mnist_convnet"
LONGER_EPOCHS = 10
MINING = "cnn_fast, hard example mining"
LONGER = f"cnn_fast, {LONGER_EPOCHS} epochs, augmented"


def table(results: dict) -> str:
    """Word the results as a Markdown table; what was not run is left out."""
    lines = ["| what | measured |", "|---|---|"]
    lines += [f"| {what} | {found} |" for what, found in _rows(results)]
    return "\n".join(lines)


def write_readme(results: dict) -> None:
    """Put the table in its place in the README."""
    readme = FOLDER.parent / "README.md"
    marks = ("<!-- benchmarks -->\n", "\n<!-- /benchmarks -->")
    before, rest = readme.read_text(encoding="utf-8").split(marks[0])
    after = rest.split(marks[1].lstrip())[1]
    new = readme.with_suffix(".new")
    new.write_text(f"{before}{marks[0]}{table(results)}{marks[1]}{after}", encoding="utf-8")
    new.replace(readme)


def draw(results: dict) -> None:
    """Draw accuracy against training time, and the cost of an epoch against the work."""
    plots.use_style()
    if CONVNET in results:
        _save(_accuracy_against_time(results), "accuracy.png")
    if any(name.startswith("epoch of ") for name in results):
        _save(_cost(results), "scaling.png")


def seconds(results: dict, name: str) -> float:
    """Give the median seconds of a measurement."""
    return float(np.median([run["seconds"] for run in results[name]]))


def _rows(results: dict):
    for batch in (32, 128):
        label = f"dense_128, batch {batch}"
        names = [f"{label}: {who}" for who in ("mnistlib", "Keras fit", "PyTorch eager")]
        for name in names:
            if name in results:
                yield f"{name}, 10 epochs", _timed(results, name)
        for peer in names[1:]:
            if peer in results:
                ratio = seconds(results, names[0]) / seconds(results, peer)
                yield f"{names[0]} ÷ {peer.split(': ')[1]}", f"{ratio:.2f}"
    if CONVNET in results:
        curve = results[CONVNET][0]["curve"]
        reached = next((at for at, accuracy in curve if accuracy >= 0.99), None)
        after = f"{reached:.0f} s" if reached else f"not in {len(curve)} epochs"
        yield f"{CONVNET}: 99.0 % of the test digits", after
        end, accuracy = curve[-1]
        yield f"{CONVNET}: {len(curve)} epochs", f"{end:.0f} s, {percent(accuracy)}"
    for name in ("dense_128", "cnn_fast", MINING, LONGER, "cnn_best", "dense_best"):
        if name in results:
            count = len(results[name])
            yield f"{name}, {count} seed{'s' * (count > 1)}", _timed(results, name)
    for run in results.get("ensemble", []):
        yield f"ensemble of {run['members']} cnn_best", percent(run["accuracy"])
    for run in results.get("one digit", []):
        once, keras = run["predict_proba"], run["model.predict"]
        yield (
            "one digit: predict_proba ÷ model.predict",
            (f"{1000 * once:.1f} ms ÷ {1000 * keras:.0f} ms = {once / keras:.3f}"),
        )
    if "import mnistlib.data" in results:
        over = seconds(results, "import mnistlib.data")
        yield "import mnistlib.data, over numpy", f"{over:.2f} s"
    for run in results.get("memory of dense_128", []):
        yield "training dense_128, peak memory over the imports", f"{run['megabytes']:.0f} MB"
    for reader in ("kaggle.load", "pandas"):
        if runs := results.get(name := f"Kaggle's train.csv: {reader}"):
            most = max(run["megabytes"] for run in runs)
            yield f"{name}, 42,000 rows", f"{seconds(results, name):.2f} s, {most:.0f} MB"
    for run in results.get("Kaggle, from nothing to a submission", []):
        score = f"{run['seconds']:.0f} s, {percent(run['accuracy'])} of the hidden labels"
        yield "mnistlib kaggle: practice files made, trained, submitted", score
    for run in results.get("series", []):
        yield "the five core notebooks, headless", f"{run['seconds']:.0f} s"
    for model in ("dense_128", "dense_best", "cnn", "cnn_fast", "cnn_best"):
        if runs := results.get(name := f"epoch of {model}"):
            rates = [run["operations"] / run["seconds"] for run in runs]
            shares = [rate / run["matrix product"] for rate, run in zip(rates, runs, strict=True)]
            yield (
                f"one epoch of {model}, batch 128",
                f"{seconds(results, name):.2f} s, {np.median(rates) / 1e9:.0f} Gflop/s, "
                f"{np.median(shares):.0%} of the float32 matrix product at that minute",
            )


def _timed(results: dict, name: str) -> str:
    runs = results[name]
    times = [run["seconds"] for run in runs]
    spread = f"{np.median(times):.1f} s ({min(times):.1f}–{max(times):.1f})"
    accuracies = [run["accuracy"] for run in runs]
    return f"{spread}, {mean_sd(accuracies) if len(runs) > 1 else percent(accuracies[0])}"


def _accuracy_against_time(results: dict):
    names = {
        "dense_128": "dense_128",
        "cnn_fast": "cnn_fast",
        LONGER: "cnn_fast, longer",
        "dense_best": "dense_best",
        "cnn_best": "cnn_best",
    }
    points = {
        label: (seconds(results, name), np.mean([run["accuracy"] for run in results[name]]))
        for name, label in names.items()
        if name in results
    }
    return plots.trade_off(
        points,
        curves={CONVNET: results[CONVNET][0]["curve"]},
        title="Below the curve: fewer mistakes in the same time",
    ).figure


def _cost(results: dict):
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    kinds = (
        ("epoch of ", " digits", "digits", "One epoch by digits"),
        ("epoch in batches of ", "", "batch size", "One epoch by batch size"),
    )
    for ax, (head, tail, label, title) in zip(axes, kinds, strict=True):
        pattern = re.compile(rf"{head}(\d+){tail}")
        found = {name: pattern.fullmatch(name) for name in results}
        points = sorted((int(at[1]), seconds(results, name)) for name, at in found.items() if at)
        x, y = np.array(points).T
        ax.plot(x, y, "o-")
        ax.set(xscale="log", xlabel=label, ylabel="seconds", title=title)
        if tail:
            proportional = y[-1] * x / x[-1]
            ax.plot(x, proportional, ":", color="0.5")
            ax.annotate(
                "in proportion",
                (x[1], proportional[1]),
                color="0.35",
                xytext=(8, -14),
                textcoords="offset points",
            )
            ax.set(yscale="log")
        else:
            ax.set(ylim=(0, 1.2 * max(y)))
            ax.set_xticks(x, x.astype(int))
        ax.minorticks_off()
    return figure


def _save(figure, name: str) -> None:
    new = FOLDER / f"new-{name}"
    figure.savefig(new, dpi=120)
    plt.close(figure)
    new.replace(FOLDER / name)
