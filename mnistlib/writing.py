"""Files that are written whole or not at all, and leave nothing behind, whenever a process ends.

Imports without TensorFlow.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".saving-"
"""How the hidden folder begins in which a file is written before it takes its place."""

_LOCK = ".mnistlib-lock"
# A folder younger than this may be one whose lock is just being made; one without a lock is of an
# earlier version, or of a system without locks, and is only known to be nobody's by its age.
_YOUNG_SECONDS, _OLD_SECONDS = 60, 24 * 3600


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give another path to write to; what is written there takes the place of ``path`` at once.

    Where the block fails, nothing changes. Where the process is killed in it, ``path`` is what it
    was, and the next call for a file of the same folder takes away what was left.

    Args:
        path: The file to write, in a folder that exists.

    Yields:
        A path of the same name in a hidden folder beside it, for one regular file.

    Raises:
        FileNotFoundError: There is no such folder.
        OSError: Nothing can be written there.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"path must be in a folder that exists; there is no folder {str(path.parent)!r}"
        )
    # Beside its goal, so that the move stays on one file system and is atomic.
    with passing(path.parent, PREFIX) as folder:
        written = folder / path.name
        yield written
        # Else a power cut may leave the name without the content.
        with written.open("rb") as file:
            os.fsync(file.fileno())
        written.replace(path)


def write(path: Path, content: str | bytes) -> None:
    """Write a file as ``replacing`` does; text becomes UTF-8."""
    with replacing(path) as written:
        written.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def passing(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a private folder that goes away afterwards; those of killed processes go away first.

    Args:
        parent: Where to make it.
        prefix: How its name begins; no other folders are taken for left ones.
    """
    _sweep(parent, prefix)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as folder, _locked(Path(folder)):
        yield Path(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock that says the folder is in use; the system lets go of it when we are killed."""
    with (folder / _LOCK).open("wb") as file:
        _try_lock(file.fileno())
        yield


def _try_lock(handle: int) -> bool | None:
    """Lock an open file; returns whether that went well, or None where files are not locked."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _sweep(parent: Path, prefix: str) -> None:
    """Remove the folders that killed processes of this user left; those in use stay."""
    name = re.compile(re.escape(prefix) + r"[a-z0-9_]{8}")
    # It may be read-only, or another process may be sweeping it.
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if name.fullmatch(entry.name) and _is_left(entry):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_left(entry: os.DirEntry) -> bool:
    try:
        about = entry.stat(follow_symlinks=False)
    except OSError:
        return False  # gone meanwhile: the process that it belonged to is done
    own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    age = time.time() - about.st_mtime
    if not (own and stat.S_ISDIR(about.st_mode)) or age < _YOUNG_SECONDS:
        return False
    try:
        with (Path(entry.path) / _LOCK).open("r+b") as file:
            free = _try_lock(file.fileno())
    except FileNotFoundError:
        free = None
    except OSError:
        return False
    return age > _OLD_SECONDS if free is None else free
