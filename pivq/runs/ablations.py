"""What each part of the training is worth: the same run with one thing changed (Sections 3.6 and 3.7)."""

from typing import Any

import pandas as pd
from torch import Tensor

from pivq.config import Config, load_config
from pivq.inference import decode_levels
from pivq.metrics import frechet_distance
from pivq.pretrained.features import FeatureNet
from pivq.runs.evaluation import decoded_features, draw_samples, real_features
from pivq.runs.parallel import train_together
from pivq.runs.splits import load_split

NEVER = 10**9  # steps

# Name: (what is changed, the settings that do it).
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "as trained": ("nothing", {}),
    "L1 only": (
        "neither perceptual nor adversarial loss",
        {
            "train__perceptual_weight": 0.0,
            "train__discriminator_from_step": NEVER,
            "train__adversarial_from_step": NEVER + 1,
        },
    ),
    "base code's weights": (
        "perceptual weight 1, adversarial limit 1",
        {"train__perceptual_weight": 1.0, "train__adversarial_limit": 1.0},
    ),
    "one initialisation": ("codebook fitted once, at T_q", {"train__codebook_initialisations": 1}),
    "quantized from the start": (
        "no delay: a random codebook from step 0",
        {"train__quantize_from_step": 0, "train__codebook_initialisations": 0},
    ),
}


def run_ablations(config: Config, network: FeatureNet, device: str = "auto") -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """Train each variation of the matching model, or load it, and measure all of them alike.

    Args:
        config: the settings that are varied.
        network: features for the Fréchet distance of the samples.
        device: where to train.

    Returns:
        A frame with a row a variation; and for each, by name, pictures `(8, 3, H, W)` uint8 of samples that have the
        same parents in all variations.
    """
    rows, pictures = [], {}
    usual = (config.profile, config.seed, config.data)
    variations = [load_config(*usual, **settings) for _, settings in ABLATIONS.values()]
    runs = train_together([(variation, "matching") for variation in variations], device)
    real, count = real_features(runs[0], network), len(load_split(config, "heldout"))
    for (name, (change, _)), run in zip(ABLATIONS.items(), runs, strict=True):
        samples, summary = draw_samples(run, count).codes, run.summary
        pictures[name] = next(decode_levels(run.model(), samples[:8]))
        rows.append(
            {
                "variation": name,
                "change": change,
                "held-out L1": summary["heldout_l1"],
                "PSNR (dB)": summary["heldout_psnr"],
                "perceptual": summary["heldout_perceptual"],
                "codes in use": summary["codes_in_use"],
                network.distance_name: frechet_distance(real=real, fake=decoded_features(run, network, samples)),
            }
        )
    return pd.DataFrame(rows), pictures
