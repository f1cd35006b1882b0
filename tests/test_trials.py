"""Trials of recipes on folds by writer: what is recorded, and how it is summed up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks import trials
from mnistlib import metrics, writers

RECIPE = {"model": "dense_32_16", "epochs": 1, "views": False}


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "ROWS", tmp_path / "trials.csv")
    monkeypatch.setattr(trials, "KEPT", tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "unit.json").write_text('{"seconds": 100.0}')
    return tmp_path


def test_a_trial_asks_for_digits_of_writers_whom_it_has_not_seen(record, mnist):
    trials.run(RECIPE, folds=1, seeds=2)
    rows = trials.rows()
    assert [(row["fold"], row["seed"], row["unit"]) for row in rows] == [
        ("0", "0", "100.0"),
        ("0", "1", "100.0"),
    ]
    hands = writers.load()
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    learned, asked = next(splitter.split(mnist.x_train, mnist.y_train, hands.train))
    assert not set(hands.train[learned]) & set(hands.train[asked])
    for row in rows:
        path = trials.kept(RECIPE, 0, int(row["seed"]))
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
    assert rows[0]["log_loss"] != rows[1]["log_loss"]
    # What is recorded is not tried again.
    trials.run(RECIPE, folds=1, seeds=2)
    assert trials.rows() == rows


def test_summary_compares_on_the_same_folds_and_seeds():
    def row(recipe, fold, errors, students, loss):
        made = {"recipe": json.dumps(recipe), "fold": str(fold), "seed": "0", "digits": "1000"}
        made |= {"errors": str(errors), "students": "500", "student_errors": str(students)}
        return made | {"log_loss": str(loss), "seconds": "30", "unit": "120"}

    present, other = {"model": "cnn"}, {"epochs": 2, "model": "cnn"}
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
    assert first == [f"`{json.dumps(present)}`", "3", "403.3", "173.3", "0.3700", "0.25", "", ""]
    # Of 1,000 digits 2 and 3 errors fewer: of 10,000, 25 ± 5; the loss 0.01 and 0.005 smaller.
    assert second[2:] == ["85.0", "140.0", "0.0475", "0.25", "-25.0 ± 5.0", "-0.0075 ± 0.0025"]
