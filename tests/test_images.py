import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from mnistlib import drawing, images
from mnistlib._tensorflow import tf


@given(st.integers(-30, 30), st.integers(-30, 30))
def test_shift_agrees_with_scipy(rows, columns):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 28, 28)).astype(np.uint8)
    expected = ndimage.shift(pictures, (0, rows, columns), order=0)
    assert np.array_equal(images.shift(pictures, rows=rows, columns=columns), expected)


def test_nothing_varies_within_ranges_of_zero(digits):
    same = images.vary(digits.x_train[:20], 0, degrees=0, zoom=0, pixels=0)
    assert np.array_equal(same, digits.x_train[:20])


def lean(image):
    """Columns that the middle of the ink moves to the right from one row to the next."""
    weights = image.sum(axis=1).astype(float)
    rows = np.flatnonzero(weights)
    middles = image[rows] @ np.arange(28) / weights[rows]
    return np.polyfit(rows, middles, 1, w=np.sqrt(weights[rows]))[0]


def test_deslanted_digits_stand_upright_in_the_middle(digits):
    leaning = digits.x_train[:200]
    upright = images.deslant(leaning)
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
    result = images.deslant(leaning.round().astype(np.uint8)[None])[0]
    assert np.abs(result - upright).mean() < 0.05 * np.abs(leaning - upright).mean() + 1


def test_blank_image_stays_blank_when_it_is_deslanted():
    blank = np.zeros((2, 28, 28), np.uint8)
    np.testing.assert_array_equal(images.deslant(blank), blank)


def test_a_share_of_the_varied_digits_is_deslanted(digits):
    leaning = digits.x_train[:400]
    upright = images.deslant(leaning)
    still = {"degrees": 0, "zoom": 0, "pixels": 0}
    assert np.array_equal(images.vary(leaning, 0, **still, deslanted=1.0), upright)
    mixed = images.vary(leaning, 0, **still, deslanted=0.25).numpy()
    is_upright, as_written = (
        (mixed == kind).all(axis=(1, 2)) for kind in (upright, leaning)
    )  # fmt: skip
    assert (is_upright | as_written).all()
    assert 60 < is_upright.sum() < 140


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


