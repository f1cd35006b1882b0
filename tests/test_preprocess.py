import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from mnistlib import drawing, preprocess


def centre_of_mass(image):
    return np.array(ndimage.center_of_mass(image.astype(float)))


def apart(one, other):
    """Mean difference of two images, in grey levels of 255."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def likeness(one, other):
    """Correlation of two images' pixels."""
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


signs = st.tuples(st.integers(0, 9), st.integers(0, 10_000))


def test_digits_of_mnist_come_out_much_as_they_went_in(digits):
    originals = digits.x_test[:100]
    made = np.array([preprocess.to_mnist(digit) for digit in originals])
    assert np.median([likeness(*pair) for pair in zip(made, originals, strict=True)]) > 0.96
    assert made.mean() == pytest.approx(originals.mean(), rel=0.08)


@given(signs)
def test_scaled_into_the_box_with_the_centre_of_mass_in_the_middle(sign):
    image = preprocess.to_mnist(drawing.strokes(*sign))
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
    image = preprocess.to_mnist(page)
    assert (image[13] / 255).sum() == pytest.approx(2.5, abs=0.15)
    assert (image[:, 14] / 255).sum() == pytest.approx(20, abs=0.5)


@given(signs, st.integers(0, 120), st.integers(0, 120))
def test_unchanged_by_more_paper_on_two_sides(sign, above, left):
    picture = drawing.strokes(*sign)
    paper = picture[0, 0]
    moved = np.full((picture.shape[0] + above, picture.shape[1] + left, 3), paper)
    moved[above:, left:] = picture
    assert apart(preprocess.to_mnist(moved), preprocess.to_mnist(picture)) < 8


@settings(max_examples=30)
@given(signs, st.floats(0.5, 8))
def test_unchanged_by_scaling(sign, factor):
    picture = Image.fromarray(drawing.strokes(*sign))
    kind = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    scaled = picture.resize([round(side * factor) for side in picture.size], kind)
    assert apart(preprocess.to_mnist(scaled), preprocess.to_mnist(picture)) < 8


@given(signs)
def test_unchanged_by_inverting(sign):
    picture = np.asarray(Image.fromarray(drawing.strokes(*sign)).convert("L"))
    assert apart(preprocess.to_mnist(255 - picture), preprocess.to_mnist(picture)) < 8


@given(signs)
def test_unchanged_by_an_opaque_alpha_channel(sign):
    picture = Image.fromarray(drawing.strokes(*sign))
    assert np.array_equal(
        preprocess.to_mnist(picture.convert("RGBA")), preprocess.to_mnist(picture)
    )


@given(signs, st.sampled_from([3, 6, 8]))
def test_unchanged_by_rotation_in_exif(sign, orientation):
    picture = Image.fromarray(drawing.strokes(*sign))
    turn = {3: 180, 6: 90, 8: 270}[orientation]
    exif, written = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    picture.rotate(turn, expand=True).save(written, "PNG", exif=exif)
    assert np.array_equal(preprocess.to_mnist(written.getvalue()), preprocess.to_mnist(picture))


def test_a_pen_of_a_pixel_and_a_half_keeps_what_it_drew_level():
    """The bar of this seven was taken for specks, while its slanted stroke was kept."""
    picture = drawing.strokes(7, 1312)
    height, width, _ = picture.shape
    moved = np.full((height + 101, width + 30, 3), picture[0, 0])
    moved[101:, 30:] = picture
    assert apart(preprocess.to_mnist(moved), preprocess.to_mnist(picture)) < 8


@given(signs, st.integers(60, 95))
def test_unchanged_by_png_and_nearly_by_jpeg(sign, quality):
    picture = Image.fromarray(drawing.strokes(*sign))
    png, jpeg = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG")
    picture.save(jpeg, "JPEG", quality=quality)
    expected = preprocess.to_mnist(picture)
    assert np.array_equal(preprocess.to_mnist(png.getvalue()), expected)
    assert apart(preprocess.to_mnist(jpeg.getvalue()), expected) < 5


