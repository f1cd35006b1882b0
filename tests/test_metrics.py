from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binom, ttest_rel

from mnistlib import metrics


@st.composite
def labels_and_predictions(draw):
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.integers(1, 10))
    right = draw(st.floats(0, 1))
    y_true = rng.integers(classes, size=n).astype(draw(st.sampled_from([np.uint8, np.int64])))
    y_pred = np.where(rng.random(n) < right, y_true, rng.integers(10, size=n))
    return y_true, y_pred


@st.composite
def labels_and_probabilities(draw):
    y_true, _ = draw(labels_and_predictions())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(scale=draw(st.floats(0.1, 10)), size=(len(y_true), 10))
    return y_true, softmax(logits, axis=1).astype(np.float32)


def rows(confidences, predicted) -> np.ndarray:
    """Probabilities with the given winners, the rest spread evenly."""
    table = np.repeat((1 - np.asarray(confidences, float)[:, None]) / 9, 10, axis=1)
    table[np.arange(len(table)), predicted] = confidences
    return table


# --- accuracy and its interval ------------------------------------------------------------------


@given(labels_and_predictions())
def test_accuracy_agrees_with_scikit_learn(labels):
    assert metrics.accuracy(*labels) == pytest.approx(sklearn.metrics.accuracy_score(*labels))


