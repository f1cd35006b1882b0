"""The page and its guard, attacked: by real requests to a real server."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import children
import hostile
import httpx
import pytest

from benchmarks import serving
from mnistlib import drawing, guard, turns

pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page as ``mnistlib app`` serves it, and the folder in which its own one lies."""
    folder = tmp_path_factory.mktemp("served")
    log = folder / "log"
    (folder / "sent").mkdir()
    with serving.page(log=log, GRADIO_TEMP_DIR=str(folder / "sent")) as (address, _):
        yield SimpleNamespace(
            address=address, port=int(address.rpartition(":")[2]), folder=folder / "sent"
        )
    # Ended by SIGTERM, it leaves nothing: neither in its own folder nor in one of gradio's.
    assert list((folder / "sent").iterdir()) == []
    said = log.read_text()
    # What gradio says of the one picture that lies elsewhere.
    assert said.count("Traceback") == said.count("gradio.exceptions.InvalidPathError:"), said


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


def kept(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def status(port, request, *, body=b""):
    """Send a request as it stands; give the status, or None if there was no answer."""
    with socket.create_connection(("127.0.0.1", port), 20) as wire:
        wire.sendall(request.replace("\n", "\r\n").encode())
        with contextlib.suppress(OSError):
            wire.sendall(body)
        answer = wire.makefile("rb").readline()
    return int(answer.split()[1]) if answer else None


# Port 0 stands for the page's own.
@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["localhost:0"], 200),
        (["127.0.0.1:0"], 200),
        (["LOCALHOST:0"], 200),
        (["[::1]:0"], 200),
        (["evil.example:0"], 403),
        (["evil.example"], 403),
        (["localhost.evil.example:0"], 403),
        (["127.0.0.1.evil.example:0"], 403),
        (["192.168.1.5:0"], 403),
        (["[::1"], 403),
        ([""], 403),
        (["localhost:0", "evil.example"], None),
        ([], None),
    ],
)
def test_only_for_its_own_names_the_page_answers(served, hosts, expected):
    lines = "".join(f"Host: {host.replace(':0', f':{served.port}')}\n" for host in hosts)
    found = status(served.port, f"GET / HTTP/1.1\n{lines}Connection: close\n\n")
    assert found in ((expected,) if expected else (400, 403))


FOREIGN = [
    "http://evil.example",
    "null",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "https://127.0.0.1.evil.example",
    "http://[",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_other_pages_may_not_use_it(served, client, origin):
    drawn = serving.drawings(1)[0]
    body = {"data": [], "fn_index": 0, "session_hash": "x", "event_data": {"picture": drawn}}
    asked = client.post(
        f"{served.address}/gradio_api/run/predict", json=body, headers={"Origin": origin}
    )
    sent = client.post(
        f"{served.address}/gradio_api/upload",
        files={"files": b"12345"},
        headers={"Origin": origin},
    )
    read = client.get(f"{served.address}/config", headers={"Origin": origin})
    assert [answer.status_code for answer in (asked, sent, read)] == [403] * 3
    assert "--allow-host" in asked.text
    assert kept(served.folder) == []


def test_its_own_page_may_use_it(served, client):
    client.headers["Origin"] = served.address
    shares, image, _ = serving.ask(client, served.address, serving.drawings(1)[0], "own")
    assert shares["label"] == "7"
    assert image.startswith('<img src="data:image/png;base64,')


def test_an_upload_of_200_megabytes_is_refused_at_once_and_not_kept(served):
    head = (
        f"POST /gradio_api/upload HTTP/1.1\nHost: 127.0.0.1:{served.port}\n"
        "Content-Type: multipart/form-data; boundary=x\nContent-Length: 200000000\n\n"
    )
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    start = time.monotonic()
    assert status(served.port, head, body=part + bytes(60_000)) == 413
    assert time.monotonic() - start < 10
    assert kept(served.folder) == []


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("Transfer-Encoding: chunked", (411,)),
        ("Content-Length: 5\nTransfer-Encoding: chunked", (400, 411)),
        ("Content-Length: -1", (400, 411)),
        ("Content-Length: " + 100 * "9", (400, 413)),
        ("Accept: */*", (411,)),
    ],
)
def test_what_does_not_say_its_length_is_refused(served, length, expected):
    head = (
        f"POST /gradio_api/upload HTTP/1.1\nHost: 127.0.0.1:{served.port}\n"
        f"Content-Type: multipart/form-data; boundary=x\n{length}\n\n"
    )
    assert status(served.port, head, body=b"5\r\n--x\r\n\r\n") in expected
    assert kept(served.folder) == []


