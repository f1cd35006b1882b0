"""What the user's environment says about Keras gives the same results, or a clear sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import hashlib
import numpy as np
from mnistlib import models, training

rng = np.random.default_rng(0)
x, y = rng.integers(256, size=(192, 28, 28), dtype=np.uint8), rng.integers(10, size=192)
for name in ("dense_32_16", "cnn"):
    model = models.build(name, seed=1, precision="float32")
    history = training.fit(model, x, y, recipe=name, epochs=2, batch_size=64, validation=(x, y))
    weights = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
    print(name, weights, history.history)
    print(models.predict_proba(model, x[:3]).tolist())
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KERAS")}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[1],
        env=kept | environment,
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> str:
    done = run(CODE, KERAS_HOME=str(tmp_path_factory.mktemp("keras")))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "settings",
    [{"floatx": "float16"}, {"image_data_format": "channels_first"}, {"backend": "jax"}],
    ids=str,
)
def test_keras_json_does_not_bend_results(settings, plain, tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    done = run(CODE, KERAS_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == plain


@pytest.mark.parametrize("backend", ["jax", "torch", "none-such"])
def test_another_backend_in_the_environment_is_refused_in_a_sentence(backend):
    done = run("import mnistlib.models", KERAS_BACKEND=backend)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: mnistlib runs on Keras's TensorFlow backend; received ")
    assert f"KERAS_BACKEND={backend!r}. Unset it" in last