def right_and_wrong(right: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    y_pred = np.zeros(n, np.uint8)
    y_pred[right:] = 1
    return np.zeros(n, np.uint8), y_pred


# Newcombe 1998, Statistics in Medicine 17, p. 857, table I, method 3.
@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_matches_the_published_table(right, n, low, high):
    interval = metrics.accuracy_interval(*right_and_wrong(right, n))
    assert interval.value == right / n
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(
    st.integers(1, 10_000),
    st.floats(0, 1),
    st.sampled_from([(0.95, 1.959963985), (0.99, 2.575829304)]),
)
def test_wilson_interval_solves_its_equation(n, share, level):
    confidence, z = level
    right = round(share * n)
    interval = metrics.accuracy_interval(*right_and_wrong(right, n), confidence=confidence)
    assert 0 <= interval.low <= right / n <= interval.high <= 1
    # Wilson's bounds are the two p that lie z standard errors of p from the measured share.
    for p in (interval.low, interval.high):
        assert (right / n - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n, abs=1e-9)


def test_interval_is_written_in_percent():
    interval = metrics.Interval(0.97813, 0.97508, 0.98081)
    assert str(interval) == "97.81 % (95 % interval 97.51–98.08 %)"
    half = metrics.accuracy_interval(*right_and_wrong(95, 100), confidence=0.5)
    assert str(half).startswith("95.00 % (50 % interval ")


BOTH = (metrics.accuracy, metrics.accuracy_interval, metrics.report, metrics.confusion)


@pytest.mark.parametrize("function", [*BOTH, metrics.most_confused])
@pytest.mark.parametrize(
    ("y_true", "y_pred", "received"),
    [
        (np.zeros(3, int), np.zeros(4, int), r"\(3,\) and \(4,\)"),
        (np.zeros(3, int), np.zeros((3, 1), int), r"\(3,\) and \(3, 1\)"),
        (np.zeros((3, 10), int), np.zeros((3, 10), int), r"\(3, 10\) and \(3, 10\)"),
        (np.zeros(0, int), np.zeros(0, int), r"\(0,\) and \(0,\)"),
    ],
    ids=["length", "column", "one-hot", "empty"],
)
def test_labels_that_do_not_fit_are_refused(function, y_true, y_pred, received):
    with pytest.raises(ValueError, match=received):
        function(y_true, y_pred)


@pytest.mark.parametrize(
    "function", [metrics.mistakes, metrics.calibration, metrics.accuracy_by_coverage]
)
def test_probabilities_of_another_length_are_refused(function):
    with pytest.raises(ValueError, match=r"received \(3,\) and \(4,\)"):
        function(np.zeros(3, int), np.full((4, 10), 0.1))


# --- classes and confusions ---------------------------------------------------------------------


@given(labels_and_predictions())
def test_report_agrees_with_scikit_learns_classification_report(labels):
    expected = sklearn.metrics.classification_report(
        *labels, labels=range(10), output_dict=True, zero_division=0
    )
    table = metrics.report(*labels)
    assert table.index.tolist() == list(range(10))
    for digit in range(10):
        row = expected[str(digit)]
        wanted = [row["precision"], row["recall"], row["f1-score"], row["support"]]
        assert table.loc[digit, ["precision", "recall", "F1", "support"]].tolist() == pytest.approx(
            wanted
        )


@pytest.mark.parametrize("function", [metrics.report, metrics.confusion])
@pytest.mark.parametrize(("wrong", "label"), [("y_true", 10), ("y_pred", -1)])
def test_labels_that_are_no_digit_are_refused(function, wrong, label):
    given = {"y_true": np.array([1, 2]), "y_pred": np.array([1, 2])} | {wrong: np.array([1, label])}
    with pytest.raises(ValueError, match=f"{wrong} must hold labels 0–9; received .*{label}"):
        function(**given)


@given(labels_and_predictions())
def test_confusion_counts_each_digit_in_its_cell(labels):
    counts = metrics.confusion(*labels)
    expected = np.zeros((10, 10), int)
    for true, predicted in zip(*labels, strict=True):
        expected[true, predicted] += 1
    np.testing.assert_array_equal(counts, expected)


@given(labels_and_predictions(), st.integers(1, 100))
def test_most_confused_lists_the_largest_wrong_counts(labels, pairs):
    table = metrics.most_confused(*labels, pairs=pairs)
    counts = metrics.confusion(*labels)
    for row in table.itertuples(index=False):
        assert row.true != row.predicted
        assert row.count == counts[row.true, row.predicted] > 0
    wrong = sorted(counts[~np.eye(10, dtype=bool)], reverse=True)
    assert table["count"].tolist() == [count for count in wrong if count][:pairs]
    assert not table.duplicated(["true", "predicted"]).any()


@given(labels_and_probabilities())
def test_mistakes_are_all_listed_the_most_confident_first(labels):
    y_true, probabilities = labels
    table = metrics.mistakes(y_true, probabilities)
    y_pred = probabilities.argmax(axis=1)
    assert sorted(table["index"]) == np.flatnonzero(y_true != y_pred).tolist()
    assert (np.diff(table["confidence"]) <= 0).all()
    for row in table.itertuples(index=False):
        assert (row.true, row.predicted) == (y_true[row.index], y_pred[row.index])
        assert row.confidence == probabilities[row.index].max()
        assert row.p_true == probabilities[row.index, y_true[row.index]]


def test_no_mistakes_make_empty_tables():
    y = np.arange(10)
    assert metrics.mistakes(y, np.eye(10)).empty
    assert metrics.most_confused(y, y).empty


# --- calibration --------------------------------------------------------------------------------


def defined_calibration_error(y_true, probabilities, bins) -> float:
    """Guo et al. 2017, equation 3, word for word."""
    error = 0.0
    for m in range(bins):
        inside = []
        for label, row in zip(y_true, probabilities, strict=True):
            confidence = float(row.max())
            if m / bins < confidence <= (m + 1) / bins:
                inside.append((confidence, row.argmax() == label))
        if inside:
            mean_confidence = sum(confidence for confidence, _ in inside) / len(inside)
            accuracy = sum(right for _, right in inside) / len(inside)
            error += len(inside) / len(y_true) * abs(accuracy - mean_confidence)
    return error


@given(labels_and_probabilities(), st.integers(1, 20))
def test_calibration_error_agrees_with_its_definition(labels, bins):
    result = metrics.calibration(*labels, bins=bins)
    assert result.error == pytest.approx(defined_calibration_error(*labels, bins), abs=1e-12)
    assert result.count.sum() == len(labels[0])
    assert len(result.edges) == bins + 1
    empty = result.count == 0
    np.testing.assert_array_equal(np.isnan(result.accuracy), empty)
    np.testing.assert_array_equal(np.isnan(result.confidence), empty)
    low, high = result.edges[:-1][~empty], result.edges[1:][~empty]
    held = result.confidence[~empty]
    assert ((low <= held + 1e-12) & (held <= high + 1e-12)).all()


def test_perfect_calibration_has_no_error():
    predicted = np.zeros(10, int)
    y_true = np.array([0] * 8 + [1] * 2)
    assert metrics.calibration(y_true, rows([0.8] * 10, predicted)).error == pytest.approx(0)


def test_sure_and_always_wrong_is_the_largest_error():
    assert metrics.calibration(np.ones(5, int), rows([1.0] * 5, [0] * 5)).error == 1


def test_bin_holds_its_upper_edge():
    result = metrics.calibration(np.array([0, 0]), rows([0.5, 0.75], [0, 0]), bins=4)
    assert result.count.tolist() == [0, 1, 1, 0]


# --- likelihood and temperature -----------------------------------------------------------------


@given(labels_and_probabilities())
def test_log_loss_agrees_with_scikit_learn(labels):
    y_true, probabilities = labels
    # scikit-learn takes everything below 2e-16 for that, and wants rows that sum to one in float64.
    probabilities = np.maximum(probabilities.astype(np.float64), 1e-12)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = sklearn.metrics.log_loss(y_true, probabilities, labels=range(10))
    assert metrics.log_loss(y_true, probabilities) == pytest.approx(expected)


def test_log_loss_of_the_impossible_is_finite():
    impossible = metrics.log_loss(np.array([1]), np.eye(10, dtype=np.float32)[:1])
    assert 80 < impossible < 100


@pytest.fixture(scope="module")
def true_logits() -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is right by construction, and labels drawn from it."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(40_000, 10))
    # The largest of logits with Gumbel noise is a draw from their softmax.
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 2.5])
def test_temperature_is_recovered(true_logits, temperature):
    logits, y_true = true_logits
    # The estimate scatters by 0.5 % at n = 40,000 (measured over 20 other draws).
    probabilities = softmax(logits * temperature, axis=1)
    assert metrics.fit_temperature(y_true, probabilities) == pytest.approx(temperature, rel=0.02)


