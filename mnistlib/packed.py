"""Files that arrive packed, gzip and zip, unpacked piece by piece within bounds.

A few kilobytes can unpack to gigabytes, and a zip can list a million members. Imports without
TensorFlow.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PIECE = 4_000_000
"""Bytes unpacked at a time."""

_MOST_MEMBERS = 10_000
# What stands behind a member is copied for each, so it must not be much.
_PACKED_PIECE = 65_536

ERRORS = (
    OSError,
    EOFError,
    ValueError,  # UnicodeError, and what numpy says of a damaged array
    KeyError,
    TypeError,  # numpy, of a header that is no mapping
    RuntimeError,  # encrypted, or packed in an unknown way
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    SyntaxError,  # numpy's own parser of headers
    tokenize.TokenError,
)
"""What reading a damaged file raises."""


def gunzip(file: BinaryIO) -> Iterator[bytes]:
    """Unpack a gzip file, of several members too.

    Python's own ``gzip`` reads a header byte by byte, so a long one holds it for minutes.

    Args:
        file: Opened in binary mode, at its beginning.

    Yields:
        What it holds, at most ``PIECE`` bytes at a time.

    Raises:
        zlib.error: It is damaged.
        EOFError: It is cut off.
        ValueError: It consists of thousands of members.
    """
    members, unpacker = 1, zlib.decompressobj(31)
    whole = False
    packed = file.read(_PACKED_PIECE)
    while packed:
        piece = unpacker.decompress(packed, PIECE)
        if piece:
            yield piece
        packed, whole = unpacker.unconsumed_tail, unpacker.eof
        if whole:
            packed = unpacker.unused_data
        packed = packed or file.read(_PACKED_PIECE)
        if whole and (packed := packed.lstrip(b"\0")):
            members, unpacker = members + 1, zlib.decompressobj(31)
            if members > _MOST_MEMBERS:
                raise ValueError(f"it has more than {_MOST_MEMBERS:,} members")
    # zlib may have taken all there is and still hold the last few bytes back.
    if piece := unpacker.flush():
        yield piece
    if not unpacker.eof:
        raise EOFError("it ends before its end mark")


@contextlib.contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose list of members, which ``zipfile`` reads at once, is of a usual length.

    Whoever reads a member asks for at most ``PIECE`` bytes at a time.

    Raises:
        ERRORS: It is damaged.
        ValueError: The list is too long, or a member is packed in an unusual way.
    """
    with _Source(path) as source, zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            # LZMA and bzip2 may take gigabytes for a few bytes.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(
                    f"{member.filename[:60]!a} is packed by method {member.compress_type}; "
                    "the usual compression (deflate) and none are read"
                )
        yield archive


class _Source(io.FileIO):
    """A file that is never read in one large piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most ``size`` bytes, all that are left where it is negative."""
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > PIECE:
            raise ValueError(f"its list of members has {size:,} bytes, at most {PIECE:,}")
        return super().read(size)
