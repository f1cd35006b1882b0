"""Ports of this machine."""

from __future__ import annotations

import socket


def closed_port() -> int:
    """Find a port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
