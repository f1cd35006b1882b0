"""Pictures as people have them, opened safely: files, bytes, Pillow images, arrays.

Imports without TensorFlow.
"""

from __future__ import annotations

import base64
import binascii
import functools
import io
import urllib.parse
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

MOST_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded."""

Picture = str | Path | bytes | BinaryIO | Image.Image | np.ndarray
"""What ``read`` opens."""

# Formats that Pillow decodes by itself: no outside program is ever started for a picture.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
# Of a file of several pages, so many are looked at for one that is not blank, where the brightest
# and the darkest place differ by at least so much, of 255.
_PAGES, _BLANK = 20, 24
# What a phone's pictures begin with, behind the length of their first box.
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")


class PictureError(ValueError):
    """What was given is no picture, is damaged, or is too large."""


def read(picture: Picture) -> Image.Image:
    """Open a picture upright, opaque, with 8 bits for each value.

    Args:
        picture: A path, a data URL, the bytes of a file, a file opened for reading bytes, a Pillow
            image, or an array (height, width) or (height, width, 1, 2, 3 or 4 channels), the second
            and fourth being opacity. Arrays are bool, integers in 0–255 or 0–65,535, or floats in
            0–1; floats that go beyond 1 are divided by the largest. AVIF needs Pillow 11.3 or
            newer, HEIC the package pillow-heif.

    Returns:
        An image in mode "L" or "RGB". Turned as its EXIF data says. Behind transparent places
        stands the colour of the visible ones, or, where most of the picture is transparent, white
        or black, whichever the visible ones stand out from. Of a file with several pages, the first
        that is not blank.

    Raises:
        FileNotFoundError: There is no such file.
        PictureError: It is no picture, is damaged, has more than ``MOST_PIXELS`` pixels, or an
            array of another shape or range.
    """
    if isinstance(picture, np.ndarray):
        image = _from_array(picture)
    elif isinstance(picture, Image.Image):
        _check_size(picture.size, "the image")
        image = _decode(picture, "the image")
    elif isinstance(picture, bytes | bytearray):
        image = _open(io.BytesIO(picture), f"the picture of {len(picture):,} bytes")
    elif isinstance(picture, str) and picture[:5].lower() == "data:":
        image = _open(io.BytesIO(_from_url(picture)), "the picture of the data URL")
    elif isinstance(picture, str | Path):
        path = Path(picture).expanduser()
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no file"
            raise FileNotFoundError(f"picture must name a file; {str(path)!r} is {what}")
        image = _open(io.BytesIO(path.read_bytes()), str(path))
    elif hasattr(picture, "read"):
        content = picture.read()
        if not isinstance(content, bytes):
            raise PictureError('picture is a file opened as text: open it with "rb"')
        image = _open(io.BytesIO(content), str(getattr(picture, "name", "the open file")))
    else:
        raise PictureError(
            "picture must be a path, a data URL, bytes, an open file, a Pillow image or an array; "
            f"received {type(picture).__name__}"
        )
    return _opaque(image)


def _from_url(url: str) -> bytes:
    """Decode a data URL (RFC 2397)."""
    head, comma, content = url.partition(",")
    if not comma:
        raise PictureError("picture is a data URL without a comma, so without a picture")
    content = urllib.parse.unquote_to_bytes(content)
    if not head.lower().endswith(";base64"):
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error as error:
        raise PictureError(f"picture is a data URL that is not valid base64: {error}") from error


def _open(source: io.BytesIO, name: str) -> Image.Image:
    brand = source.getvalue()[8:12] if source.getvalue()[4:8] == b"ftyp" else b""
    if brand in _HEIC and not _reads_heic():
        raise PictureError(
            f"{name} is a HEIC picture: export it as JPEG, or pip install pillow-heif"
        )
    if brand in _AVIF and not features.check("avif"):
        raise PictureError(
            f"{name} is an AVIF picture, which this Pillow cannot read: save it as PNG or JPEG, or "
            'pip install "pillow>=11.3"'
        )
    formats = (*_FORMATS, *(["HEIF"] * (brand in _HEIC)), *(["AVIF"] * (brand in _AVIF)))
    try:
        with warnings.catch_warnings():
            # Ours is the lower limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(source, formats=formats)
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise PictureError(
            f"{name} is no picture of a known kind; known are {', '.join((*_FORMATS, 'AVIF'))}"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError(f"{name} cannot be read as a picture: {error}") from error
    with image:
        _check_size(image.size, name)
        return _decode(image, name, turning=True)


@functools.cache
def _reads_heic() -> bool:
    """Whether Pillow can be made to read HEIC."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _turn_to_ink(image: Image.Image, name: str) -> None:
    """Of several pages, go to the first on which something is to be seen; if none, to the first."""
    pages = min(getattr(image, "n_frames", 1), _PAGES)
    for page in range(pages if pages > 1 else 0):
        image.seek(page)
        _check_size(image.size, name)
        darkest, brightest = image.convert("L").reduce(2).getextrema()
        if brightest - darkest >= _BLANK:
            return
    if pages > 1:
        image.seek(0)


def _decode(image: Image.Image, name: str, *, turning: bool = False) -> Image.Image:
    try:
        if turning:
            _turn_to_ink(image, name)
        image.load()
        upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
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
        array = np.round(array.astype(np.float32) * (255 / most)).astype(np.uint8)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array))


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB"):
        return image
    values = np.asarray(image.convert("RGBA"))
    visible = values[..., 3] > 127
    if visible.all():
        ground = (255, 255, 255)
    elif visible.mean() > 0.5:
        ground = tuple(int(value) for value in np.median(values[visible][:, :3], axis=0))
    else:
        light = visible.any() and values[visible][:, :3].mean() > 127
        ground = (0, 0, 0) if light else (255, 255, 255)
    paper = Image.new("RGBA", image.size, (*ground, 255))
    return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
