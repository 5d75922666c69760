"""What is measured of a run on other pictures than faces, each measure with its control; and pictures to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pivq.data import ImageDataset
from pivq.inference import decode_levels, encode_images, order_difference, reconstruction_errors
from pivq.model import PIVQ
from pivq.pretrained.features import FeatureNet
from pivq.probing import pixel_statistics, probe
from pivq.processes import pick_device
from pivq.rivals.ours import Ours
from pivq.rivals.rival import BATCH
from pivq.runs.beyond.rivalry import PAIRS, measure_paths
from pivq.runs.beyond.rivals import ours
from pivq.runs.beyond.samplers import NEAR, draw, five_metrics, novelty
from pivq.runs.competition import USED_IMAGES, capacity, effect_of_draw, samples_measured, without_nan
from pivq.runs.evaluation import decoded_features, draw_samples, real_features
from pivq.runs.paths import measure_spread
from pivq.runs.run import Run
from pivq.runs.splits import load_split, load_splits
from pivq.runs.untrained import untrained_model
from pivq.storage.paths import results_dir
from pivq.storage.writing import atomic_write
from pivq.usage import code_usage, slot_usage

CHECKED = 50  # images whose codes are shuffled, as in notebook 05
SHOWN = 12  # pictures of a kind in the figure


def measure(run: Run, network: FeatureNet) -> dict[str, Any]:
    """Return what is measured of a run, in plain types, each with its control.

    * `psnr`, `l1`: of held-out images; `mean_image` and `nearest_image` hold those of the controls, which put the mean
      of the training images, or the one that is nearest in its pixels, in place of an image.
    * `codes_in_use`, `mean_codes_per_image` and `bits_…`: `pivq.runs.competition`; `slots`: `pivq.usage.slot_usage`.
      `shared_steps` are those before the quantizers chose other codes.
    * `against_reconstructions`, `against_real`: `samples` of Algorithm 1 and `reconstructions` of held-out images.
    * `near`: samples from near parents (notebook 11), of matching alone; `new`: their novelty and Algorithm 1's.
    * `order`: the greatest change of a pixel when codes are shuffled. `path`: `pivq.runs.beyond.rivalry.measure_paths`,
      of matching alone. `spread`: of a change of one code (`pivq.runs.paths.measure_spread`).
    * `probing`: the gain over the majority class, of labels or, without any, of properties of pixels.
    * `untrained`: what the untrained model has of these.
    """
    config, summary = run.config, run.summary
    splits, sizes, seed = load_splits(config), config.model, config.seed
    train_codes, model = run.codes("train"), run.model(network.device)
    row = {
        "images": {name: len(split) for name, split in splits.items()},
        "fingerprints": {name: split.fingerprint for name, split in splits.items()}, "size": sizes.image_size,
        "tokens": sizes.tokens, "quantizer": run.quantizer, "L": sizes.num_codes, "K": sizes.codebook_size,
        "profile": config.profile, "steps": config.train.steps, "seed": seed, "batch_size": config.train.batch_size,
        "psnr": summary["heldout_psnr"], "l1": summary["heldout_l1"], "codes_in_use": summary["codes_in_use"],
        "codes_per_image": summary["max_codes_per_image"], "mean_codes_per_image": summary["mean_codes_per_image"],
        "shared_steps": summary["shared_steps"], "seconds": summary["training_seconds"],
        "parameters": summary["parameters"], "distance_name": network.distance_name,
    }  # fmt: skip
    row |= controls(splits["train"].images, splits["heldout"].images)
    row |= capacity(run.quantizer, row["codes_in_use"], row["codes_per_image"], sizes.num_codes)
    slots = slot_usage(train_codes, sizes.codebook_size)._asdict()
    row["slots"] = {name: value for name, value in slots.items() if name != "counts"}
    row |= effect_of_draw(model, splits["heldout"].images[:USED_IMAGES]) | samples_measured(run, network)
    row["order"] = order_difference(model.decode, torch.from_numpy(run.codes("heldout")[:CHECKED]), _generator(seed))
    row["spread"] = _spread(model, run.codes("heldout"), seed)
    row["path"] = row["near"] = row["new"] = None
    if run.quantizer == "matching":
        row["path"] = measure_paths(ours(run, "Algorithm 1", str(network.device)), splits["heldout"].images,
                                    real_features(run, network), network, seed)  # fmt: skip
        row |= _near_parents(run, network)
    start = untrained_model(config, splits["train"].images, run.quantizer, network.device)
    row["probing"] = _probed(run, start, splits)
    row["untrained"] = _untrained(run, start, network, splits)
    facts = {"device": str(network.device), "torch": torch.__version__.partition("+")[0], "code": summary.get("code")}
    return without_nan(row | facts)


def controls(train_images: Tensor, images: Tensor) -> dict[str, dict[str, float]]:
    """Return L1 and PSNR of images `(N, 3, H, W)` if a training image, or the mean of all, stands in their place.

    Both are uint8. The training image is the nearest in the Euclidean distance of pixels.

    Example:
        >>> black, white = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
        >>> found = controls(torch.cat([black, white]), black + 51)
        >>> round(found["mean_image"]["l1"], 2), round(found["nearest_image"]["l1"], 2)
        (0.3, 0.2)
    """
    known = train_images.flatten(1).float() / 255
    mean = known.mean(dim=0)

    def nearest(batch: Tensor) -> Tensor:
        return known[torch.cdist(batch.flatten(1), known).argmin(dim=1)].view_as(batch)

    ways = {"mean_image": lambda batch: mean.expand(len(batch), -1).view_as(batch), "nearest_image": nearest}
    return {name: dict(zip(("l1", "psnr"), reconstruction_errors(way, images, BATCH, "cpu"), strict=True))
            for name, way in ways.items()}  # fmt: skip


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _spread(model: PIVQ, codes: np.ndarray, seed: int) -> dict[str, Any]:
    pairs = torch.randperm(len(codes), generator=_generator(seed))[: len(codes) // 2 * 2].reshape(-1, 2)[:PAIRS]
    return measure_spread(model.decode, torch.from_numpy(codes), pairs, model.config.grid_size, _generator(seed))


def _near_parents(run: Run, network: FeatureNet) -> dict[str, Any]:
    """Return the metrics of samples from near parents against reconstructions, and how new these and the usual are."""
    size, count = run.config.model.codebook_size, min(run.config.evaluation.samples, len(run.codes("heldout")))
    codes = torch.from_numpy(run.codes("train"))
    near = draw(codes, size, NEAR.among(len(codes)), count, run.config.seed).codes
    sets = {"near": near, "Algorithm 1": draw_samples(run, count).codes}
    sets["held-out"] = torch.from_numpy(run.codes("heldout"))[:count]
    own = decoded_features(run, network, codes[:count])
    found = five_metrics(own, decoded_features(run, network, sets["near"]), network)
    return {"near": found, "new": {name: novelty(rows, codes, size) for name, rows in sets.items()}}


def _probed(run: Run, start: PIVQ, splits: dict[str, ImageDataset]) -> dict[str, Any]:
    """Return the gain of probes of the held-out images' codes, trained and untrained."""
    heldout, config = splits["heldout"], run.config
    attributes, of = heldout.attributes, "labels"
    if attributes is None:
        statistics = pixel_statistics(heldout.images.numpy(), heldout.ids)
        attributes, of = (statistics > statistics.median()).astype("Int8"), "properties of pixels"
    found: dict[str, Any] = {"of": of}
    for prefix, codes in (("", run.codes("heldout")), ("untrained_", encode_images(start, heldout.images))):
        scores = probe(codes, attributes, config.model.codebook_size, config.evaluation.probe_folds, config.seed)
        found |= {f"{prefix}gain": float((scores["accuracy"] - scores["baseline"]).mean()),
                  f"{prefix}significant": int(scores["significant"].sum()),
                  "scored": int(scores["accuracy"].count())}  # fmt: skip
    return found


