import contextlib
import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import scipy.special
from PIL import Image
from scipy import ndimage

from mnistlib import (
    augment,
    data,
    drawing,
    handwriting,
    metrics,
    models,
    pages,
    preprocess,
    recognizer,
)


def accuracy(reader, pictures, labels):
    answers = reader.answer(preprocess.to_mnist_all(pictures))
    return np.mean([answer.digit == label for answer, label in zip(answers, labels, strict=True)])


def unsure(reader, pictures):
    return np.mean([not answer.sure for answer in reader.answer(preprocess.to_mnist_all(pictures))])


def test_reads_drawings_and_photographs_that_never_were_mnist(reader, mnist):
    drawings = [drawing.strokes(n % 10, 500 + n) for n in range(200)]
    assert accuracy(reader, drawings, np.arange(200) % 10) >= 0.95
    photographs = [drawing.photograph(mnist.x_test[n], 500 + n) for n in range(100)]
    assert accuracy(reader, photographs, mnist.y_test[:100]) >= 0.95


def test_reads_digits_of_other_people(reader, mnist):
    from sklearn.datasets import load_digits

    other = load_digits()
    assert accuracy(reader, other.images[:400], other.target[:400]) >= 0.92


def test_it_abstains_far_more_often_for_letters_and_doodles_than_for_digits(reader, mnist):
    digits = [drawing.strokes(n % 10, n) for n in range(100)]
    letters = [drawing.strokes(sign, seed) for sign in drawing.LETTERS for seed in range(7)]
    doodles = [drawing.scribble(seed) for seed in range(60)]
    abstained = unsure(reader, digits)
    assert abstained <= 0.15
    assert unsure(reader, letters) >= 3 * max(abstained, 0.05)
    assert unsure(reader, doodles) >= 3 * max(abstained, 0.05)


def test_it_abstains_for_digits_upside_down_though_not_for_digits(reader, mnist):
    turned = [n for n in range(400) if mnist.y_test[n] in (3, 4, 7)]
    upside_down = reader.answer(mnist.x_test[turned][:, ::-1, ::-1])
    upright = reader.answer(mnist.x_test[turned])
    assert np.mean([not answer.sure for answer in upside_down]) > 0.8
    assert np.mean([not answer.sure for answer in upright]) < 0.05


@pytest.mark.parametrize("deslanted", [False, True])
def test_probabilities_are_the_mean_over_nine_moves_of_each_view_tempered(
    reader, digits, deslanted
):
    moves = [(rows, columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1)]
    x = digits.x_test[:20]
    views = [x, augment.deslant(x)] if deslanted else [x]
    moved = [ndimage.shift(view, (0, *move), order=0) for view in views for move in moves]
    mean = np.mean([reader.model.predict(images, verbose=0) for images in moved], axis=0)
    tempered = mean ** (1 / reader.temperature)
    expected = tempered / tempered.sum(axis=1, keepdims=True)
    made = dataclasses.replace(reader, deslanted=deslanted)
    np.testing.assert_allclose(made.probabilities(x), expected, atol=1e-4)


def test_calibrated_confidence_is_near_the_accuracy(reader, digits):
    x = np.asarray(augment.distort(digits.x_test, 5))
    found = metrics.calibration(digits.y_test, reader.probabilities(x))
    assert found.error < (0.01 if digits.is_mnist else 0.04)


def test_the_share_asked_for_is_answered(reader, digits):
    x, y = digits.x_test[:1000], digits.y_test[:1000]
    strict, lax = (
        recognizer.calibrate(reader.model, x, y, answered=share) for share in (0.8, 0.99)
    )
    augmented = np.asarray(augment.distort(x, 0))
    for made, share in ((strict, 0.8), (lax, 0.99)):
        sure = np.mean([answer.sure for answer in made.answer(augmented)])
        assert sure == pytest.approx(share, abs=0.002)
    assert strict.threshold > lax.threshold


def test_an_answer_names_the_three_likeliest_in_order(reader, digits):
    (answer,) = reader.answer(digits.x_test[0])
    shares = [share for _, share in answer.top]
    assert len(answer.top) == 3
    assert shares == sorted(shares, reverse=True)
    assert answer.digit == answer.top[0][0] == int(reader.probabilities(digits.x_test[:1]).argmax())
    assert answer.sure == (shares[0] >= reader.threshold)
    assert str(answer).startswith(str(answer.digit) if answer.sure else "not sure")


