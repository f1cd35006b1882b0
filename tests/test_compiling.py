"""What people hand to ``fit``: it works as in Keras, or is refused with the way out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mnistlib import compiling, models, training
from mnistlib._tensorflow import keras, tf

layers = keras.layers
BATCH = 50


@pytest.fixture(scope="module")
def train(digits) -> tuple[np.ndarray, np.ndarray]:
    return digits.x_train[:400], digits.y_train[:400]


def network(*last, seed: int = 0, start: bool = True) -> keras.Sequential:
    """Plain Keras, as a reader writes it."""
    return keras.Sequential(
        [
            *([keras.Input((28, 28), dtype="uint8")] if start else []),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(
                10, kernel_initializer=keras.initializers.GlorotUniform(seed=seed), name="last"
            ),
            *last,
        ]
    )


def softmax() -> keras.Layer:
    return layers.Softmax()


class Subclassed(keras.Model):
    """Keras cannot tell from outside what it gives."""

    def __init__(self, activation=None):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(10, activation=activation)

    def call(self, x):
        return self.dense(self.flatten(keras.ops.cast(x, "float32") / 255))


def fit(model, x, y, **options):
    given = {"epochs": 2, "batch_size": BATCH, "jit_compile": False}
    return training.fit(model, x, y, **given | options)


def losses(model, x, y, **options):
    return fit(model, x, y, **options).history["loss"]


# --- labels and losses --------------------------------------------------------------------------


def test_labels_in_every_form_train_alike(train):
    x, y = train
    forms = [y, y[:, None], pd.Series(y, dtype="category"), y.astype(float), np.eye(10)[y]]
    found = [losses(network(softmax()), x, form) for form in forms]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-5)


def test_text_is_refused_whatever_the_loss(train):
    x, y = train
    regression = network()
    regression.compile("sgd", "mse")
    for model in (network(softmax()), regression):
        with pytest.raises(ValueError, match=r"y must hold .*convert it"):
            fit(model, x, y.astype(str))


def test_pixels_already_divided_are_refused_not_cast_to_zeros(train):
    x, y = train
    with pytest.raises(ValueError, match=r"x must hold whole numbers .*divided by 255 already"):
        fit(network(softmax()), x / 255, y)


def test_nan_in_the_inputs_is_refused(train):
    x, y = train
    model = keras.Sequential([keras.Input((28, 28)), layers.Flatten(), layers.Dense(10, "softmax")])
    broken = np.where(np.arange(len(x))[:, None, None] == 7, np.nan, x / 255)
    with pytest.raises(ValueError, match="x must hold finite numbers; received 784 NaN"):
        fit(model, broken, y)


@pytest.mark.parametrize("build", [network, Subclassed])
def test_network_that_ends_in_logits_is_trained_as_the_one_with_softmax(train, build):
    x, y = train
    ours = build()
    ours(x[:1])
    plain = network(softmax())
    plain.set_weights(ours.get_weights())
    np.testing.assert_allclose(losses(ours, x, y), losses(plain, x, y), rtol=1e-4)
    probabilities = np.asarray(keras.ops.softmax(ours(x[:50])))
    np.testing.assert_allclose(probabilities, models.predict_proba(plain, x[:50]), atol=1e-4)


def test_hard_examples_are_the_same_from_logits(train):
    x, y = train
    found = []
    for model in (network(), network(softmax())):
        shown = []
        watch = lambda images, seed, shown=shown: shown.append(np.asarray(images)) or images  # noqa: E731
        fit(model, x, y, hard_example_mining=0.5, augment=watch)
        found.append(np.concatenate(shown))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("end", "from_logits", "said"),
    [
        ((), False, r"expects probabilities, and the model gives logits: .*from_logits=True"),
        ((softmax(),), True, r"expects logits, and the model gives prob.*from_logits=False"),
    ],
)
@pytest.mark.parametrize("one_hot", [False, True])
def test_compiled_loss_that_does_not_fit_the_output_is_refused(
    train, end, from_logits, said, one_hot
):
    x, y = train
    kind = "CategoricalCrossentropy" if one_hot else "SparseCategoricalCrossentropy"
    model = network(*end)
    model.compile("sgd", getattr(keras.losses, kind)(from_logits=from_logits))
    with pytest.raises(ValueError, match=rf"{said}.*keras\.losses\.{kind}\("):
        fit(model, x, np.eye(10)[y] if one_hot else y)


def test_loss_named_by_a_string_is_checked_too(train):
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="expects probabilities, and the model gives logits"):
        fit(model, *train)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_other_endings_are_refused_unless_compiled(train, activation):
    model = network(layers.Activation(activation))
    with pytest.raises(ValueError, match=f"softmax or in logits .*ends in {activation}"):
        fit(model, *train)
    model.compile("sgd", "mse")
    fit(model, train[0], np.eye(10)[train[1]])


def test_one_hot_labels_for_a_sparse_loss_are_refused(train):
    x, y = train
    model = network(softmax())
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"y must hold whole numbers .*give y\.argmax\(axis=1\)"):
        fit(model, x, np.eye(10)[y])
    with pytest.raises(ValueError, match=r"validation must hold whole numbers"):
        fit(model, x, y, validation=(x, np.eye(10)[y]))


def test_integers_for_a_categorical_loss_become_rows(train):
    x, y = train
    found = []
    for loss, labels in (
        ("categorical_crossentropy", y),
        ("categorical_crossentropy", np.eye(10)[y]),
        ("sparse_categorical_crossentropy", y),
    ):
        model = network(softmax())
        model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
        found.append(fit(model, x, labels, validation=(x[:50], labels[:50])).history)
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for name in other:
            np.testing.assert_allclose(other[name], found[0][name], rtol=1e-5)


# --- another training of the same model ---------------------------------------------------------


def test_second_training_by_a_recipe_learns_as_the_first_did(train):
    """Today's kind of mistake: the schedule of the first had ended, and the rate stayed at zero."""
    model = models.dense([8])
    first = losses(model, *train, recipe="cnn")
    before = model.get_weights()
    second = losses(model, *train, recipe="cnn")
    assert second[-1] < first[-1]
    moved = [
        np.abs(one - other).max() for one, other in zip(before, model.get_weights(), strict=True)
    ]
    assert min(moved) > 1e-4
    fresh = models.dense([8])
    fresh.set_weights(before)
    np.testing.assert_array_equal(second, losses(fresh, *train, recipe="cnn"))


