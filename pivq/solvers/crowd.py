"""One image's assignment problem where the latents crowd around a few codes, with a proof by prices."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from pivq.solvers.augmenting import is_proved


@np.errstate(over="ignore", invalid="ignore")  # what overflows is left to others
def match_crowd(distances: np.ndarray) -> np.ndarray | None:
    """Return an assignment of least cost `(L,)` if the latents agree about the near codes, else None.

    With rows of zeros for the codes left over all codes are taken, so prices taken off the codes change every
    assignment's cost alike. They are mean distances, which leaves scipy's solver the small differences to decide.
    """
    num_codes = len(distances)
    for latents in (distances[:: 1 + num_codes // 16], distances):  # a few say soon if they do not agree
        needed, reaches = needed_codes(latents, num_codes)
        if 2 * len(needed) >= 3 * num_codes:
            return None
    costs = distances[:, needed]
    mean = costs.mean(axis=0)
    prices = np.minimum(mean - np.partition(mean, num_codes - 1)[num_codes - 1], 0)
    square = np.concatenate([costs, np.zeros((len(needed) - num_codes, len(needed)))]) - prices
    if not np.isfinite(square).all():
        return None
    codes = linear_sum_assignment(square)[1][:num_codes]
    return needed[codes] if is_optimal(codes, costs, reaches) else None


def needed_codes(distances: np.ndarray, num_codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes that the given latents, of an image of L = `num_codes`, can need, and how far each latent looks.

    A latent's L nearest codes suffice: the other latents leave it one. They lie no farther than any L codes do, such
    as those nearest to all the given latents together.
    """
    common = np.argpartition(distances.mean(axis=0), num_codes - 1)[:num_codes]
    reaches = distances[:, common].max(axis=1)
    return np.flatnonzero((distances <= reaches[:, None]).any(axis=0)), reaches


def is_optimal(codes: np.ndarray, costs: np.ndarray, reaches: np.ndarray) -> bool:
    """Say whether prices prove that no assignment costs less than `codes`.

    Prices of zero may do. If not, Bellman and Ford's shortest paths find the prices, if there are any: from the lowest
    that they can be, up to where no latent gets a better offer than its own code's.

    Args:
        codes: `(L,)`, a column of `costs` for each latent.
        costs: `(L, N)`, distances to some of the codes.
        reaches: `(L,)`: every code that is not in `costs` is at least so far from the latent.
    """
    own = costs[np.arange(len(codes)), codes]
    prices = np.zeros(costs.shape[1])
    for turn in range(len(codes) + 2):
        offers = np.minimum((costs - prices).min(axis=1), reaches)
        if is_proved(own.sum(), np.abs(own).sum(), offers.sum(), prices.sum()):
            return True
        prices[codes] = np.minimum(own - (reaches if turn == 0 else offers), 0)
    return False
