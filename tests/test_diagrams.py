from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mnistlib import diagrams, metrics, plots
from mnistlib.metrics import Difference

WEIGHTS = np.linspace(-2, 2, 41)
CLEAR = Difference(-0.012, -0.015, -0.009, 0.0006)
# Its interval excludes zero, but p times three comparisons is above 0.05.
BORDER = Difference(0.004, 0.001, 0.007, 0.02)
NONE = Difference(0.0, -0.002, 0.002, 0.98)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 28, 28)).astype(np.uint8)
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def close_figures():
    plots.use_style()
    yield
    plt.close("all")


def test_network_draws_every_unit_and_every_weight():
    ax = diagrams.network((3, 2, 4), title="A network")
    units = [line for line in ax.lines if line.get_marker() == "o"]
    weights = [line for line in ax.lines if line.get_marker() == "None"]
    assert (len(units), len(weights)) == (3 + 2 + 4, 3 * 2 + 2 * 4)
    assert ax.get_title(loc="left") == "A network"


def test_slope_is_the_tangent_at_the_present_weight():
    ax = diagrams.slope(WEIGHTS, WEIGHTS**2, at=1.0, gradient=2.0, title="Which way is down?")
    (x0, x1), (y0, y1) = next(line.get_data() for line in ax.lines if line.get_linestyle() == "--")
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
        assert ax.get_title(loc="left") == caption
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


def test_differences_stand_in_a_panel_for_each_baseline():
    panels = diagrams.difference_panels(
        {"R0": {"R2": CLEAR, "R4": NONE}, "no remedy": {"dropout": BORDER}}, title="t"
    )
    assert [ax.get_title() or ax.get_title(loc="left") for ax in panels] == [
        "0 = R0",
        "0 = no remedy",
    ]
    names = [[label.get_text() for label in ax.get_yticklabels()] for ax in panels]
    assert names == [["R2", "R4"], ["dropout"]]
    assert panels[0].get_xlim() == panels[1].get_xlim()
    assert panels[-1].get_xlabel()
    assert panels[0].figure.get_suptitle() == "t"


def test_only_what_passes_bonferronis_rule_is_filled_and_the_legend_says_so():
    panels = diagrams.difference_panels({"R0": {"R2": CLEAR, "R4": NONE}, "no": {"x": BORDER}})
    marks = [
        line
        for ax in panels
        for line in ax.lines
        if line.get_marker() == "o" and len(line.get_xdata())
    ]
    assert [line.get_mfc() == "w" for line in marks] == [False, True, True]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx([-1.2, 0.0, 0.4])
    words = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert words == ["passes Bonferroni's rule", "does not pass"]


def test_occlusion_draws_each_map_below_its_digit_on_one_scale():
    maps = [np.full((12, 12), share) for share in (0.1, 0.5, 0.9)]
    panels = diagrams.occlusion(IMAGES, maps, patch=6, step=2, captions=["a", "b", "c"], title="t")
    assert panels.shape == (2, 3)
    for above, below, image, found in zip(*panels, IMAGES, maps, strict=True):
        assert np.array_equal(above.images[0].get_array(), image)
        assert np.array_equal(below.images[0].get_array(), found)
        assert below.images[0].get_clim() == (0, 1)
        # Both show the same pixels; the middle of a 6 × 6 patch in the corner is at 2.5.
        assert below.get_xlim() == above.get_xlim() == (-0.5, 27.5)
        assert below.get_ylim() == above.get_ylim() == (27.5, -0.5)
        left, right, bottom, top = below.images[0].get_extent()
        centres = np.linspace(left, right, 25)[1::2]
        assert np.allclose(centres, np.arange(2.5, 25, 2))
        assert (bottom, top) == (right, left)
    assert [ax.get_title() for ax in panels[0]] == ["a", "b", "c"]


def test_embedding_marks_the_mistakes_by_their_labels():
    points, labels = RNG.normal(size=(30, 2)), np.arange(30) % 10
    wrong = np.arange(30) % 7 == 3
    ax = diagrams.embedding(points, labels, wrong, title="t")
    right, *misread, _ = ax.lines
    assert np.array_equal(right.get_xydata(), points[~wrong])
    assert np.array_equal([one.get_xydata()[0] for one in misread], points[wrong])
    assert [one.get_marker() for one in misread] == [f"${digit}$" for digit in labels[wrong]]
    assert [text.get_text() for text in ax.texts] == [*map(str, range(10))]


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


def test_pixel_maps_share_one_scale_and_accept_rows_of_784():
    maps = [np.full(784, 10.0), np.full((28, 28), 200.0)]
    panels = diagrams.pixel_maps(maps, ["mean", "largest"], label="pixel value", title="Where?")
    assert [ax.get_title(loc="left") for ax in panels] == ["mean", "largest"]
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


