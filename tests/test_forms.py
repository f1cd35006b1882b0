import numpy as np
import pytest
from scipy import ndimage

from mnistlib import forms


def ring(size=40, thickness=5):
    """A zero: a ring of so many pixels across."""
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    far = np.hypot(row, column)
    return (far < size / 2) & (far > size / 2 - thickness)


def row_of(cells, *, filled, side=60, shared=True, gap=10):
    """Cells beside one another, a ring in each that is filled; the walls, and all of it."""
    step = side if shared else side + gap
    walls = np.zeros((side + 40, cells * step + 60), bool)
    rings = np.zeros_like(walls)
    for place in range(cells):
        left = 20 + place * step
        box = np.ones((side + 2, side + 2), bool)
        box[2:-2, 2:-2] = False
        walls[20 : 22 + side, left : left + side + 2] |= box
        if place in filled:
            rings[30:70, left + 10 : left + 50] |= ring()
    return walls, walls | rings


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("filled", [(0, 1, 2, 3), (0, 3)])
def test_walls_of_cells_are_found_and_nothing_else(shared, filled):
    walls, page = row_of(4, filled=filled, shared=shared)
    found = forms.find(page)
    # Only the corners may stay, which are no lines.
    assert np.count_nonzero(walls & ~found) <= 0.06 * np.count_nonzero(walls)
    assert not (found & ~walls).any()


def test_a_tilted_form_is_found_as_well():
    _, page = row_of(4, filled=(0, 1, 2, 3))
    walls, _ = row_of(4, filled=())
    tilted, lines = (
        ndimage.rotate(part.astype(np.uint8), 4, reshape=True, order=0).astype(bool)
        for part in (page, walls)
    )
    rest = tilted & ~forms.find(tilted)
    assert np.count_nonzero(rest & lines) <= 0.15 * np.count_nonzero(lines)
    assert np.count_nonzero(rest) >= 0.9 * np.count_nonzero(tilted & ~lines)


def test_an_empty_cell_is_no_form():
    """A zero of seven segments looks like one."""
    walls, _ = row_of(1, filled=())
    assert not forms.find(walls).any()


def test_what_runs_along_two_digits_is_found_and_a_lone_stroke_is_not():
    page = np.zeros((120, 200), bool)
    page[30:70, 30:70] = page[30:70, 100:140] = ring()
    line = np.zeros_like(page)
    line[80:83, 25:150] = True
    found = forms.find(page | line)
    assert np.count_nonzero(line & ~found) <= 0.02 * np.count_nonzero(line)
    assert not (found & page).any()
    lone = np.zeros_like(page)
    lone[80:83, 25:150] = True
    assert not forms.find(lone).any()


def test_teeth_of_a_comb_go_with_their_line():
    page = np.zeros((120, 260), bool)
    comb = np.zeros_like(page)
    comb[90:93, 20:223] = True
    for left in range(20, 221, 50):
        comb[70:93, left : left + 3] = True
    for left in range(25, 200, 50):
        page[40:80, left : left + 40] = ring()
    found = forms.find(page | comb)
    assert np.count_nonzero(comb & ~found) <= 0.05 * np.count_nonzero(comb)
    assert not (found & page).any()


def test_a_stroke_that_crosses_the_line_stays_whole():
    page = np.zeros((120, 200), bool)
    page[20:100, 50:56] = page[20:100, 100:106] = page[20:100, 150:156] = True
    line = np.zeros_like(page)
    line[90:92, 20:180] = True
    found = forms.find(page | line)
    assert not (found & page).any()
    assert found[90, 60:95].all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (400, 5), (60, 60)])
def test_nothing_is_found_on_empty_or_full_masks(shape):
    assert not forms.find(np.zeros(shape, bool)).any()
    assert not forms.find(np.ones(shape, bool)).any()
