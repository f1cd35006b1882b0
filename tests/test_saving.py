"""Model files: what is legal opens and predicts the same; what could act or swell is refused.

Every attack is a real file, made here from a good one. None of them is opened by Keras, but for one
in a process of its own, to show that it would act.
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import json
import os
import random
import re
import struct
import subprocess
import sys
import time
import tracemalloc
import types
import zipfile
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnistlib import allowlist, models, saving, sizes, training

layers = keras.layers
# Keras 3.14 has brought it.
RENORM = {"renorm": True} if "renorm" in layers.BatchNormalization(name="x").get_config() else {}


# --- what is legal -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype(np.uint8)


def sequential(*parts, compiled=None, **options) -> keras.Model:
    """Put layers between 28×28 pixels and ten probabilities."""
    ends = [layers.Flatten(), layers.Dense(10, activation="softmax", **options)]
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 255), *parts, *ends])
    if compiled:
        model.compile(**compiled)
    return model


def branches() -> keras.Model:
    pixels = keras.Input((28, 28), name="pixels")
    x = layers.Reshape((28, 28, 1))(pixels)
    x = layers.ZeroPadding2D(((2, 1), (0, 3)))(x)
    x = layers.Cropping2D(((1, 2), (2, 1)))(x)
    shared = layers.Conv2D(4, 3, padding="same", activation="relu")
    left, right = shared(x), shared(layers.GaussianNoise(0.1)(x))
    right = layers.BatchNormalization()(right, training=False)
    both = [left, layers.PReLU(shared_axes=[1, 2])(right)]
    x = layers.Concatenate()(
        [layer(both) for layer in (layers.Add(), layers.Average(), layers.Maximum())]
        + [layers.Multiply()(both)]
    )
    x = layers.AveragePooling2D(2)(x)
    x = layers.Permute((2, 1, 3))(x)
    nested = keras.Sequential([keras.Input((14, 14, 16)), layers.SeparableConv2D(6, 3)])
    inner = keras.Input((12, 12, 6))
    graph = keras.Model(inner, layers.DepthwiseConv2D(3, depth_multiplier=2)(inner))
    x = graph(nested(x))
    x = layers.LayerNormalization()(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return keras.Model(pixels, layers.Dense(10, activation="softmax")(x))


def other_layers() -> keras.Model:
    regularizers, constraints = keras.regularizers, keras.constraints
    return sequential(
        layers.Normalization(mean=0.5, variance=0.1),
        layers.Conv2D(
            4,
            (3, 5),
            strides=2,
            kernel_initializer=keras.initializers.HeNormal(seed=3),
            kernel_regularizer=regularizers.L1L2(0.1, 0.2),
            kernel_constraint=constraints.MaxNorm(3),
            activity_regularizer=regularizers.L2(0.1),
        ),
        layers.Conv2D(4, 3, dilation_rate=2, groups=2, padding="same", use_bias=False),
        layers.MaxPooling2D(3, strides=1, padding="same"),
        layers.SpatialDropout2D(0.2, seed=1),
        layers.LeakyReLU(0.1),
        layers.ELU(),
        layers.ReLU(6.0),
        layers.Activation("gelu"),
        layers.BatchNormalization(**RENORM),
        layers.Dropout(0.3, seed=4),
        layers.Flatten(),
        layers.Dense(12, activation=layers.LeakyReLU(0.2), kernel_regularizer="l1"),
        layers.Dense(12, kernel_constraint="non_neg", bias_initializer="ones"),
        layers.Softmax(),
        kernel_initializer=keras.initializers.Orthogonal(seed=1),
    )


def open_size() -> keras.Model:
    """A network for images of any size."""
    parts = [layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input((None, None, 1)), *parts, layers.Dense(10, "softmax")])


def without_input() -> keras.Model:
    model = keras.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.build((None, 28, 28))
    return model


def halves() -> keras.Model:
    """In half of the bits, and with one initializer for two layers."""
    start = keras.initializers.GlorotUniform(seed=7)
    return sequential(
        layers.Conv2D(4, 3, dtype="mixed_bfloat16", kernel_initializer=start),
        layers.Conv2D(4, 3, dtype="bfloat16", kernel_initializer=start),
        dtype="float32",
    )


def compiled_with(optimizer, loss, metrics=("accuracy",), **options) -> Callable[[], keras.Model]:
    arguments = {"optimizer": optimizer, "loss": loss, "metrics": list(metrics), **options}
    return lambda: sequential(compiled=arguments)


optimizers, schedules, losses = keras.optimizers, keras.optimizers.schedules, keras.losses
HAND_WRITTEN: dict[str, Callable[[], keras.Model]] = {
    "branches": branches,
    "other layers": other_layers,
    "open size": open_size,
    "without input": without_input,
    "halves": halves,
    "adam": compiled_with("adam", "sparse_categorical_crossentropy"),
    "function": compiled_with(
        optimizers.AdamW(schedules.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=2)),
        losses.sparse_categorical_crossentropy,
        [keras.metrics.sparse_categorical_accuracy, keras.metrics.SparseTopKCategoricalAccuracy(3)],
    ),
    "one-hot": compiled_with(
        optimizers.SGD(schedules.ExponentialDecay(0.1, 10, 0.9), momentum=0.9, nesterov=True),
        losses.CategoricalCrossentropy(label_smoothing=0.1),
        ["categorical_accuracy", keras.metrics.CategoricalCrossentropy(), "mse"],
        jit_compile=False,
        steps_per_execution=4,
    ),
    "rmsprop": compiled_with(
        optimizers.RMSprop(schedules.PiecewiseConstantDecay([5, 9], [0.1, 0.01, 0.001])),
        ["mean_squared_error"],
        [["mae", keras.metrics.TopKCategoricalAccuracy(2)]],
        weighted_metrics=[["acc"]],
    ),
    "nadam": compiled_with(
        optimizers.Nadam(schedules.InverseTimeDecay(0.1, 9, 0.5)), losses.BinaryCrossentropy()
    ),
    "adamax": compiled_with(
        optimizers.Adamax(schedules.PolynomialDecay(0.1, 9)), losses.MeanAbsoluteError()
    ),
    "adagrad": compiled_with(
        optimizers.Adagrad(schedules.CosineDecayRestarts(0.1, 9), clipnorm=1.0, use_ema=True),
        losses.MeanSquaredError(),
        [
            keras.metrics.BinaryAccuracy(),
            keras.metrics.Accuracy(),
            keras.metrics.MeanSquaredError(),
        ],
    ),
    "adadelta": compiled_with(
        optimizers.Adadelta(0.1, rho=0.9),
        losses.CategoricalCrossentropy(),
        [
            keras.metrics.AUC(num_thresholds=50, curve="PR", multi_label=True, num_labels=10),
            keras.metrics.Precision(thresholds=[0.25, 0.75]),
            keras.metrics.Recall(top_k=2, class_id=3),
        ],
    ),
    "lion": compiled_with(
        optimizers.Lion(schedules.ExponentialDecay(0.1, 10, 0.9)),
        losses.CategoricalCrossentropy(),
        ["auc", keras.metrics.AUC()],
    ),
    "ftrl": compiled_with(optimizers.Ftrl(0.1), "mse"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory, images) -> dict[str, tuple[Path, np.ndarray]]:
    """Every network of the series, saved as built and as trained, with what it predicts."""
    folder, saved = tmp_path_factory.mktemp("networks"), {}
    y = np.arange(len(images)) % 10
    for name, trained in itertools.product(models.NAMES, (False, True)):
        model = models.build(name, seed=1)
        if trained:
            training.fit(model, images, y, recipe=name, epochs=1, jit_compile=False)
        path = models.save(model, folder / f"{name}-{'trained' if trained else 'built'}.keras")
        saved[path.stem] = (path, np.asarray(model(images, training=False)))
    return saved


@pytest.mark.parametrize("name", models.NAMES)
def test_networks_of_the_series_pass_and_predict_the_same(files, images, name):
    for state in ("built", "trained"):
        path, expected = files[f"{name}-{state}"]
        loaded = models.load(path)
        np.testing.assert_array_equal(loaded(images, training=False), expected)
        assert loaded.compiled == (state == "trained")


# Keras says so of an optimizer that has not stepped yet.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_usual_networks_pass_and_predict_the_same(tmp_path, images, name):
    model = HAND_WRITTEN[name]()
    x = images if len(model.input_shape) == 3 else images[..., None]
    models.save(model, tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x, training=False), model(x, training=False))
    if model.compiled:
        assert type(loaded.optimizer) is type(model.optimizer)
        assert loaded.get_compile_config() == model.get_compile_config()


def test_model_saved_after_training_goes_on(tmp_path, images):
    model = HAND_WRITTEN["adam"]()
    model.fit(images[..., None], np.arange(len(images)) % 10, verbose=0)
    loaded = models.load(models.save(model, tmp_path / "model.keras"))
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) > 0
    for own, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(own, other)


def run_python(code: str, *arguments: object, timeout: float = 240) -> str:
    """Run code in a fresh interpreter that sees no project, home folder or variable of ours."""
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={"PATH": os.environ["PATH"], "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
    return ran.stdout


ELSEWHERE = """
import sys, pathlib
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mnistlib":
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import keras, numpy as np
folder, out = map(pathlib.Path, sys.argv[1:])
images = np.load(out / "images.npy")
for path in sorted(folder.glob("*.keras")):
    model = keras.saving.load_model(path)
    np.save(out / path.stem, model(images, training=False))
    if path.stem == "cnn_fast-trained":
        model.export(out / path.stem, verbose=False)
        import tensorflow as tf
        served = tf.saved_model.load(out / path.stem)
        np.save(out / f"{path.stem}-exported", served.serve(images))