def test_a_drawing_of_megabytes_is_refused(served, client):
    body = {"data": [], "fn_index": 0, "session_hash": "x", "event_data": {"picture": "x" * 3**14}}
    answer = client.post(f"{served.address}/gradio_api/run/predict", json=body)
    assert answer.status_code == 413
    assert "4,783" in answer.text


def upload(client, address, content, name="photo.png"):
    sent = client.post(f"{address}/gradio_api/upload", files={"files": (name, content)})
    sent.raise_for_status()
    return sent.json()[0]


def show(client, address, path):
    """Ask for the answer to a picture, as the page does once it is sent."""
    body = {
        "data": [{"path": str(path), "meta": {"_type": "gradio.FileData"}}],
        "fn_index": 1,
        "session_hash": "x",
    }
    return client.post(f"{address}/gradio_api/run/predict", json=body)


def test_pictures_are_taken_up_to_20_megabytes_into_the_pages_own_folder(served, client):
    content = hostile.file(drawing.sheet([7], seed=3))
    path = upload(client, served.address, content + bytes(19 * 2**20))
    assert Path(path).is_relative_to(served.folder)
    assert kept(served.folder) == [Path(path)]
    assert show(client, served.address, path).json()["data"][0]["label"] == "7"
    Path(path).unlink()


def test_while_too_many_pictures_are_kept_no_other_is_taken(served, client):
    own = next(served.folder.iterdir())
    with (own / "hole").open("wb") as hole:
        hole.truncate(guard._MOST_KEPT)
    answer = client.post(f"{served.address}/gradio_api/upload", files={"files": b"12345"})
    (own / "hole").unlink()
    assert answer.status_code == 503
    assert "again" in answer.text
    Path(upload(client, served.address, b"12345")).unlink()


@pytest.mark.parametrize("picture", ["{path}", "file://{path}", "data:{path}", 7, [1], {"a": 1}])
def test_a_drawing_is_never_the_name_of_a_file(served, client, tmp_path, picture):
    path = tmp_path / "secret.png"
    path.write_bytes(hostile.file(drawing.sheet([7], seed=3)))
    if isinstance(picture, str):
        picture = picture.format(path=path)
    assert serving.ask(client, served.address, picture, "x") == [{}, "", "This is no drawing."]


def test_a_drawing_that_is_damaged_gets_words(served, client):
    found = serving.ask(client, served.address, "data:image/png;base64,!!", "x")
    assert "cannot be read" in found[2]


