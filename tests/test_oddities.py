"""Odd paths and odd files: every loader raises what it documents, at once and in a sentence."""

from __future__ import annotations

import os
import random
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnistlib import folders, inference, models, pictures, recognizer, saving, scales, sizes

LOADERS = {
    "models.load": (models.load, ".keras"),
    "models.describe": (models.describe, ".keras"),
    "recognizer.load keras": (recognizer.load, ".keras"),
    "recognizer.load npz": (recognizer.load, ".npz"),
    "inference.load": (inference.load, ".npz"),
    "pictures.read": (pictures.read, ".png"),
}
PATHS = {
    "nobody's home": "~nobody-at-all/x",
    "a name too long": "x" * 5_000,
    "a path too long": "x/" * 5_000 + "x",
    "a null byte": "a\0b",
    "a surrogate": "a\udcffb",
    "nothing": "",
    "a file as folder": "/dev/null/x",
    "no such folder": "/no/such/folder/x",
    "a newline": "a\nb",
}


@pytest.fixture
def _for_ever():
    """Whatever waits for ever, as for a pipe, is ended."""

    def late(*_):
        raise AssertionError("waited a minute")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_for_ever")
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("loader", LOADERS)
def test_odd_paths_are_no_files(loader, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load, suffix = LOADERS[loader]
    # An ending alone is none: models.load documents a ValueError for it.
    with pytest.raises(FileNotFoundError if path else (FileNotFoundError, ValueError)):
        load(f"{path}{suffix}")


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_odd_paths_are_no_folders(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Nothing is the folder where one is.
    said = "must name a folder" if path else "holds no picture"
    for look in (folders.find, folders.load):
        with pytest.raises(folders.DataError, match=said):
            look(path)


@pytest.mark.usefixtures("_for_ever")
@pytest.mark.parametrize("loader", LOADERS)
def test_folders_pipes_and_devices_are_no_files(loader, tmp_path):
    load, suffix = LOADERS[loader]
    folder, pipe, device = (tmp_path / f"{name}{suffix}" for name in ("folder", "pipe", "device"))
    folder.mkdir()
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    loop = tmp_path / f"loop{suffix}"
    loop.symlink_to(loop)
    for path in (folder, pipe, device, loop):
        with pytest.raises(FileNotFoundError):
            load(path)


@pytest.mark.usefixtures("_for_ever")
def test_the_check_alone_does_not_wait_for_pipes_and_devices(tmp_path):
    pipe = tmp_path / "pipe.keras"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero"):
        with pytest.raises(ValueError, match="no regular file"):
            saving.check(path)


# --- files that are changed ----------------------------------------------------------------------


def network(kernel=(3, 3, 1, 4), **options) -> inference.Network:
    draw = np.random.default_rng(0)
    units = 13 * 13 * kernel[3]
    weights = [draw.normal(size=shape) for shape in (kernel, (kernel[3],), (units, 10), (10,))]
    weights = [weight.astype(np.float32) for weight in weights]
    layer = inference.Layer
    return inference.Network(
        (
            layer("scale", {"factor": 1 / 255, "offset": 0.0} | options),
            layer("conv", {"stride": 1}, tuple(weights[:2])),
            layer("relu", {}),
            layer("pool", {"size": 2}),
            layer("flatten", {}),
            layer("dense", {}, tuple(weights[2:])),
            layer("softmax", {}),
        )
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    return {
        ".npz": recognizer.save(recognizer.Recognizer(network(), 0.5), folder / "kept.npz"),
        ".keras": recognizer.save(
            recognizer.Recognizer(models.build("dense_32_16"), 0.5), folder / "kept.keras"
        ),
    }


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


WORDS = [b"null", b"NaN", b"-1", b"1e999", b"9" * 400, b"[" * 2_000, b"{}", b'"\\ud800"', b"\0" * 9]
PARTS = [b"0", b"1", b"{", b"}", b":", b",", b'"', b"float16", b"<f2", b"|u1", b"(", b"shape"]


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    suffix=st.sampled_from([".npz", ".npz", ".keras"]),
    seed=st.integers(0, 2**32),
    inside=st.booleans(),
)
def test_changed_files_are_refused_or_answer(files, tmp_path, suffix, seed, inside):
    """Bytes changed in the zip, or in what a sound zip holds, where no checksum tells."""
    whole, draw = files[suffix], random.Random(seed)
    members = members_of(whole)
    path = tmp_path / f"changed{suffix}"

    def changed(content: bytes) -> bytes:
        content = bytearray(content)
        for _ in range(draw.choice([1, 1, 2, 5])):
            at = draw.randrange(len(content) or 1)
            if draw.random() < 0.5:
                content[at : at + 1] = bytes([draw.randrange(256)])
            elif (at := content.find(draw.choice(PARTS), at)) >= 0:
                content[at : at + draw.randrange(4)] = draw.choice(WORDS)
        return bytes(
            content[: draw.randrange(len(content) or 1)] if draw.random() < 0.1 else content
        )

    if inside:
        name = draw.choice(list(members))
        with zipfile.ZipFile(path, "w", draw.choice([0, 8, 8, 12, 14])) as archive:
            for member, content in members.items():
                archive.writestr(member, changed(content) if member == name else content)
    else:
        path.write_bytes(changed(whole.read_bytes()))
    try:
        if suffix == ".npz":
            opened = recognizer.load(path)
        else:
            saving.check(path)  # before Keras; what Keras raises is one error, whatever it was
            return
    except ValueError as error:
        said = str(error)
    else:
        said = None
    if said is not None:
        assert path.name in said
        return
    assert 0.01 <= opened.temperature <= 100
    assert 0 <= opened.threshold <= 1
    try:
        answered = opened.probabilities(np.full((1, 28, 28), 255, np.uint8))
    except ValueError as error:
        said = str(error)
    if said is not None:
        assert "beyond what float32 holds" in said
    else:
        np.testing.assert_allclose(answered.sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(files, tmp_path, method):
    """What they take is not bounded by what they hold: a dictionary of LZMA has up to 4 GB."""
    for path in files.values():
        packed = tmp_path / path.name
        with zipfile.ZipFile(packed, "w", method) as archive:
            for name, content in members_of(path).items():
                archive.writestr(name, content)
        with pytest.raises(ValueError, match=f"packed by method {method}"):
            recognizer.load(packed)


def test_numbers_that_overflow_are_told(tmp_path):
    path = inference.save(network(factor=3e37), tmp_path / "large.npz")
    loaded, _ = inference.load(path)
    with pytest.raises(ValueError, match="beyond what float32 holds"):
        loaded.predict(np.full((1, 28, 28), 255, np.uint8))


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        *(
            ("scale", option, value)
            for option in ("factor", "offset")
            for value in (float("nan"), float("inf"), 1e39, 10**400, "x")
        ),
        *(("conv", "stride", value) for value in (0, -1, True, 1.5, 29, 10**400, None)),
        *(("pool", "size", value) for value in (0, True, 29, "2")),
        *(("crop", "crop", value) for value in ([[1.5, 1], [1, 1]], [[True, 0], [0, 0]], [[1], 2])),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, kind, option, value):
    layers = [one for one in network().layers if one.kind != kind]
    odd = next((one for one in network().layers if one.kind == kind), inference.Layer(kind, {}))
    place = {"scale": 0, "crop": 1, "conv": 1, "pool": 3}[kind]
    layers.insert(place, inference.Layer(kind, {**odd.options, option: value}, odd.weights))
    path = inference.save(inference.Network(tuple(layers)), tmp_path / "odd.npz")
    with pytest.raises(ValueError, match=rf"odd\.npz is no network.*({kind}|rror)"):
        inference.load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_arrays_that_are_not_finite_are_refused(tmp_path, value):
    made = network()
    made.layers[1].weights[0][0, 0, 0, 0] = value
    path = inference.save(made, tmp_path / "odd.npz")
    with pytest.raises(ValueError, match="finite weights"):
        recognizer.load(path)


# --- strangers' networks take what they are given ------------------------------------------------


def test_wide_networks_of_strangers_are_asked_few_digits_at_a_time(tmp_path, monkeypatch):
    made = models.build("cnn")
    path, images = tmp_path / "model.keras", np.zeros((50, 28, 28), np.uint8)
    loaded = models.load(models.save(made, path))
    known = models.cost(loaded)
    # Held against Keras's own shapes.
    values = sum(int(np.prod(layer.output.shape[1:])) for layer in made.layers)
    assert known.values == values
    assert models.cost(made) is None
    asked, real = [], loaded.predict_on_batch
    monkeypatch.setattr(
        loaded, "predict_on_batch", lambda x: asked.append(len(x)) or real(x), raising=False
    )
    expected = models.predict_proba(loaded, images)
    monkeypatch.setattr(models, "_MOST_VALUES", 20 * known.values + 1)
    few = models.predict_proba(loaded, images)
    assert asked == [50, 20, 20, 10]
    np.testing.assert_allclose(few, expected, atol=1e-6)


def test_slow_networks_of_strangers_are_tried_on_fewer_digits(tmp_path, monkeypatch):
    digits = np.zeros((500, 28, 28), np.uint8), np.arange(500) % 10
    monkeypatch.setattr(scales, "known_digits", lambda: digits)
    monkeypatch.setattr(scales, "SCALES", scales.SCALES[:2])
    loaded = models.load(models.save(models.build("dense_32_16"), tmp_path / "model.keras"))
    asked, real = [], models.predict_proba
    monkeypatch.setattr(
        models, "predict_proba", lambda model, x: asked.append(len(x)) or real(model, x)
    )
    monkeypatch.setattr(scales, "LEAST_ACCURACY", 0)
    scales.adapt(loaded)
    slow = sizes.Cost(1, 1, scales._MOST_WORK // 150, 1)
    monkeypatch.setitem(models._COSTS, loaded, slow)
    scales.adapt(loaded)
    assert asked == [1, 500, 500, 1, 150, 150]
