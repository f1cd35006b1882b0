"""Pictures made to keep a computer busy: small files that ask for much time or memory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

SIDE = 800


def file(values: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Make a chunk of a PNG file."""
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """Put chunks behind the header of a PNG file."""
    return png[:33] + b"".join(chunks) + png[33:]


def tiles(height: int, width: int, ink: tuple, side: int = SIDE) -> np.ndarray:
    tile = np.full((height, width), 255, np.uint8)
    tile[ink] = 0
    return np.tile(tile, (side // height + 1, side // width + 1))[:side, :side]


def checkers(cell: int) -> np.ndarray:
    return ((np.indices((SIDE, SIDE)) // cell).sum(axis=0) % 2 * 255).astype(np.uint8)


def lines(count: int, length: int, width: int, *, side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Draw lines at random, in each direction up to so long."""
    draw = np.random.default_rng(seed)
    image = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(image)
    for _ in range(count):
        start = draw.integers(0, side, 2)
        end = start + draw.integers(-length, length + 1, 2)
        pen.line([*map(int, start), *map(int, end)], 0, width)
    return np.asarray(image)


def level(step: int) -> np.ndarray:
    values = np.full((SIDE, SIDE), 255, np.uint8)
    values[step // 2 :: step, 10:-10] = 0
    return values


def comb(step: int) -> np.ndarray:
    values = np.full((SIDE, SIDE), 255, np.uint8)
    values[:, step // 2 :: step] = 0
    values[20::100] = values[21::100] = 0
    return values


def form(step: int) -> np.ndarray:
    """Draw cells with a stroke in each."""
    values = np.full((SIDE, SIDE), 255, np.uint8)
    values[::step] = values[:, ::step] = 0
    for row in range(step // 4, 3 * step // 4):
        values[row::step, step // 2 :: step] = 0
    return values


def noise(side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.uint8)


# What takes long takes processor time: seconds of it hardly depend on what else the computer does.
PICTURES: dict[str, Callable[[], bytes]] = {
    "2,700 bars": lambda: file(tiles(19, 12, np.s_[1:18, 4:6])),
    "1,900 dashes": lambda: file(tiles(6, 20, np.s_[2:4, 1:17])),
    "half of the pixels": lambda: file(checkers(1)),
    "noise": lambda: file(noise()),
    "266 level lines": lambda: file(level(3)),
    "a comb": lambda: file(comb(8)),
    "a form of 6,400 cells": lambda: file(form(10)),
    "25 million pixels of thin lines": lambda: file(
        Image.fromarray(lines(150, 5_000, 1, side=5_000)).convert("RGB")
    ),
    "100 million pixels": lambda: file(np.full((10_000, 10_000), 255, np.uint8)),
    "20 blank pages": lambda: file(
        Image.new("L", (6_000, 6_000), 255),
        "TIFF",
        compression="tiff_adobe_deflate",
        save_all=True,
        append_images=[Image.new("L", (6_000, 6_000), 255)] * 19,
    ),
}
