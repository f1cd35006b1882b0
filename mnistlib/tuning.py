"""One dense network, its settings and what they are worth: one change at a time, then a search.

``search`` needs Optuna: ``pip install "mnist-notebooks[tune]"``. What is here chooses by whatever
digits it is given, so it must be given validation digits, never the test set.
"""

from __future__ import annotations

import contextlib
import math
import warnings
import zlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnistlib import metrics, models, training
from mnistlib._tensorflow import keras
from mnistlib.augment import distort

if TYPE_CHECKING:
    import optuna

with warnings.catch_warnings():
    # Optuna imports it, and without ipywidgets it would warn, in red, in every notebook.
    warnings.simplefilter("ignore")
    import tqdm.auto  # noqa: F401

COSTS = "tuning, costs"
"""Under this name ``python -m benchmarks tuning`` records the processor's seconds."""
SCHEDULES = ("constant", "cosine", "one-cycle")
OPTIMIZERS = ("adam", "sgd", "rmsprop")

# Trials of a search before it learns from the earlier ones, and before it prunes any.
_AT_RANDOM = 6
# Digits shown in a training for which XLA's compilation, some three seconds, is worth its time.
_WORTH_COMPILING = 200_000


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Setting:
    """A network of dense layers and how it is trained; the defaults are ``dense_128``'s recipe.

    Attributes:
        hidden: Width of each hidden layer, first to last.
        activation: Of the hidden layers, by Keras's name.
        dropout: Share of each hidden layer's outputs zeroed in training, 0 to below 1.
        l2: Factor of the hidden layers' squared weights that is added to the loss.
        batch_normalization: Normalise each hidden layer between its weights and its activation.
        optimizer: One of ``OPTIMIZERS``.
        momentum: Share of the last step that the next one keeps, 0 to below 1; for ``sgd``.
        learning_rate: The step size; where a schedule lowers it, the largest one.
        schedule: ``"constant"``; ``"cosine"``, falling to zero along half a cosine (Loshchilov and
            Hutter 2017, arXiv:1608.03983); ``"one-cycle"``, rising over the first quarter of the
            steps before that (Smith 2018, arXiv:1803.09820).
        weight_decay: Share of each weight, times the learning rate, that every step takes off
            (AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101).
        label_smoothing: Share of each label spread evenly over all classes, 0 to below 1.
        augment: Train on digits changed at random by ``augment.distort``, anew in every epoch.
        batch_size: Digits per step.
        epochs: Passes over the training digits.
    """

    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    dropout: float = 0.0
    l2: float = 0.0
    batch_normalization: bool = False
    optimizer: str = "adam"
    momentum: float = 0.0
    learning_rate: float = 1e-3
    schedule: str = "constant"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    augment: bool = False
    batch_size: int = 128
    epochs: int = 10

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, tuple) or not all(map(_is_whole, self.hidden)):
            raise ValueError(
                f"hidden must be a tuple of whole numbers from 1; received {self.hidden!r}"
            )
        for name in ("batch_size", "epochs"):
            if not _is_whole(getattr(self, name)):
                raise ValueError(
                    f"{name} must be a whole number from 1; received {getattr(self, name)!r}"
                )
        for name in ("dropout", "momentum", "label_smoothing"):
            if not (_is_number(getattr(self, name)) and 0 <= getattr(self, name) < 1):
                raise ValueError(
                    f"{name} must be from 0 to below 1; received {getattr(self, name)!r}"
                )
        for name in ("l2", "weight_decay"):
            if not (_is_number(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be from 0; received {getattr(self, name)!r}")
        if not (_is_number(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive; received {self.learning_rate!r}")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}; received {getattr(self, name)!r}"
                )
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"momentum is for optimizer='sgd'; received {self.momentum} for {self.optimizer!r}"
            )


BASELINE = Setting()
"""The network of lesson 02 by its recipe, ``training.RECIPES["dense_128"]``."""

CHANGES: dict[str, dict[str, Setting]] = {
    "activation": {
        "sigmoid": Setting(activation="sigmoid"),
        "tanh": Setting(activation="tanh"),
        "GELU": Setting(activation="gelu"),
    },
    "optimizer": {
        "SGD, rate 0.01": Setting(optimizer="sgd", learning_rate=0.01),
        "SGD, rate 0.1": Setting(optimizer="sgd", learning_rate=0.1),
        "SGD, rate 0.1, momentum": Setting(optimizer="sgd", learning_rate=0.1, momentum=0.9),
        "RMSprop": Setting(optimizer="rmsprop"),
    },
    "learning rate": {
        "0.0001": Setting(learning_rate=1e-4),
        "0.0003": Setting(learning_rate=3e-4),
        "0.003": Setting(learning_rate=3e-3),
        "0.01": Setting(learning_rate=1e-2),
    },
    "schedule": {
        "cosine": Setting(schedule="cosine"),
        "one-cycle": Setting(schedule="one-cycle"),
        "one-cycle, peak 0.003": Setting(schedule="one-cycle", learning_rate=3e-3),
    },
    "batch size": {
        "32": Setting(batch_size=32),
        "512": Setting(batch_size=512),
        "512, rate 0.002": Setting(batch_size=512, learning_rate=2e-3),
    },
    "width": {"32": Setting(hidden=(32,)), "512": Setting(hidden=(512,))},
    "depth": {"2 layers": Setting(hidden=(128,) * 2), "3 layers": Setting(hidden=(128,) * 3)},
    "dropout": {"0.2": Setting(dropout=0.2), "0.5": Setting(dropout=0.5)},
    "weights": {
        "L2, 0.0001": Setting(l2=1e-4),
        "weight decay 0.004": Setting(weight_decay=0.004),
        "weight decay 0.1": Setting(weight_decay=0.1),
    },
    "batch norm": {"yes": Setting(batch_normalization=True)},
    "labels": {"smoothed, 0.1": Setting(label_smoothing=0.1)},
    "digits": {"augmented": Setting(augment=True)},
    "epochs": {"5": Setting(epochs=5), "30": Setting(epochs=30)},
}
"""Kind of change → its name → the baseline with this change; ``python -m benchmarks tuning``."""


def build(setting: Setting, *, steps: int, seed: int = 0) -> keras.Model:
    """Build and compile the network of a setting.

    Args:
        setting: What to build.
        steps: Steps of the whole training, over which a schedule stretches.
        seed: Fixes the initial weights and the dropout masks.
    """
    model = models.dense(
        setting.hidden,
        activation=setting.activation,
        dropout=setting.dropout,
        l2=setting.l2,
        batch_normalization=setting.batch_normalization,
        seed=seed,
    )
    loss = keras.losses.SparseCategoricalCrossentropy()
    if setting.label_smoothing:
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=setting.label_smoothing)
    model.compile(optimizer=_optimizer(setting, steps), loss=loss, metrics=["accuracy"])
    return model


def train(
    setting: Setting,
    x: np.ndarray,
    y: np.ndarray,
    *,
    seed: int = 0,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.Model:
    """Build the network of a setting and train it.

    Args:
        setting: What to train, and how.
        x: Training digits, uint8 (n, 28, 28).
        y: Their labels (n,).
        seed: Fixes the initial weights, dropout masks, the order of the digits and their
            augmentation.
        validation: ``(x, y)`` measured after every epoch, for the callbacks.
        callbacks: As for ``training.fit``.
    """
    model = build(setting, steps=_steps(setting, len(x)), seed=seed)
    options = _how(setting, len(x))
    training.fit(model, x, y, validation=validation, callbacks=callbacks, seed=seed, **options)
    return model


def repeat(
    setting: Setting,
    x: np.ndarray,
    y: np.ndarray,
    *,
    test: tuple[np.ndarray, np.ndarray],
    seeds: int = 5,
) -> Iterator[training.Run]:
    """Train a setting with the seeds 0, 1, 2, …; each run is what ``train`` gives with that seed.

    Args:
        setting: What to train, and how.
        x: Training digits, uint8 (n, 28, 28).
        y: Their labels (n,).
        test: ``(images, labels)``, looked at once, after each training.
        seeds: How many; a claim needs at least five.

    Yields:
        One ``training.Run`` a seed; the compilation is shared.
    """
    return training.repeat(
        partial(build, setting, steps=_steps(setting, len(x))),
        x,
        y,
        test=test,
        seeds=seeds,
        **_how(setting, len(x)),
    )


def compare(found: Mapping[Hashable, Sequence[float]], baseline: Sequence[float]) -> pd.DataFrame:
    """Compare changes with the baseline they change, seed by seed.

    Args:
        found: Name → accuracy with each seed, 0–1.
        baseline: Accuracy of the baseline with the same seeds.

    Returns:
        A row for each name: ``gain``, the mean difference as a share; ``low`` and ``high``, the
        ends of its 95 % interval by the paired t-test; ``p_value``; ``adjusted``, the p-value by
        Bonferroni's rule for as many comparisons as there are rows.

    Raises:
        ValueError: A row holds fewer than two seeds, or not those of the baseline.
    """
    rows = {name: metrics.paired_difference(values, baseline) for name, values in found.items()}
    return pd.DataFrame(
        {
            "gain": [one.mean for one in rows.values()],
            "low": [one.low for one in rows.values()],
            "high": [one.high for one in rows.values()],
            "p_value": [one.p_value for one in rows.values()],
            "adjusted": [min(1.0, one.p_value * len(rows)) for one in rows.values()],
        },
        index=list(rows),
    )


def settings() -> Iterator[tuple[str, str, Setting]]:
    """List kind, name and setting of the baseline, which has no name, and of each change."""
    yield "baseline", "", BASELINE
    for kind, changes in CHANGES.items():
        for change, setting in changes.items():
            yield kind, change, setting


def recorded_as(kind: str) -> str:
    """Name what ``python -m benchmarks tuning`` records of a kind of change."""
    return f"tuning, {kind}"


def effects(record: Mapping[str, list[dict]]) -> pd.DataFrame:
    """Compare what ``python -m benchmarks tuning`` recorded.

    Args:
        record: As from ``results.benchmarks``.

    Returns:
        As from ``compare``, with the columns ``kind`` and ``change`` instead of an index, and
        ``cost``: the processor's seconds of a training over those of the baseline's.
    """
    baseline = record[recorded_as("baseline")][0][""]["accuracies"]
    runs = {
        (kind, change): found["accuracies"]
        for kind in CHANGES
        for change, found in record[recorded_as(kind)][0].items()
    }
    frame = compare(runs, baseline)
    frame.index = pd.MultiIndex.from_tuples(runs, names=["kind", "change"])
    spent = record[COSTS][0]
    cost = [spent[kind][change] / spent["baseline"][""] for kind, change in runs]
    return frame.assign(cost=cost).reset_index()


def suggest(trial: optuna.trial.BaseTrial) -> Setting:
    """Let Optuna choose a setting: the space that ``search`` looks through.

    A finished trial gives its setting back: ``suggest(study.best_trial)``.
    """
    width = trial.suggest_int("width", 64, 256, log=True)
    return Setting(
        hidden=(width,) * trial.suggest_int("layers", 1, 2),
        learning_rate=trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        schedule=trial.suggest_categorical("schedule", SCHEDULES),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.2),
    )


def search(
    x: np.ndarray,
    y: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray],
    storage: str | Path,
    trials: int,
    epochs: int = 5,
    seed: int = 0,
) -> optuna.Study:
    """Search for the setting with the highest validation accuracy; goes on where it stopped.

    Each trial is a setting, suggested by a tree-structured Parzen estimator (Bergstra et al. 2011,
    NeurIPS 24) and trained once. After every epoch, a trial is stopped (*pruned*) whose accuracy so
    far is below the median of the earlier trials at that epoch. All of it is written to a file as
    it happens. What a killed process left unfinished is tried again, and the suggestions depend on
    the seed and on the finished trials alone: an interrupted search ends as an uninterrupted one.

    Args:
        x: Training digits, uint8 (n, 28, 28).
        y: Their labels (n,).
        validation: ``(x, y)`` by which the settings are judged.
        storage: A file of Optuna's journal, made if there is none. One process at a time.
        trials: How many finished trials the file shall hold in the end, pruned ones included.
        epochs: Passes over the training digits in each trial.
        seed: Fixes the suggestions and the trainings.

    Returns:
        Optuna's study; ``study.best_trial`` is its best.

    Raises:
        ModuleNotFoundError: Optuna is not installed; says how to install it.
        ValueError: A number is not one from 1, or the file holds a search with other digits, epochs
            or seed, or something else.
    """
    for name, number in (("trials", trials), ("epochs", epochs)):
        if not _is_whole(number):
            raise ValueError(f"{name} must be a whole number from 1; received {number!r}")
    optuna = _optuna()
    states = optuna.trial.TrialState
    study = _open_study(Path(storage))
    made = {"epochs": epochs, "seed": seed, "digits": _checksum(x, y, *validation)}
    if "made with" not in study.user_attrs:
        study.set_user_attr("made with", made)
    elif (before := study.user_attrs["made with"]) != made:
        raise ValueError(
            f"storage must hold a search with the same digits, epochs and seed; received "
            f"{str(storage)!r}, made with {before}, and {made}: name another file"
        )
    for left in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(left.number, state=states.FAIL)
    while (done := len(_finished(study))) < trials:
        # A sampler of its own for each trial: a resumed one would draw the first numbers again.
        number = int(np.random.SeedSequence([seed, done]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=_AT_RANDOM)
        trial = study.ask()
        setting = replace(suggest(trial), epochs=epochs)
        report = _Report(trial)
        try:
            train(setting, x, y, seed=seed, validation=validation, callbacks=[report])
        except optuna.TrialPruned:
            study.tell(trial, state=states.PRUNED)
        else:
            study.tell(trial, report.accuracy)
    return study


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """List the finished trials of a study, in the order in which they were tried.

    Returns:
        A row a trial: ``accuracies`` on the validation digits after each epoch (a tuple of shares);
        ``accuracy``, the last of them; ``pruned``; ``seconds``; and the parameters by their names.
    """
    rows = []
    for trial in _finished(study):
        courses = tuple(value for _, value in sorted(trial.intermediate_values.items()))
        rows.append(
            {
                "accuracies": courses,
                "accuracy": courses[-1],
                "pruned": trial.state.name == "PRUNED",
                "seconds": trial.duration.total_seconds(),
                **trial.params,
            }
        )
    return pd.DataFrame(rows)


class _Report(keras.callbacks.Callback):
    """Tell Optuna the validation accuracy after each epoch, and stop where it says so."""

    def __init__(self, trial: optuna.Trial):
        super().__init__()
        self.trial, self.accuracy = trial, 0.0

    def on_epoch_end(self, epoch, logs=None):
        self.accuracy = float(logs["val_accuracy"])
        self.trial.report(self.accuracy, epoch)
        if self.trial.should_prune():
            raise _optuna().TrialPruned


def _optuna():
    try:
        import optuna
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            'a search needs Optuna: pip install "mnist-notebooks[tune]"', name=missing.name
        ) from missing
    return optuna


