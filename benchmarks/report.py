"""The tables and the figures made from ``results.json``."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np

from mnistlib import plots, tuning
from mnistlib.metrics import mean_sd, percent

FOLDER = Path(__file__).resolve().parent
CONVNET = "keras.io mnist_convnet"
AGAIN = f"{CONVNET}, again"
# The unit of time of these plans, measured anew with each.
UNITS = {plan: f"{CONVNET}, beside {plan}" for plan in ("full", "ensembles")}
ALONE = "MNIST alone"
LEARNED = (ALONE, "MNIST and 30 writers")
ANSWERING = ("mnistlib predict", "mnistlib predict --model, of Keras", "a plain Keras script")
RUNTIMES = ("NumPy", "ONNX Runtime", "LiteRT")
SERVING = {
    "1 client": {"clients": 1, "requests": 300},
    "16 clients": {"clients": 16, "requests": 2_000},
    "16 clients, of Keras": {"clients": 16, "requests": 300, "of_keras": True},
}
DIVIDED = "dense_128, validation digits set aside"
SIZES = (500, 1_500, 5_000, 15_000, 50_000)
REFERENCES = ("dense_32_16", "dense_128_64", "dense_128_64_32_sigmoid", "cnn")
LONGER_EPOCHS = 10
MINING = "cnn_fast, hard example mining"
LONGER = f"cnn_fast, {LONGER_EPOCHS} epochs, augmented"
AUGMENTED_OPTIONS = {
    "epochs": 2,
    "learning_rate": 0.015,
    "precision": "mixed_bfloat16",
    "whitened": True,
    "deslanted": 0.5,
}
AUGMENTED = f"cnn_fast, {AUGMENTED_OPTIONS['epochs']} epochs, augmented"
SOONEST_OPTIONS = {
    "epochs": 1,
    "batch_size": 192,
    "learning_rate": 0.015,
    "precision": "mixed_bfloat16",
    "whitened": True,
    "degrees": 0.0,
    "zoom": 0.0,
    "pixels": 1.0,
    "deslanted": 1.0,
}
SOONEST = "cnn_fast, 1 epoch, deslanted"
# So many ensembles, and so many networks in each, all different and half of them of another kind.
DRAWS, MEMBERS = 3, 8
KINDS = {
    "cnn_best, in ensembles": {},
    "cnn_best, two convolutions": {
        "filters": [32, 64],
        "hidden": 256,
        "degrees": 15.0,
        "zoom": 0.15,
        "batch_size": 256,
        "learning_rate": 0.007,
        "epochs": 20,
    },
}
OF_ONE_KIND = "ensemble of five cnn_best"
# The second is nearly twice as large.
TAUGHT = {
    "cnn_best, taught by an ensemble": {},
    "cnn_best, wider, taught by an ensemble": {
        "filters": [44, 88, 176],
        "hidden": 176,
        "epochs": 28,
    },
}


def table(results: dict) -> str:
    """Word the results as Markdown, one table for each plan; what was not run is left out."""
    parts = []
    plans = {
        "quick": _quick,
        "steps": _steps,
        "full": _full,
        "ensembles": _ensembles,
        "writers": _writers,
        "tuning": _tuning,
        "recognizer": _recognizer,
        "answers": _answers,
        "runtimes": _runtimes,
        "app": _app,
        "lessons": _lessons,
    }
    for plan, rows in plans.items():
        if found := list(rows(results)):
            lines = [f"**`python -m benchmarks {plan}`**{_machine(results, plan)}", ""]
            lines += ["| what | measured |", "|---|---|"]
            parts.append("\n".join(lines + [f"| {what} | {figure} |" for what, figure in found]))
    return "\n\n".join(parts)


def guide(results: dict) -> str:
    """Word what the teacher's guide says of the computer's time, as Markdown."""
    lines = ["| lesson | seconds |", "|---|---|"]
    lines += [f"| {what} | {figure.removesuffix(' s')} |" for what, figure in _lessons(results)]
    measured = f"Measured by `python -m benchmarks lessons`{_machine(results, 'lessons')}."
    return "\n".join([*lines, "", measured])


def aims(results: dict) -> str:
    """Word what the recipes were to reach and what they do, as Markdown.

    A unit is the time of keras.io's example for its own recipe, measured in the same session.
    """
    lines = ["| what | aim | reached |", "|---|---|---|"]
    small, wide = TAUGHT
    twice = "99.75 %, at most twice `cnn_best`'s size"
    for plan, name, what, aim in (
        ("full", "cnn_best", "one network", "99.72 % in half a unit"),
        ("full", "dense_best", "dense layers alone", "99.45 % in half a unit"),
        ("ensembles", small, "`cnn_best`, taught by an ensemble", twice),
        ("ensembles", wide, "a wider one, taught by an ensemble", twice),
    ):
        if runs := results.get(name):
            reached = mean_sd([run["accuracy"] for run in runs])
            took = f"{ratio(results, name, UNITS[plan]):.2f} units, {len(runs)} seeds"
            lines.append(f"| {what} | {aim} | {reached} in {took} |")
    if len(runs := results.get("ensemble", [])) > 1:
        each = [ratio(results, name, UNITS["ensembles"]) for name in KINDS]
        took = float(np.mean(each)) * MEMBERS
        reached = f"{mean_sd([run['accuracy'] for run in runs])} in {took:.1f} units"
        lines.append(f"| ensemble | 99.78 % in 4 units | {reached}, {len(runs)} ensembles |")
    if runs := results.get(SOONEST):
        sooner = reaches(results) / seconds(results, SOONEST)
        middle = percent(float(np.median([run["accuracy"] for run in runs])))
        aim = "30 times sooner than keras.io's example"
        lines.append(
            f"| 99.0 %, in the middle of ten seeds | {aim} | {sooner:.1f} times, {middle} |"
        )
    if AUGMENTED in results:
        wrong = [
            np.mean([1 - run["students"] for run in results[name]])
            for name in ("cnn_fast", AUGMENTED)
        ]
        fewer, longer = 1 - wrong[1] / wrong[0], ratio(results, AUGMENTED, "cnn_fast")
        aim = "a third fewer of `cnn_fast`'s mistakes, in equal time"
        reached = f"{100 * fewer:.0f} % fewer, in {longer:.1f} times the time"
        lines.append(f"| digits by students | {aim} | {reached} |")
    return "\n".join(lines)


def write(results: dict) -> None:
    """Put the tables in their places: the README beside this file, and the teacher's guide."""
    put(FOLDER / "README.md", "benchmarks", table(results))
    put(FOLDER / "README.md", "aims", aims(results))
    put(FOLDER.parent / "notebooks" / "README.md", "seconds", guide(results))


