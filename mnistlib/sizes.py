"""How large a network gets, found by running its configuration on shapes instead of digits.

Keras makes the weights while it reads a configuration, so a line such as a ``Dense`` layer of a
million units costs gigabytes before anything can be looked at. Here it costs a multiplication.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from mnistlib._rules import Refused, show

LARGEST_PARAMETERS = 20_000_000
"""Fifteen times the widest network here; with Adam's two averages 240 MB in float32."""

LARGEST_LAYER = 500_000
"""Values that one layer may give for one digit: 4 GB for the 2,000 digits predicted at a time."""

LARGEST_WORK = 1_500_000_000
"""Multiplications for one digit: several hundred times those of ``cnn_best``."""

VALUE_WORK = 100
"""Multiplications that take as long as making one value: measured, 1.5 ns for most activations
and normalizations, and 0.015 ns for a multiplication in a convolution."""

LARGEST_CALLS = 500
"""Layer calls: several times those of the deepest networks used on images of this size."""

LARGEST_SEQUENCE = 100
"""Layers of one ``Sequential``: Keras builds the whole sequence anew for every layer that it adds,
which takes two seconds for so many and half a minute for ``LARGEST_CALLS``."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """What a network takes.

    Attributes:
        parameters: At most so many numbers does it hold.
        values: So many does it make for one digit, all layers together.
        work: About so many multiplications does one digit take.
        calls: So many calls of layers.
    """

    parameters: int
    values: int
    work: int
    calls: int

    @property
    def weights(self) -> int:
        """At most so many bytes do its weights take in a file."""
        # Each number with seven of an optimizer beside it, and what HDF5 needs for each layer.
        return 32 * self.parameters + 40_000 * self.calls + 4_000_000


def check(model: dict) -> Cost:
    """Check the sizes of a model.

    Args:
        model: Its configuration, which ``allowlist`` has checked: every setting is there and is of
            the right type.

    Returns:
        What it takes.

    Raises:
        Refused: A layer does not fit what it is called on, or makes too much: one of the bounds
            above, which are those of all layers together but for ``LARGEST_LAYER``.
    """
    totals = _Totals()
    _run(model, None, totals)
    return Cost(totals.held, totals.values, totals.work, totals.calls)


# --- one layer -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Size:
    """What one layer call costs, for one digit.

    Attributes:
        shape: What the call gives, without the batch.
        parameters: At most so many numbers does the layer hold.
        work: About so many multiplications does the call take.
        inside: Values that it makes on the way to its result.
    """

    shape: Shape
    parameters: int = 0
    work: int = 0
    inside: int = 0


def _same(config: Mapping, shape: Shape) -> _Size:
    return _Size(shape)


def _normalization(config: Mapping, shape: Shape) -> _Size:
    kept = 1 if config.get("axis") is None else _along(config["axis"], shape)
    for name in ("mean", "variance"):
        _check_broadcast(config.get(name), [kept], name)
    return _Size(shape, 2 * kept + 1)


def _batch_normalization(config: Mapping, shape: Shape) -> _Size:
    each = 7 if config.get("renorm") else 4
    return _Size(shape, each * _along(config.get("axis", -1), shape))


def _layer_normalization(config: Mapping, shape: Shape) -> _Size:
    return _Size(shape, 2 * _along(config.get("axis", -1), shape))


def _along(axes: int | Sequence[int], shape: Shape) -> int:
    """Count the places along some axes, which Keras counts with the batch as axis 0."""
    found = {
        axis + len(shape) + 1 if axis < 0 else axis
        for axis in ([axes] if isinstance(axes, int) else axes)
    }
    if not found <= set(range(1, len(shape) + 1)):
        raise Refused(f"axis {show(axes)} does not fit an input of shape {show(shape)}")
    return prod(shape[axis - 1] for axis in found)


def _slopes(config: Mapping, shape: Shape) -> _Size:
    shared = config.get("shared_axes") or ()
    shared = [shared] if isinstance(shared, int) else shared
    return _Size(shape, prod(size for axis, size in enumerate(shape, 1) if axis not in shared))


def _rescaling(config: Mapping, shape: Shape) -> _Size:
    for name in ("scale", "offset"):
        _check_broadcast(config.get(name), shape[-1:], name)
    return _Size(shape)


def _check_broadcast(value: object, sizes: Sequence[int], name: str) -> None:
    # A longer list would silently enlarge what the layer gives.
    if isinstance(value, list) and len(value) not in (1, *sizes):
        raise Refused(f"{name} has {len(value)} values, which do not fit its input")


def _reshape(config: Mapping, shape: Shape) -> _Size:
    target = config["target_shape"]
    known = prod(size for size in target if size != -1)
    if target.count(-1) > 1 or (-1 in target and (known == 0 or prod(shape) % known)):
        raise Refused(f"target_shape {show(target)} does not fit an input of shape {show(shape)}")
    target = tuple(prod(shape) // known if size == -1 else size for size in target)
    if prod(target) != prod(shape):
        raise Refused(f"target_shape {show(target)} does not fit an input of shape {show(shape)}")
    return _Size(target)


def _permute(config: Mapping, shape: Shape) -> _Size:
    if sorted(config["dims"]) != list(range(1, len(shape) + 1)):
        raise Refused(f"dims {show(config['dims'])} do not fit an input of shape {show(shape)}")
    return _Size(tuple(shape[dim - 1] for dim in config["dims"]))


def _dense(config: Mapping, shape: Shape) -> _Size:
    if not shape:
        raise Refused("Dense must be given at least one value for each digit")
    units = config["units"]
    weights = shape[-1] * units
    return _Size(
        (*shape[:-1], units), weights + _bias(config, units), work=prod(shape[:-1]) * weights
    )


def _bias(config: Mapping, size: int) -> int:
    return size if config.get("use_bias", True) else 0


def _places(config: Mapping, shape: Shape, window: Sequence[int]) -> Shape:
    """Find at how many places a window is laid, down and across."""
    _check_image(shape)
    strides = config.get("strides") or window
    dilation = config.get("dilation_rate") or (1, 1)
    spans = [(size - 1) * step + 1 for size, step in zip(window, dilation, strict=True)]
    if config["padding"] == "same":
        return tuple(-(-size // step) for size, step in zip(shape, strides, strict=False))
    places = tuple(
        (size - span) // step + 1 for size, span, step in zip(shape, spans, strides, strict=False)
    )
    if min(places) < 1:
        raise Refused(f"a window of {show(spans)} does not fit an input of shape {show(shape)}")
    return places


def _check_image(shape: Shape) -> None:
    if len(shape) != 3:
        raise Refused(f"its input must have height, width and channels; received {show(shape)}")


def _spread(config: Mapping, shape: Shape, window: Sequence[int]) -> int:
    """Count the values that TensorFlow pads an image to for a dilated window.

    It cuts the padded image into as many small ones as the dilation has steps. The padding is as
    wide as the window, however little of the image is under it.
    """
    dilation = config.get("dilation_rate") or (1, 1)
    if max(dilation) == 1:
        return 0
    return shape[2] * prod(
        size + size_of_window * step
        for size, size_of_window, step in zip(shape, window, dilation, strict=False)
    )


def _convolution(config: Mapping, shape: Shape) -> _Size:
    window, filters, groups = config["kernel_size"], config["filters"], config["groups"]
    places = _places(config, shape, window)
    if shape[2] % groups or filters % groups:
        raise Refused(f"groups {groups} does not divide its {shape[2]} channels and its filters")
    weights = prod(window) * (shape[2] // groups) * filters
    return _Size(
        (*places, filters),
        weights + _bias(config, filters),
        # TensorFlow takes as long for each group as for all channels at once.
        work=prod(places) * weights * groups,
        inside=_spread(config, shape, window),
    )


def _depthwise(config: Mapping, shape: Shape) -> _Size:
    window = config["kernel_size"]
    places = _places(config, shape, window)
    channels = shape[2] * config["depth_multiplier"]
    weights = prod(window) * channels
    return _Size(
        (*places, channels),
        weights + _bias(config, channels),
        work=prod(places) * weights,
        inside=_spread(config, shape, window),
    )


def _separable(config: Mapping, shape: Shape) -> _Size:
    first, filters = _depthwise(dict(config) | {"use_bias": False}, shape), config["filters"]
    weights = first.shape[2] * filters
    return _Size(
        (*first.shape[:2], filters),
        first.parameters + weights + _bias(config, filters),
        work=first.work + prod(first.shape[:2]) * weights,
        inside=max(prod(first.shape), first.inside),
    )


def _pool(config: Mapping, shape: Shape) -> _Size:
    window = config["pool_size"]
    made = (*_places(config, shape, window), shape[2])
    return _Size(made, work=prod(made) * prod(window))


def _pool_all(config: Mapping, shape: Shape) -> _Size:
    _check_image(shape)
    return _Size((1, 1, shape[2]) if config.get("keepdims") else (shape[2],), work=prod(shape))


def _crop(config: Mapping, shape: Shape) -> _Size:
    _check_image(shape)
    (top, bottom), (left, right) = config["cropping"]
    return _Size((shape[0] - top - bottom, shape[1] - left - right, shape[2]))


def _pad(config: Mapping, shape: Shape) -> _Size:
    _check_image(shape)
    (top, bottom), (left, right) = config["padding"]
    return _Size((shape[0] + top + bottom, shape[1] + left + right, shape[2]))


def _merge(config: Mapping, shapes: Sequence[Shape]) -> _Size:
    made = tuple(max(sizes) for sizes in zip(*shapes, strict=False))
    for shape in shapes:
        fits = all(size in (1, own) for size, own in zip(shape, made, strict=False))
        if len(shape) != len(made) or not fits:
            raise Refused(f"inputs of shapes {show(list(shapes))} do not fit together")
    return _Size(made, work=len(shapes) * prod(made))


def _concatenate(config: Mapping, shapes: Sequence[Shape]) -> _Size:
    axis, first = config["axis"], shapes[0]
    axis = axis + len(first) if axis < 0 else axis - 1
    others = {(len(shape), *shape[: max(axis, 0)], *shape[axis + 1 :]) for shape in shapes}
    if not 0 <= axis < len(first) or len(others) > 1:
        raise Refused(
            f"inputs of shapes {show(list(shapes))} do not fit along axis {config['axis']}"
        )
    return _Size((*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :]))


_SIZES: dict[str, Callable[[Mapping, Shape], _Size]] = {
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "GaussianNoise"), _same),
    **dict.fromkeys(("Activation", "Softmax", "ReLU", "LeakyReLU", "ELU"), _same),
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "Reshape": _reshape,
    "Permute": _permute,
    "Flatten": lambda config, shape: _Size((prod(shape),)),
    "Dense": _dense,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "GlobalMaxPooling2D": _pool_all,
    "GlobalAveragePooling2D": _pool_all,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "PReLU": _slopes,
    "Cropping2D": _crop,
    "ZeroPadding2D": _pad,
}
_SIZES_OF_MERGES: dict[str, Callable[[Mapping, Sequence[Shape]], _Size]] = {
    **dict.fromkeys(("Add", "Average", "Maximum", "Multiply"), _merge),
    "Concatenate": _concatenate,
}


# --- networks ------------------------------------------------------------------------------------


@dataclass
class _Totals:
    """What the layers called so far take together."""

    calls: int = 0
    work: int = 0
    values: int = 0
    held: int = 0
    parameters: dict[int, int] = field(default_factory=dict)

    def add(self, size: _Size, layer: dict, where: str) -> None:
        """Add one call of a layer, whose parameters count once; refuse what is too much."""
        self.calls += 1
        made = prod(size.shape)
        self.work += size.work + VALUE_WORK * made
        self.values += made + size.inside
        before = self.parameters.get(id(layer), 0)
        self.parameters[id(layer)] = max(before, size.parameters)
        self.held += self.parameters[id(layer)] - before
        values = max(made, size.inside)
        if min(size.shape, default=1) < 1 or len(size.shape) > 8:
            raise Refused(f"{where} would give digits of shape {show(size.shape)}")
        for received, most, what in (
            (values, LARGEST_LAYER, "values for each digit"),
            (self.held, LARGEST_PARAMETERS, "parameters, with the layers before it"),
            (self.work, LARGEST_WORK, "multiplications for each digit, with the layers before it"),
            (self.calls, LARGEST_CALLS, "calls of layers, with those before it"),
        ):
            if received > most:
                raise Refused(f"{where} makes {received:,} {what}; at most {most:,} are loaded")


def _run(layer: dict, shapes: list[Shape] | None, totals: _Totals) -> list[Shape]:
    """Find what a layer or model gives, without the batch; no ``shapes``: as it declares itself."""
    config, kind = layer["config"], layer["class_name"]
    where = f"layer {show(config['name'])} ({kind})"
    if kind in ("Sequential", "Functional"):
        run = _run_sequential if kind == "Sequential" else _run_functional
        return run(layer, shapes, totals)
    if kind == "InputLayer":
        raise Refused(f"{where} stands between other layers")
    if len(shapes) != 1 and kind not in _SIZES_OF_MERGES:
        raise Refused(f"{where} is given {len(shapes)} inputs and takes one")
    try:
        if kind in _SIZES_OF_MERGES:
            size = _SIZES_OF_MERGES[kind](config, shapes)
        else:
            size = _SIZES[kind](config, shapes[0])
    except Refused as error:
        raise Refused(f"{where}: {error}") from error
    totals.add(size, layer, where)
    return [size.shape]


def _run_sequential(model: dict, shapes: list[Shape] | None, totals: _Totals) -> list[Shape]:
    config = model["config"]
    where, rest = f"model {show(config['name'])}", config["layers"]
    declared = [config.get("build_input_shape")]
    if rest[0]["class_name"] == "InputLayer":
        declared.append(rest[0]["config"]["batch_shape"])
        rest = rest[1:]
    if len(rest) > LARGEST_SEQUENCE:
        raise Refused(f"{where} has {len(rest):,} layers; a Sequential may have {LARGEST_SEQUENCE}")
    declared = [shape for shape in declared if shape is not None]
    if shapes is None:
        if not declared:
            raise Refused(f"{where} has no input shape: begin it with keras.Input, and save again")
        shapes = [_fill(declared[-1])]
    given = shapes
    for shape in declared:
        _check_fits([shape], shapes, where)
    for shape in shapes:
        totals.add(_Size(shape), model, where)
    for layer in rest:
        before, shapes = shapes, _run(layer, shapes, totals)
        _check_built(layer, [before])
    _check_built(model, [given])
    return shapes


def _run_functional(model: dict, shapes: list[Shape] | None, totals: _Totals) -> list[Shape]:
    config = model["config"]
    where = f"model {show(config['name'])}"
    layers = {layer["name"]: layer for layer in config["layers"]}
    if len(layers) < len(config["layers"]):
        raise Refused(f"{where} has several layers of one name")
    inputs = {name for name, layer in layers.items() if layer["class_name"] == "InputLayer"}
    begins = [history[0] for history in _as_list(config["input_layers"])]
    if sorted(begins) != sorted(inputs):
        raise Refused(f"{where} must begin at its InputLayers; received {show(begins)}")
    declared = [layers[name]["config"]["batch_shape"] for name in begins]
    shapes = [_fill(shape) for shape in declared] if shapes is None else shapes
    _check_fits(declared, shapes, where)
    made: dict[str, list[list[Shape]]] = {}
    for name, shape in zip(begins, shapes, strict=True):
        totals.add(_Size(shape), layers[name], f"layer {show(name)} (InputLayer)")
        made[name] = [[shape]]
    _run_nodes(layers, made, totals)
    _check_built(model, [shapes])
    return [_find(history, layers, made, where) for history in _as_list(config["output_layers"])]


def _run_nodes(
    layers: dict[str, dict], made: dict[str, list[list[Shape]]], totals: _Totals
) -> None:
    """Call the layers of a graph, each as soon as there is what it is called on."""
    taken: dict[str, list[list[Shape]]] = {name: [] for name in layers}
    waiting = [(name, node) for name, layer in layers.items() for node in layer["inbound_nodes"]]
    for name, layer in layers.items():
        if not layer["inbound_nodes"] and name not in made:
            raise Refused(f"layer {show(name)} is connected to nothing")
        if layer["inbound_nodes"] and name in made:
            raise Refused(f"layer {show(name)} (InputLayer) is called on something")
    if len(waiting) > LARGEST_CALLS:
        raise Refused(f"a graph of {len(waiting):,} calls of layers; at most {LARGEST_CALLS}")
    while waiting:
        later, held = [], set()
        for name, node in waiting:
            tensors = node["args"][0]
            histories = [
                tensor["config"]["keras_history"]
                for tensor in (tensors if isinstance(tensors, list) else [tensors])
            ]
            given = [_find(history, layers, made, f"layer {show(name)}") for history in histories]
            # The calls of one layer are numbered, so each waits for the one before it.
            if None in given or name in held:
                later.append((name, node))
                held.add(name)
                continue
            taken[name].append(given)
            made.setdefault(name, []).append(_run(layers[name], given, totals))
        if len(later) == len(waiting):
            raise Refused(f"layer {show(later[0][0])} waits for a call that is never made")
        waiting = later
    for name, given in taken.items():
        if given:
            _check_built(layers[name], given)


def _find(
    history: list, layers: dict[str, dict], made: dict[str, list[list[Shape]]], where: str
) -> Shape | None:
    """Find the shape of a tensor, or None where it is not made yet."""
    name, call, tensor = history
    if name not in layers:
        raise Refused(f"{where} is given something of an unknown layer {show(name)}")
    calls = made.get(name, [])
    if layers[name]["class_name"] in ("Sequential", "Functional"):
        # Keras counts the calls of a nested model from 0 or from 1.
        if calls and any(other != calls[0] for other in calls):
            raise Refused(f"layer {show(name)} is a model called on inputs of several sizes")
        call = 0
    if call >= len(calls):
        return None
    if tensor >= len(calls[call]):
        raise Refused(f"{where} is given tensor {tensor} of layer {show(name)}, which has fewer")
    return calls[call][tensor]


def _as_list(ends: list) -> list:
    return [ends] if isinstance(ends[0], str) else ends


def _fill(batch_shape: list[int | None]) -> Shape:
    """Put a digit's own size where a shape leaves it open."""
    rest = batch_shape[1:]
    open_size = 784 if len(rest) == 1 else 28
    return tuple(open_size if size is None else size for size in rest)


def _check_fits(declared: list, shapes: Sequence[Shape], where: str) -> None:
    """Check shapes that are declared, with the batch, against those that are given, without."""
    fits = len(declared) == len(shapes) and all(
        isinstance(known, list)
        and len(known) == len(shape) + 1
        and all(size in (None, own) for size, own in zip(known[1:], shape, strict=True))
        for known, shape in zip(declared, shapes, strict=True)
    )
    if not fits:
        raise Refused(
            f"{where} declares inputs of shapes {show(declared)} and is given {show(list(shapes))}"
        )


def _check_built(layer: dict, given: list[list[Shape]]) -> None:
    """Check that what a layer is to be built for is among what it is called on."""
    shape = (layer.get("build_config") or {}).get("input_shape")
    if shape is None:
        return
    declared = shape if isinstance(shape[0], list) else [shape]
    where = f"layer {show(layer['config']['name'])} ({layer['class_name']})"
    for shapes in given[:-1]:
        with contextlib.suppress(Refused):
            _check_fits(declared, shapes, where)
            return
    _check_fits(declared, given[-1], where)
