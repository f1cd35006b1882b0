"""Short questions and exercises of the lessons, answered at once: ``check("02-first-loss", "B")``.

Imports without TensorFlow. What is right, and what each wrong answer overlooks, stands in a file
for each lesson; nothing is kept and no server is asked. Every wrong answer is a misconception, and
is told what to look at again (the form of Crichton and Krishnamurthi 2024, "Profiling programming
language learning", OOPSLA, whose questions raised scores by a fifth).
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from numbers import Real
from typing import Any

LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Verdict:
    """What ``check`` says of an answer.

    Attributes:
        right: True or False; None where nothing was answered yet.
        text: What to think about next.
    """

    right: bool | None
    text: str

    def __str__(self) -> str:
        heading = {True: "Right. ", False: "Not yet. ", None: ""}[self.right]
        return heading + self.text

    __repr__ = __str__


def check(name: str, answer: str | float | None) -> Verdict:
    """Say at once whether an answer is right, and if not, what to look at again.

    Args:
        name: The question's or exercise's name, as it stands in the lesson.
        answer: A letter A–D for a question, a number for an exercise. ``""`` and None, as the cells
            have them at first, are no answer, and no mistake either.

    Returns:
        A verdict, which shows as one line.

    Raises:
        ValueError: There is no question of this name, or the answer is of another kind.
    """
    known = questions()
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}; received {name!r}")
    question = known[name]
    if answer is None or answer == "":
        if "right" in question:
            return Verdict(None, "A letter goes here, between the quotes. Then run the cell again.")
        return Verdict(None, "A number goes here, in place of None. Then run the cell again.")
    return _letter(question, answer) if "right" in question else _number(question, answer)


@functools.cache
def questions() -> Mapping[str, Mapping[str, Any]]:
    """Read all questions and exercises, by name.

    A question has ``right``, a letter, and a text for each of A–D. An exercise has ``at_least`` and
    ``at_most``, between which its number lies, texts for ``below``, ``between`` and ``above``, and
    perhaps ``mistakes``: numbers that lie there too and are got by a known mistake, each a
    ``value``, ``within`` how much of it, and a ``text``.
    """
    folder = resources.files("mnistlib") / "lessons"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")),
        key=lambda file: file.name,
    )
    found: dict[str, Mapping[str, Any]] = {}
    for file in files:
        found |= tomllib.loads(file.read_text(encoding="utf-8"))
    return found


def _letter(question: Mapping[str, Any], answer: object) -> Verdict:
    letter = answer.strip().upper() if isinstance(answer, str) else answer
    if letter not in LETTERS:
        raise ValueError(f"answer must be one of the letters A, B, C, D; received {answer!r}")
    return Verdict(letter == question["right"], question[letter])


def _number(question: Mapping[str, Any], answer: object) -> Verdict:
    if not isinstance(answer, Real) or isinstance(answer, bool):
        raise ValueError(f"answer must be a number; received {answer!r}")
    if answer < question["at_least"]:
        return Verdict(False, question["below"])
    if answer > question["at_most"]:
        return Verdict(False, question["above"])
    # A number may lie in the range by one of the known mistakes.
    for mistake in question.get("mistakes", []):
        if abs(answer - mistake["value"]) <= mistake.get("within", 0):
            return Verdict(False, mistake["text"])
    return Verdict(True, question["between"])