def test_second_training_without_a_recipe_goes_on_as_keras_does(train):
    twice, once = models.dense([8]), models.dense([8])
    kept = training.Recipe(epochs=1, batch_size=len(train[0]))
    for _ in range(3):
        training.fit(twice, *train, recipe=kept)
    training.fit(once, *train, recipe=kept, epochs=3)
    assert int(twice.optimizer.iterations) == 3
    for one, other in zip(once.get_weights(), twice.get_weights(), strict=True):
        # One batch an epoch: only the order of its digits, and so of a sum, differs.
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_after_a_recipe_a_training_without_one_has_kerass_rate(train):
    model = models.dense([8])
    fit(model, *train, recipe="cnn")
    fit(model, *train)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)


def test_rate_that_a_callback_lowered_is_kept_until_another_is_asked_for(train):
    model = models.dense([8])
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    fit(model, *train, learning_rate=0.01, callbacks=[halve])
    fit(model, *train)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0025)
    fit(model, *train, learning_rate=0.01)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


def test_loaded_model_is_trained_further(train, tmp_path):
    model = models.dense([8])
    fit(model, *train, recipe="cnn")
    again = models.load(models.save(model, tmp_path / "model.keras"))
    assert losses(again, *train, recipe="cnn") == losses(model, *train, recipe="cnn")


def test_schedule_of_ones_own_that_has_ended_is_refused(train):
    model = network(softmax())
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 16)
    model.compile(keras.optimizers.SGD(schedule), "sparse_categorical_crossentropy")
    fit(model, *train)
    with pytest.raises(ValueError, match=r"is 0 after 16 steps, where its schedule ended"):
        fit(model, *train)


def test_recipe_for_a_compiled_model_is_refused(train):
    model = network(softmax())
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"recipe cannot be given for a compiled .*received 'cnn'"):
        fit(model, *train, recipe="cnn")


# --- callbacks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.ReduceLROnPlateau(),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    ],
)
def test_callback_that_sets_a_scheduled_rate_is_refused_and_works_without(train, callback):
    with pytest.raises(ValueError, match=rf"{type(callback).__name__}.*one_cycle=False"):
        fit(models.dense([8]), *train, recipe="cnn", callbacks=[callback], validation=train)
    fit(models.dense([8]), *train, callbacks=[callback], validation=train)


def test_what_is_no_callback_is_refused(train):
    with pytest.raises(ValueError, match="callbacks must hold Keras callbacks; received function"):
        fit(models.dense([8]), *train, callbacks=[lambda: None])


# --- models and data of other kinds -------------------------------------------------------------


def test_sequential_without_input_and_subclassed_models_train(train):
    unbuilt, built = network(softmax(), start=False), network(softmax())
    assert not unbuilt.built
    np.testing.assert_allclose(losses(unbuilt, *train), losses(built, *train), rtol=1e-5)
    found = losses(Subclassed("softmax"), *train)
    assert found[1] < found[0]


