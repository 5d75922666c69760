"""Matching quantization's assignment problem, Eq. (3)."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the pool that solves a batch; scipy's solver releases the GIL, so the images run side by side."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="matching")


def _solve(distances: np.ndarray) -> np.ndarray:
    """Return the codes `(L,)` of one image's distances `(L, K)`, through the columns that can be in a solution.

    A row never needs a column beyond its L nearest: the other rows take at most L - 1 of these, so one is free that is
    no farther. Where latents lie together, as in early training, that leaves few columns, and a quick solution.
    """
    rows, columns = distances.shape
    if columns > 2 * rows:
        near = torch.from_numpy(distances).topk(rows, dim=1, largest=False, sorted=False).indices
        kept = np.flatnonzero(np.bincount(near.numpy().ravel(), minlength=columns))
        if 2 * len(kept) < columns:
            return kept[linear_sum_assignment(distances[:, kept])[1]]
    # Rows are latents: L <= K rows is the solver's fast orientation, and the answer comes sorted by row.
    return linear_sum_assignment(distances)[1]


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
    costs = distances.detach().double().cpu().numpy()  # the solver works in float64
    finite = np.isfinite(costs).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"distances of image {int(np.argmin(finite))} of the batch are not finite")
    # Where the nearest codes of an image are distinct they are its matching: no row can have less than its least.
    codes = costs.argmin(axis=2)
    ranked = np.sort(codes, axis=1)
    open_ = np.flatnonzero((ranked[:, 1:] == ranked[:, :-1]).any(axis=1))
    for image, solution in zip(open_, _threads().map(_solve, costs[open_]), strict=True):
        codes[image] = solution
    return torch.from_numpy(codes).to(distances.device)
