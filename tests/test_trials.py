"""Trials of recipes on folds by writer: what is recorded, and how it is summed up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks import measure, trials
from mnistlib import metrics, models, training, writers
from mnistlib.augment import deslant, distort

RECIPE = {"model": "dense_32_16", "epochs": 1, "views": False}
OTHER = {"epochs": 2, "model": "cnn"}


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "ROWS", tmp_path / "trials.csv")
    monkeypatch.setattr(trials, "KEPT", tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "unit.json").write_text('{"seconds": 100.0}')
    return tmp_path


def test_a_trial_asks_for_digits_of_writers_whom_it_has_not_seen(record, mnist):
    trials.run(RECIPE, folds=1, seeds=2)
    rows = sorted(trials.rows(), key=lambda row: row["seed"])  # The sooner done, the sooner there.
    assert [(row["fold"], row["seed"], row["unit"]) for row in rows] == [
        ("0", "0", "100.0"),
        ("0", "1", "100.0"),
    ]
    hands = writers.load()
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    learned, asked = next(splitter.split(mnist.x_train, mnist.y_train, hands.train))
    assert not set(hands.train[learned]) & set(hands.train[asked])
    for row in rows:
        path = trials.kept(json.loads(row["recipe"]), 0, int(row["seed"]))
        probabilities, truth = np.load(f"{path}.npy"), mnist.y_train[asked]
        wrong = probabilities.argmax(axis=1) != truth
        students = hands.train_students[asked]
        assert int(row["digits"]) == len(truth)
        assert int(row["errors"]) == wrong.sum() < len(truth) / 8
        assert (int(row["students"]), int(row["student_errors"])) == (
            students.sum(),
            wrong[students].sum(),
        )
        assert float(row["log_loss"]) == pytest.approx(
            metrics.log_loss(truth, probabilities), abs=1e-6
        )
        network = models.load(f"{path}.keras")
        assert models.predict_proba(network, mnist.x_train[asked][:100]) == pytest.approx(
            probabilities[:100], abs=1e-6
        )
    assert rows[0]["log_loss"] != rows[1]["log_loss"]
    # What is recorded is not tried again.
    trials.run(RECIPE, folds=1, seeds=2)
    assert len(trials.rows()) == len(rows)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system binds no process to a core"
)
def test_each_of_the_trials_side_by_side_has_a_core_of_its_own():
    cores = os.sched_getaffinity(0)
    all_there = threading.Barrier(len(cores))

    def where(_):
        all_there.wait(60)
        code = "import os; print(*os.sched_getaffinity(0))"
        return int(subprocess.check_output([sys.executable, "-c", code]))

    with trials._side_by_side() as pool:
        assert sorted(pool.map(where, cores)) == sorted(cores)
    assert os.sched_getaffinity(0) == cores


@pytest.mark.parametrize(
    ("augment", "share"),
    [
        (None, 0),
        (distort, 0),
        (partial(distort, deslanted=1.0), 1),
        (partial(distort, deslanted=0.5), 0.5),
    ],
)
def test_a_network_is_asked_for_digits_as_it_has_learned_them(mnist, augment, share):
    network, images = models.build("dense_32_16"), mnist.x_test[:50]
    given = measure._answered(network, images, augment, views=True, keep=None)
    written, upright = (models.predict_tta(network, x) for x in (images, deslant(images)))
    assert given == pytest.approx(share * upright + (1 - share) * written, abs=1e-6)


def test_summary_compares_on_the_same_folds_and_seeds():
    def row(recipe, fold, errors, students, loss):
        made = {
            "recipe": json.dumps(recipe, sort_keys=True),
            "fold": str(fold),
            "seed": "0",
            "digits": "1000",
        }
        made |= {"errors": str(errors), "students": "500", "student_errors": str(students)}
        return made | {"log_loss": str(loss), "seconds": "30", "unit": "120"}

    present, other = (trials.described(one) for one in ({"model": "cnn"}, OTHER))
    lines = trials.summary(
        [
            *(
                row(present, 0, 10, 8, 0.05),
                row(present, 1, 12, 9, 0.06),
                row(present, 2, 99, 9, 1.0),
            ),
            *(row(other, 0, 8, 8, 0.04), row(other, 1, 9, 6, 0.055)),
        ]
    ).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    first, second = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])
    assert first == ['`{"model": "cnn"}`', "3", "403.3", "173.3", "0.3700", "0.25", "", ""]
    # Of 1,000 digits 2 and 3 errors fewer: of 10,000, 25 ± 5; the loss 0.01 and 0.005 smaller.
    assert second[:2] == [f"`{json.dumps(OTHER)}`", "2"]
    assert second[2:] == ["85.0", "140.0", "0.0475", "0.25", "-25.0 ± 5.0", "-0.0075 ± 0.0025"]


def test_a_row_says_all_of_a_recipe(monkeypatch):
    """What is left to the network's present recipe would change its meaning with that."""
    wanted = {"model": "cnn_best", "zoom": 0.2, "teachers": [{"model": "cnn_fast"}]}
    before = trials.described(wanted)
    recipe = training.RECIPES["cnn_best"]
    for name in trials.TRAINING:
        assert before[name] == getattr(recipe, name), name
    assert before["filters"] == list(models.options("cnn_best")["filters"])
    assert (before["zoom"], before["degrees"]) == (0.2, 10)
    assert before["teachers"][0]["batch_size"] == training.RECIPES["cnn_fast"].batch_size
    # A network without data augmentation, until one of its settings is given.
    assert "zoom" not in trials.described({"model": "cnn"})
    assert trials.described({"model": "cnn", "zoom": 0.2})["degrees"] == 10

    monkeypatch.setitem(training.RECIPES, "cnn_best", replace(recipe, epochs=1))
    assert trials.described(before) == before != trials.described(wanted)
    assert trials.described({"model": "cnn_best"})["epochs"] == 1


def test_a_network_learns_what_its_teachers_answer(record, mnist, tmp_path):
    """A pupil of a teacher that takes every digit for a 3 does so too, whatever the labels say."""
    teacher = models.build("dense_32_16")
    *others, kernel, _ = teacher.get_weights()
    teacher.set_weights([*others, 0 * kernel, 20 * (np.arange(10) == 3)])
    path = models.save(teacher, tmp_path / "teacher.keras")
    options = {"epochs": 2, "degrees": 5.0, "hard_example_mining": 0.5}
    network, _, _ = measure._trained(
        "dense_32_16",
        mnist.x_train[:2_000],
        mnist.y_train[:2_000],
        seed=0,
        teachers=[str(path)],
        options=options,
    )
    answers = models.predict_proba(network, mnist.x_test[:500]).argmax(axis=1)
    assert (answers == 3).all()


def test_teachers_are_networks_that_did_not_see_the_fold_either(record, mnist):
    trials.run(RECIPE, folds=2, seeds=1)
    trials.run(RECIPE | {"teachers": [RECIPE]}, folds=2, seeds=1)
    taught = trials.rows()[2:]
    assert [json.loads(row["recipe"])["teachers"][0]["epochs"] for row in taught] == [1, 1]
    with pytest.raises(ValueError, match=r"teachers.*no network of fold 0"):
        trials.run(OTHER | {"teachers": [OTHER]}, folds=1, seeds=1)
