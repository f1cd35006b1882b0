import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnistlib import inference, models
from mnistlib._tensorflow import keras


@pytest.fixture(scope="module")
def network():
    return inference.from_keras(models.build("cnn_fast", seed=1))


@pytest.fixture
def saved(network, tmp_path):
    return inference.save(network, tmp_path / "network.npz", about={"from": "a test"})


@pytest.mark.parametrize("name", models.NAMES)
def test_every_network_of_the_series_answers_as_keras_does(name, digits):
    model = models.build(name, seed=3, precision="float32")
    # Biases start at 0, which would hide one that is left out.
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.05, w.shape) for w in model.get_weights()])
    x = digits.x_test[:60]
    expected = models.predict_proba(model, x)
    given = inference.from_keras(model).predict(x, batch_size=25)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected, atol=2e-5)


def test_no_digits_give_no_answers(network):
    assert network.predict(np.zeros((0, 28, 28), np.uint8)).shape == (0, 10)


def test_half_precision_moves_no_probability_by_a_thousandth(network, saved, digits):
    again, about = inference.load(saved)
    assert about == {"from": "a test"}
    x = digits.x_test[:200]
    np.testing.assert_allclose(again.predict(x), network.predict(x), atol=1e-3)
    assert [path.name for path in saved.parent.iterdir()] == ["network.npz"]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (keras.layers.BatchNormalization(name="odd"), "'odd', a BatchNormalization"),
        (keras.layers.Conv2D(2, 3, padding="same", name="odd"), "a Conv2D set as 'odd' is"),
        (keras.layers.Conv2D(2, 3, strides=(1, 2), name="odd"), "a Conv2D set as 'odd' is"),
        (keras.layers.MaxPooling2D((2, 1), name="odd"), "a MaxPooling2D set as 'odd' is"),
        (keras.layers.Dense(2, use_bias=False, name="odd"), "a Dense set as 'odd' is"),
        (keras.layers.Conv2D(2, 3, activation="gelu", name="odd"), "'odd' with gelu"),
    ],
)
def test_a_layer_of_another_kind_is_refused_by_name(layer, words):
    last = [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    model = keras.Sequential(
        [keras.Input((28, 28)), keras.layers.Reshape((28, 28, 1)), layer, *last]
    )
    with pytest.raises(ValueError, match=words):
        inference.from_keras(model)


def test_a_network_that_ends_in_logits_is_refused():
    model = keras.Sequential(
        [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    with pytest.raises(ValueError, match="must end in a softmax over 10 classes"):
        inference.from_keras(model)


def rewritten(saved, **changes):
    """Write the file anew with some of its arrays replaced; None leaves one out."""
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files}
    arrays |= changes
    np.savez(saved, **{name: array for name, array in arrays.items() if array is not None})
    return saved


def described(layers):
    return np.frombuffer(json.dumps({"layers": layers, "about": {}}).encode(), np.uint8)


def layers_of(saved):
    with np.load(saved) as file:
        return json.loads(bytes(file["network"]).decode())["layers"]


DAMAGES = {
    "no array": lambda path: path.write_text("no network"),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:20_000]),
    "objects": lambda path: rewritten(path, network=np.array([{}], object)),
    "not numbers": lambda path: rewritten(path, network=described(None)),
    "many layers": lambda path: rewritten(path, network=described([{"kind": "relu"}] * 99)),
    "unknown layer": lambda path: rewritten(path, network=described([{"kind": "eval"}])),
    "no softmax": lambda path: rewritten(path, network=described(layers_of(path)[:-1])),
    "one array less": lambda path: rewritten(path, **{"8.1": None}),
    "one array more": lambda path: rewritten(path, **{"77.0": np.zeros(3)}),
    "other shape": lambda path: rewritten(path, **{"8.1": np.zeros(7, np.float16)}),
    "NaN": lambda path: rewritten(path, **{"8.1": np.full(128, np.nan, np.float16)}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_no_network_is_refused(saved, damage):
    damage(saved)
    with pytest.raises(ValueError, match=r"network\.npz is no network that this library saved"):
        inference.load(saved)


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [(0, "factor", float("inf")), (1, "crop", [[-1, 0], [0, 0]]), (1, "crop", [[20, 20], [0, 0]])]
    + [(2, "stride", value) for value in (0, -1, "2", 1e9, None)],
)
def test_settings_that_no_layer_has_are_refused(saved, place, key, value):
    layers = layers_of(saved)
    layers[place][key] = value
    rewritten(saved, network=described(layers))
    with pytest.raises(ValueError, match="is no network"):
        inference.load(saved)


def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_read(saved):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)}
    )
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("77.0.npy", header.getvalue())
    with pytest.raises(ValueError, match="is no array of numbers"):
        inference.load(saved)
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", bytes(50 * 2**20))
    with pytest.raises(ValueError, match="a network has at most"):
        inference.load(saved)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        inference.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"path must end in \.npz"):
        inference.save(inference.Network(()), tmp_path / "network.pkl")


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(place=st.floats(0, 1), bits=st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_harmless(saved, place, bits):
    whole = saved.read_bytes()
    changed = bytearray(whole)
    changed[int(place * (len(whole) - 1))] ^= bits
    saved.write_bytes(changed)
    try:
        network, _ = inference.load(saved)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert network.predict(np.zeros((1, 28, 28), np.uint8)).shape == (1, 10)
    saved.write_bytes(whole)
    assert not refusal or "is no network" in refusal
