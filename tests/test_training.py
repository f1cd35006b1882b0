from __future__ import annotations

import contextlib
import inspect
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from mnistlib import compiling, models, training
from mnistlib._tensorflow import keras, tf

BATCH = 32

# Both loops do the same float32 arithmetic in another order, so a gradient differs by its rounding,
# some 1e-7 of its largest terms, and the weights drift apart by that much a step. SGD passes this
# on as it is; Adam divides by the gradient's own size, which magnifies it where a gradient is near
# zero: there one weight may differ by the step size itself, so Adam is held to its losses.
LOSS = {"rtol": 1e-4}
WEIGHTS = {"rtol": 1e-4, "atol": 1e-5}

# Without dropout, whose masks depend on how often the generator was asked before.
NETWORKS = {name: partial(models.build, name) for name in models.NAMES} | {
    "cnn": partial(models.convolutional, dropout=0.0),
    "cnn_best": partial(models.convolutional, (32, 64, 128), hidden=128, dropout=0.0, crop=2),
    "batch normalisation and L2": partial(models.dense, [16], batch_normalization=True, l2=1e-3),
}


@pytest.fixture(scope="module")
def train(digits) -> tuple[np.ndarray, np.ndarray]:
    return digits.x_train[:400], digits.y_train[:400]


@pytest.fixture(scope="module")
def validation(digits) -> tuple[np.ndarray, np.ndarray]:
    return digits.x_train[400:500], digits.y_train[400:500]


# Tests that are not about the loop spare themselves a second or two of XLA's compiling.
fit = partial(training.fit, jit_compile=False)


def small(seed: int = 0) -> keras.Model:
    return models.dense([8], seed=seed)


def compiled(model: keras.Model, optimizer=None, **options) -> keras.Model:
    model.compile(
        optimizer=optimizer or keras.optimizers.SGD(0.1, momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **options,
    )
    return model


def batch_by_batch(model, x, y, *, epochs, batch_size, seed) -> dict[str, list[float]]:
    """What ``fit`` says it does, with Keras's own step: the documented order, batch by batch."""
    assert model.run_eagerly
    rng = np.random.default_rng(seed)
    order = np.arange(len(x), dtype=np.int32)
    history = {}
    for _ in range(epochs):
        rng.shuffle(order)
        batches = np.split(order, range(batch_size, len(x), batch_size))
        logs = []
        for batch in batches:
            model.reset_metrics()  # before Keras 3.14, they go on from one batch to the next
            logs.append(model.train_on_batch(x[batch], y[batch], return_dict=True))
        for name in logs[0]:
            mean = np.average(
                [log[name] for log in logs], weights=[len(batch) for batch in batches]
            )
            history.setdefault(name, []).append(mean)
    return history


def assert_same_weights(first: keras.Model, second: keras.Model, **tolerance) -> None:
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        if tolerance:
            np.testing.assert_allclose(one, other, **tolerance)
        else:
            np.testing.assert_array_equal(one, other)


def assert_same_history(first: dict, second: dict, **tolerance) -> None:
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], err_msg=name, **tolerance)


