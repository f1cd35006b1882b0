"""Files of strangers: what ordinary networks need is opened, everything else is refused by name.

Every file here is made by the test itself; none of the attacks may run, read or write anything.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnistlib import models, saving, training
from mnistlib._tensorflow import keras

layers, optimizers = keras.layers, keras.optimizers


@pytest.fixture(scope="module")
def images(digits) -> np.ndarray:
    return digits.x_test[:20]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> dict[str, bytes]:
    """The members of a file that Keras wrote: a trained network with convolutions and dropout."""
    path = tmp_path_factory.mktemp("good") / "good.keras"
    model = models.convolutional((2, 2), dropout=0.1, name="good")
    x, y = np.zeros((20, 28, 28), np.uint8), np.arange(20) % 10
    training.fit(model, x, y, recipe="cnn_best", epochs=1, augment=False)
    models.save(model, path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, members: dict[str, bytes], *, config: dict | None = None) -> Path:
    if config is not None:
        members = members | {"config.json": json.dumps(config).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refuses(path: Path, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        models.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1_500


# --- what is opened -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.NAMES)
def test_every_network_of_the_series_is_opened(name, images, tmp_path):
    model = models.build(name, seed=1)
    again = models.load(models.save(model, tmp_path / "model.keras"))
    np.testing.assert_array_equal(
        models.predict_proba(again, images), models.predict_proba(model, images)
    )


def many_layers() -> keras.Model:
    pixels = keras.Input((28, 28, 1))
    options = {"padding": "same", "kernel_regularizer": "l2"}
    one = layers.Conv2D(4, 3, kernel_constraint=keras.constraints.MaxNorm(2), **options)(pixels)
    two = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(pixels)
    three = layers.SeparableConv2D(4, (3, 5), padding="same")(pixels)
    x = layers.Concatenate()([one, two, three])
    for layer in (
        layers.BatchNormalization(),
        layers.LeakyReLU(),
        layers.PReLU(),
        layers.ELU(),
        layers.ReLU(),
        layers.LayerNormalization(),
        layers.GaussianNoise(0.1),
        layers.SpatialDropout2D(0.1),
        layers.AveragePooling2D(2),
        layers.ZeroPadding2D(((1, 2), (3, 4))),
        layers.Cropping2D(1),
        layers.MaxPooling2D(2, padding="same"),
        layers.Permute((2, 1, 3)),
    ):
        x = layer(x)
    one, two = layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)
    for layer in (layers.Add(), layers.Multiply(), layers.Maximum(), layers.Average()):
        one = layer([one, two])
    x = layers.Dense(10, "relu", kernel_initializer="he_normal")(layers.Dropout(0.1)(one))
    return keras.Model(pixels, layers.Activation("softmax")(x))


def nested() -> keras.Model:
    inner = keras.Sequential([layers.Dense(20, "relu"), layers.Dense(10)])
    start = [keras.Input((28, 28)), layers.Normalization(mean=[3.0], variance=[2.0])]
    return keras.Sequential([*start, layers.Reshape((-1,)), inner, layers.Softmax()])


@pytest.mark.parametrize("build", [many_layers, nested])
def test_ordinary_layers_are_opened(build, images, tmp_path):
    model = build()
    again = models.load(models.save(model, tmp_path / "model.keras"))
    np.testing.assert_array_equal(
        models.predict_proba(again, images), models.predict_proba(model, images)
    )


@pytest.mark.parametrize(
    ("optimizer", "loss", "metrics"),
    [
        ("adam", "sparse_categorical_crossentropy", ["accuracy"]),
        (optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(), ["acc"]),
        (optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", None),
        (
            optimizers.RMSprop(optimizers.schedules.ExponentialDecay(0.1, 10_000_000, 0.9)),
            "sparse_categorical_crossentropy",
            [keras.metrics.SparseTopKCategoricalAccuracy(k=2)],
        ),
        (
            optimizers.Nadam(optimizers.schedules.CosineDecay(0.1, 10, warmup_steps=3)),
            "sparse_categorical_crossentropy",
            ["accuracy", "sparse_categorical_crossentropy"],
        ),
    ],
    ids=["adam", "adamw", "sgd", "rmsprop", "nadam"],
)
def test_ordinary_compilations_are_opened_and_train_on(optimizer, loss, metrics, images, tmp_path):
    model = models.dense([4])
    model.compile(optimizer, loss, metrics=metrics)
    labels = np.arange(len(images)) % 10
    model.fit(images, labels, verbose=0)
    again = models.load(models.save(model, tmp_path / "model.keras"))
    before, after = (one.fit(images, labels, verbose=0, shuffle=False) for one in (model, again))
    assert before.history == after.history


ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "mnistlib":
            raise ImportError("no mnistlib here")

sys.meta_path.insert(0, Refuse())
import keras
import numpy as np

folder, names = sys.argv[1], sys.argv[2:]
images = np.load(f"{folder}/images.npy")
for name in names:
    model = keras.saving.load_model(f"{folder}/{name}.keras")
    np.save(f"{folder}/{name}.npy", model.predict_on_batch(images))
model.export(f"{folder}/exported", verbose=False)
import tensorflow as tf

exported = tf.saved_model.load(f"{folder}/exported")
np.testing.assert_allclose(exported.serve(images), np.load(f"{folder}/{name}.npy"), atol=1e-6)
lite = tf.lite.TFLiteConverter.from_saved_model(f"{folder}/exported").convert()
assert len(lite) > 1000
assert "mnistlib" not in sys.modules
"""


