"""Every architecture of the series by name, built and uncompiled; predict, save, load safely.

Each network takes raw uint8 digits (n, 28, 28) and returns softmax probabilities (n, 10). The
division by 255 is its first layer, so nobody can forget it or do it twice. All layers are Keras's
own: a saved network opens wherever Keras does.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import itertools
import textwrap
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import floors, inference, inputs, provenance, saving, sizes, writing
from mnistlib._rules import Refused
from mnistlib._tensorflow import has_gpu, keras, standard_settings
from mnistlib.data import CLASSES, SIDE
from mnistlib.provenance import Provenance

layers = keras.layers

# Values that all layers together make of the digits predicted at a time: 1 GB of float32.
_MOST_VALUES = 250_000_000

# Added to the variance of patches, whose values are from 0 to 1: what hardly varies must not be
# blown up.
_VARIANCE_FLOOR = 0.01

_PRECISIONS = ("float32", "mixed_bfloat16")


def build(name: str, *, seed: int = 0, precision: str | None = None) -> keras.Model:
    """Build one of the networks in ``NAMES``, uncompiled.

    Args:
        name: One of ``NAMES``.
        seed: Fixes the initial weights and the dropout masks; no global seed is touched.
        precision: Keras's policy for the layers, ``"float32"`` or ``"mixed_bfloat16"``. None: as
            ``choose_precision`` decides. Settings of Keras (``keras.json``, a global policy) do not
            change what is built.

    Returns:
        A model whose ``name`` is ``name``: uint8 (n, 28, 28) in, float32 (n, 10) out.

    Raises:
        ValueError: The name or the precision is not known.
    """
    if name not in _BUILDERS:
        raise ValueError(f"name must be one of {', '.join(NAMES)}; received {name!r}")
    return _BUILDERS[name](name=name, seed=seed, precision=precision or choose_precision(name))


def options(name: str) -> dict[str, Any]:
    """Give what a network of ``NAMES`` is built with: arguments of ``dense`` or ``convolutional``.

    All of them but ``name`` and ``seed``, with the precision of this machine.
    """
    known = inspect.signature(_BUILDERS[name]).parameters.values()
    chosen = {one.name: one.default for one in known if one.name not in ("name", "seed")}
    return chosen | {"precision": choose_precision(name)}


def builder(model: str | Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """Give the function that builds a model when called with ``seed=…``.

    Args:
        model: A name in ``NAMES``, or such a function, which is given back as it is.
    """
    return partial(build, model) if isinstance(model, str) else model


def choose_precision(name: str) -> str:
    """Decide in which precision a network of ``NAMES`` computes on this machine.

    The widest convolutional network takes bfloat16 where the processor multiplies matrices of it in
    hardware (AMX), which took a third off its training. With AVX512-BF16 alone, convolutions were
    slower than in float32. The other networks stay in float32, and on a GPU, where none was timed,
    all do.

    Returns:
        The name of a Keras policy, such as ``"float32"``.
    """
    fast = not has_gpu and "amx_bf16" in cpu_flags()
    return "mixed_bfloat16" if name == "cnn_best" and fast else "float32"


@functools.cache
def cpu_flags() -> frozenset[str]:
    """List the abilities of the processor as Linux names them; empty on other systems."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def dense(
    units: Sequence[int],
    *,
    activation: str | Sequence[str] = "relu",
    dropout: float = 0.0,
    l2: float = 0.0,
    batch_normalization: bool = False,
    name: str = "dense",
    seed: int = 0,
    precision: str = "float32",
) -> keras.Model:
    """Build a network of dense layers, uncompiled.

    Args:
        units: Width of each hidden layer, first to last. May be empty: softmax regression.
        activation: One for all hidden layers, or one for each.
        dropout: Share of each hidden layer's outputs zeroed in training, 0–1.
        l2: Factor of the squared weights of the hidden layers that is added to the loss.
        batch_normalization: Normalise each hidden layer between its weights and its activation.
        name: The model's name.
        seed: Fixes the initial weights and the dropout masks.
        precision: As for ``build``.

    Returns:
        A model with hidden layers named ``hidden_1``, ``hidden_2``, … and an output ``digit``.

    Raises:
        ValueError: The activations are not as many as the hidden layers, or the precision is not
            known.
    """
    activations = [activation] * len(units) if isinstance(activation, str) else list(activation)
    if len(activations) != len(units):
        raise ValueError(
            f"activation must be one name or one for each of the {len(units)} hidden layers; "
            f"received {activation!r}"
        )
    seeds = _seeds(seed)
    with _settings(precision):
        x = pixels = _pixels()
        x = layers.Flatten(name="flatten")(layers.Rescaling(1 / 255, name="rescale")(x))
        for number, (width, function) in enumerate(zip(units, activations, strict=True), start=1):
            x = layers.Dense(
                width,
                activation=None if batch_normalization else function,
                kernel_initializer=_glorot(seeds),
                kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
                name=f"hidden_{number}",
            )(x)
            if batch_normalization:
                x = layers.BatchNormalization(name=f"normalize_{number}")(x)
                x = layers.Activation(function, name=f"activation_{number}")(x)
            if dropout:
                x = layers.Dropout(dropout, seed=next(seeds), name=f"dropout_{number}")(x)
        return keras.Model(pixels, _digit(x, seeds), name=name)


