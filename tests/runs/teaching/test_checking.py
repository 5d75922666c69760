"""A check says what is wrong, whatever an answer does."""

import doctest

import numpy as np
import pytest

from pivq.runs.teaching import checking
from pivq.runs.teaching.checking import EMPTY, RIGHT, WRONG, run, same, tells


@tells
def check(answer):
    same(run(answer, 3, called="answer(3)"), [3, 4], "answer(3)", "Count on.")
    return "Well done."


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(checking).failed == 0


def divide(x):
    return x / 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: [x, x + 1], f"{RIGHT} Well done."),
        (lambda x: np.array([3.0, 4.0]), f"{RIGHT} Well done."),
        (lambda x: [x, x], f"{WRONG} `answer(3)` gives [3, 3], expected [3, 4]. Count on."),
        (lambda x: [x], f"{WRONG} `answer(3)` has shape (1,), expected (2,). Count on."),
        (lambda x: "3", f"{WRONG} `answer(3)` gives '3', not numbers."),
        (lambda x: None, f"{WRONG} {EMPTY}"),
        (lambda x: ..., f"{WRONG} {EMPTY}"),
        (..., f"{WRONG} {EMPTY}"),
        (None, f"{WRONG} {EMPTY}"),
        (divide, f"{WRONG} `answer(3)` raises ZeroDivisionError: division by zero"),
        ([3, 4], f"{WRONG} A function is asked for, got list."),
    ],
)
def test_verdicts(answer, said):
    assert check(answer) == said
