"""What a model file may ask Keras to build: names, settings and sizes, each from a list.

Keras builds whatever a configuration names, and calls functions and constructors on the way, also
in its safe mode (Zhu et al. 2025, arXiv:2509.06703). So each part of a configuration is compared
here with what Keras itself writes for usual classifiers, before Keras sees it; what is not on the
list is refused. Only the standard library is needed: nothing that a file names is ever looked up.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

LARGEST_PARAMETERS = 20_000_000
"""Fifteen times the widest network here; with Adam's two averages 240 MB in float32."""

LARGEST_LAYER = 500_000
"""Values that one layer may give for one digit: 4 GB for the 2,000 digits predicted at a time."""

LARGEST_WORK = 5_000_000_000
"""Multiplications for one digit: some seconds of one processor core."""

LARGEST_CALLS = 500
"""Layer calls: several times those of the deepest networks used on images of this size."""

LARGEST_DEPTH = 60
"""Levels of lists and objects in a configuration: a nested model takes seven."""

LARGEST_TEXT = 200
"""Characters of one name."""

Rule = Callable[[object, str], None]
Shape = tuple[int, ...]


class Refused(ValueError):
    """Says what in a model file is refused; whoever opened the file adds its name."""


def check_config(text: bytes) -> None:
    """Check the configuration of a model, ``config.json`` of a ``.keras`` file.

    Args:
        text: The file's bytes, JSON.

    Raises:
        Refused: The configuration is damaged, or asks for something that is not on the list.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"its configuration is no JSON that can be read ({error})") from error
    _check_names(config)
    _model_object(config, "the model")
    _run(config, None, _Totals())


# --- names -----------------------------------------------------------------------------------------


def _check_names(config: object) -> None:
    """Compare every name of a class or function, at any depth, with the list.

    The rules below do so once more where they expect an object. This walk also finds the names where
    nothing expects one, and tells what is wrong before anything else is complained of.
    """
    shared: dict[object, object] = {}
    waiting: list[tuple[object, str, int]] = [(config, "", 0)]
    while waiting:
        value, where, depth = waiting.pop()
        if depth > LARGEST_DEPTH:
            raise Refused(f"its configuration is nested more than {LARGEST_DEPTH} levels deep")
        if isinstance(value, dict):
            if not _NAMING.isdisjoint(value):
                _check_name(value, where.lstrip(".") or "the model")
                _check_shared(value, shared, where.lstrip("."))
            waiting += [(part, f"{where}.{key[:30]}", depth + 1) for key, part in value.items()]
        elif isinstance(value, list):
            waiting += [(part, f"{where}[{i}]", depth + 1) for i, part in enumerate(value)]


_NAMING = {"class_name", "module", "registered_name", "spec_name"}


def _check_name(value: dict, where: str) -> None:
    module, name = value.get("module"), value.get("class_name")
    registered = value.get("registered_name")
    for part in (module, name, registered):
        if isinstance(part, str) and part.startswith(("mnistlib.", "mnistlib>")):
            own = f"mnistlib>{name}" if part is module else part
            raise Refused(
                f"it was written by an earlier version of this project, whose own layers it names "
                f"({_show(own)}): train the network anew and save it"
            )
    if not (isinstance(name, str) and (module is None or isinstance(module, str))):
        raise Refused(
            f"{where} names module {_show(module)} and class {_show(name)}, no known ones"
        )
    if "spec_name" in value or (module, name) not in _REGISTERED:
        full = ".".join(part for part in (module, name) if part)
        if name == "function":
            full += f" {_show(value.get('config'))}"
        raise Refused(f"{where} names {_show(full)[1:-1]}, which is not on the list")
    if registered is not None and registered != _REGISTERED[module, name]:
        raise Refused(
            f"{where} has the registered name {_show(registered)}, which is not on the list"
        )


def _check_shared(value: dict, shared: dict, where: str) -> None:
    """Check that one number stands for one object: Keras takes the first for all of them."""
    number = value.get("shared_object_id")
    if number is None:
        return
    whole(0, 2**64)(number, f"{where}.shared_object_id")
    if (value.get("module"), value.get("class_name")) in _LAYERS | _MODELS:
        raise Refused(f"{where} shares one layer between several models, which is not on the list")
    if shared.setdefault(number, value) != value:
        raise Refused(f"{where} shares its number, {number}, with a different object")


# --- rules: what a value must be --------------------------------------------------------------------


def _show(value: object) -> str:
    """Show the beginning of a value, whatever it is, in one short line."""
    return reprlib.repr(value)


def _must(where: str, wanted: str, value: object) -> Refused:
    return Refused(f"{where} must be {wanted}; received {_show(value)}")


def text(value: object, where: str) -> None:
    """A name, for people and for Keras."""
    if not (isinstance(value, str) and len(value) <= LARGEST_TEXT and value.isprintable()):
        raise _must(where, f"a name of up to {LARGEST_TEXT} characters", value)


def flag(value: object, where: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _must(where, "true or false", value)


def number(value: object, where: str) -> None:
    """A number that float32 can hold."""
    if isinstance(value, bool) or not (isinstance(value, int | float) and abs(value) < 3e38):
        raise _must(where, "a finite number", value)


def nothing(value: object, where: str) -> None:
    """Nothing, as Keras writes for a setting that was not made."""
    if value is not None and value is not False:
        raise Refused(f"{where} is not on the list; received {_show(value)}")


def whole(low: int, high: int) -> Rule:
    """A whole number from ``low`` to ``high``."""

    def rule(value: object, where: str) -> None:
        if isinstance(value, bool) or not (isinstance(value, int) and low <= value <= high):
            raise _must(where, f"a whole number from {low:,} to {high:,}", value)

    return rule


def optional(rule: Rule) -> Rule:
    """What ``rule`` says, or null."""
    return lambda value, where: None if value is None else rule(value, where)


def one_of(*names: object) -> Rule:
    """One of these names."""

    def rule(value: object, where: str) -> None:
        if not (isinstance(value, str | bool) and value in names):
            raise Refused(
                f"{where} is {_show(value)}, which is not on the list ({', '.join(map(str, names))})"
            )

    return rule


def items(rule: Rule, low: int = 0, high: int = 100) -> Rule:
    """A list of ``low`` to ``high`` items, each as ``rule`` says."""

    def check(value: object, where: str) -> None:
        if not (isinstance(value, list) and low <= len(value) <= high):
            raise _must(where, f"a list of {low} to {high} items", value)
        for i, item in enumerate(value):
            rule(item, f"{where}[{i}]")

    return check


def either(single: Rule, several: Rule) -> Rule:
    """What ``several`` says of a list, what ``single`` says of everything else."""
    return lambda value, where: (several if isinstance(value, list) else single)(value, where)


def by_output(rule: Rule) -> Rule:
    """One for a model, or a list or mapping with one or several for each output."""

    def check(value: object, where: str, depth: int = 0) -> None:
        if isinstance(value, dict) and _NAMING.isdisjoint(value) and depth < 2:
            text_keys(value, where)
            for key, item in value.items():
                check(item, f"{where}.{key}", depth + 1)
        elif isinstance(value, list) and depth < 2:
            items(lambda item, place: check(item, place, depth + 1))(value, where)
        elif value is not None:
            rule(value, where)

    return check


def text_keys(value: dict, where: str) -> None:
    """A mapping of at most a hundred names."""
    if len(value) > 100:
        raise _must(where, "a mapping of at most 100 names", value)
    for key in value:
        text(key, f"a name in {where}")


def settings(rules: Mapping[str, Rule], required: Sequence[str] = ()) -> Rule:
    """A mapping from names to values, each as its own rule says; null where there is no rule."""

    def check(value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise _must(where, "a mapping", value)
        for name in required:
            if name not in value:
                raise Refused(f"{where} lacks {name}")
        for key, setting in value.items():
            rules.get(key, nothing)(setting, f"{where}.{key[:LARGEST_TEXT]}")

    return check


def serialized(kinds: Mapping[tuple[str, str], Rule], names: Sequence[str] = ()) -> Rule:
    """An object as Keras writes it, of one of these kinds; or one of these names alone."""

    def check(value: object, where: str) -> None:
        if names and isinstance(value, str):
            return one_of(*names)(value, where)
        if not isinstance(value, dict):
            raise _must(where, "an object as Keras writes it", value)
        _check_name(value, where)
        kind = (value.get("module"), value["class_name"])
        if kind not in kinds:
            raise Refused(f"{where} names {kind[0]}.{kind[1]}, which is not on the list there")
        unknown = value.keys() - _KEYS_OF_OBJECTS
        for key in unknown:
            nothing(value[key], f"{where}.{key[:LARGEST_TEXT]}")
        return kinds[kind](value.get("config"), f"{where} ({kind[1]})")

    return check


_KEYS_OF_OBJECTS = {"module", "class_name", "config", "registered_name", "shared_object_id"}


# --- the list: everything but layers ----------------------------------------------------------------

_FEW = whole(0, 1_000_000)
_AXIS = whole(-8, 8)
_AXES = either(_AXIS, items(_AXIS, high=8))
_SEED = optional(whole(-(2**63), 2**64))
_PRECISIONS = one_of("float32", "bfloat16", "mixed_bfloat16")
_TYPES = one_of("float32", "bfloat16", "bool", "uint8", "int8", "int16", "int32", "int64")


def _kinds(module: str, rules: Mapping[str, Mapping[str, Rule]]) -> dict[tuple[str, str], Rule]:
    return {(module, name): settings(keys) for name, keys in rules.items()}


_POLICIES = _kinds("keras", {"DTypePolicy": {"name": _PRECISIONS}})
_policy = serialized(_POLICIES, names=("float32", "bfloat16", "mixed_bfloat16"))

_random = {"seed": _SEED, "input_axes": optional(_AXES), "output_axes": optional(_AXES)}
_INITIALIZERS = _kinds(
    "keras.initializers",
    {
        **dict.fromkeys(("Zeros", "Ones"), {}),
        "Constant": {"value": number},
        "Identity": {"gain": number},
        **dict.fromkeys(("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform"), _random),
        **dict.fromkeys(("LecunNormal", "LecunUniform"), _random),
        "VarianceScaling": _random | {"scale": number, "mode": text, "distribution": text},
        **dict.fromkeys(
            ("RandomNormal", "TruncatedNormal"), {"seed": _SEED, "mean": number, "stddev": number}
        ),
        "RandomUniform": {"seed": _SEED, "minval": number, "maxval": number},
        "Orthogonal": {"seed": _SEED, "gain": number},
    },
)
_REGULARIZERS = _kinds(
    "keras.regularizers",
    {"L1": {"l1": number}, "L2": {"l2": number}, "L1L2": {"l1": number, "l2": number}},
)
_CONSTRAINTS = _kinds(
    "keras.constraints",
    {
        "NonNeg": {},
        "UnitNorm": {"axis": _AXES},
        "MaxNorm": {"axis": _AXES, "max_value": number},
        "MinMaxNorm": {"axis": _AXES, "min_value": number, "max_value": number, "rate": number},
    },
)

_decay = {"name": text, "initial_learning_rate": number, "decay_steps": number}
_rate = {"decay_rate": number, "staircase": flag}
_SCHEDULES = _kinds(
    "keras.optimizers.schedules",
    {
        "CosineDecay": _decay
        | {"alpha": number, "warmup_target": optional(number), "warmup_steps": number},
        "CosineDecayRestarts": _decay
        | {"first_decay_steps": number, "t_mul": number, "m_mul": number, "alpha": number},
        "ExponentialDecay": _decay | _rate,
        "InverseTimeDecay": _decay | _rate,
        "PolynomialDecay": _decay | {"end_learning_rate": number, "power": number, "cycle": flag},
        "PiecewiseConstantDecay": {
            "name": text,
            "boundaries": items(number),
            "values": items(number),
        },
    },
)
_schedule = serialized(_SCHEDULES)

_optimizer_settings = {
    "name": text,
    "learning_rate": lambda value, where: (_schedule if isinstance(value, dict) else number)(
        value, where
    ),
    "use_ema": flag,
    "ema_momentum": number,
    "ema_overwrite_frequency": optional(_FEW),
    "gradient_accumulation_steps": optional(_FEW),
    **dict.fromkeys(
        ("weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "loss_scale_factor"),
        optional(number),
    ),
}
_adam = _optimizer_settings | dict.fromkeys(("beta_1", "beta_2", "epsilon"), number)
_OPTIMIZERS = _kinds(
    "keras.optimizers",
    {
        **dict.fromkeys(("Adam", "AdamW"), _adam | {"amsgrad": flag}),
        **dict.fromkeys(("Nadam", "Adamax"), _adam),
        "SGD": _optimizer_settings | {"momentum": number, "nesterov": flag},
        "RMSprop": _optimizer_settings
        | {"rho": number, "momentum": number, "epsilon": number, "centered": flag},
        "Adagrad": _optimizer_settings | {"initial_accumulator_value": number, "epsilon": number},
    },
)

_measure = {"name": optional(text), "dtype": optional(_policy), "axis": _AXIS}
_cross_entropy = _measure | {
    "from_logits": flag,
    "label_smoothing": number,
    "ignore_class": optional(whole(-1_000, 1_000)),
}
_reduction = {"reduction": optional(one_of("sum_over_batch_size", "sum", "mean", "none"))}
_SHARED_MEASURES = {
    **dict.fromkeys(
        ("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"),
        _cross_entropy,
    ),
    **dict.fromkeys(("MeanSquaredError", "MeanAbsoluteError"), _measure),
}
_LOSSES = _kinds(
    "keras.losses", {name: keys | _reduction for name, keys in _SHARED_MEASURES.items()}
)
_top = _measure | {"k": whole(1, 1_000)}
_METRICS = _kinds(
    "keras.metrics",
    {
        **_SHARED_MEASURES,
        **dict.fromkeys(("Accuracy", "SparseCategoricalAccuracy", "CategoricalAccuracy"), _measure),
        "BinaryAccuracy": _measure | {"threshold": number},
        **dict.fromkeys(("SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy"), _top),
    },
)
# A loss or metric that was given as one of Keras's functions; Keras looks these names up among its
# own losses and metrics.
_FUNCTIONS = (
    *("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"),
    *("mean_squared_error", "mean_absolute_error", "sparse_categorical_accuracy"),
    *("categorical_accuracy", "binary_accuracy", "sparse_top_k_categorical_accuracy"),
    "top_k_categorical_accuracy",
)
_FUNCTION = {("builtins", "function"): one_of(*_FUNCTIONS)}
_loss_names = (
    *_FUNCTIONS,
    *(name for _, name in _LOSSES),
    "mse",
    "mae",
    "MSE",
    "MAE",
    "crossentropy",
)
_metric_names = (*_loss_names, *(name for _, name in _METRICS), "accuracy", "acc", "ce")

_compilation = settings(
    {
        "optimizer": serialized(
            _OPTIMIZERS,
            names=(*(name for _, name in _OPTIMIZERS), *(name.lower() for _, name in _OPTIMIZERS)),
        ),
        "loss": by_output(serialized(_LOSSES | _FUNCTION, names=_loss_names)),
        "loss_weights": by_output(number),
        "metrics": by_output(serialized(_METRICS | _FUNCTION, names=_metric_names)),
        "weighted_metrics": by_output(serialized(_METRICS | _FUNCTION, names=_metric_names)),
        "run_eagerly": flag,
        "jit_compile": one_of(True, False, "auto"),
        "auto_scale_loss": flag,
        "steps_per_execution": whole(1, 1_000),
    }
)


# --- the list: layers, with what they give and hold -------------------------------------------------


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


@dataclass(frozen=True)
class _Kind:
    """A kind of layer: the rules of its settings, and what a call of it costs.

    Attributes:
        rules: Name of a setting → what it must be.
        size: Function of the settings and the input's shape (of all shapes, if ``merges``).
        merges: The layer takes a list of inputs.
        required: Settings that ``size`` reads.
    """

    rules: Mapping[str, Rule]
    size: Callable[[Mapping, object], _Size]
    merges: bool = False
    required: Sequence[str] = field(default=())


def _same(config: Mapping, shape: Shape) -> _Size:
    return _Size(shape)


def _normalization(config: Mapping, shape: Shape) -> _Size:
    for name in ("mean", "variance"):
        _check_broadcast(config.get(name), shape, name)
    return _Size(shape, 2 * prod(shape) + 1)


def _rescaling(config: Mapping, shape: Shape) -> _Size:
    for name in ("scale", "offset"):
        _check_broadcast(config.get(name), shape, name)
    return _Size(shape)


def _check_broadcast(value: object, shape: Shape, name: str) -> None:
    # A longer list would silently enlarge what the layer gives.
    if isinstance(value, list) and len(value) not in (1, shape[-1] if shape else 1):
        raise Refused(f"{name} has {len(value)} values, for an input of shape {_show(shape)}")


def _reshape(config: Mapping, shape: Shape) -> _Size:
    target = config["target_shape"]
    known = prod(size for size in target if size != -1)
    if target.count(-1) > 1 or (-1 in target and (known == 0 or prod(shape) % known)):
        raise Refused(f"target_shape {_show(target)} does not fit an input of shape {_show(shape)}")
    target = tuple(prod(shape) // known if size == -1 else size for size in target)
    if prod(target) != prod(shape):
        raise Refused(f"target_shape {_show(target)} does not fit an input of shape {_show(shape)}")
    return _Size(target)


def _permute(config: Mapping, shape: Shape) -> _Size:
    if sorted(config["dims"]) != list(range(1, len(shape) + 1)):
        raise Refused(f"dims {_show(config['dims'])} do not fit an input of shape {_show(shape)}")
    return _Size(tuple(shape[dim - 1] for dim in config["dims"]))


def _dense(config: Mapping, shape: Shape) -> _Size:
    if not shape:
        raise Refused("Dense must be given at least one value for each digit")
    units = config["units"]
    weights = shape[-1] * units
    return _Size((*shape[:-1], units), weights + units, work=prod(shape[:-1]) * weights)


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
        raise Refused(f"a window of {_show(spans)} does not fit an input of shape {_show(shape)}")
    return places


def _check_image(shape: Shape) -> None:
    if len(shape) != 3:
        raise Refused(f"its input must have height, width and channels; received {_show(shape)}")


def _convolution(config: Mapping, shape: Shape) -> _Size:
    window, filters, groups = config["kernel_size"], config["filters"], config["groups"]
    places = _places(config, shape, window)
    if shape[2] % groups or filters % groups:
        raise Refused(f"groups {groups} does not divide its {shape[2]} channels and its filters")
    weights = prod(window) * (shape[2] // groups) * filters
    return _Size((*places, filters), weights + filters, work=prod(places) * weights)


def _depthwise(config: Mapping, shape: Shape) -> _Size:
    window = config["kernel_size"]
    places = _places(config, shape, window)
    channels = shape[2] * config["depth_multiplier"]
    weights = prod(window) * channels
    return _Size((*places, channels), weights + channels, work=prod(places) * weights)


def _separable(config: Mapping, shape: Shape) -> _Size:
    first, filters = _depthwise(config, shape), config["filters"]
    weights = first.shape[2] * filters
    return _Size(
        (*first.shape[:2], filters),
        first.parameters + weights + filters,
        work=first.work + prod(first.shape[:2]) * weights,
        inside=prod(first.shape),
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
            raise Refused(f"inputs of shapes {_show(list(shapes))} do not fit together")
    return _Size(made, work=len(shapes) * prod(made))


def _concatenate(config: Mapping, shapes: Sequence[Shape]) -> _Size:
    axis, first = config["axis"], shapes[0]
    axis = axis + len(first) if axis < 0 else axis - 1
    others = {(len(shape), *shape[: max(axis, 0)], *shape[axis + 1 :]) for shape in shapes}
    if not 0 <= axis < len(first) or len(others) > 1:
        raise Refused(
            f"inputs of shapes {_show(list(shapes))} do not fit along axis {config['axis']}"
        )
    return _Size((*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :]))


def _at_most(times: int, of: Callable[[Shape], int]) -> Callable[[Mapping, Shape], _Size]:
    return lambda config, shape: _Size(shape, times * of(shape))


_initializer = serialized(_INITIALIZERS)
_regularizer = optional(serialized(_REGULARIZERS))
_constraint = optional(serialized(_CONSTRAINTS))


def _held(*names: str) -> dict[str, Rule]:
    """Make the rules of weights with these names."""
    kinds = {"initializer": _initializer, "regularizer": _regularizer, "constraint": _constraint}
    return {f"{name}_{kind}": rule for name in names for kind, rule in kinds.items()}


_each = {"name": text, "trainable": flag, "dtype": _policy, "activity_regularizer": _regularizer}
_relu = _each | {"max_value": optional(number), "negative_slope": number, "threshold": number}
_leaky, _elu = _each | {"negative_slope": number}, _each | {"alpha": number}
_softmax = _each | {"axis": _AXES}
_ACTIVATION_LAYERS = _kinds(
    "keras.layers", {"ReLU": _relu, "LeakyReLU": _leaky, "ELU": _elu, "Softmax": _softmax}
)
_activation = serialized(
    _ACTIVATION_LAYERS,
    names=(
        *("linear", "relu", "leaky_relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "swish"),
        *("mish", "sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "log_sigmoid", "tanh"),
        *("hard_tanh", "softplus", "softsign", "exponential", "softmax", "log_softmax"),
    ),
)

_pair = items(whole(1, 1_000_000), 2, 2)
_sides = items(items(_FEW, 2, 2), 2, 2)
_count = whole(1, 1_000_000_000)
_format = {"data_format": one_of("channels_last")}
_window = _format | {"strides": optional(_pair), "padding": one_of("valid", "same")}
_conv = (
    _each
    | _window
    | _held("bias")
    | {"kernel_size": _pair, "dilation_rate": _pair, "groups": _count, "filters": _count}
    | {"depth_multiplier": _count, "activation": _activation, "use_bias": flag}
)
_pooling = _each | _window | {"pool_size": _pair}
_global = _each | _format | {"keepdims": flag}
_normal = _each | _held("beta", "gamma") | {"epsilon": number, "center": flag, "scale": flag}
_batch_normal = _normal | {
    "axis": _AXIS,
    "momentum": number,
    "synchronized": nothing,
    "renorm": flag,
    "renorm_clipping": optional(settings(dict.fromkeys(("rmin", "rmax", "dmax"), number))),
    "renorm_momentum": number,
    "moving_mean_initializer": _initializer,
    "moving_variance_initializer": _initializer,
}
_values = either(number, items(number, high=10_000))
_dropout = _each | _format | {"rate": number, "seed": _SEED}
_masks = {"noise_shape": optional(items(optional(whole(1, 1)), high=8))}
_merging = _Kind(_each, _merge, merges=True)

_KINDS: dict[str, _Kind] = {
    "Rescaling": _Kind(_each | {"scale": _values, "offset": _values}, _rescaling),
    "Normalization": _Kind(
        _each
        | {"axis": optional(_AXES), "invert": flag}
        | {"mean": optional(_values), "variance": optional(_values)},
        _normalization,
    ),
    "Reshape": _Kind(
        _each | {"target_shape": items(whole(-1, 1_000_000_000), high=8)},
        _reshape,
        required=["target_shape"],
    ),
    "Permute": _Kind(_each | {"dims": items(whole(1, 8), high=8)}, _permute, required=["dims"]),
    "Flatten": _Kind(_each | _format, lambda config, shape: _Size((prod(shape),))),
    "Dense": _Kind(
        _each
        | _held("kernel", "bias")
        | {"units": _count, "activation": _activation, "use_bias": flag},
        _dense,
        required=["units"],
    ),
    "Conv2D": _Kind(
        _conv | _held("kernel"),
        _convolution,
        required=["kernel_size", "filters", "groups", "strides", "padding", "data_format"],
    ),
    "DepthwiseConv2D": _Kind(
        _conv | _held("depthwise"),
        _depthwise,
        required=["kernel_size", "depth_multiplier", "strides", "padding", "data_format"],
    ),
    "SeparableConv2D": _Kind(
        _conv | _held("depthwise", "pointwise"),
        _separable,
        required=["kernel_size", "filters", "depth_multiplier", "strides", "padding"],
    ),
    **dict.fromkeys(
        ("MaxPooling2D", "AveragePooling2D"),
        _Kind(_pooling, _pool, required=["pool_size", "strides", "padding"]),
    ),
    **dict.fromkeys(("GlobalAveragePooling2D", "GlobalMaxPooling2D"), _Kind(_global, _pool_all)),
    "Dropout": _Kind(_dropout | _masks, _same),
    "SpatialDropout2D": _Kind(_dropout, _same),
    "GaussianNoise": _Kind(_each | {"stddev": number, "seed": _SEED}, _same),
    # Four numbers for each channel, seven with renormalization; the axis may be any.
    "BatchNormalization": _Kind(_batch_normal, _at_most(7, lambda shape: max(shape, default=1))),
    "LayerNormalization": _Kind(_normal | {"axis": _AXES, "rms_scaling": flag}, _at_most(2, prod)),
    "Activation": _Kind(_each | {"activation": _activation}, _same),
    "Softmax": _Kind(_softmax, _same),
    "ReLU": _Kind(_relu, _same),
    "LeakyReLU": _Kind(_leaky, _same),
    "ELU": _Kind(_elu, _same),
    "PReLU": _Kind(_each | _held("alpha") | {"shared_axes": optional(_AXES)}, _at_most(1, prod)),
    "Cropping2D": _Kind(_each | _format | {"cropping": _sides}, _crop, required=["cropping"]),
    "ZeroPadding2D": _Kind(_each | _format | {"padding": _sides}, _pad, required=["padding"]),
    **dict.fromkeys(("Add", "Average", "Maximum", "Multiply"), _merging),
    "Concatenate": _Kind(_each | {"axis": _AXIS}, _concatenate, merges=True, required=["axis"]),
}
_LAYERS = {
    ("keras.layers", name): settings(kind.rules, ["name", *kind.required])
    for name, kind in _KINDS.items()
}
_size_or_none = optional(whole(1, 1_000_000_000))
_shape = items(_size_or_none, 1, 8)
_INPUT = {
    ("keras.layers", "InputLayer"): settings(
        {"name": text, "batch_shape": _shape, "dtype": _TYPES}, required=["batch_shape", "name"]
    )
}


# --- the list: models, layer by layer ---------------------------------------------------------------


def _layers_object(value: object, where: str, *, connected: bool = False) -> None:
    """A layer or a nested model, with what it was built for; as part of a graph, ``connected``."""
    if not isinstance(value, dict):
        raise _must(where, "a layer as Keras writes it", value)
    rules = {"build_config": _build, "compile_config": _no_compilation}
    if connected:
        rules |= {"name": text, "inbound_nodes": items(_node, high=LARGEST_CALLS)}
    if (value.get("module"), value.get("class_name")) in _MODELS:
        rules["compile_config"] = _compile
    for key, rule in rules.items():
        rule(value.get(key), f"{where}.{key}")
    rest = {key: part for key, part in value.items() if key not in rules}
    serialized(_INPUT | _LAYERS | _MODELS)(rest, where)
    if connected and value["name"] != value["config"]["name"]:
        raise Refused(f"{where} has two names, {_show(value['name'])} and another")


def _model_object(value: object, where: str) -> None:
    """A whole model."""
    if not isinstance(value, dict) or (value.get("module"), value.get("class_name")) not in _MODELS:
        raise _must(where, "a Sequential or Functional model", value)
    _layers_object(value, where)


def _layers(value: object, where: str, *, connected: bool = False) -> None:
    items(lambda layer, place: None, 1, LARGEST_CALLS)(value, where)
    for i, layer in enumerate(value):
        config = layer.get("config") if isinstance(layer, dict) else None
        name = config.get("name") if isinstance(config, dict) else i
        _layers_object(layer, f"layer {_show(name)}", connected=connected)


def _build(value: object, where: str) -> None:
    nested = either(_size_or_none, items(_size_or_none, 1, 8))
    optional(settings({"input_shape": optional(items(nested, 1, 100))}))(value, where)


def _compile(value: object, where: str) -> None:
    optional(_compilation)(value, where)


def _no_compilation(value: object, where: str) -> None:
    if value:
        raise Refused(f"{where} is on the list for models only; received {_show(value)}")


def _history(value: object, where: str) -> None:
    """Which layer's which call made a tensor, and the number of the tensor."""
    items(lambda part, place: None, 3, 3)(value, where)
    for part, rule in zip(value, (text, *2 * [whole(0, LARGEST_CALLS)]), strict=True):
        rule(part, where)


