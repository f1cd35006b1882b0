"""Every figure of the series: arrays in, ``Axes`` out.

Imports without TensorFlow. Each function draws on the ``ax`` it is given or on a figure of its own,
writes a title that says what to see, and returns the ``Axes``. Colours come from a palette that
colour-blind readers can tell apart, and no meaning rests on colour alone.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter

from mnistlib.metrics import Calibration, paired_difference

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler

    from mnistlib.preprocess import Stages

INK = "gray_r"
"""Digits are drawn dark on light, as on paper."""

PALETTE = sns.color_palette("colorblind")
_RIGHT, _WRONG = PALETTE[0], PALETTE[3]
_LINE_INCHES = 0.19  # a line of a caption, with its share of the space below


_NOTEBOOK_BACKENDS = ("inline", "ipympl", "widget", "nbagg", "notebook")


def use_style() -> None:
    """Set the series' fonts, sizes and grid for the figures that follow.

    In a Jupyter kernel, the figures appear in the notebook also where ``MPLBACKEND``, set for other
    programs, names a backend that would show nothing there, such as ``Agg``. A backend chosen in
    the session itself is left alone.
    """
    _show_in_notebook()
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette="colorblind",
        rc={
            "axes.grid.axis": "y",
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.titlesize": 12,
            "figure.dpi": 90,
            "figure.constrained_layout.use": True,
            "image.interpolation": "nearest",
            # Without a frame to see, but covering the grid.
            "legend.edgecolor": "white",
            "legend.framealpha": 1,
        },
    )


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Give ``ax`` itself, or the ``Axes`` of a new figure of this size, in inches."""
    return plt.subplots(figsize=size)[1] if ax is None else ax


def plain(words: str) -> str:
    """Keep matplotlib from reading a dollar sign as the begin of a formula."""
    return words.replace("$", r"\$")


def wrapped(words: str, *, width: int = 36) -> str:
    """Break words into lines of so many characters, as ``plain`` ones."""
    return "\n".join(textwrap.wrap(plain(words), width)) or " "


def table(frame: pd.DataFrame, *, title: str, formats: Mapping[str, str] | None = None) -> Styler:
    """Show a table with its title above it.

    Args:
        frame: The table; its index is shown when it has a name.
        title: What the table says, and on which digits.
        formats: Column → format string, such as ``"{:.2%}"``.
    """
    styler = frame.style.set_caption(title).set_uuid("table").format(formats or {}, precision=2)
    heading = {"selector": "caption", "props": "font-weight: bold; text-align: left"}
    styler = styler.set_table_styles([heading])
    return styler if frame.index.name else styler.hide(axis="index")


