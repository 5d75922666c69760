"""Bounds and draws against probabilities that are summed over every order and every set of a tiny codebook."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from pivq.capacity import matching_bits
from pivq.rivals.any_order import (
    as_sets,
    at_temperature,
    draw_sets,
    hidden_bits,
    leave_one_out_bits,
    log_next,
    set_bits,
    tightened,
)
from pivq.rivals.set_prior import frequencies

SIZE, LENGTH = 5, 3  # K, L
SETS = torch.tensor(list(itertools.combinations(range(SIZE), LENGTH)))  # all 10


def uniform(given: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(given), SIZE)


def lopsided(given: torch.Tensor) -> torch.Tensor:
    """Return logits that depend on each pair, and on how many codes are given: no two orders are equally likely."""
    pairs = torch.randn(SIZE + 1, SIZE, generator=torch.Generator().manual_seed(3))
    return pairs[given].sum(dim=1)


def chance(codes: tuple[int, ...]) -> float:
    """Return the probability of drawing codes in this order, step by step, from `lopsided`."""
    product = 1.0
    for step, code in enumerate(codes):
        given = torch.tensor([[*codes[:step], *[SIZE] * (LENGTH - step)]])
        weights = lopsided(given)[0].exp()
        weights[list(codes[:step])] = 0
        product *= float(weights[code] / weights.sum())
    return product


def exact(codes: tuple[int, ...]) -> float:
    """Return the probability of a set: the sum over all orders."""
    return sum(chance(order) for order in itertools.permutations(codes))


EXACT = [exact(tuple(row)) for row in SETS.tolist()]


def test_the_probabilities_of_all_sets_sum_to_one():
    assert sum(EXACT) == pytest.approx(1, rel=1e-5) and max(EXACT) > 3 * min(EXACT)


def test_given_codes_cannot_come_again_and_the_others_share_all():
    logs = log_next(lopsided, torch.tensor([[4, 0, SIZE]]), SIZE)[0]
    assert logs[[0, 4]].tolist() == [-math.inf] * 2 and float(logs.exp().sum()) == pytest.approx(1)


@pytest.mark.parametrize(("size", "length"), [(5, 3), (512, 32), (7, 7)])
def test_without_preferences_the_bound_is_equation_4(size, length):
    codes = torch.stack([torch.randperm(size)[:length] for _ in range(3)])
    bits = set_bits(lambda given: torch.zeros(len(given), size), codes, size, orders=2)
    assert bits.shape == (3, 2) and bits.dtype == torch.float64
    np.testing.assert_allclose(bits.numpy(), matching_bits(size, length), rtol=1e-5, atol=1e-4)


def test_bits_are_those_of_random_orders_whose_mean_bounds_the_exact_bits():
    found = set_bits(lopsided, SETS, SIZE, orders=200, seed=1)
    for row, some, true in zip(SETS.tolist(), found, EXACT, strict=True):
        orders = [-math.log2(6 * chance(order)) for order in itertools.permutations(row)]
        every = torch.tensor(orders, dtype=torch.float64)
        assert float(every.mean()) > -math.log2(true), "Jensen: no order is as likely as another"
        assert float(tightened(every[None])) == pytest.approx(-math.log2(true), abs=1e-5), "of all orders: exact"
        assert float((some[:, None] - every).abs().min(dim=1).values.max()) < 1e-4
        counts = torch.bincount((some[:, None] - every).abs().argmin(dim=1), minlength=6)
        assert chisquare(counts.numpy()).pvalue > 1e-3, "orders are equally likely"
    many = tightened(found)
    assert (many <= found.mean(dim=1)).all()
    true = -torch.tensor(EXACT, dtype=torch.float64).log2()
    assert float((found.mean(dim=1) - true).mean()) > 10 * float((many - true).abs().mean())


def test_the_loss_has_the_bound_as_its_mean():
    """Every number of given codes and every part of that size, each as likely as `hide` draws it."""
    row = (0, 2, 3)
    mean = 0.0
    for number in range(LENGTH):
        parts = list(itertools.combinations(row, number))
        given = torch.tensor([[code if code in part else SIZE for code in row] for part in parts])
        codes = torch.tensor([row]).expand(len(parts), -1)
        mean += float(hidden_bits(lopsided, codes, given, SIZE).mean()) / LENGTH
    orders = [-math.log2(chance(order)) for order in itertools.permutations(row)]
    assert mean == pytest.approx(sum(orders) / len(orders) - math.log2(math.factorial(LENGTH)), abs=1e-5)


def test_orders_and_batches_change_no_bits():
    one, other = (set_bits(lopsided, SETS, SIZE, orders=3, seed=5, batch_size=size) for size in (4, 1000))
    torch.testing.assert_close(one, other)
    assert not torch.equal(one, set_bits(lopsided, SETS, SIZE, orders=3, seed=6))


def test_leave_one_out_by_hand():
    bits = leave_one_out_bits(lopsided, torch.tensor([[3, 0, 2]]), SIZE)
    weights = lopsided(torch.tensor([[3, SIZE, 2]]))[0].exp()
    expected = -math.log2(float(weights[0] / (weights[0] + weights[1] + weights[4])))
    assert bits.shape == (1, LENGTH) and float(bits[0, 1]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("passes", [None, 3])
def test_sets_are_drawn_with_their_exact_probabilities(passes):
    drawn = draw_sets(lopsided, 4000, LENGTH, SIZE, seed=0, passes=passes)
    assert (drawn.diff(dim=1) > 0).all() and drawn.dtype == torch.int64
    names = {tuple(row): index for index, row in enumerate(SETS.tolist())}
    counts = np.bincount([names[tuple(row)] for row in drawn.tolist()], minlength=len(SETS))
    assert chisquare(counts, 4000 * np.array(EXACT) / sum(EXACT)).pvalue > 0.01


def test_in_one_pass_codes_are_drawn_without_repeats_from_one_prediction():
    drawn = draw_sets(lopsided, 4000, LENGTH, SIZE, seed=1, passes=1)
    weights = lopsided(torch.full((1, LENGTH), SIZE))[0].exp().tolist()
    chances = []
    for row in SETS.tolist():
        total = 0.0
        for order in itertools.permutations(row):
            left, product = sum(weights), 1.0
            for code in order:
                product, left = product * weights[code] / left, left - weights[code]
            total += product
        chances.append(total)
    names = {tuple(row): index for index, row in enumerate(SETS.tolist())}
    counts = np.bincount([names[tuple(row)] for row in drawn.tolist()], minlength=len(SETS))
    assert chisquare(counts, 4000 * np.array(chances) / sum(chances)).pvalue > 0.01
    assert chisquare(counts, 4000 * np.array(EXACT) / sum(EXACT)).pvalue < 1e-6, "the test can tell"


@pytest.mark.parametrize("temperature", [0.5, 1, 2.0])
def test_a_temperature_raises_each_probability_to_its_inverse(temperature):
    given = torch.tensor([[3, SIZE, SIZE], [SIZE, SIZE, SIZE]])
    expected = log_next(lopsided, given, SIZE).exp() ** (1 / temperature)
    found = log_next(at_temperature(lopsided, temperature), given, SIZE).exp()
    torch.testing.assert_close(found, expected / expected.sum(dim=1, keepdim=True))


def test_sets_at_a_temperature_of_nearly_zero_are_the_likeliest_code_by_code():
    drawn = draw_sets(at_temperature(lopsided, 1e-3), 20, LENGTH, SIZE, seed=0)
    assert (drawn == drawn[0]).all() and int(lopsided(torch.full((1, LENGTH), SIZE)).argmax()) in drawn[0]


def test_sample_i_is_the_same_for_any_number_and_batch():
    few = draw_sets(lopsided, 5, LENGTH, SIZE, seed=7)
    assert torch.equal(draw_sets(lopsided, 40, LENGTH, SIZE, seed=7, batch_size=3)[:5], few)
    assert not torch.equal(draw_sets(lopsided, 5, LENGTH, SIZE, seed=8), few)


def test_filling_in_keeps_what_is_given_and_follows_the_predictor():
    given = torch.tensor([[4, 1]]).expand(3000, -1)
    filled = draw_sets(lopsided, 3000, LENGTH, SIZE, seed=2, given=given)
    assert ((filled == 4).sum(dim=1) == 1).all() and ((filled == 1).sum(dim=1) == 1).all()
    others = torch.tensor([0, 2, 3])
    weights = lopsided(torch.tensor([[4, 1, SIZE]]))[0, others].double().exp()
    counts = [int((filled == code).sum()) for code in others]
    assert sum(counts) == 3000
    assert chisquare(counts, 3000 * (weights / weights.sum()).numpy()).pvalue > 0.01


def test_all_codes_are_drawn_where_the_codebook_has_no_more():
    drawn = draw_sets(lopsided, 3, SIZE, SIZE, seed=0)
    assert drawn.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_frequencies_are_those_of_the_sets_with_half_a_use_more():
    predict = frequencies(torch.tensor([[0, 1], [0, 2]]), codebook_size=4)
    expected = torch.tensor([2.5, 1.5, 1.5, 0.5]) / 6
    torch.testing.assert_close(predict(torch.zeros(2, 2)).softmax(dim=1), expected.expand(2, -1))


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match="codes must be sets of distinct codes, but image 1 repeats one"):
        as_sets(torch.tensor([[0, 1], [2, 2]]), SIZE)
    with pytest.raises(ValueError, match="codes must not be empty"):
        as_sets(torch.zeros(0, 3, dtype=torch.int64), SIZE)
    with pytest.raises(ValueError, match="codes"):
        set_bits(uniform, torch.tensor([[0, SIZE]]), SIZE)
    for name, value in {"orders": 0, "seed": -1, "batch_size": 0}.items():
        with pytest.raises(ValueError, match=name):
            set_bits(uniform, SETS, SIZE, **{name: value})
    for call in (set_bits, leave_one_out_bits):
        with pytest.raises(TypeError, match="predict"):
            call(None, SETS, SIZE)
    with pytest.raises(TypeError, match="predict"):
        draw_sets("uniform", 1, LENGTH, SIZE, seed=0)
    for temperature in (0, -1.0, math.inf, math.nan, "hot", None):
        with pytest.raises((TypeError, ValueError), match="temperature must be a number above 0, got"):
            at_temperature(uniform, temperature)
    with pytest.raises(TypeError, match="predict"):
        at_temperature(None, 1.0)
    right = {"count": 2, "num_codes": LENGTH, "codebook_size": SIZE, "seed": 0}
    wrong = {"count": 0, "num_codes": SIZE + 1, "seed": -1, "passes": LENGTH + 1, "batch_size": 0}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=name):
            draw_sets(uniform, **right | {name: value})
    for given in ([[0, 1]], [[0, 0]] * 2, [[0, 1, 2]] * 2):  # too few rows, a repeat, nothing to add
        with pytest.raises(ValueError, match="given"):
            draw_sets(uniform, **right, given=torch.tensor(given))
