from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mnistlib import data, pendigits


@pytest.fixture(scope="module")
def known() -> pendigits.Pendigits:
    """The published files; a test that asks for them is skipped where they cannot be had."""
    try:
        return pendigits.load()
    except data.DataUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def published(known) -> list[Path]:
    return pendigits._find()


def test_digits_and_writers_are_as_many_as_the_authors_say(known):
    """UCI's description: 250 digits by each of 44 writers, 30 for training and 14 others."""
    assert (len(known.train), len(known.test)) == (7_494, 3_498)
    assert set(known.train.writers) == set(range(1, 31))
    assert set(known.test.writers) == set(range(31, 45))
    for part in (known.train, known.test):
        assert set(np.unique(part.writers, return_counts=True)[1]) <= {247, 249, 250}
        assert len(part.paths) == len(part.labels) == len(part.writers)
        assert (part.labels.dtype, part.writers.dtype) == (np.uint8, np.int32)
    # By digit, as UCI's pendigits.names lists them.
    assert np.bincount(known.train.labels).tolist() == [
        *(780, 779, 780, 719, 780),
        *(720, 720, 778, 719, 719),
    ]
    assert np.bincount(known.test.labels).tolist() == [
        *(363, 364, 364, 336, 364),
        *(335, 336, 364, 336, 336),
    ]


def test_each_digit_has_the_strokes_and_the_label_that_its_segment_line_names(known, published):
    """``.SEGMENT DIGIT 6-7 ? "4"``: strokes 6 and 7, counted through the file, are a 4."""
    for part, path in zip((known.train, known.test), published, strict=True):
        lines = re.findall(r'^\.SEGMENT DIGIT\s+([\d-]+) \? "(\d)"$', path.read_text(), re.M)
        ends = [[int(number) for number in place.split("-")] for place, _ in lines]
        assert [len(digit) for digit in part.paths] == [1 + end[-1] - end[0] for end in ends]
        assert part.labels.tolist() == [int(label) for _, label in lines]


def test_first_digit_is_where_the_file_has_it(known):
    """267 333, 267 336, … 500 being the tablet's upper edge."""
    (stroke,) = known.train.paths[0]
    assert (known.train.labels[0], known.train.writers[0]) == (8, 12)
    assert stroke[:3].tolist() == [[267, 167], [267, 164], [267, 161]]
    assert stroke.dtype == np.int16


def test_strokes_are_read_only(known):
    for array in (known.train.labels, known.train.writers, known.train.paths[0][0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("inside", ["", "pendigits"])
@pytest.mark.parametrize("named", ["folder", "file"])
def test_files_lie_in_the_named_folder_or_beside_the_named_file(
    published, nowhere, tmp_path, monkeypatch, inside, named
):
    folder = tmp_path / "data" / inside
    folder.mkdir(parents=True)
    for path in published:
        shutil.copy(path, folder)
    place = tmp_path / "data" / ("mnist.npz" if named == "file" else "")
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(place))
    monkeypatch.setattr(pendigits, "ADDRESS", nowhere.refused[0][0])
    assert [path.parent for path in pendigits._find()] == [folder, folder]


def test_files_are_fetched_once_and_kept(published, nowhere, tmp_path, monkeypatch, serve):
    served = tmp_path / "served"
    served.mkdir()
    for path in published:
        shutil.copy(path, served)
    server = serve(served)
    monkeypatch.setattr(pendigits, "ADDRESS", server.address)
    first, again = pendigits._find(), pendigits._find()
    assert first == again
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in published]
    assert len(server.asked) == 2


def test_a_download_of_other_contents_is_not_taken(nowhere, tmp_path, monkeypatch, serve):
    served = tmp_path / "served"
    served.mkdir()
    for name in pendigits.FILES:
        (served / name).write_text(SMALL)
    monkeypatch.setattr(pendigits, "ADDRESS", serve(served).address)
    with pytest.raises(data.DataUnavailable, match="it answered with another file"):
        pendigits.load()


def test_without_files_or_network_the_sentence_says_so(nowhere, monkeypatch):
    monkeypatch.setattr(pendigits, "ADDRESS", nowhere.refused[0][0])
    with pytest.raises(data.DataUnavailable, match=r"pendigits are not in MNISTLIB_DATA nor in"):
        pendigits.load()


SMALL = """.INCLUDE        dene.doc

.SEGMENT DIGIT    0-1 ? "7"
.COMMENT 7 3  1
.PEN_DOWN
  10  490
  60  490
 -1  500
.PEN_UP
.DT 100
.PEN_DOWN
  30  400
.PEN_UP

.SEGMENT DIGIT    2 ? "1"
.COMMENT 1 2  2
.PEN_DOWN
  5  0
.PEN_UP
.DT 100
"""


def test_small_file_in_the_same_form_is_read(tmp_path):
    path = tmp_path / "small.tra"
    path.write_text(SMALL)
    small = pendigits._read(path, before=30)
    assert small.labels.tolist() == [7, 1]
    assert small.writers.tolist() == [33, 32]
    found = [[stroke.tolist() for stroke in digit] for digit in small.paths]
    assert found == [[[[10, 10], [60, 10], [-1, 0]], [[30, 100]]], [[[5, 500]]]]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  60  490", "  60", "line 7, is not in the UNIPEN format:   60"),
        ("  60  490", "  60  nine", "line 7, is not in the UNIPEN format"),
        (".COMMENT 7 3  1", ".COMMENT 7", "line 4, is not in the UNIPEN format"),
        (".COMMENT 7 3  1\n", "", "digits without a label, a stroke or a point"),
        ("  5  0\n", "", "digits without a label, a stroke or a point"),
        (SMALL, "", "digits without a label, a stroke or a point"),
        ('.SEGMENT DIGIT    0-1 ? "7"\n', "", "line 4, is not in the UNIPEN format: .PEN_DOWN"),
    ],
)
def test_damaged_file_is_refused_by_name(tmp_path, old, new, said):
    path = tmp_path / "strokes.tra"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(data.DataError, match=re.escape(said)) as refused:
        pendigits._read(path)
    assert str(path) in str(refused.value)


def test_other_contents_in_the_named_folder_are_refused(tmp_path, monkeypatch):
    for name in pendigits.FILES:
        (tmp_path / name).write_text(SMALL)
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(data.DataError, match=r"SHA-256 differs"):
        pendigits.load()
