from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mnistlib import data, drawing, folders, handwriting, pendigits, preprocess
from mnistlib.pictures import PictureError


@pytest.fixture(scope="module")
def few() -> pendigits.Strokes:
    """Strokes in the form of pendigits: 130 ones with a hook, more than one task holds."""
    hooked = np.array([[0, 60], [80, 0], [80, 200]], np.int16)
    return pendigits.Strokes(
        paths=tuple((hooked + n,) for n in range(130)),
        labels=np.ones(130, np.uint8),
        writers=np.arange(130, dtype=np.int32),
    )


def test_every_pen_draws_every_digit_in_order_and_alike_for_the_same_seed(few):
    once, twice, other = (
        handwriting.images(few, pens=pens, seed=seed) for pens, seed in ((1, 0), (2, 0), (1, 1))
    )
    assert (once.dtype, once.shape, twice.shape) == (np.uint8, (130, 28, 28), (260, 28, 28))
    assert np.array_equal(twice[:130], once)
    assert not np.array_equal(twice[130:], once)
    assert not np.array_equal(other, once)
    assert all(image.max() > 200 for image in twice)


def test_an_image_is_what_to_mnist_makes_of_the_drawn_picture(few):
    seeds = np.random.default_rng(0).integers(2**31, size=130)
    made = handwriting.images(few)
    for number in (0, 99, 100, 129):
        picture = drawing.trace(few.paths[number], int(seeds[number]))
        assert np.array_equal(made[number], preprocess.to_mnist(picture))


def test_what_lost_a_stroke_is_blank_where_whole_digits_are_asked_for():
    """Two lines far apart: one digit in two pieces, of which ``to_mnist`` takes one."""
    lines = (np.array([[0, 0], [0, 400]], np.int16), np.array([[400, 0], [400, 400]], np.int16))
    crossed = (lines[0], np.array([[-150, 200], [150, 200]], np.int16))
    two = pendigits.Strokes((lines, crossed), np.full(2, 4, np.uint8), np.ones(2, np.int32))
    found = handwriting.images(two, pens=10).any(axis=(1, 2))
    whole = handwriting.images(two, pens=10, whole=True).any(axis=(1, 2))
    assert found.all()
    assert whole.tolist() == [False, True] * 10


def test_no_strokes_make_no_images(capsys):
    none = pendigits.Strokes((), np.zeros(0, np.uint8), np.zeros(0, np.int32))
    assert handwriting.images(none).shape == (0, 28, 28)
    assert capsys.readouterr().err == ""


def test_the_bar_counts_digits(few, capsys):
    handwriting.images(few, progress=True)
    assert "130/130" in capsys.readouterr().err


def test_no_pen_is_refused(few):
    with pytest.raises(ValueError, match="pens must be a whole number from 1; received 0"):
        handwriting.images(few, pens=0)


def test_both_parts_are_drawn_with_their_labels_and_writers(few_writers):
    few_writers()
    train, test = handwriting.load(), handwriting.load("test", pens=1, seed=1)
    assert (len(train), len(test)) == (240, 30)
    for part, numbers in ((train, range(1, 7)), (test, range(31, 37))):
        assert part.images.shape == (len(part), 28, 28)
        assert part.labels.tolist() == [1] * len(part)
        assert set(part.writers) == set(numbers)
    assert train.source == "pendigits, 120 digits by 6 writers, drawn with 2 pens"
    # The second pen's digits are those of the first, in the same order.
    assert np.array_equal(train.writers[:120], train.writers[120:])
    assert np.array_equal(train.images, handwriting.images(pendigits.load().train, pens=2))


def test_what_was_drawn_is_kept_by_part_pens_and_seed(nowhere, few_writers, capsys):
    few_writers()
    first = handwriting.load("test", pens=1, progress=True)
    assert "30/30" in capsys.readouterr().err
    again = handwriting.load("test", pens=1, progress=True)
    assert capsys.readouterr().err == ""
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(handwriting.load("test", pens=1, seed=1).images, first.images)
    (kept, _) = sorted(nowhere.cache.rglob("pendigits-*.npz"))
    kept.write_bytes(kept.read_bytes()[:100])
    assert np.array_equal(handwriting.load("test", pens=1).images, first.images)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(few_writers, tmp_path, monkeypatch):
    few_writers()
    loaded = pendigits.load()
    (tmp_path / "file").write_text("where the folder should be")
    monkeypatch.setattr(pendigits, "load", lambda: loaded)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"could not be kept in .*XDG_CACHE_HOME"):
        assert len(handwriting.load("test", pens=1)) == 30


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="part must be one of train, test; received 'all'"):
        handwriting.load("all")


def test_without_strokes_the_sentence_says_so(nowhere):
    with pytest.raises(data.DataUnavailable, match="pendigits are not in"):
        handwriting.load()


def test_own_pictures_are_preprocessed_and_count_as_often_as_brings_them_to_a_thousand(tmp_path):
    labelled = []
    for digit in (3, 7, 1):
        path = tmp_path / f"{digit}.png"
        Image.fromarray(drawing.strokes(digit, digit)).save(path)
        labelled.append(folders.Labelled(path, digit))
    few, many = (handwriting.from_pictures(labelled * times) for times in (1, 250))
    assert (len(few), len(many)) == (3 * 20, 750 * 2)
    assert few.images.dtype == few.labels.dtype == np.uint8
    for n in range(60):
        assert few.labels[n] == labelled[n % 3].label
        assert np.array_equal(few.images[n], preprocess.to_mnist(labelled[n % 3].path))
    assert few.source == "own pictures: 3, each 20 times"


def test_own_pictures_that_teach_nothing_are_refused_by_name(tmp_path):
    blank, wrong = tmp_path / "7.png", tmp_path / "8.png"
    Image.new("L", (200, 200), 255).save(blank)
    wrong.write_text("no picture")
    with pytest.raises(preprocess.NoDigitFound, match=r"7\.png: the picture is blank"):
        handwriting.from_pictures([folders.Labelled(blank, 7)])
    with pytest.raises(PictureError, match=r"8\.png is no picture"):
        handwriting.from_pictures([folders.Labelled(wrong, 8)])
    with pytest.raises(ValueError, match="at least one picture; received none"):
        handwriting.from_pictures([])