@pytest.mark.parametrize(
    ("name", "epochs", "trained"),
    [("dense_32_16", None, 12), ("cnn_fast", None, 12), ("cnn_fast", 1, 1)],
)
def test_train_takes_the_recipes_epochs_and_at_least_twelve(sample, name, epochs, trained):
    from mnistlib._tensorflow import keras

    few = dataclasses.replace(sample, x_train=sample.x_train[:500], y_train=sample.y_train[:500])
    seen = []
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    recognizer.train(name, few, epochs=epochs, callbacks=[count])
    assert len(seen) == trained


def test_train_refuses_a_network_that_is_not_known(sample):
    with pytest.raises(ValueError, match="name must be one of"):
        recognizer.train("resnet", sample)


def test_read_names_digits_from_left_to_right(reader):
    found = reader.read(drawing.sheet([7, 2, 0], seed=3))
    assert [answer.digit for _, answer in found] == [7, 2, 0]


def two_digits(mnist, number, *, bridge):
    """Two digits of MNIST, six times as large, that a line of a pen's width joins or not."""
    page = np.zeros((220, 340), np.uint8)
    for place, one in enumerate((2 * number, 2 * number + 1)):
        large = np.kron(mnist.x_test[one], np.ones((6, 6), np.uint8))
        page[26:194, 10 + 150 * place : 178 + 150 * place] |= large
    if bridge:
        middle = 110
        inked = np.flatnonzero(page[middle] > 127)
        left = inked[inked < 169].max(initial=80)
        right = inked[inked >= 169].min(initial=250)
        page[middle - 5 : middle + 5, left:right] = 255
    return 255 - page


def test_two_digits_that_touch_are_parted(reader, mnist):
    right = {False: 0, True: 0}
    for number in range(30):
        expected = mnist.y_test[2 * number : 2 * number + 2].tolist()
        for bridge in right:
            found = reader.read(two_digits(mnist, number, bridge=bridge))
            right[bridge] += [answer.digit for _, answer in found] == expected
    assert right[False] >= 27
    # A bar across the gap leaves some of them unlike digits.
    assert right[True] >= 10


def test_a_picture_on_its_side_is_noticed(reader, digits):
    ways = {0: None, 90: "right", -90: "left"}
    told = []
    for seed in range(8):
        page = pages.draw("lines", digits.x_test, digits.y_test, seed=seed)
        for turn, way in ways.items():
            picture = Image.fromarray(page.picture).rotate(turn, expand=True)
            hint = reader.hint(picture, reader.read(picture))
            told.append(hint is None if way is None else way in (hint or ""))
    assert np.mean(told) >= 0.8


def test_signs_between_digits_are_left_out(reader, digits):
    # What has learned from the 4,000 digits of the sample alone takes too many signs for digits.
    able = reader if digits.is_mnist else recognizer.shipped()
    made = [pages.draw("signs", digits.x_test, digits.y_test, seed=seed) for seed in range(20)]
    counted = [len(able.read(page.picture)) == len(page.lines[0]) for page in made]
    assert np.mean(counted) >= 0.85


