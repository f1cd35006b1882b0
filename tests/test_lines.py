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


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((120, 45, 160, 55), "sign"),  # a minus
        ((120, 35, 150, 65), "small"),  # a plus
        ((120, 85, 132, 115), "sign"),  # a comma
        ((120, -10, 132, 20), "small"),  # an apostrophe
        ((120, 5, 270, 95), "wide"),
        ((120, 10, 170, 90), "digit"),
        ((120, 5, 130, 95), "digit"),  # a one
        ((120, 50, 170, 110), "digit"),  # low, but no smaller than others are
    ],
)
def test_what_stands_between_digits_is_told_by_its_size_and_place(box, kind):
    assert lines.kinds([(0, 0, 60, 100), (60, 0, 115, 100), box]) == ["digit", "digit", kind]


def test_a_lone_sign_has_nothing_to_be_compared_with():
    assert lines.kinds([(10, 10, 40, 80)]) == ["digit"]
    assert lines.kinds([(10, 10, 100, 20)]) == ["wide"]


def test_a_digit_that_stands_low_in_its_box_joins_the_line_that_it_reaches_into():
    row = [(0, 0, 50, 80), (100, 0, 150, 80), (300, 5, 350, 80)]
    assert lines.find([*row, (200, 45, 250, 120)]) == [[0, 1, 3, 2]]
    # Not if another stands there already, nor from far below.
    assert lines.find([*row, (110, 45, 140, 120)]) == [[0, 1, 2], [3]]
    assert lines.find([*row, (200, 75, 250, 150)]) == [[0, 1, 2], [3]]