def put(path: Path, mark: str, text: str) -> None:
    """Replace what stands between the two comments ``mark`` of a page, completely or not at all."""
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, rest = path.read_text(encoding="utf-8").split(start)
    after = rest.split(end)[1]
    new = path.with_suffix(".new")
    new.write_text(f"{before}{start}{text}\n{end}{after}", encoding="utf-8")
    new.replace(path)


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


def ratio(results: dict, slow: str, fast: str) -> float:
    """Give how many times as long the slow one takes, by the medians."""
    return seconds(results, slow) / seconds(results, fast)


def reaches(results: dict, accuracy: float = 0.99) -> float | None:
    """Give the seconds after which keras.io's network first has this accuracy; None: never.

    They are the median of all its trainings of the plan.
    """
    curves = [run["curve"] for run in results[CONVNET] + results.get(AGAIN, [])]
    firsts = [next((at for at, reached in one if reached >= accuracy), None) for one in curves]
    return None if None in firsts else float(np.median(firsts))


def _machine(results: dict, plan: str) -> str:
    found = results.get("machine", {}).get(plan)
    if not found:
        return ""
    units = {"avx2": "AVX2", "avx512f": "AVX-512", "amx_bf16": "AMX"}
    has = ", ".join(units[unit] for unit in found["vector units"]) or "no vector units"
    versions = f"TensorFlow {found['tensorflow']}, Keras {found['keras']}"
    return f", {found['date']}: {found['cores']} cores with {has}; {versions}"


