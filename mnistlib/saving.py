"""The guard before Keras opens a model file of a stranger.

A ``.keras`` file is a zip of three members. ``checked`` reads them within bounds, has ``allowlist``
look at the configuration and looks at the weights itself; Keras then gets a copy, written anew from
exactly the bytes that were looked at. Neither Keras nor TensorFlow is needed to refuse a file.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py

from mnistlib import allowlist
from mnistlib._rules import Refused

LARGEST_MEMBERS: dict[str, int] = {
    "metadata.json": 10_000,
    "config.json": 1_000_000,
    "model.weights.h5": 256 * 2**20,
}
"""Bytes of each member, unpacked. A layer's settings take 1,500; ``allowlist.LARGEST_PARAMETERS``
numbers with Adam's two averages take 240 MB."""

LARGEST_FILE = sum(LARGEST_MEMBERS.values()) + 10_000

LARGEST_OBJECTS = 20_000
"""Groups and arrays among the weights: forty for each of the layers that are allowed."""

_MEMBERS = "metadata.json, config.json and model.weights.h5"


def check(path: str | Path) -> None:
    """Check that a ``.keras`` file holds a usual classifier and nothing else.

    Args:
        path: A ``.keras`` file, from anywhere. Nothing that it names is called or looked up.

    Raises:
        ValueError: The file is damaged, names a class or function that is not on the list of
            ``allowlist``, or is too large: says which part.
        OSError: The file cannot be read.
    """
    _read(Path(path))


@contextlib.contextmanager
def checked(path: str | Path) -> Iterator[Path]:
    """Check a ``.keras`` file as ``check`` does, and make a private copy of what was checked.

    Within, the copy can be opened; whoever changes the file meanwhile, or makes a zip that two
    programs read differently, does not change the copy.

    Yields:
        The path of the copy, which goes away afterwards.
    """
    members = _read(Path(path))
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as folder:
        copy = Path(folder) / "model.keras"
        with zipfile.ZipFile(copy, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        yield copy


def _read(path: Path) -> dict[str, bytes]:
    known = "no model that Keras saved"
    try:
        members = _unpack(path)
        _check_metadata(members["metadata.json"])
        known = "no model that is opened here"
        allowlist.check_config(members["config.json"])
        _check_weights(members["model.weights.h5"])
    except Refused as error:
        raise ValueError(
            f"{path} is {known}: {error}. Only networks of the usual layers are opened, as "
            "models.save writes them; a file of your own making can be opened with "
            "keras.saving.load_model"
        ) from error
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"{path} is {known}: {type(error).__name__} while checking it") from error
    return members


# --- the zip -------------------------------------------------------------------------------------


def _unpack(path: Path) -> dict[str, bytes]:
    """Read the three members of a zip, none larger than it may be."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise Refused("it is no regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise Refused(f"it has {size:,} bytes, at most {LARGEST_FILE:,}")
        content = file.read(size)
    _check_directory(content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if sorted(info.filename for info in infos) != sorted(LARGEST_MEMBERS):
                names = ", ".join(repr(info.filename[:100]) for info in infos) or "nothing"
                raise Refused(f"it must hold {_MEMBERS}, once each; it holds {names}")
            return {info.filename: _unpack_member(archive, info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, struct.error, UnicodeError) as error:
        raise Refused(f"its zip is damaged ({error})") from error
    except (EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"its zip cannot be read ({error})") from error


def _check_directory(content: bytes) -> None:
    """Check the end of a zip, which says how much ``zipfile`` is going to read at once."""
    if not content.startswith(b"PK\3\4"):
        kind = "an HDF5 file" if content.startswith(b"\x89HDF") else "no zip"
        raise Refused(f"it is {kind}, and a .keras file is a zip of {_MEMBERS}")
    end = content[-22:]
    if len(content) < 42 + 22 or not end.startswith(b"PK\5\6"):
        raise Refused("its zip does not end as Keras ends one: it is cut off, or has a comment")
    disk, start_disk, here, entries, size, start, comment = struct.unpack("<4x4H2IH", end)
    if content[-42:-38] == b"PK\6\7" or (disk, start_disk, comment) != (0, 0, 0):
        raise Refused(
            "its zip is one of several parts or of the 64-bit kind, which Keras does not write"
        )
    if here != entries or entries != len(LARGEST_MEMBERS):
        raise Refused(f"its zip must hold {_MEMBERS}, once each; it holds {entries:,} members")
    if size > 1_000 or start + size != len(content) - len(end):
        raise Refused("the list of members in its zip is not where it should be")


def _unpack_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    most = LARGEST_MEMBERS[info.filename]
    if info.flag_bits & 1:
        raise Refused(f"its member {info.filename} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused(f"its member {info.filename} is packed by method {info.compress_type}")
    if info.file_size > most:
        raise Refused(f"its member {info.filename} has {info.file_size:,} bytes, at most {most:,}")
    with archive.open(info) as file:
        content = file.read(most + 1)
    if len(content) != info.file_size:
        raise Refused(
            f"its member {info.filename} does not have the {info.file_size:,} bytes it says"
        )
    return content


def _check_metadata(content: bytes) -> None:
    try:
        metadata = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(f"metadata.json is no JSON that can be read ({error})") from error
    if not (isinstance(metadata, dict) and isinstance(metadata.get("keras_version"), str)):
        raise Refused("metadata.json does not say which Keras wrote the file")


# --- the weights ---------------------------------------------------------------------------------


def _check_weights(content: bytes) -> None:
    """Check that an HDF5 file holds arrays of numbers, stored in it as they are, and groups."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            _check_objects(file)
    except Refused:
        raise
    except Exception as error:
        # The library raises errors of nearly every kind on damaged files.
        raise Refused(f"model.weights.h5 is no HDF5 file that can be read ({error})") from error


