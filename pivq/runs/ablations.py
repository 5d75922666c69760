"""What each part of the training contributes: the same run with one thing changed (Sections 3.6 and 3.7)."""

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

# Name: (what is changed, the settings of the training that change it).
ABLATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "as trained": ("nothing", {}),
    "L1 only": (
        "neither perceptual nor adversarial loss",
        dict(perceptual_weight=0.0, discriminator_from_step=NEVER, adversarial_from_step=NEVER + 1),
    ),
    "base code's weights": (
        "perceptual weight 1, adversarial limit 1", dict(perceptual_weight=1.0, adversarial_limit=1.0),
    ),
    "one initialisation": ("codebook fitted once, at T_q", dict(codebook_initialisations=1)),
    "quantized from the start": (
        "no delay: a random codebook from step 0", dict(quantize_from_step=0, codebook_initialisations=0),
    ),
}  # fmt: skip
# The columns of the table that are figures of a run's summary.
SUMMARY = {"held-out L1": "heldout_l1", "PSNR (dB)": "heldout_psnr", "perceptual": "heldout_perceptual",
           "codes in use": "codes_in_use"}  # fmt: skip


def run_ablations(config: Config, network: FeatureNet, device: str = "auto") -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """Train each variation of the matching model of `config`, or load it, and measure all of them in the same way.

    Return a frame with one row per variation, and pictures `(8, 3, H, W)` uint8 of samples by variation, which have the
    same parents in all of them. The network's features give the Fréchet distance of the samples.
    """
    rows, pictures = [], {}
    usual = {name: getattr(config, name) for name in ("profile", "seed", "data", "layout", "on_error")}
    changes = [{f"train__{name}": value for name, value in train.items()} for _, train in ABLATIONS.values()]
    runs = train_together([(load_config(**usual, **change), "matching") for change in changes], device)
    real, count = real_features(runs[0], network), len(load_split(config, "heldout"))
    for (name, (change, _)), run in zip(ABLATIONS.items(), runs, strict=True):
        samples, summary = draw_samples(run, count).codes, run.summary
        pictures[name] = next(decode_levels(run.model(), samples[:8]))
        distance = frechet_distance(real=real, fake=decoded_features(run, network, samples))
        row = {"variation": name, "change": change} | {column: summary[figure] for column, figure in SUMMARY.items()}
        rows.append(row | {network.distance_name: distance})
    return pd.DataFrame(rows), pictures
