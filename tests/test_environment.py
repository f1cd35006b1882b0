import itertools
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CONSTRAINTS = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()

# conda-forge splits these: the base package is what the package index has, without extra software.
CONDA_NAMES = {"matplotlib-base": "matplotlib", "seaborn-base": "seaborn"}

# What `make install` installs: everything but the benchmarks' peers and MLflow.
INSTALLED = [extra for name, extra in EXTRAS.items() if name not in ("bench", "mlflow")]
ALL = [*PROJECT["dependencies"], *itertools.chain(*INSTALLED)]


def bounds(requirements):
    parsed = map(Requirement, requirements)
    return {canonicalize_name(each.name): str(each.specifier) for each in parsed}


def pins():
    return [Requirement(line) for line in CONSTRAINTS if not line.startswith("#")]


def test_conda_environment_says_the_same_as_pyproject():
    listed = bounds(each for each in CONDA["dependencies"] if isinstance(each, str))
    conda = {CONDA_NAMES.get(name, name): bound for name, bound in listed.items()}
    assert conda.pop("pip") == ""
    assert conda.pop("python") == PROJECT["requires-python"]
    assert conda == bounds(PROJECT["dependencies"] + EXTRAS["notebooks"])


def test_conda_environment_installs_the_package_itself_through_pip():
    (pip,) = (each["pip"] for each in CONDA["dependencies"] if isinstance(each, dict))
    assert pip == ["-e .[sample,app,tune,site,test]"]
    assert {"sample", "app", "tune", "site", "test"} <= EXTRAS.keys()


def test_constraints_pin_every_line_exactly():
    for pin in pins():
        assert re.fullmatch(r"==[\w.+!]+", str(pin.specifier)), str(pin)
        assert pin.url is None


def test_constraints_say_how_they_are_made():
    assert CONSTRAINTS[0].startswith("#")
    assert "make constraints" in CONSTRAINTS[0]


def test_constraints_name_no_host_and_not_the_package():
    for line in CONSTRAINTS:
        assert "://" not in line
        assert not line.startswith("-")
    assert PROJECT["name"] not in bounds(CONSTRAINTS[1:])


@pytest.mark.parametrize("requirement", map(Requirement, ALL), ids=str)
def test_constraints_satisfy_every_bound(requirement):
    name = canonicalize_name(requirement.name)
    found = [pin for pin in pins() if canonicalize_name(pin.name) == name]
    assert found, f"{name} is not pinned: run make constraints"
    for pin in found:
        (exact,) = pin.specifier
        assert requirement.specifier.contains(exact.version)


def test_wheel_gets_every_folder_of_the_package_and_what_is_no_code():
    """setuptools guesses at folders that are not listed, and announces that it will stop."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = listed["tool"]["setuptools"]
    files = [path for path in (ROOT / "mnistlib").rglob("*") if path.is_file()]
    files = [path.relative_to(ROOT) for path in files if path.suffix not in (".py", ".pyc")]
    assert {path.parent.name for path in files} == {"mnistlib", "lessons"}
    for path in files:
        package = ".".join(path.parent.parts)
        assert package in listed["packages"]
        assert any(path.match(pattern) for pattern in listed["package-data"][package]), path


def test_citation_says_the_same_as_pyproject_and_the_licence():
    # As a text: YAML would read a version 1.0 as a number.
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    (author,) = CITATION["authors"]
    assert author["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_citation_has_what_its_format_asks_for():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert CITATION["title"] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert CITATION["message"]


@pytest.mark.parametrize(
    ("goals", "commands"),
    [
        (["run"], ["mnistlib run"]),
        (["run", "02", "03_deeper_dense_variants"], ["mnistlib run 02 03_deeper_dense_variants"]),
        (["run", "02", "ARGS=--quick"], ["mnistlib run 02 --quick"]),
        (["run", "slides"], ["mnistlib run", "python .ci/slides.py"]),
    ],
)
def test_words_behind_make_run_are_notebooks_unless_they_are_goals(goals, commands):
    make = ["make", "--dry-run", "--no-print-directory", *goals]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [
        line for line in done.stdout.splitlines() if re.match(r"\.venv/bin/(?!python -m)", line)
    ]
    assert [" ".join(line.removeprefix(".venv/bin/").split()) for line in lines] == commands
    assert done.stderr == ""
