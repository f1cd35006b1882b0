import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnistlib import paper


def photograph(angle=0, *, sheet=230, table=60, written=True):
    """A sheet on a table, with three strokes on it."""
    image = Image.new("L", (300, 240), sheet)
    if written:
        pencil = ImageDraw.Draw(image)
        for left in (90, 140, 190):
            pencil.line((left, 90, left + 10, 150), 30, 8)
    around = Image.new("L", (480, 400), table)
    around.paste(image, (90, 80))
    return np.asarray(around.rotate(angle, Image.Resampling.BILINEAR, fillcolor=table))


@pytest.mark.parametrize("angle", [0, 8, -12])
def test_the_table_becomes_paper_and_what_is_written_stays(angle):
    picture = photograph(angle)
    alone = paper.alone(picture)
    assert alone.shape == picture.shape
    assert alone.dtype == np.uint8
    # Nothing dark is left but the strokes.
    assert (
        np.count_nonzero(alone < 128) == np.count_nonzero((picture < 128) & (picture < 45) | False)
        or np.count_nonzero(alone < 128) < 2_500
    )
    assert alone[0, 0] > 200
    inside = np.s_[170:210, 180:280]
    assert np.array_equal(alone[inside], picture[inside])


@pytest.mark.parametrize(
    "picture",
    [
        # A blank sheet, a sheet that fills the picture, black, white, and a white bar on a board.
        photograph(written=False),
        photograph()[90:310, 100:380],
        np.zeros((200, 200), np.uint8),
        np.full((200, 200), 255, np.uint8),
        np.pad(np.full((150, 40), 240, np.uint8), 60, constant_values=30),
    ],
)
def test_other_pictures_stay_as_they_are(picture):
    assert np.array_equal(paper.alone(picture), picture)


def test_a_white_zero_on_a_blackboard_is_no_sheet():
    row, column = np.mgrid[:300, :300] - 150
    far = np.hypot(row, column * 1.3)
    board = np.where((far < 110) & (far > 60), 240, 30).astype(np.uint8)
    assert np.array_equal(paper.alone(board), board)
