"""Where a training has got to, as a file from which it goes on to the same bits.

Besides weights and optimizer (with the step of its schedule), that is the state of whatever is
random: dropout masks, the order of the digits, their augmentation, the ranking of hard examples.
Keras's ``BackupAndRestore`` keeps the first two alone, and replaces its files one by one.

The same bits are promised for the same machine, number of threads, versions and ``jit_compile``.
What else was seen, with the same seeds, on two cores of an x86-64 processor:

- ``dense_128``, two epochs of all digits: the same bits on one thread and on two, with XLA (also
  bound to one core) and without. With XLA and without it, other bits: 450 and 451 of the 10,000
  test digits wrong.
- ``cnn``, one epoch of 3,000 digits: other bits on one thread than on two, and the same loss and
  number of errors. After its whole recipe, over five seeds, 99.05 ± 0.04 % of the test digits are
  right on two threads, 99.08 ± 0.03 % on one.

Other processors were not tried. Seeds make a larger difference than these, and the bounds in
``tests/bounds.toml`` leave room for several standard deviations of that.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import cache, packed
from mnistlib._tensorflow import keras, tf
from mnistlib.loop import Stretches

_LARGEST = 2**30


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training after some of its epochs.

    Attributes:
        identity: What decides the training's outcome, in words or as SHA-256, by name.
        epochs: How many are done, counted as Keras counts them.
        logs: Loss and metrics of these epochs, as in ``History.history``.
        loop: What ``Stretches.state`` gives.
        arrays: Weights and random states of the model, then the variables of the optimizer.
    """

    identity: Mapping[str, str]
    epochs: int
    logs: Mapping[str, list[float]]
    loop: Mapping[str, Any]
    arrays: Sequence[np.ndarray]


def identity(
    model: keras.Model, arrays: Sequence[np.ndarray], settings: Mapping[str, Any]
) -> dict[str, str]:
    """Tell what decides the bits of a training.

    Args:
        model: Compiled and built, before the training.
        arrays: What it learns from.
        settings: Whatever else counts, by name.
    """
    return {
        "network": _sum(json.dumps([_layer(one) for one in model._flatten_layers()]).encode()),
        "initial weights": _sum(*_values(model)),
        "optimizer": _sum(_in_json(model.optimizer.get_config()), *_values(model.optimizer)),
        "digits": _sum(*(np.asarray(array) for array in arrays)),
        "Keras": keras.__version__,
        "TensorFlow": tf.__version__,
        "NumPy": np.__version__,
        **{name: _in_words(value) for name, value in settings.items()},
    }


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, completely or not at all.

    Raises:
        OSError: It cannot be written.
    """
    about = {
        "identity": dict(checkpoint.identity),
        "epochs": checkpoint.epochs,
        "logs": checkpoint.logs,
        "loop": {
            name: value
            for name, value in checkpoint.loop.items()
            if not isinstance(value, np.ndarray)
        },
    }
    arrays = {f"array {number}": value for number, value in enumerate(checkpoint.arrays)}
    arrays |= {
        f"loop {name}": value
        for name, value in checkpoint.loop.items()
        if isinstance(value, np.ndarray)
    }
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    cache.write(path, buffer.getvalue())


def load(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None where there is no file.

    Raises:
        ValueError: The file is damaged, or no checkpoint.
    """
    try:
        if not path.exists():
            return None
        if not path.is_file() or path.stat().st_size > _LARGEST:
            raise ValueError("it is no file of a usual size")
        # A zip carries checksums, by which any damage is found.
        with packed.open_zip(path) as archive:
            arrays = {
                name.removesuffix(".npy"): _member(archive, name) for name in archive.namelist()
            }
        about = json.loads(arrays.pop("about").tobytes())
        loop = {
            name.removeprefix("loop "): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("loop ")
        }
        return Checkpoint(
            identity=dict(about["identity"]),
            epochs=int(about["epochs"]),
            logs={name: [float(value) for value in each] for name, each in about["logs"].items()},
            loop={**about["loop"], **loop},
            arrays=[arrays[f"array {number}"] for number in range(len(arrays))],
        )
    except (*packed.ERRORS, AttributeError, RecursionError) as error:
        raise ValueError(
            f"resume must name a file that an earlier call wrote; {path} is damaged or another "
            f"file: {error!r}. Remove it to begin anew."
        ) from error


