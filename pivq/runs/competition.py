"""When do latents compete for codes? Runs that differ in the encoder's tokens, in L, K and length (Section 3.4).

With the paper's learned tokens each token takes codes of its own, so nothing competes. With tokens drawn anew for every
image the latents have no names; then nearest quantization repeats codes, and matching has something to decide. Here are
the runs and what is measured of each; `pivq.runs.study` trains them, `pivq.runs.findings` says what comes out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pivq.capacity import exactly_distinct_bits, matching_bits, nearest_bits
from pivq.config import Config, load_config
from pivq.data import ImageDataset, from_uint8
from pivq.inference import decode_levels, latents_in_batches
from pivq.matching import match
from pivq.model import PIVQ
from pivq.pretrained.features import FeatureNet
from pivq.probing import probe
from pivq.profiles import DRAWN as DRAWN_PROFILES
from pivq.profiles import NEVER
from pivq.runs.evaluation import compare, decoded_features, draw_samples, real_features
from pivq.runs.recombination import countable_attributes, measure_recombination
from pivq.runs.run import Run
from pivq.runs.splits import load_split
from pivq.storage.paths import stored_file
from pivq.storage.writing import read_sealed
from pivq.usage import code_usage, slot_usage

# Of all runs. No discriminator: it costs time, and what competes is decided without it.
COMMON = {
    "train__steps": 2000, "train__quantize_from_step": 800, "train__muon_learning_rate": 3e-3,
    "train__discriminator_from_step": NEVER, "train__adversarial_from_step": NEVER + 1, "model__num_codes": 64,
    "model__codebook_size": 512, "model__tokens": "learned", "model__token_spread": 1.0,
}  # fmt: skip
DRAWN = {"model__tokens": "drawn"}
BOTH = ("nearest", "matching")
SMALLER = {"model__num_codes": 16, "model__codebook_size": 16, "train__steps": 50, "train__quantize_from_step": 50}
USED_IMAGES = 500  # held-out images on which tokens, draws and agreement are measured


class Variation(NamedTuple):
    """Settings that are trained with some quantizers; those of equal `group` share steps and are trained in turn."""

    name: str
    settings: dict[str, Any]
    seed: int = 0
    group: str = ""
    quantizers: Sequence[str] = BOTH


def _drawn(num_codes: int, codebook_size: int = 512, seed: int = 0) -> Variation:
    sizes = {"model__num_codes": num_codes, "model__codebook_size": codebook_size}
    return Variation("drawn", DRAWN | sizes, seed, f"drawn {num_codes} {codebook_size} {seed}")


def _learned(num_codes: int, quantizers: Sequence[str] = ("nearest",)) -> Variation:
    """Of learned tokens nearest alone is trained: only it can repeat codes. At L = 64 matching shows the same model."""
    return Variation("learned", {"model__num_codes": num_codes}, 0, f"learned {num_codes}", quantizers)


LONG = {"train__steps": 6000}
VARIATIONS = [
    Variation("drawn, three times as long", DRAWN | LONG, 0, "drawn long"),
    Variation("learned, three times as long", LONG, 0, "learned long", ("nearest",)),
    _drawn(512, 1024), _drawn(256), _drawn(128, 2048), _drawn(128), _drawn(64, 1024), _drawn(64),
    Variation("drawn, random codebook", DRAWN | {"train__codebook_initialisations": 0}, 0, "drawn 64 512 0"),
    _drawn(64, seed=1), _drawn(64, seed=2), _drawn(32),
    _learned(512), _learned(256), _learned(128), _learned(64, BOTH), _learned(32),
    Variation("learned, N(0, 0.02²)", {"model__token_spread": 0.02}, 0, "small"),
    Variation("learned plus noise", {"model__tokens": "noisy"}, 0, "noisy"),
    Variation("drawn, N(0, 0.3²)", DRAWN | {"model__token_spread": 0.3}, 0, "drawn small"),
]  # fmt: skip


def settings_of(variation: Variation, profile: str = "quick", **usual: Any) -> Config:
    """Return the configuration of a variation; `usual` are more arguments of `load_config`, such as `data`.

    In the profile `smoke` all sizes and lengths are a fraction of the study's (`SMALLER`).

    Raises:
        ValueError: the profile trains no models with drawn tokens; its study would take days.
    """
    if profile not in DRAWN_PROFILES:
        raise ValueError(f"the study is for the profiles {', '.join(DRAWN_PROFILES)}, got {profile!r}")
    settings = COMMON | variation.settings
    if profile == "smoke":
        settings |= {name: settings[name] // factor for name, factor in SMALLER.items()}
    return load_config(profile, variation.seed, **usual, **settings)


def stored_study(profile: str = "quick", seed: int = 0) -> list[dict[str, Any]]:
    """Return the rows of the study (see `measure`): the profile's own, or those that come with the project.

    Raises:
        ValueError: the file is damaged, or has no rows; names it.
    """
    path = stored_file("competition", profile, seed)
    rows = read_sealed(path).get("rows")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} is damaged: it has no rows. Run notebook 09_when_codes_compete with --rerun-study")
    return rows


# --- What is measured -------------------------------------------------------------------------------------------------


def measure(variation: Variation, run: Run, network: FeatureNet) -> dict[str, Any]:
    """Measure a run: reconstruction, codes, capacity, samples, traits and probes; NaN becomes None.

    Traits (`pivq.runs.recombination.Recombination`) and probes are there only where the images have attributes.
    `history` has the mean number of different codes per image by step, on a few held-out images; `device` and `torch`
    say what computed the row.
    """
    config, summary, heldout = run.config, run.summary, load_split(run.config, "heldout")
    sizes = config.model
    row = {
        "variation": variation.name, "quantizer": run.quantizer, "tokens": sizes.tokens,
        "token_spread": sizes.token_spread, "L": sizes.num_codes, "K": sizes.codebook_size,
        "steps": config.train.steps, "seed": config.seed, "psnr": summary["heldout_psnr"], "l1": summary["heldout_l1"],
        "codes_in_use": summary["codes_in_use"], "codes_per_image": summary["max_codes_per_image"],
        "mean_codes_per_image": summary["mean_codes_per_image"], "shared_steps": summary["shared_steps"],
        "seconds": summary["training_seconds"],
    }  # fmt: skip
    row |= capacity(run.quantizer, row["codes_in_use"], row["codes_per_image"], sizes.num_codes)
    log = run.log().dropna(subset="mean_codes_per_image")
    history = zip(log["step"], log["mean_codes_per_image"], strict=True)
    row["history"] = {str(int(step)): float(value) for step, value in history}
    row |= effect_of_draw(run.model(network.device), heldout.images[:USED_IMAGES])
    row |= samples_measured(run, network)
    if countable_attributes(train := load_split(config, "train"), heldout):
        row |= _attributes_measured(run, train, heldout, network)
    return without_nan(row) | {"device": _device(network.device), "torch": torch.__version__.partition("+")[0]}


def capacity(quantizer: str, used: int, most: int, num_codes: int) -> dict[str, float | None]:
    """Return bits by Eq. (2), by Eq. (4), and with each representation counted once: for nearest all multisets of L
    codes with at most `most` different ones, for matching all sets, Eq. (4)."""
    sets = matching_bits(used, num_codes) if used >= num_codes else None
    once = [exactly_distinct_bits(used, count, num_codes) for count in range(1, most + 1)]
    return {
        "bits_equation_2": nearest_bits(used, most, num_codes),
        "bits_counted_once": sets if quantizer == "matching" else float(np.logaddexp2.reduce(once)),
        "bits_equation_4": sets,
    }


@torch.no_grad()
def effect_of_draw(model: PIVQ, images: Tensor) -> dict[str, float]:
    """Measure how slots share codes, how far the quantizers agree, and what drawing other tokens changes.

    `dominant_share` is that of `pivq.usage.slot_usage`, and `mean_codes_per_image_drawn` the mean number of different
    codes, both with tokens drawn anew for every image where they are not learned; `agreement` the share of latents that
    both quantizers give one code; `draw_pixels` the mean absolute difference of reconstructions from two draws, and
    `draw_codes` the share of the codes of one that the other has.
    """
    device = next(model.parameters()).device
    distances = [model.quantizer.distances(latents) for latents in latents_in_batches(model, images)]
    agreement = torch.cat([(match(table) == table.argmin(dim=2)).float().mean(dim=1).cpu() for table in distances])
    draws = []
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        rows = [model.encode(from_uint8(batch.to(device)), generator).cpu() for batch in images.split(100)]
        draws.append(torch.cat(rows))
    pictures = [torch.cat(list(decode_levels(model, codes))).float() / 255 for codes in draws]
    same = [len({*a} & {*b}) / len({*a}) for a, b in zip(draws[0].tolist(), draws[1].tolist(), strict=True)]
    return {
        "agreement": float(agreement.mean()),
        "dominant_share": slot_usage(draws[0].numpy(), model.config.codebook_size).dominant_share,
        "mean_codes_per_image_drawn": code_usage(draws[0].numpy(), model.config.codebook_size).mean_codes_per_image,
        "draw_codes": float(np.mean(same)),
        "draw_pixels": float((pictures[0] - pictures[1]).abs().mean()),
    }


def samples_measured(run: Run, network: FeatureNet) -> dict[str, dict[str, float]]:
    """Compare samples, and reconstructions of held-out images, with reconstructions of training images and with real
    images, as many on both sides."""
    count = min(run.config.evaluation.samples, len(load_split(run.config, "heldout")))
    codes = {split: torch.from_numpy(run.codes(split)[:count]) for split in ("train", "heldout")}
    fakes = {"samples": decoded_features(run, network, draw_samples(run, count).codes),
             "reconstructions": decoded_features(run, network, codes["heldout"])}  # fmt: skip
    against = {"reconstructions": decoded_features(run, network, codes["train"]),
               "real": real_features(run, network)[:count]}  # fmt: skip
    ks, device = run.config.evaluation.prdc_k[:1], network.device
    return {f"against_{name}": compare(real, fakes, ks, device) for name, real in against.items()}


def _attributes_measured(run: Run, train: ImageDataset, heldout: ImageDataset, network: FeatureNet) -> dict[str, Any]:
    config = run.config
    scores = probe(run.codes("heldout"), heldout.attributes, config.model.codebook_size, config.evaluation.probe_folds)
    traits = measure_recombination(run, train, heldout, network).traits
    return {
        "probe_gain": float((scores["accuracy"] - scores["baseline"]).mean()),
        "probe_significant": int(scores["significant"].sum()),
        "probe_scored": int(scores["accuracy"].count()),
        "traits": traits.to_dict("records"),
    }


def without_nan(value: Any) -> Any:
    """Return plain values with None for NaN, which JSON cannot hold."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


