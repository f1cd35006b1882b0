"""The measurements: each a function that returns a dictionary of figures, run in its own process.

``python -m benchmarks.measure NAME KEYWORDS FILE`` calls the function NAME with the JSON object
KEYWORDS and writes what it returns to FILE. Seconds of a training include building and compiling
the network, and neither imports nor the reading of the digits; so do those of the peers.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

# What describes a trial's augmentation; its other options are those of the network and those of
# training.fit.
AUGMENTATION = ("degrees", "zoom", "pixels", "elastic", "deslanted")


def train(
    model: str,
    *,
    seed: int = 0,
    views: bool = False,
    teachers: Sequence[str] = (),
    keep: str | None = None,
    **options,
) -> dict:
    """Train a network of the series by its recipe, or with other options; test it once.

    Args:
        model: The network of the series.
        seed: Of the initial weights and of the order of the digits.
        views: As for ``trial``, as are the next three.
        teachers: Files of the networks that label the digits, augmented.
        keep: Where to write the probabilities of the test digits, and beside it the network.
        **options: What changes the recipe.

    Returns:
        ``seconds``; ``accuracy``, and that of the digits by ``students`` and by the employees of
        the ``census``.
    """
    from mnistlib import data, metrics, writers

    digits = data.load("mnist")
    network, augment, seconds = _trained(
        model, digits.x_train, digits.y_train, seed=seed, teachers=teachers, options=options
    )
    probabilities = _answered(network, digits.x_test, augment, views=views, keep=keep)
    answers, students = probabilities.argmax(axis=1), writers.load().test_students
    return {"seconds": seconds, "accuracy": metrics.accuracy(digits.y_test, answers)} | {
        who: metrics.accuracy(digits.y_test[theirs], answers[theirs])
        for who, theirs in (("students", students), ("census", ~students))
    }


def train_augmented(model: str, **options: int | float) -> dict:
    """Train as ``cnn_best`` is trained, whatever the recipe of the network says."""
    from mnistlib.training import RECIPES

    best = RECIPES["cnn_best"]
    smoothing = {"label_smoothing": best.label_smoothing, "hard_example_mining": 0.5}
    return train(model, augment=best.augment, **smoothing, **options)


def ensemble(kept: list[str], *, against: Sequence[str] = ()) -> dict:
    """Average the kept probabilities of several trainings.

    Args:
        kept: Files of the members' probabilities of the test digits.
        against: Those of another ensemble, to compare with.

    Returns:
        ``members``, how many; ``accuracy``, and the ``low`` and ``high`` end of its 95 % interval.
        Against another ensemble also how many digits only this one gets right (``gained``) and how
        many only the other one (``lost``), with the ``p_value`` of McNemar's test.
    """
    from mnistlib import data, metrics

    for path in (*kept, *against):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} is not there: run the plan full, then ensembles")
    truth = data.load("mnist").y_test

    def answered(paths):
        return np.mean([np.load(path) for path in paths], axis=0).argmax(axis=1)

    answers = answered(kept)
    interval = metrics.accuracy_interval(truth, answers)
    figures = {
        "members": len(kept),
        "accuracy": interval.value,
        "low": interval.low,
        "high": interval.high,
    }
    if against:
        paired = metrics.mcnemar(truth, answers, answered(against))
        figures |= {
            "gained": paired.only_first,
            "lost": paired.only_second,
            "p_value": paired.p_value,
        }
    return figures


def hands(*, seed: int = 0, epochs: int = 3) -> dict:
    """Read the pictures of lesson 06 with networks of one seed, prepared in several ways.

    Returns:
        ``validation``, the accuracy on the validation digits that serve for nothing else;
        ``labels``: kind of picture → the digits shown, a character each; ``answers``: preparation →
        kind → the answers, a character each; ``abstaining``: training → kind → answers with ``?``
        where the recognizer abstains. Letters are in the order of ``drawing.LETTERS``, 20 each.
    """
    from mnistlib import (
        augment,
        data,
        drawing,
        metrics,
        models,
        outliers,
        preprocess,
        recognizer,
        training,
    )

    digits = data.load("mnist")
    x, y, x_val, y_val = data.split(digits.x_train, digits.y_train, validation=0.1, seed=0)
    half = len(x_val) // 2
    calibrating, held = (x_val[:half], y_val[:half]), (x_val[half:], y_val[half:])
    trials = drawing.trials(*held)

    def trained(images, targets, change):
        network = models.build("cnn_fast", seed=seed)
        training.fit(
            network, images, targets, recipe="cnn_fast", epochs=epochs, augment=change, seed=seed
        )
        return network

    def answer(network, images):
        return "".join(map(str, models.predict_proba(network, images).argmax(axis=1)))

    augmented, plain = trained(x, y, augment.distort), trained(x, y, None)
    strange = outliers.from_digits(x, y, count=len(x) // 8, seed=seed)
    undecided = np.full((len(strange), data.CLASSES), 1 / data.CLASSES, np.float32)
    targets = np.eye(data.CLASSES, dtype=np.float32)[y]
    exposed = trained(
        np.concatenate([x, strange]), np.concatenate([targets, undecided]), augment.distort
    )
    answers = {}
    prepared = {kind: _prepared(pictures) for kind, (pictures, _) in trials.items()}
    for way in next(iter(prepared.values())):
        answers[way] = {kind: answer(augmented, ways[way]) for kind, ways in prepared.items()}
    for way in ("to_mnist", "without center"):
        answers[f"{way}, no augmentation"] = {
            kind: answer(plain, ways[way]) for kind, ways in prepared.items()
        }
    kinds = {
        "letters": preprocess.to_mnist_all(
            drawing.strokes(sign, number) for sign in drawing.LETTERS for number in range(20)
        ),
        "doodles": preprocess.to_mnist_all(drawing.scribble(number) for number in range(100)),
        "upside-down 3, 4, 7": held[0][np.isin(held[1], (3, 4, 7))][:100, ::-1, ::-1],
    } | {kind: ways["to_mnist"] for kind, ways in prepared.items()}
    abstaining = {}
    for name, network in (("digits alone", augmented), ("with outliers", exposed)):
        reader = recognizer.calibrate(network, *calibrating)
        abstaining[name] = {
            kind: "".join(str(one.digit) if one.sure else "?" for one in reader.answer(images))
            for kind, images in kinds.items()
        }
    right = models.predict_proba(augmented, held[0]).argmax(axis=1)
    return {
        "validation": metrics.accuracy(held[1], right),
        "labels": {kind: "".join(map(str, labels)) for kind, (_, labels) in trials.items()},
        "answers": answers,
        "abstaining": abstaining,
    }


def _prepared(pictures) -> dict[str, np.ndarray]:
    """Prepare pictures for the network, simply and by ``to_mnist``; uint8 (n, 28, 28) each."""
    from mnistlib import preprocess

    squeezed = np.stack([preprocess.resize_plainly(picture) for picture in pictures])
    paper = np.median(squeezed, axis=(1, 2), keepdims=True)
    turned = np.where(paper > 127, 255 - squeezed, squeezed)
    ink = np.maximum(turned - np.minimum(paper, 255 - paper), 0)
    ways = {
        "squeezed and inverted": squeezed,
        "inverted where needed": turned,
        "and paper made black": (255 * ink / ink.max(axis=(1, 2), keepdims=True)).astype(np.uint8),
        "to_mnist": preprocess.to_mnist_all(pictures),
    }
    for step in preprocess.STEPS:
        ways[f"without {step}"] = preprocess.to_mnist_all(pictures, without=[step])
    return ways


def epoch(model: str, *, digits: int = 60_000, batch_size: int = 128, epochs: int = 8) -> dict:
    """Time one epoch after the first, which compiles, on so many digits (MNIST repeated).

    Beside it, the operations a second of the machine's float32 matrix product at that minute.
    """
    from mnistlib import data, models, training, tuning

    before = _matrix_product()
    mnist = data.load("mnist")
    order = np.arange(digits) % len(mnist.x_train)
    ends = []
    network = models.build(model)
    watch = _keras().callbacks.LambdaCallback(
        on_epoch_end=lambda *_: ends.append(time.perf_counter())
    )
    x, y = mnist.x_train[order], mnist.y_train[order]
    training.fit(network, x, y, epochs=epochs, batch_size=batch_size, callbacks=[watch])
    return {
        "seconds": float(np.median(np.diff(ends))),
        "operations": tuning.operations(network) * digits,
        "matrix product": (before + _matrix_product()) / 2,
    }


def one_digit(model: str = "cnn", calls: int = 200) -> dict:
    """Time the prediction of one digit, after a first call of each kind."""
    from mnistlib import data, models

    digit, network = data.load("mnist").x_test[:1], models.build(model)

    def median(function, times):
        function()
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds))

    return {
        "predict_proba": median(lambda: models.predict_proba(network, digit), calls),
        "model.predict": median(lambda: network.predict(digit, verbose=0), calls // 10),
    }


def import_time(module: str) -> dict:
    """Time the import of a module in a fresh interpreter, over numpy's own."""
    code = (
        "import time, numpy; start = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - start)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return {"seconds": float(ran.stdout)}


def memory(model: str = "dense_128") -> dict:
    """Measure how far training raises the peak of memory over the import of TensorFlow, MB."""
    from mnistlib import data, models, training

    before = _peak()
    digits = data.load("mnist")
    training.fit(models.build(model), digits.x_train, digits.y_train, epochs=2)
    return {"megabytes": _peak() - before}


def read_kaggle(*, by: str = "kaggle.load") -> dict:
    """Read train.csv of 42,000 rows; seconds, and how far memory rose over the imports, MB.

    ``by="pandas"`` is the peer: plain ``read_csv`` and conversion to bytes.
    """
    import pandas as pd
    import pyarrow.csv  # noqa: F401 - loaded before the clock starts

    from mnistlib import kaggle

    with tempfile.TemporaryDirectory() as folder:
        # In another process, whose memory does not count.
        _mnistlib("kaggle", "--make-demo", folder)
        path = Path(folder) / "train.csv"
        before, start = _peak(), time.perf_counter()
        if by == "pandas":
            table = pd.read_csv(path)
            labels = table.pop("label").to_numpy(np.uint8)
            table.to_numpy().astype(np.uint8).reshape(-1, 28, 28)
        else:
            rows = kaggle.load(path)
            labels = rows.y
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "megabytes": _peak() - before, "rows": len(labels)}


