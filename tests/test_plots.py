import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from nbclient import NotebookClient

from mnistlib import data, drawing, metrics, plots, preprocess

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 28, 28)).astype(np.uint8)
LABELS = np.arange(12) % 10
PAGE = drawing.sheet([7], 0)
PROBABILITIES = np.eye(10)[(LABELS + (np.arange(12) == 3)) % 10] * 0.91 + 0.009


@pytest.fixture(autouse=True)
def close_figures():
    plots.use_style()
    yield
    plt.close("all")


DRAW = """
import matplotlib, numpy as np
from mnistlib import plots
{chosen}
plots.use_style()
plots.sample_grid(np.zeros((1, 28, 28)), title="Nothing");
"""


def run_in_a_kernel(monkeypatch, code, **environment):
    """Run a cell in a kernel of this interpreter; the kinds of output that it stored."""
    # Before a kernel of the same name in the user's home folder.
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    root = Path(__file__).parents[1]
    client.execute(env=os.environ | {"PYTHONPATH": str(root)} | environment)
    return [
        sorted(output.get("data", [output.get("name")])) for output in notebook.cells[0].outputs
    ]


@pytest.mark.parametrize("backend", ["Agg", "TkAgg", ""])
def test_figures_appear_in_a_notebook_whatever_the_environment_names(monkeypatch, backend):
    stored = run_in_a_kernel(monkeypatch, DRAW.format(chosen=""), MPLBACKEND=backend)
    assert stored == [["image/png", "text/plain"]]


def test_a_backend_chosen_in_the_session_is_left_alone(monkeypatch):
    code = DRAW.format(chosen="matplotlib.use('svg')") + "print(matplotlib.get_backend())"
    assert run_in_a_kernel(monkeypatch, code, MPLBACKEND="Agg") == [["stdout"]]


