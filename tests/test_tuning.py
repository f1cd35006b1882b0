"""One change at a time, and a search that survives its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from scipy.stats import ttest_rel

from mnistlib import models, training, tuning
from mnistlib._tensorflow import keras
from mnistlib.results import benchmarks

ROOT = Path(__file__).parent.parent
TRIALS = 8


@pytest.fixture(scope="module")
def few(sample):
    """Digits to learn from and digits to judge by."""
    return {
        "x": sample.x_train[:400],
        "y": sample.y_train[:400],
        "validation": (sample.x_train[400:700], sample.y_train[400:700]),
    }


@pytest.fixture(scope="module")
def uninterrupted(few, tmp_path_factory):
    """A whole search in one go."""
    path = tmp_path_factory.mktemp("search") / "whole.journal"
    return tuning.search(**few, storage=path, trials=TRIALS, epochs=2)


def told(study):
    """What a search found: parameters, accuracies by epoch and state of each finished trial."""
    finished = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    return [(trial.params, trial.intermediate_values, trial.state.name) for trial in finished]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("hidden", value) for value in ([128], (0,), (1.5,), 128)),
        *(("epochs", value) for value in (0, 1.5, True, "3")),
        *(("batch_size", value) for value in (0, -1, None)),
        *(("dropout", value) for value in (-0.1, 1, "0.2", float("nan"))),
        *(("label_smoothing", value) for value in (-0.1, 1)),
        *(("momentum", value) for value in (-0.1, 1, 0.9)),
        *(("l2", value) for value in (-1, None)),
        *(("weight_decay", value) for value in (-1, float("inf"))),
        *(("learning_rate", value) for value in (0, -1, "fast")),
        *(("optimizer", value) for value in ("adamw", None)),
        *(("schedule", value) for value in ("step", None)),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name} .*received .*{value!r}".replace("[", r"\[")):
        tuning.Setting(**{name: value})


def test_baseline_is_the_network_of_lesson_02_by_its_recipe(few):
    x, y = few["x"], few["y"]
    ours = tuning.train(replace(tuning.BASELINE, epochs=2), x, y, seed=3)
    theirs = models.build("dense_128", seed=3)
    training.fit(theirs, x, y, recipe="dense_128", epochs=2, seed=3)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    recipe = training.RECIPES["dense_128"]
    for name in ("epochs", "batch_size", "learning_rate", "label_smoothing"):
        assert getattr(tuning.BASELINE, name) == getattr(recipe, name)


def test_changes_have_names_of_their_own_and_each_changes_something():
    listed = list(tuning.settings())
    assert len({(kind, change) for kind, change, _ in listed}) == len(listed)
    assert len({setting for *_, setting in listed}) == len(listed)
    for kind, change, setting in listed[1:]:
        before, after = asdict(tuning.BASELINE), asdict(setting)
        changed = {name for name in before if before[name] != after[name]}
        # An optimizer, a schedule or a batch size may need a learning rate of its own.
        assert len(changed - {"learning_rate", "momentum"} or changed) == 1, (kind, change)


@pytest.mark.parametrize(
    ("change", "kind", "has"),
    [
        ({}, "Adam", {"learning_rate": 1e-3}),
        ({"weight_decay": 0.1}, "Adam", {"weight_decay": 0.1}),
        ({"optimizer": "rmsprop", "weight_decay": 0.1}, "RMSprop", {"weight_decay": 0.1}),
        (
            {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.1},
            "SGD",
            {"momentum": 0.9, "learning_rate": 0.1},
        ),
    ],
)
def test_optimizer_is_keras_own_with_what_the_setting_says(change, kind, has):
    optimizer = tuning.build(tuning.Setting(**change), steps=10).optimizer
    assert type(optimizer).__name__ == kind
    for name, value in has.items():
        assert float(getattr(optimizer, name)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("cosine", (0.01, 0.005, 0.0)), ("one-cycle", (0.0005, 0.0075, 0.0))],
)
def test_schedule_begins_and_ends_as_it_should(schedule, rates):
    """Begin, middle and end of 100 steps; one-cycle has its peak at a quarter."""
    setting = tuning.Setting(schedule=schedule, learning_rate=0.01)
    course = tuning.build(setting, steps=100).optimizer._learning_rate
    assert [float(course(step)) for step in (0, 50, 100)] == pytest.approx(list(rates), abs=1e-6)
    peak = {"cosine": 0, "one-cycle": 25}[schedule]
    assert float(course(peak)) == pytest.approx(0.01)


def test_network_and_loss_are_what_the_setting_says():
    setting = tuning.Setting(
        hidden=(7, 5),
        activation="tanh",
        dropout=0.3,
        l2=0.01,
        batch_normalization=True,
        label_smoothing=0.2,
    )
    model = tuning.build(setting, steps=10)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("BatchNormalization") == kinds.count("Dropout") == 2
    assert [model.get_layer(f"hidden_{n}").units for n in (1, 2)] == [7, 5]
    assert model.get_layer("activation_1").activation is keras.activations.tanh
    assert model.get_layer("hidden_1").kernel_regularizer.l2 == pytest.approx(0.01)
    assert isinstance(model.loss, keras.losses.CategoricalCrossentropy)
    assert model.loss.label_smoothing == 0.2


def test_augmentation_changes_what_is_learned(few):
    x, y = few["x"], few["y"]
    plain, changed = (
        tuning.train(tuning.Setting(augment=augment, epochs=1, hidden=(8,)), x, y).get_weights()
        for augment in (False, True)
    )
    assert not np.allclose(plain[0], changed[0])


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        # Two products for the first layer, three for the others, a multiplication and an addition.
        ("dense_128", 4 * 784 * 128 + 6 * 128 * 10),
        ("cnn", 4 * 144 * 36 * 16 + 6 * 100 * 144 * 32 + 6 * 800 * 10),
    ],
)
def test_operations_of_a_training_step_are_counted_by_hand(name, by_hand):
    assert tuning.operations(models.build(name)) == by_hand


def test_compare_gives_the_paired_t_test_and_bonferronis_rule():
    baseline = [0.97, 0.971, 0.975, 0.968, 0.972]
    found = {"better": [0.98, 0.979, 0.985, 0.977, 0.982], "same": [0.971, 0.97, 0.974, 0.97, 0.97]}
    frame = tuning.compare(found, baseline)
    assert list(frame.index) == ["better", "same"]
    for name, values in found.items():
        reference = ttest_rel(values, baseline)
        interval = reference.confidence_interval()
        row = frame.loc[name]
        assert row["gain"] == pytest.approx(np.mean(values) - np.mean(baseline))
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
        assert row["p_value"] == pytest.approx(reference.pvalue)
        assert row["adjusted"] == pytest.approx(min(1, 2 * reference.pvalue))
    with pytest.raises(ValueError, match="same two or more seeds"):
        tuning.compare({"one seed": [0.98]}, baseline)


def test_effects_are_those_of_the_record():
    record = benchmarks()
    frame = tuning.effects(record)
    assert len(frame) == len(list(tuning.settings())) - 1
    row = frame[(frame["kind"] == "dropout") & (frame["change"] == "0.2")].iloc[0]
    before, after = (
        np.mean(record[f"tuning, {kind}"][0][change]["accuracies"])
        for kind, change in (("baseline", ""), ("dropout", "0.2"))
    )
    assert row["gain"] == pytest.approx(after - before)
    spent = record[tuning.COSTS][0]
    assert row["cost"] == pytest.approx(spent["dropout"]["0.2"] / spent["baseline"][""])
    for kind, changes in tuning.CHANGES.items():
        found = record[tuning.recorded_as(kind)][0]
        assert found.keys() == changes.keys()
        assert {len(one["accuracies"]) for one in found.values()} == {5}


def test_search_finds_more_than_its_first_trial_and_gives_back_its_settings(uninterrupted, few):
    table = tuning.trials_table(uninterrupted)
    assert len(table) == TRIALS
    best = uninterrupted.best_trial
    assert best.value == table.loc[~table["pruned"], "accuracy"].max() > table["accuracy"].min()
    setting = tuning.suggest(best)
    assert set(setting.hidden) == {best.params["width"]}
    assert len(setting.hidden) == best.params["layers"]
    for name in ("learning_rate", "schedule", "label_smoothing"):
        assert getattr(setting, name) == best.params[name]
    # Trained again, it is as good as the search says.
    model = tuning.train(replace(setting, epochs=2), few["x"], few["y"])
    x, y = few["validation"]
    again = np.mean(models.predict_proba(model, x).argmax(axis=1) == y)
    assert again == pytest.approx(best.value, abs=0.01)


def test_trials_are_pruned_only_after_two_epochs_and_below_the_median(few, tmp_path):
    study = tuning.search(**few, storage=tmp_path / "s", trials=14, epochs=4)
    table = tuning.trials_table(study)
    pruned = table[table["pruned"]]
    assert len(pruned) > 0
    for number, row in pruned.iterrows():
        epochs = len(row["accuracies"])
        assert 2 <= epochs < 5
        earlier = [
            one["accuracies"] for _, one in table.iloc[:number].iterrows() if not one["pruned"]
        ]
        assert max(row["accuracies"]) < np.median([one[epochs - 1] for one in earlier])


def test_search_taken_up_again_ends_as_one_in_one_go(uninterrupted, few, tmp_path, capfd):
    path = tmp_path / "halves.journal"
    half = tuning.search(**few, storage=path, trials=TRIALS // 2, epochs=2)
    assert told(half) == told(uninterrupted)[: TRIALS // 2]
    whole = tuning.search(**few, storage=path, trials=TRIALS, epochs=2)
    assert told(whole) == told(uninterrupted)
    assert capfd.readouterr().err == ""
    # Nothing is left to do, and nothing is done.
    content = path.read_bytes()
    for trials in (TRIALS - 1, TRIALS):
        tuning.search(**few, storage=path, trials=trials, epochs=2)
    # Optuna notes that the study was asked for, and no trial.
    added = path.read_bytes().removeprefix(content)
    assert b"trial" not in added


def test_killing_the_process_in_mid_search_loses_nothing(uninterrupted, few, tmp_path):
    path = tmp_path / "killed.journal"
    np.savez(
        tmp_path / "few.npz",
        x=few["x"],
        y=few["y"],
        xv=few["validation"][0],
        yv=few["validation"][1],
    )
    script = (
        "import numpy as np\n"
        "from mnistlib import tuning\n"
        f"few = np.load({str(tmp_path / 'few.npz')!r})\n"
        "tuning.search(few['x'], few['y'], validation=(few['xv'], few['yv']),\n"
        f"    storage={str(path)!r}, trials={TRIALS}, epochs=2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        # An accuracy after the first epoch of the third trial: it is in the middle of it.
        deadline = time.monotonic() + 300
        while not (path.exists() and b'"trial_id":2,"step":0' in path.read_bytes()):
            assert process.poll() is None, "the search ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    # As if it had died while it wrote: half a line, and the lock still there.
    with path.open("ab") as file:
        file.write(b'{"op_code":6,"worker')
    Path(f"{path}.lock").unlink(missing_ok=True)
    Path(f"{path}.lock").symlink_to(path)
    study = tuning.search(**few, storage=path, trials=TRIALS, epochs=2)
    assert told(study) == told(uninterrupted)
    left = [
        trial.state.name for trial in study.trials if trial.state.name not in ("COMPLETE", "PRUNED")
    ]
    assert left == ["FAIL"]


@pytest.mark.parametrize("change", ["epochs", "seed", "digits"])
def test_a_search_of_something_else_is_not_gone_on_with(few, tmp_path, change):
    path, options = tmp_path / "s.journal", {"trials": 1, "epochs": 1}
    tuning.search(**few, storage=path, **options)
    before = told(tuning.search(**few, storage=path, **options))
    other = {"epochs": {"epochs": 2}, "seed": {"seed": 1}, "digits": {"x": 255 - few["x"]}}[change]
    with pytest.raises(ValueError, match=r"^storage must hold a search with the same"):
        tuning.search(**{**few, **options, **other, "trials": 2}, storage=path)
    assert told(tuning.search(**few, storage=path, **options)) == before


@pytest.mark.parametrize("content", ["my notes", "my notes\n", '{"a": 1}\n'])
def test_a_file_of_something_else_is_refused_and_left_alone(few, tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"^storage must be a file that a search wrote.*notes"):
        tuning.search(**few, storage=path, trials=1)
    assert path.read_text() == content


@pytest.mark.parametrize(("name", "value"), [("trials", 0), ("trials", 2.5), ("epochs", 0)])
def test_numbers_of_a_search_are_refused_by_name(few, tmp_path, name, value):
    with pytest.raises(
        ValueError, match=f"^{name} must be a whole number from 1; received {value}"
    ):
        tuning.search(**few, storage=tmp_path / "s", **{"trials": 1, name: value})
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_the_way_to_install_it_is_said(few, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "mnist-notebooks\[tune\]"'):
        tuning.search(**few, storage=tmp_path / "s", trials=1)


def test_verbosity_of_optuna_is_left_as_it_was(few, tmp_path):
    before = optuna.logging.get_verbosity()
    tuning.search(**few, storage=tmp_path / "s", trials=1, epochs=1)
    assert optuna.logging.get_verbosity() == before
    lines = (tmp_path / "s").read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_repeat_trains_as_train_does_with_each_seed(few):
    setting = tuning.Setting(hidden=(16,), dropout=0.2, schedule="one-cycle", epochs=2)
    runs = list(tuning.repeat(setting, few["x"], few["y"], test=few["validation"], seeds=2))
    assert [run.seed for run in runs] == [0, 1]
    for run in runs:
        alone = tuning.train(setting, few["x"], few["y"], seed=run.seed)
        expected = models.predict_proba(alone, few["validation"][0])
        np.testing.assert_allclose(run.probabilities, expected, atol=1e-4)
