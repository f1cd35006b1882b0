"""Every architecture of the series by name, built and uncompiled; safe save and load.

Each network takes raw uint8 digits (n, 28, 28) and returns softmax probabilities (n, 10). The
division by 255 is its first layer, so nobody can forget it or do it twice.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path

import numpy as np

from mnistlib._tensorflow import keras
from mnistlib.data import CLASSES, SIDE
from mnistlib.images import deslant, shift

layers = keras.layers

_FOR_XLA = ContextVar("for_xla", default=False)
_PRECISIONS = ("float32", "mixed_bfloat16")


@contextlib.contextmanager
def written_for_xla() -> Iterator[None]:
    """Within, the layers of this module take the form that XLA compiles best."""
    token = _FOR_XLA.set(True)
    try:
        yield
    finally:
        _FOR_XLA.reset(token)


@keras.saving.register_keras_serializable(package="mnistlib")
class PatchConv2D(layers.Conv2D):
    """A ``Conv2D`` without padding, for XLA computed as one matrix product over all patches.

    Same weights and same result as ``keras.layers.Conv2D``. XLA compiles slices and a matrix
    product into fast code for CPUs, which it does not do for convolutions and their gradients
    (Chellapilla, Puri and Simard 2006, section 2.2, unfold a convolution in this way).
    """

    def convolution_op(self, inputs: keras.KerasTensor, kernel: keras.KerasTensor):
        """Convolve inputs (n, height, width, c) with a kernel (k, k, c, filters)."""
        ops = keras.ops
        if self.padding != "valid" or self.dilation_rate != (1, 1) or self.groups != 1:
            raise ValueError(
                "PatchConv2D knows padding='valid' without dilation or groups; received "
                f"{self.padding!r}, {self.dilation_rate}, {self.groups}"
            )
        if len(set(self.kernel_size)) > 1 or len(set(self.strides)) > 1:
            raise ValueError(
                "kernel_size and strides of PatchConv2D must be the same down and across; received "
                f"{self.kernel_size} and {self.strides}"
            )
        if not _FOR_XLA.get():
            return super().convolution_op(inputs, kernel)
        size, step = self.kernel_size[0], self.strides[0]
        _, height, width, channels = inputs.shape
        if step > 1 and all(length % step == 0 for length in (size, height, width)):
            # Fold each step × step block of pixels into the channels: fewer and larger slices.
            inputs = ops.reshape(inputs, (-1, height // step, step, width // step, step, channels))
            kernel = ops.reshape(
                kernel, (size // step, step, size // step, step, channels, self.filters)
            )
            inputs = ops.transpose(inputs, (0, 1, 3, 2, 4, 5))
            kernel = ops.transpose(kernel, (0, 2, 1, 3, 4, 5))
            height, width, size = height // step, width // step, size // step
            channels, step = channels * step * step, 1
            inputs = ops.reshape(inputs, (-1, height, width, channels))
        rows, columns = ((length - size) // step + 1 for length in (height, width))
        slices = [
            inputs[:, i : i + step * (rows - 1) + 1 : step, j : j + step * (columns - 1) + 1 : step]
            for i, j in itertools.product(range(size), repeat=2)
        ]
        patches = ops.reshape(ops.concatenate(slices, axis=-1), (-1, size * size * channels))
        products = patches @ ops.reshape(kernel, (size * size * channels, self.filters))
        return ops.reshape(products, (-1, rows, columns, self.filters))


@keras.saving.register_keras_serializable(package="mnistlib")
class BlockMaxPooling2D(layers.MaxPooling2D):
    """A ``MaxPooling2D`` of blocks side by side, for XLA computed as a maximum over two axes.

    Same result as ``keras.layers.MaxPooling2D`` with its own defaults, in a form whose gradient XLA
    compiles into fast code for CPUs.
    """

    def call(self, inputs: keras.KerasTensor):
        """Keep the largest value of each block of (n, height, width, c)."""
        (down, across), ops = self.pool_size, keras.ops
        if self.strides != self.pool_size or self.padding != "valid":
            raise ValueError(
                "BlockMaxPooling2D knows padding='valid' and strides equal to the pool; received "
                f"{self.padding!r} and {self.strides}"
            )
        if not _FOR_XLA.get():
            return super().call(inputs)
        _, height, width, channels = inputs.shape
        rows, columns = height // down, width // across
        blocks = ops.reshape(
            inputs[:, : rows * down, : columns * across],
            (-1, rows, down, columns, across, channels),
        )
        return ops.max(blocks, axis=(2, 4))


@keras.saving.register_keras_serializable(package="mnistlib")
class HashDropout(layers.Dropout):
    """A ``Dropout`` whose masks, for XLA, are hashed from a seed and each value's number.

    XLA writes Keras's random numbers into every loop that uses them and computes them there anew,
    which costs more than the layers around. A hash of two multiplications (Wellons 2018, "Hash
    function prospector") is cheap enough for that, and random enough for masks.
    """

    def call(self, inputs: keras.KerasTensor, training: bool = False):
        """Zero a share ``rate`` of the values in training; the others grow by 1 / (1 − rate)."""
        if not training or self.rate == 0 or not _FOR_XLA.get():
            return super().call(inputs, training=training)
        ops = keras.ops
        seed, step = ops.unstack(ops.cast(self.seed_generator.next(), "uint32"), 2)
        asked = self.noise_shape or (None,) * len(inputs.shape)
        shape = [given or size for given, size in zip(asked, inputs.shape, strict=True)]
        numbers = ops.cast(ops.reshape(ops.arange(math.prod(shape)), shape), "uint32")
        bits = _hash(numbers + _hash(seed + _hash(step)))
        kept = ops.cast(bits >= ops.cast(int(self.rate * 2**32), "uint32"), inputs.dtype)
        return inputs * (kept / (1 - self.rate))


def build(name: str, *, seed: int = 0, precision: str | None = None) -> keras.Model:
    """Build one of the networks in ``NAMES``, uncompiled.

    Args:
        name: One of ``NAMES``.
        seed: Fixes the initial weights and the dropout masks; no global seed is touched.
        precision: Keras's policy for the layers, ``"float32"`` or ``"mixed_bfloat16"``. None: as
            ``choose_precision`` decides.

    Returns:
        A model whose ``name`` is ``name``: uint8 (n, 28, 28) in, float32 (n, 10) out.

    Raises:
        ValueError: The name or the precision is not known.
    """
    if name not in _BUILDERS:
        raise ValueError(f"name must be one of {', '.join(NAMES)}; received {name!r}")
    if precision not in (None, *_PRECISIONS):
        raise ValueError(
            f"precision must be one of {', '.join(_PRECISIONS)}, or None; received {precision!r}"
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision or choose_precision(name))
    try:
        return _BUILDERS[name](name=name, seed=seed)
    finally:
        keras.config.set_dtype_policy(before)


def choose_precision(name: str) -> str:
    """Decide in which precision a network of ``NAMES`` computes on this machine.

    A policy set with ``keras.config.set_dtype_policy`` is kept. Otherwise the widest convolutional
    network takes bfloat16 where the processor multiplies matrices of it in hardware (AMX); this
    has not been timed there. With AVX512-BF16 alone, convolutions were slower than in float32. The
    other networks stay in float32.

    Returns:
        The name of a Keras policy, such as ``"float32"``.
    """
    policy = keras.config.dtype_policy().name
    if policy == "float32" and name == "cnn_best" and "amx_bf16" in cpu_flags():
        return "mixed_bfloat16"
    return policy


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

    Returns:
        A model with hidden layers named ``hidden_1``, ``hidden_2``, … and an output ``digit``.
    """
    activations = [activation] * len(units) if isinstance(activation, str) else list(activation)
    if len(activations) != len(units):
        raise ValueError(
            f"activation must be one name or one for each of the {len(units)} hidden layers; "
            f"received {activation!r}"
        )
    seeds = _seeds(seed)
    x = inputs = keras.Input((SIDE, SIDE), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, name="rescale")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, (width, function) in enumerate(zip(units, activations, strict=True), start=1):
        x = layers.Dense(
            width,
            activation=None if batch_normalization else function,
            kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
            name=f"hidden_{number}",
        )(x)
        if batch_normalization:
            x = layers.BatchNormalization(name=f"normalize_{number}")(x)
            x = layers.Activation(function, name=f"activation_{number}")(x)
        if dropout:
            x = HashDropout(dropout, seed=next(seeds), name=f"dropout_{number}")(x)
    return keras.Model(inputs, _digit(x, seeds), name=name)


def convolutional(
    filters: Sequence[int] = (16, 32),
    *,
    hidden: int | None = None,
    dropout: float = 0.1,
    crop: int = 0,
    name: str = "convolutional",
    seed: int = 0,
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

    Returns:
        A model with layers ``convolution_1`` (12×12 maps), ``convolution_2`` (10×10 maps) and
        ``pool`` (5×5 maps); a third convolution follows the pooling (3×3 maps). With ``crop=2``
        the maps are 10×10, 8×8, 4×4 and 2×2.

    Raises:
        ValueError: There are not two or three convolutions.
    """
    if len(filters) not in (2, 3):
        raise ValueError(f"filters must hold two or three numbers; received {filters!r}")
    seeds = _seeds(seed)
    x = inputs = keras.Input((SIDE, SIDE), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, name="rescale")(x)
    x = layers.Reshape((SIDE, SIDE, 1), name="add_channel")(x)
    if crop:
        x = layers.Cropping2D(crop, name="crop")(x)
    for number, count in enumerate(filters, 1):
        x = PatchConv2D(
            count,
            6 if number == 1 else 3,
            strides=2 if number == 1 else 1,
            activation="relu",
            kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
            name=f"convolution_{number}",
        )(x)
        if number == 2:
            x = BlockMaxPooling2D(name="pool")(x)
    if dropout and not hidden:
        whole_maps = (None, 1, 1, None)
        x = HashDropout(dropout, noise_shape=whole_maps, seed=next(seeds), name="dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    if hidden:
        if dropout:
            x = HashDropout(dropout, seed=next(seeds), name="dropout_maps")(x)
        x = layers.Dense(
            hidden,
            activation="relu",
            kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
            name="hidden",
        )(x)
        if dropout:
            x = HashDropout(dropout, seed=next(seeds), name="dropout_hidden")(x)
    return keras.Model(inputs, _digit(x, seeds), name=name)


def predict_proba(
    model: keras.Model,
    images: np.ndarray,
    *,
    batch_size: int = 2_000,
    shifts: int = 0,
    deslanted: bool = False,
) -> np.ndarray:
    """Predict class probabilities.

    Batches go through ``predict_on_batch``, which spares a single digit the data pipeline that
    ``model.predict`` sets up on every call.

    Args:
        model: A network of this module, or any model with the same input and output.
        images: uint8 (n, 28, 28); one digit (28, 28) is taken as n = 1.
        batch_size: Digits computed at a time; bounds memory, does not change the result.
        shifts: Average the probabilities over the image moved by up to so many pixels in each
            direction: 1 means nine predictions for each digit.
        deslanted: Average also over the image stood upright (``images.deslant``), for a network
            that has learned from both: twice as many predictions.

    Returns:
        float32 (n, 10), rows summing to one.

    Raises:
        ValueError: The images have another shape or are not uint8, or ``batch_size`` is below 1.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (2, 3) or images.shape[-2:] != (SIDE, SIDE):
        raise ValueError(
            f"images must be uint8 (n, {SIDE}, {SIDE}), 0 = paper and 255 = ink; received "
            f"{images.dtype} {images.shape}"
        )
    for name, value, least in (("batch_size", batch_size, 1), ("shifts", shifts, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}; received {value}")
    images = images.reshape(-1, SIDE, SIDE)
    probabilities = np.zeros((len(images), CLASSES), np.float32)
    moves = list(itertools.product(range(-shifts, shifts + 1), repeat=2))
    views = [images, deslant(images)] if deslanted else [images]
    for start in range(0, len(images), batch_size):
        chunk = slice(start, start + batch_size)
        for view, (rows, columns) in itertools.product(views, moves):
            moved = shift(view[chunk], rows=rows, columns=columns)
            probabilities[chunk] += model.predict_on_batch(moved)
    return probabilities / (len(views) * len(moves))


def features(model: keras.Model, images: np.ndarray, layer: str) -> np.ndarray:
    """Compute what the layer named ``layer`` hands on for each image, float32 (n, …)."""
    part = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(part(images, training=False)).astype(np.float32)


def save(model: keras.Model, path: str | Path) -> Path:
    """Write the model to a ``.keras`` file, completely or not at all.

    Raises:
        ValueError: The path does not end in ``.keras``.
    """
    path = _keras_path(path)
    # Written beside its goal, so that the final move stays on one file system and is atomic.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
        written = Path(folder) / path.name
        model.save(written)
        written.replace(path)
    return path


def load(path: str | Path) -> keras.Model:
    """Read a model from a ``.keras`` file without running code that the file may carry.

    Keras's safe mode refuses Lambda layers and foreign classes. HDF5 files (``.h5``) are refused
    because Keras does not apply the safe mode to them.

    Raises:
        ValueError: The path does not end in ``.keras``, or the file holds unsafe parts.
        FileNotFoundError: There is no such file.
    """
    path = _keras_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name a saved model; there is no file {str(path)!r}")
    try:
        return keras.saving.load_model(path, safe_mode=True)
    except KeyError as error:
        raise ValueError(f"{path} is no model that Keras saved: {error}") from error


def _keras_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"path must end in .keras; received {str(path)!r}")
    return path


def _digit(x: keras.KerasTensor, seeds: Iterator[int]) -> keras.KerasTensor:
    return layers.Dense(
        CLASSES,
        activation="softmax",
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        # Whatever the precision of the other layers: eight bits are too few for probabilities.
        dtype="float32",
        name="digit",
    )(x)


def _hash(x: keras.KerasTensor) -> keras.KerasTensor:
    """Scatter 32-bit numbers: the function "lowbias32" of Wellons 2018."""
    ops = keras.ops
    for places, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x = ops.bitwise_xor(x, ops.right_shift(x, ops.cast(places, "uint32")))
        x = x * ops.cast(factor, "uint32")
    return x


def _seeds(seed: int) -> Iterator[int]:
    """Yield independent seeds, one for each random part of a network."""
    root = np.random.SeedSequence(seed)
    return (int(root.spawn(1)[0].generate_state(1)[0] >> 1) for _ in itertools.count())


_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "dense_128": partial(dense, [128]),
    "dense_128_64_32_sigmoid": partial(
        dense, [128, 64, 32], activation=["relu", "sigmoid", "sigmoid"]
    ),
    "dense_32_16": partial(dense, [32, 16]),
    "dense_128_64": partial(dense, [128, 64]),
    "dense_best": partial(dense, [1024, 512]),
    "cnn": convolutional,
    "cnn_fast": partial(convolutional, hidden=128, dropout=0, crop=2),
    "cnn_best": partial(convolutional, (32, 64, 128), hidden=128, dropout=0.1, crop=2),
}

NAMES: tuple[str, ...] = tuple(_BUILDERS)
"""The networks that ``build`` knows."""
