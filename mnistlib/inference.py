"""Inference in NumPy: a trained network without Keras, in a file that holds numbers alone.

Starting TensorFlow takes seconds, naming a digit with a small network a millisecond. So what only
answers (``mnistlib predict``, the page) needs no TensorFlow. Imports without it.
"""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlib import inputs, packed, provenance, sizes, writing
from mnistlib.augment import deslant, shift
from mnistlib.data import CLASSES, SIDE

if TYPE_CHECKING:
    import keras

# What a file may hold before anything is read from it.
_MOST_BYTES = 32 * 2**20
_MOST_LAYERS = 50
_MOST_ARRAYS = 1 + 2 * _MOST_LAYERS


@dataclass(frozen=True, eq=False)
class Layer:
    """One step of a network.

    Attributes:
        kind: Name of a function of this module's table: ``"scale"``, ``"crop"``, ``"conv"``,
            ``"pool"``, ``"flatten"``, ``"dense"``; or of an activation, ``"relu"``, ``"sigmoid"``,
            ``"softmax"``.
        options: Numbers that it needs, such as ``{"stride": 2}``.
        weights: Of ``"conv"``, the kernel (height, width, channels, filters) and the bias
            (filters,); of ``"dense"``, (inputs, units) and (units,); else empty. float32.
    """

    kind: str
    options: Mapping[str, Any]
    weights: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, eq=False)
