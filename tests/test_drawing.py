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


def test_a_scribble_through_two_points_is_straight():
    rows, columns = np.nonzero(drawing.scribble(3, points=2)[:, :, 0] < 128)
    centred = np.column_stack([rows - rows.mean(), columns - columns.mean()])
    long, short = np.linalg.svd(centred / np.sqrt(len(rows)), compute_uv=False)
    # A pen of at most 17 pixels: some 5 pixels either way from the line, in the mean square.
    assert short < 6 < long


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


def test_traced_strokes_are_where_the_pen_went():
    """A cross of two long strokes, and a dot in its upper right corner."""
    paths = [np.array([[0, 50], [100, 50]]), np.array([[50, 0], [50, 100]]), np.array([[95, 5]])]
    for seed in range(20):
        picture = drawing.trace(paths, seed).astype(int)
        colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
        paper = colours[counts.argmax()]
        inked = np.abs(picture - paper).sum(axis=2) > 100
        rows, columns = (np.flatnonzero(inked.any(axis=axis)) for axis in (1, 0))
        cross = inked[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = cross.shape
        assert cross[height // 2].mean() > 0.95
        assert cross[:, width // 2].mean() > 0.95
        assert cross[: height // 4, 3 * width // 4 :].any()
        for corner in (cross[: height // 4, : width // 4], cross[3 * height // 4 :, : width // 4]):
            assert not corner.any()


def test_traced_strokes_vary_in_pen_size_and_colours_but_not_in_their_proportions():
    paths = [np.array([[0, 0], [100, 0], [100, 200], [0, 200]])]
    pictures = [drawing.trace(paths, seed) for seed in range(30)]
    assert np.array_equal(pictures[0], drawing.trace(paths, 0))
    assert all(120 <= side <= 430 for picture in pictures for side in picture.shape[:2])
    assert all(picture.shape[2] == 3 for picture in pictures)
    shares, lighter = [], []
    for picture in pictures:
        grey = picture.astype(int).sum(axis=2)
        values, counts = np.unique(grey, return_counts=True)
        paper = values[counts.argmax()]
        inked = np.abs(grey - paper) > 100
        rows, columns = (np.ptp(np.flatnonzero(inked.any(axis=axis))) for axis in (1, 0))
        assert 0.45 < columns / rows < 0.62
        shares.append(inked.sum() / rows**2)
        lighter.append(grey[inked].mean() > paper)
    assert max(shares) > 2 * min(shares)
    assert 0 < sum(lighter) < len(lighter)


@pytest.mark.parametrize("paths", [[], [np.zeros((0, 2))]])
def test_strokes_without_a_point_are_refused(paths):
    with pytest.raises(ValueError, match="paths must hold at least one point"):
        drawing.trace(paths, 0)
