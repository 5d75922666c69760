"""Measure the rivals and PI-VQ in one way: Tables 1 and 3 on the same images, a row per rival and seed.

Each row is of a rival and a seed of training. All are measured in evaluation mode with their averaged weights; what a
row holds is said at `measure`. `benchmarks/complete_rivals.py` makes the rows, and notebook 13 shows them.
"""

import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from torch import Tensor

from pivq.config import Config
from pivq.data import ImageDataset, from_uint8
from pivq.inference import reconstruction_errors
from pivq.metrics.neighbours import nearest_real
from pivq.pretrained.features import FeatureNet, extract
from pivq.probing import INVERSE_REGULARISATION, MAX_ITERATIONS, SOLVER
from pivq.rivals.rival import BATCH, Rival, count_passes, is_discrete, order_matters
from pivq.runs.beyond.comparison import NEIGHBOURS
from pivq.runs.beyond.rival_training import encode_levels
from pivq.runs.evaluation import compare, image_features
from pivq.sampling import SMOOTH_STEP, path_smoothness

STOPS = 17  # images of a path that are measured, both ends included; notebook 05 takes steps between all exchanges
PAIRS = 100  # of held-out images, each with a way; source: assumption
TIMED = 50  # samples whose drawing is timed; source: assumption
CHECKED = 20  # images on which the properties of Table 1 are checked; source: assumption


def measure(
    rival: Rival, config: Config, network: FeatureNet, train: ImageDataset, heldout: ImageDataset
) -> dict[str, Any]:
    """Return what is measured of a rival, in plain types.

    * `discrete`, `passes`, `order`, `bits`: `pivq.rivals.rival`; `bits` is the capacity, `prior_bits` the mean bits of
      a held-out image under the prior, or an upper bound of them, None where it has none.
    * `seconds_per_sample`, on this machine as it is.
    * `l1`, `psnr`: of reconstructions of held-out images.
    * `real`, `own`: the five metrics of samples against real training images and against the rival's reconstructions of
      them; `control_real`, `control_own`: of its reconstructions of held-out images, against the same.
    * `path`, `memorisation`, `probing`: of `measure_paths`, `measure_copies` and `probe_features`; the last is None
      where the images have no attributes.

    Args:
        rival: in evaluation mode.
        config: gives the number of samples, the folds and the seed of all draws.
        network: describes an image.
        train, heldout: the images.
    """
    device, seed = network.device, config.seed
    few = from_uint8(heldout.images[:CHECKED].to(device))
    errors = reconstruction_errors(rival.reconstruct, heldout.images, BATCH, device)
    row: dict[str, Any] = {
        "discrete": is_discrete(rival, few), "passes": count_passes(rival), "order": order_matters(rival, few),
        "bits": rival.bits, "prior_bits": _prior_bits(rival, heldout.images, device, seed),
        "seconds_per_sample": _seconds_per_sample(rival), "l1": errors[0], "psnr": errors[1],
    }  # fmt: skip
    count = min(config.evaluation.samples, len(heldout))
    stored = {name: encode_levels(rival, split.images, device) for name, split in
              {"train": train, "heldout": heldout}.items()}  # fmt: skip
    made = {"samples": rival.draw(count, seed), "heldout": stored["heldout"][:count], "train": stored["train"][:count]}
    shown = {name: _features(rival, rows, network) for name, rows in made.items()}
    real = image_features(train, network, config.profile)
    row |= measure_samples(real[:count], shown, device)
    row["path"] = measure_paths(rival, heldout.images, real, network, seed)
    row["memorisation"] = measure_copies(
        real, shown["samples"], shown["heldout"], image_features(heldout, network, config.profile)[:count]
    )
    attributes = getattr(heldout, "attributes", None)
    row["probing"] = None
    if attributes is not None:
        features = rival.features(stored["heldout"])
        row["probing"] = probe_features(features, attributes, config.evaluation.probe_folds, seed)
    return row | {"samples": count, "device": str(device), "torch": torch.__version__.partition("+")[0]}


def measure_samples(real: NDArray, shown: dict[str, NDArray], device: torch.device) -> dict[str, dict[str, float]]:
    """Return the five metrics of samples, `real` and `own`, and of their controls, as `measure` has them.

    Args:
        real: features of real training images `(N, F)`.
        shown: features of `samples`, and of reconstructions of training images, `train`, and of `heldout` ones.
        device: computes the metrics.
    """
    found, fakes = {}, {"": shown["samples"], "control_": shown["heldout"]}
    for name, reference in {"real": real, "own": shown["train"]}.items():
        for prefix, metrics in compare(reference, fakes, [NEIGHBOURS], device).items():
            found[prefix + name] = {metric.partition(" ")[0]: float(value) for metric, value in metrics.items()}
    return found


def _features(rival: Rival, stored: Tensor, network: FeatureNet) -> NDArray:
    batches = (rival.decode(rows).cpu() for rows in stored.split(BATCH))
    return extract(network, batches, progress=False)


def _prior_bits(rival: Rival, images: Tensor, device: torch.device, seed: int) -> float | None:
    prior = getattr(rival, "prior", None)
    if prior is None:
        return None
    return prior.bits(encode_levels(rival, images, device), torch.Generator().manual_seed(seed))