def sample_grid(
    images: np.ndarray,
    captions: Sequence[object] | None = None,
    *,
    columns: int = 10,
    title: str = "",
    cmap: str = INK,
    limits: tuple[float, float] | None = (0, 255),
    gap: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw small pictures side by side, row by row.

    Args:
        images: (n, height, width) of any number type.
        captions: One for each picture, written under it.
        columns: Pictures in a row.
        title: What to see.
        cmap: Matplotlib colour map.
        limits: Values drawn in the lowest and highest colour. None: symmetric about zero, as wide
            as the largest value of each picture, for weights and filters.
        gap: Pixels between two pictures. None: a tenth of their width.
        ax: Where to draw.
    """
    images = np.asarray(images)
    captions = None if captions is None else list(captions)
    if images.ndim != 3 or len(images) == 0:
        raise ValueError(f"images must be (n, height, width), n > 0; received {images.shape}")
    if captions is not None and len(captions) != len(images):
        raise ValueError(
            f"captions must be one for each of {len(images)} images; received {len(captions)}"
        )
    count, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    gap = max(1, width // 10) if gap is None else gap
    pitch_x = width + gap
    inch = 9 / columns if columns > 5 else 1.5
    written = max((str(caption).count("\n") + 1 for caption in captions or ()), default=0)
    pitch_y = height + gap + round(_LINE_INCHES * written * pitch_x / inch)
    if limits is None:
        images = images / np.maximum(np.abs(images).max(axis=(1, 2), keepdims=True), 1e-12)
        limits = (-1, 1)
    canvas = np.full((rows * pitch_y, columns * pitch_x), np.nan)
    for number, image in enumerate(images):
        top, left = number // columns * pitch_y, number % columns * pitch_x
        canvas[top : top + height, left : left + width] = image
    if ax is None:
        _, ax = plt.subplots(figsize=(inch * columns, inch * rows * pitch_y / pitch_x + 0.4))
    ax.imshow(canvas, cmap=cmap, vmin=limits[0], vmax=limits[1])
    for number, caption in enumerate(captions or ()):
        ax.text(
            number % columns * pitch_x + width / 2,
            number // columns * pitch_y + height + 1,
            str(caption),
            ha="center",
            va="top",
            fontsize=9,
        )
    for number in range(count):
        corner = (number % columns * pitch_x - 0.5, number // columns * pitch_y - 0.5)
        ax.add_patch(Rectangle(corner, width, height, fill=False, lw=0.5, ec="0.8"))
    ax.set_title(title)
    ax.set_axis_off()
    return ax


def pictures(
    pictures: Sequence[np.ndarray],
    *,
    columns: int = 5,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw pictures of any size side by side, each fitted into a square.

    Args:
        pictures: Each (height, width) or (height, width, 3); grey ones are drawn from their
            lowest value, black, to their highest, white.
        columns: Pictures in a row.
        title: What to see.
        ax: Where to draw.
    """
    rows = -(-len(pictures) // columns)
    ax = axes_or_new(ax, (9, 9 * rows / columns + 0.4))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        _fit(ax, picture, 1.06 * column, 1.06 * row)
    ax.set(xlim=(0, 1.06 * columns - 0.06), ylim=(1.06 * rows - 0.05, -0.01), title=title)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def boxes(
    picture: np.ndarray,
    found: Sequence[tuple[int, int, int, int]],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a picture with boxes (left, top, right, bottom) in pixels, numbered from the left."""
    ax = axes_or_new(ax, (7, 7 * len(picture) / picture.shape[1] + 0.4))
    ax.imshow(picture, cmap="gray")
    for number, (left, top, right, bottom) in enumerate(found, 1):
        _frame(ax, left, top, right, bottom, lw=2)
        ax.text(left, top - 4, f"{number}", color=_WRONG, weight="bold")
    ax.set_title(title)
    ax.set_axis_off()
    return ax


def preprocessing(stages: Stages, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw a picture on its way into MNIST's frame, from left to right.

    Args:
        stages: What ``preprocess.explain`` returns.
        title: What to see.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (9, 2.6))
    steps = (
        ("the picture in grey", stages.grey, "gray"),
        ("how much is ink", stages.ink, INK),
        ("what counts as ink", stages.mask, INK),
        ("the digit in its frame", stages.digit, INK),
        ("28 × 28", stages.image, INK),
    )
    for number, (caption, image, cmap) in enumerate(steps):
        limits = (0, 255) if image.dtype == np.uint8 else (0, 1)
        left, top, scale = _fit(ax, image, 1.12 * number, 0, cmap=cmap, limits=limits)
        ax.text(1.12 * number + 0.5, 1.04, caption, ha="center", va="top", fontsize=9)
        if image is stages.mask:
            box = (at + edge * scale for at, edge in zip((left, top) * 2, stages.box, strict=True))
            _frame(ax, *box, lw=1.5)
    ax.set(xlim=(-0.02, 1.12 * len(steps) - 0.1), ylim=(1.15, -0.02), aspect="equal", title=title)
    ax.set_axis_off()
    return ax


def predictions(
    images: np.ndarray,
    y_true: np.ndarray,
    probabilities: np.ndarray,
    *,
    columns: int = 10,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw digits with the answer given: right ones plain, wrong ones crossed and framed.

    Args:
        images: uint8 (n, 28, 28).
        y_true: Labels (n,).
        probabilities: float (n, 10).
        columns: Pictures in a row.
        title: What to see.
        ax: Where to draw.
    """
    y_pred = probabilities.argmax(axis=1)
    captions = [
        f"{given} ✓\n{_sure(p)}" if given == true else f"✗ {given}, is {true}\n{_sure(p)}"
        for given, true, p in zip(y_pred, y_true, probabilities.max(axis=1), strict=True)
    ]
    # Room enough between two frames that they stay two.
    ax = sample_grid(images, captions, columns=columns, title=title, gap=6, ax=ax)
    for frame, text, right in zip(ax.patches, ax.texts, y_pred == y_true, strict=True):
        frame.set(ec=_RIGHT if right else _WRONG, lw=1 if right else 2, ls="-" if right else "--")
        text.set(color=_RIGHT if right else _WRONG, weight="normal" if right else "bold")
        text.set(fontsize=10)
        frame.set(clip_on=False)
    return ax


def class_counts(
    labels: Mapping[str, np.ndarray],
    *,
    title: str = "Every digit is about one in ten",
    ax: Axes | None = None,
) -> Axes:
    """Draw each class's share of several sets of labels: ``{"training": y_train, …}``."""
    ax = axes_or_new(ax, (8, 3))
    width = 0.8 / len(labels)
    for place, (name, y) in enumerate(labels.items()):
        share = np.bincount(y, minlength=10) / len(y)
        where = np.arange(10) + (place - (len(labels) - 1) / 2) * width
        hatch = ("", "//", "..")[place % 3]
        ax.bar(where, share, width, label=f"{name} ({len(y):,})", hatch=hatch, ec="white")
    ax.axhline(0.1, color="0.3", ls=":", lw=1)
    ax.annotate("one in ten", (9.5, 0.1), va="bottom", ha="right", fontsize=9)
    ax.set(title=title, xlabel="digit", ylabel="share of the set")
    ax.set_xticks(range(10))
    ax.set_ylim(0, 0.14)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(ncols=len(labels), loc="upper left")
    return ax


def pixel_statistics(pixels: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the columns mean, std, min and max of ``data.pixel_table`` where the pixels lie."""
    names = ["mean", "std", "min", "max"]
    maps = pixels[names].to_numpy().T.reshape(4, 28, 28)
    ax = sample_grid(
        maps, names, columns=4, cmap="viridis", title="Ink gathers in the middle", ax=ax
    )
    ax.figure.colorbar(ax.images[0], ax=ax, label="pixel value, 0–255", shrink=0.7)
    return ax


def curves(
    history: Mapping[str, Sequence[float]],
    *,
    metric: str = "loss",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a metric after each epoch on training and, where measured, on validation digits.

    Args:
        history: ``History.history``.
        metric: ``"loss"``, ``"accuracy"`` or another key.
        title: What to see.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (5, 3.4))
    for key, name, style in (
        (metric, "training", "o-"),
        (f"val_{metric}", "validation", "s--"),
    ):
        if key in history:
            epochs = np.arange(1, len(history[key]) + 1)
            ax.plot(epochs, history[key], style, ms=4, label=name)
    ax.set(title=title, xlabel="epoch", ylabel=metric)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if metric == "accuracy":
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend()
    return ax


def confusion(
    counts: np.ndarray, *, title: str = "Confused digits", ax: Axes | None = None
) -> Axes:
    """Draw a confusion matrix (10, 10); colour marks the mistakes, numbers give every count."""
    ax = axes_or_new(ax, (7, 5.5))
    mistakes = counts.astype(float)
    np.fill_diagonal(mistakes, np.nan)
    sns.heatmap(
        mistakes,
        annot=np.where(counts == 0, "", counts.astype(str)),
        fmt="",
        cmap="YlOrBr",
        vmin=0,
        # The largest cell stays light enough for black numbers.
        vmax=1.5 * max(1, np.nanmax(mistakes)),
        linewidths=0.5,
        annot_kws={"fontsize": 9},
        cbar_kws={"label": "digits confused"},
        ax=ax,
    )
    # The diagonal, left white, is what was right.
    for digit in range(10):
        ax.text(digit + 0.5, digit + 0.5, counts[digit, digit], ha="center", va="center", size=9)
    ax.set(title=title, xlabel="predicted digit", ylabel="true digit")
    ax.tick_params(axis="y", rotation=0)
    ax.grid(visible=False)
    return ax


def reliability(
    calibration: Calibration, *, title: str = "Is the confidence earned?", ax: Axes | None = None
) -> Axes:
    """Draw accuracy against confidence; on the dotted diagonal the two agree."""
    ax = axes_or_new(ax, (4.6, 4.2))
    held = calibration.count > 0
    ax.plot([0, 1], [0, 1], ":", color="0.4", label="confidence = accuracy")
    ax.plot(calibration.confidence[held], calibration.accuracy[held], "o-", label="measured")
    for x, y, n in zip(
        calibration.confidence[held],
        calibration.accuracy[held],
        calibration.count[held],
        strict=True,
    ):
        ax.annotate(f"{n:,}", (x, y), (4, -9), textcoords="offset points", fontsize=7)
    ax.set(title=title, xlabel="confidence", ylabel="share of right answers")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlim=(0, 1.04), ylim=(0, 1.04))
    ax.legend(loc="upper left")
    return ax


def lines(
    found: Mapping[str, tuple[Sequence, Sequence[float]]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    percent: str = "",
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw several lines, told apart by colour, dashes and marks.

    Args:
        found: Name → ``(x, y)``.
        title: What to see.
        xlabel: What is on the horizontal axis, with its unit.
        ylabel: What is on the vertical axis, with its unit.
        percent: The axes that hold shares in 0–1, to be written in per cent: ``"x"``, ``"y"`` or
            ``"xy"``.
        log: Make the vertical axis logarithmic.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (6, 3.6))
    marks = cycle(zip("os^Dv", ("-", "--", "-.", ":", "-"), strict=True))
    for (name, (x, y)), (mark, dashes) in zip(found.items(), marks, strict=False):
        # Marks on long lines would run together.
        ax.plot(x, y, dashes, marker=mark if len(x) <= 30 else "", ms=5, label=name)
    if log:
        ax.set_yscale("log")
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    for letter in percent:
        getattr(ax, f"{letter}axis").set_major_formatter(PercentFormatter(1))
    if log and "y" in percent:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.legend()
    return ax


def comparison(
    accuracies: Mapping[str, Sequence[float]],
    *,
    claims: Mapping[str, float] | None = None,
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw each recipe's accuracy, a dot a seed and a bar at the mean; a diamond is a claim.

    Args:
        accuracies: Name → accuracy with each seed, 0–1.
        claims: Name → accuracy that the reference project claims, 0–1.
        title: What to see.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (7.5, 0.5 * len(accuracies) + 1.4))
    for row, (name, values) in enumerate(accuracies.items()):
        ax.plot(values, [row] * len(values), "o", color=PALETTE[0], alpha=0.6, ms=5)
        ax.plot([np.mean(values)] * 2, [row - 0.28, row + 0.28], color=PALETTE[0], lw=2.5)
        if claims and name in claims:
            ax.plot(claims[name], row, "D", mfc="none", mec=PALETTE[3], mew=1.8)
    ax.plot([], [], "o", color=PALETTE[0], alpha=0.6, label="one seed")
    ax.plot([], [], "|", color=PALETTE[0], ms=14, mew=2.5, label="mean")
    if claims:
        ax.plot([], [], "D", mfc="none", mec=PALETTE[3], mew=1.8, label="claimed")
    ax.set_yticks(range(len(accuracies)), list(accuracies))
    ax.invert_yaxis()
    ax.set(title=title, xlabel="test accuracy")
    ax.xaxis.get_major_locator().set_params(nbins=6)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    ax.grid(axis="x")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def intervals(
    values: Mapping[str, Sequence[float]],
    *,
    title: str,
    xlabel: str,
    percent: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw values row by row, with their mean and, of two or more, its 95 % interval (Student's t).

    Args:
        values: Name → one value, or one for each seed.
        title: What to see.
        xlabel: What the values are, with their unit.
        percent: Whether they are shares, 0–1, to be written in per cent.
        ax: Where to draw.
    """
    names = [wrapped(name) for name in values]
    lines_needed = sum(max(2, name.count("\n") + 1) for name in names)
    ax = axes_or_new(ax, (8, 0.2 * lines_needed + 1.4))
    for row, several in enumerate(values.values()):
        # Below the mean, which would hide them.
        ax.plot(several, [row + 0.28] * len(several), "o", color="0.5", ms=3.5)
        ax.plot(np.mean(several), row, "D", color=PALETTE[0], ms=6)
        if len(several) > 1:
            of_mean = paired_difference(several, np.zeros(len(several)))
            ax.plot([of_mean.low, of_mean.high], [row, row], "-", color=PALETTE[0], lw=2)
    ax.plot([], [], "o", color="0.5", ms=3.5, label="one value")
    ax.plot([], [], "-D", color=PALETTE[0], ms=6, label="mean, 95 % interval")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set(title=wrapped(title, width=60), xlabel=wrapped(xlabel, width=60))
    ax.xaxis.get_major_locator().set_params(nbins=5)
    if percent:
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="x")
    # Half an inch below the axis, under its numbers and name.
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.5 / (0.2 * lines_needed)), ncols=2)
    return ax


def trade_off(
    points: Mapping[str, tuple[float, float]],
    *,
    title: str,
    curves: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw mistakes against training time, both on logarithmic scales.

    Args:
        points: Name → (seconds of training, accuracy 0–1) of networks that are trained to the end.
        title: What to see.
        curves: Name → such pairs in the course of one training.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (8, 4.5))
    for name, course in (curves or {}).items():
        at, accuracy = np.transpose(course)
        ax.plot(at, 1 - accuracy, "o-", color="0.5", markersize=4)
        start = (at[0], 1 - accuracy[0])
        ax.annotate(name, start, xytext=(8, 2), textcoords="offset points", color="0.35")
    places = [np.log10([at, 1 - accuracy]) for at, accuracy in points.values()]
    marked = zip(points.items(), cycle("sDv^P*X"), strict=False)
    for number, ((name, (at, accuracy)), marker) in enumerate(marked):
        ax.plot(at, 1 - accuracy, marker, color=PALETTE[0], markersize=8)
        # Names of points that lie nearly on each other stand one below the other, beside the first.
        apart = np.abs(np.array(places) - places[number])
        near = np.flatnonzero(np.all(apart < (0.15, 0.04), axis=1))
        below = int((near < number).sum())
        offset = (24 if len(near) > 1 else 8, -4 - 13 * below)
        ax.annotate(name, 10 ** places[near[0]], xytext=offset, textcoords="offset points")
    ax.set(xscale="log", yscale="log", title=title)
    ax.set(xlabel="seconds of training", ylabel="test digits wrong")
    for axis, unit in ((ax.xaxis, "{x:,g}"), (ax.yaxis, None)):
        low, high = axis.get_data_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if high < 100 * low else (1, 3)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(unit or PercentFormatter(1, decimals=1))
    ax.margins(x=0.15)
    return ax


def _fit(
    ax: Axes,
    image: np.ndarray,
    left: float,
    top: float,
    *,
    cmap: str = "gray",
    limits: tuple[float | None, float | None] = (None, None),
) -> tuple[float, float, float]:
    """Draw into a square of side 1, y growing downwards; the image's corner and its scale."""
    height, width = image.shape[:2]
    scale = 1 / max(height, width)
    left, top = left + (1 - width * scale) / 2, top + (1 - height * scale) / 2
    extent = (left, left + width * scale, top + height * scale, top)
    ax.imshow(image, cmap=cmap, vmin=limits[0], vmax=limits[1], extent=extent)
    frame = Rectangle((left, top), width * scale, height * scale, fill=False, lw=0.5, ec="0.6")
    ax.add_patch(frame)
    return left, top, scale


def _show_in_notebook() -> None:
    """Undo ``MPLBACKEND`` in a Jupyter kernel, where it would keep figures from appearing."""
    # In a kernel, IPython is loaded long before this module.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        return
    named = os.environ.get("MPLBACKEND", "").lower()
    if any(word in named for word in _NOTEBOOK_BACKENDS):
        return
    # Without a screen, matplotlib takes agg for a backend that needs one.
    if named and str(matplotlib.get_backend()).lower() in (named, "agg"):
        shell.enable_matplotlib("inline")


def _sure(probability: float) -> str:
    """Write how sure an answer is; only what is certain is 100 %."""
    return ">99 %" if 0.995 <= probability < 1 else f"{100 * probability:.0f} %"


def _frame(ax: Axes, left: float, top: float, right: float, bottom: float, *, lw: float) -> None:
    """Draw a dashed box around a digit."""
    size = (right - left, bottom - top)
    ax.add_patch(Rectangle((left, top), *size, fill=False, lw=lw, ls="--", ec=_WRONG))
