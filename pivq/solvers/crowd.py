"""One image's assignment problem where the latents crowd around a few codes, with a proof by dual prices."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from pivq.solvers.augmenting import is_proved


@np.errstate(over="ignore", invalid="ignore")  # sums that overflow are left to the other solvers
def match_crowd(distances: np.ndarray) -> np.ndarray | None:
    """Return an assignment of least cost `(L,)` if the latents agree about the near codes, else None.

    Rows of zeros make the table square, so that an assignment takes every code. Prices taken off the codes then change
    the cost of all assignments by the same amount. The prices are mean distances: what remains for scipy's solver are
    the small differences between latents.
    """
    num_codes = len(distances)
    for latents in (distances[:: 1 + num_codes // 16], distances):  # a few latents soon show if they do not agree
        needed, radii = needed_codes(latents, num_codes)
        if 2 * len(needed) >= 3 * num_codes:
            return None
    costs = distances[:, needed]
    mean = costs.mean(axis=0)
    v = np.minimum(mean - np.partition(mean, num_codes - 1)[num_codes - 1], 0)
    square = np.concatenate([costs, np.zeros((len(needed) - num_codes, len(needed)))]) - v
    if not np.isfinite(square).all():
        return None
    codes = linear_sum_assignment(square)[1][:num_codes]
    return needed[codes] if is_optimal(codes, costs, radii) else None


def needed_codes(distances: np.ndarray, num_codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes that an image's latents can need, and each latent's radius: its needed codes are within it.

    A latent needs no more than its L nearest codes, because the other latents leave one of them free. These are at
    most as far as the farthest of any L codes; the L codes nearest to all latents together are used.

    Args:
        distances: `(n, K)`, of all or some of the image's latents.
        num_codes: L.
    """
    common = np.argpartition(distances.mean(axis=0), num_codes - 1)[:num_codes]
    radii = distances[:, common].max(axis=1)
    return np.flatnonzero((distances <= radii[:, None]).any(axis=0)), radii


def is_optimal(codes: np.ndarray, costs: np.ndarray, radii: np.ndarray) -> bool:
    """Say whether dual prices prove that no assignment costs less than `codes`.

    Prices of zero may prove it. If not, Bellman and Ford's shortest paths find prices that do, if there are any: they
    start from the lowest possible prices and raise them until no latent prefers another code to its own.

    Args:
        codes: `(L,)`, a column of `costs` for each latent.
        costs: `(L, N)`, distances to some of the codes.
        radii: `(L,)`; no code that is missing in `costs` is nearer than this.
    """
    own = costs[np.arange(len(codes)), codes]
    v = np.zeros(costs.shape[1])
    for turn in range(len(codes) + 2):
        u = np.minimum((costs - v).min(axis=1), radii)
        if is_proved(own.sum(), np.abs(own).sum(), u.sum(), v.sum()):
            return True
        v[codes] = np.minimum(own - (radii if turn == 0 else u), 0)
    return False