@pytest.mark.parametrize("temperature", [0.5, 1.7])
def test_temperature_divides_the_logits(true_logits, temperature):
    logits = true_logits[0][:500]
    scaled = metrics.apply_temperature(softmax(logits, axis=1), temperature)
    np.testing.assert_allclose(scaled, softmax(logits / temperature, axis=1), rtol=1e-9)


@given(labels_and_probabilities(), st.floats(0.05, 20))
def test_temperature_leaves_the_prediction_and_the_sum(labels, temperature):
    _, probabilities = labels
    scaled = metrics.apply_temperature(probabilities, temperature)
    np.testing.assert_allclose(scaled.sum(axis=1), 1, rtol=1e-5)
    # The old winner stays the winner; float32 may make it one of two equal ones.
    winners = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(scaled[np.arange(len(scaled)), winners], scaled.max(axis=1))


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature must be positive; received {temperature}"):
        metrics.apply_temperature(np.full((1, 10), 0.1), temperature)


# --- coverage -----------------------------------------------------------------------------------


@given(labels_and_probabilities())
def test_coverage_rises_to_all_digits_and_their_accuracy(labels):
    y_true, probabilities = labels
    coverage, accuracy = metrics.accuracy_by_coverage(y_true, probabilities)
    assert coverage.shape == accuracy.shape == y_true.shape
    assert (np.diff(coverage) > 0).all()
    assert coverage[-1] == 1
    assert accuracy[-1] == pytest.approx(metrics.accuracy(y_true, probabilities.argmax(axis=1)))


def test_coverage_answers_the_most_confident_first():
    y_true = np.array([0, 0, 0, 0])
    probabilities = rows([0.6, 0.9, 0.8, 0.7], [0, 0, 1, 0])
    coverage, accuracy = metrics.accuracy_by_coverage(y_true, probabilities)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert accuracy.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4])


