from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mnistlib import drawing, evaluation, folders
from mnistlib.evaluation import Reading
from mnistlib.recognizer import Answer


def answer(digit: int, probability: float = 0.99) -> Answer:
    rest = (digit + 1) % 10
    return Answer(digit, probability >= 0.9, ((digit, probability), (rest, 1 - probability)))


@pytest.fixture
def readings(tmp_path) -> list[Reading]:
    """Four of one kind each: right, right but unsure, wrong, two digits; and one not a picture."""
    paths = [tmp_path / f"{name}.png" for name in ("a", "b", "c", "d", "e")]
    for number, path in enumerate(paths[:4]):
        Image.fromarray(drawing.strokes(7, number)).save(path)
    paths[4].write_text("no picture")
    a, b, c, d, e = paths
    return [
        Reading(a, 7, (answer(7),)),
        Reading(b, 7, (answer(7, 0.6),)),
        Reading(c, 7, (answer(1, 0.6),)),
        Reading(d, 7, (answer(7), answer(1))),
        Reading(e, 7, (), "e.png is no picture"),
    ]


def test_a_reading_is_right_where_it_is_the_one_digit_on_the_label(readings):
    assert [one.right for one in readings] == [True, True, False, False, False]
    assert [one.sure for one in readings] == [True, False, False, True, False]
    assert [one.said for one in readings] == ["7", "7?", "1?", "7 1", "no digit"]


def test_description_counts_by_hand(readings):
    first, second, confused, *wrong = evaluation.describe(readings).splitlines()
    assert first.startswith("Accuracy 40.00 % (95 % interval ")
    assert first.endswith("of 5 pictures")
    assert second == "Sure of 40.00 %; wrong though sure 20.00 %"
    assert confused == "7 read as 1: 1 time"
    # What misleads comes first.
    assert [line.split(": is 7, read as ")[0][-5:] for line in wrong] == ["d.png", "c.png", "e.png"]
    assert wrong[2].endswith("read as nothing (e.png is no picture)")


def test_nothing_read_is_refused():
    with pytest.raises(ValueError, match="at least one; received none"):
        evaluation.describe([])


def test_mistakes_are_drawn_with_label_and_answer(readings, tmp_path):
    path = tmp_path / "mistakes.png"
    assert evaluation.draw_mistakes(readings, path) == path
    with Image.open(path) as image:
        assert np.asarray(image.convert("L")).std() > 20


def test_no_mistakes_draw_nothing(readings, tmp_path):
    assert evaluation.draw_mistakes(readings[:2], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


def test_pictures_are_read_as_predict_reads_them(reader, tmp_path):
    labelled = []
    for digit in (7, 2, 0):
        path = tmp_path / f"{digit}.png"
        Image.fromarray(drawing.sheet([digit], 3)).save(path)
        labelled.append(folders.Labelled(path, digit))
    sheet = tmp_path / "several.png"
    Image.fromarray(drawing.sheet([7, 2, 0], 3)).save(sheet)
    blank = tmp_path / "blank.png"
    Image.new("L", (200, 200), 255).save(blank)
    labelled += [folders.Labelled(sheet, 7), folders.Labelled(blank, 7)]
    labelled += [folders.Labelled(tmp_path / "gone.png", 7)]
    found = evaluation.evaluate(reader, labelled)
    assert [one.right for one in found] == [True, True, True, False, False, False]
    assert [one.digit for one in found[3].answers] == [7, 2, 0]
    assert "blank" in found[4].error
    assert "gone.png" in found[5].error
