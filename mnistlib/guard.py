"""The guard of the page: which requests are answered, and which are refused before they are read.

A page on this machine can be reached by every website that its reader has open. A browser says
which page sends a request (``Origin``), and for which name (``Host``): a website can give its own
name this machine's address (DNS rebinding), but can't change what the browser says. Imports
without TensorFlow, and without gradio.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MOST_UPLOAD = 20 * 2**20
"""How many bytes a picture may have that is sent to the page."""
# Of anything else that is sent (a drawing is the largest), and of all pictures that are kept.
_MOST_OTHER, _MOST_KEPT = 2 * 2**20, 20 * MOST_UPLOAD
# What a form adds to the file in it.
_FORM = 64 * 2**10
KEPT_SECONDS = 300
"""How long a picture is kept that was sent: it is answered at once, and shown in the page."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Hosts:
    """By which names a page may be asked for.

    Those of this machine for itself (localhost, 127.0.0.1, ::1), and the address on which the page
    listens. If that lets other machines in, also any address in numbers and this machine's name:
    no website can have such a name.

    Attributes:
        listening: The address on which the page listens.
        others: Further names, such as that of a proxy in front of the page.
    """

    listening: str = "127.0.0.1"
    others: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        name = name.lower().rstrip(".")
        if name == "localhost" or name in self.named or name == self._own:
            return True
        address, own = _address(name), _address(self._own)
        if address is not None and address.is_loopback:
            return True
        if self._own == "localhost" or (own is not None and own.is_loopback):
            return False
        machine = socket.gethostname().lower()
        return address is not None or name in (machine, f"{machine.partition('.')[0]}.local")

    @property
    def _own(self) -> str:
        return self.listening.strip("[]").lower()

    @property
    def named(self) -> frozenset[str]:
        """The further names."""
        return frozenset(name.lower().rstrip(".") for name in self.others)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


class Guard:
    """What stands between the server and the page (middleware of ASGI).

    Refused are: another ``Host`` (403) or ``Origin`` (403) than the page's own; more bytes than a
    picture may have (413), or bytes without their number before them (411), before any is read;
    pictures while too many are kept (503); sending to anything but the page's own two places, and
    having the server fetch an address (404).
    """

    def __init__(self, app: Callable, hosts: Hosts, folder: Path) -> None:
        self.app, self.hosts, self.folder = app, hosts, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to the page, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            if refusal := self._refusal(scope):
                await _refuse(send, *refusal)
            else:
                await self.app(scope, receive, send)
        else:
            # The page uses no web sockets.
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Say with which status and in which words a request is refused; None if it is not."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        host = _name("//" + hosts[0]) if len(hosts) == 1 else None
        if host is None or host not in self.hosts:
            return 403, (
                f"This page is not served as {_shown(hosts)}. If that is its name, for example "
                "behind a proxy, start it with: mnistlib app --allow-host NAME"
            )
        for origin in origins:
            # As a browser writes it: "http://", the name, and the port if it is not the usual one.
            same = origin.lower().partition("://")[2] == hosts[0].lower()
            if not same and _name(origin) not in self.hosts.named:
                return 403, (
                    f"A page of {_shown(origins)} may not use this one. If it is the same page, "
                    "behind a proxy, start it with: mnistlib app --allow-host NAME"
                )
        path, method = scope["path"].lower(), scope["method"]
        if method in ("GET", "HEAD", "OPTIONS"):
            fetches = "/proxy=" in path or "/file=http:" in path or "/file=https:" in path
            return (404, "This page fetches nothing from elsewhere.") if fetches else None
        upload = path.rstrip("/").endswith("/upload")
        if method != "POST" or not (upload or "/gradio_api/run/" in path):
            return 404, "Nothing is sent to this address."
        length = headers.get("content-length", [""])
        if "transfer-encoding" in headers or len(length) > 1 or not length[0].isdecimal():
            return 411, "What is sent must say how many bytes it has (Content-Length)."
        most = MOST_UPLOAD + _FORM if upload else _MOST_OTHER
        if int(length[0][:20]) > most:
            return 413, (
                f"{int(length[0][:20]):,} bytes were to be sent; at most {most:,} are taken: make "
                "the picture smaller"
            )
        if upload and int(length[0]) + kept_bytes(self.folder) > _MOST_KEPT:
            return 503, "Too many pictures were sent in the last minutes: try again in a while."
        return None


async def _refuse(send: Send, status: int, words: str) -> None:
    body = words.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        # What is still being sent is not read.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _name(url: str) -> str | None:
    """Find the name of the machine in an address; None if it has none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _shown(values: Iterable[str]) -> str:
    return ascii(", ".join(values)[:100])


def kept_bytes(folder: Path) -> int:
    """Count the bytes of the files in a folder and its subfolders."""
    return sum(size for _, size, _ in _files(folder))


def sweep(folder: Path, *, older: float = KEPT_SECONDS) -> None:
    """Delete the files in a folder, and the empty folders, that are older than so many seconds."""
    limit = time.time() - older
    for path, _, changed in _files(folder):
        if changed < limit:
            path.unlink(missing_ok=True)
    for inner in [Path(place) for place, _, _ in os.walk(folder, topdown=False)]:
        try:
            if inner != folder and inner.stat().st_mtime < limit:
                inner.rmdir()
        except OSError:
            continue  # Something was put there meanwhile.


def _files(folder: Path) -> Iterable[tuple[Path, int, float]]:
    """Give each file's path, bytes and time of its last change, in seconds since 1970."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                known = path.lstat()
            except OSError:
                continue  # Deleted meanwhile.
            yield path, known.st_size, known.st_mtime
