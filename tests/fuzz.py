"""Damaged and ill-meant files by the hundred thousand, shown to everything that opens a file.

    python tests/fuzz.py LOADER --inputs 100000 --seed 0

Every input is made from a real file by a few changes, of bytes or of what the file holds (members
of a zip, values of JSON, cells of a table). Number and seed decide what it is, so a finding can be
made again with ``--first NUMBER --inputs 1``. A loader may return or raise what it documents;
anything else is a finding, and so is a crash, more than 5 seconds, or more than 1 GB of memory.
Each finding is made smaller and written to ``runs/fuzz``.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gzip
import hashlib
import io
import json
import mmap
import os
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS = 5
MEGABYTES = 1_000


@dataclass(frozen=True)
class Loader:
    """Something that opens files.

    Attributes:
        seeds: Makes the real files that inputs are made from.
        load: Opens one, named by its number (``{number}`` decides between variants).
        documented: What it may raise.
        words: What is written into text now and then.
    """

    seeds: Callable[[], list[bytes]]
    load: Callable[[bytes, Path, int], Any]
    documented: tuple[type[BaseException], ...]
    words: tuple[bytes, ...] = field(default=())


# --- changes of a file ---------------------------------------------------------------------------

_NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**9, 2**63, 10**400, -0.5, 1e308, 5e-324),
    *(float("inf"), float("nan"), "", "a", "\0", "\ud800", "é" * 300, "../../x", "1", "[]"),
    *([], {}, [[]], [[[[[[]]]]]], {"a": {}}, [None] * 200, {"class_name": "Lambda"}),
)
_WORDS = (
    b"\0",
    b"\n",
    b",",
    b'"',
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"9" * 400,
    b"-1",
    b"0x10",
    b"nan",
)


def change(
    content: bytes, chance: random.Random, words: tuple[bytes, ...], depth: int = 0
) -> bytes:
    """Change a file in one way or several."""
    kinds = [_bytes]
    if content[:2] == b"PK" and depth < 2:
        kinds += [_members] * 4
    if content[:2] == b"\x1f\x8b" and depth < 2:
        kinds += [_packed] * 3
    if content[:1] in b"{[" and content[:1]:
        kinds += [_tree] * 4
    if content[:6] == b"\x93NUMPY":
        kinds += [_header] * 2
    try:
        return chance.choice(kinds)(content, chance, words, depth)
    except Exception:
        # An earlier change has left nothing that could be unpacked.
        return _bytes(content, chance, words, depth)


def _bytes(content: bytes, chance: random.Random, words: tuple[bytes, ...], _: int) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        # More often near the beginning, where headers are.
        size = len(changed)
        at = (
            chance.randrange(size + 1)
            if chance.random() < 0.6
            else chance.randrange(min(size, 64) + 1)
        )
        length = chance.choice((1, 2, 4, 16, 100, 1_000))
        way = chance.randrange(9)
        if way == 0 and at < size:
            changed[at] ^= 1 << chance.randrange(8)
        elif way == 1 and at < size:
            changed[at] = chance.randrange(256)
        elif way == 2:
            del changed[at : at + length]
        elif way == 3:
            changed[at:at] = changed[at : at + length] * chance.choice((1, 2, 50))
        elif way == 4:
            changed[at:at] = chance.randbytes(length)
        elif way == 5:
            form = chance.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
            number = chance.choice(_NUMBERS) % 256 ** struct.calcsize(form)
            changed[at : at + struct.calcsize(form)] = struct.pack(form, number)
        elif way == 6:
            del changed[at:]
        elif way == 7:
            changed[at:at] = chance.choice(words + _WORDS)
        else:
            start = chance.randrange(size + 1)
            changed[at : at + length] = changed[start : start + length]
    return bytes(changed)


def _members(content: bytes, chance: random.Random, words: tuple[bytes, ...], depth: int) -> bytes:
    """Change what a zip holds, and pack it again as it should be."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [[info.filename, archive.read(info)] for info in archive.infolist()]
        method = archive.infolist()[0].compress_type
    member = chance.choice(members)
    way = chance.randrange(12)
    if way == 0:
        members.remove(member)
    elif way == 1:
        members.append([chance.choice(("extra", "../up", "a" * 300, "x.npy")), member[1]])
    elif way == 2:
        member[0] = chance.choice((member[0] * 2, "x", chance.choice(members)[0]))
    else:
        member[1] = change(member[1], chance, words, depth + 1)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(
            buffer, "w", chance.choice((method, method, zipfile.ZIP_DEFLATED))
        ) as to:
            for name, held in members:
                to.writestr(name, held)
    return buffer.getvalue()


