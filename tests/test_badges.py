import json
import re
import shutil
import subprocess
import sys
import types

import badges
import pytest
import yaml


@pytest.fixture
def clone(tmp_path):
    """A small repository: pyproject.toml, a README and one notebook with badge and set-up cell."""
    shutil.copy(badges.ROOT / "pyproject.toml", tmp_path)
    address = badges.repository()
    badge = f"https://colab.research.google.com/github/{address}/blob/main/notebooks/01_a.ipynb"
    readme = f"git clone https://github.com/{address}\n\n[Colab]({badge})\n"
    (tmp_path / "README.md").write_text(readme)
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Read – é\n", f"[Colab]({badge})"]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "outputs": [],
            "source": badges.setup_cell().splitlines(keepends=True),
        },
    ]
    kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernelspec, "language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_a.ipynb").write_text(
        json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return tmp_path


def everything(clone):
    return "".join(path.read_text(encoding="utf-8") for path in clone.rglob("*") if path.is_file())


def test_this_repository_follows_its_pyproject():
    assert badges.stale() == []


def test_an_address_is_written_everywhere_and_nothing_else_changes(clone):
    old, before = badges.repository(), everything(clone)
    changed = badges.set_repository("someone/digits", clone)
    assert {path.name for path in changed} == {"pyproject.toml", "README.md", "01_a.ipynb"}
    # But for the line of the set-up cell that says where to install from.
    where = r".*(raise ImportError|git\+https).*"
    assert re.sub(where, "", everything(clone)) == re.sub(
        where, "", before.replace(old, "someone/digits")
    )
    assert badges.repository(clone) == "someone/digits"


def test_badges_and_the_citation_name_an_address_only_if_there_is_one(clone):
    for name in ("README.md", "CITATION.cff"):
        shutil.copy(badges.ROOT / name, clone)
    if badges.repository().startswith("-"):
        for name in ("README.md", "CITATION.cff"):
            assert badges.repository() not in (clone / name).read_text("utf-8")
    badges.set_repository("someone/digits", clone)
    readme = (clone / "README.md").read_text("utf-8")
    colab = "https://colab.research.google.com/github/someone/digits/blob/main/notebooks/01_a.ipynb"
    assert f"Open in Colab: [01]({colab})\n<!-- /address -->" in readme
    assert "https://github.com/someone/digits/actions/workflows/ci.yml/badge.svg" in readme
    assert "[Read it as a site](https://someone.github.io/digits/)" in readme
    cited = yaml.safe_load((clone / "CITATION.cff").read_text("utf-8"))
    assert cited["repository-code"] == "https://github.com/someone/digits"
    badges.set_repository("other/digits", clone)
    assert "someone" not in everything(clone)
    assert badges.stale(clone) == []


def test_writing_it_twice_changes_nothing_more(clone):
    badges.set_repository("someone/digits", clone)
    assert badges.set_repository("someone/digits", clone) == []


def test_a_badge_or_set_up_cell_that_strays_is_noticed_and_mended(clone):
    path = clone / "notebooks" / "01_a.ipynb"
    good = path.read_text(encoding="utf-8")
    assert badges.stale(clone) == []
    owner = badges.repository().split("/")[0]
    for right, wrong in [(f"/github/{owner}/", "/github/stranger/"), ("--quiet", "--upgrade")]:
        path.write_text(good.replace(right, wrong), encoding="utf-8")
        assert badges.stale(clone) == [path]
        badges.set_repository("someone/digits", clone)
        assert badges.stale(clone) == []


@pytest.mark.parametrize(
    "name",
    ["", "digits", "https://github.com/a/b", "-owner-/digits", "a/b/c", "a b/c", "a/", "a--b/c"],
)
def test_what_is_no_repository_is_refused(clone, name):
    before = everything(clone)
    with pytest.raises(ValueError, match=r"REPO must be owner/name.*; received") as caught:
        badges.set_repository(name, clone)
    assert repr(name) in str(caught.value)
    assert everything(clone) == before


def test_ruff_accepts_the_set_up_cell_whatever_the_length_of_the_address(clone):
    badges.set_repository(f"{'o' * 39}/{'n' * 60}", clone)
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "notebooks"],
            cwd=clone,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_the_set_up_cell_passes_where_the_package_is(tmp_path):
    assert run_setup(tmp_path).returncode == 0


def test_in_colab_it_installs_an_uploaded_wheel_else_from_the_address_else_says_so(
    clone, tmp_path, monkeypatch
):
    """Seen by a real IPython, whose %pip is one of ours, in a folder with and without a wheel."""
    from IPython.core.interactiveshell import InteractiveShell

    shell, asked = InteractiveShell(), []
    shell.register_magic_function(asked.append, "line", "pip")
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    empty, full = tmp_path / "empty", tmp_path / "full ä"
    for folder in (empty, full):
        folder.mkdir()
    wheel = full / "mnist_notebooks-0.1.0-py3-none-any.whl"
    wheel.touch()

    def run(folder, cell):
        monkeypatch.chdir(folder)
        asked.clear()
        error = shell.run_cell(cell).error_in_exec
        return error or asked

    homeless = badges.setup_cell(clone)
    assert "upload its wheel (`make wheel`)" in str(run(empty, homeless))
    badges.set_repository("someone/digits", clone)
    cell = badges.setup_cell(clone, stem="08_tune_and_scale")
    package = 'install --quiet "mnist-notebooks[tune] @ '
    assert run(empty, cell) == [f'{package}git+https://github.com/someone/digits@v0.1.0"']
    assert run(full, cell) == [f'{package}{wheel.as_uri()}"']
    assert run(full, homeless) == [f'install --quiet "mnist-notebooks @ {wheel.as_uri()}"']


@pytest.mark.parametrize("package", ["", "raise ImportError('missing')"])
def test_the_set_up_cell_says_what_to_do_about_another_package(tmp_path, package):
    (tmp_path / "mnistlib.py").write_text(package)
    done = run_setup(tmp_path)
    assert done.returncode == 1
    # The traceback shows the line that failed, and on it the way out.
    assert "Another project's mnistlib: pip uninstall mnistlib" in done.stderr


def test_a_lesson_that_needs_more_than_colab_has_installs_it_there():
    plain, tuned = (badges.setup_cell(stem=stem) for stem in ("01_a", "08_tune_and_scale"))
    assert plain == badges.setup_cell()
    assert tuned == plain.replace('"mnist-notebooks @', '"mnist-notebooks[tune] @')
    assert tuned != plain


def run_setup(folder):
    """Run the set-up cell as a script outside Colab, where the %pip line stays untouched."""
    script = folder / "cell.py"
    script.write_text(badges.setup_cell().replace("%pip", "print() #"))
    return subprocess.run([sys.executable, script], capture_output=True, text=True)
