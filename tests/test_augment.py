import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mnistlib import augment
from mnistlib._tensorflow import tf


@given(st.integers(-30, 30), st.integers(-30, 30))
def test_shift_agrees_with_scipy(rows, columns):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 28, 28)).astype(np.uint8)
    expected = ndimage.shift(pictures, (0, rows, columns), order=0)
    assert np.array_equal(augment.shift(pictures, rows=rows, columns=columns), expected)


def test_nothing_is_distorted_within_ranges_of_zero(digits):
    same = augment.distort(digits.x_train[:20], 0, degrees=0, zoom=0, pixels=0)
    assert np.array_equal(same, digits.x_train[:20])


def lean(image):
    """Columns that the middle of the ink moves to the right from one row to the next."""
    weights = image.sum(axis=1).astype(float)
    rows = np.flatnonzero(weights)
    middles = image[rows] @ np.arange(28) / weights[rows]
    return np.polyfit(rows, middles, 1, w=np.sqrt(weights[rows]))[0]


def test_deslanted_digits_stand_upright_in_the_middle(digits):
    leaning = digits.x_train[:200]
    upright = augment.deslant(leaning)
    assert upright.shape == leaning.shape
    assert upright.dtype == np.uint8
    assert np.std([lean(image) for image in leaning]) > 0.2
    straightened = [abs(lean(image)) for image in leaning] < np.float64(0.6)
    assert straightened.mean() > 0.9
    # Steeper ones are straightened as far as the bound goes.
    assert max(abs(lean(image)) for image in upright[straightened]) < 0.03
    centres = [ndimage.center_of_mass(image.astype(float)) for image in upright]
    np.testing.assert_allclose(centres, 13.5, atol=0.1)


def test_deslanting_undoes_a_shear_made_by_scipy():
    upright = ndimage.gaussian_filter(np.pad(np.full((14, 4), 255.0), ((7, 7), (12, 12))), 1)
    # Each row is read 0.4 columns further left than the one above it.
    matrix, middle = np.array([[1, 0], [-0.4, 1]]), np.full(2, 13.5)
    leaning = ndimage.affine_transform(upright, matrix, middle - matrix @ middle, order=1)
    assert lean(leaning) == pytest.approx(0.4, abs=0.02)
    result = augment.deslant(leaning.round().astype(np.uint8)[None])[0]
    assert np.abs(result - upright).mean() < 0.05 * np.abs(leaning - upright).mean() + 1


def test_many_digits_are_deslanted_as_each_alone(digits):
    many = digits.x_train[:600]
    together = augment.deslant(many).astype(int)
    for place in (0, 249, 250, 251, 599):
        assert abs(together[place] - augment.deslant(many[place : place + 1])[0]).max() <= 1
    assert augment.deslant(many[:0]).shape == (0, 28, 28)


def test_blank_image_stays_blank_when_it_is_deslanted():
    blank = np.zeros((2, 28, 28), np.uint8)
    np.testing.assert_array_equal(augment.deslant(blank), blank)


def test_a_share_of_the_distorted_digits_is_deslanted(digits):
    leaning = digits.x_train[:400]
    upright = augment.deslant(leaning)
    still = {"degrees": 0, "zoom": 0, "pixels": 0}
    assert np.array_equal(augment.distort(leaning, 0, **still, deslanted=1.0), upright)
    mixed = augment.distort(leaning, 0, **still, deslanted=0.25).numpy()
    is_upright, as_written = ((mixed == kind).all(axis=(1, 2)) for kind in (upright, leaning))
    assert (is_upright | as_written).all()
    assert 60 < is_upright.sum() < 140