def _quick(results: dict):
    for batch in (32, 128):
        label = f"dense_128, batch {batch}"
        names = [f"{label}: {who}" for who in ("mnistlib", "Keras fit", "PyTorch eager")]
        for name in names:
            if name in results:
                yield f"{name}, 10 epochs", _timed(results, name)
        for peer in names[1:]:
            if peer in results:
                times = f"{ratio(results, peer, names[0]):.1f} times as long"
                yield f"{peer}, compared with mnistlib", times
    for run in results.get("one digit", []):
        once, keras = run["predict_proba"], run["model.predict"]
        yield "one digit: models.predict_proba", f"{1000 * once:.1f} ms"
        yield (
            "one digit: Keras's model.predict",
            f"{1000 * keras:.0f} ms, {keras / once:.0f} times as long",
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
    for model in ("dense_128", "dense_best", "cnn", "cnn_fast", "cnn_best"):
        if runs := results.get(name := f"epoch of {model}"):
            rates = [run["operations"] / run["seconds"] for run in runs]
            shares = [rate / run["matrix product"] for rate, run in zip(rates, runs, strict=True)]
            yield (
                f"one epoch of {model}, batch 128",
                f"{seconds(results, name):.2f} s, {np.median(rates) / 1e9:.0f} Gflop/s, "
                f"{100 * np.median(shares):.0f} % of the speed of a matrix product",
            )


def _steps(results: dict):
    if CONVNET in results:
        reached = reaches(results)
        curve = results[CONVNET][0]["curve"]
        after = f"{reached:.0f} s" if reached else f"not in {len(curve)} epochs"
        yield f"{CONVNET}: 99.0 % of the test digits", after
        end, accuracy = curve[-1]
        yield f"{CONVNET}: {len(curve)} epochs", f"{end:.0f} s, {percent(accuracy)}"
    for run in results.get(AGAIN, []):
        yield AGAIN, f"{run['seconds']:.0f} s, {percent(run['accuracy'])}"
    names = (f"{CONVNET}, one-cycle", "dense_128", "cnn_fast, Keras fit", "cnn_fast", MINING)
    yield from _trained(results, *names, AUGMENTED, SOONEST)
    for name in ("cnn_fast", AUGMENTED):
        yield from _halves(results, name)


def _full(results: dict):
    names = (LONGER, "cnn_best", "dense_best")
    yield from _trained(results, UNITS["full"], *names)
    for name in names:
        yield from _halves(results, name)


def _ensembles(results: dict):
    for name in (OF_ONE_KIND, "ensemble"):
        for run in results.get(name, []):
            low, high = (f"{100 * run[end]:.2f}" for end in ("low", "high"))
            figure = f"{percent(run['accuracy'])} (95 % interval {low}–{high} %)"
            if "p_value" in run:
                figure += (
                    f"; {run['gained']} digits right that the {OF_ONE_KIND} misreads, "
                    f"{run['lost']} the other way round, p = {run['p_value']:.2f}"
                )
            yield f"ensemble of {run['members']} networks" if name == "ensemble" else name, figure
    if len(runs := results.get("ensemble", [])) > 1:
        mean = mean_sd([run["accuracy"] for run in runs])
        yield f"mean of {len(runs)} ensembles that share no network", mean
    yield from _trained(results, UNITS["ensembles"], *KINDS, *TAUGHT)


def _writers(results: dict):
    for way in ("at random", "by writer"):
        if runs := results.get(name := f"{DIVIDED} {way}"):
            yield f"{name}, validation accuracy", mean_sd([run["accuracy"] for run in runs])


def _tuning(results: dict):
    if tuning.COSTS not in results:
        return
    baseline = results[tuning.recorded_as("baseline")][0][""]["accuracies"]
    yield "dense_128, the baseline, validation accuracy", mean_sd(baseline)
    for one in tuning.effects(results).itertuples():
        low, gain, high = (f"{100 * share:+.2f}" for share in (one.low, one.gain, one.high))
        figure = f"{gain} points ({low} to {high}), {one.cost:.1f} times the processor's seconds"
        yield f"{one.kind}: {one.change}", figure
    for model in ("dense_128", "cnn_fast"):
        if runs := results.get(f"{model}, fewer digits"):
            for digits, accuracies in zip(runs[0]["sizes"], runs[0]["accuracies"], strict=True):
                yield f"{model} from {digits:,} digits, validation accuracy", mean_sd(accuracies)
    for model in REFERENCES:
        if runs := results.get(f"{model}, by its recipe"):
            yield f"{model}, 5 seeds", mean_sd(runs[0]["accuracies"])


def _recognizer(results: dict):
    for way in LEARNED:
        if runs := results.get(name := f"recognizer, {way}"):
            for kind in ("MNIST", "14 writers"):
                right, sure, misled = (
                    mean_sd([run[kind][what] for run in runs])
                    for what in ("accuracy", "sure", "misled")
                )
                what = {"MNIST": "MNIST's test digits", "14 writers": "digits of 14 other writers"}
                figure = f"{right} right; sure of {sure}, wrong though sure {misled}"
                yield f"{name}: {what[kind]}", figure
    if runs := results.get(f"recognizer, {LEARNED[1]}"):
        for kind in runs[0]["outliers"]:
            shares = [run["outliers"][kind] for run in runs]
            area = np.mean([share["auroc"] for share in shares])
            declined = (mean_sd([share[what] for share in shares]) for what in ("own", "at98"))
            own, strict = declined
            figure = f"{own} declined, {strict} where 98 % of digits are answered; AUROC {area:.3f}"
            yield f"no digits: {kind}", figure
        for kind in runs[0]["pages"]:
            pages = [run["pages"][kind] for run in runs]
            numbers, digits = (
                mean_sd([page[f"{what}_right"] / page[what] for page in pages])
                for what in ("numbers", "digits")
            )
            yield f"pages: {kind}", f"numbers {numbers} right, digits {digits}"


def _answers(results: dict):
    for way in ANSWERING:
        if (name := f"one picture: {way}") in results:
            times = ratio(results, name, f"one picture: {ANSWERING[0]}")
            longer = "" if way == ANSWERING[0] else f", {times:.0f} times as long"
            yield f"{name}, whole process", f"{seconds(results, name):.2f} s{longer}"


def _runtimes(results: dict):
    for way in RUNTIMES:
        if runs := results.get(f"runtime: {way}"):
            middle = {
                name: float(np.median([run[name] for run in runs if name in run] or [0]))
                for name in ("import", "seconds", "answer", "digits", "megabytes")
            }
            whole, size = [run["seconds"] for run in runs], f"{middle['megabytes']:.0f} MB"
            parts = [
                f"whole process for one picture {middle['seconds']:.2f} s "
                f"({min(whole):.2f}–{max(whole):.2f})",
                f"nine views of a digit {1000 * middle['answer']:.2f} ms",
                f"10,000 digits {middle['digits']:.2f} s",
            ]
            if way == RUNTIMES[0]:
                parts.append(f"{size} installed, which all need")
            else:
                parts += [f"import {1000 * middle['import']:.0f} ms", f"{size} more installed"]
            yield f"runtime: {way} {runs[0]['version']}", "; ".join(parts)


def _app(results: dict):
    for name in SERVING:
        for run in results.get(f"page: {name}", []):
            yield (
                f"page: {name}",
                (
                    f"{run['per_second']:.1f} answers a second; half within {run['median']:.2f} s, "
                    f"99 of 100 within {run['p99']:.2f} s; {run['errors']} errors; memory "
                    f"{run['warm']:.0f} MB, in the end {run['end']:.0f} MB"
                ),
            )


def _lessons(results: dict):
    names = sorted(name for name in results if name.startswith("lesson "))
    for name in names:
        yield name, f"{seconds(results, name):.0f} s"
    if names:
        yield "all lessons", f"{sum(seconds(results, name) for name in names):.0f} s"


def _trained(results: dict, *names: str):
    for name in names:
        if name in results:
            count = len(results[name])
            yield f"{name}, {count} seed{'s' * (count > 1)}", _timed(results, name)


def _timed(results: dict, name: str) -> str:
    runs = results[name]
    times = [run["seconds"] for run in runs]
    accuracies = [run["accuracy"] for run in runs]
    if len(runs) == 1:
        return f"{times[0]:.1f} s, {percent(accuracies[0])}"
    spread = f"{np.median(times):.1f} s ({min(times):.1f}–{max(times):.1f})"
    return f"{spread}, {mean_sd(accuracies)}"


def _halves(results: dict, name: str):
    if runs := results.get(name):
        halves = (mean_sd([run[half] for run in runs]) for half in ("students", "census"))
        yield f"{name}: digits by students, by census employees", ", ".join(halves)


def _accuracy_against_time(results: dict):
    names = {
        "dense_128": "dense_128",
        "cnn_fast": "cnn_fast",
        AUGMENTED: "cnn_fast, augmented",
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
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    kinds = (
        ("epoch of ", " digits", "digits in an epoch", "How long is an epoch of more digits?"),
        (
            "epoch in batches of ",
            "",
            "digits in a batch",
            "And in larger batches?",
        ),
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
            ax.yaxis.set_major_formatter("{x:g}")
        else:
            ax.set(ylim=(0, 1.2 * max(y)))
        ax.set_xticks(x, [f"{int(number):,}" for number in x])
        ax.minorticks_off()
    return figure


def _save(figure, name: str) -> None:
    new = FOLDER / f"new-{name}"
    figure.savefig(new, dpi=120)
    plt.close(figure)
    new.replace(FOLDER / name)