def convolutional(
    filters: Sequence[int] = (16, 32),
    *,
    hidden: int | None = None,
    dropout: float = 0.1,
    crop: int = 0,
    name: str = "convolutional",
    seed: int = 0,
    precision: str = "float32",
) -> keras.Model:
    """Build a plain network of two convolutions or more, uncompiled.

    The first convolution steps by two pixels, which halves the picture as pooling would, at a
    quarter of the arithmetic (Springenberg et al. 2015, arXiv:1412.6806).

    Args:
        filters: Filters of the 6×6 convolution, and of each 3×3 convolution after it.
        hidden: Width of a dense layer between the last maps and the output. None: there is none.
        dropout: Share of the last feature maps zeroed in training, each map as a whole, 0–1; with a
            hidden layer, share of the single values that enter and that leave it.
        crop: Pixels cut off at each edge. MNIST's digits keep four pixels of paper around their
            box, and a convolution spends as much arithmetic on paper as on ink.
        name: The model's name.
        seed: Fixes the initial weights and the dropout masks.
        precision: As for ``build``.

    Returns:
        A model with layers ``convolution_1`` (12×12 maps), ``convolution_2`` (10×10 maps) and
        ``pool`` (5×5 maps); a third convolution follows the pooling (3×3 maps). With ``crop=2``
        the maps are 10×10, 8×8, 4×4 and 2×2.

    Raises:
        ValueError: There are not two or three convolutions, or the precision is not known.
    """
    if len(filters) not in (2, 3):
        raise ValueError(f"filters must hold two or three numbers; received {filters!r}")
    seeds = _seeds(seed)
    with _settings(precision):
        x = pixels = _pixels()
        x = layers.Rescaling(1 / 255, name="rescale")(x)
        x = layers.Reshape((SIDE, SIDE, 1), name="add_channel")(x)
        if crop:
            x = layers.Cropping2D(crop, name="crop")(x)
        for number, count in enumerate(filters, 1):
            x = layers.Conv2D(
                count,
                6 if number == 1 else 3,
                strides=2 if number == 1 else 1,
                activation="relu",
                kernel_initializer=_glorot(seeds),
                name=f"convolution_{number}",
            )(x)
            if number == 2:
                x = layers.MaxPooling2D(name="pool")(x)
        if dropout and not hidden:
            x = layers.SpatialDropout2D(dropout, seed=next(seeds), name="dropout")(x)
        x = layers.Flatten(name="flatten")(x)
        if hidden:
            if dropout:
                x = layers.Dropout(dropout, seed=next(seeds), name="dropout_maps")(x)
            x = layers.Dense(
                hidden, activation="relu", kernel_initializer=_glorot(seeds), name="hidden"
            )(x)
            if dropout:
                x = layers.Dropout(dropout, seed=next(seeds), name="dropout_hidden")(x)
        return keras.Model(pixels, _digit(x, seeds), name=name)