def _seconds_per_sample(rival: Rival) -> float:
    rival.sample(2, seed=0)
    started = time.perf_counter()
    rival.sample(TIMED, seed=1)
    return (time.perf_counter() - started) / TIMED


def measure_paths(
    rival: Rival, images: Tensor, real: NDArray, network: FeatureNet, seed: int
) -> dict[str, float | None]:
    """Walk between pairs of images and measure how smooth the way is and how real its middle.

    Args:
        rival: its `path` is the way.
        images: `(N, 3, H, W)` uint8; pairs of them are drawn by the seed, `PAIRS` at most.
        real: features of real images `(M, F)`.
        network: of these features.
        seed: of the pairs and of the ways.

    Returns:
        Means over the pairs whose ends differ: `largest_step` and `length`, as shares of the distance between the ends;
        `smooth`, the share of ways without a step of `SMOOTH_STEP` or more. Medians of the distance to the nearest real
        image: `ends`, `half_way` and `cross_fade`, the mean of both ends' pixels, the control. `nearer`, the share of
        pairs whose middle is nearer to a real image than the cross-fade; `pairs`, their number. All None without pairs.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)[:PAIRS]
    stored = encode_levels(rival, images[pairs.flatten()], network.device)
    steps, kept = [], []
    for number, (a, b) in enumerate(zip(stored[::2], stored[1::2], strict=True)):
        walk = rival.decode_all(rival.path(a, b, torch.linspace(0, 1, STOPS), seed + number))
        if not torch.equal(walk[0], walk[-1]):
            steps.append(path_smoothness(walk))
            kept.append(torch.stack([walk[0], walk[-1], walk[STOPS // 2], (walk[0] + walk[-1]) / 2]))
    names = ("largest_step", "length", "smooth", "ends", "half_way", "cross_fade", "nearer")
    if not kept:
        return dict.fromkeys(names) | {"pairs": 0}
    features = extract(network, torch.cat(kept), progress=False)
    distances = nearest_real(real, features)[1][:, 0].reshape(-1, 4)
    return {
        "largest_step": float(np.mean([way.largest_step for way in steps])),
        "length": float(np.mean([way.length for way in steps])),
        "smooth": float(np.mean([way.largest_step < SMOOTH_STEP for way in steps])),
        "ends": float(np.median(distances[:, :2])),
        "half_way": float(np.median(distances[:, 2])),
        "cross_fade": float(np.median(distances[:, 3])),
        "nearer": float((distances[:, 2] < distances[:, 3]).mean()),
        "pairs": len(kept),
    }


def measure_copies(real: NDArray, samples: NDArray, again: NDArray, heldout: NDArray) -> dict[str, float]:
    """Return how near samples are to training images, and how near images are that the model cannot know.

    Args:
        real: features of the training images `(N, F)`.
        samples: of samples; `again`: of reconstructed held-out images; `heldout`: of these images, each `(M, F)`.

    Returns:
        Medians of the distance to the nearest training image, by the name of the argument; and `too_near`, the share of
        samples that are nearer than 99% of `again` are: 0.01 where samples are as new as held-out images.
    """
    groups = {"samples": samples, "again": again, "heldout": heldout}
    nearest = {name: nearest_real(real, rows)[1][:, 0] for name, rows in groups.items()}
    medians = {name: float(np.median(values)) for name, values in nearest.items()}
    return medians | {"too_near": float((nearest["samples"] < np.quantile(nearest["again"], 0.01)).mean())}


def probe_features(features: Any, attributes: pd.DataFrame, folds: int, seed: int) -> dict[str, float]:
    """Probe any features for attributes, as `pivq.probing.probe` does the presence of codes (Fig. 5).

    Numbers are standardised first; counts of codes stay as they are.

    Args:
        features: `(N, F)`, an array or a sparse matrix.
        attributes: N rows; columns of 0, 1 and missing.
        folds, seed: of the stratified cross-validation.

    Returns:
        `gain`, the mean over attributes of the accuracy above the majority class; `significant`, how many are above it
        with error bars apart; `scored`, how many have enough labels of both kinds.
    """
    scale = StandardScaler() if isinstance(features, np.ndarray) else MaxAbsScaler()
    model = LogisticRegression(solver=SOLVER, C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS)
    gains, apart = [], 0
    for _, column in attributes.items():
        known = np.flatnonzero(column.notna())
        labels = column.iloc[known].to_numpy(dtype=np.float64).astype(np.int64)
        positives = int(labels.sum())
        if min(positives, len(labels) - positives) < folds:
            continue
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        scores = cross_val_score(make_pipeline(scale, model), features[known], labels, cv=splitter)
        usual = _majority(labels, splitter)
        gains.append(float(scores.mean() - usual.mean()))
        apart += bool(scores.mean() - scores.std(ddof=1) > usual.mean() + usual.std(ddof=1))
    return {"gain": float(np.mean(gains)) if gains else 0.0, "significant": apart, "scored": len(gains)}


def _majority(labels: NDArray, splitter: StratifiedKFold) -> NDArray:
    """Return the accuracies `(folds,)` of the class that is more frequent in each fold's training labels."""
    folds = splitter.split(np.zeros((len(labels), 1)), labels)
    return np.array([(labels[tested] == (labels[fitted].mean() > 0.5)).mean() for fitted, tested in folds])