def test_saved_networks_open_with_keras_alone(images, tmp_path):
    """In a process that cannot import this package; and are exported to TensorFlow's formats."""
    np.save(tmp_path / "images.npy", images)
    x, y = np.zeros((20, 28, 28), np.uint8), np.arange(20) % 10
    expected = {}
    for name in models.NAMES:
        model = models.build(name, seed=2, precision="float32")
        training.fit(model, x, y, recipe=name, epochs=1)
        models.save(model, tmp_path / f"{name}.keras")
        expected[name] = models.predict_proba(model, images)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path), *models.NAMES],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for name in models.NAMES:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected[name], atol=1e-6)


# --- what would act -----------------------------------------------------------------------------


def lambda_config(good: dict[str, bytes], target: Path) -> dict:
    """A good network beside whose layers a Lambda *names* a function that Keras exports.

    Its input is a constant from the file, so Keras calls it while it puts the network together.
    """
    config = json.loads(good["config.json"])
    image = {"value": np.zeros((1, 4, 4, 3)).tolist(), "dtype": "float32"}
    evil = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "evil",
            "function": {
                "module": "keras.visualization",
                "class_name": "function",
                "config": "plot_image_gallery",
                "registered_name": "plot_image_gallery",
            },
            "arguments": {"path": str(target), "value_range": [0, 255], "rows": 1, "cols": 1},
        },
        "registered_name": None,
        "name": "evil",
        "inbound_nodes": [{"args": [{"class_name": "__numpy__", "config": image}], "kwargs": {}}],
    }
    config["config"]["layers"].append(evil)
    return config


def test_lambda_that_names_a_function_of_keras_is_refused_and_not_run(good, tmp_path):
    """Keras 3.15.1, in its safe mode, calls it: the first load writes the file that it names."""
    touched = tmp_path / "written.png"
    path = write(tmp_path / "model.keras", good, config=lambda_config(good, touched))
    assert keras.saving.load_model(path, safe_mode=True).name == "good"
    assert touched.exists(), "Keras has closed this way: say so above"
    touched.unlink()
    refuses(path, r"it names keras\.layers\.Lambda, which is not on the list")
    assert not touched.exists()


def edited(good, change: Callable[[dict], None]) -> dict:
    config = json.loads(good["config.json"])
    change(config)
    return config


def layer(config: dict, kind: str) -> dict:
    return next(one for one in config["config"]["layers"] if one["class_name"] == kind)


