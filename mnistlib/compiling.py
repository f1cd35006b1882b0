"""What a model is compiled with, and whether that fits the model, its labels and its callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mnistlib import inputs, models
from mnistlib._tensorflow import has_gpu, keras, standard_settings, tf

OPTIMIZER = "adam_of_training_fit"
"""By this name a compiled model tells that ``training.fit`` compiled it; Keras saves it with it."""


@standard_settings()
def compile_model(
    model: keras.Model,
    *,
    one_hot: bool = False,
    logits: bool = False,
    learning_rate: float = 1e-3,
    one_cycle_steps: int | None = None,
    label_smoothing: float = 0.0,
) -> None:
    """Compile a classifier with Adam, cross-entropy and accuracy.

    Args:
        model: A model that ends in softmax, or in logits.
        one_hot: Labels are rows (n, 10), not integers. Smoothed labels need it.
        logits: The model ends in logits.
        learning_rate: Adam's step size; the peak where ``one_cycle_steps`` is given.
        one_cycle_steps: Length of a one-cycle schedule in steps. None: a constant rate.
        label_smoothing: Share of each label spread evenly over all classes, 0–1.

    Raises:
        ValueError: ``label_smoothing`` is given without ``one_hot``: Keras smooths rows only.
    """
    if label_smoothing and not one_hot:
        raise ValueError(
            f"label_smoothing needs one_hot=True, labels as rows; received {label_smoothing}"
        )
    if one_cycle_steps:
        rise = max(1, one_cycle_steps // 4)
        learning_rate = keras.optimizers.schedules.CosineDecay(
            learning_rate / 20,
            max(1, one_cycle_steps - rise),
            warmup_target=learning_rate,
            warmup_steps=rise,
        )
    if one_hot:
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=logits, label_smoothing=label_smoothing
        )
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    optimizer = keras.optimizers.Adam(learning_rate, name=OPTIMIZER)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])


def choose_jit(model: keras.Model) -> bool:
    """Decide on XLA, which made dense layers faster on CPUs, and slowed all else that was timed.

    On a GPU it is taken for every network, as Keras does; none was timed there.
    """
    if has_gpu:
        return True
    kinds = keras.layers
    shapes = kinds.InputLayer | kinds.Rescaling | kinds.Reshape | kinds.Flatten
    sums = kinds.Dense | kinds.Activation | kinds.Softmax | kinds.BatchNormalization
    return all(
        isinstance(layer, shapes | sums | keras.Model)
        and layer.compute_dtype not in ("bfloat16", "float16")
        for layer in model._flatten_layers()
    )


def outcome(model: keras.Model, x: np.ndarray) -> tuple[str | None, int]:
    """Tell what a model gives (``models.ends_in``) and how much of it; an unbuilt one is built."""
    with model.distribute_strategy.scope(), standard_settings():
        given = np.asarray(model(tf.constant(x[:32]), training=False), np.float32)
    kind = models.ends_in(model)
    if kind is None and given.ndim == 2:
        negative = "logits" if np.any(given < 0) else None
        kind = "probabilities" if models.are_probabilities(given) else negative
    return kind, given.shape[-1]


_LOSSES = {
    "integers": (
        keras.losses.SparseCategoricalCrossentropy,
        keras.losses.sparse_categorical_crossentropy,
    ),
    "rows": (keras.losses.CategoricalCrossentropy, keras.losses.categorical_crossentropy),
}
"""Form of labels → the loss that takes them, as a class and as a function."""


def form_of_labels(loss: object) -> str | None:
    """Tell which labels a compiled loss takes: ``"integers"``, ``"rows"``; None: it is no such."""
    for form, (kind, function) in _LOSSES.items():
        names = (kind.__name__, function.__name__)
        if isinstance(loss, kind) or loss is function or (isinstance(loss, str) and loss in names):
            return form
    return None


def labels_for(name: str, y: np.ndarray, *, form: str | None, classes: int) -> np.ndarray:
    """Bring labels to the form that the loss takes: ``"integers"``, ``"rows"`` or ``"any"``."""
    if form is None:
        # A loss of another kind knows what it takes; text it cannot take.
        y = np.asarray(y)
        if y.dtype.kind in "USO":
            raise ValueError(f"{name} must hold numbers; received {y.dtype}: convert it first")
        return y
    y = inputs.as_labels(y, classes=classes, name=name)
    if form == "rows" and y.ndim == 1:
        return np.eye(classes, dtype=np.float32)[y]
    if form == "integers" and y.ndim == 2:
        raise ValueError(
            f"{name} must hold whole numbers (n,), which the model's sparse cross-entropy takes; "
            f"received rows {y.shape}: give {name}.argmax(axis=1), or compile the model with "
            "categorical_crossentropy"
        )
    return y


def check_ending(kind: str | None) -> None:
    """Refuse to compile what ends neither in probabilities nor in logits."""
    if kind not in ("probabilities", "logits"):
        raise ValueError(
            "model must end in softmax or in logits (a linear layer), or be compiled with a loss "
            f"that fits what it gives; received one that ends in {kind or 'neither'}"
        )


def check_compiled(model: keras.Model, recipe: object, given: Mapping, kind: str | None) -> None:
    """Refuse for a compiled model what it has of its own, and a loss that does not fit it."""
    if recipe is not None:
        raise ValueError(
            f"recipe cannot be given for a compiled model, which has its own loss and optimizer; "
            f"received {recipe!r}: leave the model uncompiled, or give epochs, batch_size, augment "
            "and hard_example_mining by themselves"
        )
    for name in ("learning_rate", "label_smoothing"):
        if name in given:
            raise ValueError(
                f"{name} cannot be given for a compiled model, which has its own; received "
                f"{given[name]}"
            )
    loss = model.loss
    form = form_of_labels(loss)
    if form and kind in ("probabilities", "logits"):
        expected = "logits" if getattr(loss, "from_logits", False) else "probabilities"
        if kind != expected:
            raise ValueError(
                f"the loss of the model expects {expected}, and the model gives {kind}: compile it "
                f"with from_logits={kind == 'logits'}, as in "
                f"keras.losses.{_LOSSES[form][0].__name__}(from_logits={kind == 'logits'})"
            )
    if float(model.optimizer.learning_rate) == 0:
        raise ValueError(
            "the learning rate of the model's optimizer is 0 after "
            f"{int(model.optimizer.iterations):,} steps, where its schedule ended: compile the "
            "model anew to train it further"
        )


def goes_on(
    model: keras.Model, *, form: str, learning_rate: float | None, label_smoothing: float
) -> bool:
    """Whether another training can go on with what an earlier ``fit`` compiled.

    Args:
        model: A model, compiled or not.
        form: Of the labels: ``"integers"`` or ``"rows"``.
        learning_rate: The constant rate that is wanted; None: whichever the optimizer has.
        label_smoothing: As wanted, 0–1.
    """
    if not model.compiled or has_schedule(model.optimizer):
        return False
    present = np.float32(model.optimizer.learning_rate)
    return (
        (learning_rate is None or np.float32(learning_rate) == present)
        and form_of_labels(model.loss) == form
        and getattr(model.loss, "label_smoothing", 0) == label_smoothing
    )


def has_schedule(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether a schedule sets the optimizer's learning rate at every step."""
    schedule = keras.optimizers.schedules.LearningRateSchedule
    return isinstance(getattr(optimizer, "_learning_rate", None), schedule)


def check_callbacks(model: keras.Model, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuse what is no callback, and one that sets a learning rate which a schedule sets."""
    kinds = keras.callbacks
    for callback in callbacks:
        if not isinstance(callback, kinds.Callback):
            raise ValueError(
                f"callbacks must hold Keras callbacks; received {type(callback).__name__}"
            )
        if isinstance(callback, kinds.ReduceLROnPlateau | kinds.LearningRateScheduler) and (
            has_schedule(model.optimizer)
        ):
            raise ValueError(
                f"callbacks hold {type(callback).__name__}, which sets the learning rate, as the "
                "optimizer's own schedule does at every step: leave it out, or train with a "
                "constant rate (a recipe with one_cycle=False)"
            )


def why_not_in_the_loop(model: keras.Model) -> str | None:
    """Say why the compiled loop cannot train this model, or None where it can."""
    if model.run_eagerly:
        return "the model was compiled with run_eagerly=True"
    strategy = tf.distribute.get_strategy()
    if tf.distribute.has_strategy() or model.distribute_strategy is not strategy:
        return "the model belongs to a distribution strategy"
    return None
