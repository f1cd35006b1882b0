"""Code run in processes of their own, with what it took measured, and bombs to try it with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Measured:
    """What came of code run in a child.

    Attributes:
        said: The exception it ended with, as ``Kind: words``; empty where there was none.
        seconds: Duration of the code, imports not counted.
        megabytes: By how much it raised the largest memory that the process held.
    """

    said: str
    seconds: float
    megabytes: float


_FRAME = """
import json, re, sys, time
def held():
    # Not ru_maxrss, which a process inherits from the one that started it.
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
{imports}
start, before, said = time.perf_counter(), held(), ""
try:
    {call}
except BaseException as error:
    said = f"{{type(error).__name__}}: {{error}}"
print(json.dumps([said, time.perf_counter() - start, held() - before]))
"""


def measure(imports: str, call: str, *arguments: object) -> Measured:
    """Run one call in a child; ``sys.argv[1:]`` are the arguments."""
    code = _FRAME.format(imports=imports, call=call)
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return Measured(*json.loads(ran.stdout.splitlines()[-1]))


def start(code: str, *arguments: object, **variables: str) -> subprocess.Popen:
    """Start code in a child and do not wait for it."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=environment() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment() -> dict[str, str]:
    """Give this process's environment, with the repository's code found first."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def repeated(path: Path, head: bytes, piece: bytes, times: int) -> None:
    """Write a gzip file that unpacks to ``head`` and ``times`` the same 10 MB; cut off at its end.

    A full flush makes pieces that can be repeated without being packed again.
    """
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packing.compress(head) + packing.flush(zlib.Z_FULL_FLUSH)
    content = piece * (10_000_000 // len(piece))
    block = packing.compress(content) + packing.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(start + block * times)