SERIALIZED = {"module": "os", "class_name": "system", "config": "touch x", "registered_name": None}
FUNCTION = {
    "module": "keras.ops",
    "class_name": "function",
    "config": "relu",
    "registered_name": "relu",
}
LOOKUP = {
    "module": "keras.layers",
    "class_name": "StringLookup",
    "config": {"vocabulary": "/etc/passwd"},
    "registered_name": None,
}
SAVED_MODEL = {
    "module": "keras.layers",
    "class_name": "TFSMLayer",
    "config": {"filepath": "/tmp/model", "call_endpoint": "serve"},
    "registered_name": None,
}
PLACES: dict[str, Callable[[dict, dict], None]] = {
    "layer": lambda c, evil: layer(c, "Rescaling").update(evil),
    "initializer": lambda c, evil: layer(c, "Dense")["config"].update(kernel_initializer=evil),
    "regularizer": lambda c, evil: layer(c, "Dense")["config"].update(bias_regularizer=evil),
    "inside an initializer": lambda c, evil: layer(c, "Dense")["config"]["kernel_initializer"][
        "config"
    ].update(seed=evil),
    "activation": lambda c, evil: layer(c, "Conv2D")["config"].update(activation=evil),
    "dtype": lambda c, evil: layer(c, "Conv2D")["config"].update(dtype=evil),
    "optimizer": lambda c, evil: c["compile_config"].update(optimizer=evil),
    "schedule": lambda c, evil: c["compile_config"]["optimizer"]["config"].update(
        learning_rate=evil
    ),
    "loss": lambda c, evil: c["compile_config"].update(loss=evil),
    "metrics": lambda c, evil: c["compile_config"].update(metrics=["accuracy", [evil]]),
    "build_config": lambda c, evil: layer(c, "Conv2D")["build_config"].update(input_shape=evil),
    "inbound_nodes": lambda c, evil: layer(c, "Conv2D")["inbound_nodes"][0]["kwargs"].update(
        mask=evil
    ),
    "unknown key": lambda c, evil: c.update(whatever={"deep": [[evil]]}),
}


@pytest.mark.parametrize(
    "evil", [SERIALIZED, FUNCTION, LOOKUP, SAVED_MODEL], ids=lambda evil: evil["class_name"]
)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_not_on_the_list_is_refused_wherever_it_stands(good, tmp_path, place, evil):
    config = edited(good, lambda c: PLACES[place](c, copy.deepcopy(evil)))
    path = write(tmp_path / "model.keras", good, config=config)
    refuses(path, f"it names {evil['module']}.{evil['class_name']}".replace(".", r"\."))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: layer(c, "Dense").update(module="keras.src"), r"names keras\.src\.Dense"),
        (lambda c: layer(c, "Dense").update(module="os"), r"it names os\.Dense"),
        (lambda c: layer(c, "Dense").update(module=None), r"it names None\.Dense"),
        (lambda c: layer(c, "Dense").update(class_name=["Dense"]), "which is no class"),
        (lambda c: layer(c, "Dense").update(registered_name="my>Dense"), "that Keras did not give"),
        (lambda c: c.update(registered_name="os>system"), "a name that Keras did not give"),
        (lambda c: c.update(class_name="Model", module="keras"), r"it names keras\.Model"),
        (
            lambda c: c.update(class_name="Dense", module="keras.layers", registered_name=None),
            "holds a Dense, not",
        ),
        (lambda c: layer(c, "Dense").pop("class_name"), "which is no class"),
        (
            lambda c: layer(c, "Dense")["config"]["dtype"]["config"].update(name="mixed_float16"),
            "asks for the precision",
        ),
        (lambda c: layer(c, "Dense")["config"].update(dtype="float16"), "dtype is 'float16'"),
        (lambda c: layer(c, "Dense")["config"].update(activation="plot"), "activation is 'plot'"),
        (
            lambda c: layer(c, "Dense")["config"].update(kernel_initializer="load"),
            "kernel_initializer is 'load'",
        ),
        (lambda c: c["compile_config"].update(loss="my_loss"), "loss is 'my_loss'"),
        (lambda c: c["compile_config"].update(optimizer="x>y"), "optimizer is 'x>y'"),
        (lambda c: c["compile_config"].update(metrics=["x"]), "metrics is 'x'"),
        (lambda c: layer(c, "Conv2D")["config"].update(data_format="channels_first"), "channels_"),
    ],
)
def test_names_that_are_not_kerass_own_are_refused(good, tmp_path, change, said):
    refuses(write(tmp_path / "model.keras", good, config=edited(good, change)), said)


@pytest.mark.parametrize("name", ["PatchConv2D", "BlockMaxPooling2D", "HashDropout"])
def test_files_of_earlier_versions_say_what_to_do(good, tmp_path, name):
    earlier = {"module": "mnistlib.models", "registered_name": f"mnistlib>{name}"}
    config = edited(good, lambda c: layer(c, "Conv2D").update(class_name=name, **earlier))
    path = write(tmp_path / "model.keras", good, config=config)
    refuses(path, rf"earlier version of this package \(mnistlib>{name}\).*train the network anew")


