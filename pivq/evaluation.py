"""The protocol of Table 3: draw samples by Algorithm 1, measure them against the real images."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivq.data import to_uint8
from pivq.experiment import Run, load_split
from pivq.features import FeatureNet, cached_features
from pivq.metrics import frechet_distance
from pivq.model import PIVQ, model_digest
from pivq.paths import results_dir
from pivq.prdc import prdc_for_all
from pivq.sampling import SampledPairs, decoded_batches, sample_pairs

BATCH = 32  # images decoded, and measured, at a time


def draw_samples(run: Run, count: int) -> SampledPairs:
    """Return `count` samples of Algorithm 1, each from a random pair of encoded training images, as codes.

    A nearest model's codes repeat within an image, so they are recombined as multisets (`pivq.sampling`). The seed is
    the run's.
    """
    codes = torch.from_numpy(run.codes("train"))
    return sample_pairs(codes, count, seed=run.config.seed, multiset=run.quantizer == "nearest")


def decode_levels(model: PIVQ, codes: Tensor) -> Iterator[Tensor]:
    """Yield the images of codes `(N, L)`, batch by batch, uint8 `(B, 3, H, W)` on the CPU."""
    for images in decoded_batches(model.decode, codes, BATCH):
        yield to_uint8(images)


def real_features(run: Run, network: FeatureNet, split: str = "train") -> NDArray:
    """Return the features `(N, F)` of the run's real images of a split, from the cache where they are there."""
    images = load_split(run.config, split)
    folder = results_dir(run.config.profile) / "features"
    return cached_features(network, images.images, folder, BATCH, identity=images.fingerprint)


def decoded_features(run: Run, network: FeatureNet, codes: Tensor) -> NDArray:
    """Return the features `(N, F)` of what the run makes of codes `(N, L)`, from the cache where they are there.

    The images are decoded batch by batch and never held as a whole.
    """
    model = run.model(network.device)
    identity = f"{model_digest(model)} {hashlib.sha256(codes.contiguous().numpy()).hexdigest()}"
    folder = results_dir(run.config.profile) / "features"
    return cached_features(network, decode_levels(model, codes), folder, BATCH, identity=identity)


def compare(
    real: NDArray, fakes: Mapping[str, NDArray], ks: Sequence[int], device: str | torch.device = "cpu"
) -> dict[str, dict[str, float]]:
    """Return the five metrics of sets of features `(M, F)` against `real` `(N, F)`, by the name of the set.

    `device` does the matrix products of PRDC; it changes no number.

    Keys: `distance` (the Fréchet distance in the network's features; lower is better), then `precision`, `recall`,
    `density` and `coverage` with ` (k=…)` for each of `ks` (higher is better).
    """
    rows = {}
    for name, scores in prdc_for_all(real=real, fakes=fakes, ks=ks, device=device).items():
        rows[name] = {"distance": frechet_distance(real=real, fake=fakes[name])}
        for k, values in scores.items():
            rows[name] |= {f"{metric} (k={k})": value for metric, value in values._asdict().items()}
    return rows


def nearest_real(
    real: np.ndarray, fake: np.ndarray, k: int = 1, excluded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` closest rows of `real` to each row of `fake`, closest first, and their distances.

    Args:
        real: features `(N, F)`.
        fake: features `(M, F)`.
        k: neighbours.
        excluded: rows of `real` `(M, E)` that are no neighbour of that row of `fake`, such as a sample's parents.

    Returns:
        Indices and Euclidean distances, both `(M, k)`.
    """
    references = torch.from_numpy(real).double()
    indices, distances = [], []
    for start in range(0, len(fake), 500):  # rows of distances in memory
        rows = slice(start, start + 500)
        block = torch.cdist(torch.from_numpy(fake[rows]).double(), references)
        if excluded is not None:
            block.scatter_(1, torch.as_tensor(excluded[rows]), torch.inf)
        closest = block.topk(k, dim=1, largest=False)
        indices.append(closest.indices)
        distances.append(closest.values)
    return torch.cat(indices).numpy(), torch.cat(distances).numpy()
