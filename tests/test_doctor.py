"""What `mnistlib doctor` says of a machine where something is wrong, in real interpreters."""

from __future__ import annotations

import functools
import itertools
import json
import os
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
    floors = {Requirement(one).name: str(Requirement(one).specifier) for one in listed}
    for name, floor in doctor.FLOORS.items():
        assert floors[name] == f">={floor}"
    for extra, names in doctor.EXTRAS.items():
        given = {Requirement(one).name for one in PROJECT["optional-dependencies"][extra]}
        assert given == set(names)


def test_a_machine_as_it_should_be_has_no_error():
    code, found = examined()
    errors = [check for check in found.values() if check["status"] == "error"]
    assert (code, errors) == (0, [])
    import keras
    import tensorflow

    from mnistlib import compiling, models

    assert found["tensorflow"]["found"] == tensorflow.__version__
    assert found["keras"]["found"] == keras.__version__
    xla = found["trained with XLA"]["found"].split("; XLA_FLAGS")[0].split(", ")
    assert xla == [name for name in models.NAMES if compiling.choose_jit(models.build(name))]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ImportError('libcudart.so.99: cannot open')", "ImportError: libcudart.so.99"),
        ("raise ModuleNotFoundError(\"No module named 'tensorflow'\")", "No module named"),
        ("import os; os.abort()", "it ended the process by signal 6"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
def test_without_a_working_tensorflow_everything_else_is_still_examined(tmp_path, code, said):
    ended, found = examined(**in_the_way(tmp_path, tensorflow=code))
    assert ended == 1
    assert found["tensorflow"]["status"] == "error"
    assert said in found["tensorflow"]["found"]
    assert found["tensorflow"]["advice"].startswith("pip install --force-reinstall 'tensorflow>=")
    # What is known of Keras, without importing it, and what comes after.
    assert found["keras"]["status"] == "ok"
    assert {"MNIST", "cache", "disk of this folder", "proxies", "Jupyter kernel"} <= found.keys()


def test_a_keras_that_does_not_import_is_told_from_tensorflow(tmp_path):
    ended, found = examined(**in_the_way(tmp_path, keras="raise ImportError('half installed')"))
    assert ended == 1
    assert found["keras"]["status"] == "error"
    assert "half installed" in found["keras"]["found"]


def older(folder: Path, name: str, version: str) -> dict[str, str]:
    """Put the description of an installed package into a folder that Python searches first."""
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def test_a_package_below_its_floor_is_an_error_with_its_command(tmp_path):
    code = "from mnistlib import doctor\nprint(*doctor._package('gradio'))"
    out, _ = start(code, **older(tmp_path, "gradio", "6.6.9")).communicate(timeout=60)
    assert "status='error', found='6.6.9, older than 6.7'" in out
    assert "pip install -U 'gradio>=6.7'" in out


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


def test_a_cache_that_cannot_be_written_is_named(nowhere):
    nowhere.cache.write_text("in the way")
    (check,) = checks(doctor._cache)
    assert check.status == "warning"
    assert "XDG_CACHE_HOME" in check.advice


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
    monkeypatch.setenv("https_proxy", "http://")
    assert checks(doctor._proxies)[0].status == "error"


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

    given = [doctor.Check("this", "ok", "fine"), doctor.Check("that", "error", "gone", "Get it.")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "examine", lambda: iter(given))
        ran = CliRunner().invoke(cli.main, ["doctor"])
        assert ran.output == "ok      this: fine\nerror   that: gone\n        → Get it.\n"
        assert ran.exit_code == 1
        given[1] = doctor.Check("that", "warning", "gone", "Get it.")
        assert CliRunner().invoke(cli.main, ["doctor"]).exit_code == 0