# --- the compiled loop against Keras's own step ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n"),
    [
        *((name, 5 * BATCH + 7) for name in NETWORKS),
        # The number of digits concerns the loop, not the network; each costs XLA a compilation.
        ("dense_32_16", 5 * BATCH),
        ("dense_32_16", BATCH - 12),
    ],
)
def test_fit_makes_the_steps_of_kerass_train_on_batch(train, name, n):
    x, y = (array[:n] for array in train)
    ours = compiled(NETWORKS[name](seed=2))
    kerass = compiled(NETWORKS[name](seed=2), run_eagerly=True)
    # Biases of zero put every blank patch of an image exactly on the kink of relu, where the last
    # bit of a sum decides whether a gradient passes. A start with other biases has no such points.
    rng = np.random.default_rng(3)
    start = [w + rng.normal(0, 0.05, w.shape) * (w.ndim == 1) for w in ours.get_weights()]
    ours.set_weights(start)
    kerass.set_weights(start)
    settings = {"epochs": 2, "batch_size": BATCH, "seed": 5}
    history = training.fit(ours, x, y, augment=False, hard_example_mining=0, **settings).history
    assert_same_history(history, batch_by_batch(kerass, x, y, **settings), **LOSS)
    assert_same_weights(ours, kerass, **WEIGHTS)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_fit_with_adam_makes_kerass_losses(train, jit_compile):
    ours = models.build("dense_32_16", seed=2)
    kerass = models.build("dense_32_16", seed=2)
    compiled(kerass, keras.optimizers.Adam(1e-3), run_eagerly=True)
    settings = {"epochs": 2, "batch_size": BATCH, "seed": 5}
    history = training.fit(ours, *train, jit_compile=jit_compile, **settings).history
    assert_same_history(history, batch_by_batch(kerass, *train, **settings), rtol=1e-3)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_weights_averaged_by_keras_are_those_of_the_steps(train, jit_compile):
    averaging = partial(keras.optimizers.SGD, 0.1, use_ema=True, ema_momentum=0.9)
    ours, kerass = compiled(small(), averaging()), compiled(small(), run_eagerly=True)
    x, y = (array[: 3 * BATCH] for array in train)
    training.fit(ours, x, y, epochs=1, batch_size=BATCH, seed=5, jit_compile=jit_compile)
    order = np.arange(len(x), dtype=np.int32)
    np.random.default_rng(5).shuffle(order)
    kerass.optimizer = keras.optimizers.SGD(0.1)
    average = None
    for batch in np.split(order, 3):
        kerass.train_on_batch(x[batch], y[batch])
        weights = kerass.get_weights()
        # Keras begins the average with the weights after the first step.
        average = average or weights
        average = [0.9 * old + 0.1 * new for old, new in zip(average, weights, strict=True)]
    for one, other in zip(ours.get_weights(), average, strict=True):
        np.testing.assert_allclose(one, other, **WEIGHTS)


@pytest.mark.parametrize(
    ("jit_compile", "n", "batch_size"), [(True, 66_000, 4_096), (False, 8_500, 512)]
)
def test_epochs_longer_than_one_compiled_stretch(train, jit_compile, n, batch_size):
    chosen = np.random.default_rng(0).integers(len(train[0]), size=n)
    x, y = (array[chosen] for array in train)
    ours, kerass = compiled(small()), compiled(small(), run_eagerly=True)
    stretches = []

    def count(images, seed):
        stretches.append(len(images))
        return images

    settings = {"epochs": 1, "batch_size": batch_size, "seed": 1}
    history = training.fit(ours, x, y, jit_compile=jit_compile, augment=count, **settings).history
    assert len(stretches) == 2
    assert sum(stretches) == n
    assert_same_history(history, batch_by_batch(kerass, x, y, **settings), **LOSS)
    assert_same_weights(ours, kerass, **WEIGHTS)


def test_training_goes_on_where_it_stopped(train):
    ours, kerass = compiled(small()), compiled(small(), run_eagerly=True)
    for seed in (1, 2):
        settings = {"epochs": 1, "batch_size": BATCH, "seed": seed}
        fit(ours, *train, **settings)
        batch_by_batch(kerass, *train, **settings)
    assert ours.optimizer.iterations == kerass.optimizer.iterations == 2 * 13
    assert_same_weights(ours, kerass, **WEIGHTS)


def test_frozen_layers_stay(train):
    model = models.dense([8, 8])
    model.get_layer("hidden_1").trainable = False
    before = model.get_layer("hidden_1").get_weights()
    other = model.get_layer("hidden_2").get_weights()
    fit(model, *train, epochs=1)
    for then, now in zip(before, model.get_layer("hidden_1").get_weights(), strict=True):
        np.testing.assert_array_equal(then, now)
    assert (other[0] != model.get_layer("hidden_2").get_weights()[0]).any()


def test_dropout_is_on_in_training_and_off_in_validation(train):
    model = compiled(models.dense([64], dropout=0.5), keras.optimizers.SGD(1e-30))
    history = fit(model, *train, epochs=2, batch_size=BATCH, validation=train).history
    probabilities = models.predict_proba(model, train[0])
    still = -np.log(probabilities[np.arange(len(train[1])), train[1]]).mean()
    np.testing.assert_allclose(history["val_loss"], still, rtol=1e-5)
    # Nothing is learnt at this step size: only the masks, new ones each time, move the loss.
    assert (np.abs(np.array(history["loss"]) - still) > 1e-3 * still).all()
    assert history["loss"][0] != pytest.approx(history["loss"][1], rel=1e-6)


