"""Pictures that explain: a neuron, a step of gradient descent, a convolution window.

Imports without TensorFlow. As in ``plots``: arrays in, ``Axes`` out; each function draws on the
``ax`` it is given or on a figure of its own, with a title that says what to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.spatial.distance import cdist

from mnistlib.data import SIDE
from mnistlib.metrics import Difference, Interval
from mnistlib.plots import INK, PALETTE, axes_or_new, sample_grid

if TYPE_CHECKING:
    import pandas as pd

_DARK = (PALETTE[0], PALETTE[3], "black", PALETTE[2], PALETTE[4])


def network(widths: Sequence[int] = (6, 4, 3), *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw a dense network: every unit of a layer is joined to every unit of the one before.

    Args:
        widths: Units to draw in each layer, inputs first. One unit of the second layer is picked
            out, with the weights that lead to it.
        title: What to see.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (7, 3.4))
    places = [
        [(2.2 * column, (number - (width - 1) / 2) * -0.9) for number in range(width)]
        for column, width in enumerate(widths)
    ]
    for before, after in pairwise(places):
        for start in before:
            for end in after:
                picked = end == places[1][0] and before is places[0]
                colour, width = (PALETTE[3], 2) if picked else ("0.8", 0.7)
                ax.plot(*zip(start, end, strict=True), color=colour, lw=width, zorder=1 + picked)
    names = ["pixels", *["hidden layer"] * (len(widths) - 2), "digits"]
    lowest = min(y for column in places for _, y in column)
    for column, name in zip(places, names, strict=True):
        for x, y in column:
            picked = (x, y) == places[1][0]
            ax.plot(x, y, "o", ms=16, mfc=PALETTE[3] if picked else "white", mec="0.3", zorder=3)
        ax.text(column[0][0], lowest - 0.75, name, ha="center", va="top")
    ax.annotate(
        "one unit: a weighted sum of all its inputs,\nnegative sums set to zero (ReLU)",
        places[1][0],
        xytext=(places[1][0][0] + 0.35, places[1][0][1] + 0.55),
        color=PALETTE[3],
    )
    ax.set(title=title, xlim=(-0.6, places[-1][0][0] + 1.6), ylim=(lowest - 1.3, 1.4 - lowest))
    ax.set_axis_off()
    return ax


def descent(
    weights: np.ndarray,
    losses: np.ndarray,
    steps: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    xlabel: str = "the weight",
) -> np.ndarray:
    """Draw the loss against one weight, and the steps that gradient descent takes on it.

    Args:
        weights: Where the loss was measured, increasing, float (n,).
        losses: The losses there (n,).
        steps: Caption of each panel → the weights visited, first to last.
        title: What to see.
        xlabel: What the weight is.

    Returns:
        One ``Axes`` a panel.
    """
    figure, panels = plt.subplots(
        1, len(steps), figsize=(3 * len(steps) + 0.5, 3.1), sharey=True, squeeze=False
    )
    for ax, (caption, visited) in zip(panels[0], steps.items(), strict=True):
        heights = np.interp(visited, weights, losses)
        ax.plot(weights, losses, color="0.6")
        for start, end in pairwise(zip(visited, heights, strict=True)):
            arrow = {"arrowstyle": "->", "color": PALETTE[0], "lw": 1.2}
            ax.annotate("", end, start, arrowprops=arrow)
        ax.plot(visited, heights, "o", ms=4, color=PALETTE[0])
        ax.plot(visited[0], heights[0], "D", ms=8, color=PALETTE[3])
        ax.set(xlabel=xlabel, xlim=(weights[0], weights[-1]))
        ax.set_title(caption, fontsize=10, weight="normal")
    panels[0][0].set_ylabel("loss")
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels[0]


def slope(
    weights: np.ndarray,
    losses: np.ndarray,
    *,
    at: float,
    gradient: float,
    title: str = "",
    xlabel: str = "the weight",
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss against one weight, the present value marked and the tangent drawn.

    Args:
        weights: Where the loss was measured, increasing, float (n,).
        losses: The losses there (n,).
        at: The present weight.
        gradient: The slope there.
        title: What to see.
        xlabel: What the weight is.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (6, 3.2))
    height = np.interp(at, weights, losses)
    near = np.array([-0.2, 0.2]) * np.ptp(weights)
    ax.plot(weights, losses, color=PALETTE[0], label="the loss")
    ax.plot(at + near, height + gradient * near, "--", color=PALETTE[3], label="its slope here")
    ax.plot(at, height, "D", ms=8, color=PALETTE[3], label="the present weight")
    ax.set(title=title, xlabel=xlabel, ylabel="loss", xlim=(weights[0], weights[-1]))
    ax.legend()
    return ax


def grid_over(points: np.ndarray, *, side: int = 100) -> np.ndarray:
    """Lay a grid over the points (n, 2), for ``boundary``: float (side · side, 2), row by row."""
    sides = [np.linspace(*edges, side) for edges in zip(points.min(0), points.max(0), strict=True)]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


def boundary(
    points: np.ndarray,
    labels: np.ndarray,
    answers: Mapping[str, np.ndarray],
    *,
    names: Sequence[str],
    title: str = "",
    xlabel: str,
    ylabel: str,
) -> np.ndarray:
    """Draw two classes of points, and where each of several classifiers draws the line.

    Args:
        points: float (n, 2).
        labels: 0 or 1 (n,).
        answers: Caption of each panel → probability of class 1 at every place of
            ``grid_over(points)``, 0–1.
        names: The two classes.
        title: What to see.
        xlabel: What the first coordinate is.
        ylabel: What the second is.

    Returns:
        One ``Axes`` a classifier.
    """
    figure, panels = plt.subplots(
        1, len(answers), figsize=(4.3 * len(answers), 3.8), sharey=True, squeeze=False
    )
    for ax, (caption, answer) in zip(panels[0], answers.items(), strict=True):
        side = round(np.sqrt(len(answer)))
        x, y = grid_over(points, side=side).T.reshape(2, side, side)
        share = np.reshape(answer, (side, side))
        ax.contourf(x, y, share, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.3)
        ax.contour(x, y, share, levels=[0.5], colors="black", linewidths=2)
        for kind, (marker, colour) in enumerate((("o", PALETTE[0]), ("^", PALETTE[3]))):
            chosen = points[labels == kind].T
            ax.plot(*chosen, marker, ms=4, color=colour, alpha=0.7, label=names[kind])
        ax.set(xlabel=xlabel)
        ax.set_title(caption, fontsize=10, weight="normal")
    panels[0][0].set_ylabel(ylabel)
    panels[0][0].legend(loc="upper left")
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels[0]


def occlusion(
    images: np.ndarray,
    maps: Sequence[np.ndarray],
    *,
    patch: int,
    step: int,
    captions: Sequence[str],
    label: str = "probability of the true class",
    title: str = "",
) -> np.ndarray:
    """Draw digits, and below each what a network says when a patch of it is covered.

    Each probability stands where the middle of the patch was; at the edge, where the patch would
    leave the image, there are none.


    Args:
        images: uint8 (n, height, width).
        maps: For each image a probability for every place of the patch, 0–1 (rows, columns), the
            first one with the patch in the upper left corner.
        patch: Side of the patch, pixels.
        step: By how many pixels it moves from one place to the next.
        captions: One for each image.
        label: What the maps hold.
        title: What to see.

    Returns:
        ``Axes`` (2, n).
    """
    count = len(images)
    figure, panels = plt.subplots(
        2, count, figsize=(1.8 * count + 0.9, 4.4), squeeze=False, constrained_layout=True
    )
    height, width = images.shape[1:]
    first = (patch - 1) / 2 - step / 2
    for image, found, caption, (above, below) in zip(images, maps, captions, panels.T, strict=True):
        above.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        above.set_title(caption, fontsize=11, weight="normal", loc="center")
        rows, columns = found.shape
        extent = (first, first + step * columns, first + step * rows, first)
        shown = below.imshow(found, cmap="viridis", vmin=0, vmax=1, extent=extent)
        below.contour(image, levels=[127], colors="white", linewidths=1.2)
        for ax in (above, below):
            ax.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
            ax.grid(visible=False)
    figure.colorbar(shown, ax=panels[1], label=label, shrink=0.9)
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels


def embedding(
    points: np.ndarray,
    labels: np.ndarray,
    wrong: np.ndarray,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw digits as points of the plane; those answered wrongly are the numerals of their labels.

    Args:
        points: float (n, 2).
        labels: True classes (n,).
        wrong: bool (n,).
        title: What to see.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (8, 6.5))
    ax.plot(*points[~wrong].T, ".", ms=4, color="0.72", label="read as labelled")
    for point, digit in zip(points[wrong], labels[wrong], strict=True):
        ax.plot(*point, marker=f"${digit}$", ms=8, ls="", color=PALETTE[3])
    ax.plot([], [], marker="$7$", ms=8, ls="", color=PALETTE[3], label="misread, as its label")
    for digit in np.unique(labels):
        ax.text(
            *np.median(points[labels == digit], axis=0),
            str(digit),
            fontsize=17,
            weight="bold",
            ha="center",
            va="center",
            bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "ec": "0.3", "alpha": 0.9},
        )
    ax.set(title=title, xticks=[], yticks=[])
    ax.set_xlabel("first coordinate of the map (no unit)")
    ax.set_ylabel("second coordinate")
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.06), ncols=2)
    return ax


def intervals(
    found: Mapping[str, Interval], *, title: str, xlabel: str, ax: Axes | None = None
) -> Axes:
    """Draw measured shares as dots with their intervals, one row each, the value beside it.

    Args:
        found: Name → measured share, 0–1.
        title: What to see.
        xlabel: What is measured.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (7, 0.5 * len(found) + 1.3))
    for row, one in enumerate(found.values()):
        ax.plot([one.low, one.high], [row, row], color=PALETTE[0], lw=2.5)
        ax.plot(one.value, row, "o", ms=8, color=PALETTE[0])
        ax.annotate(
            f"{100 * one.value:.2f} %",
            (one.high, row),
            (8, 0),
            textcoords="offset points",
            va="center",
        )
    ax.set_yticks(range(len(found)), list(found))
    ax.set(title=title, xlabel=xlabel, ylim=(len(found) - 0.5, -0.5))
    ax.set_xlim(0, 1.25 * max(one.high for one in found.values()))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="x")
    return ax


