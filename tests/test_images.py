import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mnistlib import images
from mnistlib._tensorflow import tf


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


@pytest.mark.parametrize(
    "place", [(0.0, 0.0), (3.25, 5.5), (-0.5, 27.5), (-9.0, 3.0), (27.0, 40.0)]
)
def test_pixels_between_pixels_are_scipys(digits, place):
    """Moved by a constant, so that the reading place of every pixel is known."""
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 256, (3, 28, 28)).astype(np.uint8)
    row, column = np.mgrid[:28, :28].astype(np.float32)
    x, y = (np.stack([grid + by] * 3) for grid, by in zip((column, row), place, strict=True))
    ours = images._bilinear(tf.constant(batch), tf.constant(x), tf.constant(y))
    for image, read in zip(batch, ours.numpy(), strict=True):
        padded = np.pad(image.astype(float), 1)
        where = np.clip([y[0] + 1, x[0] + 1], 0, 29)
        expected = ndimage.map_coordinates(padded, where, order=1)
        np.testing.assert_allclose(read, expected, atol=1e-3)


def test_bends_displace_by_the_given_size_smoothly(digits):
    """Read off a ramp, whose values say where each pixel comes from."""
    ramp = np.tile(np.arange(28, dtype=np.uint8) * 8, (500, 1)).reshape(500, 1, 28)
    ramp = np.repeat(ramp, 28, axis=1)
    bent = images.vary(ramp, 0, degrees=0, zoom=0, pixels=0, elastic=1.0).numpy() / 8.0
    displaced = (bent - ramp / 8.0)[:, 7:-7, 7:-7]
    assert displaced.std() == pytest.approx(0.8, abs=0.2)
    steps = np.diff(displaced, axis=1)
    assert np.abs(steps).mean() < 0.3
    assert not np.array_equal(bent[0], bent[1])