class Network:
    """A trained classifier of digits.

    Attributes:
        layers: Its steps, in order.
    """

    layers: tuple[Layer, ...]

    def predict(self, images: np.ndarray, *, batch_size: int = 500) -> np.ndarray:
        """Predict class probabilities.

        Args:
            images: uint8 (n, 28, 28), or whatever ``inputs.as_digits`` takes.
            batch_size: Digits computed at a time.

        Returns:
            float32 (n, 10), rows summing to one.

        Raises:
            ValueError: The images are not digits in 0–255, or the network's numbers overflow.
        """
        images = inputs.as_digits(images)
        parts = [np.zeros((0, CLASSES), np.float32)]
        for start in range(0, len(images), batch_size):
            x = images[start : start + batch_size, :, :, None].astype(np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                for layer in self.layers:
                    x = _STEPS[layer.kind](x, layer)
            if not np.isfinite(x).all():
                raise ValueError(
                    "network must give probabilities; received one whose numbers grow beyond what "
                    "float32 holds"
                )
            parts.append(x)
        return np.concatenate(parts)


def predict_tta(
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    *,
    shifts: int = 1,
    deslanted: bool = False,
) -> np.ndarray:
    """Predict with test-time augmentation: average the probabilities over changed copies.

    Args:
        predict: Takes uint8 (n, 28, 28), gives probabilities (n, 10).
        images: As for ``inputs.as_digits``.
        shifts: Average over the image moved by up to so many pixels in each direction: 1 means
            nine predictions for each digit, 0 the image where it is.
        deslanted: Average also over the deslanted image (``augment.deslant``), for a network that
            has learned from both: twice as many predictions.

    Returns:
        float32 (n, 10), rows summing to one.

    Raises:
        ValueError: The images are not digits in 0–255, or ``shifts`` is below 0.
    """
    if shifts < 0:
        raise ValueError(f"shifts must be at least 0; received {shifts}")
    images = inputs.as_digits(images)
    moves = list(itertools.product(range(-shifts, shifts + 1), repeat=2))
    views = [images, deslant(images)] if deslanted else [images]
    total = np.zeros((len(images), CLASSES), np.float32)
    for view, (rows, columns) in itertools.product(views, moves):
        total += predict(shift(view, rows=rows, columns=columns))
    return total / (len(views) * len(moves))


def from_keras(model: keras.Model) -> Network:
    """Take over a trained network.

    Args:
        model: A chain of layers that takes pixels 0–255: those of ``models.NAMES``, and others
            of the same kinds of layers.

    Raises:
        ValueError: A layer is of another kind, or set in another way: names it.
    """
    layers: list[Layer] = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in ("InputLayer", "Dropout", "SpatialDropout2D"):
            continue  # They do nothing once the training is over.
        if kind == "Reshape" and tuple(layer.target_shape) == (SIDE, SIDE, 1):
            continue
        if kind not in _FROM_KERAS:
            raise ValueError(
                f"model must consist of {', '.join(sorted(_FROM_KERAS))}; received "
                f"{layer.name!r}, a {kind}"
            )
        options = _FROM_KERAS[kind](layer)
        if options is None:
            raise ValueError(f"model must not have a {kind} set as {layer.name!r} is")
        weights = tuple(np.asarray(weight, np.float32) for weight in layer.get_weights())
        layers.append(Layer(_NAMES[kind], options, weights))
        activation = getattr(layer, "activation", None)
        name = getattr(activation, "__name__", "linear")
        if name != "linear":
            if name not in ("relu", "sigmoid", "softmax"):
                raise ValueError(
                    f"model must have relu, sigmoid or softmax; received {layer.name!r} with {name}"
                )
            layers.append(Layer(name, {}))
    network = Network(tuple(layers))
    _check(network, "model")
    return network


def _only(layer: Any, **expected: Any) -> bool:
    return all(getattr(layer, name) == value for name, value in expected.items())


def _scale(layer: Any) -> dict | None:
    return {"factor": float(layer.scale), "offset": float(layer.offset)}


def _crop(layer: Any) -> dict | None:
    if not _only(layer, data_format="channels_last"):
        return None
    return {"crop": [list(map(int, pair)) for pair in layer.cropping]}


def _conv(layer: Any) -> dict | None:
    height, width = layer.strides
    usual = _only(
        layer,
        padding="valid",
        data_format="channels_last",
        dilation_rate=(1, 1),
        groups=1,
        use_bias=True,
    )
    return {"stride": int(height)} if usual and height == width else None


def _pool(layer: Any) -> dict | None:
    usual = _only(layer, padding="valid", data_format="channels_last")
    sizes = {*layer.pool_size, *layer.strides}
    return {"size": int(sizes.pop())} if usual and len(sizes) == 1 else None


def _dense(layer: Any) -> dict | None:
    return {} if layer.use_bias else None


_FROM_KERAS: dict[str, Callable[[Any], dict | None]] = {
    "Rescaling": _scale,
    "Cropping2D": _crop,
    "Conv2D": _conv,
    "MaxPooling2D": _pool,
    "Flatten": lambda _: {},
    "Dense": _dense,
}
_NAMES = {
    "Rescaling": "scale",
    "Cropping2D": "crop",
    "Conv2D": "conv",
    "MaxPooling2D": "pool",
    "Flatten": "flatten",
    "Dense": "dense",
}


def _apply_crop(x: np.ndarray, layer: Layer) -> np.ndarray:
    (top, bottom), (left, right) = layer.options["crop"]
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def _apply_conv(x: np.ndarray, layer: Layer) -> np.ndarray:
    kernel, bias = layer.weights
    height, width, channels, filters = kernel.shape
    stride = layer.options["stride"]
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))
    # (n, rows, columns, channels, height, width) → a matrix with a row for each place.
    windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    rows = windows.reshape(-1, height * width * channels)
    return (rows @ kernel.reshape(-1, filters) + bias).reshape(*windows.shape[:3], filters)


def _apply_pool(x: np.ndarray, layer: Layer) -> np.ndarray:
    size = layer.options["size"]
    count, height, width, channels = x.shape
    height, width = height // size, width // size
    cut = x[:, : height * size, : width * size]
    return cut.reshape(count, height, size, width, size, channels).max(axis=(2, 4))


def _apply_dense(x: np.ndarray, layer: Layer) -> np.ndarray:
    kernel, bias = layer.weights
    return x @ kernel + bias


