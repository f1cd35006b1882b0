"""What a model file may ask Keras to build: names, settings and sizes, each from a list.

Keras builds whatever a configuration names, and calls functions and constructors on the way, also
in its safe mode (arXiv:2509.06703 shows several ways). So each part of a configuration is compared
here with what Keras itself writes for usual classifiers, before Keras sees it; what is not on the
list is refused. Only the standard library is needed: nothing that a file names is ever looked up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mnistlib import sizes
from mnistlib._rules import (
    NAMING,
    Refused,
    Rule,
    by_output,
    either,
    flag,
    items,
    must,
    nothing,
    number,
    one_of,
    optional,
    serialized,
    settings,
    show,
    text,
    whole,
)

LARGEST_PARTS = 50_000
"""Lists and objects in a configuration: a hundred for each of the layers that are allowed."""

LARGEST_MEASURES = 100
"""Losses and metrics of a configuration: ten for each of ten outputs."""

LARGEST_CURVES = 1_000_000
"""Points on the curves of a configuration's AUCs: four numbers each, made while a file loads."""

LARGEST_DEPTH = 60
"""Levels of lists and objects in a configuration: a nested model takes seven."""


def check_config(text: bytes) -> sizes.Cost:
    """Check the configuration of a model, ``config.json`` of a ``.keras`` file.

    Args:
        text: The file's bytes, JSON.

    Returns:
        What the network takes.

    Raises:
        Refused: The configuration is damaged, or asks for something that is not on the list.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"config.json is no JSON that can be read ({error})") from error
    if not isinstance(config, dict):
        raise must("config.json", "a model as Keras writes it", config)
    _check_names(config)
    _model_object(config, "the model")
    return sizes.check(config)


# --- names ---------------------------------------------------------------------------------------


def _check_names(config: dict) -> None:
    """Compare every name of a class or function, at any depth, with the list.

    The rules below do so once more where they expect an object. This walk also finds names where
    nothing expects one, and tells of a foreign name before anything else is complained of.
    """
    shared: list[tuple[dict, str]] = []
    waiting, seen = [(config, "", 0)], 0
    while waiting:
        value, where, depth = waiting.pop()
        seen += 1
        if depth > LARGEST_DEPTH or seen > LARGEST_PARTS:
            raise Refused(
                f"its configuration holds more than {LARGEST_PARTS:,} lists and objects, or more "
                f"than {LARGEST_DEPTH} of them within each other"
            )
        if isinstance(value, dict) and not NAMING.isdisjoint(value):
            _check_name(value, where.lstrip(".") or "the model")
            if value.get("shared_object_id") is not None:
                shared.append((value, where.lstrip(".")))
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        # The last is looked at first, so that the first foreign name in the file is the one told.
        waiting += reversed(
            [
                (
                    part,
                    f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key[:30]}",
                    depth + 1,
                )
                for key, part in parts
                if isinstance(part, dict | list)
            ]
        )
    _check_shared(shared)


def _check_name(value: dict, where: str) -> None:
    module, name = value.get("module"), value.get("class_name")
    registered = value.get("registered_name")
    for part in (module, name, registered):
        if isinstance(part, str) and part.startswith(("mnistlib.", "mnistlib>")):
            own = f"mnistlib>{name}" if part is module else part
            raise Refused(
                f"it was written by an earlier version of this project, whose own layers it names "
                f"({show(own)}): train the network anew and save it"
            )
    if not (isinstance(name, str) and (module is None or isinstance(module, str))):
        raise Refused(f"{where} names module {show(module)} and class {show(name)}, no known ones")
    if "spec_name" in value or (module, name) not in _REGISTERED:
        full = ".".join(part for part in (module, name) if part)
        if name == "function":
            full += f" {show(value.get('config'))}"
        raise Refused(f"{where} names {show(full)[1:-1]}, which is not on the list")
    if registered is not None and registered != _REGISTERED[module, name]:
        raise Refused(
            f"{where} has the registered name {show(registered)}, which is not on the list"
        )


def _check_shared(shared: Sequence[tuple[dict, str]]) -> None:
    """Check that one number stands for one object: Keras takes the first for all of them."""
    first: dict[int, dict] = {}
    for value, where in shared:
        number = value["shared_object_id"]
        whole(0, 2**64)(number, f"{where}.shared_object_id")
        if (value.get("module"), value.get("class_name")) in _LAYERS | _MODELS:
            raise Refused(f"{where} is a layer of several models at once, which is not on the list")
        if first.setdefault(number, value) != value:
            raise Refused(f"{where} shares its number, {number}, with a different object")


# --- the list: everything but layers -------------------------------------------------------------

_FEW = whole(0, 1_000_000)
_AXIS = whole(-8, 8)
_AXES = either(_AXIS, items(_AXIS, high=8))
_SEED = optional(whole(-(2**63), 2**64))
_PRECISIONS = one_of("float32", "bfloat16", "mixed_bfloat16")
_TYPES = one_of("float32", "bfloat16", "bool", "uint8", "int8", "int16", "int32", "int64")


def _kinds(
    module: str,
    rules: Mapping[str, Mapping[str, Rule]],
    required: Mapping[str | None, Sequence[str]] = MappingProxyType({}),
) -> dict[tuple[str, str], Rule]:
    """Make rules for classes of a module of Keras; ``required[None]`` holds for all of them."""
    every = required.get(None, ())
    return {
        (module, name): settings(keys, [*every, *required.get(name, ())])
        for name, keys in rules.items()
    }


def _alike(rules: Mapping[str, Rule], *names: str) -> dict[str, Mapping[str, Rule]]:
    """Give several classes the same rules."""
    return dict.fromkeys(names, rules)


_POLICIES = _kinds("keras", {"DTypePolicy": {"name": _PRECISIONS}})
_policy = serialized(_POLICIES, names=("float32", "bfloat16", "mixed_bfloat16"))

_random = {"seed": _SEED, "input_axes": optional(_AXES), "output_axes": optional(_AXES)}
_INITIALIZERS = _kinds(
    "keras.initializers",
    {
        **_alike({}, "Zeros", "Ones"),
        "Constant": {"value": number},
        "Identity": {"gain": number},
        **_alike(_random, "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform"),
        **_alike(_random, "LecunNormal", "LecunUniform"),
        "VarianceScaling": _random | {"scale": number, "mode": text, "distribution": text},
        **_alike(
            {"seed": _SEED, "mean": number, "stddev": number}, "RandomNormal", "TruncatedNormal"
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
        **_alike(_adam | {"amsgrad": flag}, "Adam", "AdamW"),
        **_alike(_adam, "Nadam", "Adamax"),
        "SGD": _optimizer_settings | {"momentum": number, "nesterov": flag},
        "RMSprop": _optimizer_settings
        | {"rho": number, "momentum": number, "epsilon": number, "centered": flag},
        "Adagrad": _optimizer_settings | {"initial_accumulator_value": number, "epsilon": number},
        "Adadelta": _optimizer_settings | {"rho": number, "epsilon": number},
        "Lion": _optimizer_settings | {"beta_1": number, "beta_2": number},
        "Ftrl": _optimizer_settings
        | dict.fromkeys(("learning_rate_power", "initial_accumulator_value", "beta"), number)
        | dict.fromkeys(
            (
                "l1_regularization_strength",
                "l2_regularization_strength",
                "l2_shrinkage_regularization_strength",
            ),
            number,
        ),
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
    **_alike(
        _cross_entropy,
        "SparseCategoricalCrossentropy",
        "CategoricalCrossentropy",
        "BinaryCrossentropy",
    ),
    **_alike(_measure, "MeanSquaredError", "MeanAbsoluteError"),
}
_LOSSES = _kinds(
    "keras.losses", {name: keys | _reduction for name, keys in _SHARED_MEASURES.items()}
)
_top = _measure | {"k": whole(1, 1_000)}
_thresholds = optional(either(number, items(number, high=1_000)))
_counted = _measure | {
    "thresholds": _thresholds,
    "top_k": optional(whole(1, 1_000)),
    "class_id": optional(whole(0, 1_000)),
}
_METRICS = _kinds(
    "keras.metrics",
    {
        **_SHARED_MEASURES,
        **_alike(_measure, "Accuracy", "SparseCategoricalAccuracy", "CategoricalAccuracy"),
        "BinaryAccuracy": _measure | {"threshold": number},
        **_alike(_top, "SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy"),
        **_alike(_counted, "Precision", "Recall"),
        "AUC": _measure
        | {
            # Keras makes an array of this length.
            "num_thresholds": whole(2, 10_000),
            "curve": one_of("ROC", "PR", "PRGAIN"),
            "summation_method": one_of("interpolation", "minoring", "majoring"),
            "multi_label": flag,
            "num_labels": optional(whole(1, 1_000)),
            "label_weights": optional(items(number, high=1_000)),
            "from_logits": flag,
        },
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
_short_names = ("mse", "mae", "MSE", "MAE", "crossentropy")
_loss_names = (*_FUNCTIONS, *_short_names, *(name for _, name in _LOSSES))
_metric_names = (
    *_loss_names,
    *(name for _, name in _METRICS),
    *("accuracy", "acc", "ce", "auc", "precision", "recall"),
)

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


# --- the list: layers ----------------------------------------------------------------------------

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
_LAYERS = _kinds(
    "keras.layers",
    {
        "Rescaling": _each | {"scale": _values, "offset": _values},
        "Normalization": _each
        | {"axis": optional(_AXES), "invert": flag}
        | {"mean": optional(_values), "variance": optional(_values)},
        "Reshape": _each | {"target_shape": items(whole(-1, 1_000_000_000), high=8)},
        "Permute": _each | {"dims": items(whole(1, 8), high=8)},
        "Flatten": _each | _format,
        "Dense": _each
        | _held("kernel", "bias")
        | {"units": _count, "activation": _activation, "use_bias": flag},
        "Conv2D": _conv | _held("kernel"),
        "DepthwiseConv2D": _conv | _held("depthwise"),
        "SeparableConv2D": _conv | _held("depthwise", "pointwise"),
        "MaxPooling2D": _pooling,
        "AveragePooling2D": _pooling,
        "GlobalAveragePooling2D": _global,
        "GlobalMaxPooling2D": _global,
        "Dropout": _dropout | {"noise_shape": optional(items(optional(whole(1, 1)), high=8))},
        "SpatialDropout2D": _dropout,
        "GaussianNoise": _each | {"stddev": number, "seed": _SEED},
        "BatchNormalization": _batch_normal,
        "LayerNormalization": _normal | {"axis": _AXES, "rms_scaling": flag},
        "Activation": _each | {"activation": _activation},
        "Softmax": _softmax,
        "ReLU": _relu,
        "LeakyReLU": _leaky,
        "ELU": _elu,
        "PReLU": _each | _held("alpha") | {"shared_axes": optional(_AXES)},
        "Cropping2D": _each | _format | {"cropping": _sides},
        "ZeroPadding2D": _each | _format | {"padding": _sides},
        "Concatenate": _each | {"axis": _AXIS},
        **_alike(_each, "Add", "Average", "Maximum", "Multiply"),
    },
    required={
        None: ["name"],
        "Reshape": ["target_shape"],
        "Permute": ["dims"],
        "Dense": ["units"],
        "Conv2D": ["kernel_size", "filters", "groups", "padding"],
        "DepthwiseConv2D": ["kernel_size", "depth_multiplier", "padding"],
        "SeparableConv2D": ["kernel_size", "depth_multiplier", "filters", "padding"],
        "MaxPooling2D": ["pool_size", "padding"],
        "AveragePooling2D": ["pool_size", "padding"],
        "Cropping2D": ["cropping"],
        "ZeroPadding2D": ["padding"],
        "Concatenate": ["axis"],
    },
)
_size_or_none = optional(whole(1, 1_000_000_000))
_shape = items(_size_or_none, 1, 8)
_INPUT = {
    ("keras.layers", "InputLayer"): settings(
        {"name": text, "batch_shape": _shape, "dtype": _TYPES}, required=["batch_shape", "name"]
    )
}


# --- the list: models, layer by layer ------------------------------------------------------------


def _layers_object(value: object, where: str, *, connected: bool = False) -> None:
    """A layer or a nested model, with what it was built for; as part of a graph, ``connected``."""
    if not isinstance(value, dict):
        raise must(where, "a layer as Keras writes it", value)
    rules = {"build_config": _build, "compile_config": _no_compilation}
    if connected:
        rules |= {"name": text, "inbound_nodes": items(_node, high=sizes.LARGEST_CALLS)}
    if (value.get("module"), value.get("class_name")) in _MODELS:
        rules["compile_config"] = _compile
    for key, rule in rules.items():
        rule(value.get(key), f"{where}.{key}")
    rest = {key: part for key, part in value.items() if key not in rules}
    serialized(_INPUT | _LAYERS | _MODELS)(rest, where)
    if connected and value["name"] != value["config"]["name"]:
        raise Refused(f"{where} has two names, {show(value['name'])} and another")


def _model_object(value: object, where: str) -> None:
    """A whole model."""
    if not isinstance(value, dict) or (value.get("module"), value.get("class_name")) not in _MODELS:
        raise must(where, "a Sequential or Functional model", value)
    _layers_object(value, where)


def _layers(value: object, where: str, *, connected: bool = False) -> None:
    items(lambda layer, place: None, 1, sizes.LARGEST_CALLS)(value, where)
    for i, layer in enumerate(value):
        config = layer.get("config") if isinstance(layer, dict) else None
        name = config.get("name") if isinstance(config, dict) else i
        _layers_object(layer, f"layer {show(name)}", connected=connected)


def _build(value: object, where: str) -> None:
    nested = either(_size_or_none, items(_size_or_none, 1, 8))
    optional(settings({"input_shape": optional(items(nested, 1, 100))}))(value, where)


def _compile(value: object, where: str) -> None:
    optional(_compilation)(value, where)
    measures, points = 0, 0
    waiting = [(value or {}).get(name) for name in ("loss", "metrics", "weighted_metrics")]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list) or (isinstance(part, dict) and NAMING.isdisjoint(part)):
            waiting += part.values() if isinstance(part, dict) else part
            continue
        measures += part is not None
        if isinstance(part, dict) and part["class_name"] == "AUC":
            curve = part["config"]
            labels = curve.get("num_labels") or (10 if curve.get("multi_label") else 1)
            points += labels * curve.get("num_thresholds", 200)
    if measures > LARGEST_MEASURES or points > LARGEST_CURVES:
        raise Refused(
            f"{where} has {measures:,} losses and metrics, with {points:,} points on curves; at "
            f"most {LARGEST_MEASURES} and {LARGEST_CURVES:,} are loaded"
        )


def _no_compilation(value: object, where: str) -> None:
    if value:
        raise Refused(f"{where} is on the list for models only; received {show(value)}")


def _history(value: object, where: str) -> None:
    """Which layer's which call made a tensor, and the number of the tensor."""
    items(lambda part, place: None, 3, 3)(value, where)
    for part, rule in zip(value, (text, *2 * [whole(0, sizes.LARGEST_CALLS)]), strict=True):
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