print("mnistlib" in sys.modules)
"""


def test_saved_networks_open_predict_and_export_without_this_package(files, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    folder = next(iter(files.values()))[0].parent
    assert run_python(ELSEWHERE, folder, tmp_path).splitlines()[-1] == "False"
    for name, (_, expected) in files.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-5)
    exported = np.load(tmp_path / "cnn_fast-trained-exported.npy")
    np.testing.assert_allclose(exported, files["cnn_fast-trained"][1], atol=1e-5)


# --- making bad files of good ones ---------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> SimpleModel:
    """A small network with what a configuration can hold: graph, policy, optimizer, metrics."""
    pixels = keras.Input((28, 28), name="pixels")
    x = layers.Flatten(name="flat")(pixels)
    x = layers.Dense(8, activation="relu", kernel_regularizer="l2", name="hidden")(x)
    x = layers.Add(name="twice")([x, layers.Dropout(0.1, name="drop")(x)])
    model = keras.Model(pixels, layers.Dense(10, activation="softmax", name="digit")(x))
    model.compile(
        keras.optimizers.Adam(schedules.CosineDecay(0.1, 10)),
        losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    model.optimizer.build(model.trainable_variables)
    path = models.save(model, tmp_path_factory.mktemp("good") / "good.keras")
    models.load(path)  # else every refusal below would prove nothing
    return SimpleModel(path)


class SimpleModel:
    """A saved model, its members and its configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        # As Keras writes it: a manifest would refuse every change before it is looked at.
        metadata = json.loads(self.members["metadata.json"])
        self.manifest = metadata.pop("mnistlib")
        self.members["metadata.json"] = json.dumps(metadata).encode()

    @property
    def config(self) -> dict:
        return json.loads(self.members["config.json"])

    def write(self, path: Path, **members: bytes | str | dict) -> Path:
        """Write the file with other members: ``config=…``, ``metadata=…``, ``weights=…``."""
        names = {
            "config": "config.json",
            "metadata": "metadata.json",
            "weights": "model.weights.h5",
        }
        changed = {
            names[key]: json.dumps(value) if isinstance(value, dict) else value
            for key, value in members.items()
        }
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (self.members | changed).items():
                archive.writestr(name, content)
        return path


def layer_named(config: dict, name: str) -> dict:
    return next(part for part in config["config"]["layers"] if part["config"]["name"] == name)