def _open_study(path: Path) -> optuna.Study:
    optuna = _optuna()
    journal = optuna.storages.journal
    _mend(path)
    # A process killed while it wrote leaves its lock behind; no write takes seconds.
    lock = journal.JournalFileSymlinkLock(str(path), grace_period=5)
    file = journal.JournalFileBackend(str(path), lock_obj=lock)
    with _quiet(optuna):
        return optuna.create_study(
            study_name="search",
            storage=optuna.storages.JournalStorage(file),
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_AT_RANDOM, n_warmup_steps=1),
            load_if_exists=True,
        )


def _mend(path: Path) -> None:
    """Take away the half line of a process that was killed while it wrote."""
    content = path.read_bytes() if path.is_file() else b""
    if not content:
        return
    whole = content[: content.rfind(b"\n") + 1]
    if not content.startswith(b'{"op_code":'):
        raise ValueError(
            f"storage must be a file that a search wrote, or none yet; received {str(path)!r}: "
            "name another file"
        )
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))


@contextlib.contextmanager
def _quiet(optuna) -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            # That a killed search left its lock behind is dealt with, and nobody's fault.
            warnings.filterwarnings("ignore", "The existing lock file has not been released")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    kinds = _optuna().trial.TrialState
    return study.get_trials(deepcopy=False, states=(kinds.COMPLETE, kinds.PRUNED))


