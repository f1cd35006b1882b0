"""Files are written whole or not at all; what killed processes leave is swept, and only that."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mnistlib import inference, recognizer, saving, writing

ROOT = Path(__file__).parents[1]
OLD = 2 * 3600


def left(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith(writing.PREFIX))


def make_old(path: Path, seconds: float = OLD) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def child(code: str, *arguments: object) -> subprocess.Popen:
    """Start a process that says "ready" once it has begun."""
    started = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert started.stdout.readline() == "ready\n"
    return started


def kill(started: subprocess.Popen) -> None:
    started.send_signal(signal.SIGKILL)
    started.wait()
    started.stdout.close()


WAIT = """
import sys, time
from pathlib import Path
from mnistlib import writing
with writing.replacing(Path(sys.argv[1])) as written:
    written.write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_save_leaves_is_swept_by_the_next(tmp_path):
    goal = tmp_path / "goal.txt"
    goal.write_text("old")
    started = child(WAIT, goal)
    (folder,) = left(tmp_path)
    make_old(folder)
    # In use: another save leaves it alone.
    with writing.replacing(tmp_path / "other.txt") as written:
        written.write_text("other")
    assert left(tmp_path) == [folder]
    kill(started)
    assert goal.read_text() == "old"
    make_old(folder)
    with writing.replacing(goal) as written:
        written.write_text("new")
    assert goal.read_text() == "new"
    assert left(tmp_path) == []


def test_only_ours_and_only_old_ones_are_swept(tmp_path):
    names = {
        "young": ".saving-abcdefgh",
        "of an earlier version, a day old": ".saving-bcdefghi",
        "of an earlier version, an hour old": ".saving-cdefghij",
        "somebody's, days old": ".saving-my-own-folder",
        "another's, days old": ".sparing-abcdefgh",
    }
    for words, name in names.items():
        folder = tmp_path / name
        folder.mkdir()
        # As if its process was just about to lock it.
        (folder / (".mnistlib-lock" if words == "young" else "x")).write_text("x")
        make_old(folder, 1 if words == "young" else 2 * 86_400 if "day" in words else OLD)
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").write_text("x")
    (tmp_path / ".saving-defghijk").symlink_to(target)
    (tmp_path / ".saving-efghijkl").write_text("a file")
    make_old(tmp_path / ".saving-efghijkl", 2 * 86_400)
    with writing.replacing(tmp_path / "new.txt") as written:
        written.write_text("new")
    there = {path.name for path in tmp_path.iterdir()}
    swept = {names["of an earlier version, a day old"]}
    assert set(names.values()) - there == swept
    assert {"new.txt", "target", ".saving-defghijk", ".saving-efghijkl"} <= there
    assert (target / "kept").exists()


def test_folders_that_go_away_meanwhile_are_no_error(tmp_path, monkeypatch):
    """Other processes end their own saves, and sweep, too."""
    gone, old, real = tmp_path / ".saving-abcdefgh", tmp_path / ".saving-bcdefghi", os.scandir
    gone.mkdir()
    old.mkdir()
    make_old(old, 2 * 86_400)

    def scan(path):
        if path != tmp_path:  # of a folder that is open, a number
            return real(path)
        with real(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        gone.rmdir()
        return contextlib.nullcontext(found)

    monkeypatch.setattr(os, "scandir", scan)
    writing.write(tmp_path / "new.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new.txt"]


def test_copies_of_killed_loads_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "mnistlib-opening-abcdefgh"
    folder.mkdir()
    make_old(folder, 2 * 86_400)
    with writing.passing(tmp_path, "mnistlib-opening-") as other:
        assert list(tmp_path.iterdir()) == [other]
    assert list(tmp_path.iterdir()) == []
    assert saving.tempfile.gettempdir() == str(tmp_path)


def test_a_failing_save_changes_nothing(tmp_path):
    goal = tmp_path / "goal.txt"
    goal.write_text("old")
    with contextlib.suppress(RuntimeError), writing.replacing(goal) as written:
        written.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["goal.txt"]
    assert goal.read_text() == "old"
    with pytest.raises(FileNotFoundError, match="folder that exists"):
        writing.replacing(tmp_path / "none" / "goal.txt").__enter__()
    with pytest.raises(OSError, match="goal"), writing.replacing(goal):
        pass  # nothing written


# Saves recognizers one after another, each with a bias and a temperature of the same number.
PAIRS = """
import sys, itertools
from pathlib import Path
import numpy as np
from mnistlib import inference, recognizer
path = Path(sys.argv[1])
if path.suffix == ".keras":
    from mnistlib import models
    model = models.build("dense_32_16")
else:
    network, _ = inference.load(recognizer.SHIPPED)
print("ready", flush=True)
for number in itertools.count(1):
    value = 1 + number % 64 / 64
    if path.suffix == ".keras":
        model.get_layer("digit").bias.assign([value] * 10)
        made = recognizer.Recognizer(model, value)
    else:
        *layers, last, end = network.layers
        bias = np.full(10, value, np.float32)
        last = inference.Layer(last.kind, last.options, (last.weights[0], bias))
        made = recognizer.Recognizer(inference.Network((*layers, last, end)), value)
    recognizer.save(made, path)
"""


@pytest.mark.parametrize("suffix", [".npz", ".keras"])
def test_kill_at_any_point_leaves_a_network_with_its_own_calibration(tmp_path, suffix):
    path, draw = tmp_path / f"kept{suffix}", random.Random(suffix)
    # Starting TensorFlow takes most of the time.
    for _ in range(1 if suffix == ".keras" else 4):
        started = child(PAIRS, path)
        begun = path.stat().st_mtime_ns if path.exists() else None
        while not path.exists() or path.stat().st_mtime_ns == begun:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.25))
        kill(started)
        loaded = recognizer.load(path)
        if suffix == ".npz":
            bias = loaded.model.layers[-2].weights[1]
        else:
            bias = np.asarray(loaded.model.get_layer("digit").bias)
        np.testing.assert_array_equal(bias, np.full(10, loaded.temperature, np.float32))
    for folder in left(tmp_path):
        make_old(folder)
    recognizer.save(loaded, path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_an_earlier_calibration_beside_is_not_paired_with_a_new_network(tmp_path):
    """As a kill between two files left it, when a recognizer was two files."""
    from mnistlib import models

    path = tmp_path / "old.keras"
    (tmp_path / "old.json").write_text(json.dumps({"temperature": 0.5, "threshold": 0.8}))
    model = models.build("dense_32_16")
    model.save(path)  # a file of an earlier state says nothing about itself
    assert recognizer.load(path).temperature == 0.5
    recognizer.save(recognizer.Recognizer(model, 2.0), path)
    assert recognizer.load(path).temperature == 2.0
    models.save(model, path)
    with pytest.raises(ValueError, match="model must read digits"):  # anybody's, and untrained
        recognizer.load(path)


def test_inference_saves_through_it_too(tmp_path):
    network, about = inference.load(recognizer.SHIPPED)
    folder = tmp_path / ".saving-abcdefgh"
    folder.mkdir()
    make_old(folder, 2 * 86_400)
    inference.save(network, tmp_path / "network.npz", about=about)
    assert [path.name for path in tmp_path.iterdir()] == ["network.npz"]