def kaggle() -> dict:
    """From an empty folder to a submission by the command line; seconds and its true score."""
    from mnistlib import kaggle

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        start = time.perf_counter()
        _mnistlib("kaggle", "--make-demo", folder)
        _mnistlib(
            *("kaggle", "--train", folder / "train.csv", "--test", folder / "test.csv"),
            *("--out", folder / "submission.csv"),
        )
        seconds = time.perf_counter() - start
        answers, sent = (
            kaggle.read_submission(folder / name) for name in ("answers.csv", "submission.csv")
        )
    return {"seconds": seconds, "accuracy": float(np.mean(answers == sent))}


def lesson(name: str) -> dict:
    """Time one lesson as ``mnistlib run`` executes it, start of the kernel included."""
    from mnistlib import batch

    with tempfile.TemporaryDirectory() as folder:
        (result,) = batch.run(batch.plan([name]), source="mnist", output=folder, progress=False)
    if result.outcome.error:
        raise RuntimeError(f"lesson {name} {result.outcome.error}")
    return {"seconds": result.outcome.seconds}


def divided(way: str, *, seed: int = 0) -> dict:
    """Measure ``dense_128`` on validation digits that were set aside at random or by writer.

    Args:
        way: ``at random`` or ``by writer``.
        seed: Fixes the division and the training.
    """
    from mnistlib import data, metrics, models, training, writers

    digits = data.load("mnist")
    groups = writers.load().train if way == "by writer" else None
    x, y, x_val, y_val = data.split(
        digits.x_train, digits.y_train, validation=0.1, groups=groups, seed=seed
    )
    network = models.build("dense_128", seed=seed)
    training.fit(network, x, y, recipe="dense_128", seed=seed)
    answers = models.predict_proba(network, x_val).argmax(axis=1)
    return {"accuracy": metrics.accuracy(y_val, answers)}


