"""Draw, upload or photograph a digit in a browser: one page, served from this machine.

Only the functions here load gradio, which is an optional requirement.
"""

import atexit
import base64
import contextlib
import errno
import functools
import io
import itertools
import os
import shutil
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnistlib import floors, guard
from mnistlib.data import SIDE
from mnistlib.pictures import Picture, PictureError
from mnistlib.preprocess import NoDigitFound
from mnistlib.recognizer import Recognizer
from mnistlib.turns import TooManyWaiting, Turns

if TYPE_CHECKING:
    import gradio

FIRST_PORT, LAST_PORT = 7860, 7959
"""Where the page looks for a free port, as gradio does."""

_PAD = 320
# Folders of pictures begin so; one that nobody has touched for an hour was left by a killed page.
_FOLDER, _LEFT_SECONDS = "mnistlib-app-", 3_600
# Pages that are open at a time; gradio keeps something for each.
_SESSIONS = 200
# gradio's own Sketchpad begins, and begins again after each clearing, with a tool that does not
# draw, and sends thirteen requests for a stroke; this one sends one.
_HTML = f"""
<canvas width="{_PAD}" height="{_PAD}" tabindex="0" role="img"
    aria-label="Draw a digit here; Ctrl+Z takes the last stroke back, Escape clears"></canvas>
<div><button class="undo">Undo</button><button class="clear">Clear</button></div>
"""
_CSS = """
canvas { touch-action: none; cursor: crosshair; border: 1px solid #888; border-radius: 8px;
    width: 100%; max-width: 320px; display: block; background: white; }
button { margin: 8px 8px 0 0; padding: 6px 16px; border: 1px solid #888; border-radius: 8px; }
"""
_SCRIPT = Path(__file__).with_name("pad.js")
_PROXIES = {"http_proxy", "https_proxy", "all_proxy"}
_MISSING = "The page needs gradio: pip install gradio"


def build(recognizer: Recognizer) -> "gradio.Blocks":
    """Build the page: a draw pad, an upload, a webcam; the answer, and the digit as it was read.

    Args:
        recognizer: What answers.

    Returns:
        A page to show with its method ``launch``.

    Raises:
        ImportError: gradio is not installed; says how to install it.
    """
    gr = load_gradio()
    # The first prediction takes longest; nobody shall wait for it.
    recognizer.answer(np.zeros((SIDE, SIDE), np.uint8))

    turns = Turns()

    async def answer(picture: str | None, request: gr.Request):
        try:
            answered = await turns.take(
                lambda: _answer(recognizer, picture), gone=request.request.is_disconnected
            )
        except TooManyWaiting as error:
            return None, "", f"{error}."
        return answered or (gr.skip(), gr.skip(), gr.skip())

    async def answer_drawing(event: gr.EventData, request: gr.Request):
        drawn = getattr(event, "picture", None)
        # A data URL, "data:image/png;base64,…", and never the name of a file.
        if drawn is not None and not (isinstance(drawn, str) and drawn.startswith("data:image/")):
            return None, "", "This is no drawing."
        return await answer(drawn, request)

    async def answer_picture(path: str | None, request: gr.Request):
        return await answer(path, request)

    with gr.Blocks(title="Which digit is this?", analytics_enabled=False) as page:
        gr.Markdown("# Which digit is this?")
        with gr.Row():
            with gr.Column(min_width=240):
                with gr.Tab("Draw"):
                    pad = gr.HTML(
                        html_template=_HTML,
                        css_template=_CSS,
                        js_on_load=_SCRIPT.read_text(encoding="utf-8"),
                        elem_id="pad",
                    )
                with gr.Tab("Picture"):
                    picture = gr.Image(
                        label="A photograph or scan",
                        sources=["upload", "webcam", "clipboard"],
                        type="filepath",
                        elem_id="picture",
                    )
                    # The file as it was sent, which gradio has kept in a folder of its own: what it
                    # holds, and the words where that is no picture, are decided here.
                    picture.preprocess = lambda sent: sent and sent.path
            with gr.Column(min_width=240):
                shares = gr.Label(label="Answer", num_top_classes=3, elem_id="answer")
                gr.Markdown("What the network saw, 28 × 28 pixels:")
                read = gr.HTML(elem_id="read")
                note = gr.Markdown(elem_id="note")
        # One after the other, so that the last state of a drawing is answered last. Not by gradio's
        # queue, which also computes what nobody waits for, and takes two requests for an answer.
        how = {
            "outputs": [shares, read, note],
            "show_progress": "hidden",
            "trigger_mode": "multiple",
            "queue": False,
        }
        pad.input(answer_drawing, **how)
        picture.change(answer_picture, picture, **how)
    return page


