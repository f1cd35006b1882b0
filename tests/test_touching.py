import numpy as np
import pytest

from mnistlib import touching


def ring(size=60, thickness=8):
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    far = np.hypot(row, column)
    return (far < size / 2) & (far > size / 2 - thickness)


def test_two_rings_that_touch_are_cut_where_they_touch():
    page = np.zeros((100, 200), bool)
    page[20:80, 20:80] = ring()
    page[20:80, 79:139] |= ring()
    left, right = touching.halves(page)
    assert np.array_equal(left | right, page)
    assert not (left & right).any()
    edges = [np.flatnonzero(part.any(axis=0))[[0, -1]].tolist() for part in (left, right)]
    assert edges[0][0] == 20
    assert edges[1][1] == 138
    assert edges[0][1] + 1 == pytest.approx(79.5, abs=3)


def test_what_is_narrow_is_not_cut():
    page = np.zeros((100, 200), bool)
    page[20:80, 20:70] = ring()[:, 5:55]
    assert touching.halves(page) == []


def test_a_fragment_is_no_half():
    """The bar of a long seven is cut off, but it is no digit."""
    page = np.zeros((100, 200), bool)
    page[20:28, 20:100] = page[20:80, 92:100] = True
    assert touching.halves(page) == []