def tuned(kind: str, *, seeds: int = 5) -> dict:
    """Measure the changes of a kind to the baseline of lesson 08, on digits of other writers.

    Each seed fixes the division by writer, the initial weights and the order of the digits.

    Args:
        kind: Of ``tuning.CHANGES``, or ``baseline``.
        seeds: How many trainings of each.

    Returns:
        Name of the change, empty for the baseline → ``accuracies`` and ``log_losses`` of the
        validation digits, one a seed.
    """
    from mnistlib import metrics, models, tuning

    changes = {"": tuning.BASELINE} if kind == "baseline" else tuning.CHANGES[kind]
    found = {change: {"accuracies": [], "log_losses": []} for change in changes}
    for seed in range(seeds):
        x, y, x_val, y_val = _divided_by_writer(seed)
        for change, setting in changes.items():
            network = tuning.train(setting, x, y, seed=seed)
            probabilities = models.predict_proba(network, x_val)
            accuracy = metrics.accuracy(y_val, probabilities.argmax(axis=1))
            found[change]["accuracies"].append(accuracy)
            found[change]["log_losses"].append(metrics.log_loss(y_val, probabilities))
    return found


def costs() -> dict:
    """Count the processor's seconds of one training for the baseline and each change of lesson 08.

    Of all cores together: what else runs on the machine changes them less than the seconds that
    pass. Compiling counts, the reading of the digits does not.

    Returns:
        Kind → name of the change, empty for the baseline → seconds.
    """
    from mnistlib import tuning

    x, y, *_ = _divided_by_writer(0)
    tuning.train(tuning.BASELINE, x, y)  # what only the first training pays for
    found = {}
    for kind, change, setting in tuning.settings():
        before = time.process_time()
        tuning.train(setting, x, y)
        found.setdefault(kind, {})[change] = time.process_time() - before
    return found