# --- comparisons --------------------------------------------------------------------------------


def two_classifiers(both, only_first, only_second, neither):
    first = np.repeat([0, 0, 1, 1], [both, only_first, only_second, neither])
    second = np.repeat([0, 1, 0, 1], [both, only_first, only_second, neither])
    return np.zeros(len(first), int), first, second


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (10, 2, 158 / 4096),  # 2 · (1 + 12 + 66) / 2¹²
        (0, 5, 2 / 32),
        (1, 0, 1.0),
        (7, 7, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_counts_coin_tosses(only_first, only_second, p_value):
    paired = metrics.mcnemar(*two_classifiers(30, only_first, only_second, 3))
    assert (paired.only_first, paired.only_second) == (only_first, only_second)
    assert paired.p_value == pytest.approx(p_value, rel=1e-12)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 20), st.integers(0, 20))
def test_mcnemar_is_symmetric_and_agrees_with_the_binomial_tail(b, c, both, neither):
    y_true, first, second = two_classifiers(both, b, c, neither)
    paired = metrics.mcnemar(y_true, first, second)
    assert paired.p_value == pytest.approx(min(1, 2 * binom.cdf(min(b, c), b + c, 0.5)), rel=1e-9)
    assert metrics.mcnemar(y_true, second, first) == metrics.Paired(c, b, paired.p_value)


shares = st.floats(0.9, 1).map(lambda share: round(share, 4))


@given(st.lists(st.tuples(shares, shares), min_size=2, max_size=10))
def test_paired_difference_agrees_with_scipys_paired_t_test(pairs):
    first, second = np.array(pairs).T
    difference = metrics.paired_difference(first, second)
    assert difference.mean == pytest.approx(np.mean(first - second), abs=1e-15)
    if np.ptp(np.round(first - second, 6)) == 0:
        return  # no spread: held by the test below
    expected = ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert difference.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    ("first", "second", "mean", "p_value"),
    [([0.5, 0.25], [0.5, 0.25], 0.0, 1.0), ([0.75, 0.5], [0.5, 0.25], 0.25, 0.0)],
)
def test_paired_difference_without_spread(first, second, mean, p_value):
    difference = metrics.paired_difference(first, second)
    assert difference == metrics.Difference(mean, mean, mean, p_value)


@pytest.mark.parametrize(
    ("first", "second", "received"),
    [
        ([0.9, 0.8], [0.9, 0.8, 0.7], r"\(2,\) and \(3,\)"),
        ([0.9, 0.8], [0.9], r"\(2,\) and \(1,\)"),
        ([0.9], [0.8], r"\(1,\) and \(1,\)"),
        ([], [], r"\(0,\) and \(0,\)"),
        (0.9, 0.8, r"\(\) and \(\)"),
    ],
)
def test_paired_difference_refuses_what_is_not_paired(first, second, received):
    with pytest.raises(ValueError, match=received):
        metrics.paired_difference(first, second)


# --- text and contracts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "text"), [(0.97813, "97.81 %"), (1, "100.00 %"), (0, "0.00 %"), (0.99999, "100.00 %")]
)
def test_percent(share, text):
    assert metrics.percent(share) == text


def test_mean_sd_uses_the_sample_standard_deviation():
    # Mean 0.98; deviations −0.01, 0, 0.01: squares sum to 0.0002, over n − 1 = 2, root 0.01.
    assert metrics.mean_sd([0.97, 0.98, 0.99]) == "98.00 ± 1.00 %"


@pytest.mark.parametrize("few", [[], [0.5]])
def test_mean_sd_refuses_fewer_than_two(few):
    with pytest.raises(ValueError, match=f"at least two values; received {len(few)}"):
        metrics.mean_sd(few)


