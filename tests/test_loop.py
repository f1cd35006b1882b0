"""The compiled loop as callbacks, the log and XLA meet it."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

from mnistlib import loop, models, training
from mnistlib._tensorflow import keras, tf

callbacks = keras.callbacks


@pytest.fixture(scope="module")
def train(digits) -> tuple[np.ndarray, np.ndarray]:
    return digits.x_train[:410], digits.y_train[:410]


fit = partial(training.fit, batch_size=20, jit_compile=False)
BATCHES = 21


def small() -> keras.Model:
    return models.dense([8])


# --- callbacks that count batches ---------------------------------------------------------------


@pytest.mark.parametrize("jit_compile", [False, True])
def test_checkpoint_every_fifth_batch_is_written_every_fifth_batch(train, tmp_path, jit_compile):
    saved = callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=5)
    fit(small(), *train, epochs=2, callbacks=[saved], jit_compile=jit_compile)
    # As in Keras: the count runs on over the epochs.
    expected = {f"{1 + at // BATCHES}-{1 + at % BATCHES}.keras" for at in range(4, 42, 5)}
    assert {path.name for path in tmp_path.iterdir()} == expected


@pytest.mark.parametrize("jit_compile", [False, True])
def test_callback_after_each_batch_sees_the_weights_of_kerass_own_loop(train, jit_compile):
    seen = {}
    for name in ("keras", "ours"):
        model = small()
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        steps = seen[name] = []
        watch = callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, model=model, steps=steps: steps.append(
                [batch, logs["loss"], *model.get_weights()[-1]]
            )
        )
        if name == "ours":
            fit(model, *train, epochs=1, callbacks=[watch], jit_compile=jit_compile)
        else:
            order = np.arange(len(train[0]), dtype=np.int32)
            np.random.default_rng(0).shuffle(order)
            x, y = (array[order] for array in train)
            model.fit(x, y, batch_size=20, shuffle=False, verbose=0, callbacks=[watch])
    assert len(seen["ours"]) == BATCHES
    np.testing.assert_allclose(seen["ours"], seen["keras"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (callbacks.EarlyStopping(), False),
        (callbacks.ReduceLROnPlateau(), False),
        (callbacks.CSVLogger("log.csv"), False),
        (callbacks.ModelCheckpoint("m.keras"), False),
        (callbacks.ModelCheckpoint("m.keras", save_freq=5), True),
        (callbacks.BackupAndRestore("backup"), False),
        (callbacks.BackupAndRestore("backup", save_freq=5), True),
        (callbacks.TerminateOnNaN(), True),
        (callbacks.LambdaCallback(on_epoch_end=print), False),
        (callbacks.LambdaCallback(on_train_batch_begin=print), True),
        (callbacks.LambdaCallback(on_batch_end=print), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_which_callbacks_act_on_batches(callback, expected):
    assert loop.counts_batches(callback) is expected


def test_bar_of_tqdm_does_not_slow_a_training():
    from tqdm.keras import TqdmCallback

    assert loop.counts_batches(TqdmCallback(verbose=0, disable=True)) is False


def test_training_stops_at_the_batch_at_which_it_is_told_to(train):
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 6

    model = small()
    fit(model, *train, epochs=3, callbacks=[Stop()])
    assert int(model.optimizer.iterations) == 7


# --- the log ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [20, 205, 1000])
def test_log_counts_batches(train, capsys, batch_size):
    fit(small(), *train, epochs=2, batch_size=batch_size, validation=train, verbose=2)
    out = capsys.readouterr().out
    batches = -(-len(train[0]) // batch_size)
    lines = re.findall(r"^(\d+)/(\d+) - .*accuracy: .*val_loss: [\d.]+$", out, re.MULTILINE)
    assert lines == [(str(batches), str(batches))] * 2
    assert "Epoch 2/2" in out


def test_bar_reaches_the_last_batch_and_no_further(capsys):
    """Without XLA an epoch is several calls; the bar is drawn after each."""
    digits = np.random.default_rng(0).integers(0, 256, (20_000, 28, 28)).astype(np.uint8)
    labels = np.arange(20_000) % 10
    fit(models.dense([]), digits, labels, epochs=1, batch_size=512, verbose=1)
    seen = [int(at) for at in re.findall(r"(\d+)/40\b", capsys.readouterr().out)]
    assert seen == sorted(seen)
    assert seen[-1] == 40
    # Keras draws no oftener than twenty times a second.
    assert seen[0] == 16
    assert set(seen) <= {16, 32, 40}


def test_silent_training_says_nothing(train, capfd):
    fit(small(), *train, epochs=1)
    assert capfd.readouterr() == ("", "")


# --- XLA ----------------------------------------------------------------------------------------


class Broken(keras.layers.Layer):
    """Fails to be compiled as on a machine whose GPU lacks a file: in XLA alone, by this error."""

    def call(self, x):
        from tensorflow.python.ops import control_flow_util

        graph = tf.compat.v1.get_default_graph()
        if not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(graph):
            raise tf.errors.InternalError(None, None, "libdevice not found at ./libdevice.10.bc")
        return x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def test_internal_error_of_xla_is_no_end_of_the_training(train):
    inputs = keras.Input((28, 28), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(10, "softmax")(Broken()(x)))
    plain = models.dense([])
    plain.set_weights(model.get_weights())
    with pytest.warns(UserWarning, match=r"Training without XLA, .*calling Broken\.call"):
        found = fit(model, *train, epochs=2, jit_compile=True).history["loss"]
    expected = fit(plain, *train, epochs=2).history["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