def test_pictures_elsewhere_on_this_machine_are_not_read(served, client, tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(hostile.file(drawing.sheet([7], seed=3)))
    assert show(client, served.address, path).status_code == 500
    for place in (path, "/etc/passwd", f"{served.folder}/../../secret.png"):
        assert client.get(f"{served.address}/gradio_api/file={place}").status_code == 403


def test_the_server_fetches_nothing_and_takes_nothing_else(served, client, serve, tmp_path):
    (tmp_path / "index.html").write_text("here")
    other = serve(tmp_path)
    for place in ("file=", "proxy=", "file=HTTP", "file=%68ttp"):
        answer = client.get(f"{served.address}/gradio_api/{place}{other.address}")
        assert answer.status_code in (403, 404)
    assert other.asked == []
    for place in ("process_recording", "component_server", "queue/join", "vibe-edit", "reset"):
        answer = client.post(f"{served.address}/gradio_api/{place}", json={})
        assert answer.status_code == 404, place
    assert client.put(f"{served.address}/gradio_api/upload").status_code == 404
    assert client.get(f"{served.address}/monitoring/summary").status_code == 403


def test_behind_a_proxy_the_page_answers_to_the_name_that_it_is_told(tmp_path, client):
    options = ("--host", "0.0.0.0", "--allow-host", "hub.example")
    with serving.page(*options, GRADIO_TEMP_DIR=str(tmp_path)) as (address, server):

        def answered(host, origin=None):
            headers = {"Host": host} | ({"Origin": origin} if origin else {})
            return client.get(f"{address}/config", headers=headers).status_code

        assert answered("hub.example", "https://hub.example") == 200
        # A proxy may also ask by the address that it knows.
        assert answered("localhost:7860", "https://hub.example") == 200
        assert answered("10.1.2.3:7860", "http://10.1.2.3:7860") == 200
        assert answered(socket.gethostname()) == 200
        assert answered("evil.example") == 403
        assert answered("hub.example", "https://evil.example") == 403
        upload(client, address.replace("127.0.0.1", "localhost"), b"12345")
        assert len(kept(tmp_path)) == 1
        server.send_signal(signal.SIGINT)
        server.wait(30)
    assert list(tmp_path.iterdir()) == []


def test_names_of_this_machine_and_of_others_are_told_apart():
    alone, open_to_all = guard.Hosts(), guard.Hosts("0.0.0.0", ("Hub.Example.",))
    for name in ("localhost", "127.0.0.1", "127.8.8.8", "::1", "LocalHost."):
        assert name in alone
        assert name in open_to_all
    for name in ("10.0.0.1", "2001:db8::1", "hub.example", socket.gethostname()):
        assert name in open_to_all
        assert name not in guard.Hosts("localhost")
        assert name not in alone
    for name in ("", "evil.example", "127.0.0.1.evil.example", "0x7f.1"):
        assert name not in open_to_all
    assert "my.lan" in guard.Hosts("my.lan")
    assert "fe80::1" in guard.Hosts("[fe80::1]")


def test_web_sockets_are_closed():
    said = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        said.append(message["type"])

    made = guard.Guard(None, guard.Hosts(), Path())
    asyncio.run(made({"type": "websocket", "headers": []}, receive, send))
    assert said == ["websocket.close"]


@pytest.mark.parametrize("hosts", [["localhost", "evil.example"], ["localhost"] * 2, []])
def test_a_request_names_one_host_whatever_the_server_lets_through(hosts):
    said = []

    async def send(message):
        said.append(message)

    headers = [(b"host", host.encode()) for host in hosts]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    made = guard.Guard(None, guard.Hosts(), Path())
    asyncio.run(made(scope, None, send))
    assert said[0]["status"] == 403


def test_old_pictures_and_empty_folders_are_swept(tmp_path):
    for name, age in (("old", 400), ("new", 200)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.png").write_bytes(b"12345")
        for path in (folder / "a.png", folder):
            os.utime(path, (time.time() - age,) * 2)
    assert guard.kept_bytes(tmp_path) == 10
    guard.sweep(tmp_path)
    assert kept(tmp_path) == [tmp_path / "new" / "a.png"]
    guard.sweep(tmp_path, older=-1)
    guard.sweep(tmp_path, older=-1)
    assert list(tmp_path.iterdir()) == []
    guard.sweep(tmp_path / "none")


# The part of the page that keeps its folder, without gradio and what is shown.
KEEPS = """
    import time
    from mnistlib import app
    print(app._own_folder(), flush=True)
    time.sleep(60)
"""


def test_pictures_go_after_minutes_and_the_folder_of_a_page_that_was_killed_after_an_hour(tmp_path):
    """Of pages that end otherwise, see ``served`` (SIGTERM) and the one behind a proxy (Ctrl-C)."""
    page = children.start(textwrap.dedent(KEEPS), GRADIO_TEMP_DIR=str(tmp_path))
    folder = Path(page.stdout.readline().strip())
    old = folder / "old.png"
    old.write_bytes(b"12345")
    os.utime(old, (time.time() - 400,) * 2)
    wait_until(lambda: not old.exists(), 30)
    (folder / "new.png").write_bytes(b"12345")
    page.kill()
    page.communicate()
    assert kept(tmp_path) == [folder / "new.png"]
    for age, left in ((3_000, True), (4_000, False)):
        os.utime(folder, (time.time() - age,) * 2)
        following = children.start(textwrap.dedent(KEEPS), GRADIO_TEMP_DIR=str(tmp_path))
        following.stdout.readline()
        assert folder.exists() == left
        following.kill()
        following.communicate()


def wait_until(done, seconds):
    start = time.monotonic()
    while not done():
        assert time.monotonic() < start + seconds
        time.sleep(0.1)


# The page with a recognizer that takes a while, and writes a line for each picture that it reads.
SLOW = """
    import sys, time
    from mnistlib import app, recognizer

    class Slow(recognizer.Recognizer):
        def read(self, picture):
            print("reads", flush=True)
            time.sleep(0.5)
            return super().read(picture)

    made = recognizer.shipped()
    app.launch(Slow(made.model, made.temperature, made.threshold), port=int(sys.argv[1]))
"""


def test_what_nobody_waits_for_is_not_computed(tmp_path, client):
    port, log = serving.closed_port(), tmp_path / "log"
    address, drawn = f"http://127.0.0.1:{port}", serving.drawings(1)[0]
    body = {"data": [], "fn_index": 0, "session_hash": "x", "event_data": {"picture": drawn}}
    content = json.dumps(body)
    head = (
        f"POST /gradio_api/run/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    command = ("-c", textwrap.dedent(SLOW), str(port))
    with serving.serve(address, *command, log=log, GRADIO_TEMP_DIR=str(tmp_path)):
        leaving = [socket.create_connection(("127.0.0.1", port)) for _ in range(12)]
        for wire in leaving:
            wire.sendall((head + content).encode())
        time.sleep(0.3)
        for wire in leaving:
            wire.close()
        assert serving.ask(client, address, drawn, "stays")[0]["label"] == "7"
    # The one that was being answered when they left, perhaps the next, and the one that stayed.
    assert 2 <= log.read_text().count("reads") <= 4


def test_turns_are_taken_in_order_and_one_at_a_time():
    done, running = [], []

    def work(number):
        running.append(number)
        assert len(running) == 1
        time.sleep(0.01)
        running.remove(number)
        done.append(number)
        return number

    async def here():
        return False

    async def take_all():
        queue = turns.Turns()
        return await asyncio.gather(
            *(queue.take(lambda n=number: work(n), gone=here) for number in range(10))
        )

    assert asyncio.run(take_all()) == done == list(range(10))


def test_who_has_left_is_not_served_and_who_is_one_too_many_is_told():
    ran = []

    async def left():
        return True

    async def here():
        return False

    async def take():
        queue = turns.Turns(most=2)
        first = asyncio.create_task(queue.take(lambda: time.sleep(0.2), gone=here))
        second = asyncio.create_task(queue.take(lambda: ran.append(1), gone=left))
        await asyncio.sleep(0.05)
        with pytest.raises(turns.TooManyWaiting, match="2 wait already: try again"):
            await queue.take(lambda: ran.append(2), gone=here)
        await asyncio.gather(first, second)
        assert queue.waiting == 0

    asyncio.run(take())
    assert ran == []


def test_sixteen_clients_are_answered_without_an_error(served):
    figures = serving.load(served.address, clients=16, requests=48)
    print(figures)
    assert figures["errors"] == 0
    # One answer takes some 30 ms; each waits for fifteen others.
    assert figures["p99"] < 10


# Answers drawings, each from another page, and counts all memory that Python holds meanwhile.
COUNTED = """
    import gc, tracemalloc
    from benchmarks import serving
    from mnistlib import app, recognizer

    app._SESSIONS = 5
    _, address, _ = app.launch(recognizer.shipped(), prevent_thread_lock=True, quiet=True)
    tracemalloc.start()
    for requests in (8, 30):
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        figures = serving.load(address.rstrip("/"), clients=4, requests=requests)
    gc.collect()
    print(figures["errors"], tracemalloc.get_traced_memory()[0] - before, flush=True)
"""


def test_memory_does_not_grow_from_answer_to_answer(tmp_path):
    """gradio keeps something of each page until there are more than so many."""
    child = children.start(textwrap.dedent(COUNTED), GRADIO_TEMP_DIR=str(tmp_path))
    said, told = child.communicate(timeout=600)
    assert child.returncode == 0, told
    errors, grown = map(int, said.split())
    print(grown)
    assert errors == 0
    assert grown < 60_000


def test_digits_of_a_hostile_picture_are_refused_in_the_page(served, client):
    path = upload(client, served.address, hostile.PICTURES["1,900 dashes"](), "dashes.png")
    words = show(client, served.address, path).json()["data"][2]
    Path(path).unlink()
    assert "cannot be read: the picture holds 1,8" in words
    assert "cut it into parts" in words


def test_no_name_of_a_folder_of_this_machine_is_told(served, client):
    path = upload(client, served.address, b"no picture", "x.png")
    words = show(client, served.address, path).json()["data"][2]
    Path(path).unlink()
    assert "x.png is no picture" in words
    assert str(served.folder) not in words