def compare(found: Checkpoint, wanted: Mapping[str, str], path: Path) -> None:
    """Refuse a checkpoint of another training.

    Raises:
        ValueError: Names what is different.
    """
    if found.identity.keys() != wanted.keys():
        raise ValueError(f"resume must name a file of this library's version; {path} is of another")
    if differing := [name for name in wanted if found.identity[name] != wanted[name]]:
        name = differing[0]
        raise ValueError(
            f"resume must name a file of the same training; {path} is of one with another "
            f"{', '.join(differing)} ({name}: {found.identity[name][:60]} there, "
            f"{wanted[name][:60]} here). Name another file, or remove it to begin anew."
        )


def restore(found: Checkpoint, model: keras.Model, stretches: Stretches, path: Path) -> None:
    """Set model, optimizer and loop to where the checkpoint was made.

    Raises:
        ValueError: Its arrays do not fit them.
    """
    goals = [*variables(model), *variables(model.optimizer)]
    fits = [
        value.shape == tuple(goal.shape) and value.itemsize == variable_value(goal).itemsize
        for value, goal in zip(found.arrays, goals, strict=False)
    ]
    if len(found.arrays) != len(goals) or not all(fits):
        raise ValueError(f"resume must name a file of the same network; {path} is of another")
    stretches.restore(found.loop)
    for value, goal in zip(found.arrays, goals, strict=True):
        # bfloat16 comes back from a file as two bytes of no type.
        goal.assign(value.view(variable_value(goal).dtype))


def capture(
    model: keras.Model,
    stretches: Stretches,
    *,
    identity: Mapping[str, str],
    epochs: int,
    logs: Mapping[str, list[float]],
) -> Checkpoint:
    """Make a checkpoint of a training as it is between two epochs."""
    arrays = _values(model) + _values(model.optimizer)
    return Checkpoint(identity, epochs, logs, stretches.state(), arrays)


class Keeper(keras.callbacks.Callback):
    """Writes a checkpoint after every epoch; the last of the callbacks, which may change the model.

    Args:
        path: Where to.
        stretches: The loop that trains.
        identity: As from ``identity``.
        logs: Of the epochs that an earlier call did.
        done: How many epochs are done, counted as Keras counts them.
    """

    def __init__(
        self,
        path: Path,
        stretches: Stretches,
        identity: Mapping[str, str],
        logs: Mapping[str, list[float]],
        done: int,
    ):
        super().__init__()
        self.path, self.stretches, self.identity, self.done = path, stretches, identity, done
        self.logs = {name: list(values) for name, values in logs.items()}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Write it."""
        for name, value in (logs or {}).items():
            self.logs.setdefault(name, []).append(float(value))
        self._write(epoch + 1)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Write it once more: other callbacks may have stopped early, or gone back to the best."""
        self._write(self.params["epochs"])

    def _write(self, epochs: int) -> None:
        made = capture(
            self.model, self.stretches, identity=self.identity, epochs=epochs, logs=self.logs
        )
        save(made, self.path)


def variables(owner: keras.Model | keras.optimizers.Optimizer) -> list[keras.Variable]:
    """List a model's weights and random states, or an optimizer's variables, in a fixed order."""
    if isinstance(owner, keras.Model):
        return [*owner.trainable_variables, *owner.non_trainable_variables]
    return owner.variables


def variable_value(variable: keras.Variable) -> np.ndarray:
    """Give what a variable holds."""
    return keras.ops.convert_to_numpy(variable)


def _member(archive: Any, name: str) -> np.ndarray:
    with archive.open(name) as file:
        found = np.lib.format.read_array(file, allow_pickle=False)
        file.read(1)  # the end, where the checksum is compared
        return found


def _values(owner: keras.Model | keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [variable_value(one) for one in variables(owner)]


def _layer(layer: keras.Layer) -> str:
    """Describe a layer, but for its name, which Keras may have counted up."""
    try:
        settings = {key: each for key, each in layer.get_config().items() if key != "name"}
    except (NotImplementedError, TypeError):
        settings = {}
    # Layers within are listed for themselves.
    shown = {} if isinstance(layer, keras.Model) else settings
    return f"{type(layer).__name__} {_in_json(shown).decode()}"


def _in_json(settings: Mapping[str, Any]) -> bytes:
    return json.dumps(settings, sort_keys=True, default=lambda each: type(each).__name__).encode()


def _sum(*parts: bytes | np.ndarray) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype} {part.shape}".encode())
            part = np.ascontiguousarray(part).view(np.uint8).data if part.size else b""
        digest.update(part)
    return digest.hexdigest()


def _in_words(value: Any) -> str:
    """Say what a setting is, the same in another process."""
    if isinstance(value, partial):
        given = [
            *map(repr, value.args),
            *(f"{key}={each!r}" for key, each in value.keywords.items()),
        ]
        return f"{_in_words(value.func)}({', '.join(given)})"
    if isinstance(value, Callable):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)
