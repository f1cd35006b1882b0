"""What a ``.keras`` file may hold, checked before Keras opens it.

Imports without TensorFlow. Keras's safe mode refuses Python code in a file, but builds whatever
class and calls whatever function of its own the file names, in whatever size (compare
arXiv:2509.06703). So before Keras sees a file, everything named in it has to be on the lists below,
which hold what classifiers of digits are made of, and its size is worked out from its numbers.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

MOST_PARAMETERS = 20_000_000
"""More than the largest dense network known for MNIST has, 12 million (Cireşan et al. 2010)."""

MOST_VALUES = 5_000_000
"""Values that a layer may give for one digit: some thousand times those of a digit."""

MOST_LAYERS = 300
"""Layers of a network, those of nested networks included."""

MOST_CONFIG_BYTES = 2_000_000
"""A layer takes about a thousand."""

# Weights, and up to three numbers for each that an optimizer keeps, of four bytes.
MOST_WEIGHT_BYTES = 16 * MOST_PARAMETERS
_MEMBERS = {
    "metadata.json": 10_000,
    "config.json": MOST_CONFIG_BYTES,
    "model.weights.h5": MOST_WEIGHT_BYTES,
}
_DEEPEST = 60
_LONGEST_WORD = 300
_LARGEST_NUMBER = 100_000


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SHAPED = _names(
    "Conv2D DepthwiseConv2D SeparableConv2D Dense Flatten Reshape Permute Cropping2D ZeroPadding2D "
    "MaxPooling2D AveragePooling2D GlobalMaxPooling2D GlobalAveragePooling2D"
)
_SAME_SHAPE = _names(
    "Rescaling Normalization BatchNormalization LayerNormalization Activation Softmax ReLU "
    "LeakyReLU PReLU ELU Dropout SpatialDropout2D GaussianNoise GaussianDropout"
)
_MERGING = _names("Add Average Maximum Multiply Concatenate")

ALLOWED: dict[str | None, frozenset[str]] = {
    "keras": frozenset({"Sequential", "DTypePolicy"}),
    "keras.models": frozenset({"Sequential"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.layers": frozenset({"InputLayer"}) | _SHAPED | _SAME_SHAPE | _MERGING,
    "keras.initializers": _names(
        "Zeros Ones Constant GlorotUniform GlorotNormal HeUniform HeNormal LecunUniform "
        "LecunNormal RandomUniform RandomNormal TruncatedNormal VarianceScaling Orthogonal"
    ),
    "keras.regularizers": frozenset({"L1", "L2", "L1L2"}),
    "keras.constraints": frozenset({"MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm"}),
    "keras.losses": _names(
        "SparseCategoricalCrossentropy CategoricalCrossentropy BinaryCrossentropy "
        "CategoricalFocalCrossentropy KLDivergence MeanSquaredError MeanAbsoluteError"
    ),
    "keras.metrics": _names(
        "Accuracy BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy "
        "TopKCategoricalAccuracy SparseTopKCategoricalAccuracy CategoricalCrossentropy "
        "SparseCategoricalCrossentropy Mean MeanSquaredError AUC Precision Recall"
    ),
    "keras.optimizers": _names("Adam AdamW SGD RMSprop Nadam Adamax Adagrad Adadelta Lion Ftrl"),
    "keras.optimizers.schedules": _names(
        "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay "
        "PolynomialDecay"
    ),
    None: frozenset({"__keras_tensor__"}),
}
"""Module → classes that a file may name, as Keras writes them."""

# Names that Keras looks up by themselves, by the key under which they stand.
_SNAKE = {
    "_initializer": (
        "zeros ones constant glorot_uniform glorot_normal he_uniform he_normal lecun_uniform "
        "lecun_normal random_uniform random_normal truncated_normal variance_scaling orthogonal"
    ),
    "_regularizer": "l1 l2 l1_l2",
    "_constraint": "max_norm non_neg unit_norm min_max_norm",
}
_NAMES = {
    "activation": (
        "linear relu relu6 leaky_relu elu selu gelu silu swish mish sigmoid hard_sigmoid tanh "
        "softplus softsign softmax log_softmax exponential"
    ),
    "dtype": "float32 bfloat16 mixed_bfloat16 uint8 int8 int16 uint16 int32 int64 bool",
    "optimizer": "adam adamw sgd rmsprop nadam adamax adagrad adadelta lion ftrl",
    "loss": (
        "sparse_categorical_crossentropy categorical_crossentropy binary_crossentropy "
        "kl_divergence mse mean_squared_error mae mean_absolute_error"
    ),
    "metrics": (
        "accuracy acc categorical_accuracy sparse_categorical_accuracy binary_accuracy mse mae "
        "sparse_categorical_crossentropy categorical_crossentropy top_k_categorical_accuracy "
        "sparse_top_k_categorical_accuracy"
    ),
}
_NAMES["weighted_metrics"] = _NAMES["metrics"]
# Numbers under these keys decide no size.
_FREE_NUMBERS = frozenset({"seed", "shared_object_id", "decay_steps", "warmup_steps", "boundaries"})

# What zipfile raises of archives that are none, encrypted, or packed in ways it does not know.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    OverflowError,
)

_Shape = tuple[int, ...]


class _Refused(ValueError):
    """What is wrong with a file, without the file's name."""