def test_saved_and_loaded_it_answers_alike(reader, digits, tmp_path):
    path = recognizer.save(reader, tmp_path / "reader.keras")
    again = recognizer.load(path)
    for name in ("temperature", "threshold", "deslanted"):
        assert getattr(again, name) == getattr(reader, name)
    assert again.deslanted
    expected = reader.probabilities(digits.x_test[:50])
    assert np.allclose(again.probabilities(digits.x_test[:50]), expected, atol=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == ["reader.keras"]


def test_a_network_without_calibration_is_taken_as_it_is(reader, tmp_path):
    path = models.save(reader.model, tmp_path / "bare.keras")
    bare = recognizer.load(path)
    assert (bare.temperature, bare.threshold, bare.deslanted) == (1.0, 0.9, False)
    assert bare.model.name == reader.model.name


def test_a_network_that_reads_no_digits_is_refused(tmp_path):
    path = models.save(models.build("dense_32_16"), tmp_path / "untrained.keras")
    with pytest.raises(ValueError, match=r"untrained\.keras: model must read digits"):
        recognizer.load(path)


def test_a_network_that_takes_or_gives_something_else_is_refused(tmp_path):
    for inputs, outputs, said in (((32, 32), 10, "must take digits"), ((28, 28), 26, r"give \(n")):
        layers = [keras.layers.Flatten(), keras.layers.Dense(outputs, activation="softmax")]
        path = models.save(
            keras.Sequential([keras.Input(inputs), *layers]), tmp_path / "other.keras"
        )
        with pytest.raises(ValueError, match=said):
            recognizer.load(path)


@pytest.mark.filterwarnings("ignore:.*has learned from pixels divided by 255")
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("shape", [(784,), (28, 28, 1)])
def test_a_network_of_ones_own_answers_as_it_does_by_itself(digits, tmp_path, shape, logits):
    own = trained_elsewhere(digits, 1 / 255, 0, shape=shape, logits=logits)
    loaded = recognizer.load(models.save(own, tmp_path / "own.keras"))
    x = digits.x_test[:100]
    given = own.predict((x / np.float32(255)).reshape(-1, *shape), verbose=0)
    expected = scipy.special.softmax(given, axis=1) if logits else given
    np.testing.assert_allclose(models.predict_proba(loaded.model, x), expected, atol=1e-5)
    # It can be kept as it is now, scale and all, and opened again.
    again = recognizer.load(recognizer.save(loaded, tmp_path / "again.keras"))
    np.testing.assert_array_equal(again.probabilities(x), loaded.probabilities(x))


def test_a_calibration_of_an_earlier_state_is_of_digits_as_written(tmp_path):
    path = tmp_path / "old.keras"
    models.build("dense_32_16").save(path)
    (tmp_path / "old.json").write_text(json.dumps({"temperature": 0.5, "threshold": 0.8}))
    old = recognizer.load(path)
    assert (old.temperature, old.threshold, old.deslanted) == (0.5, 0.8, False)


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"temperature": 1})])
def test_a_damaged_calibration_is_refused(text, tmp_path):
    path = tmp_path / "bad.keras"
    models.build("dense_32_16").save(path)
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=r"bad\.json is no calibration"):
        recognizer.load(path)


def test_a_network_for_something_else_is_refused(tmp_path):
    from mnistlib._tensorflow import keras

    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])
    path = models.save(other, tmp_path / "other.keras")
    with pytest.raises(ValueError, match="must take digits"):
        recognizer.load(path)


def test_the_shipped_one_reads_mnists_test_digits(mnist):
    shipped = recognizer.shipped()
    right = [answer.digit for answer in shipped.answer(mnist.x_test)] == mnist.y_test
    assert np.mean(right) >= 0.995


def test_the_shipped_one_reads_writers_it_has_not_seen():
    try:
        others = handwriting.load("test", pens=1, seed=1)
    except data.DataUnavailable:
        pytest.skip("needs pendigits")
    answers = recognizer.shipped().answer(others.images)
    right = np.array([answer.digit for answer in answers]) == others.labels
    sure = np.array([answer.sure for answer in answers])
    assert np.mean(right) >= 0.98
    assert np.mean(sure & ~right) <= 0.008


def test_the_shipped_one_is_small_and_says_what_it_learned_from():
    _, about = recognizer.inference.load(recognizer.SHIPPED)
    assert recognizer.SHIPPED.stat().st_size <= 1_000_000
    assert about["network"] == "cnn_fast"
    assert [source.split(",")[0].split(" (")[0] for source in about["learned from"]]
    assert "pendigits" in about["learned from"][1]


def test_saved_for_numpy_it_answers_alike(reader, digits, tmp_path):
    path = recognizer.save(reader, tmp_path / "reader.npz")
    again = recognizer.load(path)
    for name in ("temperature", "threshold", "deslanted"):
        assert getattr(again, name) == getattr(reader, name)
    expected = reader.probabilities(digits.x_test[:100])
    np.testing.assert_allclose(again.probabilities(digits.x_test[:100]), expected, atol=3e-3)
    twice = recognizer.save(again, tmp_path / "twice.npz")
    assert np.array_equal(
        recognizer.load(twice).probabilities(digits.x_test[:9]),
        again.probabilities(digits.x_test[:9]),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (0, -1, 1e-300, 1e300, 10**15, True, "1", None)),
        *(("threshold", value) for value in (-0.1, 1.1, "0.5", [0.5], None)),
        *(("deslanted", value) for value in (1, "no", None)),
        ("x", None),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(tmp_path, name, value):
    network, about = recognizer.inference.load(recognizer.SHIPPED)
    about = {} if name == "x" else about | {name: value}
    path = recognizer.inference.save(network, tmp_path / "odd.npz", about=about)
    named = "temperature" if name == "x" else name
    with pytest.raises(ValueError, match=rf"odd\.npz is no calibration.*{named}"):
        recognizer.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["temperature", "threshold"])
