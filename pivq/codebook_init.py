"""Delayed, data-dependent codebook initialisation, Section 3.7."""

from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from pivq.config import TrainConfig


def initialisation_steps(config: TrainConfig) -> list[int]:
    """Return the steps before which the codebook is set: T_q, T_q + W, T_q + 2W, …"""
    return [
        config.quantize_from_step + i * config.history_steps for i in range(config.codebook_initialisations)
    ]


class LatentHistory:
    """The encoder outputs of the last W steps, to which the codebook is fitted.

    Only steps that lie in a window before an initialisation are kept, and those before T_q in any case, from where runs
    with other settings may branch; the rest would be dropped unseen.

    Args:
        config: gives W and the initialisation steps.
    """

    def __init__(self, config: TrainConfig):
        ends = {config.quantize_from_step, *initialisation_steps(config)}
        self.wanted = {step for end in ends for step in range(end - config.history_steps, end)}
        self.latents: deque[Tensor] = deque(maxlen=config.history_steps)

    def record(self, step: int, latents: Callable[[], Tensor]) -> None:
        """Keep the latents `(B, L, d)` of `step`, which are asked for only if a window needs them."""
        if step in self.wanted:
            self.latents.append(latents().detach().flatten(0, 1).float())

    def gather(self) -> Tensor:
        """Return all kept latents, `(W · B · L, d)` float32."""
        if not self.latents:
            raise ValueError("no latents recorded: the codebook cannot be fitted before a window of history has passed")
        return torch.cat(list(self.latents))


def fit_codebook(latents: Tensor, codebook_size: int, seed: int) -> Tensor:
    """Fit K centroids to latents by k-means with k-means++ seeding [2].

    Args:
        latents: `(N, d)` float32, N ≥ K.
        codebook_size: K.
        seed: of the seeding; the same latents and seed give the same codebook.

    Returns:
        `(K, d)` float32 on the device of `latents`, all rows distinct.

    Raises:
        ValueError: when there are fewer distinct latents than codes, with both numbers.
    """
    points = latents.detach().cpu().numpy()
    if not np.isfinite(points).all():
        raise ValueError("the latent history holds NaN or infinite values: training has diverged before T_q")
    distinct = len(np.unique(points[: 4 * codebook_size], axis=0))
    if distinct < codebook_size:
        distinct = len(np.unique(points, axis=0))
    if distinct < codebook_size:
        raise ValueError(
            f"{distinct} distinct latents cannot give {codebook_size} codes: raise history_steps (W), the batch size "
            "or num_codes (L), or lower codebook_size (K)"
        )
    # 20 rounds of refinement: the next window re-fits anyway, and the codes go on learning by gradient.
    kmeans = KMeans(codebook_size, init="k-means++", n_init=1, max_iter=20, tol=0, random_state=seed % 2**32)
    # Each thread adds up its share of the points, and the shares are added in the order in which they are ready: from
    # three threads on, the same seed would not give the same bits.
    with threadpool_limits(2, user_api="openmp"):
        fitted = kmeans.fit(points)
    return torch.from_numpy(fitted.cluster_centers_.astype(np.float32)).to(latents.device)