def difference_panels(
    found: Mapping[str, Mapping[str, Difference]],
    *,
    title: str = "",
    xlabel: str = "difference in accuracy, percentage points",
) -> np.ndarray:
    """Draw paired differences with their 95 % intervals, a panel for each baseline.

    A mark is filled where the difference passes Bonferroni's rule for all comparisons of the figure
    together (p times their number below 0.05), and hollow where it does not.

    Args:
        found: Baseline → name of what is compared with it → its difference, as a share.
        title: What to see.
        xlabel: What the differences are in.

    Returns:
        One ``Axes`` a baseline, on one scale.
    """
    sizes = [len(group) for group in found.values()]
    figure, panels = plt.subplots(
        len(found),
        1,
        figsize=(7.5, 0.45 * sum(sizes) + 0.75 * len(found) + 1),
        sharex=True,
        squeeze=False,
        height_ratios=sizes,
    )
    panels = panels[:, 0]
    for ax, (baseline, group) in zip(panels, found.items(), strict=True):
        ax.axvline(0, color="0.3", lw=1)
        for row, one in enumerate(group.values()):
            low, mean, high = (100 * value for value in (one.low, one.mean, one.high))
            filled = one.p_value * sum(sizes) < 0.05
            ax.plot([low, high], [row, row], color=PALETTE[0], lw=2)
            ax.plot(mean, row, "o", ms=8, mew=2, mec=PALETTE[0], mfc=PALETTE[0] if filled else "w")
        ax.set_yticks(range(len(group)), list(group))
        ax.set_ylim(len(group) - 0.5, -0.5)
        ax.set_title(f"0 = {baseline}", fontsize=10, weight="normal")
        ax.grid(axis="x")
    look = {"ls": "", "marker": "o", "ms": 8, "mew": 2, "mec": PALETTE[0]}
    panels[0].plot([], [], mfc=PALETTE[0], label="passes Bonferroni's rule", **look)
    panels[0].plot([], [], mfc="w", label="does not pass", **look)
    panels[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    panels[-1].set_xlabel(xlabel)
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels


def pixel_maps(
    maps: Sequence[np.ndarray],
    captions: Sequence[str],
    *,
    label: str,
    title: str = "",
) -> np.ndarray:
    """Draw several values of each pixel where the pixel lies, on one scale, dark where large.

    Args:
        maps: Each (28, 28), or the same numbers in a row (784,).
        captions: One for each map.
        label: What the numbers are, with their unit.
        title: What to see.

    Returns:
        One ``Axes`` a map.
    """
    squares = [np.reshape(one, (SIDE, SIDE)) for one in maps]
    figure, panels = plt.subplots(1, len(squares), figsize=(2.3 * len(squares) + 1, 2.9))
    panels = np.atleast_1d(panels)
    highest = max(square.max() for square in squares)
    for ax, square, caption in zip(panels, squares, captions, strict=True):
        image = ax.imshow(square, cmap=INK, vmin=0, vmax=highest)
        ax.set_title(caption, fontsize=11, weight="normal")
        ax.set(xticks=(), yticks=())
    figure.colorbar(image, ax=list(panels), label=label, shrink=0.8)
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels


def yes_no_map(
    answers: np.ndarray, *, yes: str, no: str, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw a yes or no for each pixel: dark and crossed for yes, light for no.

    Args:
        answers: bool (28, 28).
        yes: What a dark, crossed pixel means.
        no: What a light pixel means.
        title: What to see.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (6.2, 3.8))
    ax.imshow(answers, cmap=INK, vmin=0, vmax=2)
    rows, columns = np.nonzero(answers)
    ax.plot(columns, rows, "x", color="black", ms=5, label=yes)
    ax.plot([], [], "s", mfc="white", mec="0.6", ms=9, label=no)
    ax.set(title=title, xlabel="column", ylabel="row")
    ax.grid(visible=False)
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
    return ax


def digit_map(
    points: np.ndarray, labels: np.ndarray, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw digits as points of the plane, each as the numeral of its label.

    Args:
        points: float (n, 2).
        labels: 0–9 (n,).
        title: What to see.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (7.5, 6))
    for digit in range(10):
        # Two neighbours share a colour; those that look alike, such as 4 and 9, do not.
        ax.scatter(
            *points[labels == digit].T,
            s=34,
            marker=f"${digit}$",
            color=_DARK[digit // 2],
            linewidths=0.2,
        )
    # The small numerals tell the classes apart only from near by. A class may lie in two groups:
    # its large numeral stands where half of the class is nearest.
    for digit in np.unique(labels):
        own = points[labels == digit]
        ax.text(
            *own[np.median(cdist(own, own), axis=1).argmin()],
            str(digit),
            size=22,
            weight="bold",
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=4, foreground="white")],
        )
    ax.set(title=title, xlabel="first coordinate", ylabel="second coordinate")
    ax.grid(visible=False)
    return ax


