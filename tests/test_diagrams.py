from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mnistlib import diagrams

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_pixel_maps_share_one_scale_and_accept_rows_of_784():
    maps = [np.full(784, 10.0), np.full((28, 28), 200.0)]
    panels = diagrams.pixel_maps(maps, ["mean", "largest"], label="pixel value", title="Where?")
    assert [ax.get_title() for ax in panels] == ["mean", "largest"]
    assert {ax.images[0].get_clim() for ax in panels} == {(0, 200)}
    assert panels[0].images[0].get_array().shape == (28, 28)
    panels[0].figure.canvas.draw()


def test_yes_no_map_crosses_every_yes_and_explains_both():
    answers = RNG.random((28, 28)) < 0.1
    _, given = plt.subplots()
    assert diagrams.yes_no_map(answers, yes="blank", no="inked", title="t", ax=given) is given
    columns, rows = given.lines[0].get_data()
    assert sorted(zip(rows, columns, strict=True)) == sorted(
        zip(*map(list, np.nonzero(answers)), strict=True)
    )
    assert [text.get_text() for text in given.get_legend().get_texts()] == ["blank", "inked"]


def test_digit_map_draws_every_digit_with_its_numeral():
    points, labels = RNG.normal(size=(40, 2)), np.arange(40) % 10
    ax = diagrams.digit_map(points, labels, title="t")
    assert ax.get_title(loc="left") or ax.get_title()
    drawn = {digit: ax.collections[digit].get_offsets().data.tolist() for digit in range(10)}
    assert all(drawn[digit] == points[labels == digit].tolist() for digit in range(10))
    shapes = {tuple(map(tuple, one.get_paths()[0].vertices)) for one in ax.collections}
    assert len(shapes) == 10
    ax.figure.canvas.draw()
