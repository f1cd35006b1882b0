"""The page under load: a server of ``mnistlib app``, and clients that draw as the page does."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def closed_port() -> int:
    """Find a port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serve(
    address: str, *command: str | Path, log: str | Path = os.devnull, **environment: str
) -> Iterator[subprocess.Popen]:
    """Have Python serve an address, in a process of its own that ends with the block.

    Args:
        address: What is asked until it answers.
        *command: What Python is called with, such as ``-m``, ``mnistlib``, ``app``.
        log: Where to write what the process says.
        **environment: Variables of its environment, beside those of this process.

    Raises:
        RuntimeError: It ends, or does not answer within two minutes: with what it said.
    """
    import httpx

    with Path(log).open("wb") as said:
        server = subprocess.Popen(
            [sys.executable, *command], stdout=said, stderr=said, env=os.environ | environment
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            if server.poll() is not None or time.monotonic() > deadline:
                state = "does not answer" if server.poll() is None else "has ended"
                raise RuntimeError(f"{address} {state}: {Path(log).read_text()}")
            with contextlib.suppress(httpx.TransportError):
                httpx.get(address, trust_env=False, timeout=10)
                break
            time.sleep(0.2)
        yield server
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def page(
    *options: str | Path, log: str | Path = os.devnull, **environment: str
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve the page of ``mnistlib app`` on a free port: its address, and the process."""
    port = closed_port()
    address, command = f"http://127.0.0.1:{port}", ("-m", "mnistlib", "app", "--port", str(port))
    with serve(address, *command, *options, log=log, **environment) as server:
        yield address, server


def drawings(count: int = 8) -> list[str]:
    """Draw sevens as the pad sends them: data URLs."""
    from PIL import Image, ImageDraw

    made = []
    for number in range(count):
        image = Image.new("RGBA", (320, 320), "white")
        corners = [(96 - number, 70 + number), (217 + number, 70), (144, 256 - number)]
        ImageDraw.Draw(image).line(corners, "black", 20, "curve")
        written = io.BytesIO()
        image.save(written, "PNG")
        made.append("data:image/png;base64," + base64.b64encode(written.getvalue()).decode())
    return made


def ask(client, address: str, drawing: str | None, session: str) -> list:
    """Send a drawing as the page does, and give what is to be shown: answer, digit, words."""
    body = {"data": [], "fn_index": 0, "session_hash": session, "event_data": {"picture": drawing}}
    answer = client.post(f"{address}/gradio_api/run/predict", json=body)
    answer.raise_for_status()
    return answer.json()["data"]


def under_load(*, clients: int, requests: int, of_keras: bool = False, warm_up: int = 400) -> dict:
    """Let clients draw at the same time, each as soon as it has its answer.

    Args:
        clients: How many draw at a time.
        requests: How many answers are measured.
        of_keras: Whether a network of Keras answers, which doesn't know any digit.
        warm_up: How many answers the same number of clients is given before. gradio keeps some
            20 KB for each of the last 200 pages that were open, and each request is such a page.

    Returns:
        What ``load`` gives; and the megabytes of the server's memory, ``warm`` (after the warm-up)
        and in the ``end``.
    """
    import psutil

    with tempfile.TemporaryDirectory() as folder, page(*_model(folder, of_keras)) as found:
        address, server = found[0], psutil.Process(found[1].pid)
        expected = None if of_keras else "7"
        load(address, clients=clients, requests=warm_up, expected=None)
        warm = server.memory_info().rss
        figures = load(address, clients=clients, requests=requests, expected=expected)
        end = server.memory_info().rss
    return figures | {"warm": warm / 1e6, "end": end / 1e6}


def load(address: str, *, clients: int, requests: int, expected: str | None = "7") -> dict:
    """Have a page answer drawings of a seven, to so many clients at the same time.

    Args:
        address: Of the page.
        clients: How many draw at a time, each as soon as it has its answer.
        requests: How many answers there are in all.
        expected: What each answer shall be. None: that does not matter.

    Returns:
        Answers ``per_second``; the seconds until an answer, ``median`` and ``p99``; ``errors``.
    """
    import httpx

    pictures = drawings()
    seconds: list[float] = []
    errors: list[str] = []
    left = iter(range(requests))
    lock = threading.Lock()

    def draw(name: str) -> None:
        with httpx.Client(trust_env=False, timeout=120) as client:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                start = time.perf_counter()
                try:
                    shares, _, _ = ask(client, address, pictures[number % 8], f"{name}-{number}")
                    if expected is not None and shares["label"] != expected:
                        errors.append(f"read {shares['label']}")
                except (httpx.HTTPError, TypeError) as error:
                    errors.append(repr(error))
                seconds.append(time.perf_counter() - start)

    start = time.perf_counter()
    threads = [threading.Thread(target=draw, args=(str(n),)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "per_second": requests / (time.perf_counter() - start),
        "median": float(np.median(seconds)),
        "p99": float(np.quantile(seconds, 0.99)),
        "errors": len(errors),
    }


def _model(folder: str, of_keras: bool) -> list[str]:
    if not of_keras:
        return []
    from mnistlib import models, recognizer

    # What it answers does not matter here.
    path = Path(folder) / "network.keras"
    recognizer.save(recognizer.Recognizer(models.build("cnn_fast"), deslanted=True), path)
    return ["--model", str(path)]


if __name__ == "__main__":
    from benchmarks.measure import main

    main(globals()[sys.argv[1]], *sys.argv[2:])