@contextlib.contextmanager
def cheap(seconds: float = 1.0, megabytes: float = 60) -> Iterator[None]:
    """Fail where more of the processor's time or of memory than this is taken."""
    tracemalloc.start()
    # Not the clock: beside other work on the machine, that runs on.
    start = time.process_time()
    try:
        yield
        took, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Tracing makes Python about five times slower.
    assert took < 5 * seconds
    assert peak < megabytes * 1e6


def refused(path: Path, *reasons: str) -> None:
    """Check that both ways of opening the file refuse it, name it and say each of these."""
    for refuse in (saving.check, models.load):
        with pytest.raises(
            ValueError, match=r"is no model that (Keras saved|is opened here): "
        ) as caught:
            refuse(path)
        for part in (str(path), *reasons):
            assert part in str(caught.value)
        assert len(str(caught.value)) < 2_000


def lambda_layer(path: Path) -> dict:
    """A layer that calls a function which Keras exports, on pixels that stand in the file."""
    function = {
        "module": "keras.visualization",
        "class_name": "function",
        "config": "plot_image_gallery",
        "registered_name": "plot_image_gallery",
    }
    settings_ = {"name": "act", "function": function}
    settings_["arguments"] = {"path": str(path), "rows": 1, "cols": 1}
    pixels = {"value": np.zeros((1, 4, 4, 3)).tolist(), "dtype": "uint8"}
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": settings_,
        "registered_name": None,
        "name": "act",
        "inbound_nodes": [{"args": [{"class_name": "__numpy__", "config": pixels}], "kwargs": {}}],
    }


def test_lambda_that_names_a_function_of_keras_is_refused_and_not_run(good, tmp_path):
    written, config = tmp_path / "written.png", good.config
    config["config"]["layers"].append(lambda_layer(written))
    path = good.write(tmp_path / "lambda.keras", config=config)
    refused(path, "keras.layers.Lambda, which is not on the list")
    config["config"]["layers"][-1]["class_name"] = "Dense"
    path_of_function = good.write(tmp_path / "function.keras", config=config)
    refused(path_of_function, "keras.visualization.function 'plot_image_gallery'")
    assert not written.exists()
    # Keras itself, in its safe mode, writes the file. Should a later Keras refuse it, then this
    # part of the test has served its time.
    code = """
import contextlib, sys
import keras
with contextlib.suppress(Exception):
    keras.saving.load_model(sys.argv[1], safe_mode=True)
"""
    run_python(code, path)
    assert written.exists()


def test_lambda_of_python_code_is_refused(tmp_path):
    model = sequential(layers.Lambda(lambda x: x * 2))
    model.save(tmp_path / "lambda.keras")
    refused(tmp_path / "lambda.keras", "names ")


def test_operations_between_layers_are_refused(tmp_path):
    pixels = keras.Input((28, 28))
    x = layers.Flatten()(pixels)
    keras.Model(pixels, layers.Dense(10, "softmax")(x * 2)).save(tmp_path / "times.keras")
    refused(tmp_path / "times.keras", "keras.src.ops.numpy.Multiply", "not on the list")
    keras.Model(pixels, layers.Dense(10, "softmax")(x[:, :20])).save(tmp_path / "part.keras")
    refused(tmp_path / "part.keras", "GetItem", "not on the list")


def test_files_of_earlier_versions_are_told_to_be_trained_anew(good, tmp_path):
    for change in (
        {"module": "mnistlib.models", "class_name": "PatchConv2D"},
        {"module": None, "class_name": "PatchConv2D", "registered_name": "mnistlib>PatchConv2D"},
    ):
        config = good.config
        layer_named(config, "hidden").update(change)
        path = good.write(tmp_path / "old.keras", config=config)
        refused(path, "earlier version of this project", "mnistlib>PatchConv2D", "train")


# --- names that are not on the list --------------------------------------------------------------

OBJECT = {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None}


def put(*where: str | int) -> Callable[[dict, object], None]:
    """Make a function that puts a value at a place in a layer's configuration or elsewhere."""

    def change(config: dict, value: object) -> None:
        at = config
        for key in where[:-1]:
            at = layer_named(config, key[1:]) if str(key).startswith("@") else at[key]
        at[where[-1]] = value

    return change


PLACES = {
    "initializer": put("@hidden", "config", "kernel_initializer"),
    "initializer's setting": put("@hidden", "config", "kernel_initializer", "config", "seed"),
    "regularizer": put("@hidden", "config", "kernel_regularizer"),
    "regularizer's setting": put("@hidden", "config", "kernel_regularizer", "config", "l2"),
    "activity": put("@hidden", "config", "activity_regularizer"),
    "constraint": put("@hidden", "config", "bias_constraint"),
    "activation": put("@digit", "config", "activation"),
    "policy": put("@digit", "config", "dtype"),
    "policy's name": put("@digit", "config", "dtype", "config", "name"),
    "quantization": put("@digit", "config", "quantization_config"),
    "name": put("@digit", "config", "name"),
    "unknown setting": put("@digit", "config", "something"),
    "unknown key": put("@digit", "something"),
    "argument": put("@digit", "inbound_nodes", 0, "args", 0),
    "keyword": put("@digit", "inbound_nodes", 0, "kwargs", "training"),
    "mask": put("@digit", "inbound_nodes", 0, "kwargs", "mask"),
    "history": put("@digit", "inbound_nodes", 0, "args", 0, "config", "keras_history"),
    "build": put("@digit", "build_config", "input_shape"),
    "build of shapes": put("@digit", "build_config", "shapes_dict"),
    "compilation of a layer": put("@digit", "compile_config"),
    "optimizer": put("compile_config", "optimizer"),
    "schedule": put("compile_config", "optimizer", "config", "learning_rate"),
    "schedule's setting": put(
        *("compile_config", "optimizer", "config", "learning_rate", "config", "decay_steps")
    ),
    "loss": put("compile_config", "loss"),
    "loss of an output": put("compile_config", "loss", "digit"),
    "loss's reduction": put("compile_config", "loss", "config", "reduction"),
    "metric": put("compile_config", "metrics", 0),
    "metric's setting": put("compile_config", "metrics", 0, "config", "dtype"),
    "weighted metrics": put("compile_config", "weighted_metrics"),
    "loss weights": put("compile_config", "loss_weights"),
    "unknown in compilation": put("compile_config", "something"),
    "model's setting": put("config", "something"),
    "input": put("config", "input_layers"),
    "shape": put("@pixels", "config", "batch_shape"),
}

