from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mnistlib import diagrams, metrics, plots

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 28, 28)).astype(np.uint8)


@pytest.fixture(autouse=True)
def close_figures():
    plots.use_style()
    yield
    plt.close("all")


def test_occlusion_draws_each_map_below_its_digit_on_one_scale():
    maps = [np.full((12, 12), share) for share in (0.1, 0.5, 0.9)]
    panels = diagrams.occlusion(IMAGES, maps, captions=["a", "b", "c"], title="t")
    assert panels.shape == (2, 3)
    for above, below, image, found in zip(*panels, IMAGES, maps, strict=True):
        assert np.array_equal(above.images[0].get_array(), image)
        assert np.array_equal(below.images[0].get_array(), found)
        assert below.images[0].get_clim() == (0, 1)
        # The map covers the same pixels as the digit above it.
        assert below.images[0].get_extent() == above.images[0].get_extent()
    assert [ax.get_title() for ax in panels[0]] == ["a", "b", "c"]


def test_embedding_marks_the_mistakes_by_a_cross_and_their_label():
    points, labels = RNG.normal(size=(30, 2)), np.arange(30) % 10
    wrong = np.arange(30) % 7 == 3
    ax = diagrams.embedding(points, labels, wrong, title="t")
    right, crosses = ax.lines
    assert np.array_equal(right.get_xydata(), points[~wrong])
    assert np.array_equal(crosses.get_xydata(), points[wrong])
    assert crosses.get_marker() == "x"
    texts = [text.get_text() for text in ax.texts]
    assert texts == [*map(str, labels[wrong]), *map(str, range(10))]


def test_intervals_stand_in_rows_with_their_values():
    found = {
        "many": metrics.Interval(0.02, 0.018, 0.022),
        "few": metrics.Interval(0.045, 0.03, 0.065),
    }
    _, given = plt.subplots()
    ax = diagrams.intervals(found, title="t", xlabel="wrong", ax=given)
    assert ax is given
    reach = [line.get_xdata() for line in ax.lines[::2]]
    assert [tuple(one) for one in reach] == [(0.018, 0.022), (0.03, 0.065)]
    assert [text.get_text() for text in ax.texts] == ["2.00 %", "4.50 %"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["many", "few"]