def test_validation_split_takes_the_last_digits_as_keras_does(train):
    x, y = train
    ours = fit(network(softmax()), x, y, validation_split=0.25)
    apart = fit(network(softmax()), x[:300], y[:300], validation=(x[300:], y[300:]))
    assert ours.history == apart.history
    kerass = network(softmax())
    kerass.compile(keras.optimizers.SGD(1e-12), "sparse_categorical_crossentropy")
    frozen = network(softmax())
    frozen.compile(keras.optimizers.SGD(1e-12), "sparse_categorical_crossentropy")
    by_keras = kerass.fit(x, y, validation_split=0.25, verbose=0).history["val_loss"]
    by_us = fit(frozen, x, y, validation_split=0.25, epochs=1).history["val_loss"]
    np.testing.assert_allclose(by_us, by_keras, rtol=1e-5)


@pytest.mark.parametrize("share", [-0.1, 1.0, 0.9999])
def test_validation_split_that_leaves_a_side_empty_is_refused(train, share):
    with pytest.raises(ValueError, match="validation_split must"):
        fit(network(softmax()), *train, validation_split=share)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_weights_count_as_in_keras(train, jit_compile):
    """One batch of all digits, so that the order plays no part."""
    x, y = train
    weights = np.random.default_rng(0).uniform(0, 2, len(x))
    classes = {3: 5.0, 7: 0.0}
    for options in ({"sample_weight": weights}, {"class_weight": classes}):
        found = []
        for train_by in ("keras", "ours"):
            model = network(softmax())
            model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
            if train_by == "keras":
                made = model.fit(x, y, batch_size=len(x), epochs=3, verbose=0, **options)
            else:
                given = {"batch_size": len(x), "epochs": 3, "jit_compile": jit_compile}
                made = training.fit(model, x, y, **given, **options)
            found.append([*made.history["loss"], *np.ravel(model.get_weights()[0])[::500]])
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-7)


def test_validation_may_carry_weights(train):
    x, y = train
    weights = np.zeros(400)
    weights[:50] = 1
    model = network(softmax())
    found = fit(model, x, y, validation=(x, y, weights)).history["val_loss"][-1]
    probabilities = models.predict_proba(model, x[:50])
    # Keras divides by the number of digits, not by the sum of their weights.
    by_hand = -np.log(probabilities[np.arange(50), y[:50]]).sum() / 400
    assert found == pytest.approx(by_hand, rel=1e-4)


def test_initial_epoch_is_where_the_count_begins(train):
    model = network(softmax())
    history = fit(model, *train, initial_epoch=3, epochs=5)
    assert history.epoch == [3, 4]
    assert int(model.optimizer.iterations) == 2 * 8
    for wrong in (5, -1, 2.5):
        with pytest.raises(ValueError, match="initial_epoch must be from 0 to below epochs, 5"):
            fit(model, *train, initial_epoch=wrong, epochs=5)


def test_data_that_comes_in_pieces_is_refused_with_the_way_out(train):
    data = tf.data.Dataset.from_tensor_slices(train).batch(10)

    class Pieces(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, number):
            return train

    for pieces in (data, Pieces(), (one for one in [train])):
        with pytest.raises(ValueError, match=r"x must be an array.*call model\.fit"):
            training.fit(network(softmax()), pieces)
    with pytest.raises(ValueError, match="y must hold the labels of x; received None"):
        training.fit(network(softmax()), train[0])


@pytest.mark.parametrize("wrong", [np.zeros((3, 28, 28)), (np.zeros((3, 28, 28)),)])
def test_validation_that_is_no_pair_is_refused(train, wrong):
    with pytest.raises(ValueError, match=r"validation must be \(x, y\)"):
        fit(network(softmax()), *train, validation=wrong)


# --- Keras's settings ---------------------------------------------------------------------------


@pytest.fixture
def other_settings():
    """What a ``keras.json`` may say, and what a program may set."""
    config = keras.config
    before = config.floatx(), config.image_data_format(), config.dtype_policy()
    config.set_floatx("float16")
    config.set_image_data_format("channels_first")
    config.set_dtype_policy("mixed_float16")
    yield
    config.set_floatx(before[0])
    config.set_image_data_format(before[1])
    config.set_dtype_policy(before[2])


def trained(train):
    model = models.build("cnn_fast", seed=1, precision="float32")
    history = training.fit(model, *train, recipe="cnn_fast", validation=train)
    return history.history, model.get_weights()


def test_settings_of_keras_do_not_bend_a_training(train, request):
    plain, weights = trained(train)
    request.getfixturevalue("other_settings")
    bent, others = trained(train)
    assert bent == plain
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)
    assert keras.config.floatx() == "float16", "left as it was"
    assert keras.config.dtype_policy().name == "mixed_float16"


def test_compiling_by_itself_takes_the_same_settings(other_settings):
    model = models.dense([4])
    compiling.compile_model(model, one_cycle_steps=4_000)
    # In float16, step 3,001 would be 3,000.
    rates = [float(model.optimizer._learning_rate(step)) for step in (3_000, 3_001)]
    assert rates[0] != rates[1]
