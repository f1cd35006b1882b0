import numpy as np
import pytest

from mnistlib import drawing


@pytest.mark.parametrize("sign", [*range(10), *drawing.LETTERS])
def test_the_same_seed_draws_the_same_and_another_a_different_picture(sign):
    first, again, other = (drawing.strokes(sign, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    height, width, channels = first.shape
    assert 120 <= height <= 500
    assert 120 <= width <= 500
    assert channels == 3


@pytest.mark.parametrize("sign", [10, -1, "x", "O", ""])
def test_a_sign_that_nobody_can_write_is_refused(sign):
    with pytest.raises(ValueError, match="sign must be a digit or one of"):
        drawing.strokes(sign, 0)


def test_photographs_differ_by_seed_and_vary_in_size(digits):
    first, again, other = (drawing.photograph(digits.x_test[0], seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.dtype == np.uint8
    assert first.shape != other.shape


def test_photographs_of_different_digits_on_the_same_paper_differ_in_the_ink_alone(digits):
    blank, inked = (
        drawing.photograph(digit, 3) for digit in (0 * digits.x_test[0], digits.x_test[0])
    )
    assert blank.shape == inked.shape
    darker = blank.astype(int).sum(axis=2) - inked.astype(int).sum(axis=2) > 150
    # A digit's strokes cover some of the sheet, never most of it.
    assert 0.005 < darker.mean() < 0.4


def test_scribbles_differ_by_seed():
    assert not np.array_equal(drawing.scribble(0), drawing.scribble(1))


def test_a_sheet_holds_its_signs_side_by_side():
    page = drawing.sheet([3, 1, 4], 0)
    assert page.dtype == np.uint8
    inked = (page < 128).any(axis=0)
    # Between the digits are columns of bare paper: ink begins three times, at least.
    assert np.count_nonzero(np.diff(inked.astype(int)) == 1) >= 3


def test_trials_are_three_kinds_each_with_its_labels(digits):
    found = drawing.trials(digits.x_test[:5], digits.y_test[:5])
    assert list(found) == ["other people's digits", "rendered photographs", "drawings"]
    assert [len(labels) for _, labels in found.values()] == [599, 5, 200]
    for pictures, labels in found.values():
        assert len(pictures) == len(labels)
        assert set(labels) <= set(range(10))
    photographs, labels = found["rendered photographs"]
    assert np.array_equal(photographs[2], drawing.photograph(digits.x_test[2], seed=2))
    assert np.array_equal(labels, digits.y_test[:5])
