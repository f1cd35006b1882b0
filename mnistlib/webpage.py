"""One page that reads a drawn digit in any browser: a single file, without server or network.

Imports without TensorFlow.
"""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mnistlib import inference, writing
from mnistlib.recognizer import Recognizer

if TYPE_CHECKING:
    import keras
    from IPython.display import HTML, Markdown

ABOUT = (
    "The network learned from MNIST's digits and from pen strokes of 30 people (pendigits: E. "
    "Alpaydin and F. Alimoglu, UCI Machine Learning Repository, CC BY 4.0). Nothing leaves this "
    "page."
)
"""What the page says of the shipped recognizer."""

INSTEAD = "*In JupyterLab or Colab, a pad to draw on appears here.*"
"""What a notebook shows in place of the page where nobody could draw, Markdown."""

_FOLDER = Path(__file__).parent


def build(recognizer: Recognizer, *, about: str = ABOUT) -> str:
    """Make the page: HTML with network, preparation and pad in it.

    What is drawn goes through the steps of ``preprocess.to_mnist`` and is answered as by
    ``recognizer.answer``; the page asks no address for anything.

    Args:
        recognizer: What answers.
        about: A line at its end: what the network has learned from.

    Raises:
        ValueError: The network has layers that only Keras computes (``inference.from_keras``).
    """
    model = recognizer.model
    network = model if isinstance(model, inference.Network) else inference.from_keras(model)
    weights = b"".join(
        weight.astype("<f2").tobytes() for layer in network.layers for weight in layer.weights
    )
    described = {
        "layers": [
            {
                "kind": layer.kind,
                **layer.options,
                "shapes": [list(weight.shape) for weight in layer.weights],
            }
            for layer in network.layers
        ],
        "weights": base64.b64encode(weights).decode(),
        "temperature": recognizer.temperature,
        "threshold": recognizer.threshold,
        "deslanted": recognizer.deslanted,
        "words": about,
    }
    # The only thing that could end the element early is "</script".
    text = json.dumps(described).replace("<", "\\u003c")
    pad = f"{{\nconst trigger = () => {{}};\n{_read('pad.js')}\n}}"
    page = _read("webpage.html").replace("NETWORK", text)
    return page.replace("PAGE", "\n".join([_read("webpage.js"), _read("webpage_ui.js"), pad]))


def write(recognizer: Recognizer, path: str | Path, *, about: str = ABOUT) -> Path:
    """Write the page to a file, as ``build`` makes it."""
    path, text = Path(path), build(recognizer, about=about)
    writing.write(path, text)
    return path


def show(network: Recognizer | keras.Model) -> HTML | Markdown:
    """Show the page in a notebook, with this network; where nobody could draw, say so.

    Args:
        network: A recognizer, or a model of Keras that takes uint8 digits (n, 28, 28).

    Raises:
        ValueError: As ``build``.
    """
    from IPython.display import HTML, Markdown

    recognizer = network if isinstance(network, Recognizer) else Recognizer(network)
    page = build(recognizer, about="The network of this notebook. Nothing leaves your browser.")
    if not _somebody_is_there():
        return Markdown(INSTEAD)
    # A frame of its own keeps the page's styles and names out of the notebook.
    frame = '<iframe width="100%" height="860" style="border: 0" title="Draw a digit"'
    return HTML(f'<div>{frame} srcdoc="{html.escape(page)}"></iframe></div>')


def _somebody_is_there() -> bool:
    """Whether the kernel is asked by a front end for people: programs refuse it standard input."""
    from IPython import get_ipython

    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