def _packed(content: bytes, chance: random.Random, words: tuple[bytes, ...], depth: int) -> bytes:
    return gzip.compress(change(gzip.decompress(content), chance, words, depth + 1), 1)


def _tree(content: bytes, chance: random.Random, words: tuple[bytes, ...], depth: int) -> bytes:
    """Change values of JSON."""
    try:
        root = [json.loads(content)]
    except (ValueError, RecursionError):
        return _bytes(content, chance, words, depth)
    for _ in range(chance.choice((1, 1, 2, 4))):
        places = list(_places(root))
        holder, key = chance.choice(places)
        other, from_key = chance.choice(places)
        way = chance.randrange(6)
        if way == 0 and holder is not root:
            del holder[key]
        elif way == 1:
            holder[key] = copy.deepcopy(other[from_key])
        elif way == 2 and isinstance(holder, dict):
            holder[chance.choice((key + "_", "", "config", "name"))] = holder.pop(key)
        elif way == 3 and isinstance(holder, list) and holder is not root:
            holder.extend(holder[:] * chance.choice((1, 50)))
        elif way == 4 and isinstance(holder[key], int | float) and holder[key] is not True:
            holder[key] = chance.choice((-1, 2, 0.5, 1e6, 1e30)) * holder[key] + chance.choice(
                (0, 1)
            )
        else:
            holder[key] = copy.deepcopy(chance.choice(_VALUES))
    with contextlib.suppress(ValueError):
        text = json.dumps(root[0])
        if chance.random() < 0.05:
            text = text.replace("null", "[" * 20_000, 1)
        return text.encode()
    return content


def _places(holder: Any):
    """List every place of a tree as its holder and key."""
    for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def _header(content: bytes, chance: random.Random, words: tuple[bytes, ...], depth: int) -> bytes:
    """Change what the header of an array claims."""
    shape = chance.choice(
        ("(6, 28, 28)", "(2,)", "(-1,)", "(99999999999999,)", "()", "(True,)", "(1.5,)", "(0, 28)")
    )
    kind = chance.choice(
        ("|u1", "|u1", "<f8", "|O", "<U9999999", "|V0", "<M8[s]", "x", "[('a','u1')]")
    )
    order = chance.choice((True, False, 3))
    text = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}"
    if chance.random() < 0.2:
        text = _bytes(text.encode(), chance, words, depth).decode("latin1")
    version = chance.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0"))
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(text) + 1)
    return b"\x93NUMPY" + version + length + text.encode("utf-8") + b"\n" + content[128:]


# --- loaders -------------------------------------------------------------------------------------

_SHAPES = {"x_train": (6, 28, 28), "y_train": (6,), "x_test": (2, 28, 28), "y_test": (2,)}


def _small_mnist() -> dict:
    """Let six digits and two pass for MNIST, so that inputs get as far as real ones would."""
    import numpy as np

    from mnistlib import data

    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(10, size=shape, dtype=np.uint8) for name, shape in _SHAPES.items()}
    data._ARRAYS = {
        name: (array.shape, hashlib.sha256(array).hexdigest()) for name, array in arrays.items()
    }
    return arrays


def _npz() -> Loader:
    import numpy as np

    from mnistlib import data

    arrays = _small_mnist()

    def seeds() -> list[bytes]:
        made = []
        for write in (np.savez, np.savez_compressed):
            write(buffer := io.BytesIO(), **arrays)
            made.append(buffer.getvalue())
        return made

    def load(content: bytes, folder: Path, _: int) -> None:
        (path := folder / "mnist.npz").write_bytes(content)
        os.environ[data.ENVIRONMENT_VARIABLE] = str(path)
        data.load("mnist")

    return Loader(seeds, load, (data.DataError,))


