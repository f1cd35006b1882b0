import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mnistlib import images


@given(st.integers(-30, 30), st.integers(-30, 30))
def test_shift_agrees_with_scipy(rows, columns):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 28, 28)).astype(np.uint8)
    expected = ndimage.shift(pictures, (0, rows, columns), order=0)
    assert np.array_equal(images.shift(pictures, rows=rows, columns=columns), expected)


def test_nothing_varies_within_ranges_of_zero(digits):
    same = images.vary(digits.x_train[:20], 0, degrees=0, zoom=0, pixels=0)
    assert np.array_equal(same, digits.x_train[:20])


def test_the_same_seed_varies_alike_and_another_otherwise(digits):
    first, again, other = (images.vary(digits.x_train[:20], seed).numpy() for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_image_of_a_batch_varies_differently(digits):
    batch = np.repeat(digits.x_train[:1], 5, axis=0)
    varied = images.vary(batch, 0).numpy()
    assert len(np.unique(varied.reshape(5, -1), axis=0)) == 5


def centre_of_mass(image):
    return np.array(ndimage.center_of_mass(image.astype(float)))


def blob():
    image = np.zeros((28, 28), np.uint8)
    image[10:18, 11:17] = 200
    return image


def test_moves_stay_within_their_range():
    start = centre_of_mass(blob())
    varied = images.vary(np.stack([blob()] * 200), 0, degrees=0, zoom=0, pixels=3).numpy()
    moves = np.array([centre_of_mass(image) - start for image in varied])
    assert np.abs(moves).max() <= 3.05
    assert np.abs(moves).max(axis=0) == pytest.approx([3, 3], abs=0.3)
    assert moves.mean(axis=0) == pytest.approx([0, 0], abs=0.4)


def test_rotation_turns_about_the_middle_within_its_range():
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 12:16] = 255
    varied = images.vary(np.stack([bar] * 100), 0, degrees=20, zoom=0, pixels=0).numpy()
    angles = []
    for image in varied:
        rows, columns = np.nonzero(image > 100)
        axis = np.linalg.eigh(np.cov(np.stack([columns, rows])))[1][:, 1]
        angles.append(np.degrees(np.arctan2(axis[0], axis[1])))
        assert centre_of_mass(image) == pytest.approx([13.5, 13.5], abs=0.3)
    angles = (np.array(angles) + 90) % 180 - 90
    assert 15 < np.abs(angles).max() < 23


def test_zoom_changes_the_area_within_its_range():
    varied = images.vary(np.stack([blob()] * 200), 0, degrees=0, zoom=0.2, pixels=0).numpy()
    areas = varied.sum(axis=(1, 2)) / blob().sum()
    assert 0.62 < areas.min() < 0.8
    assert 1.2 < areas.max() < 1.46
