"""Other people's handwriting as MNIST would hold it: pen strokes, drawn and preprocessed.

Imports without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnistlib import drawing, folders, kept, pendigits, preprocess
from mnistlib.data import SIDE

PARTS = ("train", "test")
"""What ``load`` accepts."""

PENS = 2
"""With how many pens a digit is drawn to learn from."""


# So that a few pictures of one's own count among MNIST's digits.
_ENOUGH, _MOST_TIMES = 1_000, 20


@dataclass(frozen=True, eq=False)
class Handwriting:
    """Digits that people wrote elsewhere, in MNIST's form.

    Attributes:
        images: uint8 (n, 28, 28), 0 = paper, 255 = ink.
        labels: uint8 (n,), 0–9.
        writers: Who wrote each, int32 (n,).
        source: What these digits are, in words.
    """

    images: np.ndarray
    labels: np.ndarray
    writers: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.images)


def load(
    part: str = "train", *, pens: int = PENS, seed: int = 0, progress: bool = False
) -> Handwriting:
    """Load the digits of ``pendigits``, drawn with several pens.

    Of those to learn from, a few are left out in which preprocessing has lost a stroke.

    The images are kept in the user's cache folder, because drawing takes a minute or two; where
    they cannot be, a warning says why.

    Args:
        part: ``"train"``, the 30 writers to learn from, or ``"test"``, the 14 others.
        pens: How often each digit is drawn, every time with another pen.
        seed: The same seed gives the same images.
        progress: Whether to show a bar on standard error while the digits are drawn.

    Raises:
        ValueError: ``part`` is neither, or ``pens`` is below 1.
        DataError: As ``pendigits.load``.
        DataUnavailable: As ``pendigits.load``.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}; received {part!r}")
    strokes: pendigits.Strokes = getattr(pendigits.load(), part)
    learning = part == "train"
    drawn = kept.images(
        f"pendigits-{part}-{pens}-{seed}",
        lambda: images(strokes, pens=pens, seed=seed, whole=learning, progress=progress),
    )
    people = len(np.unique(strokes.writers))
    # Nothing is learned from half a digit; but each counts when it is tried.
    found = drawn.any(axis=(1, 2)) if learning else np.ones(len(drawn), bool)
    return Handwriting(
        images=drawn[found],
        labels=np.tile(strokes.labels, pens)[found],
        writers=np.tile(strokes.writers, pens)[found],
        source=f"pendigits, {len(strokes):,} digits by {people} writers, drawn with {pens} pens",
    )


def from_pictures(labelled: Sequence[folders.Labelled]) -> Handwriting:
    """Make MNIST's images of somebody's own pictures, to learn from.

    Of a few pictures nothing would be learned among 60,000 digits: each is there as often as brings
    them to a thousand, but no more than 20 times.

    Args:
        labelled: Pictures of one digit each; of several digits, the largest is taken.

    Raises:
        ValueError: There are none.
        PictureError: One cannot be opened: names it.
        NoDigitFound: One holds no digit: names it.
    """
    if not labelled:
        raise ValueError("labelled must hold at least one picture; received none")
    made = []
    for picture in labelled:
        try:
            made.append(preprocess.to_mnist(picture.path))
        except preprocess.NoDigitFound as error:
            raise preprocess.NoDigitFound(f"{picture.path}: {error}") from error
    times = min(_MOST_TIMES, -(-_ENOUGH // len(made)))
    return Handwriting(
        images=np.tile(made, (times, 1, 1)),
        labels=np.tile([np.uint8(picture.label) for picture in labelled], times),
        writers=np.zeros(times * len(made), np.int32),
        source=f"own pictures: {len(made):,}, each {times} times",
    )


def images(
    strokes: pendigits.Strokes,
    *,
    pens: int = 1,
    seed: int = 0,
    whole: bool = False,
    progress: bool = False,
) -> np.ndarray:
    """Draw digits as on the pad and make MNIST's images of the pictures, some 100 a second.

    Each picture has a pen, an ink and a paper of its own (``drawing.trace``), and goes through
    ``preprocess.to_mnist`` as every other picture does. Where that finds no digit, the image is
    blank; of a digit in pieces it may have taken but one.

    Args:
        strokes: n digits as written.
        pens: How often each is drawn, every time with another pen.
        seed: The same seed gives the same images.
        whole: Whether an image shall be blank, too, where ``to_mnist`` has left a stroke out.
        progress: Whether to show a bar on standard error.

    Returns:
        uint8 (pens · n, 28, 28): all digits with the first pen, all with the second, and so on.

    Raises:
        ValueError: ``pens`` is below 1.
    """
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    if pens < 1:
        raise ValueError(f"pens must be a whole number from 1; received {pens!r}")
    count = pens * len(strokes)
    seeds = np.random.default_rng(seed).integers(2**31, size=count).tolist()
    # A hundred a task: the processes are handed strokes, not pictures.
    tasks = [range(start, min(start + 100, count)) for start in range(0, count, 100)]
    work = Parallel(n_jobs=-1, return_as="generator")(
        delayed(_draw)(
            [strokes.paths[n % len(strokes)] for n in task], [seeds[n] for n in task], whole
        )
        for task in tasks
    )
    with tqdm(total=count, desc="drawing strokes", unit="digit", disable=not progress) as bar:
        parts = [np.zeros((0, SIDE, SIDE), np.uint8)]
        for part in work:
            parts.append(part)
            bar.update(len(part))
    return np.concatenate(parts)


def _draw(digits: Sequence[Sequence[np.ndarray]], seeds: Sequence[int], whole: bool) -> np.ndarray:
    made = np.zeros((len(digits), SIDE, SIDE), np.uint8)
    for number, (paths, seed) in enumerate(zip(digits, seeds, strict=True)):
        try:
            stages = preprocess.explain(drawing.trace(paths, seed))
        except preprocess.NoDigitFound:
            continue
        if not whole or _is_whole(stages):
            made[number] = stages.image
    return made


def _is_whole(stages: preprocess.Stages) -> bool:
    """Whether what was taken for the digit is about as large as all that was drawn."""
    grey = stages.grey.astype(int)
    paper = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    inked = np.abs(grey - paper) > 0.4 * np.abs(grey - paper).max()
    left, top, right, bottom = stages.box
    for axis, taken in ((0, right - left), (1, bottom - top)):
        places = np.flatnonzero(inked.any(axis=axis))
        if taken < 0.85 * (1 + np.ptp(places)):
            return False
    return True