@pytest.mark.parametrize(
    ("y_true", "y_pred"),
    [
        (np.array(["7", "2"]), np.array([7, 2])),
        (np.array([7, 2]), np.array(["7", "2"], object)),
        (np.array([7, 2]), np.array([b"7", b"2"])),
    ],
)
@pytest.mark.parametrize(
    "measure",
    [
        metrics.accuracy,
        metrics.accuracy_interval,
        metrics.report,
        metrics.confusion,
        metrics.most_confused,
    ],
)
def test_labels_of_two_kinds_are_refused(measure, y_true, y_pred):
    """Text equals no number: this would be an accuracy of 0."""
    with pytest.raises(ValueError, match=r"labels of one kind; received .*convert"):
        measure(y_true, y_pred)


def test_labels_of_one_kind_may_differ_in_width_and_container():
    y_true = np.array([7, 2, 1], np.uint8)
    for y_pred in ([7, 2, 0], np.array([7.0, 2.0, 0.0]), np.array([7, 2, 0], object)):
        assert metrics.accuracy(y_true, y_pred) == pytest.approx(2 / 3)
    assert metrics.accuracy(np.array(["a", "b"]), np.array(["a", "c"], object)) == 0.5


# --- Brier score and bootstrap ------------------------------------------------------------------


@given(labels_and_probabilities())
def test_brier_agrees_with_scikit_learn(given_):
    y_true, probabilities = given_
    probabilities = probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    # Class by class, since scikit-learn knows more than two classes from 1.7 on alone.
    expected = sum(
        sklearn.metrics.brier_score_loss(y_true == digit, probabilities[:, digit], pos_label=True)
        for digit in range(10)
    )
    assert metrics.brier(y_true, probabilities) == pytest.approx(expected)


def test_brier_of_certain_answers_is_nothing_or_two():
    answers = np.eye(10)[[3, 4]]
    assert metrics.brier(np.array([3, 4]), answers) == 0
    assert metrics.brier(np.array([4, 3]), answers) == 2


def test_bootstrap_of_a_mean_agrees_with_its_standard_error():
    wrong = np.arange(4_000) % 10 == 0
    interval = metrics.bootstrap(np.mean, wrong, resamples=1_000)
    assert interval.value == 0.1
    reach = 1.96 * np.sqrt(0.1 * 0.9 / 4_000)
    assert (interval.low, interval.high) == pytest.approx((0.1 - reach, 0.1 + reach), abs=0.001)
    assert metrics.bootstrap(np.mean, wrong, resamples=50) == metrics.bootstrap(
        np.mean, wrong, resamples=50
    )


def test_bootstrap_by_groups_is_wider_where_groups_are_alike():
    group = np.arange(1_000) // 50
    wrong = group % 5 == 0
    alone = metrics.bootstrap(np.mean, wrong)
    together = metrics.bootstrap(np.mean, wrong, groups=group)
    assert together.value == alone.value == 0.2
    assert together.high - together.low > 4 * (alone.high - alone.low)


def test_bootstrap_draws_the_rows_of_all_arrays_together():
    y = np.arange(50)
    assert metrics.bootstrap(lambda a, b: np.abs(a - b).max(), y, y.copy()).high == 0


def test_change_of_a_score_is_that_of_the_second_less_the_first_on_the_same_digits():
    y_true = np.arange(300) % 10
    first = rows(np.full(300, 0.9), np.where(np.arange(300) % 3 == 0, (y_true + 1) % 10, y_true))
    second = metrics.apply_temperature(first, 1.5)
    for score in (metrics.log_loss, metrics.brier):
        change = metrics.score_change(score, y_true, first, second)
        assert change.value == pytest.approx(score(y_true, second) - score(y_true, first))
        assert change.low < change.value < change.high
        alone = metrics.bootstrap(score, y_true, first)
        assert change.high - change.low < alone.high - alone.low


@pytest.mark.parametrize(("first", "second"), [(3, 4), (0, 0)])
def test_bootstrap_refuses_arrays_that_do_not_fit(first, second):
    with pytest.raises(ValueError, match="equally long and not empty"):
        metrics.bootstrap(np.mean, np.zeros(first), groups=np.zeros(second))
