from __future__ import annotations

import gzip
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from children import measure, repeated
from hypothesis import given
from hypothesis import strategies as st

from mnistlib import data, kaggle

HEADER = ",".join(["label", *(f"pixel{number}" for number in range(784))])


@pytest.fixture(scope="module")
def demo(sample, tmp_path_factory):
    return kaggle.make_demo(tmp_path_factory.mktemp("demo"), sample)


def rows(count=3, label=True):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 784)).astype(str).tolist()
    return [[str(i % 10), *row] if label else row for i, row in enumerate(pixels)]


def write(path, lines, header=HEADER, end="\n"):
    path.write_text("\n".join([header, *(",".join(line) for line in lines)]) + end)
    return path


# --- the demo, read back ------------------------------------------------------------------------


def test_demo_is_what_pandas_reads_and_in_kaggles_shape(demo, sample):
    train, test = pd.read_csv(demo.train), pd.read_csv(demo.test)
    assert list(train.columns) == HEADER.split(",")
    assert list(test.columns) == HEADER.split(",")[1:]
    assert (len(train), len(test)) == (3_000, 2_000)
    assert demo.train.read_bytes().startswith(b"label,pixel0,pixel1,")
    read = kaggle.load(demo.train, demo.test)
    np.testing.assert_array_equal(read.y, train["label"])
    np.testing.assert_array_equal(read.x.reshape(-1, 784), train.iloc[:, 1:])
    np.testing.assert_array_equal(read.x_test.reshape(-1, 784), test)
    assert read.x.dtype == read.y.dtype == read.x_test.dtype == np.uint8
    assert read.x.shape[1:] == (28, 28)


def test_demo_holds_every_digit_once_with_the_answers_aside(demo, sample):
    read = kaggle.load(demo.train, demo.test)
    answers = kaggle.read_submission(demo.answers, rows=2_000)
    together = {
        (image.tobytes(), label)
        for images, labels in ((read.x, read.y), (read.x_test, answers))
        for image, label in zip(images, labels, strict=True)
    }
    original = {
        (image.tobytes(), label)
        for images, labels in ((sample.x_train, sample.y_train), (sample.x_test, sample.y_test))
        for image, label in zip(images, labels, strict=True)
    }
    assert together == original


def test_demo_of_mnist_has_kaggles_numbers(mnist, scratch):
    demo = kaggle.make_demo(scratch, mnist)
    read = kaggle.load(demo.train, demo.test)
    assert (len(read.x), len(read.x_test)) == (42_000, 28_000)
    assert len(kaggle.read_submission(demo.answers)) == kaggle.ROWS


@pytest.mark.parametrize("kind", ["gz", "zip", "zip of both"])
def test_compressed_files_are_read_alike(tmp_path, kind):
    plain = write(tmp_path / "train.csv", rows())
    expected = kaggle.load(plain)
    packed = tmp_path / "packed"
    if kind == "gz":
        packed.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(plain, "digit-recognizer/train.csv")
            if kind == "zip of both":
                archive.writestr("test.csv", "another file")
    read = kaggle.load(packed)
    np.testing.assert_array_equal(read.x, expected.x)
    np.testing.assert_array_equal(read.y, expected.y)