FOREIGN = {
    "Lambda": OBJECT,
    "TFSMLayer": OBJECT | {"class_name": "TFSMLayer", "config": {"filepath": "/etc"}},
    "TorchModuleWrapper": OBJECT | {"class_name": "TorchModuleWrapper"},
    "StringLookup": OBJECT
    | {"class_name": "StringLookup", "config": {"vocabulary": "/etc/hostname"}},
    "os.system": {"module": "os", "class_name": "system", "config": "true"},
    "function": {"module": "builtins", "class_name": "function", "config": "eval"},
    "get_file": {"module": "keras.utils", "class_name": "function", "config": "get_file"},
    "lambda": {"class_name": "__lambda__", "config": {"value": "YQ=="}},
    "tensor": {"class_name": "__tensor__", "config": {"value": [1.0], "dtype": "float32"}},
    "type": {"class_name": "__typespec__", "spec_name": "X", "module": "os", "config": []},
    "own": {"module": None, "class_name": "Own", "config": {}, "registered_name": "x>Own"},
    "module alone": {"module": "os"},
    "name alone": {"class_name": ["Dense"]},
}


@pytest.mark.parametrize("place", PLACES)
def test_foreign_objects_are_refused_wherever_they_stand(good, tmp_path, place):
    for number, value in enumerate(FOREIGN.values()):
        for wrapped in (value, [value], {"inner": [{"deeper": value}]}):
            config = good.config
            PLACES[place](config, wrapped)
            with pytest.raises(allowlist.Refused):
                allowlist.check_config(json.dumps(config).encode())
        config = good.config
        PLACES[place](config, value)
        if number < 2:
            refused(good.write(tmp_path / "bad.keras", config=config), value["class_name"])


def test_legal_objects_in_the_wrong_place_are_refused(good):
    """An optimizer is no initializer, and a layer is no loss."""
    config = good.config
    legal = {
        "initializer": layer_named(config, "hidden")["config"]["kernel_initializer"],
        "regularizer": layer_named(config, "hidden")["config"]["kernel_regularizer"],
        "policy": layer_named(config, "hidden")["config"]["dtype"],
        "optimizer": config["compile_config"]["optimizer"],
        "schedule": config["compile_config"]["optimizer"]["config"]["learning_rate"],
        "loss": config["compile_config"]["loss"],
        "metric": config["compile_config"]["metrics"][0],
        "layer": layer_named(config, "hidden"),
        "model": {key: config[key] for key in ("module", "class_name", "config")},
        "tensor": layer_named(config, "hidden")["inbound_nodes"][0]["args"][0],
    }
    passed = set()
    for (place, change), (kind, value) in itertools.product(PLACES.items(), legal.items()):
        changed = good.config
        change(changed, copy.deepcopy(value))
        with contextlib.suppress(allowlist.Refused):
            allowlist.check_config(json.dumps(changed).encode())
            passed.add((place, kind))
    own = {(kind, kind) for kind in legal if kind in PLACES}
    others = {"activity": "regularizer", "metric's setting": "policy", "weighted metrics": "metric"}
    assert passed == own | set(others.items())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("policy", "float16"),
        ("policy", "mixed_float16"),
        ("policy", "int8_from_float32"),
        ("policy's name", "float16"),
        ("policy's name", "mixed_float16"),
        ("metric's setting", "float16"),
        ("activation", "plot_image_gallery"),
        ("activation", "Lambda"),
        ("initializer", "glorot_uniform"),
        ("optimizer", "lamb"),
        ("loss", "ctc"),
        ("loss", {"digit": "ctc"}),
        ("metric", "F1Score"),
        ("weighted metrics", ["fbeta_score"]),
        ("keyword", 3),
        ("mask", True),
        ("quantization", "int8"),
        ("unknown setting", 1),
        ("name", "x" * 100_000),
        ("schedule's setting", 10**400),
        ("schedule's setting", float("nan")),
        ("history", ["flat", 0, 7]),
        ("history", ["nobody", 0, 0]),
        ("history", ["digit", 0, 0]),
        ("history", ["hidden", 400, 0]),
        ("history", ["hidden", -1, 0]),
        ("build", [None, 9]),
        ("build", [None, 10**9]),
        ("build", {"a": [None, 8]}),
        ("input", ["flat", 0, 0]),
        ("shape", [None]),
        ("shape", [None, 28, 0]),
        ("shape", [None, 28, -28]),
        ("shape", [None, 28, 1.5]),
        ("shape", [None, 28, "28"]),
    ],
)
def test_settings_that_are_not_on_the_list_are_refused(good, tmp_path, place, value):
    config = good.config
    PLACES[place](config, value)
    refused(good.write(tmp_path / "bad.keras", config=config))


@pytest.mark.parametrize(
    "registered", ["mine>Dense", "Lambda", "keras.layers>Lambda", "", 0, ["a"]]
)
def test_registered_names_are_what_keras_writes(good, tmp_path, registered):
    config = good.config
    layer_named(config, "digit")["registered_name"] = registered
    refused(good.write(tmp_path / "bad.keras", config=config), "registered name")


@pytest.mark.parametrize(
    "module", ["keras.src.layers.core.dense", "keras", "os", "builtins", "keras.layers.", None, 3]
)
def test_modules_are_what_keras_writes(good, tmp_path, module):
    config = good.config
    layer_named(config, "digit")["module"] = module
    refused(good.write(tmp_path / "bad.keras", config=config), "Dense")


def test_number_of_a_shared_object_cannot_stand_for_another(good, tmp_path):
    config = good.config
    policy = layer_named(config, "hidden")["config"]["dtype"]
    layer_named(config, "digit")["config"]["kernel_initializer"]["shared_object_id"] = policy[
        "shared_object_id"
    ]
    refused(good.write(tmp_path / "bad.keras", config=config), "shares its number")