def window(
    image: np.ndarray,
    kernel: np.ndarray,
    *,
    at: tuple[int, int],
    size: int = 5,
    title: str = "",
) -> np.ndarray:
    """Draw one place of a convolution with its numbers: pixels, filter, products and their sum.

    Args:
        image: A digit (height, width), 0 = paper and 255 = ink.
        kernel: The filter (rows, columns), weights that are few digits long.
        at: Row and column of the upper left corner of the patch that is drawn with its numbers.
        size: Side of that patch; the filter lies on its upper left corner.
        title: What to see.

    Returns:
        Four ``Axes``: the digit, the patch, the filter, the products.
    """
    (top, left), (rows, columns) = at, kernel.shape
    patch = image[top : top + size, left : left + size].astype(float)
    products = patch[:rows, :columns] * kernel
    figure, panels = plt.subplots(
        1, 4, figsize=(10, 3.6), width_ratios=[size, size, columns + 0.6, columns + 0.6]
    )
    panels[0].imshow(image, cmap=INK, vmin=0, vmax=255)
    _frame(panels[0], top, left, size, size)
    _numbers(panels[1], patch, size=12)
    _frame(panels[1], 0, 0, rows, columns)
    _numbers(panels[2], kernel, size=12, signed=True)
    _numbers(panels[3], products, size=12, signed=True)
    names = ("the digit", f"{size} × {size} of its pixels", "× the filter", "= the products")
    for ax, name in zip(panels, names, strict=True):
        ax.set_title(name, fontsize=11, weight="normal", loc="center")
        ax.set_axis_off()
    panels[3].text(
        (columns - 1) / 2,
        rows - 0.2,
        f"their sum: {_written(products.sum())}",
        ha="center",
        va="top",
        fontsize=13,
        weight="bold",
        color=PALETTE[3],
    )
    figure.suptitle(f"{title}\n", weight="bold", x=0.01, ha="left", fontsize=12)
    return panels