def test_the_same_seed_distorts_alike_and_another_otherwise(digits):
    first, again, other = (augment.distort(digits.x_train[:20], seed).numpy() for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_image_of_a_batch_is_distorted_differently(digits):
    batch = np.repeat(digits.x_train[:1], 5, axis=0)
    distorted = augment.distort(batch, 0).numpy()
    assert len(np.unique(distorted.reshape(5, -1), axis=0)) == 5


def centre_of_mass(image):
    return np.array(ndimage.center_of_mass(image.astype(float)))


def blob():
    image = np.zeros((28, 28), np.uint8)
    image[10:18, 11:17] = 200
    return image


def test_moves_stay_within_their_range():
    start = centre_of_mass(blob())
    distorted = augment.distort(np.stack([blob()] * 200), 0, degrees=0, zoom=0, pixels=3).numpy()
    moves = np.array([centre_of_mass(image) - start for image in distorted])
    assert np.abs(moves).max() <= 3.05
    assert np.abs(moves).max(axis=0) == pytest.approx([3, 3], abs=0.3)
    assert moves.mean(axis=0) == pytest.approx([0, 0], abs=0.4)


def test_rotation_turns_about_the_middle_within_its_range():
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 12:16] = 255
    distorted = augment.distort(np.stack([bar] * 100), 0, degrees=20, zoom=0, pixels=0).numpy()
    angles = []
    for image in distorted:
        rows, columns = np.nonzero(image > 100)
        axis = np.linalg.eigh(np.cov(np.stack([columns, rows])))[1][:, 1]
        angles.append(np.degrees(np.arctan2(axis[0], axis[1])))
        assert centre_of_mass(image) == pytest.approx([13.5, 13.5], abs=0.3)
    angles = (np.array(angles) + 90) % 180 - 90
    assert 15 < np.abs(angles).max() < 23


def test_zoom_changes_the_area_within_its_range():
    distorted = augment.distort(np.stack([blob()] * 200), 0, degrees=0, zoom=0.2, pixels=0).numpy()
    areas = distorted.sum(axis=(1, 2)) / blob().sum()
    assert 0.62 < areas.min() < 0.8
    assert 1.2 < areas.max() < 1.46


@pytest.mark.parametrize(
    "place", [(0.0, 0.0), (3.25, 5.5), (-0.5, 27.5), (-9.0, 3.0), (27.0, 40.0)]
)
def test_pixels_between_pixels_are_scipys(place):
    """Moved by a constant, so that the reading place of every pixel is known."""
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 256, (3, 28, 28)).astype(np.uint8)
    row, column = np.mgrid[:28, :28].astype(np.float32)
    x, y = (np.stack([grid + by] * 3) for grid, by in zip((column, row), place, strict=True))
    ours = augment._bilinear(tf.constant(batch), tf.constant(x), tf.constant(y))
    for image, read in zip(batch, ours.numpy(), strict=True):
        padded = np.pad(image.astype(float), 1)
        where = np.clip([y[0] + 1, x[0] + 1], 0, 29)
        expected = ndimage.map_coordinates(padded, where, order=1)
        np.testing.assert_allclose(read, expected, atol=1e-3)


def test_bends_displace_by_the_given_size_smoothly():
    """Read off a ramp, whose values say where each pixel comes from."""
    ramp = np.tile(np.arange(28, dtype=np.uint8) * 8, (500, 1)).reshape(500, 1, 28)
    ramp = np.repeat(ramp, 28, axis=1)
    bent = augment.distort(ramp, 0, degrees=0, zoom=0, pixels=0, elastic=1.0).numpy() / 8.0
    displaced = (bent - ramp / 8.0)[:, 7:-7, 7:-7]
    assert displaced.std() == pytest.approx(0.8, abs=0.2)
    steps = np.diff(displaced, axis=1)
    assert np.abs(steps).mean() < 0.3
    assert not np.array_equal(bent[0], bent[1])


@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize("count", [1, 128, 129, 8_200])
def test_what_fills_up_a_call_changes_no_image(digits, count, elastic):
    draw = np.random.default_rng(0)
    images = np.resize(digits.x_train, (count, 28, 28))
    # Near the identity: x = 1·column + 0·row + 0, y = 0·column + 1·row + 0.
    affine = [
        draw.normal(middle, 0.1, (count, 1, 1)).astype(np.float32) for middle in (1, 0, 0, 0, 1, 0)
    ]
    bend = draw.standard_normal((2, count, 5, 5), np.float32) if elastic else None
    expected = augment._compiled_warp()(images, affine, bend)
    np.testing.assert_array_equal(augment._warped(tf.constant(images), affine, bend), expected)


def test_other_numbers_of_images_are_not_compiled_anew(digits):
    compiled = augment._compiled_warp()
    augment.distort(digits.x_train[:500], 0)
    before = compiled.experimental_get_tracing_count()
    for count in (130, 300, 512):
        assert augment.distort(digits.x_train[:count], 0).shape == (count, 28, 28)
    assert compiled.experimental_get_tracing_count() == before
    assert augment.distort(digits.x_train[:0], 0).shape == (0, 28, 28)
