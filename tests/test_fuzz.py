"""A short run of the fuzz campaign, what longer ones found, and that it would find it again."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path

import fuzz
import numpy as np
import pytest
from PIL import Image

from mnistlib import data, inference, outcomes, pictures, recognizer, sweep


@pytest.mark.parametrize("name", fuzz.LOADERS)
def test_no_loader_does_anything_undocumented(name):
    assert fuzz.campaign(name, inputs=100 if name == "keras" else 300, seed=7) == []


# --- the campaign itself -------------------------------------------------------------------------

PLANTED = """
import os, sys, time
sys.path[:0] = {paths!r}
import fuzz

def load(content, folder, number):
    if number == 3:
        raise ValueError("documented")
    if number == 5:
        raise KeyError("not documented")
    if number == 8:
        os.abort()
    if number == 11:
        time.sleep(60)
    if number == 14:
        bytearray(400_000_000)
    if number == 17:
        len([b'x' * 1_000_000 for _ in range(260)])

fuzz.SECONDS, fuzz.MEGABYTES = 1, 300
fuzz.LOADERS["planted"] = lambda: fuzz.Loader(lambda: [b"seed"], load, (ValueError,))
if __name__ == "__main__":
    fuzz.main()
"""


def test_every_kind_of_fault_is_found(tmp_path, monkeypatch):
    script = tmp_path / "planted.py"
    paths = [str(Path(fuzz.__file__).parent), str(fuzz.ROOT)]
    script.write_text(PLANTED.format(paths=paths))
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    found = fuzz.campaign("planted", inputs=20, script=str(script))
    assert {finding["number"]: finding["what"] for finding in found} == {
        5: "KeyError in planted.py:load",
        8: "died with -6",
        11: "slow",
        14: "MemoryError in planted.py:load",
        17: "memory",
    }


def test_an_input_is_the_same_again_by_its_number():
    loader = fuzz.LOADERS["grid"]()
    seeds = loader.seeds()
    made = [fuzz.make("grid", loader, seeds, number, 0) for number in range(200)]
    assert made == [fuzz.make("grid", loader, seeds, number, 0) for number in range(200)]
    assert len(set(made)) > 190
    assert made != [fuzz.make("grid", loader, seeds, number, 1) for number in range(200)]


def test_a_finding_is_made_smaller(tmp_path):
    def load(content, folder, number):
        assert b"fault" not in content

    loader = fuzz.Loader(list, load, ())
    content = b"a" * 500 + b"fault" + b"b" * 500
    what = fuzz.attempt(loader, content, tmp_path, 0)
    assert fuzz.smaller(loader, content, tmp_path, 0, what) == b"fault"


# --- what was found ------------------------------------------------------------------------------


def member(header: bytes) -> bytes:
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(8)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr'(-1,), \x7f\xc3\xbf\n",  # TokenError
        b"{'descr': ',|u1', 'fortran_order': False, 'shape': (6, 28, 28), }\n",  # SyntaxError
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999,), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n",
    ],
)
def test_headers_of_arrays_that_numpy_trips_over(tmp_path, monkeypatch, header):
    path = tmp_path / "arrays.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("network", *data._ARRAYS):
            archive.writestr(f"{name}.npy", member(header))
    with pytest.raises(ValueError, match="is no network that this library saved"):
        inference.load(path)
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(data.DataError, match=str(path)):
        data.load("mnist")


@pytest.mark.parametrize("change", ["temperature", "offset"])
def test_a_recognizer_with_numbers_beyond_floats(tmp_path, change):
    path = tmp_path / "small.npz"
    path.write_bytes(fuzz._small_network())
    with np.load(path) as held:
        arrays = dict(held)
    text = json.loads(arrays["network"].tobytes())
    (text["about"] if change == "temperature" else text["layers"][0])[change] = 10**400
    arrays["network"] = np.frombuffer(json.dumps(text).encode(), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=str(path)):
        recognizer.load(path)


def test_a_recognizer_of_thousands_of_members(tmp_path):
    path = tmp_path / "many.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(5_000):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(ValueError, match="it holds 5,000 arrays, at most 101"):
        inference.load(path)


@pytest.mark.parametrize("text", ['{"temperature": 1' + "0" * 400 + "}", "[" * 100_000])
def test_calibrations_that_json_or_floats_trip_over(tmp_path, monkeypatch, text):
    from mnistlib import models

    monkeypatch.setattr(models, "load", lambda path: models.dense([1]))
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match="is no calibration of a recognizer"):
        recognizer.load(tmp_path / "model.keras")


# Each level holds the one before nine times: shown in full, 9 to the power of 20 words.
LEVELS = [f"&{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]" for n in range(20)]
LAUGHS = f"E: [&a [x, x], {', '.join(LEVELS)}]"


@pytest.mark.parametrize(
    "text", ["E: !!timestamp x", "!!map x", "E: !!set x", "E: !!int x", "E: !!bool x", LAUGHS]
)
def test_grids_of_kinds_that_yaml_trips_over(tmp_path, text):
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"grid\.yaml"):
        sweep.read_grid(tmp_path / "grid.yaml")


@pytest.mark.parametrize("value", [10**400, 1e308, float("inf"), float("nan")])
def test_results_with_values_of_which_no_mean_can_be_taken(tmp_path, value):
    content = json.loads(fuzz.LOADERS["result"]().seeds()[0])
    content["figures"][0]["values"] = [value, 0.6]
    (tmp_path / outcomes.FILE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="figures are damaged"):
        outcomes.read(tmp_path)


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_pictures_whose_second_page_is_cut(kind):
    image = Image.fromarray(np.zeros((20, 24), np.uint8))
    image.save(buffer := io.BytesIO(), kind, save_all=True, append_images=[image.rotate(90)])
    content = buffer.getvalue()
    for end in range(len(content) // 3, len(content)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                pictures.read(content[:end])
            except pictures.PictureError:
                continue
