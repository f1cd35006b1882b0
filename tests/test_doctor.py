"""What `mnistlib doctor` says of a machine where something is wrong, in real interpreters."""

from __future__ import annotations

import functools
import itertools
import json
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from children import ROOT, environment, start
from packaging.requirements import Requirement

from mnistlib import data, doctor, pendigits

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def examined(*options: str, **variables: str) -> tuple[int, dict[str, dict]]:
    """Run the command; returns its exit code and its lines by name."""
    ran = subprocess.run(
        [sys.executable, "-m", "mnistlib", "doctor", "--json", *options],
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert ran.stderr == ""
    return ran.returncode, {check["name"]: check for check in json.loads(ran.stdout)}


def in_the_way(folder: Path, **packages: str) -> dict[str, str]:
    """Put packages into a folder that Python searches first."""
    for name, code in packages.items():
        (folder / f"{name}.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def checks(look) -> list[doctor.Check]:
    return list(look())


def test_floors_and_extras_are_those_of_the_project():
    listed = itertools.chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    asked = {Requirement(one).name: str(Requirement(one).specifier) for one in listed}
    asked["python"] = PROJECT["requires-python"]
    for name, floor in doctor.FLOORS.items():
        assert asked[name] == f">={floor}"
    # The other two are for who develops the package.
    assert PROJECT["optional-dependencies"].keys() - doctor.EXTRAS.keys() == {"test", "bench"}
    for extra, (_, names) in doctor.EXTRAS.items():
        given = {Requirement(one).name for one in PROJECT["optional-dependencies"][extra]}
        assert given == set(names)


def test_a_machine_as_it_should_be_has_no_error():
    code, found = examined()
    errors = [check for check in found.values() if check["status"] == "error"]
    assert (code, errors) == (0, [])
    import keras
    import tensorflow

    from mnistlib import compiling, models

    assert found["tensorflow"]["found"] == f"{tensorflow.__version__} (at least 2.20)"
    assert found["keras"]["found"] == f"{keras.__version__} (at least 3.13.2)"
    assert found["Python"]["found"].startswith(platform.python_version())
    xla = found["trained with XLA"]["found"].split("; XLA_FLAGS")[0].split(", ")
    assert xla == [name for name in models.NAMES if compiling.choose_jit(models.build(name))]
    half = [name for name in models.NAMES if "bfloat16" in models.choose_precision(name)]
    assert found["precision"]["found"].startswith(f"bfloat16: {', '.join(half) or 'none'};")


# What a child of this process finds where TensorFlow or Keras is, instead of it.
BROKEN = {
    "raise ImportError('libcudart.so.99: cannot open')": "ImportError: libcudart.so.99",
    "raise ModuleNotFoundError(\"No module named 'tensorflow'\")": "No module named",
    "import os; os.abort()": "it ended the process by signal 6",
    "import os; os._exit(3)": "exit code 3",
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_tensorflow_that_does_not_work_is_told(tmp_path, monkeypatch, code):
    for name, value in in_the_way(tmp_path, tensorflow=code).items():
        monkeypatch.setenv(name, value)
    tensorflow, keras = checks(doctor._tensorflow_and_keras)
    assert (tensorflow.name, tensorflow.status) == ("tensorflow", "error")
    assert BROKEN[code] in tensorflow.found
    assert tensorflow.advice.startswith("pip install --force-reinstall 'tensorflow>=")
    # What is known of Keras, without importing it.
    assert (keras.name, keras.status) == ("keras", "ok")


def test_without_a_working_tensorflow_everything_else_is_still_examined(tmp_path):
    given = in_the_way(tmp_path, tensorflow="import os; os.abort()", gradio="")
    ended, found = examined(**given)
    assert ended == 1
    assert [name for name, check in found.items() if check["status"] == "error"] == ["tensorflow"]
    assert {"keras", "gradio", "MNIST", "cache", "disk: this folder", "proxies"} <= found.keys()
    assert {"Jupyter kernel", "extra notebooks", "pen strokes"} <= found.keys()


def test_a_keras_that_does_not_import_is_told_from_tensorflow(tmp_path, monkeypatch):
    given = in_the_way(tmp_path, keras="raise ImportError('half installed')")
    monkeypatch.setenv("PYTHONPATH", given["PYTHONPATH"])
    tensorflow, keras = checks(doctor._tensorflow_and_keras)
    assert (tensorflow.name, tensorflow.status) == ("tensorflow", "ok")
    assert (keras.name, keras.status) == ("keras", "error")
    assert "half installed" in keras.found
    assert keras.advice == "pip install --force-reinstall 'keras>=3.13.2'"


def test_a_keras_that_is_not_installed_is_told(tmp_path, monkeypatch):
    given = in_the_way(tmp_path, keras="raise ImportError('gone')", tensorflow="__version__ = '3'")
    monkeypatch.setenv("PYTHONPATH", given["PYTHONPATH"])
    monkeypatch.setattr(doctor, "_version", lambda _: None)
    tensorflow, keras = checks(doctor._tensorflow_and_keras)
    assert (tensorflow.status, keras.found) == ("ok", "not installed")
    assert (keras.status, keras.advice) == ("error", "pip install 'keras>=3.13.2'")


def test_a_package_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "_IMPORT_SECONDS", 0.5)
    assert doctor._try("import time; time.sleep(60)")[1] == "it was not done after 0.5 seconds"


def test_a_package_that_is_missing_or_does_not_import_is_told(tmp_path, monkeypatch):
    given = in_the_way(tmp_path, gradio="raise ImportError('no pydantic')")
    monkeypatch.setenv("PYTHONPATH", given["PYTHONPATH"])
    (broken,) = doctor._package("gradio", needed=False)
    assert (broken.status, "no pydantic" in broken.found) == ("error", True)
    monkeypatch.setattr(doctor, "_version", lambda _: None)
    assert list(doctor._package("gradio", needed=False)) == []
    (missing,) = doctor._package("numpy")
    assert (missing.status, missing.advice) == ("error", "pip install 'numpy>=2.0'")


def test_an_older_python_is_an_error(monkeypatch):
    assert checks(doctor._python)[0].status == "ok"
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.12")
    (check,) = checks(doctor._python)
    assert (check.status, check.advice) == (
        "error",
        "Make an environment with Python 3.11 or newer.",
    )


@pytest.mark.parametrize(
    ("flags", "status"), [("sse2", "error"), ("avx", "warning"), ("avx avx2 fma", "ok"), ("", "ok")]
)
def test_a_processor_that_is_too_old_is_told(monkeypatch, flags, status):
    monkeypatch.setattr(doctor, "_flags", lambda: frozenset(flags.split()))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    (check,) = checks(doctor._cpu)
    assert (check.status, bool(check.advice)) == (status, status != "ok")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert checks(doctor._cpu)[0].status == "ok"


def test_extras_that_are_missing_come_with_their_command(monkeypatch):
    installed = {"psutil": "7.0", "mlxtend": "0.25.0"}
    monkeypatch.setattr(doctor, "_version", installed.get)
    found = {check.name: check for check in checks(doctor._extras)}
    assert found["extra sample"].found == "mlxtend 0.25.0"
    assert found["extra app"].status == "ok"
    assert found["extra app"].advice == "For the page on which to draw: pip install gradio"
    assert found["extra notebooks"].status == "warning"
    assert "psutil" not in found["extra notebooks"].advice
    assert found["extra notebooks"].advice.startswith("pip install ipykernel jupyterlab")


def older(folder: Path, name: str, version: str) -> dict[str, str]:
    """Put the description of an installed package into a folder that Python searches first."""
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def test_a_package_below_its_floor_is_an_error_with_its_command(tmp_path):
    code = "from mnistlib import doctor\nprint(*doctor._package('gradio'))"
    variables = older(tmp_path, "gradio", "6.6.9") | in_the_way(tmp_path, gradio="")
    out, _ = start(code, **variables).communicate(timeout=60)
    assert "status='error', found='6.6.9, older than 6.24'" in out
    assert "pip install -U 'gradio>=6.24'" in out


@pytest.mark.parametrize(
    ("version", "status"),
    [("3.13.1", "error"), ("3.13.2", "ok"), ("3.13.2rc1", "ok"), ("3.9", "error"), ("4", "ok")],
)
def test_versions_are_compared_as_numbers(version, status):
    assert doctor._at_least("keras", version).status == status


def test_data_that_is_not_what_it_should_be_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    (check,) = checks(doctor._mnist)
    assert (check.status, check.advice[:20]) == ("error", "Name the right files")


def test_data_that_is_not_there_is_a_warning_and_nothing_is_downloaded(nowhere):
    strokes = functools.partial(doctor._files, "strokes", pendigits.FILES, "pendigits")
    found = checks(doctor._mnist) + checks(strokes)
    assert [check.status for check in found] == ["warning", "warning"]
    assert "downloaded when first needed" in found[0].advice
    assert not list(nowhere.cache.rglob("*.npz"))


def test_a_damaged_file_of_kerass_is_named(nowhere):
    nowhere.keras.write_bytes(b"half a download")
    damaged, absent = checks(doctor._mnist)
    assert str(nowhere.keras) in damaged.found
    assert (damaged.status, absent.found) == ("warning", "not on this machine")


def test_strokes_are_found_by_their_checksums(nowhere, few_writers):
    from mnistlib import cache

    few_writers()
    look = lambda: doctor._files("strokes", pendigits.FILES, "pendigits")  # noqa: E731
    (whole,) = checks(look)
    assert whole.status == "ok"
    for checksum in pendigits.FILES.values():
        assert checksum[:19] in whole.found
    (cache.folder() / next(iter(pendigits.FILES))).write_bytes(b"damaged")
    (damaged,) = checks(look)
    assert (damaged.status, "is damaged" in damaged.found) == ("warning", True)


def test_wrong_files_in_the_folder_that_was_named_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    (tmp_path / "pendigits").mkdir()
    for name in pendigits.FILES:
        (tmp_path / "pendigits" / name).write_bytes(b"others")
    (check,) = doctor._files("strokes", pendigits.FILES, "pendigits")
    assert (check.status, check.advice) == ("error", "Remove it, or fetch it again.")
    assert f"{tmp_path / 'pendigits' / next(iter(pendigits.FILES))} is not as" in check.found


def test_a_cache_that_cannot_be_written_is_named(nowhere):
    nowhere.cache.write_text("in the way")
    (check,) = checks(doctor._cache)
    assert check.status == "warning"
    assert "XDG_CACHE_HOME" in check.advice


def test_damaged_images_in_the_cache_are_named(nowhere):
    import numpy as np

    from mnistlib import cache, kept

    assert [check.status for check in checks(doctor._cache)] == ["ok"]
    kept.images("some", lambda: np.arange(7840, dtype=np.uint8).reshape(10, 28, 28))
    (cache.folder() / "mnist.npz").write_bytes(b"of others")
    assert [check.status for check in checks(doctor._cache)] == ["ok"]
    (path,) = cache.folder().glob("some-*.npz")
    path.write_bytes(path.read_bytes()[:2_000])
    damaged, _ = checks(doctor._cache)
    assert (damaged.status, damaged.found) == ("warning", f"{path} is damaged")


@pytest.mark.parametrize(
    ("value", "status"), [("2", "ok"), ("9999", "warning"), ("two", "error"), ("-1", "error")]
)
def test_threads_that_are_asked_for_are_looked_at(monkeypatch, value, status):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    for name in doctor._THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    (check,) = checks(doctor._threads)
    assert check.status == status
    assert f"OMP_NUM_THREADS={value}" in check.found


def test_proxies_are_shown_without_their_password(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.example:3128")
    (check,) = checks(doctor._proxies)
    assert check.status == "ok"
    assert "https by http://…@proxy.example:3128" in check.found
    assert "secret" not in check.found
    for wrong in ("http://", "http://proxy.example:port", "http://["):
        monkeypatch.setenv("https_proxy", wrong)
        assert checks(doctor._proxies)[0].status == "error"


def test_a_proxy_that_needs_another_package_is_told(monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://proxy.example:1080")
    monkeypatch.setattr(doctor, "_version", lambda _: None)
    (check,) = checks(doctor._proxies)
    assert (check.status, check.advice) == ("error", "For a SOCKS proxy: pip install pysocks")
    monkeypatch.setattr(doctor, "_version", lambda _: "1.7.1")
    assert checks(doctor._proxies)[0].status == "ok"


def test_another_backend_is_an_error(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    first = next(doctor._tensorflow_and_keras())
    assert (first.name, first.status, first.found) == ("backend", "error", "KERAS_BACKEND=jax")


def test_a_kernel_of_another_python_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))

    def said(program: str) -> doctor.Check:
        kernel = {"argv": [program], "display_name": "Python 3", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(kernel))
        (check,) = checks(doctor._kernel)
        return check

    assert said("python").status == "ok"
    assert said(sys.executable).status == "ok"
    assert said("/usr/bin/env").status == "warning"
    assert said(str(tmp_path / "gone")).status == "error"


def test_where_there_is_no_kernel_the_command_that_makes_one_is_said(monkeypatch):
    from jupyter_client import kernelspec

    def nothing(self, name):
        raise kernelspec.NoSuchKernel(name)

    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", nothing)
    (check,) = checks(doctor._kernel)
    assert (check.status, check.found) == ("warning", "there is no kernel python3")
    assert check.advice == f"{sys.executable} -m ipykernel install --user"


def test_little_room_on_a_disk_is_said(monkeypatch):
    from types import SimpleNamespace

    for free, status in ((10**8, "error"), (10**9, "warning"), (10**10, "ok")):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert {check.status for check in checks(doctor._disk)} == {status}


def test_a_look_that_fails_is_an_error_of_its_own(monkeypatch):
    monkeypatch.setattr(doctor, "_flags", lambda: 1 / 0)
    first = [check for _, check in zip(range(3), doctor.examine(), strict=False)]
    assert [check.name for check in first] == ["Python", "cpu", "threads"]
    assert first[1].found == "could not be looked at: ZeroDivisionError: division by zero"


def test_the_command_prints_lines_for_people():
    from click.testing import CliRunner

    from mnistlib import cli

    given = [
        doctor.Check("this", "ok", "fine " * 12),
        doctor.Check("that", "error", "gone", "Get it."),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "examine", lambda: iter(given))
        ran = CliRunner().invoke(cli.main, ["doctor"])
        assert ran.output.splitlines() == [
            "ok      this              " + " ".join(["fine"] * 11),
            "                          fine",
            "error   that              gone",
            "        → Get it.",
        ]
        assert ran.exit_code == 1
        given[1] = doctor.Check("that", "warning", "gone", "Get it.")
        assert CliRunner().invoke(cli.main, ["doctor"]).exit_code == 0