def test_digits_are_learnt(digits):
    model = models.build("dense_32_16")
    fit(model, digits.x_train[:4_000], digits.y_train[:4_000], epochs=5, batch_size=BATCH)
    predicted = models.predict_proba(model, digits.x_test).argmax(axis=1)
    # Measured 89.4–91.1 % over eight seeds on MNIST and on the sample.
    assert np.mean(predicted == digits.y_test) > 0.87


# --- a reference that is not Keras --------------------------------------------------------------


def test_own_model_with_its_own_loss_descends_as_written_by_hand():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + 3).astype(np.float32)[:, None]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])

    def half_squared_error(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1) / 2

    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=half_squared_error)
    w, b = (weight.astype(np.float64) for weight in model.get_weights())
    history = fit(model, x, y, epochs=20, batch_size=50).history
    losses = []
    for _ in range(20):
        error = x @ w + b - y
        losses.append(np.mean(error**2) / 2)
        w, b = w - 0.1 * x.T @ error / 50, b - 0.1 * error.mean(axis=0)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-4)
    np.testing.assert_allclose(model.get_weights()[1], b, rtol=1e-4)


@pytest.mark.parametrize("units", [[4], [5, 3]])
def test_gradient_norms_are_those_of_finite_differences(train, units):
    x, y = (array[:20] for array in train)
    model = models.dense(units, activation="sigmoid", seed=1)
    weights = [weight.astype(np.float64) for weight in model.get_weights()]

    def loss():
        signal = x.reshape(-1, 784) / 255
        for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            signal = 1 / (1 + np.exp(-(signal @ kernel + bias)))
        probabilities = softmax(signal @ weights[-2] + weights[-1], axis=1)
        return -np.log(probabilities[np.arange(20), y]).mean()

    norms = training.gradient_norms(model, x, y)
    names = [*(f"hidden_{number + 1}" for number in range(len(units))), "digit"]
    assert list(norms) == names
    for name, kernel in zip(names, weights[::2], strict=True):
        slopes = []
        for place in np.ndindex(kernel.shape):
            kept = kernel[place]
            kernel[place] = kept + 1e-5
            above = loss()
            kernel[place] = kept - 1e-5
            slopes.append((above - loss()) / 2e-5)
            kernel[place] = kept
        assert norms[name] == pytest.approx(np.sqrt(np.mean(np.square(slopes))), rel=1e-3)


def test_gradient_norms_leave_the_model_as_it_was(train):
    model = models.dense([8], batch_normalization=True, dropout=0.5)
    before = model.get_weights()
    training.gradient_norms(model, *train)
    for then, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(then, now)
    assert not model.compiled


# --- labels, recipes and schedules --------------------------------------------------------------


def test_one_hot_and_integer_labels_give_the_same_losses(train, validation):
    runs = []
    for prepare in (lambda y: y.astype(np.int64), lambda y: np.eye(10)[y]):
        model = small()
        history = fit(
            model,
            train[0],
            prepare(train[1]),
            epochs=2,
            batch_size=BATCH,
            validation=(validation[0], prepare(validation[1])),
        )
        runs.append(history.history)
    assert_same_history(*runs, rtol=1e-4)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (None, training.Recipe()),
        (training.Recipe(epochs=2, one_cycle=True), training.Recipe(epochs=2, one_cycle=True)),
        *training.RECIPES.items(),
    ],
)
def test_recipe_fills_in_what_the_caller_leaves_out(train, recipe, expected):
    shown = range(2 * expected.batch_size + 1)  # over again where there are not as many
    x, y = (array.take(shown, axis=0, mode="wrap") for array in train)
    # Its name plays no part.
    model = models.dense([4], name="cnn_best")
    history = fit(model, x, y, recipe=recipe)
    assert len(history.epoch) == expected.epochs
    assert model.optimizer.iterations == 3 * expected.epochs
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert getattr(model.loss, "label_smoothing", 0) == expected.label_smoothing
    schedule = model.optimizer._learning_rate
    if expected.one_cycle:
        rates = [float(schedule(step)) for step in range(3 * expected.epochs + 1)]
        assert max(rates) == pytest.approx(expected.learning_rate)
        assert rates[-1] == pytest.approx(0, abs=1e-9)
    else:
        assert float(schedule) == pytest.approx(expected.learning_rate)


