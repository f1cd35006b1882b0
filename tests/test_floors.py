import importlib.metadata
import tomllib
import warnings
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from mnistlib import app, floors, models

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(autouse=True)
def _afresh():
    floors.warn_once.cache_clear()
    yield
    floors.warn_once.cache_clear()


def test_the_project_asks_for_nothing_below_the_floors():
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["app"]]
    bounds = {one.name: one.specifier for one in map(Requirement, asked)}
    for package, floor in floors.FLOORS.items():
        (lowest,) = bounds[package]
        assert lowest.operator == ">="
        assert Version(lowest.version) >= Version(floor)


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


def test_whoever_opens_a_model_with_an_older_keras_is_told(tmp_path, monkeypatch):
    path = models.save(models.build("dense_32_16"), tmp_path / "model.keras")
    real = importlib.metadata.version
    older = {"keras": "3.13.1", "gradio": "6.6.9"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: older.get(name) or real(name))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        models.load(path)
        models.load(path)
        app.load_gradio()
        app.load_gradio()
    said = [str(one.message) for one in said if "security holes" in str(one.message)]
    assert [one.split(" has")[0] for one in said] == ["keras 3.13.1", "gradio 6.6.9"]
