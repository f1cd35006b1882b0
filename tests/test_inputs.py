import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mnistlib import inputs

DIGITS = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)


def test_imports_without_tensorflow():
    code = "import sys, mnistlib.inputs; print({'tensorflow', 'keras'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# --- digits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 28, 28, 1), (3, 784)])
def test_every_unambiguous_form_is_the_same_digits(dtype, shape):
    made = inputs.as_digits(DIGITS.astype(dtype).reshape(shape))
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, DIGITS)


@pytest.mark.parametrize("shape", [(28, 28), (784,)])
def test_one_digit_is_one_row(shape):
    np.testing.assert_array_equal(inputs.as_digits(DIGITS[0].reshape(shape)), DIGITS[:1])


def test_no_digits_stay_none():
    for shape in ((0, 28, 28), (0, 784), (0, 28, 28, 1)):
        assert inputs.as_digits(np.zeros(shape)).shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (DIGITS / 255, r"divided by 255 already: .*np\.round\(255 \* images\)"),
        (DIGITS + 0.5, "float64 with fractions or NaN"),
        (np.where(DIGITS > 9, np.nan, 3.0), "float64 with fractions or NaN"),
        (DIGITS.astype(int) * 2, "int64 from 0 to 510"),
        (-DIGITS.astype(int), "int64 from -"),
        (DIGITS > 127, "received true and false"),
        (DIGITS.astype(str), r"received text \('"),
        (np.zeros((3, 28, 27), np.uint8), r"received uint8 \(3, 28, 27\)"),
        (np.zeros((3, 28, 28, 3), np.uint8), r"received uint8 \(3, 28, 28, 3\)"),
        (np.zeros((3, 785), np.uint8), r"received uint8 \(3, 785\)"),
    ],
)
def test_what_is_no_digits_is_refused(bad, said):
    with pytest.raises(ValueError, match=f"images must .*{said}"):
        inputs.as_digits(bad)


@given(npst.arrays(st.sampled_from([np.int16, np.float64]), (2, 784), elements=st.integers(0, 255)))
def test_whole_numbers_are_taken_as_they_are_or_as_divided(images):
    """Floats up to 1 might be bytes or shares: they are refused, unless all are blank."""
    if images.dtype == np.float64 and 0 < images.max() <= 1:
        with pytest.raises(ValueError, match="divided by 255"):
            inputs.as_digits(images)
    else:
        np.testing.assert_array_equal(inputs.as_digits(images).reshape(2, 784), images)


# --- inputs of a training -----------------------------------------------------------------------


def test_features_take_the_type_of_the_model():
    assert inputs.as_features(DIGITS.astype(np.int64), dtype="uint8").dtype == np.uint8
    assert inputs.as_features(DIGITS.astype(np.float64), dtype="float32").dtype == np.float32
    assert inputs.as_features(DIGITS, dtype="float32") is DIGITS
    table = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    np.testing.assert_array_equal(inputs.as_features(table, dtype="float32"), [[1, 3], [2, 4]])
    np.testing.assert_array_equal(inputs.as_features([[1.5], [2.5]], dtype=None), [[1.5], [2.5]])


@pytest.mark.parametrize(
    ("x", "dtype", "said"),
    [
        (DIGITS / 255, "uint8", "x must hold whole numbers 0–255.*divided by 255 already"),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), None, "x must hold finite.* 1 NaN and 1 inf"),
        (np.array([["a"]]), None, "x must hold numbers; received <U1"),
        (np.array(3.0), None, "one value"),
        ({"x": 1}, None, "x must be an array; received dict"),
        ("digits.csv", None, "x must be an array; received str"),
        ([[1, 2], [3]], None, "x must have rows of one shape"),
        ((n for n in range(3)), None, "x must be an array; received generator"),
    ],
)
def test_features_that_cannot_be_learnt_from_are_refused(x, dtype, said):
    with pytest.raises(ValueError, match=said):
        inputs.as_features(x, dtype=dtype)


# --- labels -------------------------------------------------------------------------------------

LABELS = np.array([3, 1, 9, 0])


@pytest.mark.parametrize(
    "y",
    [
        LABELS.astype(np.uint8),
        LABELS.astype(np.float64),
        LABELS[:, None],
        LABELS.tolist(),
        pd.Series(LABELS),
        pd.Series(LABELS, dtype="category"),
        pd.Categorical(LABELS),
        np.array(LABELS, object),
    ],
    ids=["bytes", "floats", "column", "list", "series", "category", "categorical", "object"],
)
def test_labels_of_every_kind_become_whole_numbers(y):
    made = inputs.as_labels(y, classes=10)
    assert made.dtype == np.int32
    np.testing.assert_array_equal(made, LABELS)


def test_rows_stay_rows():
    rows = np.eye(10)[LABELS]
    made = inputs.as_labels(rows, classes=10)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, rows)
    np.testing.assert_array_equal(
        inputs.as_labels(np.full((2, 10), 0.1), classes=10), np.float32(0.1)
    )


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (LABELS.astype(str), r"text \('3', …\): convert it, as by np\.asarray\(y\)\.astype\(int\)"),
        (pd.Series(LABELS.astype(str), dtype="category"), r"text \('3'"),
        (LABELS + 0.5, "whole numbers 0–9; received float64 with fractions"),
        (np.array([1.0, np.nan]), "fractions or NaN"),
        (np.array([3, 10]), "labels 0–9; received 3 to 10"),
        (np.array([-1, 3]), "labels 0–9; received -1 to 3"),
        (np.eye(9), r"10 columns, one a class; received \(9, 9\)"),
        (np.ones((2, 10)), "rows that sum to one .*received sums from 10 to 10"),
        (np.zeros((2, 3, 10)), r"\(n,\) or \(n, 10\); received \(2, 3, 10\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y, said):
    with pytest.raises(ValueError, match=f"y must .*{said}"):
        inputs.as_labels(y, classes=10)


# --- weights ------------------------------------------------------------------------------------


def test_weights_of_classes_become_weights_of_digits():
    for y in (LABELS, np.eye(10)[LABELS]):
        made = inputs.as_weights(y, None, {1: 2.0, 9: 0.5})
        np.testing.assert_array_equal(made, np.float32([1, 2, 0.5, 1]))
    assert inputs.as_weights(LABELS, None, None) is None


@pytest.mark.parametrize(
    ("sample_weight", "class_weight", "said"),
    [
        (np.ones(4), {1: 2.0}, "cannot both be given"),
        (np.ones(3), None, r"for each of the 4 digits; received \(3,\)"),
        (np.array([1, 1, 1, -1.0]), None, "from 0"),
        (np.array([1, 1, 1, np.nan]), None, "finite"),
    ],
)
def test_weights_that_are_none_are_refused(sample_weight, class_weight, said):
    with pytest.raises(ValueError, match=said):
        inputs.as_weights(LABELS, sample_weight, class_weight)
