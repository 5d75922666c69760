"""Matching quantization's assignment problem, Eq. (3): exact always, fast where latents lie near codes of their own.

An assignment is proved optimal by prices. Let every code have a price `v_k <= 0` and every latent a least offer
`u_l <= D_lk - v_k` over all codes. Then no assignment costs less than `sum u + sum v`: its pairs cost `u_l + v_k` or
more, and the codes that it leaves out only lower the bound. An assignment that costs no more than that is optimal.

1. Where the nearest codes of an image are distinct they are the answer (`v = 0`, `u` the nearest distances).
2. Else only the latents that contend for a code, and those they push away in turn, are solved. The others keep their
   nearest code, which is the least they can cost.
3. Those latents are solved on a list of near codes each, first a short one. Prices say whether the answer is optimal
   among all codes. If they do not, the lists get longer; scipy's solver on all distances has the last word.

Where the problem is small, scipy's solver is sooner than 2 and 3; latents that crowd are given fewer codes.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

TOLERANCE = 1e-12  # of the gap between cost and bound, relative to the sums it is the difference of: rounding
# What follows decides the time only; measured on two cores.
SMALL = 1 << 17  # distances of an image that scipy's solver deals with sooner than lists are made
CROWDED = 4  # latents to a nearest code from which on it is given fewer columns
ROUNDS = 4  # of solving the latents pushed away, before all of an image are solved
EVERY = 4  # columns to one that the reach of short lists is estimated from
BLOCK = 1 << 17  # distances looked at together, so that they stay in the processor's cache
THREADS = 1 << 19  # distances of a batch from which on threads pay


def match(distances: Tensor) -> Tensor:
    """Match every latent to a code of its own at the least total distance, Eq. (3).

    Args:
        distances: `(B, L, K)` or `(L, K)` with L <= K, any float type, finite: Euclidean distance of latent l to
            code k. (The paper writes the transpose; the least total is the same.)

    Returns:
        `(B, L)` or `(L,)` int64 on the device of `distances`: the code of each latent, in latent order, no code
        twice in a row, with the least possible sum of distances. Equal inputs give equal answers, ties included.

    Raises:
        ValueError: for another number of dimensions, L > K, or a distance that is NaN or infinite (the message
            names the image by its position in the batch).

    Example:
        Both latents are nearest to code 0; the total is less if the first leaves it to the second:

        >>> match(torch.tensor([[0.1, 0.9], [0.2, 3.0]]))
        tensor([1, 0])
    """
    if distances.ndim == 2:
        return match(distances[None])[0]
    if distances.ndim != 3:
        raise ValueError(f"distances must be (B, L, K) or (L, K), got shape {tuple(distances.shape)}")
    _, num_codes, codebook_size = distances.shape
    if num_codes > codebook_size:
        raise ValueError(
            f"{num_codes} latents cannot each have a code of their own among {codebook_size}: L <= K is needed"
        )
    costs = distances.detach().double().contiguous()
    nearest, finite = _nearest(costs)
    if not finite.all():
        raise ValueError(f"distances of image {int(finite.int().argmin())} of the batch are not finite")
    codes = nearest.cpu().numpy()
    distinct = 1 + np.count_nonzero(np.diff(np.sort(codes, axis=1), axis=1), axis=1)
    contended = np.flatnonzero(distinct < num_codes).tolist()
    solutions = _map(costs)(lambda image: _match_image(costs[image], codes[image], distinct[image]), contended)
    for image, solution in zip(contended, solutions, strict=True):
        codes[image] = solution
    return torch.from_numpy(codes).to(distances.device)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="matching")


def _map(costs: Tensor) -> Callable:
    """Return the `map` that a batch is worth: in threads if it is large, as numpy and scipy mostly release the GIL."""
    return _threads().map if costs.numel() >= THREADS else map


def _nearest(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest codes `(B, L)` and whether all distances are finite `(B,)`."""
    if costs.device.type != "cpu" or costs.numel() == 0:
        return costs.argmin(dim=2), costs.isfinite().all(dim=2).all(dim=1)
    rows, step = costs.flatten(0, 1).numpy(), max(1, BLOCK // costs.shape[2])

    def look(part: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        # numpy's argmin takes a third of the time of torch's, and a block is fetched from memory once for both.
        blocks = np.split(part, range(step, len(part), step))
        return [(block.argmin(axis=1), block.max(axis=1)) for block in blocks]

    parts = np.array_split(rows, 2 * (os.cpu_count() or 1) if costs.numel() >= THREADS else 1)
    looks = [block for part in _map(costs)(look, parts) for block in part]
    nearest, highest = (np.concatenate(found) for found in zip(*looks, strict=True))
    lowest = rows[np.arange(len(rows)), nearest]  # NaN if there is one, as is the highest
    finite = torch.from_numpy(np.isfinite(lowest) & np.isfinite(highest))
    return torch.from_numpy(nearest).view(costs.shape[:2]), finite.view(costs.shape[:2]).all(dim=1)


def _match_image(costs: Tensor, nearest: np.ndarray, distinct: int) -> np.ndarray:
    """Solve one image `(L, K)`, given the nearest codes `(L,)` and how many of them are distinct.

    The solved latents cost the least that they can among themselves, every other latent the least that it can by
    itself, so no assignment costs less once no code is taken twice. (The prices: those of the solved, else 0.)
    """
    rows, columns = costs.shape
    if rows * columns <= SMALL or 2 * columns < 3 * rows:  # lists would hold most of the columns
        return solve_dense(costs.cpu().numpy(), crowded=rows >= CROWDED * distinct)
    codes, solved = nearest.copy(), np.zeros(rows, dtype=bool)
    for turn in range(ROUNDS + 1):
        shared = np.bincount(codes)[codes] > 1
        if not shared.any():
            break
        solved |= shared
        if turn == ROUNDS or 4 * solved.sum() > rows:
            solved[:] = True
        part = costs if solved.all() else costs[torch.from_numpy(solved).to(costs.device)]
        codes[solved] = assign(part.cpu().numpy(), nearest[solved])
    return codes


def solve_dense(costs: np.ndarray, crowded: bool) -> np.ndarray:
    """Return the columns `(R,)` of an assignment of least cost by scipy's solver; of a crowd, on those it can need.

    A row's R nearest columns suffice: the other rows leave it one. They lie no farther than any R columns do, such as
    those nearest to all rows together.
    """
    if not crowded:
        return linear_sum_assignment(costs)[1]
    rows = len(costs)
    common = np.argpartition(costs.mean(axis=0), rows - 1)[:rows]
    needed = np.flatnonzero((costs <= costs[:, common].max(axis=1)[:, None]).any(axis=0))
    return needed[linear_sum_assignment(costs[:, needed])[1]]


@np.errstate(over="ignore", invalid="ignore")  # what overflows is not found optimal
def assign(costs: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Return the columns `(R,)` of an assignment of least cost; costs `(R, K)` float64, `nearest` their argmin."""
    rows, columns = costs.shape
    # A row's R nearest columns suffice: the other rows leave it one. With one more, one on each list has no price.
    enough = min(rows + 1, columns)
    length = 24 * rows // len(np.unique(nearest))  # the more rows to a nearest column, the longer
    while True:
        lists = near_columns(costs, length, EVERY) if length < enough else near_columns(costs, enough)
        union = np.flatnonzero(np.bincount(lists.columns))
        try:
            if length >= enough and 2 * len(union) < 3 * rows:
                codes = union[solve_crowded(costs[:, union])]
            else:
                codes = solve_lists(lists)
            if is_optimal(codes, costs, lists):
                return codes
        except ValueError:  # the lists allow no assignment, or their costs overflow
            pass
        if length >= enough:
            return linear_sum_assignment(costs)[1]
        length *= 4


class Lists(NamedTuple):
    """The near columns of each row, one row's after the other's.

    Attributes:
        columns: of all listed pairs.
        costs: of all listed pairs, each less its row's `reach`: not positive. Every pair not listed costs more than 0.
        starts: where each row's pairs begin, `(R,)`.
        reach: of each row, `(R,)`: the distance up to which its columns are listed.
    """

    columns: np.ndarray
    costs: np.ndarray
    starts: np.ndarray
    reach: np.ndarray


def near_columns(costs: np.ndarray, length: int, every: int = 1) -> Lists:
    """List the `length` nearest columns of each row, and those that tie with the last; about as many if `every` > 1."""
    rank = length // every - 1
    reach = np.partition(costs[:, ::every], rank, axis=1)[:, rank]
    pairs = np.flatnonzero(costs <= reach[:, None])
    starts = np.searchsorted(pairs, np.arange(len(costs)) * costs.shape[1])
    near = costs.ravel()[pairs] - np.repeat(reach, np.diff(starts, append=len(pairs)))
    return Lists(pairs % costs.shape[1], near, starts, reach)


def solve_lists(lists: Lists) -> np.ndarray:
    """Return an assignment of least cost among the listed pairs.

    Raises:
        ValueError: if the lists allow none.
    """
    # scipy's sparse solver leaves out pairs of cost 0: let a row's costs lie between once and twice their spread.
    lowest, ends = np.minimum.reduceat(lists.costs, lists.starts), np.append(lists.starts, len(lists.columns))
    costs = lists.costs + np.repeat(np.where(lowest < 0, -2 * lowest, 1), np.diff(ends))
    if not np.isfinite(costs).all():
        raise ValueError("the costs overflow")
    # More columns than rows, if need be an empty one: the square case has a loop that rounding can keep from ending.
    shape = len(lists.starts), max(len(lists.starts), int(lists.columns.max())) + 1
    return min_weight_full_bipartite_matching(csr_array((costs, lists.columns, ends), shape))[1].astype(np.int64)


def solve_crowded(costs: np.ndarray) -> np.ndarray:
    """Return an assignment of least cost, sooner than scipy's solver alone if rows agree about near columns.

    With rows of zeros for the columns left over all columns are taken, so prices taken off the columns change every
    assignment's cost alike. They are set so that less is left to agree about.
    """
    rows, columns = costs.shape
    mean = costs.mean(axis=0)
    prices = np.minimum(mean - np.partition(mean, rows - 1)[rows - 1], 0)
    square = np.concatenate([costs, np.zeros((columns - rows, columns))]) - prices
    return linear_sum_assignment(square)[1][:rows]


def is_optimal(codes: np.ndarray, costs: np.ndarray, lists: Lists) -> bool:
    """Say whether prices prove that no assignment costs less than `codes`, of all pairs, listed or not.

    Bellman and Ford's shortest paths find the prices, if there are any: from the lowest that they can be, up to where
    no row gets a better offer than its own column's. What is found is proof whatever the way there: `v <= 0`, and `u`
    is the least of the row's listed offers and of 0, than which an unlisted pair, at `v <= 0`, offers nothing less.
    """
    own = costs[np.arange(len(codes)), codes] - lists.reach
    v = np.zeros(costs.shape[1])
    v[codes] = np.minimum(own, 0)
    for _ in range(len(codes) + 1):
        u = np.minimum(np.minimum.reduceat(lists.costs - v[lists.columns], lists.starts), 0)
        if own.sum() - u.sum() - v.sum() <= TOLERANCE * (np.abs(own).sum() - v.sum()):
            return True
        v[codes] = np.minimum(own - u, 0)
    return False
