"""What the tests share: real digits, and places that hold no MNIST."""

from __future__ import annotations

import contextlib
import hashlib
import random
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
from chromium import CHROMIUM, FLAGS
from hypothesis import settings

from benchmarks.serving import closed_port
from mnistlib import DISTRIBUTION, cache, data, pendigits

# A slow machine is no failure, and nothing is written beside the code.
settings.register_profile("mnistlib", deadline=None, database=None)
settings.load_profile("mnistlib")


# What a shell starts with "&" is born deaf to Ctrl-C, and so is whatever that starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def digits() -> data.Digits:
    """The full MNIST where it can be had, else the offline sample."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Running on the offline sample")
        return data.load()


@pytest.fixture(scope="session")
def sample(digits) -> data.Digits:
    """The offline sample, which takes seconds to read."""
    return data.load("sample") if digits.is_mnist else digits


@pytest.fixture(scope="session")
def mnist(digits) -> data.Digits:
    """The full MNIST; a test that asks for it is skipped where it cannot be had."""
    if not digits.is_mnist:
        pytest.skip("needs the full MNIST: set MNISTLIB_DATA, or let it be downloaded")
    return digits


@pytest.fixture(scope="session")
def reader(digits):
    """A recognizer trained as ``mnistlib predict`` has it, for fewer epochs."""
    from mnistlib import recognizer

    return recognizer.train("cnn_fast", digits, epochs=4 if digits.is_mnist else 12)[0]


@pytest.fixture(scope="module")
def browser():
    """Chromium, for tests marked ``needs_browser``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def mnist_arrays(mnist) -> dict[str, np.ndarray]:
    return {name: getattr(mnist, name) for name in ("x_train", "y_train", "x_test", "y_test")}


@pytest.fixture(scope="session")
def mnist_npz(mnist_arrays) -> Iterator[Path]:
    """A ``.npz`` with the full MNIST in Keras's layout."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist.npz"
        np.savez(path, **mnist_arrays)
        yield path


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for files too large to be kept after the test, as ``tmp_path`` keeps them."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> SimpleNamespace:
    """No MNIST anywhere: no variable, empty caches, and addresses that refuse the connection."""
    monkeypatch.delenv(data.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    addresses = tuple((f"http://127.0.0.1:{closed_port()}/", files) for _, files in data.ADDRESSES)
    monkeypatch.setattr(data, "ADDRESSES", addresses)
    monkeypatch.setattr(pendigits, "ADDRESS", addresses[0][0])
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    # As in a fresh process, which has no folder yet for what cannot be kept.
    cache._passing.cache_clear()
    return SimpleNamespace(
        keras=tmp_path / "keras" / "datasets" / "mnist.npz",
        cache=tmp_path / "cache",
        refused=addresses,
    )


@pytest.fixture
def few_writers(nowhere, monkeypatch) -> Callable[[], None]:
    """When called, small files in the form of pendigits lie in the cache, as if downloaded.

    Ones with a hook, 120 to learn from and 30 to try: each a stroke of three points.
    """

    def write() -> None:
        folder, sums = Path(pooch.os_cache(DISTRIBUTION)), {}
        folder.mkdir(parents=True, exist_ok=True)
        for name, count in zip(pendigits.FILES, (120, 30), strict=True):
            lines = []
            for number in range(count):
                lines += [f'.SEGMENT DIGIT {number} ? "1"', f".COMMENT 1 {number % 6 + 1} {number}"]
                lines += [".PEN_DOWN", f"{number} 400", "90 450", "90 200", ".PEN_UP", ".DT 100"]
            (folder / name).write_text("\n".join(lines))
            sums[name] = f"sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}"
        monkeypatch.setattr(pendigits, "FILES", sums)

    return write


@pytest.fixture
def global_random_state() -> Iterator[None]:
    """Fail a test that draws from, or seeds, one of the global random generators."""
    from mnistlib._tensorflow import keras, tf

    def draws():
        return [
            random.random(),
            np.random.random(),  # noqa: NPY002 - the global state is what is watched
            float(tf.random.uniform([])),
            float(keras.random.uniform([])),
        ]

    keras.utils.set_random_seed(5)
    undisturbed = draws()
    keras.utils.set_random_seed(5)
    yield
    assert draws() == undisturbed


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[SimpleNamespace]:
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield SimpleNamespace(address=f"http://127.0.0.1:{server.server_port}/", asked=asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serve() -> Iterator:
    """Serve a folder over HTTP: ``serve(folder)`` → ``.address``, and ``.asked``, the requests."""
    with contextlib.ExitStack() as stack:
        yield lambda folder: stack.enter_context(_serving(folder))