def test_layer_shared_between_models_is_refused(good, tmp_path):
    config = good.config
    layer_named(config, "digit")["shared_object_id"] = 5
    refused(good.write(tmp_path / "bad.keras", config=config), "layer of several models")


ON_THE_LIST = {
    "layers": """Rescaling Normalization Reshape Flatten Dense Conv2D DepthwiseConv2D
        SeparableConv2D MaxPooling2D AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D
        Dropout SpatialDropout2D GaussianNoise BatchNormalization LayerNormalization Activation
        Softmax ReLU LeakyReLU ELU PReLU Cropping2D ZeroPadding2D Permute Add Average Concatenate
        Maximum Multiply InputLayer""",
    "initializers": """Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal
        LecunUniform Ones Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling
        Zeros""",
    "regularizers": "L1 L2 L1L2",
    "constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
    "optimizers": "Adam AdamW SGD RMSprop Nadam Adamax Adagrad Adadelta Lion Ftrl",
    "optimizers.schedules": """CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay
        PiecewiseConstantDecay PolynomialDecay""",
    "losses": """SparseCategoricalCrossentropy CategoricalCrossentropy BinaryCrossentropy
        MeanSquaredError MeanAbsoluteError""",
    "metrics": """SparseCategoricalCrossentropy CategoricalCrossentropy BinaryCrossentropy
        MeanSquaredError MeanAbsoluteError Accuracy SparseCategoricalAccuracy CategoricalAccuracy
        BinaryAccuracy SparseTopKCategoricalAccuracy TopKCategoricalAccuracy AUC Precision
        Recall""",
}
KNOWN = {(f"keras.{module}", name) for module, line in ON_THE_LIST.items() for name in line.split()}
KNOWN |= {("keras", "Sequential"), ("keras", "DTypePolicy")}
GRAPH = {("keras.src.models.functional", "Functional"), (None, "__keras_tensor__")}


def exported() -> list[tuple[str, str]]:
    """List every class and function that Keras exports, under each of its names."""
    found, waiting, seen = [], [keras], set()
    while waiting:
        module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        # Keras's own modules hold its whole code; what counts here is what it exports.
        name = module.__name__.replace("keras._tf_keras.", "").replace("keras.api", "keras")
        for key, value in vars(module).items():
            if isinstance(value, types.ModuleType):
                if value.__name__.startswith("keras") and not value.__name__.startswith(
                    "keras.src"
                ):
                    waiting.append(value)
            elif callable(value) and not key.startswith("_"):
                found.append((name, key))
    return sorted(set(found))