def test_without_a_recipe_kerass_own_defaults_hold(train):
    by_keras = inspect.signature(keras.Model.fit).parameters
    model = small()
    history = fit(model, *train)
    assert len(history.epoch) == by_keras["epochs"].default == 1
    # Keras's documentation: "If unspecified, batch_size will default to 32".
    assert model.optimizer.iterations == -(-len(train[0]) // 32)
    assert float(model.optimizer.learning_rate) == pytest.approx(
        float(keras.optimizers.Adam().learning_rate)
    )


def test_every_network_of_the_series_has_a_recipe():
    assert set(training.RECIPES) == set(models.NAMES)


@pytest.mark.parametrize("recipe", ["cnn_worst", "", 3])
def test_unknown_recipe_is_refused(train, recipe):
    with pytest.raises(ValueError, match=r"recipe must be a Recipe or one of .*received"):
        fit(small(), *train, recipe=recipe)


def test_callers_numbers_go_before_the_recipe(train):
    model = models.dense([4])
    history = fit(
        model,
        *train,
        recipe="cnn",
        epochs=2,
        batch_size=200,
        learning_rate=0.5,
        label_smoothing=0.3,
    )
    assert model.loss.label_smoothing == 0.3
    assert len(history.epoch) == 2
    assert model.optimizer.iterations == 4
    # Two steps before the peak at step 1 of 4, a quarter of the way.
    assert float(model.optimizer._learning_rate(1)) == pytest.approx(0.5)


@pytest.mark.parametrize("steps", [40, 200])
def test_one_cycle_rises_for_a_quarter_and_falls_to_zero_along_a_cosine(steps):
    model = small()
    compiling.compile_model(model, learning_rate=0.01, one_cycle_steps=steps)
    rates = np.array([float(model.optimizer._learning_rate(step)) for step in range(steps + 1)])
    rise = steps // 4
    assert rates[0] == pytest.approx(0.01 / 20)
    np.testing.assert_allclose(np.diff(rates[: rise + 1]), 0.0095 / rise, rtol=1e-3)
    turn = np.pi * np.arange(steps - rise + 1) / (steps - rise)
    np.testing.assert_allclose(rates[rise:], 0.01 * (1 + np.cos(turn)) / 2, atol=1e-8)


@pytest.mark.parametrize(("one_hot", "smoothing"), [(False, 0.0), (True, 0.0), (True, 0.1)])
def test_compiled_loss_is_the_cross_entropy_of_one_step(train, one_hot, smoothing):
    x, y = (array[:50] for array in train)
    model = small()
    compiling.compile_model(model, one_hot=one_hot, label_smoothing=smoothing)
    probabilities = models.predict_proba(model, x)
    loss, accuracy = model.evaluate(x, np.eye(10)[y] if one_hot else y, verbose=0)
    target = np.eye(10)[y] * (1 - smoothing) + smoothing / 10
    by_hand = -(target * np.log(probabilities)).sum(axis=1).mean()
    assert loss == pytest.approx(by_hand, rel=1e-5)
    assert accuracy == pytest.approx(np.mean(probabilities.argmax(axis=1) == y))


def test_integers_cannot_be_smoothed_by_keras():
    with pytest.raises(ValueError, match=r"label_smoothing needs one_hot=True.* received 0\.2"):
        compiling.compile_model(small(), label_smoothing=0.2)


def test_model_with_smoothed_labels_is_saved_with_kerass_own_loss(train, tmp_path):
    x, y = train
    model = small()
    fit(model, x, y, epochs=1, label_smoothing=0.2)
    again = models.load(models.save(model, tmp_path / "model.keras"))
    assert type(again.loss) is keras.losses.CategoricalCrossentropy
    evaluated = [one.evaluate(x, np.eye(10)[y], verbose=0)[0] for one in (model, again)]
    assert evaluated[0] == evaluated[1]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (small, True),
        (partial(models.dense, [8], batch_normalization=True), True),
        (partial(models.dense, [8], dropout=0.5), False),
        (lambda: keras.Sequential([keras.layers.Dense(2), keras.layers.Softmax()]), True),
        (partial(models.build, "cnn"), False),
        (lambda: keras.Sequential([keras.Sequential([keras.layers.Conv2D(2, 3)])]), False),
        (partial(models.build, "cnn_best", precision="mixed_bfloat16"), False),
        (partial(models.dense, [8], precision="mixed_bfloat16"), False),
    ],
)
def test_xla_is_chosen_where_it_is_faster(build, expected, monkeypatch):
    assert compiling.choose_jit(build()) is expected
    monkeypatch.setattr(compiling, "has_gpu", True)
    assert compiling.choose_jit(build()) is True


