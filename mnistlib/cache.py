"""The user's cache folder: files downloaded into it, verified, once for all processes.

Imports without TensorFlow.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import shutil
import tempfile
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from mnistlib import DISTRIBUTION, writing

SECONDS = 120
"""So long may an address take for its files; the largest, at 100 kB a second, needs as much."""

MOST_BYTES = 64_000_000
"""So much is read of a file; the largest has 11.5 MB, and all of MNIST unpacked 55."""

WAY = "On Linux, XDG_CACHE_HOME can name a folder that can be written."
"""What to do where nothing can be kept, for messages."""

# Without a sign of life for so long, an address is given up.
_SILENCE_SECONDS = 15
_MOST_REDIRECTS = 5
# Small enough that a download which was given up soon notices.
_PIECE = 1_000


class DownloadError(OSError):
    """An address did not give the files that were promised; says why."""


def folder() -> Path:
    """Give the folder, which need not be there."""
    import pooch

    return Path(pooch.os_cache(DISTRIBUTION))


@contextlib.contextmanager
def locked(name: str, *, seconds: float) -> Iterator[None]:
    """Keep other processes from the same work, where that can be done, so that it is done once.

    A process that was killed holds nothing. Where the folder cannot be written, or another process
    takes longer than ``seconds``, the work is done without: whoever writes, writes whole files.

    Args:
        name: Of the work, as part of a file's name.
        seconds: How long to wait for another process.
    """
    import filelock

    lock = filelock.FileLock(folder() / f".{name}.lock")
    # NotImplementedError: a file system without locks.
    with contextlib.suppress(OSError, NotImplementedError):
        folder().mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=seconds)
    try:
        yield
    finally:
        lock.release()


def write(path: Path, content: bytes) -> None:
    """Write a file, completely or not at all, and its folder where it is missing.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writing.write(path, content)


def fetch(
    address: str,
    files: Mapping[str, str],
    *,
    seconds: float = SECONDS,
    most_bytes: int = MOST_BYTES,
) -> Path:
    """Download files into the cache folder, unless they are there.

    Checksums are compared before a file is moved into place and whenever it is asked for: a broken
    download leaves nothing behind, a complete one is not fetched again, and a file that was damaged
    since is. Processes that ask at the same time download once. Where the folder cannot be written,
    a warning says why, and the files are kept until Python ends.

    Args:
        address: Where they are served, ending in a slash.
        files: Name → checksum, such as ``"sha256:…"``.
        seconds: So long may the address take for all of them.
        most_bytes: So much is read of each.

    Returns:
        The folder that holds them.

    Raises:
        DownloadError: The address did not give them, within these bounds and unchanged: says why.
        OSError: They cannot be written anywhere.
    """
    places = [folder(), _passing()] if _passing.cache_info().currsize else [folder()]
    for place in places:
        if all(kept(place / name, checksum) for name, checksum in files.items()):
            return place
    with locked("download", seconds=seconds):
        end = time.monotonic() + seconds
        contents = {}
        for name, checksum in files.items():
            # Meanwhile another process may have fetched it.
            contents[name] = kept(folder() / name, checksum) or _verified(
                _receive(address + name, seconds=end - time.monotonic(), most_bytes=most_bytes),
                checksum,
            )
        try:
            for name, content in contents.items():
                if kept(folder() / name, files[name]) is None:
                    write(folder() / name, content)
            return folder()
        except OSError as error:
            reason = error
    said = bool(_passing.cache_info().currsize)
    for name, content in contents.items():
        write(_passing() / name, content)
    if not said:
        warnings.warn(
            f"Downloads cannot be kept in {folder()} and will be needed anew the next time "
            f"({reason}). {WAY}",
            stacklevel=3,
        )
    return _passing()


def kept(path: Path, checksum: str) -> bytes | None:
    """Read a file if it is there and is what it should be; None if not.

    Args:
        path: The file.
        checksum: Such as ``"sha256:…"``.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        content = path.read_bytes()
    except OSError:  # also a folder that may not even be looked into
        return None
    return content if _sum(content, checksum) == checksum else None


@functools.cache
def _passing() -> Path:
    """Make a folder that goes away with Python."""
    place = Path(tempfile.mkdtemp(prefix="mnistlib-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _sum(content: bytes, like: str) -> str:
    kind = like.partition(":")[0]
    return f"{kind}:{hashlib.new(kind, content, usedforsecurity=False).hexdigest()}"


def _verified(content: bytes, checksum: str) -> bytes:
    if (found := _sum(content, checksum)) != checksum:
        raise DownloadError(
            f"it answered with another file, of {len(content):,} bytes: its checksum is {found}, "
            f"not {checksum}"
        )
    return content


def _receive(address: str, *, seconds: float, most_bytes: int) -> bytes:
    """Download a file into memory.

    The work is done in a thread that can be left alone: no setting of a connection bounds the time
    for which a server may send a byte now and then.
    """
    content, done, failed = bytearray(), [], []

    def work() -> None:
        try:
            for piece in _pieces(address, silence=min(_SILENCE_SECONDS, seconds)):
                content.extend(piece)
                if len(content) > most_bytes:
                    raise DownloadError(f"it sent more than {most_bytes:,} bytes")
                if left.is_set():
                    return
            done.append(True)
        except Exception as error:
            failed.append(error)

    left = threading.Event()
    thread = threading.Thread(target=work, daemon=True, name=f"download of {address}")
    if seconds > 0:
        thread.start()
        try:
            thread.join(seconds)
        finally:
            left.set()
    if failed:
        raise DownloadError(_why(failed[0])) from failed[0]
    if not done:
        raise DownloadError(
            f"it was too slow: {len(content):,} bytes came in the time that was left"
        )
    return bytes(content)


def _pieces(address: str, *, silence: float) -> Iterator[bytes]:
    import requests
    from tqdm import tqdm

    with requests.Session() as session:
        session.max_redirects = _MOST_REDIRECTS
        answer = session.get(
            address, stream=True, timeout=silence, headers={"Accept-Encoding": "identity"}
        )
        with answer:
            answer.raise_for_status()
            size = answer.headers.get("Content-Length", "")
            with tqdm(
                desc=address.rpartition("/")[2],
                total=int(size) if size.isdecimal() else None,
                unit="B",
                unit_scale=True,
            ) as progress:
                for piece in answer.iter_content(_PIECE):
                    yield piece
                    progress.update(len(piece))


def _why(error: Exception) -> str:
    """Say in words why nothing came from an address."""
    import requests

    if isinstance(error, DownloadError):
        return str(error)
    kinds = requests.exceptions
    if isinstance(error, kinds.HTTPError):
        return f"it answered {error.response.status_code} {error.response.reason}"
    words = {
        kinds.TooManyRedirects: f"it sent us on more than {_MOST_REDIRECTS} times",
        kinds.Timeout: "it was silent for too long",
        kinds.SSLError: "its certificate is not accepted",
        kinds.ProxyError: "the proxy did not let us through",
        kinds.ChunkedEncodingError: "the connection broke",
        kinds.ConnectionError: "it did not answer",
    }
    found = next((word for kind, word in words.items() if isinstance(error, kind)), None)
    said = textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")
    return f"{found} ({said})" if found else said