def _idx() -> Loader:
    from mnistlib import data

    arrays = _small_mnist()

    def idx(array) -> bytes:
        return (
            struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        )

    def seeds() -> list[bytes]:
        plain = idx(arrays["x_train"])
        return [plain, gzip.compress(plain), gzip.compress(plain[:99]) + gzip.compress(plain[99:])]

    def load(content: bytes, folder: Path, _: int) -> None:
        for name, stem in data._IDX_FILES.items():
            (folder / stem).unlink(missing_ok=True)
            (folder / f"{stem}.gz").unlink(missing_ok=True)
            if name != "x_train":
                (folder / stem).write_bytes(idx(arrays[name]))
        packed = ".gz" if content[:1] == b"\x1f" else ""
        (folder / (data._IDX_FILES["x_train"] + packed)).write_bytes(content)
        os.environ[data.ENVIRONMENT_VARIABLE] = str(folder)
        data.load("mnist")

    return Loader(seeds, load, (data.DataError,))


def _csv() -> Loader:
    from mnistlib import data, kaggle

    names = ",".join(["label", *(f"pixel{number}" for number in range(784))]).encode()
    rows = b"".join(
        b"%d," % row + b",".join([b"%d" % (row * 60)] * 784) + b"\n" for row in range(3)
    )
    table = names + b"\n" + rows

    def seeds() -> list[bytes]:
        with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("digit-recognizer/train.csv", table)
            archive.writestr("digit-recognizer/test.csv", b"other")
        quoted = b'"5",' + b",".join([b'"7"'] * 784) + b"\r\n"
        submission = b"ImageId,Label\n1,7\n2,0\n3,9\n"
        return [
            table,
            names + b"\r\n" + quoted,
            gzip.compress(table),
            buffer.getvalue(),
            submission,
        ]

    def load(content: bytes, folder: Path, _: int) -> None:
        (path := folder / "train.csv").write_bytes(content)
        if len(content) < 500:
            kaggle.read_submission(path, rows=3)
        else:
            kaggle.load(path)

    words = (
        b'""',
        b"\r",
        b",,",
        b"1_0",
        b"\xd9\xa3",
        b" ",
        b"\t",
        b"inf",
        b"1e2",
        b"pixel7",
        b"label",
    )
    return Loader(seeds, load, (data.DataError,), words)


def _pictures() -> Loader:
    import numpy as np
    from PIL import Image

    from mnistlib import pictures

    def seeds() -> list[bytes]:
        pixels = np.random.default_rng(0).integers(256, size=(20, 24, 3), dtype=np.uint8)
        colour = Image.fromarray(pixels)
        grey, alpha = colour.convert("L"), colour.convert("RGBA")
        exif = colour.getexif()
        exif[0x0112] = 6
        made = []

        def save(image, kind, **options):
            image.save(buffer := io.BytesIO(), kind, **options)
            made.append(buffer.getvalue())

        for image in (
            colour,
            grey,
            alpha,
            grey.convert("1"),
            colour.quantize(9),
            grey.convert("I;16"),
        ):
            save(image, "PNG")
        save(colour.quantize(9), "PNG", transparency=3)
        save(colour, "PNG", save_all=True, append_images=[colour.rotate(90)])
        save(colour, "JPEG", exif=exif)
        save(colour.convert("CMYK"), "JPEG")
        save(grey, "JPEG", progressive=True)
        save(alpha, "WEBP")
        save(colour, "WEBP", lossless=True, save_all=True, append_images=[colour])
        save(colour, "GIF", save_all=True, append_images=[colour.rotate(90)])
        for image in (colour, grey.convert("1"), colour.quantize(9)):
            save(image, "BMP")
        for way in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
            save(colour, "TIFF", compression=way)
        save(grey.convert("1"), "TIFF", compression="group4")
        save(grey.convert("F"), "TIFF")
        save(colour, "TIFF", save_all=True, append_images=[colour])
        save(colour, "PPM")
        with contextlib.suppress(Exception):
            save(colour, "AVIF")
        return made

    def load(content: bytes, folder: Path, number: int) -> None:
        if number % 2:
            pictures.read(content)
        else:
            (path := folder / "picture").write_bytes(content)
            pictures.read(path)

    return Loader(seeds, load, (pictures.PictureError,))