def learned(model: str, sizes: list[int], *, seeds: int = 5) -> dict:
    """Measure a network that has only so many digits to learn from, on digits of other writers.

    It takes as many steps as its recipe takes on all of them: fewer digits are shown more often.

    Returns:
        ``accuracies``: for each size, those of the validation digits, one a seed.
    """
    from mnistlib import metrics, models, training

    found = [[] for _ in sizes]
    for seed in range(seeds):
        x, y, x_val, y_val = _divided_by_writer(seed)
        order = np.random.default_rng(seed).permutation(len(x))
        for digits, accuracies in zip(sizes, found, strict=True):
            shown = np.resize(order[:digits], len(x))
            network = models.build(model, seed=seed)
            training.fit(network, x[shown], y[shown], recipe=model, seed=seed)
            answers = models.predict_proba(network, x_val).argmax(axis=1)
            accuracies.append(metrics.accuracy(y_val, answers))
    return {"sizes": sizes, "accuracies": found}


def repeated(model: str, *, seeds: int = 5) -> dict:
    """Train a network of the series by its recipe with several seeds; test each once.

    Returns:
        ``accuracies`` of the test digits, one a seed.
    """
    from mnistlib import data, training

    digits = data.load("mnist")
    test = (digits.x_test, digits.y_test)
    runs = training.repeat(
        model, digits.x_train, digits.y_train, test=test, recipe=model, seeds=seeds
    )
    return {"accuracies": [run.accuracy for run in runs]}


def _divided_by_writer(seed: int):
    from mnistlib import data, writers

    digits = data.load("mnist")
    return data.split(
        digits.x_train, digits.y_train, validation=0.1, groups=writers.load().train, seed=seed
    )