# --- seeds --------------------------------------------------------------------------------------


def test_seed_fixes_the_order_and_nothing_global_does(train):
    def weights(seed):
        model = models.dense([8], dropout=0.3)
        fit(model, *train, epochs=2, batch_size=BATCH, seed=seed)
        return b"".join(weight.tobytes() for weight in model.get_weights())

    keras.utils.set_random_seed(1)
    first = weights(0)
    keras.utils.set_random_seed(2)
    assert weights(0) == first
    assert weights(1) != first


@pytest.mark.usefixtures("global_random_state")
def test_fit_touches_no_global_random_state(train):
    fit(models.build("cnn"), *train, epochs=2, hard_example_mining=0.5)


def fingerprint() -> str:
    import hashlib

    import numpy as np

    from mnistlib import models, training

    rng = np.random.default_rng(0)
    x, y = rng.integers(256, size=(192, 28, 28), dtype=np.uint8), rng.integers(10, size=192)
    model = models.build("cnn", seed=1)  # convolutions, dropout and a schedule
    training.fit(model, x, y, epochs=2, batch_size=64, hard_example_mining=0.5, seed=1)
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


def test_fresh_process_trains_bit_identical_weights():
    fresh = subprocess.run(
        [sys.executable, "-c", f"{inspect.getsource(fingerprint)}\nprint(fingerprint())"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTHONHASHSEED": "12345"},
    )
    assert (fresh.returncode, fresh.stderr) == (0, "")
    assert fresh.stdout.strip() == fingerprint()


# --- validation and callbacks -------------------------------------------------------------------


def test_validation_is_reported_and_never_trained_on(train, validation):
    with_it, without = small(), small()
    settings = {"epochs": 3, "batch_size": BATCH}
    history = fit(with_it, *train, validation=validation, **settings).history
    alone = fit(without, *train, **settings).history
    assert list(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert_same_weights(with_it, without)
    assert alone == {name: history[name] for name in ("accuracy", "loss")}
    x, y = validation
    probabilities = models.predict_proba(with_it, x)
    assert history["val_loss"][-1] == pytest.approx(
        -np.log(probabilities[np.arange(len(y)), y]).mean(), rel=1e-5
    )
    assert history["val_accuracy"][-1] == pytest.approx(np.mean(probabilities.argmax(axis=1) == y))


def test_no_data_set_is_tuned_while_it_is_read(train, validation, monkeypatch):
    """TensorFlow's tuner can hold up the end of a training for as long as the training took."""
    read = []

    def spy(model, x, validation_data, _fit=keras.Model.fit, **options):
        read.extend([x, validation_data])
        return _fit(model, x, validation_data=validation_data, **options)

    monkeypatch.setattr(keras.Model, "fit", spy)
    fit(small(), *train, epochs=1, batch_size=BATCH, validation=validation)
    assert [data.options().autotune.enabled for data in read] == [False, False]


def test_early_stopping_stops_and_restores_the_best_weights(train, validation):
    model = small()
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss", min_delta=10, patience=2, restore_best_weights=True
    )
    history = fit(
        model, *train, epochs=20, batch_size=BATCH, validation=validation, callbacks=[stopping]
    )
    assert history.epoch == [0, 1, 2]
    once = small()
    fit(once, *train, epochs=1, batch_size=BATCH)
    assert_same_weights(model, once)


def test_callbacks_see_every_epoch_and_the_losses(train, validation):
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append("begin"),
        on_epoch_begin=lambda epoch, logs: seen.append(epoch),
        on_train_end=lambda logs: seen.append("end"),
        on_epoch_end=lambda epoch, logs: seen.append(dict(logs)),
    )
    history = fit(small(), *train, epochs=2, validation=validation, callbacks=(callback,)).history
    logs = [{name: values[epoch] for name, values in history.items()} for epoch in (0, 1)]
    assert seen == ["begin", 0, logs[0], 1, logs[1], "end"]