def launch(
    recognizer: Recognizer,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    allow_hosts: Sequence[str] = (),
    **options: Any,
) -> tuple:
    """Serve the page, to this machine alone unless ``host`` says otherwise.

    Answered is what asks for the page by one of its own names (``guard.Hosts``) and comes from no
    other page. Pictures of up to ``guard.MOST_UPLOAD`` bytes are taken, into a folder of this
    process, from which they are deleted after ``guard.KEPT_SECONDS`` and when it ends.

    Args:
        recognizer: What answers.
        host: Address to listen on.
        port: None: the first free one from 7860.
        allow_hosts: Further names by which the page may be asked for, such as that of a proxy.
        **options: As for gradio's ``launch``, whose result is returned.

    Raises:
        OSError: The address or the port cannot be had: says what to change.
    """
    port = find_port(host, port)
    folder = _own_folder()
    page, gr = build(recognizer), load_gradio()
    from starlette.middleware import Middleware

    hosts = guard.Hosts(host, tuple(allow_hosts))
    # Fonts of the reader's machine: nothing is fetched from elsewhere.
    theme = gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    # gradio asks its own page whether it is up: no proxy can reach that.
    with _without_proxies():
        return page.launch(
            server_name=host,
            server_port=port,
            share=False,
            theme=theme,
            footer_links=[],
            app_kwargs={"middleware": [Middleware(guard.Guard, hosts, folder)]},
            max_file_size=guard.MOST_UPLOAD,
            enable_monitoring=False,
            state_session_capacity=_SESSIONS,
            **options,
        )


@functools.cache
def _own_folder() -> Path:
    """Make this process's folder for pictures that are sent; it is emptied, and deleted at exit."""
    above = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    above.mkdir(parents=True, exist_ok=True)
    for left in above.glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=above))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # gradio looks here for where to put them, also later.
    os.environ["GRADIO_TEMP_DIR"] = str(folder)

    def keep_clean() -> None:
        while folder.exists():
            guard.sweep(folder)
            with contextlib.suppress(OSError):
                os.utime(folder)
            time.sleep(10)

    threading.Thread(target=keep_clean, daemon=True).start()
    return folder


def find_port(host: str, port: int | None = None) -> int:
    """Find a port on which the page can be served.

    Args:
        host: Address to listen on.
        port: The one that it shall be. None: the first free one from ``FIRST_PORT``.

    Raises:
        OSError: It is taken or may not be had, none of them is free, or the address is not this
            machine's: says what to change.
    """
    if port is not None:
        ports, hint = [port], f"port {port} is taken: choose another, or let one be found"
    else:
        ports = range(FIRST_PORT, LAST_PORT + 1)
        hint = f"ports {FIRST_PORT} to {LAST_PORT} are all taken: choose another"
    for each in ports:
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                host.strip("[]"), each, type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family, kind) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
        except socket.gaierror as error:
            raise OSError(
                f"host must be an address of this machine; received {host!r} ({error.strerror})"
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise OSError(f"host must be an address of this machine; received {host!r}") from (
                    error
                )
            if error.errno == errno.EACCES:
                raise OSError(f"port {each} is the system's own: choose one from 1024") from error
            continue
        return each
    raise OSError(hint)


@contextlib.contextmanager
def _without_proxies() -> Iterator[None]:
    """Take the proxies out of the environment for a while."""
    names = [name for name in os.environ if name.lower() in _PROXIES]
    taken = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(taken)


def load_gradio() -> ModuleType:
    """Import gradio, set to report nothing to anybody and to look for no newer version.

    Raises:
        ImportError: It is not installed, and how to install it; or why it cannot be imported.
    """
    # Read when gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    _own_folder()
    try:
        # It readies a client, which wants another package where a proxy speaks SOCKS.
        with warnings.catch_warnings(), _without_proxies():
            # Its progress bars look for Jupyter's widgets and, without them, complain in red.
            warnings.filterwarnings("ignore", "IProgress not found")
            import gradio
    except ImportError as error:
        if error.name == "gradio":
            raise ImportError(_MISSING) from error
        raise ImportError(
            f"gradio is installed but cannot be imported ({error}): pip install -U gradio"
        ) from error
    floors.warn_once("gradio")
    return gradio


def _answer(recognizer: Recognizer, picture: Picture | None) -> tuple[dict | None, str, str]:
    """Read a picture: the shares of the likeliest digits, the digit as HTML, and words."""
    if picture is None:
        return None, "", ""
    try:
        found = recognizer.read(picture)
        hint = recognizer.hint(picture, found)
    except NoDigitFound:
        return None, "", "No digit found yet."
    except (PictureError, FileNotFoundError) as error:
        # Its name, not where this machine has put it.
        sent = isinstance(picture, str) and not picture.startswith("data:")
        words = str(error).replace(picture, Path(picture).name) if sent else str(error)
        return None, "", f"This picture cannot be read: {words}."
    digit, answer = max(found, key=lambda pair: _area(pair[0].box))
    shares = {str(number): share for number, share in answer.top}
    words = "" if answer.sure else "Not sure: no digit is likely enough. "
    if len(found) > 1:
        rows = itertools.groupby(found, key=lambda pair: pair[0].line)
        read = [" ".join(str(one.digit) if one.sure else "?" for _, one in row) for _, row in rows]
        order = "From left to right" if len(read) == 1 else "Line by line"
        words += f"{order}: {' / '.join(read)}. Above is the largest."
    if hint:
        words += f" {hint}"
    return shares, _shown(digit.image), words


def _shown(digit: np.ndarray) -> str:
    """Show a digit, large, within the page: as a file, it would have to be kept and asked for."""
    written = io.BytesIO()
    Image.fromarray(digit).resize((224, 224), Image.Resampling.NEAREST).save(written, "PNG")
    source = base64.b64encode(written.getvalue()).decode()
    return (
        f'<img src="data:image/png;base64,{source}" width="224" height="224" '
        'alt="The digit as the network saw it, white on black">'
    )


def _area(box: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)
