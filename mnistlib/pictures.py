"""Pictures as people have them, opened safely: files, bytes, data URLs, Pillow images, arrays.

Imports without TensorFlow.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

MOST_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded."""
MOST_BYTES = 8 * MOST_PIXELS
"""Larger files are refused before they are read."""

Picture = str | os.PathLike | bytes | bytearray | BinaryIO | Image.Image | np.ndarray
"""What ``read`` opens."""

# Errors of a file that Pillow also logs go to whoever has set up logging, but not to the console.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Formats that Pillow decodes by itself: no outside program is ever started for a picture.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

# What Pillow raises of damaged files.
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, AttributeError),
    *(ArithmeticError, RuntimeError, MemoryError, struct.error, zlib.error),
)

# Of a file of several pages, so many, and so many pixels in all, are looked at for one that is not
# blank, where the brightest and the darkest place differ by at least so much, of 255.
_PAGES, _PAGES_PIXELS, _BLANK = 20, 3 * MOST_PIXELS, 24
# Rows of a large picture that are converted at a time.
_STRIP = 256
# How files begin that people take for pictures, and what to do with them.
_EXPORT = "export it as JPEG or PNG"
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", f"a PDF: {_EXPORT}, page by page"),
    (b"<svg", f"an SVG drawing, which has no pixels: {_EXPORT}"),
    (b"<?xml", f"an SVG drawing or other XML, which has no pixels: {_EXPORT}"),
    (b"\xff\x0a", f"a JPEG XL picture, which is not read here: {_EXPORT}"),
    (b"\0\0\0\x0cJXL ", f"a JPEG XL picture, which is not read here: {_EXPORT}"),
    (b"8BPS", f"a Photoshop document: {_EXPORT}"),
)
# Brands of the container that AVIF and HEIC share (ISO 14496-12), the first kind before the second.
_AVIF, _HEIC = (b"avif", b"avis"), (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


class PictureError(ValueError):
    """What was given is no picture, is damaged, or is too large."""


def read(picture: Picture) -> Image.Image:
    """Open a picture upright, opaque, with 8 bits for each value.

    Args:
        picture: A path, the bytes of a file, a file opened in binary mode, a data URL
            (``"data:image/png;base64,…"``), a Pillow image, or an array (height, width) or
            (height, width, 1, 2, 3 or 4 channels), the second and fourth being opacity. Arrays are
            bool, integers in 0–255 or 0–65,535, or floats in 0–1; floats that go beyond 1 are
            divided by the largest. Files are PNG, JPEG, WebP, GIF, BMP, TIFF, PPM, AVIF where
            Pillow has a decoder for it (from 11.3), and HEIC where pillow-heif is installed.

    Returns:
        An image in mode "L" or "RGB". Turned as its EXIF data says. Behind transparent places
        stands the colour of the visible ones, or, where most of the picture is transparent, white
        or black, whichever the visible ones stand out from. Of a file with several pages, the first
        that is not blank.

    Raises:
        FileNotFoundError: There is no such file.
        PictureError: It is no picture, is damaged, has more than ``MOST_PIXELS`` pixels or
            ``MOST_BYTES`` bytes, or an array of another shape or range.
    """
    with _quiet():
        return _read(picture)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let Pillow, and libtiff under it, warn of nothing: what cannot be read is an error.

    Of a damaged file they may write any number of lines, also such as they read in it.
    """
    restore = []
    with warnings.catch_warnings():
        # Also of sizes: ours is the lower limit.
        warnings.simplefilter("ignore")
        # libtiff writes to the console itself. Where Pillow has it built in, it cannot be reached.
        with contextlib.suppress(AttributeError, OSError):
            library = ctypes.CDLL(Image.core.__file__)
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                setter = library[name]
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                restore.append((setter, setter(None)))
        try:
            yield
        finally:
            for setter, handler in restore:
                setter(handler)


def _read(picture: Picture) -> Image.Image:
    if isinstance(picture, np.ndarray):
        image = _from_array(picture)
    elif isinstance(picture, Image.Image):
        _check_size(picture.size, "the image")
        image = _decode(picture, "the image")
    elif isinstance(picture, bytes | bytearray | memoryview):
        image = _open(io.BytesIO(picture), f"the picture of {len(picture):,} bytes")
    elif isinstance(picture, str) and picture[:5].lower() == "data:":
        image = _open(io.BytesIO(_from_data_url(picture)), "the picture of the data URL")
    elif isinstance(picture, str | os.PathLike):
        path = _existing(picture)
        with path.open("rb") as opened:
            image = _open(opened, str(path))
    elif isinstance(picture, io.TextIOBase):
        raise PictureError(
            "picture must be a file opened in binary mode, as by open(path, 'rb'); received one "
            "opened as text"
        )
    elif hasattr(picture, "read"):
        name = f"the file {getattr(picture, 'name', type(picture).__name__)!r}"
        image = _open(_rewindable(picture, name), name)
    else:
        raise PictureError(
            "picture must be a path, bytes, a file opened in binary mode, a data URL, a Pillow "
            f"image or an array; received {type(picture).__name__}"
        )
    return _opaque(image)


def _existing(picture: str | os.PathLike) -> Path:
    shown = str(picture) if len(str(picture)) < 300 else f"{str(picture)[:60]}…"
    if shown.lower().startswith(("http://", "https://")):
        raise FileNotFoundError(
            f"picture must name a file; {shown!r} is an address: download the picture first"
        )
    try:
        path = Path(picture).expanduser()
        found, folder = path.is_file(), path.is_dir()
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        # Text that is too long for a name, a place that may not be looked into, ~nobody, or bytes.
        raise FileNotFoundError(f"picture must name a file; {shown!r} is none: {error}") from error
    if not found:
        what = "a folder" if folder else "no file"
        raise FileNotFoundError(f"picture must name a file; {shown!r} is {what}")
    return path


def _from_data_url(url: str) -> bytes:
    """Unpack a data URL (RFC 2397)."""
    head, comma, body = url.partition(",")
    if not comma:
        raise PictureError(
            "picture must be a data URL with a comma before the data, as "
            f"'data:image/png;base64,…'; received {url[:40]!r}"
        )
    content = unquote_to_bytes(body)
    if not head.lower().rstrip().endswith(";base64"):
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except ValueError as error:
        raise PictureError(f"the data URL is damaged or cut short: {error}") from error


def _open(source: BinaryIO, name: str) -> Image.Image:
    try:
        size = source.seek(0, os.SEEK_END)
        if size > MOST_BYTES:
            raise PictureError(
                f"{name} has {size:,} bytes; at most {MOST_BYTES:,} are read: make it smaller"
            )
        image = Image.open(source, formats=_formats(source))
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} is {_what_else(source)}") from error
    except _DAMAGED as error:
        raise PictureError(f"{name} cannot be read as a picture: {error}") from error
    with image:
        _check_size(image.size, name)
        return _decode(image, name, turning=True)


def _rewindable(source: BinaryIO, name: str) -> BinaryIO:
    """Give a file that can be wound back, as a pipe or an answer from the network cannot."""
    try:
        if getattr(source, "seekable", lambda: False)():
            return source
        return io.BytesIO(source.read(MOST_BYTES + 1))
    except (OSError, ValueError, TypeError) as error:
        raise PictureError(f"{name} cannot be read: {error}") from error


def _formats(source: BinaryIO) -> tuple[str, ...]:
    kind = _container(_begin(source))
    if kind == "AVIF" and "avif" in features.modules and features.check("avif"):
        return (*_FORMATS, "AVIF")
    if kind == "HEIC":
        with contextlib.suppress(ImportError):
            from pillow_heif import register_heif_opener

            register_heif_opener()
            return (*_FORMATS, "HEIF")
    return _FORMATS


def _begin(source: BinaryIO) -> bytes:
    """Look at the first bytes of a file that can be wound back; of another, at none."""
    try:
        source.seek(0)
        begin = source.read(64)
        source.seek(0)
    except (OSError, AttributeError, ValueError):
        return b""
    return begin if isinstance(begin, bytes) else b""


def _container(begin: bytes) -> str | None:
    """Tell AVIF and HEIC by the brands in the first box of their container."""
    if begin[4:8] != b"ftyp":
        return None
    brands = [begin[8:12], *(begin[at : at + 4] for at in range(16, len(begin), 4))]
    if any(brand in _AVIF for brand in brands):
        return "AVIF"
    return "HEIC" if any(brand in _HEIC for brand in brands) else None


def _what_else(source: BinaryIO) -> str:
    """Say what a file is that no reader knows, and what to do with it."""
    begin = _begin(source)
    kind = _container(begin)
    if kind == "AVIF":
        return (
            "an AVIF picture that cannot be read: it is damaged, or this Pillow has no decoder for "
            f"it (pip install -U 'pillow>=11.3'): else {_EXPORT}"
        )
    if kind == "HEIC":
        return (
            "a HEIC picture, as iPhones take them, that cannot be read: export it as JPEG, or "
            "pip install pillow-heif"
        )
    for beginning, words in _OTHERS:
        if begin.lstrip().startswith(beginning):
            return f"no picture of a known kind, but {words}"
    return f"no picture of a known kind; known are {', '.join((*_FORMATS, 'AVIF'))}"


def _turn_to_ink(image: Image.Image, name: str) -> None:
    """Of several pages, go to the first on which something is to be seen; if none, to the first."""
    # Not n_frames, for which some formats read the file to its end.
    if not getattr(image, "is_animated", False):
        return
    pixels = 0
    for page in range(_PAGES):
        try:
            image.seek(page)
        except EOFError:
            break
        _check_size(image.size, name)
        pixels += image.width * image.height
        if pixels > _PAGES_PIXELS:
            break
        darkest, brightest = image.convert("L").reduce(2).getextrema()
        if brightest - darkest >= _BLANK:
            return
    image.seek(0)


def _decode(image: Image.Image, name: str, *, turning: bool = False) -> Image.Image:
    try:
        if turning:
            _turn_to_ink(image, name)
        image.load()
        upright = ImageOps.exif_transpose(image)
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise PictureError(f"{name} is damaged or cut short: {error}") from error
    if upright.mode.startswith("I") or upright.mode == "F":
        return _from_array(np.asarray(upright))
    if "A" in upright.getbands() or "transparency" in upright.info:
        return upright.convert("RGBA")
    return upright.convert("L" if upright.mode in ("1", "L") else "RGB")


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise PictureError(
            f"{name} has {width:,} × {height:,} pixels; at most {MOST_PIXELS:,} are read: make it "
            "smaller"
        )
    if width * height == 0:
        raise PictureError(f"{name} has no pixels: {width} × {height}")


def _from_array(array: np.ndarray) -> Image.Image:
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 2, 3, 4)):
        raise PictureError(
            f"an array must be (height, width) or (height, width, 1–4 channels); received {shape}"
        )
    _check_size((shape[1], shape[0]), "the array")
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif array.dtype != np.uint8:
        if array.dtype.kind not in "iuf":
            raise PictureError(f"an array must hold numbers; received {array.dtype}")
        low, high = array.min(), array.max()
        if not (low >= 0 and np.isfinite(high)):
            raise PictureError(f"an array must hold values from 0; received {low} to {high}")
        if array.dtype.kind == "f":
            most = max(1.0, float(high))
        elif high > 65_535:
            raise PictureError(f"an array of integers ends at 65,535; received {high}")
        else:
            most = 65_535 if high > 255 or array.dtype == np.uint16 else 255
        scaled = np.empty(shape, np.uint8)
        # Strip by strip: in floats, a large one takes four times the memory.
        for top in range(0, len(array), _STRIP):
            strip = array[top : top + _STRIP].astype(np.float32)
            scaled[top : top + _STRIP] = np.round(strip * (255 / most))
        array = scaled
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array))


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB"):
        return image
    image = image.convert("RGBA")
    visible = image.getchannel("A").point([0] * 128 + [255] * 128)
    share = visible.histogram()[255] / (image.width * image.height)
    # Of the visible places, how often each value of red, green and blue is there.
    counts = np.array(image.convert("RGB").histogram(visible)).reshape(3, 256)
    if share == 1:
        ground = (255, 255, 255)
    elif share > 0.5:
        ground = tuple(_median(of_one) for of_one in counts)
    else:
        light = share > 0 and np.sum(counts * np.arange(256)) / np.sum(counts) > 127
        ground = (0, 0, 0) if light else (255, 255, 255)
    opaque = Image.new("RGB", image.size)
    for top in range(0, image.height, _STRIP):
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        paper = Image.new("RGBA", strip.size, (*ground, 255))
        opaque.paste(Image.alpha_composite(paper, strip).convert("RGB"), (0, top))
    return opaque


def _median(counts: np.ndarray) -> int:
    """Give the median of values of which it is known how often each is there, rounded down."""
    reached = np.cumsum(counts)
    low, high = (np.searchsorted(reached, reached[-1] / 2, side) for side in ("left", "right"))
    return int((low + high) / 2)
