"""What the series is measured against, written from the published recipes; run like ``measure``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import import_time, main

ROOT = Path(__file__).resolve().parent.parent

# What tutorials end with: no preparation but size and polarity.
KERAS_SCRIPT = """
import sys
import keras
import numpy as np
from PIL import Image

model = keras.models.load_model(sys.argv[2])
image = Image.open(sys.argv[1]).convert("L").resize((28, 28))
print(model.predict(255 - np.asarray(image)[None], verbose=0).argmax())
"""


def keras_dense(*, batch_size: int, epochs: int = 10, seed: int = 0) -> dict:
    """Train dense_128 by plain ``fit``: bytes in memory, everything else Keras's default."""
    from mnistlib import data, models
    from mnistlib._tensorflow import keras

    digits = data.load("mnist")
    keras.utils.set_random_seed(seed)
    start = time.perf_counter()
    network = models.build("dense_128", seed=seed)
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    network.fit(digits.x_train, digits.y_train, batch_size=batch_size, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - start
    accuracy = network.evaluate(digits.x_test, digits.y_test, verbose=0)[1]
    return {"seconds": seconds, "accuracy": float(accuracy)}


def torch_dense(*, batch_size: int, epochs: int = 10, seed: int = 0) -> dict:
    """Train the same network in eager PyTorch: tensors in memory, sliced batches, fused Adam."""
    import torch

    from mnistlib import data

    digits = data.load("mnist")
    torch.manual_seed(seed)
    torch.set_num_threads(2)
    start = time.perf_counter()
    x = torch.from_numpy(digits.x_train.copy()).float().div_(255).flatten(1)
    y = torch.from_numpy(digits.y_train.copy()).long()
    network = torch.nn.Sequential(
        torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    )
    for layer in (network[0], network[2]):
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, eps=1e-7, fused=True)
    loss = torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for first in range(0, len(x), batch_size):
            batch = order[first : first + batch_size]
            optimizer.zero_grad(set_to_none=True)
            loss(network(x[batch]), y[batch]).backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        answers = network(
            torch.from_numpy(digits.x_test.copy()).float().div_(255).flatten(1)
        ).argmax(1)
    return {"seconds": seconds, "accuracy": float(np.mean(answers.numpy() == digits.y_test))}


def keras_cnn_fast(*, seed: int = 0) -> dict:
    """Train cnn_fast by its recipe, but by Keras's own loop."""
    from mnistlib import compiling, data, models, training

    digits, recipe = data.load("mnist"), training.RECIPES["cnn_fast"]
    start = time.perf_counter()
    network = models.build("cnn_fast", seed=seed)
    compiling.compile_model(
        network, learning_rate=recipe.learning_rate, one_cycle_steps=recipe.epochs * 469
    )
    network.fit(digits.x_train, digits.y_train, batch_size=128, epochs=recipe.epochs, verbose=0)
    seconds = time.perf_counter() - start
    accuracy = network.evaluate(digits.x_test, digits.y_test, verbose=0)[1]
    return {"seconds": seconds, "accuracy": float(accuracy)}


def keras_io_convnet(*, epochs: int = 15, seed: int = 0, one_cycle: bool = False) -> dict:
    """Train keras.io's "Simple MNIST convnet" by its recipe; the test set after every epoch.

    Validation as the recipe has it. The clock stands still while the test set is looked at. With
    ``one_cycle``, the learning rate rises to 0.01 and falls to zero, instead of staying at 0.001.
    """
    from mnistlib import compiling, data
    from mnistlib._tensorflow import keras

    layers, digits = keras.layers, data.load("mnist")
    keras.utils.set_random_seed(seed)
    start = time.perf_counter()
    x = np.expand_dims(digits.x_train.astype("float32") / 255, -1)
    y = keras.utils.to_categorical(digits.y_train, 10)
    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    compiling.compile_model(
        network,
        one_hot=True,
        learning_rate=1e-2 if one_cycle else 1e-3,
        one_cycle_steps=epochs * 422 if one_cycle else None,
    )
    curve, looking = [], 0.0
    x_test = np.expand_dims(digits.x_test.astype("float32") / 255, -1)

    def look(*_):
        nonlocal looking
        now = time.perf_counter()
        answers = network.predict(x_test, batch_size=2_000, verbose=0).argmax(axis=1)
        curve.append([now - start - looking, float(np.mean(answers == digits.y_test))])
        looking += time.perf_counter() - now

    watch = keras.callbacks.LambdaCallback(on_epoch_end=look)
    own = {"batch_size": 128, "validation_split": 0.1}
    network.fit(x, y, epochs=epochs, verbose=0, callbacks=[watch], **own)
    return {"seconds": curve[-1][0], "accuracy": curve[-1][1], "curve": curve}


