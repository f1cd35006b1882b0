"""Ports of this machine, and what is served there."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request


def closed_port() -> int:
    """Find a port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serving(address, module, *, log, seconds=90, **environment):
    """Serve an address by a module of Python's, until the tests are done with it."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with log.open("w") as written:
        server = subprocess.Popen(
            [sys.executable, "-m", *module],
            stdout=written,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
        )
    try:
        for _ in range(seconds):
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(OSError):
                opener.open(address, timeout=5).close()
                break
            time.sleep(1)
        else:
            raise AssertionError(f"{address} does not answer: {log.read_text()}")
        yield address
    finally:
        server.terminate()
        server.wait(30)