@contextlib.contextmanager
def checked(path: Path) -> Iterator[Path]:
    """Check a ``.keras`` file, and give a private copy of what was checked for Keras to open.

    The copy holds the very bytes that were checked, whatever becomes of the file meanwhile; it is
    removed at the end.

    Args:
        path: The file.

    Yields:
        The path of the copy.

    Raises:
        ValueError: It is no model that Keras saved, or holds something that is not on the lists or
            too large; says what.
        OSError: It cannot be read.
    """
    try:
        members = _read_members(path)
        _check_config(_parse(members["config.json"], "config.json"))
        _parse(members["metadata.json"], "metadata.json")
        _check_weights(members["model.weights.h5"])
    except _Refused as refused:
        raise ValueError(f"{path} is refused: {refused}") from refused
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as folder:
        copy = Path(folder) / "model.keras"
        with zipfile.ZipFile(copy, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        yield copy


def _read_members(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                held = archive.infolist()
                names = sorted(info.filename for info in held)
                if names != sorted(_MEMBERS):
                    raise _Refused(
                        f"it is no model that Keras saved; that holds {', '.join(_MEMBERS)}, this "
                        f"{', '.join(name[:40] for name in names[:5]) or 'nothing'}"
                    )
                return {info.filename: _read_member(archive, info) for info in held}
        except _Refused:
            raise
        except _DAMAGED as error:
            reason = f"{type(error).__name__}: {error}"
            raise _Refused(f"it is no model that Keras saved, or damaged ({reason})") from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    most = _MEMBERS[info.filename]
    if info.flag_bits & 1:
        raise _Refused(f"{info.filename} is encrypted")
    if info.file_size > most:
        raise _Refused(f"{info.filename} has {info.file_size:,} bytes; at most {most:,} are read")
    with archive.open(info) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise _Refused(f"{info.filename} unpacks to more than {most:,} bytes")
    return content


def _parse(content: bytes, name: str) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _Refused(
            f"{name} is no JSON, or nested too deeply: {type(error).__name__}"
        ) from error
    if not isinstance(parsed, dict):
        raise _Refused(f"{name} holds {type(parsed).__name__}, not an object")
    return parsed


# --- names --------------------------------------------------------------------------------------


def _check_config(config: dict[str, Any]) -> None:
    _check_names(config)
    counted = [0, 0]
    try:
        _model(config, None, counted)
    except (KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise _Refused(f"its layers are not as Keras writes them: {error!r}") from error


def _check_names(root: dict[str, Any]) -> None:
    """Check every class, function and name in a configuration, at any depth."""
    rest: list[tuple[str, Any, int]] = [("", root, 0)]
    while rest:
        key, value, depth = rest.pop()
        if depth > _DEEPEST:
            raise _Refused(f"its configuration is nested more than {_DEEPEST} deep")
        if isinstance(value, dict):
            _check_object(value)
            rest += [(name, one, depth + 1) for name, one in value.items()]
        elif isinstance(value, list):
            rest += [(key, one, depth + 1) for one in value]
        elif isinstance(value, str):
            _check_word(key, value)
        elif isinstance(value, int | float) and key not in _FREE_NUMBERS:
            _check_number(key, value)


def _check_object(value: dict[str, Any]) -> None:
    if not value.keys() & {"class_name", "module", "registered_name"}:
        return
    name, module = value.get("class_name"), value.get("module")
    registered = value.get("registered_name")
    if str(module).startswith("mnistlib") or str(registered).startswith("mnistlib>"):
        raise _Refused(
            f"it was written by an earlier version of this package ({registered or name}), whose "
            "layers are gone: train the network anew"
        )
    # The names in an error are the file's: cut, so that no file can flood a log.
    shown = f"{str(module)[:60]}.{str(name)[:60]}"
    if not isinstance(name, str) or not isinstance(module, str | None):
        raise _Refused(f"it names {shown}, which is no class")
    if name not in ALLOWED.get(module, ()):
        raise _Refused(
            f"it names {shown}, which is not on the list of what networks for digits are made of "
            "(mnistlib.saving.ALLOWED): write the network with layers that are, and save it again"
        )
    if registered not in (None, name):
        raise _Refused(f"it calls {shown} {str(registered)[:60]!r}, a name that Keras did not give")
    if name == "DTypePolicy" and value.get("config", {}).get("name") not in (
        "float32",
        "bfloat16",
        "mixed_bfloat16",
    ):
        raise _Refused(f"it asks for the precision {str(value.get('config'))[:60]}")


def _check_number(key: str, value: float) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _Refused(f"{key[:40]} is {value}")
    if abs(value) > _LARGEST_NUMBER:
        raise _Refused(f"{key[:40]} is {value:.6g}; at most {_LARGEST_NUMBER:,} is taken")


def _check_word(key: str, word: str) -> None:
    if len(word) > _LONGEST_WORD:
        raise _Refused(f"{key[:40]} holds a word of {len(word):,} letters")
    names = _NAMES.get(key)
    for ending, known in _SNAKE.items():
        if key.endswith(ending):
            # Keras takes the names of the classes, too.
            names = f"{known} {' '.join(ALLOWED[f'keras.{ending[1:]}s'])}"
    if names is not None and word not in names.split():
        raise _Refused(f"{key} is {word[:60]!r}; known are {', '.join(names.split())}")


# --- sizes --------------------------------------------------------------------------------------


def _model(model: Mapping[str, Any], given: _Shape | None, counted: list[int]) -> _Shape:
    """Follow a digit through a network; the shape that it gives, without the batch."""
    config = model["config"]
    if model["class_name"] == "Sequential":
        shape = _sequential(config, given, counted)
    elif model["class_name"] == "Functional":
        shape = _functional(config, given, counted)
    else:
        raise _Refused(f"it holds a {model['class_name']}, not a network")
    return shape


def _sequential(config: Mapping[str, Any], given: _Shape | None, counted: list[int]) -> _Shape:
    shape = given
    built = config.get("build_input_shape")
    if built is not None:
        shape = _same(shape, _sizes(built[1:]))
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            shape = _same(shape, _input(layer["config"]))
        elif shape is None:
            raise _Refused("it does not say what it takes: begin it with keras.Input, and build it")
        else:
            shape = _layer(layer, [shape], counted)
    if shape is None:
        raise _Refused("it holds no layers")
    return shape


def _functional(config: Mapping[str, Any], given: _Shape | None, counted: list[int]) -> _Shape:
    shapes: dict[str, _Shape] = {}
    for layer in config["layers"]:
        name, nodes = layer["name"], layer["inbound_nodes"]
        if layer["class_name"] == "InputLayer":
            shapes[name] = _same(given, _input(layer["config"]))
            continue
        if len(nodes) != 1:
            raise _Refused(f"its layer {name} is used {len(nodes)} times; once is read")
        if nodes[0].get("kwargs", {}).keys() - {"training", "mask"}:
            raise _Refused(f"its layer {name} is called with more than its inputs")
        (sources,) = nodes[0]["args"]
        sources = sources if isinstance(sources, list) else [sources]
        before = [source["config"]["keras_history"][0] for source in sources]
        if missing := [source for source in before if source not in shapes]:
            raise _Refused(f"its layer {name} takes what comes later: {missing[0]}")
        shapes[name] = _layer(layer, [shapes[source] for source in before], counted)
    outputs = config["output_layers"]
    last = outputs[0] if isinstance(outputs[0], str) else outputs[0][0]
    if last not in shapes:
        raise _Refused(f"it gives what no layer makes: {last}")
    return shapes[last]


def _layer(layer: Mapping[str, Any], shapes: list[_Shape], counted: list[int]) -> _Shape:
    """Work out what a layer gives and add its parameters to what was counted."""
    kind, config = layer["class_name"], layer["config"]
    counted[0] += 1
    if counted[0] > MOST_LAYERS:
        raise _Refused(f"it has more than {MOST_LAYERS} layers")
    built = layer.get("build_config") or {}
    if (stated := built.get("input_shape")) is not None:
        # Keras builds a layer for this shape before it sees another.
        several = stated if isinstance(stated[0], list) else [stated]
        for own, said in zip(shapes, several, strict=True):
            _same(own, _sizes(said[1:]))
    if config.get("data_format") not in (None, "channels_last"):
        raise _Refused(f"its layer {kind} has {config['data_format']}; channels_last is read")
    if kind in ("Sequential", "Functional"):
        (shape,) = shapes
        return _model(layer, shape, counted)
    if kind in _MERGING:
        shape, parameters = _merged(kind, config, shapes), 0
    elif kind in _SHAPED or kind in _SAME_SHAPE:
        (before,) = shapes
        shape, parameters = _outcome(kind, config, before)
    else:
        raise _Refused(f"it has a {kind} where a layer should be")
    counted[1] += parameters
    if counted[1] > MOST_PARAMETERS:
        raise _Refused(f"it has more than {MOST_PARAMETERS:,} parameters")
    if math.prod(shape) > MOST_VALUES:
        raise _Refused(f"its layer {kind} gives {math.prod(shape):,} values for a digit")
    return shape


def _outcome(kind: str, config: Mapping[str, Any], shape: _Shape) -> tuple[_Shape, int]:
    """Work out shape and parameters (an upper bound) of a layer with one input."""
    values = math.prod(shape)
    if kind in _SAME_SHAPE:
        # At the most four numbers a value: batch normalisation of every value by itself.
        trained = ("Normalization", "BatchNormalization", "LayerNormalization", "PReLU")
        return shape, 4 * values if kind in trained else 0
    if kind == "Dense":
        units = _size(config["units"])
        return (*shape[:-1], units), (shape[-1] + 1) * units
    if kind == "Flatten":
        return (values,), 0
    if kind == "Reshape":
        return _reshaped(config["target_shape"], values), 0
    if kind == "Permute":
        return tuple(shape[_size(axis) - 1] for axis in config["dims"]), 0
    height, width, channels = shape
    if kind.startswith("Global"):
        return ((1, 1, channels) if config.get("keepdims") else (channels,)), 0
    if kind in ("Cropping2D", "ZeroPadding2D"):
        amounts = config["cropping" if kind == "Cropping2D" else "padding"]
        sign = -1 if kind == "Cropping2D" else 1
        sides = [
            side + sign * sum(_sizes(pair, least=0))
            for side, pair in zip((height, width), amounts, strict=True)
        ]
        return (*_sizes(sides), channels), 0
    if kind.endswith("Pooling2D"):
        window = _sizes(config["pool_size"])
        strides = _sizes(config["strides"] or window)
        return (*_windows((height, width), window, strides, config["padding"]), channels), 0
    window, strides = _sizes(config["kernel_size"]), _sizes(config["strides"])
    wide = [
        1 + (side - 1) * step
        for side, step in zip(window, _sizes(config["dilation_rate"]), strict=True)
    ]
    places = _windows((height, width), tuple(wide), strides, config["padding"])
    area = math.prod(window)
    if kind == "Conv2D":
        filters = _size(config["filters"])
        return (*places, filters), (area * channels + 1) * filters
    deep = channels * _size(config["depth_multiplier"])
    if kind == "DepthwiseConv2D":
        return (*places, deep), (area + 1) * deep
    filters = _size(config["filters"])
    return (*places, filters), area * deep + (deep + 1) * filters


def _merged(kind: str, config: Mapping[str, Any], shapes: list[_Shape]) -> _Shape:
    if len({len(shape) for shape in shapes}) != 1:
        raise _Refused(f"its layer {kind} merges shapes of different rank")
    if kind != "Concatenate":
        return tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    axis = config["axis"] - (config["axis"] > 0)
    merged = list(shapes[0])
    merged[axis] = sum(shape[axis] for shape in shapes)
    return tuple(merged)


def _windows(sides: _Shape, window: _Shape, strides: _Shape, padding: str) -> _Shape:
    if padding == "same":
        return tuple(-(-side // step) for side, step in zip(sides, strides, strict=True))
    return _sizes(
        [(side - size) // step + 1 for side, size, step in zip(sides, window, strides, strict=True)]
    )


def _reshaped(target: list[int], values: int) -> _Shape:
    known = math.prod(_sizes([size for size in target if size != -1]))
    return _sizes([values // known if size == -1 else size for size in target])


def _input(config: Mapping[str, Any]) -> _Shape:
    return _sizes((config.get("batch_shape") or config["batch_input_shape"])[1:])


def _same(one: _Shape | None, other: _Shape) -> _Shape:
    if one is not None and one != other:
        raise _Refused(f"one of its layers is said to take {other}, and is given {one}")
    return other


def _sizes(sizes: Any, *, least: int = 1) -> _Shape:
    sizes = [sizes, sizes] if isinstance(sizes, int) else sizes
    return tuple(_size(size, least=least) for size in sizes)


def _size(size: Any, *, least: int = 1) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or not least <= size <= MOST_VALUES:
        raise _Refused(f"a size of its layers is {str(size)[:40]}, not a whole number from {least}")
    return size


# --- weights ------------------------------------------------------------------------------------


def _check_weights(content: bytes) -> None:
    sizes: list[int] = []
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            # What a visitor returns ends the visit; it must not raise.
            fault = file.visititems_links(_fault_of_link)
            fault = fault or file.visititems(lambda name, item: _fault_of_item(name, item, sizes))
    except Exception as error:
        # h5py raises whatever fits; of a file that Keras wrote, nothing.
        raise _Refused(f"its weights are damaged: {type(error).__name__}: {error}") from error
    if fault:
        raise _Refused(f"its weights hold {fault}")
    if sum(sizes) > MOST_WEIGHT_BYTES:
        raise _Refused(f"its weights say they are {sum(sizes):,} bytes")


def _fault_of_link(name: str, link: object) -> str | None:
    return None if isinstance(link, h5py.HardLink) else f"a link to elsewhere, {name[:60]!r}"


def _fault_of_item(name: str, item: h5py.HLObject, sizes: list[int]) -> str | None:
    if isinstance(item, h5py.Group):
        return None
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf" or item.shape is None:
        return f"{name[:60]!r}, which is no array of numbers"
    if item.is_virtual or item.external:
        return f"{name[:60]!r}, which is read from another file"
    sizes.append(math.prod(item.shape) * item.dtype.itemsize)
    return None