def _check_objects(file: h5py.File) -> None:
    waiting: list[tuple[str, h5py.Group]] = [("/", file)]
    seen, declared, most = {_address(file)}, 0, LARGEST_MEMBERS["model.weights.h5"]
    while waiting:
        path, group = waiting.pop()
        _check_attributes(path, group)
        if len(seen) + len(group) > LARGEST_OBJECTS:
            raise Refused(f"model.weights.h5 holds more than {LARGEST_OBJECTS:,} objects")
        for name in group:
            place = f"{path}{name}"[:1_000]
            link = group.id.links.get_info(name.encode()).type
            if link != h5py.h5l.TYPE_HARD:
                raise Refused(f"model.weights.h5 holds a link at {place!r}, which leads elsewhere")
            item = group[name]
            if _address(item) in seen:
                raise Refused(f"model.weights.h5 holds one object twice, the second at {place!r}")
            seen.add(_address(item))
            if isinstance(item, h5py.Group):
                waiting.append((f"{place}/", item))
                continue
            declared += _check_array(place, item)
            if declared > most:
                raise Refused(f"model.weights.h5 declares more than {most:,} bytes")


def _address(item: h5py.Group | h5py.Dataset) -> tuple[int, int]:
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def _check_array(place: str, item: object) -> int:
    """Check one array; returns how many bytes it declares."""
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise Refused(f"model.weights.h5 holds no array at {place!r}")
    _check_attributes(place, item)
    # Keras writes bfloat16 as two bytes of no type.
    if not (item.dtype.kind in "fiub" or item.dtype.str == "|V2"):
        raise Refused(f"model.weights.h5 holds {item.dtype} at {place!r}, which are no numbers")
    layout = item.id.get_create_plist()
    if (
        layout.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
        or layout.get_nfilters()
        or layout.get_external_count()
    ):
        raise Refused(f"model.weights.h5 holds {place!r} packed, in pieces or in another file")
    size = math.prod(item.shape) * item.dtype.itemsize
    if item.id.get_storage_size() != size:
        raise Refused(
            f"model.weights.h5 declares {size:,} bytes at {place!r} and holds "
            f"{item.id.get_storage_size():,}"
        )
    return size


def _check_attributes(place: str, item: h5py.Group | h5py.Dataset) -> None:
    """Check that an object carries no more than Keras's two short texts; they are not read here."""
    names = list(item.attrs) if len(item.attrs) <= 2 else ["too many"]
    for name in names:
        known = name in ("name", "dtype")
        if not known or item.attrs.get_id(name).get_type().get_class() != h5py.h5t.STRING:
            raise Refused(f"model.weights.h5 has an attribute {name[:100]!r} at {place!r}")
