import numpy as np
import pytest
from PIL import Image

from mnistlib import drawing, outliers, preprocess


def test_from_digits_turns_mirrors_and_is_fixed_by_its_seed(digits):
    x, y = digits.x_train[:500], digits.y_train[:500]
    made, again, other = (outliers.from_digits(x, y, count=40, seed=n) for n in (0, 0, 1))
    assert made.shape == (40, 28, 28)
    assert made.dtype == np.uint8
    assert np.array_equal(made, again)
    assert not np.array_equal(made, other)
    # Mirrored back and turned back, they are the digits again.
    known = {image.tobytes() for image in x}
    assert all(image[:, ::-1].tobytes() in known for image in made[10:20])
    assert all(image[::-1, ::-1].tobytes() in known for image in made[20:30])


def test_what_is_tried_but_for_latin_letters_is_of_no_learned_sign_and_font():
    assert not set(outliers._LEARNED_FONTS) & set(outliers._OTHER_FONTS)
    learned = set(outliers._LATIN + outliers._ALPHABETS + outliers._SYMBOLS)
    tried = [outliers._OTHER_SYMBOLS, outliers._OTHER_SCRIPTS, outliers._FACES]
    assert len(set("".join(tried))) == sum(map(len, tried))
    assert not learned & set("".join(tried))


def shapes(signs, fonts):
    """Each sign that a font has, within a square: bool (n, 32 · 32), and the signs."""
    found, names = [], []
    for font in fonts:
        for sign in signs:
            if ord(sign) in outliers._signs_of(font):
                printed = outliers._printed(sign, font)
                side = max(printed.shape)
                square = Image.new("L", (side, side))
                corner = [(side - length) // 2 for length in printed.shape[::-1]]
                square.paste(Image.fromarray(255 * printed.astype(np.uint8)), corner)
                small = np.asarray(square.resize((32, 32), Image.Resampling.BOX)) > 100
                found.append(small.ravel())
                names.append(sign)
    return np.array(found, float), names


def overlaps(some, others):
    """Area in common over area of either, for each of the one with each of the others."""
    common = some @ others.T
    return common / (some.sum(axis=1)[:, None] + others.sum(axis=1) - common)


def test_symbols_and_scripts_that_are_tried_have_other_shapes_than_those_learned():
    latin = "".join(sign for sign in outliers._LATIN if sign not in outliers.LOOKALIKES)
    known, _ = shapes(latin + outliers._ALPHABETS + outliers._SYMBOLS, outliers._LEARNED_FONTS)
    tried, names = shapes(outliers._OTHER_SYMBOLS + outliers._OTHER_SCRIPTS, ["DejaVuSans"])
    assert len(names) > 200
    nearest = overlaps(tried, known).max(axis=1)
    assert [name for name, share in zip(names, nearest, strict=True) if share >= 0.75] == []
    # Such a comparison finds what is alike: a box to be ticked is a square that is learned.
    box, _ = shapes("☐", ["DejaVuSans"])
    assert overlaps(box, known).max() > 0.85


def test_nobody_learns_that_a_lookalike_is_no_digit():
    learned = set(outliers._ALPHABETS + outliers._SYMBOLS)
    assert not learned & set(outliers.LOOKALIKES)
    # Those that the same shape has in other alphabets, a slashed zero, and a plain bar.
    assert not learned & set("ΟοΖΙОоЗзбІіЅѕ∅∣○")


@pytest.fixture(scope="module")
def tried():
    return outliers.trials(24)


def test_trials_draw_every_kind_as_mnist_would_hold_it(tried):
    assert tuple(tried) == outliers.KINDS
    for kind, images in tried.items():
        assert images.shape == (24, 28, 28), kind
        assert images.dtype == np.uint8, kind
        # Something was found in nearly each, and it is as wide or as high as MNIST's digits.
        found = images[images.any(axis=(1, 2))]
        assert len(found) >= 22, kind
        extents = [np.ptp(np.argwhere(image > 40), axis=0).max() + 1 for image in found]
        assert 18 <= np.median(extents) <= 22, kind


def test_the_same_seed_draws_the_same_trials(tried):
    again, other = outliers.trials(24), outliers.trials(24, seed=1)
    for kind, images in tried.items():
        assert np.array_equal(images, again[kind])
        assert not np.array_equal(images, other[kind])


def test_short_scribbles_run_through_fewer_points(tried):
    for kind, points in (("scribbles", (6, 7, 8)), ("short scribbles", (4, 5))):
        for number in range(6):
            drawn = drawing.scribble(number, points=points[number % len(points)])
            assert np.array_equal(tried[kind][number], preprocess.to_mnist(drawn))


def test_learned_are_as_many_as_asked_for_and_kept(nowhere, capsys):
    drawn = outliers.learned(20, progress=True)
    assert drawn.shape == (20, 28, 28)
    assert "drawing outliers" in capsys.readouterr().err
    assert np.array_equal(outliers.learned(20, progress=True), drawn)
    assert "drawing outliers" not in capsys.readouterr().err


def test_a_glyph_looks_like_its_sign():
    """Written by hand or not, an H has two uprights, and a bar only between them."""
    bars = 0
    for seed in range(20):
        image = preprocess.to_mnist(outliers.glyph("H", ("DejaVuSans",), seed))
        bars += image[12:17, 12:17].max() > 100 and image[4:8, 13:16].mean() < 60
    assert bars >= 17


def test_a_sign_that_no_font_has_is_refused():
    with pytest.raises(ValueError, match="signs: none of cmr10 has any of"):
        outliers.glyph("漢", ("cmr10",), 0)