def _tiny(folder: Path) -> list[Path]:
    from mnistlib import models, training

    tiny = models.dense([3], dropout=0.1, l2=0.01, batch_normalization=True)
    folded = models.convolutional((2, 3), crop=2)
    training.compiling.compile_model(tiny, one_cycle_steps=10)
    return [
        models.save(model, folder / f"{number}.keras")
        for number, model in enumerate((tiny, folded))
    ]


def _keras() -> Loader:
    from mnistlib import models

    def seeds() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            return [path.read_bytes() for path in _tiny(Path(folder))]

    def load(content: bytes, folder: Path, _: int) -> None:
        (path := folder / "model.keras").write_bytes(content)
        models.load(path)

    return Loader(seeds, load, (ValueError, OSError))


def _recognizer() -> Loader:
    from mnistlib import recognizer

    def seeds() -> list[bytes]:
        return [recognizer.SHIPPED.read_bytes(), _small_network()]

    def load(content: bytes, folder: Path, _: int) -> None:
        import numpy as np

        (path := folder / "recognizer.npz").write_bytes(content)
        loaded = recognizer.load(path)
        with np.errstate(all="ignore"):
            loaded.model.predict(np.zeros((1, 28, 28), np.uint8))

    return Loader(seeds, load, (ValueError,))


def _small_network() -> bytes:
    import numpy as np

    from mnistlib import inference

    rng = np.random.default_rng(0)

    def weights(*shape: int) -> tuple:
        return rng.normal(size=shape).astype(np.float32), np.zeros(shape[-1:], np.float32)

    network = inference.Network(
        (
            inference.Layer("scale", {"factor": 1 / 255, "offset": 0.0}),
            inference.Layer("crop", {"crop": [[2, 2], [2, 2]]}),
            inference.Layer("conv", {"stride": 2}, weights(6, 6, 1, 2)),
            inference.Layer("pool", {"size": 2}),
            inference.Layer("flatten", {}),
            inference.Layer("dense", {}, weights(50, 10)),
            inference.Layer("softmax", {}),
        )
    )
    about = {"temperature": 1.1, "threshold": 0.5, "deslanted": True}
    with tempfile.TemporaryDirectory() as folder:
        return inference.save(network, Path(folder) / "small.npz", about=about).read_bytes()


def _calibration() -> Loader:
    from mnistlib import models, recognizer

    # The network beside it is tried by ``keras``.
    model = models.dense([1])
    models.load = lambda path: model

    def seeds() -> list[bytes]:
        return [b'{"temperature": 1.2, "threshold": 0.5, "deslanted": true}\n']

    def load(content: bytes, folder: Path, _: int) -> None:
        (folder / "model.json").write_bytes(content)
        recognizer.load(folder / "model.keras")

    return Loader(seeds, load, (ValueError,))


def _grid() -> Loader:
    from mnistlib import sweep

    def seeds() -> list[bytes]:
        return [
            b"EPOCHS: [5, 10]\nBATCH_SIZE: [32, 128, 512]\n",
            b"EPOCHS:\n  - 5\n  - 10\nNAME: [cnn, 'dense 128']\nRATE: [0.1, 1e-3]\nDROP: true\n",
            b"# a comment\nA: &x [1, 2]\nB: *x\n? C\n: 3\n",
        ]

    def load(content: bytes, folder: Path, _: int) -> None:
        (path := folder / "grid.yaml").write_bytes(content)
        sweep.read_grid(path)

    words = (
        *(b"&a ", b"*a", b"<<: ", b"!!python/object/apply:os.system ['true']", b"!!binary ", b"? "),
        *(
            b": ",
            b"- ",
            b"[",
            b"{",
            b"]",
            b"|\n ",
            b">\n ",
            b"---\n",
            b"...\n",
            b"%YAML 9.9\n",
            b"~",
        ),
        *(
            b"2001-01-01",
            b"2001-99-99",
            b"1:2:3",
            b".inf",
            b".nan",
            b"0x",
            b"0b2",
            b"1_0",
            b"[" * 900,
        ),
        *(
            b"!!set ",
            b"!!int x",
            b"!!float ''",
            b"!!timestamp x",
            b"!!null ",
            b"!!omap ",
            b"\\ud800",
        ),
        *(b'"\\ud800"', b'"\\U99999999"', b"!!bool x", b"=", b"!!str ", b"!<x> ", b"\t", b"\x85"),
    )
    return Loader(seeds, load, (ValueError,), words)


