"""Counts are those of the lists, for any small codebook, and the cost of order adds up."""

import doctest
import math
from itertools import product

import pytest

from pivq.runs.teaching import counting
from pivq.runs.teaching.counting import cost_of_order, overcount, representations


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(counting).failed == 0


@pytest.mark.parametrize(("letters", "length"), [("abc", 2), ("abcd", 3), ("ab", 3), ("a", 1)])
def test_representations_are_counted_by_listing(letters, length):
    listed = list(product(letters, repeat=length))
    numbers = [len(listed), len({tuple(sorted(codes)) for codes in listed}),
               len({frozenset(codes) for codes in listed if len(set(codes)) == length})]  # fmt: skip
    table = representations(letters, length)
    assert table["number"].tolist() == numbers
    assert table["bits"].tolist() == [f"{math.log2(number):.2f}" if number else "–" for number in numbers]
    assert table["all of them"][0].split()[: counting.SHOWN] == ["".join(codes) for codes in listed][: counting.SHOWN]


def test_more_codes_per_image_than_codes_leave_no_set():
    assert representations("ab", 3)["all of them"][2] == "none: L > K"


@pytest.mark.parametrize(("letters", "length"), [("abc", 2), ("abcd", 3), ("abc", 5)])
def test_equation_2_counts_a_repeated_letter_once_for_each_set_that_holds_it(letters, length):
    size, distinct = len(letters), min(len(letters), length)
    counted = math.comb(size, distinct) * math.comb(length + distinct - 1, distinct - 1)
    said = overcount(letters, length)
    assert f"counts {counted:,}" in said
    times = math.comb(size - 1, distinct - 1)
    assert (f"counts {letters[0] * length} {times} times" in said) == (times > 1)


@pytest.mark.parametrize(
    ("letters", "length", "message"),
    [("aa", 2, "different"), ("", 1, "at least one"), ("ab", 0, "from 1 on"), ("abcdefghij", 9, "too many")],
)
def test_what_cannot_be_listed_is_refused(letters, length, message):
    with pytest.raises(ValueError, match=message):
        representations(letters, length)


@pytest.mark.parametrize(("size", "length"), [(3, 2), (512, 32), (512, 64), (4096, 512)])
def test_the_parts_of_the_cost_of_order_are_counts(size, length):
    bits = cost_of_order(size, length)
    lists = math.perm(size, length)  # without repeats
    assert bits["set"] + bits["order"] == pytest.approx(math.log2(lists))
    assert sum(bits.values()) == pytest.approx(length * math.log2(size))
    assert bits["repeats"] > 0
