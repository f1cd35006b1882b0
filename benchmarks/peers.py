"""What the series is measured against, written from the published recipes; run like ``measure``."""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.measure import main

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


if __name__ == "__main__":
    main(globals()[sys.argv[1]], *sys.argv[2:])