def test_learning_rate_set_by_a_callback_is_used(train):
    halves = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0 if epoch else rate)
    model, once = (compiled(small(), keras.optimizers.SGD(0.1)) for _ in range(2))
    fit(model, *train, epochs=3, batch_size=BATCH, callbacks=[halves])
    fit(once, *train, epochs=1, batch_size=BATCH)
    assert_same_weights(model, once)


@pytest.mark.parametrize(
    ("moment", "trained"), [("on_epoch_end", BATCH * 13), ("on_train_batch_end", BATCH)]
)
def test_interruption_leaves_a_usable_model(train, moment, trained):
    def interrupt(number, logs):
        raise KeyboardInterrupt

    model, twin = compiled(small()), compiled(small())
    callback = keras.callbacks.LambdaCallback(**{moment: interrupt})
    with pytest.raises(KeyboardInterrupt):
        fit(model, *train, epochs=5, batch_size=BATCH, callbacks=[callback])
    # The first batch of an epoch is that of the same order.
    order = np.arange(len(train[0]), dtype=np.int32)
    np.random.default_rng(0).shuffle(order)
    twin.run_eagerly = True
    for batch in np.split(order[:trained], range(BATCH, min(trained, len(order)), BATCH)):
        twin.train_on_batch(train[0][batch], train[1][batch])
    twin.run_eagerly = False
    assert_same_weights(model, twin, **WEIGHTS)

    steps = int(model.optimizer.iterations)
    model.fit(*train, epochs=1, batch_size=100, verbose=0)
    assert model.optimizer.iterations == steps + 4, "Keras's usual loop is back"
    fit(model, *train, epochs=1)


# --- augmentation -------------------------------------------------------------------------------


def test_augmentation_gets_digits_and_fresh_seeds_that_the_seed_fixes(train):
    def run(seed):
        seen = []

        def watch(images, number):
            seen.append((images.shape, images.dtype, number, np.asarray(images).tobytes()))
            return images

        model = small()
        fit(model, *train, epochs=3, batch_size=BATCH, seed=seed, augment=watch)
        return seen

    first = run(0)
    assert [(shape, dtype) for shape, dtype, *_ in first] == [((400, 28, 28), tf.uint8)] * 3
    assert len({number for *_, number, _ in first}) == 3
    assert run(0) == first
    assert {number for *_, number, _ in run(1)}.isdisjoint(number for *_, number, _ in first)


def test_augmented_images_are_what_is_learnt_from(train):
    """Blank images teach nothing but the biases of the last layer."""
    model = small()
    before = model.get_weights()
    fit(model, *train, epochs=2, augment=lambda images, seed: tf.zeros_like(images))
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[-1] != after[-1]).any()


def test_recipe_augments_the_digits_unless_told_not_to(train):
    histories = {}
    for augment in (None, training.RECIPES["cnn_best"].augment, False):
        history = fit(small(), *train, recipe="cnn_best", epochs=2, augment=augment)
        histories[augment] = history.history["loss"]
    by_recipe, by_hand, without = histories.values()
    assert by_recipe == by_hand != without


# --- hard example mining ------------------------------------------------------------------------


