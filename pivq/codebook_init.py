"""Delayed, data-dependent codebook initialisation, Section 3.7."""

import math
from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from pivq.config import TrainConfig
from pivq.settings import check_dense, check_whole, refusal

SEEDED = 1 << 15  # latents from which seeds are chosen


def initialisation_steps(config: TrainConfig) -> list[int]:
    """Return the steps before which the codebook is set: T_q, T_q + W, T_q + 2W, …"""
    return [
        config.quantize_from_step + i * config.history_steps for i in range(config.codebook_initialisations)
    ]


class LatentHistory:
    """The encoder outputs of the last W steps, to which the codebook is fitted.

    Only steps in a window before an initialisation are kept. The window before T_q is always kept, because runs with
    other settings may branch there.

    Args:
        config: gives W and the initialisation steps.
    """

    def __init__(self, config: TrainConfig):
        ends = {config.quantize_from_step, *initialisation_steps(config)}
        self.wanted = {step for end in ends for step in range(end - config.history_steps, end)}
        self.latents: deque[Tensor] = deque(maxlen=config.history_steps)

    def record(self, step: int, latents: Callable[[], Tensor]) -> None:
        """Keep the latents `(B, L, d)` of `step`; `latents` is called only if a window needs them."""
        if step in self.wanted:
            self.latents.append(latents().detach().flatten(0, 1).float())

    def gather(self) -> Tensor:
        """Return all kept latents, `(W · B · L, d)` float32."""
        if not self.latents:
            raise ValueError("no latents recorded: the codebook cannot be fitted before a window of history has passed")
        return torch.cat(list(self.latents))


class TooFewLatents(ValueError):
    """There are fewer distinct latents than codes.

    Attributes:
        distinct: their number.
    """

    def __init__(self, distinct: int, latents: int, codebook_size: int):
        super().__init__(f"{latents} latents, of which {distinct} are distinct, cannot give {codebook_size} codes")
        self.distinct = distinct


def fit_codebook(latents: Tensor, codebook_size: int, seed: int) -> Tensor:
    """Fit K centroids to latents by k-means with k-means++ seeding [2].

    A random part of the latents, `SEEDED` at most, gives the seeds; all latents refine them.

    Args:
        latents: `(N, d)` floats, N ≥ K.
        codebook_size: K.
        seed: of the seeding; the same latents and seed give the same codebook.

    Returns:
        `(K, d)` float32 on the device of `latents`, all rows distinct.

    Raises:
        TooFewLatents: when there are fewer distinct latents than codes.
        TypeError: for latents that are no tensor.
        ValueError: for another shape or type, a codebook size or seed that is no whole number in range, and values that
            are not finite or whose squared distances overflow.
    """
    from sklearn.cluster import KMeans  # here: it takes a second to load, and few need it

    if not isinstance(latents, Tensor) or latents.ndim != 2 or not latents.is_floating_point():
        raise refusal("latents", "a tensor of floats (N, d)", latents)
    check_dense("latents", latents)
    codebook_size = check_whole("codebook_size", codebook_size, 1, 2**63 - 1)
    seed = check_whole("seed", seed, 0, 2**63 - 1)
    points = latents.detach().cpu().float()
    if not points.isfinite().all():
        raise ValueError("latents hold NaN or infinite values: training has diverged before T_q")
    if points.numel() and not (points.abs().max() * 4 * points.numel() ** 0.5).square().isfinite():
        raise ValueError(f"latents of up to {points.abs().max():g} are too large: training has diverged before T_q")
    generator = torch.Generator().manual_seed(seed)
    part = points[torch.randperm(len(points), generator=generator)[:SEEDED]]
    if len(part[: 4 * codebook_size].unique(dim=0)) < codebook_size:
        part = points
        distinct = len(points.unique(dim=0))
        if distinct < codebook_size:
            raise TooFewLatents(distinct, len(points), codebook_size)
    seeds = _seeds(part, codebook_size, generator).numpy()
    # Few rounds are enough: the next window fits again, and gradients train the codes further.
    rounds = 20 if len(points) <= SEEDED else 5
    # Each thread sums its share of the points, and the sums are added in the order in which threads finish: with three
    # threads or more, the same seed would not give the same bits.
    with threadpool_limits(2, user_api="openmp"):
        kmeans = KMeans(codebook_size, init=seeds, n_init=1, max_iter=rounds, tol=0).fit(points.numpy())
    return torch.from_numpy(kmeans.cluster_centers_.astype(np.float32)).to(latents.device)


def _seeds(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return `(count, d)` of `points` `(N, d)`: greedy k-means++ seeding.

    Each seed is, of a few points drawn by their squared distance from the seeds so far, the one that lowers the sum of
    these distances most. Points are drawn for several seeds at once, from distances that miss at most 1/32 of the
    seeds, because products of large matrices take less time.
    """
    centred = points - points.mean(dim=0)
    norms = centred.square().sum(dim=1)
    trials = 2 + int(math.log(count))
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    nearest = (centred - centred[chosen[0]]).square().sum(dim=1)
    while len(chosen) < count:
        seeds = min(max(1, min(16, len(chosen) // 32)), count - len(chosen))
        # If all points equal a seed up to rounding, any will do: k-means moves centroids that get no points.
        drawn = torch.multinomial(nearest.clamp_min(1e-30), seeds * trials, replacement=True, generator=generator)
        products = (centred @ centred[drawn].T).T.contiguous()  # faster than in the other order
        distances = products.mul_(-2).add_(norms).add_(norms[drawn, None]).clamp_(min=0)
        for of_seed, indices in zip(distances.split(trials), drawn.split(trials), strict=True):
            lowered = torch.minimum(of_seed, nearest)
            best = int(lowered.sum(dim=1).argmin())
            nearest = lowered[best]
            nearest[indices[best]] = 0
            chosen.append(int(indices[best]))
    return points[chosen]
