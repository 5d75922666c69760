"""The protocol of Table 3: draw samples by Algorithm 1, measure them against the real images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pivq.data import to_uint8
from pivq.experiment import Run, load_split
from pivq.features import FeatureNet, cached_features
from pivq.metrics import frechet_distance, prdc_for_each
from pivq.paths import results_dir
from pivq.sampling import decode_in_batches, sample_pairs


class Samples(NamedTuple):
    """Samples with their parents: `pairs` `(M, 2)` rows of the training set, `images` `(M, 3, H, W)` uint8."""

    pairs: Tensor
    images: Tensor


def draw_samples(run: Run, count: int, device: str | torch.device = "cpu") -> Samples:
    """Decode `count` samples of Algorithm 1, each from a random pair of encoded training images.

    A nearest model's codes repeat within an image, so they are recombined as multisets (`pivq.sampling`). The seed is
    the run's.
    """
    codes = torch.from_numpy(run.codes("train"))
    sampled = sample_pairs(codes, count, seed=run.config.seed, multiset=run.quantizer == "nearest")
    images = decode_in_batches(run.model(device).decode, sampled.codes.to(device), batch_size=200)
    return Samples(sampled.pairs, to_uint8(images.cpu()))


def real_features(run: Run, network: FeatureNet, split: str = "train") -> np.ndarray:
    """Return the features `(N, F)` of the run's real images of a split, from the cache where they are there."""
    return cached_features(network, load_split(run.config, split).images, results_dir(run.config.profile) / "features")


def fake_features(run: Run, network: FeatureNet, images: Tensor) -> np.ndarray:
    """Return the features `(M, F)` of made images `(M, 3, H, W)` uint8, from the cache where they are there."""
    return cached_features(network, images, results_dir(run.config.profile) / "features")


def measure(run: Run, network: FeatureNet, images: Tensor) -> dict[str, float]:
    """Return the five metrics of images `(M, 3, H, W)` uint8 against the run's training images; see `compare`."""
    return compare(real_features(run, network), fake_features(run, network, images), run.config.evaluation.prdc_k)


def compare(real: np.ndarray, fake: np.ndarray, ks: Sequence[int]) -> dict[str, float]:
    """Return the five metrics of features `fake` `(M, F)` against `real` `(N, F)`.

    Keys: `distance` (the Fréchet distance in the network's features; lower is better), then `precision`, `recall`,
    `density` and `coverage` with ` (k=…)` for each of `ks` (higher is better).
    """
    row = {"distance": frechet_distance(real=real, fake=fake)}
    for k, scores in prdc_for_each(real=real, fake=fake, ks=ks).items():
        row |= {f"{name} (k={k})": value for name, value in scores._asdict().items()}
    return row


def nearest_real(
    real: np.ndarray, fake: np.ndarray, k: int = 1, excluded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` closest rows of `real` to each row of `fake`, closest first, and their distances.

    Args:
        real: features `(N, F)`.
        fake: features `(M, F)`; takes M × N float64 numbers.
        k: neighbours.
        excluded: rows of `real` `(M, E)` that are no neighbour of that row of `fake`, such as a sample's parents.

    Returns:
        Indices and Euclidean distances, both `(M, k)`.
    """
    distances = torch.cdist(torch.from_numpy(fake).double(), torch.from_numpy(real).double())
    if excluded is not None:
        distances.scatter_(1, torch.as_tensor(excluded), torch.inf)
    closest = distances.topk(k, dim=1, largest=False)
    return closest.indices.numpy(), closest.values.numpy()
