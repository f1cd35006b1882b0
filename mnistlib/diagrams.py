"""Pictures that explain: a neuron, a step of gradient descent, a convolution window.

Imports without TensorFlow. As in ``plots``: arrays in, ``Axes`` out; each function draws on the
``ax`` it is given or on a figure of its own, with a title that says what to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from mnistlib.data import SIDE
from mnistlib.plots import INK, PALETTE

_DARK = (PALETTE[0], PALETTE[3], "black", PALETTE[2], PALETTE[4])


def network(widths: Sequence[int] = (6, 4, 3), *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw a dense network: every unit of a layer is joined to every unit of the one before.

    Args:
        widths: Units to draw in each layer, inputs first. One unit of the second layer is picked
            out, with the weights that lead to it.
        title: What to see.
        ax: Where to draw.
    """
    ax = _axes(ax, (7, 3.4))
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
    ax.set(title=title, xlim=(-0.6, places[-1][0][0] + 1.6), ylim=(lowest - 1.3, None))
    ax.set_axis_off()
    return ax


def descent(
    loss: Callable[[np.ndarray], np.ndarray],
    steps: Sequence[Sequence[float]],
    *,
    reach: tuple[float, float],
    captions: Sequence[str] = (),
    title: str = "",
    xlabel: str = "one weight",
) -> np.ndarray:
    """Draw the loss against one weight, and the steps that gradient descent takes on it.

    Args:
        loss: Weights (n,) → losses (n,).
        steps: For each panel, the weights visited, first to last.
        reach: Smallest and largest weight to draw.
        captions: One for each panel.
        title: What to see.
        xlabel: What the weight is.

    Returns:
        One ``Axes`` a panel.
    """
    figure, panels = plt.subplots(
        1, len(steps), figsize=(3 * len(steps) + 1, 3.1), sharey=True, squeeze=False
    )
    weights = np.linspace(*reach, 200)
    curve = np.asarray(loss(weights))
    captions = captions or [""] * len(steps)
    for ax, visited, caption in zip(panels[0], steps, captions, strict=True):
        visited = np.asarray(visited, float)
        ax.plot(weights, curve, color="0.5")
        heights = np.asarray(loss(visited))
        for start, end, low, high in zip(visited, visited[1:], heights, heights[1:], strict=False):
            ax.annotate(
                "",
                (end, high),
                (start, low),
                arrowprops={"arrowstyle": "->", "color": PALETTE[0], "lw": 1.2},
            )
        ax.plot(visited, heights, "o", ms=4, color=PALETTE[0])
        ax.plot(visited[0], heights[0], "D", ms=7, color=PALETTE[3])
        ax.set(xlabel=xlabel, xlim=reach)
        ax.set_title(caption, fontsize=10, weight="normal")
    panels[0][0].set_ylabel("loss")
    panels[0][0].set_ylim(curve.min() - 0.05 * np.ptp(curve), curve.max() + 0.1 * np.ptp(curve))
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels[0]


def slope(
    loss: Callable[[np.ndarray], np.ndarray],
    at: float,
    gradient: float,
    *,
    reach: tuple[float, float],
    title: str = "",
    xlabel: str = "one weight",
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss against one weight, the present value marked and the tangent drawn.

    Args:
        loss: Weights (n,) → losses (n,).
        at: The present weight.
        gradient: The slope there.
        reach: Smallest and largest weight to draw.
        title: What to see.
        xlabel: What the weight is.
        ax: Where to draw.
    """
    ax = _axes(ax, (6, 3.2))
    weights = np.linspace(*reach, 200)
    ax.plot(weights, loss(weights), color=PALETTE[0], label="loss")
    (height,) = np.asarray(loss(np.array([at])))
    near = np.array([-0.3, 0.3]) * np.ptp(reach)
    ax.plot(at + near, height + gradient * near, "--", color=PALETTE[3], label="its slope here")
    ax.plot(at, height, "D", ms=8, color=PALETTE[3], label="the present weight")
    ax.set(title=title, xlabel=xlabel, ylabel="loss", xlim=reach)
    ax.legend()
    return ax


def boundary(
    points: np.ndarray,
    labels: np.ndarray,
    answers: Sequence[Callable[[np.ndarray], np.ndarray]],
    *,
    names: Sequence[str],
    captions: Sequence[str],
    xlabel: str,
    ylabel: str,
    title: str = "",
) -> np.ndarray:
    """Draw two classes of points, and where each of several classifiers draws the line.

    Args:
        points: float (n, 2).
        labels: 0 or 1 (n,).
        answers: Functions of points (m, 2) that give the probability of class 1 (m,), 0–1.
        names: The two classes.
        captions: One for each classifier.
        xlabel: What the first coordinate is.
        ylabel: What the second is.
        title: What to see.

    Returns:
        One ``Axes`` a classifier.
    """
    figure, panels = plt.subplots(
        1, len(answers), figsize=(4.2 * len(answers), 3.8), sharex=True, sharey=True, squeeze=False
    )
    low, high = points.min(axis=0), points.max(axis=0)
    sides = [np.linspace(*edges, 120) for edges in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*sides), axis=-1)
    for ax, answer, caption in zip(panels[0], answers, captions, strict=True):
        share = np.asarray(answer(grid.reshape(-1, 2))).reshape(grid.shape[:2])
        ax.contourf(*sides, share, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.35)
        ax.contour(*sides, share, levels=[0.5], colors="black")
        for kind, (marker, colour) in enumerate((("o", PALETTE[0]), ("^", PALETTE[3]))):
            chosen = points[labels == kind]
            ax.plot(*chosen.T, marker, ms=4, color=colour, alpha=0.7, label=names[kind])
        ax.set(xlabel=xlabel)
        ax.set_title(caption, fontsize=10, weight="normal")
    panels[0][0].set_ylabel(ylabel)
    panels[0][0].legend(loc="upper left")
    figure.suptitle(title, weight="bold", x=0.01, ha="left", fontsize=12)
    return panels[0]


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    return plt.subplots(figsize=size)[1] if ax is None else ax


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
    ax = _axes(ax, (6.2, 3.8))
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
    ax = _axes(ax, (7.5, 6))
    for digit in range(10):
        # Two neighbours share a colour; those that look alike, such as 4 and 9, do not.
        ax.scatter(
            *points[labels == digit].T,
            s=34,
            marker=f"${digit}$",
            color=_DARK[digit // 2],
            linewidths=0.2,
        )
    ax.set(title=title, xlabel="first coordinate", ylabel="second coordinate")
    ax.grid(visible=False)
    return ax
