import itertools

import numpy as np
import pytest

from mnistlib import pages, preprocess


def drawn(digits, count):
    return [
        pages.draw(kind, digits.x_test, digits.y_test, seed=seed)
        for kind in pages.PLAIN
        for seed in range(count)
    ]


def by_line(found, line_of):
    return [list(row) for _, row in itertools.groupby(found, key=line_of)]


def test_digits_are_found_on_the_lines_where_they_stand(digits):
    made = drawn(digits, 60)
    right = [
        [len(line) for line in page.lines]
        == [len(row) for row in by_line(preprocess.segment(page.picture), lambda digit: digit.line)]
        for page in made
    ]
    # Left are digits of MNIST that are in pieces themselves.
    assert np.mean(right) >= 0.95


def test_a_form_and_what_stands_on_it_give_no_digit_of_their_own(digits):
    for kind in (*pages.FORMS, "thin pen", "dark desk"):
        made = [pages.draw(kind, digits.x_test, digits.y_test, seed=seed) for seed in range(20)]
        right = [
            [len(line) for line in page.lines]
            == [
                len(row)
                for row in by_line(preprocess.segment(page.picture), lambda digit: digit.line)
            ]
            for page in made
        ]
        assert np.mean(right) >= 0.85, kind


def test_numbers_are_read_line_by_line(reader, digits):
    made = drawn(digits, 60)
    read = [
        [
            "".join(str(answer.digit) for _, answer in row)
            for row in by_line(reader.read(page.picture), lambda pair: pair[0].line)
        ]
        for page in made
    ]
    score = pages.score(made, read)
    print(f"{len(made)} pages: {score}")
    assert score.numbers_right >= (0.94 if digits.is_mnist else 0.85) * score.numbers


def test_the_same_seed_draws_the_same_page(sample):
    one, again, other = (
        pages.draw("lines", sample.x_test, sample.y_test, seed=seed) for seed in (1, 1, 2)
    )
    assert one.lines == again.lines
    assert np.array_equal(one.picture, again.picture)
    assert one.lines != other.lines


def test_an_unknown_kind_is_refused(sample):
    with pytest.raises(ValueError, match=r"kind must be one of one line, .*; received 'poem'"):
        pages.draw("poem", sample.x_test, sample.y_test, seed=0)


def test_score_counts_whole_numbers_and_digits():
    page = pages.Page(np.zeros((1, 1), np.uint8), ("123", "45"), "lines")
    assert pages.score([page], [["123", "46"]]) == pages.Score(2, 1, 5, 4)
    assert pages.score([page], [["12345"]]) == pages.Score(2, 0, 5, 0)