PARTS = (keras, keras.layers, keras.losses, keras.saving, keras.ops, keras.utils)
EXPORTED = sorted({name for part in PARTS for name in dir(part) if not name.startswith("_")})


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_name_that_keras_exports_is_refused_unless_it_is_on_the_list(good, tmp_path, data):
    """Swap the class, or the module, of any object in a good file."""
    config = json.loads(good["config.json"])
    objects, rest = [], [config]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            objects += [value] if "class_name" in value else []
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    chosen = data.draw(st.sampled_from(objects))
    chosen["class_name"] = data.draw(st.sampled_from(EXPORTED))
    if data.draw(st.booleans()):
        modules = ["keras.ops", "keras.utils", "keras.saving", "builtins", "os", "keras.layers"]
        chosen["module"] = data.draw(st.sampled_from(modules))
    listed = chosen["class_name"] in saving.ALLOWED.get(chosen.get("module"), ())
    try:
        with saving.checked(write(tmp_path / "model.keras", good, config=config)):
            pass
    except ValueError:
        return
    assert listed


# --- what would not fit -------------------------------------------------------------------------


def bombs() -> dict[str, Callable[[dict], None]]:
    def wide(c):
        layer(c, "Dense")["config"].update(units=1_000_000)

    def many(c):
        found = c["config"]["layers"]
        flat = layer(c, "Flatten")
        for number in range(400):
            one = copy.deepcopy(flat)
            one["name"] = f"flatten_{number}"
            found.append(one)

    def built(c):
        layer(c, "Conv2D")["build_config"]["input_shape"] = [None, 28, 28, 100_000]

    def deep(c):
        inner: dict | list = []
        for _ in range(200):
            inner = [inner]
        c["x"] = inner

    return {
        "a million units": wide,
        "filters": lambda c: layer(c, "Conv2D")["config"].update(filters=99_999),
        "a kernel": lambda c: layer(c, "Conv2D")["config"].update(kernel_size=[9_999, 9_999]),
        "an input": lambda c: layer(c, "InputLayer")["config"].update(
            batch_shape=[None, 9**5, 9**5]
        ),
        "a reshape": lambda c: layer(c, "Reshape")["config"].update(target_shape=[9**5, 9**5, 9]),
        "negative": lambda c: layer(c, "Dense")["config"].update(units=-5),
        "a fraction": lambda c: layer(c, "Dense")["config"].update(units=1.5),
        "not a number": lambda c: layer(c, "Dense")["config"].update(units="many"),
        "NaN": lambda c: layer(c, "Rescaling")["config"].update(scale=float("nan")),
        "many layers": many,
        "a shape to build for": built,
        "nested": deep,
        "a long word": lambda c: c["config"].update(name="x" * 10_000),
        "no layers": lambda c: c["config"].update(layers=[]),
        "layers of another kind": lambda c: c["config"].update(layers=[3]),
        "no configuration": lambda c: c.pop("config"),
        "a loop": lambda c: layer(c, "Conv2D")["inbound_nodes"][0]["args"][0]["config"].update(
            keras_history=["digit", 0, 0]
        ),
    }


@pytest.mark.parametrize("name", bombs())
def test_sizes_are_refused_before_anything_is_built(good, tmp_path, name):
    path = write(tmp_path / "model.keras", good, config=edited(good, bombs()[name]))
    tracemalloc.start()
    try:
        refuses(path, "is refused: ")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def padded(good, change):
    """A network with padding in front, which ``change`` sets."""
    config = json.loads(good["config.json"])
    found = config["config"]["layers"]
    at = next(number for number, one in enumerate(found) if one["class_name"] == "Conv2D")
    shape = [None, 28, 28, 1]
    source = copy.deepcopy(found[at]["inbound_nodes"])
    padding = {
        "module": "keras.layers",
        "class_name": "ZeroPadding2D",
        "config": {"name": "pad", "padding": change, "data_format": "channels_last"},
        "registered_name": None,
        "name": "pad",
        "inbound_nodes": source,
        "build_config": {"input_shape": shape},
    }
    found.insert(at, padding)
    return config


def test_padding_that_blows_a_digit_up_is_refused(good, tmp_path):
    config = padded(good, [[50_000, 0], [50_000, 0]])
    refuses(write(tmp_path / "m.keras", good, config=config), "ZeroPadding2D gives 2,502,800,784 v")