def _result() -> Loader:
    from mnistlib import outcomes
    from mnistlib.results import Figure

    def seeds() -> list[bytes]:
        made = []
        for error in (None, outcomes.Failure(3, "ValueError", "no")):
            outcome = outcomes.Outcome(
                notebook="02",
                parameters={"EPOCHS": 2, "NAME": "x"},
                point={"EPOCHS": 2},
                status="failed" if error else "finished",
                error=error,
                figures=(Figure("accuracy", (0.5, 0.6), "%", "seed"),),
                is_mnist=True,
                output=Path("02.ipynb"),
                started="2026-01-01T00:00:00+00:00",
                seconds=1.5,
                hash="a" * 64,
                versions={"python": "3.11"},
                cpu="one",
                cores=2,
                threads=1,
            )
            with tempfile.TemporaryDirectory() as folder:
                made.append(outcomes.write(outcome, folder).read_bytes())
        return made

    def load(content: bytes, folder: Path, _: int) -> None:
        (folder / outcomes.FILE).write_bytes(content)
        str(outcomes.read(folder).figures)

    return Loader(seeds, load, (ValueError,))


LOADERS: dict[str, Callable[[], Loader]] = {
    "npz": _npz,
    "idx": _idx,
    "csv": _csv,
    "pictures": _pictures,
    "keras": _keras,
    "recognizer": _recognizer,
    "calibration": _calibration,
    "grid": _grid,
    "result": _result,
}
"""What is tried, by name: MNIST as Keras has it and as IDX, Kaggle's tables and submissions,
pictures, model files of Keras, recognizers in NumPy's form, calibrations, grids, results."""


# --- one process, many inputs --------------------------------------------------------------------


def make(name: str, loader: Loader, seeds: list[bytes], number: int, seed: int) -> bytes:
    """Make the input of a number."""
    chance = random.Random(f"{name} {seed} {number}")
    content = chance.choice(seeds)
    if number % 50 == 0 and number:
        content = content[: chance.randrange(len(content))] + chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 2))):
        content = change(content, chance, loader.words)
    return content


def _held() -> float:
    """Give the largest memory that this process has held, in megabytes."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024


def attempt(loader: Loader, content: bytes, folder: Path, number: int) -> str | None:
    """Show one input to a loader; returns None where it behaves, else where and how it does not."""
    # Of the processor, not by the clock: other work on the machine is not the input's. One that
    # waits is ended by whoever watches.
    before, start = _held(), time.process_time()
    try:
        loader.load(content, folder, number)
    except loader.documented:
        pass
    except BaseException as error:
        places = traceback.extract_tb(error.__traceback__)
        own = [place for place in places if "mnistlib" in place.filename] or places
        return f"{type(error).__name__} in {Path(own[-1].filename).name}:{own[-1].name}"
    if _held() - before > MEGABYTES * 0.8:
        return "memory"
    return "slow" if time.process_time() - start > SECONDS else None


def smaller(loader: Loader, content: bytes, folder: Path, number: int, what: str) -> bytes:
    """Leave out of an input whatever the same finding does without."""
    end, size = time.perf_counter() + 20, len(content) // 2
    while size and time.perf_counter() < end:
        at = 0
        while at < len(content) and time.perf_counter() < end:
            shorter = content[:at] + content[at + size :]
            if attempt(loader, shorter, folder, number) == what:
                content = shorter
            else:
                at += size
        size //= 2
    return content


def _work(name: str, first: int, last: int, seed: int, state_path: str) -> None:
    """Try inputs in this process; the one under way stands in a shared file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
    loader = LOADERS[name]()
    seeds = loader.seeds()
    with contextlib.suppress(ValueError, OSError), tempfile.TemporaryDirectory() as folder:
        # Whatever is imported or made when first used must not count as the input's.
        loader.load(seeds[0], Path(folder), 0)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = held + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    warnings.simplefilter("ignore")
    with Path(state_path).open("r+b") as file, tempfile.TemporaryDirectory() as folder:
        state = mmap.mmap(file.fileno(), 16)
        known: set[str] = set()
        for number in range(first, last):
            content = make(name, loader, seeds, number, seed)
            state[:] = struct.pack("<qd", number, time.time())
            what = attempt(loader, content, Path(folder), number)
            state[:] = struct.pack("<qd", number, 0.0)
            if what is None:
                continue
            finding = {"number": number, "what": what}
            if what not in known and what not in ("slow", "memory"):
                known.add(what)
                content = smaller(loader, content, Path(folder), number, what)
                finding["content"] = content.hex()
            print(json.dumps(finding), flush=True)
        print(json.dumps({"ended": True}), flush=True)


