"""Model files of strangers that want to act: none does, through any of the ways a file is opened.

Everything is opened in processes of its own, where what happens can be watched: which files are
opened, how much memory is taken, and what is left changed.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import attacks as made
import h5py
import keras
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]

WATCH = """
import contextlib, io, json, os, resource, sys, threading, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
folder = sys.argv[1]
from mnistlib import models, recognizer
from mnistlib.cli import main
import keras, PIL.PngImagePlugin
recognizer.load(recognizer.SHIPPED)
with contextlib.suppress(ValueError):
    recognizer.load(Path(folder) / "good.keras")  # what is loaded once only is loaded now
opened, events = None, []
def watch(event, arguments):
    if event in ("socket.connect", "subprocess.Popen", "os.system", "os.exec"):
        events.append(f"{event} {arguments[0]}")
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(folder):
        if arguments[0] != opened:
            events.append(f"open {arguments[0]}")
sys.addaudithook(watch)

def command(path):
    ran = main(["predict", "--model", path, f"{folder}/picture.png"], standalone_mode=False)

def state():
    return [keras.config.floatx(), keras.config.dtype_policy().name,
            keras.config.image_data_format(), keras.config.epsilon(),
            keras.src.saving.serialization_lib.in_safe_mode(), os.getcwd(),
            threading.active_count(), sorted(os.listdir(f"{folder}/written"))]

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1000

for name, path in json.loads(Path(folder, "files.json").read_text()).items():
    for way in (models.load, recognizer.load, command):
        if way is models.load and path.endswith(".npz"):
            continue
        opened, events[:] = path, []
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        before, start, held = state(), time.process_time(), peak()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                way(path)
            outcome = "opened"
        except BaseException as error:
            outcome = type(error).__name__
            if outcome in ("ValueError", "UsageError", "ClickException"):
                outcome = "refused" if Path(path).name in str(error) else f"unnamed: {error}"
        print(json.dumps({"name": name, "way": way.__name__, "outcome": outcome,
                          "seconds": time.process_time() - start, "megabytes": peak() - held,
                          "changed": state() != before, "events": list(events)}), flush=True)
"""


UNGUARDED = """
print(json.dumps(sorted(os.listdir(f"{folder}/written"))))
from mnistlib import allowlist, saving, sizes
# The library without its guard: Keras's safe mode alone.
allowlist.check_config = lambda text: sizes.Cost(10**9, 1, 1, 1)
saving._check_weights = lambda content: None
files, written = json.loads(Path(folder, "files.json").read_text()), Path(folder, "written")
acted = []
def attempt(name, how, open):
    with contextlib.suppress(Exception):
        open(files[name])
    if any(written.iterdir()):
        acted.append([name, how])
    for path in written.iterdir():
        path.unlink()
    keras.config.set_floatx("float32")
attempt("named-function", "library", models.load)
for name in sys.argv[2:]:
    attempt(name, "Keras", lambda path: keras.saving.load_model(path, safe_mode=False))
print(json.dumps(acted))
"""


@pytest.fixture(scope="module")
def attacks(tmp_path_factory):
    files = made.Attacks(tmp_path_factory.mktemp("attacks"))
    Image.new("L", (60, 60), 255).save(files.folder / "picture.png")
    listed = {name: str(path) for name, path in files.files.items()}
    (files.folder / "files.json").write_text(json.dumps(listed))
    assert not any(files.written("").iterdir())
    return files


def python(code: str, *arguments: object) -> list[dict | list]:
    """Run code in a process of its own; gives the JSON that it prints, line by line."""
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=900,  # whatever else the machine does; processor time is measured
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith(("{", "["))]


@pytest.fixture(scope="module")
def said(attacks):
    """What one process prints, as starting it takes most of the time: first with the guard."""
    names = [name for name in attacks.files if name not in made.READ | made.SWELL]
    return python(WATCH + UNGUARDED, attacks.folder, *names)


@pytest.fixture
def seen(said):
    return said[:-2]


def test_every_file_is_refused_by_every_way(attacks, seen):
    assert {one["name"] for one in seen} == set(attacks.files)
    odd = [one for one in seen if one["outcome"] != "refused"]
    assert odd == []


def test_nothing_is_written_read_called_or_changed(said, seen):
    acted = [one for one in seen if one["events"] or one["changed"]]
    assert acted == []
    assert said[-2] == []  # nothing was written, later either


def test_none_takes_much_time_or_memory(seen):
    slow = [one for one in seen if one["seconds"] > 5 or one["megabytes"] > 150]
    assert slow == []


# --- the files are what they seem ----------------------------------------------------------------


def test_without_the_guard_they_would_act(said):
    """Else the tests above would prove nothing.

    Keras 3.15 has mended some ways, and out of its safe mode, too, it calls only its own modeling
    functions and reads no weights from elsewhere; what it still does is listed.
    """
    acted = said[-1]
    assert ["named-function", "library"] in acted
    by_keras = {name for name, how in acted if how == "Keras"}
    assert by_keras >= {"own-code", "own-code-h5", "graph", "graph-as-activation", "graph-as-loss"}
    assert by_keras >= {"graph-as-optimizer", "graph-as-argument", "graph-in-TimeDistributed"}


def test_what_lies_elsewhere_would_be_read(attacks):
    with zipfile.ZipFile(attacks.files["external-storage"]) as archive:
        stored = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(stored) as file:
        read = file["layers/dense/vars/1"][()].tobytes()
    assert read == attacks.secret.read_bytes()[:28]
    layer = layers_of(attacks.files["vocabulary"])[-1]
    with pytest.raises((TypeError, ValueError), match="safe_mode"):
        keras.saving.deserialize_keras_object(layer, safe_mode=True)
    read = keras.saving.deserialize_keras_object(layer, safe_mode=False)
    assert "two" in read.get_vocabulary()


def test_arrays_would_act(attacks):
    for name in ("pickle", "pickle-alone"):
        np.load(attacks.files[name], allow_pickle=True)["network"]
        if name == "pickle-alone":
            with zipfile.ZipFile(attacks.files[name]) as archive:
                pickle.loads(archive.read("network"))
        assert attacks.written(name).exists()
        attacks.written(name).unlink()


def layers_of(path: Path) -> list[dict]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))["config"]["layers"]