def weights(fill: Callable[[h5py.File], None]) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def bomb(file):
    file.create_dataset("x", (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")


def external(file):
    file.create_dataset("x", (10,), "u1", external=[("/etc/passwd", 0, 10)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
    file.create_virtual_dataset("x", layout)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_size_are_refused(good, tmp_path):
    """They are within the bounds, but not those of the network."""
    config = edited(good, lambda c: layer(c, "Dense")["config"].update(units=11))
    refuses(write(tmp_path / "model.keras", good, config=config), "no model that Keras saved")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (weights(bomb), "its weights say they are 4,000,000,000,000 bytes"),
        (weights(external), "from another file"),
        (weights(virtual), "from another file"),
        (weights(lambda f: f.update({"x": h5py.SoftLink("/y")})), "hold a link to elsewhere, 'x'"),
        (
            weights(lambda f: f.update({"x": h5py.ExternalLink("a.h5", "/")})),
            "hold a link to elsewhere, 'x'",
        ),
        (weights(lambda f: f.create_dataset("x", data=["text"])), "no array of numbers"),
        (weights(lambda f: f.update({"x": h5py.Empty("f4")})), "no array of numbers"),
        (b"no HDF5", "its weights are damaged"),
        (b"", "its weights are damaged"),
    ],
)
def test_weights_that_are_more_than_numbers_are_refused(good, tmp_path, content, said):
    path = write(tmp_path / "model.keras", good | {"model.weights.h5": content})
    refuses(path, f"is refused: .*{said}")


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_group_that_holds_itself_is_no_endless_loop(good, tmp_path):
    def fill(file):
        file.create_group("a")
        file["a"]["again"] = file["a"]

    path = write(tmp_path / "model.keras", good | {"model.weights.h5": weights(fill)})
    with pytest.raises(ValueError, match="no model that Keras saved"):
        models.load(path)


# --- the archive --------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", ["assets/x.txt", "../up.txt", "/etc/cron.d/x", "config.json/x"])
def test_other_members_are_refused(good, tmp_path, extra):
    refuses(write(tmp_path / "model.keras", good | {extra: b"x"}), "no model that Keras saved")


@pytest.mark.parametrize("missing", ["metadata.json", "config.json", "model.weights.h5"])
def test_missing_members_are_refused(good, tmp_path, missing):
    members = {name: content for name, content in good.items() if name != missing}
    refuses(write(tmp_path / "model.keras", members), "no model that Keras saved")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_member_that_stands_twice_is_refused(good, tmp_path):
    path = write(tmp_path / "model.keras", good)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", b"{}")
    refuses(path, "no model that Keras saved")


@pytest.mark.parametrize("name", ["config.json", "metadata.json"])
def test_small_archive_that_unpacks_to_much_is_refused(good, tmp_path, name):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in good.items():
            archive.writestr(member, b" " * 50_000_000 if member == name else content)
    assert path.stat().st_size < 200_000
    refuses(path, rf"{name} has 50,000,000 bytes; at most")


def test_member_that_lies_about_its_size_is_refused(good, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in good.items():
            archive.writestr(member, b" " * 3_000_000 if member == "config.json" else content)
    lying = path.read_bytes().replace((3_000_000).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    path.write_bytes(lying)
    refuses(path, "is refused")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"3", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000],
    ids=lambda content: repr(content[:6]),
)
@pytest.mark.parametrize("name", ["config.json", "metadata.json"])
def test_configuration_that_is_none_is_refused(good, tmp_path, name, content):
    limited = content[:9_000] if name == "metadata.json" else content
    refuses(write(tmp_path / "model.keras", good | {name: limited}), f"{name} (is no|holds)")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_file_raises_what_is_promised_and_nothing_else(good, tmp_path, data):
    path = write(tmp_path / "model.keras", good)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    # Either it is still whole, or this one error says so; any other fails the test.
    with contextlib.suppress(ValueError), saving.checked(path):
        pass


def test_what_is_loaded_is_what_was_checked(good, tmp_path):
    """Another process may replace the file between the check and the load."""
    path = write(tmp_path / "model.keras", good)
    with saving.checked(path) as checked:
        write(path, good, config=lambda_config(good, tmp_path / "written.png"))
        assert keras.saving.load_model(checked).name == "good"
    assert not checked.exists()
