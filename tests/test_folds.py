from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from mnistlib import folds, models, training


@pytest.fixture(scope="module")
def few(sample):
    return sample.x_train[:600], sample.y_train[:600]


def test_each_digit_is_answered_by_the_network_that_did_not_learn_from_it(few):
    x, y = few
    splits = list(StratifiedKFold(3, shuffle=True, random_state=0).split(x, y))
    options = {"epochs": 2, "batch_size": 50, "learning_rate": 0.01}
    found = folds.out_of_fold("dense_32_16", x, y, splits, seed=3, **options)
    assert (found.dtype, found.shape) == (np.float32, (600, 10))
    for learned, asked in splits:
        network = models.build("dense_32_16", seed=3)
        training.fit(network, x[learned], y[learned], seed=3, **options)
        assert found[asked] == pytest.approx(models.predict_proba(network, x[asked]), abs=1e-5)
    assert 0.3 < np.mean(found.argmax(axis=1) == y) < 1


def test_a_function_may_build_the_network(few):
    x, y = few
    splits = [(np.arange(300), np.arange(300, 600)), (np.arange(300, 600), np.arange(300))]
    found = folds.out_of_fold(partial(models.dense, [8]), x, y, iter(splits))
    assert found.sum(axis=1) == pytest.approx(np.ones(600), abs=1e-5)


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ([], "each of the 6 digits once; received 0 places"),
        ([([0, 1, 2], [3, 4])], "received 2 places"),
        ([([0, 1, 2], [3, 4, 5]), ([3, 4], [0, 1, 1])], "6 places, 5 of them different"),
        ([([0, 1, 2, 3], [3, 4, 5]), ([3, 4], [0, 1, 2])], "received 1 digits in both"),
    ],
)
def test_splits_that_leak_or_leave_out_are_refused(splits, said):
    with pytest.raises(ValueError, match=said):
        folds.out_of_fold("dense_32_16", np.zeros((6, 28, 28), np.uint8), np.arange(6), splits)