def test_large_numeral_of_a_class_in_two_groups_stands_in_the_larger_one():
    larger, smaller = RNG.normal(size=(30, 2)), RNG.normal(size=(10, 2)) + 100
    ax = diagrams.digit_map(np.concatenate([larger, smaller]), np.full(40, 2))
    (numeral,) = ax.texts
    assert numeral.get_text() == "2"
    assert np.abs(numeral.get_position()).max() < 3


PIXELS = np.arange(25.0).reshape(5, 5)
EDGE = np.array([[-1, 0, 1]] * 3)


def numbers(ax):
    return [float(text.get_text().replace("−", "-")) for text in ax.texts]


def frame(ax):
    (found,) = (patch for patch in ax.patches if patch.get_linewidth() == 2.5)
    return (found.get_y() + 0.5, found.get_x() + 0.5, found.get_height(), found.get_width())


def test_window_shows_pixels_filter_products_and_their_sum():
    image = np.zeros((28, 28))
    image[9:14, 8:13] = PIXELS
    panels = diagrams.window(image, EDGE, at=(9, 8), title="What does it find?")
    assert frame(panels[0]) == (9, 8, 5, 5)
    assert frame(panels[1]) == (0, 0, 3, 3)
    np.testing.assert_array_equal(numbers(panels[1]), PIXELS.ravel())
    np.testing.assert_array_equal(numbers(panels[2]), EDGE.ravel())
    *products, total = panels[3].texts
    assert [text.get_text() for text in products[:3]] == ["0", "0", "2"]
    assert total.get_text() == "their sum: 6"
    assert panels[0].figure.get_suptitle().strip() == "What does it find?"


@pytest.mark.parametrize(
    ("stride", "padding", "side"), [(1, 0, 3), (2, 0, 2), (1, 1, 5), (2, 1, 3)]
)
def test_sliding_fills_the_map_as_a_cross_correlation_does(stride, padding, side):
    panels = diagrams.sliding(PIXELS, EDGE, stride=stride, padding=padding)
    assert panels.shape == (2, side * side)
    padded = np.pad(PIXELS, padding)
    expected = [
        (padded[row : row + 3, column : column + 3] * EDGE).sum()
        for row in range(0, side * stride, stride)
        for column in range(0, side * stride, stride)
    ]
    for place, (upper, lower) in enumerate(panels.T):
        row, column = divmod(place, side)
        assert frame(upper) == (row * stride, column * stride, 3, 3)
        assert frame(lower) == (row, column, 1, 1)
        np.testing.assert_array_equal(numbers(upper), padded.ravel())
        np.testing.assert_array_equal(numbers(lower), expected[: place + 1])


def test_sliding_shows_the_places_asked_for():
    panels = diagrams.sliding(PIXELS, EDGE, shown=(0, 8))
    assert [ax.get_title() for ax in panels[0]] == ["place 1", "place 9"]
    assert [len(ax.texts) for ax in panels[1]] == [1, 9]


def test_pooling_keeps_the_largest_of_each_square():
    panels = diagrams.pooling(np.arange(16).reshape(4, 4))
    assert numbers(panels[1, -1]) == [5, 7, 13, 15]
    assert frame(panels[0, 1]) == (0, 2, 2, 2)


@pytest.mark.parametrize(("signed", "limits"), [(True, (-3, 3)), (False, (0, 3))])
def test_common_scale_is_one_for_all_and_stands_beside_them(signed, limits):
    images = np.stack([np.full((6, 6), 0.5), np.full((6, 6), 3.0)])
    ax = diagrams.common_scale(images, ["weak", "strong"], signed=signed, title="Which is which?")
    assert ax.images[0].get_clim() == limits
    assert [text.get_text() for text in ax.texts] == ["weak", "strong"]
    assert len(ax.figure.axes) == 2
    assert ax.figure.axes[1].get_ylabel() == "weight"


def test_courses_draw_each_training_and_the_published_one():
    ours = {"loss": [0.3, 0.1], "accuracy": [0.9, 0.97]}
    ours |= {"val_loss": [0.2, 0.15], "val_accuracy": [0.95, 0.96]}
    theirs = ours | {"val_loss": [0.25, 0.2]}
    loss, accuracy = diagrams.courses([ours, ours], theirs, theirs="R4", title="Whose is better?")
    assert len(loss.lines) == len(accuracy.lines) == 2 * (2 + 1)
    drawn = [list(line.get_ydata()) for line in loss.lines if line.get_label() == "R4, validation"]
    assert drawn == [[0.25, 0.2]]
    labels = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert labels == [
        *("our folds, training", "R4, training", "our folds, validation", "R4, validation")
    ]


def test_draws_mark_what_does_not_depend_on_chance():
    values = np.linspace(0.99, 0.995, 50)
    ax = diagrams.draws(values, {"all rows": 0.9925}, xlabel="score", ylabel="draws", title="Luck?")
    assert sum(patch.get_height() for patch in ax.patches) == len(values)
    assert [line.get_xdata()[0] for line in ax.lines] == [0.9925]
    assert ax.get_legend().get_texts()[0].get_text() == "all rows: 99.25 %"
    assert ax.get_title(loc="left") == "Luck?"