def campaign(
    name: str, *, inputs: int, seed: int = 0, first: int = 0, script: str = __file__
) -> list[dict]:
    """Try a loader; returns its findings, each with number and what."""
    findings, number, last = [], first, first + inputs
    with tempfile.NamedTemporaryFile() as state, tempfile.TemporaryDirectory() as folder:
        while number < last:
            state.seek(0)
            state.write(struct.pack("<qd", number - 1, 0.0))
            state.flush()
            said = Path(folder) / "said"
            command = [sys.executable, script, name, "--worker", state.name, "--seed", str(seed)]
            command += ["--first", str(number), "--inputs", str(last - number)]
            environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
            with said.open("wb") as out, (Path(folder) / "errors").open("wb") as errors:
                child = subprocess.Popen(
                    command, stdout=out, stderr=errors, env=environment, cwd=folder
                )
                slow = _watch(child, state.name)
            under_way, _ = struct.unpack("<qd", Path(state.name).read_bytes())
            lines = [json.loads(line) for line in said.read_text().splitlines()]
            ended = lines and lines[-1].get("ended")
            findings += [line for line in lines if "what" in line]
            if ended:
                break
            if under_way < number:
                raise RuntimeError((Path(folder) / "errors").read_text()[-2_000:])
            what = "slow" if slow else f"died with {child.returncode}"
            findings.append({"number": under_way, "what": what})
            number = under_way + 1
    return findings


def _watch(child: subprocess.Popen, state: str) -> bool:
    """Wait for a worker, or end it if one input takes too long; returns whether it was ended."""
    while True:
        try:
            child.wait(timeout=0.2)
            return False
        except subprocess.TimeoutExpired:
            _, since = struct.unpack("<qd", Path(state).read_bytes())
            # By the clock, so a busy machine must not look like an input that never ends.
            if since and time.time() - since > 12 * SECONDS:
                child.kill()
                child.wait()
                return True


def main() -> None:
    """Read the command line and try one loader."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loader", choices=LOADERS)
    parser.add_argument("--inputs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        _work(given.loader, given.first, given.first + given.inputs, given.seed, given.worker)
        return
    start = time.perf_counter()
    findings = campaign(given.loader, inputs=given.inputs, seed=given.seed, first=given.first)
    kinds: dict[str, list[dict]] = {}
    for finding in findings:
        kinds.setdefault(finding["what"], []).append(finding)
    print(
        f"{given.loader}: {given.inputs:,} inputs, seed {given.seed}, "
        f"{time.perf_counter() - start:.0f} s, {len(kinds)} kinds of findings"
    )
    for what, those in kinds.items():
        print(f"    {what}: {len(those):,}, the first is number {those[0]['number']}")
        if content := those[0].get("content"):
            folder = ROOT / "runs" / "fuzz"
            folder.mkdir(parents=True, exist_ok=True)
            digest = f"{zlib.crc32(what.encode()):08x}"
            (folder / f"{given.loader}-{digest}").write_bytes(bytes.fromhex(content))
            print(f"        made smaller: {folder / f'{given.loader}-{digest}'}")
    sys.exit(bool(kinds))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
