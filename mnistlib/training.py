"""Compile and fit, fast; repeat over seeds.

``fit`` gives Keras's own loop (callbacks, ``History``, validation, interruption) one compiled
function that runs many training steps over digits already in memory. Keras's usual loop prepares,
hands over and waits for every batch, and on small networks that costs more than the arithmetic.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral

import numpy as np
from scipy.special import rel_entr

from mnistlib import images, metrics, models
from mnistlib._tensorflow import keras, tf

# Digits handed to the compiled function at a time. One epoch of MNIST where XLA compiles for this
# very shape; less without XLA, where the loop is slower and may be interrupted between the parts.
_DIGITS_PER_CALL = {True: 65_536, False: 8_192}
_PREDICTED_AT_ONCE = 2_000
# With ``focus``: how often an epoch shows each of the hardest digits, and after how many epochs the
# network is asked anew which they are.
_SHOWN = 5
_EPOCHS_PER_RANKING = 2


@dataclass(frozen=True)
class Recipe:
    """How a network is trained when the caller does not say otherwise.

    Attributes:
        epochs: Passes over the training digits.
        batch_size: Digits per step.
        learning_rate: Adam's step size; the peak where the schedule is one-cycle.
        one_cycle: Raise the learning rate over the first quarter of the steps, then lower it to
            zero along a cosine (Smith 2018, arXiv:1803.09820), instead of keeping it constant.
        label_smoothing: Share of each label spread evenly over all classes, 0–1 (Szegedy et al.
            2016, arXiv:1512.00567, section 7).
        augment: A function of a batch of images and a seed that returns changed images, or None.
        focus: From the second epoch on, share of the steps spent on the hardest digits, 0–1; see
            ``fit``.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 1e-3
    one_cycle: bool = False
    label_smoothing: float = 0.0
    augment: Callable[[tf.Tensor, int], tf.Tensor] | None = None
    focus: float = 0.0


RECIPES: dict[str, Recipe] = {
    "dense_best": Recipe(
        epochs=15,
        learning_rate=2e-3,
        one_cycle=True,
        augment=partial(images.vary, elastic=1.0),
        focus=0.6,
    ),
    "cnn": Recipe(epochs=4, learning_rate=1.5e-2, one_cycle=True),
    "cnn_fast": Recipe(epochs=2, learning_rate=1e-2, one_cycle=True),
    "cnn_best": Recipe(
        epochs=14,
        learning_rate=5e-3,
        one_cycle=True,
        label_smoothing=0.1,
        augment=partial(images.vary, elastic=0.5, deslanted=0.5),
        focus=0.7,
    ),
}
"""Recipes by model name; ``find_recipe`` knows the others."""


def find_recipe(name: str) -> Recipe:
    """Find the recipe of a model's name in ``RECIPES``; ``Recipe()`` where it has none."""
    return RECIPES.get(name, Recipe())


@keras.saving.register_keras_serializable(package="mnistlib")
class SmoothedCrossentropy(keras.losses.Loss):
    """Keras's ``CategoricalCrossentropy`` with label smoothing, for integer labels."""

    def __init__(self, label_smoothing: float, **options):
        super().__init__(**options)
        self.label_smoothing = label_smoothing

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Compute the loss of each of n digits from labels (n,) and probabilities (n, classes)."""
        one_hot = keras.ops.one_hot(y_true, y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(
            one_hot, y_pred, label_smoothing=self.label_smoothing
        )

    def get_config(self) -> dict:
        """Return what a saved model needs to build this loss again."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@dataclass(frozen=True, eq=False)
class Run:
    """One training with one seed.

    Attributes:
        seed: The seed of the initial weights, dropout masks and shuffling.
        model: The trained network.
        history: Loss and metrics by epoch, as in ``History.history``.
        probabilities: Predictions for the test images, float32 (n, 10).
        accuracy: Share of test images recognised, 0–1.
        seconds: Duration of the training; the first run's includes the compilation.
    """

    seed: int
    model: keras.Model
    history: dict[str, list[float]]
    probabilities: np.ndarray
    accuracy: float
    seconds: float


