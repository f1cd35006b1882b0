from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from mnistlib import data, metrics, writers


@pytest.fixture(scope="module")
def known() -> writers.Writers:
    """The published files; a test that asks for them is skipped where they cannot be had."""
    try:
        return writers.load()
    except data.DataUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def published(known) -> list[Path]:
    return writers._find()


def test_every_digit_has_its_writer_and_no_writer_is_on_both_sides(known):
    """The counts that QMNIST's authors give: 539 writers in training, 297 in the test set."""
    assert (len(known.train), len(known.test)) == (60_000, 10_000)
    assert (known.train.dtype, known.test.dtype) == (np.int32, np.int32)
    assert len(np.unique(known.train)) == 539
    assert len(np.unique(known.test)) == 297
    assert not np.intersect1d(known.train, known.test).size


def test_half_of_the_test_digits_are_students(known):
    """MNIST's authors: 5,000 test digits from each of NIST's two collections."""
    assert abs(int(known.test_students.sum()) - 5_000) <= 5
    for numbers, students in (
        (known.train, known.train_students),
        (known.test, known.test_students),
    ):
        for writer in np.unique(numbers)[:20]:
            assert len(set(students[numbers == writer])) == 1


def test_labels_beside_the_writers_are_those_of_mnist(published, mnist):
    """So the rows are in MNIST's order."""
    for path, labels in zip(published, (mnist.y_train, mnist.y_test), strict=True):
        rows = np.frombuffer(gzip.decompress(path.read_bytes())[12:], ">i4").reshape(-1, 8)
        np.testing.assert_array_equal(rows[: len(labels), 0], labels)


def test_writers_are_read_only(known):
    with pytest.raises(ValueError, match="read-only"):
        known.train[0] = 1


@pytest.mark.parametrize("inside", ["", "qmnist"])
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
    monkeypatch.setattr(writers, "ADDRESS", nowhere.refused[0][0])
    assert len(writers.load().train) == 60_000


def test_files_are_fetched_once_and_kept(published, nowhere, tmp_path, monkeypatch, serve):
    served = tmp_path / "served"
    served.mkdir()
    for path in published:
        shutil.copy(path, served)
    server = serve(served)
    monkeypatch.setattr(writers, "ADDRESS", server.address)
    first, again = writers.load(), writers.load()
    np.testing.assert_array_equal(first.train, again.train)
    assert len(server.asked) == 2


def test_without_files_or_network_the_sentence_says_so(nowhere, monkeypatch):
    monkeypatch.setattr(writers, "ADDRESS", nowhere.refused[0][0])
    with pytest.raises(data.DataUnavailable, match=r"QMNIST's labels are not in MNISTLIB_DATA"):
        writers.load()


def small(kind: int = 12, rank: int = 2, columns: int = 8) -> bytes:
    header = struct.pack(">HBBII", 0, kind, rank, 3, columns)
    return gzip.compress(header + np.arange(3 * columns, dtype=">i4").tobytes())


def test_small_file_in_the_same_form_is_read(tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(small())
    np.testing.assert_array_equal(writers._read(path), np.arange(24).reshape(3, 8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (small(kind=8), "not an IDX file of integers"),
        (small(rank=3), "not an IDX file of integers"),
        (small(columns=7), "not an IDX file of integers"),
        (small()[:-20], "cannot be read"),
        (b"", "not an IDX file of integers"),
        (gzip.compress(b"\0\0"), "not an IDX file of integers"),
        (gzip.compress(gzip.decompress(small())[:-4]), "not an IDX file of integers"),
        (b"no gzip", "cannot be read"),
    ],
    # The bytes hold the second in which they were packed: each process would name its own.
    ids=["bytes", "rank", "columns", "cut", "empty", "short", "length", "text"],
)
def test_damaged_file_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(data.DataError, match=rf"labels\.gz .*{said}"):
        writers._read(path)


def test_other_contents_in_the_named_folder_are_refused(tmp_path, monkeypatch):
    for name in writers.FILES:
        (tmp_path / name).write_bytes(small())
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(data.DataError, match=r"SHA-256 differs"):
        writers.load()


# --- division by writer -------------------------------------------------------------------------


def test_split_by_writer_keeps_every_hand_on_one_side(known, mnist):
    numbers = np.arange(60_000)
    fit, y_fit, held, y_held = data.split(numbers, mnist.y_train, groups=known.train)
    assert not np.intersect1d(known.train[fit], known.train[held]).size
    np.testing.assert_array_equal(np.sort(np.concatenate([fit, held])), numbers)
    np.testing.assert_array_equal(y_held, mnist.y_train[held])
    assert len(held) == pytest.approx(6_000, rel=0.05)
    shares = np.bincount(y_held) / len(y_held) - np.bincount(y_fit) / len(y_fit)
    assert np.abs(shares).max() < 0.02


def test_random_split_flatters_a_nearest_neighbour(known, mnist):
    """A hand that stands on both sides is an answer learnt by heart."""
    from sklearn.neighbors import KNeighborsClassifier

    some = np.random.default_rng(0).choice(np.unique(known.train), 60, replace=False)
    chosen = np.isin(known.train, some)
    x, y = mnist.x_train[chosen].reshape(-1, 784), mnist.y_train[chosen]
    found = {}
    for name, groups in (("random", None), ("by writer", known.train[chosen])):
        scores = []
        for seed in range(3):
            x_fit, y_fit, x_val, y_val = data.split(x, y, groups=groups, seed=seed)
            nearest = KNeighborsClassifier(1).fit(x_fit, y_fit)
            scores.append(metrics.accuracy(y_val, nearest.predict(x_val)))
        found[name] = np.mean(scores)
    assert found["random"] > found["by writer"]


def test_split_by_group_is_seeded():
    y, groups = np.arange(400) % 10, np.sort(np.random.default_rng(0).integers(40, size=400))
    one, again, other = (
        data.split(np.arange(400), y, groups=groups, seed=seed)[2] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert set(one) != set(other)


@pytest.mark.parametrize(
    ("groups", "validation", "said"),
    [
        (np.arange(39), 0.1, r"one for each of the 40 digits; received \(39,\)"),
        (np.arange(40) // 10, 0.1, "groups must be at least 10 .*received 4"),
        (np.arange(40), 0.6, "half of the digits"),
        (np.arange(40), 0, "half of the digits"),
        (np.arange(40), 40, "half of the digits"),
    ],
)
def test_groups_that_cannot_be_divided_are_refused(groups, validation, said):
    with pytest.raises(ValueError, match=said):
        data.split(np.zeros(40), np.arange(40) % 10, groups=groups, validation=validation)


def test_one_setting_serves_all(mnist, published, tmp_path, monkeypatch, mnist_npz):
    """One folder with MNIST and its writers."""
    (tmp_path / "mnist.npz").symlink_to(mnist_npz)
    for path in published:
        shutil.copy(path, tmp_path)
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    assert data.load("mnist").is_mnist
    assert len(writers.load().test) == 10_000