def test_interval_panels_draw_each_share_with_its_interval_on_one_scale():
    clear, unclear = metrics.Interval(-0.3, -0.4, -0.2), metrics.Interval(-0.01, -0.03, 0.01)
    found = {"photographs": {"box": clear, "thicken": unclear}}
    found["drawings"] = {"box": unclear, "thicken": clear}
    panels = diagrams.interval_panels(found, xlabel="change", signed=True, title="Which matters?")
    assert [ax.get_title(loc="left") for ax in panels] == ["photographs", "drawings"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["box", "thicken"]
    marks = [line for line in panels[0].lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in marks] == [[-0.3], [-0.01]]
    assert [line.get_markerfacecolor() == "w" for line in marks] == [False, True]
    reach = [list(line.get_xdata()) for line in panels[0].lines if line.get_linewidth() == 2.5]
    assert reach == [[-0.4, -0.2], [-0.03, 0.01]]
    assert [text.get_text() for text in panels[0].texts] == ["−30.0", "−1.0"]
    assert panels[0].get_xlim() == panels[1].get_xlim()
    assert panels[0].figure.get_suptitle() == "Which matters?"


def test_interval_panels_write_shares_in_per_cent():
    found = {"letters": {"T": metrics.Interval(0.995, 0.98, 1.0)}}
    (ax,) = diagrams.interval_panels(found, xlabel="answered")
    assert [text.get_text() for text in ax.texts] == ["99.5 %"]
    assert not any(line.get_xdata()[0] == 0 for line in ax.lines)


EFFECTS = pd.DataFrame(
    {
        "kind": ["width", "width", "rate", "dropout"],
        "change": ["32", "512", "0.1", "0.2"],
        "gain": [-0.012, 0.004, -0.07, 0.006],
        "low": [-0.016, 0.003, -0.08, -0.001],
        "high": [-0.008, 0.005, -0.06, 0.013],
        "adjusted": [0.01, 0.2, 0.001, 1.0],
        "cost": [0.5, 2.25, 1.0, 1.1],
    }
)


def test_effects_are_grouped_by_kind_with_the_best_on_top_and_cost_beside():
    _, given = plt.subplots()
    ax = diagrams.effects(EFFECTS, reach=1.5, title="t", ax=given)
    assert ax is given
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == ["dropout: 0.2", "width: 512", "width: 32", "rate: 0.1"]
    assert ax.get_ylim() == (3.5, -0.5)
    words = [text.get_text() for text in ax.texts]
    assert [word for word in words if "×" in word] == ["1.1 ×", "2.2 ×", "0.5 ×", "1.0 ×"]


def test_effects_are_filled_by_bonferronis_rule_and_beyond_the_reach_an_arrow():
    ax = diagrams.effects(EFFECTS, reach=1.5)
    marks = [line for line in ax.lines if line.get_marker() in "o<>" and len(line.get_xdata())]
    assert [line.get_marker() for line in marks] == ["o", "o", "o", "<"]
    assert [line.get_mfc() == "w" for line in marks] == [True, True, False, False]
    assert [line.get_xdata()[0] for line in marks[:3]] == pytest.approx([0.6, 0.4, -1.2])
    assert "−7.0" in [text.get_text() for text in ax.texts]
    # An interval that reaches beyond the axis ends at its edge.
    ends = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 2]
    assert [tuple(end) for end in ends] == [
        pytest.approx(end) for end in ((-0.1, 1.3), (0.3, 0.5), (-1.5, -0.8))
    ]


def test_search_shows_every_course_what_was_pruned_and_the_best_so_far():
    trials = pd.DataFrame(
        {
            "accuracies": [(0.8, 0.9), (0.7,), (0.85, 0.95), (0.6, 0.92)],
            "accuracy": [0.9, 0.7, 0.95, 0.92],
            "pruned": [False, True, False, False],
        }
    )
    left, right = diagrams.search_panels(trials, resumed=2, title="t")
    courses = [line for line in left.lines if line.get_linestyle() != "None"]
    assert [tuple(line.get_ydata()) for line in courses] == list(trials["accuracies"])
    assert [line.get_linestyle() for line in courses] == ["-", "--", "-", "-"]
    by_name = {line.get_label(): line for line in right.lines}
    assert list(by_name["finished"].get_xdata()) == [1, 3, 4]
    assert list(by_name["pruned"].get_xdata()) == [2]
    assert list(by_name["best so far"].get_ydata()) == [0.9, 0.9, 0.95, 0.95]
    assert set(by_name["taken up again"].get_xdata()) == {2.5}
    (unmarked, _) = diagrams.search_panels(trials)
    assert unmarked.figure.get_suptitle() == ""