FIGURES = {
    "sample_grid": lambda ax: plots.sample_grid(IMAGES, LABELS, title="t", ax=ax),
    "predictions": lambda ax: plots.predictions(IMAGES, LABELS, PROBABILITIES, title="t", ax=ax),
    "pictures": lambda ax: plots.pictures([PAGE, IMAGES[0]], columns=2, title="t", ax=ax),
    "boxes": lambda ax: plots.boxes(PAGE, [(10, 20, 50, 90)], title="t", ax=ax),
    "preprocessing": lambda ax: plots.preprocessing(preprocess.explain(PAGE), title="t", ax=ax),
    "class_counts": lambda ax: plots.class_counts({"a": LABELS, "b": LABELS}, ax=ax),
    "pixel_statistics": lambda ax: plots.pixel_statistics(data.pixel_table(IMAGES), ax=ax),
    "curves": lambda ax: plots.curves({"loss": [2, 1], "val_loss": [2, 1.5]}, title="t", ax=ax),
    "confusion": lambda ax: plots.confusion(metrics.confusion(LABELS, LABELS[::-1]), ax=ax),
    "reliability": lambda ax: plots.reliability(metrics.calibration(LABELS, PROBABILITIES), ax=ax),
    "lines": lambda ax: plots.lines(
        {"a": ([1, 2], [0.5, 0.6])}, title="t", xlabel="x", ylabel="y", ax=ax
    ),
    "comparison": lambda ax: plots.comparison(
        {"R0": [0.97, 0.98]}, claims={"R0": 0.97}, title="t", ax=ax
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_draws_on_the_axes_given_or_its_own_and_has_a_title(name):
    _, given = plt.subplots()
    assert FIGURES[name](given) is given
    own = FIGURES[name](None)
    assert isinstance(own, Axes)
    assert own is not given
    own.figure.canvas.draw()
    assert own.get_title(loc="left")
    if own.axison:
        assert own.get_xlabel()
        assert own.get_ylabel() or name in {"comparison", "differences"}


def test_a_grid_shows_every_image_once_in_reading_order():
    ax = plots.sample_grid(IMAGES, columns=5)
    canvas = ax.images[0].get_array()
    pitch_y, pitch_x = canvas.shape[0] // 3, canvas.shape[1] // 5
    for number, image in enumerate(IMAGES):
        top, left = number // 5 * pitch_y, number % 5 * pitch_x
        assert np.array_equal(canvas[top : top + 28, left : left + 28], image)


def test_captions_stand_under_their_images_in_order():
    ax = plots.sample_grid(IMAGES, [f"no. {n}" for n in range(12)])
    assert [text.get_text() for text in ax.texts] == [f"no. {n}" for n in range(12)]


def test_wrong_answers_differ_by_sign_and_by_the_frames_dashes():
    ax = plots.predictions(IMAGES, LABELS, PROBABILITIES)
    for number, (text, frame) in enumerate(zip(ax.texts, ax.patches, strict=True)):
        assert ("✗" in text.get_text()) == (number == 3)
        assert ("✓" in text.get_text()) == (number != 3)
        assert (frame.get_linestyle() == "--") == (number == 3)


def test_boxes_stand_where_the_digits_do_and_are_numbered_from_the_left():
    ax = plots.boxes(PAGE, [(10, 20, 50, 90), (60, 25, 80, 95)])
    corners = [frame.get_bbox().extents.tolist() for frame in ax.patches]
    assert corners == [[10, 20, 50, 90], [60, 25, 80, 95]]
    assert [text.get_text() for text in ax.texts] == ["1", "2"]


def test_preprocessing_frames_the_ink_of_the_mask():
    stages = preprocess.explain(PAGE)
    ax = plots.preprocessing(stages)
    left, right, bottom, top = ax.images[2].get_extent()
    height, width = stages.mask.shape
    rows, columns = (np.flatnonzero(stages.mask.any(axis=axis)) for axis in (1, 0))
    across, down = (right - left) / width, (bottom - top) / height
    expected = (
        *(left + across * columns[0], top + down * rows[0]),
        *(left + across * (columns[-1] + 1), top + down * (rows[-1] + 1)),
    )
    (frame,) = [patch for patch in ax.patches if patch.get_linestyle() == "--"]
    assert frame.get_bbox().extents == pytest.approx(expected)


def test_the_confusion_matrix_writes_every_count():
    counts = RNG.integers(0, 50, (10, 10))
    written = [text.get_text() for text in plots.confusion(counts).texts if text.get_text()]
    assert sorted(written) == sorted(
        [str(n) for n in counts[~np.eye(10, dtype=bool)] if n] + [str(n) for n in np.diag(counts)]
    )


def test_every_line_is_drawn_however_many_there_are():
    many = {f"line {number}": ([0, 1], [0, number]) for number in range(12)}
    ax = plots.lines(many, title="t", xlabel="x", ylabel="y")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(many)


def test_percent_axes_say_percent():
    ax = plots.lines({"a": ([0, 1], [0.1, 0.2])}, title="t", xlabel="x", ylabel="y", percent="y")
    ax.figure.canvas.draw()
    assert all("%" in label.get_text() for label in ax.get_yticklabels())
    assert not any("%" in label.get_text() for label in ax.get_xticklabels())


def test_a_table_has_its_title_and_the_same_text_every_time():
    frame = pd.DataFrame({"a": [0.5], "b": ["x"]})
    html = [
        plots.table(frame, title="What it says", formats={"a": "{:.1%}"}).to_html() for _ in "12"
    ]
    assert html[0] == html[1]
    assert "What it says" in html[0]
    assert "50.0%" in html[0]


@pytest.mark.parametrize(
    ("pictures", "captions", "named"),
    [(IMAGES[0], None, "images"), (IMAGES[:0], None, "images"), (IMAGES, ["one"], "captions")],
)
def test_a_grid_refuses_what_it_cannot_draw(pictures, captions, named):
    with pytest.raises(ValueError, match=named):
        plots.sample_grid(pictures, captions)


def test_trade_off_places_networks_by_seconds_and_mistakes():
    ax = plots.trade_off(
        {"one": (10, 0.99), "two": (100, 0.995)},
        curves={"course": [(5, 0.9), (50, 0.98)]},
        title="Faster",
    )
    course, one, two = (line.get_xydata() for line in ax.lines)
    assert course == pytest.approx(np.array([[5, 0.1], [50, 0.02]]))
    assert (*one[0], *two[0]) == pytest.approx((10, 0.01, 100, 0.005))
    assert [text.get_text() for text in ax.texts] == ["course", "one", "two"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_intervals_show_every_value_the_mean_and_students_interval():
    from scipy import stats

    values = {"a": (0.90, 0.92, 0.94), "one": (0.5,), "$x$ " * 20: (0.1, 0.2)}
    ax = plots.intervals(values, title="Which?", xlabel="accuracy")
    drawn = [line for line in ax.lines if len(line.get_xdata())]
    assert list(drawn[0].get_xdata()) == [0.90, 0.92, 0.94]
    assert drawn[1].get_xdata().item() == pytest.approx(0.92)
    reach = stats.sem(values["a"]) * stats.t.ppf(0.975, 2)
    assert list(drawn[2].get_xdata()) == pytest.approx([0.92 - reach, 0.92 + reach])
    # Of one value there is no interval.
    assert [len(line.get_xdata()) for line in drawn] == [3, 1, 2, 1, 1, 2, 1, 2]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:2] == ["a", "one"]
    assert "\n" in names[2]
    assert ax.yaxis_inverted()
    ax.figure.canvas.draw()


def test_names_of_points_that_lie_on_each_other_stand_below_each_other():
    points = {"a": (100, 0.97), "b": (110, 0.97), "c": (115, 0.971), "far": (20_000, 0.97)}
    ax = plots.trade_off(points, title="t")
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert heights["a"] == heights["far"] > heights["b"] > heights["c"]
    # Over more than two decades, fewer ticks.
    assert [at for at in ax.get_xticks() if 100 <= at <= 20_000] == [100, 300, 1_000, 3_000, 10_000]


def test_logarithmic_shares_are_written_in_per_cent_at_every_tick():
    ax = plots.lines(
        {"a": ([1, 2], [0.015, 0.14])}, title="t", xlabel="x", ylabel="y", percent="y", log=True
    )
    ax.figure.canvas.draw()
    shown = [tick.get_text() for tick in ax.get_yticklabels()]
    assert {"2.0%", "5.0%", "10.0%"} <= set(shown)
    assert len(ax.yaxis.get_minorticklocs()) == 0
