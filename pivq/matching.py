"""Matching quantization's assignment problem, Eq. (3): exact, and fast wherever the latents lie.

Dual prices prove that an assignment is optimal. Let every code have a price `v_k <= 0` and every latent a price `u_l`
with `u_l + v_k <= D_lk` for all codes. Then no assignment costs less than `sum u + sum v`: its pairs cost `u_l + v_k`
or more, and the codes that it leaves out only lower the bound. An assignment that costs no more than that is optimal.

1. Where the nearest codes of an image are distinct, they are the answer (`v = 0`, `u` the nearest distances).
2. Where the latents crowd around a few codes and agree about the codes near by, as when quantization starts, scipy's
   solver sees only these codes, with the distances common to all latents taken off (`pivq/solvers/crowd.py`).
3. Otherwise shortest augmenting paths start from the nearest codes (`pivq/solvers/augmenting.py`).
4. Where prices do not prove the answer of 2 or 3, scipy's solver is given all distances.

Distances on a GPU stay there: one transfer brings the nearest codes of each latent, and step 3 works on these. Where
prices prove nothing because a latent may need a code farther away, the image is asked for more codes, at last for all.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pivq.settings import check_dense
from pivq.solvers.augmenting import assign_each, assign_listed
from pivq.solvers.crowd import match_crowd

# Tuning constants: they affect speed, not results; measured on two cores.
CROWDED = 64  # latents per distinct nearest code from which a crowd is tried
BLOCK = 1 << 17  # distances read at a time, so that they stay in the processor's cache
NEAR_CODES = 32  # of each latent that are taken from a GPU at first
WIDER = 4  # times as many codes are taken where these prove nothing; all codes, once they would be over half of them
THREADS = 1 << 19  # distances of a batch (times the crowding, for the solvers) from which threads are used


def match(distances: Tensor) -> Tensor:
    """Match every latent to a code of its own at the least total distance, Eq. (3).

    Args:
        distances: `(B, L, K)` or `(L, K)` with L <= K, any float type, finite: Euclidean distance of latent l to
            code k. (The paper writes the transpose; the least total is the same.)

    Returns:
        `(B, L)` or `(L,)` int64 on the device of `distances`: the code of each latent, in latent order, no code
        twice in a row, with the least possible sum of distances. Equal inputs give equal answers, ties included.

    Raises:
        TypeError: for anything but a tensor.
        ValueError: for another number of dimensions, L > K, numbers of another kind, or a distance that is NaN or
            infinite (the message names the image by its position in the batch).

    Example:
        Both latents are nearest to code 0; the total is less if the first leaves it to the second:

        >>> match(torch.tensor([[0.1, 0.9], [0.2, 3.0]]))
        tensor([1, 0])
    """
    if isinstance(distances, Tensor) and distances.ndim == 2:
        return match(distances[None])[0]
    costs = _checked(distances)
    near = None if _here(costs) or not costs.numel() else _near_codes(costs, NEAR_CODES)
    codes = _nearest(costs, near)
    crowding = codes.shape[1] / (1 + np.count_nonzero(np.diff(np.sort(codes, axis=1), axis=1), axis=1))
    contended = np.flatnonzero(crowding > 1)  # in the other images the nearest codes are distinct: the answer
    if len(contended) and near is None:
        codes[contended] = _solve(costs.numpy(), contended, codes[contended], crowding[contended])
    elif len(contended):
        codes[contended] = _solve_from_afar(costs, near, contended, codes[contended], crowding[contended])
    return torch.from_numpy(codes).to(distances.device)


def greedy(distances: Tensor, cheapest_first: bool = False) -> Tensor:
    """Give every latent a code of its own greedily, for comparison with `match`: the total can be far from the least.

    Takes O(L K) operations per image, or O(L² K) with `cheapest_first`.

    Args:
        distances: as for `match`.
        cheapest_first: always take the closest pair of a free latent and a free code. Otherwise first come, first
            served: the latents in their order each take the nearest free code.

    Returns:
        `(B, L)` or `(L,)` int64 on the device of `distances`: the code of each latent, in latent order, no code twice
        in a row. Of equal distances the first counts, in latent order, then in code order.

    Raises:
        TypeError, ValueError: as for `match`.

    Example:
        The first latent takes code 0, which is much nearer to the second; the totals are 4.9 and 3.1:

        >>> distances = torch.tensor([[0.9, 3.0], [0.1, 4.0]])
        >>> greedy(distances), greedy(distances, cheapest_first=True)
        (tensor([0, 1]), tensor([1, 0]))
    """
    if isinstance(distances, Tensor) and distances.ndim == 2:
        return greedy(distances[None], cheapest_first)[0]
    costs = _checked(distances)
    codes = _nearest(costs, None if _here(costs) or not costs.numel() else _near_codes(costs, 1))
    (batch, num_codes, codebook_size), images = costs.shape, np.arange(len(costs))
    free = costs.cpu().double().numpy().copy()  # infinite where the latent or the code is taken
    for latent in range(num_codes):
        if cheapest_first:
            closest = free.reshape(batch, num_codes * codebook_size).argmin(axis=1)
            latent, code = np.divmod(closest, codebook_size)
        else:
            code = free[:, latent].argmin(axis=1)
        codes[images, latent] = code
        free[images, latent], free[images, :, code] = np.inf, np.inf
    return torch.from_numpy(codes).to(distances.device)


def _checked(distances: Tensor) -> Tensor:
    """Return distances `(B, L, K)` in float32 or float64, exactly as they are; raise an error for what are none."""
    if not isinstance(distances, Tensor):
        raise TypeError(f"distances must be a tensor (B, L, K) or (L, K), got {type(distances).__name__}")
    check_dense("distances", distances)
    exact = distances.dtype.itemsize > 1 or not distances.is_floating_point()
    if not exact or distances.is_complex():
        raise ValueError(f"distances must be real numbers, got {distances.dtype}")
    if distances.ndim != 3:
        raise ValueError(f"distances must be (B, L, K) or (L, K), got shape {tuple(distances.shape)}")
    _, num_codes, codebook_size = distances.shape
    if num_codes > codebook_size:
        raise ValueError(
            f"distances {tuple(distances.shape)}: {num_codes} latents cannot each have a code of their own among "
            f"{codebook_size}: L <= K is needed"
        )
    # To copy a batch into float64 takes longer than to solve it.
    kind = torch.float32 if distances.is_floating_point() and distances.dtype.itemsize <= 4 else torch.float64
    return distances.detach().to(kind).contiguous()


def _here(costs: Tensor) -> bool:
    """Tell whether distances are in the memory in which the solvers work."""
    return costs.device.type == "cpu"


def to_host(*tensors: Tensor) -> list[np.ndarray]:
    """Return tensors as arrays in this computer's memory, with one transfer from the device that they are all on.

    Those with the longest numbers have to come first, so that all are aligned.
    """
    raw = torch.cat([tensor.contiguous().view(torch.uint8).flatten() for tensor in tensors]).cpu()
    sizes = [tensor.nbytes for tensor in tensors]
    parts = zip(raw.split(sizes), tensors, strict=True)
    return [part.view(tensor.dtype).view(tensor.shape).numpy() for part, tensor in parts]


class _Near(NamedTuple):
    """What has come from a device, of some images: `(B, L, m)` float64 distances and uint32 codes; finite `(B,)`."""

    distances: np.ndarray
    nearest: np.ndarray  # (B, L) int64
    codes: np.ndarray
    finite: np.ndarray


def _near_codes(costs: Tensor, width: int) -> _Near:
    """Bring the `width` nearest codes of each latent from a device, or all that there are."""
    found = costs.topk(min(width, costs.shape[2]), dim=2, largest=False)
    finite = costs.isfinite().all(dim=2).all(dim=1)
    # The first of several that tie, which topk does not promise.
    distances, nearest, codes, finite = to_host(found.values.double(), costs.argmin(dim=2), found.indices.int(), finite)
    return _Near(distances, nearest, codes.view(np.uint32), finite)


def _nearest(costs: Tensor, near: _Near | None) -> np.ndarray:
    """Return the nearest codes `(B, L)` int64, of distances elsewhere as they were brought.

    Raises:
        ValueError: distances that are not finite.
    """
    if costs.numel() == 0:
        return np.zeros(costs.shape[:2], dtype=np.int64)
    nearest, finite = _look(costs) if near is None else (near.nearest, near.finite)
    if not finite.all():
        raise ValueError(f"distances of image {int(finite.argmin())} of the batch are not finite")
    return nearest


def _look(costs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest codes `(B, L)` and whether all distances are finite `(B,)`."""
    rows, step = costs.flatten(0, 1).numpy(), max(1, BLOCK // costs.shape[2])

    def look(part: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        # numpy's argmin takes a third of the time of torch's, and a block is read from memory once for both.
        blocks = np.split(part, range(step, len(part), step))
        return [(block.argmin(axis=1), block.max(axis=1)) for block in blocks]

    looks = [block for part in _each(look, _parts(rows, costs.numel()), costs.numel()) for block in part]
    nearest, highest = (np.concatenate(found) for found in zip(*looks, strict=True))
    lowest = rows[np.arange(len(rows)), nearest]  # NaN if there is one, as is the highest
    finite = np.isfinite(lowest) & np.isfinite(highest)
    return nearest.reshape(costs.shape[:2]), finite.reshape(costs.shape[:2]).all(axis=1)


def _solve_from_afar(
    costs: Tensor, near: _Near, images: np.ndarray, nearest: np.ndarray, crowding: np.ndarray
) -> np.ndarray:
    """Do `_solve` for images `(n,)` of a table on a device, of which only the near codes have come from there."""
    codes, solved, width = nearest.copy(), np.zeros(len(images), dtype=bool), near.codes.shape[2]
    lists, rows = np.flatnonzero(crowding < CROWDED), images[crowding < CROWDED]  # a crowd needs nearly all codes
    while len(lists):
        codes[lists], solved[lists] = _by_lists(near, rows, nearest[lists], costs.shape[2])
        lists, width = lists[~solved[lists]], WIDER * width
        if not len(lists) or 2 * width > costs.shape[2]:
            break
        near, rows = _near_codes(costs[torch.from_numpy(images[lists]).to(costs.device)], width), np.arange(len(lists))
    if len(left := np.flatnonzero(~solved)):
        (table,) = to_host(costs[torch.from_numpy(images[left]).to(costs.device)])
        codes[left] = _solve(table, np.arange(len(left)), nearest[left], crowding[left])
    return codes


def _by_lists(
    near: _Near, rows: np.ndarray, nearest: np.ndarray, codebook_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Solve images, `rows` of what has come from a device, where their near codes are enough to prove it."""

    def solve(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return assign_listed(near.codes, near.distances, nearest[part], rows[part], codebook_size)

    work = near.codes.size
    codes, solved = zip(*_each(solve, _parts(np.arange(len(rows)), work), work), strict=True)
    return np.concatenate(codes), np.concatenate(solved)


def _solve(table: np.ndarray, images: np.ndarray, nearest: np.ndarray, crowding: np.ndarray) -> np.ndarray:
    """Return assignments of least cost `(n, L)` for some images `(n,)` of a table of distances `(B, L, K)`.

    Each solver gets the images that are not solved yet, and returns codes and whether they are proved optimal.

    Args:
        nearest: `(n, L)`, their nearest codes.
        crowding: `(n,)`, latents per distinct nearest code.
    """
    codes, solved = nearest.copy(), np.zeros(len(images), dtype=bool)
    work = table.size * crowding.max()
    for solver, suitable in ((_by_crowd, crowding >= CROWDED), (_by_paths, True), (_by_scipy, True)):
        left = np.flatnonzero(suitable & ~solved)
        if len(left):
            codes[left], solved[left] = solver(table, images[left], nearest[left], work)
    return codes


def _by_crowd(table: np.ndarray, images: np.ndarray, nearest: np.ndarray, work: float) -> tuple[list, list]:
    found = _each(lambda image: match_crowd(table[image].astype(np.float64, copy=False)), images, work)
    codes = [near if crowd is None else crowd for near, crowd in zip(nearest, found, strict=True)]
    return codes, [crowd is not None for crowd in found]


def _by_paths(table: np.ndarray, images: np.ndarray, nearest: np.ndarray, work: float) -> tuple[np.ndarray, np.ndarray]:
    parts = _parts(np.arange(len(images)), work)
    found = _each(lambda part: assign_each(table, nearest[part], images[part]), parts, work)
    codes, solved = zip(*found, strict=True)
    return np.concatenate(codes), np.concatenate(solved)


def _by_scipy(table: np.ndarray, images: np.ndarray, nearest: np.ndarray, work: float) -> tuple[np.ndarray, bool]:
    codes = np.empty_like(nearest)
    for at, image in enumerate(images):
        costs = table[image].astype(np.float64, copy=False)
        exponent = np.frexp(np.abs(costs).max())[1]  # sums of numbers at the end of float64 would overflow
        codes[at] = linear_sum_assignment(np.ldexp(costs, -exponent))[1]
    return codes, True


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="matching")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process has none of its parent's threads


def _parts(rows: np.ndarray, work: float) -> list[np.ndarray]:
    """Split an array for `_each`."""
    return np.array_split(rows, min(len(rows), 2 * torch.get_num_threads())) if work >= THREADS else [rows]


def _each(function: Callable, items: Iterable, work: float) -> list:
    """Return the function's results; in threads if `work` is worth them, as most of it runs without Python's lock."""
    return list(_threads().map(function, items) if work >= THREADS else map(function, items))