def whiten(model: keras.Model, images: np.ndarray) -> None:
    """Set the first convolution to filters that whiten the patches it sees, and freeze it.

    The filters are the leading principal components of the patches, divided by their standard
    deviation, each with both signs, because the activation lets only one side through. A layer that
    need not learn spares the time of its gradients (Jordan 2024, arXiv:2404.00498).

    Args:
        model: A network of ``convolutional`` that is not trained yet.
        images: Digits uint8 (n, 28, 28), to measure the patches; a thousand are enough.

    Raises:
        ValueError: The network has no convolution, or an odd number of filters in the first, or
            more than twice as many as a patch has pixels; or the images give too few patches.
    """
    convolution = next((one for one in model.layers if isinstance(one, layers.Conv2D)), None)
    if convolution is None:
        raise ValueError(f"model must have a convolution; received {model.name!r} without one")
    seen = keras.Model(model.input, convolution.input)(np.asarray(images))
    patches = keras.ops.image.extract_patches(
        seen, convolution.kernel_size, convolution.strides, padding=convolution.padding
    )
    values, half = int(np.prod(convolution.kernel.shape[:3])), convolution.filters // 2
    patches = np.asarray(keras.ops.cast(patches, "float32")).reshape(-1, values)
    if convolution.filters % 2 or half > values:
        raise ValueError(
            f"model must have an even number of filters, at most {2 * values}, in its first "
            f"convolution; received {convolution.filters}"
        )
    if len(patches) <= values:
        raise ValueError(f"images must give more than {values} patches; received {len(patches)}")
    variances, components = np.linalg.eigh(np.cov(patches, rowvar=False))
    leading = slice(None, -half - 1, -1)
    filters = components[:, leading] / np.sqrt(variances[leading] + _VARIANCE_FLOOR)
    kernel = np.concatenate([filters, -filters], axis=1).reshape(convolution.kernel.shape)
    convolution.set_weights([kernel, *convolution.get_weights()[1:]])
    convolution.trainable = False


