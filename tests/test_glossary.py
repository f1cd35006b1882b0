"""The glossary has what the lessons explain, and each lesson leads to it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
GLOSSARY = (FOLDER / "glossary.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^### (.+)\n\n((?:.+\n)+)", GLOSSARY, re.MULTILINE))

# In italics for another reason: words under stress, titles of works, and letters of formulas.
STRESSED = """
about, after, after the remedy, all, and paper made black, between, by writer, change, choose,
digits, down, each, forward, gap, inverted where needed, italics, kind, label, larger, learns,
local, median, more, new, other people's digits, others, pictures, plain sevens by students,
practice files, report, risk, sparse, squeezed and inverted, test, thicken, token, two,
validation, verified, which, without
"""
STRESSED = {phrase.strip() for phrase in STRESSED.split(",")}
TITLES = {
    "Digit Recognizer",
    "MNIST Digit Classification",
    "Simple MNIST convnet",
    "Simple Neural Network for MNIST Digit Classification",
}


def prose(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def italics(text: str) -> set[str]:
    """Find what stands between single asterisks; a letter or a formula is no term."""
    found = re.findall(r"(?<![*\w])\*(?![*\s])([^*\n]+?)(?<![*\s])\*(?![*\w])", text)
    return {phrase for phrase in found if len(phrase) > 2 and not re.search(r"[−+=/·]", phrase)}


def names(term: str) -> set[str]:
    """The forms in which a term may stand in a lesson: plural, or without what kind it is."""
    term = term.casefold()
    return {term, f"{term}s", term.removesuffix("s"), re.sub(r" (function|layer|rule)$", "", term)}


# What an entry puts in italics is another name for it.
KNOWN = set().union(*map(names, ENTRIES), *(map(names, italics(" ".join(ENTRIES.values())))))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem[:2])
def test_every_term_of_a_lesson_is_in_the_glossary(path):
    missing = {
        phrase
        for phrase in italics(prose(path)) - TITLES
        if phrase.casefold() not in KNOWN | STRESSED
    }
    assert missing == set(), "neither in glossary.md nor in this test's list of other italics"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem[:2])
def test_every_lesson_links_to_the_glossary(path):
    assert "](glossary.md)" in prose(path)


@pytest.mark.parametrize("term", ENTRIES)
def test_every_entry_names_the_lesson_that_introduces_it(term):
    lessons = re.findall(r"\[Lesson (\d\d)\]\(([^)]+)\)", ENTRIES[term])
    assert len(lessons) == 1, ENTRIES[term]
    number, target = lessons[0]
    path = FOLDER / target
    assert path in LESSONS
    assert path.name.startswith(number)
    assert any(name in prose(path).casefold() for name in names(term))
    for earlier in LESSONS[: LESSONS.index(path)]:
        defined = {phrase.casefold() for phrase in italics(prose(earlier))}
        assert not names(term) & defined, f"{earlier.stem} explains it earlier"


def test_entries_are_sorted_and_cross_references_lead_somewhere():
    assert list(ENTRIES) == sorted(ENTRIES, key=str.casefold)
    assert len(ENTRIES) == GLOSSARY.count("\n### ")
    entries = set().union(*map(names, ENTRIES))
    for text in ENTRIES.values():
        for other in re.findall(r"See \*([^*]+)\*", text):
            assert other.casefold() in entries, other
