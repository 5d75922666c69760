"""The assignment where latents crowd around a few codes: no better one is missed, and the proof holds."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from stand_ins import KINDS, assert_least

import pivq.matching
import pivq.solvers.crowd
from pivq.matching import match
from pivq.solvers.crowd import is_optimal, match_crowd


@pytest.mark.parametrize("num_codes, codebook_size", [(16, 64), (16, 33), (20, 300)])
@pytest.mark.parametrize("spread", [0.0, 1e-6, 0.03, 0.3, 10.0])
def test_codes_that_a_crowd_leaves_out_are_in_no_better_assignment(solved, num_codes, codebook_size, spread):
    generator = torch.Generator().manual_seed(num_codes + codebook_size)
    for _ in range(10):
        codebook = torch.randn(codebook_size, 4, generator=generator)
        latents = codebook[0] + spread * torch.randn(num_codes, 4, generator=generator)
        distances = torch.cdist(latents.double(), codebook.double())
        codes = match_crowd(distances.numpy())
        assert codes is not None or spread >= 0.03, "latents close together are a crowd"
        if codes is not None:
            rows, columns = linear_sum_assignment(distances.numpy())
            assert len(set(codes.tolist())) == num_codes
            assert distances[rows, codes].sum() == pytest.approx(float(distances[rows, columns].sum()), rel=1e-12)
    if spread == 0:
        assert set(solved) == {(num_codes, num_codes)}, "identical latents need L columns"


@pytest.mark.parametrize("kind", ["random", "ties", "same rows", "both signs"])
def test_the_proof_for_a_crowd_exists_for_optimal_assignments_only(kind):
    generator = torch.Generator().manual_seed(9)
    for _ in range(20):
        costs = KINDS[kind](torch.rand(4, 5, generator=generator, dtype=torch.float64)).numpy()
        ways = np.array(list(itertools.permutations(range(5), 4)))
        totals = costs[np.arange(4), ways].sum(axis=1)
        optimal = totals <= totals.min() + 1e-12
        proved = np.array([is_optimal(way, costs, costs.max(axis=1)) for way in ways])
        assert (proved == optimal).all(), "there is one for each optimal assignment"


def test_the_proof_for_a_crowd_refuses_assignments_that_are_a_little_worse():
    generator = torch.Generator().manual_seed(10)
    costs = torch.rand(60, 200, generator=generator, dtype=torch.float64).numpy()
    best = linear_sum_assignment(costs)[1]
    assert is_optimal(best, costs, costs.max(axis=1))
    order = torch.randperm(200, generator=generator).numpy()
    for row in range(60):
        swapped, moved = best.copy(), best.copy()
        swapped[[row, row - 1]] = swapped[[row - 1, row]]
        moved[row] = next(column for column in order if column not in best)
        assert not is_optimal(swapped, costs, costs.max(axis=1))
        assert not is_optimal(moved, costs, costs.max(axis=1))


def test_an_answer_worse_by_a_billionth_is_not_proved():
    costs = np.array([[1.0, 2.0], [2.0, 3.0 + 4e-9]])
    assert is_optimal(np.array([1, 0]), costs, np.array([4.0, 4.0]))  # 4
    assert not is_optimal(np.array([0, 1]), costs, np.array([4.0, 4.0]))  # 4 + 4e-9


def test_prices_far_beyond_the_distances_prove_nothing():
    costs = torch.rand(4, 4, generator=torch.Generator().manual_seed(15), dtype=torch.float64).numpy()
    ways = np.array(list(itertools.permutations(range(4))))
    worst = ways[costs[np.arange(4), ways].sum(axis=1).argmax()]
    for radius in (2.0, 1e6, 1e9, 1e12, 1e15):
        assert not is_optimal(worst, costs, np.full(4, radius))


def test_a_code_that_was_left_out_may_be_better():
    # Row 0 has the better one of the two columns, for 5. But a column that was left out may cost it only 1.
    costs, codes = np.array([[5.0, 9.0], [9.0, 0.5]]), np.array([0, 1])
    assert is_optimal(codes, costs, np.array([9.0, 9.0]))
    assert not is_optimal(codes, costs, np.array([1.0, 9.0]))


def test_a_wrong_answer_for_a_crowd_is_not_taken(monkeypatch):
    generator = torch.Generator().manual_seed(11)
    latents = 1e-3 * torch.randn(150, 8, generator=generator, dtype=torch.float64)
    distances = torch.cdist(latents, torch.randn(1000, 8, generator=generator, dtype=torch.float64))
    assert match_crowd(distances.numpy()) is not None
    wrong = np.arange(1000)  # distinct columns, but not the best
    for module in (pivq.matching, pivq.solvers.crowd):
        monkeypatch.setattr(module, "linear_sum_assignment", lambda costs: (wrong, wrong[: len(costs)]))
    assert match_crowd(distances.numpy()) is None
    monkeypatch.setattr(pivq.matching, "CROWDED", 1)
    assert_least(distances, match(distances))