def fit(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    label_smoothing: float | None = None,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
    augment: Callable[[tf.Tensor, int], tf.Tensor] | bool = True,
    focus: float | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    jit_compile: bool | None = None,
    verbose: int = 0,
) -> keras.callbacks.History:
    """Train a model; the same losses as ``model.fit`` on the same batches, sooner.

    An uncompiled model is compiled with Adam, cross-entropy (sparse for integer labels, categorical
    for one-hot ones) and accuracy. A model that is compiled keeps its loss, metrics and optimizer.

    Callbacks for batches are called once for each compiled stretch of batches, not for each batch.

    Args:
        model: Any Keras model.
        x: Inputs (n, …), as the model takes them; digits stay uint8.
        y: Labels (n,) integer, or one-hot (n, 10).
        epochs: Passes over the data. None: as ``RECIPES`` has it for ``model.name``.
        batch_size: Digits per step; the last batch of an epoch may be smaller. None: likewise.
        learning_rate: Adam's step size (the peak of a one-cycle schedule). None: likewise. Only
            for a model that is not compiled yet.
        label_smoothing: Share of each label spread evenly over all classes, 0–1. None: likewise,
            and only for a model that is not compiled yet.
        validation: ``(x, y)`` measured after every epoch; never trained on.
        seed: Fixes the order of the digits and their augmentation. The initial weights are fixed
            by the seed of ``models.build``.
        augment: A function of a batch of images and a seed that returns changed images, anew for
            every epoch. True: as ``RECIPES`` has it. False: none.
        focus: Share of the steps, 0–1, that go to the hardest digits: from the second epoch on,
            every epoch shows each of them five times, and fills the rest with a draw from the
            others, so that an epoch is no longer than without. The hardest are those whose labels
            the network finds least likely, asked again after every second epoch, a forward pass
            over all digits (online hard example mining: Shrivastava et al. 2016, arXiv:1604.03540;
            with a ranking kept for some time: Loshchilov and Hutter 2016, arXiv:1511.06343). Loss
            and accuracy in training are then those of a harder selection. The model must give
            probabilities, not log-odds. None: as ``RECIPES`` has it.
        callbacks: Keras callbacks.
        jit_compile: Compile with XLA or not. None: as ``choose_jit`` decides.
        verbose: As in Keras: 0 silent, 1 a bar, 2 one line an epoch.

    Returns:
        Keras's ``History``.

    Raises:
        ValueError: The lengths of ``x`` and ``y`` differ, there is nothing to train on, a label is
            no class of the model, or a number is not positive.
    """
    trainer = _Trainer(
        model,
        x,
        y,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        label_smoothing=label_smoothing,
        jit_compile=jit_compile,
        augment=augment,
        focus=focus,
    )
    return trainer.fit(seed=seed, validation=validation, callbacks=callbacks, verbose=verbose)


def compile_model(
    model: keras.Model,
    *,
    one_hot: bool = False,
    learning_rate: float = 1e-3,
    one_cycle_steps: int | None = None,
    label_smoothing: float = 0.0,
) -> None:
    """Compile a classifier with Adam, cross-entropy and accuracy.

    Args:
        model: A model that ends in softmax.
        one_hot: Labels are rows (n, 10) with a single 1, not integers.
        learning_rate: Adam's step size; the peak where ``one_cycle_steps`` is given.
        one_cycle_steps: Length of a one-cycle schedule in steps. None: a constant rate.
        label_smoothing: Share of each label spread evenly over all classes, 0–1.
    """
    if one_cycle_steps:
        rise = max(1, one_cycle_steps // 4)
        learning_rate = keras.optimizers.schedules.CosineDecay(
            learning_rate / 20,
            max(1, one_cycle_steps - rise),
            warmup_target=learning_rate,
            warmup_steps=rise,
        )
    if label_smoothing:
        kind = keras.losses.CategoricalCrossentropy if one_hot else SmoothedCrossentropy
        loss = kind(label_smoothing=label_smoothing)
    else:
        loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=loss, metrics=["accuracy"])


