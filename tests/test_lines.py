import numpy as np
import pytest

from mnistlib import lines


def grid(rows, columns, *, step=60, drop=70, size=(40, 60)):
    """Boxes of a page of equal digits, from top to bottom and left to right."""
    width, height = size
    return [
        (column * step, row * drop, column * step + width, row * drop + height)
        for row in range(rows)
        for column in range(columns)
    ]


def turned(boxes, degrees):
    """Boxes of the same size around the middles of the others, turned about the origin."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    made = []
    for left, top, right, bottom in boxes:
        x, y, wide, high = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        x, y = x * cos - y * sin, x * sin + y * cos
        made.append((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2))
    return made


@pytest.mark.parametrize("degrees", [-15, -8, 0, 4, 12])
@pytest.mark.parametrize("shape", [(1, 6), (3, 4), (5, 2), (2, 12)])
def test_lines_of_a_tilted_page_are_found(degrees, shape):
    rows, columns = shape
    expected = np.arange(rows * columns).reshape(shape).tolist()
    assert lines.find(turned(grid(rows, columns, drop=90), degrees)) == expected


def test_the_order_in_which_boxes_come_does_not_matter():
    boxes = grid(3, 4)
    order = np.random.default_rng(0).permutation(len(boxes))
    found = lines.find([boxes[place] for place in order])
    assert [[int(order[place]) for place in line] for line in found] == (
        np.arange(12).reshape(3, 4).tolist()
    )


def test_a_column_is_a_line_for_each():
    assert lines.find(grid(4, 1)) == [[0], [1], [2], [3]]


def test_small_digits_stand_on_the_line_of_the_large_one_between():
    assert lines.find([(0, 0, 30, 60), (50, 0, 200, 300), (220, 230, 250, 290)]) == [[0, 1, 2]]


def test_no_boxes_are_no_lines():
    assert lines.find([]) == []