def runtime(way: str, *, calls: int = 100, agreeing: int = 1_000, digits: int = 10_000) -> dict:
    """Measure what answers with the shipped network in one runtime; each part in a fresh process.

    Args:
        way: A key of ``RUNTIMES``.
        calls: How often the warm runtime answers, for the median.
        agreeing: On how many test digits its answers are compared with those of NumPy.
        digits: How many test digits it answers in a row, in batches of 500.

    Returns:
        ``import``, of the runtime over numpy (absent for NumPy itself); ``seconds`` of a whole
        process that prepares one picture and names its digit; of ``answer`` and ``digits`` as in
        ``answering``; and ``megabytes`` on disk of the runtime and of what only it needs.
    """
    from PIL import Image

    from mnistlib import drawing

    _, module, package = RUNTIMES[way]
    figures: dict = {"megabytes": _installed(package), "version": _version(package)}
    if module:
        figures["import"] = import_time(module)["seconds"]
    with tempfile.TemporaryDirectory() as folder:
        picture, network = Path(folder) / "seven.png", str(export(way, Path(folder)))
        Image.fromarray(drawing.strokes(7, 2)).save(picture)
        code = "import sys; from benchmarks.peers import name_digit; name_digit(*sys.argv[1:])"
        command = [sys.executable, "-c", code, way, network, str(picture)]
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        figures["seconds"] = time.perf_counter() - start
        asked = {"way": way, "path": network, "calls": calls, "agreeing": agreeing}
        written = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "benchmarks.peers", "answering"]
        command += [json.dumps(asked | {"digits": digits}), str(written)]
        subprocess.run(command, cwd=ROOT, check=True)
        return figures | json.loads(written.read_text())


def export(way: str, folder: Path) -> Path:
    """Write the shipped network, with the same weights, as a runtime takes it."""
    from mnistlib import inference, models, recognizer

    if way == "NumPy":
        return recognizer.SHIPPED
    network, about = inference.load(recognizer.SHIPPED)
    model = models.build(about["network"])
    model.set_weights([weight for layer in network.layers for weight in layer.weights])
    form, ending = {"ONNX Runtime": ("onnx", "onnx"), "LiteRT": ("litert", "tflite")}[way]
    path = folder / f"network.{ending}"
    model(np.zeros((1, 28, 28), np.uint8))  # Keras exports to ONNX only what was called.
    model.export(path, format=form, verbose=False)
    return path


def name_digit(way: str, path: str, picture: str) -> None:
    """Do what a small program would: prepare a picture, open the network, answer."""
    from mnistlib import inference, preprocess

    image = preprocess.to_mnist(picture)
    predict = RUNTIMES[way][0](path)
    print(inference.predict_tta(predict, image[None], shifts=1).argmax())


def answering(way: str, path: str, *, calls: int, agreeing: int, digits: int) -> dict:
    """Time the warm runtime, and compare its answers with those of NumPy.

    Returns:
        Seconds of an ``answer`` to one digit in the nine places of ``predict_tta``, and of the
        ``digits``; the share of the ``agreeing`` digits that gets the ``same`` answer; and how far
        ``apart`` the probabilities are at most.
    """
    from mnistlib import data, inference, recognizer

    images = data.load("mnist").x_test
    predict = RUNTIMES[way][0](path)
    asked = images[:agreeing]
    given, expected = predict(asked), inference.load(recognizer.SHIPPED)[0].predict(asked)
    seconds = []
    for number in range(-10, calls):
        one = images[number : number + 1] if number >= 0 else images[:1]
        start = time.perf_counter()
        inference.predict_tta(predict, one, shifts=1)
        if number >= 0:  # What came before warmed it up.
            seconds.append(time.perf_counter() - start)
    predict(images[:500])
    start = time.perf_counter()
    for first in range(0, digits, 500):
        predict(images[first : min(first + 500, digits)])
    return {
        "answer": float(np.median(seconds)),
        "digits": time.perf_counter() - start,
        "same": float((given.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        "apart": float(np.abs(given - expected).max()),
    }


def _by_numpy(path: str) -> Callable[[np.ndarray], np.ndarray]:
    from mnistlib import inference

    return inference.load(path)[0].predict


def _by_onnx(path: str) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def _by_litert(path: str) -> Callable[[np.ndarray], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    # It would take one core; the others take all.
    interpreter = Interpreter(path, num_threads=os.cpu_count())
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape = None

    def predict(images: np.ndarray) -> np.ndarray:
        nonlocal shape
        if images.shape != shape:
            interpreter.resize_tensor_input(given["index"], images.shape)
            interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return predict


RUNTIMES = {
    "NumPy": (_by_numpy, None, "numpy"),
    "ONNX Runtime": (_by_onnx, "onnxruntime", "onnxruntime"),
    "LiteRT": (_by_litert, "ai_edge_litert.interpreter", "ai-edge-litert"),
}
"""What can answer → how it opens a network, the module that it imports, its package."""


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _installed(package: str) -> float:
    """Add up the files of a package and of all that it requires, numpy only if asked for; MB."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found, waiting, size = set(), [package], 0
    while waiting:
        name = waiting.pop()
        if name in found or (name == "numpy" and package != "numpy"):
            continue
        found.add(name)
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or []:
            path = Path(distribution.locate_file(file))
            # Bytecode is there or not, as it happens.
            size += path.stat().st_size if path.is_file() and path.suffix != ".pyc" else 0
        for line in distribution.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(needed.name))
    return size / 1e6


if __name__ == "__main__":
    main(globals()[sys.argv[1]], *sys.argv[2:])
