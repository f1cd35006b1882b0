import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mnistlib import diagrams

WEIGHTS = np.linspace(-2, 2, 41)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_network_draws_every_unit_and_every_weight():
    ax = diagrams.network((3, 2, 4), title="A network")
    units = [line for line in ax.lines if line.get_marker() == "o"]
    weights = [line for line in ax.lines if line.get_marker() == "None"]
    assert (len(units), len(weights)) == (3 + 2 + 4, 3 * 2 + 2 * 4)
    assert ax.get_title() == "A network"


def test_slope_is_the_tangent_at_the_present_weight():
    ax = diagrams.slope(WEIGHTS, WEIGHTS**2, at=1.0, gradient=2.0, title="Which way is down?")
    (x0, x1), (y0, y1) = next(
        line.get_data() for line in ax.lines if line.get_linestyle() == "--"
    )
    assert (y1 - y0) / (x1 - x0) == pytest.approx(2.0)
    assert (x0 + x1) / 2 == pytest.approx(1.0)
    assert (y0 + y1) / 2 == pytest.approx(1.0)


def test_descent_shows_the_weights_visited_on_the_curve():
    steps = {"small": [1.0, 0.9, 0.8], "right": [1.0, 0.0]}
    panels = diagrams.descent(WEIGHTS, WEIGHTS**2, steps, title="How long a step?")
    for ax, (caption, visited) in zip(panels, steps.items(), strict=True):
        x, y = next(line.get_data() for line in ax.lines if line.get_marker() == "o")
        np.testing.assert_allclose(x, visited)
        np.testing.assert_allclose(y, np.square(visited), atol=0.003)
        assert ax.get_title() == caption
        assert len([text for text in ax.texts if text.arrow_patch]) == len(visited) - 1


def test_boundary_draws_the_line_where_the_probability_is_a_half():
    points = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    grid = diagrams.grid_over(points)
    (ax,) = diagrams.boundary(
        points,
        (points[:, 0] > 0.2).astype(int),
        {"upright": 1 / (1 + np.exp(-9 * (grid[:, 0] - 0.2)))},
        names=("left", "right"),
        xlabel="x",
        ylabel="y",
    )
    (line,) = (c for c in ax.collections if c.get_linewidths()[0] == 2)
    np.testing.assert_allclose(line.get_paths()[0].vertices[:, 0], 0.2, atol=0.02)
