"""Shortest augmenting paths on lists of near codes, through `match`; the bound that proves their answers."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from stand_ins import KINDS, assert_least, least_total, total

import pivq.matching
import pivq.solvers.augmenting
from pivq.matching import match
from pivq.solvers.augmenting import Lists, assign, compiled, is_proved, list_codes, lower_bound


@pytest.fixture
def short_lists(monkeypatch) -> None:
    """Let every list hold one code at first; a compiled function would not notice, so it is interpreted."""

    def one(row, lists, latent, length):
        list_codes(row, lists, latent, length if lists.lengths[latent] else 0)
        lists.lengths[latent] = max(1, lists.lengths[latent])

    monkeypatch.setattr(pivq.solvers.augmenting, "list_codes", one)

    def assign_each(distances, codes, images, solved):
        for image in images:
            solved[image] = assign.py_func(distances[image], codes[image])

    monkeypatch.setattr(pivq.matching, "assign_each", assign_each)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_codes, codebook_size", [(7, 7), (9, 14), (24, 25), (30, 200)])
def test_lists_that_are_too_short_get_longer(short_lists, solved, kind, num_codes, codebook_size):
    generator = torch.Generator().manual_seed(num_codes + codebook_size)
    distances = KINDS[kind](torch.rand(num_codes, codebook_size, generator=generator, dtype=torch.float64))
    codes = match(distances)
    assert_least(distances, codes)
    assert solved == [], "proved, without scipy's last word"


def test_a_large_codebook_with_few_codes_near_is_proved_on_lists(solved):
    # Lists are estimated from 128 of 8,192 codes here, so that some hold only codes that others have.
    generator = torch.Generator().manual_seed(13)
    latents, codebook = torch.randn(500, 256, generator=generator), torch.randn(8192, 256, generator=generator)
    distances = torch.cdist(latents.double(), codebook.double())
    codes = match(distances)
    best = float(distances[linear_sum_assignment(distances.numpy())].sum())
    assert total(distances, codes) == pytest.approx(best, rel=1e-12)
    assert solved == []


def test_a_few_shared_codes_leave_the_other_latents_alone(monkeypatch, short_lists):
    generator = torch.Generator().manual_seed(8)
    codebook = torch.randn(1024, 16, generator=generator)
    chosen = torch.randperm(1024, generator=generator)[:200]
    chosen[:5] = chosen[5:10]
    distances = torch.cdist((codebook[chosen] + 0.1).double(), codebook.double())
    listed, list_one = set(), pivq.solvers.augmenting.list_codes
    monkeypatch.setattr(pivq.solvers.augmenting, "list_codes", lambda *of: listed.add(of[2]) or list_one(*of))
    codes = match(distances)
    best = float(distances[linear_sum_assignment(distances.numpy())].sum())
    assert total(distances, codes) == pytest.approx(best, rel=1e-12)
    assert 5 <= len(listed) < 50
    assert int((codes == distances.argmin(dim=1)).sum()) >= 200 - len(listed)


def test_where_all_is_equal_no_latent_looks_further_than_the_next_free_code(monkeypatch, short_lists):
    visits = []
    reach_codes = pivq.solvers.augmenting.reach_codes
    monkeypatch.setattr(pivq.solvers.augmenting, "reach_codes", lambda *of: visits.append(of[2]) or reach_codes(*of))
    assert sorted(match(torch.ones(30, 50)).tolist()) == list(range(30))
    assert len(visits) < 2 * 30


def test_a_code_off_the_lists_is_an_offer_too(short_lists, solved):
    # Among the near pairs the best total is 10: row 0 keeps column 0 from row 1. But it could go to column 2 for 1.
    costs = np.array([[0, 0.1, 1, 9, 9], [0, 20, 20, 10, 20], [20, 0, 20, 20, 10]])
    assert match(torch.from_numpy(costs)).tolist() == [2, 0, 1]
    assert solved == []


@pytest.mark.parametrize("length", [0, 1, 2, 4])
@pytest.mark.parametrize("kind", ["random", "ties", "same rows", "both signs"])
def test_no_assignment_costs_less_than_the_bound_whatever_the_prices(kind, length):
    generator = torch.Generator().manual_seed(12)
    for _ in range(50):
        costs = KINDS[kind](torch.rand(3, 6, generator=generator, dtype=torch.float64)).numpy()
        prices = -torch.rand(6, generator=generator, dtype=torch.float64).numpy() * costs.max()
        lists = Lists(np.empty((3, 6), np.uint32), np.empty((3, 6)), *np.zeros((2, 3), np.int64), np.full(3, np.inf))
        for latent in range(3 if length else 0):  # without lists the bound is that of the nearest codes
            list_codes(costs[latent], lists, latent, length)
        offers, charges = lower_bound(lists, costs.min(axis=1), prices)
        least = least_total(torch.from_numpy(costs))
        assert offers + charges <= least + 1e-12
        if length:  # by hand: the best of what is listed, and of the farthest listed for what is not
            reach = np.sort(costs, axis=1)[:, length]
            listed = np.where(costs <= reach[:, None], costs - prices, np.inf).min(axis=1)
            assert offers == pytest.approx(np.minimum(listed, reach).sum())
            assert charges == pytest.approx(prices.sum())


def test_a_cost_above_the_bound_by_a_billionth_is_not_proved():
    assert is_proved(4.0, 4.0, 6.0, -2.0) and not is_proved(4.0 + 4e-9, 4.0, 6.0, -2.0)


def test_prices_that_drown_the_costs_prove_nothing():
    assert not is_proved(1.0, 1.0, 1e15, -1e15), "the difference is lost in rounding"
    assert not is_proved(0.0, np.inf, 0.0, 0.0), "what overflows says nothing"


def test_compiles_without_a_place_for_files(monkeypatch):
    def njit(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'double': no locator available for file")
        return function

    monkeypatch.setattr(pivq.solvers.augmenting, "njit", njit)
    assert compiled(lambda number: 2 * number)(3) == 6
