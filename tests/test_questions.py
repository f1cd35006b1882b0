from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mnistlib import questions
from mnistlib.questions import LETTERS, check

ROOT = Path(__file__).parent.parent
KNOWN = questions.questions()
LETTERED = [name for name, one in KNOWN.items() if "right" in one]
NUMBERED = [name for name in KNOWN if name not in LETTERED]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def calls(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return re.findall(r'\bcheck\("([^"]+)"', source)


@pytest.mark.parametrize("name", LETTERED)
def test_question_accepts_one_answer_and_tells_each_wrong_one_why(name):
    right = KNOWN[name]["right"]
    verdicts = {letter: check(name, letter) for letter in LETTERS}
    assert [letter for letter, verdict in verdicts.items() if verdict.right] == [right]
    texts = {verdict.text for verdict in verdicts.values()}
    assert len(texts) == 4
    for letter in set(LETTERS) - {right}:
        assert verdicts[letter].right is False
        # What to look at again, without giving the answer away.
        assert len(verdicts[letter].text) > 40
        assert not re.search(rf"\b(answer|right)\b.*\b{right}\b", verdicts[letter].text)
    assert check(name, f" {right.lower()} ").right


@pytest.mark.parametrize("name", NUMBERED)
def test_exercise_accepts_its_range_and_no_more(name):
    low, high = KNOWN[name]["at_least"], KNOWN[name]["at_most"]
    assert low < high
    assert check(name, low).right
    assert check(name, high).right
    below, above = (
        check(name, low - abs(low) / 10 - 1e-9),
        check(name, high + abs(high) / 10 + 1e-9),
    )
    assert (below.right, above.right) == (False, False)
    assert len({below.text, above.text, check(name, low).text}) == 3
    for mistake in KNOWN[name].get("mistakes", []):
        assert check(name, mistake["value"]) == questions.Verdict(False, mistake["text"])


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("nothing", ["", None])
def test_no_answer_is_no_mistake(name, nothing):
    verdict = check(name, nothing)
    assert verdict.right is None
    assert "goes here" in str(verdict)
    assert not re.match(r"(Right|Not yet)", str(verdict))


def test_verdict_shows_as_one_line():
    assert str(check("02-first-loss", "B")).startswith("Right. Pixels")
    assert repr(check("02-first-loss", "A")).startswith("Not yet. No step")


@pytest.mark.parametrize("answer", ["E", "AB", 3, "yes", True])
def test_answer_that_is_no_letter_is_refused(answer):
    with pytest.raises(ValueError, match=r"letters A, B, C, D; received"):
        check("02-first-loss", answer)


@pytest.mark.parametrize("answer", ["A", True, [3], float])
def test_answer_that_is_no_number_is_refused(answer):
    with pytest.raises(ValueError, match="answer must be a number; received"):
        check("02-width", answer)


def test_unknown_question_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of .*received '02-none'"):
        check("02-none", "A")


def test_imports_without_tensorflow():
    code = (
        "import sys, mnistlib.questions as q; q.check('02-width', 3); print('keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_question_stands_in_its_lesson_and_no_lesson_asks_another():
    asked = {path.stem[:2]: calls(path) for path in NOTEBOOKS}
    for number, names in asked.items():
        assert len(set(names)) == len(names)
        own = {name for name in KNOWN if name.startswith(f"{number}-")}
        assert set(names) == own


def test_solutions_answer_their_exercises():
    for path in NOTEBOOKS:
        solution = path.parent / "solutions" / path.name
        exercises = {name for name in NUMBERED if name.startswith(path.stem[:2])}
        assert exercises <= set(calls(solution))
        outputs = solution.read_text(encoding="utf-8")
        assert "Not yet. " not in outputs
