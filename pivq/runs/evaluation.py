"""The protocol of Table 3: draw samples by Algorithm 1, measure them against the real images."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivq.data import ImageDataset
from pivq.inference import BATCH, decode_levels
from pivq.metrics import frechet_distance
from pivq.metrics.neighbours import prdc_for_all
from pivq.model import model_digest
from pivq.pretrained.features import FeatureNet, cached_features
from pivq.runs.run import Run
from pivq.runs.splits import load_split
from pivq.sampling import SampledPairs, sample_pairs
from pivq.storage.paths import results_dir
from pivq.storage.source import features_digest


def draw_samples(run: Run, count: int, seed: int | None = None) -> SampledPairs:
    """Return `count` samples of Algorithm 1, each from a random pair of encoded training images, as codes.

    A nearest model's codes repeat within an image, so they are recombined as multisets (`pivq.sampling`). The default
    seed is the run's.
    """
    codes = torch.from_numpy(run.codes("train"))
    seed = run.config.seed if seed is None else seed
    return sample_pairs(codes, count, seed, multiset=run.quantizer == "nearest")


def real_features(run: Run, network: FeatureNet, split: str = "train") -> NDArray:
    """Return the features `(N, F)` of the run's real images of a split; see `image_features`."""
    return image_features(load_split(run.config, split), network, run.config.profile)


def reference_features(run: Run, network: FeatureNet) -> NDArray:
    """Return the features `(N, F)` of the images that samples are compared with, the setting `evaluation.reference`."""
    splits = ("train", "heldout") if run.config.evaluation.reference == "all" else ("train",)
    return np.concatenate([real_features(run, network, split) for split in splits])


def image_features(images: ImageDataset, network: FeatureNet, profile: str) -> NDArray:
    """Return the features `(N, F)` of images, from the profile's cache if it has them."""
    folder = results_dir(profile) / "features"
    identity = f"{images.fingerprint} {features_digest(decoded=False)}"
    return cached_features(network, images.images, folder, BATCH, identity=identity)


def decoded_features(run: Run, network: FeatureNet, codes: Tensor) -> NDArray:
    """Return the features `(N, F)` of the images that the run decodes, in batches, from codes `(N, L)`; cached, too."""
    model = run.model(network.device)
    made_by = f"{model_digest(model)} {features_digest(decoded=True)}"
    identity = f"{made_by} {hashlib.sha256(codes.contiguous().numpy()).hexdigest()}"
    folder = results_dir(run.config.profile) / "features"
    return cached_features(network, decode_levels(model, codes), folder, BATCH, identity=identity)


def compare(
    real: NDArray, fakes: Mapping[str, NDArray], ks: Sequence[int], device: str | torch.device = "cpu"
) -> dict[str, dict[str, float]]:
    """Return the five metrics of sets of features `(M, F)` against `real` `(N, F)`, by the name of the set.

    As in the base code, the Fréchet distance is of all N images, the other four of the first min(N, M) on both sides:
    with more real images than samples, coverage would be lower for any generator, and with fewer higher.

    The keys are `distance` (the Fréchet distance in the network's features; lower is better), then `precision`,
    `recall`, `density` and `coverage` with ` (k=…)` for each of `ks` (higher is better). `device` computes the matrix
    products of PRDC; it changes no number.
    """
    counts = {name: min(len(real), len(fake)) for name, fake in fakes.items()}
    scores = {}
    for count in dict.fromkeys(counts.values()):
        alike = {name: fake[:count] for name, fake in fakes.items() if counts[name] == count}
        scores |= prdc_for_all(real=real[:count], fakes=alike, ks=ks, device=device)
    rows = {}
    for name, fake in fakes.items():
        rows[name] = {"distance": frechet_distance(real=real, fake=fake)}
        for k, values in scores[name].items():
            rows[name] |= {f"{metric} (k={k})": value for metric, value in values._asdict().items()}
    return rows