def apart(one, other):
    """Mean difference of two images, in grey levels of 255."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


signs = st.tuples(st.integers(0, 9), st.integers(0, 10_000))


def test_digits_of_mnist_come_out_much_as_they_went_in(digits):
    made = np.array([images.to_mnist(digit) for digit in digits.x_test[:100]])
    likeness = [np.corrcoef(a.ravel(), b.ravel())[0, 1]
                for a, b in zip(made, digits.x_test, strict=False)]  # fmt: skip
    assert np.median(likeness) > 0.96
    assert made.mean() == pytest.approx(digits.x_test[:100].mean(), rel=0.08)


@given(signs)
def test_scaled_into_the_box_with_the_centre_of_mass_in_the_middle(sign):
    image = images.to_mnist(drawing.strokes(*sign))
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    rows, columns = (np.flatnonzero(image.max(axis=axis) > 127) for axis in (1, 0))
    longest = 1 + max(np.ptp(rows), np.ptp(columns))
    assert 17 <= longest <= 21
    # Pixel 14, counted from 0, is where MNIST's own digits have it.
    assert centre_of_mass(image) == pytest.approx([14, 14], abs=0.35)


def test_the_digits_of_mnist_have_their_centre_of_mass_at_pixel_14(digits):
    centres = [centre_of_mass(image) for image in digits.x_train[:500]]
    assert np.mean(centres, axis=0) == pytest.approx([14, 14], abs=0.06)


def test_proportions_are_kept():
    page = np.full((300, 200), 255, np.uint8)
    page[50:250, 80:105] = 0  # a bar of 200 × 25 pixels: 20 × 2.5 in the box
    image = images.to_mnist(page)
    assert (image[13] / 255).sum() == pytest.approx(2.5, abs=0.15)
    assert (image[:, 14] / 255).sum() == pytest.approx(20, abs=0.5)


@given(signs, st.integers(0, 120), st.integers(0, 120))
def test_unchanged_by_more_paper_on_two_sides(sign, above, left):
    picture = drawing.strokes(*sign)
    paper = picture[0, 0]
    moved = np.full((picture.shape[0] + above, picture.shape[1] + left, 3), paper)
    moved[above:, left:] = picture
    assert apart(images.to_mnist(moved), images.to_mnist(picture)) < 8


@settings(max_examples=30)
@given(signs, st.floats(0.5, 8))
def test_unchanged_by_scaling(sign, factor):
    picture = Image.fromarray(drawing.strokes(*sign))
    scaled = picture.resize([round(side * factor) for side in picture.size], Image.Resampling.BOX
                            if factor < 1 else Image.Resampling.BICUBIC)  # fmt: skip
    assert apart(images.to_mnist(scaled), images.to_mnist(picture)) < 8


@given(signs)
def test_unchanged_by_inverting(sign):
    picture = np.asarray(Image.fromarray(drawing.strokes(*sign)).convert("L"))
    assert apart(images.to_mnist(255 - picture), images.to_mnist(picture)) < 8


@given(signs)
def test_unchanged_by_an_opaque_alpha_channel(sign):
    picture = Image.fromarray(drawing.strokes(*sign))
    assert np.array_equal(images.to_mnist(picture.convert("RGBA")), images.to_mnist(picture))


@given(signs, st.sampled_from([3, 6, 8]))
def test_unchanged_by_rotation_in_exif(sign, orientation):
    picture = Image.fromarray(drawing.strokes(*sign))
    turn = {3: 180, 6: 90, 8: 270}[orientation]
    exif, written = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    picture.rotate(turn, expand=True).save(written, "PNG", exif=exif)
    assert np.array_equal(images.to_mnist(written.getvalue()), images.to_mnist(picture))


@given(signs, st.integers(60, 95))
def test_unchanged_by_png_and_nearly_by_jpeg(sign, quality):
    picture = Image.fromarray(drawing.strokes(*sign))
    png, jpeg = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG")
    picture.save(jpeg, "JPEG", quality=quality)
    expected = images.to_mnist(picture)
    assert np.array_equal(images.to_mnist(png.getvalue()), expected)
    assert apart(images.to_mnist(jpeg.getvalue()), expected) < 5


@pytest.mark.parametrize("slope", [0, 0.03])
@pytest.mark.parametrize("upright", [False, True])
def test_ruled_lines_are_taken_away(slope, upright):
    picture = Image.new("L", (420, 500), 240)
    canvas = ImageDraw.Draw(picture)
    canvas.line([(120, 100), (300, 100), (190, 420)], fill=30, width=16)
    clean = images.to_mnist(picture)
    for place in range(-20, 520, 60):
        ends = [(0, place), (420, place + 420 * slope)]
        if upright:
            ends = [(place, 0), (place + 500 * slope, 500)]
        canvas.line(ends, fill=90, width=2)
    assert apart(images.to_mnist(picture), clean) < 6


def test_uneven_light_does_not_matter():
    picture = Image.new("L", (300, 300), 255)
    ImageDraw.Draw(picture).line([(80, 60), (200, 60), (130, 240)], fill=50, width=14)
    even = np.asarray(picture).astype(float)
    dim = np.linspace(0.3, 1, 300)[None, :] * even
    dim[:, :150] *= 0.7
    assert apart(images.to_mnist(dim.astype(np.uint8)), images.to_mnist(picture)) < 6


def test_a_stray_speck_and_a_dark_edge_do_not_matter():
    picture = Image.new("L", (300, 300), 255)
    canvas = ImageDraw.Draw(picture)
    canvas.line([(80, 60), (200, 60), (130, 240)], fill=50, width=14)
    clean = images.to_mnist(picture)
    canvas.ellipse((250, 250, 256, 256), fill=0)
    canvas.rectangle((0, 0, 25, 300), fill=40)
    assert apart(images.to_mnist(picture), clean) < 3


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (300, 300)).astype(np.uint8)


def slope():
    return np.tile(np.linspace(40, 250, 300), (300, 1)).astype(np.uint8)


def with_box(*edges):
    page = np.full((300, 300), 255, np.uint8)
    left, top, right, bottom = edges
    page[top:bottom, left:right] = 0
    return page


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((200, 300), np.uint8),
        np.full((200, 300, 3), 255, np.uint8),
        np.full((1, 1), 90, np.uint8),
        np.full((40, 40, 4), 0, np.uint8),
        slope(),
        with_box(60, 60, 240, 240),
        with_box(100, 100, 104, 104),
        noise(0),
        noise(1) // 8 + 200,
    ],
    ids=["black", "white", "pixel", "clear", "slope", "square", "dot", "noise", "grain"],
)
def test_where_there_is_no_digit(picture):
    with pytest.raises(images.NoDigitFound, match="the picture"):
        images.to_mnist(picture)
    with pytest.raises(images.NoDigitFound, match="the picture"):
        images.segment(picture)


def test_digits_of_a_picture_come_from_left_to_right():
    page = Image.new("RGB", (900, 300), "white")
    places, signs_there = [(600, 60), (30, 40), (320, 80)], [7, 2, 5]
    alone = {}
    for place, sign in zip(places, signs_there, strict=True):
        canvas = np.full((180, 160, 3), 255, np.uint8)
        image = Image.fromarray(canvas)
        ImageDraw.Draw(image).text((30, 10), str(sign), fill="black", font_size=140)
        page.paste(image, place)
        alone[place[0]] = images.to_mnist(image)
    found = images.segment(page)
    assert len(found) == 3
    for digit, left in zip(found, sorted(alone), strict=True):
        assert apart(digit.image, alone[left]) < 3
        assert left < digit.box[0] < digit.box[2] < left + 160


def test_boxes_are_in_pixels_of_the_picture_as_it_was_given():
    page = np.full((3_000, 2_000), 255, np.uint8)
    page[1_000:1_600, 900:960] = 0
    (found,) = images.segment(page)
    assert found.box == pytest.approx((900, 1_000, 960, 1_600), abs=4)


@pytest.mark.parametrize("size", [(1_001, 334), (1_003, 999), (801, 801)])
def test_boxes_end_at_the_edge_of_the_picture(size):
    width, height = size
    page = np.full((height, width), 255, np.uint8)
    page[height // 2 :, width // 2 : width // 2 + 30] = 0
    (found,) = images.segment(page)
    assert found.box[3] == height


def test_each_step_left_out_changes_the_result():
    picture = drawing.photograph(np.pad(np.full((18, 3), 255, np.uint8), ((5, 5), (7, 18))), 5)
    stages = images.explain(picture)
    assert np.array_equal(images.to_mnist(picture), stages.image)
    assert stages.mask.shape == stages.ink.shape == stages.grey.shape
    for step in ("box", "center"):
        assert apart(images.to_mnist(picture, without=[step]), stages.image) > 0
    with pytest.raises(ValueError, match="without must hold members of"):
        images.to_mnist(picture, without=["colour"])
    with pytest.raises(ValueError, match="without must hold members of"):
        images.to_mnist(picture, without="box")


def test_plain_resizing_does_what_most_examples_do():
    picture = np.full((280, 280), 255, np.uint8)
    picture[:, 140:] = 0
    squeezed = images.resize_plainly(picture)
    assert squeezed[:, :13].max() == 0
    assert squeezed[:, 15:].min() == 255