def objects(config: object) -> Iterator[dict]:
    """Find every dict that names a class."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from objects(part)


def test_whatever_else_keras_exports_is_refused_by_name_at_every_place(good):
    names = exported()
    assert len(names) > 1_000
    assert {("keras.layers", "Lambda"), ("keras.ops", "add"), ("keras.utils", "get_file")} <= set(
        names
    )
    places = len(list(objects(good.config)))
    # Every name in turn at the next place, and some names at every place.
    for number, (module, name) in enumerate(names):
        if (module, name) in KNOWN:
            continue
        everywhere = name in ("Lambda", "TFSMLayer", "get_file", "load_model", "set_floatx")
        for place in range(places) if everywhere else [number % places]:
            config = good.config
            changed = list(objects(config))[place]
            changed.update(module=module, class_name=name)
            # Before anything is looked at but names: nothing depends on what else is wrong.
            with pytest.raises(allowlist.Refused, match=r"names|registered"):
                allowlist.check_config(json.dumps(config).encode())
            function = {"module": module, "class_name": "function", "config": name}
            changed.clear()
            changed.update(function)
            with pytest.raises(allowlist.Refused):
                allowlist.check_config(json.dumps(config).encode())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        ["", "relu", "Lambda", "keras.layers", "function", "float16", "channels_first"]
    )
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["class_name", "module", "config", "registered_name", "name", "layers"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON, choice=st.randoms(use_true_random=False))
def test_anything_anywhere_passes_or_is_refused_in_a_sentence(good, value, choice: random.Random):
    config = good.config
    at, before = config, None
    while isinstance(at, dict | list) and at and (before is None or choice.random() < 0.8):
        before = at, choice.choice(list(at) if isinstance(at, dict) else range(len(at)))
        at = before[0][before[1]]
    before[0][before[1]] = value
    try:
        allowlist.check_config(json.dumps(config).encode())
    except allowlist.Refused:
        pass
    else:
        named = {(part.get("module"), part["class_name"]) for part in objects(config)}
        assert named <= KNOWN | GRAPH
        for part in objects(config):
            # What a model, layer or optimizer is called is free; a policy's name is what it does.
            if part["class_name"] != "DTypePolicy":
                part["config"].pop("name", None)
        assert not re.search(r"float16(?<!bfloat16)|channels_first", json.dumps(config))


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HAND_WRITTEN, *models.NAMES])
def test_bounds_are_those_of_the_built_network(tmp_path, monkeypatch, images, name):
    """Held against what Keras itself counts: as much passes, one less is refused."""
    model = HAND_WRITTEN[name]() if name in HAND_WRITTEN else models.build(name)
    path = models.save(model, tmp_path / "model.keras")
    parameters = model.count_params()
    monkeypatch.setattr(sizes, "LARGEST_PARAMETERS", parameters - 1)
    refused(path, f"at most {parameters - 1:,}")
    # Keras keeps no weights for a normalization by numbers that are given.
    monkeypatch.setattr(
        sizes, "LARGEST_PARAMETERS", parameters + (3 if name == "other layers" else 0)
    )
    saving.check(path)
    image = images[:1] if len(model.input_shape) == 3 else images[:1, ..., None]
    outputs = [layer.output for layer in model.layers if not isinstance(layer, keras.Model)]
    made = keras.Model(model.inputs, outputs)([image])
    values = max(prod(output.shape) for output in [image, *made])
    monkeypatch.setattr(sizes, "LARGEST_LAYER", values - 1)
    refused(path, "values for each digit")
    # Separable and dilated convolutions make more within than they give.
    inner = 2 if name in ("branches", "other layers") else 1
    monkeypatch.setattr(sizes, "LARGEST_LAYER", values * inner)
    saving.check(path)


def sequence(*parts: tuple[str, dict], shape=(28, 28, 1)) -> dict:
    """Write the configuration of a Sequential model by hand, which Keras could not build."""
    start = ("InputLayer", {"batch_shape": [None, *shape], "dtype": "float32"})
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {
            "name": "sequential",
            "layers": [
                {
                    "module": "keras.layers",
                    "class_name": kind,
                    "config": {"name": f"layer_{i}", **config},
                    "registered_name": None,
                }
                for i, (kind, config) in enumerate([start, *parts])
            ],
        },
        "registered_name": None,
    }


FLAT = ("Flatten", {})
CONV = {"kernel_size": [3, 3], "groups": 1, "strides": [1, 1], "padding": "same"}
TALL = {"strides": [1, 1], "padding": "valid"}


@pytest.mark.parametrize(
    "config",
    {
        "units": sequence(FLAT, ("Dense", {"units": 1_000_000})),
        "units, deep": sequence(FLAT, *[("Dense", {"units": 3_000})] * 4),
        "filters": sequence(("Conv2D", CONV | {"filters": 100_000})),
        "kernel": sequence(("Conv2D", CONV | {"filters": 30, "kernel_size": [10**6, 10**6]})),
        "channels": sequence(
            ("DepthwiseConv2D", CONV | {"depth_multiplier": 10**9}),
        ),
        "separable": sequence(
            ("SeparableConv2D", CONV | {"depth_multiplier": 10**5, "filters": 1})
        ),
        "input": sequence(FLAT, ("Dense", {"units": 1}), shape=(10**9, 10**9)),
        "input, many dimensions": sequence(FLAT, shape=(1,) * 8),
        "reshape": sequence(("Reshape", {"target_shape": [10**9, -1]})),
        "padding": sequence(("ZeroPadding2D", {"padding": [[10**6, 0], [0, 10**6]]})),
        "padding, slowly": sequence(*[("ZeroPadding2D", {"padding": [[90, 90], [90, 90]]})] * 9),
        "cropping": sequence(("Cropping2D", {"cropping": [[14, 14], [0, 0]]})),
        "pool": sequence(("MaxPooling2D", TALL | {"pool_size": [29, 1]})),
        "pool, slow": sequence(
            *[("MaxPooling2D", CONV | {"pool_size": [9_000, 9_000], "strides": [1, 1]})] * 3
        ),
        "normalization": sequence(("LayerNormalization", {"axis": [1, 2, 3, 4]})),
        "rescaling": sequence(("Rescaling", {"scale": [1.0] * 9_999})),
        "constant": sequence(("Rescaling", {"scale": [[1.0] * 300] * 300})),
        "layers": sequence(*[("ReLU", {})] * 101),
        **{
            f"dilation of {kind}": sequence(
                (kind, CONV | {"filters": 1, "depth_multiplier": 1, "dilation_rate": [1, 200_000]})
            )
            for kind in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
        },
        "concatenation": sequence(("Concatenate", {"axis": 7})),
        "permutation": sequence(("Permute", {"dims": [1, 1, 1]})),
        "channels first": sequence(
            ("Conv2D", CONV | {"filters": 1, "data_format": "channels_first"})
        ),
        "two dimensions": sequence(("Conv2D", CONV | {"filters": 1}), shape=(28, 28)),
        "noise": sequence(("Dropout", {"rate": 0.5, "noise_shape": [10**9, 1, 1, 1]})),
        "groups": sequence(("Conv2D", CONV | {"filters": 3, "groups": 2})),
        "nothing": sequence(("Dense", {})),
        "inputs": sequence(("InputLayer", {"batch_shape": [None, 28, 28, 1]})),
    }.items(),
    ids=lambda item: item[0].replace(" ", "_"),
)
def test_networks_too_large_are_refused_before_anything_is_built(good, tmp_path, config):
    path = good.write(tmp_path / "large.keras", config=config[1])
    with cheap(), pytest.raises(ValueError, match=r"large.keras"):
        saving.check(path)


def test_networks_of_those_parts_pass_while_they_are_small():
    """The counterpart of the test above: none of it fails for how it is written."""
    for parts in (
        [FLAT, ("Dense", {"units": 1_000})],
        [("Conv2D", CONV | {"filters": 100})],
        [("DepthwiseConv2D", CONV | {"depth_multiplier": 9})],
        [("SeparableConv2D", CONV | {"depth_multiplier": 9, "filters": 1})],
        [("Reshape", {"target_shape": [7, -1]})],
        [("ZeroPadding2D", {"padding": [[9, 0], [0, 9]]})],
        [("Cropping2D", {"cropping": [[14, 13], [0, 0]]})],
        [("MaxPooling2D", TALL | {"pool_size": [28, 1]})],
        [("LayerNormalization", {})],
        [("Rescaling", {"scale": [1.0]})],
        [("ReLU", {})] * 100,
        [("Conv2D", CONV | {"filters": 3, "dilation_rate": [9, 9]})],
        [("Permute", {"dims": [3, 1, 2]})],
        [("Dropout", {"rate": 0.5, "noise_shape": [None, 1, 1, 1]})],
    ):
        allowlist.check_config(json.dumps(sequence(*parts)).encode())


def test_models_nested_to_multiply_are_refused(good, tmp_path):
    """Each of nine models calls the one within it twice: 512 layers in a few lines."""
    pixels = keras.Input((4,))
    model = keras.Model(pixels, layers.ReLU()(pixels))
    for _ in range(9):
        pixels = keras.Input((4,))
        model = keras.Model(pixels, model(model(pixels)))
    config = json.loads(model.to_json())
    with cheap(), pytest.raises(ValueError, match=r"500|nested"):
        saving.check(good.write(tmp_path / "nested.keras", config=config))


def chain(calls: int) -> dict:
    """Write a graph last layer first, where each layer waits for the next one in the file."""

    def call(name: str) -> dict:
        history = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, 0, 0]}
        return {"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}

    start = ("InputLayer", "0", {"batch_shape": [None, 4], "dtype": "float32"}, [])
    rest = [
        ("ReLU", str(i), {}, [call(str(i - 1)), *[call("0")] * (calls - 1)])
        for i in range(400, 0, -1)
    ]
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": "chain",
            "layers": [
                {
                    "module": "keras.layers",
                    "class_name": kind,
                    "config": {"name": name, **config},
                    "registered_name": None,
                    "name": name,
                    "inbound_nodes": nodes,
                }
                for kind, name, config, nodes in [start, *rest]
            ],
            "input_layers": [["0", 0, 0]],
            "output_layers": [["400", 0, 0]],
        },
        "registered_name": "Functional",
    }


def test_graphs_of_layers_that_wait_for_each_other_take_no_time(good, tmp_path):
    with cheap():
        saving.check(good.write(tmp_path / "chain.keras", config=chain(1)))
    with cheap(), pytest.raises(ValueError, match="5,200 calls"):
        saving.check(good.write(tmp_path / "chain.keras", config=chain(13)))


@pytest.mark.parametrize(
    "text",
    {
        "deep lists": "[" * 500_000,
        "deep objects": '{"config":' * 90_000,
        "deep, closed": "[" * 2_000 + "]" * 2_000,
        "many numbers": "[" + "1," * 400_000 + "1]",
        "many objects": "[" + "{}," * 300_000 + "{}]",
        "one text": '"' + "x" * 900_000 + '"',
        "one number": "9" * 900_000,
        "no object": "3",
        "nothing": "",
        "not text": "\ud800\udcff",
        "surrogates": '{"module": "\\ud800", "class_name": "\\udfff"}',
        "no class": "{}",
        "many layers": json.dumps(sequence(*[("ReLU", {})] * 6_000)),
        "a list of layers": json.dumps(sequence()["config"]["layers"]),
        "too long": " " * 1_000_001,
    }.items(),
    ids=lambda item: item[0].replace(" ", "_"),
)
def test_configurations_made_to_hurt_are_refused(good, tmp_path, text):
    content = text[1].encode("utf-8", "surrogatepass")
    path = good.write(tmp_path / "bomb.keras", config=content)
    with cheap(3, megabytes=200), pytest.raises(ValueError, match=r"bomb.keras"):
        saving.check(path)


# --- the zip -------------------------------------------------------------------------------------


def test_members_are_the_three_of_keras(good, tmp_path):
    path = tmp_path / "zip.keras"
    for extra in ("assets/words.txt", "/etc/x", "../x", "model.weights.npz", "CONFIG.JSON"):
        good.write(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(extra, "x")
        refused(path, "metadata.json, config.json and model.weights.h5")
    for gone in good.members:
        with zipfile.ZipFile(path, "w") as archive:
            for name in good.members:
                archive.writestr(f"../{name}" if name == gone else name, good.members[name])
        refused(path, f"'../{gone}'")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", good.members["metadata.json"])
        archive.writestr("config.json", good.members["config.json"])
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("config.json", good.members["config.json"])
    refused(path, "once each")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")
    refused(path)


def test_member_that_swells_is_refused(good, tmp_path):
    """256 MB and one byte of zeros, in a quarter of a megabyte."""
    path = tmp_path / "swells.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("metadata.json", good.members["metadata.json"])
        archive.writestr("config.json", good.members["config.json"])
        with archive.open("model.weights.h5", "w") as member:
            for _ in range(256):
                member.write(bytes(2**20))
            member.write(b"\0")
    assert path.stat().st_size < 400_000
    with cheap(megabytes=20):
        refused(path, "model.weights.h5 has 268,435,457 bytes")


def test_sizes_in_the_zip_that_lie_are_found(good, tmp_path):
    path = good.write(tmp_path / "lies.keras")
    content = path.read_bytes()
    at = content.rindex(b"PK\1\2")
    assert content[at + 46 :].startswith(b"model.weights.h5")
    packed, unpacked = 20, 24
    for field, size in [(packed, 0), (packed, 1), *((unpacked, 2**n) for n in (0, 20, 31))]:
        lying = bytearray(content)
        lying[at + field : at + field + 4] = struct.pack("<I", size)
        path.write_bytes(lying)
        refused(path, "model.weights.h5")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_refused_or_the_same(good, tmp_path, seed):
    """Bytes changed anywhere: a sentence, or a file whose parts were all still good."""
    draw, path = random.Random(seed), tmp_path / "damaged.keras"
    content = good.path.read_bytes()
    for _ in range(80):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 3, 30])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):
            saving.check(path)


def test_zips_of_other_kinds_are_refused(good, tmp_path):
    path = good.write(tmp_path / "zip.keras")
    content = path.read_bytes()
    encrypted = bytearray(content)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = encrypted.index(mark)
        encrypted[at + offset] |= 1
    entries = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65_535, 65_535, 2**31, 0, 0)
    with zipfile.ZipFile(tmp_path / "packed.keras", "w", zipfile.ZIP_LZMA) as archive:
        for name, member in good.members.items():
            archive.writestr(name, member)
    for bad, reason in (
        (encrypted, "encrypted"),
        (content + b"comment", "does not end"),
        (b"#!/bin/sh\n" + content, "no zip"),
        (content[:-22] + entries, "65,535 members"),
        (content[:-1], "does not end"),
        (content[:100], "does not end"),
        ((tmp_path / "packed.keras").read_bytes(), "packed by method 14"),
        (good.members["model.weights.h5"], "HDF5"),
        (b"", "no zip"),
        (b"PK\3\4", "does not end"),
        (np.random.default_rng(0).bytes(5_000), "no zip"),
    ):
        path.write_bytes(bad)
        refused(path, reason)


def test_list_of_a_million_members_is_not_read(tmp_path):
    """``zipfile`` makes an object of half a kilobyte of each, before anybody can count them."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[0] * 4, *[0] * 4, 0, 0, 0, *[0] * 5, 0, 0)
    count, path = 300_000, tmp_path / "many.keras"
    for says in (3, 65_535):
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, says, says, len(entry) * count, 64, 0)
        path.write_bytes(b"PK\3\4" + bytes(60) + entry * count + end)
        with cheap(megabytes=60):
            refused(path)


