"""Small examples take any numbers, refuse what cannot be, and speak of the numbers that they were given."""

import doctest
import re
from itertools import permutations

import pytest
import torch

from pivq.runs.teaching import example
from pivq.runs.teaching.example import distance_table, work_out


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(example).failed == 0


def test_the_example_of_the_notebook():
    made = work_out([0.0, 1.0], [0.9, -3.0])
    assert made.codes == {"nearest": [0, 0], "greedy": [0, 1], "matching": [1, 0]}
    assert [round(made.total(name), 6) for name in made.codes] == [1.0, 4.9, 3.1]
    assert "$z_{0}$ and $z_{1}$ share $e_{0}$" in made.say("nearest") and "of size 1" in made.say("nearest")
    assert "$z_{1}$ is 4 away from its code instead of 0.1" in made.say("greedy")
    room, gain = made.say("matching").split(" makes room for ")
    assert room.endswith("1.8 less than greedy: $z_{0}$ (0.9 → 3)") and gain == "$z_{1}$ (4 → 0.1)."


def test_three_codes_of_which_greedy_finds_the_optimum():
    """The sentence about making room is only said where room is made."""
    made = work_out([0.0, 1.0], [0.9, -3, 2])
    assert made.codes["greedy"] == made.codes["matching"] == [0, 2]
    assert round(made.total("matching"), 6) == 1.9
    assert "room" not in made.say("matching") and "Greedy found the same" in made.say("matching")


def test_a_tie_is_called_one():
    made = work_out([0, 0], [1, -2])
    assert made.total("greedy") == made.total("matching") == 3
    vars(made)["codes"] = {"greedy": [0, 1], "matching": [1, 0]}  # both are optimal
    assert "the optimum is not unique" in made.say("matching")


def test_without_a_conflict_nothing_has_to_be_decided():
    made = work_out([1.1, 4.9], [5.0, 0.0, 1.0])
    assert made.codes == dict.fromkeys(made.codes, [2, 0])
    assert "nothing has to be decided" in made.say("nearest") and "still free" in made.say("greedy")


@pytest.mark.parametrize(
    ("latents", "codebook", "least"),
    [
        ([0, 1, 2], [5, 1, 0], 3),  # whole numbers
        ([[0, 0], [1, 0]], [[1, 0], [0, 3], [9, 9]], 3),  # points in a plane
        (torch.tensor([0.0, 1.0]), torch.tensor([[1.0], [0.0]]), 0),  # tensors, of one and of two dimensions
        ([7], [3], 4),
    ],
)
def test_any_numbers_and_sizes(latents, codebook, least):
    made = work_out(latents, codebook)
    table = made.distances
    ways = permutations(range(table.shape[1]), len(table))
    totals = [sum(float(table[i, k]) for i, k in enumerate(way)) for way in ways]
    assert made.total("matching") == pytest.approx(min(totals)) == least
    sentence, ways = made.ways()
    assert str(len(totals)) in sentence and len(ways) == min(len(totals), example.SHOWN)
    assert [float(value) for value in ways["total distance"]] == pytest.approx(sorted(totals)[:12], abs=0.006)
    for method in made.codes:
        codes = re.search(r"the codes \*\*([\d, ]+)\*\*", made.say(method))[1]
        assert [int(code) for code in codes.split(",")] == made.codes[method]


def test_too_many_ways_are_counted_and_not_listed():
    sentence, ways = work_out(range(8), range(20)).ways()
    assert "5,079,110,400" in sentence and len(ways) == 1


@pytest.mark.parametrize(
    ("latents", "codebook", "message"),
    [
        ([0, 1, 2], [0.9, -3], r"3 latents .* 2 codes \(L > K\): add at least 1"),
        ([], [1], "latents must be numbers"),
        ([0, 1], [[0, 1], [2, 3]], "single numbers and codes are pairs"),
        ([[0, 1, 2]], [[0, 1, 2]], "pairs of numbers"),
        ([0, float("nan")], [1, 2], "finite"),
        ([[0, 1], [2]], [1, 2], "latents must be numbers"),
        (["a"], [1], "latents must be numbers"),
    ],
)
def test_what_cannot_be_is_said_first(latents, codebook, message):
    with pytest.raises(ValueError, match=message):
        work_out(latents, codebook)


def test_a_table_has_a_name_for_each_row_and_column():
    table = distance_table(torch.tensor([[1, 2, 3]]))
    assert table.to_dict() == {"code e0": {"latent z0": "1"}, "code e1": {"latent z0": "2"},
                               "code e2": {"latent z0": "3"}}  # fmt: skip