def choose_jit(model: keras.Model) -> bool:
    """Decide whether XLA makes this model faster on a CPU.

    It does for dense layers, and for the layers of ``models`` where a training is long enough to
    earn back the seconds of compiling. Its own convolutions and pooling gradients are several times
    slower than TensorFlow's, and so are the random numbers of dropout.
    In bfloat16 TensorFlow's own products use a processor's units for it; whether XLA's do is not
    known.
    """
    if any(layer.compute_dtype == "bfloat16" for layer in model._flatten_layers()):
        return False
    kinds = keras.layers
    spared = (models.PatchConv2D, models.BlockMaxPooling2D, models.HashDropout)
    slow = (kinds.Conv1D, kinds.Conv2D, kinds.Conv3D, kinds.Conv2DTranspose, kinds.DepthwiseConv2D,
            kinds.SeparableConv2D, kinds.MaxPooling2D, kinds.Dropout)  # fmt: skip
    return not any(
        isinstance(layer, slow) and not isinstance(layer, spared)
        for layer in model._flatten_layers()
    )


def repeat(
    model: str | Callable[..., keras.Model],
    x: np.ndarray,
    y: np.ndarray,
    *,
    test: tuple[np.ndarray, np.ndarray],
    seeds: int = 5,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    verbose: int = 0,
    **preparation,
) -> Iterator[Run]:
    """Train the same recipe with seeds 0, 1, 2, …; yields each run as it ends.

    Each run equals ``fit`` with that seed; the compilation is shared.

    Args:
        model: A name in ``models.NAMES``, or a function that builds a model when called with
            ``seed=…``, such as ``partial(models.dense, [128], dropout=0.2)``.
        x: Training inputs (n, …).
        y: Training labels.
        test: ``(images, labels)``, looked at once, after each training.
        seeds: How many seeds; a claim needs at least five.
        validation: ``(x, y)`` measured after every epoch; never trained on.
        verbose: As for ``fit``.
        **preparation: ``epochs``, ``batch_size``, ``learning_rate``, ``label_smoothing``,
            ``augment``, ``focus`` and ``jit_compile``, as for ``fit``.

    Yields:
        One ``Run`` a seed.
    """
    build = partial(models.build, model) if isinstance(model, str) else model
    trainer = None
    for seed in range(seeds):
        start = time.perf_counter()
        network = build(seed=seed)
        if trainer is None:
            trainer = _Trainer(build(seed=seed), x, y, **preparation)
            fresh = _values(trainer.model.optimizer)
        # One compiled network is trained again and again, each time from this seed's start.
        _assign(trainer.model, _values(network))
        _assign(trainer.model.optimizer, fresh)
        history = trainer.fit(seed=seed, validation=validation, verbose=verbose)
        _assign(network, _values(trainer.model))
        seconds = time.perf_counter() - start
        probabilities = models.predict_proba(network, test[0])
        accuracy = metrics.accuracy(test[1], probabilities.argmax(axis=1))
        yield Run(seed, network, history.history, probabilities, accuracy, seconds)


