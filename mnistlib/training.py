"""Recipes; compile and fit, fast; repeat over seeds.

``fit`` gives Keras's own loop (callbacks, ``History``, validation, interruption) one compiled
function that runs many training steps over digits already in memory; see ``loop``.
"""

from __future__ import annotations

import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from pathlib import Path

import numpy as np

from mnistlib import checkpoint, compiling, inputs, loop, metrics, models, provenance
from mnistlib._tensorflow import keras, standard_settings, tf
from mnistlib.augment import distort


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are those of Keras.

    Attributes:
        epochs: Passes over the training digits.
        batch_size: Digits per step.
        learning_rate: Adam's step size; the peak where the schedule is one-cycle.
        one_cycle: Raise the learning rate over the first quarter of the steps, then lower it to
            zero along a cosine (Smith 2018, arXiv:1803.09820), instead of keeping it constant.
        label_smoothing: Share of each label spread evenly over all classes, 0–1 (Szegedy et al.
            2016, arXiv:1512.00567, section 7).
        augment: Data augmentation: a function of a batch of images and a seed that returns changed
            images, anew for every epoch; or None.
        hard_example_mining: Share of the steps, 0–1, that go to the hardest digits: from the second
            epoch on, every epoch shows each of them five times, and fills the rest with a draw from
            the others, so that an epoch is no longer than without. The hardest are those with the
            largest loss, asked again after every second epoch, a forward pass over all digits
            (online hard example mining: Shrivastava et al. 2016, arXiv:1604.03540; with a ranking
            kept for some time: Loshchilov and Hutter 2016, arXiv:1511.06343). Loss and accuracy in
            training are then those of a harder selection.
    """

    epochs: int = 1
    batch_size: int = 32
    learning_rate: float = 1e-3
    one_cycle: bool = False
    label_smoothing: float = 0.0
    augment: Callable[[tf.Tensor, int], tf.Tensor] | None = None
    hard_example_mining: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            number = getattr(self, name)
            if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
                raise ValueError(f"{name} must be a whole number from 1; received {number!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive; received {self.learning_rate}")
        if not 0 <= self.hard_example_mining <= 1:
            raise ValueError(
                f"hard_example_mining must be from 0 to 1; received {self.hard_example_mining}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must be from 0 to below 1; received {self.label_smoothing}"
            )
        if not (self.augment is None or callable(self.augment)):
            raise ValueError(
                f"augment must be a function of a batch of images and a seed; received "
                f"{self.augment!r}"
            )


_REFERENCE = Recipe(epochs=10, batch_size=128)

RECIPES: dict[str, Recipe] = {
    **dict.fromkeys(
        ("dense_128", "dense_128_64_32_sigmoid", "dense_32_16", "dense_128_64"), _REFERENCE
    ),
    "dense_best": Recipe(
        epochs=20,
        batch_size=256,
        learning_rate=3e-3,
        one_cycle=True,
        augment=partial(distort, elastic=1.0, deslanted=0.5),
        hard_example_mining=0.6,
    ),
    "cnn": Recipe(epochs=4, batch_size=128, learning_rate=1.5e-2, one_cycle=True),
    "cnn_fast": Recipe(epochs=2, batch_size=128, learning_rate=1e-2, one_cycle=True),
    "cnn_best": Recipe(
        epochs=14,
        batch_size=128,
        learning_rate=5e-3,
        one_cycle=True,
        label_smoothing=0.1,
        augment=partial(distort, elastic=0.5, deslanted=0.5),
        hard_example_mining=0.7,
    ),
}
"""How each network of ``models.NAMES`` is trained in this series, by its name."""


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
    y: np.ndarray | None = None,
    *,
    recipe: Recipe | str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    label_smoothing: float | None = None,
    augment: Callable[[tf.Tensor, int], tf.Tensor] | bool | None = None,
    hard_example_mining: float | None = None,
    validation: tuple[np.ndarray, ...] | None = None,
    validation_split: float = 0.0,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: np.ndarray | None = None,
    initial_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seed: int = 0,
    jit_compile: bool | None = None,
    resume: str | Path | None = None,
    verbose: int = 0,
) -> keras.callbacks.History:
    """Train a model; the same losses as ``model.fit`` on the same batches, sooner.

    A model that is not compiled is compiled with Adam, cross-entropy (sparse for integer labels,
    categorical for one-hot or smoothed ones; from logits where the model ends in a linear layer)
    and accuracy. A model that is compiled keeps its loss, metrics and optimizer. What ``fit``
    compiled once, it compiles anew where another training asks for something else, such as a fresh
    one-cycle schedule; the weights go on from where they are.

    Args:
        model: Any Keras model.
        x: Inputs (n, …), as the model takes them; digits stay uint8.
        y: Labels (n,) or (n, 1), whole numbers; or (n, 10), one-hot or soft.
        recipe: A ``Recipe``, or the name of one in ``RECIPES``. None: Keras's own defaults, one
            epoch in batches of 32 with Adam at 0.001. Only for a model that is not compiled yet.
        epochs: Goes before the recipe's, as do the next five.
        batch_size: Digits per step; the last batch of an epoch may be smaller.
        learning_rate: Adam's step size (the peak of a one-cycle schedule). Only for a model that is
            not compiled yet.
        label_smoothing: As for ``Recipe``. Only for a model that is not compiled yet.
        augment: As for ``Recipe``. False: none, whatever the recipe has.
        hard_example_mining: As for ``Recipe``. The model must be a classifier.
        validation: ``(x, y)`` or ``(x, y, weights)`` measured after every epoch; never trained on.
        validation_split: Share of the digits, 0–1, taken from the end for validation, where
            ``validation`` is not given.
        class_weight: Class → how much its digits count in the loss.
        sample_weight: How much each digit counts in the loss (n,).
        initial_epoch: Number of the first epoch, counted from 0; ``epochs`` is that of the last.
        callbacks: Keras callbacks. One that acts on single batches is called after each, at the
            price of speed; else many batches run between two calls.
        seed: Fixes the order of the digits and their augmentation. The initial weights are fixed
            by the seed of ``models.build``.
        jit_compile: Compile with XLA or not. None: as ``compiling.choose_jit`` decides.
        resume: A file, such as ``"cnn.npz"``, that is written after every epoch. Where it is there,
            written by an earlier call with the same arguments on the same initial weights, the
            training goes on from its last epoch; a finished one gives its result again. On the same
            machine, with as many threads and the same versions, the weights are then the same bits
            as without an interruption, be it by ``kill -9``. Elsewhere the training goes on all the
            same, perhaps to other bits: ``mnistlib.checkpoint`` says what was seen. Callbacks of
            yours begin afresh, and only their effect on the model and its optimizer is kept.
        verbose: As in Keras: 0 silent, 1 a bar, 2 one line an epoch.

    Returns:
        Keras's ``History``, with the epochs of an earlier call where it goes on from one.

    Raises:
        ValueError: An argument cannot be used as it is: names it, what was received, and what to
            do.
        OSError: The file of ``resume`` cannot be written.
    """
    trainer = _Trainer(
        model,
        x,
        y,
        recipe=recipe,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        label_smoothing=label_smoothing,
        augment=augment,
        hard_example_mining=hard_example_mining,
        validation=validation,
        validation_split=validation_split,
        class_weight=class_weight,
        sample_weight=sample_weight,
        initial_epoch=initial_epoch,
        jit_compile=jit_compile,
    )
    return trainer.fit(seed=seed, callbacks=callbacks, resume=resume, verbose=verbose)


def repeat(
    model: str | Callable[..., keras.Model],
    x: np.ndarray,
    y: np.ndarray,
    *,
    test: tuple[np.ndarray, np.ndarray],
    seeds: int = 5,
    recipe: Recipe | str | None = None,
    verbose: int = 0,
    **options,
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
        recipe: As for ``fit``: the name of the network alone does not choose one.
        verbose: As for ``fit``.
        **options: What else ``fit`` takes, but for ``seed``, ``callbacks`` and ``resume``.

    Yields:
        One ``Run`` a seed.
    """
    build = models.builder(model)
    trainer = None
    for seed in range(seeds):
        start = time.perf_counter()
        network = build(seed=seed)
        if trainer is None:
            trainer = _Trainer(build(seed=seed), x, y, recipe=recipe, **options)
            fresh = _values(trainer.model.optimizer)
        # One compiled network is trained again and again, each time from this seed's start.
        _assign(trainer.model, _values(network))
        _assign(trainer.model.optimizer, fresh)
        history = trainer.fit(seed=seed, verbose=verbose)
        _assign(network, _values(trainer.model))
        trainer.note(network, seed)
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

    def __init__(
        self,
        model,
        x,
        y,
        *,
        recipe=None,
        augment=None,
        validation=None,
        validation_split=0.0,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        jit_compile=None,
        **given,
    ):
        given = {name: value for name, value in given.items() if value is not None}
        if augment is not None and augment is not True:
            given["augment"] = augment or None
        chosen = replace(_find(recipe), **given)
        if not isinstance(initial_epoch, Integral) or not 0 <= initial_epoch < chosen.epochs:
            raise ValueError(
                f"initial_epoch must be from 0 to below epochs, {chosen.epochs}; received "
                f"{initial_epoch!r}"
            )
        self.model, self.epochs, self.initial_epoch = model, chosen.epochs, initial_epoch
        self.batch_size, self.chosen = chosen.batch_size, chosen
        x, y, sample_weight, validation = _split(
            x, y, sample_weight, validation, validation_split, model
        )
        self.kind, classes = compiling.outcome(model, x)
        own = model.compiled and model.optimizer.name != compiling.OPTIMIZER
        self.recipe = _worded(recipe, chosen, initial_epoch, model.optimizer if own else None)
        if own:
            compiling.check_compiled(model, recipe, given, self.kind)
            form = compiling.form_of_labels(model.loss)
        else:
            compiling.check_ending(self.kind)
            form = "rows" if chosen.label_smoothing else "any"
        y = compiling.labels_for("y", y, form=form, classes=classes)
        weights = inputs.as_weights(y, sample_weight, class_weight)
        if not own:
            form = "rows" if y.ndim == 2 else "integers"
            rate_given = recipe is not None or "learning_rate" in given
            self._compile(chosen, len(x), form=form, rate_given=rate_given)
        if validation is not None:
            labels = compiling.labels_for("validation", validation[1], form=form, classes=classes)
            validation = (validation[0], labels, *validation[2:])
        self.arrays = [x, y] if weights is None else [x, y, weights]
        self.validation = validation
        with model.distribute_strategy.scope(), standard_settings():
            _create_variables(model, x[:1], y[:1])
        self.reason = compiling.why_not_in_the_loop(model)
        if self.reason and (chosen.augment or chosen.hard_example_mining):
            name = "augment" if chosen.augment else "hard_example_mining"
            raise ValueError(
                f"{name} works in the compiled loop only, which cannot train this model: "
                f"{self.reason}"
            )
        if chosen.hard_example_mining and self.kind not in ("probabilities", "logits"):
            raise ValueError(
                "hard_example_mining needs a classifier that ends in softmax or in logits; "
                f"received one that ends in {self.kind or 'neither'}"
            )
        if not self.reason:
            self.stretches = loop.Stretches(
                model,
                self.arrays,
                batch_size=self.batch_size,
                augment=chosen.augment,
                hard_example_mining=chosen.hard_example_mining,
                logits=self.kind == "logits",
                jit=compiling.choose_jit(model) if jit_compile is None else jit_compile,
            )

    def _compile(self, recipe: Recipe, digits: int, *, form: str, rate_given: bool) -> None:
        """Compile a model that is not, or that an earlier ``fit`` compiled for something else."""
        rate = recipe.learning_rate if rate_given else None
        if not recipe.one_cycle and compiling.goes_on(
            self.model, form=form, learning_rate=rate, label_smoothing=recipe.label_smoothing
        ):
            return
        steps = -(-digits // recipe.batch_size) * (recipe.epochs - self.initial_epoch)
        compiling.compile_model(
            self.model,
            one_hot=form == "rows",
            logits=self.kind == "logits",
            learning_rate=recipe.learning_rate,
            one_cycle_steps=steps if recipe.one_cycle else None,
            label_smoothing=recipe.label_smoothing,
        )

    def fit(self, *, seed, callbacks=(), resume=None, verbose=0):
        before = models.describe(self.model)
        history = self._fit(seed, callbacks, resume, verbose)
        self.note(self.model, seed, before)
        return history

    def note(self, model, seed, before=None):
        """Note how a model was trained, so that its file can say it."""
        words = [f"{self.recipe}, seed {seed}"]
        data = [f"{len(self.arrays[0]):,} images"]
        if before and before.recipe:
            words.append(f"after {before.recipe}")
            data.append(f"before that {before.data or 'others'}")
        models.note(model, data=_short(data), recipe=_short(words))

    def _fit(self, seed, callbacks, resume, verbose):
        callbacks = list(callbacks)
        compiling.check_callbacks(self.model, callbacks)
        common = {"epochs": self.epochs, "initial_epoch": self.initial_epoch, "verbose": verbose}
        with standard_settings():
            if self.reason:
                if resume is not None:
                    raise ValueError(
                        "resume works in the compiled loop only, which cannot train this model: "
                        f"{self.reason}"
                    )
                return self._fit_usually(seed, callbacks=callbacks, **common)
            self.stretches.restart(seed, every_batch=any(map(loop.counts_batches, callbacks)))
            if verbose:
                callbacks.append(loop.BatchProgress(self.stretches))
            before = {}
            if resume is not None:
                keeper = self._resume(Path(resume), seed)
                callbacks.append(keeper)
                before = {name: list(values) for name, values in keeper.logs.items()}
                common["initial_epoch"] = keeper.done
            validation = None
            if self.validation is not None:
                arrays = tf.data.Dataset.from_tensor_slices(self.validation)
                validation = loop.without_tuning(arrays.batch(loop.PREDICTED_AT_ONCE))
            # Keras keeps a train_function that is already there, and calls it once for each element
            # of the data set: here the number of a stretch of batches.
            self.model.train_function = self.stretches
            numbers = loop.without_tuning(tf.data.Dataset.range(len(self.stretches)))
            try:
                history = self.model.fit(
                    numbers,
                    validation_data=validation,
                    shuffle=False,
                    callbacks=callbacks,
                    **common,
                )
            finally:
                self.model.train_function = None
        for name, values in before.items():
            history.history[name] = values + history.history.get(name, [])
        done = max(map(len, before.values()), default=0)
        history.epoch = [self.initial_epoch + number for number in range(done)] + history.epoch
        return history

    def _resume(self, path: Path, seed: int) -> checkpoint.Keeper:
        """Go to where an earlier call has got, if there was one; every epoch from there is kept."""
        if path.suffix != ".npz":
            raise ValueError(f"resume must end in .npz; received {str(path)!r}")
        recipe = {**vars(self.chosen), "epochs": [self.initial_epoch, self.epochs]}
        settings = {**recipe, "seed": seed, "XLA": self.stretches.jit}
        settings["batches at a time"] = self.stretches.length
        held = () if self.validation is None else self.validation
        identity = checkpoint.identity(self.model, [*self.arrays, *held], settings)
        found = checkpoint.load(path)
        if found is None:
            return checkpoint.Keeper(path, self.stretches, identity, {}, self.initial_epoch)
        checkpoint.compare(found, identity, path)
        checkpoint.restore(found, self.model, self.stretches, path)
        return checkpoint.Keeper(path, self.stretches, identity, found.logs, found.epochs)

    def _fit_usually(self, seed, **common):
        warnings.warn(f"Training with Keras's usual loop: {self.reason}", stacklevel=5)
        keras.utils.set_random_seed(seed)
        x, y, *weights = self.arrays
        return self.model.fit(
            x,
            y,
            sample_weight=weights[0] if weights else None,
            batch_size=self.batch_size,
            validation_data=self.validation,
            validation_batch_size=loop.PREDICTED_AT_ONCE,
            **common,
        )


def _find(recipe: Recipe | str | None) -> Recipe:
    if recipe is None or isinstance(recipe, Recipe):
        return recipe or Recipe()
    if recipe not in RECIPES:
        raise ValueError(
            f"recipe must be a Recipe or one of {', '.join(RECIPES)}; received {recipe!r}"
        )
    return RECIPES[recipe]


def _worded(
    given: Recipe | str | None,
    chosen: Recipe,
    initial_epoch: int,
    own: keras.optimizers.Optimizer | None,
) -> str:
    """Say in words how a network is trained; ``own`` is the optimizer of one that was compiled."""
    name = f"recipe {given}, " if isinstance(given, str) else ""
    parts = [f"{name}{chosen.epochs} epochs", f"batches of {chosen.batch_size}"]
    if initial_epoch:
        parts[0] += f", from {initial_epoch} on"
    if own:
        parts.append(f"its own optimizer {own.name}")
    else:
        parts.append(f"learning rate {chosen.learning_rate:g}")
        parts += ["one cycle"] if chosen.one_cycle else []
        if chosen.label_smoothing:
            parts.append(f"label smoothing {chosen.label_smoothing:g}")
    if chosen.augment:
        parts.append(f"augmented by {_name(chosen.augment)}")
    if chosen.hard_example_mining:
        parts.append(f"hard example mining {chosen.hard_example_mining:g}")
    return ", ".join(parts)


def _short(parts: Sequence[str]) -> str:
    return textwrap.shorten("; ".join(parts), provenance.LARGEST_WORDS, placeholder=" …")


def _name(function: Callable) -> str:
    inner = getattr(function, "func", function)  # of a partial
    return getattr(inner, "__name__", type(inner).__name__)


def _split(x, y, weights, validation, share, model):
    """Check the arrays of a training, and take the share for validation from their end."""
    for name, value in (("x", x), ("y", y)):
        if isinstance(value, tf.data.Dataset | keras.utils.PyDataset) or hasattr(value, "send"):
            raise ValueError(
                f"{name} must be an array, since fit keeps all digits in memory; received "
                f"{type(value).__name__}: give arrays, or call model.fit, which takes it"
            )
    if y is None:
        raise ValueError("y must hold the labels of x; received None")
    taken = getattr(model, "inputs", None)
    dtype = taken[0].dtype if taken else None
    x = inputs.as_features(x, dtype=dtype)
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"x and y must be equally long and not empty; received {len(x)} and {len(y)}"
        )
    if validation is not None:
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            raise ValueError(
                "validation must be (x, y) or (x, y, weights); received "
                f"{type(validation).__name__}"
            )
        return x, y, weights, (inputs.as_features(validation[0], dtype=dtype), *validation[1:])
    if not 0 <= share < 1:
        raise ValueError(f"validation_split must be from 0 to below 1; received {share}")
    if share == 0:
        return x, y, weights, None
    # As in Keras: the last ones, before anything is shuffled.
    at = int(np.floor(len(x) * (1 - share)))
    if at == 0:
        raise ValueError(
            f"validation_split must leave digits on both sides; received {share} of {len(x)}"
        )
    y = np.asarray(y)
    held = (x[at:], y[at:])
    if weights is not None:
        weights = np.asarray(weights)
        held, weights = (*held, weights[at:]), weights[:at]
    return x[:at], y[:at], weights, held


def _values(owner: keras.Model | keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [checkpoint.variable_value(variable) for variable in checkpoint.variables(owner)]


def _assign(owner: keras.Model | keras.optimizers.Optimizer, values: list[np.ndarray]) -> None:
    for variable, value in zip(checkpoint.variables(owner), values, strict=True):
        variable.assign(value)


def _create_variables(model: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Create the variables of metrics and optimizer, which cannot be born inside a loop."""
    x, y = tf.constant(x), tf.constant(y)
    y_pred = model(x, training=False)
    model.compute_loss(x, y, y_pred)
    model.compute_metrics(x, y, y_pred)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