def test_a_calibration_that_is_not_finite_is_refused(tmp_path, name, value):
    network, about = recognizer.inference.load(recognizer.SHIPPED)
    path = recognizer.inference.save(network, tmp_path / "odd.npz", about=about | {name: value})
    with pytest.raises(ValueError, match=r"odd\.npz is no .*must be finite"):
        recognizer.load(path)
    made = recognizer.Recognizer(network, **{name: value})
    for suffix in (".npz", ".keras"):
        with pytest.raises(ValueError, match="is no calibration"):
            recognizer.save(made, tmp_path / f"new{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["odd.npz"]


def test_it_learns_what_other_writers_write(sample):
    """Images of one kind that MNIST does not have, all of one label."""
    few = dataclasses.replace(sample, x_train=sample.x_train[:500], y_train=sample.y_train[:500])
    stripes = np.zeros((200, 28, 28), np.uint8)
    stripes[:, 6:22, 8:20:4] = 255
    other = handwriting.Handwriting(
        stripes, np.full(200, 7, np.uint8), np.zeros(200, np.int32), "stripes"
    )
    with_them, _ = recognizer.train("dense_32_16", few, others=[other])
    without, _ = recognizer.train("dense_32_16", few)
    learned, guessed = (made.probabilities(stripes[:1])[0, 7] for made in (with_them, without))
    assert learned > 0.7
    assert guessed < 0.4


def trained_elsewhere(digits, factor, offset, *, shape=(784,), logits=False):
    """A network as beginners write it, of pixels that were prepared outside of it."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation=None if logits else "softmax"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    model.compile("adam", loss, metrics=["accuracy"])
    x, y = digits.x_train[:10_000], digits.y_train[:10_000]
    prepared = (x * np.float32(factor) + np.float32(offset)).reshape(-1, *shape)
    model.fit(prepared, y, epochs=3, batch_size=64, verbose=0)
    return model


@pytest.mark.parametrize(
    ("factor", "offset", "words"),
    [
        (1, 0, None),
        (1 / 255, 0, "pixels divided by 255"),
        (2 / 255, -1, "pixels from -1 to 1"),
        (1 / 255 / 0.3081, -0.1307 / 0.3081, "0.1307"),
        (-1 / 255, 1, "dark ink on light paper, divided by 255"),
    ],
)
def test_the_scale_of_a_network_is_found_and_said(mnist, tmp_path, factor, offset, words):
    own = trained_elsewhere(mnist, factor, offset)
    path = models.save(own, tmp_path / "own.keras")
    said = pytest.warns(UserWarning, match=words) if words else contextlib.nullcontext()
    with said:
        loaded = recognizer.load(path)
    x = mnist.x_test[:500]
    prepared = (x * np.float32(factor) + np.float32(offset)).reshape(-1, 784)
    expected = own.predict(prepared, verbose=0)
    np.testing.assert_allclose(models.predict_proba(loaded.model, x), expected, atol=1e-4)


def test_where_no_digits_can_be_had_a_network_is_taken_at_its_word(reader, tmp_path):
    path = models.save(reader.model, tmp_path / "own.keras")
    code = (
        "import sys; sys.modules['mlxtend'] = None; from mnistlib import data, recognizer; "
        "data.ADDRESSES = (); print(recognizer.load(sys.argv[1]).model.name)"
    )
    nowhere = {name: str(tmp_path) for name in ("HOME", "KERAS_HOME", "XDG_CACHE_HOME")}
    environment = {name: value for name, value in os.environ.items() if name != "MNISTLIB_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        env=environment | nowhere,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == reader.model.name
    assert "could not be tried on known digits" in done.stderr