def _softmax(x: np.ndarray, _: Layer) -> np.ndarray:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _sigmoid(x: np.ndarray, _: Layer) -> np.ndarray:
    from scipy.special import expit

    return expit(x)


def _apply_scale(x: np.ndarray, layer: Layer) -> np.ndarray:
    return x * np.float32(layer.options["factor"]) + np.float32(layer.options["offset"])


_STEPS: dict[str, Callable[[np.ndarray, Layer], np.ndarray]] = {
    "scale": _apply_scale,
    "crop": _apply_crop,
    "conv": _apply_conv,
    "pool": _apply_pool,
    "flatten": lambda x, _: x.reshape(len(x), -1),
    "dense": _apply_dense,
    "relu": lambda x, _: np.maximum(x, 0),
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}


def save(network: Network, path: str | Path, *, about: Mapping[str, Any] | None = None) -> Path:
    """Write a network to an ``.npz`` file: its weights as float16, and a description of its layers.

    Half precision is enough to answer: probabilities move by less than a thousandth.

    Args:
        network: The network.
        path: Where to write it, ending in ``.npz``.
        about: What else to write down, as JSON can hold it.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path must end in .npz; received {str(path)!r}")
    described = [{"kind": layer.kind, **layer.options} for layer in network.layers]
    text = json.dumps({"layers": described, "about": dict(about or {})})
    arrays = {
        f"{number}.{place}": weight.astype(np.float16)
        for number, layer in enumerate(network.layers)
        for place, weight in enumerate(layer.weights)
    }
    arrays["network"] = np.frombuffer(text.encode(), np.uint8)
    with writing.replacing(path) as written:
        np.savez_compressed(written, **arrays)
    return path


def load(path: str | Path) -> tuple[Network, dict[str, Any]]:
    """Read what ``save`` has written. A file holds numbers and names of steps, no code.

    Returns:
        The network, and what was written down about it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not what ``save`` writes, or is too large.
    """
    path = Path(path)
    try:
        found = path.is_file()
    except (OSError, ValueError) as error:
        # A name that is too long, or one that no file can have.
        raise FileNotFoundError(f"there is no network {str(path)[:300]!r}: {error}") from error
    if not found:
        raise FileNotFoundError(f"there is no network {path}")
    try:
        arrays = _arrays(path)
        text = json.loads(bytes(arrays.pop("network")).decode())
        layers = []
        for number, options in enumerate(_listed(text["layers"])):
            kind = options.pop("kind")
            weights = [arrays.pop(f"{number}.{place}") for place in range(_WEIGHTS.get(kind, 0))]
            layers.append(Layer(kind, options, tuple(w.astype(np.float32) for w in weights)))
        about = dict(text["about"])
        provenance.check_about(about, "what it says about itself")
        if arrays:
            raise ValueError(f"{next(iter(arrays))} belongs to no layer")
        network = Network(tuple(layers))
        _check(network, "it")
    except FileNotFoundError:
        raise
    except (*packed.ERRORS, *_MALFORMED) as error:
        raise ValueError(f"{path} is no network that this library saved: {error!r}") from error
    return network, about


# What a file raises that can be read and holds something else.
_MALFORMED = (AttributeError, LookupError, ArithmeticError, RecursionError)
_WEIGHTS = {"conv": 2, "dense": 2}


def _listed(layers: Sequence[dict]) -> list[dict]:
    if not isinstance(layers, list) or len(layers) > _MOST_LAYERS:
        raise ValueError(f"there must be a list of at most {_MOST_LAYERS} layers")
    return [dict(layer) for layer in layers]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file, once their sizes are known to be those of a network."""
    arrays = {}
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise ValueError(f"it has {size:,} bytes; a network has at most {_MOST_BYTES:,}")
        with packed.open_zip(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS:
                raise ValueError(f"it holds {len(members):,} arrays, at most {_MOST_ARRAYS}")
            if (size := sum(member.file_size for member in members)) > _MOST_BYTES:
                raise ValueError(f"it holds {size:,} bytes; a network has at most {_MOST_BYTES:,}")
            for name in archive.namelist():
                with archive.open(name) as file:
                    member = b"".join(iter(lambda: file.read(packed.PIECE), b""))
                header = io.BytesIO(member)
                if np.lib.format.read_magic(header) != (1, 0):
                    raise ValueError(f"{name} is no array of numbers")
                shape, _, kind = np.lib.format.read_array_header_1_0(header)
                # A header may claim any size.
                if kind.kind not in "fu" or math.prod(shape) * kind.itemsize > len(member):
                    raise ValueError(f"{name} is no array of numbers")
                array = np.lib.format.read_array(io.BytesIO(member), allow_pickle=False)
                arrays[name.removesuffix(".npy")] = array
    except packed.ERRORS as error:
        raise ValueError(str(error)) from error
    return arrays


def _check(network: Network, name: str) -> None:
    """Refuse layers that do not fit together, before a digit is shown to them."""
    shape: tuple[int, ...] = (SIDE, SIDE, 1)
    for layer in network.layers:
        if layer.kind not in _STEPS:
            raise ValueError(f"{name} must have layers of kinds {', '.join(_STEPS)}")
        if not all(np.isfinite(weight).all() for weight in layer.weights):
            raise ValueError(f"{name} must have finite weights")
        shape = _shape_after(layer, shape, name)
        made = max(math.prod(shape), _inside(layer, shape))
        if made > sizes.LARGEST_LAYER:
            raise ValueError(f"{name} makes {made:,} values of a digit in {layer.kind}")
    if shape != (CLASSES,) or not network.layers or network.layers[-1].kind != "softmax":
        raise ValueError(f"{name} must end in a softmax over {CLASSES} classes")


def _inside(layer: Layer, shape: tuple[int, ...]) -> int:
    """Count the values that a convolution lays out in rows before it multiplies them."""
    if layer.kind != "conv":
        return 0
    return shape[0] * shape[1] * math.prod(layer.weights[0].shape[:3])


def _is_step(value: object, low: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= SIDE


def _shape_after(layer: Layer, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Give the shape, without the batch, that a layer makes of one; refuse what does not fit."""
    options, weights = layer.options, layer.weights
    fits = True
    if layer.kind == "scale":
        # As float32 holds them.
        fits = all(abs(float(options[key])) < 3e38 for key in ("factor", "offset"))
    elif layer.kind == "crop":
        (top, bottom), (left, right) = options["crop"]
        fits = len(shape) == 3 and all(_is_step(cut, 0) for cut in (top, bottom, left, right))
        shape = (shape[0] - top - bottom, shape[1] - left - right, *shape[2:])
    elif layer.kind == "conv":
        kernel, bias = weights
        stride = options["stride"]
        fits = len(shape) == 3 and kernel.ndim == 4 and kernel.size > 0 and _is_step(stride)
        fits = fits and kernel.shape[2] == shape[2] and bias.shape == kernel.shape[3:]
        if fits:
            height, width = (shape[axis] - kernel.shape[axis] for axis in (0, 1))
            shape = (height // stride + 1, width // stride + 1, kernel.shape[3])
    elif layer.kind == "pool":
        size = options["size"]
        fits = len(shape) == 3 and _is_step(size)
        if fits:
            shape = (shape[0] // size, shape[1] // size, shape[2])
    elif layer.kind == "flatten":
        shape = (math.prod(shape),)
    elif layer.kind == "dense":
        kernel, bias = weights
        fits = len(shape) == 1 and kernel.ndim == 2
        fits = fits and kernel.shape[0] == shape[0] and bias.shape == kernel.shape[1:]
        if fits:
            shape = bias.shape
    elif layer.kind == "softmax":
        fits = len(shape) == 1
    if not fits or min(shape) < 1:
        raise ValueError(f"{name} must have layers that fit together; {layer.kind} does not")
    return shape