def gradient_norms(model: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Measure how strongly the loss on a batch pulls at each layer's weights.

    Returns:
        Layer name → root mean square of the gradient over that layer's kernel.
    """
    kernels = {layer.name: layer.kernel for layer in model.layers if hasattr(layer, "kernel")}
    loss = keras.losses.SparseCategoricalCrossentropy()
    with tf.GradientTape() as tape:
        value = loss(y, model(x, training=False))
    gradients = tape.gradient(value, list(kernels.values()))
    return {
        name: float(np.sqrt(np.mean(np.square(gradient))))
        for name, gradient in zip(kernels, gradients, strict=True)
    }


class _Trainer:
    """A model made ready to be trained, once or several times, by one compiled function."""

    def __init__(self, model, x, y, *, augment=True, jit_compile=None, **given):
        if len(x) != len(y) or len(x) == 0:
            raise ValueError(
                f"x and y must be equally long and not empty; received {len(x)} and {len(y)}"
            )
        given = {name: value for name, value in given.items() if value is not None}
        recipe = replace(find_recipe(model.name), **given)
        _check_numbers(recipe)
        self.epochs, self.batch_size = recipe.epochs, recipe.batch_size
        if model.compiled:
            for name in ("learning_rate", "label_smoothing"):
                if name in given:
                    raise ValueError(
                        f"{name} cannot be given for a compiled model, which has its own; "
                        f"received {given[name]}"
                    )
        else:
            _check_labels(y, classes=model.output_shape[-1])
            steps = self.epochs * -(-len(x) // self.batch_size)
            compile_model(
                model,
                one_hot=np.ndim(y) == 2,
                learning_rate=recipe.learning_rate,
                one_cycle_steps=steps if recipe.one_cycle else None,
                label_smoothing=recipe.label_smoothing,
            )
        if isinstance(augment, bool):
            augment = recipe.augment if augment else None
        self.model, self.x, self.y = model, x, y
        with model.distribute_strategy.scope():
            _create_variables(model, x[:1], y[:1])
        self.reason = _why_not_compiled(model)
        if self.reason:
            for name, wanted in (("augment", augment is not None), ("focus", recipe.focus > 0)):
                if wanted:
                    raise ValueError(
                        f"{name} works in the compiled loop only, which cannot train this model: "
                        f"{self.reason}"
                    )
            return
        jit = choose_jit(model) if jit_compile is None else jit_compile
        self.stretches = _Stretches(
            model, x, y, batch_size=self.batch_size, augment=augment, focus=recipe.focus, jit=jit
        )

    def fit(self, *, seed, validation=None, callbacks=(), verbose=0):
        common = {"epochs": self.epochs, "verbose": verbose, "callbacks": list(callbacks)}
        if self.reason:
            warnings.warn(f"Training with Keras's usual loop: {self.reason}", stacklevel=3)
            keras.utils.set_random_seed(seed)
            batches = {"batch_size": self.batch_size, "validation_batch_size": _PREDICTED_AT_ONCE}
            return self.model.fit(self.x, self.y, validation_data=validation, **batches, **common)
        if validation is not None:
            arrays = tf.data.Dataset.from_tensor_slices(tuple(validation))
            validation = _without_tuning(arrays.batch(_PREDICTED_AT_ONCE))
        self.stretches.restart(seed)
        # Keras keeps a train_function that is already there, and calls it once for each element of
        # the data set: here the number of a stretch of batches.
        self.model.train_function = self.stretches
        numbers = _without_tuning(tf.data.Dataset.range(len(self.stretches)))
        try:
            return self.model.fit(numbers, validation_data=validation, shuffle=False, **common)
        finally:
            self.model.train_function = None


class _Stretches:
    """Keras's ``train_function``: each call trains on the next stretch of an epoch's batches."""

    def __init__(self, model, x, y, *, batch_size, augment, focus, jit):
        self.model, self.batch_size, self.augment, self.jit = model, batch_size, augment, jit
        self.focus = focus
        self.x, self.y = tf.constant(x), tf.constant(y)
        self.restart(0)
        self.length = max(1, _DIGITS_PER_CALL[jit] // batch_size) * batch_size
        self.run_whole = tf.function(self._whole_batches, jit_compile=True, autograph=False)
        # One trace serves every length, the shorter last stretch and its shorter last batch too.
        anything = [
            tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in (self.x, self.y)
        ]
        self.run = tf.function(self._any_batches, input_signature=anything, autograph=False)

    def restart(self, seed: int) -> None:
        """Begin again with the order of digits that belongs to a seed."""
        self.rng = np.random.default_rng(seed)
        self.order = np.arange(len(self.x), dtype=np.int32)
        self.epochs_begun = 0

    def __len__(self) -> int:
        """How many stretches make an epoch."""
        return -(-len(self.order) // self.length)

    def __call__(self, iterator):
        number = int(next(iterator))
        if number == 0:
            self._begin_epoch()
        part = self.order[number * self.length :][: self.length]
        x, y = tf.gather(self.x, part), tf.gather(self.y, part)
        if self.augment is not None:
            x = self.augment(x, int(self.rng.integers(2**31)))
        # XLA wants constant shapes; the shorter last batch is not worth compiling a second time.
        whole = len(part) // self.batch_size * self.batch_size if self.jit else 0
        try:
            if whole:
                with models.written_for_xla():
                    logs = self.run_whole(x[:whole], y[:whole])
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
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
            logs = self.run(x[whole:], y[whole:])
        return logs

    def _begin_epoch(self):
        """Decide which digits the epoch trains on, and their order."""
        if self.focus and self.epochs_begun:
            if self.epochs_begun % _EPOCHS_PER_RANKING == 1:
                self.ranking = np.argsort(-_losses(self.model, self.x, self.y), kind="stable")
            hardest = round(self.focus * len(self.x) / _SHOWN)
            others = self.rng.permutation(self.ranking[hardest:])
            chosen = [np.repeat(self.ranking[:hardest], _SHOWN), others]
            self.order = np.concatenate(chosen)[: len(self.x)].astype(np.int32)
        self.rng.shuffle(self.order)
        self.epochs_begun += 1

    def _whole_batches(self, x, y):
        def step(start):
            batch = [
                tf.slice(
                    array,
                    [start] + [0] * (array.shape.rank - 1),
                    [self.batch_size, *array.shape[1:]],
                )
                for array in (x, y)
            ]
            self.model.train_step(batch)
            return start + self.batch_size

        tf.while_loop(lambda start: start < x.shape[0], step, [0])
        return self.model.get_metrics_result()

    def _any_batches(self, x, y):
        def step(start):
            end = start + self.batch_size
            self.model.train_step((x[start:end], y[start:end]))
            return end

        tf.while_loop(lambda start: start < tf.shape(x)[0], step, [0])
        return self.model.get_metrics_result()


def _losses(model: keras.Model, x: tf.Tensor, y: tf.Tensor) -> np.ndarray:
    """Compute each digit's cross-entropy, less that of a perfect answer, which soft labels have."""
    parts = range(0, len(x), _PREDICTED_AT_ONCE)
    given = [model.predict_on_batch(x[at : at + _PREDICTED_AT_ONCE]) for at in parts]
    probabilities = np.maximum(np.concatenate(given), 1e-7)
    if y.ndim == 2:
        return rel_entr(np.asarray(y), probabilities).sum(axis=1)
    return -np.log(probabilities[np.arange(len(x)), np.asarray(y)])


def _without_tuning(data: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off the thread with which TensorFlow tunes a data set while it is read.

    It wakes after pauses that double, and the end of a training may wait until it does (seen in
    TensorFlow 2.21): 7.4 s of work then took 10.2 s, 3.5 s took 5.1 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def _values(owner: keras.Model | keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in _variables(owner)]


def _assign(owner: keras.Model | keras.optimizers.Optimizer, values: list[np.ndarray]) -> None:
    for variable, value in zip(_variables(owner), values, strict=True):
        variable.assign(value)


def _variables(owner: keras.Model | keras.optimizers.Optimizer) -> list[keras.Variable]:
    """List a model's weights and random states, or an optimizer's variables, in a fixed order."""
    if isinstance(owner, keras.Model):
        return [*owner.trainable_variables, *owner.non_trainable_variables]
    return owner.variables


def _create_variables(model: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Create the variables of metrics and optimizer, which cannot be born inside a loop."""
    x, y = tf.constant(x), tf.constant(y)
    y_pred = model(x, training=False)
    model.compute_loss(x, y, y_pred)
    model.compute_metrics(x, y, y_pred)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _check_numbers(recipe: Recipe) -> None:
    for name in ("epochs", "batch_size"):
        number = getattr(recipe, name)
        if not isinstance(number, Integral) or number < 1:
            raise ValueError(f"{name} must be a whole number from 1; received {number!r}")
    if not recipe.learning_rate > 0:
        raise ValueError(f"learning_rate must be positive; received {recipe.learning_rate}")
    if not 0 <= recipe.focus <= 1:
        raise ValueError(f"focus must be from 0 to 1; received {recipe.focus}")
    if not 0 <= recipe.label_smoothing < 1:
        raise ValueError(
            f"label_smoothing must be from 0 to below 1; received {recipe.label_smoothing}"
        )


def _check_labels(y: np.ndarray, *, classes: int) -> None:
    if np.ndim(y) == 2 and np.shape(y)[1] != classes:
        raise ValueError(f"y must have {classes} columns, one a class; received {np.shape(y)}")
    # A label beyond the classes makes the loss nan, with no word of why.
    if np.ndim(y) == 1 and (np.min(y) < 0 or np.max(y) >= classes):
        raise ValueError(f"y must hold labels 0–{classes - 1}; received {np.min(y)} to {np.max(y)}")


def _why_not_compiled(model: keras.Model) -> str | None:
    """Say why the compiled loop cannot train this model, or None where it can."""
    if model.run_eagerly:
        return "the model was compiled with run_eagerly=True"
    strategy = tf.distribute.get_strategy()
    if tf.distribute.has_strategy() or model.distribute_strategy is not strategy:
        return "the model belongs to a distribution strategy"
    return None