def sliding(
    pixels: np.ndarray,
    kernel: np.ndarray,
    *,
    stride: int = 1,
    padding: int = 0,
    shown: Sequence[int] | None = None,
    title: str = "",
) -> np.ndarray:
    """Draw a filter that slides over a few pixels, and the map that fills up with its sums.

    The filter is not turned round first: this is cross-correlation, as in ``Conv2D``.

    Args:
        pixels: Numbers (height, width), 0–255.
        kernel: The filter (rows, columns).
        stride: Pixels from one place to the next.
        padding: Zeros put around the pixels on every side.
        shown: Places to draw, counted from 0, row by row. None: all.
        title: What to see.

    Returns:
        ``Axes`` (2, places): the pixels above, the map below.
    """
    padded = np.pad(np.asarray(pixels, float), padding)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    sums = (windows[::stride, ::stride] * kernel).sum(axis=(2, 3))
    return _strip(padded, sums, kernel.shape, stride, shown, padding=padding, title=title)


def pooling(
    values: np.ndarray, *, size: int = 2, shown: Sequence[int] | None = None, title: str = ""
) -> np.ndarray:
    """Draw max pooling: of each ``size`` × ``size`` values, the largest one is kept.

    Args:
        values: Numbers (height, width), not negative.
        size: Side of the window, and pixels from one place to the next.
        shown: As for ``sliding``.
        title: What to see.

    Returns:
        ``Axes`` (2, places): the values above, what is kept below.
    """
    values = np.asarray(values, float)
    windows = np.lib.stride_tricks.sliding_window_view(values, (size, size))
    largest = windows[::size, ::size].max(axis=(2, 3))
    return _strip(values, largest, (size, size), size, shown, title=title)


