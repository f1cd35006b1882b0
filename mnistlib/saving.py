"""The guard before Keras opens a model file of a stranger.

A ``.keras`` file is a zip of three members. ``checked`` reads them within bounds, has ``allowlist``
look at the configuration and looks at the weights itself; Keras then gets a copy, written anew from
exactly the bytes that were looked at. Neither Keras nor TensorFlow is needed to refuse a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from mnistlib import allowlist, provenance, sizes, writing
from mnistlib._rules import Refused, show
from mnistlib.provenance import Provenance

LARGEST_MEMBERS: dict[str, int] = {
    "metadata.json": 10_000,
    "config.json": 1_000_000,
    "model.weights.h5": 256 * 2**20,
}
"""Bytes of each member, unpacked. A layer's settings take 1,500; ``allowlist.LARGEST_PARAMETERS``
numbers with Adam's two averages take 240 MB."""

Unpack = Callable[..., bytes]

LARGEST_FILE = sum(LARGEST_MEMBERS.values()) + 10_000

LARGEST_OBJECTS = 20_000
"""Groups and arrays among the weights: forty for each of the layers that are allowed."""

_MEMBERS = "metadata.json, config.json and model.weights.h5"


_SECTION = "mnistlib"
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"


@dataclass(frozen=True)
class Checked:
    """A file that was checked.

    Attributes:
        copy: Where a private copy of it lies, made of exactly the bytes that were checked.
        made: What it says about itself.
        cost: What its network takes for each digit.
    """

    copy: Path
    made: Provenance
    cost: sizes.Cost


def check(path: str | Path) -> None:
    """Check that a ``.keras`` file holds a usual classifier and nothing else.

    Args:
        path: A ``.keras`` file, from anywhere. Nothing that it names is called or looked up.

    Raises:
        ValueError: The file is damaged, names a class or function that is not on the list of
            ``allowlist``, is too large, or has other parts than its manifest says: says which part.
        OSError: The file cannot be read.
    """
    _read(Path(path))


def describe(path: str | Path) -> Provenance:
    """Tell what a ``.keras`` file says about itself, once it is checked as by ``check``.

    Raises:
        ValueError: As ``check``.
        OSError: As ``check``.
    """
    return _read(Path(path))[1]


@contextlib.contextmanager
def checked(path: str | Path) -> Iterator[Checked]:
    """Check a ``.keras`` file as ``check`` does, and make a private copy of what was checked.

    Within, the copy can be opened; whoever changes the file meanwhile, or makes a zip that two
    programs read differently, does not change the copy.

    Yields:
        The copy, which goes away afterwards, and what was found out.
    """
    members, made, cost = _read(Path(path))
    with writing.passing(Path(tempfile.gettempdir()), "mnistlib-opening-") as folder:
        copy = folder / "model.keras"
        with zipfile.ZipFile(copy, "w") as archive:
            for name in LARGEST_MEMBERS:
                archive.writestr(name, members.pop(name))
        yield Checked(copy, made, cost)


def seal(path: Path, made: Provenance) -> None:
    """Write into a ``.keras`` file, as Keras has saved it, what it is and what its parts hash to.

    Args:
        path: The file, which nobody else opens yet.
        made: What to write; ``saved`` and ``sha256`` are found here.

    Raises:
        Refused: Something in it can't be written, or is too long.
    """
    sealed = path.with_name(f"{path.name}.sealed")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(sealed, "w") as new:
        metadata = json.loads(archive.read("metadata.json"))
        others = [info for info in archive.infolist() if info.filename != "metadata.json"]
        hashes = {info.filename: _hash(archive, info) for info in others}
        made = replace(made, sha256=hashes, saved=metadata.get("date_saved"))
        content = json.dumps(metadata | {_SECTION: provenance.to_json(made)}).encode()
        most = LARGEST_MEMBERS["metadata.json"]
        if len(content) > most:
            raise Refused(
                f"about must be shorter: it takes {len(content):,} bytes, at most {most:,}"
            )
        # First, as Keras has it.
        new.writestr("metadata.json", content)
        for info in others:
            large = info.file_size >= 2**31
            with (
                archive.open(info) as source,
                new.open(info.filename, "w", force_zip64=large) as goal,
            ):
                shutil.copyfileobj(source, goal, 2**20)
    sealed.replace(path)