class Watch(keras.callbacks.Callback):
    """Keeps each epoch's digits, as numbers, and the loss of every digit at the end of it."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y
        self.numbers = {image.tobytes(): number for number, image in enumerate(x)}
        self.shown, self.losses = [], []

    def augment(self, images, seed):
        self.shown.append([self.numbers[image.tobytes()] for image in np.asarray(images)])
        return images

    def on_epoch_end(self, epoch, logs=None):
        probabilities = models.predict_proba(self.model, self.x)
        self.losses.append(-np.log(probabilities[np.arange(len(self.y)), self.y]))


def test_mining_shows_the_hardest_digits_five_times_and_ranks_them_every_second_epoch(train):
    x, y = train
    watch = Watch(x, y)
    fit(small(), x, y, epochs=5, hard_example_mining=0.4, augment=watch.augment, callbacks=[watch])
    first, *later = (np.bincount(numbers, minlength=len(x)) for numbers in watch.shown)
    assert (first == 1).all()
    rankings = []
    for epoch, counts in enumerate(later, 1):
        assert counts.sum() == len(x)
        # 0.4 of 400 steps' digits are 32 digits five times; the others once or not at all.
        assert set(counts) == {0, 1, 5}
        hardest = np.flatnonzero(counts == 5)
        losses = watch.losses[epoch - 1 if epoch % 2 else epoch - 2]
        assert set(hardest) == set(np.argsort(-losses)[:32])
        rankings.append(set(hardest))
    assert rankings[0] == rankings[1] != rankings[2] == rankings[3]
    order = [watch.shown[1].index(number) for number in rankings[0]]
    assert max(order) > 40, "the hardest digits stand in front"
    assert not (later[0] == later[1]).all(), "both epochs draw the same of the other digits"


def test_mining_gives_integer_and_one_hot_labels_the_same_digits(train):
    x, y = train
    shown = []
    for labels in (y, np.eye(10, dtype=np.float32)[y]):
        watch = Watch(x, y)
        fit(small(), x, labels, epochs=3, hard_example_mining=0.5, augment=watch.augment)
        shown.append(watch.shown)
    assert shown[0] == shown[1]


def test_soft_label_that_is_answered_as_given_is_not_hard():
    """A network of zeros answers each class equally likely, which is right for the last half."""
    x = np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype(np.uint8)
    y = np.repeat(np.stack([np.eye(10)[3], np.full(10, 0.1)]), 20, axis=0).astype(np.float32)
    model = models.dense([])
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    watch = Watch(x, np.zeros(40, int))
    fit(model, x, y, epochs=2, learning_rate=1e-9, hard_example_mining=1.0, augment=watch.augment)
    counts = np.bincount(watch.shown[1], minlength=40)
    assert set(np.flatnonzero(counts == 5)) <= set(range(20))
    assert (counts == 5).sum() == 8


def test_recipe_mines_hard_examples_unless_told_not_to(train):
    histories = {}
    for share in (None, training.RECIPES["cnn_best"].hard_example_mining, 0):
        options = {"epochs": 2, "hard_example_mining": share, "augment": False}
        history = fit(small(), *train, recipe="cnn_best", **options)
        histories[share] = history.history["loss"]
    by_recipe, by_hand, without = histories.values()
    assert by_recipe == by_hand != without


# --- models the compiled loop cannot take -------------------------------------------------------


def test_eager_model_trains_in_the_usual_loop_and_says_why(train, validation):
    model = small()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    with pytest.warns(UserWarning, match="usual loop: .*run_eagerly=True") as warned:
        history = fit(model, *train, epochs=2, batch_size=100, validation=validation)
    assert warned[0].filename == __file__
    assert model.optimizer.iterations == 2 * 4
    assert history.history["loss"][1] < history.history["loss"][0]
    assert "val_loss" in history.history


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_distributed_model_trains_in_the_usual_loop_and_says_why(train, where):
    scope = tf.distribute.OneDeviceStrategy("/cpu:0").scope
    with scope():
        model = compiled(small())
    with (
        scope() if where == "inside" else contextlib.nullcontext(),
        pytest.warns(UserWarning, match=r"usual loop: .*distribution strategy"),
    ):
        history = fit(model, *train, epochs=2, batch_size=100)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_augmentation_in_the_usual_loop_is_refused_not_forgotten(train):
    model = small()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    with pytest.raises(ValueError, match=r"augment .*run_eagerly=True"):
        fit(model, *train, epochs=1, augment=lambda images, seed: images)
    with pytest.raises(ValueError, match=r"hard_example_mining .*run_eagerly=True"):
        fit(model, *train, epochs=1, hard_example_mining=0.5)


class Uncompilable(keras.layers.Layer):
    """Hands its input on, by way of an operation that XLA does not know."""

    def call(self, x):
        return tf.ensure_shape(tf.numpy_function(np.asarray, [x], x.dtype), x.shape)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def test_model_that_xla_refuses_trains_without_it_and_says_so(train):
    inputs = keras.Input((28, 28), dtype="uint8")
    flat = keras.layers.Reshape((784,))(keras.layers.Rescaling(1 / 255)(inputs))
    outputs = keras.layers.Dense(10, "softmax")(keras.layers.Reshape((784,))(Uncompilable()(flat)))
    ours, plain = keras.Model(inputs, outputs), models.dense([])
    plain.set_weights(ours.get_weights())
    with pytest.warns(UserWarning, match="Training without XLA"):
        history = fit(compiled(ours), *train, epochs=2, batch_size=BATCH, jit_compile=True)
    expected = fit(compiled(plain), *train, epochs=2, batch_size=BATCH)
    assert_same_history(history.history, expected.history, **LOSS)


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "labels", "options", "said"),
    [
        (10, 9, {}, "equally long and not empty; received 10 and 9"),
        (0, 0, {}, "equally long and not empty; received 0 and 0"),
        (10, 10, {"epochs": 0}, "epochs must be a whole number from 1; received 0"),
        (10, 10, {"epochs": 1.5}, "epochs must be a whole number from 1; received 1.5"),
        (10, 10, {"batch_size": -5}, "batch_size must be a whole number from 1; received -5"),
        (10, 10, {"learning_rate": 0.0}, "learning_rate must be positive; received 0.0"),
        (10, 10, {"learning_rate": -0.1}, "learning_rate must be positive; received -0.1"),
        (10, 10, {"learning_rate": float("nan")}, "learning_rate must be positive; received nan"),
        (10, 10, {"label_smoothing": 1.0}, "label_smoothing must be from 0 to below 1; .* 1.0"),
        (10, 10, {"label_smoothing": -0.1}, "label_smoothing must be from 0 to below 1; .* -0.1"),
        (
            10,
            10,
            {"hard_example_mining": -0.1},
            "hard_example_mining must be from 0 to 1; received -0.1",
        ),
        (
            10,
            10,
            {"hard_example_mining": 1.5},
            "hard_example_mining must be from 0 to 1; received 1.5",
        ),
    ],
)
def test_bad_numbers_are_refused(rows, labels, options, said):
    model = small()
    with pytest.raises(ValueError, match=said):
        fit(model, np.zeros((rows, 28, 28), np.uint8), np.zeros(labels, int), **options)
    assert not model.compiled


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array([3, 10]), "y must hold labels 0–9; received 3 to 10"),
        (np.array([-1, 3]), "y must hold labels 0–9; received -1 to 3"),
        (np.eye(9)[[1, 2]], r"y must have 10 columns, one a class; received \(2, 9\)"),
    ],
)
def test_labels_that_are_no_class_are_refused(labels, said):
    with pytest.raises(ValueError, match=said):
        fit(small(), np.zeros((2, 28, 28), np.uint8), labels)


@pytest.mark.parametrize("name", ["learning_rate", "label_smoothing"])
def test_what_compiling_decides_is_refused_for_a_compiled_model(train, name):
    with pytest.raises(ValueError, match=rf"{name} cannot be given .*received 0\.01"):
        fit(compiled(small()), *train, **{name: 0.01})


# --- repeat -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "alone"),
    [
        ("dense_32_16", partial(models.build, "dense_32_16")),
        *[
            (build, build)
            for build in (
                partial(models.dense, [8], dropout=0.5),
                partial(models.dense, [8], batch_normalization=True),
            )
        ],
    ],
    ids=["name", "dropout", "batch normalisation"],
)
def test_repeat_yields_the_runs_of_fit_in_the_order_of_the_seeds(train, validation, model, alone):
    settings = {"epochs": 2, "batch_size": BATCH, "jit_compile": False}
    runs = list(training.repeat(model, *train, test=validation, seeds=2, **settings))
    assert [run.seed for run in runs] == [0, 1]
    assert (runs[0].probabilities != runs[1].probabilities).any()
    x, y = validation
    for run in runs:
        np.testing.assert_array_equal(run.probabilities, models.predict_proba(run.model, x))
        assert run.accuracy == np.mean(run.probabilities.argmax(axis=1) == y)
        assert run.seconds > 0

        expected = alone(seed=run.seed)
        history = training.fit(expected, *train, seed=run.seed, **settings).history
        assert run.history == history
        assert_same_weights(expected, run.model)


def test_repeat_with_a_schedule_begins_it_anew_for_each_seed(train, validation):
    build = partial(models.dense, [8])
    settings = {"recipe": "cnn", "epochs": 2, "jit_compile": False}
    *_, last = training.repeat(build, *train, test=validation, seeds=2, **settings)
    expected = build(seed=1)
    training.fit(expected, *train, seed=1, **settings)
    assert_same_weights(expected, last.model)


def test_repeat_trains_only_as_far_as_it_is_asked(train, validation):
    built = []

    def build(*, seed):
        built.append(seed)
        return small(seed)

    runs = training.repeat(build, *train, test=validation, epochs=1, jit_compile=False)
    assert built == []
    next(runs)
    assert set(built) == {0}
