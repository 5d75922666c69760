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
    """Return the pool that solves a batch; numpy and scipy release the GIL, so the images run side by side."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="matching")


CROWDED = 16  # latents a nearest code, on average, from which on leaving out columns pays for itself (measured)


def _match_image(distances: np.ndarray) -> np.ndarray | None:
    """Return the codes `(L,)` of one image's distances `(L, K)`, or None if these are not finite.

    Distinct nearest codes are the matching: no row can have less than its least. Else scipy solves the problem. A row
    never needs a column beyond its L nearest, for the other rows take at most L - 1 of these, and the one that is left
    is no farther; where many latents share a nearest code, as in early training, these are few columns in all, and only
    they are passed on. So the answer is exact in all three cases; only the time differs.
    """
    if not np.isfinite(distances.sum()) and not np.isfinite(distances).all():
        return None
    nearest = distances.argmin(axis=1)
    rows, columns = distances.shape
    distinct = len(np.unique(nearest))
    if distinct == rows:
        return nearest
    if CROWDED * distinct <= rows and columns > 2 * rows:
        near = np.argpartition(distances, rows - 1, axis=1)[:, :rows]
        kept = np.flatnonzero(np.bincount(near.ravel(), minlength=columns))
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
    codes = list(_threads().map(_match_image, costs))
    for image, chosen in enumerate(codes):
        if chosen is None:
            raise ValueError(f"distances of image {image} of the batch are not finite")
    return torch.from_numpy(np.stack(codes) if codes else np.empty((0, num_codes), np.int64)).to(distances.device)