def trial(
    fold: int,
    seed: int,
    *,
    model: str,
    views: bool = True,
    teachers: Sequence[str] = (),
    keep: str | None = None,
    **options,
) -> dict:
    """Train a recipe without one fold, and ask it for the digits of that fold.

    Args:
        fold: 0–4.
        seed: Of the initial weights and of the order of the digits.
        model: The network of the series whose recipe the options change.
        views: Whether the answer is the average over nine places. It is by digits as written, as
            the network has learned them: deslanted where ``deslanted`` is 1, and by the average of
            both where it lies between.
        teachers: Files of networks. If there are any, the network learns their average answers to
            augmented digits, in place of the labels (distillation: Hinton, Vinyals and Dean 2015,
            arXiv:1503.02531). Their time counts apart.
        keep: Where to write the probabilities, a file ``.npy``, and beside it the network.
        **options: What ``models.convolutional`` or ``models.dense`` takes, whichever builds the
            network, and what ``augment.distort`` and ``training.fit`` take; and ``whitened``,
            whether the first convolution is set by ``models.whiten``.

    Returns:
        The row's figures: ``digits``, ``errors``, how many ``students`` wrote and how many of these
        are ``student_errors``, ``log_loss``, ``seconds``.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    from mnistlib import data, metrics, writers

    digits, hands = data.load("mnist"), writers.load()
    x, y = digits.x_train, digits.y_train
    splits = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    learned, asked = list(splits.split(x, y, hands.train))[fold]
    network, augment, seconds = _trained(
        model, x[learned], y[learned], seed=seed, teachers=teachers, options=options
    )
    probabilities = _answered(network, x[asked], augment, views=views, keep=keep)
    truth, students = y[asked], hands.train_students[asked]
    wrong = probabilities.argmax(axis=1) != truth
    return {
        "digits": len(truth),
        "errors": int(wrong.sum()),
        "students": int(students.sum()),
        "student_errors": int(wrong[students].sum()),
        "log_loss": round(float(metrics.log_loss(truth, probabilities)), 6),
        "seconds": round(seconds, 1),
    }


def _trained(model, x, y, *, seed, teachers, options):
    """Build and train a network; give it, its augmentation and the seconds that this took."""
    from functools import partial

    from mnistlib import models, training
    from mnistlib.augment import distort

    layers = models.options(model)
    layers |= {name: options.pop(name) for name in layers if name in options}
    whitened = options.pop("whitened", False)
    distortion = {name: options.pop(name) for name in AUGMENTATION if name in options}
    augment = options.pop("augment", training.RECIPES[model].augment)
    if distortion:
        augment = partial(augment or distort, **distortion)
    if teachers:
        chosen = replace(training.RECIPES[model], **options)
        x, y = _labelled(x, y, teachers, augment, chosen, seed=seed)
        # Each digit is there as often as it is shown, so a single epoch is all of it.
        options |= {"epochs": 1, "hard_example_mining": 0, "label_smoothing": 0}
    start = time.perf_counter()
    build = models.dense if "units" in layers else models.convolutional
    network = build(**layers, name=model, seed=seed)
    if whitened:
        models.whiten(network, x[:500])
    given = False if teachers else augment or False
    training.fit(network, x, y, recipe=model, seed=seed, augment=given, **options)
    return network, augment, time.perf_counter() - start


def _labelled(x, y, teachers, augment, recipe, *, seed):
    """Augment the digits for every epoch, and label them by the average of the teachers' answers.

    From the second epoch on, hard example mining goes by the loss of the teachers.
    """
    from mnistlib import loop, models

    networks = [models.load(path) for path in teachers]
    draw, order = np.random.default_rng(seed), np.arange(len(x))
    images, labels = [], []
    for epoch in range(recipe.epochs):
        if epoch == 1 and recipe.hard_example_mining:
            losses = -np.log(np.maximum(labels[0][np.arange(len(x)), y], 1e-7))
            ranking = np.argsort(-losses, kind="stable")
        if epoch and recipe.hard_example_mining:
            order = loop.shown(ranking, recipe.hard_example_mining, draw)
        chosen = x[order]
        if augment:
            parts = np.array_split(chosen, 1 + len(chosen) // 8_192)
            chosen = np.concatenate([augment(one, int(draw.integers(2**31))) for one in parts])
        images.append(chosen)
        labels.append(np.mean([models.predict_proba(one, images[-1]) for one in networks], axis=0))
    return np.concatenate(images), np.concatenate(labels)


def _answered(network, images, augment, *, views, keep):
    """Ask a network for digits in the form that it has learned; keep what it says."""
    from mnistlib import models
    from mnistlib.augment import deslant

    taken = inspect.signature(augment).parameters if augment else {}
    share = taken["deslanted"].default if "deslanted" in taken else 0
    probabilities = models.predict_tta(
        network,
        deslant(images) if share == 1 else images,
        shifts=int(views),
        deslanted=views and 0 < share < 1,
    )
    if keep:
        Path(keep).parent.mkdir(parents=True, exist_ok=True)
        np.save(keep, probabilities)
        models.save(network, Path(keep).with_suffix(".keras"))
    return probabilities


def recognized(way: str, *, seed: int = 0, pages: int = 20, strange: int = 300) -> dict:
    """Measure the recognizer on MNIST's test digits and on what it has not seen.

    Args:
        way: ``report.ALONE``, as it learns where pendigits cannot be had; or with the 30 writers.
        seed: Fixes the training and what is drawn.
        pages: How many of each kind of page, of test digits; with the 30 writers only.
        strange: How many of each kind of what is no digit; likewise.

    Returns:
        ``seconds`` of the training; and for ``MNIST`` and ``14 writers`` the shares of the digits
        that are answered right (``accuracy``, counting unsure answers too), for which the answer is
        ``sure``, and that are wrong though sure (``misled``). With the 30 writers also
        ``outliers``: kind → ``auroc`` against MNIST's test digits and the shares declined at the
        recognizer's ``own`` threshold and ``at98``, where 98 % of these digits are answered; and
        ``pages``: kind, or all but touching digits → the counts of ``pages.Score``.
    """
    from sklearn.metrics import roc_auc_score

    from benchmarks.report import ALONE
    from mnistlib import data, handwriting, outliers, recognizer

    digits = data.load("mnist")
    others = [] if way == ALONE else [handwriting.load()]
    unseen = handwriting.load("test", pens=1, seed=1)
    start = time.perf_counter()
    reader, _ = recognizer.train("cnn_fast", digits, others=others, seed=seed)
    figures: dict = {"seconds": time.perf_counter() - start}
    for name, images, labels in (
        ("MNIST", digits.x_test, digits.y_test),
        ("14 writers", unseen.images, unseen.labels),
    ):
        answers = reader.answer(images)
        right = np.array([answer.digit for answer in answers]) == labels
        sure = np.array([answer.sure for answer in answers])
        figures[name] = {
            "accuracy": float(right.mean()),
            "sure": float(sure.mean()),
            "misled": float((sure & ~right).mean()),
        }
    if way == ALONE:
        return figures
    known = reader.probabilities(digits.x_test).max(axis=1)
    figures["outliers"] = {}
    for kind, images in outliers.trials(strange, seed=seed).items():
        surest = reader.probabilities(images).max(axis=1)
        is_digit = np.repeat([1, 0], [len(known), len(surest)])
        figures["outliers"][kind] = {
            "auroc": float(roc_auc_score(is_digit, np.concatenate([known, surest]))),
            "own": float((surest < reader.threshold).mean()),
            "at98": float((surest < np.quantile(known, 0.02)).mean()),
        }
    figures["pages"] = read_pages(reader, digits, count=pages, seed=seed)
    return figures


def read_pages(reader, digits, *, count: int, seed: int) -> dict[str, dict]:
    """Read so many pages of each kind, written with the test digits, and count what is right."""
    import dataclasses
    import itertools

    from mnistlib import pages, preprocess

    scores = {}
    for kind in pages.KINDS:
        made, read = [], []
        for number in range(count):
            # Other pages for each kind: else a digit that is misread would count in all of them.
            own = 10_000 * (seed + 1) + 100 * pages.KINDS.index(kind) + number
            made.append(pages.draw(kind, digits.x_test, digits.y_test, seed=own))
            try:
                found = reader.read(made[-1].picture)
            except preprocess.NoDigitFound:
                found = []
            rows = itertools.groupby(found, key=lambda pair: pair[0].line)
            read.append(["".join(str(answer.digit) for _, answer in row) for _, row in rows])
        scores[kind] = dataclasses.asdict(pages.score(made, read))
    apart = [score for kind, score in scores.items() if kind != "touching"]
    scores["all but touching"] = {name: sum(one[name] for one in apart) for name in apart[0]}
    return scores


def answered(way: str) -> dict:
    """Measure a whole process that names the digit in one picture.

    Args:
        way: A member of ``report.ANSWERING``.
    """
    from PIL import Image

    from benchmarks.peers import KERAS_SCRIPT
    from benchmarks.report import ANSWERING
    from mnistlib import drawing, models, recognizer

    shipped, by_keras, _ = ANSWERING
    with tempfile.TemporaryDirectory() as folder:
        picture, network = Path(folder) / "seven.png", Path(folder) / "network.keras"
        Image.fromarray(drawing.strokes(7, 2)).save(picture)
        # What it answers does not matter here.
        recognizer.save(recognizer.Recognizer(models.build("cnn_fast"), deslanted=True), network)
        command = ["-m", "mnistlib", "predict", str(picture)]
        if way == by_keras:
            command += ["--model", str(network)]
        elif way != shipped:
            command = ["-c", KERAS_SCRIPT, str(picture), str(network)]
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        seconds = time.perf_counter() - start
    return {"seconds": seconds}


def _matrix_product(side: int = 2048, times: int = 10) -> float:
    """Measure the machine's float32 matrix product, operations a second."""
    from mnistlib._tensorflow import tf

    product = tf.function(tf.matmul)
    one = tf.random.stateless_uniform((side, side), (0, 1))
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        product(one, one).numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / float(np.median(seconds))


def _mnistlib(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "mnistlib", *arguments], check=True)


def _keras():
    from mnistlib._tensorflow import keras

    return keras


def _peak() -> float:
    """Read this process's peak of memory, MB.

    From Linux itself: ``getrusage`` counts what the process that started this one held, too.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(function, keywords: str, path: str) -> None:
    """Run one measurement and write its figures."""
    figures = function(**json.loads(keywords))
    Path(path).write_text(json.dumps(figures))


if __name__ == "__main__":
    main(globals()[sys.argv[1]], *sys.argv[2:])