def predict_proba(model: keras.Model, images: np.ndarray, *, batch_size: int = 2_000) -> np.ndarray:
    """Predict class probabilities.

    Batches go through ``predict_on_batch``, which spares a single digit the data pipeline that
    ``model.predict`` sets up on every call.

    Args:
        model: A network of this module, or any classifier of ten classes that takes digits as
            (28, 28), (28, 28, 1) or (784,). One that ends in logits gets a softmax.
        images: Digits (n, 28, 28), (n, 28, 28, 1) or (n, 784), or one of them (28, 28) or (784,),
            0 = paper and 255 = ink: uint8, other whole numbers, or floats that are whole numbers.
        batch_size: Digits computed at a time; bounds memory, does not change the result.

    Returns:
        float32 (n, 10), rows summing to one.

    Raises:
        ValueError: The images are not digits in 0–255, the model does not take them or does not
            give ten probabilities or logits, or ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; received {batch_size}")
    images = inputs.as_digits(images)
    shape = (-1, *input_shape(model))
    if known := cost(model):
        # Whoever made the file may have made it wide: all its layers' values, in a gigabyte.
        batch_size = min(batch_size, max(1, _MOST_VALUES // known.values))
    parts = [
        np.asarray(model.predict_on_batch(images[start : start + batch_size].reshape(shape)))
        for start in range(0, len(images), batch_size)
    ]
    if not parts:
        return np.zeros((0, CLASSES), np.float32)
    return _probabilities(model, np.concatenate(parts).astype(np.float32))


def predict_tta(
    model: keras.Model,
    images: np.ndarray,
    *,
    shifts: int = 1,
    deslanted: bool = False,
    batch_size: int = 2_000,
) -> np.ndarray:
    """Predict with test-time augmentation: average the probabilities over changed copies.

    Args:
        model: As for ``predict_proba``.
        images: As for ``predict_proba``.
        shifts: Average over the image moved by up to so many pixels in each direction: 1 means
            nine predictions for each digit, 0 the image where it is.
        deslanted: Average also over the deslanted image (``augment.deslant``), for a network that
            has learned from both: twice as many predictions.
        batch_size: As for ``predict_proba``.

    Returns:
        float32 (n, 10), rows summing to one.

    Raises:
        ValueError: As ``predict_proba``, or ``shifts`` is below 0.
    """
    return inference.predict_tta(
        partial(predict_proba, model, batch_size=batch_size),
        images,
        shifts=shifts,
        deslanted=deslanted,
    )


def input_shape(model: keras.Model) -> tuple[int, ...]:
    """Tell as what a model takes a digit.

    Returns:
        (28, 28), (28, 28, 1) or (784,).

    Raises:
        ValueError: It takes something else.
    """
    shape = getattr(model, "input_shape", None)
    if shape is None:  # a subclassed model does not tell
        return (SIDE, SIDE)
    for known in ((SIDE, SIDE), (SIDE, SIDE, 1), (SIDE * SIDE,)):
        sizes = list(zip(shape[1:], known, strict=False))
        if len(shape) == 1 + len(known) and all(size in (None, own) for size, own in sizes):
            return known
    raise ValueError(
        f"model must take digits as (n, {SIDE}, {SIDE}), (n, {SIDE}, {SIDE}, 1) or "
        f"(n, {SIDE * SIDE}); received one that takes {shape}"
    )


def ends_in(model: keras.Model) -> str | None:
    """Tell from its last layer what a model gives.

    Returns:
        ``"probabilities"`` where it is a softmax; ``"logits"`` where it is linear; the activation's
        name, such as ``"sigmoid"``, where it has another; None where the last layer does not tell,
        as of a subclassed model.
    """
    last = _last_layer(model)
    if isinstance(last, layers.Softmax):
        return "probabilities"
    activation = getattr(last, "activation", None)
    if activation is None:
        return None
    name = getattr(activation, "__name__", str(activation))
    return {"softmax": "probabilities", "linear": "logits"}.get(name, name)


def features(model: keras.Model, images: np.ndarray, layer: str) -> np.ndarray:
    """Compute what the layer named ``layer`` hands on for each image, float32 (n, …)."""
    part = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(part(images, training=False)).astype(np.float32)


def save(
    model: keras.Model,
    path: str | Path,
    *,
    data: str | None = None,
    recipe: str | None = None,
    about: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> Path:
    """Write the model to a ``.keras`` file, completely or not at all.

    The file also holds what ``describe`` tells, and the SHA-256 of its parts, which ``load``
    compares. Keras opens it like any other.

    Args:
        model: Any Keras model whose weights are finite.
        path: Where to write it, ending in ``.keras``.
        data: What it was trained on, in words, such as ``data.load().source``. None: what
            ``training.fit`` noted, if the weights are still those that it left.
        recipe: How it was trained, in words. None: as for ``data``.
        about: What else to write down: text, numbers and lists of them, 50 at most.
        calibration: As ``recognizer.save`` gives it.

    Raises:
        ValueError: The path does not end in ``.keras``, the weights are not finite, or what is to
            be written down is too long or of another kind.
        FileNotFoundError: There is no such folder.
        OSError: Nothing can be written there.
    """
    path = _keras_path(path)
    for weight in model.weights:
        if not np.isfinite(np.asarray(weight, np.float32)).all():
            raise ValueError(
                f"model must have finite weights; received {weight.path!r} with some that are not, "
                "as after a training that diverged: such a file could not be loaded again"
            )
    noted = describe(model)
    made = replace(
        noted,
        data=noted.data if data is None else data,
        recipe=noted.recipe if recipe is None else recipe,
        versions=provenance.versions("keras", "tensorflow", "numpy"),
        about=dict(about or noted.about),
        calibration=calibration,
    )
    with writing.replacing(path) as written:
        model.save(written)
        try:
            saving.seal(written, made)
        except Refused as error:
            raise ValueError(str(error)) from error
    return path


def load(path: str | Path) -> keras.Model:
    """Read a model from a ``.keras`` file; only what is on its list is ever built.

    HDF5 files (``.h5``) are refused because Keras does not apply its safe mode to them. What the
    file says about itself, ``describe`` tells of the model.

    Raises:
        ValueError: The path does not end in ``.keras``, or the file is no model of a known kind, or
            its parts are not those that it was saved with: says which part is refused.
        FileNotFoundError: There is no such file.
        OSError: The file cannot be read.
    """
    path = _existing(path)
    floors.warn_once("keras")
    # Keras opens a copy made of what was checked, so that nothing can be exchanged in between.
    with saving.checked(path) as checked, standard_settings():
        try:
            model = keras.saving.load_model(checked.copy, safe_mode=True)
        except Exception as error:
            # Keras raises errors of many kinds for parts that do not fit together.
            reason = textwrap.shorten(str(error), 300, placeholder=" …")
            raise ValueError(f"{path} is no model that Keras saved: {reason}") from error
    _COSTS[model] = checked.cost
    _note(model, replace(checked.made, parameters=model.count_params()))
    return model


def describe(model: keras.Model | str | Path) -> Provenance:
    """Tell what a network is and what it was made with.

    Args:
        model: A model, or the path of a ``.keras`` file, which is checked as by ``load`` but not
            built.

    Returns:
        What the file says. For a model that was trained or changed otherwise since it was loaded,
        or since ``training.fit`` noted how it was trained, only its name and size: what was noted
        is not true of it any more.

    Raises:
        ValueError: As ``load``.
        FileNotFoundError: As ``load``.
        OSError: As ``load``.
    """
    if not isinstance(model, keras.Model):
        return saving.describe(_existing(model))
    noted, digest = _NOTES.get(model, (None, None))
    if noted is not None and digest == _digest(model):
        return noted
    return Provenance(model.name, model.count_params() if model.built else None)


def note(model: keras.Model, *, data: str, recipe: str) -> None:
    """Note how a model was trained, for ``describe`` and ``save``, as long as its weights stay."""
    _note(model, Provenance(model.name, model.count_params(), data=data, recipe=recipe))


def cost(model: keras.Model) -> sizes.Cost | None:
    """Tell what a loaded model takes for each digit; None for one that was made here."""
    parts = [model, *getattr(model, "layers", [])]
    return next((_COSTS[part] for part in parts if part in _COSTS), None)


# Of models in memory: what is known of them, with the digest of the weights of which it is true,
# and what those that were loaded take.
_NOTES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_COSTS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _note(model: keras.Model, made: Provenance) -> None:
    _NOTES[model] = (made, _digest(model))


def _digest(model: keras.Model) -> bytes:
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight).view(np.uint8))
    return digest.digest()


def _existing(path: str | Path) -> Path:
    path = _keras_path(path)
    try:
        found = path.is_file()
    except (OSError, ValueError) as error:
        # A name that is too long, or one that no file can have.
        raise FileNotFoundError(
            f"path must name a saved model; {str(path)[:300]!r} is none: {error}"
        ) from error
    if not found:
        raise FileNotFoundError(f"path must name a saved model; there is no file {str(path)!r}")
    return path


def _keras_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"path must end in .keras; received {str(path)!r}")
    return path


@contextlib.contextmanager
def _settings(precision: str) -> Iterator[None]:
    if precision not in _PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(_PRECISIONS)}; received {precision!r}"
        )
    with standard_settings(precision):
        yield


def _pixels() -> keras.KerasTensor:
    return keras.Input((SIDE, SIDE), dtype="uint8", name="pixels")


def _glorot(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))


def _digit(x: keras.KerasTensor, seeds: Iterator[int]) -> keras.KerasTensor:
    return layers.Dense(
        CLASSES,
        activation="softmax",
        kernel_initializer=_glorot(seeds),
        # Whatever the precision of the other layers: eight bits are too few for probabilities.
        dtype="float32",
        name="digit",
    )(x)


def _last_layer(model: keras.Model) -> keras.Layer | None:
    """Find the layer that makes the output; of nested models, the innermost."""
    last = None
    if isinstance(model, keras.Sequential):
        last = model.layers[-1] if model.layers else None
    elif getattr(model, "outputs", None):
        last = model.outputs[0]._keras_history.operation
    return _last_layer(last) if isinstance(last, keras.Model) else last


def are_probabilities(given: np.ndarray) -> bool:
    """Tell whether every row of what a model gave, (n, classes), can be a distribution."""
    # Half precision keeps eight bits: a sum may be off by some hundredths.
    return bool(np.all(given >= 0) and np.allclose(given.sum(axis=1), 1, atol=0.05))


def _probabilities(model: keras.Model, given: np.ndarray) -> np.ndarray:
    """Check what a model gave, float32 (n, 10), and make probabilities of logits."""
    if given.ndim != 2 or given.shape[1] != CLASSES:
        raise ValueError(f"model must give (n, {CLASSES}); received one that gives {given.shape}")
    kind = ends_in(model)
    if kind == "logits":
        from scipy.special import softmax

        return softmax(given, axis=1)
    sums = given.sum(axis=1, keepdims=True)
    if not are_probabilities(given):
        raise ValueError(
            f"model must end in softmax, or in a linear layer (logits); received one that ends in "
            f"{kind or 'a layer that does not tell'} and whose first row sums to {sums[0, 0]:.3g}"
        )
    return given if np.allclose(sums, 1, atol=1e-5) else given / sums


def _seeds(seed: int) -> Iterator[int]:
    """Yield independent seeds, one for each random part of a network."""
    root = np.random.SeedSequence(seed)
    return (int(root.spawn(1)[0].generate_state(1)[0] >> 1) for _ in itertools.count())


_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "dense_128": partial(dense, units=[128]),
    "dense_128_64_32_sigmoid": partial(
        dense, units=[128, 64, 32], activation=["relu", "sigmoid", "sigmoid"]
    ),
    "dense_32_16": partial(dense, units=[32, 16]),
    "dense_128_64": partial(dense, units=[128, 64]),
    "dense_best": partial(dense, units=[1024, 512]),
    "cnn": convolutional,
    "cnn_fast": partial(convolutional, hidden=128, dropout=0, crop=2),
    "cnn_best": partial(convolutional, filters=(32, 64, 128), hidden=128, dropout=0.1, crop=2),
}

NAMES: tuple[str, ...] = tuple(_BUILDERS)
"""The networks that ``build`` knows."""
