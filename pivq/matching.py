"""Matching quantization's assignment problem, Eq. (3): exact, and fast however the latents lie.

An assignment is proved optimal by prices. Let every code have a price `v_k <= 0` and every latent a best offer
`u_l <= D_lk - v_k` over all codes. Then no assignment costs less than `sum u + sum v`: its pairs cost `u_l + v_k` or
more, and the codes that it leaves out only lower the bound. An assignment that costs no more than that is optimal.

1. Where the nearest codes of an image are distinct they are the answer (`v = 0`, `u` the nearest distances).
2. Where the latents crowd around a few codes and agree about the codes near by, as when quantization starts, only
   these codes are looked at, by scipy's solver, with the distances common to all latents taken off.
3. Else shortest augmenting paths start from the nearest codes (`pivq/solvers/augmenting.py`).

Prices prove the answers of 2 and 3. Where they do not, scipy's solver on all distances has the last word.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pivq.solvers.augmenting import assign_each
from pivq.solvers.crowd import match_crowd

# What follows decides the time only; measured on two cores.
CROWDED = 64  # latents to a distinct nearest code from which on a crowd is looked for
BLOCK = 1 << 17  # distances looked at together, so that they stay in the processor's cache
THREADS = 1 << 19  # distances of a batch, times the crowding where that matters, from which on threads pay


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
    if distances.numel() == 0:
        return torch.zeros(distances.shape[:2], dtype=torch.int64, device=distances.device)
    costs = distances.detach().double().contiguous()
    nearest, finite = _nearest(costs)
    if not finite.all():
        raise ValueError(f"distances of image {int(finite.int().argmin())} of the batch are not finite")
    codes = nearest.cpu().numpy()
    crowding = num_codes / (1 + np.count_nonzero(np.diff(np.sort(codes, axis=1), axis=1), axis=1))
    contended = np.flatnonzero(crowding > 1)
    if costs.device.type == "cpu":
        _solve(costs.numpy(), codes, contended, crowding)
    else:  # the others' distances stay on the device
        table, part = costs[torch.from_numpy(contended).to(costs.device)].cpu().numpy(), codes[contended]
        _solve(table, part, np.arange(len(contended)), crowding[contended])
        codes[contended] = part
    return torch.from_numpy(codes).to(distances.device)


def _solve(distances: np.ndarray, codes: np.ndarray, images: np.ndarray, crowding: np.ndarray) -> None:
    """Turn nearest codes `(B, L)` into assignments of least cost for some images of a table `(B, L, K)`.

    Args:
        crowding: `(B,)`, latents to a distinct nearest code.
    """
    if len(images) == 0:
        return  # and nothing is compiled
    solved = np.ones(len(codes), dtype=bool)
    solved[images] = False
    spread = _map(distances.size * crowding.max())
    crowds = images[crowding[images] >= CROWDED]
    for image, crowd in zip(crowds, spread(match_crowd, [distances[image] for image in crowds]), strict=True):
        if crowd is not None:
            codes[image], solved[image] = crowd, True
    left = np.flatnonzero(~solved)
    parts = np.array_split(left, min(len(left), 2 * torch.get_num_threads())) if len(left) else []
    list(spread(lambda part: assign_each(distances, codes, part, solved), parts))
    for image in np.flatnonzero(~solved):
        exponent = np.frexp(np.abs(distances[image]).max())[1]  # sums of numbers at the end of float64 would overflow
        codes[image] = linear_sum_assignment(np.ldexp(distances[image], -exponent))[1]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="matching")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process has none of its parent's threads


def _map(work: float) -> Callable:
    """Return the `map` for so much work: in threads if it is worth them, as most of it needs no interpreter's lock."""
    return _threads().map if work >= THREADS else map


def _nearest(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest codes `(B, L)` and whether all distances are finite `(B,)`."""
    if costs.device.type != "cpu":
        return costs.argmin(dim=2), costs.isfinite().all(dim=2).all(dim=1)
    rows, step = costs.flatten(0, 1).numpy(), max(1, BLOCK // costs.shape[2])

    def look(part: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        # numpy's argmin takes a third of the time of torch's, and a block is fetched from memory once for both.
        blocks = np.split(part, range(step, len(part), step))
        return [(block.argmin(axis=1), block.max(axis=1)) for block in blocks]

    parts = np.array_split(rows, 2 * torch.get_num_threads() if costs.numel() >= THREADS else 1)
    looks = [block for part in _map(costs.numel())(look, parts) for block in part]
    nearest, highest = (np.concatenate(found) for found in zip(*looks, strict=True))
    lowest = rows[np.arange(len(rows)), nearest]  # NaN if there is one, as is the highest
    finite = torch.from_numpy(np.isfinite(lowest) & np.isfinite(highest))
    return torch.from_numpy(nearest).view(costs.shape[:2]), finite.view(costs.shape[:2]).all(dim=1)
