from __future__ import annotations

import pytest

from mnistlib import data, folders


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("7/anna.jpg", 7),
        ("7/3.png", 7),
        ("anna/7/first.png", 7),
        ("7/first/photo.png", 7),
        ("7.jpg", 7),
        ("7_anna.JPG", 7),
        ("7-2.webp", 7),
        ("7 (2).heic", 7),
        ("0.png", 0),
        ("anna/4_b.png", 4),
        ("IMG_7.jpg", None),
        ("20240131.jpg", None),
        ("7th.jpg", None),
        ("7é.jpg", None),
        ("12/photo.jpg", None),
        ("seven/photo.jpg", None),
    ],
)
def test_label_is_that_of_the_subfolder_or_the_file(tmp_path, name, label):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    found = folders.load(tmp_path)
    expected = () if label is None else (folders.Labelled(path, label),)
    assert found.pictures == expected
    assert found.unlabelled == (() if expected else (path,))


def test_the_name_of_the_folder_itself_is_no_label(tmp_path):
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "anna.png").touch()
    assert folders.load(folder).pictures == ()


def test_pictures_come_by_name_and_what_is_no_picture_is_passed_over(tmp_path):
    for name in ("b/2.png", "a/1.png", "3.png", "notes.txt", ".hidden.png", ".git/4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    names = [str(path.relative_to(tmp_path)) for path in folders.find(tmp_path)]
    assert names == ["3.png", "a/1.png", "b/2.png"]


def test_a_folder_that_is_none_or_holds_no_picture_is_refused(tmp_path):
    with pytest.raises(data.DataError, match=r"must name a folder of pictures; received .*gone"):
        folders.find(tmp_path / "gone")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(data.DataError, match="holds no picture"):
        folders.load(tmp_path)