def test_files_are_checked_without_keras(good):
    code = "import sys; from mnistlib import saving; saving.check(sys.argv[1]); print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code, good.path],
        capture_output=True,
        text=True,
        cwd=Path(saving.__file__).parents[1],
        check=True,
    )
    assert {"keras", "tensorflow"}.isdisjoint(ran.stdout.split())


def test_large_and_special_files_are_refused_unread(tmp_path):
    path = tmp_path / "large.keras"
    with path.open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(2**40)  # a file with a hole, which takes no room
    with pytest.raises(ValueError, match="at most"):
        saving.check(path)
    os.mkfifo(tmp_path / "pipe.keras")
    with pytest.raises(ValueError, match="no regular file"):
        saving.check(tmp_path / "pipe.keras")
    with pytest.raises(OSError, match="directory"):
        saving.check(tmp_path)
    with pytest.raises(FileNotFoundError):
        saving.check(tmp_path / "gone.keras")


@pytest.mark.parametrize("metadata", ["", "[]", "{}", '{"keras_version": 3}', "[" * 5_000])
def test_metadata_must_say_which_keras(good, tmp_path, metadata):
    refused(good.write(tmp_path / "bad.keras", metadata=metadata), "metadata.json")


def test_what_is_opened_is_a_copy_of_what_was_checked(good, tmp_path):
    path = good.write(tmp_path / "model.keras")
    with saving.checked(path) as opened:
        copied = opened.copy
        path.write_bytes(b"exchanged")
        assert copied.stat().st_mode & 0o077 == 0 or copied.parent.stat().st_mode & 0o077 == 0
        with zipfile.ZipFile(copied) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == good.members
    assert not copied.parent.exists()


