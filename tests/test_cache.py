"""Downloads from real servers that do wrong, and a cache that is damaged, full or shared."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from children import measure, start

from benchmarks.serving import closed_port
from mnistlib import cache, data, kept

CONTENT = b"what was promised"
FILES = {"file": "sha256:" + hashlib.sha256(CONTENT).hexdigest()}


class Server:
    """Answers every connection by a function of its socket, until the other side goes."""

    def __init__(self, answer: Callable[[socket.socket], None]):
        self.answer, self.connections = answer, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.recv(10_000)
            self.answer(connection)


@pytest.fixture
def serving() -> Iterator[Callable]:
    servers = []

    def serve(answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield serve
    for server in servers:
        server.listener.close()


def head(*lines: str, code: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code}", "Connection: close", *lines, "", ""]).encode()


def good(connection):
    connection.sendall(head(f"Content-Length: {len(CONTENT)}") + CONTENT)


def other(connection):
    connection.sendall(head("Content-Length: 4") + b"else")


def missing(connection):
    connection.sendall(head("Content-Length: 0", code="404 Gone fishing"))


def circles(connection):
    connection.sendall(head("Location: /file", "Content-Length: 0", code="302 Found"))


def silent(connection):
    time.sleep(20)


def short(connection):
    connection.sendall(head(f"Content-Length: {len(CONTENT)}") + CONTENT[:5])


def no_http(connection):
    connection.sendall(b"\x16\x03\x01 nothing of the kind\r\n\r\n")


def trickle(connection):
    connection.sendall(head("Content-Length: 1000000"))
    for _ in range(400):
        connection.sendall(b".")
        time.sleep(0.05)


def trickle_of_a_header(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(400):
        connection.sendall(b".")
        time.sleep(0.05)


def endless(connection):
    connection.sendall(head())
    while True:
        connection.sendall(b"." * 100_000)


def endless_header(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        connection.sendall(b"." * 100_000)


def packed_bomb(connection):
    body = gzip.compress(bytes(100_000_000))
    connection.sendall(head(f"Content-Length: {len(body)}", "Content-Encoding: gzip") + body)


WRONG = {
    other: "it answered with another file, of 4 bytes: its checksum is sha256:",
    missing: "it answered 404 Gone fishing",
    circles: "it sent us on more than 5 times",
    silent: "it was silent for too long|it was too slow",
    short: "the connection broke",
    no_http: "the connection broke|it did not answer",
    trickle: r"it was too slow: \d+ bytes came",
    trickle_of_a_header: "it was too slow: 0 bytes came",
    endless: "it sent more than 1,000,000 bytes",
    endless_header: "the connection broke|it did not answer",
    packed_bomb: "it sent more than 1,000,000 bytes",
}


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: answer.__name__)
def test_a_server_that_does_wrong_is_left_in_time_and_the_reason_said(nowhere, serving, answer):
    server = serving(answer)
    begun = time.monotonic()
    with pytest.raises(cache.DownloadError, match=WRONG[answer]):
        cache.fetch(server.address, FILES, seconds=1.5, most_bytes=1_000_000)
    assert time.monotonic() - begun < 6
    assert not [path for path in nowhere.cache.rglob("*") if path.name == "file"]


def test_the_time_is_that_of_all_files_together(nowhere, serving):
    def slow(connection):
        time.sleep(0.6)
        good(connection)

    server = serving(slow)
    files = dict.fromkeys([f"file{number}" for number in range(20)], FILES["file"])
    with pytest.raises(cache.DownloadError, match=r"it was too slow|silent"):
        cache.fetch(server.address, files, seconds=1.5)
    assert server.connections <= 3


def test_the_size_of_an_endless_answer_is_bounded_in_memory_too(serving, tmp_path):
    server = serving(endless)
    code = "cache.fetch(sys.argv[1], {'file': 'sha256:0'}, most_bytes=20_000_000)"
    came = measure("import requests, tqdm\nfrom mnistlib import cache", code, server.address)
    assert came.said == "DownloadError: it sent more than 20,000,000 bytes"
    assert came.megabytes < 120


def test_each_address_has_its_own_true_reason(nowhere, serving, monkeypatch):
    servers = [serving(answer) for answer in (other, missing, circles)]
    addresses = [(server.address, FILES) for server in servers]
    closed = f"http://127.0.0.1:{closed_port()}/"
    monkeypatch.setattr(data, "ADDRESSES", (*addresses, (closed, FILES)))
    with pytest.raises(data.DataUnavailable) as raised:
        data.load("mnist")
    said = str(raised.value)
    wanted = ["another file", "404 Gone fishing", "sent us on", "it did not answer"]
    for address, reason in zip(
        [server.address for server in servers] + [closed], wanted, strict=True
    ):
        assert reason in said.partition(address)[2].partition("http://")[0]
    assert "no address answered" not in said


def test_a_damaged_file_is_fetched_anew_and_a_whole_one_is_not(nowhere, serving):
    server = serving(good)
    path = cache.fetch(server.address, FILES) / "file"
    assert path.read_bytes() == CONTENT
    cache.fetch(server.address, FILES)
    assert server.connections == 1
    path.write_bytes(CONTENT[:-1] + b"?")
    assert cache.fetch(server.address, FILES) == path.parent
    assert path.read_bytes() == CONTENT
    assert server.connections == 2


def test_a_damaged_file_that_cannot_be_replaced_is_had_all_the_same(nowhere, serving):
    server = serving(good)
    path = cache.fetch(server.address, FILES) / "file"
    path.unlink()
    path.mkdir()  # stops everybody, root as well
    with pytest.warns(UserWarning, match=r"cannot be kept in .*XDG_CACHE_HOME") as warned:
        place = cache.fetch(server.address, FILES)
    assert len(warned) == 1
    assert (place / "file").read_bytes() == CONTENT
    assert cache.fetch(server.address, FILES) == place, "and is not said or fetched again"
    assert server.connections == 2


def test_a_disk_that_takes_nothing_is_the_reason_that_is_said(serving, tmp_path, monkeypatch):
    server = serving(good)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    limit = "import resource\nfrom mnistlib import cache, data\n"
    limit += f"data.ADDRESSES = (({server.address!r}, {FILES!r}),)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (5, 5))"
    monkeypatch.delenv(data.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    came = measure(limit, "data.load('mnist')")
    assert "it cannot be kept anywhere: [Errno 27] File too large" in came.said


def test_eight_processes_download_once(serving, tmp_path):
    def slow(connection):
        time.sleep(1)
        good(connection)

    server = serving(slow)
    code = "import sys\nfrom mnistlib import cache\n"
    code += f"print((cache.fetch(sys.argv[1], {FILES!r}) / 'file').read_text())"
    running = [start(code, server.address, XDG_CACHE_HOME=str(tmp_path)) for _ in range(8)]
    ended = [child.communicate(timeout=60) for child in running]
    assert [out for out, _ in ended] == [CONTENT.decode() + "\n"] * 8
    assert server.connections == 1


def test_a_process_that_was_killed_holds_nobody_up(serving, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = threading.Event()

    def never(connection):
        asked.set()
        time.sleep(30)

    code = "import sys\nfrom mnistlib import cache\n"
    code += f"cache.fetch(sys.argv[1], {FILES!r})"
    child = start(code, serving(never).address)
    assert asked.wait(30)
    child.kill()
    child.communicate(timeout=30)
    begun = time.monotonic()
    assert (cache.fetch(serving(good).address, FILES) / "file").read_bytes() == CONTENT
    assert time.monotonic() - begun < 5


def test_who_waits_too_long_for_another_process_works_alone(serving, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with cache.locked("download", seconds=1):
        code = "import sys\nfrom mnistlib import cache\n"
        code += f"print((cache.fetch(sys.argv[1], {FILES!r}, seconds=1) / 'file').read_text())"
        out, err = start(code, serving(good).address).communicate(timeout=60)
    assert out == CONTENT.decode() + "\n", err


# --- images that were drawn ----------------------------------------------------------------------


def drawn() -> np.ndarray:
    return np.arange(5 * 784, dtype=np.int64).astype(np.uint8).reshape(5, 28, 28)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_any_damage_to_kept_images_is_found_and_healed(nowhere, place):
    calls = []
    make = lambda: calls.append(1) or drawn()  # noqa: E731
    kept.images("some", make)
    (path,) = cache.folder().glob("some-*.npz")
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    assert np.array_equal(kept.images("some", make), drawn())
    assert np.array_equal(kept.images("some", make), drawn())
    assert len(calls) == 2, "drawn anew once, and kept again"


@pytest.mark.parametrize("array", [np.zeros((5, 28, 28)), np.zeros((5, 8, 8), np.uint8)])
def test_kept_images_of_another_kind_are_drawn_anew(nowhere, array):
    kept.images("some", drawn)
    (path,) = cache.folder().glob("some-*.npz")
    np.savez(path, images=array)
    assert np.array_equal(kept.images("some", drawn), drawn())


def test_eight_processes_draw_once(tmp_path):
    code = "import sys, time\nfrom pathlib import Path\nimport numpy as np\n"
    code += "from mnistlib import kept\ndef make():\n    time.sleep(1)\n"
    code += "    with Path(sys.argv[1]).open('a') as file: file.write('drawn\\n')\n"
    code += "    return np.ones((5, 28, 28), np.uint8)\n"
    code += "print(kept.images('some', make).sum())"
    log = tmp_path / "log"
    running = [start(code, log, XDG_CACHE_HOME=str(tmp_path)) for _ in range(8)]
    assert [child.communicate(timeout=60)[0] for child in running] == ["3920\n"] * 8
    assert log.read_text() == "drawn\n"


def test_images_that_cannot_be_kept_are_drawn_with_one_note(nowhere):
    nowhere.cache.write_text("in the way")
    with pytest.warns(UserWarning, match=r"could not be kept in .*XDG_CACHE_HOME") as warned:
        assert np.array_equal(kept.images("some", drawn), drawn())
    assert len(warned) == 1


def test_what_is_written_leaves_nothing_beside_it(tmp_path):
    cache.write(tmp_path / "new" / "file", CONTENT)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    shutil.rmtree(tmp_path / "new")
    Path(tmp_path / "new").write_text("in the way")
    with pytest.raises(OSError, match="new"):
        cache.write(tmp_path / "new" / "file", CONTENT)
