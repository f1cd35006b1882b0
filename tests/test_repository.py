import json
import subprocess
import sys
from pathlib import Path

import build_wheel
import pytest

from mnistlib import repository

ROOT = Path(__file__).parent.parent
SAID = """\
import json
from mnistlib import batch, repository, results
print(json.dumps({
    "package": repository.__file__,
    "folder": str(batch.FOLDER),
    "lessons": [job.name for job in batch.plan()],
    "bounds": sorted(results.find_bounds(batch.FOLDER)),
    "benchmarks": results.benchmarks() != {},
    "missing": str(repository.find("notebooks/09_not_there.ipynb")),
}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_wheel.build(tmp_path_factory.mktemp("wheel"))


def pip(folder, *arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", ["--prefix", "--target"])
def test_an_installed_wheel_has_the_whole_series(built, tmp_path, monkeypatch, way):
    pip(
        tmp_path,
        "install",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        way,
        tmp_path / "there",
        built,
    )
    (package,) = (tmp_path / "there").rglob("mnistlib/__init__.py")
    # What other packages leave beside it is not taken for ours.
    (package.parents[1] / "notebooks").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(package.parents[1]))
    done = subprocess.run(
        [sys.executable, "-c", SAID], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert Path(said["package"]).parent == package.parent
    lessons = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    assert said["lessons"] == said["bounds"] == lessons
    assert said["benchmarks"]
    assert Path(said["folder"]).is_relative_to(tmp_path / "there")


def test_in_a_clone_it_is_the_clones():
    assert repository.find("notebooks") == ROOT / "notebooks"
    assert repository.find("tests/bounds.toml").is_file()


def test_what_is_nowhere_is_looked_for_where_a_clone_would_have_it(monkeypatch, tmp_path):
    monkeypatch.setattr(repository, "_CLONE", tmp_path)
    assert repository.find("notebooks") == tmp_path / "notebooks"
