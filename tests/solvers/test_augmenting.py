"""Shortest augmenting paths on lists of near codes, through `match`; the bound that proves their answers."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from stand_ins import KINDS, assert_least, least_total, total

import pivq.matching
import pivq.solvers.augmenting
from pivq.matching import match
from pivq.solvers.augmenting import Lists, assign_each, assign_listed, compiled, is_proved, list_codes, lower_bound


@pytest.fixture
def short_lists(monkeypatch) -> None:
    """Let every list hold one code at first. Compiled functions would not notice, so all are interpreted."""

    def one(row, lists, latent):
        if lists.counts[latent] == 0:
            lists.sizes[latent] = 0
        list_codes.py_func(row, lists, latent)
        lists.sizes[latent] = max(1, lists.sizes[latent])

    for name, function in vars(pivq.solvers.augmenting).copy().items():
        if hasattr(function, "py_func"):
            monkeypatch.setattr(pivq.solvers.augmenting, name, function.py_func)
    monkeypatch.setattr(pivq.solvers.augmenting, "list_codes", one)
    monkeypatch.setattr(pivq.matching, "assign_each", assign_each.py_func)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_codes, codebook_size", [(7, 7), (9, 14), (24, 25), (30, 200)])
def test_lists_that_are_too_short_grow(short_lists, solved, kind, num_codes, codebook_size):
    generator = torch.Generator().manual_seed(num_codes + codebook_size)
    distances = KINDS[kind](torch.rand(num_codes, codebook_size, generator=generator, dtype=torch.float64))
    codes = match(distances)
    assert_least(distances, codes)
    assert solved == [], "proved without scipy"


def test_a_large_codebook_with_few_codes_near_is_proved_on_lists(solved):
    # Radii are estimated from 128 of the 8,192 codes, so that some lists hold only codes that other latents have.
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


def test_with_equal_distances_no_search_goes_beyond_the_first_free_code(monkeypatch, short_lists):
    visits = []
    relax = pivq.solvers.augmenting.relax
    monkeypatch.setattr(pivq.solvers.augmenting, "relax", lambda *of: visits.append(of[2]) or relax(*of))
    assert sorted(match(torch.ones(30, 50)).tolist()) == list(range(30))
    assert len(visits) < 2 * 30


def test_a_code_that_is_not_listed_may_be_better(short_lists, solved):
    # From the first lists the best total is 10: row 0 has column 0, row 1 column 3. But column 2 costs row 0 only 1.
    costs = np.array([[0, 0.1, 1, 9, 9], [0, 20, 20, 10, 20], [20, 0, 20, 20, 10]])
    assert match(torch.from_numpy(costs)).tolist() == [2, 0, 1]
    assert solved == []


@pytest.mark.parametrize("size", [0, 1, 2, 4])
@pytest.mark.parametrize("kind", ["random", "ties", "same rows", "both signs"])
def test_no_assignment_costs_less_than_the_bound_for_any_prices(kind, size):
    generator = torch.Generator().manual_seed(12)
    for _ in range(50):
        costs = KINDS[kind](torch.rand(3, 6, generator=generator, dtype=torch.float64)).numpy()
        v = -torch.rand(6, generator=generator, dtype=torch.float64).numpy() * costs.max()
        lists = Lists(
            codes=np.empty((3, 6), np.uint32),
            distances=np.empty((3, 6)),
            counts=np.zeros(3, np.int64),
            sizes=np.full(3, size),
            radii=costs.min(axis=1),
        )
        for latent in range(3 if size else 0):  # with empty lists the bound is that of the nearest codes
            list_codes(costs[latent], lists, latent)
        sum_u, sum_v = lower_bound(lists, v)
        least = least_total(torch.from_numpy(costs))
        assert sum_u + sum_v <= least + 1e-12
        assert sum_v == pytest.approx(v.sum())
        if size:  # by hand: the least of the listed codes, and the farthest listed distance for the other codes
            radii = np.sort(costs, axis=1)[:, size]
            listed = np.where(costs <= radii[:, None], costs - v, np.inf).min(axis=1)
            assert sum_u == pytest.approx(np.minimum(listed, radii).sum())


def test_a_cost_above_the_bound_by_a_billionth_is_not_proved():
    assert is_proved(4.0, 4.0, 6.0, -2.0) and not is_proved(4.0 + 4e-9, 4.0, 6.0, -2.0)


def test_prices_far_beyond_the_costs_prove_nothing():
    assert not is_proved(1.0, 1.0, 1e15, -1e15), "the difference is lost in rounding"
    assert not is_proved(0.0, np.inf, 0.0, 0.0), "sums that overflow prove nothing"


def test_compiles_where_no_cache_can_be_written(monkeypatch):
    def njit(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'double': no locator available for file")
        return function

    monkeypatch.setattr(pivq.solvers.augmenting, "njit", njit)
    assert compiled(lambda number: 2 * number)(3) == 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1, 3, 8, 40])
def test_what_lists_prove_is_optimal_and_all_codes_prove_it(kind, width):
    generator = torch.Generator().manual_seed(21)
    costs = torch.stack([KINDS[kind](torch.rand(12, 40, generator=generator, dtype=torch.float64)) for _ in range(20)])
    near = costs.topk(width, dim=2, largest=False)
    arguments = near.indices.numpy().astype(np.uint32), near.values.numpy(), costs.argmin(dim=2).numpy()
    codes, proved = assign_listed(*arguments, np.arange(20), 40)
    for image, found in zip(costs[proved], torch.from_numpy(codes[proved]), strict=True):
        assert_least(image, found)
    alike = ("rows of all scales", "columns of all scales")  # whose prices can be too large to prove anything
    assert width < 40 or proved.all() or kind in alike