def _tensor(value: object, where: str) -> None:
    rule = settings(
        {"shape": items(_size_or_none, high=8), "dtype": _TYPES, "keras_history": _history},
        required=["shape", "dtype", "keras_history"],
    )
    serialized({(None, "__keras_tensor__"): rule})(value, where)


def _node(value: object, where: str) -> None:
    """One call of a layer in a graph: on a tensor or a list of them, with nothing else."""
    mask = either(nothing, items(nothing))
    settings(
        {
            "args": items(either(_tensor, items(_tensor, 1)), 1, 1),
            "kwargs": settings({"training": optional(flag), "mask": mask}),
        },
        required=["args", "kwargs"],
    )(value, where)


def _ends(value: object, where: str) -> None:
    """Where a graph begins or ends: one tensor or a list of them."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        _history(value, where)
    else:
        items(_history, 1)(value, where)


_model = {"name": text, "trainable": flag, "dtype": _policy}
_SEQUENTIAL, _FUNCTIONAL = ("keras", "Sequential"), ("keras.src.models.functional", "Functional")
_MODELS: dict[tuple[str, str], Rule] = {
    _SEQUENTIAL: settings(
        _model | {"layers": _layers, "build_input_shape": optional(_shape)},
        required=["name", "layers"],
    ),
    _FUNCTIONAL: settings(
        _model
        | {"layers": lambda value, where: _layers(value, where, connected=True)}
        | {"input_layers": _ends, "output_layers": _ends},
        required=["name", "layers", "input_layers", "output_layers"],
    ),
}

_REGISTERED: dict[tuple[str | None, str], str | None] = {
    **dict.fromkeys(_POLICIES | _INITIALIZERS | _REGULARIZERS | _CONSTRAINTS | _SCHEDULES),
    **dict.fromkeys(_OPTIMIZERS | _LOSSES | _METRICS | _INPUT | _LAYERS | _MODELS),
    _FUNCTIONAL: "Functional",
    ("builtins", "function"): "function",
    (None, "__keras_tensor__"): None,
}
"""Every class that may be named, and the registered name that Keras writes beside it."""


# --- sizes: the network run on shapes ---------------------------------------------------------------


@dataclass
class _Totals:
    """What the layers called so far take together."""

    calls: int = 0
    work: int = 0
    parameters: dict[int, int] = field(default_factory=dict)

    def add(self, size: _Size, layer: dict, where: str) -> None:
        """Add one call of a layer, whose parameters count once; refuse what is too much."""
        self.calls += 1
        self.work += size.work + prod(size.shape)
        self.parameters[id(layer)] = max(self.parameters.get(id(layer), 0), size.parameters)
        held, values = sum(self.parameters.values()), max(prod(size.shape), size.inside)
        if min(size.shape, default=1) < 1 or len(size.shape) > 8:
            raise Refused(f"{where} would give digits of shape {_show(size.shape)}")
        for received, most, what in (
            (values, LARGEST_LAYER, "values for each digit"),
            (held, LARGEST_PARAMETERS, "parameters, with the layers before it"),
            (self.work, LARGEST_WORK, "multiplications for each digit, with the layers before it"),
            (self.calls, LARGEST_CALLS, "calls of layers, with those before it"),
        ):
            if received > most:
                raise Refused(f"{where} makes {received:,} {what}; at most {most:,} are loaded")


def _run(layer: dict, shapes: list[Shape] | None, totals: _Totals) -> list[Shape]:
    """Find what a layer or model gives, without the batch; ``shapes`` None: as it declares itself."""
    config, kind = layer["config"], layer["class_name"]
    where = f"layer {_show(config['name'])} ({kind})"
    if kind in ("Sequential", "Functional"):
        run = _run_sequential if kind == "Sequential" else _run_functional
        return run(layer, shapes, totals)
    if kind == "InputLayer":
        raise Refused(f"{where} stands between other layers")
    if len(shapes) != 1 and not _KINDS[kind].merges:
        raise Refused(f"{where} is given {len(shapes)} inputs and takes one")
    try:
        size = _KINDS[kind].size(config, shapes if _KINDS[kind].merges else shapes[0])
    except Refused as error:
        raise Refused(f"{where}: {error}") from error
    totals.add(size, layer, where)
    return [size.shape]


def _run_sequential(model: dict, shapes: list[Shape] | None, totals: _Totals) -> list[Shape]:
    config = model["config"]
    where, rest = f"model {_show(config['name'])}", config["layers"]
    declared = [config.get("build_input_shape")]
    if rest[0]["class_name"] == "InputLayer":
        declared.append(rest[0]["config"]["batch_shape"])
        rest = rest[1:]
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
    where = f"model {_show(config['name'])}"
    layers = {layer["name"]: layer for layer in config["layers"]}
    if len(layers) < len(config["layers"]):
        raise Refused(f"{where} has several layers of one name")
    inputs = {name for name, layer in layers.items() if layer["class_name"] == "InputLayer"}
    begins = [history[0] for history in _as_list(config["input_layers"])]
    if sorted(begins) != sorted(inputs):
        raise Refused(f"{where} must begin at its InputLayers; received {_show(begins)}")
    declared = [layers[name]["config"]["batch_shape"] for name in begins]
    shapes = [_fill(shape) for shape in declared] if shapes is None else shapes
    _check_fits(declared, shapes, where)
    made: dict[str, list[list[Shape]]] = {}
    for name, shape in zip(begins, shapes, strict=True):
        totals.add(_Size(shape), layers[name], f"layer {_show(name)} (InputLayer)")
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
            raise Refused(f"layer {_show(name)} is connected to nothing")
        if layer["inbound_nodes"] and name in made:
            raise Refused(f"layer {_show(name)} (InputLayer) is called on something")
    while waiting:
        later = []
        for name, node in waiting:
            tensors = node["args"][0]
            histories = [
                tensor["config"]["keras_history"]
                for tensor in (tensors if isinstance(tensors, list) else [tensors])
            ]
            given = [_find(history, layers, made, f"layer {_show(name)}") for history in histories]
            # The calls of one layer are numbered, so each waits for the one before it.
            if None in given or any(name == other for other, _ in later):
                later.append((name, node))
                continue
            taken[name].append(given)
            made.setdefault(name, []).append(_run(layers[name], given, totals))
        if len(later) == len(waiting):
            raise Refused(f"layer {_show(later[0][0])} waits for a call that is never made")
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
        raise Refused(f"{where} is given something of an unknown layer {_show(name)}")
    calls = made.get(name, [])
    if layers[name]["class_name"] in ("Sequential", "Functional"):
        # Keras counts the calls of a nested model from 0 or from 1.
        if calls and any(other != calls[0] for other in calls):
            raise Refused(f"layer {_show(name)} is a model called on inputs of several sizes")
        call = 0
    if call >= len(calls):
        return None
    if tensor >= len(calls[call]):
        raise Refused(f"{where} is given tensor {tensor} of layer {_show(name)}, which has fewer")
    return calls[call][tensor]


def _as_list(ends: list) -> Iterator[list]:
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
            f"{where} declares inputs of shapes {_show(declared)} and is given {_show(list(shapes))}"
        )


def _check_built(layer: dict, given: list[list[Shape]]) -> None:
    """Check that what a layer is to be built for is among what it is called on."""
    shape = (layer.get("build_config") or {}).get("input_shape")
    if shape is None:
        return
    declared = shape if isinstance(shape[0], list) else [shape]
    where = f"layer {_show(layer['config']['name'])} ({layer['class_name']})"
    for i, shapes in enumerate(given):
        try:
            return _check_fits(declared, shapes, where)
        except Refused:
            if i == len(given) - 1:
                raise