def _checksum(*arrays: np.ndarray) -> int:
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
    return total


def operations(model: keras.Model) -> int:
    """Count the multiplications and additions of one training step for one digit.

    Forward, and backward to weights and inputs: three products of the same size for each layer, two
    for the first, whose inputs need no gradient. Whatever has no kernel is not counted.
    """
    total, first = 0, True
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            places = math.prod(layer.output.shape[1:-1])
            total += math.prod(layer.kernel.shape) * places * 2 * (2 if first else 3)
            first = False
    return total


def _steps(setting: Setting, digits: int) -> int:
    return setting.epochs * math.ceil(digits / setting.batch_size)


def _how(setting: Setting, digits: int) -> dict[str, Any]:
    return {
        "epochs": setting.epochs,
        "batch_size": setting.batch_size,
        "augment": distort if setting.augment else None,
        "jit_compile": None if setting.epochs * digits >= _WORTH_COMPILING else False,
    }


def _optimizer(setting: Setting, steps: int) -> keras.optimizers.Optimizer:
    rate, schedules = setting.learning_rate, keras.optimizers.schedules
    if setting.schedule == "cosine":
        rate = schedules.CosineDecay(rate, steps)
    elif setting.schedule == "one-cycle":
        rise = max(1, steps // 4)
        rate = schedules.CosineDecay(
            rate / 20, max(1, steps - rise), warmup_target=rate, warmup_steps=rise
        )
    decay = setting.weight_decay or None
    if setting.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=setting.momentum, weight_decay=decay)
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    return kinds[setting.optimizer](rate, weight_decay=decay)