def test_a_stroke_along_a_fainter_ruled_line_stays():
    """A seven between two others, on squared paper: its bar lies on a line."""
    page = Image.new("L", (420, 240), 245)
    canvas = ImageDraw.Draw(page)
    for left in (60, 180, 300):
        canvas.line([(left, 80), (left + 60, 80), (left + 20, 180)], fill=35, width=6)
    clean = preprocess.segment(page)
    for place in range(20, 420, 30):
        canvas.line([(0, place), (420, place)], fill=150, width=2)
        canvas.line([(place, 0), (place, 240)], fill=150, width=2)
    found = preprocess.segment(page)
    assert len(found) == len(clean) == 3
    for one, other in zip(found, clean, strict=True):
        assert apart(one.image, other.image) < 10


def test_a_small_digit_stays_on_its_line_below_a_tall_one():
    page = Image.new("L", (420, 260), 245)
    canvas = ImageDraw.Draw(page)
    for left in (40, 160, 280):
        canvas.line([(left, 30), (left + 40, 30), (left + 10, 110)], fill=35, width=8)
        tall = left != 160
        top, low = (125, 205) if tall else (125, 155)
        canvas.line([(left, low), (left + 15, top), (left + 30, low)], fill=35, width=8)
    assert [digit.line for digit in preprocess.segment(page)] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("sign", ["−", "=", "÷", ",", "."])
def test_signs_are_left_out_by_their_shape(sign):
    page = Image.new("L", (360, 160), 245)
    canvas = ImageDraw.Draw(page)
    for left in (40, 260):
        canvas.line([(left, 30), (left + 50, 30), (left + 15, 130)], fill=35, width=8)
    if sign in "−÷":
        canvas.line([(150, 80), (200, 80)], fill=35, width=8)
    if sign == "=":
        for level in (68, 92):
            canvas.line([(150, level), (200, level)], fill=35, width=8)
    if sign == "÷":
        for level in (60, 100):
            canvas.ellipse((170, level - 5, 180, level + 5), 35)
    if sign in ",.":
        canvas.ellipse((165, 118, 181, 134), 35)
    if sign == ",":
        canvas.line([(177, 126), (168, 146)], fill=35, width=6)
    assert len(preprocess.segment(page)) == 2


@pytest.mark.parametrize("slope", [0, 0.03])
@pytest.mark.parametrize("upright", [False, True])
def test_ruled_lines_are_taken_away(slope, upright):
    picture = Image.new("L", (420, 500), 240)
    canvas = ImageDraw.Draw(picture)
    canvas.line([(120, 100), (300, 100), (190, 420)], fill=30, width=16)
    clean = preprocess.to_mnist(picture)
    for place in range(-20, 520, 60):
        ends = [(0, place), (420, place + 420 * slope)]
        if upright:
            ends = [(place, 0), (place + 500 * slope, 500)]
        canvas.line(ends, fill=90, width=2)
    assert apart(preprocess.to_mnist(picture), clean) < 6


def test_uneven_light_does_not_matter():
    picture = Image.new("L", (300, 300), 255)
    ImageDraw.Draw(picture).line([(80, 60), (200, 60), (130, 240)], fill=50, width=14)
    even = np.asarray(picture).astype(float)
    dim = np.linspace(0.3, 1, 300)[None, :] * even
    dim[:, :150] *= 0.7
    assert apart(preprocess.to_mnist(dim.astype(np.uint8)), preprocess.to_mnist(picture)) < 6