def _untrained(run: Run, start: PIVQ, network: FeatureNet, splits: dict[str, ImageDataset]) -> dict[str, Any]:
    size, seed = run.config.model.codebook_size, run.config.seed
    codes = encode_images(start, splits["heldout"].images)
    found = {
        "mean_codes_per_image": code_usage(codes, size).mean_codes_per_image,
        "dominant_share": slot_usage(codes, size).dominant_share,
        "spread": _spread(start, codes, seed),
    }
    if run.quantizer == "matching":
        alone = Ours(start, lambda count, seed: torch.from_numpy(codes[:count]))
        found["path"] = measure_paths(alone, splits["heldout"].images, real_features(run, network), network, seed)
    return found


# --- Pictures ---------------------------------------------------------------------------------------------------------


def keep_pictures(name: str, runs: Mapping[str, Run], seed: int, device: str = "auto") -> Path:
    """Write what the figure shows of a set; return the file, `pictures-<name>.npz` next to the rows of the profile.

    By the name of its row, each array is `(SHOWN, 3, H, W)` uint8: held-out images, and of each run of `runs`, by its
    tokens, their reconstructions, samples of Algorithm 1 and samples from near parents.
    """
    shown: dict[str, Tensor] = {}
    for tokens, run in runs.items():
        shown |= {} if shown else {"held out": load_split(run.config, "heldout").images[:SHOWN]}
        model = run.model(pick_device(device))
        shown[f"{tokens}, rebuilt"] = _decoded(model, torch.from_numpy(run.codes("heldout")[:SHOWN]))
        for sampler in ("Algorithm 1", "near parents"):
            shown[f"{tokens}, {sampler}"] = _decoded(model, ours(run, sampler, device).draw(SHOWN, seed))
    path = pictures_file(name, next(iter(runs.values())).config.profile)
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **{row: images.numpy() for row, images in shown.items()})
    return path


def pictures_file(name: str, profile: str) -> Path:
    """Return where the pictures of a set are kept."""
    return results_dir(profile) / "other_data" / f"pictures-{name}.npz"


def _decoded(model: PIVQ, codes: Tensor) -> Tensor:
    return torch.cat(list(decode_levels(model, codes)))


def kept_pictures(names: Sequence[str], profile: str) -> dict[str, Tensor]:
    """Return the pictures that are kept of sets, by "set: row", `(SHOWN, 3, H, W)` uint8, all enlarged to one size."""
    rows: dict[str, Tensor] = {}
    for name in names:
        if (path := pictures_file(name, profile)).exists():
            with np.load(path) as arrays:
                rows |= {f"{name}: {row}": torch.from_numpy(images) for row, images in arrays.items()}
    side = max((images.shape[-1] for images in rows.values()), default=0)
    return {row: _enlarged(images, side // images.shape[-1]) for row, images in rows.items()}


def _enlarged(images: Tensor, times: int) -> Tensor:
    return images.repeat_interleave(times, 2).repeat_interleave(times, 3)
