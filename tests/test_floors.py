import importlib.metadata
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from mnistlib import floors

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(autouse=True)
def _afresh():
    floors.warn_once.cache_clear()
    yield
    floors.warn_once.cache_clear()


def test_floors_are_those_that_the_project_asks_for():
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["app"]]
    bounds = {one.name: str(one.specifier) for one in map(Requirement, asked)}
    for package, floor in floors.FLOORS.items():
        assert bounds[package] == f">={floor}"


@pytest.mark.parametrize("floor", floors.FLOORS.values())
@pytest.mark.parametrize(
    "version", ["3.9.0", "3.13", "3.13.1", "3.13.2", "3.13.2.post1", "3.15.1", "4", "6.6", "6.10"]
)
def test_versions_compare_as_packaging_compares_them(version, floor):
    assert floors.is_below(version, floor) == (Version(version) < Version(floor))


@pytest.mark.parametrize("package", floors.FLOORS)
def test_below_its_floor_a_package_is_warned_of_once(monkeypatch, package):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.13.1")
    with pytest.warns(UserWarning, match=f"{package} 3.13.1 has known security holes"):
        floors.warn_once(package)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        floors.warn_once(package)


def test_of_patched_and_missing_packages_nothing_is_said(monkeypatch):
    floors.warn_once("keras")
    floors.warn_once("gradio")
    floors.warn_once.cache_clear()

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    floors.warn_once("gradio")


def test_whoever_opens_a_model_with_an_older_keras_is_told(tmp_path):
    code = """
import importlib.metadata, sys, warnings
real = importlib.metadata.version
importlib.metadata.version = lambda name: "3.13.1" if name == "keras" else real(name)
from mnistlib import models
path = models.save(models.build("dense_32_16"), sys.argv[1])
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    models.load(path), models.load(path)
print([str(one.message) for one in said if "keras 3.13.1" in str(one.message)])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.keras"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert ran.stdout.count("keras 3.13.1 has known security holes") == 1