@pytest.mark.parametrize("end", ["\n", "", "\r\n", "\n\n"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path, end):
    path = write(tmp_path / "train.csv", rows(), end=end)
    expected = np.array(rows(), int)[:, 1:].reshape(-1, 28, 28)
    np.testing.assert_array_equal(kaggle.load(path).x, expected)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    np.testing.assert_array_equal(kaggle.load(path).x, expected)


# --- files that are not right -------------------------------------------------------------------


def changed(row, column, value):
    lines = rows()
    lines[row][column] = value
    return lines


NAMES = HEADER.split(",")
WRONG = {
    "empty": (b"", "is empty"),
    "header alone": (HEADER.encode() + b"\n", "has a header and no rows"),
    "missing column": (",".join(NAMES[:-1]), r"row 1: .*missing: pixel783$"),
    "missing columns": (",".join(NAMES[:9]), r"missing: pixel8, pixel9, pixel10 and 773 more$"),
    "extra column": (HEADER + ",weight", r"row 1: .*not expected: weight$"),
    "repeated column": (HEADER + ",pixel7", r"row 1: .*repeated: pixel7$"),
    "reordered": (",".join([*NAMES[1:], "label"]), r"column 1 is pixel0, not label$"),
    "test.csv": (",".join(NAMES[1:]), "it has no labels, as test.csv has none"),
    "submission": (b"ImageId,Label\n1,3\n", r"it is a submission \(ImageId, Label\)"),
    "web page": (b"<!DOCTYPE html>\n<html>", "is a web page, as Kaggle sends"),
    "UTF-16": (HEADER.encode("utf-16"), "is in UTF-16 or no text at all"),
    "fraction": (changed(1, 5, "1.5"), r"row 3, column pixel4: .*received '1.5'$"),
    "word": (changed(2, 784, "abc"), r"row 4, column pixel783: .*received 'abc'$"),
    "empty value": (changed(0, 1, ""), r"row 2, column pixel0: .*received ''$"),
    "too large": (changed(1, 1, "256"), r"row 3, column pixel0: .* 0–255; received '256'$"),
    "negative": (changed(1, 1, "-1"), r"row 3, column pixel0: .*received '-1'$"),
    "no digit": (changed(2, 0, "10"), r"row 4, column label: .* 0–9; received 10$"),
    "long row": ([*rows(), ["1"] * 786], r"row 5: expected 785 values; received 786$"),
    "cut off": ([*rows(), ["1"] * 300], r"row 5: expected 785 values; received 300; .* cut off"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_file_is_refused_with_the_place(tmp_path, kind):
    content, said = WRONG[kind]
    path = tmp_path / "train.csv"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        write(path, rows(), header=content)
    else:
        write(path, content, end="" if kind == "cut off" else "\n")
    with pytest.raises(data.DataError, match=said) as raised:
        kaggle.load(path)
    assert str(path) in str(raised.value)


def test_row_far_into_the_file_is_named(tmp_path):
    lines = rows(9_000)
    lines[8_123][78] = "x"
    with pytest.raises(data.DataError, match=r"row 8125, column pixel77: .*'x'"):
        kaggle.load(write(tmp_path / "train.csv", lines))


def test_train_file_given_as_test_file_is_refused(demo):
    with pytest.raises(data.DataError, match=r"it has labels, as train.csv has"):
        kaggle.load(demo.train, demo.train)


@pytest.mark.parametrize("packed", ["gz", "zip"])
def test_damaged_archive_is_refused(tmp_path, packed):
    plain = write(tmp_path / "train.csv", rows(50))
    path = tmp_path / "packed"
    if packed == "gz":
        path.write_bytes(gzip.compress(plain.read_bytes())[:-2_000])
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(plain, "train.csv")
        path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(data.DataError, match="is damaged or cut off"):
        kaggle.load(path)


def test_zip_without_the_file_says_what_it_holds(tmp_path):
    path = tmp_path / "digits.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(data.DataError, match=r"should hold one train\.csv; it holds notes\.txt"):
        kaggle.load(path)


def test_absent_file_is_an_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="train"):
        kaggle.load(tmp_path / "train.csv")


# --- files made to attack -----------------------------------------------------------------------

CELLS = {
    "hexadecimal": "0x10",
    "underscore": "1_0",
    "sign": "+5",
    "exponent": "1e2",
    "infinite": "inf",
    "not a number": "nan",
    "Arabic digit": "٣",
    "wide digit": "５",
    "superscript": "²",
    "NUL": "1\0",
    "5,000 digits": "9" * 5_000,
    "zeros and 999": "0" * 5_000 + "999",
    "quotes and more": '"5"6',
    "quote open": '"5',
    "quote closed": '5"',
    "quotes twice": '""5""',
    "truth": "True",
}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("column", [0, 400])
def test_only_digits_are_read_as_numbers(tmp_path, kind, column):
    path = write(tmp_path / "train.csv", changed(1, column, CELLS[kind]))
    name = NAMES[column]
    with pytest.raises(data.DataError, match=rf"row 3, column {name}: expected a whole number"):
        kaggle.load(path)


@pytest.mark.parametrize("cell", ['"5"', "005", " 5", "5 "])
def test_plain_numbers_in_other_spellings_are_read(tmp_path, cell):
    assert kaggle.load(write(tmp_path / "train.csv", changed(1, 1, cell))).x[1, 0, 0] == 5


def damaged_zip(path, *, flag=0, method=None):
    """A zip whose directory says something else than ``zipfile`` would write."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.csv", HEADER)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.index(mark) + offset
        content[at] |= flag
        if method is not None:
            content[at + 2] = method
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ({"flag": 1}, "encrypted"),
        ({"method": 97}, "compression"),
        ({"method": zipfile.ZIP_LZMA}, "damaged or cut off"),
        ({"method": zipfile.ZIP_BZIP2}, "damaged or cut off"),
    ],
)
def test_zip_that_cannot_be_unpacked_is_refused(tmp_path, way, said):
    damaged_zip(tmp_path / "train.zip", **way)
    with pytest.raises(data.DataError, match=said):
        kaggle.load(tmp_path / "train.zip")


@pytest.mark.parametrize("read", [kaggle.load, kaggle.read_submission])
def test_what_is_no_regular_file_is_refused(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path, "a folder"), (tmp_path / "pipe", "a device")):
        with pytest.raises(data.DataError, match=f"is no file but {what}"):
            read(path)
    for name in ("a" * 5_000, "nul\0"):
        with pytest.raises(data.DataError, match="cannot be read"):
            read(tmp_path / name)


def bomb(kind, path):
    head = HEADER.encode() + b"\n"
    if kind == "line of 10 GB":
        repeated(path, head + b"1,", b"1", 1_000)
    elif kind == "10 GB of empty lines":
        repeated(path, head, b"\n", 1_000)
    elif kind == "header of 10 GB":
        repeated(path, b"", b",", 1_000)
    elif kind == "lines of commas":
        repeated(path, head, b"," * 40_000 + b"\n", 100)
    elif kind == "no-name of 60 MB":
        path.write_bytes(b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 60_000_000)
    elif kind == "500,000 members":
        path.write_bytes(gzip.compress(b"") * 500_000)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(20_000):
                archive.writestr(f"{number:0200}.csv", b"")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("line of 10 GB", "a line of more than 50,000 bytes"),
        ("10 GB of empty lines", "holds more than 250,000,000 bytes"),
        ("header of 10 GB", "a line of more than 50,000 bytes"),
        ("lines of commas", "row 2: expected 785 values; received 40001"),
        ("no-name of 60 MB", "it ends before its end mark"),
        ("500,000 members", "it has more than 10,000 members"),
        ("zip of 20,000 members with long names", "its list of members has"),
    ],
)
def test_a_bomb_is_refused_within_bounds(scratch, kind, said):
    path = scratch / "train.csv.gz"
    bomb(kind, path)
    came = measure(
        "import pyarrow.csv\nfrom mnistlib import kaggle", "kaggle.load(sys.argv[1])", path
    )
    assert came.said.startswith("DataError: ")
    assert said in came.said
    assert came.megabytes < 200
    assert came.seconds < 15


def test_a_submission_of_gigabytes_is_refused_within_bounds(scratch):
    with (scratch / "submission.csv").open("wb") as file:
        file.truncate(10_000_000_000)
    came = measure("from mnistlib import kaggle", "kaggle.read_submission(sys.argv[1])", file.name)
    assert came.said.endswith("is no submission: it has more than 10,000,000 bytes")
    assert came.megabytes < 100


# --- submissions --------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_submission_is_read_back_as_written(labels):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = kaggle.write_submission(Path(folder) / "submission.csv", np.array(labels))
        table = pd.read_csv(path)
        assert list(table.columns) == ["ImageId", "Label"]
        assert list(table["ImageId"]) == list(range(1, len(labels) + 1))
        assert list(table["Label"]) == labels
        assert list(kaggle.read_submission(path, rows=len(labels))) == labels
        assert [each.name for each in Path(folder).iterdir()] == ["submission.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "row 1: expected ImageId,Label; received an empty file"),
        ("id,label\n1,2\n", "row 1: expected ImageId,Label; received 'id,label'"),
        ("ImageId,Label\n1,2\n", "should have 2 rows after the header; it has 1"),
        ("ImageId,Label\n0,2\n1,3\n", "row 2, column ImageId: expected 1; received '0'"),
        ("ImageId,Label\n1,2\n3,3\n", "row 3, column ImageId: expected 2; received '3'"),
        ("ImageId,Label\n1,2\n2,10\n", "row 3, column Label: .* received '10'"),
        ("ImageId,Label\n1,2.0\n2,1\n", "row 2, column Label: .* received '2.0'"),
        ("ImageId,Label\n1,2\n2,\n", "row 3, column Label: .* received ''"),
        ("ImageId,Label\n1,2\n2,é\n", "is not plain ASCII text"),
    ],
)
def test_invalid_submission_is_refused_with_the_row(tmp_path, text, said):
    path = tmp_path / "submission.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(data.DataError, match=said):
        kaggle.read_submission(path, rows=2)


@pytest.mark.parametrize("labels", [[], [10], [-1, 3], [[1, 2]], [1.5, 2.0], [float("nan")]])
def test_labels_that_are_no_digits_are_not_written(tmp_path, labels):
    with pytest.raises(ValueError, match="labels must be"):
        kaggle.write_submission(tmp_path / "submission.csv", np.array(labels))
    assert not list(tmp_path.iterdir())