def test_a_stray_speck_and_a_dark_edge_do_not_matter():
    picture = Image.new("L", (300, 300), 255)
    canvas = ImageDraw.Draw(picture)
    canvas.line([(80, 60), (200, 60), (130, 240)], fill=50, width=14)
    clean = preprocess.to_mnist(picture)
    canvas.ellipse((250, 250, 256, 256), fill=0)
    canvas.rectangle((0, 0, 25, 300), fill=40)
    assert apart(preprocess.to_mnist(picture), clean) < 3


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
    with pytest.raises(preprocess.NoDigitFound, match="the picture"):
        preprocess.to_mnist(picture)
    with pytest.raises(preprocess.NoDigitFound, match="the picture"):
        preprocess.segment(picture)


def test_digits_of_a_picture_come_from_left_to_right():
    page = Image.new("RGB", (900, 300), "white")
    places, signs_there = [(600, 60), (30, 40), (320, 80)], [7, 2, 5]
    alone = {}
    for place, sign in zip(places, signs_there, strict=True):
        canvas = np.full((180, 160, 3), 255, np.uint8)
        image = Image.fromarray(canvas)
        ImageDraw.Draw(image).text((30, 10), str(sign), fill="black", font_size=140)
        page.paste(image, place)
        alone[place[0]] = preprocess.to_mnist(image)
    found = preprocess.segment(page)
    assert len(found) == 3
    for digit, left in zip(found, sorted(alone), strict=True):
        assert apart(digit.image, alone[left]) < 3
        assert left < digit.box[0] < digit.box[2] < left + 160


def test_boxes_are_in_pixels_of_the_picture_as_it_was_given():
    page = np.full((3_000, 2_000), 255, np.uint8)
    page[1_000:1_600, 900:960] = 0
    (found,) = preprocess.segment(page)
    assert found.box == pytest.approx((900, 1_000, 960, 1_600), abs=4)


@pytest.mark.parametrize("size", [(1_001, 334), (1_003, 999), (801, 801)])
def test_boxes_end_at_the_edge_of_the_picture(size):
    width, height = size
    page = np.full((height, width), 255, np.uint8)
    page[height // 2 :, width // 2 : width // 2 + 30] = 0
    (found,) = preprocess.segment(page)
    assert found.box[3] == height


def test_each_step_left_out_changes_the_result():
    picture = drawing.photograph(np.pad(np.full((18, 3), 255, np.uint8), ((5, 5), (7, 18))), 5)
    stages = preprocess.explain(picture)
    assert np.array_equal(preprocess.to_mnist(picture), stages.image)
    assert stages.mask.shape == stages.ink.shape == stages.grey.shape
    for step in ("box", "center"):
        assert apart(preprocess.to_mnist(picture, without=[step]), stages.image) > 0
    with pytest.raises(ValueError, match="without must hold members of"):
        preprocess.to_mnist(picture, without=["colour"])
    with pytest.raises(ValueError, match="without must hold members of"):
        preprocess.to_mnist(picture, without="box")


def test_plain_resizing_does_what_most_examples_do():
    picture = np.full((280, 280), 255, np.uint8)
    picture[:, 140:] = 0
    squeezed = preprocess.resize_plainly(picture)
    assert squeezed[:, :13].max() == 0
    assert squeezed[:, 15:].min() == 255


def test_single_digits_are_prepared_as_they_were_before_pages_were_read():
    """The figures of the lessons were made so."""
    before = np.load(Path(__file__).with_name("prepared.npz"))["images"]
    for number, image in enumerate(before):
        picture = drawing.strokes(number % 10, seed=number)
        assert apart(preprocess.to_mnist(picture), image) < 0.5
        (found,) = preprocess.segment(picture)
        assert apart(found.image, image) < 0.5


def test_digits_close_below_one_another_are_not_joined():
    page = np.full((300, 300), 255, np.uint8)
    for top in (30, 150):
        for left in (60, 140, 220):
            page[top : top + 100, left : left + 12] = 0
    found = preprocess.segment(page)
    assert [digit.line for digit in found] == [0, 0, 0, 1, 1, 1]
    assert [digit.box[0] for digit in found] == [60, 140, 220] * 2
