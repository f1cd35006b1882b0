"""What the README promises: lessons, commands, figures, and an example that runs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from benchmarks import report
from mnistlib import cli, data
from mnistlib.results import benchmarks

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MINUTES = {
    "½": ("about half a minute of", 0.5),
    "1": ("about a minute of", 1),
    "1½": ("about a minute and a half of", 1.5),
}


def prose(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem[:2])
def test_table_has_every_lesson_by_its_title_with_its_question_and_its_time(path):
    title = re.match(r"# (.+)", prose(path))[1]
    link = re.escape(f"[{path.name[:2]} {title}](notebooks/{path.name})")
    row = re.search(rf"^\| {link} \| (.+\?) \| (\S+) \|$", README, re.MULTILINE)
    assert row, title
    time = re.search(r"\*\*Time:\*\* (.+)", prose(path))[1]
    words, minutes = MINUTES[row[2]]
    assert words in time
    measured = report.seconds(benchmarks(), f"lesson {path.stem}")
    assert 0.6 < measured / (60 * minutes) < 1.3


def test_every_percentage_stands_in_a_lesson_or_in_the_benchmarks():
    found = re.findall(r"\d\d\.\d\d %", PROSE)
    assert found
    measured = report.table(benchmarks()) + "".join(path.read_text("utf-8") for path in LESSONS)
    for figure in found:
        assert figure.removesuffix(" %") in measured, figure


def test_every_command_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    made = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"run", "test", "install"} <= made <= targets
    called = set(re.findall(r"\.venv/bin/mnistlib ([a-z]+)", README))
    assert {"app", "predict"} <= called
    for name in called:
        assert CliRunner().invoke(cli.main, [name, "--help"]).exit_code == 0


def test_pictures_have_alternative_text():
    local = {target: text for text, target in re.findall(r"!\[([^]]*)\]\((\.github/.+?)\)", PROSE)}
    local |= re.findall(r'<img src="(.+?)" width="\d+" alt="(.+?)">', PROSE)
    assert set(local) == {
        f".github/{name}.png" for name in ("mistakes", "app", "stages", "webpage")
    }
    for target, text in local.items():
        assert len(text.split()) >= 10, target


def test_example_runs_and_prints_what_it_shows(sample, tmp_path, monkeypatch, capsys):
    example = re.search(r"```python\n(.*?)```\n+```\n(.*?)```", README, re.DOTALL)
    shown = re.compile(r"\d\d\.\d\d % \(95 % interval \d\d\.\d\d–\d\d\.\d\d %\)\n")
    assert shown.fullmatch(example[2])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda: sample)
    exec(compile(example[1], "README.md", "exec"), {})
    assert shown.fullmatch(capsys.readouterr().out)
    assert (tmp_path / "cnn.keras").exists()
