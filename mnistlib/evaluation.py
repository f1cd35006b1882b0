"""A recognizer tried on a folder of somebody's own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mnistlib import folders, metrics, pictures, plots
from mnistlib.metrics import percent
from mnistlib.pictures import PictureError
from mnistlib.preprocess import NoDigitFound
from mnistlib.recognizer import Answer, Recognizer

_THUMBNAIL = 112


@dataclass(frozen=True)
class Reading:
    """What a recognizer made of a picture that shows one digit.

    Attributes:
        path: The picture.
        label: The digit that it shows, 0–9.
        answers: What was read in it, from left to right; empty where no digit was found.
        error: Why nothing was read, in words; else empty.
    """

    path: Path
    label: int
    answers: tuple[Answer, ...]
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether one digit was found, and the likeliest answer is the label, sure or not."""
        return len(self.answers) == 1 and self.answers[0].digit == self.label

    @property
    def sure(self) -> bool:
        """Whether something was found, and the recognizer is sure of all of it."""
        return bool(self.answers) and all(answer.sure for answer in self.answers)

    @property
    def said(self) -> str:
        """The digits that were read, unsure ones with a question mark: ``"7"``, ``"4? 1"``."""
        words = [f"{answer.digit}{'' if answer.sure else '?'}" for answer in self.answers]
        return " ".join(words) or "no digit"


def evaluate(recognizer: Recognizer, labelled: Sequence[folders.Labelled]) -> list[Reading]:
    """Read each picture as ``mnistlib predict`` does, and keep its label beside the answers."""
    readings = []
    for picture in labelled:
        answers, error = (), ""
        try:
            answers = tuple(answer for _, answer in recognizer.read(picture.path))
        except (FileNotFoundError, NoDigitFound, PictureError) as reason:
            error = str(reason)
        readings.append(Reading(picture.path, picture.label, answers, error))
    return readings


def describe(readings: Sequence[Reading]) -> str:
    """Word the accuracy with its interval, how often it was sure, confusions and mistakes.

    Raises:
        ValueError: There are no readings.
    """
    if not readings:
        raise ValueError("readings must hold at least one; received none")
    right = np.array([reading.right for reading in readings])
    sure = np.array([reading.sure for reading in readings])
    single = [reading for reading in readings if len(reading.answers) == 1]
    lines = [
        f"Accuracy {metrics.accuracy_interval(np.ones(len(right), int), right.astype(int))} "
        f"of {len(readings):,} pictures",
        f"Sure of {percent(sure.mean())}; wrong though sure {percent((sure & ~right).mean())}",
    ]
    if single:
        labels = np.array([reading.label for reading in single])
        answers = np.array([reading.answers[0].digit for reading in single])
        confused = metrics.most_confused(labels, answers)
        lines += [
            f"{true} read as {predicted}: {count} time{'s' * (count > 1)}"
            for true, predicted, count in confused.itertuples(index=False, name=None)
        ]
    lines += [
        f"{reading.path}: is {reading.label}, read as "
        + ("; ".join(map(str, reading.answers)) or f"nothing ({reading.error})")
        for reading in mistakes(readings)
    ]
    return "\n".join(lines)


def mistakes(readings: Sequence[Reading]) -> list[Reading]:
    """Give the readings that are not right, those that are wrong though sure first."""
    return sorted((one for one in readings if not one.right), key=lambda one: not one.sure)


def draw_mistakes(readings: Sequence[Reading], path: str | Path, *, most: int = 50) -> Path | None:
    """Draw the pictures that were not read right, with label and answer, into a PNG file.

    Args:
        readings: What ``evaluate`` gave.
        path: Where to write.
        most: How many to draw at most.

    Returns:
        The path; None where there is no mistake, and nothing is written.
    """
    from matplotlib import pyplot as plt

    shown = mistakes(readings)[:most]
    if not shown:
        return None
    captions = [f"{_caption(one.path)}\nis {one.label}, read {one.said}" for one in shown]
    ax = plots.sample_grid(
        np.stack([_thumbnail(one.path) for one in shown]),
        captions,
        columns=5,
        title="What was not read right",
        cmap="gray",
    )
    ax.figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(ax.figure)
    return Path(path)


def _caption(path: Path) -> str:
    """The end of a name, without what Matplotlib stumbles over: formulas, bytes of no alphabet."""
    name = path.name[-18:].encode(errors="backslashreplace").decode()
    return name.replace("$", r"\$")


def _thumbnail(path: Path) -> np.ndarray:
    """A picture fitted into a grey square; grey alone where it cannot be opened; uint8."""
    side = (_THUMBNAIL, _THUMBNAIL)
    try:
        image = pictures.read(path).convert("L")
    except (FileNotFoundError, PictureError):
        image = Image.new("L", side, 128)
    return np.asarray(ImageOps.pad(image, side, color=128))
