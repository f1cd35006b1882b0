"""A model file says what it is and what it was made with, and its parts are what was saved."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnistlib import inference, models, provenance, recognizer, saving, training
from mnistlib._rules import Refused


@pytest.fixture(scope="module")
def digits():
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (64, 28, 28)).astype(np.uint8), np.arange(64) % 10


@pytest.fixture(scope="module")
def saved(tmp_path_factory, digits) -> Path:
    model = models.build("dense_32_16", seed=3)
    training.fit(model, *digits, recipe="dense_32_16", epochs=2, seed=7, jit_compile=False)
    return models.save(model, tmp_path_factory.mktemp("saved") / "model.keras", data="64 of mine")


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, goal: Path, **changes: bytes) -> Path:
    names = {"config": "config.json", "weights": "model.weights.h5", "metadata": "metadata.json"}
    with zipfile.ZipFile(goal, "w") as archive:
        for name, content in members(path).items():
            changed = {names[key]: value for key, value in changes.items()}
            archive.writestr(name, changed.get(name, content))
    return goal


def said(path: Path) -> dict:
    return json.loads(members(path)["metadata.json"])


def test_file_names_network_parameters_versions_data_and_recipe(saved):
    written = said(saved)["mnistlib"]
    assert written["network"] == "dense_32_16"
    assert written["parameters"] == 784 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10
    for package in ("keras", "tensorflow", "numpy"):
        assert written["versions"][package] == importlib.metadata.version(package)
    assert written["data"] == "64 of mine"
    for part in ("recipe dense_32_16", "2 epochs", "batches of 128", "seed 7"):
        assert part in written["recipe"]
    parts = members(saved)
    assert written["sha256"] == {
        name: hashlib.sha256(parts[name]).hexdigest()
        for name in ("config.json", "model.weights.h5")
    }


def test_what_is_loaded_is_told_of_model_and_file_alike(saved):
    loaded = models.load(saved)
    made = models.describe(loaded)
    assert made == models.describe(saved) == models.describe(str(saved))
    assert (made.network, made.parameters, made.data) == ("dense_32_16", 25_818, "64 of mine")
    assert made.saved == said(saved)["date_saved"]
    words = str(made)
    for part in ("dense_32_16, 25,818 parameters", "data: 64 of mine", "keras", "2 epochs"):
        assert part in words


def test_it_goes_on_from_file_to_file_as_long_as_it_is_true(saved, tmp_path, digits):
    loaded = models.load(saved)
    again = models.describe(models.save(loaded, tmp_path / "again.keras"))
    assert (again.data, again.recipe) == ("64 of mine", models.describe(saved).recipe)
    training.fit(loaded, *digits, epochs=1, seed=1, jit_compile=False)
    further = models.describe(loaded)
    assert further.recipe.startswith("1 epochs")
    assert f"after {again.recipe}" in further.recipe
    assert further.data == "64 images; before that 64 of mine"
    loaded.get_layer("digit").bias.assign(np.ones(10))
    assert models.describe(loaded) == provenance.Provenance("dense_32_16", 25_818)


def test_repeated_trainings_are_noted_each(digits):
    runs = training.repeat(
        "dense_32_16", *digits, test=digits, seeds=2, recipe="dense_32_16", jit_compile=False
    )
    for run in runs:
        assert models.describe(run.model).recipe.endswith(f"seed {run.seed}")


def test_files_of_keras_itself_open_and_say_what_they_can(tmp_path):
    models.build("dense_32_16").save(tmp_path / "plain.keras")
    made = models.describe(tmp_path / "plain.keras")
    assert (made.network, made.data, made.recipe, made.sha256) == ("dense_32_16", None, None, {})
    assert made.versions == {"keras": keras.__version__}
    loaded = models.load(tmp_path / "plain.keras")
    assert models.describe(loaded) == dataclasses.replace(made, parameters=25_818)


@pytest.mark.parametrize("part", ["config", "weights"])
def test_parts_that_are_not_those_saved_are_refused(saved, tmp_path, part):
    """Both are still whole by themselves: only the checksum tells."""
    parts = members(saved)
    if part == "config":
        changed = json.loads(parts["config.json"])
        changed["config"]["name"] = "another"
        content = json.dumps(changed).encode()
    else:
        stored = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(stored, "r+") as file:
            file["layers/dense/vars/0"][0, 0] += 1
        content = stored.getvalue()
    path = rewritten(saved, tmp_path / "changed.keras", **{part: content})
    for refuse in (models.load, saving.check, models.describe, recognizer.load):
        with pytest.raises(ValueError, match=r"changed\.keras .* not the one .*SHA-256"):
            refuse(path)
    # Without the manifest the same parts open.
    metadata = said(saved)
    del metadata["mnistlib"]
    path = rewritten(path, tmp_path / "plain.keras", metadata=json.dumps(metadata).encode())
    models.load(path)


SECTION = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\x1b[31m", "x" * 2_000, 10**400, "dense_32_16"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["temperature", "config.json", "a", "\n"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    key=st.sampled_from(
        ["network", "parameters", "versions", "data", "recipe", "about", "calibration", "sha256"]
    ),
    value=SECTION,
)
def test_anything_said_is_read_or_refused_and_can_be_shown(saved, tmp_path, key, value):
    metadata = said(saved)
    metadata["mnistlib"][key] = value
    path = rewritten(saved, tmp_path / "odd.keras", metadata=json.dumps(metadata).encode())
    made = words = None
    try:
        made = saving.describe(path)
    except ValueError as error:
        words = str(error)
    if made is None:
        assert "odd.keras is no model that Keras saved: " in words
        assert words.isprintable()
        return
    assert str(made).replace("\n", "").isprintable()
    provenance.to_json(made)
    if made.calibration is not None:
        read = None
        try:
            read = recognizer._calibrated(inference.Network(()), made.calibration, path)
        except ValueError as error:
            words = str(error)
        assert (read is None) == ("no calibration" in (words or ""))
        assert read is None or (0 < read.temperature < np.inf and 0 <= read.threshold <= 1)


@pytest.mark.parametrize(
    "about",
    [
        {"x": float("nan")},
        {"x": {"deep": 1}},
        {"x": "\x1b[31m"},
        {"x": "y" * 1_001},
        {"x": [1] * 51},
        {"x": b"bytes"},
        {1: "x"},
        {str(number): 1 for number in range(51)},
        {str(number): "x" * 900 for number in range(20)},
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, about):
    with pytest.raises(ValueError, match="about"):
        models.save(models.build("dense_32_16"), tmp_path / "model.keras", about=about)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path):
    for value, precision in ((np.nan, "float32"), (np.inf, "float32"), (np.inf, "bfloat16")):
        layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax", dtype=precision)]
        model = keras.Sequential([keras.Input((28, 28)), *layers])
        kernel = np.ones((784, 10), np.float32)
        kernel[3, 4] = value
        model.layers[-1].kernel.assign(kernel)
        with pytest.raises(ValueError, match="finite weights"):
            models.save(model, tmp_path / "new.keras")
        model.save(tmp_path / "odd.keras")
        for load in (models.load, recognizer.load):
            with pytest.raises(ValueError, match=r"odd\.keras .* not finite"):
                load(tmp_path / "odd.keras")
        kernel[3, 4] = 3e38  # finite, if barely
        model.layers[-1].kernel.assign(kernel)
        models.load(models.save(model, tmp_path / "large.keras"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.keras", "odd.keras"]


def test_a_recognizer_tells_what_it_has_learned_from(saved, tmp_path):
    model = models.load(saved)
    about = {"learned from": ["these", "those"], "seed": 3}
    path = recognizer.save(
        recognizer.Recognizer(model, 0.5, 0.8, True), tmp_path / "r.keras", about=about
    )
    made = models.describe(path)
    assert made.about == about
    assert made.calibration == {"temperature": 0.5, "threshold": 0.8, "deslanted": True}
    assert "learned from: these; those" in str(made)


def test_no_mapping_and_too_much_are_refused():
    for section in ([], "x", 3, None, dict.fromkeys(map(str, range(99)))):
        with pytest.raises(Refused, match="no mapping"):
            provenance.from_json(section, saved=None)