def common_scale(
    images: np.ndarray,
    captions: Sequence[object] | None = None,
    *,
    columns: int = 8,
    label: str = "weight",
    signed: bool = True,
    title: str = "",
) -> Axes:
    """Draw filters or feature maps, all on one scale, which stands beside them.

    Args:
        images: (n, height, width).
        captions: One for each.
        columns: Pictures in a row.
        label: What the values are.
        signed: Red is positive, blue negative, white zero. False: values from zero up, in grey.
        title: What to see.
    """
    rows = -(-len(images) // columns)
    inch = min(8.2 / columns, 2.4)
    ax = axes_or_new(None, (inch * columns + 1.2, inch * rows * (1.25 if captions else 1.12) + 0.5))
    limit = np.abs(images).max()
    sample_grid(
        images,
        captions,
        columns=columns,
        cmap="RdBu_r" if signed else INK,
        limits=(-limit if signed else 0, limit),
        title=title,
        ax=ax,
    )
    ax.figure.colorbar(ax.images[0], ax=ax, label=label, fraction=0.05, pad=0.02)
    return ax


def _strip(above, below, shape, stride, shown, *, padding=0, title=""):
    """Draw a window at several places of ``above``, and ``below`` as far as it is filled then."""
    places = range(below.size) if shown is None else shown
    inch = 10 / max(len(places), 4)
    figure, panels = plt.subplots(
        2,
        len(places),
        figsize=(inch * len(places), 1.75 * inch + 0.5),
        height_ratios=[above.shape[0], below.shape[0] + 0.6],
        squeeze=False,
    )
    longest = max(len(_written(number)) for number in (*above.flat, *below.flat))
    size = min(11, 72 * inch / above.shape[1] / (0.62 * longest + 0.4))
    limit = max(np.abs(below).max(), 1)
    for place, (upper, lower) in zip(places, panels.T, strict=True):
        row, column = divmod(place, below.shape[1])
        _numbers(upper, above, size=size, limit=max(255, above.max()), border=padding)
        _frame(upper, row * stride, column * stride, *shape)
        filled = np.where(np.arange(below.size).reshape(below.shape) <= place, below, np.nan)
        _numbers(lower, filled, size=size, signed=True, limit=limit)
        _frame(lower, row, column, 1, 1)
        # Cells as large as those above.
        spare = (np.array(above.shape) - below.shape) / 2
        lower.set_xlim(-0.5 - spare[1], below.shape[1] - 0.5 + spare[1])
        upper.set_title(f"place {place + 1}", fontsize=10, weight="normal", loc="center")
        upper.set_axis_off()
        lower.set_axis_off()
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels


def _numbers(ax, values, *, size, signed=False, limit=None, border=0):
    """Write each number into its cell, over a pale colour that shows how large it is."""
    limit = limit or (max(np.nanmax(np.abs(values)), 1) if signed else 255)
    low, cmap = (-limit, "RdBu_r") if signed else (0, INK)
    ax.imshow(values, cmap=cmap, vmin=low, vmax=limit, alpha=0.4)
    rows, columns = values.shape
    for row in range(rows):
        for column in range(columns):
            added = min(row, column, rows - 1 - row, columns - 1 - column) < border
            edge = {"ec": "0.6", "lw": 0.6, "ls": ":" if added else "-", "fill": False}
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **edge))
            if not np.isnan(values[row, column]):
                text = _written(values[row, column])
                colour = "0.5" if added else "black"
                ax.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    ax.grid(visible=False)