def _hash(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with archive.open(info) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _read(path: Path) -> tuple[dict[str, bytes], Provenance, sizes.Cost]:
    known = "no model that Keras saved"
    try:
        with _unpacking(path) as unpack:
            members = {"metadata.json": unpack("metadata.json"), _CONFIG: unpack(_CONFIG)}
            made = _read_metadata(members["metadata.json"])
            _check_hash(members, made, _CONFIG)
            known = "no model that is opened here"
            cost = allowlist.check_config(members[_CONFIG])
            members[_WEIGHTS] = unpack(_WEIGHTS, cost.weights)
        _check_hash(members, made, _WEIGHTS)
        _check_weights(members[_WEIGHTS])
    except Refused as error:
        raise ValueError(
            f"{path} is {known}: {error}. Only networks of the usual layers are opened, as "
            "models.save writes them; a file of your own making can be opened with "
            "keras.saving.load_model"
        ) from error
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"{path} is {known}: {type(error).__name__} while checking it") from error
    if not made.network:
        made = replace(made, network=json.loads(members[_CONFIG])["config"]["name"])
    return members, made, cost


def _check_hash(members: dict[str, bytes], made: Provenance, name: str) -> None:
    if made.sha256 and made.sha256.get(name) != hashlib.sha256(members[name]).hexdigest():
        raise Refused(
            f"its {name} is not the one that it was saved with (SHA-256): it is damaged, or was "
            "changed since"
        )


# --- the zip -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _unpacking(path: Path) -> Iterator[Unpack]:
    """Open a zip of three members, of which each can be unpacked, none larger than it may be."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise Refused("it is no regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise Refused(f"it has {size:,} bytes, at most {LARGEST_FILE:,}")
        content = file.read(size)
    _check_directory(content)
    with _damage_told(), zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        if len(archive.infolist()) != len(infos) or infos.keys() != LARGEST_MEMBERS.keys():
            names = ", ".join(repr(info.filename[:100]) for info in archive.infolist())
            raise Refused(f"it must hold {_MEMBERS}, once each; it holds {names or 'nothing'}")
        for info in infos.values():
            _check_member(info)

        def unpack(name: str, most: int | None = None) -> bytes:
            with _damage_told():
                return _unpack_member(archive, infos[name], most)

        yield unpack


@contextlib.contextmanager
def _damage_told() -> Iterator[None]:
    """Say of what the zip library raises, errors of many kinds, that the zip is damaged."""
    try:
        yield
    except Refused:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, UnicodeError) as error:
        raise Refused(f"its zip is damaged ({error})") from error
    except (EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        if isinstance(error, RecursionError):
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


def _check_member(info: zipfile.ZipInfo) -> None:
    most = LARGEST_MEMBERS[info.filename]
    if info.flag_bits & 1:
        raise Refused(f"its member {info.filename} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused(f"its member {info.filename} is packed by method {info.compress_type}")
    if info.file_size > most:
        raise Refused(f"its member {info.filename} has {info.file_size:,} bytes, at most {most:,}")


def _unpack_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int | None) -> bytes:
    if most is not None and info.file_size > most:
        raise Refused(
            f"its member {info.filename} has {info.file_size:,} bytes; a network of this size has "
            f"at most {most:,}"
        )
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise Refused(
            f"its member {info.filename} does not have the {info.file_size:,} bytes it says"
        )
    return content


def _read_metadata(content: bytes) -> Provenance:
    try:
        metadata = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(f"metadata.json is no JSON that can be read ({error})") from error
    if not (isinstance(metadata, dict) and isinstance(metadata.get("keras_version"), str)):
        raise Refused("metadata.json does not say which Keras wrote the file")
    version, saved = metadata["keras_version"], metadata.get("date_saved")
    for value in (version, *([] if saved is None else [saved])):
        provenance.check_words(value, "metadata.json")
    if _SECTION not in metadata:
        return Provenance("", versions={"keras": version}, saved=saved)
    made = provenance.from_json(metadata[_SECTION], saved=saved)
    if made.sha256.keys() != {_CONFIG, _WEIGHTS}:
        raise Refused(f"its manifest must name {_CONFIG} and {_WEIGHTS}; {show(made.sha256)}")
    return made


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
    if not _is_finite(item):
        raise Refused(
            f"model.weights.h5 holds numbers at {place!r} that are not finite: the network is of "
            "no use, as after a training that diverged"
        )
    return size


def _is_finite(item: h5py.Dataset) -> bool:
    if item.dtype.str == "|V2":
        # All eight bits of the exponent are set in what is infinite or no number.
        return not np.any((item[()].view("<u2") & 0x7F80) == 0x7F80)
    return item.dtype.kind != "f" or bool(np.isfinite(item[()]).all())


def _check_attributes(place: str, item: h5py.Group | h5py.Dataset) -> None:
    """Check that an object carries no more than Keras's two short texts; they are not read here."""
    names = list(item.attrs) if len(item.attrs) <= 2 else ["too many"]
    for name in names:
        known = name in ("name", "dtype")
        if not known or item.attrs.get_id(name).get_type().get_class() != h5py.h5t.STRING:
            raise Refused(f"model.weights.h5 has an attribute {name[:100]!r} at {place!r}")