# --- Why ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def describe(model: PIVQ, images: Tensor) -> dict[str, float]:
    """Return what tells whether latents compete: whose variance theirs is, and how codes are used.

    The shares are those of `variance_shares`, with the same tokens for all images, as in inference. The other numbers
    are those of `effect_of_draw`: with tokens drawn anew for every image where they are not learned.
    """
    latents = torch.cat([batch.cpu() for batch in latents_in_batches(model, images)])
    effect = effect_of_draw(model, images)
    names = ("mean_codes_per_image_drawn", "draw_codes", "agreement", "dominant_share")
    return variance_shares(latents) | {name: effect[name] for name in names}


def variance_shares(latents: Tensor) -> dict[str, float]:
    """Return the shares of the variance of latents `(N, L, d)` by token, by image, and by both together; the sum is 1.

    The token's share comes from what all images have in common at a place in the order, the image's from what all its
    latents have in common. All images must have had the same tokens.

    Example:
        >>> variance_shares(torch.tensor([[[0.0], [2.0]], [[0.0], [2.0]]]))
        {'token': 1.0, 'image': 0.0, 'both': 0.0}
    """
    centred = latents.double() - latents.double().mean(dim=(0, 1))
    whole = centred.square().sum(dim=2).mean()
    token = centred.mean(dim=0).square().sum(dim=1).mean()
    image = centred.mean(dim=1).square().sum(dim=1).mean()
    parts = {"token": token / whole, "image": image / whole, "both": (whole - token - image) / whole}
    return {name: float(part) for name, part in parts.items()}