def _frame(ax, row, column, rows, columns):
    corner = (column - 0.5, row - 0.5)
    frame = Rectangle(corner, columns, rows, fill=False, ec=PALETTE[3], lw=2.5, zorder=4)
    ax.add_patch(frame).set_clip_on(False)


def _written(number: float) -> str:
    # Adding zero makes a zero of "−0".
    return f"{number + 0.0:.6g}".replace("-", "−")


def courses(
    histories: Sequence[Mapping[str, Sequence[float]]],
    published: Mapping[str, Sequence[float]],
    *,
    ours: str = "our folds",
    theirs: str = "published",
    title: str = "",
) -> np.ndarray:
    """Draw several trainings beside a published one: loss on the left, accuracy on the right.

    Args:
        histories: ``History.history`` of each training of ours, validation measured.
        published: The same four keys as somebody else published them.
        ours: What our trainings are called.
        theirs: What the published one is called.
        title: What to see.

    Returns:
        The two ``Axes``.
    """
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.8))
    for ax, metric in zip(panels, ("loss", "accuracy"), strict=True):
        for key, kind, dashes, mark in (
            (metric, "training", "-", "o"),
            (f"val_{metric}", "validation", "--", "s"),
        ):
            for number, history in enumerate(histories):
                epochs = np.arange(1, len(history[key]) + 1)
                label = f"{ours}, {kind}" if number == 0 else None
                ax.plot(epochs, history[key], dashes, color=PALETTE[0], lw=1, label=label)
            epochs = np.arange(1, len(published[key]) + 1)
            style = {"color": PALETTE[3], "lw": 1.5, "marker": mark, "ms": 5, "mfc": "white"}
            ax.plot(epochs, published[key], dashes, label=f"{theirs}, {kind}", **style)
        ax.set(xlabel="epoch", ylabel=metric)
        ax.xaxis.get_major_locator().set_params(integer=True)
    panels[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[1].legend(loc="lower right", fontsize=9)
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels


def draws(
    values: np.ndarray,
    marks: Mapping[str, float],
    *,
    title: str = "",
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often chance gave which share, and marks at shares that do not depend on chance.

    Args:
        values: Shares, 0–1 (n,).
        marks: Name → share, drawn as an upright line each.
        title: What to see.
        xlabel: What the shares are.
        ylabel: What was drawn.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (6.5, 3.4))
    # Shares of n digits lie 1 / n apart: bars as wide as a whole number of such steps, or some
    # would hold one value more than their neighbours.
    different = np.unique(values)
    step = np.diff(different).min() if len(different) > 1 else 1e-4
    width = step * max(1, round(np.ptp(different) / step / 25))
    edges = np.arange(different[0] - step / 2, different[-1] + width, width)
    ax.hist(values, bins=edges, color=PALETTE[0], alpha=0.5, ec="white")
    for (name, share), dashes in zip(marks.items(), ("-", "--", ":", "-."), strict=False):
        ax.axvline(share, color="black", ls=dashes, lw=2, label=f"{name}: {100 * share:.2f} %")
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.get_major_locator().set_params(nbins=6)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    # Room for the legend above the bars.
    ax.set_ylim(top=1.3 * ax.get_ylim()[1])
    ax.legend(loc="upper left", ncols=max(1, len(marks)), fontsize=9)
    return ax


def interval_panels(
    found: Mapping[str, Mapping[str, Interval]],
    *,
    title: str = "",
    xlabel: str,
    signed: bool = False,
) -> np.ndarray:
    """Draw measured shares with their intervals side by side, a panel for each group.

    Args:
        found: Caption of each panel → name of each row → its share; the same rows in every panel.
        title: What to see.
        xlabel: What is measured.
        signed: The shares are differences, in percentage points: a line marks zero, a mark is
            filled where the interval leaves zero out, and hollow where it does not.

    Returns:
        One ``Axes`` a panel, on one scale.
    """
    rows = list(next(iter(found.values())))
    figure, panels = plt.subplots(
        1,
        len(found),
        figsize=(2.6 * len(found) + 2.2, 0.42 * len(rows) + 1.6),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    panels = panels[0]
    for ax, (caption, group) in zip(panels, found.items(), strict=True):
        for row, name in enumerate(rows):
            one = group[name]
            hollow = signed and one.low <= 0 <= one.high
            ax.plot([one.low, one.high], [row, row], color=PALETTE[0], lw=2.5)
            inside = "w" if hollow else PALETTE[0]
            ax.plot(one.value, row, "o", ms=8, mew=2, mec=PALETTE[0], mfc=inside)
            words = f"{100 * one.value:+.1f}" if signed else f"{100 * one.value:.1f} %"
            ax.annotate(
                words.replace("-", "−"),
                (one.value, row),
                (0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                bbox={"fc": "white", "ec": "none", "pad": 0.5},
            )
        if signed:
            ax.axvline(0, color="0.3", lw=1)
        ax.set_title(caption, fontsize=11, weight="normal")
        ax.grid(axis="x")
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].set_ylim(len(rows) - 0.5, -0.7)
    panels[0].margins(x=0.12)
    panels[0].xaxis.set_major_formatter(
        PercentFormatter(1, decimals=0, symbol="" if signed else "%")
    )
    figure.supxlabel(xlabel, fontsize=11)
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels


def effects(
    found: pd.DataFrame,
    *,
    reach: float,
    title: str = "",
    xlabel: str = "gain in accuracy, percentage points",
    ax: Axes | None = None,
) -> Axes:
    """Draw the gain of each change with its 95 % interval, by kind of change, the best on top.

    A mark is filled where the gain passes Bonferroni's rule for all rows (``adjusted`` below 0.05),
    and hollow where it does not. What a training costs stands at the right.

    Args:
        found: From ``tuning.effects``: ``kind``, ``change``, ``gain``, ``low`` and ``high`` as
            shares, ``adjusted``, and ``cost`` as a multiple of the baseline's.
        reach: Percentage points that the axis shows on either side of zero. A gain or loss beyond
            is an arrow at the edge with its number.
        title: What to see.
        xlabel: What the gains are in.
        ax: Where to draw.
    """
    best = found.groupby("kind")["gain"].max()
    order = found.assign(best=found["kind"].map(best))
    order = order.sort_values(["best", "kind", "gain"], ascending=[False, True, False])
    ax = axes_or_new(ax, (8, 0.25 * len(found) + 1.4))
    ax.axvline(0, color="0.3", lw=1)
    for row, one in enumerate(order.itertuples()):
        mean, low, high = (100 * value for value in (one.gain, one.low, one.high))
        inside = PALETTE[0] if one.adjusted < 0.05 else "w"
        look = {"ms": 7, "mew": 1.8, "mec": PALETTE[0], "mfc": inside}
        if abs(mean) > reach:
            side = 1 if mean > 0 else -1
            ax.plot(side * 0.97 * reach, row, "<>"[side > 0], **look)
            words = f"{mean:+.1f}".replace("-", "−")
            align = "right" if side > 0 else "left"
            ax.text(side * 0.92 * reach, row, words, ha=align, va="center", fontsize=9)
        else:
            ax.plot([max(low, -reach), min(high, reach)], [row, row], color=PALETTE[0], lw=2)
            ax.plot(mean, row, "o", **look)
        ax.annotate(
            f"{one.cost:.1f} ×",
            (1, row),
            (8, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    kinds = list(order["kind"])
    for row, (above, below) in enumerate(pairwise(kinds), start=1):
        if above != below:
            ax.axhline(row - 0.5, color="0.85", lw=0.8)
    names = [f"{kind}: {change}" for kind, change in zip(kinds, order["change"], strict=True)]
    ax.set_yticks(range(len(order)), names, fontsize=9)
    ax.set(title=title, xlabel=xlabel, xlim=(-reach, reach), ylim=(len(order) - 0.5, -0.5))
    ax.annotate("cost", (1, 1), (8, 4), xycoords="axes fraction", textcoords="offset points")
    for label, inside in (("passes Bonferroni's rule", PALETTE[0]), ("does not pass", "w")):
        ax.plot([], [], "o", ms=7, mew=1.8, mec=PALETTE[0], mfc=inside, label=label)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.07), ncols=2)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    return ax


def search_panels(
    trials: pd.DataFrame, *, resumed: int | None = None, title: str = ""
) -> np.ndarray:
    """Draw a search: each trial's accuracy epoch by epoch, and the best one so far.

    Args:
        trials: From ``tuning.trials_table``: ``accuracies``, ``accuracy`` and ``pruned``.
        resumed: How many trials there were when the search was taken up again; a line marks it.
        title: What to see.

    Returns:
        Two ``Axes``: over the epochs, and over the trials.
    """
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
    numbers = np.arange(1, len(trials) + 1)
    pruned = trials["pruned"].to_numpy()
    for course, stopped in zip(trials["accuracies"], pruned, strict=True):
        epochs = range(1, len(course) + 1)
        colour, dashes = (PALETTE[3], "--") if stopped else (PALETTE[0], "-")
        panels[0].plot(epochs, course, dashes, color=colour, lw=1, alpha=0.7)
        panels[0].plot(len(course), course[-1], "x" if stopped else "o", color=colour, ms=6)
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    accuracy = trials["accuracy"].to_numpy()
    # The first epoch of a bad trial would press the others together.
    panels[0].set(xlabel="epoch", ylabel="validation accuracy", ylim=(accuracy.min() - 0.02, None))
    panels[1].plot(numbers[~pruned], accuracy[~pruned], "o", color=PALETTE[0], label="finished")
    panels[1].plot(numbers[pruned], accuracy[pruned], "x", color=PALETTE[3], label="pruned")
    best = np.maximum.accumulate(np.where(pruned, -np.inf, accuracy))
    known = np.isfinite(best)
    panels[1].step(numbers[known], best[known], where="post", color="0.3", label="best so far")
    if resumed is not None:
        panels[1].axvline(resumed + 0.5, color="0.3", ls=":", label="taken up again")
    panels[1].set(xlabel="trial")
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[1].legend(loc="lower right", fontsize=9)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels
