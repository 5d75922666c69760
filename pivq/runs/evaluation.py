"""The protocol of Table 3: draw samples by Algorithm 1, measure them against the real images."""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from numpy.typing import NDArray
from torch import Tensor

from pivq.inference import decode_levels
from pivq.metrics import frechet_distance
from pivq.metrics.neighbours import prdc_for_all
from pivq.model import model_digest
from pivq.pretrained.features import FeatureNet, cached_features
from pivq.runs.run import Run
from pivq.runs.splits import load_split
from pivq.sampling import SampledPairs, sample_pairs
from pivq.storage.paths import results_dir

BATCH = 32  # images measured at a time


def draw_samples(run: Run, count: int) -> SampledPairs:
    """Return `count` samples of Algorithm 1, each from a random pair of encoded training images, as codes.

    A nearest model's codes repeat within an image, so they are recombined as multisets (`pivq.sampling`). The seed is
    the run's.
    """
    codes = torch.from_numpy(run.codes("train"))
    return sample_pairs(codes, count, seed=run.config.seed, multiset=run.quantizer == "nearest")


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