# --- the weights ---------------------------------------------------------------------------------


def weights(change: Callable[[h5py.File], object], good: SimpleModel) -> bytes:
    """Change the weights of a good file."""
    stored = io.BytesIO(good.members["model.weights.h5"])
    with h5py.File(stored, "r+") as file:
        change(file)
    return stored.getvalue()


def replace(file: h5py.File, **options) -> None:
    """Put another array in the place of a layer's bias."""
    group = file["layers/dense/vars"]
    del group["1"]
    group.create_dataset("1", **options)


def reference(file: h5py.File) -> None:
    replace(file, shape=(1,), dtype=h5py.ref_dtype)


def external(file: h5py.File) -> None:
    replace(file, shape=(8,), dtype="f4", external=[("/etc/hostname", 0, 32)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(8,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(8,))
    del file["layers/dense/vars/1"]
    file["layers/dense/vars"].create_virtual_dataset("1", layout)


def link(target: object) -> Callable[[h5py.File], None]:
    return lambda file: file["layers/dense/vars"].__setitem__("2", target)


def many(file: h5py.File) -> None:
    for i in range(1_100):
        file.create_group(f"layers/g{i}", track_order=False)


def tower(file: h5py.File) -> None:
    group = file
    for _ in range(3_000):
        group = group.create_group("g")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: replace(file, shape=(10**12,), dtype="f4", chunks=(10**6,)), "pieces"),
        (lambda file: replace(file, shape=(10**12,), dtype="f4"), "declares"),
        (lambda file: replace(file, shape=(1_000,), dtype="f4"), "4,000 bytes"),
        (lambda file: replace(file, shape=(8,), dtype="f4", chunks=(8,)), "pieces"),
        (lambda file: replace(file, data=np.zeros(9**6, "f4"), compression="gzip"), "packed"),
        (lambda file: replace(file, data="text"), "no numbers"),
        (lambda file: replace(file, data=h5py.Empty("f4")), "no array"),
        (lambda file: replace(file, data=np.zeros(8, "c8")), "no numbers"),
        (lambda file: replace(file, data=np.zeros(8, "V9")), "no numbers"),
        (lambda file: replace(file, data=np.zeros(8, [("a", "f4")])), "no numbers"),
        (reference, "no numbers"),
        (external, "another file"),
        (virtual, "pieces"),
        (link(h5py.SoftLink("/layers")), "link"),
        (link(h5py.ExternalLink("/etc/passwd", "/")), "link"),
        (lambda file: link(file["layers/dense/vars/0"])(file), "twice"),
        (lambda file: link(file["layers"])(file), "twice"),
        (lambda file: link(np.dtype("f4"))(file), "no array"),
        (lambda file: file["layers"].attrs.update(pickle="x"), "attribute"),
        (lambda file: file["layers"].attrs.update(name=3), "attribute"),
        (many, "more than 1,000 objects"),
    ],
)
def test_weights_are_plain_arrays(good, tmp_path, monkeypatch, change, reason):
    monkeypatch.setattr(saving, "LARGEST_OBJECTS", 1_000)
    path = good.write(tmp_path / "weights.keras", weights=weights(change, good))
    refused(path, "model.weights.h5", reason)


def test_groups_within_groups_do_not_exhaust_the_stack(good, tmp_path):
    saving.check(good.write(tmp_path / "tower.keras", weights=weights(tower, good)))


def test_weights_of_another_network_are_refused(good, tmp_path):
    def other(file: h5py.File) -> None:
        replace(file, data=np.zeros(9, "f4"))

    path = good.write(tmp_path / "other.keras", weights=weights(other, good))
    with pytest.raises(ValueError, match=r"other.keras is no model that Keras saved"):
        models.load(path)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(500)])
def test_weights_that_are_no_hdf5_file_are_refused(good, tmp_path, content):
    refused(good.write(tmp_path / "weights.keras", weights=content), "model.weights.h5")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_weights_are_refused_or_the_same(good, tmp_path, seed):
    draw, path = random.Random(seed), tmp_path / "damaged.keras"
    content = good.members["model.weights.h5"]
    for _ in range(80):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 3, 30])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        good.write(path, weights=bytes(damaged))
        with contextlib.suppress(ValueError):
            saving.check(path)
