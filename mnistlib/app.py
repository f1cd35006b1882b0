"""Draw, upload or photograph a digit in a browser: one page, also inline in a notebook.

Only the functions here load gradio, which is an optional requirement.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from PIL import Image

from mnistlib import DISTRIBUTION
from mnistlib.images import NoDigitFound
from mnistlib.pictures import PictureError
from mnistlib.recognizer import Recognizer

if TYPE_CHECKING:
    import gradio
    from IPython.display import Markdown

_PAD = 320
_MISSING = f"The page needs gradio: pip install '{DISTRIBUTION}[app]'"


def build(recognizer: Recognizer) -> gradio.Blocks:
    """Build the page: a draw pad, an upload, a webcam; the answer, and the digit as it was read.

    Args:
        recognizer: What answers.

    Returns:
        A page to show with its method ``launch``: on its own, or inline in a notebook.

    Raises:
        ImportError: gradio is not installed; says how to install it.
    """
    gr = load_gradio()

    def answer_drawing(drawing: dict[str, Any] | None):
        return _answer(recognizer, drawing and drawing["composite"])

    def answer_picture(path: str | None):
        return _answer(recognizer, path)

    with gr.Blocks(title="Which digit is this?", analytics_enabled=False) as page:
        gr.Markdown("# Which digit is this?")
        with gr.Row():
            with gr.Column():
                with gr.Tab("Draw"):
                    pad = gr.Sketchpad(
                        label="Draw a digit",
                        canvas_size=(_PAD, _PAD),
                        fixed_canvas=True,
                        layers=False,
                        transforms=(),
                        brush=gr.Brush(
                            default_size=_PAD // 22, colors=["#000000"], color_mode="fixed"
                        ),
                        type="pil",
                        elem_id="pad",
                    )
                with gr.Tab("Picture"):
                    picture = gr.Image(
                        label="A photograph or scan",
                        sources=["upload", "webcam", "clipboard"],
                        type="filepath",
                        elem_id="picture",
                    )
            with gr.Column():
                shares = gr.Label(label="Answer", num_top_classes=3, elem_id="answer")
                read = gr.Image(
                    label="What the network saw: 28 × 28 pixels",
                    height=224,
                    width=224,
                    buttons=[],
                    elem_id="read",
                )
                note = gr.Markdown(elem_id="note")
        # The last state of a drawing counts; states that a newer one overtook are skipped.
        how = {"outputs": [shares, read, note], "show_progress": "hidden", "queue": False,
               "trigger_mode": "always_last"}  # fmt: skip
        pad.change(answer_drawing, pad, **how)
        picture.change(answer_picture, picture, **how)
    return page


def launch(
    recognizer: Recognizer, *, host: str = "127.0.0.1", port: int | None = None, **options: Any
) -> tuple:
    """Serve the page, to this machine alone unless ``host`` says otherwise.

    Args:
        recognizer: What answers.
        host: Address to listen on.
        port: None: the first free one from 7860.
        **options: As for gradio's ``launch``, whose result is returned.
    """
    page, gr = build(recognizer), load_gradio()
    # Fonts of the reader's machine: nothing is fetched from elsewhere.
    theme = gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return page.launch(
        server_name=host, server_port=port, share=False, theme=theme, footer_links=[], **options
    )


def show(recognizer: Recognizer) -> Markdown | None:
    """Show the page inline in a notebook; where nobody could draw, or gradio lacks, say so."""
    from IPython.display import Markdown

    if not _somebody_is_there():
        return Markdown("*In JupyterLab or Colab, a pad to draw on appears here.*")
    try:
        launch(recognizer, quiet=True, inline=True, height=560, prevent_thread_lock=True)
    except ImportError as error:
        return Markdown(f"*{error}*")
    return None


def _somebody_is_there() -> bool:
    """Whether the kernel is asked by a front end for people: programs refuse it standard input."""
    from IPython import get_ipython

    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))


def load_gradio() -> ModuleType:
    """Import gradio, set to report nothing to anybody and to look for no newer version.

    Raises:
        ImportError: It is not installed; says how to install it.
    """
    # Read when gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise ImportError(_MISSING) from error
    return gradio


def _answer(recognizer: Recognizer, picture: Image.Image | str | None):
    if picture is None:
        return None, None, ""
    try:
        found = recognizer.read(picture)
    except NoDigitFound:
        return None, None, "No digit found yet."
    except PictureError as error:
        return None, None, f"This picture cannot be read: {error}."
    digit, answer = max(found, key=lambda pair: _area(pair[0].box))
    shares = {str(number): share for number, share in answer.top}
    words = "" if answer.sure else "Not sure: no digit is likely enough. "
    if len(found) > 1:
        numbers = " ".join(str(one.digit) if one.sure else "?" for _, one in found)
        words += f"From left to right: {numbers}. Above is the largest."
    large = Image.fromarray(digit.image).resize((224, 224), Image.Resampling.NEAREST)
    return shares, large, words


def _area(box: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)
