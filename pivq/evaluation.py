"""The protocol of Table 3: draw samples by Algorithm 1, measure them against the real images."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pivq.data import to_uint8
from pivq.experiment import Run, load_split
from pivq.features import FeatureNet, cached_features
from pivq.metrics import frechet_distance, prdc
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


def measure(run: Run, network: FeatureNet, images: Tensor) -> dict[str, float]:
    """Return the five metrics of images `(M, 3, H, W)` uint8 against the run's training images.

    Keys: `distance` (the Fréchet distance in the network's features; lower is better), then `precision`, `recall`,
    `density` and `coverage` with ` (k=…)` for each of the configuration's `prdc_k` (higher is better).
    """
    real = real_features(run, network)
    fake = cached_features(network, images, results_dir(run.config.profile) / "features")
    row = {"distance": frechet_distance(real=real, fake=fake)}
    for k in run.config.evaluation.prdc_k:
        row |= {f"{name} (k={k})": value for name, value in prdc(real=real, fake=fake, k=k)._asdict().items()}
    return row


def nearest_real(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each row of `fake` `(M, F)`, the index of the closest row of `real` `(N, F)` and the distance."""
    distances = torch.cdist(torch.from_numpy(fake).double(), torch.from_numpy(real).double())
    closest = distances.min(dim=1)
    return closest.indices.numpy(), closest.values.numpy()
