"""The compiled loop: one function that runs many training steps over digits already in memory.

Keras's own loop calls ``model.train_function`` for every batch, and prepares, hands over and waits
for each; on small networks that costs more than the arithmetic. Here each call runs a *stretch* of
batches, usually an epoch. Keras's ``fit`` stays in charge of everything around it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax, rel_entr

from mnistlib._tensorflow import keras, tf

PREDICTED_AT_ONCE = 2_000
"""Digits in a batch of validation or prediction; bounds memory."""

# Digits handed to the compiled function at a time. One epoch of MNIST where XLA compiles for this
# very shape; less without XLA, where the loop is slower and may be interrupted between the parts.
_DIGITS_PER_CALL = {True: 65_536, False: 8_192}
# Hard example mining: how often an epoch shows each of the hardest digits, and after how many
# epochs the network is asked anew which they are.
_SHOWN = 5
_EPOCHS_PER_RANKING = 2

_XLA_REFUSES = (
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
    # As on a machine with a GPU and without CUDA's libdevice.
    tf.errors.InternalError,
)


class Stretches:
    """Keras's ``train_function``: each call trains on the next stretch of an epoch's batches.

    Args:
        model: A compiled model.
        arrays: Inputs, labels and, where there are some, weights: each (n, …).
        batch_size: Digits per step.
        augment: A function of a batch of images and a seed, or None.
        hard_example_mining: Share of the steps spent on the hardest digits, 0–1.
        logits: Whether the model gives logits, not probabilities.
        jit: Whether to compile with XLA.
    """

    def __init__(
        self,
        model: keras.Model,
        arrays: Sequence[np.ndarray],
        *,
        batch_size: int,
        augment: Callable[[tf.Tensor, int], tf.Tensor] | None,
        hard_example_mining: float,
        logits: bool,
        jit: bool,
    ):
        self.model, self.batch_size, self.augment, self.jit = model, batch_size, augment, jit
        self.hard_example_mining, self.logits = hard_example_mining, logits
        self.arrays = [tf.constant(array) for array in arrays]
        self.restart(0)
        self.run_whole = tf.function(self._whole_batches, jit_compile=True, autograph=False)
        # One trace serves every length, the shorter last stretch and its shorter last batch too.
        anything = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in self.arrays]
        self.run = tf.function(self._any_batches, input_signature=anything, autograph=False)

    def restart(self, seed: int, *, every_batch: bool = False) -> None:
        """Begin again with the order of digits that belongs to a seed.

        Args:
            seed: Of the order and of the augmentation.
            every_batch: Whether each stretch shall be one batch, for callbacks that count them.
        """
        self.rng = np.random.default_rng(seed)
        self.order = np.arange(len(self.arrays[0]), dtype=np.int32)
        # The hardest digits first, as of the last time that they were asked.
        self.ranking = np.arange(len(self.arrays[0]))
        self.epochs_begun = 0
        batches = 1 if every_batch else max(1, _DIGITS_PER_CALL[self.jit] // self.batch_size)
        self.length = batches * self.batch_size

    def state(self) -> dict[str, Any]:
        """Give what decides the epochs to come: numbers, mappings of numbers, and arrays."""
        return {
            "rng": self.rng.bit_generator.state,
            "epochs_begun": self.epochs_begun,
            "order": self.order,
            "ranking": self.ranking,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave, in this process or another.

        Raises:
            ValueError: It is that of a loop over other digits, or damaged.
        """
        try:
            order, ranking = np.asarray(state["order"]), np.asarray(state["ranking"])
            places = [("order", order, self.order), ("ranking", ranking, self.ranking)]
            for name, given, own in places:
                if given.shape != own.shape or given.dtype != own.dtype:
                    raise ValueError(f"its {name} is {given.dtype} {given.shape}")
                if len(given) and not 0 <= given.min() <= given.max() < len(own):
                    raise ValueError(f"its {name} names digits that are not there")
            self.rng.bit_generator.state = state["rng"]
            self.epochs_begun = int(state["epochs_begun"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"resume must name a file of the same digits: {error}") from error
        self.order, self.ranking = order.copy(), ranking.copy()

    def __len__(self) -> int:
        """How many stretches make an epoch."""
        return -(-len(self.order) // self.length)

    @property
    def batches(self) -> int:
        """How many batches make an epoch."""
        return -(-len(self.order) // self.batch_size)

    def __call__(self, iterator: Iterator[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Train on the stretch whose number comes next, and give Keras its logs."""
        number = int(next(iterator))
        if number == 0:
            self._begin_epoch()
        part = self.order[number * self.length :][: self.length]
        x, *others = (tf.gather(array, part) for array in self.arrays)
        if self.augment is not None:
            x = self.augment(x, int(self.rng.integers(2**31)))
        stretch = [x, *others]
        # XLA wants constant shapes; the shorter last batch is not worth compiling a second time.
        whole = len(part) // self.batch_size * self.batch_size if self.jit else 0
        try:
            if whole:
                logs = self.run_whole(*(array[:whole] for array in stretch))
        except _XLA_REFUSES as error:
            if not self.jit:
                raise
            # XLA refuses a model before it runs any of it, so no step is lost or done twice.
            warnings.warn(
                f"Training without XLA, which cannot compile {self.model.name}: "
                f"{str(error).splitlines()[0]}",
                stacklevel=2,
            )
            self.jit, whole = False, 0
        if whole < len(part):
            logs = self.run(*(array[whole:] for array in stretch))
        return logs

    def _begin_epoch(self):
        """Decide which digits the epoch trains on, and their order."""
        if self.hard_example_mining and self.epochs_begun:
            if self.epochs_begun % _EPOCHS_PER_RANKING == 1:
                self.ranking = np.argsort(-self._losses(), kind="stable")
            self.order = shown(self.ranking, self.hard_example_mining, self.rng).astype(np.int32)
        self.rng.shuffle(self.order)
        self.epochs_begun += 1

    def _losses(self) -> np.ndarray:
        """Compute each digit's cross-entropy, less that of a perfect answer to soft labels."""
        x, y = self.arrays[0], np.asarray(self.arrays[1])
        parts = range(0, len(x), PREDICTED_AT_ONCE)
        given = [self.model.predict_on_batch(x[at : at + PREDICTED_AT_ONCE]) for at in parts]
        given = np.concatenate(given).astype(np.float32)
        if self.logits:
            given = np.exp(log_softmax(given, axis=1))
        probabilities = np.maximum(given, 1e-7)
        if y.ndim == 2:
            return rel_entr(y, probabilities).sum(axis=1)
        return -np.log(probabilities[np.arange(len(x)), y])

    def _whole_batches(self, *arrays):
        def step(start):
            batch = [
                tf.slice(
                    array,
                    [start] + [0] * (array.shape.rank - 1),
                    [self.batch_size, *array.shape[1:]],
                )
                for array in arrays
            ]
            self.model.train_step(batch)
            return start + self.batch_size

        tf.while_loop(lambda start: start < arrays[0].shape[0], step, [0])
        return self.model.get_metrics_result()

    def _any_batches(self, *arrays):
        def step(start):
            end = start + self.batch_size
            self.model.train_step([array[start:end] for array in arrays])
            return end

        tf.while_loop(lambda start: start < tf.shape(arrays[0])[0], step, [0])
        return self.model.get_metrics_result()


def shown(ranking: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Choose the digits of an epoch of hard example mining: the hardest five times, first.

    Args:
        ranking: Numbers of all digits, the hardest first; (n,).
        share: Of the epoch that the hardest take, 0–1.
        rng: Draws those of the others that are shown, once each.

    Returns:
        As many numbers, (n,).
    """
    hardest = round(share * len(ranking) / _SHOWN)
    others = rng.permutation(ranking[hardest:])
    return np.concatenate([np.repeat(ranking[:hardest], _SHOWN), others])[: len(ranking)]


class BatchProgress(keras.callbacks.ProgbarLogger):
    """Keras's log of an epoch, counting batches where the loop counts stretches."""

    def __init__(self, stretches: Stretches):
        super().__init__()
        self.batches = stretches.batches
        self.each = stretches.length // stretches.batch_size

    def set_params(self, params):
        """Take Keras's settings, with the number of batches for that of calls."""
        super().set_params({**params, "steps": self.batches})

    def on_train_batch_end(self, batch, logs=None):
        """Draw the bar as far as the batches of so many stretches reach."""
        super().on_train_batch_end(min((batch + 1) * self.each, self.batches) - 1, logs)


def counts_batches(callback: keras.callbacks.Callback) -> bool:
    """Tell whether a callback acts on single batches, and so has to be called after each."""
    kinds = keras.callbacks
    if isinstance(callback, kinds.ModelCheckpoint | kinds.BackupAndRestore):
        return callback.save_freq != "epoch"
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    return any(
        hook in vars(callback) or getattr(type(callback), hook) is not getattr(kinds.Callback, hook)
        for hook in hooks
    )


def without_tuning(data: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off the thread with which TensorFlow tunes a data set while it is read.

    It wakes after pauses that double, and the end of a training may wait until it does (seen in
    TensorFlow 2.21): 7.4 s of work then took 10.2 s, 3.5 s took 5.1 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
